package rtnl

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func FuzzEvent(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), []byte("\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x03\x00lo\x00\x00"))
	f.Add(uint16(unix.RTM_DELNSID), []byte("\x00\x00\x00\x00\x08\x00\x01\x00\x05\x00\x00\x00"))
	f.Add(uint16(unix.RTM_DELNSID), []byte("\x00"))
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		event(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data}, Here)
	})
}

func TestEventIsRead(t *testing.T) {
	link := make([]byte, unix.SizeofIfInfomsg)
	link[4] = 7
	link = append(link, 8, 0, byte(unix.IFLA_MTU), 0, 1, 2, 3, 4, 9, 0, byte(unix.IFLA_IFNAME), 0, 'e', 't', 'h', '0', 0)
	got, ok := event(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: link}, 3)
	if want := (Event{unix.RTM_NEWLINK, 3, 7, "eth0"}); got != want || !ok {
		t.Errorf("link: got %+v %v, want %+v", got, ok, want)
	}
	nsid := []byte{0, 0, 0, 0, 8, 0, unix.NETNSA_NSID, 0, 5, 0, 0, 0}
	got, ok = event(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_DELNSID}, Data: nsid}, Here)
	if want := (Event{Kind: unix.RTM_DELNSID, Namespace: Here, Index: 5}); got != want || !ok {
		t.Errorf("namespace: got %+v %v, want %+v", got, ok, want)
	}
	link[0] = unix.AF_BRIDGE
	if got, ok := event(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: link}, Here); ok {
		t.Errorf("a bridge's own matter: got %+v", got)
	}
}
