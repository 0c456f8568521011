package main

import (
	"os"
	"os/signal"
	"syscall"
)

// watchHangups catches SIGHUP and SIGUSR2 from now on. They are words of people, of
// service managers and packages, that another program is to take over: reload holds one
// then, for as long as nobody takes it. But where the terminal that the daemon was
// started from is gone, SIGHUP comes of that, and end is called: nobody is there any
// more who would end it. Who cannot know of terminals says SIGUSR2.
func watchHangups(end func()) (reload <-chan struct{}) {
	stays := signal.Ignored(syscall.SIGHUP) // nohup(1): also without the terminal
	had := hasTerminal()
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGHUP, syscall.SIGUSR2)
	wanted := make(chan struct{}, 1)
	go func() { // until the process ends
		for sig := range came {
			if sig == syscall.SIGHUP && had && !hasTerminal() {
				had = false // the next one comes of something else
				if !stays {
					end()
				}
				continue
			}
			select {
			case wanted <- struct{}{}:
			default: // once is enough
			}
		}
	}()
	return wanted
}

// hasTerminal reports whether the process has a controlling terminal.
func hasTerminal() bool {
	// A serial line without a carrier is not waited for.
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
