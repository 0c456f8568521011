// Package store keeps a document on disk so that it outlives everything: a change
// is there before it is answered, and after a crash at any point the document is as
// it was before the change, or as it is after it.
//
// The document is JSON, and a change replaces parts of it. A folder holds
//
//	config.json   the document as it was once, of generation N
//	journal.N     the changes since, a line each
//	last.json     the document of generation N-1
//	journal.N-1   the changes that lead from there to config.json, and a line that ends it
//	lock          nothing: who has locked it has the folder
//
// So the document can be had even where config.json is damaged. When a journal has
// grown long, the document is written anew: into another file, which takes the old
// one's place when it is whole. Where config.json was damaged, last.json is of an
// earlier generation, and all journals since are there.
//
// What is damaged, or leads on from what is missing, is never mixed with the rest: it
// is kept aside, under another name, before anything is written.
package store
