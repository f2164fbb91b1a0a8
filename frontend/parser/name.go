package parser

// canBe says whether the token may stand as a name, keywords up to what ok allows.
func (t *token) canBe(ok func(category) bool) bool {
	return t.kind == tokQuoted || t.kind == tokWord && ok(t.cat)
}

func isColID(c category) bool       { return c == catNone || c == catUnres || c == catColName }
func isFuncID(c category) bool      { return c == catNone || c == catUnres || c == catTypeFunc }
func isLabel(category) bool         { return true }
func isNonReserved(c category) bool { return c != catReserved }

// name consumes an identifier of the given kind.
func (p *parser) nameOf(ok func(category) bool) Ident {
	t := p.cur()
	if !t.canBe(ok) {
		p.fail()
	}
	p.advance()
	return Ident{Loc{t.pos}, t.val}
}

// colID consumes the name of a column, table or alias.
func (p *parser) colID() Ident { return p.nameOf(isColID) }

// label consumes any identifier or keyword: what may follow a dot or AS.
func (p *parser) label() Ident { return p.nameOf(isLabel) }

// typeFuncID consumes the unqualified name of a type or function.
func (p *parser) typeFuncID() Ident { return p.nameOf(isFuncID) }

// isColID says whether a column or table name stands here.
func (p *parser) isColID() bool { return p.cur().canBe(isColID) }

// qualifiedName consumes a[.b[.c]].
func (p *parser) qualifiedName() Name { return p.dotted(p.colID()) }

// anyFuncName consumes the possibly qualified name of a function, type or collation.
func (p *parser) anyFuncName() Name {
	if p.peek(1).isPunct(".") {
		return p.qualifiedName()
	}
	id := p.typeFuncID()
	return Name{id.Loc, []string{id.Name}}
}

// dotted consumes .b.c after a first part.
func (p *parser) dotted(first Ident) Name {
	n := Name{first.Loc, []string{first.Name}}
	for p.isPunct(".") {
		p.advance()
		n.Parts = append(n.Parts, p.label().Name)
	}
	return n
}

// nameList consumes a, b, c.
func (p *parser) nameList() []Ident {
	var ids []Ident
	p.list(func() { ids = append(ids, p.colID()) })
	return ids
}

// columnList consumes (a, b, c).
func (p *parser) columnList() []Ident {
	var ids []Ident
	p.parens(func() { ids = p.nameList() })
	return ids
}

// optColumnList consumes (a, b, c) if there is a parenthesis.
func (p *parser) optColumnList() []Ident {
	if !p.isPunct("(") {
		return nil
	}
	return p.columnList()
}

// qualifiedNames consumes a.b, c.d.
func (p *parser) qualifiedNames() []Name {
	var names []Name
	p.list(func() { names = append(names, p.qualifiedName()) })
	return names
}

// wordOrString consumes a non-reserved word or a string literal (PostgreSQL's NonReservedWord_or_Sconst).
func (p *parser) wordOrString() string {
	if p.cur().kind == tokString {
		return p.stringLit()
	}
	return p.nameOf(isNonReserved).Name
}

// role consumes the name of a user or role, or CURRENT_USER and its kin, by that name.
func (p *parser) role() Ident {
	t := p.cur()
	if t.cat == catReserved && p.isAny("current_user", "session_user", "current_role") {
		p.advance()
		return Ident{Loc{t.pos}, t.val}
	}
	return p.nameOf(isNonReserved)
}

// roleList consumes user, user.
func (p *parser) roleList() []Ident {
	var ids []Ident
	p.list(func() { ids = append(ids, p.role()) })
	return ids
}

// optWord consumes a noise word that stands before a name; without a name after it, it is the name.
func (p *parser) optWord(w string) bool {
	next := p.peek(1)
	return (next.canBe(isColID) || next.isWord("all")) && p.take(w)
}

// ifNotExists consumes IF NOT EXISTS.
func (p *parser) ifNotExists() bool { return p.takeWords("if", "not", "exists") }

// ifExists consumes IF EXISTS.
func (p *parser) ifExists() bool { return p.takeWords("if", "exists") }
