package expr

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Format prints e as EXPLAIN shows it, much as PostgreSQL would: (a > 5), lower(name), (x)::numeric. colName
// names the input columns; nil, or an empty name, falls back to the name kept in the node and then to $n.
func Format(e Expr, colName func(index int) string) string {
	p := printer{colName: colName}
	p.expr(e)
	return p.b.String()
}

type printer struct {
	b       strings.Builder
	colName func(int) string
}

func (p *printer) write(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
	}
}

func (p *printer) list(es []Expr, sep string) {
	for i, e := range es {
		if i > 0 {
			p.write(sep)
		}
		p.expr(e)
	}
}

func (p *printer) expr(e Expr) {
	switch x := e.(type) {
	case nil:
		p.write("NULL")
	case *Col:
		p.write(p.column(x))
	case *Const:
		p.constant(x.Ty, x.Val)
	case *Param:
		p.write("$", strconv.Itoa(x.Index))
	case *Call:
		p.call(x)
	case *Cast:
		p.write("(")
		p.expr(x.Arg)
		p.write(")::", x.Ty.String())
	case *ToDomain:
		p.write("(")
		p.expr(x.Arg)
		p.write(")::", x.Ty.String())
	case *BoolOp:
		p.write("(")
		p.list(x.Args, choose(x.Or, " OR ", " AND "))
		p.write(")")
	case *Not:
		p.write("(NOT ")
		p.expr(x.Arg)
		p.write(")")
	case *IsNull:
		p.write("(")
		p.expr(x.Arg)
		p.write(choose(x.Negate, " IS NOT NULL)", " IS NULL)"))
	case *Case:
		p.caseOf(x)
	case *Coalesce:
		p.write("COALESCE(")
		p.list(x.Args, ", ")
		p.write(")")
	case *InList:
		p.inList(x)
	case *AnyAll:
		p.write("(")
		p.expr(x.Left)
		p.write(" ", nameOf(x.Sig), choose(x.All, " ALL (", " ANY ("))
		p.expr(x.Array)
		p.write("))")
	case *MakeArray:
		p.write("ARRAY[")
		p.list(x.Args, ", ")
		p.write("]")
	case *MakeRow:
		p.write("ROW(")
		p.list(x.Args, ", ")
		p.write(")")
	case *Field:
		p.write("(")
		p.expr(x.Arg)
		p.write(").", p.field(x))
	default:
		p.other(e)
	}
}

// other prints nodes of other packages: by their own method if they have one.
func (p *printer) other(e Expr) {
	if s, ok := e.(interface{ String() string }); ok {
		p.write(s.String())
		return
	}
	p.write("?(")
	p.list(Children(e), ", ")
	p.write(")")
}

func (p *printer) column(x *Col) string {
	if p.colName != nil {
		if name := p.colName(x.Index); name != "" {
			return name
		}
	}
	if x.Name != "" {
		return x.Name
	}
	return "$" + strconv.Itoa(x.Index)
}

func (p *printer) field(x *Field) string {
	if fs := x.Arg.Type().Fields(); x.Index < len(fs) && fs[x.Index].Name != "" {
		return fs[x.Index].Name
	}
	return "f" + strconv.Itoa(x.Index+1)
}

// constant prints numbers and booleans bare, everything else quoted with its type.
func (p *printer) constant(t sqltypes.Type, d sqltypes.Datum) {
	if d == nil {
		p.write("NULL::", t.String())
		return
	}
	text := sqlio.TextOf(t, d, defaultSettings)
	switch {
	case t.Kind == sqltypes.KBool:
		p.write(choose(text == "t", "true", "false"))
	case t.IsNumber() && text[0] != '-' && (text[0] < 'A' || text[0] > 'z'):
		p.write(text)
	default:
		p.write("'", strings.ReplaceAll(text, "'", "''"), "'::", t.String())
	}
}

// nameOf cuts the argument types off a signature.
func nameOf(sig string) string {
	if name, _, ok := strings.Cut(sig, "("); ok {
		return name
	}
	return sig
}

func isOperator(name string) bool {
	return name != "" && strings.IndexByte("+-*/<>=~!@#%^&|?", name[0]) >= 0
}

func (p *printer) call(x *Call) {
	name := nameOf(x.Sig)
	switch {
	case name == "isdistinct" && len(x.Args) == 2:
		name = "IS DISTINCT FROM"
	case name == "array_subscript":
		p.write("(")
		p.expr(x.Args[0])
		p.write(")")
		for _, a := range x.Args[1:] {
			p.write("[")
			p.expr(a)
			p.write("]")
		}
		return
	case name == "greatest" || name == "least":
		name = strings.ToUpper(name)
		fallthrough
	case !isOperator(name):
		p.write(name, "(")
		p.list(x.Args, ", ")
		p.write(")")
		return
	}
	p.write("(")
	if len(x.Args) == 2 {
		p.expr(x.Args[0])
		p.write(" ", name, " ")
		p.expr(x.Args[1])
	} else {
		p.write(name, " ")
		p.list(x.Args, ", ")
	}
	p.write(")")
}

func (p *printer) caseOf(x *Case) {
	p.write("CASE")
	for _, w := range x.Whens {
		p.write(" WHEN ")
		p.expr(w.Cond)
		p.write(" THEN ")
		p.expr(w.Then)
	}
	if x.Else != nil {
		p.write(" ELSE ")
		p.expr(x.Else)
	}
	p.write(" END")
}

func (p *printer) inList(x *InList) {
	p.write("(")
	p.expr(x.Arg)
	p.write(choose(x.Negate, " NOT IN (", " IN ("))
	for i, d := range x.Vals {
		if i > 0 {
			p.write(", ")
		}
		p.constant(x.Arg.Type(), d)
	}
	if x.HasNull {
		p.write(choose(len(x.Vals) > 0, ", NULL", "NULL"))
	}
	p.write("))")
}

func choose(cond bool, a, b string) string {
	if cond {
		return a
	}
	return b
}
