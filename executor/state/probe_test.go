package state

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand"
	"testing"
	"unsafe"

	"github.com/millrace/millrace/storage/key"
)

// TestGuesses compares look-ups by guess with plain ones, among deleted and long keys.
func TestGuesses(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	m := NewMap(Config{Table: 1}, 9, 8)
	model := map[string]uint64{}
	for round := range 400 {
		keys := make([][]byte, 50)
		hashes, guess := make([]uint64, 50), make([]uint32, 50)
		for i := range keys {
			keys[i] = testKey(rnd, 2000)
			hashes[i] = key.Hash(keys[i])
		}
		m.Candidates(hashes, guess)
		for i, k := range keys {
			s, created, err := m.UpsertAt(guess[i], hashes[i], vn(k), k)
			if err != nil {
				t.Fatal(err)
			}
			want, had := model[string(k)]
			if got := binary.LittleEndian.Uint64(m.Value(s)); created == had || got != want {
				t.Fatalf("round %d: created %v, value %d, want %d", round, created, got, want)
			}
			model[string(k)] = uint64(round + 1)
			binary.LittleEndian.PutUint64(m.Value(s), uint64(round+1))
			m.MarkDirty(s)
		}
		for _, k := range keys[:20] {
			if s, _ := m.Find(key.Hash(k), vn(k), k); s != NoSlot {
				m.Delete(s)
				delete(model, string(k))
			}
		}
		if round%7 == 0 {
			m.Flush(&Delta{})
		}
	}
}

// TestClear empties buckets of both sorts of MultiMap, before and after a checkpoint.
func TestClear(t *testing.T) {
	for _, appendOnly := range []bool{false, true} {
		st := &memStore{map[string][]byte{}}
		m := NewMultiMap(Config{Table: 3}, 9, appendOnly, 1<<32)
		k := key.AppendInt64(nil, 5)
		for round := range 4 {
			b, row, before, after, err := m.AddRow(key.Hash(k), 2, k, []byte("a"), 1)
			if err != nil || before != 0 || after != 1 || string(m.Image(row)) != "a" {
				t.Fatalf("append-only %v: weight %d→%d, %v", appendOnly, before, after, err)
			}
			if _, _, _, err = m.Add(key.Hash(k), 2, k, []byte("b"), 2); err != nil || m.Count(b) != 2 {
				t.Fatalf("append-only %v: %d rows, want 2, %v", appendOnly, m.Count(b), err)
			}
			if round%2 == 1 {
				var d Delta
				m.Flush(&d)
				st.apply(&d)
				if len(st.m) != 2 {
					t.Fatalf("append-only %v: store has %d rows, want 2", appendOnly, len(st.m))
				}
			}
			m.Clear(b)
			if m.Count(b) != 0 || m.First(b) != NoSlot || string(m.Image(row)) != "a" {
				t.Fatalf("append-only %v: bucket is not empty, or its image is gone", appendOnly)
			}
		}
		var d Delta
		m.Flush(&d)
		st.apply(&d)
		if len(st.m) != 0 || m.Stats().Rows != 0 {
			t.Fatalf("append-only %v: %d rows are left in the store, %d in memory", appendOnly, len(st.m), m.Stats().Rows)
		}
	}
}

// TestOrderedUpsert changes values in place, over deletes and restarts.
func TestOrderedUpsert(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	st := &memStore{map[string][]byte{}}
	m := NewOrderedMap(Config{Table: 5})
	model := map[string]byte{}
	for step := range 5000 {
		k := key.AppendInt64([]byte{1}, int64(rnd.Intn(300)))
		if err := m.Ensure(9, k[:1]); err != nil {
			t.Fatal(err)
		}
		v, created := m.Upsert(9, k, 3)
		if old, had := model[string(k)]; created == had || !bytes.Equal(v, []byte{old, 0, 0}) {
			t.Fatalf("step %d: created %v, value %v, want %d", step, created, v, old)
		}
		v[0] = byte(step)
		model[string(k)] = byte(step)
		if rnd.Intn(3) == 0 {
			m.Delete(k)
			delete(model, string(k))
		}
		if rnd.Intn(200) == 0 {
			var d Delta
			m.Flush(&d)
			st.apply(&d)
			m = NewOrderedMap(Config{Table: 5, Store: st})
		}
	}
}

// TestRowMeta holds Stats to the truth.
func TestRowMeta(t *testing.T) {
	if n := unsafe.Sizeof(rowMeta{}); n != rowMetaBytes {
		t.Errorf("a row's entry has %d bytes, want %d", n, rowMetaBytes)
	}
}

// TestStoreKeys has keys in memory that name an entry of another map by its slot.
func TestStoreKeys(t *testing.T) {
	rnd := rand.New(rand.NewSource(6))
	st := &memStore{map[string][]byte{}}
	var groups, m *Map
	open := func(s Store) {
		groups, m = NewMap(Config{Table: 1, Store: s}, 9, 8), NewMap(Config{Table: 2, Store: s}, 9, 1)
		m.StoreKeys(func(dst, k []byte) []byte {
			dst = append(append(dst, 7), groups.Key(binary.LittleEndian.Uint32(k))...)
			return append(dst, k[4:]...)
		})
	}
	open(nil)
	model, saved := map[[2]byte]byte{}, map[[2]byte]byte{}
	for step := range 20000 {
		id := [2]byte{byte(rnd.Intn(6)), byte(rnd.Intn(8))}
		g := []byte{id[0], 'g'}
		slot, _, err := groups.Upsert(key.Hash(g), uint16(id[0]), g)
		if err != nil {
			t.Fatal(err)
		}
		groups.MarkDirty(slot)
		k := append(binary.LittleEndian.AppendUint32(nil, slot), id[1])
		s, created, err := m.Upsert(key.Hash(k), uint16(id[0]), k)
		if err != nil {
			t.Fatal(err)
		}
		if v, had := model[id]; created == had || m.Value(s)[0] != v {
			t.Fatalf("step %d: created %v, value %d, want %d", step, created, m.Value(s)[0], v)
		}
		m.Value(s)[0] = byte(step) | 1
		m.MarkDirty(s)
		model[id] = byte(step) | 1
		if rnd.Intn(3) == 0 { // the group goes with its last value
			m.Delete(s)
			delete(model, id)
			last := true
			for other := range model {
				last = last && other[0] != id[0]
			}
			if last {
				groups.Delete(slot)
			}
		}
		switch rnd.Intn(60) {
		case 0:
			var d Delta
			m.Flush(&d)
			groups.Flush(&d)
			st.apply(&d)
			saved = maps.Clone(model)
		case 1:
			if rnd.Intn(3) == 0 && len(st.m) > 0 {
				model = maps.Clone(saved)
				open(st)
			}
		}
	}
	open(st)
	if err := m.LoadAll(func(uint16) bool { return true }); err == nil {
		t.Error("LoadAll turned keys back")
	}
}
