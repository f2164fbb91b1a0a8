// Package regex runs PostgreSQL's regular expressions.
//
// The idea: a pattern (an ARE) is translated, see parse.go, and run by Go's engine, whose time is linear; the few
// constructs that it lacks (back-references, look-around, word starts) go to a backtracking engine with a time limit.
//
// PostgreSQL matches the longest (or, when the first quantifier is lazy, the shortest) text from the leftmost
// start, and only then divides it among the groups. So a pattern with lazy quantifiers has two programs: bounds
// finds the text, inner divides it.
//
// A Regexp belongs to one goroutine at a time. Errors carry PostgreSQL's codes: 2201B for a bad pattern, 22023 for
// a bad flag. LIKE and SIMILAR TO are not here (internal/expr translates them). Start at Compile.
package regex

import (
	"bytes"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/millrace/millrace/internal/sqlerr"
)

// timeout bounds one match of the backtracking engine.
const timeout = 2 * time.Second

// Regexp is a compiled pattern. It is used by one goroutine at a time.
type Regexp struct {
	bounds *regexp.Regexp
	inner  *regexp.Regexp // nil: bounds divides as well
	must   *literal       // of bounds; nil: none is known
	slow   *regexp2.Regexp
	// context: the pattern looks at what lies before the match (^, \A, \y), so that it cannot be run on a suffix.
	context bool
	groups  int
}

// Flags are the options of one use of a pattern.
type Flags struct {
	IgnoreCase bool
	DotStops   bool // . and negated brackets do not match a newline
	LineAnchor bool // ^ and $ match at lines
	Expanded   bool
	Literal    bool
	Basic      bool
	Global     bool
}

// ParseFlags reads the letters of a flags argument.
func ParseFlags(s []byte) (f Flags, err error) {
	for i, b := range s {
		switch b {
		case 'g':
			f.Global = true
		case 'i':
			f.IgnoreCase = true
		case 'c':
			f.IgnoreCase = false
		case 'm', 'n':
			f.DotStops, f.LineAnchor = true, true
		case 'p':
			f.DotStops, f.LineAnchor = true, false
		case 'w':
			f.DotStops, f.LineAnchor = false, true
		case 's':
			f.DotStops, f.LineAnchor = false, false
		case 'x':
			f.Expanded = true
		case 't':
			f.Expanded = false
		case 'q':
			f.Literal = true
		case 'b':
			f.Basic = true
		case 'e':
			f.Basic, f.Literal = false, false
		default:
			return f, sqlerr.New(sqlerr.InvalidParameterValue, "invalid regular expression option: \"%s\"", firstChar(s[i:]))
		}
	}
	return f, nil
}

func errPattern(what string) error {
	return sqlerr.New(sqlerr.InvalidRegularExpression, "invalid regular expression: %s", what)
}

// Compile translates a pattern.
func Compile(pattern string, f Flags) (*Regexp, error) {
	t, err := translate(pattern, f)
	if err != nil {
		return nil, err
	}
	r := &Regexp{context: t.context, groups: t.groups}
	if t.backtrack {
		return r, r.compileSlow(t)
	}
	bounds := t.normal
	if t.lazy && t.shortest {
		bounds = t.allLazy
	}
	if r.bounds, err = regexp.Compile(bounds); err != nil {
		return r, r.compileSlow(t)
	}
	longest := !t.lazy || !t.shortest
	if longest {
		r.bounds.Longest()
	}
	r.must = literalOf(bounds, longest)
	if t.lazy {
		r.inner, err = regexp.Compile(`\A(?:` + t.normal + `)\z`)
	}
	return r, err
}

func (r *Regexp) compileSlow(t translated) error {
	re, err := regexp2.Compile(t.normal, regexp2.None)
	if err != nil {
		return errPattern(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	re.MatchTimeout = timeout
	r.slow = re
	return nil
}

// Match reports whether s matches anywhere.
func (r *Regexp) Match(s []byte) (bool, error) {
	if r.slow == nil {
		return (r.must == nil || bytes.Contains(s, r.must.text)) && r.bounds.Match(s), nil
	}
	ok, err := r.slow.MatchString(string(s))
	return ok, slowErr(err)
}

func slowErr(err error) error {
	if err == nil {
		return nil
	}
	return sqlerr.New(sqlerr.ProgramLimitExceeded, "regular expression failed: match takes too long").WithCause(err)
}

// Find returns the byte offsets (start and end of the match, then of each group, −1 when it took no part) of the
// first match at or after from; nil when there is none.
func (r *Regexp) Find(s []byte, from int) ([]int, error) {
	if r.slow != nil {
		return r.findSlow(s, from)
	}
	loc := r.findBounds(s, from)
	if loc == nil || r.inner == nil || r.groups == 0 {
		return loc, nil
	}
	in := r.inner.FindSubmatchIndex(s[loc[0]:loc[1]])
	if in == nil { // it looks at its surroundings
		return loc, nil
	}
	return shiftBy(in, loc[0]), nil
}

func (r *Regexp) findBounds(s []byte, from int) []int {
	if from == 0 {
		return r.first(s)
	}
	if !r.context {
		return shiftBy(r.first(s[from:]), from)
	}
	for _, loc := range r.bounds.FindAllSubmatchIndex(s, -1) {
		if loc[0] >= from {
			return loc
		}
	}
	return nil
}

func (r *Regexp) first(s []byte) []int {
	if r.must != nil {
		return r.must.search(r.bounds, s)
	}
	return r.bounds.FindSubmatchIndex(s)
}

func shiftBy(loc []int, by int) []int {
	for i := range loc {
		if loc[i] >= 0 {
			loc[i] += by
		}
	}
	return loc
}

// findSlow maps between the engine's rune indexes and byte offsets.
func (r *Regexp) findSlow(s []byte, from int) ([]int, error) {
	runes := []rune(string(s))
	m, err := r.slow.FindRunesMatchStartingAt(runes, utf8.RuneCount(s[:from]))
	if err != nil || m == nil {
		return nil, slowErr(err)
	}
	offset := make([]int, len(runes)+1)
	at := 0
	for i, c := range runes {
		offset[i] = at
		at += utf8.RuneLen(c)
	}
	offset[len(runes)] = at
	loc := make([]int, 0, 2*(r.groups+1))
	for _, g := range m.Groups() {
		if len(g.Captures) == 0 {
			loc = append(loc, -1, -1)
			continue
		}
		loc = append(loc, offset[g.Index], offset[g.Index+g.Length])
	}
	return loc, nil
}

// All calls f for every match as PostgreSQL finds them: the next search starts where the match ended, one
// character later when it was empty. f returns false to stop.
func (r *Regexp) All(s []byte, from int, f func(loc []int) bool) error {
	for from <= len(s) {
		loc, err := r.Find(s, from)
		if err != nil || loc == nil {
			return err
		}
		if !f(loc) {
			return nil
		}
		from = loc[1]
		if loc[0] == loc[1] {
			if from == len(s) {
				return nil
			}
			_, w := utf8.DecodeRune(s[from:])
			from += w
		}
	}
	return nil
}

// Groups is the number of capturing parentheses.
func (r *Regexp) Groups() int { return r.groups }

// firstChar is the first character of s.
func firstChar(s []byte) string {
	r, w := utf8.DecodeRune(s)
	if r == utf8.RuneError {
		w = 1
	}
	return string(s[:w])
}
