// Package iceberg writes a sink's rows into an Iceberg table: appended, or as upserts by key.
//
// The idea: data files are written as rows come, and a commit adds them all to the table in one snapshot. The same
// commit sets a property of the table to the epoch's number; so whoever begins to write reads there which epochs the table
// holds. A commit insists that nobody has committed since the table was loaded; if somebody has, the table is loaded again, and
// only if our own number in it is still as we left it the files are committed on top. That also keeps two writers of one sink
// from both committing an epoch, and tells a commit whose answer was lost from one that failed.
//
// An upsert is an equality delete of the key's older rows (merge on read) and the new row; in a snapshot the deletes apply to
// earlier snapshots only. Changes of one key within a commit are added up before they are written.
//
// A Writer belongs to one goroutine, except Close.
//
// Invariants: a file belongs to one commit; of a key a commit writes one row at most. It uses apache/iceberg-go, without
// the SDKs of clouds for files: connector/iceberg/files.go speaks to S3. Start at Sink.
package iceberg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	iceberg "github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

const (
	// maxPending is how much is held before it is written into data files. Unit: bytes of rows.
	maxPending = 64 << 20
	// maxAttempts bounds how often a commit is tried again on top of others' commits.
	maxAttempts = 20
)

// Sink implements connector.Sink.
type Sink struct{}

// Validate implements connector.Sink. The table is made if that was asked for.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	c, err := parse(spec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeCatalog(cat)
	t, err := c.load(ctx, cat, spec)
	if err != nil {
		return err
	}
	_, _, err = c.layout(spec, t)
	return err
}

func closeCatalog(cat icecatalog.Catalog) {
	if x, ok := cat.(icecatalog.Closer); ok {
		_ = x.Close()
	}
}

// Open implements connector.Sink.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (_ connector.Writer, err error) {
	c, err := parse(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c, spec: spec, instance: sqlsink.Instance(spec), id: rand.Text(), settings: sqlio.DefaultSettings(),
		changes: sqlsink.NewChanges(spec, &sqlsink.Options{Force: c.force})}
	if w.catalog, err = c.open(ctx); err != nil {
		return nil, err
	}
	if w.table, err = c.load(ctx, w.catalog, spec); err == nil {
		w.fields, w.arrow, err = c.layout(spec, w.table)
	}
	if err == nil {
		w.epoch, w.found, err = epochOf(w.table, w.instance)
	}
	if err != nil {
		closeCatalog(w.catalog)
		return nil, err
	}
	for _, col := range spec.Columns {
		w.types = append(w.types, col.Type)
	}
	for _, k := range spec.Key {
		f, _ := w.table.Schema().FindFieldByName(spec.Columns[k].Name)
		w.keyIDs = append(w.keyIDs, f.ID)
	}
	w.reset()
	w.life, w.end = context.WithCancel(context.Background())
	return w, nil
}

// Writer implements connector.Writer and connector.Gatherer.
type Writer struct {
	config   *config
	spec     *connector.SinkSpec
	instance string
	id       string // of this very writer
	settings *sqlio.Settings
	catalog  icecatalog.Catalog
	table    *table.Table
	fields   []field
	arrow    *arrow.Schema
	types    []sqltypes.Type
	keyIDs   []int
	changes  *sqlsink.Changes // of append-only sinks

	epoch   uint64 // that the table holds
	found   bool
	staging uint64 // the epoch of the last rows
	since   time.Time
	bytes   int
	rows    []arrow.RecordBatch // of append-only sinks, to be written
	keys    map[string]*change  // of upsert sinks
	order   []*change
	buf     []byte
	flushed bool // rows of staging are in files: what comes later cannot be added up with them
	data    []iceberg.DataFile
	deletes []iceberg.DataFile
	tried   bool // to commit them: they may be the table's

	busy sync.Mutex
	once sync.Once
	life context.Context // ends with Close
	end  context.CancelFunc
}

// change is what a commit does to a key.
type change struct {
	chunk *delta.Chunk // nil: no row is put
	row   int32
	del   *delta.Chunk // nil: the table has no row to be deleted
	at    int32
}

func (w *Writer) reset() {
	w.since, w.bytes, w.rows, w.order, w.flushed = time.Time{}, 0, nil, nil, false
	w.keys, w.data, w.deletes, w.tried = map[string]*change{}, nil, nil, false
}

// Committed implements connector.Writer.
func (w *Writer) Committed(context.Context) (epoch uint64, ok bool, err error) {
	return w.epoch, w.found, nil
}

// use takes the writer; what runs under the context ends when the writer is closed.
func (w *Writer) use(ctx context.Context) (context.Context, func()) {
	w.busy.Lock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(w.life, cancel)
	return ctx, func() {
		stop()
		cancel()
		w.busy.Unlock()
	}
}

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	ctx, done := w.use(ctx)
	defer done()
	if c.Len() == 0 {
		return nil
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	if w.flushed && w.staging != epoch && w.config.upsert {
		return fmt.Errorf("write epoch %d to Iceberg table %q: epoch %d was due", epoch, w.config.where(), w.staging)
	}
	w.staging = epoch
	if w.config.upsert {
		w.note(c)
	} else if err := w.append(c); err != nil {
		return err
	}
	if w.bytes += c.SizeBytes(); w.bytes >= maxPending {
		return w.flush(ctx)
	}
	return nil
}

// append holds the rows of a chunk.
func (w *Writer) append(c *delta.Chunk) error {
	_, put, err := w.changes.Split(c)
	if err != nil || len(put) == 0 {
		return err
	}
	b, err := w.batch(w.arrow, w.fields, gather(c, put))
	if err == nil {
		w.rows = append(w.rows, b)
	}
	return err
}

func gather(c *delta.Chunk, rows []int32) *delta.Chunk {
	out := &delta.Chunk{Rows: len(rows)}
	for _, v := range c.Cols {
		out.Cols = append(out.Cols, v.Gather(rows))
	}
	return out
}

// note adds up changes by key.
func (w *Writer) note(c *delta.Chunk) {
	for k := range c.Len() {
		i := c.Row(k)
		w.buf = w.buf[:0]
		for _, col := range w.spec.Key {
			if c.Cols[col].IsNull(i) {
				w.buf = append(w.buf, 0)
				continue
			}
			w.buf = sqlio.AppendKey(append(w.buf, 1), c.Cols[col], i)
		}
		x := w.keys[string(w.buf)]
		fresh := x == nil
		if fresh {
			x = &change{}
			w.keys[string(w.buf)] = x
			w.order = append(w.order, x)
		}
		if c.Weight(i) > 0 {
			x.chunk, x.row = c, int32(i)
			continue
		}
		if fresh { // a row that this commit put itself is not in the table yet
			x.del, x.at = c, int32(i)
		}
		x.chunk = nil
	}
}

// batch arranges rows as the given fields of the table.
func (w *Writer) batch(schema *arrow.Schema, fields []field, c *delta.Chunk) (arrow.RecordBatch, error) {
	cols := make([]arrow.Array, len(fields))
	for i, f := range fields {
		want := schema.Field(i).Type
		if f.col < 0 {
			cols[i] = array.MakeArrayOfNull(memory.DefaultAllocator, want, c.Rows)
			continue
		}
		v := c.Cols[f.col].Prefix(c.Rows)
		if f.Required && v.CountNulls() > 0 {
			return nil, sqlerr.New(sqlerr.NotNullViolation, "null value in column %q, which is required in Iceberg table %q", f.Name, w.config.where())
		}
		if _, ok := f.Type.(iceberg.StringType); ok && f.as.Kind == sqltypes.KArray {
			v = w.texts(v)
		} else {
			v = v.Retype(f.as)
		}
		a, err := codec.ToArrowArray(v, w.settings)
		if err != nil {
			return nil, err
		}
		if !arrow.TypeEqual(a.DataType(), want) { // lists differ in the names of their elements
			d := a.Data()
			a = array.MakeFromData(array.NewData(want, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset()))
		}
		cols[i] = a
	}
	return array.NewRecordBatch(schema, cols, int64(c.Rows)), nil
}

// texts are the values as Millrace prints them.
func (w *Writer) texts(v *delta.Vec) *delta.Vec {
	out := delta.NewBytesVec(sqltypes.Text, v.Len(), 16*v.Len())
	for i := range v.Len() {
		if v.IsNull(i) {
			out.AppendNull()
			continue
		}
		out.AppendBytes(sqlio.AppendText(nil, v, i, w.settings))
	}
	return out
}

// flush writes what is held into data files and delete files.
func (w *Writer) flush(ctx context.Context) error {
	rows, deletes, err := w.rows, []arrow.RecordBatch(nil), error(nil)
	if w.config.upsert {
		if rows, deletes, err = w.addUp(); err != nil {
			return err
		}
	}
	if len(rows) > 0 {
		for f, err := range table.WriteRecords(ctx, w.table, w.arrow, records(rows), table.WithMaxWriteWorkers(1)) {
			if err != nil {
				return w.failed("write data files of", err)
			}
			w.data = append(w.data, f)
		}
	}
	if len(deletes) > 0 {
		files, err := w.table.NewTransaction().WriteEqualityDeletes(ctx, w.keyIDs, records(deletes))
		if err != nil {
			return w.failed("write delete files of", err)
		}
		w.deletes = append(w.deletes, files...)
	}
	w.rows, w.order, w.keys, w.bytes, w.flushed = nil, nil, map[string]*change{}, 0, true
	return nil
}

func records(batches []arrow.RecordBatch) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, b := range batches {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// addUp makes batches of the rows to put and the keys to delete.
func (w *Writer) addUp() (rows, deletes []arrow.RecordBatch, err error) {
	var keyFields []field
	var keyArrow []arrow.Field
	for i, f := range w.fields {
		for _, id := range w.keyIDs {
			if f.ID == id {
				keyFields, keyArrow = append(keyFields, f), append(keyArrow, w.arrow.Field(i))
			}
		}
	}
	keySchema := arrow.NewSchema(keyArrow, nil)
	put, del := delta.NewBuilder(w.types), delta.NewBuilder(w.types)
	take := func(b *delta.Builder, to *[]arrow.RecordBatch, schema *arrow.Schema, fields []field, least int) {
		if b.Len() < least || b.Len() == 0 || err != nil {
			return
		}
		var batch arrow.RecordBatch
		if batch, err = w.batch(schema, fields, b.Take()); err == nil {
			*to = append(*to, batch)
		}
	}
	for _, x := range w.order {
		if x.del != nil {
			del.AppendRow(x.del, int(x.at), 1)
		}
		if x.chunk != nil {
			put.AppendRow(x.chunk, int(x.row), 1)
		}
		take(put, &rows, w.arrow, w.fields, delta.BatchRows)
		take(del, &deletes, keySchema, keyFields, delta.BatchRows)
	}
	take(put, &rows, w.arrow, w.fields, 1)
	take(del, &deletes, keySchema, keyFields, 1)
	return rows, deletes, err
}

// Due implements connector.Gatherer.
func (w *Writer) Due() time.Time {
	w.busy.Lock()
	defer w.busy.Unlock()
	if w.flushed {
		return time.Time{}
	}
	return w.since.Add(w.config.interval)
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	ctx, done := w.use(ctx)
	defer done()
	if err := w.flush(ctx); err != nil {
		return err
	}
	if len(w.data)+len(w.deletes) == 0 {
		w.reset()
		return nil
	}
	for attempt := 1; ; attempt++ {
		err := w.commit(ctx, epoch)
		if err == nil {
			break
		}
		again, rerr := w.reload(ctx, epoch)
		if rerr != nil {
			return rerr
		}
		if w.epoch == epoch && w.found { // the answer was lost, the commit was not
			break
		}
		if !again || attempt == maxAttempts {
			return w.failed(fmt.Sprintf("commit epoch %d to", epoch), err)
		}
	}
	w.epoch, w.found = epoch, true
	w.reset()
	return nil
}

// commit adds the files to the table, and sets the epoch, unless somebody has committed since the table was loaded.
func (w *Writer) commit(ctx context.Context, epoch uint64) error {
	text := strconv.FormatUint(epoch, 10)
	tx := w.table.NewTransaction()
	if err := tx.AssertRefSnapshotID(""); err != nil {
		return err
	}
	delta := tx.NewRowDelta(iceberg.Properties{"millrace.sink": w.instance, "millrace.epoch": text})
	if err := delta.AddRows(w.data...).AddDeletes(w.deletes...).Commit(ctx); err != nil {
		return err
	}
	if err := tx.SetProperties(iceberg.Properties{propertyOf(w.instance): text, writerOf(w.instance): w.id}); err != nil {
		return err
	}
	w.tried = true
	t, err := tx.Commit(ctx)
	if err == nil {
		w.table = t
	}
	return err
}

// reload takes the table as it is after a commit that failed, as far as is known. again: others have committed meanwhile, and
// it can be tried on top. The sink's epoch in the table must be ours: the one before, or the one that was being committed.
func (w *Writer) reload(ctx context.Context, trying uint64) (again bool, err error) {
	t, err := w.catalog.LoadTable(ctx, w.config.ident)
	if err != nil {
		return false, w.failed("load", err)
	}
	epoch, found, err := epochOf(t, w.instance)
	if err != nil {
		return false, err
	}
	ours := found && epoch == trying && t.Properties()[writerOf(w.instance)] == w.id
	if !ours && (found != w.found || epoch != w.epoch) {
		return false, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "another writer has taken over sink %q: Iceberg table %q holds its epoch %d", w.spec.Name, w.config.where(), epoch)
	}
	if !t.Schema().Equals(w.table.Schema()) {
		return false, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "Iceberg table %q has got another schema", w.config.where())
	}
	again = t.MetadataLocation() != w.table.MetadataLocation()
	w.table, w.epoch, w.found = t, epoch, found
	return again, nil
}

func (w *Writer) failed(what string, err error) error {
	var e *sqlerr.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return sqlerr.New(sqlerr.IOError, "could not %s Iceberg table %q", what, w.config.where()).WithDetail("%v", err).WithCause(err)
}

// Close implements connector.Writer. Files that were certainly not committed are removed.
func (w *Writer) Close() error {
	w.once.Do(func() {
		w.end()
		w.busy.Lock()
		defer w.busy.Unlock()
		defer closeCatalog(w.catalog)
		if w.tried || len(w.data)+len(w.deletes) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		files, err := w.table.FS(ctx)
		if err != nil {
			return
		}
		for _, f := range append(w.data, w.deletes...) {
			_ = files.Remove(f.FilePath()) // one that stays is in nobody's way
		}
	})
	return nil
}
