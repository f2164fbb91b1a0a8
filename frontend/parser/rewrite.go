package parser

// Rewrite returns e with change applied to it and everything below it, children first. Where change
// returns its argument, the original node is kept; nodes above a changed one are copied, so e itself
// stays as it was. Subqueries are handed to change but not entered.
func Rewrite(e Expr, change func(Expr) Expr) Expr {
	r := rewriter{change}
	return r.expr(e)
}

type rewriter struct{ change func(Expr) Expr }

// expr rewrites e, which may be nil.
func (r rewriter) expr(e Expr) Expr {
	if e == nil {
		return nil
	}
	return r.change(r.below(e))
}

// list rewrites a list; unchanged, it is returned as it is.
func (r rewriter) list(list []Expr) ([]Expr, bool) {
	var out []Expr
	for i, e := range list {
		x := r.expr(e)
		if x != e && out == nil {
			out = append(make([]Expr, 0, len(list)), list[:i]...)
		}
		if out != nil {
			out = append(out, x)
		}
	}
	if out == nil {
		return list, false
	}
	return out, true
}

// below rewrites the children of e and returns e, or a copy with the new children.
func (r rewriter) below(e Expr) Expr {
	switch e := e.(type) {
	case *Binary:
		return r.binary(e)
	case *BoolOp:
		if args, changed := r.list(e.Args); changed {
			return &BoolOp{e.Loc, e.Kind, args}
		}
	case *FuncCall:
		return r.call(e)
	case *Case:
		return r.caseExpr(e)
	case *In:
		x, list := r.expr(e.X), e.List
		list, changed := r.list(list)
		if changed || x != e.X {
			c := *e
			c.X, c.List = x, list
			return &c
		}
	case *MapLit:
		keys, a := r.list(e.Keys)
		values, b := r.list(e.Values)
		if a || b {
			return &MapLit{e.Loc, keys, values}
		}
	case *ArrayLit:
		if elems, changed := r.list(e.Elems); changed {
			return &ArrayLit{e.Loc, elems}
		}
	case *Row:
		if elems, changed := r.list(e.Elems); changed {
			return &Row{e.Loc, elems, e.Explicit}
		}
	case *Subscript:
		return r.subscript(e)
	default:
		return r.fixed(e)
	}
	return e
}

// fixed rewrites the nodes with a fixed number of operands.
func (r rewriter) fixed(e Expr) Expr {
	switch e := e.(type) {
	case *Unary:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *Not:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *IsTest:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *IsDistinct:
		c := *e
		return pick(e, &c, r.set(&c.L, &c.R))
	case *Between:
		c := *e
		return pick(e, &c, r.set(&c.X, &c.Lo, &c.Hi))
	case *Like:
		c := *e
		return pick(e, &c, r.set(&c.X, &c.Pattern, &c.Escape))
	case *Quantified:
		c := *e
		return pick(e, &c, r.set(&c.X, &c.Array))
	case *AtTimeZone:
		c := *e
		return pick(e, &c, r.set(&c.X, &c.Zone))
	case *Collate:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *Cast:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *FieldSelect:
		c := *e
		return pick(e, &c, r.set(&c.X))
	case *Star:
		c := *e
		return pick(e, &c, r.set(&c.X))
	}
	return e
}

// set rewrites the operands in place and says whether one changed.
func (r rewriter) set(operands ...*Expr) bool {
	changed := false
	for _, p := range operands {
		x := r.expr(*p)
		changed = changed || x != *p
		*p = x
	}
	return changed
}

// pick returns the copy if something changed.
func pick(original, copied Expr, changed bool) Expr {
	if changed {
		return copied
	}
	return original
}

func (r rewriter) binary(e *Binary) Expr {
	c := *e
	return pick(e, &c, r.set(&c.L, &c.R))
}

func (r rewriter) caseExpr(e *Case) Expr {
	c := *e
	c.Whens = append([]When(nil), e.Whens...)
	changed := r.set(&c.Operand)
	for i := range c.Whens {
		changed = r.set(&c.Whens[i].Cond, &c.Whens[i].Result) || changed
	}
	changed = r.set(&c.Else) || changed
	return pick(e, &c, changed)
}

func (r rewriter) subscript(e *Subscript) Expr {
	c := *e
	c.Items = append([]SubscriptItem(nil), e.Items...)
	changed := r.set(&c.X)
	for i := range c.Items {
		changed = r.set(&c.Items[i].Lower, &c.Items[i].Upper) || changed
	}
	return pick(e, &c, changed)
}

func (r rewriter) call(e *FuncCall) Expr {
	c := *e
	c.Args = append([]Arg(nil), e.Args...)
	changed := false
	for i := range c.Args {
		changed = r.set(&c.Args[i].Value) || changed
	}
	var moved bool
	c.OrderBy, moved = r.order(e.OrderBy)
	changed = changed || moved
	c.WithinGroup, moved = r.order(e.WithinGroup)
	changed = changed || moved
	c.PartitionBy, moved = r.list(e.PartitionBy)
	changed = changed || moved
	changed = r.set(&c.Filter) || changed
	c.Over, moved = r.window(e.Over)
	return pick(e, &c, changed || moved)
}

func (r rewriter) order(items []OrderItem) ([]OrderItem, bool) {
	out := append([]OrderItem(nil), items...)
	changed := false
	for i := range out {
		changed = r.set(&out[i].Expr) || changed
	}
	if !changed {
		return items, false
	}
	return out, true
}

func (r rewriter) window(w *WindowSpec) (*WindowSpec, bool) {
	if w == nil {
		return nil, false
	}
	c := *w
	var a, b, d bool
	c.PartitionBy, a = r.list(w.PartitionBy)
	c.OrderBy, b = r.order(w.OrderBy)
	if w.Frame != nil {
		f := *w.Frame
		if d = r.set(&f.Start.X, &f.End.X, &f.Gap); d {
			c.Frame = &f
		}
	}
	if a || b || d {
		return &c, true
	}
	return w, false
}
