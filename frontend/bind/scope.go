package bind

import (
	"fmt"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// col is a named column of a frame; idx is its index in the frame's plan.
type col struct {
	name string
	idx  int
}

// item is one entry of a FROM clause: what a qualified name refers to.
type item struct {
	name   string // alias or relation name
	schema string // of an unaliased relation, for schema.rel.col
	rel    string // the relation's own name when an alias hides it
	cols   []col
	// primary lists indexes into cols that make up the primary key, for functional dependence.
	primary []int
	// scalar: a function in FROM with one column of a scalar type; the name alone then means that column.
	scalar bool
	// row is the composite type of a function's rows, where it has a name.
	row sqltypes.Type
	// padded: an outer join may have made a row of NULLs of it, of which the whole row is NULL.
	padded bool
	// access is that of a stored relation, whose columns the item has in their order: reading one needs SELECT on it.
	access *Access
	// self: the working table of the recursive query that is being bound.
	self bool
}

// frame is a plan under construction and the names of its columns.
type frame struct {
	node  plan.Node
	items []*item
	// cols are the columns that * lists and unqualified names find. USING has merged its own; from is the
	// item each came from, nil for a merged one.
	cols []visible
	// hidden are entries that an alias of a join hides.
	hidden []*item
}

type visible struct {
	col
	from *item
}

// scope is what names may refer to at one place; parent is the enclosing query's.
type scope struct {
	id     int
	frame  *frame
	parent *scope
	ctes   *cteList
	// place is the expression context in which a subquery stands, for aggregates in it that belong to this scope; nil: in FROM.
	place *exprCtx
	// params: the frame's columns are a function's parameters, which $1, $2, … name as well.
	params bool
	// sealed: the frame is a neighbour in the same FROM clause that may not be referred to from here.
	sealed bool
}

func (b *binder) newScope(f *frame, parent *scope) *scope {
	b.scopes++
	s := &scope{id: b.scopes, frame: f, parent: parent}
	if parent != nil {
		s.ctes = parent.ctes
	}
	return s
}

// relationScope is a scope with one relation's columns, over no plan.
func (b *binder) relationScope(name string, cols []plan.Column) *scope {
	return b.newScope(newFrame(&plan.Values{Out: cols}, name, ""), nil)
}

// newFrame makes the frame of one relation.
func newFrame(n plan.Node, name, schema string) *frame {
	it := &item{name: name, schema: schema}
	f := &frame{node: n, items: []*item{it}}
	for i, c := range n.Columns() {
		it.cols = append(it.cols, col{c.Name, i})
		f.cols = append(f.cols, visible{col{c.Name, i}, it})
	}
	return f
}

// shifted returns f with all column indexes moved by n; the items are new.
func (f *frame) shifted(n int) *frame {
	moved := make(map[*item]*item, len(f.items))
	g := &frame{node: f.node}
	for _, it := range f.items {
		c := *it
		c.cols = make([]col, len(it.cols))
		for i, x := range it.cols {
			c.cols[i] = col{x.name, x.idx + n}
		}
		moved[it] = &c
		g.items = append(g.items, &c)
	}
	for _, v := range f.cols {
		g.cols = append(g.cols, visible{col{v.name, v.idx + n}, moved[v.from]})
	}
	return g
}

// outerRef is a column of an enclosing query's frame. It lives until the subquery is joined to that frame.
type outerRef struct {
	scope int
	idx   int
	// agg: idx is an aggregate of that query, by its place in the collector, until grouping makes it a column.
	agg  bool
	ty   sqltypes.Type
	name string
	pos  int
}

// Type implements expr.Expr.
func (o *outerRef) Type() sqltypes.Type { return o.ty }

// match is a name that was found.
type match struct {
	idx  int
	name string
	from *item
}

// column resolves a column reference; whole-row references come back as a row.
func (b *binder) column(sc *scope, ref *parser.ColumnRef) expr.Expr {
	parts := ref.Parts
	if len(parts) > 4 {
		fail(sqlerr.New(sqlerr.SyntaxError, "improper qualified name (too many dotted names): %s", dotted(parts)).At(ref.Pos))
	}
	if len(parts) == 1 {
		return b.unqualified(sc, ref)
	}
	name := parts[len(parts)-1]
	schema := ""
	if len(parts) > 2 {
		schema = parts[len(parts)-3]
	}
	table := parts[len(parts)-2]
	it, at := b.findItem(sc, schema, table, ref.Pos)
	if it == nil {
		if e := b.fieldOfColumn(sc, ref); e != nil {
			return e
		}
		if e := b.argument(parts, ref.Pos); e != nil {
			return e
		}
		b.missingTable(sc, parts[:len(parts)-1], ref.Pos)
	}
	var found []match
	for _, c := range it.cols {
		if c.name == name {
			found = append(found, match{c.idx, c.name, it})
		}
	}
	switch len(found) {
	case 0:
		if it.scalar && len(it.cols) == 1 {
			if f := b.field(b.ref(sc, at, match{it.cols[0].idx, it.cols[0].name, it}, ref.Pos), name, ref.Pos); f != nil {
				return f
			}
		}
		e := sqlerr.New(sqlerr.UndefinedColumn, "column %s does not exist", dotted(parts[len(parts)-2:])).At(ref.Pos)
		fail(withColumnHint(e, sc, table, name))
	case 1:
		return b.ref(sc, at, found[0], ref.Pos)
	}
	fail(sqlerr.New(sqlerr.AmbiguousColumn, "column reference %q is ambiguous", name).At(ref.Pos))
	return nil
}

func (b *binder) unqualified(sc *scope, ref *parser.ColumnRef) expr.Expr {
	name := ref.Parts[0]
	for s := sc; s != nil; s = s.parent {
		if s.sealed {
			continue
		}
		var found []match
		for _, v := range s.frame.cols {
			if v.name == name {
				found = append(found, match{v.idx, v.name, v.from})
			}
		}
		if len(found) > 1 {
			fail(sqlerr.New(sqlerr.AmbiguousColumn, "column reference %q is ambiguous", name).At(ref.Pos))
		}
		if len(found) == 1 {
			return b.ref(sc, s, found[0], ref.Pos)
		}
	}
	if it, at := b.findItem(sc, "", name, ref.Pos); it != nil {
		return b.wholeRow(sc, at, it, ref.Pos)
	}
	if e := b.argument(ref.Parts, ref.Pos); e != nil {
		return e
	}
	e := sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", name).At(ref.Pos)
	fail(withColumnHint(e, sc, "", name))
	return nil
}

// ref makes the reference to a column found in scope at, seen from sc.
func (b *binder) ref(sc, at *scope, m match, pos int) expr.Expr {
	m.from.read(m.idx)
	ty := at.frame.node.Columns()[m.idx].Type
	if at == sc {
		c := &expr.Col{Index: m.idx, Ty: ty, Name: m.name}
		b.pos[c] = pos
		return c
	}
	return &outerRef{scope: at.id, idx: m.idx, ty: ty, name: qualifiedName(m), pos: pos}
}

func qualifiedName(m match) string {
	if m.from != nil {
		return m.from.name + "." + m.name
	}
	return m.name
}

// wholeRow makes a row of all columns of an item; a function's scalar result stands for itself.
func (b *binder) wholeRow(sc, at *scope, it *item, pos int) expr.Expr {
	if it.scalar && len(it.cols) == 1 {
		return b.ref(sc, at, match{it.cols[0].idx, it.cols[0].name, it}, pos)
	}
	args := make([]expr.Expr, len(it.cols))
	var row []sqltypes.RowField
	for i, c := range it.cols {
		args[i] = b.ref(sc, at, match{c.idx, c.name, it}, pos)
		row = append(row, sqltypes.RowField{Name: c.name, Type: args[i].Type()})
	}
	ty := sqltypes.StructOf(row)
	if len(it.row.Fields()) == len(row) {
		ty = it.row
	}
	out := &expr.MakeRow{Args: args, Ty: ty}
	if !it.padded || len(args) == 0 {
		return out
	}
	tests := args
	if len(it.primary) > 0 {
		tests = args[it.primary[0] : it.primary[0]+1]
	}
	var some []expr.Expr
	for _, a := range tests {
		some = append(some, &expr.IsNull{Arg: a, Negate: true})
	}
	cond := some[0]
	if len(some) > 1 {
		cond = &expr.BoolOp{Or: true, Args: some}
	}
	return &expr.Case{Whens: []expr.When{{Cond: cond, Then: out}}, Ty: out.Ty}
}

// fieldOfColumn reads a.b, where no table is called a, as field b of column a.
func (b *binder) fieldOfColumn(sc *scope, ref *parser.ColumnRef) expr.Expr {
	if len(ref.Parts) != 2 {
		return nil
	}
	for s := sc; s != nil; s = s.parent {
		for _, v := range s.frame.cols {
			if v.name == ref.Parts[0] && !s.sealed {
				if t := s.frame.node.Columns()[v.idx].Type; t.Kind == sqltypes.KRecord && t.HasFields() {
					return b.field(b.ref(sc, s, match{v.idx, v.name, v.from}, ref.Pos), ref.Parts[1], ref.Pos)
				}
			}
		}
	}
	return nil
}

// field selects a field of a record; nil if there is none of that name.
func (b *binder) field(e expr.Expr, name string, pos int) expr.Expr {
	t := e.Type()
	if t.Kind != sqltypes.KRecord || !t.HasFields() {
		return nil
	}
	for i, f := range t.Fields() {
		if f.Name == name {
			if r, ok := e.(*expr.MakeRow); ok {
				return r.Args[i]
			}
			out := &expr.Field{Arg: e, Index: i, Ty: f.Type}
			b.pos[out] = pos
			return out
		}
	}
	return nil
}

// findItem finds a FROM entry by name in sc and the scopes around it.
func (b *binder) findItem(sc *scope, schema, table string, pos int) (*item, *scope) {
	for s := sc; s != nil; s = s.parent {
		if s.sealed {
			continue
		}
		var found *item
		for _, it := range s.frame.items {
			if it.name != table || schema != "" && it.schema != schema {
				continue
			}
			if found != nil {
				fail(sqlerr.New(sqlerr.AmbiguousAlias, "table reference %q is ambiguous", table).At(pos))
			}
			found = it
		}
		if found != nil {
			return found, s
		}
	}
	return nil, nil
}

// missingTable reports a qualifier that names nothing, or something that cannot be seen from here.
func (b *binder) missingTable(sc *scope, qualifier []string, pos int) {
	table := qualifier[len(qualifier)-1]
	for s := sc; s != nil; s = s.parent {
		unseen := s.frame.hidden
		if s.sealed {
			unseen = append(unseen[:len(unseen):len(unseen)], s.frame.items...)
		}
		for _, it := range unseen {
			if it.name == table {
				fail(sqlerr.New(sqlerr.UndefinedTable, "invalid reference to FROM-clause entry for table %q", table).At(pos).
					WithHint("There is an entry for table %q, but it cannot be referenced from this part of the query.", table))
			}
		}
		for _, it := range s.frame.items {
			if it.rel == table {
				fail(sqlerr.New(sqlerr.UndefinedTable, "invalid reference to FROM-clause entry for table %q", table).At(pos).
					WithHint("Perhaps you meant to reference the table alias %q.", it.name))
			}
		}
	}
	fail(sqlerr.New(sqlerr.UndefinedTable, "missing FROM-clause entry for table %q", table).At(pos))
}

// maxHintDistance is how different a suggested name may be, PostgreSQL's MAX_FUZZY_DISTANCE.
const maxHintDistance = 3

// withColumnHint adds PostgreSQL's suggestion for a misspelt column.
func withColumnHint(e *sqlerr.Error, sc *scope, table, name string) *sqlerr.Error {
	var best []string
	limit := maxHintDistance + 1
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.frame.items {
			penalty := 0
			if table != "" {
				penalty = min(distance(table, it.name), maxHintDistance+1)
			}
			for _, c := range it.cols {
				d := distance(name, c.name)
				if s.sealed && d == 0 {
					return e.WithHint("There is a column named %q in table %q, but it cannot be referenced from this part of the query.", name, it.name)
				}
				if d > len(c.name)/2 || d+penalty > limit {
					continue
				}
				if d+penalty < limit {
					best, limit = nil, d+penalty
				}
				if best = append(best, it.name+"."+c.name); len(best) > 2 {
					best, limit = nil, limit-1
				}
			}
		}
	}
	if limit > maxHintDistance {
		return e
	}
	switch len(best) {
	case 1:
		return e.WithHint("Perhaps you meant to reference the column %q.", best[0])
	case 2:
		return e.WithHint("Perhaps you meant to reference the column %q or the column %q.", best[0], best[1])
	}
	return e
}

// distance is the Levenshtein distance of two names.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		diag := prev[0]
		prev[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diag+cost, prev[j]+1, prev[j+1]+1)
			diag, prev[j+1] = prev[j+1], next
		}
	}
	return prev[len(b)]
}

func dotted(parts []string) string {
	s := parts[0]
	for _, p := range parts[1:] {
		s = fmt.Sprintf("%s.%s", s, p)
	}
	return s
}
