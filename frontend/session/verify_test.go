package session

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// stored holds the rows of two relations: 1 is the input, 2 the view that copies it.
type stored map[catalog.ID][][]sqltypes.Datum

func (s stored) Scan(_ context.Context, id catalog.ID, _ []int, _ [][]sqltypes.Datum) (batch.ChunkIter, error) {
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.JSON})
	for _, r := range s[id] {
		b.AppendDatums(r, 1)
	}
	return &once{b.Take()}, nil
}

func (stored) System(context.Context, string, string, []int) (batch.ChunkIter, error) {
	return nil, nil
}

type once struct{ c *delta.Chunk }

func (o *once) Next(context.Context) (*delta.Chunk, error) {
	c := o.c
	o.c = nil
	return c, nil
}

func (*once) Close() {}

// TestDifferences: rows of a view that were changed, lost or doubled on purpose are found.
func TestDifferences(t *testing.T) {
	scan := func(id catalog.ID) plan.Node {
		return &plan.TableScan{Table: id, Cols: []int{0, 1}, Out: []plan.Column{{Name: "a", Type: sqltypes.Int8}, {Name: "j", Type: sqltypes.JSON}}}
	}
	row := func(a int64) []sqltypes.Datum { return []sqltypes.Datum{a, `{"k": 1}`} }
	for name, c := range map[string]struct {
		view [][]sqltypes.Datum
		want []string
	}{
		"sound":   {[][]sqltypes.Datum{row(1), row(2), row(3)}, nil},
		"changed": {[][]sqltypes.Datum{row(1), row(7), row(3)}, []string{"2 -1", "7 1"}},
		"lost":    {[][]sqltypes.Datum{row(1), row(3)}, []string{"2 -1"}},
		"doubled": {[][]sqltypes.Datum{row(1), row(2), row(3), row(3)}, []string{"3 1"}},
		"json":    {[][]sqltypes.Datum{row(1), row(2), {int64(3), `{"k": 2}`}}, []string{"3 -1", "3 1"}},
	} {
		rel := stored{1: {row(1), row(2), row(3)}, 2: c.view}
		op, err := batch.Build(differences(scan(2), scan(1)), rel, batch.Options{Ctx: func() *expr.Ctx { return &expr.Ctx{} }})
		if err != nil {
			t.Fatal(err)
		}
		if err := op.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			ch, err := op.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ch == nil {
				break
			}
			for k := range ch.Len() {
				i := ch.Row(k)
				got = append(got, fmt.Sprint(ch.Cols[0].Datum(i), " ", ch.Cols[2].Datum(i)))
			}
		}
		op.Close()
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
