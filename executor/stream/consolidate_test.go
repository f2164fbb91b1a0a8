package stream

import (
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// TestConsolidator compares net rows, by whole row and by key, with a map.
func TestConsolidator(t *testing.T) {
	for seed := int64(1); seed <= 40; seed++ {
		w := newWorld(rand.New(rand.NewSource(seed)))
		keyed := seed%2 == 0
		var keyCols []row.KeyCol
		if keyed {
			keyCols = row.Cols(0, 2)
		}
		x := NewConsolidator(keyCols)
		for round := range 3 {
			want := zset{}
			n := 1 + w.r.Intn(400)
			for range n {
				vals, weight := randomRow(w.r), int64(w.r.Intn(5)-2)
				if w.r.Intn(3) > 0 && len(want) > 0 {
					vals, weight = want.any(), -1
				}
				want.add(vals, weight)
				x.Add(chunkOf(tableTypes, [][]sqltypes.Datum{vals, vals}, []int64{weight + 3, -3}))
			}
			got := zset{}
			keys := map[string]bool{}
			err := x.Net(func(k []byte, hash uint64, rows []NetRow) error {
				if keys[string(k)] {
					return fmt.Errorf("key %x comes twice", k)
				}
				keys[string(k)] = true
				for _, r := range rows {
					if keyed && string(row.AppendKey(nil, r.Chunk.Cols, keyCols, r.Row)) != string(k) {
						return fmt.Errorf("row %d is under the wrong key", r.Row)
					}
					if string(row.AppendImage(nil, r.Chunk.Cols, nil, r.Row)) != string(r.Image) || r.Weight == 0 {
						return fmt.Errorf("row %d: image or weight %d is wrong", r.Row, r.Weight)
					}
					got.add(rowDatums(r.Chunk, r.Row), r.Weight)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("seed %d round %d: %v", seed, round, err)
			}
			if len(got) != len(want) {
				t.Fatalf("seed %d round %d: %d rows, want %d", seed, round, len(got), len(want))
			}
			for k, r := range want {
				if got[k] == nil || got[k].w != r.w {
					t.Fatalf("seed %d round %d: row (%s) is wrong, want weight %d", seed, round, k, r.w)
				}
			}
			x.Reset()
			if x.Len() != 0 {
				t.Fatalf("%d rows after Reset", x.Len())
			}
		}
	}
}

// any returns some row.
func (z zset) any() []sqltypes.Datum {
	least := ""
	for k := range z {
		if least == "" || k < least {
			least = k
		}
	}
	return z[least].vals
}

func TestConsolidatorStopsOnError(t *testing.T) {
	x := NewConsolidator(nil)
	x.Add(chunkOf(tableTypes, [][]sqltypes.Datum{randomRow(rand.New(rand.NewSource(1)))}, nil))
	stop := errors.New("stop")
	if err := x.Net(func([]byte, uint64, []NetRow) error { return stop }); err != stop {
		t.Fatalf("got %v", err)
	}
}

// TestBuildRefuses: what is not a streaming operator is an answer, not a crash.
func TestBuildRefuses(t *testing.T) {
	in := scanOf(plainTable)
	for name, n := range map[string]plan.Node{
		"Sort is not supported in a streaming query": &plan.Sort{Input: in},
		"aggregate max(text) cannot be split in a streaming query": &plan.Agg{Input: in, Phase: plan.AggPartial,
			Aggs: []plan.AggCall{{Sig: "max(text)", Args: []int{0}, Filter: -1, Result: sqltypes.Text}}},
		"function nosuch(bigint) does not exist": &plan.Agg{Input: in, Aggs: []plan.AggCall{{Sig: "nosuch(bigint)"}}},
		"window size and slide must be positive": &plan.Hop{Input: in},
	} {
		_, err := newSim(n)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Message != name {
			t.Errorf("%T: got %v, want %q", n, err, name)
		}
	}
}

// TestKeySet checks numbering over growth and reset.
func TestKeySet(t *testing.T) {
	var s keySet
	for range 2 {
		for i := range 1000 {
			k := []byte(fmt.Sprint(i))
			if n, fresh := s.addKey(uint16(i), k); n != i || !fresh {
				t.Fatalf("key %d: number %d, fresh %v", i, n, fresh)
			}
			if n, fresh := s.addKey(0, []byte(fmt.Sprint(i/2))); n != i/2 || fresh {
				t.Fatalf("key %d again: number %d, fresh %v", i/2, n, fresh)
			}
			if s.vnode(i) != uint16(i) || string(s.key(i)) != string(k) {
				t.Fatalf("key %d: got %q in vnode %d", i, s.key(i), s.vnode(i))
			}
		}
		if _, ok := s.find(s.hash(5), []byte("x")); ok {
			t.Fatal("found a key that is not there")
		}
		s.reset()
		if _, ok := s.find(1, []byte("1")); ok || s.len() != 0 {
			t.Fatal("keys are left after reset")
		}
	}
}
