// Package expr is the one expression language and function library of Millrace: constant folding, the
// batch engine and the streaming engine all evaluate through it, so they cannot disagree.
//
// The idea: an Expr is a plain, typed, serialisable tree. Compile turns it, once per job or query, into
// a Program that evaluates whole chunks column by column under a selection. Functions are entries of
// explicit tables, one family a file; an entry carries its signature, null behaviour, volatility, doc
// line and kernel.
//
// Exprs are immutable. A Program and its Ctx belong to one goroutine.
//
// Errors are data: a row whose evaluation fails yields NULL and a RowError in the Ctx; the caller
// decides what that means (a batch query fails, a stream follows its policy). AND, OR, CASE and
// COALESCE evaluate their later operands only for rows that need them.
//
// It does not resolve names or overloads (frontend/bind does). Start at Expr, Func and Compile.
package expr

import (
	"github.com/millrace/millrace/internal/sqltypes"
)

// Expr is a typed expression. The planner adds node types of its own (subqueries, outer references),
// which are gone before Compile.
type Expr interface {
	// Type is the type of the value.
	Type() sqltypes.Type
}

// Col is a column of the input.
type Col struct {
	Index int
	Ty    sqltypes.Type
	Name  string // for EXPLAIN and error messages only
}

// Const is a literal; Val nil is NULL.
type Const struct {
	Ty  sqltypes.Type
	Val sqltypes.Datum
}

// Param is a statement parameter, $Index from 1. Execution replaces it by a Const.
type Param struct {
	Index int
	Ty    sqltypes.Type
}

// Call is a function or operator call. Sig names an entry of the library (see Func.Sig).
type Call struct {
	Sig  string
	Args []Expr
	Ty   sqltypes.Type
}

// Cast converts Arg to Ty, modifier included. Explicit casts truncate strings, others raise 22001.
type Cast struct {
	Arg      Expr
	Ty       sqltypes.Type
	Explicit bool
}

// BoolOp is an n-ary AND or OR in three-valued logic.
type BoolOp struct {
	Or   bool
	Args []Expr
}

// Not is NOT.
type Not struct{ Arg Expr }

// IsNull is IS NULL, or IS NOT NULL when Negate. On a record it follows PostgreSQL's row rule.
type IsNull struct {
	Arg    Expr
	Negate bool
}

// When is one branch of a Case.
type When struct{ Cond, Then Expr }

// Case is a searched CASE; the binder turns the simple form into this one. Else nil means NULL.
type Case struct {
	Whens []When
	Else  Expr
	Ty    sqltypes.Type
}

// Coalesce returns its first argument that is not NULL.
type Coalesce struct {
	Args []Expr
	Ty   sqltypes.Type
}

// InList is Arg = ANY of constants of Arg's type (NOT IN when Negate), decided by one hash lookup.
// Vals holds no NULL; HasNull says that the list had one.
type InList struct {
	Arg     Expr
	Vals    []sqltypes.Datum
	HasNull bool
	Negate  bool
}

// AnyAll is `Left op ANY(Array)` or `op ALL(Array)`; Sig names the boolean comparison over
// (left type, element type).
type AnyAll struct {
	Sig   string
	Left  Expr
	Array Expr
	All   bool
}

// MakeArray is ARRAY[…] over elements of one type; Nested: the elements are arrays themselves.
type MakeArray struct {
	Args   []Expr
	Ty     sqltypes.Type
	Nested bool
}

// MakeRow is ROW(…).
type MakeRow struct {
	Args []Expr
	Ty   sqltypes.Type
}

// Field selects field Index (from 0) of a record.
type Field struct {
	Arg   Expr
	Index int
	Ty    sqltypes.Type
}

func (e *Col) Type() sqltypes.Type       { return e.Ty }
func (e *Const) Type() sqltypes.Type     { return e.Ty }
func (e *Param) Type() sqltypes.Type     { return e.Ty }
func (e *Call) Type() sqltypes.Type      { return e.Ty }
func (e *Cast) Type() sqltypes.Type      { return e.Ty }
func (e *BoolOp) Type() sqltypes.Type    { return sqltypes.Bool }
func (e *Not) Type() sqltypes.Type       { return sqltypes.Bool }
func (e *IsNull) Type() sqltypes.Type    { return sqltypes.Bool }
func (e *Case) Type() sqltypes.Type      { return e.Ty }
func (e *Coalesce) Type() sqltypes.Type  { return e.Ty }
func (e *InList) Type() sqltypes.Type    { return sqltypes.Bool }
func (e *AnyAll) Type() sqltypes.Type    { return sqltypes.Bool }
func (e *MakeArray) Type() sqltypes.Type { return e.Ty }
func (e *MakeRow) Type() sqltypes.Type   { return e.Ty }
func (e *Field) Type() sqltypes.Type     { return e.Ty }

// Parent is implemented by node types outside this package that have children.
type Parent interface {
	Expr
	Children() []Expr
	// WithChildren returns a copy with other children, in the order of Children.
	WithChildren([]Expr) Expr
}

// Children lists the direct operands of e in evaluation order.
func Children(e Expr) []Expr {
	switch x := e.(type) {
	case *Call:
		return x.Args
	case *SQLCall:
		return x.Args
	case *Cast:
		return []Expr{x.Arg}
	case *ToDomain:
		return []Expr{x.Arg}
	case *BoolOp:
		return x.Args
	case *Not:
		return []Expr{x.Arg}
	case *IsNull:
		return []Expr{x.Arg}
	case *Case:
		var out []Expr
		for _, w := range x.Whens {
			out = append(out, w.Cond, w.Then)
		}
		if x.Else != nil {
			out = append(out, x.Else)
		}
		return out
	case *Coalesce:
		return x.Args
	case *InList:
		return []Expr{x.Arg}
	case *AnyAll:
		return []Expr{x.Left, x.Array}
	case *MakeArray:
		return x.Args
	case *MakeRow:
		return x.Args
	case *Field:
		return []Expr{x.Arg}
	case Parent:
		return x.Children()
	}
	return nil
}

func withChildren(e Expr, ch []Expr) Expr {
	switch x := e.(type) {
	case *Call:
		return &Call{x.Sig, ch, x.Ty}
	case *SQLCall:
		c := *x
		c.Args = ch
		return &c
	case *Cast:
		return &Cast{ch[0], x.Ty, x.Explicit}
	case *ToDomain:
		return &ToDomain{ch[0], x.Ty, x.Rules, x.Explicit}
	case *BoolOp:
		return &BoolOp{x.Or, ch}
	case *Not:
		return &Not{ch[0]}
	case *IsNull:
		return &IsNull{ch[0], x.Negate}
	case *Case:
		c := &Case{Whens: make([]When, len(x.Whens)), Ty: x.Ty}
		for i := range c.Whens {
			c.Whens[i] = When{ch[2*i], ch[2*i+1]}
		}
		if x.Else != nil {
			c.Else = ch[len(ch)-1]
		}
		return c
	case *Coalesce:
		return &Coalesce{ch, x.Ty}
	case *InList:
		return &InList{ch[0], x.Vals, x.HasNull, x.Negate}
	case *AnyAll:
		return &AnyAll{x.Sig, ch[0], ch[1], x.All}
	case *MakeArray:
		return &MakeArray{ch, x.Ty, x.Nested}
	case *MakeRow:
		return &MakeRow{ch, x.Ty}
	case *Field:
		return &Field{ch[0], x.Index, x.Ty}
	case Parent:
		return x.WithChildren(ch)
	}
	return e
}

// Transform rebuilds e bottom-up: f sees each node after its children were transformed. Nodes whose
// children did not change are passed on as they are.
func Transform(e Expr, f func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	return f(MapChildren(e, func(c Expr) Expr { return Transform(c, f) }))
}

// MapChildren returns e with f applied to each child, e itself if f changes none.
func MapChildren(e Expr, f func(Expr) Expr) Expr {
	ch := Children(e)
	var next []Expr
	for i, c := range ch {
		t := f(c)
		if t != c && next == nil {
			next = append(make([]Expr, 0, len(ch)), ch[:i]...)
		}
		if next != nil {
			next = append(next, t)
		}
	}
	if next != nil {
		e = withChildren(e, next)
	}
	return e
}

// Walk calls f for e and, while f returns true, for everything below it.
func Walk(e Expr, f func(Expr) bool) {
	if e == nil || !f(e) {
		return
	}
	for _, c := range Children(e) {
		Walk(c, f)
	}
}

// Columns reports to f the index of every input column that e reads.
func Columns(e Expr, f func(index int)) {
	Walk(e, func(x Expr) bool {
		if c, ok := x.(*Col); ok {
			f(c.Index)
		}
		return true
	})
}

// MapColumns renumbers the input columns of e.
func MapColumns(e Expr, f func(index int) int) Expr {
	return Transform(e, func(x Expr) Expr {
		if c, ok := x.(*Col); ok {
			if i := f(c.Index); i != c.Index {
				return &Col{i, c.Ty, c.Name}
			}
		}
		return x
	})
}

// Conjuncts splits e at its top-level ANDs.
func Conjuncts(e Expr) []Expr {
	if e == nil {
		return nil
	}
	if b, ok := e.(*BoolOp); ok && !b.Or {
		var out []Expr
		for _, a := range b.Args {
			out = append(out, Conjuncts(a)...)
		}
		return out
	}
	return []Expr{e}
}

// And joins conjuncts again; nil for none.
func And(es []Expr) Expr {
	switch len(es) {
	case 0:
		return nil
	case 1:
		return es[0]
	}
	return &BoolOp{Args: es}
}

// Null returns a NULL of type t.
func Null(t sqltypes.Type) *Const { return &Const{Ty: t} }

// True is the constant true.
func True() *Const { return &Const{Ty: sqltypes.Bool, Val: true} }
