package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// systemd keeps descriptors for a service between its end and its next start
// (FileDescriptorStoreMax= of systemd.service(5), sd_notify(3),
// sd_listen_fds_with_names(3)).

// HasStore reports whether the service manager keeps descriptors for this process.
// Before version 254 systemd does not say; a unit that has a store may say so itself.
func HasStore() bool {
	n, err := strconv.Atoi(os.Getenv("FDSTORE"))
	return err == nil && n > 0 && os.Getenv("NOTIFY_SOCKET") != ""
}

// Deposit has a descriptor kept under a name, whatever happens at its other end. A
// name has no colon.
func Deposit(name string, fd int) error {
	// FDPOLL=0: a TAP that is removed stays until it is withdrawn.
	return notify("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fd)
}

// Withdraw ends the keeping of what is kept under a name.
func Withdraw(name string) error { return notify("FDSTOREREMOVE=1\nFDNAME=" + name) }

// DepositText has a text kept under a name.
func DepositText(name string, text []byte) error {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return Deposit(name, fd)
}

// Given is a descriptor that the service manager gave this process.
type Given struct {
	Name string // which others may have, too
	FD   int
}

// Deposited returns the descriptors that were kept for this process, and those of
// sockets that the service manager listens at for it, which are the caller's. They
// are told once. What was given no name is called "unknown", as by systemd.
func Deposited() (all []Given) {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, err2 := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name) // not for programs that we start
	}
	if err != nil || err2 != nil || pid != os.Getpid() {
		return nil
	}
	const first = 3 // SD_LISTEN_FDS_START
	for i := range n {
		unix.CloseOnExec(first + i)
		name := "unknown"
		if len(names) == n && names[i] != "" {
			name = names[i]
		}
		all = append(all, Given{name, first + i})
	}
	return all
}

// ReadText returns a text that was kept, and closes its descriptor.
func ReadText(fd int) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "kept")
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxText+1))
	if err == nil && len(text) > maxText {
		err = errors.New("it is too long")
	}
	if err != nil {
		return nil, fmt.Errorf("read what was kept: %w", err)
	}
	return text, nil
}

// Barrier waits until the service manager has read all that it was told.
func Barrier(most time.Duration) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("wait for the service manager: %w", err)
	}
	defer unix.Close(ends[0])
	err := notify("BARRIER=1", ends[1])
	unix.Close(ends[1])
	if err != nil {
		return err
	}
	// It closes its copy when it comes to that.
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(ends[0])}}, int(most.Milliseconds()))
	if err == nil && n == 0 {
		err = fmt.Errorf("it has not read within %v", most)
	}
	if err != nil {
		return fmt.Errorf("wait for the service manager: %w", err)
	}
	return nil
}

// notify tells the service manager something, with descriptors.
func notify(words string, fds ...int) error {
	// Not by package net, which sends no rights by a socket of datagrams.
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer unix.Close(s)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(s, []byte(words), rights, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}, 0); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
