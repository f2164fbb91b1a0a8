package jsonb

import (
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// maxDepth bounds nesting, where PostgreSQL's bound is its stack.
const maxDepth = 6000

// token is a lexical element; structural ones are their own character.
type token byte

const (
	tokEnd    token = 0
	tokString token = 's'
	tokNumber token = 'n'
	tokTrue   token = 't'
	tokFalse  token = 'f'
	tokNull   token = '0'
)

// lexer splits JSON text into tokens. It follows PostgreSQL's in what it calls a token, so that errors name
// the same text.
type lexer struct {
	in    []byte
	start int // of the current token
	pos   int // behind the current token
	tok   token
	// decode says that escapes are to be resolved (jsonb) and not only checked (json).
	decode bool
	str    []byte // the contents of a string token, aliasing in unless it has escapes
	buf    []byte
}

// Parse reads JSON text. Errors: 22P02 and 22P05 with PostgreSQL's wording, 54001 for nesting too deep.
func Parse(text []byte) ([]byte, error) {
	var b Builder
	if err := b.Parse(text); err != nil {
		return nil, err
	}
	return b.buf, nil
}

// Parse adds the value that JSON text denotes. After an error the builder must be Reset.
func (b *Builder) Parse(text []byte) error {
	p := parser{lexer: lexer{in: text, decode: true}, b: b}
	return p.document()
}

// Validate checks JSON text for the type json, which keeps it as it is. Errors as Parse, but escapes of
// surrogates and zero are let through, as in PostgreSQL.
func Validate(text []byte) error {
	p := parser{lexer: lexer{in: text}}
	return p.document()
}

func errJSON(detail string, args ...any) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type json").WithDetail(detail, args...)
}

// isWordChar says what belongs to a word, or to a malformed number.
func isWordChar(c byte) bool {
	return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
}

func (l *lexer) next() error {
	for l.pos < len(l.in) {
		if c := l.in[l.pos]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			break
		}
		l.pos++
	}
	l.start = l.pos
	if l.pos == len(l.in) {
		l.tok = tokEnd
		return nil
	}
	switch c := l.in[l.pos]; c {
	case '{', '}', '[', ']', ',', ':':
		l.tok = token(c)
		l.pos++
		return nil
	case '"':
		l.tok = tokString
		return l.string()
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		l.tok = tokNumber
		return l.number()
	}
	return l.word()
}

func (l *lexer) word() error {
	for l.pos < len(l.in) && isWordChar(l.in[l.pos]) {
		l.pos++
	}
	if l.pos == l.start {
		l.pos++
		return l.invalid()
	}
	switch string(l.in[l.start:l.pos]) {
	case "true":
		l.tok = tokTrue
	case "false":
		l.tok = tokFalse
	case "null":
		l.tok = tokNull
	default:
		return l.invalid()
	}
	return nil
}

func (l *lexer) text() []byte { return l.in[l.start:l.pos] }

func (l *lexer) invalid() error { return errJSON("Token \"%s\" is invalid.", l.text()) }

func (l *lexer) digits() bool {
	from := l.pos
	for l.pos < len(l.in) && l.in[l.pos]-'0' < 10 {
		l.pos++
	}
	return l.pos > from
}

func (l *lexer) accept(c byte) bool {
	if l.pos < len(l.in) && l.in[l.pos] == c {
		l.pos++
		return true
	}
	return false
}

func (l *lexer) number() error {
	l.accept('-')
	ok := l.accept('0') || l.digits()
	if l.accept('.') {
		ok = l.digits() && ok
	}
	if l.accept('e') || l.accept('E') {
		if !l.accept('+') {
			l.accept('-')
		}
		ok = l.digits() && ok
	}
	for l.pos < len(l.in) && isWordChar(l.in[l.pos]) {
		l.pos++
		ok = false
	}
	if !ok {
		return l.invalid()
	}
	return nil
}

// string reads a string token; without escapes its contents are not copied.
func (l *lexer) string() error {
	l.pos++
	from := l.pos
	for l.pos < len(l.in) {
		switch c := l.in[l.pos]; {
		case c == '"':
			l.str = l.in[from:l.pos]
			l.pos++
			return nil
		case c == '\\':
			return l.escaped(from)
		case c < ' ':
			return errJSON("Character with value 0x%02x must be escaped.", c)
		}
		l.pos++
	}
	return l.invalid()
}

// escaped continues a string at its first backslash.
func (l *lexer) escaped(from int) error {
	l.buf = append(l.buf[:0], l.in[from:l.pos]...)
	high := rune(0) // a high surrogate waiting for its low one
	for l.pos < len(l.in) {
		c := l.in[l.pos]
		if c == '\\' && l.pos+1 < len(l.in) && l.in[l.pos+1] == 'u' {
			r, err := l.unicode()
			if err != nil {
				return err
			}
			if !l.decode {
				continue
			}
			if high, err = l.surrogate(high, r); err != nil {
				return err
			}
			continue
		}
		if high != 0 {
			return errJSON("Unicode low surrogate must follow a high surrogate.")
		}
		switch {
		case c == '"':
			l.str = l.buf
			l.pos++
			return nil
		case c == '\\':
			if err := l.escape(); err != nil {
				return err
			}
		case c < ' ':
			return errJSON("Character with value 0x%02x must be escaped.", c)
		default:
			l.buf = append(l.buf, c)
			l.pos++
		}
	}
	return l.invalid()
}

// escape reads a two-character escape.
func (l *lexer) escape() error {
	l.pos++
	if l.pos == len(l.in) {
		return l.invalid()
	}
	switch c := l.in[l.pos]; c {
	case '"', '\\', '/':
		l.buf = append(l.buf, c)
	case 'b':
		l.buf = append(l.buf, '\b')
	case 'f':
		l.buf = append(l.buf, '\f')
	case 'n':
		l.buf = append(l.buf, '\n')
	case 'r':
		l.buf = append(l.buf, '\r')
	case 't':
		l.buf = append(l.buf, '\t')
	default:
		_, n := utf8.DecodeRune(l.in[l.pos:])
		return errJSON("Escape sequence \"\\%s\" is invalid.", l.in[l.pos:l.pos+n])
	}
	l.pos++
	return nil
}

// unicode reads \uXXXX.
func (l *lexer) unicode() (rune, error) {
	l.pos += 2
	r := rune(0)
	for range 4 {
		if l.pos == len(l.in) {
			return 0, l.invalid()
		}
		v, err := strconv.ParseUint(string(l.in[l.pos:l.pos+1]), 16, 8)
		if err != nil {
			return 0, errJSON("\"\\u\" must be followed by four hexadecimal digits.")
		}
		r = r<<4 | rune(v)
		l.pos++
	}
	return r, nil
}

// surrogate appends r, or combines it with the high surrogate before it; it returns the one now waiting.
func (l *lexer) surrogate(high, r rune) (rune, error) {
	switch {
	case r == 0:
		return 0, sqlerr.New(sqlerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
			WithDetail("\\u0000 cannot be converted to text.")
	case r >= 0xD800 && r < 0xDC00:
		if high != 0 {
			return 0, errJSON("Unicode high surrogate must not follow a high surrogate.")
		}
		return r, nil
	case r >= 0xDC00 && r < 0xE000:
		if high == 0 {
			return 0, errJSON("Unicode low surrogate must follow a high surrogate.")
		}
		r = 0x10000 + (high-0xD800)<<10 + (r - 0xDC00)
	case high != 0:
		return 0, errJSON("Unicode low surrogate must follow a high surrogate.")
	}
	l.buf = utf8.AppendRune(l.buf, r)
	return 0, nil
}

// parser reads values; without a builder it only checks them.
type parser struct {
	lexer
	b     *Builder
	depth int
}

func (p *parser) document() error {
	if err := p.next(); err != nil {
		return err
	}
	if err := p.value(); err != nil {
		return err
	}
	if p.tok != tokEnd {
		return errJSON("Expected end of input, but found \"%s\".", p.text())
	}
	return nil
}

// expected is the error of finding the current token where something else had to be.
func (p *parser) expected(what string) error {
	if p.tok == tokEnd {
		return errJSON("The input string ended unexpectedly.")
	}
	return errJSON("Expected %s, but found \"%s\".", what, p.text())
}

// value reads the value that begins with the current token and the token behind it.
func (p *parser) value() error {
	switch p.tok {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case tokString, tokNumber, tokTrue, tokFalse, tokNull:
		if err := p.scalar(); err != nil {
			return err
		}
		return p.next()
	}
	return p.expected("JSON value")
}

func (p *parser) scalar() error {
	if p.b == nil {
		return nil
	}
	switch p.tok {
	case tokString:
		p.b.StringBytes(p.str)
	case tokNumber:
		d, err := numeric.ParseBytes(p.text())
		if err != nil {
			return err
		}
		p.b.number(d)
	case tokNull:
		p.b.Null()
	default:
		p.b.Bool(p.tok == tokTrue)
	}
	return nil
}

func (p *parser) enter() error {
	p.depth++
	if p.depth > maxDepth {
		return sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded")
	}
	return p.next()
}

func (p *parser) array() error {
	if p.b != nil {
		p.b.BeginArray()
	}
	if err := p.enter(); err != nil {
		return err
	}
	for first := true; !first || p.tok != ']'; first = false {
		if err := p.value(); err != nil {
			return err
		}
		if p.tok == ']' {
			break
		}
		if p.tok != ',' {
			return p.expected("\",\" or \"]\"")
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	p.depth--
	if p.b != nil {
		p.b.EndArray()
	}
	return p.next()
}

func (p *parser) object() error {
	if p.b != nil {
		p.b.BeginObject()
	}
	if err := p.enter(); err != nil {
		return err
	}
	for first := true; !first || p.tok != '}'; first = false {
		if p.tok != tokString {
			if first {
				return p.expected("string or \"}\"")
			}
			return p.expected("string")
		}
		if err := p.field(); err != nil {
			return err
		}
		if p.tok == '}' {
			break
		}
		if p.tok != ',' {
			return p.expected("\",\" or \"}\"")
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	p.depth--
	if p.b != nil {
		p.b.EndObject()
	}
	return p.next()
}

// field reads key, colon and value.
func (p *parser) field() error {
	if p.b != nil {
		p.b.KeyBytes(p.str)
	}
	if err := p.next(); err != nil {
		return err
	}
	if p.tok != ':' {
		return p.expected("\":\"")
	}
	if err := p.next(); err != nil {
		return err
	}
	return p.value()
}
