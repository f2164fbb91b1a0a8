package engine

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/catalog"
)

// Restarts of failed jobs wait at least restartMin and, doubling each time, at most restartMax.
const (
	restartMin = time.Second
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
			root = rel.Captured.Source // its changelog gives nothing twice: it begins again with all its tables
		}
		group := e.failedGroup(root)
		for _, r := range group {
			r.stopped = true
			r.job.Stop()
			e.forgetSubscription(r.rel.ID)
			if r.rel.ID != rel.ID {
				e.status.fail(r.rel.ID, err)
			}
		}
		for _, r := range group {
			e.failFeeds(r.rel.ID, err, e.stopRunning)
			e.apply(e.machine.RemoveJob(r.rel.ID, now), now)
		}
		e.progress.wake()
		if len(group) == 0 || rel.Kind == catalog.Table && rel.Captured == nil || group[0].creating {
			return // a table's job holds the place of its writes; a new job's creator deals with it
		}
		e.wg.Add(1)
		go func() { // Close waits
			defer e.wg.Done()
			e.restart(group)
		}()
	})
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
	slices.SortFunc(out, func(a, b *running) int { return int(a.rel.ID) - int(b.rel.ID) })
	return out
}

// restart brings failed jobs back: those that read stored relations from a new snapshot, others from the last
// checkpoint, where their source offsets are.
func (e *Engine) restart(group []*running) {
	ids := make([]catalog.ID, 0, len(group))
	for _, r := range group {
		if r.job != nil {
			_ = r.job.Wait()
		}
		if r.cancel != nil { // the next one delivers with a writer of its own
			r.cancel()
		}
		ids = append(ids, r.rel.ID)
	}
	for wait := restartMin; ; wait = min(2*wait, restartMax) {
		select {
		case <-time.After(wait):
		case <-e.ctx.Done():
			return
		}
		if ids = e.restartOnce(ids); len(ids) == 0 {
			return
		}
	}
}

// restartOnce returns the jobs that are still down.
func (e *Engine) restartOnce(ids []catalog.ID) []catalog.ID {
	for i, id := range ids {
		rel := e.cfg.Catalog.Snapshot().Relations[id]
		if rel == nil { // dropped meanwhile
			continue
		}
		var err error
		if beginsAnew(e.cfg.Catalog.Snapshot(), rel) {
			e.tables.Forget(id)
			e.call(func(time.Time) { delete(e.jobs, id) })
			if err = e.deleteState(e.ctx, rel); err == nil {
				err = e.CreateJob(e.ctx, rel)
			}
		} else if rel.Captured == nil { // a captured table comes back with its source
			err = e.resume(e.ctx, rel)
		}
		if err != nil {
			if e.ctx.Err() == nil {
				e.log.Warn("job could not be restarted", "job", rel.Name, "err", err)
				e.status.fail(id, err)
			}
			return ids[i:]
		}
		e.status.fail(id, nil)
		e.log.Info("job restarted", "job", rel.Name)
	}
	return nil
}

// resume starts a job without stored inputs from the last checkpoint.
func (e *Engine) resume(ctx context.Context, rel *catalog.Relation) error {
	done := make(chan error, 1)
	e.whenQuiescent(func() {
		rels := []*catalog.Relation{rel}
		if rel.Captures() {
			e.forgetCaptures(rel.ID)
			rels = append(rels, capturedFrom(e.cfg.Catalog.Snapshot(), rel.ID)...)
		}
		var err error
		for _, rel := range rels {
			e.tables.Forget(rel.ID)
			var r *running
			if r, err = e.build(rel, slices.Contains(e.saved, rel.ID), nil, nil); err != nil {
				break
			}
			e.attach(r, e.machine.Last())
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
