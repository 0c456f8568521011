// Package control serves the control API: HTTP/1.1 with JSON over a Unix
// socket. It turns the words of package api into those of package vswitch and
// back, and knows nothing of frames.
//
// A daemon uses it like this:
//
//	l, err := control.Listen(path, group)
//	...
//	server := control.New(engine, control.Config{Version: version, Log: log})
//	err = server.Serve(ctx, l) // until ctx ends
//
// Serve removes the socket as it returns, and another daemon may start then.
// So the engine had better be closed first, or while Serve still runs: requests
// that come meanwhile are told that the daemon is closing.
//
// # Clients that misbehave
//
// Whoever may open the socket may do everything to the switch, but nobody may
// keep others from it by accident. So every step of a request has a deadline;
// a process may have [maxPerPeer] connections and [maxWork] requests under way,
// and the daemon [maxConns] connections, where one that does not ask makes room
// for one that does. Of many requests of one process, one at a time stands in
// the queues that others stand in, too: the one for the engine, and the one for
// the processor, of which frames are to have their share (conns.go). An answer
// is gathered first and sent then: a client that does not read holds no lock.
package control
