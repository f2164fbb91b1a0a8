package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Retries of a sink wait at least retryMin and, doubling each time without progress, at most retryMax.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 10 * time.Second
)

// delivery brings a sink's committed epochs to its target. One goroutine; the job never waits for it.
type delivery struct {
	e     *Engine
	rel   *catalog.Relation
	node  *plan.Sink
	types []sqltypes.Type
	logs  []*sinkLog
	wake  chan struct{} // capacity 1
	slow  *throttle.Throttle
	// demands are those of the table that the sink writes into; the delivering goroutine's own.
	demands *demands

	mu        sync.Mutex
	committed uint64
	delivered uint64
	staged    uint64           // taken by the writer, which waits for more before it commits
	rows      int64            // delivered since the start
	upToDate  time.Time        // when the target last held all that was committed; zero: it does
	failing   failure          // of the attempts since the last success
	direct    connector.Writer // of a volatile sink

	// landing is held from logging a delivery into a table until the books say so: a checkpoint in between
	// would cut the log, and with it the only trace of the delivery.
	landing sync.Mutex
}

// failure is what keeps a sink from delivering.
type failure struct {
	err      string // "": nothing
	since    time.Time
	attempts int
}

func newDelivery(e *Engine, rel *catalog.Relation, n *plan.Sink) *delivery {
	return &delivery{e: e, rel: rel, node: n, types: plan.Types(n.Input), wake: make(chan struct{}, 1), slow: e.sinkThrottle(rel.ID)}
}

// SinkStatus is what SQL shows of a sink's delivery.
type SinkStatus struct {
	ID        catalog.ID
	State     string // creating, running, retrying: running until an attempt fails
	Delivered uint64 // the last epoch that the target holds, as far as is known since the start
	Rows      int64  // changes delivered since the start
	Owed      int64  // changes logged and not delivered
	// Lag is how long ago the target held all that was committed; 0 when it does.
	Lag time.Duration
	// LastError is why the last attempt failed, since when they do, and how many have.
	LastError string
	Since     time.Time
	Attempts  int
}

// Sinks reports on every sink.
func (e *Engine) Sinks() []SinkStatus {
	creating := map[catalog.ID]bool{}
	e.call(func(time.Time) {
		for id, r := range e.jobs {
			creating[id] = r.creating
		}
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]SinkStatus, 0, len(e.sinks))
	for id, d := range e.sinks {
		st := d.status()
		if creating[id] {
			st.State = "creating"
		}
		out = append(out, st)
	}
	return out
}

func (d *delivery) status() SinkStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := SinkStatus{ID: d.rel.ID, State: "running", Delivered: d.delivered, Rows: d.rows,
		LastError: d.failing.err, Since: d.failing.since, Attempts: d.failing.attempts}
	if st.LastError != "" {
		st.State = "retrying"
	}
	if !d.upToDate.IsZero() {
		st.Lag = time.Since(d.upToDate)
	}
	for _, s := range d.logs {
		s.mu.Lock()
		st.Owed += s.rows
		s.mu.Unlock()
	}
	return st
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
		d.delivered = max(d.delivered, epoch)
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

// settle waits, within ctx, until every sink has delivered what is committed, except for those that fail.
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
			failing, staged := d.failing.err != "", d.staged
			d.mu.Unlock()
			limit, _ := e.rate(catalog.SinkRate, d.rel.ID)
			if _, ok, err := d.next(staged); !ok || err != nil || failing || limit == 0 {
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
	owing := false
	for _, s := range d.logs {
		s.mu.Lock()
		owing = owing || s.rows > 0 || s.stored.high > 0
		s.mu.Unlock()
	}
	d.mu.Lock()
	d.committed = epoch
	if owing && d.upToDate.IsZero() {
		d.upToDate = time.Now()
	}
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
	for _, s := range d.logs {
		if err := s.count(); err != nil {
			d.e.log.Warn("count what a sink owes", "sink", d.rel.Name, "err", err)
		}
	}
	wait := retryMin
	for ctx.Err() == nil {
		before := d.progress()
		err := d.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if d.progress() > before {
			wait = retryMin
		}
		d.fail(err)
		d.e.log.Warn("retry sink", "sink", d.rel.Name, "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, retryMax)
	}
}

func (d *delivery) progress() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delivered
}

func (d *delivery) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing.err == "" {
		d.failing = failure{since: time.Now()}
	}
	d.staged = 0
	d.failing.err = err.Error()
	var e *sqlerr.Error
	if errors.As(err, &e) && e.Detail != "" { // what the target's own library says
		d.failing.err = e.Message + ": " + e.Detail
	}
	d.failing.attempts++
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
			if err := d.found(at); err != nil {
				return err
			}
		}
	} else if at := d.e.deliveredInto(d.rel.ID); at != 0 {
		if err := d.found(at); err != nil {
			return err
		}
	}
	return d.deliverAll(ctx, w)
}

// deliverAll delivers what there is, and what comes.
func (d *delivery) deliverAll(ctx context.Context, w connector.Writer) error {
	staged := stage{rows: make([]int64, len(d.logs))}
	for {
		epoch, ok, err := d.next(staged.epoch)
		if err != nil {
			return err
		}
		if ok {
			if err := d.deliver(ctx, w, epoch, &staged); err != nil {
				return err
			}
			continue
		}
		var due <-chan time.Time
		if staged.epoch > 0 {
			due = time.After(time.Until(w.(connector.Gatherer).Due()))
		} else {
			d.rest()
		}
		select {
		case <-d.wake:
		case <-due:
			if err := d.commitStaged(ctx, w, &staged); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stage is what a writer has taken and not committed: up to epoch, rows by actor. epoch 0: nothing.
type stage struct {
	epoch uint64
	rows  []int64
}

// rest notes that the target holds everything.
func (d *delivery) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing, d.upToDate = failure{}, time.Time{}
}

// found takes what the target is found to hold off the books.
func (d *delivery) found(epoch uint64) error {
	for _, s := range d.logs {
		n, err := s.until(epoch)
		if err != nil {
			return err
		}
		s.settle(epoch, n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivered = max(d.delivered, epoch)
	return nil
}

// deliver brings an epoch to the target; a Gatherer may want to wait for more before it is committed.
func (d *delivery) deliver(ctx context.Context, w connector.Writer, epoch uint64, staged *stage) error {
	var chunks []*delta.Chunk
	for i, s := range d.logs {
		n, err := s.read(epoch, func(c *delta.Chunk) error {
			if err := d.slow.Pass(ctx, c.Len()); err != nil {
				return err
			}
			if w == nil {
				chunks = append(chunks, c)
				return nil
			}
			return w.Write(ctx, epoch, c)
		})
		if err != nil {
			return err
		}
		staged.rows[i] += n
	}
	staged.epoch = epoch
	d.setStaged(epoch)
	if w == nil {
		err := d.deliverInto(ctx, epoch, staged.rows, chunks)
		*staged = stage{rows: make([]int64, len(d.logs))}
		return err
	}
	if g, ok := w.(connector.Gatherer); ok && time.Now().Before(g.Due()) {
		return nil
	}
	return d.commitStaged(ctx, w, staged)
}

// commitStaged makes what the writer has taken visible.
func (d *delivery) commitStaged(ctx context.Context, w connector.Writer, staged *stage) error {
	if err := w.Commit(ctx, staged.epoch); err != nil {
		return err
	}
	d.settle(staged.epoch, staged.rows)
	*staged = stage{rows: make([]int64, len(d.logs))}
	return nil
}

func (d *delivery) setStaged(epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.staged = epoch
}

// next returns the earliest committed epoch after another that is owed, over all actors; ok is false for none.
func (d *delivery) next(after uint64) (epoch uint64, ok bool, err error) {
	d.mu.Lock()
	committed := d.committed
	d.mu.Unlock()
	epoch = ^uint64(0)
	for _, s := range d.logs {
		first, has, err := s.first(after, committed)
		if err != nil {
			return 0, false, err
		}
		if has {
			epoch, ok = min(epoch, first), true
		}
	}
	return epoch, ok, nil
}

// settle takes an epoch, with its rows by actor, off the books.
func (d *delivery) settle(epoch uint64, rows []int64) {
	total := int64(0)
	for i, s := range d.logs {
		s.settle(epoch, rows[i])
		total += rows[i]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivered = max(d.delivered, epoch)
	d.rows += total
	d.failing = failure{}
}
