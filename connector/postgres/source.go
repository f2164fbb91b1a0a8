// Package postgres captures the changes of tables of a PostgreSQL database.
//
// The idea: a replication slot with the plugin pgoutput keeps the log from where this source is; what is read from it is translated
// into changes of the tables here (stream.go, apply.go). Tables are copied in pieces, in the order of their key, by ordinary queries
// (snapshot.go); package cdc merges the two. The slot is told how far the log is durable here, so that the server can let it go.
//
// A table is in line with a shape: the columns that the upstream table had, by their numbers. When a message of the log shows another
// one, or the catalog does (watcher.go), the table follows to what the catalog says now, and messages from before that are read by the
// numbers of their columns (shape.go).
//
// A stream belongs to one goroutine, and has three of its own: two on the connection (wire.go), one that looks at the catalog. Queries
// may come from any goroutine, each with a session of its own.
//
// Invariants: nothing is acknowledged to the server that is not durable here; changes that the slot has lost are an error, never a gap.
//
// It does not decide what is read when (connector/cdc). Start at Source, then upstream and stream.
package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Source implements connector.Capture.
type Source struct{}

var _ connector.Capture = Source{}

// Validate implements connector.Source.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parse(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	return connector.Facts{}, c.once(ctx, func(conn *pgconn.PgConn) error { return c.checkServer(ctx, conn) })
}

// once runs f with a session for it alone.
func (c *config) once(ctx context.Context, f func(conn *pgconn.PgConn) error) error {
	conn, err := c.connect(ctx, false)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	return f(conn)
}

// Splits implements connector.Source; a Capture is not asked.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) {
	return []string{connector.LogSplit}, nil
}

// Open implements connector.Source.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parse(spec)
	if err != nil {
		return nil, err
	}
	return cdc.NewReader(ctx, newUpstream(c, spec.Logger), spec, splits)
}

// DescribeTable implements connector.Capture.
func (Source) DescribeTable(ctx context.Context, spec *connector.SourceSpec, upstream string, key []string) (facts connector.TableFacts, err error) {
	c, err := parse(spec)
	if err != nil {
		return facts, err
	}
	err = c.once(ctx, func(conn *pgconn.PgConn) error {
		facts, err = c.describe(ctx, conn, upstream, key)
		return err
	})
	return facts, err
}

// Drop implements connector.Capture. A slot that is not there any more is no error.
func (Source) Drop(ctx context.Context, spec *connector.SourceSpec) error {
	c, err := parse(spec)
	if err != nil {
		return err
	}
	return c.once(ctx, func(conn *pgconn.PgConn) error {
		if err := c.dropSlot(ctx, conn); err != nil {
			return err
		}
		p, err := c.lookPublication(ctx, conn)
		if err != nil || !p.own {
			return err
		}
		_, err = query(ctx, conn, "DROP PUBLICATION IF EXISTS "+quoteIdent(c.publication))
		return c.explain(ctx, fmt.Sprintf("drop publication %q", c.publication), err)
	})
}

func (c *config) describe(ctx context.Context, conn *pgconn.PgConn, upstream string, key []string) (connector.TableFacts, error) {
	types := &resolver{}
	r, err := c.find(ctx, conn, types, upstream)
	if err != nil {
		return connector.TableFacts{}, err
	}
	if err := r.capturable(); err != nil {
		return connector.TableFacts{}, err
	}
	names, err := r.key(key)
	if err != nil {
		return connector.TableFacts{}, err
	}
	if !r.Select {
		return connector.TableFacts{}, sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not read upstream table %q", c.user, r.label()).
			WithHint("Run upstream: GRANT SELECT ON %s TO %s (and USAGE ON SCHEMA %s)", r.quoted(), quoteIdent(c.user), quoteIdent(r.Schema))
	}
	p, err := c.lookPublication(ctx, conn)
	if err != nil {
		return connector.TableFacts{}, err
	}
	if err := p.check(c); err != nil {
		return connector.TableFacts{}, err
	}
	if ok, err := p.covers(ctx, conn, c, r); err != nil {
		return connector.TableFacts{}, err
	} else if !ok {
		if err := p.mayAdd(c, r); err != nil {
			return connector.TableFacts{}, err
		}
	}
	var f connector.TableFacts
	for _, col := range r.Cols {
		f.Columns = append(f.Columns, catalog.Column{Name: col.Name, Type: types.resolve(col.Type, col.Mod), NotNull: col.NotNull})
	}
	for _, k := range names {
		f.Key = append(f.Key, slices.IndexFunc(r.Cols, func(col column) bool { return col.Name == k }))
	}
	return f, nil
}

// capturable refuses what has no rows in the log.
func (r *relation) capturable() error {
	what := map[string]string{"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index", "I": "an index", "c": "a composite type", "t": "a TOAST table"}[r.Kind]
	e := func(format string, args ...any) *sqlerr.Error {
		return sqlerr.New(sqlerr.WrongObjectType, "upstream table %q cannot be captured: "+format, append([]any{r.label()}, args...)...)
	}
	switch {
	case what != "":
		return e("it is %s", what).WithHint("Capture the tables that it is made from.")
	case r.Schema == "pg_catalog" || r.Schema == "information_schema":
		return e("it is a system table")
	case r.Persistent == "u":
		return e("it is unlogged").WithHint("Run upstream: ALTER TABLE %s SET LOGGED", r.quoted())
	case r.Persistent == "t":
		return e("it is temporary")
	case r.Filtered:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "row-level security hides rows of upstream table %q from this user", r.label()).
			WithHint("Use a user with BYPASSRLS.")
	}
	return nil
}

// key finds the columns that identify a row in the log, in the order of their index, and holds them against those that were declared. No
// columns: rows come whole, as a bag. Errors: 55000, 42P10, saying what to run upstream.
func (r *relation) key(declared []string) ([]string, error) {
	pick := func(f func(index) bool) []string {
		for _, i := range r.Indexes {
			if f(i) && i.Usable {
				return r.names(i.Columns)
			}
		}
		return nil
	}
	primary := pick(func(i index) bool { return i.Primary && i.Immediate })
	full := fmt.Sprintf("Run upstream: ALTER TABLE %s REPLICA IDENTITY FULL", r.quoted())
	none := func(why string) error {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "rows of upstream table %q cannot be told apart in the log: %s", r.label(), why).WithHint("%s", full)
	}
	var identity []string
	switch r.Identity {
	case "n":
		why := "its REPLICA IDENTITY is NOTHING"
		if primary != nil {
			full = fmt.Sprintf("Run upstream: ALTER TABLE %s REPLICA IDENTITY DEFAULT", r.quoted())
		}
		return nil, none(why)
	case "d":
		if identity = primary; identity == nil {
			return nil, none("it has no primary key")
		}
	case "i":
		if identity = pick(func(i index) bool { return i.Identity }); identity == nil {
			return nil, none("the index of its REPLICA IDENTITY is gone")
		}
	case "f":
		return r.fullKey(primary, declared)
	}
	for _, k := range identity {
		if slices.Contains(r.Generated, k) {
			return nil, none(fmt.Sprintf("the log leaves out the generated column %q of its key", k))
		}
	}
	if declared != nil && !sameSet(declared, identity) {
		return nil, sqlerr.New(sqlerr.InvalidColumnReference, "upstream table %q identifies its rows by (%s), not by (%s)", r.label(), strings.Join(identity, ", "), strings.Join(declared, ", ")).
			WithHint("Declare PRIMARY KEY (%s), or run upstream: ALTER TABLE %s REPLICA IDENTITY FULL", strings.Join(identity, ", "), r.quoted())
	}
	return identity, nil
}

// fullKey is key for a table whose old rows come whole: any unique key will do.
func (r *relation) fullKey(primary, declared []string) ([]string, error) {
	if primary != nil && slices.ContainsFunc(primary, func(k string) bool { return slices.Contains(r.Generated, k) }) {
		primary = nil
	}
	if declared == nil || sameSet(declared, primary) {
		return primary, nil
	}
	for _, i := range r.Indexes {
		if names := r.names(i.Columns); i.Usable && sameSet(names, declared) && r.allNotNull(i.Columns) {
			return names, nil
		}
	}
	return nil, sqlerr.New(sqlerr.InvalidColumnReference, "upstream table %q has no unique key (%s)", r.label(), strings.Join(declared, ", ")).
		WithDetail("A key needs a unique index on exactly these columns, all NOT NULL, without a condition.").
		WithHint("Declare the upstream primary key, or no key.")
}

// names lists columns by their numbers; those generated have an empty one.
func (r *relation) names(nums []int16) []string {
	var out []string
	for _, n := range nums {
		name := ""
		if c := r.byNum(n); c != nil {
			name = c.Name
		} else if len(r.Generated) > 0 {
			name = r.Generated[0]
		}
		out = append(out, name)
	}
	return out
}

func (r *relation) allNotNull(nums []int16) bool {
	return !slices.ContainsFunc(nums, func(n int16) bool { c := r.byNum(n); return c == nil || !c.NotNull })
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// ReadableOffset implements connector.Readable: the LSN from which on transactions are still to be read.
func (Source) ReadableOffset(log []byte) string {
	r, err := decodeResume(log)
	if err != nil {
		return err.Error()
	}
	return r.at.String()
}
