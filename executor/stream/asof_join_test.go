package stream

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestAsofJoinEqualsRecompute changes a few rows at a time, where many meet at few times.
func TestAsofJoinEqualsRecompute(t *testing.T) {
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Int8}
	scan := func(i int) *plan.TableScan {
		s := &plan.TableScan{Table: tableID(i), Name: fmt.Sprint("t", i)}
		for c, ty := range types {
			s.Out = append(s.Out, plan.Column{Name: fmt.Sprint("c", c), Type: ty})
		}
		return s
	}
	for seed := int64(1); seed <= 80; seed++ {
		r := rand.New(rand.NewSource(seed))
		n := &plan.AsofJoin{Left: scan(0), Right: scan(1), LeftKeys: []int{0}, RightKeys: []int{0}, LeftTime: 1, RightTime: 1,
			Later: r.Intn(2) == 0, Strict: r.Intn(2) == 0, Outer: r.Intn(2) == 0}
		s, err := newSim(n)
		if err != nil {
			t.Fatal(err)
		}
		tables, view := []zset{{}, {}}, zset{}
		times := 3 + r.Intn(12)
		for e := range 20 {
			for range 1 + r.Intn(4) {
				port := r.Intn(2)
				vals, w := []sqltypes.Datum{int64(r.Intn(2)), int64(r.Intn(times)), int64(r.Intn(4))}, int64(1)
				if have := tables[port].rows(); len(have) > 0 && r.Intn(5) < 2 {
					vals, w = have[r.Intn(len(have))], -1
				}
				tables[port].add(vals, w)
				b := delta.NewBuilder(types)
				b.AppendDatums(vals, w)
				if err := s.push(port, b.Take()); err != nil {
					t.Fatal(err)
				}
			}
			out, err := s.barrier(true)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out {
				chunkRows(c, view.add)
			}
			want := zset{}
			for _, o := range asofRows(n, tables[0].rows(), tables[1].rows()) {
				want.add(o, 1)
			}
			check(t, fmt.Sprintf("seed %d epoch %d: %s", seed, e, describe(n)), view, want, plan.Types(n))
			if r.Intn(4) == 0 {
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
