package session

import (
	"context"
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
)

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
	q, txn := s.query2(), s.reads()
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
