package sqlio

import (
	"sort"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// A map is kept as the array of its entries, records of a key and a value, in the order of the keys.

// MakeMap encodes a map of type t. Errors: 22023 for keys that are NULL or not unique.
func MakeMap(t sqltypes.Type, keys, values []sqltypes.Datum) ([]byte, error) {
	kt, _ := t.KeyValue()
	order := make([]int, len(keys))
	for i, k := range keys {
		if k == nil {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "map keys must not be NULL")
		}
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return Compare(kt, keys[order[i]], keys[order[j]]) < 0 })
	entry := t.EntryType()
	entries := make([]sqltypes.Datum, len(keys))
	for i, k := range order {
		if i > 0 && Compare(kt, keys[order[i-1]], keys[k]) == 0 {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "map keys must be unique")
		}
		entries[i] = EncodeRecord(entry, []sqltypes.Datum{keys[k], values[k]})
	}
	return MakeArray(t, entries), nil
}

// ReadMap returns the entries of an encoded map, by key. Byte values alias b.
func ReadMap(t sqltypes.Type, b []byte) (keys, values []sqltypes.Datum, err error) {
	a, err := ReadArray(t, b)
	if err != nil {
		return nil, nil, err
	}
	keys, values = make([]sqltypes.Datum, a.Len()), make([]sqltypes.Datum, a.Len())
	for i := range keys {
		e, ok := a.At(i).([]byte)
		if !ok {
			return nil, nil, errArray
		}
		kv, err := DecodeRecord(a.Elem(), e)
		if err != nil || len(kv) != 2 {
			return nil, nil, errArray
		}
		keys[i], values[i] = kv[0], kv[1]
	}
	return keys, values, nil
}

func appendMapText(dst []byte, t sqltypes.Type, b []byte, s *Settings) []byte {
	keys, values, err := ReadMap(t, b)
	if err != nil {
		return append(dst, '{', '}')
	}
	kt, vt := t.KeyValue()
	dst = append(dst, '{')
	for i := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendMapItem(dst, kt, keys[i], s), ':')
		dst = appendMapItem(dst, vt, values[i], s)
	}
	return append(dst, '}')
}

// isNest reports whether texts of type t balance their brackets and quotes, so that they need no quotes in a map.
func isNest(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KMap || t.Kind == sqltypes.KArray || t.Kind == sqltypes.KRecord || t.Kind == sqltypes.KVector
}

func appendMapItem(dst []byte, t sqltypes.Type, d sqltypes.Datum, s *Settings) []byte {
	if d == nil {
		return append(dst, "NULL"...)
	}
	text := string(AppendTextDatum(nil, t, d, s))
	if isNest(t) || text != "" && !strings.EqualFold(text, "null") && !strings.ContainsAny(text, "{}()[],:\"\\ \t\n\v\f\r") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// mapParser reads {key:value,…}.
type mapParser struct {
	text string
	pos  int
}

func (p *mapParser) space() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

// take skips blanks and consumes c.
func (p *mapParser) take(c byte) bool {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// item reads up to a delimiter outside brackets and quotes.
func (p *mapParser) item() (text string, null, ok bool) {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		return p.quoted()
	}
	start, depth, quoted := p.pos, 0, false
scan:
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == '\\':
			p.pos++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '(' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ')' || c == ']'):
			depth--
		case depth == 0 && (c == ':' || c == ',' || c == '}'):
			break scan
		}
	}
	if p.pos >= len(p.text) {
		return "", false, false
	}
	text = trim(p.text[start:p.pos])
	return text, strings.EqualFold(text, "null"), text != ""
}

func (p *mapParser) quoted() (text string, null, ok bool) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch p.text[p.pos] {
		case '"':
			p.pos++
			return b.String(), false, true
		case '\\':
			if p.pos++; p.pos == len(p.text) {
				return "", false, false
			}
		}
		b.WriteByte(p.text[p.pos])
	}
	return "", false, false
}

func parseMap(t sqltypes.Type, text string, s *Settings) ([]byte, error) {
	p := &mapParser{text: text}
	bad := func(detail string) ([]byte, error) { return nil, errMalformed("map", text, "%s", detail) }
	if !p.take('{') {
		return bad("Map value must start with \"{\".")
	}
	kt, vt := t.KeyValue()
	var keys, values []sqltypes.Datum
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return bad("A comma or \"}\" is missing after an entry.")
		}
		var pair [2]sqltypes.Datum
		for i, it := range [2]sqltypes.Type{kt, vt} {
			if i == 1 && !p.take(':') {
				return bad("A colon is missing after a key.")
			}
			item, null, ok := p.item()
			if !ok {
				return bad("Unexpected end of input.")
			}
			if null {
				continue
			}
			d, err := ParseText(it, item, s)
			if err == nil {
				d, err = ApplyTypmod(it, d, false)
			}
			if err != nil {
				return nil, err
			}
			pair[i] = d
		}
		keys, values = append(keys, pair[0]), append(values, pair[1])
	}
	if p.space(); p.pos < len(text) {
		return bad("Junk after closing right brace.")
	}
	return MakeMap(t, keys, values)
}
