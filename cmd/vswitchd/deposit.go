package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/handover"

	vswitch "github.com/vswitch/vswitch/switch"
)

// Where the service manager keeps descriptors for the service, a daemon that ends
// leaves those of its ports with it, and what it has learned and counted: the next one
// goes on with them, and carriers stay.

// Names under which they are kept.
const (
	depositState = "vswitchd-state"
	depositPort  = "vswitchd-port-" // and the port's place in the estate
)

// isDeposit tells what we have left from sockets that the service manager listens at,
// which may be named as people like.
func isDeposit(name string) bool {
	place, ofPort := strings.CutPrefix(name, depositPort)
	_, err := strconv.ParseUint(place, 10, 32)
	return name == depositState || ofPort && err == nil
}

// sorted tells what was kept for this daemon from the sockets that it was given.
func sorted(given []handover.Given) (kept map[string]int, sockets []int) {
	kept = make(map[string]int)
	for _, g := range given {
		if !isDeposit(g.Name) {
			sockets = append(sockets, g.FD)
			continue
		}
		if other, twice := kept[g.Name]; twice {
			handover.Close([]int{other}) // kept twice, after an end that was none
		}
		kept[g.Name] = g.FD
	}
	return kept, sockets
}

// deposit is what is kept.
type deposit struct {
	Version string
	Estate  vswitch.Estate
	Rest    vswitch.Rest
	At      time.Duration // by the clock that goes on while the machine sleeps

	fds []int // of the ports, in the estate's order
}

// barrierTime is how long the service manager may take to note what is kept.
const barrierTime = 500 * time.Millisecond

// leave ends the engine and leaves all devices, with their descriptors where those
// are kept.
func (d *running) leave() error {
	if !handover.HasStore() {
		return d.engine.Leave()
	}
	est, err := d.engine.BeginHandover(context.Background())
	if err != nil {
		return errors.Join(err, d.engine.Leave())
	}
	rest, fds := d.engine.Stop()
	if err := keepDeposit(deposit{Version: version, Estate: est, Rest: rest, At: sinceBoot(), fds: fds}); err != nil {
		d.log.Warn("the ports' descriptors are not kept: carriers go down until the next start", "error", err)
	} else {
		d.log.Info("the service manager keeps the ports' descriptors", "ports", len(fds))
	}
	return d.engine.HandedOver()
}

func keepDeposit(dep deposit) error {
	text, err := json.Marshal(dep)
	if err != nil {
		return err
	}
	for i, fd := range dep.fds {
		if err := handover.Deposit(fmt.Sprint(depositPort, i), fd); err != nil {
			return err
		}
	}
	if err := handover.DepositText(depositState, text); err != nil {
		return err
	}
	// What it has not read when we end, it would not take from us.
	return handover.Barrier(barrierTime)
}

// findDeposit returns what was kept for this daemon; nil: nothing, or nothing whole.
func findDeposit(kept map[string]int, log *slog.Logger) *deposit {
	defer func() { // so that the next end keeps the next ones
		for name := range kept {
			_ = handover.Withdraw(name) // nobody may keep anything any more
		}
	}()
	fd, ok := kept[depositState]
	if !ok { // after an end that did not come to that
		handover.Close(slices.Collect(maps.Values(kept)))
		return nil
	}
	var dep deposit
	text, err := handover.ReadText(fd)
	if err == nil {
		err = json.Unmarshal(text, &dep)
	}
	for i := range dep.Estate.Ports {
		fd, ok := kept[fmt.Sprint(depositPort, i)]
		if !ok && err == nil {
			err = fmt.Errorf("that of port %s is missing", dep.Estate.Ports[i].ID)
		}
		dep.fds = append(dep.fds, fd)
	}
	if err != nil {
		log.Warn("what was kept of the ports' descriptors cannot be used", "error", err)
		for name, fd := range kept {
			if strings.HasPrefix(name, depositPort) {
				handover.Close([]int{fd})
			}
		}
		return nil
	}
	return &dep
}

// uptime is that of the engine that goes on: its clock did not stand still.
func (dep *deposit) uptime() time.Duration {
	if dep == nil {
		return 0
	}
	return dep.Estate.Uptime + max(sinceBoot()-dep.At, 0)
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
