package session

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// createRole runs CREATE USER and CREATE ROLE.
func (s *Session) createRole(ctx context.Context, x *parser.CreateRoleStmt) error {
	snap := s.snapshot()
	if err := s.mayManageRoles(makesSuper(x.Options), "create role"); err != nil {
		return err
	}
	if snap.Users[x.Name.Name] != nil {
		if x.IfNotExists {
			s.notice("role %q already exists, skipping", x.Name.Name)
			return nil
		}
		return sqlerr.New(sqlerr.DuplicateObject, "role %q already exists", x.Name.Name).At(x.Name.Pos)
	}
	id, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	u := &catalog.User{ID: id, Name: x.Name.Name, Login: x.Kind == parser.ObjUser}
	if err := setRole(u, x.Options); err != nil {
		return err
	}
	c := catalog.Change{PutUser: []*catalog.User{u}}
	if err := s.memberships(snap, &c, u, x.Options); err != nil {
		return err
	}
	return s.apply(ctx, snap, c)
}

func makesSuper(opts []parser.RoleOption) bool {
	return slices.ContainsFunc(opts, func(o parser.RoleOption) bool { return o.Name == "SUPERUSER" })
}

// memberships applies IN ROLE, ROLE and ADMIN of CREATE ROLE to the new role u and others.
func (s *Session) memberships(snap *catalog.Snapshot, c *catalog.Change, u *catalog.User, opts []parser.RoleOption) error {
	for _, o := range opts {
		for _, id := range o.Roles {
			name, err := s.roleNamed(id)
			if err != nil {
				return err
			}
			if o.Name == "IN ROLE" {
				if snap.Super(name) && !snap.Super(s.User()) {
					return denied("must be superuser to alter superusers")
				}
				u.MemberOf = append(u.MemberOf, catalog.Membership{Role: name, Grantor: s.User()})
				continue
			}
			m := *snap.Users[name]
			m.MemberOf = append(slices.Clone(m.MemberOf), catalog.Membership{Role: u.Name, Grantor: s.User(), Admin: o.Name == "ADMIN"})
			c.PutUser = append(c.PutUser, &m)
		}
	}
	return nil
}

// setRole applies the options of CREATE and ALTER USER.
func setRole(u *catalog.User, opts []parser.RoleOption) error {
	for _, o := range opts {
		switch o.Name {
		case "SUPERUSER", "NOSUPERUSER":
			u.Super = o.Name == "SUPERUSER"
		case "LOGIN", "NOLOGIN":
			u.Login = o.Name == "LOGIN"
		case "CREATEDB", "NOCREATEDB":
			u.CreateDB = o.Name == "CREATEDB"
		case "CREATEROLE", "NOCREATEROLE":
			u.CreateRole = o.Name == "CREATEROLE"
		case "INHERIT", "NOINHERIT":
			u.NoInherit = o.Name == "NOINHERIT"
		case "PASSWORD", "ENCRYPTED PASSWORD":
			if o.Value == nil || *o.Value == "" {
				u.Verifier = ""
				continue
			}
			if _, ok := pgwire.ParseScramVerifier(*o.Value); ok {
				u.Verifier = *o.Value
				continue
			}
			v, err := pgwire.NewScramVerifier(*o.Value)
			if err != nil {
				return err
			}
			u.Verifier = v.String()
		}
	}
	return nil
}

// alterRole runs ALTER USER.
func (s *Session) alterRole(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old := snap.Users[x.Name.Last()]
	if old == nil {
		return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", x.Name.Last()).At(x.Name.Pos)
	}
	for _, a := range x.Actions {
		own := old.Name == s.User() && a.Kind == parser.AlterRoleOptions && !slices.ContainsFunc(a.RoleOptions, func(o parser.RoleOption) bool {
			return o.Name != "PASSWORD" && o.Name != "ENCRYPTED PASSWORD"
		})
		if own {
			continue // everybody may change their password
		}
		if err := s.mayManageRoles(old.Super || makesSuper(a.RoleOptions), "alter role"); err != nil {
			if !old.Super && sqlerr.From(err).Message == "permission denied to alter role" {
				return denied("permission denied")
			}
			return err
		}
	}
	u := *old
	var c catalog.Change
	for _, a := range x.Actions {
		switch a.Kind {
		case parser.AlterRoleOptions:
			if err := setRole(&u, a.RoleOptions); err != nil {
				return err
			}
		case parser.AlterRename:
			if snap.Users[a.NewName] != nil {
				return sqlerr.New(sqlerr.DuplicateObject, "role %q already exists", a.NewName).At(a.Pos)
			}
			if u.Name == s.sessionUser() {
				return sqlerr.New(sqlerr.FeatureNotSupported, "session user cannot be renamed")
			}
			c.DropUser = append(c.DropUser, u.Name)
			snap.RenameRole(&c, u.Name, a.NewName)
			u.Name = a.NewName
		}
	}
	c.PutUser = append(c.PutUser, &u)
	return s.apply(ctx, snap, c)
}

// dropRole runs DROP USER.
func (s *Session) dropRole(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	if err := s.mayManageRoles(false, "drop role"); err != nil {
		return err
	}
	var c catalog.Change
	for _, n := range x.Names {
		switch {
		case snap.Users[n.Last()] == nil && x.IfExists:
			s.notice("role %q does not exist, skipping", n.Last())
		case snap.Users[n.Last()] == nil:
			return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", n.Last()).At(-1)
		case n.Last() == s.User():
			return sqlerr.New(sqlerr.ObjectInUse, "current user cannot be dropped")
		case n.Last() == s.sessionUser():
			return sqlerr.New(sqlerr.ObjectInUse, "session user cannot be dropped")
		case snap.Super(n.Last()) && !snap.Super(s.User()):
			return denied("must be superuser to drop superusers")
		default:
			if held := snap.Holdings(n.Last()); len(held) > 0 {
				return sqlerr.New(sqlerr.DependentObjectsStillExist, "role %q cannot be dropped because some objects depend on it", n.Last()).
					WithDetail("%s", strings.Join(held, "\n"))
			}
			c.DropUser = append(c.DropUser, n.Last())
		}
	}
	for _, u := range snap.Users {
		left := slices.DeleteFunc(slices.Clone(u.MemberOf), func(m catalog.Membership) bool { return slices.Contains(c.DropUser, m.Role) })
		if len(left) < len(u.MemberOf) && !slices.Contains(c.DropUser, u.Name) {
			n := *u
			n.MemberOf = left
			c.PutUser = append(c.PutUser, &n)
		}
	}
	return s.apply(ctx, snap, c)
}
