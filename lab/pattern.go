package lab

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// maxNodes is how many nodes a lab has at the most, and links.
const maxNodes = 10_000

// instance is one of the names that a pattern stands for, and its number.
type instance struct{ name, number string }

// expand returns the names that a pattern stands for: "h[1-3,7]" is h1, h2, h3
// and h7, and "h[01-10]" has names of one length.
func expand(pattern string) ([]instance, error) {
	before, rest, ok := strings.Cut(pattern, "[")
	if !ok {
		return []instance{{name: pattern}}, nil
	}
	list, after, ok := strings.Cut(rest, "]")
	if !ok || strings.ContainsAny(after, "[]") {
		return nil, fmt.Errorf("%q: write one range in brackets, such as h[1-40]", pattern)
	}
	var all []instance
	for _, word := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 31)
		to, err2 := strconv.ParseUint(last, 10, 31)
		if err1 != nil || err2 != nil || to < from {
			return nil, fmt.Errorf("%q: %q is no range: write such as h[1-40] or h[1,3,5-9]", pattern, word)
		}
		if to-from >= maxNodes || len(all) >= maxNodes {
			return nil, fmt.Errorf("%q stands for more than %d names", pattern, maxNodes)
		}
		for i := from; i <= to; i++ {
			number := strconv.FormatUint(i, 10)
			if strings.HasPrefix(first, "0") {
				number = fmt.Sprintf("%0*d", len(first), i)
			}
			all = append(all, instance{before + number + after, number})
		}
	}
	return all, nil
}

// fill replaces {i} by an instance's number, {n} by the same without zeros in front
// and {name} by its name, in every text of what v points to. Lists and mappings are copied, as others refer to them.
func (in instance) fill(v any) {
	plain := strings.TrimLeft(in.number, "0")
	if plain == "" && in.number != "" {
		plain = "0"
	}
	r := strings.NewReplacer("{i}", in.number, "{n}", plain, "{name}", in.name)
	fillValue(reflect.ValueOf(v).Elem(), r)
}

func fillValue(v reflect.Value, r *strings.Replacer) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), "{") {
			v.SetString(r.Replace(v.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillValue(v.Field(i), r)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			copied := reflect.New(v.Type().Elem())
			copied.Elem().Set(v.Elem())
			v.Set(copied)
			fillValue(copied.Elem(), r)
		}
	case reflect.Slice:
		if !v.IsNil() {
			copied := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(copied, v)
			v.Set(copied)
			for i := range v.Len() {
				fillValue(v.Index(i), r)
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			copied := reflect.MakeMap(v.Type())
			for it := v.MapRange(); it.Next(); {
				value := reflect.New(v.Type().Elem()).Elem()
				value.Set(it.Value())
				fillValue(value, r)
				copied.SetMapIndex(it.Key(), value)
			}
			v.Set(copied)
		}
	}
}
