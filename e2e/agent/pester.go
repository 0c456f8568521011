package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// pesters are ways to be a bad client of the daemon's socket. Each has one
// connection, and returns when that is of no more use.
var pesters = map[string]func(net.Conn){
	// Comes, and asks nothing.
	"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	// Begins a request and does not end it.
	"half": func(c net.Conn) {
		fmt.Fprint(c, "POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{\"name\":")
		_, _ = io.Copy(io.Discard, c)
	},
	// Asks as fast as it gets answers.
	"flood": func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			fmt.Fprint(c, question)
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	},
	// Asks on and on, and reads no answer.
	"deaf": func(c net.Conn) {
		all := strings.Repeat(question, 100)
		for {
			if _, err := io.WriteString(c, all); err != nil {
				return
			}
		}
	},
	// Wants to hear of all that happens, and does not listen.
	"deaf to events": func(c net.Conn) {
		fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(time.Hour) // until it is killed
	},
	// Says what no client says.
	"garbage": func(c net.Conn) {
		fmt.Fprint(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", strings.Repeat("\xff", 1<<16), "\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	},
}

const question = "GET /v1/show HTTP/1.1\r\nHost: x\r\n\r\n"

// pester is count bad clients of one kind, until it is ended. One that is
// turned away comes back.
func pester(kind, socket string, count int) error {
	be, ok := pesters[kind]
	if !ok {
		return fmt.Errorf("no way to pester is called %q", kind)
	}
	var first sync.WaitGroup
	first.Add(count)
	for range count {
		go func() {
			connected := sync.OnceFunc(first.Done)
			for {
				c, err := net.Dial("unix", socket)
				if err == nil {
					connected()
					be(c)
					c.Close()
				}
				time.Sleep(10 * time.Millisecond) // not to be a test of fork bombs
			}
		}()
	}
	first.Wait()
	fmt.Println("pestering")
	select {}
}
