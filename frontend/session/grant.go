package session

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	invalidGrant     sqlerr.Code = "0LP01"
	dependentRights  sqlerr.Code = "2BP01"
	notGranted       sqlerr.Code = "01007"
	notRevoked       sqlerr.Code = "01006"
	databaseCreation             = "CREATE"
)

// secured is an object that GRANT and REVOKE name.
type secured struct {
	catalog.Protected
	class, kind, name string // "table", and how errors call this one: "view v"
	// above are the rights on the relation, of a column: who may give those may give these.
	above *catalog.Protected
	rel   *catalog.Relation
	// put adds the object with other rights to a change.
	put func(c *catalog.Change, acl []catalog.Grant)
}

// grant runs GRANT and REVOKE.
func (s *Session) grant(ctx context.Context, x *parser.GrantStmt) error {
	if x.RoleGrant {
		return s.grantRoles(ctx, x)
	}
	snap := s.snapshot()
	var grantees []string
	for _, g := range x.Grantees {
		if g.Name == "public" {
			grantees = append(grantees, "")
			continue
		}
		name, err := s.roleNamed(g)
		if err != nil {
			return err
		}
		grantees = append(grantees, name)
	}
	if x.ObjectKind == parser.ObjDatabase {
		return s.grantDatabase(ctx, snap, x, grantees)
	}
	objects, err := s.grantObjects(snap, x)
	if err != nil {
		return err
	}
	var c catalog.Change
	plain, byColumn := onColumns(x)
	for _, o := range objects {
		if o.rel != nil {
			r, err := s.grantRelation(snap, o, x, plain, byColumn, grantees)
			if err != nil {
				return err
			}
			c.Put = append(c.Put, r)
			continue
		}
		if byColumn != nil {
			return sqlerr.New(invalidGrant, "column privileges are only valid for relations")
		}
		acl, err := s.regrant(snap, o, x, grantees)
		if err != nil {
			return err
		}
		if acl != nil {
			o.put(&c, acl)
		}
	}
	return s.apply(ctx, snap, c)
}

// onColumns separates the privileges on columns, one by one, from the others.
func onColumns(x *parser.GrantStmt) (plain *parser.GrantStmt, byColumn []*parser.GrantStmt) {
	with := func(ps []parser.Privilege) *parser.GrantStmt {
		y := *x
		y.Privileges = ps
		return &y
	}
	var rest []parser.Privilege
	for _, p := range x.Privileges {
		if p.Columns == nil {
			rest = append(rest, p)
		} else {
			byColumn = append(byColumn, with([]parser.Privilege{p}))
		}
	}
	if rest != nil {
		plain = with(rest)
	}
	return plain, byColumn
}

// grantRelation returns a relation with other rights on it and on its columns. What is revoked from the relation is revoked from its
// columns, too.
func (s *Session) grantRelation(snap *catalog.Snapshot, o secured, x, plain *parser.GrantStmt, byColumn []*parser.GrantStmt, grantees []string) (*catalog.Relation, error) {
	r := *o.rel
	r.Columns = slices.Clone(r.Columns)
	if plain != nil {
		acl, err := s.regrant(snap, o, plain, grantees)
		if err != nil {
			return nil, err
		}
		if acl != nil {
			r.ACL = acl
		}
		if rights, err := rightsOf(plain, o); err == nil && x.Revoke && acl != nil {
			s.revokeColumns(&r, o, x, rights, grantees)
		}
	}
	for _, y := range byColumn {
		for _, id := range y.Privileges[0].Columns {
			k, ok := r.Column(id.Name)
			if !ok {
				return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", id.Name, r.Name)
			}
			p := o.Protected
			column := secured{Protected: r.ProtectedColumn(k), class: "column", kind: o.kind, name: o.name, above: &p}
			acl, err := s.regrant(snap, column, y, grantees)
			if err != nil {
				return nil, err
			}
			if acl != nil {
				r.Columns[k].ACL = acl
			}
			if len(r.Columns[k].ACL) == 0 {
				r.Columns[k].ACL = nil
			}
		}
	}
	return &r, nil
}

// revokeColumns takes rights on the columns.
func (s *Session) revokeColumns(r *catalog.Relation, o secured, x *parser.GrantStmt, rights string, grantees []string) {
	grantor := s.User()
	if s.snapshot().Acts(grantor, o.Owner) {
		grantor = o.Owner
	}
	for k := range r.Columns {
		p := r.ProtectedColumn(k)
		for _, g := range grantees {
			if acl, dependent := p.Without(catalog.Grant{Grantee: g, Grantor: grantor, Rights: rights}, x.WithGrant, x.Behavior == parser.DropCascade); !dependent {
				p.ACL = acl
			}
		}
		if r.Columns[k].ACL = p.ACL; len(p.ACL) == 0 {
			r.Columns[k].ACL = nil
		}
	}
}

// regrant returns an object's rights after GRANT or REVOKE; nil when there is nothing that the user may give.
func (s *Session) regrant(snap *catalog.Snapshot, o secured, x *parser.GrantStmt, grantees []string) ([]catalog.Grant, error) {
	wanted, err := rightsOf(x, o)
	if err != nil {
		return nil, err
	}
	user, grantor := s.User(), s.User()
	if snap.Acts(user, o.Owner) {
		grantor = o.Owner
	}
	may, any := snap.Options(user, o.Protected, wanted), snap.Rights(user, o.Protected, o.All)
	if o.above != nil {
		more := snap.Options(user, *o.above, wanted)
		may = strings.Map(func(r rune) rune {
			if strings.ContainsRune(may+more, r) {
				return r
			}
			return -1
		}, wanted)
		any += snap.Rights(user, *o.above, o.All)
	}
	all := x.Privileges[0].Name == "ALL"
	verb, code := "granted", notGranted
	if x.Revoke {
		verb, code = "revoked", notRevoked
	}
	switch {
	case may == "" && any == "":
		return nil, denied("permission denied for %s %s", o.kind, o.name)
	case may == "" && x.Revoke:
		s.warn(code, "no privileges could be revoked for %q", o.name)
		return nil, nil
	case may == "":
		s.warn(code, "no privileges were granted for %q", o.name)
		return nil, nil
	case may != wanted && !all && x.Revoke:
		s.warn(code, "not all privileges could be revoked for %q", o.name)
	case may != wanted && !all:
		s.warn(code, "not all privileges were %s for %q", verb, o.name)
	}
	p := o.Protected
	for _, g := range grantees {
		change := catalog.Grant{Grantee: g, Grantor: grantor, Rights: may}
		if x.Revoke {
			acl, dependent := p.Without(change, x.WithGrant, x.Behavior == parser.DropCascade)
			if dependent {
				return nil, sqlerr.New(dependentRights, "dependent privileges exist").WithHint("Use CASCADE to revoke them too.")
			}
			p.ACL = acl
			continue
		}
		if x.WithGrant {
			if g == "" {
				return nil, sqlerr.New(invalidGrant, "grant options can only be granted to roles")
			}
			change.Options = may
		}
		p.ACL = p.WithGrant(change)
	}
	return p.ACL, nil
}

// rightsOf are the letters of what a statement gives or takes on an object.
func rightsOf(x *parser.GrantStmt, o secured) (string, error) {
	var out strings.Builder
	for _, p := range x.Privileges {
		if p.Name == "ALL" {
			return o.All, nil
		}
		letter := byte(0)
		for l, name := range rightNames {
			if name == p.Name {
				letter = l
			}
		}
		switch {
		case letter == 0 && !slices.Contains([]string{"CONNECT", "TEMPORARY", "TEMP", "SET", "ALTER SYSTEM"}, p.Name):
			return "", sqlerr.New(sqlerr.SyntaxError, "unrecognized privilege type %q", strings.ToLower(p.Name)).At(-1)
		case letter == 0 || !strings.Contains(o.All, string(letter)):
			return "", sqlerr.New(invalidGrant, "invalid privilege type %s for %s", p.Name, o.class)
		}
		out.WriteByte(letter)
	}
	// In the order of All, each once.
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(out.String(), r) {
			return r
		}
		return -1
	}, o.All), nil
}

// grantObjects finds what a statement names.
func (s *Session) grantObjects(snap *catalog.Snapshot, x *parser.GrantStmt) ([]secured, error) {
	if x.AllInSchema {
		return s.grantAll(snap, x)
	}
	var out []secured
	for _, n := range x.Objects {
		switch x.ObjectKind {
		case parser.ObjSchema:
			o := snap.Schemas[n.Last()]
			if o == nil {
				return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", n.Last())
			}
			out = append(out, secured{Protected: o.Protected(), class: "schema", kind: "schema", name: o.Name, put: func(c *catalog.Change, acl []catalog.Grant) {
				n := *o
				n.ACL = acl
				c.PutSchema = append(c.PutSchema, &n)
			}})
		case parser.ObjFunction, parser.ObjRoutine, parser.ObjProcedure:
			f, err := s.findFunction(snap, n.Name, n.HasArgs, n.Args)
			if err != nil {
				return nil, err
			}
			out = append(out, securedFunction(f))
		case parser.ObjType, parser.ObjDomain:
			t, err := s.findType(snap, n.Name)
			if err != nil {
				return nil, err
			}
			out = append(out, secured{Protected: t.Protected(), class: "type", kind: "type", name: t.Name, put: func(c *catalog.Change, acl []catalog.Grant) {
				n := *t
				n.ACL = acl
				c.PutType = append(c.PutType, &n)
			}})
		case parser.ObjSecret:
			x, err := s.findSecret(snap, n.Name)
			if err != nil {
				return nil, err
			}
			out = append(out, secured{Protected: x.Protected(), class: "secret", kind: "secret", name: x.Name, put: func(c *catalog.Change, acl []catalog.Grant) {
				n := *x
				n.ACL = acl
				c.PutSecret = append(c.PutSecret, &n)
			}})
		case parser.ObjTable, parser.ObjView, parser.ObjMatView, parser.ObjSource, parser.ObjSink, parser.ObjSequence,
			parser.ObjSubscription, parser.ObjConnection:
			r, err := s.find(snap, n.Name)
			switch {
			case err != nil:
				return nil, err
			case r.Kind == catalog.Index:
				return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is an index", r.Name)
			case x.ObjectKind != parser.ObjTable && string(r.Kind) != strings.ToLower(string(x.ObjectKind)):
				return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", r.Name, strings.ToLower(string(x.ObjectKind)))
			}
			out = append(out, securedRelation(r))
		default:
			return nil, unsupported(x)
		}
	}
	return out, nil
}

func securedRelation(r *catalog.Relation) secured {
	class := "table"
	if r.Kind == catalog.Sequence || r.Kind == catalog.Connection {
		class = string(r.Kind)
	}
	return secured{Protected: r.Protected(), class: class, kind: string(r.Kind), name: r.Name, rel: r}
}

func securedFunction(f *catalog.Function) secured {
	return secured{Protected: f.Protected(), class: "function", kind: "function", name: f.Name, put: func(c *catalog.Change, acl []catalog.Grant) {
		n := *f
		n.ACL = acl
		c.PutFunc = append(c.PutFunc, &n)
	}}
}

// grantAll finds everything of a class in some schemas. The class "tables" includes views, as in PostgreSQL, and sources.
func (s *Session) grantAll(snap *catalog.Snapshot, x *parser.GrantStmt) ([]secured, error) {
	var out []secured
	for _, n := range x.Objects {
		if snap.Schemas[n.Last()] == nil {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", n.Last())
		}
		for _, r := range snap.Sorted() {
			is := strings.ToLower(string(x.ObjectKind)) == string(r.Kind)
			if x.ObjectKind == parser.ObjTable {
				is = r.Kind != catalog.Index && r.Kind != catalog.Sequence
			}
			if r.Schema == n.Last() && is {
				out = append(out, securedRelation(r))
			}
		}
		for _, f := range snap.Functions {
			if f.Schema == n.Last() && (x.ObjectKind == parser.ObjFunction || x.ObjectKind == parser.ObjRoutine) {
				out = append(out, securedFunction(f))
			}
		}
	}
	return out, nil
}

// grantDatabase gives or takes CREATE on the database, which is kept with the role; everybody may connect.
func (s *Session) grantDatabase(ctx context.Context, snap *catalog.Snapshot, x *parser.GrantStmt, grantees []string) error {
	for _, n := range x.Objects {
		if n.Last() != snap.Database {
			return sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", n.Last())
		}
	}
	if !snap.Super(s.User()) {
		return denied("permission denied for database %s", snap.Database)
	}
	if !slices.ContainsFunc(x.Privileges, func(p parser.Privilege) bool { return p.Name == "ALL" || p.Name == databaseCreation }) {
		return nil
	}
	var c catalog.Change
	for _, g := range grantees {
		if g == "" {
			return sqlerr.New(sqlerr.FeatureNotSupported, "CREATE on a database cannot be granted to PUBLIC").At(x.Pos)
		}
		u := *snap.Users[g]
		u.CreateSchema = !x.Revoke
		c.PutUser = append(c.PutUser, &u)
	}
	return s.apply(ctx, snap, c)
}

// grantRoles runs GRANT and REVOKE of roles.
func (s *Session) grantRoles(ctx context.Context, x *parser.GrantStmt) error {
	snap := s.snapshot()
	users := map[string]*catalog.User{}
	for _, p := range x.Privileges {
		role, err := s.roleNamed(parser.Ident{Loc: p.Loc, Name: p.Name})
		if err != nil {
			return err
		}
		if u := snap.Users[s.User()]; !snap.Admin(s.User(), role) && (u == nil || !u.CreateRole || snap.Super(role)) {
			return denied("must have admin option on role %q", role)
		}
		for _, g := range x.Grantees {
			name, err := s.roleNamed(g)
			if err != nil {
				return err
			}
			u := users[name]
			if u == nil {
				c := *snap.Users[name]
				c.MemberOf = slices.Clone(c.MemberOf)
				u = &c
				users[name] = u
			}
			if err := s.member(snap, u, role, x); err != nil {
				return err
			}
		}
	}
	var c catalog.Change
	for _, u := range users {
		c.PutUser = append(c.PutUser, u)
	}
	return s.apply(ctx, snap, c)
}

// member changes a role's membership of another.
func (s *Session) member(snap *catalog.Snapshot, u *catalog.User, role string, x *parser.GrantStmt) error {
	at := slices.IndexFunc(u.MemberOf, func(m catalog.Membership) bool { return m.Role == role })
	switch {
	case x.Revoke && at < 0:
		s.warn(sqlerr.Warning, "role %q is not a member of role %q", u.Name, role)
	case x.Revoke && x.WithGrant:
		u.MemberOf[at].Admin = false
	case x.Revoke:
		u.MemberOf = slices.Delete(u.MemberOf, at, at+1)
	case at >= 0 && (u.MemberOf[at].Admin || !x.WithGrant):
		s.notice("role %q is already a member of role %q", u.Name, role)
	case at >= 0:
		u.MemberOf[at].Admin = true
	case role == u.Name || snap.MemberNotSuper(role, u.Name):
		return sqlerr.New(invalidGrant, "role %q is a member of role %q", role, u.Name)
	default:
		u.MemberOf = append(u.MemberOf, catalog.Membership{Role: role, Grantor: s.User(), Admin: x.WithGrant})
	}
	return nil
}
