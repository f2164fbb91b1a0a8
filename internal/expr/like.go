package expr

import (
	"bytes"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// LIKE. The operators take backslash as the escape character; the ESCAPE clause calls like_escape, which
// rewrites the pattern into that form.

var errLikeEscapeEnd = sqlerr.New(sqlerr.InvalidEscapeSequence, "LIKE pattern must not end with escape character")

// likeMatcher is a pattern prepared for many strings.
type likeMatcher struct {
	pattern []byte
	// kind picks a shortcut for the usual shapes; literal is their text without escapes.
	kind    likeKind
	literal []byte
}

type likeKind uint8

const (
	likeGeneral  likeKind = iota
	likeExact             // no wildcard
	likePrefix            // abc%
	likeSuffix            // %abc
	likeContains          // %abc%
)

func newLikeMatcher(pattern []byte) likeMatcher {
	m := likeMatcher{pattern: pattern}
	body := bytes.TrimLeft(pattern, "%")
	lead := len(body) < len(pattern)
	trail := false
	lit := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '_':
			return m
		case '%':
			if len(bytes.Trim(body[i:], "%")) > 0 {
				return m
			}
			trail = true
			i = len(body)
		case '\\':
			if i++; i == len(body) {
				return m
			}
			lit = append(lit, body[i])
		default:
			lit = append(lit, body[i])
		}
	}
	m.literal = lit
	switch {
	case lead && trail, lead && len(body) == 0:
		m.kind = likeContains
	case lead:
		m.kind = likeSuffix
	case trail:
		m.kind = likePrefix
	default:
		m.kind = likeExact
	}
	return m
}

func (m *likeMatcher) match(s []byte) (bool, error) {
	switch m.kind {
	case likeExact:
		return string(s) == string(m.literal), nil
	case likePrefix:
		return bytes.HasPrefix(s, m.literal), nil
	case likeSuffix:
		return bytes.HasSuffix(s, m.literal), nil
	case likeContains:
		return bytes.Contains(s, m.literal), nil
	}
	return likeMatch(s, m.pattern)
}

// likeMatch matches with one point of return: the last % seen, which is enough because an earlier one can only
// have matched less.
func likeMatch(s, p []byte) (bool, error) {
	var retryS, retryP []byte // where to go on when the part after the last % fails
	for {
		if len(p) == 0 {
			if len(s) == 0 {
				return true, nil
			}
		} else {
			switch p[0] {
			case '%':
				p = p[1:]
				retryS, retryP = s, p
				continue
			case '_':
				if len(s) > 0 {
					_, w := utf8.DecodeRune(s)
					s, p = s[w:], p[1:]
					continue
				}
			case '\\':
				if len(s) > 0 {
					if len(p) == 1 {
						return false, errLikeEscapeEnd
					}
					if p[1] == s[0] {
						s, p = s[1:], p[2:]
						continue
					}
				}
			default:
				if len(s) > 0 && s[0] == p[0] {
					s, p = s[1:], p[1:]
					continue
				}
			}
		}
		if retryP == nil || len(retryS) == 0 {
			return false, nil
		}
		_, w := utf8.DecodeRune(retryS)
		retryS = retryS[w:]
		s, p = retryS, retryP
	}
}

// likeKernel is LIKE, ILIKE when fold, and their negations.
func likeKernel(fold, negate bool) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		var m likeMatcher
		var foldS, foldP []byte
		ready := false
		a.each(out, func(i int) {
			if !ready || !y.Same {
				p := y.Bytes(i)
				if fold {
					foldP = lower(foldP[:0], p)
					p = foldP
				}
				m, ready = newLikeMatcher(p), true
			}
			s := x.Bytes(i)
			if fold {
				foldS = lower(foldS[:0], s)
				s = foldS
			}
			ok, err := m.match(s)
			out.Bools[i] = ok != negate
			if err != nil {
				c.Fail(out, i, err)
			}
		})
	}
}

// likeEscape rewrites a pattern with another escape character into one with backslash.
func likeEscape(dst, p, esc []byte) ([]byte, error) {
	if len(esc) == 0 { // no escape character: backslashes are plain
		for _, b := range p {
			if b == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, b)
		}
		return dst, nil
	}
	if runeLen(esc) != 1 {
		return dst, sqlerr.New(sqlerr.InvalidEscapeSequence, "invalid escape string").
			WithHint("Escape string must be empty or one character.")
	}
	if esc[0] == '\\' {
		return append(dst, p...), nil
	}
	afterEscape := false
	for len(p) > 0 {
		switch {
		case bytes.HasPrefix(p, esc) && !afterEscape:
			dst = append(dst, '\\')
			p = p[len(esc):]
			afterEscape = true
			continue
		case p[0] == '\\':
			if !afterEscape {
				dst = append(dst, '\\')
			}
		}
		dst = append(dst, p[0])
		p = p[1:]
		afterEscape = false
	}
	return dst, nil
}

// likeFuncs lists LIKE and ILIKE as PostgreSQL names their operators.
func likeFuncs() []Func {
	var out []Func
	t := sqltypes.Text
	for _, left := range ts(t, sqltypes.Bpchar, sqltypes.Name) {
		args := ts(left, t)
		out = append(out,
			fn("~~", args, sqltypes.Bool, likeKernel(false, false), "LIKE"),
			fn("!~~", args, sqltypes.Bool, likeKernel(false, true), "NOT LIKE"),
			fn("~~*", args, sqltypes.Bool, likeKernel(true, false), "ILIKE"),
			fn("!~~*", args, sqltypes.Bool, likeKernel(true, true), "NOT ILIKE"))
	}
	b := sqltypes.Bytea
	return append(out,
		fn("~~", ts(b, b), sqltypes.Bool, k2e(likeMatch), "LIKE"),
		fn("!~~", ts(b, b), sqltypes.Bool, k2e(func(s, p []byte) (bool, error) { m, err := likeMatch(s, p); return !m, err }), "NOT LIKE"),
		fn("like", ts(t, t), sqltypes.Bool, likeKernel(false, false), "LIKE"),
		fn("notlike", ts(t, t), sqltypes.Bool, likeKernel(false, true), "NOT LIKE"),
		fn("like", ts(b, b), sqltypes.Bool, k2e(likeMatch), "LIKE"),
		fn("notlike", ts(b, b), sqltypes.Bool, k2e(func(s, p []byte) (bool, error) { m, err := likeMatch(s, p); return !m, err }), "NOT LIKE"),
		fn("like", ts(sqltypes.Name, t), sqltypes.Bool, likeKernel(false, false), "LIKE"),
		fn("notlike", ts(sqltypes.Name, t), sqltypes.Bool, likeKernel(false, true), "NOT LIKE"),
		fn("like_escape", ts(b, b), b, b2e(likeEscape), "LIKE pattern with its escape character replaced by backslash"),
		fn("like_escape", ts(t, t), t, b2e(likeEscape), "LIKE pattern with its escape character replaced by backslash"))
}
