package lab

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/vswitch/vswitch/lab/vm"
)

// program is what a lab's keeper runs: a service, or a virtual machine.
type program struct {
	*Member
	lab     *Topology
	name    string
	service *Service    // nil: none
	machine *vm.Machine // nil: none
}

// machineName is what the program of a node is called that is a virtual machine.
const machineName = "qemu"

func (p *program) String() string { return p.Member.Name + "/" + p.name }

// programs returns all of a lab.
func (t *Topology) programs() (all []*program) {
	for _, m := range t.Members {
		if m.Kind == VM {
			all = append(all, &program{Member: m, lab: t, name: machineName, machine: t.machine(m)})
		}
		for _, s := range m.Services {
			all = append(all, &program{Member: m, lab: t, name: s.Key, service: s.Value})
		}
	}
	return all
}

// alike reports whether two programs are run in the same way. What a guest is told
// of others it is told at its start, and never again.
func (p *program) alike(o *program) bool {
	if p.machine != nil && o.machine != nil {
		a, b := *p.machine, *o.machine
		a.Guest.Hosts, b.Guest.Hosts = "", ""
		return reflect.DeepEqual(a, b)
	}
	return p.service != nil && o.service != nil &&
		slices.Equal(p.service.Command.Args, o.service.Command.Args) && p.restart() == o.restart() &&
		maps.Equal(p.service.Env, o.service.Env) && maps.Equal(p.Member.Env, o.Member.Env)
}

// restart says when the program is started again.
func (p *program) restart() string {
	if p.service == nil || p.service.Restart == "" {
		return RestartOnFailure
	}
	return p.service.Restart
}

// again reports whether a program that has ended so is started again.
func (p *program) again(code int) bool {
	return p.restart() == RestartAlways || p.restart() == RestartOnFailure && code != 0
}

// log returns the file of the program's output; of a virtual machine, what its
// console has said.
func (p *program) log(lab string) string {
	if p.machine != nil {
		return vm.FilesIn(folder(lab), p.Member.Name).ConsoleLog
	}
	return filepath.Join(folder(lab), p.Member.Name+"."+p.name+".log")
}

// ServiceStatus is a service, or a virtual machine, as it stands.
type ServiceStatus struct {
	Node     string    `json:"node"`
	Name     string    `json:"name"`
	State    string    `json:"state"` // one of those below
	PID      int       `json:"pid,omitempty"`
	Exit     int       `json:"exit"` // of the last time that it ended
	Reason   string    `json:"reason,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	Log      string    `json:"log"`
}

// States of a service, and of a virtual machine.
const (
	Boots  = "boots" // a virtual machine whose guest is not ready
	Runs   = "runs"
	Waits  = "waits" // to be started again
	Ended  = "ended"
	Failed = "failed" // and is not started again
)

func (s ServiceStatus) String() string { return s.Node + "/" + s.Name }

func statusPath(lab string) string { return filepath.Join(folder(lab), "services.json") }

// Services returns a lab's services and virtual machines as they stand.
func Services(lab string) (all []ServiceStatus, err error) {
	text, err := os.ReadFile(statusPath(lab))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &all); err != nil || keeperAlive(lab) {
		return all, err
	}
	for i := range all {
		all[i].Reason = "nobody keeps it any more: vsctl lab apply starts the lab's keeper again"
	}
	return all, nil
}
