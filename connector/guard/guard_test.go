package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
)

// vault knows one secret.
type vault struct{}

func (vault) Reveal(c catalog.Connector) (catalog.Connector, []string, error) {
	if len(c.Secrets) == 0 {
		return c, nil, nil
	}
	c.Options = map[string]string{"password": "hush"}
	return c, []string{"hush"}, nil
}

// blab is a connector that tells its password whenever something fails, which is always.
type blab struct{ acked, recycled *bool }

func (b blab) tell(c catalog.Connector) error {
	return errors.New("cannot log in with " + c.Options["password"])
}

func (b blab) Validate(_ context.Context, s *connector.SourceSpec) (connector.Facts, error) {
	return connector.Facts{}, b.tell(s.Connector)
}

func (b blab) Splits(_ context.Context, s *connector.SourceSpec) ([]string, error) {
	return nil, b.tell(s.Connector)
}

func (b blab) Open(_ context.Context, s *connector.SourceSpec, _ []connector.SplitOffset) (connector.Reader, error) {
	if s.Name == "fails" {
		return nil, b.tell(s.Connector)
	}
	return blabReader{b, s.Connector}, nil
}

type blabReader struct {
	blab
	c catalog.Connector
}

func (r blabReader) Next(context.Context) (*connector.Batch, error) { return nil, r.tell(r.c) }
func (r blabReader) Ack([]connector.SplitOffset)                    { *r.acked = true }
func (r blabReader) Recycle(*connector.Batch)                       { *r.recycled = true }
func (r blabReader) Close() error                                   { return nil }

// blabCapture is a blab that captures tables.
type blabCapture struct{ blab }

func (b blabCapture) DescribeTable(_ context.Context, s *connector.SourceSpec, _ string, _ []string) (connector.TableFacts, error) {
	return connector.TableFacts{}, b.tell(s.Connector)
}

func (b blabCapture) Drop(_ context.Context, s *connector.SourceSpec) error {
	return b.tell(s.Connector)
}

type blabSink struct{ blab }

func (b blabSink) Validate(_ context.Context, s *connector.SinkSpec) error {
	return b.tell(s.Connector)
}

func (b blabSink) Open(_ context.Context, s *connector.SinkSpec) (connector.Writer, error) {
	if s.Name == "fails" {
		return nil, b.tell(s.Connector)
	}
	return blabWriter{b.blab, s.Connector}, nil
}

type blabWriter struct {
	blab
	c catalog.Connector
}

func (w blabWriter) Committed(context.Context) (uint64, bool, error) { return 0, false, w.tell(w.c) }
func (w blabWriter) Write(context.Context, uint64, *delta.Chunk) error {
	return w.tell(w.c)
}
func (w blabWriter) Commit(context.Context, uint64) error { return w.tell(w.c) }
func (w blabWriter) Close() error                         { return nil }

// blabGatherer is a writer that gathers epochs.
type blabGatherer struct{ blabWriter }

func (blabGatherer) Due() time.Time { return time.Unix(1e9, 0) }

func TestErrorsTellNoSecret(t *testing.T) {
	var acked, recycled bool
	with := catalog.Connector{Secrets: map[string]catalog.SecretRef{"password": {ID: 1}}}
	src := Source(vault{}, blab{&acked, &recycled})
	dst := Sink(vault{}, blabSink{})
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "cannot log in with [hidden]") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := src.Validate(ctx, &connector.SourceSpec{Connector: with})
	check("Validate", err)
	_, err = src.Splits(ctx, &connector.SourceSpec{Connector: with})
	check("Splits", err)
	_, err = src.Open(ctx, &connector.SourceSpec{Name: "fails", Connector: with}, nil)
	check("Open", err)
	r, err := src.Open(ctx, &connector.SourceSpec{Connector: with}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Next(ctx)
	check("Next", err)
	r.(connector.Acker).Ack(nil)
	r.(connector.Recycler).Recycle(nil)
	if !acked || !recycled {
		t.Error("Ack and Recycle do not reach the reader inside")
	}
	capture := Source(vault{}, blabCapture{}).(connector.Capture)
	_, err = capture.DescribeTable(ctx, &connector.SourceSpec{Connector: with}, "t", nil)
	check("DescribeTable", err)
	check("Drop", capture.Drop(ctx, &connector.SourceSpec{Connector: with}))
	check("Validate", dst.Validate(ctx, &connector.SinkSpec{Connector: with}))
	_, err = dst.Open(ctx, &connector.SinkSpec{Name: "fails", Connector: with})
	check("Open", err)
	w, err := dst.Open(ctx, &connector.SinkSpec{Connector: with})
	if err != nil {
		t.Fatal(err)
	}
	if due := w.(connector.Gatherer).Due(); !due.IsZero() {
		t.Errorf("what does not gather is due at %v", due)
	}
	if due := (writer{Writer: blabGatherer{}}).Due(); due.Unix() != 1e9 {
		t.Errorf("what gathers is due at %v", due)
	}
	_, _, err = w.Committed(ctx)
	check("Committed", err)
	check("Write", w.Write(ctx, 1, nil))
	check("Commit", w.Commit(ctx, 1))
}

// TestNothingToHide: without secrets and passwords the connector's own reader and writer are used.
func TestNothingToHide(t *testing.T) {
	r, err := Source(vault{}, blab{}).Open(t.Context(), &connector.SourceSpec{}, nil)
	if _, ok := r.(blabReader); !ok || err != nil {
		t.Errorf("Open = %T, %v", r, err)
	}
	w, err := Sink(vault{}, blabSink{}).Open(t.Context(), &connector.SinkSpec{})
	if _, ok := w.(blabWriter); !ok || err != nil {
		t.Errorf("Open = %T, %v", w, err)
	}
}
