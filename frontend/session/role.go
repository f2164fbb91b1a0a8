package session

import (
	"context"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// createRole runs CREATE USER and CREATE ROLE.
func (s *Session) createRole(ctx context.Context, x *parser.CreateRoleStmt) error {
	snap := s.snapshot()
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
	return s.apply(ctx, snap, catalog.Change{PutUser: []*catalog.User{u}})
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
			c.DropUser = append(c.DropUser, u.Name)
			u.Name = a.NewName
		}
	}
	c.PutUser = []*catalog.User{&u}
	return s.apply(ctx, snap, c)
}

// dropRole runs DROP USER.
func (s *Session) dropRole(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	var c catalog.Change
	for _, n := range x.Names {
		switch {
		case snap.Users[n.Last()] == nil && x.IfExists:
			s.notice("role %q does not exist, skipping", n.Last())
		case snap.Users[n.Last()] == nil:
			return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", n.Last()).At(n.Pos)
		case n.Last() == s.start.User:
			return sqlerr.New(sqlerr.ObjectInUse, "current user cannot be dropped").At(n.Pos)
		default:
			c.DropUser = append(c.DropUser, n.Last())
		}
	}
	return s.apply(ctx, snap, c)
}
