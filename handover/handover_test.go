package handover

import (
	"bytes"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pair returns the two ends of a connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]*net.UnixConn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// TestSendReceive sends texts and descriptors, more than go in one message, one after
// the other.
func TestSendReceive(t *testing.T) {
	a, b := pair(t)
	var files []*os.File
	var fds []int
	for i := range 2*most + 5 {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(int64(i)); err != nil { // by which it is known again
			t.Fatal(err)
		}
		files = append(files, f)
		fds = append(fds, int(f.Fd()))
	}
	long := []byte(strings.Repeat("text ", 1<<18))
	sent := make(chan error, 1)
	go func() {
		for _, m := range []struct {
			text []byte
			fds  []int
		}{{long, fds}, {nil, nil}, {[]byte("last"), fds[:1]}} {
			if err := Send(a, m.text, m.fds); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for _, want := range []struct {
		text []byte
		n    int
	}{{long, len(fds)}, {nil, 0}, {[]byte("last"), 1}} {
		text, got, err := Receive(b)
		if err != nil || !bytes.Equal(text, want.text) || len(got) != want.n {
			t.Fatalf("got %d octets, %d descriptors, %v; want %d, %d", len(text), len(got), err, len(want.text), want.n)
		}
		for i, fd := range got {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil || st.Size != int64(i) {
				t.Errorf("descriptor %d is another's: %d, %v", i, st.Size, err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("programs that are started get descriptor %d", i)
			}
		}
		Close(got)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	for _, f := range files {
		f.Close()
	}
}

// TestReceiveWhatIsNone gets what another program may send.
func TestReceiveWhatIsNone(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"nothing":          {},
		"half a head":      {0, 0, 0},
		"too long":         {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"too many files":   {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0},
		"half a text":      {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1},
		"octets, no files": {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7},
	} {
		a, b := pair(t)
		if _, err := a.Write(bytes); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if text, fds, err := Receive(b); err == nil || fds != nil {
			t.Errorf("%s: got %d octets, %d descriptors", name, len(text), len(fds))
		}
	}
}

// TestDeposited has every descriptor told, also of those that have one name, or none.
func TestDeposited(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for _, x := range []struct {
		pid, n string
		names  string // "-": not said
		want   []Given
	}{
		{pid, "2", "vswitchd.socket:vswitchd.socket", []Given{{"vswitchd.socket", 3}, {"vswitchd.socket", 4}}},
		{pid, "1", "vswitchd-state", []Given{{"vswitchd-state", 3}}},
		{pid, "1", "-", []Given{{"unknown", 3}}},
		{pid, "2", "-", []Given{{"unknown", 3}, {"unknown", 4}}},
		{pid, "2", "one", []Given{{"unknown", 3}, {"unknown", 4}}},
		{pid, "2", "one:", []Given{{"one", 3}, {"unknown", 4}}},
		{pid, "0", "", nil},
		{pid, "-1", "", nil},
		{pid, "", "", nil},
		{"1", "1", "vswitchd.socket", nil},
		{"", "1", "vswitchd.socket", nil},
	} {
		t.Setenv("LISTEN_PID", x.pid)
		t.Setenv("LISTEN_FDS", x.n)
		t.Setenv("LISTEN_FDNAMES", x.names)
		if x.names == "-" {
			os.Unsetenv("LISTEN_FDNAMES")
		}
		if got := Deposited(); !slices.Equal(got, x.want) {
			t.Errorf("%+v: got %v", x, got)
		}
		if got := Deposited(); got != nil {
			t.Errorf("%+v: told twice: %v", x, got)
		}
	}
}
