package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
)

// scanner reads JSON text from left to right: RFC 8259, nested up to maxDepth. Escapes in strings are checked by
// unescape.
type scanner struct {
	b []byte
	i int
}

// maxDepth bounds the nesting of JSON values.
const maxDepth = 512

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the first byte of what follows the white space; 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// bad is an error about the byte at the scanner's position.
func (s *scanner) bad() error {
	if s.i >= len(s.b) {
		return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type json").
			WithDetail("The input string ended unexpectedly.")
	}
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type json").
		WithDetail("Unexpected %q at byte %d.", s.b[s.i:s.i+1], s.i+1)
}

// expect passes the byte c.
func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.bad()
	}
	s.i++
	return nil
}

// finish checks that only white space is left.
func (s *scanner) finish() error {
	s.space()
	if s.i < len(s.b) {
		return s.bad()
	}
	return nil
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// plain returns the length of the run from i on without quotes, backslashes, control characters and bytes
// above 127: eight bytes at a time, the first zero byte of a word being found by its borrow.
func (s *scanner) plain(i int) int {
	b, start := s.b, i
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(lowBits*'"'), w^(lowBits*'\\')
		stop := (quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-lowBits*0x20)&^w | w
		if stop &= highBits; stop != 0 {
			return i - start + bits.TrailingZeros64(stop)/8
		}
		i += 8
	}
	for i < len(b) && b[i] >= 0x20 && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i - start
}

// str passes a string, whose opening quote is at the position, and returns its contents as written. escaped
// says that they contain backslashes. The contents are valid UTF-8 without control characters.
func (s *scanner) str() (raw []byte, escaped bool, err error) {
	start := s.i + 1
	i := start
	for {
		i += s.plain(i)
		if i >= len(s.b) {
			s.i = i
			return nil, false, s.bad()
		}
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return s.b[start:i], escaped, nil
		case c == '\\':
			escaped = true
			i += 2
			if i > len(s.b) {
				s.i = len(s.b)
				return nil, false, s.bad()
			}
		case c < 0x20:
			s.i = i
			return nil, false, s.bad()
		default:
			r, size := utf8.DecodeRune(s.b[i:])
			if r == utf8.RuneError && size == 1 {
				return nil, false, badUTF8(c)
			}
			i += size
		}
	}
}

// unescape appends the characters that a string's contents stand for.
func unescape(dst, raw []byte) ([]byte, error) {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if i+1 >= len(raw) {
			return dst, badEscape(raw[i:])
		}
		i += 2
		switch c = raw[i-1]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, used, err := unicodeEscape(raw[i-2:])
			if err != nil {
				return dst, err
			}
			dst = utf8.AppendRune(dst, r)
			i += used - 2
		default:
			return dst, badEscape(raw[i-2:])
		}
	}
	return dst, nil
}

func badEscape(at []byte) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type json").
		WithDetail("Escape sequence \"%.6s\" is invalid.", at)
}

// unicodeEscape reads \uXXXX, or two of them that make a surrogate pair.
func unicodeEscape(b []byte) (r rune, used int, err error) {
	hi, ok := hex4(b)
	if !ok {
		return 0, 0, badEscape(b)
	}
	if hi == 0 {
		return 0, 0, sqlerr.New(sqlerr.UntranslatableCharacter, "unsupported Unicode escape sequence").
			WithDetail("\\u0000 cannot be converted to text.")
	}
	if !utf16.IsSurrogate(hi) {
		return hi, 6, nil
	}
	if lo, ok := hex4(b[6:]); ok {
		if r := utf16.DecodeRune(hi, lo); r != utf8.RuneError {
			return r, 12, nil
		}
	}
	return 0, 0, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type json").
		WithDetail("Unicode surrogates must come in pairs.")
}

// hex4 reads the XXXX of \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number passes a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	b, start, i := s.b, s.i, s.i
	if i < len(b) && b[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' < 10 {
			i++
		}
		return i > from
	}
	whole := i
	ok := digits()
	if ok && b[whole] == '0' && i > whole+1 {
		ok = false
	}
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = digits()
	}
	s.i = i
	if !ok {
		return nil, s.bad()
	}
	return b[start:i], nil
}

// literal passes one of true, false and null.
func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.bad()
	}
	s.i += len(word)
	return nil
}

// skip passes one value and returns its text.
func (s *scanner) skip() ([]byte, error) {
	s.peek()
	start := s.i
	err := s.skipValue(0)
	if err != nil {
		return nil, err
	}
	return s.b[start:s.i], nil
}

func (s *scanner) skipValue(depth int) error {
	if depth > maxDepth {
		return sqlerr.New(sqlerr.StatementTooComplex, "JSON value is nested too deeply").WithDetail("The limit is %d levels.", maxDepth)
	}
	var err error
	switch s.peek() {
	case '"':
		_, _, err = s.str()
	case '{':
		return s.skipObject(depth)
	case '[':
		return s.skipArray(depth)
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	default:
		_, err = s.number()
	}
	return err
}

func (s *scanner) skipObject(depth int) error {
	s.i++
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.bad()
		}
		if _, _, err := s.str(); err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := s.skipValue(depth + 1); err != nil {
			return err
		}
		if more, err := s.next('}'); !more {
			return err
		}
	}
}

func (s *scanner) skipArray(depth int) error {
	s.i++
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := s.skipValue(depth + 1); err != nil {
			return err
		}
		if more, err := s.next(']'); !more {
			return err
		}
	}
}

// next passes a comma (more) or the closing bracket.
func (s *scanner) next(closing byte) (more bool, err error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case closing:
		s.i++
		return false, nil
	}
	return false, s.bad()
}
