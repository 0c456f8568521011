package lab

import (
	"reflect"
	"strings"

	"github.com/vswitch/vswitch/internal/document"
)

// inherit gives to the keys that it does not have itself, and from has. Both
// point to structs of one type, whose places stand beside.
func inherit[T any](to *T, at *document.Where, from *T, fromAt *document.Where) {
	inheritFields(reflect.ValueOf(to).Elem(), at, reflect.ValueOf(from).Elem(), fromAt)
	at.Add(fromAt)
}

func inheritFields(to reflect.Value, at *document.Where, from reflect.Value, fromAt *document.Where) {
	for i := range to.NumField() {
		f := to.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous && key == "":
			inheritFields(to.Field(i), at, from.Field(i), fromAt)
		case key == "" || key == "-":
		case !at.Has(key) && fromAt.Has(key):
			to.Field(i).Set(from.Field(i))
		}
	}
}
