package parser

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
)

// continuation returns the offset of a quote that continues the literal ended at i: literals
// separated by white space with at least one line end are one ('a' ⏎ 'b' is 'ab'). -1: none.
func (l *lexer) continuation(i int) int {
	newline := false
	for i < len(l.sql) {
		c := l.sql[i]
		switch {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case isSpace(c):
			i++
		case c == '-' && l.at(i+1) == '-':
			for i < len(l.sql) && l.sql[i] != '\n' && l.sql[i] != '\r' {
				i++
			}
		case c == '\'' && newline:
			return i
		default:
			return -1
		}
	}
	return -1
}

// rawString reads '…' at l.pos with its continuations, without escapes, and moves behind it.
func (l *lexer) rawString(start int, message string) (string, bool) {
	text, end := quoted(l.sql, l.pos, '\'')
	if end < 0 {
		return "", l.fail(start, len(l.sql), message)
	}
	l.pos = end
	next := l.continuation(end)
	if next < 0 {
		return text, true
	}
	var b strings.Builder
	b.WriteString(text)
	for next >= 0 {
		if text, end = quoted(l.sql, next, '\''); end < 0 {
			return "", l.fail(start, len(l.sql), message)
		}
		b.WriteString(text)
		l.pos = end
		next = l.continuation(end)
	}
	return b.String(), true
}

func (l *lexer) plainString(start int) bool {
	text, ok := l.rawString(start, "unterminated quoted string")
	if ok {
		l.emit(tokString, start, text)
	}
	return ok
}

// bits lexes B'…' and X'…'. Whether the digits are right is looked at when the literal is read as a value.
func (l *lexer) bits(start int, kind tokenKind, message string) bool {
	l.pos++
	text, ok := l.rawString(start, message)
	if !ok {
		return false
	}
	base := byte(2)
	if kind == tokHex {
		base = 16
	}
	for _, r := range text {
		if r >= 0x80 || !isRadixDigit(byte(r), base) {
			return l.failWith(start, badDigit(kind, r))
		}
	}
	l.emit(kind, start, text)
	return true
}

func badDigit(kind tokenKind, r rune) *sqlerr.Error {
	what := "binary"
	if kind == tokHex {
		what = "hexadecimal"
	}
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "\"%c\" is not a valid %s digit", r, what)
}

// escapeString lexes E'…', the quote being at l.pos.
func (l *lexer) escapeString(start int) bool {
	var b strings.Builder
	checkUTF8 := false
	i := l.pos + 1
	for {
		if i >= len(l.sql) {
			return l.fail(start, len(l.sql), "unterminated quoted string")
		}
		c := l.sql[i]
		switch {
		case c == '\'' && l.at(i+1) == '\'':
			b.WriteByte('\'')
			i += 2
		case c == '\'':
			next := l.continuation(i + 1)
			if next < 0 {
				return l.endEscapeString(start, i+1, b.String(), checkUTF8)
			}
			i = next + 1
		case c == '\\':
			raw := isDigit(l.at(i+1)) || l.at(i+1) == 'x'
			checkUTF8 = checkUTF8 || raw
			n, ok := l.escape(start, i, &b)
			if !ok {
				return false
			}
			i = n
		default:
			n := strings.IndexAny(l.sql[i:], `'\`)
			if n < 0 {
				return l.fail(start, len(l.sql), "unterminated quoted string")
			}
			b.WriteString(l.sql[i : i+n])
			i += n
		}
	}
}

func (l *lexer) endEscapeString(start, end int, text string, check bool) bool {
	l.pos = end
	if check {
		if err := checkText(text); err != nil {
			return l.failWith(start, err)
		}
	}
	l.emit(tokString, start, text)
	return true
}

// escape decodes the escape at i (a backslash) and returns the offset behind it.
func (l *lexer) escape(start, i int, b *strings.Builder) (int, bool) {
	if i+1 >= len(l.sql) {
		return 0, l.fail(start, len(l.sql), "unterminated quoted string")
	}
	switch c := l.sql[i+1]; c {
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'v':
		b.WriteByte('\v')
	case 'x':
		n, v := l.digitsValue(i+2, 16, 2)
		if n == i+2 {
			b.WriteByte('x')
		} else {
			b.WriteByte(byte(v))
		}
		return n, true
	case 'u':
		return l.escapeRune(i, i+2, 4, b)
	case 'U':
		return l.escapeRune(i, i+2, 8, b)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		n, v := l.digitsValue(i+1, 8, 3)
		b.WriteByte(byte(v))
		return n, true
	default:
		_, n := utf8.DecodeRuneInString(l.sql[i+1:])
		b.WriteString(l.sql[i+1 : i+1+n])
		return i + 1 + n, true
	}
	return i + 2, true
}

// digitsValue reads up to max digits at i.
func (l *lexer) digitsValue(i int, base byte, max int) (int, rune) {
	v := rune(0)
	for n := 0; n < max && isRadixDigit(l.at(i), base); n++ {
		v = v*rune(base) + hexValue(l.sql[i])
		i++
	}
	return i, v
}

func hexValue(c byte) rune {
	if isDigit(c) {
		return rune(c - '0')
	}
	return rune(lower(c)-'a') + 10
}

// escapeRune decodes width hexadecimal digits at i, and a second escape after a high surrogate.
// from is the offset of the backslash.
func (l *lexer) escapeRune(from, i, width int, b *strings.Builder) (int, bool) {
	n, v := l.digitsValue(i, 16, width)
	if n != i+width {
		return 0, l.failWith(from, sqlerr.New(sqlerr.InvalidEscapeSequence, "invalid Unicode escape").
			WithHint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX."))
	}
	if isLowSurrogate(v) {
		return 0, l.fail(from, n, "invalid Unicode surrogate pair")
	}
	if isHighSurrogate(v) {
		m, low := n, rune(0)
		if l.at(n) != '\\' || l.at(n+1) != 'u' && l.at(n+1) != 'U' {
			_, width := utf8.DecodeRuneInString(l.sql[n:])
			return 0, l.fail(n, n+width, "invalid Unicode surrogate pair")
		}
		if l.at(n) == '\\' && l.at(n+1) == 'u' {
			m, low = l.digitsValue(n+2, 16, 4)
		} else if l.at(n) == '\\' && l.at(n+1) == 'U' {
			m, low = l.digitsValue(n+2, 16, 8)
		}
		if !isLowSurrogate(low) {
			return 0, l.fail(n, m, "invalid Unicode surrogate pair")
		}
		n, v = m, joinSurrogates(v, low)
	}
	if v <= 0 || v > utf8.MaxRune {
		return 0, l.fail(from, n, "invalid Unicode escape value")
	}
	b.WriteRune(v)
	return n, true
}

func isHighSurrogate(r rune) bool { return r >= 0xD800 && r <= 0xDBFF }
func isLowSurrogate(r rune) bool  { return r >= 0xDC00 && r <= 0xDFFF }
func joinSurrogates(hi, lo rune) rune {
	return (hi-0xD800)<<10 + (lo - 0xDC00) + 0x10000
}

// unicodeString lexes U&'…', the quote being at l.pos, with an optional UESCAPE after it.
func (l *lexer) unicodeString(start int) bool {
	body := l.pos + 1
	text, ok := l.rawString(start, "unterminated quoted string")
	if !ok {
		return false
	}
	if text, ok = l.unicodeEscapes(text, body); !ok {
		return false
	}
	l.emit(tokString, start, text)
	return true
}

// unicodeEscapes reads an optional UESCAPE 'c' behind l.pos and decodes text, whose first byte stood
// at offset body.
func (l *lexer) unicodeEscapes(text string, body int) (string, bool) {
	esc, ok := l.uescape()
	if !ok || strings.IndexByte(text, esc) < 0 {
		return text, ok
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != esc {
			b.WriteByte(text[i])
			i++
			continue
		}
		if i+1 < len(text) && text[i+1] == esc {
			b.WriteByte(esc)
			i += 2
			continue
		}
		r, n := unicodeEscape(text[i:], esc)
		if isHighSurrogate(r) {
			low, m := unicodeEscape(text[i+n:], esc)
			if !isLowSurrogate(low) {
				return "", l.unicodeError(body+i+n, "invalid Unicode surrogate pair")
			}
			r, n = joinSurrogates(r, low), n+m
		} else if isLowSurrogate(r) {
			return "", l.unicodeError(body+i, "invalid Unicode surrogate pair")
		}
		if n == 0 {
			return "", l.failWith(clampOffset(body+i, l.pos), sqlerr.New(sqlerr.SyntaxError, "invalid Unicode escape").
				WithHint("Unicode escapes must be \\XXXX or \\+XXXXXX."))
		}
		if r == 0 || r > utf8.MaxRune {
			return "", l.unicodeError(body+i, "invalid Unicode escape value")
		}
		b.WriteRune(r)
		i += n
	}
	return b.String(), true
}

func (l *lexer) unicodeError(at int, message string) bool {
	return l.failWith(clampOffset(at, l.pos), sqlerr.New(sqlerr.SyntaxError, "%s", message))
}

// clampOffset keeps an offset computed from decoded text (doubled quotes shift it) inside the literal.
func clampOffset(at, end int) int { return min(at, end) }

// unicodeEscape decodes \XXXX or \+XXXXXX at the start of s; n is 0 if there is none.
func unicodeEscape(s string, esc byte) (r rune, n int) {
	if len(s) == 0 || s[0] != esc {
		return 0, 0
	}
	first, width := 1, 4
	if len(s) > 1 && s[1] == '+' {
		first, width = 2, 6
	}
	if len(s) < first+width {
		return 0, 0
	}
	for i := first; i < first+width; i++ {
		if !isRadixDigit(s[i], 16) {
			return 0, 0
		}
		r = r<<4 + hexValue(s[i])
	}
	return r, first + width
}

// uescape reads UESCAPE 'c' if it follows; the escape character is a backslash otherwise.
func (l *lexer) uescape() (byte, bool) {
	end := l.pos
	if !l.skipSpace() {
		return 0, false
	}
	if len(l.sql)-l.pos < 7 || foldASCII(l.sql[l.pos:l.pos+7]) != "uescape" || isIdentPart(l.at(l.pos+7)) {
		l.pos = end
		return '\\', true
	}
	l.pos += 7
	if !l.skipSpace() {
		return 0, false
	}
	at := l.pos
	if l.at(at) != '\'' {
		return 0, l.fail(at, min(at+1, len(l.sql)), "UESCAPE must be followed by a simple string literal")
	}
	text, ok := l.rawString(at, "unterminated quoted string")
	if !ok {
		return 0, false
	}
	if len(text) != 1 || isRadixDigit(text[0], 16) || strings.Contains("+'\" \t\n\r\f\v", text) || text[0] >= 0x80 {
		return 0, l.fail(at, l.pos, "invalid Unicode escape character")
	}
	return text[0], true
}

// checkText refuses text that is not UTF-8, or has a zero byte, as PostgreSQL words it.
func checkText(s string) *sqlerr.Error {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if s[i] == 0 || r == utf8.RuneError && n == 1 {
			return sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", hexBytes(s[i:]))
		}
		i += n
	}
	return nil
}

// hexBytes shows the bytes of a broken character: as many as its first byte announces.
func hexBytes(s string) string {
	n := 1
	switch c := s[0]; {
	case c >= 0xF0 && c < 0xF8:
		n = 4
	case c >= 0xE0 && c < 0xF0:
		n = 3
	case c >= 0xC0 && c < 0xE0:
		n = 2
	}
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < min(n, len(s)); i++ {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("0x")
		b.WriteByte(digits[s[i]>>4])
		b.WriteByte(digits[s[i]&15])
	}
	return b.String()
}
