package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/stack"
)

// patience is how long a guest waits for what its own programs bring up: the
// drivers of its cards, and /proc.
const patience = 2 * time.Minute

// configureAndTell makes the guest as the lab wants it, and says so on the
// console.
func (c *Config) configureAndTell() {
	said := Ready(c.Node)
	if err := c.configure(); err != nil {
		said = Failed(c.Node, err)
	}
	out := os.Stdout
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		out = f
	}
	fmt.Fprintln(out, "\r\n"+said)
}

func (c *Config) configure() error {
	if err := c.sysctls(); err != nil {
		return err
	}
	if err := stack.SetUp("lo"); err != nil {
		return err
	}
	if err := c.cards(); err != nil {
		return err
	}
	for _, r := range c.Routes {
		if err := r.Replace(); err != nil {
			return err
		}
	}
	if err := c.hosts(); err != nil {
		return err
	}
	if err := os.Setenv("PATH", path); err != nil { // where commands are found
		return err
	}
	for _, args := range c.Exec {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = c.environment(), os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("the command %q: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

func (c *Config) sysctls() error {
	if len(c.Sysctls) == 0 {
		return nil
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat("/proc/sys"); err == nil || time.Now().After(deadline) {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sysctls)) {
		if err := stack.SetSysctl(name, c.Sysctls[name]); err != nil {
			return err
		}
	}
	return nil
}

// hosts names the other nodes, beside what the guest knows itself.
func (c *Config) hosts() error {
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	own, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile("/etc/hosts", append(own, c.Hosts...), 0o644)
}

// cards waits for the guest's network cards and configures each as it comes.
func (c *Config) cards() error {
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer close(done)
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true})
	if err != nil {
		return fmt.Errorf("watch for network cards: %w", err)
	}
	missing := make(map[string]*Interface)
	for i := range c.Interfaces {
		missing[c.Interfaces[i].MAC] = &c.Interfaces[i]
	}
	late := time.After(patience)
	for len(missing) > 0 {
		select {
		case u, ok := <-updates:
			if !ok {
				return errors.New("watch for network cards: the kernel tells no more")
			}
			mac := u.Attrs().HardwareAddr.String()
			card := missing[mac]
			if card == nil || u.Header.Type != unix.RTM_NEWLINK || u.Type() != "device" {
				continue
			}
			if err := card.configure(u.Link); err != nil {
				return err
			}
			delete(missing, mac)
		case <-late:
			return fmt.Errorf("no network card with the address %s has come up: the guest's kernel needs virtio_net", slices.Sorted(maps.Keys(missing))[0])
		}
	}
	return nil
}

func (i *Interface) configure(link netlink.Link) error {
	if err := i.rename(link); err != nil {
		return err
	}
	if err := stack.SetUp(i.Name); err != nil {
		return err
	}
	for _, a := range i.Addresses {
		if err := stack.AddAddress(i.Name, a); err != nil {
			return err
		}
	}
	for _, v := range i.VLANs {
		if err := stack.AddVLAN(i.Name, v.Name, v.ID); err != nil {
			return err
		}
		for _, a := range v.Addresses {
			if err := stack.AddAddress(v.Name, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// rename gives a card its name. One that has it already, and is another, has to
// step aside.
func (i *Interface) rename(link netlink.Link) error {
	link, err := netlink.LinkByIndex(link.Attrs().Index)
	if err != nil || link.Attrs().Name == i.Name {
		return err
	}
	if other, err := netlink.LinkByName(i.Name); err == nil {
		aside := fmt.Sprintf("was-%s", i.Name)
		if err := setName(other, aside[:min(len(aside), unix.IFNAMSIZ-1)]); err != nil {
			return err
		}
	}
	return setName(link, i.Name)
}

// setName renames an interface, which older kernels do only while it is down.
func setName(link netlink.Link, name string) error {
	err := netlink.LinkSetName(link, name)
	if errors.Is(err, unix.EBUSY) {
		if err = netlink.LinkSetDown(link); err == nil {
			err = netlink.LinkSetName(link, name)
		}
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
	}
	if err != nil {
		return fmt.Errorf("name interface %s %s: %w", link.Attrs().Name, name, err)
	}
	return nil
}
