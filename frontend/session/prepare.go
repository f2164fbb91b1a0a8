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

// named is a statement that PREPARE made.
type named struct {
	*prepared
	name, text string
	made       time.Time
}

// PreparedInfo describes a prepared statement for pg_prepared_statements.
type PreparedInfo struct {
	Name, Statement string
	Made            time.Time
	Params          []sqltypes.Type
}

// PreparedStatements lists what PREPARE made, by name.
func (s *Session) PreparedStatements() []PreparedInfo {
	var out []PreparedInfo
	for _, p := range s.stmts {
		out = append(out, PreparedInfo{p.name, p.text, p.made, p.params})
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
	p, err := s.Prepare(ctx, statement{st.text, x.Stmt}, oids)
	if err != nil {
		return err
	}
	s.stmts[x.Name] = &named{p.(*prepared), x.Name, st.text, time.Now()}
	return nil
}

// executeNamed runs EXECUTE.
func (s *Session) executeNamed(ctx context.Context, x *parser.ExecuteStmt) (pgwire.Rows, error) {
	p := s.stmts[x.Name]
	if p == nil {
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
