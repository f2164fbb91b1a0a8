package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// testParser reads the small part of SQL that the golden files are written in: literals with casts, calls,
// operators without precedence (write parentheses), ARRAY[…] and ROW(…). Overloads are found as the binder
// would, only simpler: most exact matches win, then implicit casts.
type testParser struct {
	s   string
	pos int
}

func parseExpr(s string) (e Expr, err error) {
	defer func() {
		if p := recover(); p != nil {
			if msg, ok := p.(parseError); ok {
				err = fmt.Errorf("parse: %s", string(msg))
				return
			}
			panic(p)
		}
	}()
	p := &testParser{s: s}
	e = p.binary()
	p.space()
	if p.pos != len(p.s) {
		p.fail("trailing text " + p.s[p.pos:])
	}
	return settle(e), nil
}

type parseError string

// createOwnTypes makes the types of ownTypes in PostgreSQL.
const createOwnTypes = "DROP TYPE IF EXISTS mood; DROP TYPE IF EXISTS pair; CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TYPE pair AS (a int, b text)"

// ownTypes are the types that golden files use besides the built-in ones.
var ownTypes = sync.OnceValue(func() map[string]sqltypes.Type {
	mood := sqltypes.Named(sqltypes.KEnum, 1<<40)
	mood.Define(&sqltypes.Def{Name: "mood", Labels: []sqltypes.Label{{Name: "sad", Place: 1}, {Name: "ok", Place: 2}, {Name: "happy", Place: 3}}})
	return map[string]sqltypes.Type{
		"mood": mood,
		"pair": sqltypes.StructOf([]sqltypes.RowField{{Name: "a", Type: sqltypes.Int4}, {Name: "b", Type: sqltypes.Text}}),
	}
})

func (p *testParser) fail(msg string) { panic(parseError(msg)) }

func (p *testParser) space() {
	for p.pos < len(p.s) && p.s[p.pos] == ' ' {
		p.pos++
	}
}

func (p *testParser) take(tok string) bool {
	p.space()
	if strings.HasPrefix(p.s[p.pos:], tok) {
		p.pos += len(tok)
		return true
	}
	return false
}

const operatorChars = "+-*/<>=~!@#%^&|?"

func (p *testParser) operator() string {
	p.space()
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte(operatorChars, p.s[p.pos]) >= 0 {
		p.pos++
	}
	return p.s[start:p.pos]
}

func (p *testParser) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.s) && (p.s[p.pos] == '_' || p.s[p.pos] == '.' || p.s[p.pos] == '"' || p.s[p.pos] >= 'a' && p.s[p.pos] <= 'z' ||
		p.s[p.pos] >= 'A' && p.s[p.pos] <= 'Z' || p.pos > start && p.s[p.pos] >= '0' && p.s[p.pos] <= '9') {
		p.pos++
	}
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(p.s[start:p.pos], "pg_catalog."), "information_schema."), `"`, "")
}

func (p *testParser) binary() Expr {
	l := p.unary()
	for {
		if p.take("IS DISTINCT FROM") {
			l = p.call("isdistinct", l, p.unary())
			continue
		}
		for _, truth := range []string{"NOT TRUE", "TRUE", "NOT FALSE", "FALSE"} {
			if p.take("IS " + truth) {
				l = p.call("is"+strings.ToLower(strings.ReplaceAll(truth, " ", "")), l)
			}
		}
		op := p.operator()
		if op == "" {
			return l
		}
		if op == "!=" {
			op = "<>"
		}
		l = p.call(op, l, p.unary())
	}
}

func (p *testParser) unary() Expr {
	if op := p.operator(); op != "" {
		return p.call(op, p.unary())
	}
	return p.postfix(p.primary())
}

func (p *testParser) postfix(e Expr) Expr {
	for p.take("::") {
		e = p.cast(e, p.typeName())
	}
	return e
}

func (p *testParser) typeName() sqltypes.Type {
	p.space()
	quoted := p.pos < len(p.s) && p.s[p.pos] == '"'
	name := strings.ToLower(p.word())
	if name == "double" || name == "character" {
		name += " " + p.word()
	}
	t, ok := sqltypes.ByName(name)
	if own, found := ownTypes()[name]; found {
		t, ok = own, true
	}
	if quoted && name == "char" {
		t, ok = sqltypes.Char, true
	}
	if !ok {
		p.fail("unknown type " + name)
	}
	if p.take("(") {
		end := strings.IndexByte(p.s[p.pos:], ')')
		var a, b int32
		n, _ := fmt.Sscanf(p.s[p.pos:p.pos+end], "%d,%d", &a, &b)
		p.pos += end + 1
		switch {
		case t.Kind == sqltypes.KNumeric && n >= 1:
			t = t.WithTypmod(sqltypes.NumericTypmod(a, b))
		case t.IsString():
			t = t.WithTypmod(a + 4)
		default:
			t = t.WithTypmod(a)
		}
	}
	if p.take("[]") {
		t = sqltypes.ArrayOf(t)
	}
	return t
}

// cast casts explicitly; an untyped literal is read by the type's input function.
func (p *testParser) cast(e Expr, t sqltypes.Type) Expr {
	return &Cast{Arg: e, Ty: t, Explicit: true}
}

func (p *testParser) primary() Expr {
	p.space()
	switch {
	case p.pos >= len(p.s):
		p.fail("unexpected end")
	case p.s[p.pos] == '\'' || strings.HasPrefix(p.s[p.pos:], "E'"):
		return &Const{Ty: sqltypes.Unknown, Val: []byte(p.str())}
	case p.s[p.pos] >= '0' && p.s[p.pos] <= '9':
		return p.number()
	case p.take("("):
		e := p.binary()
		if !p.take(")") {
			p.fail("missing )")
		}
		return e
	}
	name := strings.ToLower(p.word())
	switch name {
	case "true", "false":
		return &Const{Ty: sqltypes.Bool, Val: name == "true"}
	case "null":
		return &Const{Ty: sqltypes.Unknown}
	case "":
		p.fail("unexpected " + p.s[p.pos:])
	}
	open, end := "(", ")"
	if name == "array" {
		open, end = "[", "]"
	}
	if !p.take(open) {
		p.fail("expected " + open + " after " + name)
	}
	var args []Expr
	for !p.take(end) {
		args = append(args, p.binary())
		p.take(",")
	}
	switch name {
	case "array":
		return arrayExpr(args)
	case "row":
		return rowExpr(args)
	case "coalesce":
		ty := settle(args[0]).Type()
		for i := range args {
			args[i] = convert(args[i], ty)
		}
		return &Coalesce{args, ty}
	}
	return p.call(name, args...)
}

func (p *testParser) str() string {
	escapes := p.s[p.pos] == 'E'
	if escapes {
		p.pos++
	}
	var b strings.Builder
	for p.pos++; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		switch {
		case c == '\'' && strings.HasPrefix(p.s[p.pos:], "''"):
			p.pos++
			b.WriteByte('\'')
		case c == '\'':
			p.pos++
			return b.String()
		case c == '\\' && escapes:
			p.pos++
			switch p.s[p.pos] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'u':
				n, err := strconv.ParseUint(p.s[p.pos+1:p.pos+5], 16, 32)
				if err != nil {
					p.fail("bad escape")
				}
				b.WriteRune(rune(n))
				p.pos += 4
			default:
				b.WriteByte(p.s[p.pos])
			}
		default:
			b.WriteByte(c)
		}
	}
	p.fail("unterminated string")
	return ""
}

func (p *testParser) number() Expr {
	start := p.pos
	for p.pos < len(p.s) && (p.s[p.pos] >= '0' && p.s[p.pos] <= '9' || p.s[p.pos] == '.' || p.s[p.pos] == 'e' || p.s[p.pos] == '-' && p.s[p.pos-1] == 'e') {
		p.pos++
	}
	text := p.s[start:p.pos]
	for _, t := range ts(sqltypes.Int4, sqltypes.Int8) {
		if d, err := sqlio.ParseText(t, text, sqlio.DefaultSettings()); err == nil {
			return &Const{Ty: t, Val: d}
		}
	}
	d, err := numeric.Parse(text)
	if err != nil {
		p.fail(err.Error())
	}
	return &Const{Ty: sqltypes.Numeric, Val: d}
}

func arrayExpr(args []Expr) Expr {
	elem := sqltypes.Text
	for _, a := range args {
		if a.Type() != sqltypes.Unknown {
			elem = a.Type()
		}
	}
	for i := range args {
		args[i] = convert(args[i], elem)
	}
	if elem.Kind == sqltypes.KArray {
		return &MakeArray{args, elem, true}
	}
	return &MakeArray{args, sqltypes.ArrayOf(elem), false}
}

func rowExpr(args []Expr) Expr {
	for i := range args {
		args[i] = settle(args[i])
	}
	return &MakeRow{args, sqltypes.Record}
}

// settle makes an untyped literal a text.
func settle(e Expr) Expr {
	if e.Type() == sqltypes.Unknown {
		return convert(e, sqltypes.Text)
	}
	return e
}

func convert(e Expr, t sqltypes.Type) Expr {
	if e.Type().Base() == t.Base() {
		return e
	}
	if c, ok := e.(*Const); ok && c.Val == nil {
		return Null(t)
	}
	return &Cast{Arg: e, Ty: t.Base()}
}

func (p *testParser) call(name string, args ...Expr) Expr {
	best, bestScore := (*Func)(nil), noMatch
	for _, f := range ByName(name) {
		if score := matchArgs(f, args); score > bestScore {
			best, bestScore = f, score
		}
	}
	if best == nil {
		var types []string
		for _, a := range args {
			types = append(types, a.Type().String())
		}
		p.fail("no function " + name + "(" + strings.Join(types, ", ") + ")")
	}
	for i := range args {
		if want := paramType(best, i, args); !want.IsPseudo() {
			args[i] = convert(args[i], want)
		} else {
			args[i] = settle(args[i])
		}
	}
	return NewCall(best, args...)
}

// paramType is the declared type of parameter i; untyped literals for polymorphic ones take the type of others.
func paramType(f *Func, i int, args []Expr) sqltypes.Type {
	t := f.Args[min(i, len(f.Args)-1)]
	if args[i].Type() != sqltypes.Unknown && t.Kind != sqltypes.KRecord {
		return t
	}
	if t.Kind == sqltypes.KRecord {
		return sqltypes.AnyElement
	}
	switch t.Kind {
	case sqltypes.KAnyElement, sqltypes.KAnyNonArray:
		for k, a := range args {
			switch at := a.Type(); {
			case at == sqltypes.Unknown:
			case f.Args[min(k, len(f.Args)-1)].Kind == sqltypes.KAnyArray:
				return elemOf(at)
			case f.Args[min(k, len(f.Args)-1)].Kind == sqltypes.KAnyElement:
				return at
			}
		}
	case sqltypes.KAnyArray:
		for k, a := range args {
			switch at := a.Type(); {
			case at == sqltypes.Unknown:
			case f.Args[min(k, len(f.Args)-1)].Kind == sqltypes.KAnyArray:
				return at
			case f.Args[min(k, len(f.Args)-1)].Kind == sqltypes.KAnyElement:
				return sqltypes.ArrayOf(at)
			}
		}
	}
	return t
}

// noMatch is the score of an overload that does not fit.
const noMatch = -1 << 30

func matchArgs(f *Func, args []Expr) int {
	if len(args) > len(f.Args) && !f.Variadic || len(args) < len(f.Args)-f.Optional {
		return noMatch
	}
	score := 0
	for i, a := range args {
		want, have := f.Args[min(i, len(f.Args)-1)], a.Type().Base()
		switch {
		case have == want || want.Kind == have.Kind && have.Kind == sqltypes.KRecord:
			score += 100
		case have == sqltypes.Unknown:
			score += 10
			if want == sqltypes.Text {
				score += 5
			} else if len(args) == 2 && args[1-i].Type().Base() == want {
				score += 50
			}
		case want.Kind == sqltypes.KAny, want.Kind == sqltypes.KAnyElement:
			score += 20
		case want.Kind == sqltypes.KAnyMap:
			if have.Kind != sqltypes.KMap {
				return noMatch
			}
			score += 60
		case want.Kind == sqltypes.KAnyEnum:
			if have.Kind != sqltypes.KEnum {
				return noMatch
			}
			score += 60
		case want.Kind == sqltypes.KAnyNonArray && have.Kind != sqltypes.KArray:
			score += 20
		case want.Kind == sqltypes.KAnyArray && (have.Kind == sqltypes.KArray || isVector(have)):
			score += 30
		default:
			ctx, ok := LookupCast(have, want)
			if !ok || ctx != CastImplicit {
				return noMatch
			}
			score += 40
			if slices.Contains([]sqltypes.Kind{sqltypes.KFloat8, sqltypes.KText, sqltypes.KTimestamptz}, want.Kind) {
				score += 4 // preferred types
			}
			if want.Kind == sqltypes.KNumeric {
				score += 2
			}
		}
	}
	return score*10 - 2*len(f.Args) + boolScore(!f.Variadic)
}

func boolScore(b bool) int {
	if b {
		return 5
	}
	return 1
}
