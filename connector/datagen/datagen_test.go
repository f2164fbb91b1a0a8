package datagen

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func scalarColumns() []catalog.Column {
	var cols []catalog.Column
	for i, t := range []sqltypes.Type{
		sqltypes.ArrayOf(sqltypes.Int4), sqltypes.Bool, sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, sqltypes.Float4, sqltypes.Float8,
		sqltypes.Numeric, sqltypes.Text, sqltypes.Varchar, sqltypes.Bytea, sqltypes.Date, sqltypes.Time, sqltypes.Timestamp,
		sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.UUID, sqltypes.JSONB,
	} {
		cols = append(cols, catalog.Column{Name: string(rune('a' + i)), Type: t})
	}
	return cols
}

func spec(cols []catalog.Column, options map[string]string) *connector.SourceSpec {
	return &connector.SourceSpec{Name: "d", Connector: catalog.Connector{Name: "datagen", Options: options}, Columns: cols, Settings: sqlio.DefaultSettings()}
}

func TestContract(t *testing.T) {
	conntest.Source(t, conntest.SourceCase{
		Source: Source{}, Rows: 5000,
		Spec: spec([]catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "v", Type: sqltypes.Text}}, map[string]string{
			"datagen.rows.per.second": "0", "datagen.split.num": "3", "fields.id.kind": "sequence", "fields.id.start": "1", "fields.id.end": "5000",
		}),
	})
}

// TestEveryType also reads an endless source, which the contract's suite stops in the middle.
func TestEveryType(t *testing.T) {
	s := spec(scalarColumns(), map[string]string{"datagen.rows.per.second": "0", "datagen.rows": "100", "datagen.base.time": "2026-01-01 00:00:00Z", "fields.a.length": "2", "fields.a._.max": "9"})
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Rows: 100, Spec: s})
}

func read(t *testing.T, s *connector.SourceSpec) []string {
	t.Helper()
	for i := range s.Columns {
		s.Cols = append(s.Cols, i)
	}
	r, err := Source{}.Open(context.Background(), s, []connector.SplitOffset{{Split: "0/1", Offset: []byte("1/0/1700000000000000")}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return conntest.Rows(b.Chunk)
}

func TestRanges(t *testing.T) {
	cols := []catalog.Column{{Name: "n", Type: sqltypes.Int4}, {Name: "s", Type: sqltypes.Text}, {Name: "ts", Type: sqltypes.Timestamptz}}
	rows := read(t, spec(cols, map[string]string{
		"datagen.rows.per.second": "0", "datagen.rows": "50", "fields.n.min": "5", "fields.n.max": "6", "fields.s.length": "3", "fields.ts.max_past": "1s",
	}))
	seen := map[string]bool{}
	for _, r := range rows {
		f := strings.Split(r, "|")
		seen[f[0]] = true
		if len(f[1]) != 3 || !strings.HasPrefix(f[2], "2023-11-14 22:13:19") && f[2] != "2023-11-14 22:13:20+00" {
			t.Fatalf("row %q", r)
		}
	}
	if len(rows) != 50 || len(seen) != 2 || !seen["5"] || !seen["6"] {
		t.Errorf("%d rows with values %v", len(rows), seen)
	}
}

// TestGolden pins values: an offset that was stored must give the same rows for ever.
func TestGolden(t *testing.T) {
	cols := []catalog.Column{{Name: "n", Type: sqltypes.Int8}, {Name: "s", Type: sqltypes.Text}}
	rows := read(t, spec(cols, map[string]string{"datagen.rows.per.second": "0", "datagen.rows": "1", "fields.n.max": "999999"}))
	if want := "501899|hs2vMGAPeX"; rows[0] != want {
		t.Errorf("got %q, want %q", rows[0], want)
	}
}

func TestMistakes(t *testing.T) {
	col := []catalog.Column{{Name: "n", Type: sqltypes.Int4}, {Name: "s", Type: sqltypes.Text}}
	for name, c := range map[string]struct {
		option, value, text string
	}{
		"unknown field":    {"fields.m.max", "1", `no option "fields.m.max"`},
		"range":            {"fields.n.max", "3000000000", "must be between"},
		"order":            {"fields.n.max", "-5", `"fields.n.max" is below "fields.n.min"`},
		"sequence of text": {"fields.s.kind", "sequence", "needs a column of a number type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Source{}.Validate(context.Background(), spec(col, map[string]string{c.option: c.value}))
			if sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}
