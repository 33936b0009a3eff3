package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/test/figures"
)

// markdownPeers are the columns.
var markdownPeers = []string{kubeProxy, "haproxy", "nginx", sluice}

// writeMarkdown writes the figures into a document.
func (rep *report) writeMarkdown(path string) error {
	var b strings.Builder
	rep.markdown(&b)
	return figures.Write(path, b.String())
}

// markdown writes all measurements as tables.
func (rep *report) markdown(out io.Writer) {
	fmt.Fprintf(out, "`%s`: %.0f min. %s\n", rep.Command, rep.Seconds/60, rep.Machine)
	if rep.Quick {
		fmt.Fprintln(out, "Of a quick run: fewer requests.")
	}
	faults, timed, others := rep.sorted()
	lost := func(r row) string { return fmt.Sprintf("%s of %s", bold(r.Failed+r.Non2xx), thousands(r.Requests)) }
	rep.columns(out, "Lost of all requests", faults, lost)
	rep.columns(out, "Longest, and 99th percentile before and with the fault, in ms", timed, func(r row) string {
		return fmt.Sprintf("%s; %s → %s", known(r.Longest), known(r.P99Before), known(r.P99))
	})
	rep.columns(out, "Scenarios: lost of all requests, the longest in ms", others, func(r row) string {
		if r.Longest == unknown {
			return lost(r)
		}
		return lost(r) + ", " + known(r.Longest)
	})
	rep.brokenPromises(out)
}

// sorted answers the cases of faults, those of them that are about time, and those of scenarios, each once and in order.
func (rep *report) sorted() (faults, timed, others []string) {
	isFault := map[string]bool{}
	for _, f := range allFaults() {
		for _, c := range allClients() {
			isFault[caseName(c, f)] = true
		}
	}
	for _, r := range rep.Rows {
		switch kind, _, _ := strings.Cut(r.Case, "/"); {
		case slices.Contains(faults, r.Case) || slices.Contains(others, r.Case):
		case !isFault[r.Case]:
			others = append(others, r.Case)
		default:
			faults = append(faults, r.Case)
			if slices.Contains([]string{"stop", "drop", "slow"}, kind) {
				timed = append(timed, r.Case)
			}
		}
	}
	return faults, timed, others
}

// columns writes a table with a line for each case.
func (rep *report) columns(out io.Writer, title string, cases []string, cell func(row) string) {
	if len(cases) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n| case |", title)
	for _, name := range markdownPeers {
		fmt.Fprintf(out, " %s |", titleOf(name))
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("---|", len(markdownPeers)))
	for _, c := range cases {
		title, cells := "", ""
		for _, name := range markdownPeers {
			text := "–"
			if i := slices.IndexFunc(rep.Rows, func(r row) bool { return r.Case == c && r.Peer == name }); i >= 0 {
				title = rep.Rows[i].Title
				if text = cell(rep.Rows[i]); rep.Rows[i].Error != "" {
					text = "not measured"
				}
			}
			cells += " " + text + " |"
		}
		fmt.Fprintf(out, "| %s (`%s`) |%s\n", title, c, cells)
	}
}

// brokenPromises says what of Sluice's promises was not kept.
func (rep *report) brokenPromises(out io.Writer) {
	for _, r := range rep.Rows {
		if r.Peer == sluice && len(r.Broken) > 0 {
			fmt.Fprintf(out, "\nNot kept by Sluice in `%s`: %s.\n", r.Case, short(r.verdict()))
		}
	}
}

func titleOf(name string) string {
	all := allPeers()
	return all[slices.IndexFunc(all, func(p *peer) bool { return p.name == name })].title
}

// bold makes losses seen.
func bold(n int) string {
	if n == 0 {
		return "0"
	}
	return "**" + thousands(n) + "**"
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// readReport reads what an earlier run has written.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rep := new(report)
	return rep, json.Unmarshal(text, rep)
}
