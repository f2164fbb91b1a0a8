package session

import (
	"context"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/logical"
	"github.com/millrace/millrace/planner/stream"
)

// defaultRetentionBytes bounds a subscription's log unless retention_bytes says otherwise.
const defaultRetentionBytes = 10 << 30

// createSubscription runs CREATE SUBSCRIPTION.
func (s *Session) createSubscription(ctx context.Context, x *parser.CreateSubscriptionStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Subscription, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	up, err := s.find(snap, x.From)
	if err != nil {
		return err
	}
	if up.Kind != catalog.Table && up.Kind != catalog.MatView {
		return sqlerr.New(sqlerr.WrongObjectType, "%q is not a table or materialized view", up.Name).At(x.From.Pos).
			WithDetail("A subscription keeps the changes of a table or a materialized view.")
	}
	if err := s.may(up, 'r'); err != nil {
		return err
	}
	if err := s.retention(r, x); err != nil {
		return err
	}
	for _, c := range up.Columns {
		if err := addColumn(r, catalog.Column{Name: c.Name, Type: c.Type}, x.Pos); err != nil {
			return err
		}
	}
	r.DependsOn = []catalog.ID{up.ID}
	return s.create(ctx, snap, r, func(id catalog.ID) (int, error) {
		sink := &plan.Sink{Single: true}
		p, f, err := stream.Plan(logical.Scan(up), s.root(stream.Root{Table: id, Sink: sink}), r.Parallelism)
		if err != nil {
			return 0, err
		}
		b, err := plan.Encode(p)
		r.Plan, r.AppendOnly = b, f.AppendOnly
		return f.States, err
	})
}

// retention reads the options of CREATE SUBSCRIPTION.
func (s *Session) retention(r *catalog.Relation, x *parser.CreateSubscriptionStmt) error {
	r.RetentionBytes = defaultRetentionBytes
	for _, o := range x.Options {
		switch o.Name {
		case "retention":
			d, err := s.duration(o)
			if err != nil {
				return err
			}
			if d < time.Millisecond {
				return sqlerr.New(sqlerr.InvalidParameterValue, "option \"retention\" must be positive").At(o.Pos)
			}
			r.Retention = d.Milliseconds()
		case "retention_bytes":
			text, _ := o.Text()
			n, err := parseMemory(text)
			if err != nil || n <= 0 {
				return sqlerr.New(sqlerr.InvalidParameterValue, "option \"retention_bytes\": invalid size %q", text).At(o.Pos).
					WithHint("For example '10GB'.")
			}
			r.RetentionBytes = n
		default:
			return sqlerr.New(sqlerr.InvalidParameterValue, "option %q not recognized", o.Name).At(o.Pos).
				WithHint("CREATE SUBSCRIPTION has the options retention and retention_bytes.")
		}
	}
	if r.Retention == 0 {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"retention\" is missing").At(x.Pos).
			WithHint("WITH (retention = '1 day')")
	}
	return nil
}

// findSubscription resolves the subscription that a statement names.
func (s *Session) findSubscription(snap *catalog.Snapshot, n parser.Name) (*catalog.Relation, error) {
	r, err := s.find(snap, n)
	if err != nil {
		return nil, missing(err, catalog.Subscription, n)
	}
	if r.Kind != catalog.Subscription {
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a subscription", r.Name).At(n.Pos).
			WithHint("CREATE SUBSCRIPTION … FROM %s WITH (retention = '1 day')", parser.QuoteIdent(r.Name))
	}
	return r, nil
}

// declareSubscription runs DECLARE … SUBSCRIPTION CURSOR.
func (s *Session) declareSubscription(ctx context.Context, x *parser.DeclareStmt, text string) error {
	if err := s.freeCursorName(x.Name); err != nil {
		return err
	}
	if x.Query != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "a subscription cursor is for a subscription, not for a query").At(x.Query.Pos).
			WithHint("DECLARE … CURSOR FOR SUBSCRIBE TO (SELECT …) follows a query.")
	}
	snap := s.snapshot()
	r, err := s.findSubscription(snap, x.Subscription)
	if err != nil {
		return err
	}
	if s.txn.stage != nil && s.txn.stage.created[r.ID] {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "subscription %q was created in this transaction", r.Name).
			WithHint("Its changes can be read after COMMIT.")
	}
	if err := s.may(r, 'r'); err != nil {
		return err
	}
	since, err := s.since(x)
	if err != nil {
		return err
	}
	c, err := s.m.Engine.Subscribe(ctx, r, snap.Relations[r.DependsOn[0]], since)
	if err != nil {
		return err
	}
	f := &follower{name: x.Name, query: text, subscription: r.Name, rows: changes{c}}
	names := make([]string, 0, len(r.Columns)+2)
	for _, col := range r.Columns {
		names = append(names, col.Name)
	}
	f.columns = columnsOf(c.Types(), append(names, "op", "rw_timestamp"))
	s.follow(f)
	return nil
}

// changes are the rows of a cursor over a subscription.
type changes struct{ *engine.SubscriptionCursor }

// Fetch implements followed.
func (c changes) Fetch(ctx context.Context, max int64, wait time.Duration, _ bool) ([]*delta.Chunk, error) {
	return c.SubscriptionCursor.Fetch(ctx, max, wait)
}

// since reads where a cursor over a subscription begins.
func (s *Session) since(x *parser.DeclareStmt) (engine.Since, error) {
	switch {
	case x.Full:
		return engine.Since{Kind: engine.SinceFull}, nil
	case x.Since == nil:
		return engine.Since{Kind: engine.SinceNow}, nil
	}
	if f, ok := x.Since.(*parser.FuncCall); ok && len(f.Args) == 0 {
		switch f.Name.Last() {
		case "now", "proctime":
			return engine.Since{Kind: engine.SinceNow}, nil
		case "begin":
			return engine.Since{Kind: engine.SinceBegin}, nil
		}
	}
	v, err := s.constant(x.Since, sqltypes.Int8)
	ms, ok := v.(int64)
	if err == nil && !ok || ms < 0 {
		err = sqlerr.New(sqlerr.InvalidParameterValue, "SINCE takes now(), begin() or a number of milliseconds since 1970, not %s", parser.Format(x.Since))
	}
	if err != nil {
		return engine.Since{}, sqlerr.From(err).At(x.Since.At())
	}
	return engine.Since{Kind: engine.SinceTime, Time: uint64(ms)}, nil
}

// subscriptionAsItIs gives a CREATE SUBSCRIPTION the name that its relation has now.
func subscriptionAsItIs(x *parser.CreateSubscriptionStmt, snap *catalog.Snapshot, r *catalog.Relation) {
	if up := snap.Relations[r.DependsOn[0]]; up != nil {
		x.From = parser.Name{Parts: []string{up.Schema, up.Name}}
	}
}
