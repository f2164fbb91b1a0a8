package jsonb

import (
	"bytes"
	"iter"
)

// The functions below read the type json, which is text kept as it was given: blanks, order and duplicate keys
// stay. The text must be valid; see Validate.

// rawSkip returns s from its first non-blank byte.
func rawSkip(s []byte) []byte { return bytes.TrimLeft(s, " \t\r\n") }

// rawValue splits off the value that s begins with.
func rawValue(s []byte) (v, rest []byte) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = rawStringEnd(s, i)
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth < 0 {
				return bytes.TrimRight(s[:i], " \t\r\n"), s[i:]
			}
		case ',', ':':
			if depth == 0 {
				return bytes.TrimRight(s[:i], " \t\r\n"), s[i:]
			}
		}
	}
	return bytes.TrimRight(s, " \t\r\n"), nil
}

// rawStringEnd returns the position of the quote that closes the string opened at i.
func rawStringEnd(s []byte, i int) int {
	for i++; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return min(i, len(s)-1)
}

// RawKind says what JSON text is.
func RawKind(text []byte) Kind {
	s := rawSkip(text)
	if len(s) == 0 {
		return Null
	}
	switch s[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// RawElements iterates over the elements of an array as text.
func RawElements(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		s := rawSkip(text)
		if len(s) == 0 || s[0] != '[' {
			return
		}
		s = rawSkip(s[1:])
		for i := 0; len(s) > 0 && s[0] != ']'; i++ {
			v, rest := rawValue(s)
			if !yield(i, v) {
				return
			}
			s = rawSkip(bytes.TrimPrefix(rest, []byte{','}))
		}
	}
}

// RawEach iterates over the keys (decoded) and values (text) of an object, in text order with duplicates.
func RawEach(text []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		s := rawSkip(text)
		if len(s) == 0 || s[0] != '{' {
			return
		}
		s = rawSkip(s[1:])
		for len(s) > 0 && s[0] == '"' {
			end := rawStringEnd(s, 0)
			key := rawUnquote(s[:end+1])
			s = rawSkip(bytes.TrimPrefix(rawSkip(s[end+1:]), []byte{':'}))
			v, rest := rawValue(s)
			if !yield(key, v) {
				return
			}
			s = rawSkip(bytes.TrimPrefix(rest, []byte{','}))
		}
	}
}

// rawUnquote decodes a string token; one that cannot be decoded (a lone surrogate) stays as it is.
func rawUnquote(s []byte) string {
	l := lexer{in: s, decode: true}
	if err := l.next(); err != nil || l.tok != tokString {
		return string(bytes.Trim(s, `"`))
	}
	return string(l.str)
}

// RawField is json -> key: the text of the last value with that key.
func RawField(text []byte, key string) (v []byte, ok bool) {
	for k, x := range RawEach(text) {
		if k == key {
			v, ok = x, true
		}
	}
	return v, ok
}

// RawIndex is json -> i; negative positions count from the end.
func RawIndex(text []byte, i int) (v []byte, ok bool) {
	if i < 0 {
		i += RawLen(text)
	}
	for k, x := range RawElements(text) {
		if k == i {
			return x, true
		}
	}
	return nil, false
}

// RawLen counts the elements of an array.
func RawLen(text []byte) int {
	n := 0
	for range RawElements(text) {
		n++
	}
	return n
}

// RawPath is json #> path.
func RawPath(text []byte, path []string) (v []byte, ok bool) {
	v = rawSkip(text)
	for _, step := range path {
		switch RawKind(v) {
		case Object:
			v, ok = RawField(v, step)
		case Array:
			i, isInt := atoi(step)
			if !isInt {
				return nil, false
			}
			v, ok = RawIndex(v, i)
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// RawText is the text form that ->> and #>> return: strings decoded, null as ok false. Error: 22P02 or 22P05 for
// escapes that denote no character.
func RawText(v []byte) (text []byte, ok bool, err error) {
	v = rawSkip(v)
	switch RawKind(v) {
	case Null:
		return nil, false, nil
	case String:
		l := lexer{in: v, decode: true}
		if err := l.next(); err != nil {
			return nil, false, err
		}
		return l.str, true, nil
	}
	return bytes.TrimRight(v, " \t\r\n"), true, nil
}
