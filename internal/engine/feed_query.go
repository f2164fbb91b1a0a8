package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// A query that a client follows is a job like a view's, which no catalog knows: it takes part in epochs, its changes go
// into a changelog that the client's feed alone reads, nothing of it is in a checkpoint, and it ends with the feed.

// firstFeedID leaves ids below to the catalog. Ids of feeds' jobs are not used twice in a process.
const firstFeedID = 0xf0000000

var lastFeedID atomic.Uint32

// queryJob is the job of a feed.
type queryJob struct {
	e      *Engine
	rel    *catalog.Relation
	log    *changelog.Log
	cancel context.CancelFunc
	done   chan struct{} // closed when drive has returned
	r      *running      // coordinator only
}

// firstRows collects the rows that a query has when it begins to be followed.
type firstRows struct {
	wanted bool
	cons   *stream.Consolidator
	epoch  uint64
	bytes  int
	limit  int
}

// FollowQuery opens a feed of a query: rel has its columns, plan and inputs, and is in no catalog.
func (e *Engine) FollowQuery(ctx context.Context, rel *catalog.Relation, opt FollowOptions) (*Feed, error) {
	if err := e.WaitLogged(ctx); err != nil {
		return nil, err
	}
	rel.ID, rel.Kind = catalog.ID(firstFeedID+lastFeedID.Add(1)), catalog.Feed
	f := e.newFeed(rel.Types(), rel.DependsOn, opt)
	q := &queryJob{e: e, rel: rel, log: changelog.New(), done: make(chan struct{})}
	f.query = q
	f.subs, f.held = []*changelog.Sub{q.log.Subscribe()}, make([]*changelog.Entry, 1)
	e.addFeed(f)
	life, cancel := context.WithCancel(e.ctx)
	q.cancel = cancel
	r, err := e.begin(ctx, rel)
	if err == nil {
		e.call(func(time.Time) {
			if q.r = e.jobs[rel.ID]; q.r == nil {
				err = errClosing
				return
			}
			f.at = q.r.epoch
		})
	}
	if err != nil {
		close(q.done)
		f.Close()
		return nil, err
	}
	if r == nil { // nothing to read first
		close(q.done)
		f.told.Store(f.at)
		return f, nil
	}
	f.whole = false
	f.first = &firstRows{wanted: opt.Snapshot, cons: stream.NewConsolidator(nil), epoch: r.epoch, limit: opt.LimitBytes}
	e.wg.Add(1)
	go func() { // Close of the feed and of the engine wait
		defer e.wg.Done()
		defer close(q.done)
		if err := q.drive(life, r); err != nil && life.Err() == nil {
			f.fail(err)
		}
	}()
	return f, nil
}

// drive takes the job through its snapshot and lets it join the others.
func (q *queryJob) drive(ctx context.Context, r *running) error {
	if err := q.e.readSnapshot(ctx, r); err != nil {
		return err
	}
	if err := q.e.Checkpoint(ctx); err != nil { // what it has read is given out when it is committed
		return err
	}
	return q.e.catchUp(ctx, r)
}

// close ends the job. It waits for its goroutines.
func (q *queryJob) close() {
	q.cancel()
	<-q.done
	var r *running
	q.e.call(func(time.Time) {
		if r = q.e.jobs[q.rel.ID]; r != nil {
			delete(q.e.jobs, q.rel.ID)
			if !r.stopped {
				q.e.stopRunning(r)
			}
		}
	})
	if r != nil {
		_ = r.job.Wait()
		r.job.Leave()
	}
	q.e.status.forget(q.rel.ID)
}

// stopQuery ends the job of a feed that has failed, if it has one; what is left of it goes with the feed. Coordinator only.
func (e *Engine) stopQuery(f *Feed, stop func(*running)) {
	if f.query == nil {
		return
	}
	if r := e.jobs[f.query.rel.ID]; r != nil && !r.stopped {
		stop(r)
	}
}

// stopRunning takes a job out of the machine. Coordinator only.
func (e *Engine) stopRunning(r *running) {
	r.stopped = true
	r.job.Stop()
	now := time.Now()
	e.apply(e.machine.RemoveJob(r.rel.ID, now), now)
	e.progress.wake()
}

// stopQuiescent is stopRunning while no epoch is in flight and none may begin: nothing follows from it.
func (e *Engine) stopQuiescent(r *running) {
	r.stopped = true
	r.job.Stop()
	e.machine.RemoveJob(r.rel.ID, time.Now())
}

// feedRoot makes the root operator of a feed's job.
func (e *Engine) feedRoot(rel *catalog.Relation) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	return func(n *plan.Sink, env *stream.Env) (stream.Operator, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for f := range e.feeds {
			if f.query != nil && f.query.rel == rel {
				return &feedOut{log: f.query.log, types: plan.Types(n.Input), cons: stream.NewConsolidator(nil)}, nil
			}
		}
		return nil, sqlerr.New(sqlerr.InternalError, "the client of a feed has gone")
	}
}

// feedOut is the root operator: it puts each epoch's net changes into the feed's changelog.
type feedOut struct {
	log   *changelog.Log
	types []sqltypes.Type
	cons  *stream.Consolidator
}

// OnDelta implements stream.Operator.
func (o *feedOut) OnDelta(_ int, c *delta.Chunk, _ stream.Emit) error {
	o.cons.Add(c)
	return nil
}

// OnBarrier implements stream.Operator.
func (o *feedOut) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	chunks, err := netChanges(o.cons, o.types)
	if err == nil {
		o.log.Append(changelog.Entry{Barrier: b, Chunks: chunks})
	}
	return err
}

// Flush implements stream.Operator.
func (o *feedOut) Flush(*state.Delta) {}

// Stats implements stream.Operator.
func (o *feedOut) Stats() state.Stats { return state.Stats{} }

// add takes an entry of the snapshot phase.
func (x *firstRows) add(n changelog.Entry) error {
	if !x.wanted {
		return nil
	}
	for _, c := range n.Chunks {
		x.bytes += c.SizeBytes()
		x.cons.Add(c)
	}
	if x.bytes > x.limit {
		return sqlerr.New(sqlerr.ProgramLimitExceeded, "the rows that the query has to begin with take more than subscribe_memory, %d kB", x.limit>>10).
			WithHint("Create a materialized view and subscribe to it: its rows are not collected first.")
	}
	return nil
}

// firstBatch gives out the rows that the query began with, once all are there and committed.
func (f *Feed) firstBatch(committed uint64) (b Batch, ok bool, more <-chan struct{}, err error) {
	if f.first.epoch > committed {
		return b, false, f.waiting, nil
	}
	b = Batch{Epoch: f.first.epoch, Snapshot: true}
	if b.Chunks, err = netChanges(f.first.cons, f.types); err != nil {
		return b, false, nil, err
	}
	f.at, f.first, f.whole = b.Epoch, nil, true
	return b, len(b.Chunks) > 0, nil, nil
}
