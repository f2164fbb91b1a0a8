package session

import (
	"context"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/sqlerr"
)

// txnState is a session's transaction: a block begun by BEGIN, or the implicit one around what is sent
// together.
type txnState struct {
	block  bool
	failed bool
	began  int64 // µs since 2000-01-01; 0: none
	writes *engine.Txn
	redo   []redo
	rdonly bool
}

// redo runs a data-modifying statement again on another transaction, when a row it read has changed. It
// must give the count that the client was told.
type redo struct {
	count     int64
	returning bool
	run       func(ctx context.Context, txn *engine.Txn) (int64, error)
}

func (t *txnState) status() byte {
	switch {
	case t.failed:
		return 'E'
	case t.block:
		return 'T'
	}
	return 'I'
}

// EndImplicit implements pgwire.Session.
func (s *Session) EndImplicit(ctx context.Context, failed bool) error {
	defer s.running("", "idle")
	if s.txn.block {
		s.txn.failed = s.txn.failed || failed
		return nil
	}
	defer s.settings.endLocal()
	if failed {
		s.abandon()
		return nil
	}
	return s.commit(ctx)
}

// abandon drops the transaction and what it has written.
func (s *Session) abandon() {
	if s.txn.writes != nil {
		s.txn.writes.Abort()
	}
	s.txn = txnState{}
}

// conflictTries bounds how often a transaction is run again when others change what it has read.
const conflictTries = 10000

// commit logs the transaction's writes, running its statements again where rows have changed meanwhile, as
// READ COMMITTED does.
func (s *Session) commit(ctx context.Context) error {
	t := s.txn
	s.txn = txnState{}
	s.closeCursors()
	if t.writes == nil {
		return nil
	}
	for try := 0; ; try++ {
		pos, err := t.writes.Commit(ctx)
		if err == nil {
			s.lastPos = max(s.lastPos, pos)
			return nil
		}
		at, ok := engine.Conflict(err)
		if !ok {
			return err
		}
		if try == conflictTries {
			return serializationFailure()
		}
		if err := s.m.Engine.WaitSeen(ctx, at); err != nil {
			return err
		}
		if t.writes, err = s.rerun(ctx, t.redo); err != nil {
			return err
		}
	}
}

func (s *Session) rerun(ctx context.Context, rs []redo) (*engine.Txn, error) {
	txn := s.m.Engine.Begin()
	done := false
	defer func() {
		if !done {
			txn.Abort()
		}
	}()
	for _, r := range rs {
		if r.returning {
			return nil, serializationFailure()
		}
		n, err := r.run(ctx, txn)
		if err != nil {
			return nil, err
		}
		if n != r.count {
			return nil, serializationFailure()
		}
	}
	done = true
	return txn, nil
}

func serializationFailure() error {
	return sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to concurrent update").
		WithHint("The transaction might succeed if retried.")
}

// writes returns the transaction to write to.
func (s *Session) writes() *engine.Txn {
	if s.txn.writes == nil {
		s.txn.writes = s.m.Engine.Begin()
	}
	return s.txn.writes
}

// transaction runs BEGIN, COMMIT, ROLLBACK and their kin.
func (s *Session) transaction(ctx context.Context, st *parser.TransactionStmt) (string, error) {
	switch st.Kind {
	case parser.TxnBegin:
		if s.txn.block {
			s.warn(sqlerr.ActiveSQLTransaction, "there is already a transaction in progress")
			return "BEGIN", nil
		}
		s.txn.block = true // what came before in the same script becomes part of it, as in PostgreSQL
		s.txn.began = time.Now().UnixMicro() - pgEpochMicros
		s.modes(st.Modes)
		return "BEGIN", nil
	case parser.TxnCommit:
		if !s.txn.block {
			s.warn(sqlerr.NoActiveSQLTransaction, "there is no transaction in progress")
			return "COMMIT", nil
		}
		defer s.settings.endLocal()
		if s.txn.failed {
			s.abandon()
			s.closeCursors()
			return "ROLLBACK", nil
		}
		if err := s.commit(ctx); err != nil {
			return "", err
		}
		return "COMMIT", s.chain(st)
	case parser.TxnRollback:
		if !s.txn.block {
			s.warn(sqlerr.NoActiveSQLTransaction, "there is no transaction in progress")
		}
		s.abandon()
		s.closeCursors()
		s.settings.endLocal()
		return "ROLLBACK", s.chain(st)
	case parser.TxnSet:
		s.modes(st.Modes)
		return "SET", nil
	case parser.TxnSetSession:
		if st.Modes.Isolation != "" {
			return "SET", s.settings.set("default_transaction_isolation", st.Modes.Isolation)
		}
		return "SET", nil
	}
	if words := map[parser.TxnKind]string{parser.TxnSavepoint: "SAVEPOINT", parser.TxnRelease: "RELEASE SAVEPOINT",
		parser.TxnRollbackTo: "ROLLBACK TO SAVEPOINT"}[st.Kind]; words != "" && !s.txn.block {
		return "", sqlerr.New(sqlerr.NoActiveSQLTransaction, "%s can only be used in transaction blocks", words)
	}
	return "", sqlerr.New(sqlerr.FeatureNotSupported, "savepoints and two-phase commit are not supported").At(st.Src().Pos)
}

func (s *Session) modes(m parser.TxnModes) {
	if m.ReadOnly != nil {
		s.txn.rdonly = *m.ReadOnly
	}
}

func (s *Session) chain(st *parser.TransactionStmt) error {
	if st.Chain {
		s.txn = txnState{block: true, began: time.Now().UnixMicro() - pgEpochMicros}
	}
	return nil
}

// mayRun refuses statements in a failed transaction block.
func (s *Session) mayRun(ast parser.Stmt) error {
	if !s.txn.failed {
		return nil
	}
	if t, ok := ast.(*parser.TransactionStmt); ok && (t.Kind == parser.TxnCommit || t.Kind == parser.TxnRollback) {
		return nil
	}
	return sqlerr.New(sqlerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}
