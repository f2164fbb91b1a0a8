// Package conntest is the contract of connector.Source and connector.Sink as tests, which every
// implementation runs on itself.
//
// The idea: an implementation sets up a target with known contents and hands over a case; the suite then does
// to it what the engine does: reads in pieces, stops anywhere, resumes from what it was told, commits, fails in
// between.
//
// For tests only; runs in the test's goroutine. Start at Source and Sink.
package conntest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// SourceCase is a source with known contents.
type SourceCase struct {
	Source connector.Source
	Spec   *connector.SourceSpec // Columns and Cols are filled in from the facts when empty
	// Rows is how many rows all splits hold together.
	Rows int
	// Idle is how long without a batch means that a split is read up. Zero: 400 ms.
	Idle time.Duration
	// Errors is how many records do not decode.
	Errors int
	// NoReplay: what was read cannot be read again.
	NoReplay bool
}

// longest is how long a call that must return at once may take.
const longest = 10 * time.Second

// Source runs the contract of sources.
func Source(t *testing.T, c SourceCase) {
	t.Helper()
	c.prepare(t)
	t.Run("unknown option", c.unknownOption)
	if !c.NoReplay {
		t.Run("resume", c.resume)
		t.Run("one reader for all splits", c.together)
	}
	t.Run("close unblocks", c.closeUnblocks)
	t.Run("cancellation", c.cancellation)
}

func (c *SourceCase) prepare(t *testing.T) {
	t.Helper()
	if c.Idle == 0 {
		c.Idle = 400 * time.Millisecond
	}
	if c.Spec.Settings == nil {
		c.Spec.Settings = sqlio.DefaultSettings()
	}
	if c.Spec.Logger == nil {
		c.Spec.Logger = slog.New(slog.DiscardHandler)
	}
	facts, err := c.Source.Validate(t.Context(), c.Spec)
	if err != nil {
		t.Fatalf("Validate: %v", err)
	}
	if facts.Columns != nil {
		c.Spec.Columns = facts.Columns
	}
	if c.Spec.Cols == nil {
		for i := range c.Spec.Columns {
			c.Spec.Cols = append(c.Spec.Cols, i)
		}
	}
}

func (c *SourceCase) splits(t *testing.T) []string {
	t.Helper()
	splits, err := c.Source.Splits(t.Context(), c.Spec)
	if err != nil {
		t.Fatalf("Splits: %v", err)
	}
	return splits
}

// unknownOption misspells an option; the error must be the user's and name the right one.
func (c *SourceCase) unknownOption(t *testing.T) {
	for name := range c.Spec.Connector.Options {
		spec := *c.Spec
		spec.Connector.Options = maps.Clone(spec.Connector.Options)
		spec.Connector.Options[name+"x"] = "1"
		_, err := c.Source.Validate(t.Context(), &spec)
		checkUnknown(t, err, name)
		return
	}
}

func checkUnknown(t *testing.T, err error, near string) {
	t.Helper()
	var e *sqlerr.Error
	if !errors.As(err, &e) || e.Code != sqlerr.InvalidParameterValue || !strings.Contains(e.Hint, near) {
		t.Errorf("unknown option: got %v, want 22023 with a hint at %q", err, near)
	}
}

// step is what one batch gave.
type step struct {
	rows   []string
	offset []byte // after it; nil if the batch did not move the split
}

// read reads one split to its end.
func (c *SourceCase) read(t *testing.T, from ...connector.SplitOffset) (steps []step, errs int) {
	t.Helper()
	r, err := c.Source.Open(t.Context(), c.Spec, from)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), c.Idle)
		b, err := r.Next(ctx)
		cancel()
		if errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
			return steps, errs
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		s := step{}
		if b.Chunk != nil {
			c.checkChunk(t, b.Chunk)
			s.rows = Rows(b.Chunk)
		}
		if !b.EndOfTxn {
			t.Error("a batch outside of transactions does not set EndOfTxn")
		}
		if len(b.Offsets) == 1 {
			s.offset = b.Offsets[0].Offset
		}
		errs += len(b.Errors)
		steps = append(steps, s)
	}
}

func (c *SourceCase) checkChunk(t *testing.T, chunk *delta.Chunk) {
	t.Helper()
	if len(chunk.Cols) != len(c.Spec.Cols) {
		t.Fatalf("chunk has %d columns, want %d", len(chunk.Cols), len(c.Spec.Cols))
	}
	for i, v := range chunk.Cols {
		if want := c.Spec.Columns[c.Spec.Cols[i]].Type; v.Type != want {
			t.Fatalf("column %d has type %s, want %s", i, v.Type, want)
		}
		if v.Len() != chunk.Rows {
			t.Fatalf("column %d has %d rows, want %d", i, v.Len(), chunk.Rows)
		}
	}
}

func rowsOf(steps []step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.rows...)
	}
	return out
}

// resume reads each split by itself, then again from a selection of the offsets met: the rows after an offset
// are the same each time, in the same order.
func (c *SourceCase) resume(t *testing.T) {
	total, errs := 0, 0
	for _, split := range c.splits(t) {
		steps, e := c.read(t, connector.SplitOffset{Split: split})
		all := rowsOf(steps)
		total, errs = total+len(all), errs+e
		for _, k := range []int{0, 1, len(steps) / 2, len(steps) - 1} {
			if k < 0 || k >= len(steps) || steps[k].offset == nil {
				continue
			}
			again, _ := c.read(t, connector.SplitOffset{Split: split, Offset: steps[k].offset})
			if got, want := rowsOf(again), rowsOf(steps[k+1:]); !slices.Equal(got, want) {
				t.Errorf("split %s from offset %q: %d rows, want %d; first %s", split, steps[k].offset, len(got), len(want), firstDifference(got, want))
			}
		}
	}
	if total != c.Rows || errs != c.Errors {
		t.Errorf("all splits hold %d rows and %d bad records, want %d and %d", total, errs, c.Rows, c.Errors)
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return "difference: got " + got[i] + ", want " + want[i]
		}
	}
	return "difference: lengths"
}

// together reads all splits with one reader.
func (c *SourceCase) together(t *testing.T) {
	var from []connector.SplitOffset
	var want []string
	for _, split := range c.splits(t) {
		from = append(from, connector.SplitOffset{Split: split, Offset: connector.FromStart})
		steps, _ := c.read(t, connector.SplitOffset{Split: split})
		want = append(want, rowsOf(steps)...)
	}
	steps, _ := c.read(t, from...)
	got := rowsOf(steps)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("one reader of all splits gives %d rows, readers of one each %d; %s", len(got), len(want), firstDifference(got, want))
	}
}

// drained opens a reader of all splits and reads until it blocks; nil when it ends.
func (c *SourceCase) drained(t *testing.T) connector.Reader {
	t.Helper()
	var from []connector.SplitOffset
	for _, split := range c.splits(t) {
		from = append(from, connector.SplitOffset{Split: split})
	}
	r, err := c.Source.Open(t.Context(), c.Spec, from)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	for {
		ctx, cancel := context.WithTimeout(t.Context(), c.Idle)
		_, err := r.Next(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return r
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			t.Fatalf("Next: %v", err)
		}
	}
}

func (c *SourceCase) closeUnblocks(t *testing.T) {
	r := c.drained(t)
	if r == nil {
		t.Skip("the source ends")
	}
	checkUnblocks(t, func() error { _, err := r.Next(t.Context()); return err }, func() { r.Close() })
}

func (c *SourceCase) cancellation(t *testing.T) {
	r := c.drained(t)
	if r == nil {
		t.Skip("the source ends")
	}
	ctx, cancel := context.WithCancel(t.Context())
	checkUnblocks(t, func() error { _, err := r.Next(ctx); return err }, cancel)
}

// checkUnblocks checks that call, which waits, returns with an error after release.
func checkUnblocks(t *testing.T, call func() error, release func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }() // ends with the call, which the test waits for
	release()
	select {
	case err := <-done:
		if err == nil {
			t.Error("the waiting call returned without an error")
		}
	case <-time.After(longest):
		t.Error("the waiting call did not return")
	}
}

// Rows prints the rows of a chunk that count, each with its weight in front when that is not one.
func Rows(c *delta.Chunk) []string {
	s := sqlio.DefaultSettings()
	out := make([]string, 0, c.Len())
	var buf []byte
	for k := range c.Len() {
		i := c.Row(k)
		buf = buf[:0]
		switch w := c.Weight(i); {
		case w == -1:
			buf = append(buf, '-')
		case w != 1:
			buf = append(buf, '?')
		}
		for n, v := range c.Cols {
			if n > 0 {
				buf = append(buf, '|')
			}
			if v.IsNull(i) {
				buf = append(buf, "NULL"...)
			} else {
				buf = sqlio.AppendText(buf, v, i, s)
			}
		}
		out = append(out, string(buf))
	}
	return out
}
