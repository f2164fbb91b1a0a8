package codec

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// ParquetWriter writes chunks to one Parquet file, compressed with Snappy.
type ParquetWriter struct {
	schema   *arrow.Schema
	w        *pqarrow.FileWriter
	settings *sqlio.Settings
}

// NewParquetWriter starts a file with the columns of spec. Close completes it but does not close w.
func NewParquetWriter(w io.Writer, spec *connector.SinkSpec) (*ParquetWriter, error) {
	p := &ParquetWriter{schema: ArrowSchema(spec.Columns), settings: outputSettings(spec.Settings)}
	var err error
	p.w, err = pqarrow.NewFileWriter(p.schema, struct{ io.Writer }{w}, // the wrapper keeps the writer from closing w
		parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy)), pqarrow.DefaultWriterProps())
	return p, err
}

// Write appends the rows of c, each as often as its weight says.
func (p *ParquetWriter) Write(c *delta.Chunk) error {
	batch, err := ToArrow(p.schema, repeat(c), p.settings)
	if err != nil {
		return err
	}
	return p.w.WriteBuffered(batch)
}

// repeat returns a chunk with each row as often as its weight says; rows of negative weight are left out.
func repeat(c *delta.Chunk) *delta.Chunk {
	if c.Weights == nil {
		return c
	}
	var rows []int32
	for k := range c.Len() {
		i := c.Row(k)
		for range max(c.Weight(i), 0) {
			rows = append(rows, int32(i))
		}
	}
	out := &delta.Chunk{Rows: len(rows)}
	for _, v := range c.Cols {
		out.Cols = append(out.Cols, v.Gather(rows))
	}
	return out
}

// Close writes the file's footer.
func (p *ParquetWriter) Close() error { return p.w.Close() }

// ParquetReader reads the rows of a Parquet file in order. Columns are found by name, then regardless of case;
// a column that the file lacks is NULL.
type ParquetReader struct {
	*target
	file   *file.Reader
	rows   pqarrow.RecordReader // nil when no column of the file is wanted
	total  int64
	next   int64
	fields []int // by target column: its place in a batch, −1: not in the file
	batch  arrow.RecordBatch
}

// NewParquetReader opens a file for the columns that spec wants, at a row.
func NewParquetReader(ctx context.Context, r parquet.ReaderAtSeeker, spec *connector.SourceSpec, row int64) (_ *ParquetReader, err error) {
	defer catch(&err)
	t, err := newTarget(spec, false)
	if err != nil {
		return nil, err
	}
	if err := noOptions("ENCODE PARQUET", spec.Connector.FormatOptions); err != nil {
		return nil, err
	}
	f, err := file.NewParquetReader(r)
	if err != nil {
		return nil, fmt.Errorf("open Parquet file: %w", err)
	}
	p := &ParquetReader{target: t, file: f, total: f.NumRows(), next: row}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// catch turns a panic of the Parquet library, which some damaged files cause, into an error.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read Parquet file: it is damaged: %v", p)
	}
}

func (p *ParquetReader) open(ctx context.Context) error {
	fr, err := pqarrow.NewFileReader(p.file, pqarrow.ArrowReadProperties{BatchSize: delta.BatchRows}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("read Parquet schema: %w", err)
	}
	schema, err := fr.Schema()
	if err != nil {
		return fmt.Errorf("read Parquet schema: %w", err)
	}
	var leaves []int
	p.fields = make([]int, len(p.columns))
	taken := map[int]bool{}
	for i, c := range p.columns {
		f := findField(schema, c.name)
		p.fields[i] = f
		if f < 0 {
			continue
		}
		if !CanRead(schema.Field(f).Type, c.typ) {
			return sqlerr.New(sqlerr.DatatypeMismatch, "column %q of the Parquet file has type %s, which cannot be read as %s", c.name, schema.Field(f).Type, c.typ)
		}
		if !taken[f] {
			taken[f] = true
			leaves = append(leaves, leavesOf(fr, f)...)
		}
	}
	if len(leaves) == 0 || p.next >= p.total {
		return nil
	}
	if p.rows, err = fr.GetRecordReader(ctx, leaves, nil); err != nil {
		return fmt.Errorf("read Parquet file: %w", err)
	}
	for i, f := range p.fields { // places change when fields in between are left out
		if f >= 0 {
			p.fields[i] = findField(p.rows.Schema(), schema.Field(f).Name)
		}
	}
	if p.next == 0 {
		return nil
	}
	if err := p.rows.SeekToRow(p.next); err != nil {
		return fmt.Errorf("seek to row %d of Parquet file: %w", p.next, err)
	}
	return nil
}

func findField(s *arrow.Schema, name string) int {
	at := -1
	for i, f := range s.Fields() {
		if f.Name == name {
			return i
		}
		if at < 0 && lower(f.Name) == lower(name) {
			at = i
		}
	}
	return at
}

// leavesOf lists the leaf columns below a field.
func leavesOf(fr *pqarrow.FileReader, field int) []int {
	var out []int
	var walk func(f *pqarrow.SchemaField)
	walk = func(f *pqarrow.SchemaField) {
		if f.ColIndex >= 0 && len(f.Children) == 0 {
			out = append(out, f.ColIndex)
		}
		for i := range f.Children {
			walk(&f.Children[i])
		}
	}
	walk(&fr.Manifest.Fields[field])
	return out
}

// Rows returns the number of rows of the file.
func (p *ParquetReader) Rows() int64 { return p.total }

// Row returns the number of the next row.
func (p *ParquetReader) Row() int64 { return p.next }

// Read appends up to about delta.BatchRows rows to a Rows; rec says what surrounds them. Rows that cannot be
// converted are left out, and bad is called with each one's number. It returns io.EOF after the last row.
func (p *ParquetReader) Read(rec *Record, to *Rows, bad func(row int64, err error)) (err error) {
	defer catch(&err)
	if p.next >= p.total {
		return io.EOF
	}
	n := min(int64(delta.BatchRows), p.total-p.next)
	if p.rows != nil {
		b, err := p.rows.Read()
		if err != nil {
			return fmt.Errorf("read row %d of Parquet file: %w", p.next, err)
		}
		p.batch, n = b, b.NumRows()
	}
	first := p.next
	p.next += n
	if p.append(rec, to, first, 0, n) == nil {
		return nil
	}
	for k := range n { // one of them is bad: find out which, one by one
		if err := p.append(rec, to, first, k, k+1); err != nil {
			bad(first+k, err)
		}
	}
	return nil
}

// append appends the rows lo to hi of the batch, all or none. first is the number of the batch's first row.
func (p *ParquetReader) append(rec *Record, to *Rows, first, lo, hi int64) (err error) {
	start := to.n
	defer func() {
		if err != nil {
			to.rollback(start)
		}
	}()
	for i, c := range p.columns {
		if p.fields[i] < 0 {
			continue
		}
		if err := p.column(c, p.batch.Column(p.fields[i]), to.cols[c.slot], lo, hi); err != nil {
			return wrapColumn(c.name, err)
		}
	}
	for k := lo; k < hi; k++ {
		rec.Offset = first + k
		if err := p.appendIncludes(rec, to, false); err != nil {
			return err
		}
		to.end(1)
	}
	return nil
}

// column appends a part of one column; a type modifier takes the way over single values.
func (p *ParquetReader) column(c column, a arrow.Array, v *delta.Vec, lo, hi int64) error {
	part := array.NewSlice(a, lo, hi)
	defer part.Release()
	if c.typ.Mod == 0 {
		return FromArrow(part, v, p.settings)
	}
	plain := scratchVec(c.typ)
	if err := FromArrow(part, plain, p.settings); err != nil {
		return err
	}
	for i := range plain.Len() {
		v.AppendFrom(plain, i)
		if err := applyTypmod(v, c.typ); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of the file's memory; the file itself belongs to the caller.
func (p *ParquetReader) Close() {
	if p.rows != nil {
		p.rows.Release()
	}
}

// CheckParquet validates the columns and format options of a source that reads Parquet files.
func CheckParquet(spec *connector.SourceSpec) error {
	all := *spec
	all.Cols = make([]int, len(spec.Columns))
	for i := range all.Cols {
		all.Cols[i] = i
	}
	if _, err := newTarget(&all, false); err != nil {
		return err
	}
	return noOptions("ENCODE PARQUET", spec.Connector.FormatOptions)
}
