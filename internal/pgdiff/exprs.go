package pgdiff

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Statement is one thing to ask both sides.
type Statement struct {
	// Of is what it is about, for the report: a function, an operator, a cast.
	Of  string
	SQL string
	// Any says that the order of rows is not determined, nor which of several rows an error is about.
	Any bool
}

// Exprs makes statements of one expression each.
type Exprs struct {
	*rand.Rand
	Library *Library
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (g *Exprs) chance(percent int) bool { return g.IntN(100) < percent }

// quote writes s as a string constant.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// cast is the spelling of a type in SQL.
func cast(typ string) string {
	if elem, ok := strings.CutPrefix(typ, "_"); ok {
		return cast(elem) + "[]"
	}
	if typ == "char" || typ == "bit" { // without quotes they are one character and one bit
		return `"` + typ + `"`
	}
	return typ
}

// value returns an expression of the type: mostly a typed constant, sometimes NULL, a string without a type or a
// bare number.
func (g *Exprs) value(typ string) string {
	if typ == "record" {
		return pick(g.Rand, []string{"ROW(1, 'a'::text)", "ROW(1, NULL::text)", "ROW(2, 'b'::text)", "ROW(NULL::int4, 'b'::text)"})
	}
	list := edges[typ]
	if list == nil {
		return "NULL"
	}
	text := pick(g.Rand, list)
	switch n := g.IntN(100); {
	case n < 5:
		return "NULL::" + cast(typ)
	case n < 15:
		return quote(text)
	case n < 40 && isNumber(text) && slices.Contains([]string{"int4", "int8", "int2", "numeric"}, typ):
		return text
	}
	return quote(text) + "::" + cast(typ)
}

// isNumber reports whether text can stand in SQL as a number. A leading minus is an operator there.
func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.e-") == "" && text[0] != 'e'
}

// concrete replaces the polymorphic types of a signature, all alike by one type.
func (g *Exprs) concrete(args []string) []string {
	elem := pick(g.Rand, elements)
	out := slices.Clone(args)
	for i, a := range out {
		switch a {
		case "anyelement", "anynonarray", "anycompatible", "anycompatiblenonarray":
			out[i] = elem
		case "anyarray", "anycompatiblearray":
			out[i] = "_" + elem
		case "any":
			out[i] = pick(g.Rand, g.Library.Types)
		}
		if elem != "int4" && out[i] == elem && g.chance(5) {
			out[i] = pick(g.Rand, elements) // which resolution must sort out
		}
	}
	return out
}

// elements are the types that polymorphic arguments are tried with.
var elements = []string{"int4", "int4", "text", "text", "int8", "int2", "numeric", "float8", "bool", "timestamptz", "date", "varchar", "jsonb", "interval", "uuid", "bytea", "bpchar", "float4", "time", "bit", "varbit"}

// args returns values for a function's arguments.
func (g *Exprs) args(f Function) []string {
	types := g.concrete(f.Args)
	if f.Variadic != "" {
		types = types[:len(types)-1]
		for range 1 + g.IntN(3) {
			types = append(types, g.concrete([]string{f.Variadic})...)
		}
	}
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = g.value(t)
	}
	return out
}

// Call returns a call of f.
func (g *Exprs) Call(f Function) Statement {
	call := func() string { return f.Name + "(" + strings.Join(g.args(f), ", ") + ")" }
	s := Statement{Of: "function " + f.String()}
	switch {
	case f.Kind == "a":
		return g.aggregate(f)
	case f.Kind == "w":
		s.SQL = g.window(f)
	case f.Set:
		s.SQL = "SELECT " + call() + " LIMIT 12"
	case g.chance(20):
		s.SQL = g.overTable(f.Args, f.Variadic, func(args []string) string { return f.Name + "(" + strings.Join(args, ", ") + ")" })
	default:
		s.SQL = "SELECT " + call()
	}
	s.Any = strings.HasSuffix(s.SQL, "FROM edge")
	return s
}

// aggregate calls f over a few rows.
func (g *Exprs) aggregate(f Function) Statement {
	s := Statement{Of: "aggregate " + f.String()}
	types := g.concrete(f.Args)
	var cols, rows []string
	for i := range types {
		cols = append(cols, fmt.Sprintf("x%d", i))
	}
	for range 1 + g.IntN(4) {
		var vals []string
		for _, t := range types {
			text := "NULL"
			if list := edges[t]; list != nil && g.chance(85) {
				text = quote(pick(g.Rand, list))
			}
			vals = append(vals, text+"::"+cast(t))
		}
		rows = append(rows, "("+strings.Join(vals, ", ")+")")
	}
	arg := strings.Join(cols, ", ")
	switch {
	case len(cols) == 0:
		s.SQL = "SELECT " + f.Name + "(*) FROM (VALUES (1), (2)) v(x)"
		return s
	case g.chance(15):
		arg = "DISTINCT " + arg
	case g.chance(15):
		arg += " ORDER BY " + strings.Join(cols, " DESC, ") + " DESC"
	}
	over := ""
	if g.chance(10) {
		over = " OVER ()"
	}
	s.SQL = fmt.Sprintf("SELECT %s(%s)%s FROM (VALUES %s) v(%s)", f.Name, arg, over, strings.Join(rows, ", "), strings.Join(cols, ", "))
	return s
}

func (g *Exprs) window(f Function) string {
	return fmt.Sprintf("SELECT %s(%s) OVER (ORDER BY n) FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) v(n, x) ORDER BY n", f.Name, strings.Join(g.args(f), ", "))
}

// overTable applies write to columns of table edge, of one row or of all.
func (g *Exprs) overTable(types []string, variadic string, write func(args []string) string) string {
	types = g.concrete(types)
	if variadic != "" && len(types) > 0 {
		types = append(types[:len(types)-1], g.concrete([]string{variadic})...)
	}
	args := make([]string, len(types))
	for i, t := range types {
		args[i] = g.value(t)
		if slices.Contains(Columns, t) {
			args[i] = pick(g.Rand, []string{"a_", "b_"}) + t
		}
	}
	sql := "SELECT id, " + write(args) + " FROM edge"
	if g.chance(80) {
		return sql + fmt.Sprintf(" WHERE id = %d", 1+g.IntN(edgeRows))
	}
	return sql
}

// Operate returns an application of o.
func (g *Exprs) Operate(o Operator) Statement {
	s := Statement{Of: "operator " + o.String()}
	types := []string{o.Left, o.Right}
	if o.Left == "" {
		types = types[1:]
	}
	write := func(args []string) string {
		if len(args) == 1 {
			return o.Name + " " + args[0]
		}
		return args[0] + " " + o.Name + " " + args[1]
	}
	if g.chance(20) {
		s.SQL = g.overTable(types, "", write)
		s.Any = strings.HasSuffix(s.SQL, "FROM edge")
		return s
	}
	args := g.concrete(types)
	for i, t := range args {
		args[i] = g.value(t)
	}
	s.SQL = "SELECT " + write(args)
	return s
}

// Cast returns a cast between two types, or to one with a modifier.
func (g *Exprs) Cast(from, to string) Statement {
	s := Statement{Of: "cast " + from + " as " + to}
	target := cast(to)
	if list := typmods[to]; list != nil && g.chance(35) {
		target = pick(g.Rand, list)
	}
	switch n := g.IntN(10); {
	case n < 7:
		s.SQL = fmt.Sprintf("SELECT CAST(%s::%s AS %s)", quote(pick(g.Rand, edges[from])), cast(from), target)
	case n < 9 && slices.Contains(Columns, from):
		s.SQL = fmt.Sprintf("SELECT id, a_%s::%s FROM edge WHERE id = %d", from, target, 1+g.IntN(edgeRows))
	case slices.Contains(Columns, to):
		s.SQL = fmt.Sprintf("INSERT INTO edge (id, a_%s) SELECT -1, %s::%s WHERE false", to, quote(pick(g.Rand, edges[from])), cast(from)) // assignment
	default:
		s.SQL = fmt.Sprintf("SELECT (NULL::%s)::%s", cast(from), target)
	}
	return s
}

// Input returns text being read as a type.
func (g *Exprs) Input(typ string) Statement {
	target := cast(typ)
	if list := typmods[typ]; list != nil && g.chance(35) {
		target = pick(g.Rand, list)
	}
	texts := append(slices.Clone(edges[typ]), spellings[typ]...)
	if elem, ok := strings.CutPrefix(typ, "_"); ok && len(spellings[typ]) == 0 {
		texts = append(texts, "{"+pick(g.Rand, edges[elem])+"}")
	}
	sql := "SELECT " + quote(pick(g.Rand, texts)) + "::" + target
	if g.chance(10) {
		sql = "SELECT CAST(" + quote(pick(g.Rand, texts)) + "::text AS " + target + ")"
	}
	return Statement{Of: "input of " + typ, SQL: sql}
}

// Resolve returns something whose type must be resolved from several, which often is an error.
func (g *Exprs) Resolve() Statement {
	var a, b, c string
	types := []string{pick(g.Rand, g.Library.Types), pick(g.Rand, g.Library.Types)}
	if g.chance(40) {
		types[1] = pick(g.Rand, []string{"int4", "text", "numeric", "float8", "timestamptz", "varchar", types[0]})
	}
	a, b, c = g.value(types[0]), g.value(types[1]), g.value(types[0])
	of := "resolution of " + types[0] + " and " + types[1]
	forms := []string{
		"SELECT CASE WHEN true THEN %[1]s ELSE %[2]s END", "SELECT %[1]s UNION ALL SELECT %[2]s", "SELECT ARRAY[%[1]s, %[2]s]", "SELECT coalesce(%[1]s, %[2]s)", "SELECT greatest(%[1]s, %[2]s)",
		"SELECT least(%[1]s, %[2]s, %[3]s)", "SELECT %[1]s IN (%[2]s, %[3]s)", "VALUES (%[1]s), (%[2]s)", "SELECT nullif(%[1]s, %[2]s)", "SELECT %[1]s BETWEEN %[2]s AND %[3]s", "SELECT %[1]s IS DISTINCT FROM %[2]s", "SELECT CASE %[1]s WHEN %[2]s THEN 1 END",
		"SELECT %[1]s = ANY (ARRAY[%[2]s])", "SELECT (%[1]s, 1) = (%[2]s, 1)", "SELECT %[1]s EXCEPT SELECT %[2]s", "SELECT CASE WHEN %[1]s THEN 1 ELSE 2 END", "SELECT 1 WHERE %[1]s AND %[2]s", "SELECT * FROM (SELECT %[1]s UNION SELECT NULL) x", "SELECT 1 LIMIT %[1]s",
		"SELECT %[1]s IS TRUE", "SELECT NOT %[1]s", "SELECT (%[1]s)[1]", "SELECT (%[1]s).f", "SELECT count(*) FILTER (WHERE %[1]s)", "SELECT %[1]s AT TIME ZONE %[2]s", "SELECT %[1]s LIKE %[2]s", "SELECT %[1]s IS JSON", "SELECT %[1]s FROM edge WHERE id = 1 GROUP BY 1", "SELECT DISTINCT %[1]s", "SELECT 1 ORDER BY %[1]s",
		"SELECT %[1]s < ALL ('{}')", "SELECT extract(year FROM %[1]s)", "SELECT overlay(%[1]s PLACING %[2]s FROM 2)", "SELECT position(%[1]s IN %[2]s)", "SELECT substring(%[1]s FROM %[2]s)", "SELECT trim(%[1]s FROM %[2]s)", "SELECT (%[1]s, %[1]s) OVERLAPS (%[2]s, %[2]s)", "SELECT %[1]s || %[2]s",
	}
	i := g.IntN(len(forms))
	return Statement{Of: of, SQL: fmt.Sprintf(strings.ReplaceAll(forms[i], "%[3]s", "%[3]s")+"%[4]s", a, b, c, "")}
}

// Misuse calls a function or operator with arguments of other types than it has.
func (g *Exprs) Misuse() Statement {
	if g.chance(50) {
		f := pick(g.Rand, g.Library.Functions)
		args := make([]string, g.IntN(4))
		for i := range args {
			args[i] = g.value(pick(g.Rand, g.Library.Types))
		}
		return Statement{Of: "misuse of " + f.Name, SQL: "SELECT " + f.Name + "(" + strings.Join(args, ", ") + ")"}
	}
	o := pick(g.Rand, g.Library.Operators)
	a, b := g.value(pick(g.Rand, g.Library.Types)), g.value(pick(g.Rand, g.Library.Types))
	if o.Left == "" {
		return Statement{Of: "misuse of " + o.Name, SQL: "SELECT " + o.Name + " " + b}
	}
	return Statement{Of: "misuse of " + o.Name, SQL: "SELECT " + a + " " + o.Name + " " + b}
}

// Any returns one statement about anything.
func (g *Exprs) Any() Statement {
	types := g.Library.Types
	switch n := g.IntN(100); {
	case n < 38:
		return g.Call(pick(g.Rand, g.Library.Functions))
	case n < 58:
		return g.Operate(pick(g.Rand, g.Library.Operators))
	case n < 70:
		return g.Cast(pick(g.Rand, types), pick(g.Rand, types))
	case n < 82:
		return g.Input(pick(g.Rand, slices.Sorted(maps.Keys(spellings))))
	case n < 92:
		return g.Resolve()
	}
	return g.Misuse()
}

// Columns are the types that table edge has columns of, a_TYPE and b_TYPE.
var Columns = []string{"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "bytea", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "bit", "varbit", "jsonb", "_int4", "_text", "_numeric"}

// edgeRows is the number of rows of table edge.
const edgeRows = 60

// Table returns the statements that make table edge: columns of many types, with their edge values in random order.
func (g *Exprs) Table() []string {
	defs := []string{"id int PRIMARY KEY"}
	for _, t := range Columns {
		for _, prefix := range []string{"a_", "b_"} {
			defs = append(defs, prefix+t+" "+cast(t))
		}
	}
	out := []string{"DROP TABLE IF EXISTS edge", "CREATE TABLE edge (" + strings.Join(defs, ", ") + ")"}
	for id := range edgeRows {
		row := []string{fmt.Sprint(id + 1)}
		for _, t := range Columns {
			for range 2 {
				text := "NULL"
				if g.chance(92) {
					text = quote(pick(g.Rand, edges[t]))
				}
				row = append(row, text)
			}
		}
		out = append(out, "INSERT INTO edge VALUES ("+strings.Join(row, ", ")+")")
	}
	return out
}
