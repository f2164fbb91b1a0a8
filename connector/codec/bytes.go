package codec

import (
	"bytes"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// bytesDecoder puts the whole record into one column.
type bytesDecoder struct{ *target }

func newBytes(t *target, spec *connector.SourceSpec) (Decoder, error) {
	n := 0
	for _, c := range spec.Columns {
		if c.Include == "" && c.Generated == "" {
			n++
			if k := c.Type.Kind; k != sqltypes.KBytea && k != sqltypes.KJSONB && !c.Type.IsString() {
				return nil, sqlerr.New(sqlerr.DatatypeMismatch, "ENCODE BYTES needs a column of type bytea, not %s", c.Type)
			}
		}
	}
	if n != 1 {
		return nil, sqlerr.New(sqlerr.InvalidTableDefinition, "ENCODE BYTES needs exactly one column besides included ones, not %d", n)
	}
	return &bytesDecoder{t}, noOptions("ENCODE BYTES", spec.Connector.FormatOptions)
}

// Decode implements Decoder.
func (d *bytesDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	for _, c := range d.columns {
		if err := appendRaw(to.cols[c.slot], rec.Value, d.settings); err != nil {
			to.rollback(start)
			return wrapColumn(c.name, err)
		}
	}
	if err := d.appendIncludes(rec, to, false); err != nil {
		to.rollback(start)
		return err
	}
	to.end(1)
	return nil
}

// Frame implements Framer: a record is a line.
func (d *bytesDecoder) Frame(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }

// Frame implements Framer: a record is a line.
func (d *jsonDecoder) Frame(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }
