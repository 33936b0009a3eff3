package main

import (
	"context"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
)

// keys gives calls a key each in their metadata: the numbers below n in turn, again and again. It is safe for concurrent use.
type keys struct {
	name string
	n    int64 // 0: calls have none
	used atomic.Int64
}

// next answers the context of a call, and its key.
func (k *keys) next(ctx context.Context) (context.Context, string) {
	if k.n == 0 {
		return ctx, ""
	}
	key := strconv.FormatInt((k.used.Add(1)-1)%k.n, 10)
	return metadata.AppendToOutgoingContext(ctx, k.name, key), key
}

// owners counts answers by key and pod.
type owners map[string]map[string]int

func (o owners) add(key, pod string) {
	if o[key] == nil {
		o[key] = map[string]int{}
	}
	o[key][pod]++
}
