package session

import (
	"context"
	"strings"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/killpoint"
	"github.com/millrace/millrace/internal/sqlerr"
)

// txnState is a session's transaction: a block begun by BEGIN, or the implicit one around what is sent
// together.
type txnState struct {
	block bool
	// script: the statement that runs is one of several that were sent together, outside of a block; they take effect together.
	// more: it is not the last one.
	script, more bool
	failed       bool
	queried      bool  // a statement has read or written: too late for another isolation level
	began        int64 // µs since 2000-01-01; 0: none
	writes       *engine.Txn
	redo         []redo
	once         bool   // it cannot be run again
	stage        *stage // what DDL in the block has decided
	saves        []savepoint
}

// savepoint is what ROLLBACK TO goes back to.
type savepoint struct {
	name     string
	mark     engine.Mark
	redo     int
	stage    *stage
	settings settingValues
	cursors  map[string]*cursor
}

// redo runs a data-modifying statement again on another transaction, when a row it read has changed. It
// must give the count that the client was told, if it was told one.
type redo struct {
	count     int64
	silent    bool
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

// levels are the isolation levels; read uncommitted reads what is committed, as in PostgreSQL.
var levels = map[string]engine.Level{"read uncommitted": engine.ReadCommitted, "read committed": engine.ReadCommitted,
	"repeatable read": engine.RepeatableRead, "serializable": engine.Serializable}

func (s *Session) level() engine.Level { return s.settings.often().level }

// pipeline is what is known of the messages of the extended protocol up to the next Sync, which are one transaction as the statements of a
// script are. more: the one that runs may not be the last.
type pipeline struct{ on, more bool }

// Pipelined implements pgwire.Pipelined.
func (s *Session) Pipelined(more bool) { s.pipeline = pipeline{on: true, more: more} }

// EndImplicit implements pgwire.Session.
func (s *Session) EndImplicit(ctx context.Context, failed bool) error {
	s.pipeline = pipeline{}
	if s.txn.block {
		s.txn.failed = s.txn.failed || failed
		s.running("", "idle in transaction")
		if s.txn.failed {
			s.running("", "idle in transaction (aborted)")
		}
		return nil
	}
	defer s.running("", "idle")
	if s.txn.writes == nil && s.txn.stage == nil && len(s.cursors) == 0 && s.settings.undo == nil && len(s.settings.local) == 0 {
		s.txn = txnState{} // it has only read
		return nil
	}
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
	s.settings.endTransaction(true)
	s.endCursors(false)
	s.endFollowers()
}

// conflictTries bounds how often a transaction is run again when others change what it has read.
const conflictTries = 10000

// commit makes the transaction's changes last: first those of the catalog, then the rows written.
func (s *Session) commit(ctx context.Context) error {
	if err := s.holdCursors(ctx); err != nil {
		s.abandon()
		return err
	}
	again := !s.txn.once && (!s.txn.block || s.level() == engine.ReadCommitted) && (s.txn.writes == nil || !s.txn.writes.Locked())
	t := s.txn
	s.txn = txnState{}
	err := s.commitAll(ctx, t, again)
	if t.writes != nil {
		t.writes.Abort() // what it still holds when nothing was written
	}
	s.settings.endTransaction(err != nil)
	s.endCursors(err == nil)
	s.endFollowers()
	return err
}

func (s *Session) commitAll(ctx context.Context, t txnState, again bool) error {
	switch {
	case t.stage == nil:
		return s.commitWrites(ctx, t, again, 0)
	case t.writes == nil || t.writes.Empty():
		done, err := s.commitStage(ctx, &t, 0)
		if err != nil {
			return err
		}
		return done.finish(context.WithoutCancel(ctx))
	}
	return s.commitBlockOf(ctx, t, again)
}

// commitBlockOf commits definitions and rows. They are in two systems, and one decides: the log. The catalog keeps what was before the
// definitions until the block's record is in the log, and after a crash in between puts that back (docs/design/blocks.md).
func (s *Session) commitBlockOf(ctx context.Context, t txnState, again bool) error {
	block, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	s.m.deciding.Lock()
	defer s.m.deciding.Unlock()
	if len(t.stage.reshaped) > 0 { // nobody may log rows in a table's new form before that form is sure to stay
		defer s.m.Engine.HoldWriters(t.writes)()
	}
	done, err := s.commitStage(ctx, &t, block)
	if err != nil {
		return err
	}
	if err := s.commitWrites(ctx, t, again, block); err != nil {
		done.undo(context.WithoutCancel(ctx))
		return err
	}
	killpoint.Here("block: logged")
	ctx = context.WithoutCancel(ctx)
	if err := s.m.Catalog.Decided(ctx, block); err != nil {
		s.m.Logger.Error("a restart will note it", "err", err)
	} else {
		s.m.Engine.DecidedBlock(block)
	}
	killpoint.Here("block: decided")
	return done.finish(ctx)
}

// commitWrites logs the transaction's writes. again: where rows have changed meanwhile its statements are run again,
// as READ COMMITTED does. block is that of definitions that the record decides about, 0 if there are none.
func (s *Session) commitWrites(ctx context.Context, t txnState, again bool, block catalog.ID) error {
	if t.writes == nil {
		return nil
	}
	level := s.level()
	holds := t.stage != nil && len(t.stage.reshaped) > 0
	for try := 0; ; try++ {
		if block != 0 {
			t.writes.Block(block, holds)
		}
		pos, err := t.writes.Commit(ctx)
		if err == nil {
			s.lastPos = max(s.lastPos, pos)
			return nil
		}
		at, ok := engine.Conflict(err)
		if !ok {
			return err
		}
		if try == conflictTries || !again {
			return serializationFailure()
		}
		if err := s.m.Engine.WaitSeen(ctx, at); err != nil {
			return err
		}
		if t.writes, err = s.rerun(ctx, level, t.redo); err != nil {
			return err
		}
	}
}

func (s *Session) rerun(ctx context.Context, level engine.Level, rs []redo) (*engine.Txn, error) {
	txn := s.m.Engine.Begin(level)
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
		if n != r.count && !r.silent {
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
		s.txn.writes = s.m.Engine.Begin(s.level())
		if len(s.txn.saves) > 0 {
			s.txn.writes.Mark() // from here on it can go back
		}
	}
	return s.txn.writes
}

// reads returns the transaction to read with, nil when a statement of its own needs none.
func (s *Session) reads() *engine.Txn {
	s.txn.queried = true
	if s.txn.writes == nil && s.level() == engine.ReadCommitted {
		return nil
	}
	return s.writes()
}

// modifying runs something that writes within the running transaction, and again if others change what it has read.
// silent: nobody is told the count.
func (s *Session) modifying(ctx context.Context, silent bool, run func(ctx context.Context, txn *engine.Txn) (int64, error)) (int64, error) {
	s.txn.queried = true
	n, err := run(ctx, s.writes())
	if err != nil {
		return 0, conflictToError(err)
	}
	s.txn.redo = append(s.txn.redo, redo{count: n, silent: silent, run: run})
	return n, nil
}

// conflictToError words a conflict that a statement has met before the commit.
func conflictToError(err error) error {
	if _, ok := engine.Conflict(err); ok {
		return serializationFailure()
	}
	return err
}

// transaction runs BEGIN, COMMIT, ROLLBACK and their kin.
func (s *Session) transaction(ctx context.Context, st *parser.TransactionStmt) (string, error) {
	switch st.Kind {
	case parser.TxnBegin:
		return s.beginBlock(st)
	case parser.TxnCommit:
		return s.commitBlock(ctx, st)
	case parser.TxnRollback:
		return s.rollbackBlock(st)
	case parser.TxnSet:
		if !s.txn.block {
			s.warn(sqlerr.NoActiveSQLTransaction, "SET TRANSACTION can only be used in transaction blocks")
			return "SET", nil
		}
		return "SET", s.modes(st.Modes)
	case parser.TxnSetSession:
		return "SET", s.defaultModes(st.Modes)
	case parser.TxnSavepoint, parser.TxnRelease, parser.TxnRollbackTo:
		return s.savepoints(st)
	case parser.TxnPrepare:
		s.abandon()
		return "", sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "prepared transactions are disabled").
			WithHint("Millrace has no two-phase commit.")
	case parser.TxnCommitPrepared, parser.TxnRollbackPrepared:
		words := map[parser.TxnKind]string{parser.TxnCommitPrepared: "COMMIT PREPARED", parser.TxnRollbackPrepared: "ROLLBACK PREPARED"}
		if s.txn.block {
			return "", notInBlock(words[st.Kind])
		}
		return "", sqlerr.New(sqlerr.UndefinedObject, "prepared transaction with identifier %q does not exist", st.Name)
	}
	return "", sqlerr.New(sqlerr.InvalidParameterValue, "invalid snapshot identifier: %q", st.Name) // SET TRANSACTION SNAPSHOT
}

// notInBlock is the answer to a statement that must stand alone.
func notInBlock(what string) error {
	return sqlerr.New(sqlerr.ActiveSQLTransaction, "%s cannot run inside a transaction block", what)
}

// onlyInBlock is the answer to a statement that has no meaning outside.
func onlyInBlock(what string) error {
	return sqlerr.New(sqlerr.NoActiveSQLTransaction, "%s can only be used in transaction blocks", what)
}

func (s *Session) beginBlock(st *parser.TransactionStmt) (string, error) {
	tag := "BEGIN"
	if strings.HasPrefix(strings.ToLower(st.Text), "start") {
		tag = "START TRANSACTION"
	}
	if s.txn.block {
		s.warn(sqlerr.ActiveSQLTransaction, "there is already a transaction in progress")
		return tag, s.modes(st.Modes)
	}
	s.txn.block = true // what came before in the same script becomes part of it, as in PostgreSQL
	s.txn.began = time.Now().UnixMicro() - pgEpochMicros
	if err := s.modes(st.Modes); err != nil {
		s.txn.block = false // the implicit transaction fails as a whole
		return "", err
	}
	return tag, nil
}

func (s *Session) commitBlock(ctx context.Context, st *parser.TransactionStmt) (string, error) {
	if !s.txn.block {
		if st.Chain {
			return "", onlyInBlock("COMMIT AND CHAIN")
		}
		s.warn(sqlerr.NoActiveSQLTransaction, "there is no transaction in progress")
		return "COMMIT", nil
	}
	modes := s.chainModes(st)
	if s.txn.failed {
		s.abandon()
		return "ROLLBACK", s.chain(modes)
	}
	if err := s.commit(ctx); err != nil {
		return "", err
	}
	return "COMMIT", s.chain(modes)
}

func (s *Session) rollbackBlock(st *parser.TransactionStmt) (string, error) {
	if !s.txn.block {
		if st.Chain {
			return "", onlyInBlock("ROLLBACK AND CHAIN")
		}
		s.warn(sqlerr.NoActiveSQLTransaction, "there is no transaction in progress")
	}
	modes := s.chainModes(st)
	s.abandon()
	return "ROLLBACK", s.chain(modes)
}

// modes sets the running transaction's modes.
func (s *Session) modes(m parser.TxnModes) error {
	if m.Isolation != "" {
		if err := s.setTransaction("transaction_isolation", strings.ToLower(m.Isolation)); err != nil {
			return err
		}
	}
	if m.ReadOnly != nil {
		if err := s.setTransaction("transaction_read_only", onOff(*m.ReadOnly)); err != nil {
			return err
		}
	}
	if m.Deferrable != nil {
		return s.setTransaction("transaction_deferrable", onOff(*m.Deferrable))
	}
	return nil
}

// setTransaction sets one mode of the running transaction, if it is not too late.
func (s *Session) setTransaction(name, value string) error {
	v, err := s.settings.checked(name, value)
	if err != nil {
		return err
	}
	old := s.settings.must(name)
	switch {
	case v == old:
	case name == "transaction_isolation" && s.txn.queried:
		return sqlerr.New(sqlerr.ActiveSQLTransaction, "SET TRANSACTION ISOLATION LEVEL must be called before any query")
	case name == "transaction_isolation" && len(s.txn.saves) > 0:
		return sqlerr.New(sqlerr.ActiveSQLTransaction, "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction")
	case name == "transaction_read_only" && v == "off" && len(s.txn.saves) > 0:
		return sqlerr.New(sqlerr.ActiveSQLTransaction, "cannot set transaction read-write mode inside a read-only transaction")
	case name == "transaction_read_only" && v == "off" && s.txn.queried:
		return sqlerr.New(sqlerr.ActiveSQLTransaction, "transaction read-write mode must be set before any query")
	case name == "transaction_deferrable" && s.txn.queried:
		return sqlerr.New(sqlerr.ActiveSQLTransaction, "SET TRANSACTION [NOT] DEFERRABLE must be called before any query")
	}
	return s.settings.setLocal(name, v)
}

// defaultModes sets what later transactions begin with.
func (s *Session) defaultModes(m parser.TxnModes) error {
	if m.Isolation != "" {
		if err := s.settings.set("default_transaction_isolation", strings.ToLower(m.Isolation)); err != nil {
			return err
		}
	}
	if m.ReadOnly != nil {
		if err := s.settings.set("default_transaction_read_only", onOff(*m.ReadOnly)); err != nil {
			return err
		}
	}
	if m.Deferrable != nil {
		return s.settings.set("default_transaction_deferrable", onOff(*m.Deferrable))
	}
	return nil
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// chainModes are the modes that AND CHAIN hands on; nil without it.
func (s *Session) chainModes(st *parser.TransactionStmt) map[string]string {
	if !st.Chain {
		return nil
	}
	out := map[string]string{}
	for _, n := range []string{"transaction_isolation", "transaction_read_only", "transaction_deferrable"} {
		out[n] = s.settings.must(n)
	}
	return out
}

func (s *Session) chain(modes map[string]string) error {
	if modes == nil {
		return nil
	}
	s.txn = txnState{block: true, began: time.Now().UnixMicro() - pgEpochMicros}
	for n, v := range modes {
		if err := s.settings.setLocal(n, v); err != nil {
			return err
		}
	}
	return nil
}

// savepoints runs SAVEPOINT, RELEASE and ROLLBACK TO.
func (s *Session) savepoints(st *parser.TransactionStmt) (string, error) {
	tag := map[parser.TxnKind]string{parser.TxnSavepoint: "SAVEPOINT", parser.TxnRelease: "RELEASE SAVEPOINT",
		parser.TxnRollbackTo: "ROLLBACK TO SAVEPOINT"}[st.Kind]
	if !s.txn.block {
		return "", onlyInBlock(tag)
	}
	if st.Kind == parser.TxnSavepoint {
		sp := savepoint{name: st.Name, redo: len(s.txn.redo), stage: s.txn.stage, settings: s.settings.clone(), cursors: map[string]*cursor{}}
		if s.txn.writes != nil {
			sp.mark = s.txn.writes.Mark()
		}
		for n, c := range s.cursors {
			sp.cursors[n] = c
		}
		s.txn.saves = append(s.txn.saves, sp)
		return tag, nil
	}
	at := len(s.txn.saves) - 1
	for at >= 0 && s.txn.saves[at].name != st.Name {
		at--
	}
	if at < 0 {
		return "", sqlerr.New(sqlerr.InvalidSavepoint, "savepoint %q does not exist", st.Name)
	}
	if st.Kind == parser.TxnRelease {
		s.txn.saves = s.txn.saves[:at]
		return "RELEASE", nil
	}
	sp := s.txn.saves[at]
	s.txn.saves = s.txn.saves[:at+1]
	if s.txn.writes != nil {
		s.txn.writes.Rollback(sp.mark)
	}
	s.txn.redo, s.txn.stage, s.txn.failed = s.txn.redo[:min(sp.redo, len(s.txn.redo))], sp.stage, false
	s.settings.restore(sp.settings)
	for n, c := range s.cursors {
		if sp.cursors[n] != c {
			s.closeCursor(n)
		}
	}
	return "ROLLBACK", nil
}

// mayRun refuses statements in a failed transaction block.
func (s *Session) mayRun(ast parser.Stmt) error {
	if !s.txn.failed {
		return nil
	}
	if t, ok := ast.(*parser.TransactionStmt); ok {
		switch t.Kind {
		case parser.TxnCommit, parser.TxnRollback, parser.TxnRollbackTo, parser.TxnPrepare:
			return nil
		}
	}
	return sqlerr.New(sqlerr.InFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}

// mayWrite refuses what changes data or definitions in a read-only transaction.
func (s *Session) mayWrite(what string) error {
	if s.settings.must("transaction_read_only") == "on" {
		return sqlerr.New(sqlerr.ReadOnlySQLTransaction, "cannot execute %s in a read-only transaction", what)
	}
	return nil
}
