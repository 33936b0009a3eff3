package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// fillerServer is in all entries that fill a table, and nowhere else.
const fillerServer = "10.200.0.1"

// tableSize is how many entries a namespace's table may hold. The kernel has one figure for all namespaces, each of which counts its
// own entries against it.
func tableSize(ns *meshtest.Namespace) (size int, err error) {
	err = ns.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
		if err != nil {
			return err
		}
		size, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	return size, err
}

// fillTable fills a namespace's table with connections that are alive as far as the kernel knows: it has to refuse new ones instead of
// forgetting some of these.
func (x *trial) fillTable(ns *meshtest.Namespace) error {
	size, err := tableSize(ns)
	if err != nil {
		return err
	}
	c := ns.Command(x.ctx, "conntrack", "--load-file", "-")
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	w := bufio.NewWriter(in)
	for i := range size {
		client, port := fmt.Sprintf("172.16.%d.%d", i>>16&0xff, i>>8&0xff), 1000+i&0xff+i>>24<<8
		if _, err := fmt.Fprintf(w, "-A -s %[1]s -d %[2]s -r %[2]s -q %[1]s -p tcp --sport %[3]d --dport 80 --reply-port-src 80 --reply-port-dst %[3]d "+
			"-t 300 --state ESTABLISHED -u SEEN_REPLY,ASSURED\n", client, fillerServer, port); err != nil {
			break // it ends at the entry that finds no room
		}
	}
	_ = w.Flush()  // as above
	_ = in.Close() // as above
	_ = c.Wait()   // that it found no room is what was wanted
	out, err := ns.Command(x.ctx, "conntrack", "--count").Output()
	if err != nil {
		return fmt.Errorf("conntrack --count: %w", err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(out))); err != nil || n < size*95/100 {
		return fmt.Errorf("the table holds %q of %d entries", out, size)
	}
	return nil
}

// drainTable makes room again, all other entries stay.
func (x *trial) drainTable(ns *meshtest.Namespace) error {
	out, err := ns.Command(x.ctx, "conntrack", "--delete", "--orig-dst", fillerServer).CombinedOutput()
	if err != nil {
		return fmt.Errorf("conntrack --delete: %w: %s", err, out[max(0, len(out)-200):])
	}
	return nil
}

// forget empties tables.
func (x *trial) forget(all ...*meshtest.Namespace) error {
	for _, ns := range all {
		if out, err := ns.Command(x.ctx, "conntrack", "--flush").CombinedOutput(); err != nil {
			return fmt.Errorf("conntrack --flush: %w: %s", err, out)
		}
	}
	return nil
}

// forgetOften empties tables so many times, while a client runs.
func (x *trial) forgetOften(times int, all ...*meshtest.Namespace) error {
	for range times {
		if err := x.sleep(300 * time.Millisecond); err != nil {
			return err
		}
		if err := x.forget(all...); err != nil {
			return err
		}
	}
	return nil
}
