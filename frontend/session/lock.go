package session

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
)

// HeldLock is a claim of a transaction on a table, as pg_locks shows it. Nobody waits for one.
type HeldLock struct {
	Relation catalog.ID
	Mode     string // such as RowExclusiveLock
}

// noteLocks notes what a statement of a block claims, for pg_locks.
func (s *Session) noteLocks(p *portal) {
	for _, a := range p.p.access {
		switch {
		case a.Rights == "r":
			s.noteLock(a.Rel, "AccessShareLock")
		case p.b.locks != "" && strings.Contains(a.Rights, "w"):
			s.noteLock(a.Rel, "RowShareLock")
		case strings.ContainsAny(a.Rights, "awd"):
			s.noteLock(a.Rel, "RowExclusiveLock")
		}
	}
}

func (s *Session) noteLock(id catalog.ID, mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := HeldLock{id, mode}
	if !slices.Contains(s.locks, l) {
		s.locks = append(slices.Clip(s.locks), l)
	}
}

// lockMode is how pg_locks calls a mode of LOCK TABLE.
func lockMode(words string) string {
	var b strings.Builder
	for _, w := range strings.Fields(words) {
		b.WriteString(w[:1] + strings.ToLower(w[1:]))
	}
	return b.String() + "Lock"
}

// sharing are the modes of LOCK TABLE that others' writes do not break.
var sharing = []string{"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"}

// lock runs LOCK TABLE. Nobody waits for anybody here: what the lock promises, that others do not write to the table
// before the transaction ends, is checked when it commits.
func (s *Session) lock(ctx context.Context, x *parser.LockStmt) error {
	if !s.txn.block {
		return onlyInBlock("LOCK TABLE")
	}
	var ids []catalog.ID
	for _, n := range x.Tables {
		r, err := s.find(s.snapshot(), n)
		if err != nil {
			return err
		}
		ids = append(ids, r.ID)
		s.noteLock(r.ID, lockMode(x.Mode))
	}
	s.txn.queried = true
	if slices.Contains(sharing, x.Mode) {
		return nil
	}
	return s.writes().Lock(ctx, ids, s.query2())
}

// runQuery starts a query in the running transaction. What SELECT FOR UPDATE and its kin read must be the same when the
// transaction commits.
func (s *Session) runQuery(ctx context.Context, b bound) (*engine.Rows, error) {
	if err := s.settle(ctx, b); err != nil {
		return nil, err
	}
	q, txn := s.queryOf(b), s.reads()
	if b.verify != nil {
		s.asStream(q, b.verify)
	}
	if b.locks != "" {
		if err := s.mayWrite("SELECT " + b.locks); err != nil {
			return nil, err
		}
		if s.txn.block {
			q.Lock, txn = true, s.writes()
		}
	}
	return s.m.Engine.Run(ctx, txn, b.query, q)
}
