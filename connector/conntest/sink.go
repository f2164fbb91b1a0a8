package conntest

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// SinkCase is a sink with an empty target. The suite writes rows of the columns that SinkColumns returns.
type SinkCase struct {
	Sink connector.Sink
	Spec *connector.SinkSpec
	// Visible reads the committed contents of the target, one text a row, in any order; Row is how the target
	// shows a row of SinkColumns. nil Visible: the target cannot be read.
	Visible func(t *testing.T) []string
	Row     func(id int64, name string) string
	// ExactlyOnce: the target can tell the committed epoch.
	ExactlyOnce bool
}

// SinkColumns are the columns of the rows that the suite writes.
func SinkColumns() []catalog.Column {
	return []catalog.Column{{ID: 1, Name: "id", Type: sqltypes.Int8}, {ID: 2, Name: "name", Type: sqltypes.Text}}
}

// SinkRows makes a chunk of rows named "row <id>".
func SinkRows(ids ...int64) *delta.Chunk {
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
	for _, id := range ids {
		b.AppendDatums([]sqltypes.Datum{id, name(id)}, 1)
	}
	return b.Take()
}

func name(id int64) string { return "row " + string(rune('a'+id%26)) }

// Sink runs the contract of sinks.
func Sink(t *testing.T, c SinkCase) {
	t.Helper()
	if c.Spec.Settings == nil {
		c.Spec.Settings = sqlio.DefaultSettings()
	}
	if c.Spec.Logger == nil {
		c.Spec.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Sink.Validate(t.Context(), c.Spec); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	t.Run("unknown option", c.unknownOption)
	t.Run("epochs", c.epochs)
	if c.ExactlyOnce {
		t.Run("fencing", c.fencing)
	}
}

func (c *SinkCase) unknownOption(t *testing.T) {
	for name := range c.Spec.Connector.Options {
		spec := *c.Spec
		spec.Connector.Options = maps.Clone(spec.Connector.Options)
		spec.Connector.Options[name+"x"] = "1"
		checkUnknown(t, c.Sink.Validate(t.Context(), &spec), name)
		return
	}
}

func (c *SinkCase) open(t *testing.T) connector.Writer {
	t.Helper()
	w, err := c.Sink.Open(t.Context(), c.Spec)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return w
}

func (c *SinkCase) write(t *testing.T, w connector.Writer, epoch uint64, ids ...int64) {
	t.Helper()
	if err := w.Write(t.Context(), epoch, SinkRows(ids...)); err != nil {
		t.Fatalf("Write epoch %d: %v", epoch, err)
	}
}

func (c *SinkCase) commit(t *testing.T, w connector.Writer, epoch uint64) {
	t.Helper()
	if err := w.Commit(t.Context(), epoch); err != nil {
		t.Fatalf("Commit epoch %d: %v", epoch, err)
	}
}

// expect checks what the target shows.
func (c *SinkCase) expect(t *testing.T, when string, ids ...int64) {
	t.Helper()
	if c.Visible == nil {
		return
	}
	var want []string
	for _, id := range ids {
		want = append(want, c.Row(id, name(id)))
	}
	got := c.Visible(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s the target shows %q, want %q", when, got, want)
	}
}

// committed checks the epoch that the target holds; 0 means none.
func (c *SinkCase) committed(t *testing.T, w connector.Writer, want uint64) {
	t.Helper()
	epoch, ok, err := w.Committed(t.Context())
	if err != nil {
		t.Fatalf("Committed: %v", err)
	}
	if c.ExactlyOnce && (ok != (want > 0) || epoch != want) {
		t.Errorf("Committed = %d, %v, want %d", epoch, ok, want)
	}
}

// epochs delivers three epochs, the second of which fails once after its rows were staged.
func (c *SinkCase) epochs(t *testing.T) {
	w := c.open(t)
	c.committed(t, w, 0)
	c.write(t, w, 10, 1, 2)
	c.write(t, w, 10, 3)
	if c.ExactlyOnce {
		c.expect(t, "before the first commit")
	}
	c.commit(t, w, 10)
	c.expect(t, "after epoch 10", 1, 2, 3)
	c.commit(t, w, 11) // an epoch without rows
	c.write(t, w, 12, 4, 5)
	if err := w.Close(); err != nil {
		t.Errorf("Close with staged rows: %v", err)
	}
	if c.ExactlyOnce {
		c.expect(t, "after an epoch that was not committed", 1, 2, 3)
	}

	w = c.open(t)
	c.committed(t, w, 10)
	c.write(t, w, 12, 4, 5)
	c.commit(t, w, 12)
	c.committed(t, w, 12)
	c.write(t, w, 15, 6)
	c.commit(t, w, 15)
	if c.ExactlyOnce {
		c.expect(t, "in the end", 1, 2, 3, 4, 5, 6)
	}
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}

	w = c.open(t)
	c.committed(t, w, 15)
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// fencing lets a writer go on that another one has replaced, as one does whose process was paused. Nothing that it commits later may count.
func (c *SinkCase) fencing(t *testing.T) {
	old := c.open(t)
	defer func() { _ = old.Close() }()
	c.write(t, old, 20, 7)
	w, err := c.Sink.Open(t.Context(), c.Spec)
	if err == nil {
		_, _, err = w.Committed(t.Context())
	}
	if err != nil { // the target does not let it in while the old one is there
		c.commit(t, old, 20)
		c.expect(t, "after the only commit", 1, 2, 3, 4, 5, 6, 7)
		return
	}
	defer func() { _ = w.Close() }()
	c.committed(t, w, 15)
	c.write(t, w, 20, 7)
	if old.Commit(t.Context(), 20) == nil { // the first one to commit counts
		if err := w.Commit(t.Context(), 20); err == nil {
			t.Error("two writers commit one epoch")
		}
		_ = w.Close()
		w = c.open(t)
		c.committed(t, w, 20)
		c.write(t, w, 21, 10)
		c.commit(t, w, 21)
	} else {
		c.commit(t, w, 20)
		c.write(t, w, 21, 10)
		c.commit(t, w, 21)
	}
	if err := old.Write(t.Context(), 21, SinkRows(8)); err == nil {
		if err = old.Commit(t.Context(), 21); err == nil {
			t.Error("a writer goes on after another one has committed")
		}
	}
	_ = old.Close()
	c.write(t, w, 22, 9)
	c.commit(t, w, 22)
	c.committed(t, w, 22)
	c.expect(t, "after an older writer has tried", 1, 2, 3, 4, 5, 6, 7, 9, 10)
	_ = w.Close()
	_ = c.open(t).Close() // removes what the older one has left
}
