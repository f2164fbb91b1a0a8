package codec

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqlerr"
)

// upsertDecoder decodes records with a key: a value puts the row under its key, a tombstone (no value)
// deletes it. Columns of the primary key that the value lacks are taken from the record's key: an object with
// fields of their names, or for a key of one column its bare value. A key column may also be INCLUDE KEY.
type upsertDecoder struct {
	*target
	fields, keys *jsonFields
	key          *jsonValue // the only key column that is a field, for bare keys
}

func newUpsert(t *target, spec *connector.SourceSpec) (Decoder, error) {
	m, err := parseJSONOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	return newUpsertDecoder(t, m), nil
}

func newUpsertDecoder(t *target, m jsonModes) *upsertDecoder {
	d := &upsertDecoder{target: t, fields: newJSONFields(t, m)}
	d.keys = newJSONFields(t.keyColumns(), m)
	if len(d.keys.values) == 1 {
		d.key = &d.keys.values[0]
	}
	return d
}

// Decode implements Decoder.
func (d *upsertDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *upsertDecoder) decode(rec *Record, to *Rows) error {
	if len(rec.Value) == 0 || string(rec.Value) == "null" {
		return d.delete(rec, to)
	}
	s := scanner{b: rec.Value}
	if err := d.fields.object(&s, to); err != nil {
		return err
	}
	if err := s.finish(); err != nil {
		return err
	}
	if d.keyMissing(to) && rec.Key != nil {
		if err := d.readKey(rec.Key, to); err != nil {
			return err
		}
	}
	return d.finishRow(rec, to, 1)
}

// delete appends the command that deletes the record's key.
func (d *upsertDecoder) delete(rec *Record, to *Rows) error {
	if len(d.keys.values) > 0 {
		if rec.Key == nil {
			return sqlerr.New(sqlerr.NullValueNotAllowed, "record has neither a key nor a value")
		}
		if err := d.readKey(rec.Key, to); err != nil {
			return err
		}
	}
	return d.finishRow(rec, to, -1)
}

func (d *upsertDecoder) keyMissing(to *Rows) bool {
	for i := range d.keys.values {
		if to.cols[d.keys.values[i].slot].Len() == to.n {
			return true
		}
	}
	return false
}

// readKey appends the key columns from a record's key; an envelope of Kafka Connect is unwrapped.
func (d *upsertDecoder) readKey(key []byte, to *Rows) error {
	s := scanner{b: key}
	if s.peek() == '{' {
		if payload, ok := connectPayload(key); ok {
			s = scanner{b: payload}
		}
	}
	if s.peek() == '{' || d.key == nil {
		if err := d.keys.object(&s, to); err != nil {
			return err
		}
		return s.finish()
	}
	err := d.key.field(&s, to)
	if err == nil {
		err = s.finish()
	}
	if err != nil && d.key.typ.IsString() && checkText(key) == nil { // not JSON: the text itself
		col := to.cols[d.key.slot]
		truncate(col, to.n)
		col.AppendBytes(key)
		return nil
	}
	return err
}

// connectPayload unwraps {"schema": …, "payload": …}, the form in which Kafka Connect writes JSON.
func connectPayload(b []byte) ([]byte, bool) {
	var schema, payload []byte
	n := 0
	err := eachField(b, func(name, value []byte) {
		n++
		switch string(name) {
		case "schema":
			schema = value
		case "payload":
			payload = value
		}
	})
	return payload, err == nil && n == 2 && schema != nil && payload != nil
}

// eachField calls fn with the raw names and values of an object's fields.
func eachField(b []byte, fn func(name, value []byte)) error {
	s := scanner{b: b}
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return s.finish()
	}
	for {
		if s.peek() != '"' {
			return s.bad()
		}
		name, _, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		value, err := s.skip()
		if err != nil {
			return err
		}
		fn(name, value)
		if more, err := s.next('}'); err != nil {
			return err
		} else if !more {
			return s.finish()
		}
	}
}
