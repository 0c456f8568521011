package document

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/token"
)

// yamlWord returns a string as YAML: plain where every reader takes it for this
// very string, whether it knows YAML 1.1 or 1.2, and else in quotes. Where it is
// not known, there are quotes, which are never wrong. An octet that is not UTF-8
// becomes U+FFFD, as in JSON.
func yamlWord(s string) string {
	s = string([]rune(s))
	if plainWord(s) {
		return s
	}
	return strconv.Quote(s) // its escapes are also those of YAML 1.2.2, section 5.7
}

// longestPlain is how long a word without quotes may be. As a key, no reader takes
// more than 1024 characters (YAML 1.2.2, section 7.4.2).
const longestPlain = 512

// plainWord reports whether a word needs no quotes. The parser we read with takes << for
// the merge key also at the end of a word.
func plainWord(s string) bool {
	if s == "" || len(s) > longestPlain || reserved[strings.ToLower(s)] || likeNumber.MatchString(s) || strings.Contains(s, "<<") || token.IsNeedQuoted(s) {
		return false
	}
	var before rune
	for i, r := range s {
		switch {
		case unicode.IsLetter(r), r >= '0' && r <= '9', r == '/':
		case i == 0: // an indicator, such as - ? : & * ! < = ~
			return false
		case r == ' ' && (before == ' ' || before == ':'):
			return false
		case !strings.ContainsRune(" "+inside, r) && (r < 0x80 || !unicode.IsPrint(r)):
			return false
		}
		before = r
	}
	return before != ' ' && before != ':'
}

// inside are the marks that mean nothing in a word that began with a letter, a digit
// or a slash. Others are not known to be harmless, such as # after a space.
const inside = `-_./+=%@~:,;!?'"()$^&*<>|`

// reserved are the words that some reader takes for a truth or for nothing
// (yaml.org/type/bool.html and null.html).
var reserved = map[string]bool{
	"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true, "null": true,
}

// likeNumber is what some reader takes for a number or a date, and a little more
// (yaml.org/type/int.html, float.html and timestamp.html): 1_000, 1e3, 0x10, 0o10,
// a MAC such as 52:54:00:12:34:56, which is of base 60 in YAML 1.1, and 2024-01-02.
var likeNumber = regexp.MustCompile(`^(` +
	`[0-9][0-9_,]*(\.[0-9_]*)?([eE][-+]?[0-9]*)?|` +
	`0[xXoObB][0-9a-fA-F_]*|` +
	`[1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9]){1,2}|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|` +
	`[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*` +
	`)$`)
