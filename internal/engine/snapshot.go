package engine

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/table"
)

// fixed is what a transaction above READ COMMITTED reads: every relation at one epoch.
type fixed struct {
	view  *table.View
	pos   uint64 // log position of the epoch
	reads readSet
}

// fixedView gives a statement the transaction's one view; the first statement decides which.
//
// The view holds all relations, not only those of the first statement, because a later statement may name others
// and must not see another moment. Failed jobs are left out: nobody could wait for them.
func (t *Txn) fixedView(ctx context.Context, ids []catalog.ID, q *Query) (*table.View, uint64, error) {
	ids, err := q.existing(ids)
	if err != nil {
		return nil, 0, err
	}
	if t.fixed == nil {
		if err := t.fix(ctx, ids, q.MinPos); err != nil {
			return nil, 0, err
		}
	}
	for _, id := range ids {
		if t.fixed.view.Holds(id) {
			continue
		}
		if _, ok := t.e.tables.Completed(id); !ok {
			return nil, 0, t.e.unreadable(id)
		}
		name := "?"
		if r := q.Catalog.Relations[id]; r != nil {
			name = r.Name
		}
		return nil, 0, sqlerr.New(sqlerr.SerializationFailure, "could not serialize access: relation %q could not be read when the transaction's snapshot was taken", name).
			WithHint("The transaction might succeed if retried.")
	}
	return t.fixed.view.Retain(), t.fixed.pos, nil
}

// fix opens the transaction's view. What others write after it stays on record until the transaction ends.
func (t *Txn) fix(ctx context.Context, ids []catalog.ID, minPos uint64) error {
	e := t.e
	minPos = max(minPos, e.startPos)
	for {
		changed := e.progress.changed()
		all := e.running()
		for _, id := range ids {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
		v, ok, err := e.tryView(all, minPos)
		if err != nil && !e.anyGone(ids) {
			continue // one of the others was dropped meanwhile
		}
		if err != nil {
			return err
		}
		if ok {
			pos, pinned := e.dml.pin(v.Epoch)
			if !pinned {
				v.Close()
				continue
			}
			t.pins = append(t.pins, pos)
			t.fixed = &fixed{view: v, pos: pos, reads: readSet{pos: pos}}
			return nil
		}
		e.demand()
		select {
		case <-changed:
		case <-ctx.Done():
			return e.waitError(ctx, all)
		case <-e.ctx.Done():
			return sqlerr.New(sqlerr.AdminShutdown, "terminating connection due to administrator command")
		}
	}
}

// running lists the readable relations whose jobs go on.
func (e *Engine) running() []catalog.ID {
	ids := e.tables.Readable()
	e.call(func(time.Time) {
		ids = slices.DeleteFunc(ids, func(id catalog.ID) bool {
			r := e.jobs[id]
			return r == nil || r.stopped || r.creating
		})
	})
	return ids
}

func (e *Engine) anyGone(ids []catalog.ID) bool {
	for _, id := range ids {
		if _, ok := e.tables.Completed(id); !ok {
			return true
		}
	}
	return false
}

// readSet is what a serializable transaction has read: tables, or ranges of their keys.
type readSet struct {
	pos    uint64 // as of this log position
	tables map[catalog.ID]*tableReads
}

type tableReads struct {
	all    bool
	ranges []key.Range
}

func (s *readSet) of(id catalog.ID) *tableReads {
	if s.tables == nil {
		s.tables = map[catalog.ID]*tableReads{}
	}
	r := s.tables[id]
	if r == nil {
		r = &tableReads{}
		s.tables[id] = r
	}
	return r
}

// whole notes a relation; of a view or an index, that is all tables that it is made from.
func (s *readSet) whole(rels *catalog.Snapshot, id catalog.ID) {
	r := rels.Relations[id]
	if r == nil {
		return
	}
	if r.Kind == catalog.Table {
		x := s.of(id)
		x.all, x.ranges = true, nil
		return
	}
	for _, d := range r.DependsOn {
		s.whole(rels, d)
	}
}

// maxRanges bounds the ranges noted of a table; beyond it, all of the table counts as read.
const maxRanges = 4096

// ranges notes parts of a relation. The keys of a view or an index are not those of the tables below.
func (s *readSet) ranges(rels *catalog.Snapshot, id catalog.ID, rs []key.Range) {
	if r := rels.Relations[id]; r == nil || r.Kind != catalog.Table {
		s.whole(rels, id)
		return
	}
	x := s.of(id)
	if x.all {
		return
	}
	x.ranges = append(x.ranges, rs...)
	if len(x.ranges) > maxRanges {
		x.all, x.ranges = true, nil
	}
}

// key notes one full key.
func (s *readSet) key(id catalog.ID, k []byte) {
	if x := s.of(id); !x.all {
		lo := slices.Clone(k)
		x.ranges = append(x.ranges, key.Range{Lo: lo, Hi: append(slices.Clone(k), 0)})
	}
}

func (s *readSet) has(id catalog.ID, k string) bool {
	x := s.tables[id]
	if x == nil || x.all {
		return x != nil
	}
	for _, r := range x.ranges {
		if k >= string(r.Lo) && k < string(r.Hi) {
			return true
		}
	}
	return false
}
