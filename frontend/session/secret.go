package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// findSecret resolves the secret that a statement names.
func (s *Session) findSecret(snap *catalog.Snapshot, n parser.Name) (*catalog.Secret, error) {
	path := s.SearchPath()
	if schema := n.Schema(); schema != "" {
		if snap.Schemas[schema] == nil {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema).At(n.Pos)
		}
		path = []string{schema}
	}
	for _, schema := range path {
		if x, ok := snap.FindSecret(schema, n.Last()); ok {
			return x, nil
		}
	}
	return nil, sqlerr.New(sqlerr.UndefinedObject, "secret %q does not exist", n.String()).At(n.Pos)
}

// mayUseSecret refuses to hand a secret to a connector: it would reach a server of the user's choice.
func (s *Session) mayUseSecret(x *catalog.Secret) error {
	if !s.snapshot().May(s.User(), x.Protected(), 'U') {
		return denied("permission denied for secret %s", x.Name)
	}
	return nil
}

// secretBackend checks WITH (backend = …).
func secretBackend(options []parser.Option) error {
	for _, o := range options {
		if o.Name != "backend" {
			return sqlerr.New(sqlerr.InvalidParameterValue, "secrets have no option %q", o.Name).At(o.Pos).WithHint("Perhaps you meant the option \"backend\".")
		}
		v, _ := o.Text()
		if strings.ToLower(v) != "meta" {
			return sqlerr.New(sqlerr.FeatureNotSupported, "secret backend %q is not supported", v).At(o.Pos).
				WithHint("Secrets are kept, encrypted, in the catalog: backend = 'meta'.")
		}
	}
	return nil
}

// createSecret runs CREATE SECRET.
func (s *Session) createSecret(ctx context.Context, x *parser.CreateSecretStmt) error {
	snap := s.snapshot()
	schema, err := s.target(snap, x.Name)
	if err != nil {
		return err
	}
	name := x.Name.Last()
	if len(name) > 63 {
		return sqlerr.New(sqlerr.NameTooLong, "identifier %q is longer than 63 bytes", name).At(x.Name.Pos)
	}
	if _, taken := snap.FindSecret(schema, name); taken {
		if x.IfNotExists {
			s.notices = append(s.notices, sqlerr.New(sqlerr.DuplicateObject, "secret %q already exists, skipping", name))
			return nil
		}
		return sqlerr.New(sqlerr.DuplicateObject, "secret %q already exists", name).At(x.Name.Pos)
	}
	if err := secretBackend(x.Options); err != nil {
		return err
	}
	id, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	made := &catalog.Secret{ID: id, Schema: schema, Name: name, Owner: s.User(), Sealed: s.m.Vault.Seal(id, x.Value), Version: 1}
	return s.apply(ctx, snap, catalog.Change{PutSecret: []*catalog.Secret{made}})
}

// alterSecret runs ALTER SECRET. A source or sink that uses it takes the new value when it connects next.
func (s *Session) alterSecret(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old, err := s.findSecret(snap, x.Name)
	if err != nil {
		if x.IfExists && sqlerr.CodeOf(err) == sqlerr.UndefinedObject {
			s.notice("secret %q does not exist, skipping", x.Name.Last())
			return nil
		}
		return err
	}
	if err := s.mustOwn(old.Owner, "secret", old.Name); err != nil {
		return err
	}
	n := *old
	for _, a := range x.Actions {
		switch a.Kind {
		case parser.AlterSecretValue:
			if err := secretBackend(a.Options); err != nil {
				return err
			}
			n.Sealed = s.m.Vault.Seal(n.ID, a.Text)
			n.Version++
		case parser.AlterRename, parser.AlterSetSchema:
			if a.Kind == parser.AlterRename {
				for _, r := range snap.Dependants(n.ID) {
					if r.Webhook != nil && r.Webhook.Secret == n.ID {
						return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot rename secret %s because table %s names it in VALIDATE", n.Name, r.Name).At(a.Pos)
					}
				}
				n.Name = a.NewName
			} else {
				n.Schema = a.NewName
			}
			if snap.Schemas[n.Schema] == nil {
				return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", n.Schema).At(a.Pos)
			}
			if _, taken := snap.FindSecret(n.Schema, n.Name); taken {
				return sqlerr.New(sqlerr.DuplicateObject, "secret %q already exists in schema %q", n.Name, n.Schema).At(a.Pos)
			}
		case parser.AlterOwner:
			if err := s.mayGiveTo(snap, a.NewName, a.Pos); err != nil {
				return err
			}
			n.ACL = n.Protected().OwnedBy(a.NewName)
			n.Owner = a.NewName
		default:
			return sqlerr.New(sqlerr.FeatureNotSupported, "this form of ALTER SECRET is not supported").At(a.Pos)
		}
	}
	return s.apply(ctx, snap, catalog.Change{PutSecret: []*catalog.Secret{&n}})
}

// dropSecret runs DROP SECRET.
func (s *Session) dropSecret(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	var c catalog.Change
	var users []*catalog.Relation
	for _, n := range x.Names {
		old, err := s.findSecret(snap, n.Name)
		if err != nil {
			if x.IfExists {
				s.notice("secret %q does not exist, skipping", n.Last())
				continue
			}
			return err
		}
		if err := s.mustOwn(old.Owner, "secret", old.Name); err != nil {
			return err
		}
		if deps := snap.Dependants(old.ID); len(deps) > 0 {
			var detail []string
			for _, r := range deps {
				detail = append(detail, fmt.Sprintf("%s %s depends on secret %s", r.Kind, r.Name, old.Name))
			}
			if x.Behavior != parser.DropCascade {
				return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop secret %s because other objects depend on it", old.Name).
					WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
			}
			for _, r := range deps {
				s.notice("drop cascades to %s %s", r.Kind, r.Name)
			}
			users = append(users, deps...)
		}
		c.DropSecret = append(c.DropSecret, old.ID)
	}
	if len(users) > 0 {
		if err := s.dropAll(ctx, snap, users, true); err != nil {
			return err
		}
		snap = s.snapshot()
	}
	return s.apply(ctx, snap, c)
}
