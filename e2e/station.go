package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Station sends and receives raw frames on a device, as its stack would: on the
// inner end of a --veth port, on the device of a --tap port, on the far end of
// a --dev port.
type Station struct {
	*inbox
	IfName  string
	Address string // the device's MAC
	file    *os.File
	raw     syscall.RawConn
	ifindex int
}

// Station waits until a device of the namespace carries frames and opens a
// packet socket on it.
func (ns *Namespace) Station(ifname string) *Station {
	ns.h.t.Helper()
	st := ns.h.station(ns.path, ns.Name, ifname)
	ns.closers = append(ns.closers, st.Close)
	return st
}

// Station waits until a device of the host carries frames and opens a packet
// socket on it.
func (h *Host) Station(ifname string) *Station {
	h.t.Helper()
	return h.station("", "host", ifname)
}

func (h *Host) station(netns, place, ifname string) *Station {
	h.t.Helper()
	link := h.awaitLink(netns, place, ifname)
	var fd int
	open := func() (err error) {
		fd, err = openPacket(link.Ifindex)
		return err
	}
	var err error
	if netns == "" {
		err = h.main.do(open)
	} else {
		err = h.main.in(netns, open)
	}
	if err != nil {
		h.t.Fatalf("station on %s in %s: %v", ifname, place, err)
	}
	st := &Station{
		inbox: &inbox{h: h, name: place + "/" + ifname}, IfName: ifname, Address: link.Address,
		file: os.NewFile(uintptr(fd), "packet:"+ifname), ifindex: link.Ifindex,
	}
	if st.raw, err = st.file.SyscallConn(); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		st.receive()
	}()
	h.onClose(func() {
		st.Close()
		<-done
	})
	return st
}

// openPacket opens a socket that gets all frames which arrive on a device,
// with offload metadata, and none that leave by it.
func openPacket(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", err)
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		// As all frames for any station: one that the switch floods is not
		// for the device's own address.
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up packet socket: %w", err)
	}
	return fd, nil
}

// Close ends the station; it no longer keeps the namespace alive.
func (st *Station) Close() { _ = st.file.Close() } // twice does no harm

// receive puts arriving frames into the inbox until the station is closed or
// the device is gone.
func (st *Station) receive() {
	buf := make([]byte, vnetHdrLen+1<<17)
	oob := make([]byte, 256)
	for {
		var n, oobn int
		var opErr error
		err := st.raw.Read(func(fd uintptr) bool {
			n, oobn, _, _, opErr = unix.Recvmsg(int(fd), buf, oob, 0)
			return opErr != unix.EAGAIN
		})
		if err = errors.Join(err, opErr); err != nil {
			// A device that goes down says so once; the socket goes on when
			// it is up again.
			if errors.Is(opErr, unix.ENETDOWN) {
				continue
			}
			st.put(Received{}, err)
			return
		}
		if n < vnetHdrLen {
			continue
		}
		off, data := readOffload(buf), append([]byte(nil), buf[vnetHdrLen:n]...)
		if tpid, tci, ok := tagBeside(oob[:oobn]); ok {
			data = insertTag(data, tpid, tci)
			off = off.shifted(tagLen)
		}
		st.put(Received{Bytes: data, Offload: off}, nil)
	}
}

// shifted returns the metadata for a frame whose header grew by n octets.
func (o Offload) shifted(n uint16) Offload {
	if o.Flags&1 != 0 {
		o.CsumStart += n
	}
	if o.GSOType != 0 {
		o.HdrLen += n
	}
	return o
}

// tagBeside finds the tag that the kernel took off the bytes (struct
// tpacket_auxdata, packet(7)).
func tagBeside(oob []byte) (tpid, tci uint16, ok bool) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, 0, false
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA ||
			len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		// VID 0 is a tag, too, so the TCI alone does not tell.
		if status&unix.TP_STATUS_VLAN_VALID == 0 {
			return 0, 0, false
		}
		tci, tpid = binary.NativeEndian.Uint16(m.Data[16:]), TypeCTag
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = binary.NativeEndian.Uint16(m.Data[18:])
		}
		return tpid, tci, true
	}
	return 0, 0, false
}

// Send puts frames on the wire; tags go in the bytes. It fails the test when
// the kernel refuses one.
func (st *Station) Send(frames ...any) {
	st.h.t.Helper()
	for _, f := range frames {
		if err := st.SendOffload(Offload{}, wireBytes(f)); err != nil {
			st.h.t.Fatalf("%s: send %s: %v", st.name, Describe(wireBytes(f)), err)
		}
	}
}

// TrySend sends a frame that the kernel may refuse.
func (st *Station) TrySend(f any) error { return st.SendOffload(Offload{}, wireBytes(f)) }

// SendOffload sends a frame with offload metadata; the kernel checks both.
func (st *Station) SendOffload(off Offload, frame []byte) error {
	msg := append(off.bytes(), frame...)
	var opErr error
	err := st.raw.Write(func(fd uintptr) bool {
		opErr = unix.Sendto(int(fd), msg, 0, &unix.SockaddrLinklayer{Ifindex: st.ifindex})
		return opErr != unix.EAGAIN
	})
	return errors.Join(err, opErr)
}

// Learn has the switch learn an address: a frame from it to nobody.
func (st *Station) Learn(macs ...string) {
	st.h.t.Helper()
	for _, mac := range macs {
		st.Send(Eth{Dst: MAC(0xffffff), Src: mac, Payload: "learn " + strings.ReplaceAll(mac, ":", "")})
	}
}
