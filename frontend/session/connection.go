package session

import (
	"context"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// A connection is options under a name: a source, table or sink with WITH (connection = name) has them beside its own, which come first. It
// takes them when it is created. ENCODE … (connection = name) does the same with those of a schema registry.

// registryType is the type of connections that formats take; all others are of the type of a connector.
const registryType = "schema_registry"

// createConnection runs CREATE CONNECTION.
func (s *Session) createConnection(ctx context.Context, x *parser.CreateConnectionStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Connection, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	for _, o := range x.Options {
		if o.Name == "connector" || o.Name == "connection" {
			return sqlerr.New(sqlerr.InvalidParameterValue, "a connection has no option %q", o.Name).At(o.Pos).WithHint("Its type says which connector it is for: type = 'kafka'.")
		}
	}
	if r.Connector, err = s.connectorOf(x.Options, nil); err != nil {
		return err
	}
	kind := strings.ToLower(r.Connector.Options["type"])
	delete(r.Connector.Options, "type")
	switch {
	case kind == "":
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"type\" is missing").At(x.Pos).WithHint("It is the name of a connector, or %s.", registryType)
	case kind != registryType && !s.m.Engine.HasConnector(kind):
		return sqlerr.New(sqlerr.InvalidParameterValue, "connection type %q is not known", kind).At(x.Pos).WithHint("It is the name of a connector, or %s.", registryType)
	}
	r.Connector.Name = kind
	return s.create(ctx, snap, r, nil)
}

// takeConnection adds the options of the connection that options name, if any, to those that a statement gives itself.
func (s *Session) takeConnection(opts []parser.Option, options map[string]string, secrets map[string]catalog.SecretRef) (*catalog.Relation, error) {
	text, named := options["connection"]
	if !named {
		return nil, nil
	}
	delete(options, "connection")
	pos := -1
	for _, o := range opts {
		if o.Name == "connection" {
			pos = o.Pos
		}
	}
	e, err := parser.ParseExpr(text)
	ref, ok := e.(*parser.ColumnRef)
	if err != nil || !ok {
		return nil, sqlerr.New(sqlerr.InvalidName, "invalid name of a connection: %q", text).At(pos)
	}
	name := parser.Name{Loc: parser.Loc{Pos: pos}, Parts: ref.Parts}
	snap := s.snapshot()
	r, err := s.find(snap, name)
	switch {
	case sqlerr.CodeOf(err) == sqlerr.UndefinedTable:
		return nil, sqlerr.New(sqlerr.UndefinedObject, "connection %q does not exist", text).At(pos)
	case err != nil:
		return nil, err
	case r.Kind != catalog.Connection:
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a connection", r.Name).At(pos)
	case !snap.May(s.User(), r.Protected(), 'U'):
		return nil, denied("permission denied for connection %s", r.Name)
	}
	own := func(name string) bool {
		_, value := options[name]
		_, secret := secrets[name]
		return value || secret
	}
	for k, v := range r.Connector.Options {
		if !own(k) {
			options[k] = v
		}
	}
	for k, ref := range r.Connector.Secrets {
		if _, value := options[k]; !value && secrets[k].ID == 0 {
			secrets[k] = ref
		}
	}
	return r, nil
}

// wrongConnection is the error of one that is for something else.
func wrongConnection(r *catalog.Relation, what string) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "connection %q is of type %s and is no use for %s", r.Name, r.Connector.Name, what)
}
