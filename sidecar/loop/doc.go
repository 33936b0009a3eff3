// Package loop is the engine under the proxy: a few event loops, one for each processor the process may use, and
// coroutines on them that read as straight blocking code.
//
// A Loop owns its sockets, timers and buffers. Everything that runs on it runs one at a time, so state that belongs to
// a loop needs no lock. A coroutine gives way only inside the calls that say so (Read, Write, Dial, Accept, Sleep, Wait,
// Park, Yield); between two of them nothing else runs on its loop.
//
// There are two implementations of one contract, and the same tests run on both:
//
//   - epoll (Linux): edge-triggered readiness, coroutines by direct switch (iter.Pull), raw non-blocking system calls. The
//     loop asks its epoll instance without blocking while there is much to do, waits there for some microseconds when waits
//     have been short, and else parks as an ordinary goroutine on the epoll descriptor in Go's own poller: a longer wait of
//     its own would cost a scheduler hand-off at every wake-up. One that does not come to park has another thread wait
//     there for the rest of the process (decision 0020).
//   - net (build tag netloop, the race detector, other systems): a goroutine for each coroutine and a lock that lets one
//     of them run at a time, over package net.
//
// Only Post, Stop, Done, Stats and the methods documented so may be called from outside a loop; all else belongs to code that
// runs on it. A panic in a coroutine ends that coroutine, is reported through Options.OnPanic, and leaves the loop running;
// sockets are closed by whoever deferred their Close.
package loop
