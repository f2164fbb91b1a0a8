// Package guard gives connectors the values of secrets and keeps them out of everything that comes back.
//
// The idea: the engine knows options with references to secrets. A guarded source or sink opens them for the length of each call,
// hands the connector plain options, and takes the values out of the connector's errors and log lines. So no
// connector knows of secrets, and none can leak one.
//
// A guarded reader or writer is used as the one inside is.
//
// It does not decrypt (internal/secret). Start at Source and Sink.
package guard

import (
	"context"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/secret"
)

// Vault opens the secrets of a connector's options.
type Vault interface {
	Reveal(c catalog.Connector) (open catalog.Connector, values []string, err error)
}

// Source guards a source.
func Source(v Vault, s connector.Source) connector.Source {
	if c, ok := s.(connector.Capture); ok {
		return capture{source{v, s}, c}
	}
	return source{v, s}
}

// ReadableOffset implements connector.Readable.
func (c capture) ReadableOffset(log []byte) string {
	if r, ok := c.inner.(connector.Readable); ok {
		return r.ReadableOffset(log)
	}
	return string(log)
}

// Sink guards a sink.
func Sink(v Vault, s connector.Sink) connector.Sink { return sink{v, s} }

type source struct {
	vault Vault
	inner connector.Source
}

// open returns a copy of spec with plain options.
func (s source) open(spec *connector.SourceSpec) (*connector.SourceSpec, *secret.Redactor, error) {
	c, values, err := s.vault.Reveal(spec.Connector)
	if err != nil {
		return nil, nil, err
	}
	r := secret.NewRedactor(values, c)
	out := *spec
	out.Connector, out.Logger = c, r.Logger(spec.Logger)
	return &out, r, nil
}

// Validate implements connector.Source.
func (s source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	open, r, err := s.open(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	f, err := s.inner.Validate(ctx, open)
	return f, r.Error(err)
}

// Describe implements connector.Describer; of a source that is none there is nothing to say.
func (s source) Describe(ctx context.Context, spec *connector.SourceSpec) (connector.Description, error) {
	d, ok := s.inner.(connector.Describer)
	if !ok {
		return connector.Description{}, nil
	}
	open, r, err := s.open(spec)
	if err != nil {
		return connector.Description{}, err
	}
	out, err := d.Describe(ctx, open)
	return out, r.Error(err)
}

// Splits implements connector.Source.
func (s source) Splits(ctx context.Context, spec *connector.SourceSpec) ([]string, error) {
	open, r, err := s.open(spec)
	if err != nil {
		return nil, err
	}
	out, err := s.inner.Splits(ctx, open)
	return out, r.Error(err)
}

// Open implements connector.Source.
func (s source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	open, r, err := s.open(spec)
	if err != nil {
		return nil, err
	}
	in, err := s.inner.Open(ctx, open, splits)
	if err != nil {
		return nil, r.Error(err)
	}
	if r == nil {
		return in, nil
	}
	return reader{in, r}, nil
}

// reader is a connector.Reader, connector.Acker and connector.Recycler around one that may be less.
type reader struct {
	connector.Reader
	r *secret.Redactor
}

// Next implements connector.Reader.
func (r reader) Next(ctx context.Context) (*connector.Batch, error) {
	b, err := r.Reader.Next(ctx)
	return b, r.r.Error(err)
}

// Ack implements connector.Acker.
func (r reader) Ack(offsets []connector.SplitOffset) {
	if a, ok := r.Reader.(connector.Acker); ok {
		a.Ack(offsets)
	}
}

// Recycle implements connector.Recycler.
func (r reader) Recycle(b *connector.Batch) {
	if x, ok := r.Reader.(connector.Recycler); ok {
		x.Recycle(b)
	}
}

// capture guards a connector.Capture.
type capture struct {
	source
	inner connector.Capture
}

// DescribeTable implements connector.Capture.
func (c capture) DescribeTable(ctx context.Context, spec *connector.SourceSpec, upstream string, key []string) (connector.TableFacts, error) {
	open, r, err := c.open(spec)
	if err != nil {
		return connector.TableFacts{}, err
	}
	f, err := c.inner.DescribeTable(ctx, open, upstream, key)
	return f, r.Error(err)
}

// Drop implements connector.Capture.
func (c capture) Drop(ctx context.Context, spec *connector.SourceSpec) error {
	open, r, err := c.open(spec)
	if err != nil {
		return err
	}
	return r.Error(c.inner.Drop(ctx, open))
}

type sink struct {
	vault Vault
	inner connector.Sink
}

func (s sink) open(spec *connector.SinkSpec) (*connector.SinkSpec, *secret.Redactor, error) {
	c, values, err := s.vault.Reveal(spec.Connector)
	if err != nil {
		return nil, nil, err
	}
	r := secret.NewRedactor(values, c)
	out := *spec
	out.Connector, out.Logger = c, r.Logger(spec.Logger)
	return &out, r, nil
}

// Validate implements connector.Sink.
func (s sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	open, r, err := s.open(spec)
	if err != nil {
		return err
	}
	return r.Error(s.inner.Validate(ctx, open))
}

// Open implements connector.Sink.
func (s sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	open, r, err := s.open(spec)
	if err != nil {
		return nil, err
	}
	w, err := s.inner.Open(ctx, open)
	if err != nil {
		return nil, r.Error(err)
	}
	if r == nil {
		return w, nil
	}
	return writer{w, r}, nil
}

// writer is a connector.Writer and connector.Gatherer around one that may be less.
type writer struct {
	connector.Writer
	r *secret.Redactor
}

// Due implements connector.Gatherer; what is no Gatherer wants to commit now.
func (w writer) Due() time.Time {
	if g, ok := w.Writer.(connector.Gatherer); ok {
		return g.Due()
	}
	return time.Time{}
}

// Committed implements connector.Writer.
func (w writer) Committed(ctx context.Context) (uint64, bool, error) {
	epoch, ok, err := w.Writer.Committed(ctx)
	return epoch, ok, w.r.Error(err)
}

// Write implements connector.Writer.
func (w writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	return w.r.Error(w.Writer.Write(ctx, epoch, c))
}

// Commit implements connector.Writer.
func (w writer) Commit(ctx context.Context, epoch uint64) error {
	return w.r.Error(w.Writer.Commit(ctx, epoch))
}
