package jsonpath

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
)

// token is a lexical element; special characters are their own token.
type token uint8

const (
	tEnd token = iota
	tWord
	tString
	tVariable
	tInt
	tNumeric
	tEqual
	tNotEqual
	tLess
	tGreater
	tLessEqual
	tGreaterEqual
	tAnd
	tOr
	tAny
)

// lexer splits a path into tokens. near is what PostgreSQL's lexer would show in an error at the current token,
// "" for the end: of a word it is the blanks behind it.
type lexer struct {
	in   string
	pos  int
	tok  token
	text string // of words, strings, variables and numbers
	near string
}

const (
	special = "?%$.[]{}()|&!=<>@#,*:-+/"
	blanks  = " \t\n\r\f"
)

func isWordByte(c byte) bool {
	return strings.IndexByte(special, c) < 0 && strings.IndexByte(blanks, c) < 0 && c != '\\' && c != '"'
}

func isDigit(c byte) bool { return c-'0' < 10 }

func syntaxError(what, near string) error {
	if near == "" {
		return sqlerr.New(sqlerr.SyntaxError, "%s at end of jsonpath input", what)
	}
	return sqlerr.New(sqlerr.SyntaxError, "%s at or near \"%s\" of jsonpath input", what, near)
}

func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.in) {
		return l.in[l.pos+n]
	}
	return 0
}

var twoChars = map[string]token{"&&": tAnd, "||": tOr, "**": tAny, "<=": tLessEqual, "==": tEqual, "<>": tNotEqual, "!=": tNotEqual, ">=": tGreaterEqual}

func (l *lexer) advance() error {
	for {
		for l.pos < len(l.in) && strings.IndexByte(blanks, l.in[l.pos]) >= 0 {
			l.pos++
		}
		if !strings.HasPrefix(l.in[l.pos:], "/*") {
			break
		}
		end := strings.Index(l.in[l.pos+2:], "*/")
		if end < 0 {
			return syntaxError("unexpected end of comment", "")
		}
		l.pos += end + 4
	}
	l.text = ""
	if l.pos == len(l.in) {
		l.tok, l.near = tEnd, ""
		return nil
	}
	c := l.in[l.pos]
	switch {
	case c == '"':
		return l.quoted(tString)
	case c == '$' && l.peek(1) == '"':
		l.pos++
		return l.quoted(tVariable)
	case c == '$' && l.pos+1 < len(l.in) && isWordByte(l.in[l.pos+1]):
		start := l.pos
		for l.pos++; l.pos < len(l.in) && isWordByte(l.in[l.pos]); l.pos++ {
		}
		l.tok, l.text, l.near = tVariable, l.in[start+1:l.pos], l.in[start:l.pos]
		return nil
	case isDigit(c), c == '.' && isDigit(l.peek(1)):
		return l.number()
	case isWordByte(c), c == '\\':
		return l.word()
	}
	if l.pos+2 <= len(l.in) {
		if t, ok := twoChars[l.in[l.pos:l.pos+2]]; ok {
			l.tok, l.near = t, l.in[l.pos:l.pos+2]
			l.pos += 2
			return nil
		}
	}
	l.near = l.in[l.pos : l.pos+1]
	l.pos++
	switch c {
	case '<':
		l.tok = tLess
	case '>':
		l.tok = tGreater
	default:
		l.tok = token(c)
	}
	return nil
}

func (l *lexer) digits() {
	for l.pos < len(l.in) && isDigit(l.in[l.pos]) {
		l.pos++
	}
}

// number takes an integer, a decimal or a number with an exponent.
func (l *lexer) number() error {
	start := l.pos
	l.tok = tInt
	if l.in[l.pos] == '0' {
		l.pos++
	} else {
		l.digits()
	}
	if l.peek(0) == '.' {
		l.tok = tNumeric
		l.pos++
		l.digits()
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		sign := 0
		if s := l.peek(1); s == '+' || s == '-' {
			sign = 1
		}
		switch {
		case isDigit(l.peek(1 + sign)):
			l.tok = tNumeric
			l.pos += 1 + sign
			l.digits()
		case sign == 1:
			l.pos += 2
			return syntaxError("invalid numeric literal", l.in[start:l.pos])
		}
	}
	if l.pos < len(l.in) && isWordByte(l.in[l.pos]) {
		_, w := utf8.DecodeRuneInString(l.in[l.pos:])
		return syntaxError("trailing junk after numeric literal", l.in[start:l.pos+w])
	}
	l.text = l.in[start:l.pos]
	l.near = l.text
	return nil
}

func (l *lexer) word() error {
	l.tok, l.near = tWord, ""
	var out []byte
	for l.pos < len(l.in) {
		c := l.in[l.pos]
		switch {
		case c == '\\':
			var err error
			if out, err = l.escape(out); err != nil {
				return err
			}
			continue
		case isWordByte(c):
			out = append(out, c)
			l.pos++
			continue
		case strings.IndexByte(blanks, c) >= 0:
			end := l.pos
			for end < len(l.in) && strings.IndexByte(blanks, l.in[end]) >= 0 {
				end++
			}
			l.near = l.in[l.pos:end]
		}
		break
	}
	l.text = string(out)
	return nil
}

func (l *lexer) quoted(t token) error {
	l.pos++
	var out []byte
	for l.pos < len(l.in) {
		switch c := l.in[l.pos]; c {
		case '"':
			l.pos++
			l.tok, l.text, l.near = t, string(out), `"`
			return nil
		case '\\':
			var err error
			if out, err = l.escape(out); err != nil {
				return err
			}
		default:
			out = append(out, c)
			l.pos++
		}
	}
	return syntaxError("unexpected end of quoted string", "")
}

func hexValue(c byte) (v rune, ok bool) {
	switch {
	case isDigit(c):
		return rune(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10, true
	}
	return 0, false
}

// hex reads up to most digits; n is how many there were.
func (l *lexer) hex(most int) (v rune, n int) {
	for n < most && l.pos < len(l.in) {
		d, ok := hexValue(l.in[l.pos])
		if !ok {
			break
		}
		v = v<<4 | d
		n++
		l.pos++
	}
	return v, n
}

// escape resolves the escape at pos.
func (l *lexer) escape(out []byte) ([]byte, error) {
	start := l.pos
	if l.pos++; l.pos == len(l.in) {
		return out, syntaxError("unexpected end after backslash", "")
	}
	c := l.in[l.pos]
	l.pos++
	switch c {
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'v':
		return append(out, '\v'), nil
	case 'x':
		v, n := l.hex(2)
		if n < 2 {
			return out, syntaxError("invalid hex character sequence", l.in[start:l.pos])
		}
		return addRune(out, v)
	case 'u':
		return l.unicode(out, start)
	}
	l.pos--
	_, w := utf8.DecodeRuneInString(l.in[l.pos:])
	l.pos += w
	return append(out, l.in[l.pos-w:l.pos]...), nil
}

// unicode resolves \uXXXX, pairs of surrogates and \u{X…}; the u has been read.
func (l *lexer) unicode(out []byte, start int) ([]byte, error) {
	v, err := l.codePoint(start)
	if err != nil {
		return out, err
	}
	switch {
	case v >= 0xDC00 && v < 0xE000:
		return out, errSurrogate("Unicode low surrogate must follow a high surrogate.")
	case v < 0xD800 || v >= 0xDC00:
		return addRune(out, v)
	}
	if !strings.HasPrefix(l.in[l.pos:], `\u`) {
		return out, errSurrogate("Unicode low surrogate must follow a high surrogate.")
	}
	l.pos += 2
	low, err := l.codePoint(start)
	switch {
	case err != nil:
		return out, err
	case low >= 0xD800 && low < 0xDC00:
		return out, errSurrogate("Unicode high surrogate must not follow a high surrogate.")
	case low < 0xDC00 || low >= 0xE000:
		return out, errSurrogate("Unicode low surrogate must follow a high surrogate.")
	}
	return addRune(out, (v-0xD800)<<10+(low-0xDC00)+0x10000)
}

func (l *lexer) codePoint(start int) (rune, error) {
	bad := func() error { return syntaxError("invalid unicode sequence", l.in[start:l.pos]) }
	if l.peek(0) == '{' {
		l.pos++
		v, n := l.hex(6)
		if n == 0 || l.peek(0) != '}' {
			return 0, bad()
		}
		l.pos++
		return v, nil
	}
	v, n := l.hex(4)
	if n < 4 {
		return 0, bad()
	}
	return v, nil
}

func errSurrogate(detail string) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type jsonpath").WithDetail("%s", detail)
}

func addRune(out []byte, r rune) ([]byte, error) {
	switch {
	case r == 0:
		return out, sqlerr.New(sqlerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
			WithDetail("%s", `\u0000 cannot be converted to text.`)
	case r > utf8.MaxRune:
		return out, sqlerr.New(sqlerr.SyntaxError, "invalid Unicode code point")
	}
	return utf8.AppendRune(out, r), nil
}
