package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/shard"
)

// checkpoint is one under way.
type checkpoint struct {
	epoch  uint64
	now    int64
	logPos uint64
	deltas []jobDelta
	evict  *stream.Eviction // nil: nobody waits for the checkpoint
}

type jobDelta struct {
	job   catalog.ID
	delta *change.Set
}

// startCommit begins to write a checkpoint that every job has completed. Coordinator only.
func (e *Engine) startCommit(epoch uint64) {
	c := e.ckpt
	e.ckpt = checkpoint{}
	var feeds []catalog.ID
	for id, r := range e.jobs {
		if r.rel.Kind == catalog.Feed {
			feeds = append(feeds, id)
		}
	}
	stand := e.standings(epoch)
	e.committing = true
	e.wg.Add(1)
	go func() { // Close waits
		defer e.wg.Done()
		stored, err := e.commit(e.ctx, c, stand)
		if err != nil && e.ctx.Err() == nil {
			e.log.Error("checkpoint failed", "epoch", c.epoch, "err", err)
			e.failed.Store(&err)
		}
		e.post(func(now time.Time) {
			e.committing = false
			if stored {
				e.stored(c, stand)
			}
			if err == nil {
				e.policeFeeds(e.committed)
				e.committed = c.epoch
				e.letGo(stand, c.epoch)
				for _, id := range feeds {
					if r := e.jobs[id]; r != nil {
						r.job.Release(stream.Epoch(c.epoch))
					}
				}
				e.durable.Store(c.epoch)
				e.commits.wake()
				for _, id := range stand.live {
					if r := e.jobs[id]; r != nil {
						delete(e.failures, id)
						r.job.Release(stream.Epoch(c.epoch))
						e.mu.Lock()
						if d := e.sinks[id]; d != nil {
							d.commit(c.epoch)
						}
						e.mu.Unlock()
					}
				}
			}
			e.apply(e.machine.Committed(now), now)
			e.progress.wake()
		})
	}()
}

// stored notes what the shard holds: jobs go on from there. Coordinator only.
func (e *Engine) stored(c checkpoint, s *standings) {
	e.base = Commit{Epoch: c.epoch, LogPos: c.logPos, Now: c.now}
	e.places = s.places(Place{c.epoch, c.logPos})
	for id := range e.places {
		if e.jobs[id] == nil { // dropped meanwhile
			delete(e.places, id)
		}
	}
	n := 0
	for n < len(e.issued) && uint64(e.issued[n].Epoch) <= c.epoch {
		n++
	}
	e.issued = append([]*stream.Barrier(nil), e.issued[n:]...)
}

// commit writes a checkpoint: one sorted delta into the shard, a new base for readers, then the durable
// commit, then what the log no longer needs to hold. stored: the shard has it, whatever became of the rest.
func (e *Engine) commit(ctx context.Context, c checkpoint, stand *standings) (stored bool, err error) {
	defer c.evict.Done(false)
	live := make(map[catalog.ID]bool, len(stand.live))
	saved := make(map[catalog.ID]uint64, len(stand.live))
	var sets []*change.Set
	for _, id := range stand.live {
		live[id] = true
		for _, l := range e.tables.Unsaved(id, c.epoch) {
			sets = append(sets, l.Delta)
		}
		saved[id] = c.epoch
	}
	for _, d := range c.deltas {
		if live[d.job] {
			sets = append(sets, d.delta)
		}
	}
	sets = append(sets, stand.keep())
	if err := e.ingest(ctx, sets, func(s snapshot) { e.tables.Advance(s, saved) }); err != nil {
		return false, err
	}
	c.evict.Done(true)
	if err := e.forgetKept(ctx, stand.back); err != nil {
		return true, err
	}
	body, err := json.Marshal(Commit{Epoch: c.epoch, Now: c.now, LogPos: c.logPos, Jobs: stand.jobs(), Behind: stand.behind})
	if err != nil {
		return true, err
	}
	if err := e.cfg.Checkpoints.Commit(ctx, e.cfg.Shard, c.epoch, c.logPos, body); err != nil {
		return true, err
	}
	return true, e.cfg.Log.TruncateBefore(e.dml.needed(e.neededFrom(c.logPos, stand.behind)))
}

// ingest sorts changes into the shard and gives readers the new base, in one step as far as they can tell.
func (e *Engine) ingest(ctx context.Context, sets []*change.Set, publish func(snapshot)) error {
	changes := change.Sorted(sets)
	e.shardMu.Lock()
	defer e.shardMu.Unlock()
	err := e.cfg.Shard.Ingest(ctx, func(yield func(shard.Entry) bool) {
		changes(func(k, v []byte, del bool) bool { return yield(shard.Entry{Key: k, Value: v, Delete: del}) })
	})
	if err != nil {
		return err
	}
	s, err := e.cfg.Shard.Snapshot()
	if err != nil {
		return err
	}
	publish(snapshot{s})
	return nil
}

// Checkpoint makes everything up to now durable and returns when it is.
func (e *Engine) Checkpoint(ctx context.Context) error {
	if err := e.awaitTaken(ctx, e.Logged()); err != nil {
		return err
	}
	var target uint64
	if !e.call(func(now time.Time) {
		target = e.machine.Last() + 1
		if e.machine.Idle() && e.committed >= e.machine.Last() && e.dml.idle() {
			target = 0
			return
		}
		e.apply(e.machine.ForceCheckpoint(now), now)
	}) || target == 0 {
		return nil
	}
	for {
		changed := e.progress.changed()
		var at uint64
		if !e.call(func(time.Time) { at = e.committed }) {
			return errClosing
		}
		if at >= target {
			return nil
		}
		if p := e.failed.Load(); p != nil {
			return fmt.Errorf("write checkpoint: %w", *p)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for checkpoint: %w", ctx.Err())
		}
	}
}

// awaitTaken waits until epochs have read the log up to a position: one may not take all that is there.
func (e *Engine) awaitTaken(ctx context.Context, pos uint64) error {
	for {
		changed := e.progress.changed()
		if e.dml.takenUpTo() >= pos {
			return nil
		}
		e.demand()
		select {
		case <-changed:
		case <-time.After(tick):
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

var errClosing = errors.New("the server is shutting down")
