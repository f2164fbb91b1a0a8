package codec

import (
	"bytes"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// jsonDecoder decodes records that are one JSON object, or an array of objects. Fields that no column wants
// are passed over; columns without a field are NULL; of a field given twice the last counts.
type jsonDecoder struct {
	*target
	fields *jsonFields
}

// newJSON makes a decoder for FORMAT PLAIN ENCODE JSON.
func newJSON(t *target, spec *connector.SourceSpec) (Decoder, error) {
	m, err := parseJSONOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	return &jsonDecoder{t, newJSONFields(t, m)}, nil
}

// Decode implements Decoder.
func (d *jsonDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *jsonDecoder) decode(rec *Record, to *Rows) error {
	s := scanner{b: rec.Value}
	if s.peek() != '[' {
		if err := d.row(&s, rec, to); err != nil {
			return err
		}
		return s.finish()
	}
	s.i++
	if s.peek() == ']' {
		s.i++
		return s.finish()
	}
	for {
		if err := d.row(&s, rec, to); err != nil {
			return err
		}
		if more, err := s.next(']'); err != nil {
			return err
		} else if !more {
			return s.finish()
		}
	}
}

func (d *jsonDecoder) row(s *scanner, rec *Record, to *Rows) error {
	if err := d.fields.object(s, to); err != nil {
		return err
	}
	if err := d.appendIncludes(rec, to, false); err != nil {
		return err
	}
	to.end(1)
	return nil
}

// jsonFields finds the column of each field. Records of one stream mostly have their fields in one order, so
// the fields of the last record are remembered by their place: a hit costs one comparison.
type jsonFields struct {
	values []jsonValue
	exact  map[string]int // field name → values, −1: unwanted
	folded map[string]int // the same in lower case
	places []jsonPlace
	buf    []byte
}

// jsonPlace is the field that was last seen in one place of an object.
type jsonPlace struct {
	name  string // as written, with its closing quote; never with escapes
	value int
}

func newJSONFields(t *target, m jsonModes) *jsonFields {
	f := &jsonFields{exact: map[string]int{}, folded: map[string]int{}}
	for _, c := range t.columns {
		v := newJSONValue(c, t.settings, m)
		if i, ok := f.exact[c.name]; ok { // a column wanted twice
			f.values[i].also = append(f.values[i].also, c.slot)
			continue
		}
		f.exact[c.name] = len(f.values)
		f.values = append(f.values, v)
	}
	for i := len(f.values) - 1; i >= 0; i-- {
		f.folded[lower(f.values[i].name)] = i
	}
	return f
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

// maxPlaces bounds what is remembered of the fields' order, and of the fields that no column wants.
const maxPlaces = 1024

// object appends the fields of the object that follows.
func (f *jsonFields) object(s *scanner, to *Rows) error {
	if s.peek() != '{' {
		if c := s.peek(); c == 0 {
			return s.bad()
		}
		return notAnObject(s)
	}
	s.i++
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for place := 0; ; place++ {
		if s.peek() != '"' {
			return s.bad()
		}
		v, err := f.field(s, place)
		if err != nil {
			return err
		}
		if s.i < len(s.b) && s.b[s.i] == ':' {
			s.i++
		} else if err := s.expect(':'); err != nil {
			return err
		}
		if v < 0 {
			if err := s.skipValue(1); err != nil {
				return err
			}
		} else if err := f.values[v].field(s, to); err != nil {
			return err
		}
		if more, err := s.next('}'); !more {
			return err
		}
	}
}

func notAnObject(s *scanner) error {
	if _, err := s.skip(); err != nil {
		return err
	}
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "JSON record is not an object")
}

// field passes a field's name, whose quote is at the position, and finds its column: −1 for none.
func (f *jsonFields) field(s *scanner, place int) (int, error) {
	if place < len(f.places) {
		p := &f.places[place]
		if rest := s.b[s.i+1:]; len(rest) >= len(p.name) && string(rest[:len(p.name)]) == p.name {
			s.i += 1 + len(p.name)
			return p.value, nil
		}
	}
	raw, escaped, err := s.str()
	if err != nil {
		return -1, err
	}
	name := raw
	if escaped {
		if f.buf, err = unescape(f.buf[:0], raw); err != nil {
			return -1, err
		}
		name = f.buf
	}
	v := f.find(name)
	if !escaped && place < maxPlaces {
		for len(f.places) <= place {
			f.places = append(f.places, jsonPlace{"\"", -1})
		}
		f.places[place] = jsonPlace{string(raw) + "\"", v}
	}
	return v, nil
}

// find looks a field's name up: as it is, then regardless of case.
func (f *jsonFields) find(name []byte) int {
	if v, ok := f.exact[string(name)]; ok {
		return v
	}
	v, ok := f.folded[lower(string(name))]
	if !ok {
		v = -1
	}
	if len(f.exact) < maxPlaces {
		f.exact[string(name)] = v
	}
	return v
}

// jsonModes say what bare numbers and byte strings mean.
type jsonModes struct {
	stamps string // milli, micro or guess_number_unit
	times  string // milli or micro
	base64 bool   // strings for bytea columns are base64
	utc    bool   // time stamps without a zone are UTC's, whatever the session's zone is
	// What programs that capture changes do in their own ways:
	jsonTexts bool // strings for jsonb columns are the texts of documents
	zeroDates bool // 0000-00-00 is NULL
	latin1    bool // strings for bytea columns have a character for each byte
	scaled    bool // numbers may be objects of scale and base64
	precise   bool // strings for numeric(p,s) columns are base64
	partial   bool // values may be missing (unavailable), and are kept
}

func parseJSONOptions(options map[string]string) (jsonModes, error) {
	o := option.New("ENCODE JSON", options)
	var m jsonModes
	tz := o.Enum("timestamptz.handling.mode", "guess_number_unit", "milli", "micro", "guess_number_unit", "utc_string", "utc_without_suffix")
	m.stamps = o.Enum("timestamp.handling.mode", tz, "milli", "micro", "guess_number_unit")
	m.utc = tz == "utc_string" || tz == "utc_without_suffix"
	m.times = o.Enum("time.handling.mode", "micro", "milli", "micro")
	m.base64 = o.Enum("bytes.handling.mode", "hex", "hex", "base64") == "base64"
	m.precise = o.Enum("decimal.handling.mode", "string", "string", "double", "precise") == "precise"
	o.Ignore("ignore_key")
	return m, o.Done()
}

// scratchVec is a vector of one type for values on their way into an array or a record.
func scratchVec(t sqltypes.Type) *delta.Vec {
	if t.Phys() == sqltypes.PhysBytes {
		return delta.NewBytesVec(t, 8, 64)
	}
	return &delta.Vec{Type: t}
}
