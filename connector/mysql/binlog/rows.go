package binlog

import (
	"errors"
	"fmt"
)

// ErrPartial says that an event does not have all columns of its rows.
var ErrPartial = errors.New("the rows in the log are not complete")

// Action is what rows in an event went through.
type Action byte

// The actions.
const (
	Insert Action = iota
	Update
	Delete
)

// Row holds the cells of a row, one for each column of the table map, without the length in front; nil: NULL.
type Row [][]byte

// Rows are the rows of one event, in order.
type Rows struct {
	Action
	// TableID names the table map that describes the rows.
	TableID uint64
	// LastOfStatement: table maps before this event have no meaning after it.
	LastOfStatement bool
	columns         int
	partial         bool
	data            []byte
	m               *TableMap
	before, after   Row
}

// IsRows reports whether events of a type carry rows.
func (t Type) IsRows() bool {
	_, _, _, ok := t.rows()
	return ok
}

func (t Type) rows() (a Action, version int, compressed, ok bool) {
	switch t {
	case TypeWriteRowsV1:
		return Insert, 1, false, true
	case TypeUpdateRowsV1:
		return Update, 1, false, true
	case TypeDeleteRowsV1:
		return Delete, 1, false, true
	case TypeWriteRows:
		return Insert, 2, false, true
	case TypeUpdateRows:
		return Update, 2, false, true
	case TypeDeleteRows:
		return Delete, 2, false, true
	case TypeMariaWriteRowsZ1, TypeMariaUpdateRowsZ1, TypeMariaDeleteRowsZ1:
		return Action(t - TypeMariaWriteRowsZ1), 1, true, true
	case TypeMariaWriteRowsZ2, TypeMariaUpdateRowsZ2, TypeMariaDeleteRowsZ2:
		return Action(t - TypeMariaWriteRowsZ2), 2, true, true
	}
	return 0, 0, false, false
}

// ReadRows reads the head of an event of rows. Bind and Next read the rows.
func ReadRows(e Event) (*Rows, error) {
	a, version, compressed, ok := e.Type.rows()
	if !ok {
		return nil, fmt.Errorf("an event of type %d has no rows", e.Type)
	}
	b := e.Body
	if len(b) < 8 {
		return nil, errShort
	}
	r := &Rows{Action: a, TableID: little(b[:6]), LastOfStatement: b[6]&1 != 0}
	b = b[8:]
	if version == 2 {
		if len(b) < 2 {
			return nil, errShort
		}
		extra := int(little(b[:2]))
		if extra < 2 || len(b) < extra {
			return nil, errShort
		}
		b = b[extra:]
	}
	n, b, ok := number(b)
	if !ok || n > maxColumns {
		return nil, errShort
	}
	r.columns = int(n)
	maps := 1
	if a == Update {
		maps = 2
	}
	for range maps {
		size := (r.columns + 7) / 8
		if len(b) < size {
			return nil, errShort
		}
		for i := range r.columns {
			r.partial = r.partial || b[i/8]>>(i%8)&1 == 0
		}
		b = b[size:]
	}
	r.data = b
	if compressed {
		var err error
		if r.data, err = inflateMaria(b); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Bind says how the rows are to be read. ErrPartial: there are columns missing (binlog_row_image is not FULL).
func (r *Rows) Bind(m *TableMap) error {
	if r.columns != len(m.Columns) {
		return fmt.Errorf("rows of %d columns for a table of %d", r.columns, len(m.Columns))
	}
	if r.partial {
		return ErrPartial
	}
	r.m = m
	r.before, r.after = make(Row, r.columns), make(Row, r.columns)
	return nil
}

// Next returns the next row: what it was (nil for an Insert) and what it is (nil for a Delete), valid until the following call.
func (r *Rows) Next() (before, after Row, ok bool, err error) {
	if len(r.data) == 0 {
		return nil, nil, false, nil
	}
	if r.Action != Insert {
		if err := r.row(r.before); err != nil {
			return nil, nil, false, err
		}
		before = r.before
	}
	if r.Action != Delete {
		if err := r.row(r.after); err != nil {
			return nil, nil, false, err
		}
		after = r.after
	}
	return before, after, true, nil
}

func (r *Rows) row(into Row) error {
	size := (r.columns + 7) / 8
	if len(r.data) < size || size == 0 {
		return errShort
	}
	nulls, b := r.data[:size], r.data[size:]
	for i := range into {
		if nulls[i/8]>>(i%8)&1 != 0 {
			into[i] = nil
			continue
		}
		c := &r.m.Columns[i]
		head, n, err := c.cell(b)
		if err != nil {
			return fmt.Errorf("column %d of table %s.%s: %w", i+1, r.m.Schema, r.m.Table, err)
		}
		if n < 0 || len(b)-head < n {
			return fmt.Errorf("column %d of table %s.%s: %w", i+1, r.m.Schema, r.m.Table, errShort)
		}
		into[i], b = b[head:head+n:head+n], b[head+n:]
	}
	r.data = b
	return nil
}

// fixed are the sizes of cells that do not vary, in bytes, plus one; 0: they vary.
var fixed = [256]uint8{
	KindTiny: 2, KindYear: 2, KindShort: 3, KindInt24: 4, KindLong: 5, KindLongLong: 9, KindFloat: 5, KindDouble: 9, KindNull: 1,
	KindDate: 4, KindNewDate: 4, KindTime: 4, KindTimestamp: 5, KindDatetime: 9,
}

// cell returns the sizes of what is in front of a cell and of the cell itself. It does not say that these bytes are there.
func (c *Column) cell(b []byte) (head, size int, err error) {
	if f := fixed[c.Kind]; f != 0 {
		return 0, int(f) - 1, nil
	}
	switch c.Kind {
	case KindDecimal:
		return 0, decimalSize(c.Size, c.Scale), nil
	case KindTimestamp2:
		return 0, 4 + (c.Size+1)/2, nil
	case KindDatetime2:
		return 0, 5 + (c.Size+1)/2, nil
	case KindTime2:
		return 0, 3 + (c.Size+1)/2, nil
	case KindEnum, KindSet:
		return 0, c.Size, nil
	case KindBit:
		return 0, (c.Size + 7) / 8, nil
	case KindVarchar, KindVarcharZ, KindString, KindVarString:
		head = 1
		if c.Size > 255 {
			head = 2
		}
	case KindBlob, KindBlobZ, KindGeometry, KindJSON, KindVector:
		head = c.Size
	default:
		return 0, 0, fmt.Errorf("type %d of the log is not known", c.Kind)
	}
	if head > 4 || len(b) < head {
		return 0, 0, errShort
	}
	return head, int(little(b[:head])), nil
}
