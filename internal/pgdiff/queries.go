package pgdiff

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Queries makes random queries over random tables. A query is a tree of nodes, so that one that is answered wrongly
// can be made smaller. Its answers never depend on what SQL leaves open: integers do not overflow, division is
// by what is not zero, windows are ordered by unique columns, and LIMIT follows an order of all output columns.
type Queries struct {
	*rand.Rand
	tables []relation
	n      int // names given
}

type relation struct {
	name string
	cols []column
}

// column is a column in scope: its name with the relation's alias, and what kind of value it has.
type column struct{ name, kind string }

// node is a piece of SQL: text with %s for each of kids. kind is int, num, text, bool, date or ts for expressions,
// and empty for anything else.
type node struct {
	kind string
	text string
	kids []*node
	// optional pieces may be left out altogether.
	optional bool
	// least is the simplest piece of the kind.
	least string
}

func (n *node) String() string {
	args := make([]any, len(n.kids))
	for i, k := range n.kids {
		args[i] = k.String()
	}
	return fmt.Sprintf(n.text, args...)
}

func raw(format string, args ...any) *node {
	return &node{text: strings.ReplaceAll(fmt.Sprintf(format, args...), "%", "%%")}
}

// joined puts list together with a separator; each but the first may be left out in shrinking.
func joined(sep string, list []*node) *node {
	out := &node{}
	for i, k := range list {
		text := "%s"
		if i > 0 {
			text = sep + "%s"
		}
		out.kids = append(out.kids, &node{text: text, kids: []*node{k}, optional: i > 0})
		out.text += "%s"
	}
	return out
}

func (g *Queries) chance(percent int) bool { return g.IntN(100) < percent }

func (g *Queries) name(prefix string) string {
	g.n++
	return fmt.Sprintf("%s%d", prefix, g.n)
}

var kindTypes = map[string][]string{"int": {"int", "bigint", "smallint"}, "num": {"numeric(10,2)"}, "text": {"text", "varchar(10)"}, "bool": {"boolean"}, "date": {"date"}, "ts": {"timestamp", "timestamptz"}}

var kinds = []string{"int", "int", "num", "text", "text", "bool", "date", "ts"}

// Schema returns the statements that make new tables with rows in them, after those that drop the last ones.
func (g *Queries) Schema() []string {
	var out []string
	for _, t := range g.tables {
		out = append(out, "DROP TABLE IF EXISTS "+t.name)
	}
	g.tables = nil
	for i := range 3 {
		t := relation{name: fmt.Sprintf("t%d", i), cols: []column{{"id", "int"}}}
		defs := []string{"id int PRIMARY KEY"}
		for c := range 4 + g.IntN(3) {
			col := column{fmt.Sprintf("c%d", c), kinds[g.IntN(len(kinds))]}
			if c == 0 {
				col.kind = "int"
			}
			t.cols = append(t.cols, col)
			defs = append(defs, col.name+" "+pick(g.Rand, kindTypes[col.kind]))
		}
		out = append(out, "DROP TABLE IF EXISTS "+t.name, fmt.Sprintf("CREATE TABLE %s (%s)", t.name, strings.Join(defs, ", ")))
		var rows []string
		for id := range 3 + g.IntN(15) {
			row := []string{fmt.Sprint(id)}
			for _, c := range t.cols[1:] {
				row = append(row, g.nullable(c.kind))
			}
			rows = append(rows, "("+strings.Join(row, ", ")+")")
		}
		out = append(out, fmt.Sprintf("INSERT INTO %s VALUES %s", t.name, strings.Join(rows, ", ")))
		g.tables = append(g.tables, t)
	}
	return out
}

func (g *Queries) literal(kind string) string {
	switch kind {
	case "int":
		return fmt.Sprint(g.IntN(9) - 2)
	case "num":
		return fmt.Sprintf("%d.%02d", g.IntN(20)-5, g.IntN(4)*25)
	case "text":
		return quote(pick(g.Rand, []string{"", "a", "b", "ab", "Abc", "zürich", "a b", "%", "_", "é"}))
	case "bool":
		return pick(g.Rand, []string{"true", "false"})
	case "date":
		return fmt.Sprintf("date '2024-02-%02d'", 26+g.IntN(4))
	}
	return fmt.Sprintf("timestamp '2024-02-%02d %02d:30:00'", 27+g.IntN(3), g.IntN(24))
}

func (g *Queries) nullable(kind string) string {
	if g.chance(18) {
		return "NULL"
	}
	return strings.TrimPrefix(strings.TrimPrefix(g.literal(kind), "date "), "timestamp ")
}

// scope is what expressions may refer to: columns, and outside them those of enclosing queries.
type scope struct {
	cols  []column
	ids   []string // columns that together are unique
	outer *scope
	agg   bool // expressions stand beside GROUP BY: columns only inside aggregates
	depth int  // of subqueries
}

func (s *scope) of(kind string) (out []string) {
	for _, c := range s.cols {
		if c.kind == kind {
			out = append(out, c.name)
		}
	}
	return out
}

func (g *Queries) leaf(s *scope, kind string) *node {
	n := &node{kind: kind, least: g.literal(kind)}
	have := s.of(kind)
	if s.outer != nil && g.chance(25) {
		have = s.outer.of(kind)
	}
	if len(have) > 0 && g.chance(80) {
		n.text = pick(g.Rand, have)
		return n
	}
	n.text = strings.ReplaceAll(n.least, "%", "%%")
	if g.chance(6) {
		n.text = "NULL::" + map[string]string{"num": "numeric", "ts": "timestamp"}[kind]
		if n.text == "NULL::" {
			n.text += kind
		}
	}
	return n
}

// form is a way to make a value of one kind out of others.
type form struct {
	text string
	kids string // kinds, separated by blanks
}

var forms = map[string][]form{
	"int": {{"(%s + %s)", "int int"}, {"(%s - %s)", "int int"}, {"(%s %% nullif(%s, 0))", "int int"}, {"(%s / nullif(%s, 0))", "int int"}, {"abs(%s)", "int"}, {"length(%s)", "text"}, {"coalesce(%s, %s)", "int int"},
		{"CASE WHEN %s THEN %s ELSE %s END", "bool int int"}, {"nullif(%s, %s)", "int int"}, {"greatest(%s, %s)", "int int"}, {"(%s - %s)", "date date"}, {"(%s)::int", "bool"}, {"position(%s IN %s)", "text text"}, {"CASE %s WHEN %s THEN %s END", "int int int"}, {"extract(day FROM %s)::int", "ts"}, {"sign(%s)::int", "num"}, {"ascii(%s)", "text"}},
	"num":  {{"(%s + %s)", "num num"}, {"(%s - %s)", "num num"}, {"(%s * %s)", "num int"}, {"(%s / nullif(%s, 0))", "num int"}, {"round(%s, 1)", "num"}, {"coalesce(%s, %s)", "num num"}, {"trunc(%s)", "num"}, {"(%s)::numeric", "int"}, {"least(%s, %s)", "num num"}, {"(%s + %s)", "int num"}, {"extract(hour FROM %s)", "ts"}, {"mod(%s, 3)", "num"}},
	"text": {{"(%s || %s)", "text text"}, {"upper(%s)", "text"}, {"lower(%s)", "text"}, {"substr(%s, 1, 2)", "text"}, {"coalesce(%s, %s)", "text text"}, {"CASE WHEN %s THEN %s ELSE %s END", "bool text text"}, {"(%s)::text", "int"}, {"(%s)::text", "bool"}, {"(%s)::text", "date"}, {"nullif(%s, %s)", "text text"}, {"replace(%s, 'a', 'x')", "text"}, {"concat(%s, %s)", "text int"}, {"to_char(%s, 'YYYY-MM-DD HH24')", "ts"}, {"left(%s, 1)", "text"}, {"repeat(%s, 2)", "text"}, {"split_part(%s, 'b', 1)", "text"}, {"reverse(%s)", "text"}, {"initcap(%s)", "text"}, {"lpad(%s, 3, '-')", "text"}, {"trim(%s)", "text"}},
	"bool": {{"(%s AND %s)", "bool bool"}, {"(%s OR %s)", "bool bool"}, {"(NOT %s)", "bool"}, {"(%s = %s)", "int int"}, {"(%s < %s)", "int int"}, {"(%s <> %s)", "text text"}, {"(%s >= %s)", "num num"}, {"(%s < %s)", "text text"}, {"(%s = %s)", "date date"}, {"(%s > %s)", "ts ts"}, {"(%s IS NULL)", "text"}, {"(%s IS NOT NULL)", "int"}, {"(%s BETWEEN %s AND %s)", "int int int"}, {"(%s IN (%s, %s))", "int int int"}, {"(%s NOT IN (%s, %s))", "text text text"},
		{"(%s LIKE %s)", "text text"}, {"(%s IS DISTINCT FROM %s)", "int int"}, {"(%s IS NOT DISTINCT FROM %s)", "text text"}, {"(%s IS TRUE)", "bool"}, {"(%s IS NOT FALSE)", "bool"}, {"(%s IS UNKNOWN)", "bool"}, {"((%s, %s) = (%s, %s))", "int text int text"}, {"((%s, %s) < (%s, %s))", "int int int int"}, {"(%s = ANY (ARRAY[%s, %s]))", "int int int"}, {"(%s > ALL (ARRAY[%s, %s]))", "int int int"}, {"(%s ~ '^a')", "text"}, {"coalesce(%s, %s)", "bool bool"}, {"(%s = %s)", "int num"}, {"(%s < %s)", "date ts"}},
	"date": {{"(%s + %s)", "date int"}, {"(%s)::date", "ts"}, {"coalesce(%s, %s)", "date date"}, {"greatest(%s, %s)", "date date"}, {"CASE WHEN %s THEN %s END", "bool date"}},
	"ts":   {{"(%s + interval '1 day 02:00')", "ts"}, {"date_trunc('hour', %s)", "ts"}, {"(%s)::timestamp", "date"}, {"coalesce(%s, %s)", "ts ts"}, {"(%s - interval '1 month')", "ts"}},
}

// expr returns a value of kind over scope.
func (g *Queries) expr(s *scope, kind string, depth int) *node {
	if depth <= 0 || g.chance(25) {
		return g.leaf(s, kind)
	}
	if s.depth < 2 && g.chance(8) {
		if n := g.subqueryValue(s, kind); n != nil {
			return n
		}
	}
	f := pick(g.Rand, forms[kind])
	n := &node{kind: kind, text: f.text, least: g.literal(kind)}
	for _, k := range strings.Fields(f.kids) {
		n.kids = append(n.kids, g.expr(s, k, depth-1))
	}
	return n
}

// subqueryValue returns a subquery as a value, which may refer to scope.
func (g *Queries) subqueryValue(s *scope, kind string) *node {
	t := pick(g.Rand, g.tables)
	in := g.scopeOf(t, g.name("s"))
	in.outer, in.depth = s, s.depth+1
	from := raw("%s %s", t.name, strings.Split(in.cols[0].name, ".")[0])
	where := &node{text: " WHERE %s", kids: []*node{g.expr(in, "bool", 2)}, optional: true}
	n := &node{kind: kind, least: g.literal(kind)}
	switch {
	case kind == "bool" && g.chance(70):
		k := pick(g.Rand, []string{"int", "text"})
		switch g.IntN(5) {
		case 0:
			n.text, n.kids = "EXISTS (SELECT 1 FROM %s%s)", []*node{from, where}
		case 1:
			n.text, n.kids = "NOT EXISTS (SELECT 1 FROM %s%s)", []*node{from, where}
		case 2:
			n.text, n.kids = "(%s IN (SELECT %s FROM %s%s))", []*node{g.expr(s, k, 1), g.expr(in, k, 1), from, where}
		case 3:
			n.text, n.kids = "(%s NOT IN (SELECT %s FROM %s%s))", []*node{g.expr(s, k, 1), g.expr(in, k, 1), from, where}
		default:
			n.text, n.kids = "(%s "+pick(g.Rand, []string{"< ALL", ">= ANY", "<> ALL", "= ANY"})+" (SELECT %s FROM %s%s))", []*node{g.expr(s, k, 1), g.expr(in, k, 1), from, where}
		}
	case kind == "int":
		n.text, n.kids = "(SELECT "+pick(g.Rand, []string{"count(*)", "count(%[1]s)", "max(%[1]s)", "min(%[1]s)"}), nil
		arg := g.expr(&scope{cols: in.cols}, "int", 1) // an aggregate of an outer column would be the outer query's
		if strings.Contains(n.text, "%[1]s") {
			n.text = strings.ReplaceAll(n.text, "%[1]s", "%s")
			n.kids = append(n.kids, arg)
		}
		n.text += "::int FROM %s%s)"
		n.kids = append(n.kids, from, where)
	case kind == "text" || kind == "date" || kind == "ts" || kind == "num":
		n.text, n.kids = "(SELECT max(%s) FROM %s%s)", []*node{g.expr(&scope{cols: in.cols}, kind, 1), from, where}
	default:
		return nil
	}
	return n
}

func (g *Queries) scopeOf(t relation, alias string) *scope {
	s := &scope{ids: []string{alias + ".id"}}
	for _, c := range t.cols {
		s.cols = append(s.cols, column{alias + "." + c.name, c.kind})
	}
	return s
}

// from returns a FROM clause and what it offers. Without unique columns ids is nil.
func (g *Queries) from(depth int) (*node, *scope) {
	alias := g.name("a")
	if depth > 0 && g.chance(22) {
		q, cols := g.query(depth-1, nil)
		s := &scope{}
		for i, k := range cols {
			s.cols = append(s.cols, column{fmt.Sprintf("%s.x%d", alias, i), k})
		}
		return &node{text: "(%s) " + alias + columnList("x", len(cols)), kids: []*node{q}}, s
	}
	t := pick(g.Rand, g.tables)
	return raw("%s %s", t.name, alias), g.scopeOf(t, alias)
}

func columnList(prefix string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(prefix, i)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// joins returns a FROM clause of one to three relations.
func (g *Queries) joins(depth int, outer *scope) (*node, *scope) {
	n, s := g.from(depth)
	for range g.IntN(3) {
		right, r := g.from(depth - 1)
		both := &scope{cols: append(append([]column(nil), s.cols...), r.cols...)}
		if s.ids != nil && r.ids != nil {
			both.ids = append(append([]string(nil), s.ids...), r.ids...)
		}
		kind := pick(g.Rand, []string{"JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"})
		on := raw("")
		if kind != "CROSS JOIN" {
			on = &node{text: " ON %s", kids: []*node{g.condition(s, r, both, kind == "FULL JOIN")}}
		}
		n = &node{text: "%s " + kind + " %s%s", kids: []*node{n, right, on}}
		s = both
	}
	s.outer = outer
	if outer != nil {
		s.depth = outer.depth
	}
	return n, s
}

// condition joins two sides, mostly by equal integers; a full join needs that.
func (g *Queries) condition(l, r, both *scope, simple bool) *node {
	a, b := l.of("int"), r.of("int")
	if len(a) == 0 || len(b) == 0 {
		return raw("true")
	}
	eq := &node{kind: "bool", text: "%s = %s", kids: []*node{raw("%s", pick(g.Rand, a)), raw("%s", pick(g.Rand, b))}, least: "true"}
	if simple || g.chance(60) {
		return eq
	}
	if g.chance(30) {
		return g.expr(both, "bool", 2)
	}
	return &node{kind: "bool", text: "(%s AND %s)", kids: []*node{eq, g.expr(both, "bool", 2)}, least: "true"}
}

// aggregates are forms over the rows of a group.
var aggregates = map[string][]form{
	"int":  {{"count(*)", ""}, {"count(%s)", "text"}, {"count(DISTINCT %s)", "int"}, {"sum(%s)", "int"}, {"max(%s)", "int"}, {"min(%s)", "int"}, {"bit_or(%s)", "int"}, {"count(*) FILTER (WHERE %s)", "bool"}, {"sum(%s) FILTER (WHERE %s)", "int bool"}},
	"num":  {{"avg(%s)", "int"}, {"sum(%s)", "num"}, {"avg(%s)", "num"}, {"max(round(%s, 2))", "num"}, {"var_pop(%s)", "int"}, {"stddev(%s)", "int"}},
	"text": {{"max(%s)", "text"}, {"min(%s)", "text"}, {"string_agg(%s, ',' ORDER BY 1)", ""}, {"array_agg(DISTINCT %s)::text", "int"}, {"array_agg(DISTINCT %s)::text", "text"}, {"string_agg(DISTINCT %s, '+')", "text"}},
	"bool": {{"bool_and(%s)", "bool"}, {"bool_or(%s)", "bool"}, {"every(%s)", "bool"}},
	"date": {{"max(%s)", "date"}, {"min(%s)", "date"}},
	"ts":   {{"max(%s)", "ts"}, {"min(%s)", "ts"}},
}

func (g *Queries) aggregate(s *scope, kind string) *node {
	f := pick(g.Rand, aggregates[kind])
	if strings.Contains(f.text, "ORDER BY 1") {
		arg := g.expr(s, "text", 1)
		return &node{kind: kind, text: "string_agg(%s, ',' ORDER BY %s)", kids: []*node{arg, arg}, least: g.literal(kind)}
	}
	n := &node{kind: kind, text: f.text, least: g.literal(kind)}
	for _, k := range strings.Fields(f.kids) {
		n.kids = append(n.kids, g.expr(s, k, 1))
	}
	return n
}

// window returns a window function over scope, which has unique columns.
func (g *Queries) window(s *scope) *node {
	partition := raw("")
	if g.chance(60) {
		partition = &node{text: "PARTITION BY %s ", kids: []*node{g.expr(s, pick(g.Rand, []string{"int", "text", "bool"}), 1)}, optional: true}
	}
	order := &node{text: "ORDER BY %s" + pick(g.Rand, []string{"", " DESC", " NULLS FIRST"}) + ", " + strings.Join(s.ids, ", "), kids: []*node{g.expr(s, "int", 1)}}
	frame := raw("")
	f := pick(g.Rand, []form{{"row_number()", ""}, {"rank()", ""}, {"dense_rank()", ""}, {"ntile(3)", ""}, {"lag(%s)", "int"}, {"lead(%s, 2, 0)", "int"}, {"sum(%s)", "int"}, {"count(%s)", "text"}, {"max(%s)", "int"}, {"first_value(%s)", "int"}, {"last_value(%s)", "int"}, {"nth_value(%s, 2)", "int"}, {"count(*)", ""}})
	if g.chance(40) {
		frame = &node{text: pick(g.Rand, []string{" ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " ROWS UNBOUNDED PRECEDING", " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW", " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"}), optional: true}
	}
	n := &node{kind: "int", text: f.text + " OVER (%s%s%s)", least: "0"}
	for _, k := range strings.Fields(f.kids) {
		n.kids = append(n.kids, g.expr(s, k, 1))
	}
	n.kids = append(n.kids, partition, order, frame)
	return n
}

// query returns a query and the kinds of its columns.
func (g *Queries) query(depth int, outer *scope) (*node, []string) {
	if depth > 0 && g.chance(15) {
		return g.setOperation(depth)
	}
	from, s := g.joins(depth, outer)
	where := raw("")
	if g.chance(60) {
		where = &node{text: " WHERE %s", kids: []*node{g.expr(s, "bool", 3)}, optional: true}
	}
	n := 1 + g.IntN(3)
	var items []*node
	var out []string
	item := func(e *node, kind string) {
		items = append(items, e)
		out = append(out, kind)
	}
	group := raw("")
	switch {
	case g.chance(35): // grouped
		var keys []*node
		for range 1 + g.IntN(2) {
			kind := pick(g.Rand, []string{"int", "text", "bool", "date"})
			e := g.expr(s, kind, 1)
			if len(s.of(kind)) > 0 {
				e = raw("%s", pick(g.Rand, s.of(kind)))
				e.kind = kind
			}
			keys = append(keys, raw("%d", len(items)+1))
			item(e, kind)
		}
		for range n {
			kind := pick(g.Rand, kinds)
			item(g.aggregate(s, kind), kind)
		}
		group = &node{text: " GROUP BY %s%s", kids: []*node{joined(", ", keys), raw("")}}
		if g.chance(30) {
			group.kids[1] = &node{text: " HAVING %s > %s", kids: []*node{g.aggregate(s, "int"), raw("%s", g.literal("int"))}, optional: true}
		}
	case g.chance(12): // one group
		for range n {
			kind := pick(g.Rand, kinds)
			item(g.aggregate(s, kind), kind)
		}
	case s.ids != nil && g.chance(20):
		item(raw("%s", s.ids[0]), "int")
		for range n {
			item(g.window(s), "int")
		}
	default:
		for range n {
			kind := pick(g.Rand, kinds)
			item(g.expr(s, kind, 2), kind)
		}
	}
	distinct := raw("")
	if g.chance(15) && !has(out, "num") {
		distinct = &node{text: "DISTINCT ", optional: true}
	}
	q := &node{text: "SELECT %s%s FROM %s%s%s", kids: []*node{distinct, joined(", ", items), from, where, group}}
	return g.ordered(q, out), out
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// ordered adds ORDER BY all columns, and LIMIT behind it, now and then.
func (g *Queries) ordered(q *node, out []string) *node {
	if !g.chance(30) || has(out, "num") {
		return q
	}
	var keys []string
	for i := range out {
		keys = append(keys, fmt.Sprintf("%d%s", i+1, pick(g.Rand, []string{"", " DESC", " NULLS FIRST", " DESC NULLS LAST"})))
	}
	limit := raw("")
	if g.chance(60) {
		limit = &node{text: fmt.Sprintf(" LIMIT %d", 1+g.IntN(5)) + pick(g.Rand, []string{"", " OFFSET 1"}), optional: true}
	}
	return &node{text: "%s%s", kids: []*node{q, {text: " ORDER BY " + strings.Join(keys, ", ") + "%s", kids: []*node{limit}, optional: true}}}
}

func (g *Queries) setOperation(depth int) (*node, []string) {
	var kindsOf []string
	for range 1 + g.IntN(2) {
		kindsOf = append(kindsOf, pick(g.Rand, []string{"int", "text", "bool", "date"}))
	}
	side := func() *node {
		from, s := g.joins(depth-1, nil)
		var items []*node
		for _, k := range kindsOf {
			items = append(items, g.expr(s, k, 1))
		}
		list := &node{}
		for i, it := range items {
			if i > 0 {
				list.text += ", "
			}
			list.text += "%s"
			list.kids = append(list.kids, it)
		}
		return &node{text: "SELECT %s FROM %s%s", kids: []*node{list, from, {text: " WHERE %s", kids: []*node{g.expr(s, "bool", 2)}, optional: true}}}
	}
	op := pick(g.Rand, []string{"UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"})
	return g.ordered(&node{text: "%s " + op + " %s", kids: []*node{side(), side()}}, kindsOf), kindsOf
}

// Query returns a random query.
func (g *Queries) Query() *Tree {
	q, _ := g.query(2, nil)
	if g.chance(10) {
		inner, cols := g.query(1, nil)
		name := g.name("w")
		s := &scope{}
		for i, k := range cols {
			s.cols = append(s.cols, column{fmt.Sprintf("%s.x%d", name, i), k})
		}
		kind := cols[0]
		item := g.expr(s, kind, 2)
		q = &node{text: "WITH " + name + columnList("x", len(cols)) + " AS (%s) SELECT %s, count(*) FROM " + name + " GROUP BY 1", kids: []*node{inner, item}}
	}
	return &Tree{q}
}

// Tree is a query that can be made smaller.
type Tree struct{ root *node }

// Statement returns what to ask. The order of rows is compared only as far as ORDER BY leaves nothing open, which
// it does here for rows that print alike; without it any order is right.
func (t *Tree) Statement() Statement {
	sql := t.root.String()
	top := strings.LastIndex(sql, ")")
	return Statement{Of: "query", SQL: sql, Any: !strings.Contains(sql[top+1:], "ORDER BY")}
}

// Shrink makes the query smaller as long as fails says that it still fails.
func (t *Tree) Shrink(fails func(Statement) bool) {
	for again := true; again; {
		again = false
		for _, n := range t.root.all(nil) {
			for _, smaller := range n.simpler() {
				saved := *n
				*n = *smaller
				if fails(t.Statement()) {
					again = true
					break
				}
				*n = saved
			}
		}
	}
}

func (n *node) all(out []*node) []*node {
	out = append(out, n)
	for _, k := range n.kids {
		out = k.all(out)
	}
	return out
}

// simpler lists what could stand in n's place.
func (n *node) simpler() (out []*node) {
	if n.optional && n.text != "" {
		return []*node{{}}
	}
	if n.kind != "" {
		for _, k := range n.kids {
			if k.kind == n.kind {
				out = append(out, k)
			}
		}
		if len(n.kids) > 0 && n.least != "" {
			out = append(out, &node{kind: n.kind, text: strings.ReplaceAll(n.least, "%", "%%")})
		}
	}
	if n.kind == "" && strings.HasPrefix(n.text, "%s") && strings.Contains(n.text, "JOIN") {
		out = append(out, n.kids[0])
	}
	if n.kind == "" && (strings.HasPrefix(n.text, "%s UNION") || strings.HasPrefix(n.text, "%s EXCEPT") || strings.HasPrefix(n.text, "%s INTERSECT")) {
		out = append(out, n.kids...)
	}
	return out
}
