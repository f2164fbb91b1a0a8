package codec

import (
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqlerr"
)

// changesDecoder decodes the messages of Canal and Maxwell: rows of one table with what an update changed in them
// ("old"). Canal sends arrays of rows, Maxwell one row. A row whose key was changed is deleted under its old
// key first. Statements that are no changes of rows (DDL, bookkeeping) carry no row.
type changesDecoder struct {
	rows *upsertDecoder
	// kind says what a message of a type does; ok is false for a type that nobody has heard of.
	kind func(word string) (change, bool)
}

// change is what a message does to rows.
type change uint8

const (
	noChange change = iota
	putRows
	deleteRows
)

// newCanal makes a decoder of Canal's JSON. Canal sends all values as strings: JSON columns as their text, byte strings with
// a character for each byte, dates that MySQL calls zero as they are.
func newCanal(t *target, spec *connector.SourceSpec) (Decoder, error) {
	m, err := parseJSONOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	m.jsonTexts, m.zeroDates = true, true
	if _, ok := spec.Connector.FormatOptions["bytes.handling.mode"]; !ok {
		m.latin1 = true
	}
	return &changesDecoder{newUpsertDecoder(t, m), canalChange}, nil
}

func canalChange(word string) (change, bool) {
	switch strings.ToUpper(word) {
	case "INSERT", "UPDATE":
		return putRows, true
	case "DELETE":
		return deleteRows, true
	}
	return noChange, true // many sorts of statements
}

// newMaxwell makes a decoder of Maxwell's JSON. Maxwell writes byte strings as base64, and JSON columns as they are.
func newMaxwell(t *target, spec *connector.SourceSpec) (Decoder, error) {
	m, err := parseJSONOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	m.zeroDates = true
	if _, ok := spec.Connector.FormatOptions["bytes.handling.mode"]; !ok {
		m.base64 = true
	}
	return &changesDecoder{newUpsertDecoder(t, m), maxwellChange}, nil
}

func maxwellChange(word string) (change, bool) {
	switch word {
	case "insert", "update", "bootstrap-insert":
		return putRows, true
	case "delete":
		return deleteRows, true
	}
	return noChange, word == "" || strings.HasPrefix(word, "bootstrap-") || strings.HasPrefix(word, "table-") || strings.HasPrefix(word, "database-")
}

// rowChange is the parts of a message that matter, as JSON text; nil where absent.
type rowChange struct {
	data, old, typ []byte
	ddl            bool
}

// Decode implements Decoder.
func (d *changesDecoder) Decode(rec *Record, to *Rows) error {
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

func (d *changesDecoder) decode(rec *Record, to *Rows) error {
	var m rowChange
	err := eachField(rec.Value, func(name, value []byte) {
		switch string(name) {
		case "data":
			m.data = value
		case "old":
			m.old = value
		case "type":
			m.typ = value
		case "isDdl":
			m.ddl = string(value) == "true"
		}
	})
	if err != nil {
		return err
	}
	word := strings.Trim(string(m.typ), `"`)
	kind, ok := d.kind(word)
	if !ok {
		return sqlerr.New(sqlerr.InvalidTextRepresentation, "change has unknown type %q", word)
	}
	if kind == noChange || m.ddl {
		return nil
	}
	if absent(m.data) {
		return sqlerr.New(sqlerr.InvalidTextRepresentation, "change of type %q has no \"data\"", word)
	}
	rows, err := objects(m.data)
	if err != nil {
		return err
	}
	var old [][]byte
	if !absent(m.old) {
		if old, err = objects(m.old); err != nil {
			return err
		}
		if len(old) != len(rows) {
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "change has %d rows in \"data\" and %d in \"old\"", len(rows), len(old))
		}
	}
	for i, row := range rows {
		var before []byte
		if old != nil && !absent(old[i]) {
			before = old[i]
		}
		if err := d.row(rec, kind, row, before, to); err != nil {
			return err
		}
	}
	return nil
}

// objects returns the elements of an array, or the only one of what is none.
func objects(b []byte) (out [][]byte, err error) {
	s := scanner{b: b}
	if s.peek() != '[' {
		return [][]byte{b}, nil
	}
	s.i++
	if s.peek() == ']' {
		return nil, nil
	}
	for {
		raw, err := s.skip()
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
		if more, err := s.next(']'); !more {
			return out, err
		}
	}
}

func (d *changesDecoder) row(rec *Record, kind change, row, old []byte, to *Rows) error {
	if kind == deleteRows {
		if err := d.rows.keys.object(&scanner{b: row}, to); err != nil {
			return err
		}
		return d.rows.finishRow(rec, to, -1)
	}
	if old != nil {
		moved, err := d.keyChanged(old, to)
		if err != nil {
			return err
		}
		if moved {
			if err := d.rows.keys.object(&scanner{b: row}, to); err != nil {
				return err
			}
			if err := d.rows.keys.object(&scanner{b: old}, to); err != nil { // in place of the new values
				return err
			}
			if err := d.rows.finishRow(rec, to, -1); err != nil {
				return err
			}
		}
	}
	if err := d.rows.fields.object(&scanner{b: row}, to); err != nil {
		return err
	}
	return d.rows.finishRow(rec, to, 1)
}

// keyChanged reports whether the old values have one of the primary key.
func (d *changesDecoder) keyChanged(old []byte, to *Rows) (bool, error) {
	err := d.rows.keys.object(&scanner{b: old}, to)
	for i := range d.rows.keys.values {
		if to.cols[d.rows.keys.values[i].slot].Len() > to.n {
			to.rollback(to.n)
			return true, err
		}
	}
	return false, err
}
