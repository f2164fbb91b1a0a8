package codec

import (
	"bytes"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// csvDecoder decodes lines of comma-separated values as COPY … CSV does: an empty field is NULL, a quoted
// empty one the empty string, a quote inside quotes is doubled, line ends may stand inside quotes. A record
// may hold several lines.
type csvDecoder struct {
	*target
	comma  byte
	header bool
	fields []string // names of the record's fields, in order
	slots  [][]int  // by field: the indexes into columns that want it
	buf    []byte
}

func newCSV(t *target, spec *connector.SourceSpec) (Decoder, error) {
	comma, header, err := csvOptions(spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	d := &csvDecoder{target: t, comma: comma, header: header}
	for _, c := range spec.Columns {
		if c.Include == "" && c.Generated == "" {
			d.fields = append(d.fields, c.Name)
		}
	}
	d.bind()
	return d, nil
}

func csvOptions(options map[string]string) (comma byte, header bool, err error) {
	o := option.New("ENCODE CSV", options)
	header = !o.Bool("without_header", false)
	delimiter := o.String("delimiter", ",")
	if delimiter == `\t` || delimiter == "tab" {
		delimiter = "\t"
	}
	if len(delimiter) != 1 || delimiter == "\"" || delimiter == "\n" || delimiter == "\r" || delimiter[0] >= 0x80 {
		o.Fail("option \"delimiter\" must be one character other than a quote, not %q", delimiter)
		delimiter = ","
	}
	return delimiter[0], header, o.Done()
}

// bind finds the columns of each field: by exact name, else regardless of case.
func (d *csvDecoder) bind() {
	d.slots = make([][]int, len(d.fields))
	for i := range d.columns {
		best := -1
		for f, name := range d.fields {
			if name == d.columns[i].name || best < 0 && lower(name) == lower(d.columns[i].name) {
				best = f
			}
		}
		if best >= 0 {
			d.slots[best] = append(d.slots[best], i)
		}
	}
}

// Frame implements Framer: a record is a line, and line ends inside quotes do not count.
func (d *csvDecoder) Frame(b []byte) int { return csvFrame(b) }

func csvFrame(b []byte) int {
	for i := 0; ; {
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 {
			return 0
		}
		i += end + 1
		if bytes.Count(b[:i], []byte{'"'})%2 == 0 {
			return i
		}
	}
}

// NeedsHeader implements HeaderReader.
func (d *csvDecoder) NeedsHeader() bool { return d.header }

// ReadHeader implements HeaderReader: from here on fields are found by these names.
func (d *csvDecoder) ReadHeader(record []byte) error {
	d.fields = d.fields[:0]
	line := bytes.TrimPrefix(trimLine(record), []byte("\uFEFF"))
	for more := true; more; {
		var field []byte
		var err error
		if field, _, line, more, err = d.next(line); err != nil {
			return err
		}
		d.fields = append(d.fields, string(field))
	}
	d.bind()
	return nil
}

func trimLine(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// next takes the first field off a line. The field may alias the line or the decoder's buffer.
func (d *csvDecoder) next(line []byte) (field []byte, quoted bool, rest []byte, more bool, err error) {
	if len(line) == 0 || line[0] != '"' {
		end := bytes.IndexByte(line, d.comma)
		if end < 0 {
			field = line
		} else {
			field, rest, more = line[:end], line[end+1:], true
		}
		if bytes.IndexByte(field, '"') >= 0 {
			return d.ragged(line)
		}
		return field, false, rest, more, nil
	}
	return d.ragged(line)
}

// ragged takes off a field in which quotes occur anywhere.
func (d *csvDecoder) ragged(line []byte) (field []byte, quoted bool, rest []byte, more bool, err error) {
	buf, in := d.buf[:0], false
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"' && in && i+1 < len(line) && line[i+1] == '"':
			buf = append(buf, '"')
			i++
		case c == '"':
			in, quoted = !in, true
		case c == d.comma && !in:
			d.buf = buf
			return buf, quoted, line[i+1:], true, nil
		default:
			buf = append(buf, c)
		}
	}
	d.buf = buf
	if in {
		return nil, true, nil, false, sqlerr.New(sqlerr.BadCopyFileFormat, "unterminated CSV quoted field")
	}
	return buf, quoted, nil, false, nil
}

// Decode implements Decoder.
func (d *csvDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	for rest := rec.Value; len(rest) > 0; {
		n := csvFrame(rest)
		if n == 0 {
			n = len(rest)
		}
		line := trimLine(rest[:n])
		rest = rest[n:]
		if len(line) == 0 && len(d.fields) != 1 {
			continue
		}
		if err := d.row(line, rec, to); err != nil {
			to.rollback(start)
			return err
		}
	}
	return nil
}

func (d *csvDecoder) row(line []byte, rec *Record, to *Rows) error {
	more := true
	for f := 0; more; f++ {
		if f >= len(d.fields) {
			return sqlerr.New(sqlerr.BadCopyFileFormat, "extra data after last expected column")
		}
		field, quoted, rest, left, err := d.next(line)
		if err != nil {
			return err
		}
		for _, i := range d.slots[f] {
			if err := d.value(&d.columns[i], field, quoted, to); err != nil {
				return wrapColumn(d.fields[f], err)
			}
		}
		line, more = rest, left
		if !more && f+1 < len(d.fields) {
			return sqlerr.New(sqlerr.BadCopyFileFormat, "missing data for column %q", d.fields[f+1])
		}
	}
	if err := d.appendIncludes(rec, to, false); err != nil {
		return err
	}
	to.end(1)
	return nil
}

func (d *csvDecoder) value(c *column, field []byte, quoted bool, to *Rows) error {
	col := to.cols[c.slot]
	if col.Len() > to.n { // two fields of one name: the last counts
		truncate(col, to.n)
	}
	if len(field) == 0 && !quoted {
		col.AppendNull()
		return nil
	}
	if c.typ.Kind == sqltypes.KText || c.typ.Kind == sqltypes.KVarchar {
		if err := checkText(field); err != nil {
			return err
		}
		col.AppendBytes(field)
	} else if err := sqlio.AppendParsed(col, field, d.settings); err != nil {
		return err
	}
	if c.typ.Mod != 0 {
		return applyTypmod(col, c.typ)
	}
	return nil
}
