package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// kind is a column type of the random schemas.
type kind int

const (
	kInt kind = iota
	kBig
	kText
	kNum // numeric whose values all have two decimals, unless the column is loose
	kDouble
	kBool
	kTime
	kDate
	kinds
)

var kindNames = [...]string{"int", "bigint", "text", "numeric", "double precision", "boolean", "timestamp", "date"}

// column of a table or query.
type column struct {
	name string
	kind kind
	// loose numbers may be equal without being written alike (averages), so they are no keys.
	loose bool
}

// relation is a table or view that queries may read.
type relation struct {
	name  string
	cols  []column
	keyed bool // tables: the first column is the primary key
	plain bool // PostgreSQL has it too: no window functions of ours below
}

// gen makes random schemas, queries and changes. Its queries never depend on the order of rows, on ties, or on the
// order in which floating-point numbers are added: numbers are halves, and orders are total over what is shown.
type gen struct {
	*rand.Rand
	tables []relation
	views  []relation
	n      int // names given
	moves  int // updates of keys so far
	// wide adds shapes and changes that came later: the seeds before keep making what they made when they found something.
	wide bool
}

// wideSeeds is the first seed of a wide generator.
const wideSeeds = 2000

func (g *gen) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *gen, xs []T) T { return xs[g.IntN(len(xs))] }

func (g *gen) name(prefix string) string {
	g.n++
	return fmt.Sprintf("%s%d", prefix, g.n)
}

// table makes a random table.
func (g *gen) table() (relation, string) {
	r := relation{name: g.name("t"), keyed: g.chance(60), plain: true}
	var defs []string
	if r.keyed {
		r.cols = append(r.cols, column{name: "id", kind: pick(g, []kind{kInt, kBig})})
		defs = append(defs, "id "+kindNames[r.cols[0].kind]+" PRIMARY KEY")
	}
	for i := range 3 + g.IntN(4) {
		k := kind(g.IntN(int(kinds)))
		if i == 0 {
			k = kInt // so that there is something to join by
		}
		c := column{name: fmt.Sprintf("c%d", i), kind: k}
		r.cols = append(r.cols, c)
		defs = append(defs, c.name+" "+kindNames[k])
	}
	return r, fmt.Sprintf("CREATE TABLE %s (%s)", r.name, strings.Join(defs, ", "))
}

// literal returns a constant of a small domain, so that equal values are frequent.
func (g *gen) literal(k kind) string {
	switch k {
	case kInt:
		return fmt.Sprint(g.IntN(12) - 3)
	case kBig:
		return fmt.Sprintf("%d::bigint", pick(g, []int64{-1, 0, 1, 2, 3, 1 << 33, 5_000_000_000}))
	case kText:
		return pick(g, []string{"''", "'a'", "'b'", "'ab'", "'Abc'", "'zürich'", "'a b'", "'%'"})
	case kNum:
		return fmt.Sprintf("%d.%02d", g.IntN(30)-10, g.IntN(3)*25)
	case kDouble:
		return fmt.Sprintf("%d.5::double precision", g.IntN(12)-4)
	case kBool:
		return pick(g, []string{"true", "false"})
	case kTime:
		return fmt.Sprintf("timestamp '2024-02-%02d %02d:%02d:00'", 27+g.IntN(3), g.IntN(24), g.IntN(4)*15)
	}
	return fmt.Sprintf("date '2024-02-%02d'", 25+g.IntN(5))
}

func (g *gen) nullable(k kind) string {
	if g.chance(15) {
		return "NULL"
	}
	return g.literal(k)
}

// of returns the columns of a kind, qualified by the alias; loose ones only if asked for.
func of(cols []column, k kind, loose bool) (out []column) {
	for _, c := range cols {
		if c.kind == k && (loose || !c.loose) {
			out = append(out, c)
		}
	}
	return out
}

// value returns an expression of kind k over cols.
func (g *gen) value(cols []column, k kind, depth int) string {
	have := of(cols, k, false)
	if len(have) > 0 && g.chance(55) {
		return pick(g, have).name
	}
	if depth <= 0 {
		return g.literal(k)
	}
	sub := func(k kind) string { return g.value(cols, k, depth-1) }
	switch n := g.IntN(6); {
	case n == 0:
		return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", g.predicate(cols, depth-1), sub(k), sub(k))
	case n == 1:
		return fmt.Sprintf("coalesce(%s, %s)", sub(k), g.literal(k))
	case n == 2:
		return fmt.Sprintf("nullif(%s, %s)", sub(k), g.literal(k))
	}
	switch k {
	case kInt:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("(%s + %s)", sub(kInt), g.literal(kInt)) },
			func() string { return fmt.Sprintf("(%s - %s)", sub(kInt), sub(kInt)) },
			func() string { return fmt.Sprintf("(%s %% 5)", sub(kInt)) },
			func() string { return fmt.Sprintf("length(%s)", sub(kText)) },
			func() string { return fmt.Sprintf("abs(%s)", sub(kInt)) },
			func() string { return fmt.Sprintf("(%s / 3)", sub(kInt)) },
			func() string { return fmt.Sprintf("extract(day FROM %s)::int", sub(kDate)) },
		})()
	case kBig:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("(%s + %s)", sub(kBig), sub(kInt)) },
			func() string { return fmt.Sprintf("(%s)::bigint", sub(kInt)) },
			func() string { return fmt.Sprintf("(%s %% 7)", sub(kBig)) },
		})()
	case kText:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("upper(%s)", sub(kText)) },
			func() string { return fmt.Sprintf("(%s || %s)", sub(kText), g.literal(kText)) },
			func() string { return fmt.Sprintf("substr(%s, 1, 2)", sub(kText)) },
			func() string { return fmt.Sprintf("(%s)::text", sub(kInt)) },
			func() string { return fmt.Sprintf("(%s)::text", sub(kDate)) },
			func() string { return fmt.Sprintf("(%s)::text", sub(kBool)) },
		})()
	case kNum:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("(%s + %s)", sub(kNum), sub(kNum)) },
			func() string { return fmt.Sprintf("(%s - %s)", sub(kNum), sub(kInt)) + "::numeric(12,2)" },
			func() string { return fmt.Sprintf("abs(%s)", sub(kNum)) },
			func() string { return fmt.Sprintf("round(%s, 2)", sub(kNum)) },
		})()
	case kDouble:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("(%s + %s)", sub(kDouble), sub(kDouble)) },
			func() string { return fmt.Sprintf("(%s)::double precision", sub(kInt)) },
			func() string { return fmt.Sprintf("(%s * 2)", sub(kDouble)) },
			func() string { return fmt.Sprintf("floor(%s)", sub(kDouble)) },
		})()
	case kBool:
		return "(" + g.predicate(cols, depth-1) + ")"
	case kTime:
		return pick(g, []func() string{
			func() string { return fmt.Sprintf("date_trunc('day', %s)", sub(kTime)) },
			func() string { return fmt.Sprintf("(%s + interval '90 minutes')", sub(kTime)) },
			func() string { return fmt.Sprintf("(%s)::timestamp", sub(kDate)) },
		})()
	}
	return pick(g, []func() string{
		func() string { return fmt.Sprintf("(%s)::date", sub(kTime)) },
		func() string { return fmt.Sprintf("(%s + 1)", sub(kDate)) },
	})()
}

// predicate returns a boolean expression over cols.
func (g *gen) predicate(cols []column, depth int) string {
	c := pick(g, cols)
	if depth > 0 && g.chance(35) {
		a, b := g.predicate(cols, depth-1), g.predicate(cols, depth-1)
		return pick(g, []string{"(" + a + " AND " + b + ")", "(" + a + " OR " + b + ")", "NOT (" + a + ")"})
	}
	if g.chance(12) {
		return c.name + pick(g, []string{" IS NULL", " IS NOT NULL"})
	}
	if c.kind == kBool && g.chance(50) {
		return c.name
	}
	if c.kind == kText && g.chance(30) {
		return c.name + " LIKE " + pick(g, []string{"'a%'", "'%b%'", "'_'"})
	}
	if g.chance(12) {
		return fmt.Sprintf("%s IN (%s, %s)", c.name, g.literal(c.kind), g.literal(c.kind))
	}
	if g.chance(12) && c.kind != kBool {
		return fmt.Sprintf("%s BETWEEN %s AND %s", c.name, g.literal(c.kind), g.literal(c.kind))
	}
	right := g.literal(c.kind)
	if others := of(cols, c.kind, true); len(others) > 1 && g.chance(40) {
		right = pick(g, others).name
	}
	return fmt.Sprintf("%s %s %s", c.name, pick(g, []string{"=", "<", ">", "<=", ">=", "<>", "IS DISTINCT FROM"}), right)
}

// input is something to select from: FROM's text and the columns it offers.
type input struct {
	from  string
	cols  []column
	plain bool
}

func qualified(alias string, cols []column) []column {
	out := make([]column, len(cols))
	for i, c := range cols {
		out[i] = column{alias + "." + c.name, c.kind, c.loose}
	}
	return out
}

func (g *gen) relation() relation {
	if len(g.views) > 0 && g.chance(30) {
		return pick(g, g.views)
	}
	return pick(g, g.tables)
}

// input picks a relation, a filtered subquery, or a join of two or three.
func (g *gen) input() input {
	r := g.relation()
	if g.chance(12) {
		if times := of(r.cols, kTime, false); len(times) > 0 {
			return g.windowed(r, pick(g, times).name)
		}
	}
	in := input{r.name + " a", qualified("a", r.cols), r.plain}
	if g.chance(15) {
		in.from = fmt.Sprintf("(SELECT * FROM %s WHERE %s) a", r.name, g.predicate(r.cols, 1))
	}
	for _, alias := range []string{"b", "c"} {
		if g.chance(55) {
			break
		}
		in = g.join(in, alias)
	}
	return in
}

// windowed reads a relation through TUMBLE or HOP.
func (g *gen) windowed(r relation, col string) input {
	f := fmt.Sprintf("tumble(%s, %s, interval '6 hours') a", r.name, col)
	if g.chance(50) {
		f = fmt.Sprintf("hop(%s, %s, interval '3 hours', interval '9 hours') a", r.name, col)
	}
	cols := qualified("a", r.cols)
	if len(of(r.cols, kTime, true)) > 0 && !hasColumn(r.cols, "window_start") {
		cols = append(cols, column{"a.window_start", kTime, false}, column{"a.window_end", kTime, false})
		return input{f, cols, false}
	}
	return input{r.name + " a", qualified("a", r.cols), r.plain}
}

func hasColumn(cols []column, name string) bool {
	for _, c := range cols {
		if c.name == name {
			return true
		}
	}
	return false
}

// join adds another relation by an equality, if there are columns for one.
func (g *gen) join(in input, alias string) input {
	r := g.relation()
	right := qualified(alias, r.cols)
	for range 10 {
		l := pick(g, in.cols)
		match := of(right, l.kind, false)
		if l.loose || len(match) == 0 || l.kind == kBool {
			continue
		}
		if g.chance(12) { // no key to go by
			kind, on := pick(g, []string{"JOIN", "LEFT JOIN"}), " ON "+l.name+pick(g, []string{" < ", " >= ", " <> "})+pick(g, match).name
			if g.chance(30) {
				kind, on = "CROSS JOIN", ""
			}
			return input{fmt.Sprintf("%s %s %s %s%s", in.from, kind, r.name, alias, on),
				append(append([]column(nil), in.cols...), right...), in.plain && r.plain}
		}
		on := fmt.Sprintf("%s = %s", l.name, pick(g, match).name)
		kind := pick(g, []string{"JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"})
		if kind == "JOIN" && g.chance(25) {
			on += " AND " + g.predicate(append(append([]column(nil), in.cols...), right...), 0)
		}
		if (kind == "LEFT JOIN" || kind == "RIGHT JOIN") && g.chance(25) {
			on += " AND " + g.predicate(append(append([]column(nil), in.cols...), right...), 0)
		}
		return input{fmt.Sprintf("%s %s %s %s ON %s", in.from, kind, r.name, alias, on),
			append(append([]column(nil), in.cols...), right...), in.plain && r.plain}
	}
	return in
}

// selection is a query under construction.
type selection struct {
	sql   string
	cols  []column
	plain bool
}

func (g *gen) where(in input, percent int) string {
	if !g.chance(percent) {
		return ""
	}
	return " WHERE " + g.predicate(in.cols, 2)
}

// list makes a select list of n random expressions; keys asks for no loose ones.
func (g *gen) list(cols []column, n int) (items []string, out []column) {
	for i := range n {
		c := pick(g, cols)
		e := c.name
		if g.chance(45) {
			c = column{kind: kind(g.IntN(int(kinds)))}
			e = g.value(cols, c.kind, 2)
		}
		name := fmt.Sprintf("x%d", i)
		items = append(items, e+" AS "+name)
		out = append(out, column{name, c.kind, c.loose})
	}
	return items, out
}

// firm returns the columns that can be keys.
func firm(cols []column) (out []column) {
	for _, c := range cols {
		if !c.loose {
			out = append(out, c)
		}
	}
	return out
}

// query makes a random query.
func (g *gen) query() selection {
	shapes := []func() selection{g.project, g.project, g.group, g.group, g.group, g.distinct, g.union, g.topN, g.topN, g.subquery, g.subquery, g.limit,
		g.window, g.window, g.window, g.setOp, g.distinctOn, g.lateral, g.groupingSets}
	if g.wide {
		shapes = append(shapes, g.ordinalSet, g.ordinalSet, g.asof, g.asof, g.rangeJoin, g.rangeJoin, g.rangeJoin, g.session, g.unnest, g.correlated,
			g.correlated, g.joins, g.joins, g.nested, g.nested)
	}
	return pick(g, shapes)()
}

func (g *gen) project() selection {
	in := g.input()
	items, out := g.list(in.cols, 2+g.IntN(4))
	return selection{fmt.Sprintf("SELECT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 60)), out, in.plain}
}

func (g *gen) distinct() selection {
	in := g.input()
	in.cols = firm(in.cols)
	items, out := g.list(in.cols, 1+g.IntN(3))
	return selection{fmt.Sprintf("SELECT DISTINCT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 50)), out, in.plain}
}

// aggregate makes one aggregate call.
func (g *gen) aggregate(cols []column) (string, column) {
	filter := ""
	if g.chance(20) {
		filter = " FILTER (WHERE " + g.predicate(cols, 1) + ")"
	}
	distinct := ""
	if g.chance(25) {
		distinct = "DISTINCT "
	}
	c := pick(g, cols)
	arg := c.name
	if c.loose {
		return "count(" + arg + ")" + filter, column{kind: kBig}
	}
	if g.chance(25) {
		arg = g.value(cols, c.kind, 1)
	}
	call := func(f string) string { return f + "(" + distinct + arg + ")" + filter }
	number := c.kind == kInt || c.kind == kBig || c.kind == kNum || c.kind == kDouble
	switch n := g.IntN(6); {
	case n == 0:
		return "count(*)" + filter, column{kind: kBig}
	case n <= 2 && number:
		switch c.kind {
		case kInt:
			return call("sum"), column{kind: kBig}
		case kBig:
			return call("sum"), column{kind: kNum, loose: true}
		}
		return call("sum"), column{kind: c.kind}
	case n == 3 && number:
		k := kNum
		if c.kind == kDouble {
			k = kDouble
		}
		return call("avg"), column{kind: k, loose: true}
	case n <= 4 && c.kind != kBool:
		return call(pick(g, []string{"min", "max"})), column{kind: c.kind}
	}
	return call("count"), column{kind: kBig}
}

func (g *gen) group() selection {
	in := g.input()
	var keys, items []string
	var out []column
	for range g.IntN(3) {
		c := pick(g, in.cols)
		e := c.name
		if c.loose || g.chance(30) {
			c = column{kind: kind(g.IntN(int(kinds)))}
			e = g.value(in.cols, c.kind, 1)
		}
		name := fmt.Sprintf("k%d", len(keys))
		out = append(out, column{name, c.kind, false})
		items = append(items, e+" AS "+name)
		keys = append(keys, fmt.Sprint(len(items)))
	}
	for i := range 1 + g.IntN(3) {
		a, c := g.aggregate(in.cols)
		c.name = fmt.Sprintf("g%d", i)
		items, out = append(items, a+" AS "+c.name), append(out, c)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 40))
	if len(keys) > 0 {
		sql += " GROUP BY " + strings.Join(keys, ", ")
	}
	if g.chance(25) {
		sql += " HAVING " + pick(g, []string{"count(*) > 1", "count(*) < 4", "count(*) % 2 = 0"})
	}
	return selection{sql, out, in.plain}
}

func (g *gen) union() selection {
	in, in2 := g.input(), g.input()
	in.cols, in2.cols = firm(in.cols), firm(in2.cols)
	items, out := g.list(in.cols, 1+g.IntN(3))
	var other []string
	for _, c := range out {
		e := g.value(in2.cols, c.kind, 1)
		if c.kind == kNum {
			e = "(" + e + ")::numeric(12,2)"
		}
		other = append(other, e)
	}
	return selection{fmt.Sprintf("SELECT %s FROM %s%s UNION ALL SELECT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 50),
		strings.Join(other, ", "), in2.from, g.where(in2, 50)), out, in.plain && in2.plain}
}

// ordered makes a select list and an ORDER BY over all of it, so that ties are identical rows.
func (g *gen) ordered(cols []column) (items, names, order []string, out []column) {
	items, out = g.list(firm(cols), 2+g.IntN(3))
	for _, c := range out {
		names = append(names, c.name)
		order = append(order, c.name+pick(g, []string{"", " DESC", " NULLS FIRST", " DESC NULLS LAST"}))
	}
	g.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return items, names, order, out
}

func (g *gen) topN() selection {
	in := g.input()
	items, names, order, out := g.ordered(in.cols)
	part := ""
	if g.chance(70) {
		part = "PARTITION BY " + pick(g, names) + " "
	}
	show := strings.Join(names, ", ")
	if g.chance(50) {
		show += ", r"
		out = append(out, column{"r", kBig, false})
	}
	return selection{fmt.Sprintf("SELECT %s FROM (SELECT %s, row_number() OVER (%sORDER BY %s) AS r FROM (SELECT %s FROM %s%s) p) q WHERE r <= %d",
		show, strings.Join(names, ", "), part, strings.Join(order, ", "), strings.Join(items, ", "), in.from, g.where(in, 30), 1+g.IntN(4)), out, in.plain}
}

// window makes window functions over total orders, with all kinds of frames.
func (g *gen) window() selection {
	in := g.input()
	items, names, order, out := g.ordered(in.cols)
	cols := append([]column(nil), out...)
	inner := fmt.Sprintf("(SELECT %s FROM %s%s) p", strings.Join(items, ", "), in.from, g.where(in, 30))
	part := ""
	if g.chance(60) {
		part = "PARTITION BY " + pick(g, names) + " "
	}
	shown := append([]string(nil), names...)
	for i := range 1 + g.IntN(3) {
		c := pick(g, cols)
		f, result := g.windowFunc(c, cols)
		over := part + "ORDER BY " + strings.Join(order, ", ")
		frame := g.frame([]string{"ROWS", "GROUPS"})
		if rank := strings.HasSuffix(f, "rank()") || strings.HasSuffix(f, "dist()"); g.chance(30) && (rank || strings.HasPrefix(f, "count")) {
			// Without a total order, for functions that give peers the same value.
			over = part + "ORDER BY " + order[0]
			frame = g.frame([]string{"GROUPS"})
			if k := strings.Fields(order[0])[0]; g.chance(50) {
				for _, o := range cols {
					if o.name == k && (o.kind == kInt || o.kind == kBig) {
						frame = g.frame([]string{"RANGE"})
					}
				}
			}
		}
		if strings.HasPrefix(f, "row_number") || strings.Contains(f, "rank") || strings.Contains(f, "lag") || strings.Contains(f, "lead") ||
			strings.Contains(f, "ntile") || strings.Contains(f, "dist") {
			frame = ""
		}
		result.name = fmt.Sprintf("w%d", i)
		shown, out = append(shown, fmt.Sprintf("%s OVER (%s%s) AS %s", f, over, frame, result.name)), append(out, result)
	}
	return selection{fmt.Sprintf("SELECT %s FROM %s", strings.Join(shown, ", "), inner), out, in.plain}
}

func (g *gen) windowFunc(c column, cols []column) (string, column) {
	k := 1 + g.IntN(3)
	switch g.IntN(10) {
	case 0:
		return pick(g, []string{"row_number()", "rank()", "dense_rank()"}), column{kind: kBig}
	case 1:
		return fmt.Sprintf("ntile(%d)", k), column{kind: kInt}
	case 2:
		return pick(g, []string{"percent_rank()", "cume_dist()"}), column{kind: kDouble, loose: true}
	case 3, 4:
		return fmt.Sprintf("%s(%s, %d)", pick(g, []string{"lag", "lead"}), c.name, k), c
	case 5:
		return fmt.Sprintf("%s(%s)", pick(g, []string{"first_value", "last_value"}), c.name), c
	case 6:
		return fmt.Sprintf("nth_value(%s, %d)", c.name, k), c
	}
	for {
		a, result := g.aggregate(cols)
		if !strings.Contains(a, "DISTINCT ") {
			return a, result
		}
	}
}

// frame makes a frame clause, or none.
func (g *gen) frame(modes []string) string {
	if g.chance(25) {
		return ""
	}
	n := func() string { return fmt.Sprint(g.IntN(4)) }
	starts := []string{"UNBOUNDED PRECEDING", n() + " PRECEDING", "CURRENT ROW", n() + " FOLLOWING"}
	ends := []string{n() + " PRECEDING", "CURRENT ROW", n() + " FOLLOWING", "UNBOUNDED FOLLOWING"}
	i := g.IntN(4)
	j := max(i-1, 0) + g.IntN(4-max(i-1, 0))
	return fmt.Sprintf(" %s BETWEEN %s AND %s%s", pick(g, modes), starts[i], ends[j],
		pick(g, []string{"", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES"}))
}

// setOp makes INTERSECT and EXCEPT, with and without ALL.
func (g *gen) setOp() selection {
	in, in2 := g.input(), g.input()
	in.cols, in2.cols = firm(in.cols), firm(in2.cols)
	items, out := g.list(in.cols, 1+g.IntN(2))
	var other []string
	for _, c := range out {
		e := g.value(in2.cols, c.kind, 0)
		if c.kind == kNum {
			e = "(" + e + ")::numeric(12,2)"
		}
		other = append(other, e)
	}
	return selection{fmt.Sprintf("SELECT %s FROM %s%s %s %sSELECT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 50),
		pick(g, []string{"INTERSECT", "EXCEPT"}), pick(g, []string{"", "ALL "}), strings.Join(other, ", "), in2.from, g.where(in2, 50)), out, in.plain && in2.plain}
}

// distinctOn keeps one row of each key, or the first rows and their ties.
func (g *gen) distinctOn() selection {
	in := g.input()
	items, names, order, out := g.ordered(in.cols)
	inner := fmt.Sprintf("(SELECT %s FROM %s%s) p", strings.Join(items, ", "), in.from, g.where(in, 30))
	show := strings.Join(names, ", ")
	if g.chance(40) {
		return selection{fmt.Sprintf("SELECT %s FROM %s ORDER BY %s FETCH FIRST %d ROWS WITH TIES", show, inner, order[0], 1+g.IntN(4)), out, in.plain}
	}
	return selection{fmt.Sprintf("SELECT DISTINCT ON (%s) %s FROM %s ORDER BY %s", strings.Fields(order[0])[0], show, inner,
		strings.Join(order, ", ")), out, in.plain}
}

// lateral correlates: the first rows of another relation for each row, or a value of them.
func (g *gen) lateral() selection {
	l, r := g.relation(), g.relation()
	for range 10 {
		c := pick(g, firm(l.cols))
		match := of(r.cols, c.kind, false)
		if c.kind == kBool || len(match) == 0 {
			continue
		}
		items, out := g.list(qualified("a", l.cols), 2)
		on := fmt.Sprintf("b.%s = a.%s", pick(g, match).name, c.name)
		if g.chance(40) {
			v := pick(g, firm(r.cols))
			out = append(out, column{"s", kBig, false})
			return selection{fmt.Sprintf("SELECT %s, (SELECT count(b.%s) FROM %s b WHERE %s) AS s FROM %s a", strings.Join(items, ", "), v.name, r.name, on, l.name),
				out, l.plain && r.plain}
		}
		inner, names, order, cols := g.ordered(qualified("b", r.cols))
		for i := range names {
			items, out = append(items, fmt.Sprintf("l.%s AS y%d", names[i], i)), append(out, column{fmt.Sprintf("y%d", i), cols[i].kind, cols[i].loose})
		}
		join := "CROSS JOIN LATERAL (%s) l"
		if g.chance(40) {
			join = "LEFT JOIN LATERAL (%s) l ON true"
		}
		sub := fmt.Sprintf("SELECT %s FROM %s b WHERE %s ORDER BY %s LIMIT %d", strings.Join(inner, ", "), r.name, on, strings.Join(order, ", "), 1+g.IntN(3))
		return selection{fmt.Sprintf("SELECT %s FROM %s a "+join, strings.Join(items, ", "), l.name, sub), out, l.plain && r.plain}
	}
	return g.project()
}

func (g *gen) groupingSets() selection {
	in := g.input()
	items, out := g.list(firm(in.cols), 2)
	inner := fmt.Sprintf("(SELECT %s FROM %s%s) p", strings.Join(items, ", "), in.from, g.where(in, 30))
	sets := pick(g, []string{"ROLLUP (x0, x1)", "CUBE (x0, x1)", "GROUPING SETS ((x0), (x1), ())"})
	a, c := g.aggregate(out)
	c.name = "g"
	return selection{fmt.Sprintf("SELECT x0, x1, grouping(x0, x1) AS n, %s AS g FROM %s GROUP BY %s", a, inner, sets),
		append(out, column{"n", kInt, false}, c), in.plain}
}

func (g *gen) limit() selection {
	in := g.input()
	items, _, order, out := g.ordered(in.cols)
	sql := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", strings.Join(items, ", "), in.from, g.where(in, 30), strings.Join(order, ", "), 1+g.IntN(6))
	if g.chance(30) {
		sql += fmt.Sprintf(" OFFSET %d", 1+g.IntN(3))
	}
	return selection{sql, out, in.plain}
}

// subquery makes a projection with an uncorrelated subquery in it.
func (g *gen) subquery() selection {
	in, r := g.input(), g.relation()
	items, out := g.list(in.cols, 2)
	c := pick(g, firm(r.cols))
	plain := in.plain && r.plain
	filter := ""
	if g.chance(60) {
		filter = " WHERE " + g.predicate(r.cols, 1)
	}
	base := func(where string) selection {
		return selection{fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(items, ", "), in.from, where), out, plain}
	}
	switch n := g.IntN(5); {
	case n <= 1:
		return base(fmt.Sprintf("%s %sIN (SELECT %s FROM %s%s)", g.value(in.cols, c.kind, 0), pick(g, []string{"", "NOT "}), c.name, r.name, filter))
	case n == 2:
		return base(fmt.Sprintf("%sEXISTS (SELECT 1 FROM %s%s)", pick(g, []string{"", "NOT "}), r.name, filter))
	case n == 3 && c.kind != kBool:
		return base(fmt.Sprintf("%s %s (SELECT %s(%s) FROM %s%s)", g.value(in.cols, c.kind, 0), pick(g, []string{"<", ">=", "="}), pick(g, []string{"min", "max"}), c.name, r.name, filter))
	}
	out = append(out, column{"s", kBig, false})
	return selection{fmt.Sprintf("WITH s AS (SELECT count(*) AS n FROM %s%s) SELECT %s, (SELECT n FROM s) AS s FROM %s%s", r.name, filter,
		strings.Join(items, ", "), in.from, g.where(in, 50)), out, plain}
}

// pair looks for columns of one kind in two lists, of those kinds; false when there are none.
func (g *gen) pair(left, right []column, kinds ...kind) (l, r column, ok bool) {
	for range 20 {
		k := pick(g, kinds)
		ls, rs := of(left, k, false), of(right, k, false)
		if len(ls) > 0 && len(rs) > 0 {
			return pick(g, ls), pick(g, rs), true
		}
	}
	return column{}, column{}, false
}

var ordinal = []kind{kInt, kBig, kNum, kDouble, kTime, kDate}

// ordinalSet makes the aggregates that need an order, and those of statistics.
func (g *gen) ordinalSet() selection {
	in := g.input()
	items, names, order, out := g.ordered(in.cols)
	inner := fmt.Sprintf("(SELECT %s FROM %s%s) p", strings.Join(items, ", "), in.from, g.where(in, 30))
	by := strings.Join(order, ", ")
	shown := []string{names[0] + " AS k0"}
	cols := []column{{"k0", out[0].kind, false}}
	for i := range 1 + g.IntN(2) {
		c := pick(g, out)
		call, kind, loose := "", kText, false
		switch n := g.IntN(7); {
		case n == 0:
			call = fmt.Sprintf("string_agg((%s)::text, ',' ORDER BY %s)", c.name, by)
		case n == 1:
			call = fmt.Sprintf("array_to_string(array_agg(%s ORDER BY %s), ',', '~')", c.name, by)
		case n == 2 && c.kind != kBool:
			call, kind = fmt.Sprintf("percentile_disc(0.%d) WITHIN GROUP (ORDER BY %s)", 1+g.IntN(9), c.name), c.kind
		case n == 3 && c.kind != kBool:
			call, kind = fmt.Sprintf("rank(%s) WITHIN GROUP (ORDER BY %s)", g.literal(c.kind), c.name), kBig
		case n == 4 && c.kind == kInt:
			call, kind, loose = fmt.Sprintf("%s(%s)", pick(g, []string{"stddev_pop", "var_samp", "variance"}), c.name), kNum, true
		case n == 5 && (c.kind == kInt || c.kind == kBig):
			call, kind = fmt.Sprintf("%s(%s)", pick(g, []string{"bit_and", "bit_or", "bit_xor"}), c.name), c.kind
		default:
			call, kind = fmt.Sprintf("%s(%s)", pick(g, []string{"bool_and", "bool_or"}), g.predicate(out, 1)), kBool
		}
		name := fmt.Sprintf("o%d", i)
		shown, cols = append(shown, call+" AS "+name), append(cols, column{name, kind, loose})
	}
	return selection{fmt.Sprintf("SELECT %s FROM %s GROUP BY %s", strings.Join(shown, ", "), inner, names[0]), cols, in.plain}
}

// asof pairs each row with the nearest one of another relation.
func (g *gen) asof() selection {
	l, r := g.relation(), g.relation()
	left, right := qualified("a", l.cols), qualified("b", r.cols)
	el, er, ok := g.pair(left, right, kInt, kText, kDate)
	tl, tr, timed := g.pair(left, right, ordinal...)
	if !ok || !timed {
		return g.project()
	}
	items, out := g.list(append(left, right...), 2+g.IntN(3))
	return selection{fmt.Sprintf("SELECT %s FROM %s a ASOF %s %s b ON %s = %s AND %s %s %s", strings.Join(items, ", "), l.name, pick(g, []string{"JOIN", "LEFT JOIN"}), r.name,
		el.name, er.name, tl.name, pick(g, []string{"<", "<=", ">", ">="}), tr.name), out, false}
}

// rangeJoin joins by inequalities: one, two about the same column, or with an equality.
func (g *gen) rangeJoin() selection {
	l, r := g.relation(), g.relation()
	left, right := qualified("a", l.cols), qualified("b", r.cols)
	x, y, ok := g.pair(left, right, ordinal...)
	if !ok {
		return g.project()
	}
	on := fmt.Sprintf("%s %s %s", x.name, pick(g, []string{"<", "<=", ">", ">="}), y.name)
	step := map[kind]string{kInt: "2", kBig: "2", kNum: "1.5", kDouble: "2", kTime: "interval '5 hours'", kDate: "2"}[x.kind]
	switch g.IntN(4) {
	case 0:
		on = fmt.Sprintf("%s BETWEEN %s AND %s + %s", x.name, y.name, y.name, step)
	case 1:
		if z := of(right, x.kind, false); len(z) > 1 {
			on = fmt.Sprintf("%s > %s AND %s <= %s", x.name, z[0].name, x.name, z[1].name)
		}
	case 2:
		on = fmt.Sprintf("%s + %s >= %s AND %s < %s", x.name, step, y.name, x.name, y.name)
	}
	if el, er, ok := g.pair(left, right, kInt, kText, kDate, kBig); ok && g.chance(35) {
		on += fmt.Sprintf(" AND %s = %s", el.name, er.name)
	}
	kind := pick(g, []string{"JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN"})
	if strings.Contains(on, " = ") {
		kind = pick(g, []string{kind, "FULL JOIN"}) // PostgreSQL has no FULL JOIN without an equality
	}
	if g.chance(20) {
		items, out := g.list(left, 2)
		return selection{fmt.Sprintf("SELECT %s FROM %s a WHERE %sEXISTS (SELECT 1 FROM %s b WHERE %s)", strings.Join(items, ", "), l.name,
			pick(g, []string{"", "NOT "}), r.name, on), out, l.plain && r.plain}
	}
	items, out := g.list(append(left, right...), 2+g.IntN(3))
	return selection{fmt.Sprintf("SELECT %s FROM %s a %s %s b ON %s", strings.Join(items, ", "), l.name, kind, r.name, on), out, l.plain && r.plain}
}

// session cuts a relation at gaps in a time, or counts up in growing windows.
func (g *gen) session() selection {
	r := g.relation()
	times := of(r.cols, kTime, false)
	if len(times) == 0 || hasColumn(r.cols, "window_start") {
		return g.project()
	}
	part := ""
	if g.chance(70) {
		part = " PARTITION BY " + pick(g, firm(r.cols)).name
	}
	from := fmt.Sprintf("session(%s, %s, interval '%d hours'%s) a", r.name, pick(g, times).name, 1+g.IntN(8), part)
	if g.chance(30) {
		from = fmt.Sprintf("cumulate(%s, %s, interval '6 hours', interval '1 day') a", r.name, pick(g, times).name)
	}
	cols := append(qualified("a", r.cols), column{"a.window_start", kTime, false}, column{"a.window_end", kTime, false})
	if g.chance(50) {
		items, out := g.list(cols, 2+g.IntN(3))
		return selection{fmt.Sprintf("SELECT %s FROM %s", strings.Join(items, ", "), from), out, false}
	}
	a, c := g.aggregate(qualified("a", r.cols))
	c.name = "g"
	return selection{fmt.Sprintf("SELECT a.window_start AS ws, a.window_end AS we, %s AS g FROM %s GROUP BY 1, 2", a, from),
		[]column{{"ws", kTime, false}, {"we", kTime, false}, c}, false}
}

// unnest multiplies rows by a function that returns several.
func (g *gen) unnest() selection {
	in := g.input()
	items, out := g.list(firm(in.cols), 2)
	n := g.value(in.cols, kInt, 0)
	out = append(out, column{"u", kInt, false})
	if g.chance(50) {
		return selection{fmt.Sprintf("SELECT %s, u FROM %s CROSS JOIN LATERAL generate_series(1, (%s) %% 4) u%s", strings.Join(items, ", "), in.from, n, g.where(in, 30)), out, in.plain}
	}
	return selection{fmt.Sprintf("SELECT %s, unnest(ARRAY[%s, %s]) AS u FROM %s%s", strings.Join(items, ", "), n, g.literal(kInt), in.from, g.where(in, 30)), out, in.plain}
}

// correlated asks another relation about each row, in places that become different joins.
func (g *gen) correlated() selection {
	l, r := g.relation(), g.relation()
	left, right := qualified("a", l.cols), qualified("b", r.cols)
	x, y, ok := g.pair(left, right, kInt, kText, kDate, kBig)
	if !ok {
		return g.project()
	}
	items, out := g.list(left, 2)
	on := fmt.Sprintf("%s = %s", y.name, x.name)
	if g.chance(40) {
		on += " AND " + g.predicate(append(append([]column(nil), left...), right...), 1)
	}
	plain := l.plain && r.plain
	sql := fmt.Sprintf("SELECT %s FROM %s a", strings.Join(items, ", "), l.name)
	c := pick(g, firm(r.cols))
	switch g.IntN(4) {
	case 0:
		return selection{sql + fmt.Sprintf(" WHERE %sEXISTS (SELECT 1 FROM %s b WHERE %s)", pick(g, []string{"", "NOT "}), r.name, on), out, plain}
	case 1:
		return selection{sql + fmt.Sprintf(" WHERE %s %sIN (SELECT b.%s FROM %s b WHERE %s)", g.value(left, c.kind, 0), pick(g, []string{"", "NOT "}), c.name, r.name, on), out, plain}
	case 2:
		if c.kind != kBool {
			return selection{sql + fmt.Sprintf(" WHERE %s %s %s (SELECT b.%s FROM %s b WHERE %s)", g.value(left, c.kind, 0), pick(g, []string{"<", ">=", "=", "<>"}),
				pick(g, []string{"ANY", "ALL"}), c.name, r.name, on), out, plain}
		}
	}
	a, k := g.aggregate(right)
	k.name = "s"
	return selection{fmt.Sprintf("SELECT %s, (SELECT %s FROM %s b WHERE %s) AS s FROM %s a", strings.Join(items, ", "), a, r.name, on, l.name), append(out, k), plain}
}

// joins joins four or five, the same relation several times among them.
func (g *gen) joins() selection {
	in := input{from: "", cols: nil, plain: true}
	r := g.relation()
	in = input{r.name + " a", qualified("a", r.cols), r.plain}
	for _, alias := range []string{"b", "c", "d", "e"}[:2+g.IntN(3)] {
		in = g.join(in, alias)
	}
	items, out := g.list(in.cols, 2+g.IntN(4))
	where := fmt.Sprintf(" WHERE %s AND %s", g.predicate(in.cols, 1), g.predicate(in.cols, 0))
	if g.chance(50) { // keeps results of joins of joins small
		return selection{fmt.Sprintf("SELECT %s FROM %s%s", strings.Join(items, ", "), in.from, where), out, in.plain}
	}
	a, c := g.aggregate(in.cols)
	c.name = "g"
	k := pick(g, firm(in.cols))
	return selection{fmt.Sprintf("SELECT %s AS k, %s AS g FROM %s%s GROUP BY 1", k.name, a, in.from, where), []column{{"k", k.kind, false}, c}, in.plain}
}

// nested puts one query over another.
func (g *gen) nested() selection {
	under := g.query()
	if len(firm(under.cols)) == 0 {
		return under
	}
	in := input{"(" + under.sql + ") a", qualified("a", under.cols), under.plain}
	if g.chance(50) {
		in = g.join(in, "b")
	}
	if g.chance(50) {
		items, out := g.list(in.cols, 2+g.IntN(2))
		return selection{fmt.Sprintf("SELECT %s FROM %s%s", strings.Join(items, ", "), in.from, g.where(in, 40)), out, in.plain}
	}
	a, c := g.aggregate(in.cols)
	c.name = "g"
	k := pick(g, firm(in.cols))
	return selection{fmt.Sprintf("SELECT %s AS k, %s AS g FROM %s%s GROUP BY 1", k.name, a, in.from, g.where(in, 40)), []column{{"k", k.kind, false}, c}, in.plain}
}

// change makes one data-modifying statement.
func (g *gen) change() string {
	r := pick(g, g.tables)
	if g.wide && g.chance(12) {
		return g.rareChange(r)
	}
	switch n := g.IntN(10); {
	case n < 5:
		return g.insert(r)
	case n < 6:
		return g.insertSelect(r)
	case n < 8:
		return g.update(r)
	}
	return fmt.Sprintf("DELETE FROM %s WHERE %s AND %s", r.name, g.predicate(r.cols, 1), g.predicate(r.cols, 0))
}

func (g *gen) insert(r relation) string {
	var vals []string
	for range 1 + g.IntN(12) {
		var v []string
		for i, c := range r.cols {
			if i == 0 && r.keyed {
				v = append(v, fmt.Sprint(g.IntN(60)))
				continue
			}
			v = append(v, g.nullable(c.kind))
		}
		vals = append(vals, "("+strings.Join(v, ", ")+")")
	}
	sql := fmt.Sprintf("INSERT INTO %s VALUES %s", r.name, strings.Join(vals, ", "))
	if r.keyed && g.chance(80) {
		sql += " ON CONFLICT (id) DO NOTHING"
	}
	return sql
}

// insertSelect fills a table from itself; a keyed table's duplicates are left out.
func (g *gen) insertSelect(r relation) string {
	var e []string
	for i, c := range r.cols {
		if i == 0 && r.keyed {
			e = append(e, "id + 1")
			continue
		}
		e = append(e, g.value(r.cols, c.kind, 1))
	}
	sql := fmt.Sprintf("INSERT INTO %s SELECT %s FROM %s WHERE %s AND %s", r.name, strings.Join(e, ", "), r.name, g.predicate(r.cols, 0), g.predicate(r.cols, 0))
	if r.keyed {
		sql += " ON CONFLICT (id) DO NOTHING"
	}
	return sql
}

func (g *gen) update(r relation) string {
	cols := r.cols
	if r.keyed {
		cols = cols[1:]
	}
	var set []string
	for _, c := range cols {
		if g.chance(40) {
			set = append(set, c.name+" = "+g.value(r.cols, c.kind, 1))
		}
	}
	if r.keyed && g.chance(15) {
		// Further than any key so far: PostgreSQL refuses a key that another row of the statement still has.
		g.moves++
		set = append(set, fmt.Sprintf("id = id + %d", 100<<min(g.moves, 20)))
	}
	if len(set) == 0 {
		set = append(set, cols[0].name+" = "+g.nullable(cols[0].kind))
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s", r.name, strings.Join(set, ", "), g.predicate(r.cols, 1))
}

// rareChange makes the less common statements.
func (g *gen) rareChange(r relation) string {
	switch n := g.IntN(5); {
	case n == 0 && g.chance(30):
		return "TRUNCATE " + r.name
	case n <= 2 && r.keyed:
		sql := strings.TrimSuffix(g.insert(relation{r.name, r.cols, true, r.plain}), " ON CONFLICT (id) DO NOTHING")
		c := pick(g, r.cols[1:])
		// One row: PostgreSQL refuses to touch a row twice.
		sql = sql[:strings.Index(sql, "VALUES (")] + "VALUES " + oneRow(sql)
		return fmt.Sprintf("%s ON CONFLICT (id) DO UPDATE SET %s = excluded.%s", sql, c.name, c.name)
	case n == 3:
		c := pick(g, r.cols)
		other := pick(g, g.tables)
		if o := of(other.cols, c.kind, false); len(o) > 0 && c.kind != kBool {
			return fmt.Sprintf("DELETE FROM %s USING %s o WHERE %s.%s = o.%s AND o.%s IS NOT NULL AND %s", r.name, other.name, r.name, c.name, pick(g, o).name, pick(g, o).name,
				g.predicate(qualified(r.name, r.cols), 0))
		}
	}
	return g.update(r)
}

// oneRow returns the first row of an INSERT's VALUES. Literals hold no parenthesis.
func oneRow(sql string) string {
	at := strings.Index(sql, "VALUES (") + len("VALUES ")
	return sql[at : at+strings.Index(sql[at:], ")")+1]
}
