package shard

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluice-mesh/sluice/sidecar/directory"
)

// printTable writes what all answers have in common, and then a line for each.
func printTable(w io.Writer, answers []directory.Answer) error {
	a := answers[0]
	fmt.Fprintf(w, "%s: %s over %d pods, of which %d are ready; key %s; while the owner is away: %s; fingerprint %s\n\n",
		a.Service, a.Map, a.Members, a.Ready, strings.Join(a.From, ","), a.Fallback, a.Fingerprint)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tOWNER\tWHY\tADDRESS\tPLACE\tTHEN")
	for _, a := range answers {
		owner, address := "-", "-"
		if a.Owner != nil {
			if owner = a.Owner.Name; a.Owner.Address != "" {
				address = a.Owner.Address
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", visible(a.Key), owner, a.Why, address, orDash(a.Place), orDash(names(a.Successors)))
	}
	return t.Flush()
}

// names lists pods; those that cannot be reached are marked.
func names(pods []directory.Pod) string {
	var all []string
	for _, p := range pods {
		if p.Address == "" {
			p.Name += "(down)"
		}
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

// visible quotes a key that would not be seen as it is.
func visible(key string) string {
	if quoted := fmt.Sprintf("%q", key); quoted != `"`+key+`"` || strings.Contains(key, " ") {
		return quoted
	}
	return key
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func printJSON(w io.Writer, answers []directory.Answer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(answers)
}
