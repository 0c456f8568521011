package port

import "fmt"

// Key names something that a port depends on, as events name it. Keys can be
// compared.
type Key struct {
	kind      keyKind
	name      string // of a device, container or file
	namespace int    // of a link: its number here, or rtnl.Here
	index     int    // of a link
}

type keyKind uint8

const (
	keyLink      keyKind = iota + 1 // a link, by namespace and index
	keyDevice                       // any device of that name in the daemon's namespace
	keyFile                         // the file of a namespace
	keyContainer                    // a container, by the word that was given for it
)

func linkKey(namespace, index int) Key {
	return Key{kind: keyLink, namespace: namespace, index: index}
}
func deviceKey(name string) Key    { return Key{kind: keyDevice, name: name} }
func fileKey(path string) Key      { return Key{kind: keyFile, name: path} }
func containerKey(name string) Key { return Key{kind: keyContainer, name: name} }

// String tells a person what the key names.
func (k Key) String() string {
	switch k.kind {
	case keyLink:
		return fmt.Sprintf("link %d in namespace %d", k.index, k.namespace)
	case keyDevice:
		return "device " + k.name
	case keyFile:
		return "namespace " + k.name
	case keyContainer:
		return "container " + k.name
	}
	return "nothing"
}
