package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	planner "github.com/millrace/millrace/planner/batch"
)

// The fixture's ids.
const (
	idPublic catalog.ID = 20000 + iota
	idRoot
	idS2
	idT1
	idT1Name
	idV1
	idM1
	idF1
	idSink
	idHidden
	idFunc
	idAnn
)

// fixture is a catalog with one relation of each kind.
func fixture() *catalog.Snapshot {
	numeric := sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(10, 2))
	t1 := &catalog.Relation{ID: idT1, Schema: "public", Name: "t1", Kind: catalog.Table, Owner: "root", PrimaryKey: []int{0},
		Key: []catalog.SortKey{{Col: 0}}, Comment: "a table",
		Columns: []catalog.Column{{ID: 1, Name: "id", Type: sqltypes.Int4, NotNull: true},
			{ID: 2, Name: "name", Type: sqltypes.Text, NotNull: true, Default: "'x'", Comment: "its name"},
			{ID: 4, Name: "price", Type: numeric}, {ID: 5, Name: "Tags", Type: sqltypes.ArrayOf(sqltypes.Text)}},
		Definition: "CREATE TABLE t1 (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', price numeric(10,2), \"Tags\" text[])"}
	rels := []*catalog.Relation{t1,
		{ID: idT1Name, Schema: "public", Name: "t1_name", Kind: catalog.Index, Owner: "root", IndexOn: idT1, DependsOn: []catalog.ID{idT1},
			Columns: t1.Columns, IndexCols: []catalog.SortKey{{Col: 1, Desc: true, NullsFirst: true}}, Definition: "CREATE INDEX t1_name ON t1 (name DESC)"},
		{ID: idV1, Schema: "public", Name: "v1", Kind: catalog.View, Owner: "root", DependsOn: []catalog.ID{idT1},
			Columns: []catalog.Column{{ID: 1, Name: "id", Type: sqltypes.Int4}, {ID: 2, Name: "name", Type: sqltypes.Text}}, Definition: "SELECT id, name FROM t1"},
		{ID: idM1, Schema: "public", Name: "m1", Kind: catalog.MatView, Owner: "root", DependsOn: []catalog.ID{idT1},
			Columns: []catalog.Column{{ID: 1, Name: "name", Type: sqltypes.Text}, {ID: 2, Name: "n", Type: sqltypes.Int8}}, Definition: "SELECT name, count(*) AS n FROM t1 GROUP BY name"},
		{ID: idF1, Schema: "public", Name: "f1", Kind: catalog.Source, Owner: "ann", Columns: []catalog.Column{{ID: 1, Name: "a", Type: sqltypes.Int4}},
			Connector:  &catalog.Connector{Name: "kafka", Options: map[string]string{"topic": "bids", "sasl.password": "geheim"}, Format: "PLAIN", Encode: "JSON"},
			Definition: "CREATE SOURCE f1 (a int) WITH (connector = 'kafka', topic = 'bids')"},
		{ID: idSink, Schema: "public", Name: "k1", Kind: catalog.Sink, Owner: "root", DependsOn: []catalog.ID{idM1}, Definition: "SELECT * FROM m1",
			Connector: &catalog.Connector{Name: "blackhole"}},
		{ID: idHidden, Schema: "s2", Name: "t1", Kind: catalog.Table, Owner: "root", Columns: []catalog.Column{{ID: 1, Name: "b", Type: sqltypes.Bool}},
			Definition: "CREATE TABLE s2.t1 (b boolean)"},
	}
	snap := &catalog.Snapshot{Revision: 1, Database: "dev",
		Schemas: map[string]*catalog.Schema{"public": {ID: idPublic, Name: "public", Owner: "root"}, "s2": {ID: idS2, Name: "s2", Owner: "root", Comment: "second"}},
		Users: map[string]*catalog.User{"root": {ID: idRoot, Name: "root", Super: true, CreateDB: true, Login: true},
			"ann": {ID: idAnn, Name: "ann", Login: true, Verifier: "SCRAM-SHA-256$4096:c2FsdA==$a:b"}},
		Relations: map[catalog.ID]*catalog.Relation{},
		Functions: map[catalog.ID]*catalog.Function{idFunc: {ID: idFunc, Schema: "public", Name: "twice", ArgNames: []string{"x"}, Args: []sqltypes.Type{sqltypes.Int4},
			Result: sqltypes.Int4, Body: "SELECT 2 * x"}},
	}
	for _, r := range rels {
		snap.Relations[r.ID] = r
	}
	snap.Index()
	return snap
}

// fakeStore is a catalog store that never changes.
type fakeStore struct{ snap *catalog.Snapshot }

func (s fakeStore) Snapshot() *catalog.Snapshot { return s.snap }
func (s fakeStore) Apply(context.Context, *catalog.Snapshot, catalog.Change) error {
	return errors.New("the catalog of this test is fixed")
}
func (s fakeStore) ApplyUndecided(ctx context.Context, base *catalog.Snapshot, c catalog.Change, _ catalog.ID) error {
	return s.Apply(ctx, base, c)
}
func (s fakeStore) TakeBack(ctx context.Context, base *catalog.Snapshot, c catalog.Change, _ catalog.ID) error {
	return s.Apply(ctx, base, c)
}
func (s fakeStore) Decided(context.Context, catalog.ID) error { return nil }
func (s fakeStore) NewIDs(context.Context, int) (catalog.ID, error) {
	return 0, errors.New("the catalog of this test is fixed")
}

func (s fakeStore) NextValue(context.Context, *catalog.Relation) (int64, error) {
	return 0, errors.New("the catalog of this test is fixed")
}
func (s fakeStore) SetValue(context.Context, *catalog.Relation, catalog.SequenceState) error {
	return errors.New("the catalog of this test is fixed")
}
func (s fakeStore) Value(_ context.Context, r *catalog.Relation) (catalog.SequenceState, error) {
	return catalog.SequenceState{Last: r.Sequence.Start}, nil
}

// fake is a session over the fixture without an engine.
type fake struct {
	t       testing.TB
	y       *System
	m       *session.Manager
	s       *session.Session
	jobs    []engine.JobStatus
	sinks   []engine.SinkStatus
	records []engine.Quarantined
}

func open(t testing.TB) *fake { return openOn(t, fixture()) }

func openOn(t testing.TB, snap *catalog.Snapshot) *fake {
	y := New()
	m := &session.Manager{Catalog: fakeStore{snap}, System: y, Version: "test", Started: time.Unix(1_700_000_000, 0)}
	f := &fake{t: t, y: y, m: m}
	f.s = f.connect(7)
	f.jobs = []engine.JobStatus{{ID: idM1, State: "running", Epoch: 12, LagEpochs: 1, Rows: 3, Bytes: 96},
		{ID: idT1, State: "failed", Error: "broken", Sources: []job.SourceStatus{{Rows: 5, Errors: 1, Offsets: map[string]string{"0": "17", "1": "\x00\x01"}},
			{Rows: 9, Errors: 2, Backlog: 70, LastError: "bad", Offsets: map[string]string{"2": "4", "3": "5"}, Splits: map[string]job.SplitStatus{
				"2": {Rows: 2, Lag: 30, Retained: -1}, "3": {Rows: 7, Errors: 2, Lag: 40, Retained: 512, LastError: "bad"}}}}},
		{ID: 99999, State: "running"}}
	f.records = []engine.Quarantined{{Job: idT1, At: time.Unix(1_700_000_001, 0), Record: connector.RecordError{Split: "0", Offset: "16", Data: []byte("{"), Err: errors.New("cut short")}}}
	return f
}

func (f *fake) connect(pid uint32) *session.Session {
	f.t.Helper()
	s, err := f.m.Open(context.Background(), pgwire.Startup{User: "root", Database: "dev", PID: pid, Remote: net.JoinHostPort("127.0.0.1", "5000"), AppName: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
	out := s.(*session.Session)
	io := out.Settings()
	io.RegName = func(k sqltypes.Kind, oid int64) (string, bool) { return f.y.RegName(out, k, oid) }
	io.RegOID = func(k sqltypes.Kind, name string) (int64, error) { return f.y.RegOID(out, k, name) }
	return out
}

func (f *fake) facts() *facts {
	x := f.y.facts(f.s)
	x.jobs = func() []engine.JobStatus { return append([]engine.JobStatus(nil), f.jobs...) }
	x.feeds = func() []engine.FeedStatus { return nil }
	x.subscriptions = func() []engine.SubscriptionStatus { return nil }
	x.sinks = func() []engine.SinkStatus { return f.sinks }
	x.quarantine = func() []engine.Quarantined { return f.records }
	return x
}

// rows reads a system relation as maps from column to value.
func (f *fake) rows(schema, name string) []map[string]sqltypes.Datum {
	f.t.Helper()
	rows, err := f.y.read(f.facts(), schema, name)
	if err != nil {
		f.t.Fatal(err)
	}
	cols, _ := f.y.Columns(schema, name)
	cols = cols[:len(cols)-1] // without tableoid
	out := make([]map[string]sqltypes.Datum, len(rows))
	for i, r := range rows {
		out[i] = map[string]sqltypes.Datum{}
		for k, c := range cols {
			out[i][c.Name] = r[k]
		}
	}
	return out
}

// System implements batch.Relations.
func (f *fake) System(_ context.Context, schema, name string, cols []int) (batch.ChunkIter, error) {
	all, _ := f.y.Columns(schema, name)
	rows, err := f.y.read(f.facts(), schema, name)
	if err != nil {
		return nil, err
	}
	types := make([]sqltypes.Type, len(cols))
	for i, c := range cols {
		types[i] = all[c].Type
	}
	b := delta.NewBuilder(types)
	for _, r := range rows {
		part := make([]sqltypes.Datum, len(cols))
		for i, c := range cols {
			part[i] = r[c]
		}
		b.AppendDatums(part, 1)
	}
	return &oneChunk{b.Take()}, nil
}

// Scan implements batch.Relations.
func (f *fake) Scan(context.Context, catalog.ID, []int, [][]sqltypes.Datum) (batch.ChunkIter, error) {
	return &oneChunk{}, nil
}

type oneChunk struct{ c *delta.Chunk }

func (o *oneChunk) Next(context.Context) (*delta.Chunk, error) {
	c := o.c
	o.c = nil
	return c, nil
}
func (o *oneChunk) Close() {}

// query runs a SELECT through binder, planner and executor, and returns its rows as text.
func (f *fake) query(sql string) (out [][]string, err error) {
	st, err := parser.ParseOne(sql)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	sel, ok := st.(*parser.SelectStmt)
	if !ok {
		return nil, fmt.Errorf("not a query: %T", st)
	}
	snap := f.m.Catalog.Snapshot()
	env := &bind.Env{Catalog: snap, SearchPath: f.s.SearchPath(), Settings: f.s.Settings(), System: f.y.Columns, Session: f.s}
	n, err := bind.Query(env, sel.Query)
	if err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	types := plan.Types(n)
	if n, err = planner.Plan(n, snap, nil); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	op, err := batch.Build(n, f, batch.Options{Ctx: func() *expr.Ctx { return &expr.Ctx{Settings: f.s.Settings(), Session: f.s} }})
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	defer op.Close()
	ctx := context.Background()
	if err := op.Open(ctx); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	for {
		c, err := op.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("run: %w", err)
		}
		if c == nil {
			return out, nil
		}
		out = append(out, textRows(c, types, f.s.Settings())...)
	}
}

func textRows(c *delta.Chunk, types []sqltypes.Type, io *sqlio.Settings) [][]string {
	var out [][]string
	for i := range c.Rows {
		if c.Sel != nil && i >= len(c.Sel) {
			break
		}
		at := i
		if c.Sel != nil {
			at = int(c.Sel[i])
		}
		line := make([]string, len(c.Cols))
		for k, v := range c.Cols {
			line[k] = "NULL"
			if !v.IsNull(at) {
				line[k] = sqlio.TextOf(types[k], v.Datum(at), io)
			}
		}
		out = append(out, line)
	}
	return out
}

func join(rows [][]string) string {
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = strings.Join(r, "|")
	}
	return strings.Join(lines, "\n")
}
