package parser

import "github.com/millrace/millrace/internal/sqlerr"

// createRole parses CREATE USER, ROLE and GROUP.
func (p *parser) createRole() Stmt {
	s := &CreateRoleStmt{Kind: ObjectKind(upper(p.cur().val))}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.role()
	p.take("with")
	s.Options = p.roleOptions()
	return s
}

// roleFlags are the options of a role that are one word.
var roleFlags = map[string]bool{
	"superuser": true, "nosuperuser": true, "createdb": true, "nocreatedb": true,
	"createrole": true, "nocreaterole": true, "createuser": true, "nocreateuser": true,
	"inherit": true, "noinherit": true, "login": true, "nologin": true,
	"replication": true, "noreplication": true, "bypassrls": true, "nobypassrls": true,
}

func (p *parser) roleOptions() []RoleOption {
	var opts []RoleOption
	for p.cur().kind == tokWord {
		opts = append(opts, p.roleOption())
	}
	return opts
}

func (p *parser) roleOption() RoleOption {
	o := RoleOption{Loc: p.loc()}
	value := func(s string) { o.Value = &s }
	w := p.cur().val
	switch {
	case roleFlags[w]:
		p.advance()
		o.Name = upper(w)
	case p.takeWords("encrypted", "password"):
		o.Name = "ENCRYPTED PASSWORD"
		value(p.stringLit())
	case p.take("password"):
		o.Name = "PASSWORD"
		if !p.take("null") {
			value(p.stringLit())
		}
	case p.takeWords("valid", "until"):
		o.Name = "VALID UNTIL"
		value(p.stringLit())
	case p.takeWords("connection", "limit"):
		o.Name = "CONNECTION LIMIT"
		value(p.numberText())
	case p.take("sysid"):
		o.Name = "SYSID"
		value(p.numberText())
	case p.take("oauth"):
		o.Name = "OAUTH"
		if p.isPunct("(") {
			o.With = p.options()
		}
	case p.takeWords("in", "role"), p.takeWords("in", "group"):
		o.Name = "IN ROLE"
		o.Roles = p.roleList()
	case p.isAny("role", "user", "admin"):
		o.Name = "ROLE"
		if p.is("admin") {
			o.Name = "ADMIN"
		}
		p.advance()
		o.Roles = p.roleList()
	case p.cur().cat != catNone:
		p.fail()
	default:
		p.errorAt(sqlerr.SyntaxError, o.Pos, "unrecognized role option \"%s\"", w)
	}
	return o
}
