package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
)

// logical are the arguments of a server whose log can be read.
var logical = []string{"-c", "wal_level=logical", "-c", "max_replication_slots=8", "-c", "max_wal_senders=8", "-c", "wal_writer_delay=10ms"}

// world is a server and a session with it.
type world struct {
	*dbtest.Server
	t   *testing.T
	sql *pgx.Conn
	n   int
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	w := &world{Server: dbtest.Postgres(t, append(slices.Clone(logical), args...)...), t: t}
	w.reconnect()
	return w
}

func (w *world) reconnect() {
	w.t.Helper()
	w.sql = w.session("root")
}

func (w *world) session(user string) *pgx.Conn {
	w.t.Helper()
	c, err := pgx.Connect(context.Background(), "host="+w.Host+" dbname=postgres user="+user)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (w *world) exec(sql string) {
	w.t.Helper()
	for _, s := range strings.Split(sql, ";\n") {
		if _, err := w.sql.Exec(context.Background(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (w *world) one(sql string) string {
	w.t.Helper()
	var s *string
	if err := w.sql.QueryRow(context.Background(), "SELECT ("+sql+")::text").Scan(&s); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	if s == nil {
		return "NULL"
	}
	return *s
}

// spec is a source over the server with its own slot; more are further options, name and value.
func (w *world) spec(more ...string) *connector.SourceSpec {
	w.n++
	s := &connector.SourceSpec{Name: "src", ID: 1, Instance: fmt.Sprintf("test%d/7", w.n), Connector: catalog.Connector{Name: "postgres-cdc",
		Options: map[string]string{"hostname": w.Host, "username": "root", "database.name": "postgres"}}}
	for i := 0; i < len(more); i += 2 {
		s.Connector.Options[more[i]] = more[i+1]
	}
	return s
}

// table describes an upstream table as CREATE TABLE t (*) would, and adds it to spec.
func (w *world) table(spec *connector.SourceSpec, upstream string) *cdc.Table {
	w.t.Helper()
	f, err := Source{}.DescribeTable(context.Background(), spec, upstream, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	t := connector.Table{ID: catalog.ID(100 + len(spec.Tables)), Upstream: upstream, Columns: f.Columns, Key: f.Key}
	spec.Tables = append(spec.Tables, t)
	return &cdc.Table{Table: t, Rows: cdc.NewRows(t)}
}

func (w *world) upstream(spec *connector.SourceSpec) *upstream {
	w.t.Helper()
	c, err := parse(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	u := newUpstream(c, nil)
	w.t.Cleanup(func() { _ = u.Close() })
	return u
}

// within is how long a test waits for what must happen soon.
const within = 20 * time.Second

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}

// lines prints a chunk's rows: + for a row put, - for one deleted, each with its control, if any.
func lines(c *delta.Chunk) []string {
	var out []string
	if c == nil {
		return nil
	}
	last := len(c.Cols) - 1
	for k := range c.Len() {
		i := c.Row(k)
		b := []byte("+")
		if c.Weight(i) < 0 {
			b[0] = '-'
		}
		if v := c.Cols[last]; !v.IsNull(i) {
			b = fmt.Appendf(b, "%c%x", v.Bytes(i)[0], v.Bytes(i)[1:])
		}
		for _, v := range c.Cols[:last] {
			b = append(b, ' ')
			if v.IsNull(i) {
				b = append(b, "NULL"...)
			} else {
				b = sqlio.AppendText(b, v, i, texts)
			}
		}
		out = append(out, string(b))
	}
	return out
}

// reading is a stream and what it has given.
type reading struct {
	t      *testing.T
	u      *upstream
	s      cdc.Stream
	tables []*cdc.Table
	last   cdc.Event
	events int
}

func (w *world) read(u *upstream, resume []byte, tables ...*cdc.Table) *reading {
	w.t.Helper()
	s, err := u.Stream(soon(w.t), resume, tables)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return &reading{t: w.t, u: u, s: s, tables: tables}
}

// next reads an event, and takes the rows that it gave of the first table.
func (r *reading) next() (cdc.Event, []string) {
	r.t.Helper()
	e, err := r.s.Next(soon(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	r.last = e
	r.events++
	var out []string
	for _, t := range r.tables {
		out = append(out, lines(t.Take())...)
	}
	return e, out
}

// all reads up to where the log is now. It stops before a change.
func (r *reading) all() []string {
	r.t.Helper()
	to, err := r.u.Position(soon(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for {
		e, rows := r.next()
		out = append(out, rows...)
		if e.Change != nil || e.Recopy != nil || e.End && !e.At.Before(to) {
			return out
		}
	}
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Fatalf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}
