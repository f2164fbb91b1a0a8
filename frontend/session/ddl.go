package session

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

func isDDL(ast parser.Stmt) bool {
	switch ast.(type) {
	case *parser.CreateTableStmt, *parser.CreateSourceStmt, *parser.CreateViewStmt, *parser.CreateMatViewStmt,
		*parser.CreateSinkStmt, *parser.CreateIndexStmt, *parser.CreateSchemaStmt, *parser.CreateDatabaseStmt,
		*parser.CreateRoleStmt, *parser.CreateTypeStmt, *parser.CreateDomainStmt, *parser.CreateSequenceStmt, *parser.CreateFunctionStmt, *parser.DropStmt, *parser.AlterStmt, *parser.CommentStmt, *parser.GrantStmt, *parser.CreateSecretStmt, *parser.CreateConnectionStmt,
		*parser.CreateSubscriptionStmt:
		return true
	}
	return false
}

// ddlTries bounds how often a statement starts again because another session changed the catalog.
const ddlTries = 20

// ddl runs a statement that changes the catalog. In a block it takes effect when the block commits (see stage), in a script of several
// statements when the script has ended; alone, at once. What a script cannot do together is done at once, too, behind a commit of what
// came before it.
func (s *Session) ddl(ctx context.Context, st statement) (string, error) {
	if err := s.mayWrite(ddlName(st.ast)); err != nil {
		return "", err
	}
	if what := standsAlone(st.ast); what != "" && s.txn.block {
		return "", notInBlock(what)
	}
	if !s.txn.script || standsAlone(st.ast) != "" {
		if err := s.commitBefore(ctx); err != nil {
			return "", err
		}
	}
	s.txn.queried = s.staging()
	before := s.txn.stage
	tag, err := s.ddlTried(ctx, st)
	if s.txn.script && onlyAlone(err) {
		s.txn.stage = before
		if err := s.commitBefore(ctx); err != nil {
			return "", err
		}
		return s.ddlTried(ctx, st)
	}
	return tag, err
}

// onlyAlone reports whether a statement has failed because of the transaction that it is part of. In a script, what came before it is
// committed then.
func onlyAlone(err error) bool {
	switch sqlerr.CodeOf(err) {
	case sqlerr.FeatureNotSupported, sqlerr.ObjectInUse, sqlerr.ActiveSQLTransaction:
		return true
	}
	return false
}

func (s *Session) ddlTried(ctx context.Context, st statement) (string, error) {
	for try := 0; ; try++ {
		tag, err := s.ddlOnce(ctx, st)
		if !errors.Is(err, catalog.ErrConflict) || try == ddlTries {
			return tag, err
		}
	}
}

func (s *Session) ddlOnce(ctx context.Context, st statement) (string, error) {
	switch x := st.ast.(type) {
	case *parser.CreateTableStmt:
		return s.createTable(ctx, x)
	case *parser.CreateSourceStmt:
		return "CREATE_SOURCE", s.createSource(ctx, x)
	case *parser.CreateViewStmt:
		return "CREATE VIEW", s.createView(ctx, x)
	case *parser.CreateMatViewStmt:
		return "CREATE MATERIALIZED VIEW", s.createMatView(ctx, x)
	case *parser.CreateSinkStmt:
		return "CREATE_SINK", s.createSink(ctx, x)
	case *parser.CreateSubscriptionStmt:
		return "CREATE_SUBSCRIPTION", s.createSubscription(ctx, x)
	case *parser.CreateIndexStmt:
		return "CREATE INDEX", s.createIndex(ctx, x)
	case *parser.CreateSchemaStmt:
		return "CREATE SCHEMA", s.createSchema(ctx, x)
	case *parser.CreateFunctionStmt:
		return "CREATE FUNCTION", s.createFunction(ctx, x)
	case *parser.CreateDatabaseStmt:
		if x.IfNotExists && x.Name.Last() == s.Database() {
			s.notice("database %q already exists, skipping", x.Name.Last())
			return "CREATE DATABASE", nil
		}
		return "", sqlerr.New(sqlerr.FeatureNotSupported, "there is one database, %q", s.Database()).At(x.Name.Pos).
			WithHint("Use CREATE SCHEMA to keep things apart.")
	case *parser.CreateRoleStmt:
		return "CREATE ROLE", s.createRole(ctx, x)
	case *parser.CreateSequenceStmt:
		return "CREATE SEQUENCE", s.createSequence(ctx, x)
	case *parser.CreateTypeStmt:
		return "CREATE TYPE", s.createType(ctx, x)
	case *parser.CreateDomainStmt:
		return "CREATE DOMAIN", s.createDomain(ctx, x)
	case *parser.CreateSecretStmt:
		return "CREATE SECRET", s.createSecret(ctx, x)
	case *parser.CreateConnectionStmt:
		return "CREATE_CONNECTION", s.createConnection(ctx, x)
	case *parser.DropStmt:
		return "DROP " + string(x.Kind), s.drop(ctx, x)
	case *parser.AlterStmt:
		return "ALTER " + string(x.Kind), s.alter(ctx, x)
	case *parser.CommentStmt:
		return "COMMENT", s.comment(ctx, x)
	case *parser.GrantStmt:
		tag := "GRANT"
		if x.Revoke {
			tag = "REVOKE"
		}
		if x.RoleGrant {
			tag += " ROLE"
		}
		return tag, s.grant(ctx, x)
	}
	return "", unsupported(st.ast)
}

func (s *Session) typeOf(t *parser.TypeName) (sqltypes.Type, error) {
	return bind.TypeOf(s.env(nil), t)
}

// ddlName is how errors call a statement.
func ddlName(ast parser.Stmt) string {
	switch x := ast.(type) {
	case *parser.DropStmt:
		return "DROP " + string(x.Kind)
	case *parser.AlterStmt:
		return "ALTER " + string(x.Kind)
	case *parser.CommentStmt:
		return "COMMENT"
	case *parser.GrantStmt:
		if x.Revoke {
			return "REVOKE"
		}
		return "GRANT"
	}
	words := strings.Fields(strings.ToUpper(ast.Src().Text))
	for n := 2; n <= len(words); n++ {
		if w := strings.Join(words[:n], " "); slices.Contains(created, w) {
			return w
		}
	}
	return words[0]
}

// created are the statements whose name is more than their first word.
var created = []string{"CREATE TABLE", "CREATE VIEW", "CREATE MATERIALIZED VIEW", "CREATE SOURCE", "CREATE SINK", "CREATE INDEX",
	"CREATE SCHEMA", "CREATE TYPE", "CREATE DOMAIN", "CREATE DATABASE", "CREATE USER", "CREATE ROLE", "CREATE FUNCTION", "CREATE SECRET", "CREATE SUBSCRIPTION", "CREATE CONNECTION"}

// standsAlone names a statement that cannot be part of a transaction block; "" for all others.
func standsAlone(ast parser.Stmt) string {
	switch x := ast.(type) {
	case *parser.CreateDatabaseStmt:
		return "CREATE DATABASE"
	case *parser.CreateIndexStmt:
		if x.Concurrently {
			return "CREATE INDEX CONCURRENTLY"
		}
	case *parser.CreateSecretStmt: // its users read it from the catalog that all see
		return "CREATE SECRET"
	case *parser.DropStmt:
		switch {
		case x.Kind == parser.ObjDatabase:
			return "DROP DATABASE"
		case x.Kind == parser.ObjSecret:
			return "DROP SECRET"
		case x.Concurrently:
			return "DROP INDEX CONCURRENTLY"
		}
	case *parser.AlterStmt:
		if x.Kind == parser.ObjSystem {
			return "ALTER SYSTEM"
		}
		if x.Kind == parser.ObjSecret {
			return "ALTER SECRET"
		}
	}
	return ""
}

// target resolves the schema in which a statement creates name.
func (s *Session) target(snap *catalog.Snapshot, n parser.Name) (string, error) {
	schema := n.Schema()
	if schema == "" {
		path := s.SearchPath()
		if len(path) == 0 {
			return "", sqlerr.New(sqlerr.InvalidSchemaName, "no schema has been selected to create in").At(n.Pos)
		}
		return path[0], s.mayCreateIn(snap, path[0], n.Pos)
	}
	if isSystemSchema(schema) {
		return "", sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied to create %q", n.String()).
			WithDetail("System catalog modifications are currently disallowed.").At(n.Pos)
	}
	if snap.Schemas[schema] == nil {
		return "", sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema).At(n.Pos)
	}
	return schema, s.mayCreateIn(snap, schema, n.Pos)
}

func isSystemSchema(n string) bool {
	return n == "pg_catalog" || n == "information_schema" || n == "millrace_catalog"
}

// find resolves the relation that a statement names.
func (s *Session) find(snap *catalog.Snapshot, n parser.Name) (*catalog.Relation, error) {
	if schema := n.Schema(); schema != "" {
		if err := s.mayLookInto(schema, n.Pos); err != nil {
			return nil, err
		}
		if r, ok := snap.Find(schema, n.Last()); ok {
			return r, nil
		}
		if snap.Schemas[schema] == nil && !isSystemSchema(schema) {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema).At(n.Pos)
		}
	} else if r, ok := snap.Resolve(s.SearchPath(), n.Last()); ok {
		return r, nil
	}
	return nil, sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", n.String()).At(n.Pos)
}

// create describes a relation about to be made.
func (s *Session) newRelation(snap *catalog.Snapshot, n parser.Name, kind catalog.Kind, def string) (*catalog.Relation, error) {
	schema, err := s.target(snap, n)
	if err != nil {
		return nil, err
	}
	if len(n.Last()) > 63 {
		return nil, sqlerr.New(sqlerr.NameTooLong, "identifier %q is longer than 63 bytes", n.Last()).At(n.Pos)
	}
	return &catalog.Relation{Schema: schema, Name: n.Last(), Kind: kind, Owner: s.User(), Definition: def,
		Settings: s.settings.frozen(), Parallelism: s.m.Parallelism}, nil
}

// exists reports whether the name is taken: nil and false, or with IF NOT EXISTS a notice and true, or 42P07.
func (s *Session) exists(snap *catalog.Snapshot, r *catalog.Relation, ifNot bool) (bool, error) {
	if _, taken := snap.Find(r.Schema, r.Name); !taken {
		return false, nil
	}
	if ifNot {
		s.notices = append(s.notices, sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists, skipping", r.Name))
		return true, nil
	}
	return false, sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", r.Name)
}

// create gives a relation its ids, stores it and starts its job. A job that cannot be started leaves
// nothing behind.
func (s *Session) create(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, planned func(first catalog.ID) (states int, err error)) error {
	return s.createWith(ctx, snap, r, &tableParts{}, planned)
}

// createWith is create of a table together with its parts.
func (s *Session) createWith(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, parts *tableParts, planned func(first catalog.ID) (states int, err error)) error {
	id, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	r.ID = id
	dependOnTypes(snap, r)
	r.DependsOn = append(r.DependsOn, r.SecretIDs()...)
	if c := r.Connector; c != nil {
		r.DependsOn = append(r.DependsOn, slices.DeleteFunc([]catalog.ID{c.Connection, c.FormatConnection}, func(id catalog.ID) bool { return id == 0 })...)
	}
	for _, d := range r.DependsOn {
		if up := snap.Relations[d]; up != nil && up.IsStored() {
			r.Parallelism = up.Parallelism
		}
	}
	if planned != nil {
		n, err := planned(id)
		if err != nil {
			return err
		}
		r.StateCount = n + 1
		if r.StateBase, err = s.m.Catalog.NewIDs(ctx, n+1); err != nil {
			return err
		}
	}
	r.Creating = r.HasJob() && r.Kind != catalog.Subscription && (readsStored(snap, r) || r.Captured != nil)
	if err := s.join(ctx, r, parts); err != nil {
		return err
	}
	if err := s.apply(ctx, snap, catalog.Change{Put: append([]*catalog.Relation{r}, parts.all()...)}); err != nil {
		return err
	}
	if !r.HasJob() {
		return nil
	}
	if err := s.startJob(ctx, r); err != nil {
		for _, p := range parts.all() {
			s.forget(context.WithoutCancel(ctx), p)
		}
		return err
	}
	err = s.startIndexes(ctx, parts)
	if err != nil {
		cleanup := context.WithoutCancel(ctx)
		for _, p := range parts.all() {
			s.forget(cleanup, p)
		}
		s.forget(cleanup, r)
	}
	return err
}

func readsStored(snap *catalog.Snapshot, r *catalog.Relation) bool {
	for _, d := range r.DependsOn {
		if up := snap.Relations[d]; up != nil && up.IsStored() && d != r.SinkInto {
			return true
		}
	}
	return false
}

// forget removes a relation whose job did not start.
func (s *Session) forget(ctx context.Context, r *catalog.Relation) {
	for {
		snap := s.snapshot()
		if snap.Relations[r.ID] == nil {
			break
		}
		err := s.m.Catalog.Apply(ctx, snap, catalog.Change{Drop: []catalog.ID{r.ID}})
		if err == nil {
			break
		}
		if !errors.Is(err, catalog.ErrConflict) {
			s.m.Logger.Error("remove a relation that could not be created", "relation", r.Name, "err", err)
			break
		}
	}
	if !r.HasJob() {
		return
	}
	if err := s.m.Engine.DropJob(ctx, r); err != nil {
		s.m.Logger.Error("drop a job that could not be created", "relation", r.Name, "err", err)
	}
}

// constant evaluates an expression without columns as a value of type t.
func (s *Session) constant(e parser.Expr, t sqltypes.Type) (sqltypes.Datum, error) {
	x, err := bind.Default(s.env(nil), parser.Format(e), t, "", nil)
	if err != nil {
		return nil, err
	}
	return expr.EvalConst(s.evalCtx(), x)
}

func (s *Session) createSchema(ctx context.Context, x *parser.CreateSchemaStmt) error {
	snap := s.snapshot()
	name := x.Name.Last()
	if name == "" {
		name = x.Owner
	}
	if isSystemSchema(name) || len(name) > 3 && name[:3] == "pg_" {
		return sqlerr.New(sqlerr.ReservedName, "unacceptable schema name %q", name).At(x.Name.Pos).
			WithDetail("The prefix \"pg_\" is reserved for system schemas.")
	}
	if snap.Schemas[name] != nil {
		if x.IfNotExists {
			s.notices = append(s.notices, sqlerr.New(sqlerr.DuplicateSchema, "schema %q already exists, skipping", name))
			return nil
		}
		return sqlerr.New(sqlerr.DuplicateSchema, "schema %q already exists", name)
	}
	id, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	u, owner := snap.Users[s.User()], x.Owner
	switch {
	case u == nil || !u.Super && !u.CreateSchema:
		return denied("permission denied for database %s", snap.Database)
	case owner == "":
		owner = s.User()
	default:
		if err := s.mayGiveTo(snap, owner, -1); err != nil {
			return err
		}
	}
	return s.apply(ctx, snap, catalog.Change{PutSchema: []*catalog.Schema{{ID: id, Name: name, Owner: owner}}})
}
