package engine

import (
	"context"
	"encoding/binary"
	"sort"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// A sink's job keeps a log of the changes it owes its target: one state table with a row per change, keyed
// by epoch and number. A change is delivered only after the checkpoint that holds it has committed, and
// leaves the log with the first checkpoint after its delivery. The target remembers the epoch, so that a
// restart between delivery and checkpoint delivers nothing twice.

// sinkRoot makes the root operators of a sink's job.
func (e *Engine) sinkRoot(rel *catalog.Relation) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	var once sync.Once
	var d *delivery
	return func(n *plan.Sink, env *stream.Env) (stream.Operator, error) {
		once.Do(func() {
			d = &delivery{e: e, rel: rel, node: n, types: plan.Types(n.Input), wake: make(chan struct{}, 1), slow: e.sinkThrottle(rel.ID)}
			e.mu.Lock()
			e.sinks[rel.ID] = d
			e.mu.Unlock()
		})
		s := &sinkLog{d: d, cfg: env.Table(n.State), cons: stream.NewConsolidator(sinkKey(n)), vnode: uint16(len(d.logs))}
		if env.AppendOnly(n.Input) {
			s.cons = nil
		}
		if err := s.restore(); err != nil {
			return nil, err
		}
		d.logs = append(d.logs, s)
		return s, nil
	}
}

func sinkKey(n *plan.Sink) []row.KeyCol {
	if len(n.Key) == 0 {
		return nil
	}
	return row.Cols(n.Key...)
}

// sinkLog is the root operator of one actor of a sink's job.
type sinkLog struct {
	d     *delivery
	cfg   state.Config
	vnode uint16 // the actor's number: its own part of the log
	cons  *stream.Consolidator
	pass  []*delta.Chunk
	dirty []owed // since the last Flush
	gone  []owed // delivered, to be deleted at the next Flush
	// The last change written to the log: an epoch of the snapshot phase spans several flushes.
	lastEpoch, lastSeq uint64
	mu                 sync.Mutex
	owed               []owed // ascending by epoch
}

// owed is an epoch's changes.
type owed struct {
	epoch  uint64
	chunks []*delta.Chunk
	rows   int
}

func (s *sinkLog) restore() error {
	if s.cfg.Store == nil {
		return nil
	}
	r := key.VNodeRange(s.cfg.Table, s.vnode)
	var bad error
	cols := make([]*delta.Vec, len(s.d.types))
	bld := delta.NewBuilder(s.d.types)
	flush := func(epoch uint64) {
		if c := bld.Take(); c != nil {
			s.owed = append(s.owed, owed{epoch, []*delta.Chunk{c}, c.Rows})
		}
	}
	last := uint64(0)
	err := s.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		_, _, k, err := key.Split(full)
		if err != nil || len(k) != 16 {
			bad = err
			return false
		}
		if epoch := binary.BigEndian.Uint64(k); epoch != last {
			flush(last)
			last = epoch
		}
		for i := range cols {
			cols[i] = bld.Col(i)
		}
		w, n := binary.Varint(v)
		if _, bad = row.DecodeImage(v[n:], s.d.types, cols); bad != nil {
			return false
		}
		bld.EndRow(w)
		return true
	})
	flush(last)
	if err == nil {
		err = bad
	}
	return err
}

// OnDelta implements stream.Operator.
func (s *sinkLog) OnDelta(_ int, c *delta.Chunk, _ stream.Emit) error {
	if s.d.volatile() {
		return s.d.write(0, []*delta.Chunk{c})
	}
	if s.cons == nil {
		s.pass = append(s.pass, c)
	} else {
		s.cons.Add(c)
	}
	return nil
}

// OnBarrier implements stream.Operator.
func (s *sinkLog) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	if s.d.volatile() {
		return s.d.write(uint64(b.Epoch), nil)
	}
	chunks := s.pass
	s.pass = nil
	if s.cons != nil {
		var err error
		if chunks, err = s.net(); err != nil {
			return err
		}
	}
	o := owed{epoch: uint64(b.Epoch), chunks: chunks}
	for _, c := range chunks {
		o.rows += c.Len()
	}
	if o.rows == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.owed); n > 0 && s.owed[n-1].epoch == o.epoch { // snapshot phase: one epoch, many barriers
		s.owed[n-1].chunks = append(s.owed[n-1].chunks, chunks...)
		s.owed[n-1].rows += o.rows
	} else {
		s.owed = append(s.owed, o)
	}
	s.dirty = append(s.dirty, o)
	return nil
}

// net yields the epoch's net changes; of one key, deletes before inserts.
func (s *sinkLog) net() ([]*delta.Chunk, error) {
	out := delta.NewBuilder(s.d.types)
	var chunks []*delta.Chunk
	err := s.cons.Net(func(_ []byte, _ uint64, rows []stream.NetRow) error {
		sort.SliceStable(rows, func(i, j int) bool { return rows[i].Weight < rows[j].Weight })
		for _, r := range rows {
			out.AppendRow(r.Chunk, r.Row, r.Weight)
		}
		if out.Len() >= delta.BatchRows {
			chunks = append(chunks, out.Take())
		}
		return nil
	})
	s.cons.Reset()
	if c := out.Take(); c != nil {
		chunks = append(chunks, c)
	}
	return chunks, err
}

// Flush implements stream.Operator.
func (s *sinkLog) Flush(d *state.Delta) {
	s.d.landing.Lock()
	defer s.d.landing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var k, v []byte
	for _, o := range s.dirty {
		if o.epoch != s.lastEpoch {
			s.lastEpoch, s.lastSeq = o.epoch, 0
		}
		for _, c := range o.chunks {
			for j := range c.Len() {
				i := c.Row(j)
				k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(k[:0], o.epoch), s.lastSeq)
				v = row.AppendImage(binary.AppendVarint(v[:0], c.Weight(i)), c.Cols, nil, i)
				d.Put(s.cfg.Table, s.vnode, k, v)
				s.lastSeq++
			}
		}
	}
	s.dirty = nil
	for _, o := range s.gone {
		n := uint64(o.rows)
		for q := range n {
			k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(k[:0], o.epoch), q)
			d.Delete(s.cfg.Table, s.vnode, k)
		}
	}
	s.gone = nil
}

// Stats implements stream.Operator.
func (s *sinkLog) Stats() state.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state.Stats{}
	for _, o := range s.owed {
		st.Rows += o.rows
	}
	return st
}

// delivery brings a sink's committed epochs to its target. One goroutine.
type delivery struct {
	e     *Engine
	rel   *catalog.Relation
	node  *plan.Sink
	types []sqltypes.Type
	logs  []*sinkLog
	wake  chan struct{} // capacity 1
	slow  *throttle.Throttle

	mu        sync.Mutex
	committed uint64
	delivered uint64
	rows      int64
	lastErr   string
	direct    connector.Writer // of a volatile sink

	// landing is held from logging a delivery into a table until the books say so: a checkpoint in between
	// would cut the log, and with it the only trace of the delivery.
	landing sync.Mutex
}

// volatile sinks keep no log: their target does not care what it gets twice, so it gets everything at once.
func (d *delivery) volatile() bool {
	return d.rel.Connector != nil && d.rel.Connector.Name == "blackhole"
}

// write hands chunks to a volatile sink, from an actor's goroutine; none ends the epoch.
func (d *delivery) write(epoch uint64, chunks []*delta.Chunk) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.direct == nil {
		sink, err := d.e.cfg.Sink(d.rel.Connector.Name)
		if err != nil {
			return err
		}
		if d.direct, err = sink.Open(d.e.ctx, d.e.sinkSpec(d.rel, d.node.Key, d.node.AppendOnly)); err != nil {
			return err
		}
	}
	for _, c := range chunks {
		d.rows += int64(c.Len())
		if err := d.direct.Write(d.e.ctx, epoch, c); err != nil {
			return err
		}
	}
	if len(chunks) == 0 {
		return d.direct.Commit(d.e.ctx, epoch)
	}
	return nil
}

// closeDirect ends a volatile sink's writer.
func (d *delivery) closeDirect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.direct != nil {
		_ = d.direct.Close()
		d.direct = nil
	}
}

// settle waits, within ctx, until every sink has delivered what is committed.
func (e *Engine) settle(ctx context.Context) {
	e.mu.Lock()
	ds := make([]*delivery, 0, len(e.sinks))
	for _, d := range e.sinks {
		ds = append(ds, d)
	}
	e.mu.Unlock()
	for _, d := range ds {
		for {
			d.mu.Lock()
			failing := d.lastErr != ""
			d.mu.Unlock()
			limit, _ := e.rate(catalog.SinkRate, d.rel.ID)
			if _, owed := d.next(); owed == nil || failing || limit == 0 {
				break
			}
			select {
			case <-time.After(tick):
			case <-ctx.Done():
				return
			}
		}
	}
}

// commit allows delivery up to an epoch.
func (d *delivery) commit(epoch uint64) {
	d.mu.Lock()
	d.committed = epoch
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends, with back-off after errors.
func (d *delivery) run(ctx context.Context) {
	if d.volatile() {
		return
	}
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		err := d.session(ctx)
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		d.lastErr = err.Error()
		d.mu.Unlock()
		d.e.log.Warn("retry sink", "sink", d.rel.Name, "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// session delivers with one writer until it fails.
func (d *delivery) session(ctx context.Context) error {
	var w connector.Writer
	if d.rel.SinkInto == 0 {
		sink, err := d.e.cfg.Sink(d.rel.Connector.Name)
		if err != nil {
			return err
		}
		if w, err = sink.Open(ctx, d.e.sinkSpec(d.rel, d.node.Key, d.node.AppendOnly)); err != nil {
			return err
		}
		defer func() { _ = w.Close() }()
		at, ok, err := w.Committed(ctx)
		if err != nil {
			return err
		}
		if ok {
			d.settle(at)
		}
	} else if at := d.e.delivered[d.rel.ID]; at != 0 {
		d.settle(at)
	}
	for {
		for {
			epoch, chunks := d.next()
			if chunks == nil {
				break
			}
			rows := 0
			for _, c := range chunks {
				rows += c.Len()
			}
			if err := d.slow.Pass(ctx, rows); err != nil {
				return err
			}
			if err := d.deliver(ctx, w, epoch, chunks); err != nil {
				return err
			}
			d.settle(epoch)
		}
		select {
		case <-d.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *delivery) deliver(ctx context.Context, w connector.Writer, epoch uint64, chunks []*delta.Chunk) error {
	if d.rel.SinkInto != 0 {
		return d.e.sinkInto(ctx, d, epoch, chunks)
	}
	for _, c := range chunks {
		if err := w.Write(ctx, epoch, c); err != nil {
			return err
		}
	}
	if err := w.Commit(ctx, epoch); err != nil {
		return err
	}
	d.mu.Lock()
	d.lastErr = ""
	for _, c := range chunks {
		d.rows += int64(c.Len())
	}
	d.mu.Unlock()
	return nil
}

// next returns the earliest committed epoch that is owed, over all actors.
func (d *delivery) next() (uint64, []*delta.Chunk) {
	d.mu.Lock()
	committed := d.committed
	d.mu.Unlock()
	low := ^uint64(0)
	for _, s := range d.logs {
		s.mu.Lock()
		if len(s.owed) > 0 {
			low = min(low, s.owed[0].epoch)
		}
		s.mu.Unlock()
	}
	if low > committed {
		return 0, nil
	}
	var chunks []*delta.Chunk
	for _, s := range d.logs {
		s.mu.Lock()
		if len(s.owed) > 0 && s.owed[0].epoch == low {
			chunks = append(chunks, s.owed[0].chunks...)
		}
		s.mu.Unlock()
	}
	return low, chunks
}

// settle takes everything up to an epoch off the books.
func (d *delivery) settle(epoch uint64) {
	d.mu.Lock()
	d.delivered = max(d.delivered, epoch)
	d.mu.Unlock()
	for _, s := range d.logs {
		s.mu.Lock()
		for len(s.owed) > 0 && s.owed[0].epoch <= epoch {
			s.gone = append(s.gone, owed{epoch: s.owed[0].epoch, rows: s.owed[0].rows})
			s.owed = s.owed[1:]
		}
		s.mu.Unlock()
	}
}

// sinkInto writes an epoch's changes into a table, through the table's DML log; the record carries the
// sink's epoch, so that a restart knows what was written.
func (e *Engine) sinkInto(ctx context.Context, d *delivery, epoch uint64, chunks []*delta.Chunk) error {
	target := e.cfg.Catalog.Snapshot().Relations[d.node.Into]
	for {
		err := e.tryInto(ctx, d, target, epoch, chunks)
		pos, ok := Conflict(err)
		if !ok {
			return err
		}
		if err := e.WaitSeen(ctx, pos); err != nil {
			return err
		}
	}
}

func (e *Engine) tryInto(ctx context.Context, d *delivery, target *catalog.Relation, epoch uint64, chunks []*delta.Chunk) error {
	txn := e.Begin(ReadCommitted)
	defer txn.Abort()
	txn.sink, txn.sinkEpoch = d.rel.ID, epoch
	view, pos, err := txn.view(ctx, []catalog.ID{target.ID}, &Query{})
	if err != nil {
		return err
	}
	defer view.Close()
	w := txn.table(target, e.cfg.Catalog.Snapshot(), view, pos)
	types := target.Types()
	// Deletes first: an update of a key may come as an insert and a delete from different actors.
	for _, sign := range []int64{-1, 1} {
		for _, c := range chunks {
			full := intoColumns(c, d.node.IntoCols, types)
			for j := range c.Len() {
				i := c.Row(j)
				if c.Weight(i)*sign <= 0 {
					continue
				}
				if err := w.apply(full, i, sign, c.Weight(i)*sign); err != nil {
					return err
				}
			}
		}
	}
	d.landing.Lock()
	defer d.landing.Unlock()
	if _, err = txn.Commit(ctx); err == nil {
		d.settle(epoch)
	}
	return err
}

// intoColumns arranges a chunk's columns as the target's; columns not given are NULL.
func intoColumns(c *delta.Chunk, into []int, types []sqltypes.Type) *delta.Chunk {
	cols := make([]*delta.Vec, len(types))
	for i, k := range into {
		cols[k] = c.Cols[i].Retype(types[k])
	}
	for k := range cols {
		if cols[k] == nil {
			cols[k] = delta.Repeat(types[k], nil, c.Rows)
		}
	}
	return &delta.Chunk{Cols: cols, Weights: c.Weights, Sel: c.Sel, Rows: c.Rows}
}

// apply changes the table by a row: a keyed table takes it as an upsert or a delete of the key.
func (w *Writer) apply(c *delta.Chunk, i int, sign, times int64) error {
	if len(w.x.rel.PrimaryKey) == 0 {
		for range times {
			if err := w.change(c, i, sign); err != nil {
				return err
			}
		}
		return nil
	}
	old, err := w.Existing(c, i)
	if err != nil {
		return err
	}
	if old != nil {
		if err := w.Delete(old, 0); err != nil {
			return err
		}
	}
	if sign > 0 {
		return w.Insert(c, i)
	}
	return nil
}
