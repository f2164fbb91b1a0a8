package jsonb

import (
	"github.com/millrace/millrace/internal/numeric"
)

// AppendText appends v as PostgreSQL prints jsonb: {"a": 1, "b": [1, 2]}.
func AppendText(dst, v []byte) []byte {
	switch KindOf(v) {
	case Array:
		c := openContainer(v)
		dst = append(dst, '[')
		for i := range c.n {
			if i > 0 {
				dst = append(dst, ',', ' ')
			}
			dst = AppendText(dst, c.part(i))
		}
		return append(dst, ']')
	case Object:
		c := openContainer(v)
		dst = append(dst, '{')
		for i := range c.n {
			if i > 0 {
				dst = append(dst, ',', ' ')
			}
			dst = append(AppendQuoted(dst, c.part(i)), ':', ' ')
			dst = AppendText(dst, c.value(i))
		}
		return append(dst, '}')
	}
	return appendScalar(dst, v)
}

func appendScalar(dst, v []byte) []byte {
	switch KindOf(v) {
	case String:
		return AppendQuoted(dst, v[1:])
	case Number:
		d, _, err := numeric.DecodeImage(v[1:])
		if err != nil {
			d = numeric.Dec{}
		}
		return d.AppendText(dst)
	case Bool:
		if v[0] == tagTrue {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	}
	return append(dst, "null"...)
}

// AppendQuoted appends s as a JSON string: escaped where JSON requires it, nothing else.
func AppendQuoted[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// AppendAsText appends what ->> returns: the contents of a string, the text of anything else. ok is false for
// null, which becomes SQL's NULL.
func AppendAsText(dst, v []byte) (out []byte, ok bool) {
	switch KindOf(v) {
	case Null:
		return dst, false
	case String:
		return append(dst, v[1:]...), true
	}
	return AppendText(dst, v), true
}

// AppendPretty appends v as jsonb_pretty prints it, with four blanks a level.
func AppendPretty(dst, v []byte) []byte { return appendPretty(dst, v, 0) }

func appendPretty(dst, v []byte, level int) []byte {
	k := KindOf(v)
	if k != Array && k != Object {
		return appendScalar(dst, v)
	}
	c := openContainer(v)
	open, end := byte('['), byte(']')
	if k == Object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i := range c.n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = indent(dst, level+1)
		if k == Array {
			dst = appendPretty(dst, c.part(i), level+1)
			continue
		}
		dst = append(AppendQuoted(dst, c.part(i)), ':', ' ')
		dst = appendPretty(dst, c.value(i), level+1)
	}
	return append(indent(dst, level), end)
}

func indent(dst []byte, level int) []byte {
	dst = append(dst, '\n')
	for range level {
		dst = append(dst, "    "...)
	}
	return dst
}
