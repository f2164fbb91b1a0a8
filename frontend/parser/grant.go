package parser

// grant parses GRANT and REVOKE.
func (p *parser) grant() Stmt { return p.grantBody(false) }

// grantBody parses GRANT or REVOKE; as a default privilege, ON names only a class of objects.
func (p *parser) grantBody(isDefault bool) *GrantStmt {
	s := &GrantStmt{Revoke: p.is("revoke")}
	p.advance()
	if s.Revoke && (p.takeWords("grant", "option", "for") || p.takeWords("admin", "option", "for")) {
		s.WithGrant = true
	}
	p.privileges(s)
	if p.take("on") {
		p.grantObjects(s, isDefault)
	} else {
		if isDefault || s.Privileges[0].Name == "ALL" && s.Privileges[0].Columns == nil && !s.RoleGrant {
			p.fail()
		}
		s.RoleGrant = true
	}
	if s.Revoke {
		p.expect("from")
	} else {
		p.expect("to")
	}
	p.list(func() {
		p.take("group")
		s.Grantees = append(s.Grantees, p.role())
	})
	if !s.Revoke && (p.takeWords("with", "grant", "option") || p.takeWords("with", "admin", "option")) {
		s.WithGrant = true
	}
	if p.takeWords("granted", "by") {
		s.GrantedBy = p.role().Name
	}
	s.Behavior = p.dropBehavior()
	s.normalise(isDefault)
	return s
}

// normalise spells privileges in upper case; the names of roles stay as they are.
func (s *GrantStmt) normalise(isDefault bool) {
	if s.RoleGrant {
		return
	}
	for i := range s.Privileges {
		s.Privileges[i].Name = upper(s.Privileges[i].Name)
	}
	if isDefault {
		s.AllInSchema = false
	}
}

// privileges parses ALL [PRIVILEGES] [(columns)] or a list of privileges or roles.
func (p *parser) privileges(s *GrantStmt) {
	loc := p.loc()
	if p.take("all") {
		p.take("privileges")
		s.Privileges = []Privilege{{loc, "ALL", p.optColumnList()}}
		return
	}
	p.list(func() {
		loc := p.loc()
		word := p.takeAny("select", "references", "create")
		if word == "" {
			word = p.colID().Name
		}
		s.Privileges = append(s.Privileges, Privilege{loc, word, p.optColumnList()})
	})
}

// classWords are the plurals of ALL … IN SCHEMA and of default privileges.
var classWords = []struct {
	words []string
	kind  ObjectKind
}{
	{[]string{"materialized", "views"}, ObjMatView},
	{[]string{"tables"}, ObjTable},
	{[]string{"views"}, ObjView},
	{[]string{"sources"}, ObjSource},
	{[]string{"sinks"}, ObjSink},
	{[]string{"sequences"}, ObjSequence},
	{[]string{"functions"}, ObjFunction},
	{[]string{"procedures"}, ObjProcedure},
	{[]string{"routines"}, ObjRoutine},
	{[]string{"types"}, ObjType},
	{[]string{"schemas"}, ObjSchema},
	{[]string{"connections"}, ObjConnection},
	{[]string{"subscriptions"}, ObjSubscription},
	{[]string{"secrets"}, ObjSecret},
}

func (p *parser) objectClass() ObjectKind {
	for _, c := range classWords {
		if p.takeWords(c.words...) {
			return c.kind
		}
	}
	p.fail()
	return ""
}

// grantObjects parses what follows ON.
func (p *parser) grantObjects(s *GrantStmt, isDefault bool) {
	if isDefault {
		s.ObjectKind = p.objectClass()
		return
	}
	if p.take("all") {
		s.ObjectKind = p.objectClass()
		p.expect("in", "schema")
		s.AllInSchema = true
		p.list(func() {
			id := p.colID()
			s.Objects = append(s.Objects, DropName{Name: Name{id.Loc, []string{id.Name}}})
		})
		return
	}
	s.ObjectKind = ObjTable
	if p.cur().kind == tokWord && !p.peek(1).isWord("to") && !p.peek(1).isWord("from") && !p.peek(1).isPunct(",") && !p.peek(1).isPunct(".") {
		if kind := p.objectKind(); kind != "" {
			s.ObjectKind = kind
		}
	}
	p.list(func() { s.Objects = append(s.Objects, p.objectName(s.ObjectKind)) })
}
