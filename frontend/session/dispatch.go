package session

import (
	"context"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// utility runs a statement that is not a query or DML.
func (s *Session) utility(ctx context.Context, st statement) (pgwire.Rows, error) {
	tag := func(t string, err error) (pgwire.Rows, error) {
		if err != nil {
			return nil, err
		}
		return &done{tag: t}, nil
	}
	if isDDL(st.ast) {
		return tag(s.ddl(ctx, st))
	}
	switch x := st.ast.(type) {
	case *parser.TransactionStmt:
		return tag(s.transaction(ctx, x))
	case *parser.SetStmt:
		return tag("SET", s.setParameter(x))
	case *parser.ResetStmt:
		return tag("RESET", s.resetParameter(x))
	case *parser.TruncateStmt:
		return tag("TRUNCATE TABLE", s.truncate(ctx, x))
	case *parser.FetchStmt:
		return s.fetch(ctx, x)
	case *parser.CloseStmt:
		return s.closeNamed(x)
	case *parser.ShowStmt:
		return s.show(ctx, x)
	case *parser.DescribeStmt:
		return s.describe(x)
	case *parser.ExplainStmt:
		return s.explain(ctx, x)
	case *parser.FlushStmt:
		return tag("FLUSH", s.flush(ctx))
	case *parser.CheckpointStmt:
		return tag("CHECKPOINT", s.m.Engine.Checkpoint(ctx))
	case *parser.RecoverStmt:
		if s.txn.block {
			return nil, notInBlock("RECOVER")
		}
		return tag("RECOVER", s.m.Engine.Recover(ctx))
	case *parser.WaitStmt:
		return tag("WAIT", s.m.Engine.WaitLogged(ctx))
	case *parser.PrepareStmt:
		return tag("PREPARE", s.prepareNamed(ctx, st, x))
	case *parser.ExecuteStmt:
		return s.executeNamed(ctx, x)
	case *parser.DeallocateStmt:
		if x.Name == "" {
			clear(s.stmts)
			return tag("DEALLOCATE ALL", nil)
		}
		return tag("DEALLOCATE", s.deallocate(x))
	case *parser.DiscardStmt:
		return tag("DISCARD "+x.What, s.discard(x))
	case *parser.UseStmt:
		if x.Database.Name != s.Database() {
			return nil, sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", x.Database.Name).At(x.Database.Pos)
		}
		return tag("USE", nil)
	case *parser.KillStmt:
		return tag("KILL", s.kill(x))
	case *parser.LockStmt:
		return tag("LOCK TABLE", s.lock(ctx, x))
	case *parser.AnalyzeStmt:
		return tag("ANALYZE", nil)
	case *parser.VacuumStmt:
		if s.txn.block {
			return nil, notInBlock("VACUUM")
		}
		return tag("VACUUM", nil)
	case *parser.DoStmt:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "DO is not supported").At(x.Pos).
			WithHint("There are no procedural languages; CREATE FUNCTION … LANGUAGE sql is supported.")
	case *parser.ListenStmt, *parser.NotifyStmt:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "LISTEN and NOTIFY are not supported").At(st.ast.Src().Pos)
	case *parser.UnlistenStmt:
		return tag("UNLISTEN", nil)
	}
	return nil, unsupported(st.ast)
}

func unsupported(ast parser.Stmt) error {
	words := ast.Src().Text
	if len(words) > 40 {
		words = words[:40] + "…"
	}
	return sqlerr.New(sqlerr.FeatureNotSupported, "this statement is not supported: %s", words).At(ast.Src().Pos)
}

// utilityColumns describes the result of a utility statement; nil: none.
func (s *Session) utilityColumns(ast parser.Stmt) []pgwire.Column {
	switch x := ast.(type) {
	case *parser.ShowStmt:
		return showColumns(x)
	case *parser.DescribeStmt:
		return describeColumns
	case *parser.ExplainStmt:
		return []pgwire.Column{{Name: "QUERY PLAN", Type: sqltypes.Text}}
	case *parser.ExecuteStmt:
		if p := s.stmts[x.Name]; p != nil && p.prepared != nil {
			return p.columns
		}
	case *parser.FetchStmt:
		if c := s.cursors[x.Cursor]; c != nil && !x.Move {
			return c.columns
		}
		if f := s.followers[x.Cursor]; f != nil && !x.Move {
			return f.columns
		}
	}
	return nil
}

func (s *Session) flush(ctx context.Context) error {
	if err := s.commitBefore(ctx); err != nil {
		return err
	}
	return s.m.Engine.Flush(ctx)
}

// commitBefore ends the implicit transaction, for statements that cannot be part of one.
func (s *Session) commitBefore(ctx context.Context) error {
	if s.txn.block {
		return nil
	}
	return s.commit(ctx)
}

func (s *Session) kill(x *parser.KillStmt) error {
	var pid uint32
	for _, c := range x.ID {
		if c < '0' || c > '9' {
			return sqlerr.New(sqlerr.InvalidParameterValue, "invalid process id %q", x.ID).At(x.Pos)
		}
		pid = pid*10 + uint32(c-'0')
	}
	if err := s.maySignal(pid, true); err != nil {
		return err
	}
	if !s.m.CancelSession(pid, true) {
		return sqlerr.New(sqlerr.UndefinedObject, "there is no session with process id %s", x.ID).At(x.Pos)
	}
	return nil
}

func (s *Session) setParameter(x *parser.SetStmt) error {
	if x.Default {
		return s.resetParameter(&parser.ResetStmt{Name: x.Name})
	}
	var parts []string
	for _, v := range x.Values {
		text, ok := parser.Option{Value: v}.Text()
		if !ok {
			text = parser.Format(v)
		}
		if x.Name == "search_path" {
			text = `"` + text + `"`
		}
		parts = append(parts, text)
	}
	value := ""
	for i, p := range parts {
		if i > 0 {
			value += ", "
		}
		value += p
	}
	if x.Name == "search_path" {
		value = tidyPath(parts)
	}
	if _, p := canonical(x.Name); p != nil && p.follows != "" {
		return s.setTransaction(p.name, value)
	}
	if x.Local && !s.txn.block {
		s.warn(sqlerr.NoActiveSQLTransaction, "SET LOCAL can only be used in transaction blocks")
		_, err := s.settings.checked(x.Name, value)
		return err
	}
	switch x.Name {
	case "role":
		return s.setRole(value, x.Local)
	case "session_authorization":
		return s.setSessionUser(value, x.Local)
	}
	return s.settings.assign(x.Name, value, x.Local)
}

// tidyPath writes a search path without needless quotes.
func tidyPath(quoted []string) string {
	out := ""
	for i, q := range quoted {
		if i > 0 {
			out += ", "
		}
		out += parser.QuoteIdent(q[1 : len(q)-1])
	}
	return out
}

func (s *Session) resetParameter(x *parser.ResetStmt) error {
	switch x.Name {
	case "":
	case "role":
		return s.setRole("none", false)
	case "session_authorization":
		return s.setSessionUser("", false)
	default:
		return s.settings.reset(x.Name)
	}
	for name := range s.settings.vals {
		if p := findParam(name); p != nil && (p.fixed || p.name == "role") {
			continue
		}
		if err := s.settings.reset(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) discard(x *parser.DiscardStmt) error {
	if s.txn.block && x.What == "ALL" {
		return notInBlock("DISCARD ALL")
	}
	if x.What == "ALL" || x.What == "PLANS" {
		clear(s.stmts)
	}
	if x.What == "ALL" {
		s.closeCursors()
		s.closeFollowers()
		if err := s.setSessionUser("", false); err != nil {
			return err
		}
		return s.resetParameter(&parser.ResetStmt{})
	}
	return nil
}
