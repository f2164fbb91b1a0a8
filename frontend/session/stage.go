package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/killpoint"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// stage is what DDL inside a transaction block has decided and COMMIT will do: the session works on a catalog of
// its own, which others see when it is committed, in one step. A stage is immutable; each statement makes the next
// one, so that a savepoint is a pointer.
type stage struct {
	base     *catalog.Snapshot // what the block's DDL began with
	snap     *catalog.Snapshot
	created  map[catalog.ID]bool
	start    []catalog.ID // relations whose jobs start, in this order
	reshaped []catalog.ID // relations whose jobs are planned anew
	ended    []*catalog.Relation
}

// staged numbers the catalogs of stages: below zero, so that they are no revision of the store.
var staged atomic.Int64

// Snapshot returns the catalog as the session's statements see it.
func (s *Session) Snapshot() *catalog.Snapshot {
	if s.txn.stage != nil {
		return s.txn.stage.snap
	}
	return s.m.Catalog.Snapshot()
}

func (s *Session) snapshot() *catalog.Snapshot { return s.Snapshot() }

// staging reports whether DDL waits for the end of the transaction: in a block, and in a script of several statements.
func (s *Session) staging() bool { return s.txn.block || s.txn.script }

// settle commits what a script has done so far when the next statement reads a view that the script has created: its rows are
// computed when it is committed.
func (s *Session) settle(ctx context.Context, b bound) error {
	if !s.txn.script || s.txn.stage == nil {
		return nil
	}
	reads := false
	look := func(n plan.Node) {
		if n == nil {
			return
		}
		plan.Walk(n, func(n plan.Node) bool {
			if x, ok := n.(*plan.TableScan); ok && s.txn.stage.created[x.Table] {
				r := s.txn.stage.snap.Relations[x.Table]
				reads = reads || r != nil && r.Kind != catalog.Table && !r.Unique
			}
			return !reads
		})
	}
	look(b.query)
	for _, c := range b.changes {
		look(c.Source())
	}
	if c := b.change(); c != nil {
		look(c.Source())
	}
	if !reads {
		return nil
	}
	return s.commit(ctx)
}

// nextStage copies the block's stage.
func (s *Session) nextStage() *stage {
	old := s.txn.stage
	if old == nil {
		base := s.m.Catalog.Snapshot()
		return &stage{base: base, snap: base, created: map[catalog.ID]bool{}}
	}
	return &stage{base: old.base, snap: old.snap, created: maps.Clone(old.created), start: slices.Clone(old.start),
		reshaped: slices.Clone(old.reshaped), ended: slices.Clone(old.ended)}
}

// apply changes the catalog: at once, or in a block when it commits.
func (s *Session) apply(ctx context.Context, base *catalog.Snapshot, c catalog.Change) error {
	if !s.staging() {
		s.m.deciding.RLock()
		defer s.m.deciding.RUnlock()
		return s.m.Catalog.Apply(ctx, base, c)
	}
	next := s.nextStage()
	if base != next.snap {
		return catalog.ErrConflict
	}
	next.snap = c.On(base)
	next.snap.Revision = -staged.Add(1)
	next.snap.IndexOver(next.base)
	for _, r := range c.Put {
		if next.base.Relations[r.ID] == nil {
			next.created[r.ID] = true
		}
	}
	s.txn.stage = next
	return nil
}

// startJob starts the job of a new relation; one that cannot be started leaves nothing behind.
func (s *Session) startJob(ctx context.Context, r *catalog.Relation) error {
	if s.txn.stage != nil {
		next := s.nextStage()
		next.start = append(next.start, r.ID)
		s.txn.stage = next
		return nil
	}
	err := s.m.Engine.CreateJob(ctx, r)
	if err != nil {
		s.forget(context.WithoutCancel(ctx), r)
	}
	return err
}

// replaceJob plans the job of a changed relation anew. Nothing in the old form may be left in the log.
func (s *Session) replaceJob(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation) error {
	if s.staging() {
		if s.txn.writes != nil && s.txn.writes.Wrote(r.ID) {
			return sqlerr.New(sqlerr.ObjectInUse, "cannot ALTER TABLE %q because it was written to in this transaction", r.Name)
		}
		if err := s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{r}}); err != nil {
			return err
		}
		if !s.txn.stage.created[r.ID] {
			next := s.nextStage()
			next.reshaped = append(next.reshaped, r.ID)
			s.txn.stage = next
		}
		return nil
	}
	if err := s.m.Engine.Checkpoint(ctx); err != nil {
		return err
	}
	if err := s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{r}}); err != nil {
		return err
	}
	return s.m.Engine.ReplaceJob(context.WithoutCancel(ctx), r)
}

// endJobs ends the jobs of relations that the catalog has dropped.
func (s *Session) endJobs(ctx context.Context, rs []*catalog.Relation) error {
	if s.txn.stage != nil {
		next := s.nextStage()
		for _, r := range rs {
			next.start = slices.DeleteFunc(next.start, func(id catalog.ID) bool { return id == r.ID })
			if r.HasJob() && !next.created[r.ID] {
				next.ended = append(next.ended, r)
			}
		}
		s.txn.stage = next
		return nil
	}
	ctx = context.WithoutCancel(ctx) // the catalog has decided
	for _, r := range rs {
		if !r.HasJob() {
			continue
		}
		if err := s.dropJob(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// dropJob ends a job. What could not be removed from another database is a warning: here the relation is gone.
func (s *Session) dropJob(ctx context.Context, r *catalog.Relation) error {
	err := s.m.Engine.DropJob(ctx, r)
	var left *engine.UpstreamError
	if errors.As(err, &left) {
		w := sqlerr.New(sqlerr.Warning, "%s %q is dropped; what it made in the other database may still be there: %s", r.Kind, r.Name, sqlerr.From(left.Err).Message)
		w.Warning = true
		s.notices = append(s.notices, w)
		return nil
	}
	return err
}

// committedStage is a stage that others see, and can still be taken back.
type committedStage struct {
	s       *Session
	st      *stage
	after   *catalog.Snapshot
	started []*catalog.Relation
	block   catalog.ID // 0: the catalog alone decides
}

// commitStage makes a block's DDL visible and starts its jobs. Jobs that end go on until finish.
// block, if not 0, is that of rows in the log, which decide.
func (s *Session) commitStage(ctx context.Context, t *txnState, block catalog.ID) (*committedStage, error) {
	st := t.stage
	if len(st.reshaped) > 0 {
		if err := s.m.Engine.Checkpoint(ctx); err != nil {
			return nil, err
		}
	}
	killpoint.Here("block: begin")
	err := s.publish(ctx, st, block)
	if errors.Is(err, catalog.ErrConflict) {
		return nil, sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to concurrent changes of definitions").
			WithHint("The transaction might succeed if retried.")
	}
	if err != nil {
		return nil, err
	}
	killpoint.Here("block: definitions")
	s.m.Engine.RatesChanged()
	done := &committedStage{s: s, st: st, after: st.snap, block: block}
	for id := range st.base.Relations {
		if st.snap.Relations[id] == nil && t.writes != nil {
			t.writes.Forget(id)
		}
	}
	for _, id := range st.start {
		r := st.snap.Relations[id]
		if err := s.m.Engine.CreateJob(ctx, r); err != nil {
			done.started = append(done.started, r) // what there is of it
			done.undo(context.WithoutCancel(ctx))
			return nil, err
		}
		done.started = append(done.started, r)
	}
	for i, id := range st.reshaped {
		r := st.snap.Relations[id]
		if r == nil || slices.Contains(st.reshaped[:i], id) {
			continue
		}
		if err := s.m.Engine.ReplaceJob(context.WithoutCancel(ctx), r); err != nil {
			done.undo(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	killpoint.Here("block: jobs")
	return done, nil
}

// publish writes the block's definitions to the catalog.
func (s *Session) publish(ctx context.Context, st *stage, block catalog.ID) error {
	c := catalog.Diff(st.base, st.snap)
	if block != 0 {
		return s.m.Catalog.ApplyUndecided(ctx, st.base, c, block)
	}
	s.m.deciding.RLock()
	defer s.m.deciding.RUnlock()
	return s.m.Catalog.Apply(ctx, st.base, c)
}

// finish ends the jobs of what was dropped.
func (c *committedStage) finish(ctx context.Context) error {
	for _, r := range c.st.ended {
		if err := c.s.dropJob(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// undo takes the block's DDL back, because the rest of the transaction could not be committed. Nobody was told that
// it had been.
func (c *committedStage) undo(ctx context.Context) {
	s := c.s
	for {
		cur := s.m.Catalog.Snapshot()
		back := catalog.Revert(c.st.base, c.after, cur)
		var err error
		if c.block != 0 {
			err = s.m.Catalog.TakeBack(ctx, cur, back, c.block)
		} else {
			err = s.m.Catalog.Apply(ctx, cur, back)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, catalog.ErrConflict) {
			s.m.Logger.Error("take back the definitions of a transaction that failed", "err", err)
			break
		}
	}
	for i := len(c.started) - 1; i >= 0; i-- {
		if err := s.m.Engine.DropJob(ctx, c.started[i]); err != nil {
			s.m.Logger.Error("drop a job of a transaction that failed", "relation", c.started[i].Name, "err", err)
		}
	}
	for _, id := range c.st.reshaped {
		if r := c.st.base.Relations[id]; r != nil {
			if err := s.m.Engine.ReplaceJob(ctx, r); err != nil {
				s.m.Logger.Error("restore a job after a transaction that failed", "relation", r.Name, "err", err)
			}
		}
	}
}
