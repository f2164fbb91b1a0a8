package posixfs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

// sinkConfig is the options of a sink.
type sinkConfig struct {
	path   string
	prefix string // of the files' names: what makes this sink's epochs its own
	suffix string
	force  bool
}

func parseSink(spec *connector.SinkSpec) (*sinkConfig, error) {
	o := option.New(option.Connector(spec.Connector.Name), spec.Connector.Options)
	c := &sinkConfig{path: o.Required("fs.path", "posix_fs.root")}
	mode, force := codec.SinkMode(o, spec)
	c.force = force
	if mode != codec.AppendOnly {
		o.Fail("files can only be appended to: use type = 'append-only', with force_append_only = 'true' if rows change")
	}
	instance := spec.Instance
	if instance == "" {
		instance = fmt.Sprintf("%s-%d", spec.Name, spec.ID)
	}
	c.prefix = safeName(instance) + "-"
	switch spec.Connector.Encode {
	case "CSV":
		c.suffix = ".csv"
	case "PARQUET":
		c.suffix = ".parquet"
	default:
		c.suffix = ".json"
	}
	return c, o.Done()
}

// safeName makes a text usable in a file's name.
func safeName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// Validate implements connector.Sink. The folder is made if it is not there.
func (Sink) Validate(_ context.Context, spec *connector.SinkSpec) error {
	c, err := parseSink(spec)
	if err != nil {
		return err
	}
	if _, err := codec.NewEncoder(spec); err != nil {
		return err
	}
	return c.makeFolder()
}

func (c *sinkConfig) makeFolder() error {
	if err := os.MkdirAll(c.path, 0o777); err != nil {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"fs.path\" names the folder %q, which cannot be made", c.path).
			WithDetail("%v", err).WithCause(err)
	}
	return checkFolder("fs.path", c.path)
}

// Open implements connector.Sink. What an older writer left unfinished is removed.
func (Sink) Open(_ context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c, spec: spec}
	if w.encoder, err = codec.NewEncoder(spec); err != nil {
		return nil, err
	}
	if err := c.makeFolder(); err != nil {
		return nil, err
	}
	stale, err := filepath.Glob(filepath.Join(globEscape(c.path), "."+c.prefix+"*.tmp"))
	if err != nil {
		return nil, fmt.Errorf("list unfinished files in %q: %w", c.path, err)
	}
	for _, f := range stale {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("remove unfinished file: %w", err)
		}
	}
	return w, nil
}

func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// Writer implements connector.Writer.
type Writer struct {
	config  *sinkConfig
	spec    *connector.SinkSpec
	encoder codec.Encoder // nil for Parquet
	epoch   uint64        // of the file being written
	mu      struct {
		sync.Mutex
		file *os.File // the file being written; nil when there is none. Close may take it away
	}
	buf     *bufio.Writer
	parquet *codec.ParquetWriter
	line    []byte
}

// name is an epoch's file name; epochs sort as their names do.
func (c *sinkConfig) name(epoch uint64) string {
	return fmt.Sprintf("%s%020d%s", c.prefix, epoch, c.suffix)
}

// Committed implements connector.Writer: the newest epoch among the files.
func (w *Writer) Committed(context.Context) (epoch uint64, ok bool, err error) {
	entries, err := os.ReadDir(w.config.path)
	if err != nil {
		return 0, false, fmt.Errorf("list files in %q: %w", w.config.path, err)
	}
	for _, e := range entries {
		middle, isOurs := strings.CutPrefix(e.Name(), w.config.prefix)
		middle, _, _ = strings.Cut(middle, ".")
		if n, err := strconv.ParseUint(middle, 10, 64); isOurs && len(middle) == 20 && err == nil {
			epoch, ok = max(epoch, n), true
		}
	}
	return epoch, ok, nil
}

// Write implements connector.Writer.
func (w *Writer) Write(_ context.Context, epoch uint64, c *delta.Chunk) error {
	if err := w.begin(epoch); err != nil {
		return err
	}
	if !w.config.force {
		for k := range c.Len() {
			if c.Weight(c.Row(k)) < 0 {
				return sqlerr.New(sqlerr.InvalidParameterValue, "append-only sink got a deleted row")
			}
		}
	}
	if w.parquet != nil {
		return w.parquet.Write(c)
	}
	for k := range c.Len() {
		i := c.Row(k)
		for range max(c.Weight(i), 0) {
			w.line = w.encoder.AppendRow(w.line[:0], c, i)
			if _, err := w.buf.Write(w.line); err != nil {
				return fmt.Errorf("write file of epoch %d: %w", epoch, err)
			}
		}
	}
	return nil
}

// begin opens the file of an epoch under its hidden name.
func (w *Writer) begin(epoch uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.file != nil && w.epoch == epoch {
		return nil
	}
	if w.mu.file != nil {
		return fmt.Errorf("write epoch %d: epoch %d was not committed", epoch, w.epoch)
	}
	file, err := os.CreateTemp(w.config.path, "."+w.config.name(epoch)+".*.tmp")
	if err != nil {
		return fmt.Errorf("create file of epoch %d: %w", epoch, err)
	}
	w.mu.file, w.epoch, w.buf, w.parquet = file, epoch, bufio.NewWriterSize(file, 256<<10), nil
	if w.encoder == nil {
		w.parquet, err = codec.NewParquetWriter(w.buf, w.spec)
	} else {
		_, err = w.buf.Write(w.encoder.Header())
	}
	return err
}

// Commit implements connector.Writer: the rename is what makes the epoch's rows visible. Epochs without rows
// leave no file.
func (w *Writer) Commit(_ context.Context, epoch uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := w.mu.file
	if file == nil {
		return nil
	}
	if w.parquet != nil {
		if err := w.parquet.Close(); err != nil {
			return fmt.Errorf("complete file of epoch %d: %w", epoch, err)
		}
	}
	err := w.buf.Flush()
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(w.config.path, w.config.name(epoch)))
	}
	if err == nil {
		err = syncFolder(w.config.path)
	}
	if err != nil {
		return fmt.Errorf("commit file of epoch %d: %w", epoch, err)
	}
	w.mu.file, w.parquet = nil, nil
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close implements connector.Writer. A file that was not committed is removed.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	file := w.mu.file
	if file == nil {
		return nil
	}
	w.mu.file = nil
	file.Close() // it may be closed already, by a Commit that failed afterwards
	if err := os.Remove(file.Name()); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove unfinished file: %w", err)
	}
	return nil
}
