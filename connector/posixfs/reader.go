package posixfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/sqlerr"
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
)

// Reader implements connector.Reader over any number of files, one after the other.
type Reader struct {
	config *sourceConfig
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
	once   sync.Once
	busy   sync.Mutex // held while files are read, so that Close can close them
}

// input is one file.
type input struct {
	name    string
	next    int64 // bytes or rows read
	size    int64 // at which there was nothing more to read; −1: not looked at yet
	resting bool  // its last line has no end and was left alone
	rests   bool  // it was read to its end, and that has been told
	gone    bool
	file    *os.File // of a Parquet file that is being read
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
	t := time.NewTimer(r.config.poll)
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

func (r *Reader) path(f *input) string {
	return filepath.Join(r.config.root, filepath.FromSlash(f.name))
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
	st, err := os.Stat(r.path(f))
	if os.IsNotExist(err) {
		r.vanished(f)
		return nil, nil
	}
	if err != nil {
		return nil, ioError(f, err)
	}
	if st.Size() == f.size && !f.resting {
		return nil, nil
	}
	if r.dec == nil {
		return r.openParquet(ctx, f, st)
	}
	return r.readText(f, st)
}

func ioError(f *input, err error) error {
	return sqlerr.New(sqlerr.IOError, "could not read file %q", f.name).WithDetail("%v", err).WithCause(err)
}

// vanished notes that a file was removed; what was not read of it is lost, and that is worth a warning.
func (r *Reader) vanished(f *input) {
	f.gone = true
	if r.log != nil && f.size < 0 {
		r.log.Warn("file was removed before it was read", "file", f.name, "offset", f.next)
	}
}

// readText reads whole records from f.next on.
func (r *Reader) readText(f *input, st os.FileInfo) (*connector.Batch, error) {
	if st.Size() < f.next {
		return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "file %q has become shorter: %d bytes were read, it has %d", f.name, f.next, st.Size())
	}
	file, err := os.Open(r.path(f))
	if err != nil {
		return nil, ioError(f, err)
	}
	defer file.Close()
	if ok, err := r.takeHeader(f, file, st); !ok {
		return nil, err
	}
	b := &connector.Batch{EndOfTxn: true}
	start, rest := f.next, st.ModTime().Add(r.config.lineAfter).Before(time.Now())
	r.most = r.spec.BatchRows()
	for r.rows.Len() < r.most && r.rows.Bytes() < maxBatchBytes {
		data, more, err := r.fill(file, f.next)
		if err != nil {
			return nil, ioError(f, err)
		}
		used := r.records(f, data, b, rest && !more)
		f.next += int64(used)
		if used > 0 && more {
			continue
		}
		if used == 0 && more {
			if len(r.buf) >= maxRecord {
				return nil, sqlerr.New(sqlerr.ProgramLimitExceeded, "file %q has a record of more than %d bytes at byte %d", f.name, maxRecord, f.next)
			}
			r.buf = make([]byte, 2*len(r.buf))
			continue
		}
		if used == len(data) || !r.full() {
			f.size, f.resting = st.Size(), used < len(data)
		}
		break
	}
	if f.next == start && len(b.Errors) == 0 && (f.next < st.Size() || f.rests) {
		return nil, nil
	}
	return r.batch(f, b, st.Size(), start), nil
}

func (r *Reader) full() bool {
	return r.rows.Len() >= r.most || r.rows.Bytes() >= maxBatchBytes
}

// fill reads a window of the file; more says that the file goes on behind it.
func (r *Reader) fill(file *os.File, at int64) (data []byte, more bool, err error) {
	if r.buf == nil {
		r.buf = make([]byte, window)
	}
	n, err := file.ReadAt(r.buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return r.buf[:n], err == nil, nil
}

// takeHeader makes the decoder know the file's header; not ok when that is not complete yet.
func (r *Reader) takeHeader(f *input, file *os.File, st os.FileInfo) (ok bool, err error) {
	if r.header == nil || !r.header.NeedsHeader() || r.named == f {
		return true, nil
	}
	data, _, err := r.fill(file, 0)
	if err != nil {
		return false, ioError(f, err)
	}
	n := r.framer.Frame(data)
	if n == 0 {
		f.size, f.resting = st.Size(), false
		return false, nil
	}
	if err := r.header.ReadHeader(data[:n]); err != nil {
		return false, err
	}
	r.named, f.next = f, max(f.next, int64(n))
	return true, nil
}

// records decodes the complete records of data and returns how many bytes they take. last: the rest is a
// record although it has no end.
func (r *Reader) records(f *input, data []byte, b *connector.Batch, last bool) int {
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

// batch completes a batch of a file that has size bytes or rows.
func (r *Reader) batch(f *input, b *connector.Batch, size, start int64) *connector.Batch {
	n := int64(r.rows.Len())
	b.Chunk = r.rows.Take()
	b.Offsets = []connector.SplitOffset{{Split: f.name, Offset: offset.Encode(f.next)}}
	f.rests = f.next >= size
	b.Resting = f.rests
	if took := f.next - start; took > 0 && n > 0 { // as many rows in the rest as in what was read
		b.Backlog = int64(float64(size-f.next) / float64(took) * float64(n))
	}
	return b
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	var err error
	r.once.Do(func() {
		close(r.closed)
		r.busy.Lock()
		defer r.busy.Unlock()
		for _, f := range r.files {
			err = errors.Join(err, f.closeParquet())
		}
	})
	return err
}
