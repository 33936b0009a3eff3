package main

import (
	"maps"
	"strconv"
	"sync/atomic"
)

// keys are the numbers from 0 to n-1, one after the other and again, in a header of the requests. It is safe for concurrent use.
type keys struct {
	header string
	n      int64
	asked  atomic.Int64
}

func (k *keys) next() string { return strconv.FormatInt((k.asked.Add(1)-1)%k.n, 10) }

// owners are the answers to requests with a key, by key and pod.
type owners map[string]map[string]int

func (o owners) add(key, pod string) {
	if o[key] == nil {
		o[key] = map[string]int{}
	}
	o[key][pod]++
}

func (o owners) clone() owners {
	all := owners{}
	for key, pods := range o {
		all[key] = maps.Clone(pods)
	}
	return all
}
