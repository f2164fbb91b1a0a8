package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/stream"
)

// subscribe is a SUBSCRIBE, bound.
type subscribe struct {
	rel      *catalog.Relation // followed; with query, the description of the query's job
	query    bool
	opt      engine.FollowOptions
	progress bool
	upTo     *uint64
	key      []int // columns of ENVELOPE UPSERT; nil: no envelope
	order    []int // the relation's columns as they are shown
	columns  []pgwire.Column
}

// bindSubscribe resolves what a SUBSCRIBE follows and how it is shown.
func (s *Session) bindSubscribe(x *parser.SubscribeStmt) (*subscribe, error) {
	b := &subscribe{}
	if err := s.subscribeOptions(b, x); err != nil {
		return nil, err
	}
	q := x.Query
	name, plain := x.Relation, true
	if q != nil {
		name, plain = wholeRelation(q)
	}
	if plain {
		r, err := s.find(s.snapshot(), name)
		switch {
		case err != nil && q == nil:
			return nil, err
		case err != nil: // a CTE, a table function or a system relation: the binder knows
		case r.Kind == catalog.Table || r.Kind == catalog.MatView:
			if err := s.may(r, 'r'); err != nil {
				return nil, err
			}
			b.rel = r
		case q == nil:
			if q, err = tableQuery(name); err != nil {
				return nil, err
			}
		}
	}
	if b.rel == nil {
		if err := s.followQuery(b, x, q); err != nil {
			return nil, err
		}
	}
	return b, b.shape(x)
}

// wholeRelation returns the relation of which a query selects everything.
func wholeRelation(q *parser.Query) (parser.Name, bool) {
	body, ok := q.Body.(*parser.Select)
	if !ok || len(body.From) != 1 {
		return parser.Name{}, false
	}
	ref, ok := body.From[0].(*parser.RelRef)
	if !ok {
		return parser.Name{}, false
	}
	all, err := tableQuery(ref.Name)
	return ref.Name, err == nil && parser.Format(all) == parser.Format(q)
}

// followQuery plans the job of a query.
func (s *Session) followQuery(b *subscribe, x *parser.SubscribeStmt, q *parser.Query) error {
	if b.opt.AsOf != nil {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "AS OF is for tables and materialized views: nothing keeps the earlier changes of a query").At(x.AsOf.At()).
			WithHint("Create a materialized view of the query and a subscription on it.")
	}
	r := &catalog.Relation{Name: "subscribe", Kind: catalog.Feed, Owner: s.User(), Settings: s.settings.frozen(), Parallelism: s.m.Parallelism}
	n, err := s.streamQuery(r, q)
	if err != nil {
		return err
	}
	snap := s.snapshot()
	for _, d := range r.DependsOn {
		if up := snap.Relations[d]; up != nil && up.IsStored() {
			r.Parallelism = up.Parallelism
		}
	}
	for i, c := range n.Columns() {
		r.Columns = append(r.Columns, catalog.Column{ID: int32(i + 1), Name: c.Name, Type: c.Type})
	}
	p, _, err := stream.Plan(n, s.root(stream.Root{Sink: &plan.Sink{Single: true}}), r.Parallelism)
	if err != nil {
		return placed(err, q, parser.Loc{})
	}
	b.rel, b.query = r, true
	r.Plan, err = plan.Encode(p)
	return err
}

// subscribeOptions reads the options of a SUBSCRIBE.
func (s *Session) subscribeOptions(b *subscribe, x *parser.SubscribeStmt) error {
	b.opt.Snapshot = x.AsOf == nil
	for _, o := range x.Options {
		var to *bool
		switch o.Name {
		case "snapshot":
			to = &b.opt.Snapshot
		case "progress":
			to = &b.progress
		default:
			return sqlerr.New(sqlerr.InvalidParameterValue, "option %q not recognized", o.Name).At(o.Pos).
				WithHint("SUBSCRIBE has the options snapshot and progress.")
		}
		v := "on"
		if o.Value != nil {
			text, _ := o.Text()
			var err error
			if v, err = boolean(text); err != nil {
				return sqlerr.New(sqlerr.InvalidParameterValue, "option %q requires a Boolean value", o.Name).At(o.Pos)
			}
		}
		*to = v == "on"
	}
	var err error
	if b.opt.AsOf, err = s.epoch(x.AsOf); err != nil {
		return err
	}
	if b.upTo, err = s.epoch(x.UpTo); err != nil {
		return err
	}
	if b.opt.AsOf != nil && b.opt.Snapshot {
		return sqlerr.New(sqlerr.FeatureNotSupported, "there is no snapshot AS OF an earlier epoch").At(x.AsOf.At()).
			WithHint("AS OF gives the changes after an epoch that you have seen; leave out SNAPSHOT.")
	}
	b.opt.LimitBytes, b.opt.PID = 64<<20, s.start.PID
	if n, err := parseMemory(s.settings.must("subscribe_memory")); err == nil {
		b.opt.LimitBytes = int(n)
	}
	return nil
}

// epoch evaluates AS OF and UP TO; nil for none.
func (s *Session) epoch(e parser.Expr) (*uint64, error) {
	if e == nil {
		return nil, nil
	}
	v, err := s.constant(e, sqltypes.Int8)
	n, ok := v.(int64)
	if err == nil && (!ok || n < 0) {
		err = sqlerr.New(sqlerr.InvalidParameterValue, "a timestamp must be a number as mz_timestamp shows it")
	}
	if err != nil {
		return nil, sqlerr.From(err).At(e.At())
	}
	u := uint64(n)
	return &u, nil
}

// shape decides on the columns.
func (b *subscribe) shape(x *parser.SubscribeStmt) error {
	add := func(name string, t sqltypes.Type) { b.columns = append(b.columns, pgwire.Column{Name: name, Type: t}) }
	add("mz_timestamp", sqltypes.Int8)
	if b.progress {
		add("mz_progressed", sqltypes.Bool)
	}
	inKey := map[int]bool{}
	for _, k := range x.UpsertKey {
		c, ok := b.rel.Column(k.Name)
		if !ok {
			return sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", k.Name).At(k.Pos)
		}
		if inKey[c] {
			return sqlerr.New(sqlerr.DuplicateColumn, "column %q appears twice in the key", k.Name).At(k.Pos)
		}
		inKey[c] = true
		b.key = append(b.key, c)
	}
	if b.key != nil {
		add("mz_state", sqltypes.Text)
	} else {
		add("mz_diff", sqltypes.Int8)
	}
	b.order = append(b.order, b.key...)
	for i := range b.rel.Columns {
		if !inKey[i] {
			b.order = append(b.order, i)
		}
	}
	for _, i := range b.order {
		add(b.rel.Columns[i].Name, b.rel.Columns[i].Type)
	}
	return nil
}

// openSubscribe begins to follow.
func (s *Session) openSubscribe(ctx context.Context, b *subscribe) (*subscribed, error) {
	if err := s.commitBefore(ctx); err != nil { // what the script has written is there
		return nil, err
	}
	r := &subscribed{b: b}
	for _, c := range b.columns {
		r.types = append(r.types, c.Type)
	}
	var err error
	if b.query {
		rel := *b.rel // each has a job of its own
		r.feed, err = s.m.Engine.FollowQuery(ctx, &rel, b.opt)
	} else {
		r.feed, err = s.m.Engine.Follow(ctx, b.rel, b.opt)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// subscribed are the rows of a SUBSCRIBE.
type subscribed struct {
	b     *subscribe
	types []sqltypes.Type
	feed  *engine.Feed
	queue []*delta.Chunk
	cur   *delta.Chunk // of Fetch
	k     int
	err   error // of the feed, to be returned next
	ended bool  // at UP TO
	rows  int64
}

// Ready implements pgwire.Live.
func (r *subscribed) Ready() bool {
	for len(r.queue) == 0 && !r.ended && r.err == nil && r.feed.Ready() {
		r.step(context.Background())
	}
	return len(r.queue) > 0 || r.ended || r.err != nil
}

// step takes the feed's next step.
func (r *subscribed) step(ctx context.Context) {
	b, err := r.feed.Next(ctx)
	if err != nil {
		r.err = err
		return
	}
	r.take(b)
}

// Next implements pgwire.Rows.
func (r *subscribed) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		switch {
		case len(r.queue) > 0:
			c := r.queue[0]
			r.queue = r.queue[1:]
			r.rows += int64(c.Len())
			return c, nil
		case r.err != nil:
			err := r.err
			r.err = nil
			return nil, err
		case r.ended:
			return nil, nil
		}
		r.step(ctx)
	}
}

// Tag implements pgwire.Rows.
func (r *subscribed) Tag() string { return fmt.Sprintf("SUBSCRIBE %d", r.rows) }

// Close implements pgwire.Rows.
func (r *subscribed) Close() { r.feed.Close() }

// Fetch implements followed.
func (r *subscribed) Fetch(ctx context.Context, max int64, wait time.Duration, all bool) ([]*delta.Chunk, error) {
	deadline := time.Now().Add(wait)
	var out []*delta.Chunk
	bld := delta.NewBuilder(r.types)
	for n := int64(0); n < max; {
		if r.cur == nil {
			if !r.Ready() && (n > 0 && !all || time.Until(deadline) <= 0) {
				break
			}
			within, cancel := context.WithDeadline(ctx, deadline)
			c, err := r.Next(within)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				break
			}
			if err != nil {
				return nil, err
			}
			if c == nil {
				break
			}
			r.cur, r.k = c, 0
		}
		bld.AppendRow(r.cur, r.k, 1)
		n++
		if r.k++; r.k == r.cur.Rows {
			r.cur = nil
		}
		if bld.Len() == delta.BatchRows {
			out = append(out, bld.Take())
		}
	}
	if last := bld.Take(); last != nil {
		out = append(out, last)
	}
	return out, nil
}

// take turns a step of the feed into rows.
func (r *subscribed) take(b engine.Batch) {
	last := b.Epoch // up to here all has come with this step
	if len(b.Chunks) > 0 {
		last--
	}
	if r.b.upTo != nil && (b.Epoch >= *r.b.upTo || last+1 >= *r.b.upTo) {
		r.ended = true
		if r.b.progress {
			r.progressed(*r.b.upTo)
		}
		return
	}
	switch {
	case len(b.Chunks) == 0:
		if r.b.progress {
			r.progressed(b.Epoch + 1)
		}
	case r.b.key != nil:
		r.upserts(b)
	default:
		r.diffs(b)
	}
}

// progressed says that no more comes at timestamps below epoch.
func (r *subscribed) progressed(epoch uint64) {
	bld := delta.NewBuilder(r.types)
	bld.Col(0).AppendInt(int64(epoch))
	bld.Col(1).AppendBool(true)
	for i := 2; i < len(r.types); i++ {
		bld.Col(i).AppendNull()
	}
	bld.EndRow(1)
	r.queue = append(r.queue, bld.Take())
}

// head begins a row and returns the number of its next column.
func (r *subscribed) head(bld *delta.Builder, epoch uint64) int {
	bld.Col(0).AppendInt(int64(epoch))
	if !r.b.progress {
		return 1
	}
	bld.Col(1).AppendBool(false)
	return 2
}

// diffs shows changes with their weights.
func (r *subscribed) diffs(b engine.Batch) {
	bld := delta.NewBuilder(r.types)
	for _, c := range b.Chunks {
		for j := range c.Len() {
			i := c.Row(j)
			at := r.head(bld, b.Epoch)
			bld.Col(at).AppendInt(c.Weight(i))
			for k, col := range r.b.order {
				bld.Col(at+1+k).AppendFrom(c.Cols[col], i)
			}
			bld.EndRow(1)
			if bld.Len() == delta.BatchRows {
				r.queue = append(r.queue, bld.Take())
			}
		}
	}
	if c := bld.Take(); c != nil {
		r.queue = append(r.queue, c)
	}
}

// upserts shows what the changes make of each key: its row, or that it is gone. Two rows with one key are a violation.
func (r *subscribed) upserts(b engine.Batch) {
	bld := delta.NewBuilder(r.types)
	for _, x := range engine.ByKey(b.Chunks, r.b.key) {
		state := "upsert"
		switch {
		case x.Inserts == 0:
			state = "delete"
		case x.Inserts > 1:
			state = "key_violation"
		}
		at := r.head(bld, b.Epoch)
		bld.Col(at).AppendString(state)
		for n, col := range r.b.order {
			if state == "upsert" || n < len(r.b.key) {
				bld.Col(at+1+n).AppendFrom(x.Chunk.Cols[col], x.Row)
			} else {
				bld.Col(at + 1 + n).AppendNull()
			}
		}
		bld.EndRow(1)
		if bld.Len() == delta.BatchRows {
			r.queue = append(r.queue, bld.Take())
		}
	}
	if c := bld.Take(); c != nil {
		r.queue = append(r.queue, c)
	}
}
