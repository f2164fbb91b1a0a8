package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
)

// A job that fails is taken out of the epochs, with all that read from it; the others go on. Its state stays at the last checkpoint
// that holds it, and it goes on from exactly there (behind.go): what its upstreams changed since then is kept for it, in their
// changelogs, and from checkpoint to checkpoint in the store. So its state, the log of a sink and that of a subscription miss nothing
// and get nothing twice, whether it is started again by this process or by the next one.
//
// Only a job that no checkpoint holds yet begins anew.

// Restarts of failed jobs wait at least restartMin and, doubling each time until a checkpoint holds the job again, at most restartMax.
const (
	restartMin = 100 * time.Millisecond
	restartMax = time.Minute
)

// onFailure takes a failed job, and all jobs that read its relation, out of the machine; the others go on. They are
// started again after a pause.
func (e *Engine) onFailure(rel *catalog.Relation, err error) {
	e.log.Error("job failed", "job", rel.Name, "err", err)
	e.status.fail(rel.ID, err)
	e.post(func(now time.Time) {
		root := rel.ID
		if rel.Captured != nil {
			root = rel.Captured.Source // its changelog gives nothing twice: it goes on with all its tables
		}
		e.takeOut(e.failedGroup(root), err, now)
	})
}

// FailJob makes a job fail, as an error of one of its operators does.
func (e *Engine) FailJob(id catalog.ID, err error) {
	if rel := e.cfg.Catalog.Snapshot().Relations[id]; rel != nil {
		e.onFailure(rel, err)
	}
}

// errRecover is the failure of jobs whose restart was asked for.
var errRecover = errors.New("recovery was asked for")

// Recover starts every job again from the last checkpoint that holds it, and returns when all of them have caught up.
func (e *Engine) Recover(ctx context.Context) error {
	var ids []catalog.ID
	if !e.call(func(now time.Time) {
		var group []*running
		for id, r := range e.jobs {
			if !r.stopped && (!r.creating || r.behind) {
				group = append(group, r)
				ids = append(ids, id)
			}
		}
		slices.SortFunc(group, byID)
		e.takeOut(group, errRecover, now)
	}) {
		return errClosing
	}
	for {
		changed, down := e.progress.changed(), false
		if !e.call(func(time.Time) {
			for _, id := range ids {
				r := e.jobs[id]
				down = down || r != nil && r.rel.Kind != catalog.Feed && (r.stopped || r.creating)
			}
		}) {
			return errClosing
		}
		if !down {
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

func byID(a, b *running) int { return int(a.rel.ID) - int(b.rel.ID) }

// takeOut stops jobs that have failed, upstream first, and sees to it that they come back. Coordinator only.
func (e *Engine) takeOut(group []*running, err error, now time.Time) {
	var back []*running
	gone := map[catalog.ID]bool{}
	wait := time.Duration(0)
	for _, r := range group {
		if r.rel.Kind != catalog.Feed && (!r.creating || r.behind) { // a new job's creator deals with it
			back = append(back, r)
			wait = max(wait, min(restartMin<<min(e.failures[r.rel.ID], 20), restartMax))
			e.failures[r.rel.ID]++
		}
		gone[r.rel.ID] = true
		r.stopped = true
		r.job.Stop()
		e.forgetSubscription(r.rel.ID)
		e.status.fail(r.rel.ID, err)
	}
	// What they had flushed since their last checkpoint they will flush again.
	e.ckpt.deltas = dropDeltas(e.ckpt.deltas, gone)
	e.early = dropDeltas(e.early, gone)
	for _, r := range group {
		e.failFeeds(r.rel.ID, err, e.stopRunning)
		e.apply(e.machine.RemoveJob(r.rel.ID, now), now)
	}
	e.progress.wake()
	if len(back) == 0 {
		return
	}
	if errors.Is(err, errRecover) {
		wait = 0
	}
	e.wg.Add(1)
	go func() { // Close waits
		defer e.wg.Done()
		e.restart(back, wait)
	}()
}

func dropDeltas(ds []jobDelta, of map[catalog.ID]bool) []jobDelta {
	return slices.DeleteFunc(ds, func(d jobDelta) bool { return of[d.job] })
}

// failedGroup lists a running job and those that depend on it, upstream first. Coordinator only.
func (e *Engine) failedGroup(id catalog.ID) []*running {
	snap := e.cfg.Catalog.Snapshot()
	var out []*running
	var visit func(id catalog.ID)
	visit = func(id catalog.ID) {
		r := e.jobs[id]
		if r == nil || r.stopped || slices.Contains(out, r) {
			return
		}
		out = append(out, r)
		for _, d := range snap.Dependants(id) {
			if d.SinkInto != id {
				visit(d.ID)
			}
		}
		for _, f := range e.jobs {
			if f.rel.Kind == catalog.Feed && slices.Contains(f.rel.DependsOn, id) {
				visit(f.rel.ID)
			}
		}
	}
	visit(id)
	slices.SortFunc(out, byID)
	return out
}

// end waits until nothing of a stopped job runs any more, its delivery included: the next one has a writer of its own.
func (r *running) end() {
	if r.job == nil {
		return
	}
	_ = r.job.Wait()
	if r.cancel != nil {
		r.cancel()
		<-r.delivered
	}
}

// restart brings jobs back that were taken out.
func (e *Engine) restart(group []*running, wait time.Duration) {
	for _, r := range group {
		r.end()
	}
	for ; ; wait = min(max(2*wait, restartMin), restartMax) {
		select {
		case <-time.After(wait):
		case <-e.ctx.Done():
			return
		}
		for {
			ready, err := e.resume(group)
			if e.ctx.Err() != nil || err == nil && ready {
				return
			}
			if err != nil {
				e.log.Warn("jobs could not be restarted", "first", group[0].rel.Name, "err", err)
				e.status.fail(group[0].rel.ID, err)
				break
			}
			select { // for an upstream that is down, too, or a checkpoint
			case <-time.After(2 * tick):
			case <-e.ctx.Done():
				return
			}
		}
	}
}

// resume starts a group of failed jobs from where the checkpoint has each of them, and returns when they have caught up or failed again. It is not
// ready while an upstream outside of the group is not back.
func (e *Engine) resume(group []*running) (ready bool, err error) {
	var back []*running
	var anew []*catalog.Relation
	type result struct {
		ready bool
		err   error
	}
	if ready := false; !e.call(func(time.Time) {
		ready = !e.committing && e.upstreamsUp(e.cfg.Catalog.Snapshot(), group)
	}) || !ready {
		return false, nil
	}
	done := make(chan result, 1)
	e.whenQuiescent(func() {
		snap := e.cfg.Catalog.Snapshot()
		var old []*running
		for _, r := range group {
			rel := snap.Relations[r.rel.ID]
			if at := e.jobs[r.rel.ID]; rel == nil || at != nil && at != r { // dropped meanwhile, or dropped and created again
				continue
			}
			if _, held := e.places[rel.ID]; !held && beginsAnew(snap, rel) {
				anew = append(anew, rel)
				continue
			}
			old = append(old, &running{rel: rel, job: r.job, logs: r.logs})
		}
		if e.committing || !e.upstreamsUp(snap, old) {
			anew = nil
			done <- result{}
			return
		}
		back, err = e.goOn(old)
		done <- result{true, err}
	})
	select {
	case res := <-done:
		if res.err != nil || !res.ready {
			return false, res.err
		}
	case <-e.ctx.Done():
		return false, errClosing
	}
	e.caughtUp(back)
	for _, rel := range anew {
		if err := e.beginAgain(rel); err != nil {
			return false, err
		}
	}
	return true, nil
}

// caughtUp waits until jobs that go on have caught up, upstream first. One that fails again is somebody else's.
func (e *Engine) caughtUp(back []*running) {
	for _, r := range back {
		if err := e.catchUp(e.ctx, r); err == nil {
			e.status.fail(r.rel.ID, nil)
			e.log.Info("job restarted", "job", r.rel.Name)
		}
	}
}

// beginAgain starts a job anew that no checkpoint holds.
func (e *Engine) beginAgain(rel *catalog.Relation) error {
	if e.cfg.Catalog.Snapshot().Relations[rel.ID] == nil {
		return nil
	}
	e.tables.Forget(rel.ID)
	e.call(func(time.Time) {
		if r := e.jobs[rel.ID]; r != nil && r.stopped {
			r.job.Leave()
			delete(e.jobs, rel.ID)
		}
	})
	if err := e.deleteState(e.ctx, rel); err != nil {
		return err
	}
	if err := e.CreateJob(e.ctx, rel); err != nil {
		return err
	}
	e.status.fail(rel.ID, nil)
	e.log.Info("job begun anew", "job", rel.Name)
	return nil
}

// upstreamsUp reports whether what jobs read runs, or is to be started with them. Coordinator only.
func (e *Engine) upstreamsUp(snap *catalog.Snapshot, group []*running) bool {
	for _, r := range group {
		for _, d := range upstreams(snap, r.rel) {
			with := slices.ContainsFunc(group, func(o *running) bool { return o.rel.ID == d })
			if up := e.jobs[d]; !with && (up == nil || up.stopped || up.creating) {
				return false
			}
		}
	}
	return true
}

// upstreams lists the relations whose changelogs a job reads.
func upstreams(snap *catalog.Snapshot, rel *catalog.Relation) []catalog.ID {
	if rel.Captured != nil {
		return []catalog.ID{rel.Captured.Source}
	}
	var out []catalog.ID
	for _, d := range rel.DependsOn {
		if up := snap.Relations[d]; up != nil && up.IsStored() && d != rel.SinkInto {
			out = append(out, d)
		}
	}
	return out
}

// goOn builds and starts the successors of stopped jobs, upstream first. All are built before the first one runs, so that
// each finds everything in its changelogs. Coordinator only (or before it runs), with no epoch in flight.
func (e *Engine) goOn(old []*running) (_ []*running, err error) {
	back := make([]*running, 0, len(old))
	before := map[catalog.ID]*running{}
	defer func() {
		for id, r := range before {
			if err == nil {
				break
			}
			if e.jobs[id] = r; r == nil {
				delete(e.jobs, id)
			}
		}
	}()
	for _, o := range old {
		if o.rel.Captures() {
			e.forgetCaptures(o.rel.ID)
		}
	}
	for _, o := range old {
		at := e.placeOf(o.rel.ID)
		for _, l := range o.logs {
			l.Cut(stream.Epoch(at.Epoch))
		}
		r, err := e.rebuild(o, at)
		if err != nil {
			return nil, fmt.Errorf("start job of %s %q: %w", o.rel.Kind, o.rel.Name, err)
		}
		r.creating, r.behind, r.epoch = true, true, at.Epoch
		back = append(back, r)
		before[o.rel.ID] = e.jobs[o.rel.ID]
		e.jobs[o.rel.ID] = r // for those that read it
	}
	for _, r := range back {
		at := e.placeOf(r.rel.ID)
		e.tables.Forget(r.rel.ID)
		if r.rel.IsStored() {
			e.tables.RegisterHidden(r.rel.ID, at.Epoch)
		}
		if r.job.HasDirect() {
			if err := e.injectMissed(r, at); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range back {
		e.startJob(r)
	}
	return back, nil
}

// rebuild makes the job that goes on for a stopped one; old.job is nil when another process stopped.
func (e *Engine) rebuild(old *running, at Place) (*running, error) {
	_, held := e.places[old.rel.ID]
	if old.rel.SinkInto != 0 {
		if err := e.noteDeliveries(old.rel.ID, at); err != nil {
			return nil, err
		}
	}
	before := old.job
	if old.rel.Captured != nil {
		before = nil // the changelog is a new one
	}
	return e.build(old.rel, origin{saved: held, logs: old.logs, epoch: at.Epoch, before: before, missed: e.missed(at), behind: true, again: e.machine.Last()})
}

// injectMissed sends a job the barriers, and a table the writes, since the checkpoint that holds it.
func (e *Engine) injectMissed(r *running, at Place) error {
	bs := e.barriersSince(at)
	if !r.takesDML() {
		for _, b := range bs {
			r.job.Inject(b, nil)
		}
		return nil
	}
	if len(bs) == 0 {
		return nil
	}
	k := 0
	var chunks []*delta.Chunk
	next := func(pos uint64) { // ends the epochs that do not hold pos
		for ; k < len(bs) && bs[k].LogPos < pos; k++ {
			r.job.Inject(bs[k], chunks)
			chunks = nil
		}
	}
	err := e.logged(at.LogPos, bs[len(bs)-1].LogPos, func(l logged) {
		next(l.pos)
		switch {
		case l.large == nil:
			chunks = append(chunks, l.chunks[r.rel.ID]...)
		case l.large.tables[r.rel.ID] != nil:
			r.job.InjectBefore(chunks, &l.large.tables[r.rel.ID].own)
			chunks = nil
		}
	})
	next(^uint64(0))
	return err
}
