package jsonpath

import (
	"strings"

	"github.com/millrace/millrace/internal/jsonb"
)

// .keyvalue() gives each object an id, which in PostgreSQL is the object's place in the bytes of the document. To answer
// with the same numbers the places are counted in PostgreSQL's layout: a header of 4 bytes, 4 bytes an entry, then keys and
// values, containers and numbers on multiples of 4.

// offsetOf is where part, a value inside the document, begins; 0 when it is the document.
func (b base) offsetOf(part []byte) int64 {
	_, at, ok := layOut(b.doc, part, 0)
	if !ok {
		return 0
	}
	return at
}

func same(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

func align(pos int64) int64 { return (pos + 3) &^ 3 }

// layOut walks v, which begins at pos, to its end; at is where part begins if it is inside.
func layOut(v, part []byte, pos int64) (end, at int64, ok bool) {
	switch jsonb.KindOf(v) {
	case jsonb.String:
		s, _ := jsonb.StringValue(v)
		return pos + int64(len(s)), 0, false
	case jsonb.Number:
		d, _ := jsonb.NumberValue(v)
		return align(pos) + numberSize(d.String()), 0, false
	case jsonb.Array, jsonb.Object:
	default:
		return pos, 0, false
	}
	pos = align(pos)
	if same(v, part) {
		return 0, pos, true
	}
	n := int64(jsonb.Len(v))
	if jsonb.KindOf(v) == jsonb.Array {
		pos += 4 + 4*n
		for _, e := range jsonb.Elements(v) {
			if pos, at, ok = layOut(e, part, pos); ok {
				return 0, at, true
			}
		}
		return pos, 0, false
	}
	pos += 4 + 8*n
	for k := range jsonb.Each(v) {
		pos += int64(len(k))
	}
	for _, e := range jsonb.Each(v) {
		if pos, at, ok = layOut(e, part, pos); ok {
			return 0, at, true
		}
	}
	return pos, 0, false
}

// numberSize is the length of a number: a header and two bytes for every four digits around the point.
func numberSize(text string) int64 {
	whole, part, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	scale := len(part)
	whole = strings.TrimLeft(whole, "0")
	if k := len(whole) % 4; k != 0 {
		whole = strings.Repeat("0", 4-k) + whole
	}
	if k := len(part) % 4; k != 0 {
		part += strings.Repeat("0", 4-k)
	}
	groups, weight := whole+part, len(whole)/4-1
	for strings.HasPrefix(groups, "0000") {
		groups = groups[4:]
		weight--
	}
	for strings.HasSuffix(groups, "0000") {
		groups = groups[:len(groups)-4]
	}
	header := int64(6)
	if scale > 63 || weight > 63 || weight < -64 {
		header = 8
	}
	return header + int64(len(groups)/2)
}
