package session

import (
	"context"
	"sort"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// named is a statement that PREPARE or the protocol made.
type named struct {
	*prepared  // nil: an empty statement
	name, text string
	made       time.Time
	sql        bool // by PREPARE
}

// Named implements pgwire.Session.
func (s *Session) Named(name string) (sql string, p pgwire.Prepared, ok bool) {
	n := s.stmts[name]
	if n == nil {
		return "", nil, false
	}
	if n.prepared == nil {
		return n.text, nil, true
	}
	return n.text, n.prepared, true
}

// Keep implements pgwire.Session.
func (s *Session) Keep(name, sql string, p pgwire.Prepared) {
	n := &named{name: name, text: sql, made: time.Now()}
	n.prepared, _ = p.(*prepared)
	s.stmts[name] = n
}

// Drop implements pgwire.Session.
func (s *Session) Drop(name string) { delete(s.stmts, name) }

// PreparedInfo describes a prepared statement for pg_prepared_statements.
type PreparedInfo struct {
	Name, Statement string
	Made            time.Time
	Params          []sqltypes.Type
	BySQL           bool // made by PREPARE, not by the protocol
}

// PreparedStatements lists what PREPARE made, by name.
func (s *Session) PreparedStatements() []PreparedInfo {
	var out []PreparedInfo
	for _, p := range s.stmts {
		i := PreparedInfo{Name: p.name, Statement: p.text, Made: p.made, BySQL: p.sql}
		if p.prepared != nil {
			i.Params = p.params
		}
		out = append(out, i)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// prepareNamed runs PREPARE.
func (s *Session) prepareNamed(ctx context.Context, st statement, x *parser.PrepareStmt) error {
	if _, dup := s.stmts[x.Name]; dup {
		return sqlerr.New(sqlerr.DuplicatePreparedStatement, "prepared statement %q already exists", x.Name)
	}
	var oids []uint32
	for _, t := range x.Types {
		ty, err := s.typeOf(t)
		if err != nil {
			return err
		}
		oids = append(oids, ty.OID())
	}
	p, err := s.Prepare(ctx, statement{text: st.text, ast: x.Stmt}, oids)
	if err != nil {
		return err
	}
	s.stmts[x.Name] = &named{p.(*prepared), x.Name, st.text, time.Now(), true}
	return nil
}

// executeNamed runs EXECUTE.
func (s *Session) executeNamed(ctx context.Context, x *parser.ExecuteStmt) (pgwire.Rows, error) {
	p := s.stmts[x.Name]
	if p == nil || p.prepared == nil {
		return nil, sqlerr.New(sqlerr.InvalidSQLStatementName, "prepared statement %q does not exist", x.Name)
	}
	if len(x.Args) != len(p.params) {
		return nil, sqlerr.New(sqlerr.SyntaxError, "wrong number of parameters for prepared statement %q", x.Name).
			WithDetail("Expected %d parameters but got %d.", len(p.params), len(x.Args))
	}
	args := make([]sqltypes.Datum, len(x.Args))
	for i, a := range x.Args {
		v, err := s.constant(a, p.params[i])
		if err != nil {
			e := *sqlerr.From(err)
			e.Offset = 0 // it counts in the text of the argument alone
			return nil, e.At(a.At())
		}
		args[i] = v
	}
	portal, err := p.Bind(ctx, args)
	if err != nil {
		return nil, err
	}
	return portal.Execute(ctx)
}

func (s *Session) deallocate(x *parser.DeallocateStmt) error {
	if s.stmts[x.Name] == nil {
		return sqlerr.New(sqlerr.InvalidSQLStatementName, "prepared statement %q does not exist", x.Name)
	}
	delete(s.stmts, x.Name)
	return nil
}
