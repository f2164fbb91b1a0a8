package shard

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/millrace/millrace/storage/object/objecttest"
)

// TestGetAgainstModel compares Get, which reuses iterators, with a map: keys that are there, that were deleted and that never were, in any
// order, by several readers of one snapshot, over tables of several levels.
func TestGetAgainstModel(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	key := func(r *rand.Rand) string { return fmt.Sprintf("k%04d", r.IntN(3000)) }
	for round := range 60 {
		delta := map[string]string{}
		for range 100 {
			delta[key(rng)] = map[bool]string{true: "", false: fmt.Sprint(round)}[rng.IntN(4) == 0] // "": deleted
		}
		ingest(t, s, delta)
		apply(want, delta)
		if round%10 != 9 {
			continue
		}
		v, now := snapshot(t, s), maps.Clone(want)
		var group sync.WaitGroup
		for g := range 4 {
			group.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				for range 5000 {
					k := key(r)
					got, ok, err := v.Get([]byte(k))
					if value, there := now[k]; err != nil || ok != there || string(got) != value {
						t.Errorf("%s is %q, %v, %v, want %q, %v", k, got, ok, err, value, there)
						return
					}
				}
			})
		}
		group.Wait()
		v.Close()
	}
}
