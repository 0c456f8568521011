package lab

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/vswitch/vswitch/api"
)

// longestIfName is IFNAMSIZ of linux/if.h, less one.
const longestIfName = 15

// kernelName returns the name that the kernel gets for an interface: the one
// given where it fits, else a hash.
func kernelName(name string) string {
	if len(name) <= longestIfName {
		return name
	}
	return hashed("if", name)
}

// hashed returns a name of 12 characters that the kernel takes.
func hashed(prefix string, words ...string) string {
	return prefix + hex.EncodeToString(digest(words...))[:12-len(prefix)]
}

func digest(words ...string) []byte {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// refused is an error because of how things stand.
func refused(format string, args ...any) error { return api.Errorf(api.Refused, format, args...) }
