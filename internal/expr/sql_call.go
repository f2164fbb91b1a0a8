package expr

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// A call of a function that CREATE FUNCTION … LANGUAGE sql made is replaced by the function's body when it is bound, where that
// is possible. What is left are calls that the session carries out: it runs the body's statements.

// SQLCall is such a call of a function that returns one value.
type SQLCall struct {
	Func   uint32 // id in the catalog
	Name   string
	Args   []Expr
	Strict bool
	// Volatility is at least Stable, so that nothing is computed before the statement runs.
	Volatility Volatility
	Ty         sqltypes.Type
}

// Type implements Expr.
func (e *SQLCall) Type() sqltypes.Type { return e.Ty }

// SQLCaller is a Session that can run functions of CREATE FUNCTION.
type SQLCaller interface {
	Session
	// CallSQL runs the function's statements with arguments of the given types, and calls emit for each row of the last one's
	// result, which has columns of the types cols; for the first row only unless set.
	CallSQL(id uint32, args []sqltypes.Datum, types, cols []sqltypes.Type, set bool, emit func(row []sqltypes.Datum) error) error
}

func (c *Ctx) sqlCaller(name string) (SQLCaller, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	caller, ok := s.(SQLCaller)
	if !ok {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "function %s cannot be called here", name)
	}
	return caller, nil
}

type sqlCallProg struct {
	call  *SQLCall
	args  []Program
	types []sqltypes.Type
	cols  []sqltypes.Type
}

func compileSQLCall(x *SQLCall) (Program, error) {
	p := &sqlCallProg{call: x, cols: []sqltypes.Type{x.Ty}}
	if x.Ty.HasFields() {
		p.cols = nil
		for _, f := range x.Ty.Fields() {
			p.cols = append(p.cols, f.Type)
		}
	}
	for _, a := range x.Args {
		p.types = append(p.types, a.Type())
	}
	var err error
	p.args, err = CompileAll(x.Args)
	return p, err
}

// Eval implements Program. The session may come back to this very Program when functions call themselves, so nothing is kept in it.
func (p *sqlCallProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	vecs := make([]*delta.Vec, len(p.args))
	for i, a := range p.args {
		vecs[i] = a.Eval(c, ch)
	}
	vals := make([]sqltypes.Datum, ch.Rows)
	caller, err := c.sqlCaller(p.call.Name)
	var errs []RowError
	for k := range ch.Len() {
		i := ch.Row(k)
		var v sqltypes.Datum
		rowErr := err
		if rowErr == nil {
			v, rowErr = p.row(caller, vecs, i)
		}
		if rowErr != nil {
			errs = append(errs, RowError{int32(i), sqlerr.From(rowErr)})
			break // whatever the statement does with the error, it calls no function behind it
		}
		vals[i] = v
	}
	c.Errs = append(c.Errs, errs...)
	out := &delta.Vec{Type: p.call.Ty}
	if p.call.Ty.Phys() == sqltypes.PhysBytes {
		out.Offsets = append(make([]int32, 0, ch.Rows+1), 0)
	}
	for _, v := range vals {
		out.AppendDatum(v)
	}
	if ch.Rows == 0 {
		return delta.NewVec(p.call.Ty, 0)
	}
	return out
}

func (p *sqlCallProg) row(s SQLCaller, vecs []*delta.Vec, i int) (out sqltypes.Datum, err error) {
	args := make([]sqltypes.Datum, len(vecs))
	for k, v := range vecs {
		if args[k] = ownDatum(v.Datum(i)); args[k] == nil && p.call.Strict {
			return nil, nil
		}
	}
	err = s.CallSQL(p.call.Func, args, p.types, p.cols, false, func(row []sqltypes.Datum) error {
		if p.call.Ty.HasFields() {
			for _, d := range row {
				if d != nil {
					out = row
				}
			}
			if out == nil {
				return nil
			}
			out = sqlio.EncodeRecord(p.call.Ty, row)
		} else {
			out = ownDatum(row[0])
		}
		return nil
	})
	return out, err
}

// ownDatum copies what would alias a vector.
func ownDatum(d sqltypes.Datum) sqltypes.Datum {
	if b, ok := d.([]byte); ok {
		return bytes.Clone(b)
	}
	return d
}

// sqlTablePrefix begins the Sig of a SQLTableFunc: behind it stand the function's id and, where it returns a set, a word for that.
const sqlTablePrefix = "sql function "

// SQLTableFunc is a call, as a set-returning function, of a function that CREATE FUNCTION made. cols are the columns of the
// rows that it returns.
func SQLTableFunc(id uint32, name string, args []sqltypes.Type, cols []RowCol, set bool, v Volatility) *TableFunc {
	f := &TableFunc{Name: name, Args: args, Cols: cols, Volatility: v}
	f.sig = fmt.Sprintf("%s%d", sqlTablePrefix, id)
	if set {
		f.sig += " set"
	}
	return f
}

// SQLTableFuncBySig finds a SQLTableFunc again; out are the types of its columns.
func SQLTableFuncBySig(sig string, out []sqltypes.Type) (*TableFunc, bool) {
	rest, ok := strings.CutPrefix(sig, sqlTablePrefix)
	if !ok {
		return nil, false
	}
	rest, set := strings.CutSuffix(rest, " set")
	id, err := strconv.ParseUint(rest, 10, 32)
	if err != nil {
		return nil, false
	}
	f := &TableFunc{Name: "function", CalledOnNull: true, Volatility: Volatile, sig: sig}
	f.Eval = func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		caller, err := c.sqlCaller(f.Name)
		if err != nil {
			return err
		}
		own := make([]sqltypes.Datum, len(args))
		for i, d := range args {
			own[i] = ownDatum(d)
		}
		return caller.CallSQL(uint32(id), own, types, out, set, emit)
	}
	return f, true
}
