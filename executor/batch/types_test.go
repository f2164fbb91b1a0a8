package batch

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// parsed is VALUES of one column, from text; "" is NULL.
func parsed(t *testing.T, ty sqltypes.Type, texts ...string) *plan.Values {
	t.Helper()
	v := &plan.Values{Out: columns([]sqltypes.Type{ty})}
	for _, text := range texts {
		c := expr.Null(ty)
		if text != "" {
			d, err := sqlio.ParseText(ty, text, sqlio.DefaultSettings())
			if err != nil {
				t.Fatal(err)
			}
			c.Val = d
		}
		v.Rows = append(v.Rows, []expr.Expr{c})
	}
	return v
}

func asText(ty sqltypes.Type, d sqltypes.Datum) string {
	if d == nil {
		return ""
	}
	if s, ok := d.(string); ok {
		d = []byte(s)
	}
	return sqlio.TextOf(ty, d, sqlio.DefaultSettings())
}

// TestKeyTypes: types whose equality is not that of their bytes group, join and sort by value.
func TestKeyTypes(t *testing.T) {
	for _, c := range []struct {
		ty     sqltypes.Type
		in     []string
		sorted []string // distinct, in order
	}{
		{sqltypes.Numeric, []string{"1.0", "NaN", "-3", "1.00", "", "10", "-3.000", "9", "NaN"}, []string{"-3", "1.0", "9", "10", "NaN", ""}},
		{sqltypes.IntervalT, []string{"30 days", "1 mon", "29 days 24:00:00", "1 day", ""}, []string{"1 day", "30 days", ""}},
		{sqltypes.Bpchar, []string{"b  ", "a", "b", "a "}, []string{"a", "b  "}},
		{sqltypes.Date, []string{"2024-02-29", "1999-01-01", "2024-02-29"}, []string{"1999-01-01", "2024-02-29"}},
		{sqltypes.UUID, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
			[]string{"00eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
		{sqltypes.Varbit, []string{"1", "00", "x80", "0", "1", "000000000", "00000000", "", "01"}, []string{"0", "00", "00000000", "000000000", "01", "1", "10000000", ""}},
		{sqltypes.JSONB, []string{`{"a": 1}`, `{"a": 1.0}`, `[1]`, `"x"`}, []string{`"x"`, `[1]`, `{"a": 1}`}},
		{sqltypes.ArrayOf(sqltypes.Int4), []string{"{2}", "{1,2}", "{2}", "{1}"}, []string{"{1}", "{1,2}", "{2}"}},
	} {
		t.Run(c.ty.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			in := parsed(t, c.ty, c.in...)
			distinct := &plan.Agg{Input: in, GroupBy: []int{0}}
			rows, err := w.run(&plan.Sort{Input: distinct, Keys: []plan.SortKey{{Col: 0}}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rows {
				got = append(got, asText(c.ty, r[0]))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.sorted) {
				t.Errorf("distinct and sorted: %q, want %q", got, c.sorted)
			}
			// Each row but the NULLs finds its one equal among the distinct ones.
			rows, err = w.run(&plan.Join{Left: in, Right: distinct, LeftKeys: []int{0}, RightKeys: []int{0}})
			if err != nil {
				t.Fatal(err)
			}
			notNull := 0
			for _, s := range c.in {
				if s != "" {
					notNull++
				}
			}
			if len(rows) != notNull {
				t.Errorf("join: %d rows, want %d", len(rows), notNull)
			}
		})
	}
}

// TestRangeOffsets counts rows in RANGE frames over columns of each type that has offsets.
func TestRangeOffsets(t *testing.T) {
	for _, c := range []struct {
		ty, off sqltypes.Type
		offset  string
		in      []string // in order
		want    []int64  // rows from offset before to offset after
	}{
		{sqltypes.Float8, sqltypes.Float8, "1.5", []string{"1", "2.5", "3", "10", ""}, []int64{2, 3, 2, 1, 1}},
		{sqltypes.Numeric, sqltypes.Numeric, "0.5", []string{"1", "1.50", "2", "2.51"}, []int64{2, 3, 2, 1}},
		{sqltypes.Timestamp, sqltypes.IntervalT, "1 day",
			[]string{"2024-01-01 00:00:00", "2024-01-02 00:00:00", "2024-01-03 00:00:01"}, []int64{2, 2, 1}},
		{sqltypes.Date, sqltypes.IntervalT, "1 mon", []string{"2024-01-31", "2024-02-29", "2024-04-30", ""}, []int64{2, 2, 1, 1}},
		{sqltypes.Int4, sqltypes.Int8, "1", []string{"1", "2", "2", "4"}, []int64{3, 3, 3, 1}},
	} {
		t.Run(c.ty.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			off := parsed(t, c.off, c.offset).Rows[0][0]
			f := plan.Frame{Mode: 'A', Start: plan.FrameBound{Kind: plan.Preceding, Offset: off},
				End: plan.FrameBound{Kind: plan.Following, Offset: off}}
			for _, desc := range []bool{false, true} {
				rows, err := w.run(&plan.Window{Input: parsed(t, c.ty, c.in...), OrderBy: []plan.SortKey{{Col: 0, Desc: desc, NullsFirst: desc}},
					Funcs: []plan.WindowFunc{wfunc("count()", f)}})
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range rows {
					want := c.want[i]
					if desc {
						want = c.want[len(rows)-1-i]
					}
					if r[1] != want {
						t.Errorf("desc %v, row %d (%s): %v rows, want %d", desc, i, asText(c.ty, r[0]), r[1], want)
					}
				}
			}
		})
	}
}
