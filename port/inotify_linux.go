package port

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// inotifyHead is the fixed part of struct inotify_event that matters here.
type inotifyHead struct {
	wd   int
	mask uint32
}

// inotifyEvent takes the first event off b; see inotify(7).
func inotifyEvent(b []byte) (e inotifyHead, name string, rest []byte) {
	e.wd = int(int32(binary.NativeEndian.Uint32(b)))
	e.mask = binary.NativeEndian.Uint32(b[4:])
	end := min(unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])), len(b))
	return e, unix.ByteSliceToString(b[unix.SizeofInotifyEvent:end]), b[end:]
}
