package parser

import (
	"strconv"
	"strings"
)

// Format returns a node as SQL text on one line. Parsing the text gives an equal tree, offsets aside.
// It takes statements, queries, query bodies, expressions, types and FROM items.
func Format(n Node) string {
	var f formatter
	f.node(n)
	return f.b.String()
}

// QuoteString returns s as a string literal.
func QuoteString(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// QuoteName returns a qualified name as SQL text.
func QuoteName(n Name) string {
	var f formatter
	f.name(n)
	return f.b.String()
}

// formatter appends SQL text.
type formatter struct{ b strings.Builder }

func (f *formatter) node(n Node) {
	switch n := n.(type) {
	case Stmt:
		f.stmt(n)
	case *Query:
		f.query(n)
	case QueryBody:
		f.body(n, 1)
	case Expr:
		f.expr(n)
	case TableRef:
		f.tableRef(n)
	case *TypeName:
		f.typeName(n)
	case *WindowSpec:
		f.windowSpec(n)
	}
}

// add appends pieces as they are.
func (f *formatter) add(pieces ...string) {
	for _, s := range pieces {
		f.b.WriteString(s)
	}
}

// addIf appends text if ok.
func (f *formatter) addIf(ok bool, text string) {
	if ok {
		f.b.WriteString(text)
	}
}

func (f *formatter) ident(name string)  { f.b.WriteString(QuoteIdent(name)) }
func (f *formatter) string(text string) { f.b.WriteString(QuoteString(text)) }

func (f *formatter) name(n Name) { f.parts(n.Parts) }

func (f *formatter) parts(parts []string) {
	for i, part := range parts {
		f.addIf(i > 0, ".")
		f.ident(part)
	}
}

// commas calls item for 0 … n-1 with commas between.
func (f *formatter) commas(n int, item func(i int)) {
	for i := range n {
		f.addIf(i > 0, ", ")
		item(i)
	}
}

func (f *formatter) idents(ids []Ident) {
	f.commas(len(ids), func(i int) { f.ident(ids[i].Name) })
}

// columns appends " (a, b)" unless there are none.
func (f *formatter) columns(ids []Ident) {
	if len(ids) > 0 {
		f.add(" (")
		f.idents(ids)
		f.add(")")
	}
}

func (f *formatter) names(names []Name) {
	f.commas(len(names), func(i int) { f.name(names[i]) })
}

// sqlTypes are the spellings of the canonical type names; %s stands for the modifiers.
var sqlTypes = map[string]string{
	"int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real", "float8": "double precision",
	"bool": "boolean", "numeric": "numeric%s", "varchar": "character varying%s", "bpchar": "character%s",
	"time": "time%s", "timestamp": "timestamp%s", "timetz": "time%s with time zone",
	"timestamptz": "timestamp%s with time zone", "bit": "bit%s", "interval": "interval%s", "json": "json",
}

func (f *formatter) typeName(t *TypeName) {
	f.addIf(t.SetOf, "SETOF ")
	switch {
	case t.Fields != nil:
		f.add("struct<")
		f.fields(t.Fields)
		f.add(">")
	case t.Key != nil:
		f.add("map(")
		f.typeName(t.Key)
		f.add(", ")
		f.typeName(t.Value)
		f.add(")")
	case !f.sqlType(t):
		f.name(t.Name)
		f.mods(t.Mods)
	}
	for _, dim := range t.Dims {
		f.add("[")
		f.addIf(dim >= 0, strconv.Itoa(dim))
		f.add("]")
	}
}

func (f *formatter) mods(mods []Expr) {
	if len(mods) > 0 {
		f.add("(")
		f.exprs(mods)
		f.add(")")
	}
}

// sqlType writes a type in SQL's own spelling, if it has one that says the same.
func (f *formatter) sqlType(t *TypeName) bool {
	if len(t.Name.Parts) != 1 {
		return false
	}
	spelling, ok := sqlTypes[t.Name.Parts[0]]
	if !ok {
		return false
	}
	before, after, takesMods := strings.Cut(spelling, "%s")
	switch name := t.Name.Parts[0]; {
	case !takesMods && t.Mods != nil:
		return false
	case (name == "bpchar" || name == "bit") && t.Mods == nil:
		return false
	case name != "numeric" && name != "bit" && !plainMod(t.Mods):
		return false
	}
	f.add(before)
	f.addIf(t.IntervalFields != "", " "+strings.ToLower(t.IntervalFields))
	f.mods(t.Mods)
	f.add(after)
	return true
}

// plainMod says that the modifiers are none, or one unsigned integer, which is all that most of SQL's
// own types take.
func plainMod(mods []Expr) bool {
	if len(mods) == 0 {
		return true
	}
	n, ok := mods[0].(*NumberLit)
	return ok && n.Int && len(mods) == 1 && len(n.Text) < 10
}

func (f *formatter) fields(fields []StructField) {
	f.commas(len(fields), func(i int) {
		f.ident(fields[i].Name)
		f.add(" ")
		f.typeName(fields[i].Type)
		f.collation(fields[i].Collation)
	})
}

func (f *formatter) collation(n Name) {
	if !n.IsZero() {
		f.add(" COLLATE ")
		f.name(n)
	}
}
