// Package catalog computes the system relations (pg_catalog, information_schema and millrace_catalog) and the
// functions that only the catalog can answer.
//
// The idea: a system relation is a shape (PostgreSQL 15's columns, kept as text) and a function that writes its
// rows from one catalog snapshot. Nothing is stored: what psql, drivers and tools read is computed when they ask.
// Rows that follow from the release alone (types, functions, the system relations themselves) are computed once.
//
// System is shared by all sessions; each call runs on the goroutine of the session that asks.
//
// Invariants: columns are PostgreSQL's, in order; OIDs are stable while an object lives and every reference
// leads to a row (see oid.go); a relation without counterpart here has PostgreSQL's columns and no rows.
//
// It changes nothing, plans nothing, and of the hidden columns has tableoid, with a qualified name. Start at contents in
// registry.go, then shape.go.
package catalog

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The schemas of the system relations.
const (
	pgCatalog       = "pg_catalog"
	infoSchema      = "information_schema"
	millraceCatalog = "millrace_catalog"
)

// System implements session.SystemTables.
type System struct {
	relations []*relation // in the order of their OIDs' lists
	byName    map[relName]*relation
	byOID     map[int64]*relation
	locks     advisoryLocks
}

type relName struct{ schema, name string }

// relation is one system relation.
type relation struct {
	schema string
	name   string
	oid    int64
	kind   byte // pg_class.relkind: r or v
	cols   []column
	out    []plan.Column
	index  map[string]int
	content

	once  sync.Once
	saved [][]sqltypes.Datum // what fixed wrote
}

// content fills a relation.
type content struct {
	// fixed writes the rows that follow from the release alone.
	fixed func(w *writer, y *System)
	// rows writes the others.
	rows func(w *writer, f *facts)
}

// New lists the system relations.
func New() *System {
	y := &System{byName: map[relName]*relation{}, byOID: map[int64]*relation{}}
	known := contents()
	add := func(schema string, shapes []shape) {
		for _, s := range shapes {
			key := relName{schema, s.name}
			r := newRelation(schema, s, known[key])
			delete(known, key)
			if y.byName[key] != nil || y.byOID[r.oid] != nil {
				panic("catalog: system relation " + schema + "." + s.name + " is listed twice")
			}
			y.byName[key], y.byOID[r.oid] = r, r
			y.relations = append(y.relations, r)
		}
	}
	add(pgCatalog, pgTables)
	add(pgCatalog, pgViews)
	add(pgCatalog, pgStatViews)
	add(infoSchema, informationSchema)
	add(millraceCatalog, millraceRelations)
	for key := range known {
		panic("catalog: rows for the unknown system relation " + key.schema + "." + key.name)
	}
	return y
}

// Columns implements session.SystemTables.
func (y *System) Columns(schema, name string) ([]plan.Column, bool) {
	r := y.byName[relName{schema, name}]
	if r == nil {
		return nil, false
	}
	return r.out, true
}

// Rows implements session.SystemTables.
func (y *System) Rows(_ context.Context, s *session.Session, schema, name string) ([][]sqltypes.Datum, error) {
	return y.read(y.facts(s), schema, name)
}

// Function implements session.SystemTables.
func (y *System) Function(s *session.Session, name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	return y.call(y.facts(s), name, args)
}

func (y *System) read(f *facts, schema, name string) ([][]sqltypes.Datum, error) {
	r := y.byName[relName{schema, name}]
	if r == nil {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", schema+"."+name)
	}
	saved := r.fixedRows(y)
	if r.rows == nil {
		return saved, nil
	}
	w := &writer{r: r, rows: saved[:len(saved):len(saved)]}
	r.rows(w, f)
	return w.rows, nil
}

func (r *relation) fixedRows(y *System) [][]sqltypes.Datum {
	r.once.Do(func() {
		if r.fixed == nil {
			return
		}
		w := &writer{r: r}
		r.fixed(w, y)
		r.saved = w.rows
	})
	return r.saved
}

// facts are what rows and answers are computed from: one snapshot, and who asks.
type facts struct {
	y       *System
	snap    *catalog.Snapshot
	store   session.Catalog
	session expr.Session
	started time.Time

	activity func() []session.Activity
	cursors  func() []session.CursorInfo
	prepared func() []session.PreparedInfo
	jobs     func() []engine.JobStatus
	sinks    func() []engine.SinkStatus
	// subscriptions reports on those whose logs could be read.
	subscriptions func() []engine.SubscriptionStatus
	feeds         func() []engine.FeedStatus
	quarantine    func() []engine.Quarantined
}

func (y *System) facts(s *session.Session) *facts {
	m := s.Manager()
	return &facts{y: y, snap: s.Snapshot(), store: m.Catalog, session: s, started: m.Started,
		activity: m.Activity, cursors: s.Cursors, prepared: s.PreparedStatements, jobs: m.Engine.Jobs, sinks: m.Engine.Sinks, subscriptions: m.Engine.Subscriptions, feeds: m.Engine.Feeds, quarantine: m.Engine.Quarantine}
}
