package state

import (
	"math/rand"
	"testing"
)

func TestClass(t *testing.T) {
	prev := 0
	for n := 1; n < 1<<16; n++ {
		cls, size := class(n)
		if size < n || size > 16 && size > n+n/4+1 {
			t.Fatalf("class(%d): size %d", n, size)
		}
		if cls < prev || cls > prev+1 {
			t.Fatalf("class(%d) = %d after %d", n, cls, prev)
		}
		if again, s := class(size); again != cls || s != size {
			t.Fatalf("class(%d) = %d, %d but class(%d) = %d, %d", n, cls, size, size, again, s)
		}
		prev = cls
	}
}

func TestArenaKeepsValuesApart(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var a arena
	type val struct {
		r ref
		n int
		b byte
	}
	var live []val
	for i := range 20000 {
		if len(live) > 0 && rnd.Intn(3) == 0 {
			k := rnd.Intn(len(live))
			v := live[k]
			for _, x := range a.bytes(v.r, v.n) {
				if x != v.b {
					t.Fatalf("step %d: value of %d bytes was overwritten", i, v.n)
				}
			}
			a.release(v.r, v.n)
			live[k] = live[len(live)-1]
			live = live[:len(live)-1]
			continue
		}
		n := 1 + rnd.Intn(300)
		if rnd.Intn(500) == 0 {
			n = arenaBlock/2 + rnd.Intn(arenaBlock)
		}
		r, b := a.alloc(n)
		if r == 0 {
			t.Fatal("ref 0 was handed out")
		}
		for j := range b {
			b[j] = byte(i)
		}
		live = append(live, val{r, n, byte(i)})
	}
}
