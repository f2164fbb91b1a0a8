package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/millrace/millrace/storage/change"
)

// joined is a Summary that keeps the keys.
type joined struct{}

func (joined) Leaf(keys, _ [][]byte, weights []int64) any {
	var out []string
	for i, k := range keys {
		for range weights[i] {
			out = append(out, string(k))
		}
	}
	return out
}

func (joined) Merge(parts []any) any {
	var out []string
	for _, p := range parts {
		out = append(out, p.([]string)...)
	}
	return out
}

// TestTracked compares counts, ranks and sums of both versions with lists, over trees of several levels.
func TestTracked(t *testing.T) {
	for seed := int64(1); seed <= 6; seed++ {
		r := rand.New(rand.NewSource(seed))
		m := NewOrderedMap(Config{Table: 1})
		m.Track(joined{})
		now, before := map[string]int64{}, map[string]int64{}
		for epoch := range 12 {
			n := r.Intn(40)
			if epoch == 0 || epoch == 5 { // as many as need a tree of three levels, and a new map of changes
				n = 9000
			}
			for range n {
				k := []byte(fmt.Sprintf("%06d", r.Intn(12000)))
				if w := now[string(k)]; w > 0 && r.Intn(2) == 0 {
					m.Delete(k)
					delete(now, string(k))
					continue
				}
				v, _ := m.Upsert(0, k, 8)
				binary.LittleEndian.PutUint64(v, binary.LittleEndian.Uint64(v)+1)
				now[string(k)]++
			}
			if got, want := len(m.Changes()), changed(before, now); got != want {
				t.Fatalf("seed %d epoch %d: %d changes, want %d", seed, epoch, got, want)
			}
			for v, want := range [][]string{listed(now), listed(before)} {
				checkVersion(t, fmt.Sprintf("seed %d epoch %d version %d", seed, epoch, v), m, Version(v), want, r)
			}
			m.Settle()
			if before = map[string]int64{}; true {
				for k, w := range now {
					before[k] = w
				}
			}
			if r.Intn(2) == 0 {
				m.Flush(&change.Set{})
			}
		}
	}
}

func changed(a, b map[string]int64) int {
	n := 0
	for k, w := range a {
		if b[k] != w {
			n++
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			n++
		}
	}
	return n
}

func listed(m map[string]int64) []string {
	var out []string
	for k, w := range m {
		for range w {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func checkVersion(t *testing.T, what string, m *OrderedMap, v Version, want []string, r *rand.Rand) {
	t.Helper()
	for range 20 {
		lo, hi := fmt.Sprintf("%06d", r.Intn(12000)), fmt.Sprintf("%06d", r.Intn(12000))
		if lo > hi {
			lo, hi = hi, lo
		}
		from, _ := slices.BinarySearch(want, lo)
		to, _ := slices.BinarySearch(want, hi)
		if got := m.CountRange(v, []byte(lo), []byte(hi)); got != int64(to-from) {
			t.Fatalf("%s: %d rows from %s to %s, want %d", what, got, lo, hi, to-from)
		}
		pos := r.Intn(len(want) + 1)
		c, skipped := m.Select(v, []byte(lo), int64(pos))
		if from+pos >= len(want) {
			if c.Valid() {
				t.Fatalf("%s: row %d from %s is %s, want none", what, pos, lo, c.Key())
			}
			continue
		}
		if !c.Valid() || string(c.Key()) != want[from+pos] {
			t.Fatalf("%s: row %d from %s: want %s", what, pos, lo, want[from+pos])
		}
		if first, _ := slices.BinarySearch(want, want[from+pos]); max(first, from)+int(skipped) != from+pos {
			t.Fatalf("%s: %d copies before row %d from %s", what, skipped, pos, lo)
		}
		end := min(pos+r.Intn(3000), len(want)-from)
		var got []string
		err := m.Fold(v, []byte(lo), int64(pos), int64(end), func(sum any) { got = append(got, sum.([]string)...) },
			func(k, _ []byte, copies int64) error {
				for range copies {
					got = append(got, string(k))
				}
				return nil
			})
		if err != nil || !slices.Equal(got, want[from+pos:from+max(end, pos)]) {
			t.Fatalf("%s: rows %d to %d from %s: %d rows, want %d", what, pos, end, lo, len(got), end-pos)
		}
	}
	var walked []string
	for c := m.Seek(nil); c.Valid(); c.Next() {
		for range c.Weight(v) {
			walked = append(walked, string(bytes.Clone(c.Key())))
		}
	}
	if !slices.Equal(walked, want) {
		t.Fatalf("%s: a cursor sees %d rows, want %d", what, len(walked), len(want))
	}
}
