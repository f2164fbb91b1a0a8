package plan

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

func (n *TableScan) Columns() []Column  { return n.Out }
func (n *SourceScan) Columns() []Column { return n.Out }

// Columns implements Node.
func (n *Capture) Columns() []Column { return nil }

// Columns implements Node.
func (n *CaptureScan) Columns() []Column { return n.Out }
func (n *DML) Columns() []Column         { return n.Out }
func (n *SystemScan) Columns() []Column  { return n.Out }
func (n *Values) Columns() []Column      { return n.Out }
func (n *Filter) Columns() []Column      { return n.Input.Columns() }

// Columns implements Node.
func (n *Project) Columns() []Column {
	out := make([]Column, len(n.Exprs))
	for i, e := range n.Exprs {
		out[i] = Column{n.Names[i], e.Type()}
	}
	return out
}

// Columns implements Node.
func (n *Join) Columns() []Column {
	l := n.Left.Columns()
	if n.Kind >= Semi {
		return l
	}
	return append(l[:len(l):len(l)], n.Right.Columns()...)
}

// Columns implements Node.
func (n *Agg) Columns() []Column {
	in := n.Input.Columns()
	out := make([]Column, 0, len(n.GroupBy)+len(n.Aggs))
	for _, g := range n.GroupBy {
		out = append(out, in[g])
	}
	for _, a := range n.Aggs {
		out = append(out, Column{a.Name, a.Result})
	}
	return out
}

// Columns implements Node.
func (n *TopN) Columns() []Column {
	in := n.Input.Columns()
	if n.RowNumber {
		return append(in[:len(in):len(in)], Column{"row_number", sqltypes.Int8})
	}
	return in
}

func (n *Sort) Columns() []Column  { return n.Input.Columns() }
func (n *Limit) Columns() []Column { return n.Input.Columns() }
func (n *Union) Columns() []Column { return n.Inputs[0].Columns() }
func (n *SetOp) Columns() []Column { return n.Left.Columns() }

// Columns implements Node.
func (n *Window) Columns() []Column {
	in := n.Input.Columns()
	out := in[:len(in):len(in)]
	for _, f := range n.Funcs {
		out = append(out, Column{f.ColName, f.Result})
	}
	return out
}

// Columns implements Node.
func (n *TableFunc) Columns() []Column {
	var out []Column
	if n.Input != nil {
		in := n.Input.Columns()
		out = in[:len(in):len(in)]
	}
	out = append(out, n.Out...)
	if n.WithOrdinality {
		out = append(out, Column{"ordinality", sqltypes.Int8})
	}
	return out
}

// Calls divides arguments among the Parts, which are the library's fns.
func (n *TableFunc) Calls(fns []*expr.TableFunc, args []sqltypes.Datum) []expr.TableCall {
	out := make([]expr.TableCall, len(n.Parts))
	at := 0
	for i, p := range n.Parts {
		out[i] = expr.TableCall{Fn: fns[i], Args: args[at : at+p.Args], Types: make([]sqltypes.Type, p.Args), Cols: p.Cols}
		for k := range p.Args {
			out[i].Types[k] = n.Args[at+k].Type()
		}
		at += p.Args
	}
	return out
}

// Columns implements Node.
func (n *Hop) Columns() []Column {
	in := n.Input.Columns()
	t := in[n.TimeCol].Type
	return append(in[:len(in):len(in)], Column{"window_start", t}, Column{"window_end", t})
}

// Columns implements Node.
func (n *Expand) Columns() []Column {
	in := n.Input.Columns()
	out := in[:len(in):len(in)]
	for _, k := range n.Keys {
		out = append(out, in[k])
	}
	return append(out, Column{"grouping_set", sqltypes.Int8})
}

func (n *Recursive) Columns() []Column   { return n.Init.Columns() }
func (n *WorkTable) Columns() []Column   { return n.Out }
func (n *Shared) Columns() []Column      { return n.Input.Columns() }
func (n *Returned) Columns() []Column    { return n.Out }
func (n *MaxOneRow) Columns() []Column   { return n.Input.Columns() }
func (n *Exchange) Columns() []Column    { return n.Input.Columns() }
func (n *Share) Columns() []Column       { return n.Input.Columns() }
func (n *Materialize) Columns() []Column { return n.Input.Columns() }
func (n *Sink) Columns() []Column        { return n.Input.Columns() }
func (n *Watermark) Columns() []Column   { return n.Input.Columns() }
func (n *EmitOnClose) Columns() []Column { return n.Input.Columns() }

func (n *TableScan) Children() []Node  { return nil }
func (n *SourceScan) Children() []Node { return nil }

// Children implements Node.
func (n *Capture) Children() []Node { return nil }

// Children implements Node.
func (n *CaptureScan) Children() []Node { return nil }
func (n *DML) Children() []Node         { return nil }
func (n *SystemScan) Children() []Node  { return nil }
func (n *Values) Children() []Node      { return nil }
func (n *Filter) Children() []Node      { return []Node{n.Input} }
func (n *Project) Children() []Node     { return []Node{n.Input} }
func (n *Join) Children() []Node        { return []Node{n.Left, n.Right} }
func (n *Agg) Children() []Node         { return []Node{n.Input} }
func (n *TopN) Children() []Node        { return []Node{n.Input} }
func (n *Sort) Children() []Node        { return []Node{n.Input} }
func (n *Limit) Children() []Node       { return []Node{n.Input} }
func (n *Union) Children() []Node       { return n.Inputs }
func (n *SetOp) Children() []Node       { return []Node{n.Left, n.Right} }
func (n *Window) Children() []Node      { return []Node{n.Input} }
func (n *Hop) Children() []Node         { return []Node{n.Input} }
func (n *Expand) Children() []Node      { return []Node{n.Input} }
func (n *Recursive) Children() []Node   { return []Node{n.Init, n.Step} }
func (n *WorkTable) Children() []Node   { return nil }
func (n *Shared) Children() []Node      { return []Node{n.Input} }
func (n *Returned) Children() []Node    { return nil }
func (n *MaxOneRow) Children() []Node   { return []Node{n.Input} }
func (n *Exchange) Children() []Node    { return []Node{n.Input} }
func (n *Share) Children() []Node       { return []Node{n.Input} }
func (n *Materialize) Children() []Node { return []Node{n.Input} }
func (n *Sink) Children() []Node        { return []Node{n.Input} }
func (n *Watermark) Children() []Node   { return []Node{n.Input} }
func (n *EmitOnClose) Children() []Node { return []Node{n.Input} }

// Children implements Node.
func (n *TableFunc) Children() []Node {
	if n.Input == nil {
		return nil
	}
	return []Node{n.Input}
}

func (n *TableScan) WithChildren([]Node) Node  { return n }
func (n *SourceScan) WithChildren([]Node) Node { return n }

// WithChildren implements Node.
func (n *Capture) WithChildren([]Node) Node { return n }

// WithChildren implements Node.
func (n *CaptureScan) WithChildren([]Node) Node   { return n }
func (n *DML) WithChildren([]Node) Node           { return n }
func (n *SystemScan) WithChildren([]Node) Node    { return n }
func (n *Values) WithChildren([]Node) Node        { return n }
func (n *Filter) WithChildren(c []Node) Node      { m := *n; m.Input = c[0]; return &m }
func (n *Project) WithChildren(c []Node) Node     { m := *n; m.Input = c[0]; return &m }
func (n *Join) WithChildren(c []Node) Node        { m := *n; m.Left, m.Right = c[0], c[1]; return &m }
func (n *Agg) WithChildren(c []Node) Node         { m := *n; m.Input = c[0]; return &m }
func (n *TopN) WithChildren(c []Node) Node        { m := *n; m.Input = c[0]; return &m }
func (n *Sort) WithChildren(c []Node) Node        { m := *n; m.Input = c[0]; return &m }
func (n *Limit) WithChildren(c []Node) Node       { m := *n; m.Input = c[0]; return &m }
func (n *Union) WithChildren(c []Node) Node       { return &Union{c} }
func (n *SetOp) WithChildren(c []Node) Node       { m := *n; m.Left, m.Right = c[0], c[1]; return &m }
func (n *Window) WithChildren(c []Node) Node      { m := *n; m.Input = c[0]; return &m }
func (n *Hop) WithChildren(c []Node) Node         { m := *n; m.Input = c[0]; return &m }
func (n *Expand) WithChildren(c []Node) Node      { m := *n; m.Input = c[0]; return &m }
func (n *Recursive) WithChildren(c []Node) Node   { m := *n; m.Init, m.Step = c[0], c[1]; return &m }
func (n *WorkTable) WithChildren([]Node) Node     { return n }
func (n *Shared) WithChildren(c []Node) Node      { m := *n; m.Input = c[0]; return &m }
func (n *Returned) WithChildren([]Node) Node      { return n }
func (n *MaxOneRow) WithChildren(c []Node) Node   { m := *n; m.Input = c[0]; return &m }
func (n *Exchange) WithChildren(c []Node) Node    { m := *n; m.Input = c[0]; return &m }
func (n *Share) WithChildren(c []Node) Node       { m := *n; m.Input = c[0]; return &m }
func (n *Materialize) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }
func (n *Sink) WithChildren(c []Node) Node        { m := *n; m.Input = c[0]; return &m }
func (n *Watermark) WithChildren(c []Node) Node   { m := *n; m.Input = c[0]; return &m }
func (n *EmitOnClose) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }

// WithChildren implements Node.
func (n *TableFunc) WithChildren(c []Node) Node {
	m := *n
	if len(c) > 0 {
		m.Input = c[0]
	}
	return &m
}

// Types lists the column types of a node.
func Types(n Node) []sqltypes.Type {
	cols := n.Columns()
	ts := make([]sqltypes.Type, len(cols))
	for i := range cols {
		ts[i] = cols[i].Type
	}
	return ts
}

// Transform rebuilds a tree bottom-up: f sees each node after its children.
func Transform(n Node, f func(Node) Node) Node {
	ch := n.Children()
	next := make([]Node, len(ch))
	changed := false
	for i, c := range ch {
		next[i] = Transform(c, f)
		changed = changed || next[i] != c
	}
	if changed {
		n = n.WithChildren(next)
	}
	return f(n)
}

// Walk visits n and everything below it, parents first, while f returns true.
func Walk(n Node, f func(Node) bool) {
	if !f(n) {
		return
	}
	for _, c := range n.Children() {
		Walk(c, f)
	}
}

// Exprs lists the expressions directly in a node.
func Exprs(n Node) []expr.Expr {
	switch x := n.(type) {
	case *Filter:
		return []expr.Expr{x.Cond}
	case *Project:
		return x.Exprs
	case *Join:
		if x.Cond != nil {
			return []expr.Expr{x.Cond}
		}
	case *TemporalJoin:
		if x.Cond != nil {
			return []expr.Expr{x.Cond}
		}
	case *DynamicFilter:
		return []expr.Expr{x.Cond}
	case *TableFunc:
		return x.Args
	case *Watermark:
		return []expr.Expr{x.Bound}
	case *Values:
		var out []expr.Expr
		for _, r := range x.Rows {
			out = append(out, r...)
		}
		return out
	case *TableScan:
		var out []expr.Expr
		for _, r := range x.Lookup {
			out = append(out, r...)
		}
		return out
	case *Limit:
		var out []expr.Expr
		for _, e := range []expr.Expr{x.Limit, x.Offset} {
			if e != nil {
				out = append(out, e)
			}
		}
		return out
	}
	return nil
}

// MapExprs returns n with f applied to each expression directly in it.
func MapExprs(n Node, f func(expr.Expr) expr.Expr) Node {
	all := func(es []expr.Expr) []expr.Expr {
		out := make([]expr.Expr, len(es))
		for i, e := range es {
			out[i] = f(e)
		}
		return out
	}
	switch x := n.(type) {
	case *Filter:
		return &Filter{x.Input, f(x.Cond)}
	case *Project:
		return &Project{x.Input, all(x.Exprs), x.Names}
	case *Join:
		if x.Cond == nil {
			return n
		}
		m := *x
		m.Cond = f(x.Cond)
		return &m
	case *DynamicFilter:
		m := *x
		m.Cond = f(x.Cond)
		return &m
	case *TemporalJoin:
		if x.Cond == nil {
			return n
		}
		m := *x
		m.Cond = f(x.Cond)
		return &m
	case *TableFunc:
		m := *x
		m.Args = all(x.Args)
		return &m
	case *Watermark:
		m := *x
		m.Bound = f(x.Bound)
		return &m
	case *Values:
		m := *x
		m.Rows = make([][]expr.Expr, len(x.Rows))
		for i, r := range x.Rows {
			m.Rows[i] = all(r)
		}
		return &m
	case *TableScan:
		if x.Lookup == nil {
			return n
		}
		m := *x
		m.Lookup = make([][]expr.Expr, len(x.Lookup))
		for i, r := range x.Lookup {
			m.Lookup[i] = all(r)
		}
		return &m
	case *Limit:
		m := *x
		if x.Limit != nil {
			m.Limit = f(x.Limit)
		}
		if x.Offset != nil {
			m.Offset = f(x.Offset)
		}
		return &m
	}
	return n
}
