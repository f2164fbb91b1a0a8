// Package codec turns the bytes of records into rows, and rows into the bytes of records: one data format per
// file, independent of what carries the records.
//
// The idea: a Decoder is driven by the declared columns and appends straight to the column vectors of a Rows,
// so that an ordinary record costs no allocation and no boxed value. An envelope (UPSERT, DEBEZIUM) is a
// Decoder around the format of its parts. A record that does not decode leaves no trace in the Rows. Where records have
// a schema (AVRO, PROTOBUF) a plan is made for each schema when it is first met, and followed without looking back at it.
//
// Decoders, encoders and Rows belong to one goroutine. They keep no reference to a record's bytes.
//
// It does not read files or topics; those are connector/posixfs and connector/kafka. Start at NewDecoder
// (codecs.go), then jsonDecoder.Decode, avroRows.record or protoPlan.scan; for output at NewEncoder and NewMessages.
package codec

import (
	"fmt"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Record is one record with what surrounds it. The bytes are read during Decode only.
type Record struct {
	Key, Value []byte // nil Value: a tombstone
	Offset     int64
	Partition  int32
	Timestamp  int64  // µs since 2000-01-01 UTC
	File       string // of a file source: the path below its root
	Headers    []Header
}

// Header is one header of a record.
type Header struct {
	Name  string
	Value []byte
}

// Decoder appends the rows of records to a Rows.
type Decoder interface {
	// Decode appends the rows of rec: none (a heartbeat), one or several. After an error it has appended
	// nothing.
	Decode(rec *Record, to *Rows) error
}

// target says what a decoder must fill: the columns of a spec, by the slots of its Rows.
type target struct {
	columns  []column
	includes []include
	settings *sqlio.Settings
	types    []sqltypes.Type // by slot
	key      []int           // slots of the primary key that are output
}

// column is one field of the records that is wanted. A field wanted twice has two.
type column struct {
	name string
	typ  sqltypes.Type
	slot int
	key  bool // part of the primary key
}

// newTarget reads the columns that spec wants. With typedKey the included key may be of any type.
func newTarget(spec *connector.SourceSpec, typedKey bool) (*target, error) {
	t := &target{settings: spec.Settings}
	if t.settings == nil {
		t.settings = sqlio.DefaultSettings()
	}
	isKey := make(map[int]bool, len(spec.PrimaryKey))
	for _, k := range spec.PrimaryKey {
		isKey[k] = true
	}
	for slot, i := range spec.Cols {
		c := &spec.Columns[i]
		t.types = append(t.types, c.Type)
		if isKey[i] {
			t.key = append(t.key, slot)
		}
		switch {
		case c.Generated != "":
		case c.Include != "":
			inc, err := newInclude(c, slot, isKey[i], typedKey)
			if err != nil {
				return nil, err
			}
			t.includes = append(t.includes, inc)
		default:
			t.columns = append(t.columns, column{c.Name, c.Type, slot, isKey[i]})
		}
	}
	return t, nil
}

// finishRow completes a command; a key column without a value cannot name a row.
func (t *target) finishRow(rec *Record, to *Rows, weight int64) error {
	if err := t.appendIncludes(rec, to, weight < 0); err != nil {
		return err
	}
	for _, slot := range t.key {
		if v := to.cols[slot]; v.Len() == to.n || v.IsNull(to.n) {
			return sqlerr.New(sqlerr.NotNullViolation, "record has no value for a column of the primary key")
		}
	}
	to.end(weight)
	return nil
}

// keyColumns is the part of t that is the primary key, as far as it is fields of records.
func (t *target) keyColumns() *target {
	out := &target{settings: t.settings}
	for _, c := range t.columns {
		if c.key {
			out.columns = append(out.columns, c)
		}
	}
	return out
}

// wrapColumn names the column in an error about its value.
func wrapColumn(name string, err error) error { return fmt.Errorf("decode column %q: %w", name, err) }
