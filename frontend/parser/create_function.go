package parser

import "strings"

// createFunction parses CREATE FUNCTION, PROCEDURE and AGGREGATE.
func (p *parser) createFunction(h createHead) Stmt {
	s := &CreateFunctionStmt{Kind: ObjectKind(upper(p.cur().val)), OrReplace: h.orReplace, Temp: h.temp}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.anyFuncName()
	s.Params = p.funcParams()
	if p.take("returns") {
		p.returns(s)
	}
	for p.functionClause(s) {
	}
	return s
}

// returns parses what follows RETURNS: a type, TABLE (…), or NULL ON NULL INPUT.
func (p *parser) returns(s *CreateFunctionStmt) {
	switch {
	case p.is("table"):
		p.advance()
		p.parens(func() {
			p.list(func() {
				id := p.typeFuncID()
				s.ReturnsTable = append(s.ReturnsTable, FuncParam{Loc: id.Loc, Name: id.Name, Type: p.typeName()})
			})
		})
	case p.takeWords("null", "on", "null", "input"):
		s.Strict = boolPtr(true)
	default:
		s.Returns = p.typeName()
	}
}

func boolPtr(b bool) *bool { return &b }

// funcParams parses ([mode] [name] type [DEFAULT x], …).
func (p *parser) funcParams() []FuncParam {
	var params []FuncParam
	p.parens(func() {
		if !p.isPunct(")") {
			p.list(func() { params = append(params, p.funcParam()) })
		}
	})
	return params
}

// funcParam parses one parameter. The mode may also follow the name.
func (p *parser) funcParam() FuncParam {
	f := FuncParam{Loc: p.loc()}
	f.Mode = p.paramMode()
	if p.startsParamName() {
		f.Name = p.typeFuncID().Name
		if f.Mode == "" {
			f.Mode = p.paramMode()
		}
	}
	f.Type = p.typeName()
	if p.take("default") || p.takeOp("=") {
		f.Default = p.expr()
	}
	return f
}

func (p *parser) paramMode() string {
	switch {
	case p.takeWords("in", "out"):
		return "INOUT"
	case p.isAny("in", "out", "inout", "variadic"):
		return upper(p.takeAny("in", "out", "inout", "variadic"))
	}
	return ""
}

// startsParamName tells a name followed by a type from a type alone.
func (p *parser) startsParamName() bool {
	t, next := p.cur(), p.peek(1)
	if !t.canBe(isFuncID) || t.isWord("double") && next.isWord("precision") {
		return false
	}
	return next.kind == tokQuoted || next.kind == tokWord && next.val != "default" && next.val != "array" &&
		(next.cat != catReserved || next.val == "variadic" || next.val == "in")
}

// functionClause parses one clause after the signature, in any order.
func (p *parser) functionClause(s *CreateFunctionStmt) bool {
	switch {
	case p.take("language"):
		s.Language = p.wordOrString()
	case p.take("as"):
		p.functionBody(s)
	case p.take("return"):
		s.Return = p.expr()
	case p.takeWords("begin", "atomic"):
		p.atomicBody(s)
	case p.takeWords("using", "link"):
		s.Link = p.stringLit()
	case p.take("runtime"):
		p.takeOp("=")
		s.Runtime = p.wordOrString()
	case p.is("with") && p.peek(1).isPunct("("):
		s.Options = p.withOptions()
	default:
		return p.functionProperty(s)
	}
	return true
}

// functionProperty parses one clause that ALTER FUNCTION has, too.
func (p *parser) functionProperty(s *CreateFunctionStmt) bool {
	switch {
	case p.isAny("immutable", "stable", "volatile"):
		s.Volatility = upper(p.takeAny("immutable", "stable", "volatile"))
	case p.take("strict"), p.takeWords("returns", "null", "on", "null", "input"):
		s.Strict = boolPtr(true)
	case p.takeWords("called", "on", "null", "input"):
		s.Strict = boolPtr(false)
	default:
		return p.functionAttribute(s)
	}
	return true
}

// functionBody parses the text after AS, in one string or two; the streaming dialect also takes a bare
// word, the name of the function outside.
func (p *parser) functionBody(s *CreateFunctionStmt) {
	text := p.wordOrString()
	s.Body = &text
	if p.takePunct(",") {
		symbol := p.stringLit()
		s.LinkObj = &symbol
	}
}

// atomicBody parses the statements up to END.
func (p *parser) atomicBody(s *CreateFunctionStmt) {
	s.Atomic = []Stmt{}
	for !p.take("end") {
		if p.takePunct(";") {
			continue
		}
		s.Atomic = append(s.Atomic, p.preparable())
		if !p.takePunct(";") {
			p.fail()
		}
	}
}

// functionAttribute parses a clause that is kept as it is.
func (p *parser) functionAttribute(s *CreateFunctionStmt) bool {
	var words []string
	switch {
	case p.isAny("cost", "rows"):
		words = []string{p.cur().val}
		p.advance()
		words = append(words, p.numberText())
	case p.take("parallel"):
		words = []string{"parallel", p.colID().Name}
	case p.take("leakproof"):
		words = []string{"leakproof"}
	case p.takeWords("not", "leakproof"):
		words = []string{"not", "leakproof"}
	case p.take("window"):
		words = []string{"window"}
	case p.takeWords("external", "security"), p.take("security"):
		who := p.takeAny("definer", "invoker")
		if who == "" {
			p.fail()
		}
		words = []string{"security", who}
	default:
		return false
	}
	s.Attributes = append(s.Attributes, upper(strings.Join(words, " ")))
	return true
}
