package document

import (
	"slices"
	"strings"
)

// DidYouMean returns `; did you mean "x"?` with the names that are most like a
// word, and "" where none is.
func DidYouMean(word string, names []string) string {
	best := 1 + len(word)/3
	var near []string
	for _, name := range names {
		switch d := Distance(word, name); {
		case d < best:
			best, near = d, []string{name}
		case d == best && d <= len(word)/2+1:
			near = append(near, name)
		}
	}
	slices.Sort(near)
	if near = slices.Compact(near); len(near) == 0 || len(near) > 3 {
		return "" // more are no help
	}
	return `; did you mean "` + strings.Join(near, `" or "`) + `"?`
}

// Distance is how many characters must be put in, taken away, replaced or
// exchanged with the next to make b of a (Damerau and Levenshtein, restricted).
func Distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
