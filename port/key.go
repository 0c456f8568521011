package port

import (
	"fmt"

	"github.com/vswitch/vswitch/internal/netns"
)

// Key names something that a port depends on, as events name it. Keys can be
// compared.
type Key struct {
	kind      keyKind
	name      string // of a device, container or file
	namespace int    // by its number here
	index     int    // of a link
}

type keyKind uint8

const (
	keyLink      keyKind = iota + 1 // a link, by namespace and index
	keyDevice                       // any device of that name in the daemon's namespace
	keyFile                         // the file of a namespace
	keyNamespace                    // a namespace, by its number here
	keyContainer                    // a container, by the word that was given for it
)

func linkKey(namespace, index int) Key {
	return Key{kind: keyLink, namespace: namespace, index: index}
}
func deviceKey(name string) Key     { return Key{kind: keyDevice, name: name} }
func fileKey(path string) Key       { return Key{kind: keyFile, name: path} }
func namespaceKey(number int) Key   { return Key{kind: keyNamespace, namespace: number} }
func containerKey(given string) Key { return Key{kind: keyContainer, name: given} }

// String tells a person what the key names.
func (k Key) String() string {
	switch k.kind {
	case keyLink:
		return fmt.Sprintf("link %d in namespace %d", k.index, k.namespace)
	case keyDevice:
		return "device " + k.name
	case keyFile:
		return "namespace file " + k.name
	case keyNamespace:
		return fmt.Sprintf("namespace %d", k.namespace)
	case keyContainer:
		return "container " + k.name
	}
	return "nothing"
}

// WaitKeys returns what the events name after which it is worth while to open
// a lost port again.
func WaitKeys(cfg Config) []Key {
	switch {
	case cfg.Kind == Dev:
		return []Key{deviceKey(cfg.Device)}
	case cfg.Container != "":
		return []Key{containerKey(cfg.Container)}
	}
	if _, pid := netns.PID(cfg.Netns); cfg.Netns == "" || pid {
		return nil // nothing that comes brings them back
	}
	path, err := netns.Path(cfg.Netns)
	if err != nil {
		return nil
	}
	return []Key{fileKey(path)}
}

// Event says that something may have changed about what its keys name. It says
// so once for many changes; what changed is to be asked for.
type Event struct {
	All  bool // changes were missed: look after everything
	Keys []Key
}
