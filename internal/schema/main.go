// Command schema prints the JSON schema of the files that people write, made from
// the types that read them, by which editors complete keys:
//
//	go run ./internal/schema lab >lab/lab.schema.json
//	go run ./internal/schema config >config/config.schema.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/lab"
	"github.com/vswitch/vswitch/lab/vm"
)

func main() {
	err := errors.New("say which: lab or config")
	var text []byte
	if len(os.Args) == 2 {
		text, err = generate(".", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
	os.Stdout.Write(text)
}

// files are those that there is a schema for.
var files = map[string]struct {
	of                 any
	title, description string
}{
	"lab":    {&lab.Spec{}, "vswitch lab", "A network of namespaces, routers, virtual machines and switches in one file."},
	"config": {&config.Document{}, "vswitch configuration", "The configuration of a vswitchd: switches, ports, VLANs, options."},
}

// generate returns the schema of a file; root is the top of the repository, whose
// comments become descriptions.
func generate(root, name string) ([]byte, error) {
	file, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("there is no file %q: say lab or config", name)
	}
	g := &generator{}
	g.reflector = &jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		ExpandedStruct:             true,
		RequiredFromJSONSchemaTags: true,
		FieldNameTag:               "yaml",
		Mapper:                     g.special,
	}
	wd, err := os.Getwd()
	if err == nil {
		err = os.Chdir(root)
	}
	if err == nil {
		err = g.reflector.AddGoComments("github.com/vswitch/vswitch", "./lab")
	}
	if err == nil {
		err = g.reflector.AddGoComments("github.com/vswitch/vswitch", "./config")
	}
	if err == nil {
		err = os.Chdir(wd)
	}
	if err != nil {
		return nil, err
	}
	s := g.reflector.Reflect(file.of)
	leaveOpen(s)
	s.Title, s.Description = file.title, file.description
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

type generator struct{ reflector *jsonschema.Reflector }

// special returns the schema of a type that reads a file in its own way; nil:
// that of its fields.
func (g *generator) special(t reflect.Type) *jsonschema.Schema {
	if t.PkgPath() == "github.com/vswitch/vswitch/internal/document" && strings.HasPrefix(t.Name(), "Map[") {
		value, _ := t.Elem().FieldByName("Value")
		return mappingOf(orNothing(g.of(value.Type)))
	}
	switch t {
	case reflect.TypeFor[string]():
		return scalar()
	case reflect.TypeFor[map[string]string]():
		return mappingOf(scalar())
	case reflect.TypeFor[[]string]():
		return listOf(scalar())
	case reflect.TypeFor[config.Word](), reflect.TypeFor[config.Placed]():
		return scalar()
	case reflect.TypeFor[config.Words]():
		return words()
	case reflect.TypeFor[lab.Addresses]():
		return anyOf(words(), mappingOf(words()))
	case reflect.TypeFor[config.VLANs]():
		return anyOf(vlans("1"), listOf(vlans("1")))
	case reflect.TypeFor[config.CVLANs]():
		return anyOf(vlans("0"), listOf(vlans("0")))
	case reflect.TypeFor[lab.Command]():
		return command()
	case reflect.TypeFor[lab.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+(ms|us|s|m|h)`}
	case reflect.TypeFor[lab.Route]():
		return text()
	case reflect.TypeFor[lab.Impair]():
		one := impairment()
		return anyOf(&jsonschema.Schema{Const: "none"}, one, mappingOf(one))
	case reflect.TypeFor[config.Impair]():
		one := impairment()
		return anyOf(&jsonschema.Schema{Const: "none"}, one, object(map[string]*jsonschema.Schema{"egress": one, "ingress": one}))
	case reflect.TypeFor[lab.Service]():
		return anyOf(command(), object(map[string]*jsonschema.Schema{
			"command": command(),
			"restart": enum(lab.RestartNo, lab.RestartOnFailure, lab.RestartAlways),
			"env":     mappingOf(scalar()),
		}))
	case reflect.TypeFor[lab.Endpoint]():
		full := g.reflector.Reflect(&config.PortSettings{})
		full.Version = ""
		full.Properties.Set("node", text())
		full.Properties.Set("port", text())
		full.Properties.Set("mac", text())
		full.Properties.Set("ip", words())
		return anyOf(text(), full)
	}
	return nil
}

// of returns the schema of a type inside another.
func (g *generator) of(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s := g.special(t); s != nil {
		return s
	}
	s := g.reflector.ReflectFromType(t)
	s.Version = ""
	if kind, ok := s.Properties.Get("kind"); ok && t == reflect.TypeFor[lab.Node]() {
		for _, k := range lab.Kinds {
			kind.Enum = append(kind.Enum, k)
		}
	}
	return s
}

func text() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }

// ofTypes is a schema of what is of one of some types, and as another says.
func ofTypes(s *jsonschema.Schema, types ...string) *jsonschema.Schema {
	s.Type, s.Extras = "", map[string]any{"type": types}
	return s
}

// scalar is a word, which may look like a number or a truth.
func scalar() *jsonschema.Schema {
	return ofTypes(&jsonschema.Schema{}, "string", "number", "boolean")
}

// fewWords are what keys may say that take one of a few words.
var fewWords = map[string][]string{
	"bpdu":          {api.BPDUForward, api.BPDUDrop},
	"priority_tags": {"never", "if-nonzero", "always"},
	"expect":        {lab.ExpectOK, lab.ExpectFail},
	"accel":         {vm.KVM, vm.TCG},
}

// leaveOpen has all values of a mapping be left empty, as in "ip:", and those in
// them.
func leaveOpen(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	for _, part := range append(slices.Clone(s.AnyOf), s.Items, s.AdditionalProperties) {
		leaveOpen(part)
	}
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		leaveOpen(p.Value)
		if words := fewWords[p.Key]; words != nil && p.Value.Enum == nil {
			described := p.Value.Description
			p.Value = enum(words...)
			p.Value.Description = described
		}
		p.Value = orNothing(p.Value)
	}
}

// orNothing is what may be left empty.
func orNothing(s *jsonschema.Schema) *jsonschema.Schema {
	types, _ := s.Extras["type"].([]string)
	switch {
	case s.Type == "" && len(types) == 0:
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "null"})
		return s
	case slices.Contains(types, "null"):
		return s
	case s.Enum != nil:
		s.Enum = append(s.Enum, nil)
	}
	if s.Type != "" {
		types = []string{s.Type}
	}
	return ofTypes(s, append(types, "null")...)
}

// vlanID is the number of a VLAN (IEEE 802.1Q, 9.6), or what may stand beside these.
func vlanID(least json.Number) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: least, Maximum: "4094"}
}

// vlans are numbers and ranges of them.
func vlans(least json.Number) *jsonschema.Schema {
	return anyOf(vlanID(least), &jsonschema.Schema{Type: "string", Pattern: `^(all|none|[0-9]+(-[0-9]+)?( *, *[0-9]+(-[0-9]+)?)*)$`})
}

func words() *jsonschema.Schema   { return anyOf(scalar(), listOf(scalar())) }
func command() *jsonschema.Schema { return anyOf(text(), listOf(scalar())) }

func anyOf(all ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: all} }

func listOf(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: s}
}

func mappingOf(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: s}
}

func enum(words ...string) *jsonschema.Schema {
	s := text()
	for _, w := range words {
		s.Enum = append(s.Enum, w)
	}
	return s
}

// object is a mapping of these keys and no others.
func object(keys map[string]*jsonschema.Schema) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		s.Properties.Set(name, keys[name])
	}
	return s
}

func impairment() *jsonschema.Schema {
	keys := make(map[string]*jsonschema.Schema)
	for _, w := range api.ImpairmentWords {
		s := scalar()
		if w.Name == "distribution" {
			s = enum(api.Normal, api.Uniform, api.Pareto)
		}
		if w.Name == "in-order" {
			s = &jsonschema.Schema{Type: "boolean"}
		}
		s.Description = w.Help
		keys[strings.ReplaceAll(w.Name, "-", "_")] = s
	}
	return object(keys)
}
