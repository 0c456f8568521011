package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Logs of services and consoles of guests lie in memory (/run): those that have grown
// past longestLog are cut to their last part.
const (
	longestLog = 16 << 20 // octets
	lastPart   = 1 << 20
	trimEvery  = time.Second
)

// trimLogs holds a lab's logs to their length, until ctx ends.
func trimLogs(ctx context.Context, lab string) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		logs, _ := filepath.Glob(filepath.Join(folder(lab), "*.log"))
		for _, log := range logs {
			if info, err := os.Stat(log); err == nil && info.Size() > longestLog {
				_ = trim(log, info.Size()) // the next time, then
			}
		}
	}
}

// trim cuts a log. Who writes to it appends, and goes on behind what is left. What
// comes at this moment is lost.
func trim(log string, size int64) error {
	f, err := os.OpenFile(log, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	last := make([]byte, lastPart)
	if _, err := f.ReadAt(last, size-lastPart); err != nil && err != io.EOF {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "[%d MiB before this are left out]\n%s", (size-lastPart)>>20, last), 0)
	return err
}
