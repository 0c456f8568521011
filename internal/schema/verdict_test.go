package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vswitch/vswitch/lab"
)

// TestSchemaJudgesAsTheProgram gives the schema and what reads the files the same
// files: an editor must not mark what is right, nor pass what is wrong where that
// can be seen without knowing the rest of the file.
func TestSchemaJudgesAsTheProgram(t *testing.T) {
	accepts := judge(t, "lab")
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range append(files, "../../lab/testdata/campus.yaml", "../../lab/testdata/forty.yaml") {
		text, err := os.ReadFile(file)
		if err == nil {
			err = accepts(text)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	const link = "nodes: {h1: {}, s: {kind: switch}}\nlinks: [{endpoints: [h1, s], "
	for _, text := range []string{
		"description: 5\nnodes: {h1: }\ntests:\nlinks:\n",
		"nodes: {h1: {ip: , gateway: , routes: , exec: , services: , sysctls: {net.ipv4.ip_forward: 1}}}",
		link + "access: 10}]",
		link + "trunk: all}]",
		link + "trunk: 10-20, native: 4094}]",
		link + "trunk: [10, 20-30], native: 10, native_tagged: true}]",
		link + "impair: }]",
		link + "impair: {delay: 5ms, loss: 1%}}]",
		link + "storm_limit: [1000pps, bcast=10mbit]}]",
		link + "tunnel: 5, cvlans: [0, 5-9]}]",
		link + "tunnel: 5, cvlans: 0}]",
		link + "tunnel: 5, cvlans: 4095}]",
		link + "trunk: 0}]",
		link + "trunk: [0, 5-9]}]",
		link + "access: 0}]",
		link + "access: 4095}]",
		link + "tunnel: 5000}]",
		link + "trunk: 10, native: -1}]",
		link + "trunk: some}]",
		link + "trunk: 4095}]",
		link + "max_macs: -1}]",
		link + "impair: {delai: 5ms}}]",
		link + "vlan: 5}]",
		"nodes: {h1: {kind: hots}}",
		"nodes: {s: {kind: switch, bpdu: foo}}",
		"nodes: {h1: {ip: 10.0.0.1/24}, s: {kind: switch}}\nlinks: [{endpoints: [h1, s]}]\ntests: [{ping: {from: h1, to: h1, expect: perhaps}}]",
		link + "trunk: 10, priority_tags: keep}]",
		link + "trunk: 10, priority_tags: always}]",
		"nodes: [h1]",
		"nodes: {h1: {ipp: 10.0.0.1/24}}",
	} {
		_, check := lab.Read("f", []byte(text))
		judged := accepts([]byte(text))
		if (check == nil) != (judged == nil) {
			t.Errorf("%s\n  the program says %v\n  the schema says %v", text, check, judged)
		}
	}
}

// TestSchemaOfConfigurations gives the schema of configurations VLANs as vsctl config
// show prints them: 0 stands for frames without a tag in the list of a tunnel, and is no
// VLAN elsewhere.
func TestSchemaOfConfigurations(t *testing.T) {
	accepts := judge(t, "config")
	for _, c := range []struct {
		settings string
		right    bool
	}{
		{"tunnel: 5\n", true},
		{"tunnel: 5\ncvlans: [0, 5-9]\n", true},
		{"tunnel: 5\ncvlans: [0]\n", true},
		{"tunnel: 5\ncvlans: [-1]\n", false},
		{"tunnel: 5\ncvlans: [4095]\n", false},
		{"tunnel: 0\n", false},
		{"trunk: [1, 5-9]\n", true},
		{"trunk: [0, 5-9]\n", false},
		{"trunk: 0\n", false},
	} {
		indented := func(by int) string {
			margin := strings.Repeat(" ", by)
			return margin + strings.ReplaceAll(strings.TrimSpace(c.settings), "\n", "\n"+margin) + "\n"
		}
		for _, text := range []string{
			"version: 1\nprofiles:\n  office:\n" + indented(4) + "switches: {}\n",
			"version: 1\nswitches:\n  sw0:\n    ports:\n      a:\n        netns: a\n" + indented(8),
		} {
			if err := accepts([]byte(text)); (err == nil) != c.right {
				t.Errorf("%s\n  right: %v, and the schema says %v", text, c.right, err)
			}
		}
	}
}

// judge returns what the schema of a kind of files says of one.
func judge(t *testing.T, name string) func(text []byte) error {
	schema := compiled(t, name)
	return func(text []byte) error {
		asJSON, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
}

func compiled(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, err := generate("../..", name)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
