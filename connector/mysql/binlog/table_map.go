package binlog

import (
	"encoding/binary"
	"fmt"
)

// Kind is the type of a column in the log.
type Kind byte

// The types of columns. A STRING stands for several; TableMap has the real one.
const (
	KindDecimalOld  Kind = 0
	KindTiny        Kind = 1
	KindShort       Kind = 2
	KindLong        Kind = 3
	KindFloat       Kind = 4
	KindDouble      Kind = 5
	KindNull        Kind = 6
	KindTimestamp   Kind = 7 // of before MySQL 5.6, as are the other two without a 2
	KindLongLong    Kind = 8
	KindInt24       Kind = 9
	KindDate        Kind = 10
	KindTime        Kind = 11
	KindDatetime    Kind = 12
	KindYear        Kind = 13
	KindNewDate     Kind = 14
	KindVarchar     Kind = 15
	KindBit         Kind = 16
	KindTimestamp2  Kind = 17
	KindDatetime2   Kind = 18
	KindTime2       Kind = 19
	KindBlobZ       Kind = 140 // MariaDB's COMPRESSED columns
	KindVarcharZ    Kind = 141
	KindVector      Kind = 242
	KindJSON        Kind = 245
	KindDecimal     Kind = 246
	KindEnum        Kind = 247
	KindSet         Kind = 248
	KindBlob        Kind = 252
	KindVarString   Kind = 253
	KindString      Kind = 254
	KindGeometry    Kind = 255
	maxColumns           = 4096
	collationBinary      = 63
)

// Column is a column as a table map describes it.
type Column struct {
	Kind Kind
	// Size is, by kind: the greatest length in bytes (strings), the number of bytes of the length (blobs, JSON), the bits (BIT), the
	// digits (decimal), the bytes of a value (enum, set), the fractional digits (times).
	Size int
	// Scale is the number of decimals of a decimal.
	Scale int
	// What follows is there when the table map has it: binlog_row_metadata.
	Name      string
	Unsigned  bool
	Collation uint64 // 0: not said
	Labels    [][]byte
	NoNulls   bool
}

// TableMap says what the rows that follow belong to.
type TableMap struct {
	ID            uint64
	Schema, Table string
	Columns       []Column
	// Named: the columns have names (binlog_row_metadata = FULL). Signed: Unsigned has meaning.
	Named, Signed bool
	// Key lists the columns of the primary key, where the map has it.
	Key []int
}

// ReadTableMap reads a TypeTableMap.
func ReadTableMap(e Event) (*TableMap, error) {
	b := e.Body
	if len(b) < 8+2 {
		return nil, errShort
	}
	m := &TableMap{ID: little(b[:6])}
	b = b[8:]
	for _, name := range []*string{&m.Schema, &m.Table} {
		if len(b) < 1 || len(b) < int(b[0])+2 {
			return nil, errShort
		}
		n := int(b[0])
		*name, b = string(b[1:1+n]), b[n+2:]
	}
	n, b, ok := number(b)
	if !ok || n > maxColumns || uint64(len(b)) < n {
		return nil, errShort
	}
	kinds := b[:n]
	meta, b, ok := text(b[n:])
	if !ok || len(b) < int(n+7)/8 {
		return nil, errShort
	}
	m.Columns = make([]Column, n)
	for i := range m.Columns {
		c := &m.Columns[i]
		c.Kind = Kind(kinds[i])
		c.NoNulls = b[i/8]>>(i%8)&1 == 0
		var err error
		if meta, err = c.metadata(meta); err != nil {
			return nil, fmt.Errorf("read map of table %s.%s: column %d: %w", m.Schema, m.Table, i+1, err)
		}
	}
	if err := m.optional(b[(n+7)/8:]); err != nil {
		return nil, fmt.Errorf("read map of table %s.%s: %w", m.Schema, m.Table, err)
	}
	return m, nil
}

// metadata reads what every map says of a column of its kind.
func (c *Column) metadata(b []byte) ([]byte, error) {
	need := 0
	switch c.Kind {
	case KindFloat, KindDouble, KindBlob, KindBlobZ, KindGeometry, KindJSON, KindVector, KindTimestamp2, KindDatetime2, KindTime2:
		need = 1
	case KindVarchar, KindVarcharZ, KindBit, KindDecimal, KindString, KindVarString, KindEnum, KindSet:
		need = 2
	}
	if len(b) < need {
		return nil, errShort
	}
	switch c.Kind {
	case KindVarchar, KindVarcharZ:
		c.Size = int(binary.LittleEndian.Uint16(b))
	case KindBit:
		c.Size = int(b[1])*8 + int(b[0])
	case KindDecimal:
		c.Size, c.Scale = int(b[0]), int(b[1])
		if c.Size == 0 || c.Size > 65 || c.Scale > c.Size {
			return nil, fmt.Errorf("decimal(%d,%d)", c.Size, c.Scale)
		}
	case KindString, KindVarString, KindEnum, KindSet:
		c.stringMetadata(b[0], b[1])
	default:
		if need == 1 {
			c.Size = int(b[0])
		}
	}
	return b[need:], nil
}

// stringMetadata takes apart two bytes in which the real type and a length of ten bits share a place.
func (c *Column) stringMetadata(hi, lo byte) {
	if hi&0x30 != 0x30 {
		c.Kind = Kind(hi | 0x30)
		c.Size = int(lo) | int(hi&0x30^0x30)<<4
		return
	}
	switch Kind(hi) {
	case KindEnum, KindSet, KindString, KindVarString:
		c.Kind = Kind(hi)
	}
	c.Size = int(lo)
}

// The fields of the optional metadata.
const (
	fieldSignedness       = 1
	fieldDefaultCharset   = 2
	fieldColumnCharset    = 3
	fieldColumnName       = 4
	fieldSetLabels        = 5
	fieldEnumLabels       = 6
	fieldSimpleKey        = 8
	fieldKeyWithPrefix    = 9
	fieldEnumSetCharset   = 10
	fieldEnumSetColumnSet = 11
)

func (m *TableMap) optional(b []byte) error {
	for len(b) > 0 {
		field := b[0]
		value, rest, ok := text(b[1:])
		if !ok {
			return errShort
		}
		b = rest
		switch field {
		case fieldSignedness:
			ok = m.signedness(value)
		case fieldDefaultCharset:
			ok = m.defaultCharset(value, (*Column).isText)
		case fieldColumnCharset:
			ok = m.columnCharsets(value, (*Column).isText)
		case fieldEnumSetCharset:
			ok = m.defaultCharset(value, (*Column).isLabelled)
		case fieldEnumSetColumnSet:
			ok = m.columnCharsets(value, (*Column).isLabelled)
		case fieldColumnName:
			ok = m.names(value)
		case fieldSetLabels:
			ok = m.labels(value, KindSet)
		case fieldEnumLabels:
			ok = m.labels(value, KindEnum)
		case fieldSimpleKey, fieldKeyWithPrefix:
			ok = m.key(value, field == fieldKeyWithPrefix)
		}
		if !ok {
			return fmt.Errorf("field %d of the metadata: %w", field, errShort)
		}
	}
	return nil
}

func (c *Column) isNumber() bool {
	switch c.Kind {
	case KindTiny, KindShort, KindInt24, KindLong, KindLongLong, KindFloat, KindDouble, KindDecimal:
		return true
	}
	return false
}

func (c *Column) isText() bool {
	switch c.Kind {
	case KindString, KindVarString, KindVarchar, KindBlob, KindVarcharZ, KindBlobZ:
		return true
	}
	return false
}

func (c *Column) isLabelled() bool { return c.Kind == KindEnum || c.Kind == KindSet }

// signedness has a bit for each number, the highest first.
func (m *TableMap) signedness(b []byte) bool {
	m.Signed = true
	k := 0
	for i := range m.Columns {
		if c := &m.Columns[i]; c.isNumber() {
			if k/8 >= len(b) {
				return false
			}
			c.Unsigned = b[k/8]<<(k%8)&0x80 != 0
			k++
		}
	}
	return true
}

// defaultCharset is a collation for all columns of a kind, and pairs of those that differ.
func (m *TableMap) defaultCharset(b []byte, of func(*Column) bool) bool {
	def, b, ok := number(b)
	if !ok {
		return false
	}
	other := map[uint64]uint64{}
	for len(b) > 0 {
		var i, c uint64
		if i, b, ok = number(b); !ok {
			return false
		}
		if c, b, ok = number(b); !ok {
			return false
		}
		other[i] = c
	}
	k := uint64(0)
	for i := range m.Columns {
		if c := &m.Columns[i]; of(c) {
			c.Collation = def
			if o, has := other[k]; has {
				c.Collation = o
			}
			k++
		}
	}
	return true
}

func (m *TableMap) columnCharsets(b []byte, of func(*Column) bool) (ok bool) {
	for i := range m.Columns {
		if c := &m.Columns[i]; of(c) {
			if c.Collation, b, ok = number(b); !ok {
				return false
			}
		}
	}
	return true
}

func (m *TableMap) names(b []byte) bool {
	for i := range m.Columns {
		s, rest, ok := text(b)
		if !ok {
			return false
		}
		m.Columns[i].Name, b = string(s), rest
	}
	m.Named = true
	return true
}

func (m *TableMap) labels(b []byte, kind Kind) bool {
	for i := range m.Columns {
		if m.Columns[i].Kind != kind {
			continue
		}
		n, rest, ok := number(b)
		if !ok || n > uint64(len(rest)) {
			return false
		}
		b = rest
		labels := make([][]byte, 0, n)
		for range n {
			s, rest, ok := text(b)
			if !ok {
				return false
			}
			labels, b = append(labels, append([]byte(nil), s...)), rest
		}
		m.Columns[i].Labels = labels
	}
	return true
}

func (m *TableMap) key(b []byte, prefixes bool) bool {
	for len(b) > 0 {
		i, rest, ok := number(b)
		if !ok || i >= uint64(len(m.Columns)) {
			return false
		}
		if b = rest; prefixes {
			if _, b, ok = number(b); !ok {
				return false
			}
		}
		m.Key = append(m.Key, int(i))
	}
	return true
}
