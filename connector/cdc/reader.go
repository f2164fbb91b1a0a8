package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	// pieceRows is how many rows of a table are read between two positions.
	pieceRows = 8192
	// piecesAhead is how many pieces of one table may be read and not passed on yet.
	piecesAhead = 4
	// queries bounds the statements that read pieces at the same time.
	queries = 4
	// heldBytes bounds what is kept of changes to a table without a key while it is read; beyond it the stream waits.
	heldBytes = 64 << 20
)

// Reader implements connector.Reader and connector.Acker for an Upstream.
type Reader struct {
	up     Upstream
	log    *slog.Logger
	stream Stream
	tables []*table
	byID   map[catalog.ID]*table
	at     Position // of the last event
	open   bool     // a transaction was begun and has not ended
	ended  bool     // a schema change was yielded

	ctx    context.Context // of the goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup
	events chan streamed
	next   chan struct{} // lets the stream's goroutine go on after an event
	pieces chan *piece
	slots  chan struct{} // bounds queries

	out     []connector.TableChunk
	offsets []connector.SplitOffset
}

type streamed struct {
	Event
	err error
}

// table is a Table and where its snapshot is.
type table struct {
	*Table
	offset TableOffset
	saved  TableOffset // as it was yielded last
	copy   *copying
}

// NewReader begins to read: the log from where its split's offset says, and the tables of the spec, each from its own. It closes up when
// it fails, and when the reader is closed.
func NewReader(ctx context.Context, up Upstream, spec *connector.SourceSpec, splits []connector.SplitOffset) (*Reader, error) {
	log := spec.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{up: up, log: log, byID: map[catalog.ID]*table{}, events: make(chan streamed), next: make(chan struct{}),
		pieces: make(chan *piece), slots: make(chan struct{}, queries)}
	at := map[string][]byte{}
	for _, s := range splits {
		at[s.Split] = s.Offset
	}
	var tables []*Table
	for _, t := range spec.Tables {
		o, err := ParseTableOffset(at[connector.TableSplit(t.ID)])
		if err != nil {
			return nil, errors.Join(err, up.Close())
		}
		if at[connector.TableSplit(t.ID)] == nil && t.NoSnapshot {
			o.Phase = Live
		}
		x := &table{Table: &Table{Table: t, Known: o.Known, Rows: NewRows(t)}, offset: o}
		if at[connector.TableSplit(t.ID)] != nil {
			x.saved = o
		}
		r.tables = append(r.tables, x)
		r.byID[t.ID] = x
		if o.Phase != Stopped {
			tables = append(tables, x.Table)
		}
	}
	resume := at[connector.LogSplit]
	if string(resume) == string(connector.FromStart) {
		resume = nil
	}
	stream, err := up.Stream(ctx, resume, tables)
	if err != nil {
		return nil, errors.Join(err, up.Close())
	}
	r.stream = stream
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, t := range r.tables {
		switch r.keepUp(t); t.offset.Phase {
		case Copying, Recopying:
			r.beginCopy(t)
		}
	}
	r.wg.Add(1)
	go r.follow() // Close waits
	return r, nil
}

// follow hands over the stream's events one by one.
func (r *Reader) follow() {
	defer r.wg.Done()
	for {
		ev, err := r.stream.Next(r.ctx)
		select {
		case r.events <- streamed{ev, err}:
		case <-r.ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-r.next:
		case <-r.ctx.Done():
			return
		}
	}
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	if r.ended {
		return nil, fmt.Errorf("a captured table has changed: the source has to be opened again")
	}
	for {
		if err := r.passOn(); err != nil {
			return nil, err
		}
		if b := r.batch(); b != nil {
			b.EndOfTxn, b.Backlog, b.Retained = !r.open, -1, -1
			return b, nil
		}
		events := r.events
		if r.full() {
			events = nil
		}
		select {
		case ev := <-events:
			if ev.err != nil {
				return nil, ev.err
			}
			b, err := r.consume(ev.Event)
			if err != nil {
				return nil, err
			}
			select {
			case r.next <- struct{}{}:
			case <-r.ctx.Done():
				return nil, errClosed
			}
			if b != nil {
				return b, nil
			}
		case p := <-r.pieces:
			var of *TableError
			switch {
			case errors.As(p.err, &of):
				if p.t.copy == p.of {
					r.stop(p.t, of)
				}
			case p.err != nil:
				return nil, p.err
			default:
				r.arrived(p)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.ctx.Done():
			return nil, errClosed
		}
	}
}

var errClosed = errors.New("read captured tables: the reader is closed")

// consume takes an event, and what it appended to the tables.
func (r *Reader) consume(ev Event) (*connector.Batch, error) {
	if ev.Change != nil {
		t := r.byID[ev.Change.Table]
		if t == nil {
			return nil, fmt.Errorf("table %d has changed and is not captured", ev.Change.Table)
		}
		then := t.offset
		then.Known = ev.Known
		if ev.Recopy != nil {
			then.restart()
		}
		change := *ev.Change
		change.Then = []connector.SplitOffset{{Split: connector.TableSplit(t.ID), Offset: then.bytes()}}
		r.ended = true
		return &connector.Batch{Change: &change, EndOfTxn: true, Backlog: -1, Retained: -1}, nil
	}
	for _, t := range r.tables {
		c := t.Take()
		if r.keepUp(t); t.offset.Phase == Stopped {
			continue
		}
		if c != nil && (t.copy == nil || t.copy.note(t, c)) {
			r.out = append(r.out, connector.TableChunk{Table: t.ID, Chunk: c})
		}
		if ev.End && t.copy != nil {
			t.copy.settle(ev.At)
		}
	}
	if r.open = !ev.End; ev.End {
		r.at = ev.At
	}
	if t := ev.Recopy; t != nil && r.byID[t.ID].offset.Phase != Stopped {
		r.beginAnew(r.byID[t.ID])
	}
	r.offsets = append(r.offsets, connector.SplitOffset{Split: connector.LogSplit, Offset: ev.Resume})
	b := r.batch()
	b.EndOfTxn, b.Backlog, b.Retained = ev.End, ev.Backlog, ev.Retained
	return b, nil
}

// keepUp takes over what the connector says of a table.
func (r *Reader) keepUp(t *table) {
	switch {
	case t.offset.Phase == Stopped:
	case t.failed != nil:
		r.stop(t, t.failed)
	default:
		t.offset.Known, t.offset.Gone = t.Known, t.Gone
	}
}

// stop leaves a table as it is, and says why.
func (r *Reader) stop(t *table, err error) {
	if t.copy != nil {
		t.copy.cancel()
		t.copy = nil
		t.apart.Store(false)
	}
	why := err.Error()
	var own *sqlerr.Error
	if errors.As(err, &own) {
		if why = own.Message; own.Detail != "" {
			why += " (" + strings.TrimSuffix(own.Detail, ".") + ")"
		}
		if own.Hint != "" {
			why += ". " + own.Hint
		}
	}
	t.offset = TableOffset{Phase: Stopped, Rows: t.offset.Rows, Known: t.offset.Known, Error: why}
	r.log.Warn("captured table has stopped", "table", t.Upstream, "err", why)
}

// batch takes what there is to yield; nil: nothing.
func (r *Reader) batch() *connector.Batch {
	for _, t := range r.tables {
		if !t.offset.equal(&t.saved) {
			t.saved = t.offset
			r.offsets = append(r.offsets, connector.SplitOffset{Split: connector.TableSplit(t.ID), Offset: t.offset.bytes()})
		}
	}
	if len(r.out) == 0 && len(r.offsets) == 0 {
		return nil
	}
	b := &connector.Batch{Tables: r.out, Offsets: r.offsets}
	r.out, r.offsets = nil, nil
	return b
}

// full reports whether the stream has to wait for the snapshot of a table without a key.
func (r *Reader) full() bool {
	for _, t := range r.tables {
		if t.copy != nil && t.copy.heldSize > heldBytes {
			return true
		}
	}
	return false
}

// Ack implements connector.Acker.
func (r *Reader) Ack(offsets []connector.SplitOffset) {
	for _, o := range offsets {
		if o.Split == connector.LogSplit {
			r.stream.Ack(o.Offset)
		}
	}
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.cancel()
	err := r.stream.Close()
	if e := r.up.Close(); err == nil {
		err = e
	}
	r.wg.Wait()
	return err
}

// rows makes a collection for a piece.
func (t *table) rows() *Rows {
	r := NewRows(t.Table.Table)
	return &r
}

// restart makes a table's snapshot begin again.
func (o *TableOffset) restart() {
	if o.Phase == Live {
		o.Phase = Recopying
	}
	o.After, o.Rows, o.Unsure = nil, 0, false
}

// size is what chunks take in memory. Unit: bytes.
func size(chunks []held) int {
	n := 0
	for _, h := range chunks {
		n += h.c.SizeBytes()
	}
	return n
}

// held is a change of a table without a key that came while its snapshot was read.
type held struct {
	c  *delta.Chunk
	at Position
}
