package expr

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/millrace/millrace/internal/sqlerr"
)

// PostgreSQL's regular expressions (AREs) are translated, see regex_parse.go, and run by Go's engine, whose time
// is linear; the few constructs that it lacks (back-references, look-around, word starts) go to a backtracking
// engine with a time limit.
//
// PostgreSQL matches the longest (or, when the first quantifier is lazy, the shortest) text from the leftmost
// start, and only then divides it among the groups. So a pattern with lazy quantifiers has two programs: bounds
// finds the text, inner divides it.

// regexTimeout bounds one match of the backtracking engine.
const regexTimeout = 2 * time.Second

// regex is a compiled pattern. It is used by one goroutine at a time.
type regex struct {
	bounds *regexp.Regexp
	inner  *regexp.Regexp // nil: bounds divides as well
	slow   *regexp2.Regexp
	// context: the pattern looks at what lies before the match (^, \A, \y), so that it cannot be run on a suffix.
	context bool
	groups  int
}

// regexFlags are the options of one use of a pattern.
type regexFlags struct {
	ignoreCase bool
	dotStops   bool // . and negated brackets do not match a newline
	lineAnchor bool // ^ and $ match at lines
	expanded   bool
	literal    bool
	basic      bool
	global     bool
}

// parseRegexFlags reads the letters of a flags argument.
func parseRegexFlags(s []byte) (f regexFlags, err error) {
	for i, b := range s {
		switch b {
		case 'g':
			f.global = true
		case 'i':
			f.ignoreCase = true
		case 'c':
			f.ignoreCase = false
		case 'm', 'n':
			f.dotStops, f.lineAnchor = true, true
		case 'p':
			f.dotStops, f.lineAnchor = true, false
		case 'w':
			f.dotStops, f.lineAnchor = false, true
		case 's':
			f.dotStops, f.lineAnchor = false, false
		case 'x':
			f.expanded = true
		case 't':
			f.expanded = false
		case 'q':
			f.literal = true
		case 'b':
			f.basic = true
		case 'e':
			f.basic, f.literal = false, false
		default:
			return f, sqlerr.New(sqlerr.InvalidParameterValue, "invalid regular expression option: \"%s\"", firstChar(s[i:]))
		}
	}
	return f, nil
}

// maxRegexps bounds a context's cache of patterns that come out of columns.
const maxRegexps = 256

// regex returns the compiled form of pattern, from the cache if possible.
func (c *Ctx) regex(pattern []byte, f regexFlags) (*regex, error) {
	f.global = false
	var bits byte
	for i, on := range []bool{f.ignoreCase, f.dotStops, f.lineAnchor, f.expanded, f.literal, f.basic} {
		if on {
			bits |= 1 << i
		}
	}
	key := make([]byte, 0, 64)
	key = append(append(key, bits), pattern...)
	if r, ok := c.regexps[string(key)]; ok {
		return r, nil
	}
	r, err := compileRegex(string(pattern), f)
	if err != nil {
		return nil, err
	}
	if c.regexps == nil || len(c.regexps) >= maxRegexps {
		c.regexps = map[string]*regex{}
	}
	c.regexps[string(key)] = r
	return r, nil
}

func errRegex(what string) error {
	return sqlerr.New(sqlerr.InvalidRegularExpression, "invalid regular expression: %s", what)
}

func compileRegex(pattern string, f regexFlags) (*regex, error) {
	t, err := translateRegex(pattern, f)
	if err != nil {
		return nil, err
	}
	r := &regex{context: t.context, groups: t.groups}
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
	if !t.lazy || !t.shortest {
		r.bounds.Longest()
	}
	if t.lazy {
		r.inner, err = regexp.Compile(`\A(?:` + t.normal + `)\z`)
	}
	return r, err
}

func (r *regex) compileSlow(t translated) error {
	re, err := regexp2.Compile(t.normal, regexp2.None)
	if err != nil {
		return errRegex(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	re.MatchTimeout = regexTimeout
	r.slow = re
	return nil
}

// match reports whether s matches anywhere.
func (r *regex) match(s []byte) (bool, error) {
	if r.slow == nil {
		return r.bounds.Match(s), nil
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

// find returns the byte offsets (start and end of the match, then of each group, −1 when it took no part) of the
// first match at or after from; nil when there is none.
func (r *regex) find(s []byte, from int) ([]int, error) {
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

func (r *regex) findBounds(s []byte, from int) []int {
	if from == 0 {
		return r.bounds.FindSubmatchIndex(s)
	}
	if !r.context {
		return shiftBy(r.bounds.FindSubmatchIndex(s[from:]), from)
	}
	for _, loc := range r.bounds.FindAllSubmatchIndex(s, -1) {
		if loc[0] >= from {
			return loc
		}
	}
	return nil
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
func (r *regex) findSlow(s []byte, from int) ([]int, error) {
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

// all calls f for every match as PostgreSQL finds them: the next search starts where the match ended, one
// character later when it was empty. f returns false to stop.
func (r *regex) all(s []byte, from int, f func(loc []int) bool) error {
	for from <= len(s) {
		loc, err := r.find(s, from)
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
