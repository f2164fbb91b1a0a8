package change

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestMap compares with Go's map, over writes, and going back to earlier lengths.
func TestMap(t *testing.T) {
	type value struct {
		val, old string
		had, del bool
		net      int64
	}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		m, want := &Map{}, map[string]value{}
		type mark struct {
			n    int
			undo int
			want map[string]value
		}
		var marks []mark
		var undo []Saved
		for range 3000 {
			switch x := r.IntN(100); {
			case x == 0:
				marks = append(marks, mark{m.Len(), len(undo), maps.Clone(want)})
			case x == 1 && len(marks) > 0:
				at := r.IntN(len(marks))
				for i := len(undo) - 1; i >= marks[at].undo; i-- {
					m.Restore(undo[i])
				}
				undo = undo[:marks[at].undo]
				m.Shrink(marks[at].n)
				want, marks = maps.Clone(marks[at].want), marks[:at+1]
			default:
				k := binary.BigEndian.AppendUint64(nil, uint64(r.IntN(800)))
				v := value{val: fmt.Sprint(r.IntN(1000)), del: r.IntN(5) == 0}
				i := m.Find(k)
				was, known := want[string(k)]
				if known != (i >= 0) {
					t.Fatalf("seed %d: key %x is at %d, want known %v", seed, k, i, known)
				}
				if known {
					undo = append(undo, m.Save(i))
				}
				i = m.Write(i, k, []byte(v.val), v.del)
				v.net, v.old, v.had = was.net+3, was.old, was.had
				m.Weigh(i, 3)
				if r.IntN(3) == 0 {
					m.Replaces(i, []byte("old"+v.val))
					if !v.had {
						v.old, v.had = "old"+v.val, true
					}
				}
				want[string(k)] = v
			}
		}
		if m.Len() != len(want) {
			t.Fatalf("seed %d: %d keys, want %d", seed, m.Len(), len(want))
		}
		for k, v := range want {
			i := m.Find([]byte(k))
			if i < 0 {
				t.Fatalf("seed %d: key %x is not there", seed, k)
			}
			e := m.Entries[i]
			old, had := m.Old(i)
			if got := (value{string(m.ValueOf(e)), string(old), had, e.Del, m.Net(i)}); got != v || string(m.KeyOf(e)) != k {
				t.Fatalf("seed %d: key %x has %+v, want %+v", seed, k, got, v)
			}
		}
	}
}

// TestSetDoesNotMove keeps what was read and what was cloned while the set grows.
func TestSetDoesNotMove(t *testing.T) {
	d := &Set{}
	d.Put(1, 2, []byte("key"), []byte("value"))
	k, v := d.KeyOf(d.Entries[0]), d.ValueOf(d.Entries[0])
	c := d.Clone()
	for range 5 {
		d.Put(1, 2, make([]byte, 300), make([]byte, maxBlock/3))
	}
	c.Put(3, 4, []byte("mine"), nil)
	d.Put(3, 4, []byte("its own"), nil)
	if string(k[6:]) != "key" || string(v) != "value" || &k[0] != &d.KeyOf(d.Entries[0])[0] {
		t.Error("an entry has moved")
	}
	if c.Len() != 2 || string(c.KeyOf(c.Entries[1])[6:]) != "mine" || string(d.KeyOf(d.Entries[6])[6:]) != "its own" {
		t.Error("a set and its clone write into one another")
	}
	all := NewSet(10, 1)
	all.Append(c)
	all.Append(d)
	all.Put(5, 6, []byte("last"), nil)
	for i, want := range map[int]string{0: "key", 1: "mine", 2: "key", 8: "its own", 9: "last"} {
		if got := string(all.KeyOf(all.Entries[i])[6:]); got != want {
			t.Errorf("entry %d is %q, want %q", i, got, want)
		}
	}
}
