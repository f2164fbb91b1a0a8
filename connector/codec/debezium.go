package codec

import (
	"bytes"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqlerr"
)

// debeziumDecoder decodes Debezium's change events, with or without their schema, which says what the numbers and byte
// strings in them mean: c, r and u put the row of
// "after", d deletes the key found in "before" or else in the record's key. Tombstones, which follow each
// delete, heartbeats, messages and truncations carry no row. An update that lacks a value keeps it (unavailable.go). Debezium writes the change of a key as a delete
// and an insert, so commands by key are all there is to it.
type debeziumDecoder struct {
	rows   *upsertDecoder
	schema []byte // the one that the fields are read by now; mostly that of the next event, too
}

func newDebezium(t *target, spec *connector.SourceSpec) (Decoder, error) {
	options := spec.Connector.FormatOptions
	m, err := parseJSONOptions(options)
	if err != nil {
		return nil, err
	}
	m.jsonTexts, m.scaled, m.partial = true, true, true
	if _, ok := options["bytes.handling.mode"]; !ok {
		m.base64 = true // Debezium's own default
	}
	return &debeziumDecoder{rows: newUpsertDecoder(t, m)}, nil
}

// event is the parts of a change event that matter, as JSON text; nil where absent.
type event struct{ before, after, op, schema []byte }

func readEvent(b []byte) (e event, err error) {
	var payload, schema []byte
	err = eachField(b, func(name, value []byte) {
		switch string(name) {
		case "payload":
			payload = value
		case "schema":
			schema = value
		case "before":
			e.before = value
		case "after":
			e.after = value
		case "op":
			e.op = value
		}
	})
	if err == nil && payload != nil && e.op == nil {
		if string(payload) == "null" {
			return event{}, nil
		}
		e, err = readEvent(payload)
		e.schema = schema
	}
	return e, err
}

// Decode implements Decoder.
func (d *debeziumDecoder) Decode(rec *Record, to *Rows) error {
	if len(rec.Value) == 0 || string(rec.Value) == "null" {
		return nil
	}
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *debeziumDecoder) decode(rec *Record, to *Rows) error {
	e, err := readEvent(rec.Value)
	if err != nil {
		return err
	}
	switch string(e.op) {
	case `"c"`, `"r"`, `"u"`:
		if absent(e.after) {
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "change event with op %s has no \"after\"", e.op)
		}
		if err := d.readBy(e.schema); err != nil {
			return err
		}
		s := scanner{b: e.after}
		if err := d.rows.fields.object(&s, to); err != nil {
			return err
		}
		if string(e.op) != `"u"` && to.kept != nil {
			return errUnavailable(strings.Trim(string(e.op), `"`))
		}
		return d.rows.finishRow(rec, to, 1)
	case `"d"`:
		if absent(e.before) {
			return d.rows.delete(rec, to)
		}
		if err := d.readBy(e.schema); err != nil {
			return err
		}
		s := scanner{b: e.before}
		if err := d.rows.keys.object(&s, to); err != nil {
			return err
		}
		return d.rows.finishRow(rec, to, -1)
	case `"t"`, `"m"`, "":
		return nil
	}
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "change event has unknown op %s", e.op)
}

// readBy prepares for an event with the schema given, nil or null for one without.
func (d *debeziumDecoder) readBy(schema []byte) error {
	if absent(schema) {
		schema = nil
	}
	if bytes.Equal(schema, d.schema) {
		return nil
	}
	d.schema = nil
	text := schema
	if schema == nil {
		text = []byte("{}")
	}
	if err := d.rows.fields.applySchema(text, "after"); err != nil {
		return err
	}
	if err := d.rows.keys.applySchema(text, "after"); err != nil {
		return err
	}
	d.schema = append([]byte(nil), schema...)
	return nil
}

func absent(value []byte) bool { return len(value) == 0 || string(value) == "null" }
