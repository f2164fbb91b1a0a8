package parser

// objectWords are the words of statements about objects, longest first.
var objectWords = []struct {
	words []string
	kind  ObjectKind
}{
	{[]string{"materialized", "view"}, ObjMatView},
	{[]string{"table"}, ObjTable},
	{[]string{"view"}, ObjView},
	{[]string{"source"}, ObjSource},
	{[]string{"sink"}, ObjSink},
	{[]string{"index"}, ObjIndex},
	{[]string{"schema"}, ObjSchema},
	{[]string{"database"}, ObjDatabase},
	{[]string{"user"}, ObjUser},
	{[]string{"role"}, ObjRole},
	{[]string{"group"}, ObjGroup},
	{[]string{"secret"}, ObjSecret},
	{[]string{"connection"}, ObjConnection},
	{[]string{"subscription"}, ObjSubscription},
	{[]string{"function"}, ObjFunction},
	{[]string{"procedure"}, ObjProcedure},
	{[]string{"aggregate"}, ObjAggregate},
	{[]string{"routine"}, ObjRoutine},
	{[]string{"type"}, ObjType},
	{[]string{"domain"}, ObjDomain},
	{[]string{"sequence"}, ObjSequence},
}

// objectKind consumes the words for a kind of object; "" if none stand here.
func (p *parser) objectKind() ObjectKind {
	for _, o := range objectWords {
		if p.takeWords(o.words...) {
			return o.kind
		}
	}
	return ""
}

// hasArgs says whether a kind of object is named with its parameters.
func (k ObjectKind) hasArgs() bool {
	return k == ObjFunction || k == ObjProcedure || k == ObjAggregate || k == ObjRoutine
}

// isRole says whether a kind of object is a user or role.
func (k ObjectKind) isRole() bool { return k == ObjUser || k == ObjRole || k == ObjGroup }

// drop parses DROP.
func (p *parser) drop() Stmt {
	s := &DropStmt{}
	p.advance()
	if s.Kind = p.objectKind(); s.Kind == "" {
		p.fail()
	}
	if s.Kind == ObjIndex {
		s.Concurrently = p.take("concurrently")
	}
	s.IfExists = p.ifExists()
	p.list(func() { s.Names = append(s.Names, p.objectName(s.Kind)) })
	s.Behavior = p.dropBehavior()
	return s
}

// objectName parses the name of an object of that kind, with parameters where it has some.
func (p *parser) objectName(kind ObjectKind) DropName {
	if kind.isRole() {
		id := p.role()
		return DropName{Name: Name{id.Loc, []string{id.Name}}}
	}
	if !kind.hasArgs() {
		return DropName{Name: p.qualifiedName()}
	}
	n := DropName{Name: p.anyFuncName()}
	n.HasArgs, n.Args = p.optArgTypes()
	return n
}

// optArgTypes parses a parameter list that identifies a function: (int, text), (*) or none.
func (p *parser) optArgTypes() (bool, []FuncParam) {
	if !p.isPunct("(") {
		return false, nil
	}
	if p.peek(1).isOp("*") && p.peek(2).isPunct(")") {
		p.advance()
		p.advance()
		p.advance()
		return true, nil
	}
	return true, p.funcParams()
}

func (p *parser) dropBehavior() DropBehavior {
	switch {
	case p.take("cascade"):
		return DropCascade
	case p.take("restrict"):
		return DropRestrict
	}
	return DropDefault
}

// comment parses COMMENT ON.
func (p *parser) comment() Stmt {
	s := &CommentStmt{}
	p.expect("comment", "on")
	switch {
	case p.take("column"):
		s.Kind = ObjColumn
		s.Name = p.qualifiedName()
	case p.take("constraint"):
		s.Kind = ObjConstraint
		id := p.colID()
		s.Name = Name{id.Loc, []string{id.Name}}
		p.expect("on")
		s.OnType = !p.peek(1).isWord("is") && p.take("domain")
		s.On = p.qualifiedName()
	default:
		if s.Kind = p.objectKind(); s.Kind == "" {
			p.fail()
		}
		n := p.objectName(s.Kind)
		s.Name, s.HasArgs, s.Args = n.Name, n.HasArgs, n.Args
	}
	p.expect("is")
	if !p.take("null") {
		text := p.stringLit()
		s.Comment = &text
	}
	return s
}
