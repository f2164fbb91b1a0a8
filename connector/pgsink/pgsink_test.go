package pgsink

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fixture is a server, a session that looks at it, and where the sink goes.
type fixture struct {
	*testing.T
	server *dbtest.Server
	conn   *pgx.Conn
}

// TestPostgres shares one server among its parts; each has tables of its own.
func TestPostgres(t *testing.T) {
	f := &fixture{t, dbtest.Postgres(t), nil}
	f.connect(t)
	for name, part := range map[string]func(t *testing.T, f *fixture){
		"append-only contract": contractAppendOnly, "upsert contract": contractUpsert, "types": allTypes, "mistakes": mistakes,
		"rights": rights, "fencing": fencing, "keys": keys, "jdbc": jdbc, "values": awkward,
	} {
		t.Run(name, func(t *testing.T) { part(t, f) })
	}
	t.Run("killed target", func(t *testing.T) { killedTarget(t, f) }) // last: it ends sessions
}

func (f *fixture) connect(t *testing.T) {
	c, err := pgx.Connect(context.Background(), "host="+f.server.Host+" user=root dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(c) })
	f.conn = c
}

func (f *fixture) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := f.conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// texts returns the rows of a query, columns joined by bars.
func (f *fixture) texts(t *testing.T, sql string) []string {
	t.Helper()
	rows, err := f.conn.Query(context.Background(), sql, pgx.QueryResultFormats{0})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for rows.Next() {
		var cells []string
		for _, b := range rows.RawValues() {
			if b == nil {
				cells = append(cells, "NULL")
			} else {
				cells = append(cells, string(b))
			}
		}
		out = append(out, strings.Join(cells, "|"))
	}
	if rows.Err() != nil {
		t.Fatalf("%s: %v", sql, rows.Err())
	}
	return out
}

func (f *fixture) spec(table string, cols []catalog.Column, key []int, options ...string) *connector.SinkSpec {
	o := map[string]string{"host": f.server.Host, "user": f.server.User, "database": "postgres", "table": table}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "s", ID: 7, Instance: "cluster-" + table, Connector: catalog.Connector{Name: "postgres", Options: o},
		Columns: cols, Key: key, AppendOnly: key == nil, Settings: sqlio.DefaultSettings(), Logger: slog.New(slog.DiscardHandler)}
}

func (f *fixture) open(t *testing.T, spec *connector.SinkSpec) connector.Writer {
	t.Helper()
	w, err := Sink{}.Open(context.Background(), spec)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contract(t *testing.T, f *fixture, table, ddl string, key []int) {
	f.exec(t, "CREATE TABLE "+table+ddl)
	conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: f.spec(table, conntest.SinkColumns(), key), ExactlyOnce: true,
		Visible: func(t *testing.T) []string { return f.texts(t, "SELECT id, name FROM "+table) },
		Row:     func(id int64, name string) string { return fmt.Sprintf("%d|%s", id, name) },
	})
}

func contractAppendOnly(t *testing.T, f *fixture) {
	contract(t, f, "appended", "(name text, id bigint)", nil)
}

func contractUpsert(t *testing.T, f *fixture) {
	contract(t, f, "upserted", "(id bigint PRIMARY KEY, name text)", []int{0})
}

// allTypes writes values of every type and reads their texts back; then NULL in all of them.
func allTypes(t *testing.T, f *fixture) {
	cases := []struct {
		typ    sqltypes.Type
		column string
		text   string
	}{
		{sqltypes.Bool, "boolean", "t"}, {sqltypes.Int2, "smallint", "-32768"}, {sqltypes.Int4, "bigint", "-5"}, {sqltypes.Int8, "numeric", "9223372036854775807"},
		{sqltypes.Float4, "real", "0.1"}, {sqltypes.Float8, "double precision", "-Infinity"}, {sqltypes.Numeric, "numeric", "123456789012345678901234567890.0900"},
		{sqltypes.Numeric, "numeric", "NaN"}, {sqltypes.Text, "text", `a "b" \ {c},` + "\n"}, {sqltypes.Varchar, "varchar(3)", "äöü"}, {sqltypes.Bpchar, "char(3)", "x  "},
		{sqltypes.Bytea, "bytea", `\x00ff5c22`}, {sqltypes.Date, "date", "0044-03-15 BC"}, {sqltypes.Date, "date", "infinity"}, {sqltypes.Time, "time", "24:00:00"},
		{sqltypes.Timetz, "timetz", "12:00:00.5+02"}, {sqltypes.Timestamp, "timestamp", "1999-12-31 23:59:59.999999"},
		{sqltypes.Timestamptz, "timestamptz", "2024-02-29 12:00:00+00"}, {sqltypes.IntervalT, "interval", "1 year 2 mons -3 days +04:05:06.7"},
		{sqltypes.JSONB, "jsonb", `{"a": [1, null, "\"x\\"]}`}, {sqltypes.JSON, "json", `{"b":  1}`}, {sqltypes.JSONB, "text", `{"a": 1}`},
		{sqltypes.UUID, "uuid", "11111111-2222-3333-4444-555555555555"}, {sqltypes.ArrayOf(sqltypes.Int4), "int[]", "{1,NULL,3}"},
		{sqltypes.Bit.WithTypmod(3), "bit(3)", "101"}, {sqltypes.Varbit, "varbit", "0101"}, {sqltypes.Bit.WithTypmod(9), "varbit(9)", "101010101"},
		{sqltypes.ArrayOf(sqltypes.Text), "text[]", `{{"a b","\"q\""},{NULL,"NULL"}}`}, {sqltypes.ArrayOf(sqltypes.Numeric), "numeric[]", "{1.50,NaN}"},
		{sqltypes.Text, "mood", "happy"}, {sqltypes.Numeric, "positive", "7.5"},
		{sqltypes.StructOf([]sqltypes.RowField{{Name: "a", Type: sqltypes.Int4}, {Name: "b", Type: sqltypes.Text}}), "pair", `(1,"x y")`},
	}
	f.exec(t, "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS numeric CHECK (value > 0); CREATE TYPE pair AS (a int, b text)")
	var cols []catalog.Column
	var types []sqltypes.Type
	var ddl, want, none []string
	b := make([]sqltypes.Datum, len(cases))
	for i, c := range cases {
		name := fmt.Sprintf("c%d", i)
		cols, types = append(cols, catalog.Column{ID: int32(i + 1), Name: name, Type: c.typ}), append(types, c.typ)
		ddl, want, none = append(ddl, name+" "+c.column), append(want, c.text), append(none, "NULL")
		d, err := sqlio.ParseText(c.typ, c.text, sqlio.DefaultSettings())
		if err != nil {
			t.Fatalf("%s %q: %v", c.typ, c.text, err)
		}
		b[i] = d
	}
	f.exec(t, "SET extra_float_digits = 1; SET timezone = 'UTC'; CREATE TABLE every (n bigint PRIMARY KEY, "+strings.Join(ddl, ", ")+")")
	cols, types = append(cols, catalog.Column{ID: 99, Name: "n", Type: sqltypes.Int8}), append(types, sqltypes.Int8)
	spec := f.spec("every", cols, []int{len(cols) - 1})
	must(t, Sink{}.Validate(t.Context(), spec))
	bld := delta.NewBuilder(types)
	bld.AppendDatums(append(slices.Clone(b), int64(1)), 1)
	bld.AppendDatums(append(make([]sqltypes.Datum, len(cases)), int64(2)), 1)
	w := f.open(t, spec)
	must(t, w.Write(t.Context(), 1, bld.Take()))
	must(t, w.Commit(t.Context(), 1))
	got := f.texts(t, "SELECT * FROM every ORDER BY n")
	if w := []string{"1|" + strings.Join(want, "|"), "2|" + strings.Join(none, "|")}; !slices.Equal(got, w) {
		t.Errorf("got\n%q, want\n%q", got, w)
	}
}

func col(name string, typ sqltypes.Type) catalog.Column { return catalog.Column{Name: name, Type: typ} }

// mistakes checks that CREATE SINK names what is wrong, and what to do.
func mistakes(t *testing.T, f *fixture) {
	f.exec(t, `CREATE TABLE small (id int PRIMARY KEY, name text, gen int GENERATED ALWAYS AS (id + 1) STORED);
		CREATE TABLE strict (id bigint UNIQUE, must int NOT NULL, part text); CREATE UNIQUE INDEX ON strict (part) WHERE id > 0;
		CREATE TYPE colour AS ENUM ('red'); CREATE TABLE painted (c colour)`)
	id, name := col("id", sqltypes.Int8), col("name", sqltypes.Text)
	paint := sqltypes.Named(sqltypes.KEnum, 777)
	paint.Define(&sqltypes.Def{Name: "paint", Labels: []sqltypes.Label{{Name: "red"}, {Name: "blue"}}})
	for what, c := range map[string]struct {
		spec       *connector.SinkSpec
		code       sqlerr.Code
		text, hint string
	}{
		"table":     {f.spec("nosuch", []catalog.Column{id}, nil), sqlerr.UndefinedTable, `"public"."nosuch" does not exist`, "Create it there first"},
		"schema":    {f.spec("small", []catalog.Column{id}, nil, "schema", "other"), sqlerr.UndefinedTable, `"other"."small"`, "option \"schema\""},
		"column":    {f.spec("small", []catalog.Column{col("nam", sqltypes.Text)}, nil), sqlerr.UndefinedColumn, `no column "nam"`, `"name"`},
		"column2":   {f.spec("small", []catalog.Column{col("quantity", sqltypes.Int4)}, nil), sqlerr.UndefinedColumn, `no column "quantity"`, `ADD COLUMN "quantity" integer`},
		"type":      {f.spec("small", []catalog.Column{id}, nil), sqlerr.DatatypeMismatch, `"id" of the sink has type bigint, which does not fit type integer`, `TYPE bigint`},
		"generated": {f.spec("small", []catalog.Column{col("gen", sqltypes.Int4)}, nil), sqlerr.WrongObjectType, `"gen"`, "Leave it out"},
		"not null":  {f.spec("strict", []catalog.Column{id}, nil), sqlerr.NotNullViolation, `"must"`, "give it a default"},
		"key":       {f.spec("strict", []catalog.Column{id, col("must", sqltypes.Int4), col("part", sqltypes.Text)}, []int{2}), sqlerr.InvalidTableDefinition, "unique index on (part)", `ADD PRIMARY KEY ("part")`},
		"null key":  {f.spec("strict", []catalog.Column{id, col("must", sqltypes.Int4)}, []int{0}), sqlerr.InvalidTableDefinition, `"id" of the key may be NULL`, "SET NOT NULL"},
		"no key":    {f.spec("small", []catalog.Column{name}, nil, "type", "upsert"), sqlerr.InvalidParameterValue, "needs a primary key", ""},
		"label":     {f.spec("painted", []catalog.Column{col("c", paint)}, nil), sqlerr.DatatypeMismatch, `no label "blue"`, "ADD VALUE 'blue'"},
		"option":    {f.spec("small", []catalog.Column{name}, nil, "tabel", "x"), sqlerr.InvalidParameterValue, `"tabel"`, `"table"`},
		"database":  {f.spec("small", []catalog.Column{name}, nil, "database", "nodb"), sqlerr.ConnectionFailure, `"nodb"`, "host, port"},
		"host":      {f.spec("small", []catalog.Column{name}, nil, "host", "/nowhere"), sqlerr.ConnectionFailure, "/nowhere", "host, port"},
		"ssl":       {f.spec("small", []catalog.Column{name}, nil, "ssl.mode", "strong"), sqlerr.InvalidParameterValue, "verify-full", ""},
	} {
		t.Run(what, func(t *testing.T) { complains(t, c.spec, c.code, c.text, c.hint) })
	}
}

func complains(t *testing.T, spec *connector.SinkSpec, code sqlerr.Code, text, hint string) {
	t.Helper()
	err := Sink{}.Validate(t.Context(), spec)
	e := sqlerr.From(err)
	if err == nil || e.Code != code || !strings.Contains(e.Message, text) || !strings.Contains(e.Hint, hint) {
		t.Errorf("Validate: %v, hint %q; want %s %q with hint %q", err, e.Hint, code, text, hint)
	}
}

func rights(t *testing.T, f *fixture) {
	f.exec(t, `CREATE SCHEMA closed; CREATE TABLE closed.t (id bigint PRIMARY KEY, name text); CREATE ROLE poor LOGIN; GRANT USAGE ON SCHEMA closed TO poor`)
	spec := f.spec("t", conntest.SinkColumns(), []int{0}, "schema", "closed", "user", "poor")
	complains(t, spec, sqlerr.InsufficientPrivilege, `may not INSERT`, `GRANT INSERT, UPDATE, SELECT, DELETE ON "closed"."t" TO "poor"`)
	f.exec(t, "GRANT INSERT, UPDATE, SELECT ON closed.t TO poor")
	complains(t, spec, sqlerr.InsufficientPrivilege, `may not DELETE`, `GRANT`)
	f.exec(t, "GRANT DELETE ON closed.t TO poor")
	complains(t, spec, sqlerr.InsufficientPrivilege, `may not create table "closed"."millrace_sink_epochs"`, `GRANT CREATE ON SCHEMA "closed"`)
	f.exec(t, "GRANT CREATE ON SCHEMA closed TO poor")
	must(t, Sink{}.Validate(t.Context(), spec))
	w := f.open(t, spec)
	must(t, w.Write(t.Context(), 1, conntest.SinkRows(1)))
	must(t, w.Commit(t.Context(), 1))
}

// fencing: an older writer's session is ended when the next one comes, and one that still lives cannot commit.
func fencing(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE fenced (id bigint PRIMARY KEY, name text)")
	spec := f.spec("fenced", conntest.SinkColumns(), []int{0})
	old := f.open(t, spec)
	must(t, old.Write(t.Context(), 5, conntest.SinkRows(1))) // holds a lock on row 1
	young := f.open(t, spec)
	must(t, young.Write(t.Context(), 5, conntest.SinkRows(1)))
	must(t, young.Commit(t.Context(), 5))
	if err := old.Commit(t.Context(), 5); err == nil {
		t.Error("the older writer committed")
	}
	other := f.open(t, spec).(*Writer)
	f.exec(t, "UPDATE millrace_sink_epochs SET generation = generation + 1 WHERE sink = 'cluster-fenced'")
	must(t, other.Write(t.Context(), 6, conntest.SinkRows(2)))
	if err := other.Commit(t.Context(), 6); sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState {
		t.Errorf("commit under an old generation: %v", err)
	}
	_ = other.Close()
	if got := f.texts(t, "SELECT * FROM fenced"); !slices.Equal(got, []string{"1|row b"}) {
		t.Errorf("table holds %q", got)
	}
}

// keys: updates, deletes and changes of a key within one epoch; keys of several columns in any order.
func keys(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE keyed (b text, v int, a numeric, PRIMARY KEY (a, b)); CREATE TABLE only_key (a int PRIMARY KEY)")
	cols := []catalog.Column{col("a", sqltypes.Numeric), col("b", sqltypes.Text), col("v", sqltypes.Int4)}
	types := []sqltypes.Type{sqltypes.Numeric, sqltypes.Text, sqltypes.Int4}
	w := f.open(t, f.spec("keyed", cols, []int{0, 1}))
	epoch := uint64(0)
	step := func(want []string, rows ...[4]any) {
		t.Helper()
		epoch++
		b := delta.NewBuilder(types)
		for _, r := range rows {
			d, err := sqlio.ParseText(sqltypes.Numeric, r[0].(string), sqlio.DefaultSettings())
			must(t, err)
			b.AppendDatums([]sqltypes.Datum{d, r[1], int64(r[2].(int))}, int64(r[3].(int)))
		}
		must(t, w.Write(t.Context(), epoch, b.Take()))
		must(t, w.Commit(t.Context(), epoch))
		if got := f.texts(t, "SELECT a, b, v FROM keyed ORDER BY a, b"); !slices.Equal(got, want) {
			t.Errorf("step %d: got %q, want %q", epoch, got, want)
		}
	}
	step([]string{"1|x|1", "1|y|2", "2|x|3"}, [4]any{"1", "x", 1, 1}, [4]any{"1", "y", 2, 1}, [4]any{"2", "x", 3, 1})
	step([]string{"1|x|9", "2|x|3", "3|x|2"}, [4]any{"1", "x", 1, -1}, [4]any{"1", "x", 9, 1}, [4]any{"1", "y", 2, -1}, [4]any{"3", "x", 2, 1})
	step([]string{"1.00|x|9", "3|x|2"}, [4]any{"1", "x", 9, -1}, [4]any{"1.00", "x", 9, 1}, [4]any{"2", "x", 3, -1})

	w = f.open(t, f.spec("only_key", []catalog.Column{col("a", sqltypes.Int4)}, []int{0}))
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int4})
	for range 2 {
		b.AppendDatums([]sqltypes.Datum{int64(4)}, 1)
		must(t, w.Write(t.Context(), 1, b.Take()))
	}
	must(t, w.Commit(t.Context(), 1))
	if got := f.texts(t, "SELECT a FROM only_key"); !slices.Equal(got, []string{"4"}) {
		t.Errorf("table of keys holds %q", got)
	}
}

// awkward: what fits a type of ours and not the target's is an error of the row, not cut off silently.
func awkward(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE narrow (id bigint, name varchar(3))")
	w := f.open(t, f.spec("narrow", conntest.SinkColumns(), nil))
	if err := w.Write(t.Context(), 1, conntest.SinkRows(1)); sqlerr.CodeOf(err) != sqlerr.StringDataRightTruncation {
		t.Errorf("a long text: %v", err)
	}
}

func jdbc(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE by_jdbc (id bigint PRIMARY KEY, name text)")
	spec := f.spec("by_jdbc", conntest.SinkColumns(), []int{0})
	spec.Connector = catalog.Connector{Name: "jdbc", Options: map[string]string{"jdbc.url": "jdbc:postgresql://localhost/postgres?user=root&password=p%20w", "table.name": "by_jdbc"}}
	o, err := parse(spec)
	must(t, err)
	if o.Host != "localhost" || o.Port != 5432 || o.User != "root" || o.Password != "p w" || o.Database != "postgres" || o.Schema != "public" || !o.Upsert {
		t.Errorf("options %+v", o)
	}
	for _, bad := range []string{"jdbc:oracle://x/y", "postgresql", "jdbc:postgresql://h/"} {
		options := maps.Clone(spec.Connector.Options)
		options["jdbc.url"] = bad
		spec.Connector.Options = options
		if _, err := parse(spec); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// killedTarget ends the server between any two steps of an epoch; a new writer goes on from what it finds.
func killedTarget(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE survives (id bigint, name text)")
	spec := f.spec("survives", conntest.SinkColumns(), nil)
	var want []string
	epoch := uint64(0)
	for kill := range 6 {
		epoch++
		want = append(want, fmt.Sprint(2*epoch), fmt.Sprint(2*epoch+1))
		steps := func(kill int) (done bool) {
			at := func(n int) {
				if n == kill {
					f.server.Kill()
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			at(0)
			w, err := Sink{}.Open(ctx, spec)
			if err != nil {
				return false
			}
			defer w.Close()
			at(1)
			if have, ok, err := w.Committed(ctx); err != nil || ok && have >= epoch {
				return err == nil
			}
			if w.Write(ctx, epoch, conntest.SinkRows(int64(2*epoch))) != nil {
				return false
			}
			at(2)
			if w.Write(ctx, epoch, conntest.SinkRows(int64(2*epoch+1))) != nil {
				return false
			}
			at(3)
			commit := make(chan error, 1)
			go func() { commit <- w.Commit(ctx, epoch) }()
			if kill == 4 {
				time.Sleep(time.Duration(epoch%3) * 200 * time.Microsecond) // anywhere within the commit
				f.server.Kill()
			}
			err = <-commit
			at(5)
			return err == nil && kill != 5
		}
		if !steps(kill) {
			f.server.Kill()
			f.server.MustStart(t)
			if !steps(-1) {
				t.Fatalf("kill %d: a new writer cannot finish epoch %d", kill, epoch)
			}
		}
	}
	f.connect(t)
	if got := f.texts(t, "SELECT id FROM survives ORDER BY id"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// BenchmarkUpsert writes new rows and updates of them, a transaction per 10 chunks.
func BenchmarkUpsert(b *testing.B) {
	server := dbtest.Postgres(b)
	conn, err := pgx.Connect(context.Background(), "host="+server.Host+" user=root dbname=postgres")
	if err != nil {
		b.Fatal(err)
	}
	defer closeConn(conn)
	if _, err := conn.Exec(context.Background(), "CREATE TABLE bench (id bigint PRIMARY KEY, name text); CREATE TABLE bench_append (id bigint, name text)"); err != nil {
		b.Fatal(err)
	}
	f := &fixture{nil, server, conn}
	for _, c := range []struct {
		name string
		spec *connector.SinkSpec
	}{{"upsert", f.spec("bench", conntest.SinkColumns(), []int{0})}, {"append", f.spec("bench_append", conntest.SinkColumns(), nil)}} {
		b.Run(c.name, func(b *testing.B) {
			w, err := Sink{}.Open(context.Background(), c.spec)
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			have, _, _ := w.Committed(context.Background())
			ids := make([]int64, delta.BatchRows)
			n := int64(0)
			for i := 0; b.Loop(); i++ {
				for k := range ids {
					ids[k] = n % 100_000
					n++
				}
				if err := w.Write(context.Background(), have+uint64(i/10)+1, conntest.SinkRows(ids...)); err != nil {
					b.Fatal(err)
				}
				if i%10 == 9 {
					if err := w.Commit(context.Background(), have+uint64(i/10)+1); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
