package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
)

// A checkpoint holds every job at its epoch, except those that have failed and are not back: each of these stays where it was, its Place. For
// those it keeps, in the state table of each of their scans, what the scan's upstream changed between the two. The log is not cut behind
// a table that is down, nor behind the last deliveries of a sink into a table.

// Place is where a checkpoint has a job's state: at an epoch, and with the log read up to a position.
type Place struct {
	Epoch  uint64
	LogPos uint64
}

// Behind is a job that a checkpoint holds at an earlier epoch than its own.
type Behind struct {
	Job catalog.ID
	Place
}

// placeOf returns where the store has a job's state; one that it does not have begins at the latest checkpoint. Coordinator only.
func (e *Engine) placeOf(id catalog.ID) Place {
	if p, ok := e.places[id]; ok {
		return p
	}
	return Place{e.base.Epoch, e.base.LogPos}
}

// standings is where a checkpoint has each job.
type standings struct {
	live   []catalog.ID // at the checkpoint's epoch, ascending
	behind []Behind     // ascending by job
	kept   []keptScan   // of those behind
	back   []uint32     // state tables whose jobs were behind and are not any more
}

// keptScan is what a checkpoint keeps for a scan.
type keptScan struct {
	job.MissedScan
	job catalog.ID
}

// standings looks at the jobs for a checkpoint that all live ones have completed. Coordinator only.
func (e *Engine) standings(epoch uint64) *standings {
	s := &standings{}
	live := map[catalog.ID]bool{}
	for id, r := range e.jobs {
		if r.rel.Kind == catalog.Feed || r.creating || r.stopped {
			continue
		}
		live[id] = true
		s.live = append(s.live, id)
		if p, ok := e.places[id]; ok && p.Epoch < e.base.Epoch {
			s.back = append(s.back, r.job.ScanTables()...)
		}
	}
	for id, r := range e.jobs {
		p, held := e.places[id]
		if live[id] || !held {
			continue
		}
		s.behind = append(s.behind, Behind{id, p})
		for _, m := range r.job.Missed(stream.Epoch(epoch), func(up catalog.ID) (stream.Epoch, bool) {
			return stream.Epoch(e.placeOf(up).Epoch), live[up]
		}) {
			s.kept = append(s.kept, keptScan{m, id})
		}
	}
	slices.Sort(s.live)
	slices.SortFunc(s.behind, func(a, b Behind) int { return int(a.Job) - int(b.Job) })
	return s
}

// places is where the checkpoint has each job.
func (s *standings) places(at Place) map[catalog.ID]Place {
	m := make(map[catalog.ID]Place, len(s.live)+len(s.behind))
	for _, id := range s.live {
		m[id] = at
	}
	for _, b := range s.behind {
		m[b.Job] = b.Place
	}
	return m
}

// jobs lists all jobs of the checkpoint, ascending.
func (s *standings) jobs() []catalog.ID {
	out := append([]catalog.ID(nil), s.live...)
	for _, b := range s.behind {
		out = append(out, b.Job)
	}
	slices.Sort(out)
	return out
}

// keep writes what the jobs that are behind have missed since the checkpoint before.
func (s *standings) keep() *change.Set {
	d := &state.Delta{}
	for _, k := range s.kept {
		l := &changeLog{table: k.Table, vnode: k.Partition, types: k.Types}
		k.Each(func(epoch stream.Epoch, chunks []*delta.Chunk) { l.put(d, uint64(epoch), chunks) })
	}
	return d
}

// letGo gives up, in the changelogs, what the checkpoint has kept. Coordinator only.
func (e *Engine) letGo(s *standings, epoch uint64) {
	live := map[catalog.ID]bool{}
	for _, id := range s.live {
		live[id] = true
	}
	done := map[catalog.ID]bool{}
	for _, k := range s.kept {
		if r := e.jobs[k.job]; r != nil && !done[k.job] {
			done[k.job] = true
			r.job.Kept(stream.Epoch(epoch), !r.stopped, func(up catalog.ID) bool { return live[up] })
		}
	}
}

// neededFrom is the log position behind which records are needed for a checkpoint's jobs.
func (e *Engine) neededFrom(logPos uint64, behind []Behind) uint64 {
	snap := e.cfg.Catalog.Snapshot()
	for _, b := range behind {
		if rel := snap.Relations[b.Job]; rel != nil && (rel.Kind == catalog.Table && rel.Captured == nil || rel.SinkInto != 0) {
			logPos = min(logPos, b.LogPos)
		}
	}
	return logPos
}

// missed is what a job goes on with that the checkpoint has at a place; nil: it is not behind the others. Coordinator only.
func (e *Engine) missed(at Place) *job.Missed {
	if at.Epoch >= e.base.Epoch {
		return nil
	}
	behind := map[catalog.ID]bool{}
	for id, p := range e.places {
		behind[id] = p.Epoch < e.base.Epoch
	}
	until := e.base.Epoch // a later checkpoint may keep more before this is read; that comes in the changelogs
	kept := func(s job.ScanState, f func(*delta.Chunk) error) error { return e.keptOf(s, until, f) }
	return &job.Missed{Barrier: e.baseBarrier(), Kept: kept, Behind: func(up catalog.ID) bool { return behind[up] }}
}

// baseBarrier ends the one epoch that stands for all that a job has missed up to the latest checkpoint.
func (e *Engine) baseBarrier() stream.Barrier {
	return stream.Barrier{Epoch: stream.Epoch(e.base.Epoch), Now: e.base.Now, LogPos: e.base.LogPos}
}

// keptOf reads what was kept for a scan up to an epoch.
func (e *Engine) keptOf(s job.ScanState, until uint64, f func(*delta.Chunk) error) error {
	l := &changeLog{e: e, table: s.Table, vnode: s.Partition, types: s.Types}
	for epoch := uint64(0); ; epoch++ {
		var err error
		if epoch, err = l.firstFrom(epoch, until); err != nil || epoch == 0 {
			return err
		}
		if _, err := l.readStored(epoch, f); err != nil {
			return err
		}
	}
}

// barriersSince lists the barriers of all epochs after a place, as a job has to see them that goes on from there. Coordinator only.
func (e *Engine) barriersSince(at Place) []*stream.Barrier {
	var out []*stream.Barrier
	if at.Epoch < e.base.Epoch {
		b := e.baseBarrier()
		out = append(out, &b)
	}
	for _, b := range e.issued {
		if uint64(b.Epoch) > max(at.Epoch, e.base.Epoch) {
			out = append(out, b)
		}
	}
	return out
}

// logged calls f for the transactions in the log after one position and up to another.
func (e *Engine) logged(after, until uint64, f func(logged)) error {
	snap := e.cfg.Catalog.Snapshot()
	for rec, err := range e.cfg.Log.Records(after) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if rec.Pos > until {
			return nil
		}
		l, ok, err := e.replayRecord(rec, snap)
		if err != nil {
			return fmt.Errorf("read log at %d: %w", rec.Pos, err)
		}
		if ok {
			l.pos = rec.Pos
			f(l)
		}
	}
	return nil
}

// noteDeliveries looks up how far a sink into a table has delivered since a place.
func (e *Engine) noteDeliveries(sink catalog.ID, at Place) error {
	return e.logged(at.LogPos, ^uint64(0), func(l logged) {
		if l.sink == sink {
			e.mu.Lock()
			e.delivered[sink] = max(e.delivered[sink], l.sinkEpoch)
			e.mu.Unlock()
		}
	})
}

// forgetKept deletes what was kept for jobs that have caught up. The next checkpoint to be committed does without it.
func (e *Engine) forgetKept(ctx context.Context, tables []uint32) error {
	e.shardMu.Lock()
	defer e.shardMu.Unlock()
	for _, t := range tables {
		r := key.TableRange(t)
		if err := e.cfg.Shard.DeleteRange(ctx, r.Lo, r.Hi); err != nil {
			return err
		}
	}
	return nil
}
