package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestSchemaIsOfTheTypes holds that the schema that ships was made of the types as
// they are.
func TestSchemaIsOfTheTypes(t *testing.T) {
	for name := range files {
		want, err := generate("../..", name)
		if err != nil {
			t.Fatal(err)
		}
		file := name + "/" + name + ".schema.json"
		got, err := os.ReadFile("../../" + file)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s (%v) is not what go run ./internal/schema %s prints: run it again", file, err, name)
		}
	}
	if _, err := generate("../..", "other"); err == nil {
		t.Error("there is a schema of another file")
	}
}

// TestSchemaHasTheKeys looks for keys of each part of a file.
func TestSchemaHasTheKeys(t *testing.T) {
	text, err := generate("../..", "lab")
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		Properties           map[string]json.RawMessage
		Items                json.RawMessage
		AdditionalProperties json.RawMessage
		AnyOf                []json.RawMessage
		Description          string
		Enum                 []string
	}
	read := func(raw json.RawMessage) (p part) {
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatalf("%v in %.200s", err, raw)
		}
		return p
	}
	all := read(text).Properties
	nodes := read(read(all["nodes"]).AdditionalProperties).Properties
	links := read(read(all["links"]).Items).Properties
	tests := read(read(all["tests"]).Items).Properties
	for _, key := range []string{"kind", "ip", "gateway", "routes", "exec", "services", "pass_reserved", "memory", "device"} {
		if _, ok := nodes[key]; !ok {
			t.Errorf("nodes have no key %s", key)
		}
	}
	if kind, exec := read(nodes["kind"]), read(nodes["exec"]); len(kind.Enum) != 6 || exec.Description == "" {
		t.Errorf("kind is one of %v, and exec is described as %q", kind.Enum, exec.Description)
	}
	for _, key := range []string{"endpoints", "access", "trunk", "max_macs", "impair", "mtu"} {
		if _, ok := links[key]; !ok {
			t.Errorf("links have no key %s", key)
		}
	}
	if _, ok := tests["ping"]; !ok {
		t.Error("tests have no ping")
	}
}
