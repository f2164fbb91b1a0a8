package codec

import (
	"strconv"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Messages turns chunks of changes into keyed messages in one of the modes.
//
// A delete and an insert of one key in one chunk are one update: in mode upsert the new row, in mode debezium an
// event "u". A delete alone is a tombstone; in mode debezium an event "d" and then a tombstone.
type Messages struct {
	mode  Mode
	force bool
	keys  *jsonEncoder // nil without a key
	rows  *jsonEncoder
	gone  map[string]int // deletes of the chunk by encoded key: row
	key   []byte
	value []byte
	now   func() time.Time
}

// NewMessages returns the messages of a sink with ENCODE JSON.
func NewMessages(spec *connector.SinkSpec, mode Mode, force bool) (*Messages, error) {
	if e := spec.Connector.Encode; e != "" && e != "JSON" {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ENCODE %s is not supported", e).WithHint("Supported is: JSON.")
	}
	o := option.New("ENCODE JSON", spec.Connector.FormatOptions)
	o.Ignore("force_append_only")
	m := &Messages{mode: mode, force: force, gone: map[string]int{}, now: time.Now, rows: newJSONEncoder(spec, allColumns(spec))}
	if len(spec.Key) > 0 {
		m.keys = newJSONEncoder(spec, spec.Key)
	}
	return m, o.Done()
}

// Each calls emit for the messages of c in order. A nil value is a tombstone, a nil key none. The bytes are
// the callee's to keep.
func (m *Messages) Each(c *delta.Chunk, emit func(key, value []byte) error) error {
	if m.mode == AppendOnly {
		return m.appendOnly(c, emit)
	}
	clear(m.gone)
	for k := range c.Len() {
		if i := c.Row(k); c.Weight(i) < 0 {
			m.key = m.keys.AppendRow(m.key[:0], c, i)
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
			if m.keys != nil {
				key = m.keys.AppendRow(nil, c, i)
			}
			m.value = m.rows.AppendRow(m.value[:0], c, i)
			if err := emit(key, clone(m.value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// put emits an inserted or updated row.
func (m *Messages) put(c *delta.Chunk, i int, emit func(key, value []byte) error) error {
	m.key = m.keys.AppendRow(m.key[:0], c, i)
	before, updated := m.gone[string(m.key)]
	delete(m.gone, string(m.key))
	if m.mode == Upsert {
		m.value = m.rows.AppendRow(m.value[:0], c, i)
		return emit(clone(m.key), clone(m.value))
	}
	m.value = append(m.value[:0], `{"before":`...)
	op := byte('c')
	if updated {
		op = 'u'
		m.value = m.rows.AppendRow(m.value, c, before)
	} else {
		m.value = append(m.value, "null"...)
	}
	m.value = m.rows.AppendRow(append(m.value, `,"after":`...), c, i)
	m.value = m.tail(m.value, op)
	return emit(clone(m.key), clone(m.value))
}

// drop emits a deleted row, unless its key was put again.
func (m *Messages) drop(c *delta.Chunk, i int, emit func(key, value []byte) error) error {
	m.key = m.keys.AppendRow(m.key[:0], c, i)
	if row, ok := m.gone[string(m.key)]; !ok || row != i {
		return nil
	}
	delete(m.gone, string(m.key))
	if m.mode == Debezium {
		m.value = m.rows.AppendRow(append(m.value[:0], `{"before":`...), c, i)
		m.value = m.tail(append(m.value, `,"after":null`...), 'd')
		if err := emit(clone(m.key), clone(m.value)); err != nil {
			return err
		}
	}
	return emit(clone(m.key), nil)
}

func (m *Messages) tail(dst []byte, op byte) []byte {
	dst = append(append(dst, `,"op":"`...), op)
	dst = strconv.AppendInt(append(dst, `","ts_ms":`...), m.now().UnixMilli(), 10)
	return append(dst, '}')
}
