package session

import (
	"context"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// webhook reads VALIDATE of a table with connector webhook.
func (s *Session) webhook(r *catalog.Relation, x *parser.CreateTableStmt) error {
	v := x.Validate
	if r.Connector == nil || r.Connector.Name != catalog.WebhookConnector {
		if v != nil {
			return sqlerr.New(sqlerr.InvalidTableDefinition, "VALIDATE is for tables with connector \"webhook\"").At(v.Pos)
		}
		return nil
	}
	r.Webhook = &catalog.Webhook{}
	if r.OnConflict == "" && len(r.PrimaryKey) > 0 {
		r.OnConflict = "overwrite" // who had no answer sends again
	}
	if v == nil {
		s.notice("table %q takes rows from everybody who reaches the server's webhooks; VALIDATE says from whom", r.Name)
		return nil
	}
	r.Webhook.Check = parser.Format(v.Expr)
	if !v.Secret.IsZero() {
		secret, err := s.findSecret(s.snapshot(), v.Secret)
		if err == nil {
			err = s.mayUseSecret(secret)
		}
		if err != nil {
			return err
		}
		r.Webhook.Secret, r.Webhook.SecretName = secret.ID, v.Secret.Last()
	}
	if _, err := s.webhookCheck(r); err != nil {
		e := *sqlerr.From(err)
		e.Offset, e.Position = 0, 0 // positions are those of the expression's own text
		return (&e).At(v.Expr.At())
	}
	return nil
}

// webhookCheck binds the condition of a table's VALIDATE, over headers, payload and the secret.
func (s *Session) webhookCheck(r *catalog.Relation) (expr.Program, error) {
	cols := []plan.Column{{Name: "headers", Type: sqltypes.JSONB}, {Name: "payload", Type: sqltypes.Bytea}}
	if r.Webhook.Secret != 0 {
		cols = append(cols, plan.Column{Name: r.Webhook.SecretName, Type: sqltypes.Text})
	}
	e, err := bind.Default(s.env(nil), r.Webhook.Check, sqltypes.Bool, "VALIDATE", cols)
	if err != nil {
		return nil, err
	}
	return expr.Compile(e)
}

// Webhook is a table that takes rows by HTTP, for one request.
type Webhook struct {
	s   *Session
	rel *catalog.Relation
}

// Webhook finds a table with connector webhook: 42P01 when there is none of the name.
func (m *Manager) Webhook(database, schema, table string) (*Webhook, error) {
	snap := m.Catalog.Snapshot()
	r, ok := snap.Find(schema, table)
	if !ok || database != snap.Database || r.Webhook == nil {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "there is no webhook %q", database+"/"+schema+"/"+table)
	}
	return &Webhook{m.newSession(pgwire.Startup{User: r.Owner, Database: database, AppName: "webhook"}), r}, nil
}

// Relation is the table.
func (w *Webhook) Relation() *catalog.Relation { return w.rel }

// Paused reports whether the table takes no rows for now.
func (w *Webhook) Paused() bool {
	n, limited := w.rel.Rate(catalog.SourceRate)
	return limited && n == 0
}

// Verify reports whether a request is one that the table takes. headers is a JSON object by lower-case names. A
// condition that is NULL, or fails on what the request holds, is not met.
func (w *Webhook) Verify(ctx context.Context, headers, payload []byte) (bool, error) {
	if w.rel.Webhook.Check == "" {
		return true, nil
	}
	w.s.stmt = ctx
	check, err := w.s.webhookCheck(w.rel)
	if err != nil {
		return false, err
	}
	doc, err := jsonb.Parse(headers)
	if err != nil {
		return false, err
	}
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.JSONB, sqltypes.Bytea, sqltypes.Text})
	b.Col(0).AppendBytes(doc)
	b.Col(1).AppendBytes(payload)
	value := ""
	if w.rel.Webhook.Secret != 0 {
		if value, err = w.s.m.Vault.ValueOf(w.rel.Webhook.Secret); err != nil {
			return false, err
		}
	}
	b.Col(2).AppendString(value)
	b.EndRow(1)
	c := w.s.evalCtx()
	v := check.Eval(c, b.Take())
	return len(c.Errs) == 0 && v.Len() == 1 && !v.IsNull(0) && v.Bools[0], nil
}

// Insert writes rows, whose columns are all of the table's, and returns when they are durable.
func (w *Webhook) Insert(ctx context.Context, c *delta.Chunk) error {
	s := w.s
	s.stmt = ctx
	if w.s.snapshot().Relations[w.rel.ID] == nil {
		return sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", w.rel.Name)
	}
	checks, err := bind.InputChecks(s.env(nil), w.rel)
	if err != nil {
		return err
	}
	_, err = s.modifying(ctx, true, func(ctx context.Context, txn *engine.Txn) (int64, error) {
		return s.m.Engine.InsertChunk(ctx, txn, w.rel, checks, c, s.query2())
	})
	if err != nil {
		return err
	}
	return s.commit(ctx)
}

// Close ends the request.
func (w *Webhook) Close() { w.s.abandon() }
