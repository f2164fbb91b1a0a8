package codec

import (
	"bytes"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// csvEncoder writes rows as lines of comma-separated values that csvDecoder and COPY … CSV read back: NULL is
// an empty field, the empty string is quoted.
type csvEncoder struct {
	comma    byte
	header   []byte
	settings *sqlio.Settings
	buf      []byte
}

func newCSVEncoder(spec *connector.SinkSpec) (*csvEncoder, error) {
	comma, header, err := csvOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	e := &csvEncoder{comma: comma, settings: outputSettings(spec.Settings)}
	if header {
		for i, c := range spec.Columns {
			if i > 0 {
				e.header = append(e.header, comma)
			}
			e.header = e.field(e.header, []byte(c.Name))
		}
		e.header = append(e.header, '\n')
	}
	return e, nil
}

// Header implements Encoder.
func (e *csvEncoder) Header() []byte { return e.header }

// AppendRow implements Encoder.
func (e *csvEncoder) AppendRow(dst []byte, c *delta.Chunk, row int) []byte {
	for i, v := range c.Cols {
		if i > 0 {
			dst = append(dst, e.comma)
		}
		switch {
		case v.IsNull(row):
		case v.Type.IsString():
			dst = e.field(dst, v.Bytes(row))
		case v.Type.Phys() == sqltypes.PhysInt64 || v.Type.Phys() == sqltypes.PhysFloat64:
			dst = sqlio.AppendText(dst, v, row, e.settings)
		default:
			e.buf = sqlio.AppendText(e.buf[:0], v, row, e.settings)
			dst = e.field(dst, e.buf)
		}
	}
	return append(dst, '\n')
}

func (e *csvEncoder) field(dst, s []byte) []byte {
	plain := len(s) > 0
	for _, c := range s {
		if c == e.comma || c == '"' || c == '\n' || c == '\r' {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(s, '"')
		if i < 0 {
			break
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
	return append(append(dst, s...), '"')
}
