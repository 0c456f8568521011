package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLogThatNobodyReads has nobody wait for it, and says what it has left out.
func TestLogThatNobodyReads(t *testing.T) {
	r, pipe := io.Pipe() // a write waits for a read
	w := newPatientWriter(pipe)
	line := strings.Repeat("x", 99) + "\n"
	const lines = 3 * logRoom / 100
	begin := time.Now()
	for range lines {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("%d lines took %v", lines, took)
	}
	var all strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(&all, r) })
	for n := 0; n < 1000 && !strings.Contains(w.peek(), "nothing"); n++ {
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(w, "last")
	w.Close()
	pipe.Close()
	reading.Wait()
	text := all.String()
	whole := strings.Count(text, line)
	omitted := 0
	for said := range strings.SplitSeq(text, "vswitchd: ") { // more than once, if the writer begins late
		var n int
		fmt.Sscanf(said, "%d lines are left out", &n)
		omitted += n
	}
	if whole+omitted != lines || omitted == 0 || !strings.HasSuffix(text, "last\n") {
		t.Errorf("%d lines, and %d said to be left out, of %d; it ends in %.20q", whole, omitted, lines, text[max(len(text)-20, 0):])
	}

	// One that is never read holds up the end for a moment only.
	_, stuck := io.Pipe()
	w = newPatientWriter(stuck)
	fmt.Fprintln(w, "nobody hears this")
	begin = time.Now()
	w.Close()
	if took := time.Since(begin); took > 10*logTime {
		t.Errorf("the end took %v", took)
	}
}

// peek says "nothing" where nothing waits.
func (w *patientWriter) peek() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len() == 0 {
		return "nothing"
	}
	return ""
}
