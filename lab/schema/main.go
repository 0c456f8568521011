// Command schema prints the JSON schema of a lab's file, made from the types that
// read it: go run ./lab/schema >lab/lab.schema.json. Editors complete keys by it.
package main

import (
	"encoding/json"
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
)

func main() {
	text, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
	os.Stdout.Write(text)
}

// generate returns the schema; root is the top of the repository, whose comments
// become descriptions.
func generate(root string) ([]byte, error) {
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
	s := g.reflector.Reflect(&lab.Spec{})
	s.Title = "vswitch lab"
	s.Description = "A network of namespaces, routers and switches in one file."
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

type generator struct{ reflector *jsonschema.Reflector }

// special returns the schema of a type that reads a file in its own way; nil:
// that of its fields.
func (g *generator) special(t reflect.Type) *jsonschema.Schema {
	if t.PkgPath() == "github.com/vswitch/vswitch/internal/document" && strings.HasPrefix(t.Name(), "Map[") {
		value, _ := t.Elem().FieldByName("Value")
		return mappingOf(g.of(value.Type))
	}
	switch t {
	case reflect.TypeFor[config.Word](), reflect.TypeFor[config.Placed]():
		return scalar()
	case reflect.TypeFor[config.Words]():
		return words()
	case reflect.TypeFor[lab.Addresses]():
		return anyOf(words(), mappingOf(words()))
	case reflect.TypeFor[config.VLANs]():
		return anyOf(scalar(), listOf(scalar()))
	case reflect.TypeFor[lab.Command]():
		return command()
	case reflect.TypeFor[lab.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+(ms|us|s|m|h)`}
	case reflect.TypeFor[lab.Route]():
		return text()
	case reflect.TypeFor[lab.Impair]():
		one := impairment()
		return anyOf(&jsonschema.Schema{Const: "none"}, one, mappingOf(one))
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
	if kind, ok := s.Properties.Get("kind"); ok {
		for _, k := range lab.Kinds {
			kind.Enum = append(kind.Enum, k)
		}
	}
	return s
}

func text() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }

// scalar is a word, which may look like a number or a truth.
func scalar() *jsonschema.Schema {
	return anyOf(text(), &jsonschema.Schema{Type: "number"}, &jsonschema.Schema{Type: "boolean"})
}

func words() *jsonschema.Schema   { return anyOf(text(), listOf(text())) }
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
