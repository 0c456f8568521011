package document

import (
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// tokenize divides a text into the words and marks of YAML, as far as a parser that
// recurses can follow: the problem says what it could not.
func tokenize(text string) (token.Tokens, *Problem) {
	var s scanner.Scanner
	s.Init(text)
	var tokens token.Tokens
	var n nesting
	for {
		next, err := s.Scan()
		for _, t := range next {
			if len(tokens) == maxWords {
				return nil, &Problem{Place: placeOf(t), Message: fmt.Sprintf("the file has more than %d words and marks", maxWords)}
			}
			tokens.Add(t)
			if n.add(t) > 4*maxDepth {
				return nil, &Problem{Place: placeOf(t), Message: fmt.Sprintf("nested deeper than %d", maxDepth)}
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), tokens.InvalidToken() != nil: // which the parser explains
			return tokens, nil
		default: // nothing may be taken for the whole that is not
			return nil, &Problem{Message: err.Error()}
		}
	}
}

// nesting estimates from its tokens how deep a document is nested: half of it at the
// least, and twice at the most.
type nesting struct {
	open       []int // the columns where collections begin that are open; 0 for one in brackets
	brackets   int   // of open
	properties int   // tags and anchors since the last word: each holds what follows
	last       *token.Token
}

// add returns how deep the token is.
func (n *nesting) add(t *token.Token) int {
	before := n.last
	n.last = t
	switch t.Type {
	case token.CommentType:
		n.last = before
		return 0
	case token.AnchorType, token.TagType:
		n.properties++
		return len(n.open) + n.properties
	}
	if before != nil && before.Type == token.AnchorType { // its name
		return 0
	}
	n.properties = 0
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		n.open = append(n.open, 0)
		n.brackets++
	case token.SequenceEndType, token.MappingEndType, token.CollectEntryType:
		if n.brackets == 0 {
			return 0 // the parser will say so
		}
		last := len(n.open) - 1
		for n.open[last] != 0 {
			last--
		}
		if t.Type == token.CollectEntryType {
			last++ // what was open in brackets ends with a comma, and they do not
		} else {
			n.brackets--
		}
		n.open = n.open[:last]
	case token.MappingValueType: // it began with its key
		if before == nil {
			before = t
		}
		n.begin(before.Position.Column)
	case token.SequenceEntryType, token.MappingKeyType:
		n.begin(t.Position.Column)
	case token.DocumentHeaderType, token.DocumentEndType:
		*n = nesting{}
	}
	return len(n.open)
}

// begin notes that a collection begins in a column, or goes on: there, those farther
// right have ended. In brackets columns mean nothing.
func (n *nesting) begin(column int) {
	if n.brackets == 0 {
		for len(n.open) > 0 && n.open[len(n.open)-1] >= column {
			n.open = n.open[:len(n.open)-1]
		}
	}
	n.open = append(n.open, column)
}
