package state

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"slices"
	"sort"
	"testing"
	"time"
)

// TestSearch compares Search over two parts with a look at all entries, while entries come, go and are loaded again.
func TestSearch(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	num := func(n int) []byte { return binary.BigEndian.AppendUint32([]byte{1}, uint32(n)) }
	part := func(k, _ []byte, i int) []byte { return k[5*(i+1) : 5*(i+2)] }
	store := &memStore{map[string][]byte{}}
	open := func(c Config) *OrderedMap {
		m := NewOrderedMap(c)
		m.Bound(2, part)
		return m
	}
	m := open(Config{Table: 9})
	model := map[string]bool{}
	loaded := true
	for step := range 6000 {
		k := slices.Concat(num(r.Intn(300)), num(r.Intn(300)), num(r.Intn(300)))
		switch r.Intn(8) {
		case 0, 1, 2, 3:
			m.Put(1, k, []byte("v"))
			model[string(k)] = true
		case 4, 5:
			for have := range model {
				m.Delete([]byte(have))
				delete(model, have)
				break
			}
		case 6:
			if r.Intn(20) == 0 {
				var d Delta
				m.Flush(&d)
				store.apply(&d)
				if r.Intn(3) == 0 {
					m, loaded = open(Config{Table: 9, Store: store}), false
				}
			}
		}
		if !loaded {
			if err := m.LoadAll(func(uint16) bool { return true }); err != nil {
				t.Fatal(err)
			}
			loaded = true
		}
		if step%5 > 0 {
			continue
		}
		end := func(n int) []byte {
			if n > 290 {
				return nil
			}
			return num(n)
		}
		lo, hi := num(r.Intn(300)), end(r.Intn(400))
		parts := []PartRange{{Part: 0, Lo: num(r.Intn(300)), Hi: end(r.Intn(400))}, {Part: 1, Lo: end(r.Intn(400))}}
		var want, got []string
		for k := range model {
			in := func(v, lo, hi []byte) bool {
				return bytes.Compare(v, lo) >= 0 && (hi == nil || bytes.Compare(v, hi) < 0)
			}
			if b := []byte(k); in(b, lo, hi) && in(part(b, nil, 0), parts[0].Lo, parts[0].Hi) && in(part(b, nil, 1), parts[1].Lo, parts[1].Hi) {
				want = append(want, k)
			}
		}
		sort.Strings(want)
		m.Search(lo, hi, parts, func(e uint32) bool {
			if !m.Dead(e) {
				got = append(got, string(m.EntryKey(e)))
			}
			return true
		})
		if !slices.Equal(got, want) {
			t.Fatalf("step %d: got %d entries, want %d", step, len(got), len(want))
		}
	}
}

// TestSearchLeavesOut: of intervals in the order of their beginning, those with a point in them are found without looking at all
// that began before.
func TestSearchLeavesOut(t *testing.T) {
	num := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	looked := 0
	m := NewOrderedMap(Config{Table: 9})
	m.Bound(1, func(k, _ []byte, _ int) []byte {
		looked++
		return k[4:8]
	})
	const n = 100_000
	for i := range n {
		m.Put(1, slices.Concat(num(i), num(i+5)), nil)
	}
	find := func() (found int) {
		m.Search(nil, num(n-99), []PartRange{{Lo: num(n - 99)}}, func(uint32) bool {
			found++
			return true
		})
		return found
	}
	find()
	looked = 0
	if found := find(); found != 5 {
		t.Fatalf("%d entries, want 5", found)
	}
	if looked > 200 {
		t.Fatalf("looked at %d entries for 5", looked)
	}
}
