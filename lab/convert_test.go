package lab

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestImportContainerlab(t *testing.T) {
	text, err := os.ReadFile("testdata/containerlab/clos.clab.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, notes, err := ImportContainerlab("clos.clab.yml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := `name: clos
nodes:
  c1: {env: {ROLE: "client"}, ip: {eth1: 192.168.1.1/24}, exec: ["ip route add 10.0.0.0/8 via 192.168.1.2"]}
  c2: {ip: {eth1: [192.168.1.2/24, "fd00::2/64"]}}
  br1: {kind: switch}
links:
  - endpoints: ["c1:eth1", "br1:p1"]
  - endpoints: ["c2:eth1", "br1:p2"]
    mtu: 1400
  - endpoints: ["c1:eth2", "c2:eth2"]
`
	if out != want || !reflect.DeepEqual(notes, []string{"binds", "image", "mgmt"}) {
		t.Errorf("got, leaving out %v:\n%s\nwant:\n%s", notes, out, want)
	}
	if _, err := Read("clos.yaml", []byte(out)); err != nil {
		t.Errorf("what was imported is wrong:\n%v", err)
	}
	out, notes, err = ImportContainerlab("f", []byte(`
prefix: ""
topology:
  defaults: {kind: linux, env: {A: 1, B: 2}, sysctls: {net.ipv4.ip_forward: 1}}
  nodes: {a: {env: {B: 3}}, b: {}}
  links:
    - endpoints: [{node: a, interface: eth1}, {node: b, interface: eth1}]
      labels: {x: y}
    - endpoints: ["a:eth2", "host:a-eth2"]
`))
	want = `nodes:
  a: {env: {A: "1", B: "3"}, sysctls: {net.ipv4.ip_forward: "1"}}
  b: {env: {A: "1", B: "2"}, sysctls: {net.ipv4.ip_forward: "1"}}
links:
  - endpoints: ["a:eth1", "b:eth1"]
`
	if err != nil || out != want || !reflect.DeepEqual(notes, []string{"labels", "links to host", "prefix"}) {
		t.Errorf("got, leaving out %v, %v:\n%s\nwant:\n%s", notes, err, out, want)
	}
	out, notes, err = ImportContainerlab("f", []byte(`
name: my.lab
topology:
  nodes:
    a: {kind: linux, exec: [ip addr add 10.0.0.9 dev eth1]}
    b.c: {kind: linux}
  links:
    - type: veth
      endpoints: [{node: a, interface: eth1, mac: "02:00:00:00:00:01", ipv4: 10.0.0.1/24}, {node: b.c, interface: eth1}]
    - {endpoints: ["a:eth2", "b.c:eth2"], ipv4: [10.1.0.1/24, 10.1.0.2/24], ipv6: ["fd00::1/64"]}
    - {type: mgmt-net, endpoint: {node: a, interface: eth3}, host-interface: a-eth3}
    - {type: macvlan, endpoint: {node: a, interface: eth4}, host-interface: enp0s3, mode: private}
    - {type: vxlan, endpoint: {node: a, interface: eth5}, remote: 10.0.0.18, vni: 123, udp-port: 4789}
    - {type: dummy, endpoint: {node: a, interface: eth6}}
    - endpoints: ["dummy:x", "a:eth7"]
`))
	want = `name: my-lab # my.lab; dots part a lab from its switches
nodes:
  a: {exec: ["ip addr add 10.0.0.9 dev eth1"]}
  b.c: {}
links:
  - endpoints: [{node: a, port: eth1, mac: "02:00:00:00:00:01", ip: 10.0.0.1/24}, "b.c:eth1"]
  - endpoints: [{node: a, port: eth2, ip: [10.1.0.1/24, "fd00::1/64"]}, {node: b.c, port: eth2, ip: 10.1.0.2/24}]
`
	if err != nil || out != want || !reflect.DeepEqual(notes, []string{"links to dummy", "links to macvlan", "links to mgmt-net", "links to vxlan"}) {
		t.Errorf("got, leaving out %v, %v:\n%s\nwant:\n%s", notes, err, out, want)
	}
	if _, err := Read("f", []byte(out)); err != nil {
		t.Errorf("what was imported is wrong:\n%v", err)
	}
	for text, want := range map[string]string{
		"name: x\ntopology: {nodes: {a: {kind: ceos}}}": `a node of kind "ceos" cannot be had`,
		"nodes: {a: {}}": "unknown key",
		"name: x":        "is it a containerlab file?",
		"topology: {nodes: {a: {kind: linux}}, links: [{type: veth, endpoint: {node: a}}]}": "cannot be had",
		"topology: {nodes: {a: {kind: linux}}, links: [{endpoints: [a:eth1, b:eth1]}]}":     `no node "b" is`,
	} {
		if _, _, err := ImportContainerlab("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestGraphs draws a file in each way that is text, and holds that a drawing has
// each node and each link.
func TestGraphs(t *testing.T) {
	text, err := os.ReadFile("testdata/campus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	topology, err := Read("campus.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	g := topology.Graph()
	if got, want := g.Tree(), `campus
├── sw1 (switch)
│   ├── p1 ── h1:eth0 10.0.0.1/24  access 10
│   └── up ── sw2:up               trunk all, delay 20ms jitter 2ms loss 0.1% rate 100mbit
└── sw2 (switch)
    ├── p1 ── h2:eth0 10.0.0.2/24        access 10
    ├── p2 ── vm1:eth0 10.0.0.3/24 (vm)  trunk 10,20
    └── up ── sw1:up                     trunk all, delay 20ms jitter 2ms loss 0.1% rate 100mbit
`; got != want {
		t.Errorf("the tree is\n%s\nwant\n%s", got, want)
	}
	for name, drawing := range map[string]string{"dot": g.Dot(), "mermaid": g.Mermaid(), "svg": g.SVG(), "html": g.HTML()} {
		for _, want := range []string{"campus", "h1", "vm1", "sw2", "10.0.0.3/24", "delay 20ms", "trunk all", "access 10", "eth0"} {
			if want == "campus" && name == "mermaid" {
				continue
			}
			if !strings.Contains(drawing, want) {
				t.Errorf("the drawing as %s lacks %q:\n%s", name, want, drawing)
			}
		}
		if strings.Contains(drawing, "NaN") || strings.Contains(drawing, "Inf") {
			t.Errorf("the drawing as %s has places that are no numbers", name)
		}
	}
	if strings.Contains(g.HTML(), "http://") && !strings.Contains(g.HTML(), `xmlns="http://www.w3.org/2000/svg"`) || strings.Contains(g.HTML(), "https://") {
		t.Error("the page needs a network")
	}
}

// TestLayoutKeepsNodesApart draws layouts of many shapes, without two nodes on one
// another.
func TestLayoutKeepsNodesApart(t *testing.T) {
	for name, text := range map[string]string{
		"one":     "nodes: {h1: {}}",
		"two":     "nodes: {h1: {}, h2: {}}\nlinks: [{endpoints: [h1, h2]}]",
		"apart":   "nodes: {h1: {}, h2: {}, h3: {}}",
		"star":    "nodes: {s: {kind: switch}, \"h[1-30]\": {}}\nlinks: [{endpoints: [\"h*\", s]}]",
		"ring":    "nodes: {\"r[1-6]\": {kind: router}}\nlinks: [{endpoints: [r1, r2]}, {endpoints: [r2, r3]}, {endpoints: [r3, r4]}, {endpoints: [r4, r5]}, {endpoints: [r5, r6]}, {endpoints: [r6, r1]}]",
		"clos":    "nodes: {\"s[1-2]\": {kind: switch}, \"l[1-4]\": {kind: switch}, \"h[1-8]\": {}}\nlinks: [{endpoints: [\"l[1-4]\", s1]}, {endpoints: [\"l[1-4]\", s2]}, {endpoints: [\"h[1-4]\", l1]}, {endpoints: [\"h[5-8]\", l3]}]",
		"hundred": "nodes: {\"s[1-4]\": {kind: switch}, \"h[1-100]\": {}}\nlinks: [{endpoints: [\"h[1-25]\", s1]}, {endpoints: [\"h[26-50]\", s2]}, {endpoints: [\"h[51-75]\", s3]}, {endpoints: [\"h[76-100]\", s4]}, {endpoints: [s1, \"s[2-4]\"]}]",
	} {
		topology, err := Read("x.yaml", []byte("name: x\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		g := topology.Graph()
		places := g.layout()
		if len(places) != len(g.Nodes) {
			t.Errorf("%s: %d nodes have a place, want %d", name, len(places), len(g.Nodes))
		}
		for i, a := range g.Nodes {
			for _, b := range g.Nodes[i+1:] {
				if d := places[a.Name].minus(places[b.Name]).length(); d < 55 {
					t.Errorf("%s: %s and %s are %.0f pixels apart", name, a.Name, b.Name, d)
				}
			}
		}
		if again := topology.Graph().SVG(); again != g.SVG() {
			t.Errorf("%s: the same lab is drawn twice otherwise", name)
		}
	}
}

// TestExportHasTheTests holds that what is exported means the same, tests as well.
func TestExportHasTheTests(t *testing.T) {
	const text = `
nodes: {h1: {ip: 10.0.0.1/24}, h2: {ip: 10.0.0.2/24}}
links: [{endpoints: ["h1:eth0", "h2:eth0"]}]
tests:
  - ping: {from: h1, to: h2, expect: fail, within: 2s}
  - exec: {node: h1, command: "echo \"a: b\" | grep {", exit: 1, output: "a: [b]"}
  - exec: {node: h1, command: [echo, "1"], within: 1m30s}
  - down: [h1:eth0, "h2:eth0"]
  - up: h1:eth0
  - impair: {link: h1:eth0, impair: {delay: 5ms, loss: 1%, in_order: true}}
  - impair: {link: h1:eth0, impair: {"h2:eth0": {rate: 1mbit}, "h1:eth0": {duplicate: 2%}}}
  - impair: {link: h1:eth0, impair: none}
`
	steps := func(name, text string) (all []string) {
		topology, err := Read(name, []byte(text))
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		for i := range topology.Tests {
			all = append(all, topology.Tests[i].yaml())
		}
		return all
	}
	topology, err := Read("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &Overview{Links: []LinkOverview{{}}}
	if got, want := steps("exported.yaml", Export(topology, o)), steps("x.yaml", text); !reflect.DeepEqual(got, want) || len(got) != 8 {
		t.Errorf("exported are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
