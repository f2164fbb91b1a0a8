package iceberg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v: %s", err, sqlerr.From(err).Detail)
	}
}

// storage is the options of a table in a folder.
func storage(dir string, more ...string) map[string]string {
	o := map[string]string{"catalog.type": "storage", "warehouse.path": dir, "database.name": "db", "table.name": "t", "create_table_if_not_exists": "true"}
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i]] = more[i+1]
	}
	return o
}

func specOf(options map[string]string, cols []catalog.Column, key []int) *connector.SinkSpec {
	return &connector.SinkSpec{Name: "s", ID: 7, Instance: "c-7", Connector: catalog.Connector{Name: "iceberg", Options: options},
		Columns: cols, Key: key, AppendOnly: key == nil, Settings: sqlio.DefaultSettings(), Logger: slog.New(slog.DiscardHandler)}
}

func open(t testing.TB, spec *connector.SinkSpec) *Writer {
	t.Helper()
	w, err := Sink{}.Open(context.Background(), spec)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w.(*Writer)
}

func load(t testing.TB, spec *connector.SinkSpec) *table.Table {
	t.Helper()
	c, err := parse(spec)
	must(t, err)
	cat, err := c.open(context.Background())
	must(t, err)
	tbl, err := c.load(context.Background(), cat, spec)
	must(t, err)
	return tbl
}

// contents reads the table back with the library, columns joined by bars, sorted.
func contents(t testing.TB, spec *connector.SinkSpec) []string {
	t.Helper()
	_, batches, err := load(t, spec).Scan().ToArrowRecords(context.Background())
	must(t, err)
	out := []string{}
	for b, err := range batches {
		must(t, err)
		for i := range int(b.NumRows()) {
			var cells []string
			for _, c := range b.Columns() {
				cells = append(cells, cell(c, i))
			}
			out = append(out, strings.Join(cells, "|"))
		}
	}
	slices.Sort(out)
	return out
}

func cell(a interface {
	IsNull(i int) bool
	ValueStr(i int) string
}, i int) string {
	if a.IsNull(i) {
		return "NULL"
	}
	return a.ValueStr(i)
}

func contract(t *testing.T, spec *connector.SinkSpec) {
	conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: spec, ExactlyOnce: true,
		Visible: func(t *testing.T) []string { return contents(t, spec) },
		Row:     func(id int64, name string) string { return fmt.Sprintf("%d|%s", id, name) }})
}

func TestAppendOnlyContract(t *testing.T) {
	contract(t, specOf(storage(t.TempDir()), conntest.SinkColumns(), nil))
}

func TestUpsertContract(t *testing.T) {
	dir := t.TempDir()
	contract(t, specOf(storage(dir), conntest.SinkColumns(), []int{0}))
	// What was not committed is removed, but for the files of two writers whose commit was refused: they cannot know.
	if files, _ := filepath.Glob(filepath.Join(dir, "db", "t", "data", "*.parquet")); len(files) != 6+2 {
		t.Errorf("%d data files of 6 commits and 2 refused ones: %q", len(files), files)
	}
}

type row struct {
	id     int64
	name   any
	weight int64
}

func chunk(rows ...row) *delta.Chunk {
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
	for _, r := range rows {
		b.AppendDatums([]sqltypes.Datum{r.id, r.name}, r.weight)
	}
	return b.Take()
}

// TestUpserts: updates and deletes of rows of earlier commits, of the same commit, and of epochs gathered in one commit.
func TestUpserts(t *testing.T) {
	for _, partition := range []string{"", "id", "bucket(4, id)"} {
		t.Run("by "+partition, func(t *testing.T) {
			spec := specOf(storage(t.TempDir(), "partition_by", partition), conntest.SinkColumns(), []int{0})
			must(t, Sink{}.Validate(t.Context(), spec))
			w := open(t, spec)
			epoch := uint64(0)
			write := func(rows ...row) {
				t.Helper()
				epoch++
				must(t, w.Write(t.Context(), epoch, chunk(rows...)))
			}
			commit := func(want ...string) {
				t.Helper()
				must(t, w.Commit(t.Context(), epoch))
				if got := contents(t, spec); !slices.Equal(got, want) {
					t.Errorf("after epoch %d: %q, want %q", epoch, got, want)
				}
			}
			write(row{1, "a", 1}, row{2, "b", 1}, row{3, nil, 1})
			commit("1|a", "2|b", "3|NULL")
			write(row{1, "a", -1}, row{1, "A", 1}, row{2, "b", -1})
			commit("1|A", "3|NULL")
			write(row{2, "back", 1}, row{4, "new", 1})
			write(row{2, "back", -1}, row{2, "again", 1}, row{4, "new", -1}, row{1, "A", -1}) // gathered with the epoch before
			write(row{1, "AA", 1})
			commit("1|AA", "2|again", "3|NULL")
			write(row{1, "AA", -1}, row{2, "again", -1}, row{3, nil, -1})
			commit()
		})
	}
}

// TestLargeEpoch: more than is held in memory goes into files before the commit, and then the epoch is due.
func TestLargeEpoch(t *testing.T) {
	spec := specOf(storage(t.TempDir()), conntest.SinkColumns(), []int{0})
	w := open(t, spec)
	text := strings.Repeat("x", 100_000)
	for n := range int64(8) {
		var rows []row
		for i := range int64(100) {
			rows = append(rows, row{100*n + i, text, 1})
		}
		must(t, w.Write(t.Context(), 1, chunk(rows...)))
	}
	if !w.Due().IsZero() || len(w.data) == 0 {
		t.Errorf("due %v with %d files", w.Due(), len(w.data))
	}
	if err := w.Write(t.Context(), 2, chunk(row{1, "", 1})); err == nil {
		t.Error("an epoch after files were written is gathered")
	}
	must(t, w.Commit(t.Context(), 1))
	if n := len(contents(t, spec)); n != 800 {
		t.Errorf("%d rows", n)
	}
}

// TestOthersCommit: commits of others to the table are built upon; those of another writer of this sink are not.
func TestOthersCommit(t *testing.T) {
	dir := t.TempDir()
	spec, other := specOf(storage(dir), conntest.SinkColumns(), nil), specOf(storage(dir), conntest.SinkColumns(), nil)
	other.Instance = "c-8"
	w, o := open(t, spec), open(t, other)
	for epoch := uint64(1); epoch <= 3; epoch++ {
		must(t, w.Write(t.Context(), epoch, chunk(row{int64(epoch), "ours", 1})))
		must(t, o.Write(t.Context(), epoch, chunk(row{int64(epoch), "theirs", 1})))
		must(t, o.Commit(t.Context(), epoch))
		must(t, w.Commit(t.Context(), epoch))
	}
	young := open(t, spec)
	must(t, young.Write(t.Context(), 4, chunk(row{4, "ours", 1})))
	must(t, w.Write(t.Context(), 4, chunk(row{4, "ours", 1})))
	must(t, young.Commit(t.Context(), 4))
	if err := w.Commit(t.Context(), 4); sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState {
		t.Errorf("the older writer's commit: %v", err)
	}
	if got := contents(t, spec); len(got) != 7 {
		t.Errorf("table holds %q", got)
	}
	if p := load(t, spec).CurrentSnapshot().Summary.Properties; p["millrace.epoch"] != "4" || p["millrace.sink"] != "c-7" {
		t.Errorf("the snapshot says %v", p)
	}
	if at, ok, err := epochOf(load(t, spec), "c-7"); at != 4 || !ok || err != nil {
		t.Errorf("the table says %d, %v, %v", at, ok, err)
	}
}

// TestTypes writes values of every type and reads them back; then NULL in all of them.
func TestTypes(t *testing.T) {
	cases := []struct {
		typ        sqltypes.Type
		text, want string
	}{
		{sqltypes.Bool, "t", "true"}, {sqltypes.Int2, "-7", ""}, {sqltypes.Int4, "-5", ""}, {sqltypes.Int8, "9223372036854775807", ""}, {sqltypes.Float4, "0.5", ""},
		{sqltypes.Float8, "-1.5e+300", "-1.5e+300"}, {sqltypes.Numeric, "123456789012345678901234567890.0900", ""},
		{sqltypes.Type{Kind: sqltypes.KNumeric, Mod: sqltypes.NumericTypmod(10, 2) + 1}, "12345678.90", "12345678.9"}, {sqltypes.Text, "ä\n", ""}, {sqltypes.Bytea, `\x00ff`, "AP8="},
		{sqltypes.Date, "1999-12-31", ""}, {sqltypes.Time, "12:00:00.5", "12:00:00.500000"}, {sqltypes.Timestamp, "1999-12-31 23:59:59.999999", "1999-12-31T23:59:59.999999"},
		{sqltypes.Timestamptz, "2024-02-29 12:00:00+00", "2024-02-29T12:00:00Z"}, {sqltypes.IntervalT, "1 day", ""}, {sqltypes.JSONB, `{"a": 1}`, ""},
		{sqltypes.UUID, "11111111-2222-3333-4444-555555555555", ""}, {sqltypes.ArrayOf(sqltypes.Int4), "{1,NULL,3}", "[1,null,3]"}, {sqltypes.ArrayOf(sqltypes.Text), "{a}", `["a"]`},
		{sqltypes.ArrayOf(sqltypes.Int2), "{1,2}", ""},
	}
	var cols []catalog.Column
	var types []sqltypes.Type
	var want, none []string
	d := make([]sqltypes.Datum, len(cases))
	for i, c := range cases {
		cols, types = append(cols, catalog.Column{ID: int32(i + 1), Name: fmt.Sprintf("c%d", i), Type: c.typ}), append(types, c.typ)
		var err error
		d[i], err = sqlio.ParseText(c.typ, c.text, sqlio.DefaultSettings())
		must(t, err)
		if c.want == "" {
			c.want = c.text
		}
		want, none = append(want, c.want), append(none, "NULL")
	}
	spec := specOf(storage(t.TempDir()), cols, nil)
	must(t, Sink{}.Validate(t.Context(), spec))
	b := delta.NewBuilder(types)
	b.AppendDatums(d, 1)
	b.AppendDatums(make([]sqltypes.Datum, len(cases)), 1)
	w := open(t, spec)
	must(t, w.Write(t.Context(), 1, b.Take()))
	must(t, w.Commit(t.Context(), 1))
	got := contents(t, spec)
	all := []string{strings.Join(want, "|"), strings.Join(none, "|")}
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("got\n%q, want\n%q", got, all)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	must(t, Sink{}.Validate(t.Context(), specOf(storage(dir), conntest.SinkColumns(), []int{0})))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o666))
	id, name := conntest.SinkColumns()[0], conntest.SinkColumns()[1]
	for what, c := range map[string]struct {
		spec       *connector.SinkSpec
		code       sqlerr.Code
		text, hint string
	}{
		"table":     {specOf(storage(dir, "table.name", "none", "create_table_if_not_exists", "false"), []catalog.Column{id}, nil), sqlerr.UndefinedTable, `"db.none" does not exist`, "create_table_if_not_exists"},
		"column":    {specOf(storage(dir), []catalog.Column{id, {Name: "nam", Type: sqltypes.Text}}, nil), sqlerr.UndefinedColumn, `no column "nam"`, `"name"`},
		"type":      {specOf(storage(dir), []catalog.Column{id, {Name: "name", Type: sqltypes.Int4}}, nil), sqlerr.DatatypeMismatch, "does not fit type string", "Cast"},
		"required":  {specOf(storage(dir), []catalog.Column{name}, nil), sqlerr.NotNullViolation, `"id" of Iceberg table`, "optional"},
		"warehouse": {specOf(storage(filepath.Join(dir, "file")), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "not a folder", ""},
		"relative":  {specOf(storage("here"), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "absolute", ""},
		"s3":        {specOf(storage("s3://b/x"), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "cannot rename", ""},
		"uri":       {specOf(storage(dir, "catalog.type", "rest"), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "catalog.uri", ""},
		"rest":      {specOf(storage(dir, "catalog.type", "rest", "catalog.uri", "http://127.0.0.1:1"), []catalog.Column{id}, nil), sqlerr.ConnectionFailure, "127.0.0.1:1", "catalog.credential"},
		"option":    {specOf(storage(dir, "tabel.name", "x"), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "tabel.name", "table.name"},
		"partition": {specOf(storage(dir, "table.name", "p", "partition_by", "day(id)"), []catalog.Column{id}, nil), sqlerr.InvalidParameterValue, "cannot apply day", "bucket"},
		"key":       {specOf(storage(dir, "table.name", "p", "partition_by", "name"), conntest.SinkColumns(), []int{0}), sqlerr.InvalidParameterValue, "of its key only", ""},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := Sink{}.Validate(ctx, c.spec)
			e := sqlerr.From(err)
			if err == nil || e.Code != c.code || !strings.Contains(e.Message, c.text) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("Validate: %v, hint %q; want %s %q", err, e.Hint, c.code, c.text)
			}
		})
	}
}
