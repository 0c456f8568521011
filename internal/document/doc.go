// Package document reads YAML that people write into Go values, and says all
// that is wrong with it at once: each problem with its line, its column, the
// excerpt, and what may have been meant.
//
//	d := document.Parse("lab.yaml", text)
//	var spec Spec
//	d.Decode(&spec)
//	if spec.Count < 1 {
//		d.Reject(spec.Of("count"), "a count of %d is not possible: give 1 or more", spec.Count)
//	}
//	if err := d.Err(); err != nil {
//		...
//	}
//
// Structs have tags such as `yaml:"name"`, and embed [Where] to know the places of
// their keys. Scalars are read by the type that wants them: a string may look like
// a number, and a time is what its type says it is.
package document
