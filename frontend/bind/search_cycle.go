package bind

import (
	"slices"
	"strconv"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// traced is the state of binding SEARCH and CYCLE of a recursive query. What they say of a row is computed from what they say of the row
// that it was found from, so the working table has columns for it, which only we can name, and the recursive term hands them on.
type traced struct {
	*binder
	c     parser.CTE
	names []string // of the query's own columns
	mark  [2]expr.Expr
	carry []string // hidden columns of the working table
}

// Names of hidden columns: of no use in SQL text.
const (
	hiddenOrder = "*SEARCH*" // DEPTH: the rows on the way to a row
	hiddenDepth = "*DEPTH*"  // BREADTH: their number
	hiddenMark  = "*MARK*"
	hiddenPath  = "*PATH*"
)

// hides reports whether a column is one that * leaves out.
func hides(name string) bool {
	return name == hiddenOrder || name == hiddenDepth || name == hiddenMark || name == hiddenPath
}

// trace begins; init is the non-recursive term under the names of the query's columns.
func (b *binder) trace(c parser.CTE, u *parser.SetOp, init plan.Node) *traced {
	t := &traced{binder: b, c: c}
	for _, col := range init.Columns() {
		t.names = append(t.names, col.Name)
	}
	for _, side := range []struct {
		q    parser.QueryBody
		name string
	}{{u.Left, "left"}, {u.Right, "right"}} {
		if _, ok := side.q.(*parser.Select); !ok {
			fail(sqlerr.New(sqlerr.FeatureNotSupported, "with a SEARCH or CYCLE clause, the %s side of the UNION must be a SELECT", side.name).At(c.Pos))
		}
	}
	if !slices.ContainsFunc(u.Right.(*parser.Select).From, func(r parser.TableRef) bool { return t.alias(r) != "" }) {
		fail(sqlerr.New(sqlerr.FeatureNotSupported,
			"with a SEARCH or CYCLE clause, the recursive reference to WITH query %q must be at the top level of its right-hand SELECT", c.Name).At(c.Pos))
	}
	taken := func(id parser.Ident, what string) {
		if slices.Contains(t.names, id.Name) {
			fail(sqlerr.New(sqlerr.SyntaxError, "%s column name %q already used in WITH query column list", what, id.Name).At(id.Pos))
		}
	}
	if s := c.Search; s != nil {
		t.listed(s.Columns, "search")
		taken(s.Set, "search sequence")
		t.carry = append(t.carry, map[bool]string{false: hiddenOrder, true: hiddenDepth}[s.Breadth])
	}
	if y := c.Cycle; y != nil {
		t.listed(y.Columns, "cycle")
		taken(y.Mark, "cycle mark")
		taken(y.Path, "cycle path")
		switch {
		case y.Mark.Name == y.Path.Name:
			fail(sqlerr.New(sqlerr.SyntaxError, "cycle mark column name and cycle path column name are the same").At(y.Pos))
		case c.Search != nil && c.Search.Set.Name == y.Mark.Name:
			fail(sqlerr.New(sqlerr.SyntaxError, "search sequence column name and cycle mark column name are the same").At(c.Search.Pos))
		case c.Search != nil && c.Search.Set.Name == y.Path.Name:
			fail(sqlerr.New(sqlerr.SyntaxError, "search sequence column name and cycle path column name are the same").At(c.Search.Pos))
		}
		t.carry = append(t.carry, hiddenMark, hiddenPath)
		t.mark = [2]expr.Expr{expr.True(), &expr.Const{Ty: sqltypes.Bool, Val: false}}
		if y.To != nil {
			x := b.ctx(b.newScope(&frame{node: oneRow()}, nil), "CYCLE")
			to, not := x.bind(y.To), x.bind(y.Default)
			ty := b.commonType("CYCLE", []typed{{to, y.To.At()}, {not, y.Default.At()}})
			t.mark = [2]expr.Expr{b.convert(to, ty, y.To.At()), b.convert(not, ty, y.Default.At())}
			b.mustBeComparable(ty, y.To.At())
		}
	}
	return t
}

func (b *binder) convert(e expr.Expr, t sqltypes.Type, pos int) expr.Expr {
	out, ok := b.coerce(e, t, implicit, pos)
	if !ok {
		fail(sqlerr.New(sqlerr.CannotCoerce, "CYCLE could not convert type %s to %s", e.Type().Base(), t.Base()).At(pos))
	}
	return out
}

// listed checks the columns that a clause names.
func (t *traced) listed(ids []parser.Ident, what string) {
	for i, id := range ids {
		n := 0
		for _, name := range t.names {
			if name == id.Name {
				n++
			}
		}
		switch {
		case n == 0:
			fail(sqlerr.New(sqlerr.SyntaxError, "%s column %q not in WITH query column list", what, id.Name).At(t.clause(what)))
		case slices.ContainsFunc(ids[:i], func(o parser.Ident) bool { return o.Name == id.Name }):
			fail(sqlerr.New(sqlerr.DuplicateColumn, "%s column %q specified more than once", what, id.Name).At(t.clause(what)))
		}
	}
}

func (t *traced) clause(what string) int {
	if what == "cycle" {
		return t.c.Cycle.Pos
	}
	return t.c.Search.Pos
}

// alias is the name of the recursive reference among a FROM item and what it joins; "" if it is not there.
func (t *traced) alias(ref parser.TableRef) string {
	switch x := ref.(type) {
	case *parser.RelRef:
		switch {
		case len(x.Name.Parts) != 1 || x.Name.Last() != t.c.Name:
		case x.Alias != nil && x.Alias.Name != "":
			return x.Alias.Name
		default:
			return t.c.Name
		}
	case *parser.JoinRef:
		if a := t.alias(x.Left); a != "" {
			return a
		}
		return t.alias(x.Right)
	}
	return ""
}

// step is the recursive term with the hidden columns behind its own.
func (t *traced) step(s *parser.Select) *parser.Select {
	alias := ""
	for _, r := range s.From {
		if alias == "" {
			alias = t.alias(r)
		}
	}
	out := *s
	out.Targets = slices.Clone(s.Targets)
	for _, name := range t.carry {
		out.Targets = append(out.Targets, parser.Target{Expr: &parser.ColumnRef{Loc: s.Loc, Parts: []string{alias, name}}, Alias: name})
	}
	return &out
}

// begin adds the hidden columns of the first rows to the non-recursive term.
func (t *traced) begin(n plan.Node) plan.Node {
	return t.extend(n, func(name string) expr.Expr {
		switch name {
		case hiddenOrder:
			return t.one(n, t.c.Search.Columns)
		case hiddenDepth:
			return &expr.Const{Ty: sqltypes.Int8, Val: int64(0)}
		case hiddenMark:
			return t.mark[1]
		}
		return t.one(n, t.c.Cycle.Columns)
	})
}

// next computes the hidden columns of the rows that n, the bound recursive term, yields behind what it hands on, and drops those that were
// found from a row that closes a cycle.
func (t *traced) next(n plan.Node) plan.Node {
	width := len(t.names)
	carried := func(name string) expr.Expr {
		i := width + slices.Index(t.carry, name)
		return &expr.Col{Index: i, Ty: n.Columns()[i].Type, Name: name}
	}
	if t.c.Cycle != nil {
		n = &plan.Filter{Input: n, Cond: t.apply("<>", carried(hiddenMark), t.mark[0])}
	}
	return t.extend(n, func(name string) expr.Expr {
		old := carried(name)
		switch name {
		case hiddenOrder:
			return t.apply("||", old, t.one(n, t.c.Search.Columns))
		case hiddenDepth:
			return t.apply("+", old, &expr.Const{Ty: sqltypes.Int8, Val: int64(1)})
		case hiddenMark:
			path := carried(hiddenPath)
			found := t.apply("@>", path, t.one(n, t.c.Cycle.Columns))
			return &expr.Case{Whens: []expr.When{{Cond: found, Then: t.mark[0]}}, Else: t.mark[1], Ty: t.mark[0].Type()}
		}
		return t.apply("||", old, t.one(n, t.c.Cycle.Columns))
	})
}

// end gives the recursive query's columns their names.
func (t *traced) end(n plan.Node) plan.Node {
	width := len(t.names)
	es, names := columnExprs(n, 0, width)
	p := &plan.Project{Input: n, Exprs: es, Names: names}
	col := func(name string) expr.Expr {
		i := width + slices.Index(t.carry, name)
		return &expr.Col{Index: i, Ty: n.Columns()[i].Type, Name: name}
	}
	if s := t.c.Search; s != nil {
		e := expr.Expr(nil)
		if s.Breadth {
			e = t.row(n, s.Columns, col(hiddenDepth))
		} else {
			e = col(hiddenOrder)
		}
		p.Exprs, p.Names = append(p.Exprs, e), append(p.Names, s.Set.Name)
	}
	if y := t.c.Cycle; y != nil {
		p.Exprs, p.Names = append(p.Exprs, col(hiddenMark), col(hiddenPath)), append(p.Names, y.Mark.Name, y.Path.Name)
	}
	return p
}

func (t *traced) extend(n plan.Node, value func(name string) expr.Expr) plan.Node {
	es, _ := columnExprs(n, 0, len(t.names))
	p := &plan.Project{Input: n, Exprs: es, Names: slices.Clone(t.names)}
	for _, name := range t.carry {
		p.Exprs, p.Names = append(p.Exprs, value(name)), append(p.Names, name)
	}
	return p
}

// row is a row of columns of n, which are by name among the query's own, behind others.
func (t *traced) row(n plan.Node, ids []parser.Ident, first ...expr.Expr) expr.Expr {
	args := slices.Clone(first)
	for _, id := range ids {
		i := slices.Index(t.names, id.Name)
		args = append(args, &expr.Col{Index: i, Ty: n.Columns()[i].Type, Name: id.Name})
	}
	out := &expr.MakeRow{Args: args}
	var fields []sqltypes.RowField
	for i, a := range args {
		fields = append(fields, sqltypes.RowField{Name: "f" + strconv.Itoa(i+1), Type: a.Type()})
	}
	out.Ty = sqltypes.StructOf(fields)
	return out
}

// one is an array of one such row.
func (t *traced) one(n plan.Node, ids []parser.Ident) expr.Expr {
	r := t.row(n, ids)
	return &expr.MakeArray{Args: []expr.Expr{r}, Ty: sqltypes.ArrayOf(r.Type())}
}

// apply is an operator of the library.
func (t *traced) apply(op string, l, r expr.Expr) expr.Expr { return t.operator(op, t.c.Pos, l, r) }
