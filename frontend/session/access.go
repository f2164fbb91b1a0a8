package session

import (
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// rightNames are what the letters of rights stand for.
var rightNames = map[byte]string{'r': "SELECT", 'a': "INSERT", 'w': "UPDATE", 'd': "DELETE", 'D': "TRUNCATE", 'x': "REFERENCES", 't': "TRIGGER",
	'X': "EXECUTE", 'U': "USAGE", 'C': "CREATE"}

func denied(format string, args ...any) *sqlerr.Error {
	return sqlerr.New(sqlerr.InsufficientPrivilege, format, args...)
}

// mayAccess refuses a statement that does to a relation what the user, or the owner of a view, has no right to.
func (s *Session) mayAccess(as []*bind.Access) error {
	if len(as) == 0 {
		return nil
	}
	snap, user := s.snapshot(), s.User()
	for _, a := range as {
		who := user
		if a.As != "" {
			who = a.As
		}
		if f := snap.Functions[a.Rel]; f != nil && snap.Rights(who, f.Protected(), a.Rights) != a.Rights {
			return denied("permission denied for function %s", f.Name)
		}
		r := snap.Relations[a.Rel]
		if r == nil {
			continue // a function, or the statement will say that it is gone
		}
		if held := snap.Rights(who, r.Protected(), a.Rights); held != a.Rights && !snap.MayColumns(who, r, without(a.Rights, held), a.Columns) {
			return denied("permission denied for %s %s", r.Kind, r.Name)
		}
	}
	return nil
}

// without are the rights of a list that are not in another.
func without(rights, held string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(held, r) {
			return -1
		}
		return r
	}, rights)
}

// may refuses a statement that needs a right on a relation.
func (s *Session) may(r *catalog.Relation, right byte) error {
	return s.mayAccess([]*bind.Access{{Rel: r.ID, Rights: string(right)}})
}

// mustOwn refuses a statement about an object, such as "table t", that only its owner may give.
func (s *Session) mustOwn(owner string, kind any, name string) error {
	if s.snapshot().Acts(s.User(), owner) {
		return nil
	}
	return denied("must be owner of %s %s", kind, name)
}

// mustOwnRelation is mustOwn of a relation; its schema's owner may drop it as well.
func (s *Session) mustOwnRelation(r *catalog.Relation, drop bool) error {
	if x := s.snapshot().Schemas[r.Schema]; drop && x != nil && s.snapshot().Acts(s.User(), x.Owner) {
		return nil
	}
	return s.mustOwn(r.Owner, r.Kind, r.Name)
}

// usable reports whether the user may look into a schema.
func (s *Session) usable(schema string) bool {
	x := s.snapshot().Schemas[schema]
	return x == nil || s.snapshot().May(s.User(), x.Protected(), 'U')
}

// mayLookInto refuses a schema that a statement names and the user may not look into.
func (s *Session) mayLookInto(schema string, pos int) error {
	if s.usable(schema) {
		return nil
	}
	return denied("permission denied for schema %s", schema).At(pos)
}

// mayCreateIn refuses to make something in a schema.
func (s *Session) mayCreateIn(snap *catalog.Snapshot, schema string, pos int) error {
	x := snap.Schemas[schema]
	if x == nil || snap.May(s.User(), x.Protected(), 'C') {
		return nil
	}
	return denied("permission denied for schema %s", schema).At(pos)
}

// mayManageRoles refuses statements about roles: only superusers and roles with CREATEROLE give them, and only the former about
// superusers.
func (s *Session) mayManageRoles(super bool, what string) error {
	u := s.snapshot().Users[s.User()]
	switch {
	case u != nil && u.Super:
		return nil
	case super:
		return denied("must be superuser to %s superusers", strings.Fields(what)[0])
	case u != nil && u.CreateRole:
		return nil
	}
	return denied("permission denied to %s", what)
}

// mayGiveTo refuses to make a role the owner of something for which the user cannot act.
func (s *Session) mayGiveTo(snap *catalog.Snapshot, owner string, pos int) error {
	if snap.Users[owner] == nil {
		return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", owner).At(pos)
	}
	if !snap.Member(s.User(), owner) {
		return denied("must be member of role %q", owner)
	}
	return nil
}

// newOwner is who ALTER … OWNER TO names; that role must be allowed to have made the relation where it is.
func (s *Session) newOwner(snap *catalog.Snapshot, r *catalog.Relation, a parser.AlterAction) (string, error) {
	name, err := s.roleNamed(parser.Ident{Loc: a.Loc, Name: a.NewName})
	if err != nil {
		return "", err
	}
	if err := s.mayGiveTo(snap, name, -1); err != nil {
		return "", err
	}
	if x := snap.Schemas[r.Schema]; !snap.Super(s.User()) && x != nil && !snap.May(name, x.Protected(), 'C') {
		return "", denied("permission denied for schema %s", r.Schema)
	}
	return name, nil
}

// setRole runs SET ROLE.
func (s *Session) setRole(name string, local bool) error {
	if name != "none" {
		snap := s.snapshot()
		if snap.Users[name] == nil {
			return sqlerr.New(sqlerr.InvalidParameterValue, "role %q does not exist", name)
		}
		if !snap.Member(s.sessionUser(), name) {
			return denied("permission denied to set role %q", name)
		}
	}
	if err := s.settings.assign("role", name, local); err != nil {
		return err
	}
	s.noteSuper(local)
	return nil
}

// setSessionUser runs SET SESSION AUTHORIZATION; "" goes back to who has logged in.
func (s *Session) setSessionUser(name string, local bool) error {
	snap := s.snapshot()
	switch {
	case name == "":
		name = s.start.User
	case snap.Users[name] == nil:
		return sqlerr.New(sqlerr.InvalidParameterValue, "role %q does not exist", name)
	case name != s.start.User && !snap.Super(s.start.User):
		return denied("permission denied to set session authorization %q", name)
	}
	if err := s.settings.put("session_authorization", name, local); err != nil {
		return err
	}
	if err := s.settings.put("role", "none", local); err != nil {
		return err
	}
	s.noteSuper(local)
	return nil
}

// noteSuper keeps the parameter is_superuser right.
func (s *Session) noteSuper(local bool) {
	v := "off"
	if s.snapshot().Super(s.User()) {
		v = "on"
	}
	if s.settings.must("is_superuser") != v {
		_ = s.settings.put("is_superuser", v, local) // nothing checks it
	}
}

// sessionUser is who the session belongs to.
func (s *Session) sessionUser() string { return s.settings.often().sessionUser }

// User implements expr.Session: whose rights count.
func (s *Session) User() string {
	if role := s.settings.often().role; role != "none" {
		return role
	}
	return s.sessionUser()
}

// roleNamed is the role that a statement names: CURRENT_USER and its kin are the session's.
func (s *Session) roleNamed(id parser.Ident) (string, error) {
	switch strings.ToLower(id.Name) {
	case "current_user", "current_role":
		return s.User(), nil
	case "session_user":
		return s.sessionUser(), nil
	}
	if s.snapshot().Users[id.Name] == nil {
		return "", sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", id.Name).At(-1)
	}
	return id.Name, nil
}
