package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"sort"
	"testing"

	"github.com/millrace/millrace/storage/key"
)

// memStore is a Store that the tests apply flushed deltas to.
type memStore struct{ m map[string][]byte }

func (s *memStore) Get(k []byte) ([]byte, bool, error) {
	v, ok := s.m[string(k)]
	return bytes.Clone(v), ok, nil
}

func (s *memStore) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	var keys []string
	for k := range s.m {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !f([]byte(k), s.m[k]) {
			break
		}
	}
	return nil
}

func (s *memStore) apply(d *Delta) {
	for _, c := range d.Entries {
		if c.Del {
			delete(s.m, string(d.KeyOf(c)))
		} else {
			s.m[string(d.KeyOf(c))] = bytes.Clone(d.ValueOf(c))
		}
	}
}

func testKey(rnd *rand.Rand, space int) []byte {
	k := key.AppendInt64(key.AppendNotNull(nil), int64(rnd.Intn(space)))
	if rnd.Intn(4) == 0 { // some keys too long to be inline
		k = key.AppendBytes(k, bytes.Repeat([]byte{'x'}, 80))
	}
	return k
}

func vn(k []byte) uint16 { return uint16(key.Hash(k) & 255) }

// TestMapAgainstModel runs random upserts, deletes, flushes and restarts against a Go map.
func TestMapAgainstModel(t *testing.T) {
	for seed := int64(1); seed <= 20; seed++ {
		rnd := rand.New(rand.NewSource(seed))
		st := &memStore{map[string][]byte{}}
		model, committed := map[string]uint64{}, map[string]uint64{}
		m := NewMap(Config{Table: 7}, 9, 8)
		for step := range 4000 {
			k := testKey(rnd, 300)
			switch op := rnd.Intn(20); {
			case op < 10:
				s, created, err := m.Upsert(key.Hash(k), vn(k), k)
				if err != nil {
					t.Fatal(err)
				}
				if _, had := model[string(k)]; had == created {
					t.Fatalf("seed %d step %d: created=%v, model has it: %v", seed, step, created, had)
				}
				v := m.Value(s)
				if got := binary.LittleEndian.Uint64(v); got != model[string(k)] {
					t.Fatalf("seed %d step %d: value %d, want %d", seed, step, got, model[string(k)])
				}
				x := rnd.Uint64() | 1
				binary.LittleEndian.PutUint64(v, x)
				m.MarkDirty(s)
				model[string(k)] = x
			case op < 18:
				s, err := m.Find(key.Hash(k), vn(k), k)
				if err != nil {
					t.Fatal(err)
				}
				if _, had := model[string(k)]; had != (s != NoSlot) {
					t.Fatalf("seed %d step %d: found=%v, model %v", seed, step, s != NoSlot, had)
				}
				if s != NoSlot && op < 14 {
					m.Delete(s)
					delete(model, string(k))
				}
			case op == 18:
				var d Delta
				m.Flush(&d)
				st.apply(&d)
				committed = map[string]uint64{}
				for k, v := range model {
					committed[k] = v
				}
				if len(st.m) != len(model) {
					t.Fatalf("seed %d step %d: store has %d keys, want %d", seed, step, len(st.m), len(model))
				}
			case rnd.Intn(10) == 0: // crash and restart
				m = NewMap(Config{Table: 7, Store: st}, 9, 8)
				model = map[string]uint64{}
				for k, v := range committed {
					model[k] = v
				}
				if rnd.Intn(2) == 0 {
					if err := m.LoadAll(func(uint16) bool { return true }); err != nil || m.Len() != len(model) {
						t.Fatalf("seed %d: LoadAll: %d keys, want %d, %v", seed, m.Len(), len(model), err)
					}
				}
			}
		}
	}
}

// TestMultiMapAgainstModel does the same for a Z-set per key.
func TestMultiMapAgainstModel(t *testing.T) {
	for seed := int64(1); seed <= 20; seed++ {
		rnd := rand.New(rand.NewSource(seed))
		st := &memStore{map[string][]byte{}}
		type zset = map[string]map[string]int64
		model, committed := zset{}, zset{}
		clone := func(z zset) zset {
			out := zset{}
			for k, rows := range z {
				out[k] = map[string]int64{}
				for r, w := range rows {
					out[k][r] = w
				}
			}
			return out
		}
		m := NewMultiMap(Config{Table: 9}, 9, false, 0)
		for step := range 4000 {
			k := testKey(rnd, 40)
			switch op := rnd.Intn(40); {
			case op < 36:
				img := []byte(fmt.Sprint("row", rnd.Intn(12)))
				w := int64(rnd.Intn(5) - 2)
				if w == 0 {
					w = 1
				}
				_, before, after, err := m.Add(key.Hash(k), vn(k), k, img, w)
				if err != nil {
					t.Fatal(err)
				}
				if model[string(k)] == nil {
					model[string(k)] = map[string]int64{}
				}
				if want := model[string(k)][string(img)]; before != want || after != want+w {
					t.Fatalf("seed %d step %d: weight %d→%d, want %d→%d", seed, step, before, after, want, want+w)
				}
				model[string(k)][string(img)] += w
				if after == 0 {
					delete(model[string(k)], string(img))
				}
				checkBucket(t, m, k, model[string(k)])
			case op < 38:
				var d Delta
				m.Flush(&d)
				st.apply(&d)
				committed = clone(model)
			case rnd.Intn(4) == 0:
				m = NewMultiMap(Config{Table: 9, Store: st}, 9, false, 0)
				model = clone(committed)
				if rnd.Intn(2) == 0 {
					if err := m.LoadAll(func(uint16) bool { return true }); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for k, rows := range model {
			checkBucket(t, m, []byte(k), rows)
		}
	}
}

func checkBucket(t *testing.T, m *MultiMap, k []byte, want map[string]int64) {
	t.Helper()
	b, err := m.Find(key.Hash(k), vn(k), k)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	if b != NoSlot {
		for r := m.First(b); r != NoSlot; r = m.Next(r) {
			got++
			if want[string(m.Image(r))] != m.Weight(r) {
				t.Fatalf("row %q has weight %d, want %d", m.Image(r), m.Weight(r), want[string(m.Image(r))])
			}
		}
		if got != m.Count(b) {
			t.Fatalf("bucket counts %d rows, has %d", m.Count(b), got)
		}
	}
	if got != len(want) {
		t.Fatalf("bucket has %d rows, want %d", got, len(want))
	}
}

// TestMultiMapAppendOnly keeps equal rows apart and survives a restart.
func TestMultiMapAppendOnly(t *testing.T) {
	st := &memStore{map[string][]byte{}}
	m := NewMultiMap(Config{Table: 3}, 9, true, 1<<32)
	k := testKey(rand.New(rand.NewSource(1)), 5)
	for range 3 {
		if _, _, _, err := m.Add(key.Hash(k), vn(k), k, []byte("same"), 1); err != nil {
			t.Fatal(err)
		}
	}
	var d Delta
	m.Flush(&d)
	st.apply(&d)
	m = NewMultiMap(Config{Table: 3, Store: st}, 9, true, 2<<32)
	b, _, _, err := m.Add(key.Hash(k), vn(k), k, []byte("same"), 1)
	if err != nil || m.Count(b) != 4 {
		t.Fatalf("after restart the bucket has %d rows, want 4 (%v)", m.Count(b), err)
	}
}

// TestOrderedMapAgainstModel checks order, prefixes, deletes, flushes and restarts.
func TestOrderedMapAgainstModel(t *testing.T) {
	for seed := int64(1); seed <= 10; seed++ {
		rnd := rand.New(rand.NewSource(seed))
		st := &memStore{map[string][]byte{}}
		model, committed := map[string]string{}, map[string]string{}
		m := NewOrderedMap(Config{Table: 5})
		group := func(g int) []byte { return key.AppendInt64(nil, int64(g)) }
		for step := range 20000 {
			g := rnd.Intn(3)
			p := group(g)
			if err := m.Ensure(uint16(g), p); err != nil {
				t.Fatal(err)
			}
			k := key.AppendInt64(bytes.Clone(p), int64(rnd.Intn(2000)))
			switch op := rnd.Intn(100); {
			case op < 60:
				v := bytes.Repeat([]byte{byte(step)}, rnd.Intn(20))
				m.Put(uint16(g), k, v)
				model[string(k)] = string(v)
			case op < 97:
				m.Delete(k)
				delete(model, string(k))
			case op == 97:
				var d Delta
				m.Flush(&d)
				st.apply(&d)
				committed = map[string]string{}
				for k, v := range model {
					committed[k] = v
				}
			case op == 98 && rnd.Intn(20) == 0:
				m = NewOrderedMap(Config{Table: 5, Store: st})
				model = map[string]string{}
				for k, v := range committed {
					model[k] = v
				}
			case step%50 == 0:
				checkGroup(t, m, p, model)
			}
		}
		for g := range 3 {
			if err := m.Ensure(uint16(g), group(g)); err != nil {
				t.Fatal(err)
			}
			checkGroup(t, m, group(g), model)
		}
	}
}

func checkGroup(t *testing.T, m *OrderedMap, prefix []byte, model map[string]string) {
	t.Helper()
	var want []string
	for k := range model {
		if bytes.HasPrefix([]byte(k), prefix) {
			want = append(want, k)
		}
	}
	sort.Strings(want)
	i := 0
	m.Ascend(prefix, nil, func(k, v []byte) bool {
		if i >= len(want) || string(k) != want[i] || string(v) != model[want[i]] {
			t.Fatalf("entry %d of group %x: got %x", i, prefix, k)
		}
		i++
		return true
	})
	if i != len(want) {
		t.Fatalf("group has %d entries, want %d", i, len(want))
	}
	m.Descend(prefix, func(k, v []byte) bool {
		i--
		if i < 0 || string(k) != want[i] {
			t.Fatalf("falling: entry %d of group %x: got %x", i, prefix, k)
		}
		return true
	})
	if i != 0 {
		t.Fatalf("falling: %d entries missing", i)
	}
}
