package frame_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vswitch/vswitch/frame"
)

// sent is a frame in words: a letter for its connection, capital where it is
// no super-frame, and its sequence number. "-" in front: none of TCP.
func sent(t testing.TB, f *frame.Frame, word string) {
	t.Helper()
	var connection rune
	var seq uint32
	tcpless := strings.HasPrefix(word, "-")
	if _, err := fmt.Sscanf(strings.TrimPrefix(word, "-"), "%c%d", &connection, &seq); err != nil {
		t.Fatalf("%q: %v", word, err)
	}
	single := connection < 'a'
	src := layers.TCPPort(1000 + uint16(connection|0x20))
	s := super{gso: frame.GSOTCPv4, layers: func(p piece) []gopacket.SerializableLayer {
		ip := ip4(layers.IPProtocolTCP, p)
		l := &layers.TCP{SrcPort: src, DstPort: 80, Seq: seq, ACK: true}
		l.SetNetworkLayerForChecksum(ip)
		return stack{ip, l}
	}}
	if connection|0x20 >= 'x' {
		s = super{gso: frame.GSOTCPv6, layers: func(p piece) []gopacket.SerializableLayer {
			ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}
			l := &layers.TCP{SrcPort: src, DstPort: 80, Seq: seq, ACK: true}
			l.SetNetworkLayerForChecksum(ip)
			return stack{ip, l}
		}}
	}
	s.receive(t, f, []byte("|"+word), 100, 0)
	off := f.Offload()
	if single {
		off.GSOType, off.GSOSize, off.HdrLen = frame.GSONone, 0, 0
	}
	if tcpless {
		off.CsumOffset = 6 // UDP's
		off.GSOType = frame.GSONone
	}
	f.Reset(buffer(f.Data()), 0, off)
}

func words(frames []frame.Frame) string {
	var all []string
	for i := range frames {
		data := frames[i].Data()
		all = append(all, string(data[slices.IndexFunc(data, func(b byte) bool { return b == '|' })+1:]))
	}
	return strings.Join(all, " ")
}

func TestResequence(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"in order", "a1 a2 a3", "a1 a2 a3"},
		{"one that was overtaken", "a1 a3 a4 a2 a5", "a1 a2 a3 a4 a5"},
		{"several", "a4 a5 a1 a2 a3", "a1 a2 a3 a4 a5"},
		{"backwards", "a5 a4 a3 a2 a1", "a1 a2 a3 a4 a5"},
		{"sent again", "a5 a6 a5 a6", "a5 a5 a6 a6"},
		{"over IPv6", "x2 x1", "x1 x2"},
		{"past the end of the sequence numbers", "a100 a4294967290 a200", "a4294967290 a100 a200"},
		{"the last of a write, which is no super-frame", "a1 a3 A2 a4", "a1 A2 a3 a4"},
		{"of many connections, each by itself", "a2 b9 a1 x7 b8 x6", "a1 a2 b8 b9 x6 x7"},
		{"others keep their order", "a2 -b2 a1 -b1", "a1 a2 -b2 -b1"},
		{"from farther back than it looks", "a2" + strings.Repeat(" -b1", 16) + " a1", "a2" + strings.Repeat(" -b1", 16) + " a1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := strings.Fields(c.in)
			frames := make([]frame.Frame, len(in))
			for i, word := range in {
				sent(t, &frames[i], word)
			}
			if frame.Resequence(frames); words(frames) != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.in, words(frames), c.want)
			}
		})
	}
}

// FuzzResequence holds that whatever frames say of themselves, none is lost,
// and those that no stack just made keep their order.
func FuzzResequence(f *testing.F) {
	f.Add([]byte("a2a1"), uint16(34), uint8(16))
	f.Add([]byte{}, uint16(65535), uint8(16))
	f.Fuzz(func(t *testing.T, data []byte, start uint16, field uint8) {
		data = data[:min(len(data), 61*100)] // a frame has its number in an octet
		var frames []frame.Frame
		for i := 0; i < len(data); i += 61 {
			b := append([]byte{byte(len(frames))}, data[i:]...)
			if len(b) > 100 {
				b = b[:100]
			}
			var fr frame.Frame
			fr.Reset(buffer(b), 0, frame.Offload{Flags: b[len(b)-1] & frame.NeedsCsum, GSOType: frame.GSOTCPv4, CsumStart: start, CsumOffset: uint16(field)})
			frames = append(frames, fr)
		}
		frame.Resequence(frames)
		last := -1
		var all []int
		for i := range frames {
			n := int(frames[i].Data()[0])
			all = append(all, n)
			if frames[i].Offload().Flags == 0 {
				if n < last {
					t.Fatalf("frame %d, which is left alone, comes behind %d", n, last)
				}
				last = n
			}
		}
		slices.SortFunc(all, cmp.Compare)
		for i, n := range all {
			if i != n {
				t.Fatalf("of %d frames these are left: %v", len(frames), all)
			}
		}
	})
}

// BenchmarkResequence measures what a frame of a batch costs: one connection's
// in order, and as many connections as frames.
func BenchmarkResequence(b *testing.B) {
	for _, connections := range []int{1, 64} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			frames := make([]frame.Frame, 64)
			for i := range frames {
				sent(b, &frames[i], fmt.Sprintf("a%d", i))
				binary.BigEndian.PutUint16(frames[i].Data()[34:], uint16(i%connections))
			}
			for range b.N/len(frames) + 1 {
				frame.Resequence(frames)
			}
		})
	}
}
