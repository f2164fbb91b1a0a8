package postgres

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestLeftover: a column that came here just before a crash, and is gone upstream before that is told again, is dropped; once, for views may keep it.
func TestLeftover(t *testing.T) {
	cols := []column{{Num: 1, Name: "id", Type: 23, Mod: -1}}
	known := &shape{OID: 5, Schema: "public", Name: "t", File: 7, Cols: cols}
	now := &relation{Kind: "r", shape: shape{OID: 5, Schema: "public", Name: "t", File: 7, Cols: cols}}
	here := &connector.Table{ID: 1, Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int4}, {Name: "extra", Type: sqltypes.Int4}}, Key: []int{0}}
	d := compare(here, known, now, &resolver{})
	if d == nil || d.change == nil || !slices.Equal(d.change.Drop, []string{"extra"}) {
		t.Fatalf("the column that is left is not dropped: %+v", d)
	}
	if again := compare(here, d.next, now, &resolver{}); again != nil {
		t.Errorf("it is told twice: %+v", again.change)
	}
	// One that is dropped in the ordinary way and kept here is not told again either.
	known.Cols = append(slices.Clone(cols), column{Num: 2, Name: "extra", Type: 23, Mod: -1})
	if d = compare(here, known, now, &resolver{}); d == nil || !slices.Equal(d.change.Drop, []string{"extra"}) {
		t.Fatalf("the dropped column: %+v", d)
	}
	if again := compare(here, d.next, now, &resolver{}); again != nil {
		t.Errorf("it is told twice: %+v", again.change)
	}
	here.Columns = here.Columns[:1]
	if again := compare(here, d.next, now, &resolver{}); again != nil {
		t.Errorf("a table that is in line has to follow: %+v", again)
	}
}
