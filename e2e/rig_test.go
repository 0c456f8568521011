package e2e

import "testing"

func TestRigSeesAllThatAFrameCauses(t *testing.T) {
	h := NewHost(t)
	r := h.Rig()
	r.Veth("access", "--access", "10")
	r.Veth("trunk", "--trunk", "10,20")
	r.Tap("native", "--trunk", "10,20", "--native", "20")
	r.VM("tunnel", "--tunnel", "10", "--cvlans", "7")
	r.Veth("other", "--access", "30")
	hello := Eth{Payload: "hello"}

	r.Check(Exchange{
		From: "access", Send: Frames(hello, hello.With(C(10)), hello.With(P(3))),
		Arrive: Arrive{
			"trunk":  Frames(hello.With(C(10)), hello.With(C(10).Prio(3))),
			"native": Frames(hello.With(C(10)), hello.With(C(10).Prio(3))),
		},
		Drops: Drops{"access/tagged-on-access": 1, "tunnel/cvlan-not-allowed": 2},
	})
	r.Check(Exchange{
		From: "trunk", Send: Frames(hello.With(C(20)), hello, hello.With(C(10), C(7))),
		Arrive: Arrive{
			"native": Frames(hello, hello.With(C(10), C(7))),
			"tunnel": Frames(hello.With(C(7))),
		},
		Drops: Drops{"trunk/untagged-on-trunk": 1, "access/inner-tag-on-access": 1},
	})
}
