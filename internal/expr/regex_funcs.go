package expr

import (
	"unicode/utf8"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/regex"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

var textArray = sqltypes.ArrayOf(sqltypes.Text)

// maxRegexps bounds a context's cache of patterns that come out of columns.
const maxRegexps = 256

// regex returns the compiled form of pattern, from the cache if possible.
func (c *Ctx) regex(pattern []byte, f regex.Flags) (*regex.Regexp, error) {
	f.Global = false
	var bits byte
	for i, on := range []bool{f.IgnoreCase, f.DotStops, f.LineAnchor, f.Expanded, f.Literal, f.Basic} {
		if on {
			bits |= 1 << i
		}
	}
	key := make([]byte, 0, 64)
	key = append(append(key, bits), pattern...)
	if r, ok := c.regexps[string(key)]; ok {
		return r, nil
	}
	r, err := regex.Compile(string(pattern), f)
	if err != nil {
		return nil, err
	}
	if c.regexps == nil || len(c.regexps) >= maxRegexps {
		c.regexps = map[string]*regex.Regexp{}
	}
	c.regexps[string(key)] = r
	return r, nil
}

// regexOf compiles with a flags argument; the function of the given name may not take the g flag.
func (c *Ctx) regexOf(pattern, flags []byte, name string) (*regex.Regexp, regex.Flags, error) {
	f, err := regex.ParseFlags(flags)
	if err != nil {
		return nil, f, err
	}
	if f.Global && name != "" {
		e := sqlerr.New(sqlerr.InvalidParameterValue, "%s() does not support the \"global\" option", name)
		if name == "regexp_match" {
			e = e.WithHint("Use the regexp_matches function instead.")
		}
		return nil, f, e
	}
	r, err := c.regex(pattern, f)
	return r, f, err
}

// regexKernel is ~, ~* and their negations.
func regexKernel(fold, negate bool) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		var r *regex.Regexp
		a.each(out, func(i int) {
			var err error
			if r == nil || !y.Same {
				r, err = c.regex(y.Bytes(i), regex.Flags{IgnoreCase: fold})
			}
			var ok bool
			if err == nil {
				ok, err = r.Match(x.Bytes(i))
			}
			out.Bools[i] = ok != negate
			if err != nil {
				r = nil
				c.Fail(out, i, err)
			}
		})
	}
}

func regexpLike(c *Ctx, s, p []byte) (bool, error) { return regexpLike3(c, s, p, nil) }

func regexpLike3(c *Ctx, s, p, flags []byte) (bool, error) {
	r, _, err := c.regexOf(p, flags, "regexp_like")
	if err != nil {
		return false, err
	}
	return r.Match(s)
}

func regexpMatch3(c *Ctx, dst, s, p, flags []byte) ([]byte, error) {
	r, _, err := c.regexOf(p, flags, "regexp_match")
	if err != nil {
		return dst, err
	}
	loc, err := r.Find(s, 0)
	if err != nil {
		return dst, err
	}
	if loc == nil {
		return dst, errNull
	}
	return appendGroups(dst, s, loc), nil
}

// appendGroups appends the array of a match's groups, or of the whole match when the pattern has none.
func appendGroups(dst, s []byte, loc []int) []byte {
	if len(loc) > 2 {
		loc = loc[2:]
	}
	return sqlio.AppendStrings(dst, len(loc)/2, func(i int) ([]byte, bool) {
		from := loc[2*i]
		if from < 0 {
			return nil, false
		}
		return s[from:loc[2*i+1]], true
	})
}

// regexpMatchKernel is regexp_match without flags; a pattern that is the same in all rows is looked up once.
func regexpMatchKernel(c *Ctx, a Args, out *delta.Vec) {
	x, y := a.Vecs[0], a.Vecs[1]
	var r *regex.Regexp
	bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) {
		if r == nil || !y.Same {
			var err error
			if r, err = c.regex(y.Bytes(i), regex.Flags{}); err != nil {
				return dst, err
			}
		}
		loc, err := r.Find(x.Bytes(i), 0)
		if err != nil {
			return dst, err
		}
		if loc == nil {
			return dst, errNull
		}
		return appendGroups(dst, x.Bytes(i), loc), nil
	})
}

// startAt checks a start argument and returns its byte offset, −1 beyond the end.
func startAt(s []byte, start int64) (int, error) {
	if start <= 0 {
		return 0, errParam("start", start)
	}
	if start-1 > runeLen(s) {
		return -1, nil
	}
	return charOffset(s, start-1), nil
}

func errParam(name string, v int64) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for parameter \"%s\": %d", name, v)
}

// replacer carries out regexp_replace: matches from offset on, the n-th only, or all when n is 0.
func regexReplace(dst, s []byte, r *regex.Regexp, repl []byte, from int, n int64) ([]byte, error) {
	done, seen := 0, int64(0)
	err := r.All(s, from, func(loc []int) bool {
		if seen++; n > 0 && seen < n {
			return true
		}
		dst = append(dst, s[done:loc[0]]...)
		dst = expandReplacement(dst, s, loc, repl)
		done = loc[1]
		return n == 0
	})
	return append(dst, s[done:]...), err
}

func expandReplacement(dst, s []byte, loc []int, repl []byte) []byte {
	for i := 0; i < len(repl); i++ {
		if repl[i] != '\\' || i+1 == len(repl) {
			dst = append(dst, repl[i])
			continue
		}
		i++
		k := -1
		switch b := repl[i]; {
		case b >= '1' && b <= '9':
			k = int(b - '0')
		case b == '&':
			k = 0
		case b == '\\':
			dst = append(dst, '\\')
			continue
		default:
			dst = append(dst, '\\', b)
			continue
		}
		if 2*k+1 < len(loc) && loc[2*k] >= 0 {
			dst = append(dst, s[loc[2*k]:loc[2*k+1]]...)
		}
	}
	return dst
}

func regexpReplace3(c *Ctx, dst, s, p, repl []byte) ([]byte, error) {
	return regexpReplace4(c, dst, s, p, repl, nil)
}

func regexpReplace4(c *Ctx, dst, s, p, repl, flags []byte) ([]byte, error) {
	if len(flags) > 0 && flags[0] >= '0' && flags[0] <= '9' {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid regular expression option: \"%s\"", firstChar(flags)).
			WithHint("If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.")
	}
	r, f, err := c.regexOf(p, flags, "")
	if err != nil {
		return dst, err
	}
	n := int64(1)
	if f.Global {
		n = 0
	}
	return regexReplace(dst, s, r, repl, 0, n)
}

// intArg and bytesArg read optional trailing arguments of row i.
func intArg(vecs []*delta.Vec, k, i int, def int64) int64 {
	if k >= len(vecs) {
		return def
	}
	return vecs[k].Ints[i]
}

func bytesArg(vecs []*delta.Vec, k, i int) []byte {
	if k >= len(vecs) {
		return nil
	}
	return vecs[k].Bytes(i)
}

// regexpReplaceAt is regexp_replace(s, p, repl, start [, n [, flags]]).
func regexpReplaceAt(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	s, p, repl := vecs[0].Bytes(i), vecs[1].Bytes(i), vecs[2].Bytes(i)
	start, n := vecs[3].Ints[i], intArg(vecs, 4, i, 1)
	from, err := startAt(s, start)
	if err != nil {
		return dst, err
	}
	if n < 0 {
		return dst, errParam("n", n)
	}
	r, f, err := c.regexOf(p, bytesArg(vecs, 5, i), "")
	if err != nil {
		return dst, err
	}
	if len(vecs) == 4 && f.Global {
		n = 0
	}
	if from < 0 {
		return append(dst, s...), nil
	}
	return regexReplace(dst, s, r, repl, from, n)
}

// regexpCount is regexp_count(s, p [, start [, flags]]).
func regexpCount(c *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	s := vecs[0].Bytes(i)
	from, err := startAt(s, intArg(vecs, 2, i, 1))
	if err != nil {
		return 0, err
	}
	r, _, err := c.regexOf(vecs[1].Bytes(i), bytesArg(vecs, 3, i), "regexp_count")
	if err != nil || from < 0 {
		return 0, err
	}
	n := int64(0)
	err = r.All(s, from, func([]int) bool { n++; return true })
	return n, err
}

// nthGroup finds group sub of the n-th match, for regexp_instr and regexp_substr; nil when there is none.
func nthGroup(c *Ctx, vecs []*delta.Vec, i int, flagsAt int, name string) ([]int, error) {
	s := vecs[0].Bytes(i)
	start, n, sub := intArg(vecs, 2, i, 1), intArg(vecs, 3, i, 1), intArg(vecs, flagsAt+1, i, 0)
	from, err := startAt(s, start)
	switch {
	case err != nil:
		return nil, err
	case n <= 0:
		return nil, errParam("n", n)
	case sub < 0:
		return nil, errParam("subexpr", sub)
	}
	r, _, err := c.regexOf(vecs[1].Bytes(i), bytesArg(vecs, flagsAt, i), name)
	if err != nil || from < 0 {
		return nil, err
	}
	var found []int
	err = r.All(s, from, func(loc []int) bool {
		if n--; n > 0 {
			return true
		}
		if k := 2 * int(sub); k < len(loc) && loc[k] >= 0 {
			found = []int{loc[k], loc[k+1]}
		}
		return false
	})
	return found, err
}

func regexpInstr(c *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	start, n, end := intArg(vecs, 2, i, 1), intArg(vecs, 3, i, 1), intArg(vecs, 4, i, 0)
	switch {
	case start <= 0:
		return 0, errParam("start", start)
	case n <= 0:
		return 0, errParam("n", n)
	case end != 0 && end != 1:
		return 0, errParam("endoption", end)
	}
	loc, err := nthGroup(c, vecs, i, 5, "regexp_instr")
	if err != nil || loc == nil {
		return 0, err
	}
	return runeLen(vecs[0].Bytes(i)[:loc[end]]) + 1, nil
}

func regexpSubstr(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	loc, err := nthGroup(c, vecs, i, 4, "regexp_substr")
	if err != nil {
		return dst, err
	}
	if loc == nil {
		return dst, errNull
	}
	return append(dst, vecs[0].Bytes(i)[loc[0]:loc[1]]...), nil
}

// substringRegex is substring(s from pattern): the first group, or the whole match.
func substringRegex(c *Ctx, dst, s, p []byte) ([]byte, error) {
	r, err := c.regex(p, regex.Flags{})
	if err != nil {
		return dst, err
	}
	loc, err := r.Find(s, 0)
	if err != nil {
		return dst, err
	}
	if len(loc) > 2 {
		loc = loc[2:]
	}
	if loc == nil || loc[0] < 0 {
		return dst, errNull
	}
	return append(dst, s[loc[0]:loc[1]]...), nil
}

func substringSimilar(c *Ctx, dst, s, p, esc []byte) ([]byte, error) {
	re, err := similarToRegex(nil, p, esc)
	if err != nil {
		return dst, err
	}
	return substringRegex(c, dst, s, re)
}

func similarToRegex1(dst, p []byte) ([]byte, error) { return similarToRegex(dst, p, []byte{'\\'}) }

// similarToRegex rewrites a SIMILAR TO pattern. An escaped double quote parts the pattern in three, the middle of
// which substring returns.
func similarToRegex(dst, p, esc []byte) ([]byte, error) {
	if runeLen(esc) > 1 {
		return dst, sqlerr.New(sqlerr.InvalidEscapeSequence, "invalid escape string").
			WithHint("Escape string must be empty or one character.")
	}
	dst = append(dst, "^(?:"...)
	inBrackets, quotes := false, 0
	for len(p) > 0 {
		if len(esc) > 0 && len(p) >= len(esc) && string(p[:len(esc)]) == string(esc) {
			p = p[len(esc):]
			switch {
			case len(p) == 0: // nothing to escape
			case p[0] == '"' && !inBrackets:
				quotes++
				switch quotes {
				case 1:
					dst = append(dst, "){1,1}?("...)
				case 2:
					dst = append(dst, "){1,1}(?:"...)
				default:
					return dst, sqlerr.New("2200C", "SQL regular expression may not contain more than two escape-double-quote separators")
				}
				p = p[1:]
			default:
				_, w := utf8.DecodeRune(p)
				if w == 1 {
					dst = append(dst, '\\')
				}
				dst = append(dst, p[:w]...)
				p = p[w:]
			}
			continue
		}
		b := p[0]
		p = p[1:]
		switch {
		case inBrackets:
			if b == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, b)
			inBrackets = b != ']'
		case b == '[':
			dst = append(dst, b)
			inBrackets = true
		case b == '%':
			dst = append(dst, ".*"...)
		case b == '_':
			dst = append(dst, '.')
		case b == '(':
			dst = append(dst, "(?:"...)
		case b == '\\' || b == '.' || b == '^' || b == '$':
			dst = append(dst, '\\', b)
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, ")$"...), nil
}

func regexpSplitToArray(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	parts, err := regexSplit(c, vecs[0].Bytes(i), vecs[1].Bytes(i), bytesArg(vecs, 2, i), "regexp_split_to_array")
	if err != nil {
		return dst, err
	}
	return append(dst, sqlio.MakeArray(textArray, parts)...), nil
}

// regexSplit cuts s at the matches; empty matches at the ends or right behind a match do not cut.
func regexSplit(c *Ctx, s, p, flags []byte, name string) ([]sqltypes.Datum, error) {
	r, _, err := c.regexOf(p, flags, name)
	if err != nil {
		return nil, err
	}
	var parts []sqltypes.Datum
	done := 0
	err = r.All(s, 0, func(loc []int) bool {
		if loc[0] == loc[1] && (loc[0] == len(s) || loc[0] == done) {
			return true
		}
		parts = append(parts, s[done:loc[0]])
		done = loc[1]
		return true
	})
	return append(parts, s[done:]), err
}

// int64Rows adapts a function over whole vectors with an integer result.
func int64Rows(f func(c *Ctx, vecs []*delta.Vec, i int) (int64, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		a.each(out, func(i int) {
			n, err := f(c, a.Vecs, i)
			out.Ints[i] = n
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

// regexFuncs lists the regular-expression operators and functions.
func regexFuncs() []Func {
	t, i4, b, ta := sqltypes.Text, sqltypes.Int4, sqltypes.Bool, textArray
	var out []Func
	for _, left := range ts(t, sqltypes.Bpchar, sqltypes.Name) {
		args := ts(left, t)
		out = append(out,
			fn("~", args, b, regexKernel(false, false), "matches regular expression"),
			fn("!~", args, b, regexKernel(false, true), "does not match regular expression"),
			fn("~*", args, b, regexKernel(true, false), "matches regular expression, case aside"),
			fn("!~*", args, b, regexKernel(true, true), "does not match regular expression, case aside"))
	}
	return append(out,
		fn("regexp_like", ts(t, t), b, k2c(regexpLike), "whether a regular expression matches"),
		fn("regexp_like", ts(t, t, t), b, k3c(regexpLike3), "whether a regular expression matches"),
		fn("regexp_match", ts(t, t), ta, regexpMatchKernel, "groups of the first match"),
		fn("regexp_match", ts(t, t, t), ta, b3c(regexpMatch3), "groups of the first match"),
		fn("regexp_replace", ts(t, t, t), t, b3c(regexpReplace3), "first match replaced"),
		fn("regexp_replace", ts(t, t, t, t), t, b4c(regexpReplace4), "first match (all with flag g) replaced"),
		fn("regexp_replace", ts(t, t, t, i4, i4, t), t, bytesOf(regexpReplaceAt), "n-th match (all for 0) from a position on replaced").optional(2),
		fn("regexp_count", ts(t, t, i4, t), i4, int64Rows(regexpCount), "number of matches").optional(2),
		fn("regexp_instr", ts(t, t, i4, i4, i4, t, i4), i4, int64Rows(regexpInstr), "position of the n-th match").optional(5),
		fn("regexp_substr", ts(t, t, i4, i4, t, i4), t, bytesOf(regexpSubstr), "text of the n-th match").optional(4),
		fn("regexp_split_to_array", ts(t, t, t), ta, bytesOf(regexpSplitToArray), "text cut at the matches").optional(1),
		fn("substring", ts(t, t), t, b2c(substringRegex), "text that matches a regular expression"),
		fn("substring", ts(t, t, t), t, b3c(substringSimilar), "text between the marks of an SQL pattern"),
		fn("similar_to_escape", ts(t), t, b1e(similarToRegex1), "SIMILAR TO pattern as a regular expression"),
		fn("similar_to_escape", ts(t, t), t, b2e(similarToRegex), "SIMILAR TO pattern as a regular expression"))
}
