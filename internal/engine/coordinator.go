package engine

import (
	"context"
	"time"

	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/meta/epoch"
)

// tick is how often the machine looks at the clock; barriers on demand do not wait for it.
const tick = 10 * time.Millisecond

// pgEpochMicros is 2000-01-01 UTC in µs since 1970.
const pgEpochMicros = 946684800 * 1_000_000

// coordinate is the coordinator goroutine.
func (e *Engine) coordinate() {
	defer e.wg.Done()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case f := <-e.posted:
			f(time.Now())
		case now := <-t.C:
			if e.wakeDue(now) {
				e.apply(e.machine.Demand(now), now)
			} else {
				e.apply(e.machine.Tick(now), now)
			}
		case <-e.ctx.Done():
			return
		}
	}
}

// apply carries out decisions, and lets closures in that need a moment without epochs in flight.
func (e *Engine) apply(d epoch.Decisions, now time.Time) {
	for _, c := range d.Completed {
		e.completed(c)
	}
	for _, b := range d.Issue {
		e.issue(b, now)
	}
	if d.Commit != 0 {
		e.startCommit(d.Commit)
	}
	if len(d.Completed) > 0 {
		e.progress.wake()
	}
	for len(e.quiescent) > 0 && e.machine.InFlight() == 0 {
		f := e.quiescent[0]
		e.quiescent = e.quiescent[1:]
		f()
	}
	e.machine.Hold(len(e.quiescent) > 0)
	e.gate.set(e.machine.Overloaded())
	if e.more {
		e.more = false
		e.apply(e.machine.Demand(now), now)
	}
}

// whenQuiescent runs f on the coordinator when no epoch is in flight, holding back new ones until then.
func (e *Engine) whenQuiescent(f func()) {
	e.post(func(now time.Time) {
		e.quiescent = append(e.quiescent, f)
		e.apply(epoch.Decisions{}, now)
	})
}

// issue sends an epoch's barrier, and the DML that belongs to it, into every job.
func (e *Engine) issue(b epoch.Barrier, now time.Time) {
	e.lastNow = e.clock(now)
	durable := e.cfg.Log.Durable()
	pos, chunks, large := e.dml.take(b.Epoch, durable)
	e.more = e.dml.committed(durable) > pos
	sb := &stream.Barrier{Epoch: stream.Epoch(b.Epoch), Now: e.lastNow, Checkpoint: b.Checkpoint, LogPos: pos}
	if b.Checkpoint {
		e.tables.Cut(b.Epoch)
		sb.Evict = e.eviction()
		e.ckpt = checkpoint{epoch: b.Epoch, now: e.lastNow, logPos: pos, deltas: e.early, evict: sb.Evict}
		e.early = nil
	}
	again := *sb
	again.Evict = nil // a job that fails, and sees it a second time, is not in that checkpoint
	e.issued = append(e.issued, &again)
	for id, r := range e.jobs {
		switch {
		case r.stopped || !r.job.HasDirect():
		case large != nil && large.tables[id] != nil:
			e.injectLarge(r.job, large.tables[id], sb)
		default:
			r.job.Inject(sb, chunks[id])
		}
	}
}

// completed makes a job's epoch readable.
func (e *Engine) completed(c epoch.Completed) {
	if r := e.jobs[c.Job]; r != nil && r.rel.IsStored() {
		e.tables.Complete(c.Job, c.Epoch)
	}
	e.dml.visible(e.machine.Floor())
}

// onAck takes an actor's acknowledgement; it runs on the actor's goroutine.
func (e *Engine) onAck(id catalog.ID, a actor.Ack) {
	e.post(func(now time.Time) {
		r := e.jobs[id]
		if r == nil || r.stopped {
			return
		}
		e.status.state(id, a.Actor, a)
		r.setWake(a.Actor, a.Wake)
		if r.creating {
			e.creatingAck(r, a)
			return
		}
		if a.Delta != nil && r.rel.Kind != catalog.Feed {
			e.ckpt.deltas = append(e.ckpt.deltas, jobDelta{id, a.Delta})
		}
		e.apply(e.machine.Ack(id, uint64(a.Barrier.Epoch), now), now)
	})
}

// setWake notes when an actor wants a barrier without input, in the unit of Barrier.Now; 0: not at all.
func (r *running) setWake(actor int, at int64) {
	if r.wakes == nil {
		if at == 0 {
			return
		}
		r.wakes = map[int]int64{}
	}
	if delete(r.wakes, actor); at != 0 {
		r.wakes[actor] = at
	}
}

// wakeDue reports whether an actor waits for a time that has come. Each is counted once: its next acknowledgement says
// when it wants to be woken again.
func (e *Engine) wakeDue(now time.Time) bool {
	at, due := e.clock(now), false
	for _, r := range e.jobs {
		for k, w := range r.wakes {
			if w <= at && !r.stopped && !r.creating {
				delete(r.wakes, k)
				due = true
			}
		}
	}
	return due
}

// clock is the time of the next epoch, µs since 2000-01-01 UTC; it never falls, nor does it across restarts.
func (e *Engine) clock(now time.Time) int64 { return max(e.lastNow, now.UnixMicro()-pgEpochMicros) }

// activity says that a source has sent rows, as whole transactions of another database or not; it waits while jobs are too far behind.
func (e *Engine) activity(rows int, txn bool) {
	e.gate.wait(e.ctx)
	e.post(func(now time.Time) { e.apply(e.machine.Activity(rows, txn, now), now) })
}

// demand asks for a barrier now.
func (e *Engine) demand() {
	e.post(func(now time.Time) { e.apply(e.machine.Demand(now), now) })
}

// attach makes a job part of all epochs after completed. Coordinator only (or before it runs).
func (e *Engine) attach(r *running, completed uint64) {
	e.jobs[r.rel.ID] = r
	switch {
	case r.rel.Captured != nil && r.rel.Creating:
		e.tables.RegisterHidden(r.rel.ID, completed)
	case r.rel.IsStored():
		e.tables.Register(r.rel.ID, completed)
	}
	e.machine.AddJob(r.rel.ID, r.job.Actors(), r.takesDML(), completed)
	e.startJob(r)
}

// startJob sets a job's goroutines going, and its delivery if it is a sink.
func (e *Engine) startJob(r *running) {
	r.job.Start(e.ctx, func(err error) { e.onFailure(r.rel, err) })
	e.mu.Lock()
	d := e.sinks[r.rel.ID]
	e.mu.Unlock()
	if d == nil {
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	r.cancel, r.delivered = cancel, make(chan struct{})
	e.wg.Add(1)
	go func() { // Close waits
		defer e.wg.Done()
		defer close(r.delivered)
		d.run(ctx)
	}()
	switch { // until a checkpoint holds the whole snapshot, its rows may be read again under another epoch
	case r.behind:
		d.commit(min(e.committed, r.epoch))
	case !r.creating:
		d.commit(e.committed)
	}
}
