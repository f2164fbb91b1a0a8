package stream

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestTemporalJoin compares with a list of what each left row met when it came, over left rows that come and go in several copies.
func TestTemporalJoin(t *testing.T) {
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Text, sqltypes.Int8}
	scan := func(i int) *plan.TableScan {
		s := &plan.TableScan{Table: tableID(i), Name: fmt.Sprint("t", i)}
		for c, ty := range types {
			s.Out = append(s.Out, plan.Column{Name: fmt.Sprint("c", c), Type: ty})
		}
		return s
	}
	for seed := int64(1); seed <= 60; seed++ {
		r := rand.New(rand.NewSource(seed))
		n := &plan.TemporalJoin{Left: scan(0), Right: scan(1), LeftKeys: []int{0}, RightKeys: []int{0}, Outer: r.Intn(2) == 0}
		if r.Intn(3) == 0 {
			n.LeftKeys, n.RightKeys = nil, nil
		}
		if r.Intn(2) == 0 {
			n.Cond = less(column(n, 2), column(n, 5))
		}
		s, err := newSim(n)
		if err != nil {
			t.Fatal(err)
		}
		right, view, want := zset{}, zset{}, zset{}
		met := map[string][]zset{} // by left row: what each copy met, in order of arrival
		row := func() []sqltypes.Datum {
			vals := []sqltypes.Datum{int64(r.Intn(4)), string(rune('a' + r.Intn(3))), int64(r.Intn(5))}
			if r.Intn(8) == 0 {
				vals[r.Intn(3)] = nil
			}
			return vals
		}
		for e := range 25 {
			left := zset{}
			for port := range 2 {
				b := delta.NewBuilder(types)
				for range r.Intn(6) {
					vals, w := row(), int64(1)
					if port == 1 {
						if have := right.rows(); len(have) > 0 && r.Intn(2) == 0 {
							vals, w = have[r.Intn(len(have))], -1
						}
						right.add(vals, w)
					} else {
						if copies := met[show(vals)]; int64(len(copies))+weightIn(left, vals) > 0 && r.Intn(2) == 0 {
							w = -1
						}
						left.add(vals, w)
					}
					b.AppendDatums(vals, w)
				}
				if c := b.Take(); c != nil {
					if err := s.push(port, c); err != nil {
						t.Fatal(err)
					}
				}
			}
			for k, l := range left {
				for range max(l.w, 0) {
					z := zset{}
					for _, o := range joinRows(&plan.Join{Kind: map[bool]plan.JoinKind{true: plan.Left}[n.Outer], Left: n.Left, Right: n.Right,
						LeftKeys: n.LeftKeys, RightKeys: n.RightKeys, Cond: n.Cond}, rows{l.vals}, right.rows()) {
						z.add(o, 1)
						want.add(o, 1)
					}
					met[k] = append(met[k], z)
				}
				for range max(-l.w, 0) {
					last := met[k][len(met[k])-1]
					met[k] = slices.Delete(met[k], len(met[k])-1, len(met[k]))
					for _, o := range last {
						want.add(o.vals, -o.w)
					}
				}
			}
			checkpoint := r.Intn(3) == 0
			out, err := s.barrier(checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out {
				chunkRows(c, view.add)
			}
			check(t, fmt.Sprintf("seed %d epoch %d: %s", seed, e, describe(n)), view, want, plan.Types(n))
			if checkpoint {
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func weightIn(z zset, vals []sqltypes.Datum) int64 {
	if r := z[show(vals)]; r != nil {
		return r.w
	}
	return 0
}
