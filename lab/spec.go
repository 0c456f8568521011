package lab

import (
	_ "embed"

	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/internal/document"
)

// Schema is the JSON schema of a lab's file, by which editors complete keys. It is
// made by go run ./internal/schema.
//
//go:embed lab.schema.json
var Schema []byte

// Spec is a lab as a file has it. Its keys are those of the file; those of ports
// and switches are the flags of vsctl, with underscores.
type Spec struct {
	document.Where `yaml:"-"`

	Name        string             `yaml:"name"`
	Description string             `yaml:"description"`
	Defaults    Defaults           `yaml:"defaults"`
	Groups      document.Map[Node] `yaml:"groups"`
	Nodes       document.Map[Node] `yaml:"nodes"`
	Links       []Link             `yaml:"links"`
	Tests       []Step             `yaml:"tests"`
}

// Defaults are for what a node or a link does not say itself, by kind.
type Defaults struct {
	Host     *Node `yaml:"host"`
	Router   *Node `yaml:"router"`
	Switch   *Node `yaml:"switch"`
	VM       *Node `yaml:"vm"`
	External *Node `yaml:"external"`
	Link     *Link `yaml:"link"`
}

// Kinds of nodes.
const (
	Host     = "host"     // a network namespace
	Router   = "router"   // a host that forwards
	Switch   = "switch"   // of the daemon
	VM       = "vm"       // a virtual machine, by QEMU
	External = "external" // a device of the machine
)

// Node is a node, a group of them, or the defaults of a kind.
type Node struct {
	document.Where `yaml:"-"`

	Kind  string `yaml:"kind"`  // host, a network namespace, if left out
	Group string `yaml:"group"` // whose values hold where the node has none
	Count int    `yaml:"count"` // so many nodes, NAME1 to NAMEn

	IP       Addresses              `yaml:"ip"`
	Gateway  config.Words           `yaml:"gateway"`
	Routes   []Route                `yaml:"routes"`
	Sysctls  map[string]string      `yaml:"sysctls"`
	Env      map[string]string      `yaml:"env"`
	Exec     []Command              `yaml:"exec"` // at the start, one by one
	Services document.Map[*Service] `yaml:"services"`

	Ageing       *config.Word `yaml:"ageing"`
	FDBSize      *int         `yaml:"fdb_size"`
	BPDU         *config.Word `yaml:"bpdu"`
	PassReserved *config.Word `yaml:"pass_reserved"`

	Memory string   `yaml:"memory"`
	CPUs   int      `yaml:"cpus"`
	Image  string   `yaml:"image"` // a disk
	Kernel string   `yaml:"kernel"`
	Initrd string   `yaml:"initrd"`
	Append string   `yaml:"append"` // to the kernel's command line
	Args   []string `yaml:"args"`   // of QEMU

	UserData string `yaml:"user_data"` // a file for cloud-init
	Accel    string `yaml:"accel"`     // kvm or tcg; what works, if left out

	Device string `yaml:"device"`
}

// Service is a program that runs as long as the lab.
type Service struct {
	document.Where `yaml:"-"`

	Command Command           `yaml:"command"`
	Restart string            `yaml:"restart"` // no, on-failure or always; on-failure if left out
	Env     map[string]string `yaml:"env"`
}

// Link is a cable between two nodes, or several alike.
type Link struct {
	document.Where `yaml:"-"`

	Endpoints []Endpoint `yaml:"endpoints"`
	MTU       int        `yaml:"mtu"`
	Impair    Impair     `yaml:"impair"`

	config.PortSettings // of the ends that are ports of switches
}

// Endpoint is one end of a link: NODE:PORT, NODE, or a mapping that says more.
type Endpoint struct {
	document.Where `yaml:"-"`

	Node string       `yaml:"node"`
	Port string       `yaml:"port"` // of a switch; the interface of another node
	MAC  string       `yaml:"mac"`
	IP   config.Words `yaml:"ip"`

	config.PortSettings // in place of the link's
}

// Step is a step of the lab's tests: one of these.
type Step struct {
	document.Where `yaml:"-"`

	Ping   *PingStep    `yaml:"ping"`
	Exec   *ExecStep    `yaml:"exec"`
	Down   config.Words `yaml:"down"` // ends of links
	Up     config.Words `yaml:"up"`
	Impair *ImpairStep  `yaml:"impair"`
}

// What a step may expect.
const (
	ExpectOK   = "ok"
	ExpectFail = "fail"
)

// PingStep has one node ping another, or an address.
type PingStep struct {
	document.Where `yaml:"-"`

	From   string    `yaml:"from"`
	To     string    `yaml:"to"`
	Expect string    `yaml:"expect"` // ok if left out
	Within *Duration `yaml:"within"` // tried again until then
}

// ExecStep runs a command in a node.
type ExecStep struct {
	document.Where `yaml:"-"`

	Node    string    `yaml:"node"`
	Command Command   `yaml:"command"`
	Exit    *int      `yaml:"exit"`   // 0 if left out
	Output  string    `yaml:"output"` // a regular expression that it matches
	Within  *Duration `yaml:"within"`
}

// ImpairStep changes what a link does to frames.
type ImpairStep struct {
	document.Where `yaml:"-"`

	Link   string `yaml:"link"`
	Impair Impair `yaml:"impair"`
}
