package codec

import (
	"strconv"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Messages turns chunks of changes into keyed messages in one of the modes.
//
// A delete and an insert of one key in one chunk are one update: in mode upsert the new row, in mode debezium an
// event "u". A delete alone is a tombstone; in mode debezium an event "d" and then a tombstone.
type Messages struct {
	mode  Mode
	force bool
	keys  rowWriter // nil without a key
	rows  valueWriter
	gone  map[string]int // deletes of the chunk by encoded key: row
	key   []byte
	value []byte
	now   func() time.Time
}

// rowWriter writes a row, or its key, in one format.
type rowWriter interface {
	// writeRow appends a physical row of c.
	writeRow(dst []byte, c *delta.Chunk, row int) ([]byte, error)
}

// valueWriter is a rowWriter that can write change events as well.
type valueWriter interface {
	rowWriter
	// writeEvent appends a change event of Debezium's: op is c, u or d; before and after are rows of c, −1 for none.
	writeEvent(dst []byte, c *delta.Chunk, before, after int, op byte, millis int64) ([]byte, error)
}

// NewMessages returns the messages of a sink. Those with a schema register it, or fetch it, which takes a few seconds at
// the most.
func NewMessages(spec *connector.SinkSpec, mode Mode, force bool) (*Messages, error) {
	m := &Messages{mode: mode, force: force, gone: map[string]int{}, now: time.Now}
	var err error
	switch e := spec.Connector.Encode; e {
	case "", "JSON":
		o := option.New("ENCODE JSON", spec.Connector.FormatOptions)
		o.Ignore("force_append_only", "key.encode")
		if err := o.Done(); err != nil {
			return nil, err
		}
		m.rows = jsonMessages{newJSONEncoder(spec, allColumns(spec))}
	case "AVRO":
		m.rows, m.keys, err = newAvroMessages(spec, mode)
	case "PROTOBUF":
		m.rows, m.keys, err = newProtoMessages(spec, mode)
	default:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ENCODE %s is not supported", e).WithHint("Supported are: JSON, AVRO, PROTOBUF.")
	}
	if err != nil || len(spec.Key) == 0 {
		m.keys = nil
		return m, err
	}
	if m.keys == nil {
		m.keys, err = plainKeys(spec)
	}
	return m, err
}

// plainKeys returns the writer of keys without a schema.
func plainKeys(spec *connector.SinkSpec) (rowWriter, error) {
	encode := spec.Connector.FormatOptions["key.encode"]
	switch encode {
	case "", "JSON":
		return jsonMessages{newJSONEncoder(spec, spec.Key)}, nil
	case "TEXT", "BYTES":
		if len(spec.Key) != 1 {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "KEY ENCODE %s needs a key of one column, not %d", encode, len(spec.Key))
		}
		if t := spec.Columns[spec.Key[0]].Type; encode == "BYTES" && t.Kind != sqltypes.KBytea {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "KEY ENCODE BYTES needs a column of type bytea, not %s", t)
		}
		return bareKey{spec.Key[0], outputSettings(spec.Settings)}, nil
	}
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "KEY ENCODE %s is not supported", encode).WithHint("Supported are: JSON, TEXT, BYTES, and that of the values.")
}

// bareKey writes a key of one column as its text, or a bytea as it is.
type bareKey struct {
	col      int
	settings *sqlio.Settings
}

func (k bareKey) writeRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	v := c.Cols[k.col]
	switch {
	case v.IsNull(row):
		return dst, nil
	case v.Type.Kind == sqltypes.KBytea:
		return append(dst, v.Bytes(row)...), nil
	}
	return sqlio.AppendText(dst, v, row, k.settings), nil
}

// jsonMessages writes rows and events as JSON.
type jsonMessages struct{ *jsonEncoder }

func (e jsonMessages) writeRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	return e.AppendRow(dst, c, row), nil
}

func (e jsonMessages) writeEvent(dst []byte, c *delta.Chunk, before, after int, op byte, millis int64) ([]byte, error) {
	part := func(row int) {
		if row < 0 {
			dst = append(dst, "null"...)
			return
		}
		dst = e.AppendRow(dst, c, row)
	}
	dst = append(dst, `{"before":`...)
	part(before)
	dst = append(dst, `,"after":`...)
	part(after)
	dst = append(append(dst, `,"op":"`...), op)
	dst = strconv.AppendInt(append(dst, `","ts_ms":`...), millis, 10)
	return append(dst, '}'), nil
}

// Each calls emit for the messages of c in order. A nil value is a tombstone, a nil key none. The bytes are
// the callee's to keep.
func (m *Messages) Each(c *delta.Chunk, emit func(key, value []byte) error) error {
	if m.mode == AppendOnly {
		return m.appendOnly(c, emit)
	}
	var err error
	clear(m.gone)
	for k := range c.Len() {
		if i := c.Row(k); c.Weight(i) < 0 {
			if m.key, err = m.keys.writeRow(m.key[:0], c, i); err != nil {
				return err
			}
			m.gone[string(m.key)] = i
		}
	}
	for k := range c.Len() {
		if i := c.Row(k); c.Weight(i) > 0 {
			if err := m.put(c, i, emit); err != nil {
				return err
			}
		}
	}
	for k := range c.Len() { // what is left, in the chunk's order
		if i := c.Row(k); c.Weight(i) < 0 {
			if err := m.drop(c, i, emit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Messages) appendOnly(c *delta.Chunk, emit func(key, value []byte) error) error {
	for k := range c.Len() {
		i := c.Row(k)
		w := c.Weight(i)
		if w < 0 && !m.force {
			return sqlerr.New(sqlerr.InvalidParameterValue, "append-only sink got a deleted row").
				WithHint("Use type = 'upsert', or force_append_only = 'true' to leave deletes out.")
		}
		for ; w > 0; w-- {
			var key []byte
			var err error
			if m.keys != nil {
				if key, err = m.keys.writeRow(nil, c, i); err != nil {
					return err
				}
			}
			if m.value, err = m.rows.writeRow(m.value[:0], c, i); err != nil {
				return err
			}
			if err := emit(key, clone(m.value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// put emits an inserted or updated row.
func (m *Messages) put(c *delta.Chunk, i int, emit func(key, value []byte) error) (err error) {
	if m.key, err = m.keys.writeRow(m.key[:0], c, i); err != nil {
		return err
	}
	before, updated := m.gone[string(m.key)]
	delete(m.gone, string(m.key))
	switch {
	case m.mode == Upsert:
		m.value, err = m.rows.writeRow(m.value[:0], c, i)
	case updated:
		m.value, err = m.rows.writeEvent(m.value[:0], c, before, i, 'u', m.now().UnixMilli())
	default:
		m.value, err = m.rows.writeEvent(m.value[:0], c, -1, i, 'c', m.now().UnixMilli())
	}
	if err != nil {
		return err
	}
	return emit(clone(m.key), clone(m.value))
}

// drop emits a deleted row, unless its key was put again.
func (m *Messages) drop(c *delta.Chunk, i int, emit func(key, value []byte) error) (err error) {
	if m.key, err = m.keys.writeRow(m.key[:0], c, i); err != nil {
		return err
	}
	if row, ok := m.gone[string(m.key)]; !ok || row != i {
		return nil
	}
	delete(m.gone, string(m.key))
	if m.mode == Debezium {
		if m.value, err = m.rows.writeEvent(m.value[:0], c, i, -1, 'd', m.now().UnixMilli()); err != nil {
			return err
		}
		if err := emit(clone(m.key), clone(m.value)); err != nil {
			return err
		}
	}
	return emit(clone(m.key), nil)
}
