package mysqlsink

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fixture is a server, and sessions that look at it.
type fixture struct {
	server *dbtest.Server
	db     *sql.DB
}

// TestMariaDB shares one server among its parts; each has tables of its own.
func TestMariaDB(t *testing.T) {
	f := &fixture{server: dbtest.MariaDB(t)}
	db, err := sql.Open("mysql", "root@unix("+f.server.Host+")/test?multiStatements=true")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	f.db = db
	for name, part := range map[string]func(t *testing.T, f *fixture){
		"append-only contract": contractAppendOnly, "upsert contract": contractUpsert, "types": allTypes, "mistakes": mistakes,
		"rights": rights, "fencing": fencing, "keys": keys, "values": awkward, "long": long,
	} {
		t.Run(name, func(t *testing.T) { part(t, f) })
	}
	t.Run("killed target", func(t *testing.T) { killedTarget(t, f) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) exec(t *testing.T, text string) {
	t.Helper()
	if _, err := f.db.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// texts returns the rows of a query, columns joined by bars.
func (f *fixture) texts(t *testing.T, text string) []string {
	t.Helper()
	rows, err := f.db.Query(text)
	must(t, err)
	defer rows.Close()
	cols, err := rows.Columns()
	must(t, err)
	out := []string{}
	for rows.Next() {
		cells, into := make([]sql.NullString, len(cols)), make([]any, len(cols))
		for i := range cells {
			into[i] = &cells[i]
		}
		must(t, rows.Scan(into...))
		texts := make([]string, len(cols))
		for i, c := range cells {
			if texts[i] = "NULL"; c.Valid {
				texts[i] = c.String
			}
		}
		out = append(out, strings.Join(texts, "|"))
	}
	must(t, rows.Err())
	return out
}

func (f *fixture) spec(table string, cols []catalog.Column, key []int, options ...string) *connector.SinkSpec {
	o := map[string]string{"host": f.server.Host, "user": f.server.User, "database": "test", "table": table}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "s", ID: 7, Instance: "cluster-" + table, Connector: catalog.Connector{Name: "mysql", Options: o},
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
	contract(t, f, "upserted", "(ID bigint PRIMARY KEY, name text)", []int{0})
}

// allTypes writes values of every type and compares what MariaDB prints; then NULL in all of them.
func allTypes(t *testing.T, f *fixture) {
	pair := sqltypes.StructOf([]sqltypes.RowField{{Name: "a", Type: sqltypes.Int4}, {Name: "b", Type: sqltypes.Text}})
	cases := []struct {
		typ                sqltypes.Type
		column, text, want string
	}{
		{sqltypes.Bool, "boolean", "t", "1"}, {sqltypes.Int2, "smallint", "-32768", ""}, {sqltypes.Int4, "bigint", "-5", ""}, {sqltypes.Int8, "decimal(20)", "9223372036854775807", ""},
		{sqltypes.Float4, "float", "0.5", ""}, {sqltypes.Float8, "double", "-1.5e-300", ""}, {sqltypes.Numeric, "decimal(65,10)", "-123456789012345678901234567890.0900000000", ""},
		{sqltypes.Text, "text", `a "b" \ 'c'` + "\n\x1a", ""}, {sqltypes.Varchar, "varchar(5)", "äöü😀", ""}, {sqltypes.Bytea, "varbinary(10)", `\x00ff5c22`, "\x00\xff\x5c\x22"},
		{sqltypes.Bytea, "blob", `\x`, ""}, {sqltypes.Date, "date", "0044-03-15", ""}, {sqltypes.Time, "time(6)", "23:59:59.123456", ""}, {sqltypes.Timetz, "varchar(30)", "12:00:00.5+02", ""},
		{sqltypes.Timestamp, "datetime(6)", "1999-12-31 23:59:59.999999", ""}, {sqltypes.Timestamptz, "datetime(6)", "2024-02-29 12:00:00.5+01", "2024-02-29 11:00:00.500000"},
		{sqltypes.IntervalT, "varchar(99)", "1 year 2 mons -3 days +04:05:06.7", ""}, {sqltypes.JSONB, "json", `{"a": [1, null, "\"x\\"]}`, ""},
		{sqltypes.JSON, "longtext", `{"b":  1}`, ""}, {sqltypes.UUID, "uuid", "11111111-2222-3333-4444-555555555555", ""}, {sqltypes.UUID, "char(36)", "11111111-2222-3333-4444-555555555555", ""},
		{sqltypes.ArrayOf(sqltypes.Int4), "json", "{1,NULL,3}", "[1,null,3]"}, {sqltypes.ArrayOf(sqltypes.Text), "json", `{"a b","\"q\""}`, `["a b","\"q\""]`},
		{pair, "json", `(1,"x y")`, `{"a":1,"b":"x y"}`}, {sqltypes.Text, "enum('sad','happy')", "happy", ""},
	}
	var cols []catalog.Column
	var types []sqltypes.Type
	var ddl, want, none, names []string
	row := make([]sqltypes.Datum, len(cases))
	for i, c := range cases {
		name := fmt.Sprintf("c%d", i)
		cols, types = append(cols, catalog.Column{ID: int32(i + 1), Name: name, Type: c.typ}), append(types, c.typ)
		if c.want == "" && c.text != `\x` {
			c.want = c.text
		}
		ddl, want, none, names = append(ddl, name+" "+c.column), append(want, c.want), append(none, "NULL"), append(names, name)
		d, err := sqlio.ParseText(c.typ, c.text, sqlio.DefaultSettings())
		if err != nil {
			t.Fatalf("%s %q: %v", c.typ, c.text, err)
		}
		row[i] = d
	}
	f.exec(t, "CREATE TABLE every (n bigint PRIMARY KEY, "+strings.Join(ddl, ", ")+")")
	cols, types = append(cols, catalog.Column{ID: 99, Name: "n", Type: sqltypes.Int8}), append(types, sqltypes.Int8)
	spec := f.spec("every", cols, []int{len(cols) - 1})
	must(t, Sink{}.Validate(t.Context(), spec))
	bld := delta.NewBuilder(types)
	bld.AppendDatums(append(slices.Clone(row), int64(1)), 1)
	bld.AppendDatums(append(make([]sqltypes.Datum, len(cases)), int64(2)), 1)
	w := f.open(t, spec)
	must(t, w.Write(t.Context(), 1, bld.Take()))
	must(t, w.Commit(t.Context(), 1))
	got := f.texts(t, "SELECT "+strings.Join(names, ", ")+" FROM every ORDER BY n")
	if w := []string{strings.Join(want, "|"), strings.Join(none, "|")}; !slices.Equal(got, w) {
		t.Errorf("got\n%q, want\n%q", got, w)
	}
}

func col(name string, typ sqltypes.Type) catalog.Column { return catalog.Column{Name: name, Type: typ} }

// mistakes checks that CREATE SINK names what is wrong, and what to do.
func mistakes(t *testing.T, f *fixture) {
	f.exec(t, `CREATE TABLE small (id int PRIMARY KEY, name text, gen int GENERATED ALWAYS AS (id + 1) STORED);
		CREATE TABLE strict_ (id bigint UNIQUE, must int NOT NULL, part varchar(20)); CREATE TABLE old (id bigint PRIMARY KEY) ENGINE = MyISAM;
		CREATE TABLE loose (name varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY); CREATE TABLE two (id bigint PRIMARY KEY, must int UNIQUE);
		CREATE TABLE seconds (at datetime PRIMARY KEY)`)
	id, name := col("id", sqltypes.Int8), col("name", sqltypes.Text)
	for what, c := range map[string]struct {
		spec       *connector.SinkSpec
		code       sqlerr.Code
		text, hint string
	}{
		"table":     {f.spec("nosuch", []catalog.Column{id}, nil), sqlerr.UndefinedTable, "`nosuch` does not exist", "Create it there first"},
		"column":    {f.spec("small", []catalog.Column{col("nam", sqltypes.Text)}, nil), sqlerr.UndefinedColumn, `no column "nam"`, `"name"`},
		"column2":   {f.spec("small", []catalog.Column{col("quantity", sqltypes.Int4)}, nil), sqlerr.UndefinedColumn, `no column "quantity"`, "ADD COLUMN `quantity` int"},
		"type":      {f.spec("small", []catalog.Column{id}, nil), sqlerr.DatatypeMismatch, `"id" of the sink has type bigint, which does not fit type int`, "MODIFY `id` bigint"},
		"generated": {f.spec("small", []catalog.Column{col("id", sqltypes.Int4), col("gen", sqltypes.Int4)}, nil), sqlerr.WrongObjectType, `"gen"`, "Leave it out"},
		"not null":  {f.spec("strict_", []catalog.Column{id}, nil), sqlerr.NotNullViolation, `"must"`, "give it a default"},
		"key":       {f.spec("strict_", []catalog.Column{col("must", sqltypes.Int4), col("part", sqltypes.Text)}, []int{1}), sqlerr.InvalidTableDefinition, "unique key on (part)", "ADD PRIMARY KEY (`part`)"},
		"null key":  {f.spec("strict_", []catalog.Column{id, col("must", sqltypes.Int4)}, []int{0}), sqlerr.InvalidTableDefinition, `"id" of the key may be NULL`, "NOT NULL"},
		"engine":    {f.spec("old", []catalog.Column{id}, nil), sqlerr.WrongObjectType, "no transactions", "ENGINE = InnoDB"},
		"collation": {f.spec("loose", []catalog.Column{name}, []int{0}), sqlerr.CollationMismatch, "utf8mb4_general_ci", "COLLATE utf8mb4_bin"},
		"two keys":  {f.spec("two", []catalog.Column{id, col("must", sqltypes.Int4)}, []int{0}), sqlerr.InvalidTableDefinition, "another unique key", "not unique"},
		"seconds":   {f.spec("seconds", []catalog.Column{col("at", sqltypes.Timestamp)}, []int{0}), sqlerr.DatatypeMismatch, "rounds microseconds", "datetime(6)"},
		"option":    {f.spec("small", []catalog.Column{name}, nil, "tabel", "x"), sqlerr.InvalidParameterValue, `"tabel"`, `"table"`},
		"schema":    {f.spec("small", []catalog.Column{name}, nil, "schema", "x"), sqlerr.InvalidParameterValue, `"schema" does not apply`, ""},
		"database":  {f.spec("small", []catalog.Column{name}, nil, "database", "nodb"), sqlerr.ConnectionFailure, `"nodb"`, "host, port"},
		"host":      {f.spec("small", []catalog.Column{name}, nil, "host", "/nowhere"), sqlerr.ConnectionFailure, "/nowhere", "host, port"},
	} {
		t.Run(what, func(t *testing.T) { complains(t, c.spec, c.code, c.text, c.hint) })
	}
	// A second unique key is fine when its rows are ours by the first as well, or when we do not write it.
	f.exec(t, "CREATE TABLE both_ (id bigint, must int, own int AUTO_INCREMENT UNIQUE, PRIMARY KEY (id), UNIQUE (must, id))")
	must(t, Sink{}.Validate(t.Context(), f.spec("both_", []catalog.Column{id, col("must", sqltypes.Int4)}, []int{0})))
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
	f.exec(t, `CREATE DATABASE closed; CREATE TABLE closed.t (id bigint PRIMARY KEY, name text); CREATE USER poor@localhost; GRANT INSERT, SELECT ON closed.t TO poor@localhost`)
	spec := f.spec("t", conntest.SinkColumns(), []int{0}, "database", "closed", "user", "poor")
	complains(t, spec, sqlerr.InsufficientPrivilege, "may not UPDATE table `t`", "GRANT INSERT, UPDATE, DELETE, SELECT ON `closed`.`t` TO 'poor'")
	f.exec(t, "GRANT UPDATE ON closed.t TO poor@localhost")
	complains(t, spec, sqlerr.InsufficientPrivilege, "may not DELETE", "GRANT")
	f.exec(t, "GRANT DELETE ON closed.t TO poor@localhost")
	complains(t, spec, sqlerr.InsufficientPrivilege, "may not CREATE table `millrace_sink_epochs`", "GRANT CREATE")
	f.exec(t, "GRANT CREATE, SELECT, INSERT, UPDATE ON closed.millrace_sink_epochs TO poor@localhost")
	must(t, Sink{}.Validate(t.Context(), spec))
	w := f.open(t, spec)
	must(t, w.Write(t.Context(), 1, conntest.SinkRows(1)))
	must(t, w.Commit(t.Context(), 1))
}

// fencing: an older writer's connection is ended when the next one comes, and one that still lives cannot commit.
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
	other := f.open(t, spec)
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

// keys: updates, deletes and changes of a key within one epoch; keys of several columns in any order, texts that differ in
// case only.
func keys(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE keyed (b varchar(10) COLLATE utf8mb4_bin, v int, a decimal(10,2), PRIMARY KEY (a, b)); CREATE TABLE only_key (a int PRIMARY KEY)")
	cols := []catalog.Column{col("a", sqltypes.Numeric), col("b", sqltypes.Text), col("v", sqltypes.Int4)}
	types := []sqltypes.Type{sqltypes.Numeric, sqltypes.Text, sqltypes.Int4}
	spec := f.spec("keyed", cols, []int{0, 1})
	must(t, Sink{}.Validate(t.Context(), spec))
	w := f.open(t, spec)
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
	step([]string{"1.00|X|2", "1.00|x|1", "2.50|x|3"}, [4]any{"1", "x", 1, 1}, [4]any{"1", "X", 2, 1}, [4]any{"2.5", "x", 3, 1})
	step([]string{"1.00|x|9", "2.50|x|3", "3.00|x'\\|2"}, [4]any{"1", "x", 1, -1}, [4]any{"1", "x", 9, 1}, [4]any{"1", "X", 2, -1}, [4]any{"3", "x'\\", 2, 1})
	step([]string{"1.00|x|9"}, [4]any{"1", "x", 9, -1}, [4]any{"1.00", "x", 9, 1}, [4]any{"2.5", "x", 3, -1}, [4]any{"3", "x'\\", 2, -1})

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

// awkward: what does not fit is an error, not cut off, rounded to nothing or turned into zero.
func awkward(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE narrow (id bigint, name varchar(3)); CREATE TABLE numbers (f double, d datetime(6))")
	w := f.open(t, f.spec("narrow", conntest.SinkColumns(), nil))
	if err := w.Write(t.Context(), 1, conntest.SinkRows(1)); sqlerr.CodeOf(err) != sqlerr.StringDataRightTruncation {
		t.Errorf("a long text: %v", err)
	}
	w = f.open(t, f.spec("numbers", []catalog.Column{col("f", sqltypes.Float8), col("d", sqltypes.Timestamp)}, nil))
	for text, code := range map[string]sqlerr.Code{"NaN": sqlerr.NumericValueOutOfRange, "infinity": sqlerr.DatetimeFieldOverflow, "0001-01-01 00:00:00 BC": sqlerr.DatetimeFieldOverflow,
		"12024-01-01 00:00:00": sqlerr.DatetimeFieldOverflow} {
		b := delta.NewBuilder([]sqltypes.Type{sqltypes.Float8, sqltypes.Timestamp})
		if code == sqlerr.NumericValueOutOfRange {
			d, err := sqlio.ParseText(sqltypes.Float8, text, sqlio.DefaultSettings())
			must(t, err)
			b.AppendDatums([]sqltypes.Datum{d, nil}, 1)
		} else {
			d, err := sqlio.ParseText(sqltypes.Timestamp, text, sqlio.DefaultSettings())
			must(t, err)
			b.AppendDatums([]sqltypes.Datum{nil, d}, 1)
		}
		if err := w.Write(t.Context(), 1, b.Take()); sqlerr.CodeOf(err) != code || !strings.Contains(err.Error(), "MySQL has no value for") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// long: statements are cut at what the server takes; a chunk may hold more.
func long(t *testing.T, f *fixture) {
	f.exec(t, "CREATE TABLE texts (id bigint PRIMARY KEY, name longtext)")
	w := f.open(t, f.spec("texts", conntest.SinkColumns(), []int{0}))
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
	for i := range int64(30) {
		b.AppendDatums([]sqltypes.Datum{i, strings.Repeat("x", 300_000)}, 1)
	}
	must(t, w.Write(t.Context(), 1, b.Take()))
	ids := make([]int64, 5000)
	for i := range ids {
		ids[i] = int64(i) + 100
	}
	must(t, w.Write(t.Context(), 1, conntest.SinkRows(ids...)))
	must(t, w.Write(t.Context(), 1, conntest.SinkRows(ids...).Negate()))
	must(t, w.Commit(t.Context(), 1))
	if got := f.texts(t, "SELECT count(*), sum(length(name)) FROM texts"); !slices.Equal(got, []string{"30|9000000"}) {
		t.Errorf("table holds %q", got)
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
	if got := f.texts(t, "SELECT id FROM survives ORDER BY id"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// BenchmarkWrite writes new rows and updates of them, a transaction per 10 chunks.
func BenchmarkWrite(b *testing.B) {
	server := dbtest.MariaDB(b)
	db, err := sql.Open("mysql", "root@unix("+server.Host+")/test?multiStatements=true")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE bench (id bigint PRIMARY KEY, name text); CREATE TABLE bench_append (id bigint, name text)"); err != nil {
		b.Fatal(err)
	}
	f := &fixture{server, db}
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
