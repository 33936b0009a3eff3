// Package shard answers who owns a key: a Map from keys to the pods of a Service, the same in every sidecar without any
// coordination. It follows from the Service's annotation (Spec) and from who the pods are (Input), never from where they are,
// how healthy they are, or in which order all that became known. Package shardkey makes keys of requests; what happens while
// an owner is down (fail over, wait, refuse) is the proxy's business, which After serves.
//
//	spec, err := ParseSpec("rendezvous")       // once for each change of the annotation
//	m := New(spec, Input{Set: set, Now: now})  // then, for each change of the endpoints,
//	m = m.Next(Input{Set: set, Now: now})      // off the request path; and again at m.HoldUntil()
//
//	o := m.Owner(key)                          // on it: no allocation, no lock
//	for o.Member != nil && !usable(o.Endpoint) {
//		o = along.Next()                       // only for fail over; along := m.From(key, o)
//	}
//
// # Who is a member
//
// Where the StatefulSet is known (always for ordinal, and for any other map with statefulset=NAME), its replicas by
// spec.replicas and spec.ordinals.start are, ready or not, and those of its pods beyond them are not, even while they serve.
// Else the endpoints are, and, for Spec.Hold after they were seen last, pods with a name they come back under (StatefulSets):
// a rolling update then moves no key away and back. A pod of a Deployment never comes back under its identity, so its keys
// move as soon as it is no endpoint any longer; and each pod that takes part in a rollout moves keys once when it comes.
// A sidecar that starts during a hold knows nothing of it: name the StatefulSet where that matters.
//
// # What moves when
//
//   - rendezvous: one of N leaves: its keys, each to the next in its order. One joins: 1 of N+1 keys, all to it.
//   - ordinal: scaling from N to M moves each key whose remainder changes: of integers all but min(N, M) of each lcm(N, M).
//     It happens when spec.replicas changes, not when pods become ready; so at scale-up some keys' owner is down until the
//     new pod is ready, and at scale-down no key waits. Restarts and readiness move nothing.
//   - maglev: as rendezvous, and a few more (0.2 % of all keys at 10 pods, 0.6 % at 100 and at 1,000; a test computes it).
//   - ring: as rendezvous while the number of points of each pod stays the same; else many more.
//   - lookup, prefix-lookup: when people say so. An owner by ordinal is the pod of one StatefulSet (Spec.StatefulSet, Input.OrdinalsOf),
//     whoever else is there.
//   - s2: as rendezvous, by cells.
//
// # Cost
//
// A rendezvous or Maglev map keeps 128 KiB, an ordinal map 2 KiB, a ring of 1,024 points 22 KiB, and each of them 100 to 130
// bytes for a member. A pick takes about 3 ns at 10,000 members (ring 5; S2 120, with the place to read) and allocates nothing. A change of one
// endpoint of 10,000 takes 0.3 ms and makes 0.4 MB of garbage (Maglev 1.4 ms and 0.6 MB). The first map takes a bid of each
// member for each slot: 9 ms at 100 members, 63 ms at 1,000, 0.6 s at 10,000. After takes 10 µs at 10,000 members. All of
// these are benchmarks of this package, on one core of a small virtual machine.
//
// # Limits
//
// This is affinity, not mutual exclusion: two sidecars may know of a change at different moments, and a pod that was told to
// stop may still be working. Who needs exclusion needs a lock.
package shard
