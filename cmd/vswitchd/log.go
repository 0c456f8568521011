package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// patientWriter hands what is written on to another writer that may block for good, as
// a pipe does that nobody reads: nobody who logs waits for that. What it has no room
// for is left out, and counted.
type patientWriter struct {
	to io.Writer

	mu      sync.Mutex
	buf     bytes.Buffer
	omitted int
	more    chan struct{} // holds one when there is something to write
	idle    chan struct{} // closed and renewed whenever all is written
	closed  bool
}

// logRoom is how much waits to be written, in octets.
const logRoom = 1 << 20

func newPatientWriter(to io.Writer) *patientWriter {
	w := &patientWriter{to: to, more: make(chan struct{}, 1), idle: make(chan struct{})}
	go w.run() // until Close; or behind a pipe that nobody reads, until the process ends
	return w
}

// Write implements io.Writer. It takes a line, whole or not at all.
func (w *patientWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len()+len(line) > logRoom {
		w.omitted++
		return len(line), nil
	}
	w.buf.Write(line)
	select {
	case w.more <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (w *patientWriter) run() {
	for range w.more {
		for {
			text, ended := w.take()
			if ended {
				return
			}
			if len(text) == 0 {
				break
			}
			_, _ = w.to.Write(text) // there is nobody to tell
		}
	}
}

// take returns what waits.
func (w *patientWriter) take() (text []byte, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.omitted > 0 {
		fmt.Fprintf(&w.buf, "vswitchd: %d lines are left out here, as nobody read\n", w.omitted)
		w.omitted = 0
	}
	text = bytes.Clone(w.buf.Bytes())
	w.buf.Reset()
	if len(text) == 0 {
		close(w.idle)
		w.idle = make(chan struct{})
	}
	return text, len(text) == 0 && w.closed
}

// logTime is how long the end waits for who reads the log.
const logTime = 200 * time.Millisecond

// Close waits until all is written, but not long.
func (w *patientWriter) Close() {
	w.mu.Lock()
	w.closed = true
	idle := w.idle
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
	select {
	case <-idle:
	case <-time.After(logTime):
	}
}
