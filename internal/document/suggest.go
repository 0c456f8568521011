package document

import (
	"slices"
	"strings"
)

// DidYouMean returns `; did you mean "x"?` with the names that are most like a
// word, and "" where none is.
func DidYouMean(word string, names []string) string {
	limit := max(len(word)/3, min(len(word)-1, 1))
	best := (limit + 1) << 16
	var near []string
	for _, name := range names {
		// Of sw1 and sw2, the second is more like sw3.
		d := Distance(word, name)<<16 + apart(word, name)
		switch {
		case d < best:
			best, near = d, []string{name}
		case d == best:
			near = append(near, name)
		}
	}
	slices.Sort(near)
	if near = slices.Compact(near); len(near) == 0 || len(near) > 3 {
		return "" // more are no help
	}
	return `; did you mean "` + strings.Join(near, `" or "`) + `"?`
}

// apart is how far the characters of two words are from each other.
func apart(a, b string) (sum int) {
	if len(a) != len(b) {
		return 1 << 12
	}
	for i := range len(a) {
		sum += max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return min(sum, 1<<12)
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
