package parser

// Walk calls visit for n and, while visit returns true, for everything below it: expressions, queries,
// their bodies and FROM items, and the statements and queries inside statements. Order: parents first,
// children as written. Nil nodes are not visited.
func Walk(n Node, visit func(Node) bool) {
	if !visit(n) {
		return
	}
	children(n, func(c Node) { Walk(c, visit) })
}

// WalkExpr is Walk over one expression: it does not enter subqueries, but visits the *Subquery itself
// and the left side of IN (SELECT …).
func WalkExpr(e Expr, visit func(Expr) bool) {
	if !visit(e) {
		return
	}
	children(e, func(c Node) {
		if x, ok := c.(Expr); ok {
			WalkExpr(x, visit)
		}
	})
}

// children calls visit for each child of n that is present.
func children(n Node, visit func(Node)) {
	switch n := n.(type) {
	case Expr:
		exprChildren(n, walker{visit})
	case *Query:
		queryChildren(n, walker{visit})
	case QueryBody:
		bodyChildren(n, walker{visit})
	case TableRef:
		tableChildren(n, walker{visit})
	case Stmt:
		stmtChildren(n, walker{visit})
	}
}

// walker visits children that may be absent. An interface that holds a nil pointer is not nil, hence a
// method for each type.
type walker struct{ visit func(Node) }

func (w walker) expr(list ...Expr) {
	for _, e := range list {
		if e != nil {
			w.visit(e)
		}
	}
}

func (w walker) query(q *Query) {
	if q != nil {
		w.visit(q)
	}
}

func (w walker) stmt(s Stmt) {
	if s != nil {
		w.visit(s)
	}
}

func (w walker) order(items []OrderItem) {
	for _, o := range items {
		w.expr(o.Expr)
	}
}

func (w walker) targets(list []Target) {
	for _, t := range list {
		w.expr(t.Expr)
	}
}

func (w walker) refs(list []TableRef) {
	for _, r := range list {
		w.visit(r)
	}
}

func (w walker) with(with *With) {
	if with == nil {
		return
	}
	for _, c := range with.CTEs {
		w.query(c.Query)
		w.stmt(c.DML)
		if c.Cycle != nil {
			w.expr(c.Cycle.To, c.Cycle.Default)
		}
	}
}

func exprChildren(e Expr, w walker) {
	switch e := e.(type) {
	case *Star:
		w.expr(e.X)
		w.expr(e.Except...)
	case *Unary:
		w.expr(e.X)
	case *Binary:
		w.expr(e.L, e.R)
	case *BoolOp:
		w.expr(e.Args...)
	case *Not:
		w.expr(e.X)
	case *IsTest:
		w.expr(e.X)
	case *IsDistinct:
		w.expr(e.L, e.R)
	case *Between:
		w.expr(e.X, e.Lo, e.Hi)
	case *In:
		w.expr(e.X)
		w.expr(e.List...)
		w.query(e.Query)
	case *Like:
		w.expr(e.X, e.Pattern, e.Escape)
	case *Quantified:
		w.expr(e.X, e.Array)
		w.query(e.Query)
	case *AtTimeZone:
		w.expr(e.X, e.Zone)
	case *Collate:
		w.expr(e.X)
	case *Cast:
		w.expr(e.X)
	default:
		operandChildren(e, w)
	}
}

func operandChildren(e Expr, w walker) {
	switch e := e.(type) {
	case *Subscript:
		w.expr(e.X)
		for _, item := range e.Items {
			w.expr(item.Lower, item.Upper)
		}
	case *FieldSelect:
		w.expr(e.X)
	case *Case:
		w.expr(e.Operand)
		for _, when := range e.Whens {
			w.expr(when.Cond, when.Result)
		}
		w.expr(e.Else)
	case *MapLit:
		w.expr(e.Keys...)
		w.expr(e.Values...)
	case *ArrayLit:
		w.expr(e.Elems...)
	case *Row:
		w.expr(e.Elems...)
	case *Subquery:
		w.query(e.Query)
	case *FuncCall:
		for _, a := range e.Args {
			w.expr(a.Value)
		}
		w.order(e.OrderBy)
		w.expr(e.PartitionBy...)
		w.order(e.WithinGroup)
		w.expr(e.Filter)
		w.window(e.Over)
	}
}

func (w walker) window(spec *WindowSpec) {
	if spec == nil {
		return
	}
	w.expr(spec.PartitionBy...)
	w.order(spec.OrderBy)
	if f := spec.Frame; f != nil {
		w.expr(f.Start.X, f.End.X, f.Gap)
	}
}

func queryChildren(q *Query, w walker) {
	w.with(q.With)
	w.visit(q.Body)
	w.order(q.OrderBy)
	w.expr(q.Limit, q.Offset)
}

func bodyChildren(b QueryBody, w walker) {
	switch b := b.(type) {
	case *SetOp:
		w.visit(b.Left)
		w.visit(b.Right)
	case *Values:
		for _, row := range b.Rows {
			w.expr(row...)
		}
	case *Select:
		w.expr(b.DistinctOn...)
		w.targets(b.Targets)
		w.refs(b.From)
		w.expr(b.Where)
		w.groups(b.GroupBy)
		w.expr(b.Having)
		for _, def := range b.Windows {
			w.window(def.Spec)
		}
	}
}

func (w walker) groups(list []GroupItem) {
	for _, g := range list {
		w.expr(g.Exprs...)
		w.groups(g.Sets)
	}
}

func tableChildren(r TableRef, w walker) {
	switch r := r.(type) {
	case *RelRef:
		w.expr(r.AsOf)
		if r.Sample != nil {
			w.expr(r.Sample.Args...)
			w.expr(r.Sample.Repeatable)
		}
	case *SubqueryRef:
		w.query(r.Query)
	case *FuncRef:
		for _, item := range r.Funcs {
			w.expr(item.Call)
		}
	case *JoinRef:
		w.visit(r.Left)
		w.visit(r.Right)
		w.expr(r.On)
	}
}

func stmtChildren(s Stmt, w walker) {
	switch s := s.(type) {
	case *SelectStmt:
		w.query(s.Query)
	case *InsertStmt:
		w.with(s.With)
		w.query(s.Query)
		if c := s.OnConflict; c != nil {
			w.expr(c.TargetWhere)
			w.set(c.Update)
			w.expr(c.Where)
		}
		w.targets(s.Returning)
	case *UpdateStmt:
		w.with(s.With)
		w.set(s.Set)
		w.refs(s.From)
		w.expr(s.Where)
		w.targets(s.Returning)
	case *DeleteStmt:
		w.with(s.With)
		w.refs(s.Using)
		w.expr(s.Where)
		w.targets(s.Returning)
	case *MergeStmt:
		w.with(s.With)
		w.visit(s.Using)
		w.expr(s.On)
		for _, when := range s.Whens {
			w.expr(when.Cond)
			w.set(when.Set)
			w.expr(when.Values...)
		}
	case *CopyStmt:
		w.query(s.Query)
		w.stmt(s.DML)
		if s.Subscribe != nil {
			w.stmt(s.Subscribe)
		}
		w.expr(s.Where)
	case *ExplainStmt:
		w.stmt(s.Stmt)
	case *PrepareStmt:
		w.stmt(s.Stmt)
	case *ExecuteStmt:
		w.expr(s.Args...)
	case *DeclareStmt:
		w.query(s.Query)
		w.expr(s.Since)
		if s.Subscribe != nil {
			w.stmt(s.Subscribe)
		}
	case *SubscribeStmt:
		w.query(s.Query)
		w.expr(s.AsOf, s.UpTo)
	default:
		createChildren(s, w)
	}
}

func (w walker) set(list []SetClause) {
	for _, c := range list {
		for _, col := range c.Columns {
			for _, step := range col.Path {
				w.expr(step.Subscript.Lower, step.Subscript.Upper)
			}
		}
		w.expr(c.Value)
	}
}

func createChildren(s Stmt, w walker) {
	switch s := s.(type) {
	case *CreateTableStmt:
		w.elements(&s.TableElements)
		if s.Validate != nil {
			w.expr(s.Validate.Expr)
		}
		w.query(s.Query)
	case *CreateSourceStmt:
		w.elements(&s.TableElements)
	case *CreateViewStmt:
		w.query(s.Query)
	case *CreateMatViewStmt:
		w.query(s.Query)
	case *CreateSinkStmt:
		w.query(s.Query)
	case *CreateIndexStmt:
		for _, e := range s.Elems {
			w.expr(e.Expr)
		}
		w.expr(s.DistributedBy...)
		w.expr(s.Where)
	case *CreateFunctionStmt:
		for _, p := range s.Params {
			w.expr(p.Default)
		}
		w.expr(s.Return)
		for _, st := range s.Atomic {
			w.stmt(st)
		}
	case *CreateDomainStmt:
		for _, c := range s.Constraints {
			w.expr(c.Expr)
		}
	case *AlterStmt:
		for i := range s.Actions {
			w.action(&s.Actions[i])
		}
	case *ShowStmt:
		w.expr(s.Where)
	}
}

func (w walker) elements(e *TableElements) {
	for i := range e.Columns {
		w.column(&e.Columns[i])
	}
	for _, c := range e.Constraints {
		w.expr(c.Expr)
	}
	for _, m := range e.Watermarks {
		w.expr(m.Expr)
	}
}

func (w walker) column(c *ColumnDef) {
	for _, con := range c.Constraints {
		w.expr(con.Expr)
	}
}

func (w walker) action(a *AlterAction) {
	w.expr(a.Expr)
	w.query(a.Query)
	if a.Column != nil {
		w.column(a.Column)
	}
	if a.Constraint != nil {
		w.expr(a.Constraint.Expr)
	}
	if a.Watermark != nil {
		w.expr(a.Watermark.Expr)
	}
}
