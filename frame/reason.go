package frame

// Reason says why a frame, or one copy of it, was dropped. [Pass] is none.
type Reason uint8

// Reasons at ingress concern the frame, those at egress one copy of it.
// [PortDown], [CVLANNotAllowed] and those of impaired lines occur at both.
const (
	Pass Reason = iota

	PortDown        // the port is not up
	Runt            // shorter than an Ethernet header
	BadOffload      // the virtio-net header contradicts the frame
	Truncated       // a tag, or the type behind it, is cut off
	BadTPID         // the outermost tag is of the other kind
	BadVID          // VID 4095
	TaggedOnAccess  // a tag on an access port
	UntaggedOnTrunk // no tag on a trunk without native VLAN
	VLANNotAllowed  // a VID that is not in the trunk's list
	CVLANNotAllowed // a customer VID that is not in the tunnel's list
	SrcMulticast    // a group address as source
	SrcZero         // the all-zero address as source
	Reserved        // a group address that bridges keep to themselves
	FDBFilter       // a filter entry for source or destination
	SamePort        // the destination lives behind the port the frame came from
	NoDestination   // no egress port was left to name
	PatchLoop       // too many crossings of patches
	Storm           // more to many ports than the port's limit lets in
	LoopProbe       // the switch's own, come back to it
	RxFull          // the kernel dropped it because we did not read in time

	NotMember        // the egress port does not carry the VLAN
	InnerTagOnAccess // stripping the tag would expose the one inside
	Isolated         // from an isolated port to an isolated port
	TooBig           // longer than the egress can carry
	TxFull           // the egress queue is full
	TxError          // any other refusal by the kernel

	ImpairLoss  // lost on an impaired line, by chance
	ImpairQueue // the queue of an impaired line is full

	NumReasons = iota
)

var reasonNames = [NumReasons]string{
	Pass:             "",
	PortDown:         "port-down",
	Runt:             "runt",
	BadOffload:       "bad-offload",
	Truncated:        "truncated",
	BadTPID:          "bad-tpid",
	BadVID:           "bad-vid",
	TaggedOnAccess:   "tagged-on-access",
	UntaggedOnTrunk:  "untagged-on-trunk",
	VLANNotAllowed:   "vlan-not-allowed",
	CVLANNotAllowed:  "cvlan-not-allowed",
	SrcMulticast:     "src-multicast",
	SrcZero:          "src-zero",
	Reserved:         "reserved",
	FDBFilter:        "fdb-filter",
	SamePort:         "same-port",
	NoDestination:    "no-destination",
	PatchLoop:        "patch-loop",
	Storm:            "storm",
	LoopProbe:        "loop-probe",
	RxFull:           "rx-full",
	NotMember:        "not-member",
	InnerTagOnAccess: "inner-tag-on-access",
	Isolated:         "isolated",
	TooBig:           "too-big",
	TxFull:           "tx-full",
	TxError:          "tx-error",
	ImpairLoss:       "impair-loss",
	ImpairQueue:      "impair-queue",
}

// String returns the name under which the drop is counted.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}
