package parser

import "strings"

// showObjects are the lists that SHOW knows, longest first.
var showObjects = [][]string{
	{"materialized", "views"}, {"internal", "tables"}, {"subscription", "cursors"},
	{"tables"}, {"sources"}, {"sinks"}, {"views"}, {"indexes"}, {"schemas"}, {"databases"}, {"jobs"},
	{"parameters"}, {"processlist"}, {"cluster"}, {"users"}, {"roles"}, {"functions"}, {"subscriptions"},
	{"secrets"}, {"connections"}, {"cursors"}, {"types"}, {"sequences"}, {"fragments"}, {"actors"},
}

// show parses SHOW.
func (p *parser) show() Stmt {
	s := &ShowStmt{}
	p.advance()
	switch {
	case p.takeWords("columns", "from"), p.takeWords("columns", "in"):
		s.Kind, s.Relation = ShowColumns, p.qualifiedName()
		p.showFilter(s)
		return s
	case p.is("create") && p.peek(1).kind == tokWord:
		p.advance()
		s.Kind = ShowCreate
		if s.ObjectKind = p.objectKind(); s.ObjectKind == "" {
			p.fail()
		}
		s.Relation = p.objectName(s.ObjectKind).Name
		return s
	case p.takeWords("indexes", "from"), p.takeWords("indexes", "in"):
		s.Kind, s.Relation = ShowIndexes, p.qualifiedName()
		p.showFilter(s)
		return s
	}
	for _, words := range showObjects {
		if p.isWords(words...) && !p.peek(len(words)).isPunct(".") {
			p.expect(words...)
			s.Kind, s.Object = ShowObjects, upper(strings.Join(words, " "))
			if p.takeAny("from", "in") != "" {
				s.Schema = p.colID().Name
			}
			p.showFilter(s)
			return s
		}
	}
	s.Name = p.showSetting()
	return s
}

func (p *parser) showFilter(s *ShowStmt) {
	switch {
	case p.take("like"):
		pattern := p.stringLit()
		s.Like = &pattern
	case p.take("where"):
		s.Where = p.expr()
	}
}

func (p *parser) showSetting() string {
	switch {
	case p.takeWords("time", "zone"):
		return "timezone"
	case p.takeWords("transaction", "isolation", "level"):
		return "transaction_isolation"
	case p.takeWords("session", "authorization"):
		return "session_authorization"
	case p.take("all"):
		return "all"
	}
	return p.settingName()
}

// describe parses DESCRIBE [FRAGMENTS] relation.
func (p *parser) describe() Stmt {
	p.advance()
	s := &DescribeStmt{}
	if p.is("fragments") && p.peek(1).canBe(isColID) {
		p.advance()
		s.Fragments = true
	}
	s.Relation = p.qualifiedName()
	return s
}
