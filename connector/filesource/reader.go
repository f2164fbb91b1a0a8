package filesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

const (
	// window is how much of a file is read at once.
	window = 256 << 10
	// maxRecord bounds a record: a line longer than this is no text file.
	maxRecord = 64 << 20
	// maxErrorData is how much of a record that did not decode is kept.
	maxErrorData = 4 << 10
	// maxBatchBytes ends a batch of large records early.
	maxBatchBytes = 8 << 20
	// done is the offset of a file that has been read to its end and cannot grow.
	done = 1 << 62
)

// Open returns a reader of the given splits, each from its offset.
func Open(spec *connector.SourceSpec, o *Options, s Store, splits []connector.SplitOffset) (*Reader, error) {
	types := make([]sqltypes.Type, len(spec.Cols))
	for i, col := range spec.Cols {
		types[i] = spec.Columns[col].Type
	}
	r := &Reader{config: o, store: s, spec: spec, rows: codec.NewRows(types), closed: make(chan struct{}), log: spec.Logger}
	r.life, r.end = context.WithCancel(context.Background())
	var err error
	if spec.Connector.Encode != "PARQUET" {
		if r.dec, _, err = codec.NewDecoder(spec); err != nil {
			return nil, err
		}
		var ok bool
		if r.framer, ok = r.dec.(codec.Framer); !ok {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ENCODE %s does not say where a record in a file ends", spec.Connector.Encode)
		}
		r.header, _ = r.dec.(codec.HeaderReader)
	}
	for _, s := range splits {
		f := &input{name: s.Split, size: -1, how: o.compression(s.Split)}
		if s.Offset != nil && string(s.Offset) != string(connector.FromStart) {
			if f.next, err = offset.One(s.Offset); err != nil {
				return nil, fmt.Errorf("open file %q: %w", s.Split, err)
			}
		}
		f.gone = f.next == done
		f.sealed = !r.store.Grows() || f.how != ""
		r.files = append(r.files, f)
	}
	return r, nil
}

// Reader implements connector.Reader over any number of files, one after the other.
type Reader struct {
	config *Options
	store  Store
	spec   *connector.SourceSpec
	dec    codec.Decoder // nil for Parquet
	framer codec.Framer
	header codec.HeaderReader // nil without headers
	rows   *codec.Rows
	files  []*input
	turn   int // the file to look at next
	most   int // rows of the batch that is being read
	buf    []byte
	named  *input // whose header dec has taken
	log    *slog.Logger
	closed chan struct{}
	life   context.Context // ends with Close, and with it what is asked of the store
	end    context.CancelFunc
	once   sync.Once
	busy   sync.Mutex // held while files are read, so that Close can close them
}

// input is one file.
type input struct {
	name    string
	how     string // it is compressed
	sealed  bool   // it cannot grow: compressed, or the store says so
	next    int64  // bytes or rows read
	size    int64  // at which there was nothing more to read; −1: not looked at yet
	resting bool   // its last line has no end and was left alone
	rests   bool   // it was read to its end, and that has been told
	gone    bool   // there is nothing more to do
	stream  *contents
	file    File // of a Parquet file that is being read
	parquet *codec.ParquetReader
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	for {
		for range r.files {
			b, err := r.look(ctx)
			if b != nil || err != nil {
				return b, err
			}
			r.turn = (r.turn + 1) % len(r.files)
		}
		if err := r.pause(ctx); err != nil {
			return nil, err
		}
	}
}

var errClosed = errors.New("read files: reader is closed")

func (r *Reader) alive(ctx context.Context) error {
	select {
	case <-r.closed:
		return errClosed
	default:
		return ctx.Err()
	}
}

func (r *Reader) pause(ctx context.Context) error {
	t := time.NewTimer(r.config.Poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closed:
		return errClosed
	case <-t.C:
		return nil
	}
}

// look reads from the file whose turn it is.
func (r *Reader) look(ctx context.Context) (*connector.Batch, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	return r.read(ctx, r.files[r.turn])
}

// read returns the next batch of a file, or nil when there is nothing new.
func (r *Reader) read(ctx context.Context, f *input) (*connector.Batch, error) {
	if f.gone {
		return nil, nil
	}
	if err := r.alive(ctx); err != nil {
		return nil, err
	}
	if f.parquet != nil {
		return r.readParquet(f)
	}
	var st Info
	if f.stream == nil { // one that is being streamed is as it was
		var err error
		st, err = r.store.Stat(r.life, f.name)
		if errors.Is(err, fs.ErrNotExist) {
			r.vanished(f)
			return nil, nil
		}
		if err != nil {
			return nil, ioError(f, err)
		}
		if st.Size == f.size && !f.resting {
			return nil, nil
		}
	}
	if r.dec == nil {
		return r.openParquet(ctx, f, st)
	}
	if f.sealed {
		return r.readSealed(f, st)
	}
	return r.readGrowing(f, st)
}

func ioError(f *input, err error) error {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return err
	}
	return sqlerr.New(sqlerr.IOError, "could not read file %q", f.name).WithDetail("%v", err).WithCause(err)
}

// vanished notes that a file was removed; what was not read of it is lost, and that is worth a warning.
func (r *Reader) vanished(f *input) {
	f.gone = true
	if r.log != nil && f.size < 0 {
		r.log.Warn("file was removed before it was read", "file", f.name, "offset", f.next)
	}
}

// readGrowing reads whole records from f.next on.
func (r *Reader) readGrowing(f *input, st Info) (*connector.Batch, error) {
	if st.Size < f.next {
		return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "file %q has become shorter: %d bytes were read, it has %d", f.name, f.next, st.Size)
	}
	file, err := r.store.Open(r.life, f.name)
	if err != nil {
		return nil, ioError(f, err)
	}
	defer file.Close()
	if ok, err := r.takeHeader(f, file.ReadAt); !ok {
		f.size, f.resting = st.Size, false
		return nil, err
	}
	b := &connector.Batch{EndOfTxn: true}
	start, rest := f.next, st.ModTime.Add(r.config.LineAfter).Before(time.Now())
	left, err := r.records(f, file.ReadAt, b, rest)
	if err != nil {
		return nil, err
	}
	if !r.full() || left == 0 {
		f.size, f.resting = st.Size, left > 0
	}
	if f.next == start && len(b.Errors) == 0 && (f.next < st.Size || f.rests) {
		return nil, nil
	}
	return r.batch(f, b, st.Size, start), nil
}

// readSealed reads records of a file that is as long as it will be.
func (r *Reader) readSealed(f *input, st Info) (*connector.Batch, error) {
	if f.stream == nil {
		f.size = st.Size
		f.stream = &contents{open: func(from int64) (io.ReadCloser, error) {
			if f.how != "" {
				return decompressed(r.life, r.store, f.name, f.how, from)
			}
			return r.store.Stream(r.life, f.name, from)
		}}
	}
	b := &connector.Batch{EndOfTxn: true}
	start := f.next
	_, err := r.takeHeader(f, f.stream.readAt)
	if err == nil {
		_, err = r.records(f, f.stream.readAt, b, true)
	}
	if err != nil {
		return r.broken(f, b, start, err)
	}
	if !r.full() { // the end
		f.stream.close()
		f.stream, f.next, f.gone = nil, done, true
	}
	return r.batch(f, b, f.size, start), nil
}

// broken deals with an error in the middle of a sealed file. A growing store's may not be complete yet; one that does not
// decompress must not keep the others from being read.
func (r *Reader) broken(f *input, b *connector.Batch, start int64, err error) (*connector.Batch, error) {
	f.stream.close()
	f.stream = nil
	cut := errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.size = -1
		r.vanished(f)
		return nil, nil
	case f.how == "" || r.life.Err() != nil:
		return nil, ioError(f, err)
	case cut && r.store.Grows():
		if f.next > start || len(b.Errors) > 0 {
			return r.batch(f, b, -1, start), nil
		}
		return nil, nil
	}
	b.Errors = append(b.Errors, connector.RecordError{Split: f.name, Offset: strconv.FormatInt(f.next, 10),
		Err: sqlerr.New(sqlerr.DataCorrupted, "file %q is damaged from byte %d of its contents on", f.name, f.next).WithDetail("%v", err).WithCause(err)})
	f.next, f.gone = done, true
	return r.batch(f, b, f.size, start), nil
}

// records decodes records from f.next on until the batch is full or there are no more complete ones; left is how many bytes
// of an incomplete one are at the end. last: it counts although it has no end.
func (r *Reader) records(f *input, readAt func([]byte, int64) (int, error), b *connector.Batch, last bool) (left int, err error) {
	r.most = r.spec.BatchRows()
	for !r.full() {
		data, more, err := r.fill(readAt, f.next)
		if err != nil && len(data) == 0 {
			return 0, wrap(f, err)
		}
		used := r.decode(f, data, b, last && !more && err == nil)
		f.next += int64(used)
		switch {
		case err != nil:
			return len(data) - used, wrap(f, err)
		case !more:
			return len(data) - used, nil
		case used == 0 && len(r.buf) >= maxRecord:
			return 0, sqlerr.New(sqlerr.ProgramLimitExceeded, "file %q has a record of more than %d bytes at byte %d", f.name, maxRecord, f.next)
		case used == 0:
			r.buf = make([]byte, 2*len(r.buf))
		}
	}
	return 0, nil
}

func wrap(f *input, err error) error {
	return fmt.Errorf("read file %q at byte %d: %w", f.name, f.next, err)
}

func (r *Reader) full() bool {
	return r.rows.Len() >= r.most || r.rows.Bytes() >= maxBatchBytes
}

// fill reads a window of the file; more says that the file goes on behind it.
func (r *Reader) fill(readAt func([]byte, int64) (int, error), at int64) (data []byte, more bool, err error) {
	if r.buf == nil {
		r.buf = make([]byte, window)
	}
	n, err := readAt(r.buf, at)
	if errors.Is(err, io.EOF) {
		return r.buf[:n], false, nil
	}
	return r.buf[:n], err == nil, err
}

// takeHeader makes the decoder know the file's header; not ok when that is not complete yet.
func (r *Reader) takeHeader(f *input, readAt func([]byte, int64) (int, error)) (ok bool, err error) {
	if r.header == nil || !r.header.NeedsHeader() || r.named == f {
		return true, nil
	}
	data, _, err := r.fill(readAt, 0)
	if err != nil {
		return false, wrap(f, err)
	}
	n := r.framer.Frame(data)
	if n == 0 {
		if !f.sealed || len(data) == 0 {
			return false, nil
		}
		n = len(data) // a header and nothing else
	}
	if err := r.header.ReadHeader(data[:n]); err != nil {
		return false, err
	}
	r.named, f.next = f, max(f.next, int64(n))
	return true, nil
}

// decode decodes the complete records of data and returns how many bytes they take. last: the rest is a
// record although it has no end.
func (r *Reader) decode(f *input, data []byte, b *connector.Batch, last bool) int {
	at := 0
	for at < len(data) && !r.full() {
		n := r.framer.Frame(data[at:])
		if n == 0 {
			if !last {
				break
			}
			n = len(data) - at
		}
		r.record(f, data[at:at+n], f.next+int64(at), b)
		at += n
	}
	return at
}

func (r *Reader) record(f *input, line []byte, at int64, b *connector.Batch) {
	value := bytes.TrimRight(line, "\r\n")
	if len(value) == 0 {
		return
	}
	rec := codec.Record{Value: value, Offset: at, File: f.name}
	if err := r.dec.Decode(&rec, r.rows); err != nil {
		b.Errors = append(b.Errors, connector.RecordError{
			Split: f.name, Offset: strconv.FormatInt(at, 10), Err: err,
			Data: bytes.Clone(value[:min(len(value), maxErrorData)]),
		})
	}
}

// batch completes a batch of a file that has size bytes or rows; −1: that is not known.
func (r *Reader) batch(f *input, b *connector.Batch, size, start int64) *connector.Batch {
	n := int64(r.rows.Len())
	b.Chunk = r.rows.Take()
	b.Offsets = []connector.SplitOffset{{Split: f.name, Offset: offset.Encode(f.next)}}
	f.rests = size >= 0 && f.how == "" && f.next >= size || f.next == done
	b.Resting = f.rests
	switch took := f.next - start; {
	case f.rests:
	case size < 0 || f.how != "":
		b.Backlog = -1
	case took > 0 && n > 0: // as many rows in the rest as in what was read
		b.Backlog = int64(float64(size-f.next) / float64(took) * float64(n))
	}
	return b
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	var err error
	r.once.Do(func() {
		close(r.closed)
		r.end()
		r.busy.Lock()
		defer r.busy.Unlock()
		for _, f := range r.files {
			err = errors.Join(err, f.closeParquet())
			if f.stream != nil {
				f.stream.close()
			}
		}
	})
	return err
}
