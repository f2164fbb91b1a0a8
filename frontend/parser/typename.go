package parser

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

// typeName parses a complete type: [SETOF] simple [ARRAY | [n]…].
func (p *parser) typeName() *TypeName {
	p.enter()
	defer p.leave()
	setOf := p.take("setof")
	t := p.simpleType(false)
	t.SetOf = setOf
	if p.take("array") {
		dim := -1
		if p.takePunct("[") {
			dim = p.intLit()
			p.expectPunct("]")
		}
		t.Dims = []int{dim}
		return t
	}
	for p.takePunct("[") {
		dim := -1
		if !p.isPunct("]") {
			dim = p.intLit()
		}
		p.expectPunct("]")
		t.Dims = append(t.Dims, dim)
	}
	return t
}

// simpleType parses a type without array bounds. In a typed literal (konst), char and bit have no
// default length.
func (p *parser) simpleType(konst bool) *TypeName {
	t := p.cur()
	if t.kind == tokWord && (t.cat == catColName || t.val == "double" || t.val == "json") {
		if typ := p.keywordType(konst); typ != nil {
			return typ
		}
	}
	return p.genericType()
}

// plainKeywordTypes are the SQL spellings of types that take no modifier.
var plainKeywordTypes = map[string]string{
	"int": "int4", "integer": "int4", "smallint": "int2", "bigint": "int8", "real": "float4",
	"boolean": "bool", "json": "json",
}

// keywordType parses a type that SQL spells with keywords; nil if none stands here.
func (p *parser) keywordType(konst bool) *TypeName {
	w, loc := p.cur().val, p.loc()
	if name, ok := plainKeywordTypes[w]; ok {
		p.advance()
		return namedType(loc, name)
	}
	switch w {
	case "double":
		if !p.takeWords("double", "precision") {
			return nil
		}
		return namedType(loc, "float8")
	case "float":
		p.advance()
		return p.floatType(loc)
	case "decimal", "dec", "numeric":
		p.advance()
		typ := namedType(loc, "numeric")
		typ.Mods = p.optTypeMods()
		return typ
	case "char", "character", "varchar", "national", "nchar":
		return p.charType(loc, konst)
	case "bit":
		return p.bitType(loc, konst)
	case "time", "timestamp":
		return p.timeType(loc)
	case "interval":
		p.advance()
		return p.intervalType(loc)
	}
	return nil
}

func namedType(loc Loc, name string) *TypeName {
	return &TypeName{Loc: loc, Name: Name{loc, []string{name}}}
}

func (p *parser) floatType(loc Loc) *TypeName {
	if !p.takePunct("(") {
		return namedType(loc, "float8")
	}
	at := p.pos()
	n := p.intLit()
	p.expectPunct(")")
	switch {
	case n < 1:
		p.errorAt(sqlerr.InvalidParameterValue, at, "precision for type float must be at least 1 bit")
	case n > 53:
		p.errorAt(sqlerr.InvalidParameterValue, at, "precision for type float must be less than 54 bits")
	case n <= 24:
		return namedType(loc, "float4")
	}
	return namedType(loc, "float8")
}

// charType parses [NATIONAL] CHAR[ACTER] [VARYING] [(n)], NCHAR and VARCHAR.
func (p *parser) charType(loc Loc, konst bool) *TypeName {
	if p.take("national") {
		if !p.isAny("char", "character") {
			p.fail()
		}
	}
	name := "bpchar"
	if p.is("varchar") {
		name = "varchar"
	}
	p.advance()
	if name == "bpchar" && p.take("varying") {
		name = "varchar"
	}
	typ := namedType(loc, name)
	typ.Mods = p.optIntMod()
	if name == "bpchar" && typ.Mods == nil && !konst {
		typ.Mods = one(loc)
	}
	return typ
}

func (p *parser) bitType(loc Loc, konst bool) *TypeName {
	p.advance()
	if p.take("varying") {
		typ := namedType(loc, "varbit")
		typ.Mods = p.optTypeMods()
		return typ
	}
	typ := namedType(loc, "bit")
	if typ.Mods = p.optTypeMods(); typ.Mods == nil && !konst {
		typ.Mods = one(loc)
	}
	return typ
}

func one(loc Loc) []Expr { return []Expr{&NumberLit{Loc: loc, Text: "1", Int: true}} }

func (p *parser) timeType(loc Loc) *TypeName {
	name := p.cur().val
	p.advance()
	mods := p.optIntMod()
	if p.takeWords("with", "time", "zone") {
		name += "tz"
	} else {
		p.takeWords("without", "time", "zone")
	}
	typ := namedType(loc, name)
	typ.Mods = mods
	return typ
}

// optIntMod parses an optional (n).
func (p *parser) optIntMod() []Expr {
	if !p.isPunct("(") {
		return nil
	}
	var mods []Expr
	p.parens(func() {
		loc := p.loc()
		mods = []Expr{&NumberLit{Loc: loc, Text: strconv.Itoa(p.intLit()), Int: true}}
	})
	return mods
}

// optTypeMods parses an optional (expr, …).
func (p *parser) optTypeMods() []Expr {
	if !p.isPunct("(") {
		return nil
	}
	var mods []Expr
	p.parens(func() { mods = p.exprList() })
	return mods
}

// intervalType parses what may follow INTERVAL in a type: (p), or fields.
func (p *parser) intervalType(loc Loc) *TypeName {
	typ := namedType(loc, "interval")
	if p.isPunct("(") {
		typ.Mods = p.optIntMod()
		return typ
	}
	p.intervalFields(typ)
	return typ
}

// intervalRank orders the fields; field b may end a range that begins with a lower a, except that
// YEAR goes only to MONTH.
var intervalRank = map[string]int{"year": 1, "month": 2, "day": 3, "hour": 4, "minute": 5, "second": 6}

// intervalFields parses YEAR, DAY TO SECOND(3), … into typ.
func (p *parser) intervalFields(typ *TypeName) {
	t := p.cur()
	from, ok := intervalRank[t.val]
	if t.kind != tokWord || !ok {
		return
	}
	first := t.val
	p.advance()
	last := first
	if p.is("to") && first != "month" && first != "second" {
		to, ok := intervalRank[p.peek(1).val]
		if !ok || p.peek(1).kind != tokWord || to <= from || first == "year" && to != 2 {
			p.advance()
			p.fail()
		}
		p.advance()
		last = p.cur().val
		p.advance()
		typ.IntervalFields = strings.ToUpper(first + " to " + last)
	} else {
		typ.IntervalFields = strings.ToUpper(first)
	}
	if last == "second" {
		typ.Mods = p.optIntMod()
	}
}

// genericType parses a type by name, with modifiers, and the streaming dialect's struct<…> and map(…).
func (p *parser) genericType() *TypeName {
	loc := p.loc()
	plain := p.cur().kind == tokWord
	var name Name
	if p.peek(1).isPunct(".") {
		t := p.cur()
		if !t.canBe(isFuncID) {
			p.fail()
		}
		p.advance()
		name = p.dotted(Ident{loc, t.val})
	} else {
		id := p.typeFuncID()
		name = Name{loc, []string{id.Name}}
		if plain && id.Name == "struct" && p.cur().kind == tokOp && p.cur().val[0] == '<' {
			return p.structType(loc, name)
		}
		if plain && id.Name == "map" && p.isPunct("(") {
			return p.mapType(loc, name)
		}
	}
	return &TypeName{Loc: loc, Name: name, Mods: p.optTypeMods()}
}

// structType parses <a int, b struct<c int>> after STRUCT.
func (p *parser) structType(loc Loc, name Name) *TypeName {
	typ := &TypeName{Loc: loc, Name: name}
	p.splitOp('<')
	p.list(func() {
		id := p.label()
		typ.Fields = append(typ.Fields, StructField{Loc: id.Loc, Name: id.Name, Type: p.typeName()})
	})
	p.splitOp('>')
	return typ
}

// splitOp consumes c from the front of an operator: the >> that ends two structs is two tokens.
func (p *parser) splitOp(c byte) {
	t := p.cur()
	if t.kind != tokOp || t.val[0] != c {
		p.fail()
	}
	if len(t.val) == 1 {
		p.advance()
		return
	}
	t.val = t.val[1:]
	t.pos++
}

// mapType parses (key, value) after MAP.
func (p *parser) mapType(loc Loc, name Name) *TypeName {
	typ := &TypeName{Loc: loc, Name: name}
	p.parens(func() {
		typ.Key = p.typeName()
		p.expectPunct(",")
		typ.Value = p.typeName()
	})
	return typ
}
