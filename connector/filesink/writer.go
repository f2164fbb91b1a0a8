// Package filesink writes the rows of a sink into files, wherever a Target keeps them: connector/posixfs in a folder,
// connector/s3 in a bucket.
//
// The idea: rows are staged in files that nobody sees. A commit writes down, in one small file of the sink's own (the
// record), the epoch and what is to be published; that is the moment at which the epoch counts. Then the files get their
// names. A writer that begins reads the record and publishes what is left to publish, which harms nothing when it has been
// done before. So each row is in exactly one file, a file is there as a whole or not at all, and files may be moved away by
// whoever reads them.
//
// The record is also what keeps an older writer out that is still alive: each write of it replaces the very version that the writer has read or
// written last (Target.Swap), and a writer that begins replaces it at once. What the older one does after that finds another version, and fails
// before anything is published.
//
// Many small files help nobody: the engine is told (Due) to gather epochs in one commit until there is enough.
//
// A Writer belongs to one goroutine, except Close.
//
// Invariants: a published name never names two contents; the record is written before anything that it names is published,
// and nothing is published that no record has named. Start at Target and Open.
package filesink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Target is where files go. Names are paths with slashes below what the sink was given.
type Target interface {
	// Create begins a file that will be called name, unseen.
	Create(ctx context.Context, name string) (Staged, error)
	// Publish gives a finished file its name. Publishing it again does nothing.
	Publish(ctx context.Context, p Pending) error
	// Clean removes what older writers of the sink, whose files have the given prefix, have staged.
	Clean(ctx context.Context, prefix string) error
	// Read returns the contents of a record and its version, nil and "" when there is none.
	Read(ctx context.Context, name string) (data []byte, version string, err error)
	// Swap replaces a record as a whole, if it still has the given version ("": there is none), and returns the new version. Otherwise the
	// error is ErrOvertaken. After any other error it may have happened.
	Swap(ctx context.Context, name string, data []byte, version string) (string, error)
}

// ErrOvertaken says that somebody else has written a record.
var ErrOvertaken = errors.New("the record has another version")

// Staged is a file being written. It belongs to one goroutine.
type Staged interface {
	Write(ctx context.Context, data []byte) error
	// Finish makes the file durable; it still is unseen.
	Finish(ctx context.Context) (Pending, error)
	// Abort gives the file up. After Finish it does so, too, if it has not been published.
	Abort()
}

// Pending is a finished file: its name, and how its Target finds it. It is written into the record as JSON.
type Pending struct {
	Name  string   `json:"name"`
	Stage string   `json:"stage"`
	Parts []string `json:"parts,omitempty"`
}

// record is what a sink knows of itself in the target.
type record struct {
	Version int       `json:"version"`
	Sink    string    `json:"sink"`
	Epoch   uint64    `json:"epoch"`             // 0: none
	Writer  uint64    `json:"writer,omitempty"`  // counts the writers: no two records of different writers are the same
	Publish []Pending `json:"publish,omitempty"` // of Epoch, and not known to be published
}

// maxOpen bounds the files that are written at the same time; those of a partition have one each.
const maxOpen = 100

// Writer implements connector.Writer and connector.Gatherer.
type Writer struct {
	options *Options
	spec    *connector.SinkSpec
	target  Target
	encoder codec.Encoder // nil for Parquet
	rec     record
	version string // of rec in the target

	epoch   uint64 // the last one staged
	number  int    // of files since the last commit
	since   time.Time
	open    map[string]*output // by folder
	done    []finished
	bytes   int64
	rows    int64
	folders []byte
	byDir   map[string][]int32

	busy   sync.Mutex
	closed context.CancelFunc
	life   context.Context // ends with Close
}

type finished struct {
	pending Pending
	staged  Staged
}

// Open returns the writer of a sink, after publishing what an older one has left to publish.
func Open(ctx context.Context, spec *connector.SinkSpec, o *Options, t Target) (*Writer, error) {
	w := &Writer{options: o, spec: spec, target: t, open: map[string]*output{}, byDir: map[string][]int32{}}
	var err error
	if w.encoder, err = codec.NewEncoder(spec); err != nil {
		return nil, err
	}
	var b []byte
	if b, w.version, err = t.Read(ctx, w.recordName()); err != nil {
		return nil, err
	}
	if b != nil {
		if err := json.Unmarshal(b, &w.rec); err != nil || w.rec.Version != 1 || w.rec.Sink != o.prefix {
			return nil, sqlerr.New(sqlerr.DataCorrupted, "file %q does not say what sink %q has written", w.recordName(), spec.Name).WithCause(err).
				WithHint("Remove it to begin anew; rows that are owed may then come twice.")
		}
	}
	next := w.rec
	next.Version, next.Sink, next.Writer = 1, o.prefix, w.rec.Writer+1
	if err := w.record(ctx, next); err != nil {
		return nil, err
	}
	if err := w.publish(ctx); err != nil {
		return nil, err
	}
	if err := t.Clean(ctx, o.prefix); err != nil {
		return nil, err
	}
	w.life, w.closed = context.WithCancel(context.Background())
	return w, nil
}

// recordName is a hidden name: readers of the folder leave it alone.
func (w *Writer) recordName() string { return ".millrace-" + w.options.prefix + ".json" }

// Committed implements connector.Writer.
func (w *Writer) Committed(context.Context) (epoch uint64, ok bool, err error) {
	return w.rec.Epoch, w.rec.Epoch > 0, nil
}

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	ctx, done := w.use(ctx)
	defer done()
	if !w.options.force {
		for k := range c.Len() {
			if c.Weight(c.Row(k)) < 0 {
				return sqlerr.New(sqlerr.InvalidParameterValue, "append-only sink got a deleted row")
			}
		}
	}
	if c.Len() == 0 {
		return nil
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	w.epoch = epoch
	if len(w.options.partition) == 0 {
		return w.writeTo(ctx, w.period(), c)
	}
	for dir, rows := range w.split(c) {
		if len(rows) == 0 {
			continue
		}
		if err := w.writeTo(ctx, path.Join(w.period(), dir), c.WithSel(rows)); err != nil {
			return err
		}
	}
	return nil
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

// writeTo writes rows into the open file of a folder, and ends it when it is large enough.
func (w *Writer) writeTo(ctx context.Context, dir string, c *delta.Chunk) error {
	out := w.open[dir]
	if out == nil {
		if len(w.open) >= maxOpen {
			if err := w.finishAll(ctx); err != nil {
				return err
			}
		}
		w.number++
		name := path.Join(dir, fmt.Sprintf("%s-%020d-%d%s", w.options.prefix, w.epoch, w.number, w.options.suffix))
		var err error
		if out, err = w.begin(ctx, name); err != nil {
			return err
		}
		w.open[dir] = out
	}
	out.count.ctx = ctx
	if err := out.write(c); err != nil {
		return err
	}
	w.rows += int64(c.Len())
	if out.count.n >= w.options.size {
		delete(w.open, dir)
		return w.finish(ctx, out)
	}
	return nil
}

func (w *Writer) finishAll(ctx context.Context) error {
	for dir, out := range w.open {
		delete(w.open, dir)
		if err := w.finish(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) finish(ctx context.Context, out *output) error {
	out.count.ctx = ctx
	err := out.end()
	var p Pending
	if err == nil {
		p, err = out.staged.Finish(ctx)
	}
	if err != nil {
		out.staged.Abort()
		return err
	}
	w.bytes += out.count.n
	w.done = append(w.done, finished{p, out.staged})
	return nil
}

// Due implements connector.Gatherer.
func (w *Writer) Due() time.Time {
	w.busy.Lock()
	defer w.busy.Unlock()
	size := w.bytes
	for _, out := range w.open {
		size += out.count.n
	}
	if size >= w.options.size || w.options.rows > 0 && w.rows >= w.options.rows {
		return time.Time{}
	}
	return w.since.Add(w.options.after)
}

// Commit implements connector.Writer. Epochs without rows leave no trace.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	ctx, done := w.use(ctx)
	defer done()
	if err := w.finishAll(ctx); err != nil {
		return err
	}
	if len(w.done) == 0 {
		return nil
	}
	next := record{Version: 1, Sink: w.options.prefix, Epoch: epoch, Writer: w.rec.Writer}
	for _, f := range w.done {
		next.Publish = append(next.Publish, f.pending)
	}
	w.done = nil // from here on they are the record's: a write that failed may have happened
	if err := w.record(ctx, next); err != nil {
		return err
	}
	w.number, w.bytes, w.rows, w.since = 0, 0, 0, time.Time{}
	return w.publish(ctx)
}

// publish gives the files of the record their names, and takes them out of the record: who reads the files may take them
// away from then on.
func (w *Writer) publish(ctx context.Context) error {
	if len(w.rec.Publish) == 0 {
		return nil
	}
	for _, p := range w.rec.Publish {
		if err := w.target.Publish(ctx, p); err != nil {
			return fmt.Errorf("publish file %q: %w", p.Name, err)
		}
	}
	next := w.rec
	next.Publish = nil
	return w.record(ctx, next)
}

// record writes the record, unless another writer has.
func (w *Writer) record(ctx context.Context, r record) error {
	b, err := json.Marshal(r)
	version := ""
	if err == nil {
		version, err = w.target.Swap(ctx, w.recordName(), b, w.version)
	}
	if errors.Is(err, ErrOvertaken) {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "another writer has taken over sink %q: epoch %d is not committed by this one", w.spec.Name, r.Epoch)
	}
	if err != nil {
		return fmt.Errorf("record epoch %d: %w", r.Epoch, err)
	}
	w.rec, w.version = r, version
	return nil
}

// Close implements connector.Writer. What was not committed is given up.
func (w *Writer) Close() error {
	w.closed()
	w.busy.Lock()
	defer w.busy.Unlock()
	for _, out := range w.open {
		out.staged.Abort()
	}
	for _, f := range w.done {
		f.staged.Abort()
	}
	w.open, w.done = map[string]*output{}, nil
	return nil
}

// output is a file being written.
type output struct {
	w       *Writer
	staged  Staged
	count   *counter
	zip     io.WriteCloser // nil: not compressed
	to      io.Writer      // zip or count
	parquet *codec.ParquetWriter
	line    []byte
}

// counter counts what goes into a file, as far as it has been encoded.
type counter struct {
	ctx context.Context // of the call that writes
	to  Staged
	buf []byte
	n   int64
}

// bufferBytes is how much is written at once.
const bufferBytes = 256 << 10

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	if len(c.buf)+len(b) > bufferBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) >= bufferBytes {
		return len(b), c.to.Write(c.ctx, b)
	}
	c.buf = append(c.buf, b...)
	return len(b), nil
}

func (c *counter) flush() error {
	err := c.to.Write(c.ctx, c.buf)
	c.buf = c.buf[:0]
	return err
}

// begin stages a file.
func (w *Writer) begin(ctx context.Context, name string) (*output, error) {
	staged, err := w.target.Create(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("create file %q: %w", name, err)
	}
	out := &output{w: w, staged: staged, count: &counter{ctx: ctx, to: staged}}
	out.to = out.count
	switch w.options.compress {
	case "gzip":
		out.zip = gzip.NewWriter(out.count)
	case "zstd":
		out.zip, err = zstd.NewWriter(out.count, zstd.WithEncoderConcurrency(1))
	}
	if out.zip != nil && err == nil {
		out.to = out.zip
	}
	if err == nil && w.encoder == nil {
		out.parquet, err = codec.NewParquetWriter(out.to, w.spec)
	} else if err == nil {
		_, err = out.to.Write(w.encoder.Header())
	}
	if err != nil {
		staged.Abort()
		return nil, err
	}
	return out, nil
}

func (out *output) write(c *delta.Chunk) error {
	if out.parquet != nil {
		return out.parquet.Write(c)
	}
	out.line = out.line[:0]
	for k := range c.Len() {
		i := c.Row(k)
		for range max(c.Weight(i), 0) {
			out.line = out.w.encoder.AppendRow(out.line, c, i)
		}
	}
	_, err := out.to.Write(out.line)
	return err
}

// end completes the file's contents.
func (out *output) end() error {
	if out.parquet != nil {
		if err := out.parquet.Close(); err != nil {
			return err
		}
	}
	if out.zip != nil {
		if err := out.zip.Close(); err != nil {
			return err
		}
	}
	return out.count.flush()
}

// IsHidden reports whether a path has an element that begins with a dot.
func IsHidden(name string) bool { return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") }
