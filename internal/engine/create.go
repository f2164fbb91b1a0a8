package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/table"
)

// origin is what a job begins with.
type origin struct {
	epoch  uint64           // it begins after this one
	saved  bool             // the store holds its state
	view   *table.View      // the snapshot that a new job over stored relations begins with
	logs   []*changelog.Log // of the job that it replaces, with their subscribers; nil: new ones
	before *job.Job         // that job, if its places in the changelogs of its upstreams are taken over
	missed *job.Missed      // nil: nothing
	behind bool             // it is not one of the others before it has caught up
	again  uint64           // barriers up to here come a second time
}

// build makes a relation's job.
func (e *Engine) build(rel *catalog.Relation, from origin) (*running, error) {
	n, err := plan.Decode(rel.Plan)
	if err != nil {
		return nil, err
	}
	r := &running{rel: rel, acks: map[uint64]int{}, logs: from.logs}
	if from.logs == nil {
		for range job.RootWidth(n, rel.Parallelism, e.parts) {
			r.logs = append(r.logs, changelog.New())
		}
	}
	id := rel.ID
	cfg := job.Config{
		Rel: rel, Plan: n, Parallelism: rel.Parallelism, StartEpoch: stream.Epoch(from.epoch),
		Before: from.before, Missed: from.missed, Again: stream.Epoch(from.again),
		Tables: e.tables, Logs: r.logs, Upstreams: map[catalog.ID]job.Upstream{}, Source: e.cfg.Source,
		Settings: e.cfg.Settings(rel), Logger: e.log.With("job", rel.Name), Activity: e.activity,
		OnAck:      func(a actor.Ack) { e.onAck(id, a) },
		Report:     func(w int64, err *sqlerr.Error) { e.status.rowError(id, w, err) },
		Late:       func(rows int) { e.status.lateRows(id, rows) },
		Quarantine: func(recs []connector.RecordError) { e.status.quarantined(id, recs) },
		SinkRoot:   e.rootOf(rel, from),
		Reader:     fmt.Sprintf("%s-%d", e.cfg.ClusterID, id),
		Throttle:   func(source catalog.ID) *throttle.Throttle { return e.sourceThrottle(id, source) },
		Instance:   e.instance(rel.ID),
		Capture:    e.captureConfig(rel),
		CaptureLog: func(source, table catalog.ID) *changelog.Log { return e.capturesOf(source).Log(table) },
	}
	if rel.Kind != catalog.Feed { // whose state is in no checkpoint
		cfg.Saved = table.Saved{S: e.tables}
	}
	if from.saved {
		cfg.Store = cfg.Saved
	}
	rels := e.cfg.Catalog.Snapshot()
	plan.Walk(n, func(n plan.Node) bool {
		if s, ok := n.(*plan.TableScan); ok {
			if up := e.jobs[s.Table]; up != nil {
				cfg.Upstreams[s.Table] = job.Upstream{Rel: rels.Relations[s.Table], Logs: up.logs, View: from.view}
			}
		}
		return true
	})
	r.job, err = job.Build(cfg)
	return r, err
}

// rootOf makes the root operators of a job that keeps no relation.
func (e *Engine) rootOf(rel *catalog.Relation, from origin) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	switch rel.Kind {
	case catalog.Subscription:
		return e.subscriptionRoot(rel, from)
	case catalog.Feed:
		return e.feedRoot(rel)
	}
	return e.sinkRoot(rel)
}

// parts is how many partitions a running relation has.
func (e *Engine) parts(id catalog.ID) int {
	if r := e.jobs[id]; r != nil {
		return len(r.logs)
	}
	return 0
}

// snapshotInterval is how often a job that reads its snapshot saves what it has.
const snapshotInterval = time.Second

// CreateJob starts the job of a relation that the catalog already knows. A job over stored relations reads
// a snapshot of them first, while everything else goes on; CreateJob returns when it has caught up and is
// part of a durable checkpoint. After an error the caller drops the relation.
func (e *Engine) CreateJob(ctx context.Context, rel *catalog.Relation) error {
	r, err := e.begin(ctx, rel)
	if err != nil {
		return err
	}
	if r == nil {
		if err := e.firstEpoch(ctx, rel); err != nil {
			return err
		}
		if rel.Captured != nil {
			return e.awaitLive(ctx, rel)
		}
		if rel.Kind == catalog.Subscription { // its floor survives
			return e.Checkpoint(ctx)
		}
		return e.placeSources(ctx, rel)
	}
	if err := e.readSnapshot(ctx, r); err != nil {
		return err
	}
	if err := e.catchUp(ctx, r); err != nil {
		return err
	}
	if err := e.Checkpoint(ctx); err != nil {
		return err
	}
	return e.cfg.Catalog.SetCreated(ctx, rel.ID)
}

// firstEpoch waits until a job without a snapshot has completed an epoch: constants are in their view then.
func (e *Engine) firstEpoch(ctx context.Context, rel *catalog.Relation) error {
	e.demand()
	for {
		changed := e.progress.changed()
		var r *running
		var at uint64
		if !e.call(func(time.Time) { r, at = e.jobs[rel.ID], e.machine.Completed(rel.ID) }) {
			return errClosing
		}
		switch {
		case r == nil || r.stopped:
			return fmt.Errorf("create job %q: %w", rel.Name, e.jobError(rel.ID))
		case at > r.epoch:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

// placeWithin bounds the wait for a source's first position: an outside world that is away does not hold up
// CREATE, and a restart then begins where the configured start says at that time.
const placeWithin = 3 * time.Second

// placeSources makes the positions at which a new job's sources begin durable.
func (e *Engine) placeSources(ctx context.Context, rel *catalog.Relation) error {
	end := time.Now().Add(placeWithin)
	for {
		has, placed := false, false
		if !e.call(func(time.Time) {
			if r := e.jobs[rel.ID]; r != nil {
				has, placed = r.job.HasSources(), r.job.SourcesPlaced()
			}
		}) {
			return errClosing
		}
		if !has {
			return nil
		}
		if placed {
			return e.Checkpoint(ctx)
		}
		if time.Now().After(end) {
			return nil
		}
		select {
		case <-time.After(tick):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin builds and starts the job at a moment when no epoch is in flight. It returns nil when there is no
// snapshot to read: the job then is part of all later epochs.
func (e *Engine) begin(ctx context.Context, rel *catalog.Relation) (*running, error) {
	type result struct {
		r   *running
		err error
	}
	done := make(chan result, 1)
	e.whenQuiescent(func() {
		if ctx.Err() != nil {
			done <- result{nil, ctx.Err()}
			return
		}
		r, err := e.beginNow(rel)
		done <- result{r, err}
	})
	select {
	case res := <-done:
		return res.r, res.err
	case <-e.ctx.Done():
		return nil, errClosing
	}
}

func (e *Engine) beginNow(rel *catalog.Relation) (*running, error) {
	rels := e.cfg.Catalog.Snapshot()
	last := e.machine.Last()
	ids, err := e.inputs(rels, rel)
	if err != nil {
		return nil, err
	}
	if !needsSnapshot(rels, rel) {
		r, err := e.build(rel, origin{epoch: last})
		if err != nil {
			return nil, err
		}
		r.epoch = last
		e.attach(r, last)
		return nil, nil
	}
	view, err := e.tables.View(ids, last)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	r, err := e.build(rel, origin{epoch: last, view: view})
	if err != nil {
		return nil, err
	}
	r.creating, r.epoch, r.at, r.now = true, last, 0, e.clock(time.Now())
	e.jobs[rel.ID] = r
	if rel.IsStored() {
		e.tables.RegisterHidden(rel.ID, last)
	}
	e.startJob(r)
	return r, nil
}

// inputs lists the stored relations that a job reads; all of them must be running.
func (e *Engine) inputs(rels *catalog.Snapshot, rel *catalog.Relation) ([]catalog.ID, error) {
	var ids []catalog.ID
	for _, d := range rel.DependsOn {
		up := rels.Relations[d]
		if up == nil || !up.IsStored() || d == rel.SinkInto {
			continue
		}
		if j := e.jobs[d]; j == nil || j.creating || j.stopped || up.Captured != nil && up.Creating {
			return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "relation %q is not running", up.Name)
		}
		ids = append(ids, d)
	}
	return ids, nil
}

// creatingAck counts the acknowledgements of a job that is not part of the machine yet.
func (e *Engine) creatingAck(r *running, a actor.Ack) {
	if a.Delta != nil && r.rel.Kind != catalog.Feed {
		r.deltas = append(r.deltas, a.Delta)
	}
	ep := uint64(a.Barrier.Epoch)
	r.acks[ep]++
	if r.acks[ep] < r.job.Actors() {
		return
	}
	delete(r.acks, ep)
	if a.Barrier.Snapshot {
		r.saved++
	} else {
		r.at = ep
	}
	e.progress.wake()
}

// readSnapshot drives the snapshot phase: a barrier now and then, after which what the job has so far goes
// into the store, and one last barrier when all scans have ended.
func (e *Engine) readSnapshot(ctx context.Context, r *running) error {
	b := r.job.Backfill()
	if b == nil {
		return nil
	}
	for sent := 1; ; sent++ {
		last := e.waitScans(ctx, b)
		if err := ctx.Err(); err != nil {
			return err
		}
		r.job.SnapshotBarrier(ctx, &stream.Barrier{Epoch: stream.Epoch(r.epoch), Now: r.now,
			Checkpoint: true, Snapshot: true}, last)
		if err := e.await(ctx, r, func() bool { return r.saved >= sent }); err != nil {
			return err
		}
		if err := e.saveSnapshot(ctx, r); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// waitScans waits a snapshotInterval, or less when all scans end; it reports whether they have.
func (e *Engine) waitScans(ctx context.Context, b *job.Backfill) bool {
	deadline := time.NewTimer(snapshotInterval)
	defer deadline.Stop()
	for {
		if b.Done() {
			return true
		}
		select {
		case <-b.Ended():
			return true
		case <-deadline.C:
			return b.Done()
		case <-ctx.Done():
			return false
		case <-e.ctx.Done():
			return false
		}
	}
}

func (e *Engine) saveSnapshot(ctx context.Context, r *running) error {
	if r.rel.Kind == catalog.Feed { // it is not kept
		return nil
	}
	var sets []*change.Set
	if !e.call(func(time.Time) { sets, r.deltas = r.deltas, nil }) {
		return errClosing
	}
	return e.ingest(ctx, sets, func(s snapshot) { e.tables.Rebase(s) })
}

// await waits until cond, evaluated on the coordinator, holds for a job that is being created.
func (e *Engine) await(ctx context.Context, r *running, cond func() bool) error {
	for {
		changed := e.progress.changed()
		ok, stopped := false, false
		if !e.call(func(time.Time) { ok, stopped = cond(), r.stopped }) {
			return errClosing
		}
		if ok {
			return nil
		}
		if stopped {
			return fmt.Errorf("create job %q: %w", r.rel.Name, e.jobError(r.rel.ID))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

func (e *Engine) jobError(id catalog.ID) error {
	e.status.mu.Lock()
	defer e.status.mu.Unlock()
	if err := e.status.job(id).err; err != nil {
		return err
	}
	return fmt.Errorf("it was dropped")
}

// catchUp waits until the job has read the changelog to its end and makes it part of all later epochs.
func (e *Engine) catchUp(ctx context.Context, r *running) error {
	for {
		// Come close first, so that the pause without new epochs is short.
		err := e.await(ctx, r, func() bool { n, _ := r.job.Lag(); return n <= 2 })
		if err != nil {
			return err
		}
		joined := make(chan bool, 1)
		e.whenQuiescent(func() { joined <- e.join(r) })
		select {
		case ok := <-joined:
			if ok {
				e.demand()
				return nil
			}
		case <-e.ctx.Done():
			return errClosing
		}
		select {
		case <-e.progress.changed():
		case <-time.After(tick):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// join makes a created job an ordinary one if it has completed the last epoch. Coordinator only, with no
// epoch in flight.
func (e *Engine) join(r *running) bool {
	last := e.machine.Last()
	if r.stopped || max(r.at, r.epoch) < last {
		return false
	}
	if r.behind && !e.upstreamsUp(e.cfg.Catalog.Snapshot(), []*running{r}) {
		return false
	}
	r.creating, r.behind = false, false
	if rel := e.cfg.Catalog.Snapshot().Relations[r.rel.ID]; r.rel.IsStored() && (rel == nil || rel.Captured == nil || !rel.Creating) {
		e.tables.Publish(r.rel.ID, last)
	}
	e.showSubscription(r.rel.ID)
	e.machine.AddJob(r.rel.ID, r.job.Actors(), r.takesDML(), last)
	// What it flushed at checkpoints while catching up goes into the next one.
	for _, d := range r.deltas {
		e.early = append(e.early, jobDelta{r.rel.ID, d})
	}
	r.deltas = nil
	return true
}

// DropJob ends a relation's job and deletes what it stored. The catalog no longer knows the relation.
func (e *Engine) DropJob(ctx context.Context, rel *catalog.Relation) error {
	var r *running
	if !e.call(func(now time.Time) {
		if r = e.jobs[rel.ID]; r != nil {
			r.stopped = true
			delete(e.jobs, rel.ID)
			e.apply(e.machine.RemoveJob(rel.ID, now), now)
		}
		delete(e.places, rel.ID)
		delete(e.failures, rel.ID)
		e.failFeeds(rel.ID, sqlerr.New(sqlerr.UndefinedTable, "relation %q was dropped", rel.Name), e.stopRunning)
	}) {
		return errClosing
	}
	if r != nil {
		if r.cancel != nil {
			r.cancel()
		}
		r.job.Stop()
		_ = r.job.Wait()
		r.job.Leave()
	}
	e.tables.Forget(rel.ID)
	e.forgetSubscription(rel.ID)
	e.status.forget(rel.ID)
	if rel.Captured != nil {
		e.captured.wake()
	}
	e.mu.Lock()
	delete(e.captures, rel.ID)
	d := e.sinks[rel.ID]
	delete(e.sinks, rel.ID)
	e.mu.Unlock()
	if d != nil {
		d.closeDirect()
	}
	e.progress.wake()
	if err := e.deleteState(ctx, rel); err != nil || !rel.Captures() {
		return err
	}
	return e.dropUpstream(ctx, rel)
}

// deleteState removes a relation's rows and its operators' state from the shard.
func (e *Engine) deleteState(ctx context.Context, rel *catalog.Relation) error {
	e.shardMu.Lock()
	defer e.shardMu.Unlock()
	lo := key.TableRange(uint32(rel.ID)).Lo
	hi := key.TableRange(uint32(rel.ID)).Hi
	if err := e.cfg.Shard.DeleteRange(ctx, lo, hi); err != nil {
		return err
	}
	if rel.StateCount == 0 {
		return nil
	}
	lo = key.TableRange(uint32(rel.StateBase)).Lo
	hi = key.TableRange(uint32(rel.StateBase) + uint32(rel.StateCount) - 1).Hi
	return e.cfg.Shard.DeleteRange(ctx, lo, hi)
}

// ReplaceJob ends a table's job and starts it again from the last checkpoint under its new catalog record.
// The caller has checkpointed; nothing depends on the table.
func (e *Engine) ReplaceJob(ctx context.Context, rel *catalog.Relation) error {
	done := make(chan error, 1)
	e.whenQuiescent(func() {
		old := e.jobs[rel.ID]
		if old == nil || old.stopped || old.behind { // it comes back with what the catalog says then
			if old != nil && !old.stopped {
				e.onFailure(old.rel, errRecover)
			}
			done <- nil
			return
		}
		e.failFeeds(rel.ID, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the columns of relation %q have changed", rel.Name).
			WithHint("Subscribe again."), e.stopQuiescent)
		old.stopped = true
		old.job.Stop()
		_ = old.job.Wait()
		at, _ := e.tables.Completed(rel.ID)
		e.machine.RemoveJob(rel.ID, time.Now())
		r, err := e.build(rel, origin{epoch: e.machine.Last(), saved: true, logs: old.logs})
		if err != nil {
			done <- err
			return
		}
		e.jobs[rel.ID] = r
		e.machine.AddJob(rel.ID, r.job.Actors(), r.takesDML(), at)
		e.startJob(r)
		done <- nil
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-e.ctx.Done():
		return errClosing
	}
}
