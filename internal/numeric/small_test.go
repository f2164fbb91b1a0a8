package numeric

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSmall: where the fast paths answer, they answer what the general operations do; and they do so for everyday values.
func TestSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := func() Dec {
		switch r.IntN(10) {
		case 0:
			return []Dec{NaN(), Inf(1), Inf(-1), {}}[r.IntN(4)]
		case 1:
			return FromScaled([]int64{math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}[r.IntN(3)], int32(r.IntN(3)))
		case 2:
			return FromScaled128(int64(r.Uint64()), r.Uint64(), int32(r.IntN(5)))
		case 3:
			return FromScaled(int64(r.IntN(100)), int32(r.IntN(maxDisplayScale)))
		}
		return FromScaled(int64(r.IntN(2_000_000))-1_000_000, int32(r.IntN(5)))
	}
	fast := 0
	for range 200_000 {
		x, y := random(), random()
		for _, op := range []struct {
			name  string
			small func(r, x, y *Dec) bool
			full  func(x, y Dec) (Dec, error)
		}{{"+", AddSmall, Dec.Add}, {"-", SubSmall, Dec.Sub}, {"*", MulSmall, Dec.Mul}} {
			var got Dec
			if !op.small(&got, &x, &y) {
				continue
			}
			fast++
			want, err := op.full(x, y)
			if err != nil || got != want {
				t.Fatalf("%s %s %s = %s (%v), not %s", x, op.name, y, want, err, got)
			}
		}
	}
	if fast < 300_000 {
		t.Errorf("the fast path answered %d times only", fast)
	}
}

// TestTotal: a total, merged and folded into an accumulator, is the sum of its values.
func TestTotal(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var a, b Total
		var got, want Acc
		for range r.IntN(50) {
			d := FromScaled([]int64{int64(r.IntN(2000)) - 1000, math.MaxInt64, math.MinInt64}[r.IntN(3)], int32(2+r.IntN(10)/9))
			to := &a
			if r.IntN(2) == 0 {
				to = &b
			}
			want.Add(d, 1)
			if !to.AddSmall(&d, 2) {
				got.Add(d, 1)
			}
		}
		a.Merge(&b)
		got.AddTotal(&a, 2)
		x, err1 := got.Result()
		y, err2 := want.Result()
		if err1 != nil || err2 != nil || x != y {
			t.Fatalf("%s (%v), not %s (%v)", x, err1, y, err2)
		}
	}
}
