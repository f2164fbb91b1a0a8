package table

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
)

// rows are the contents of a relation, by key; it is a Snapshot as well.
type rows map[string]string

func (r rows) Get(k []byte) ([]byte, bool, error) {
	v, ok := r[string(k)]
	return []byte(v), ok, nil
}

func (r rows) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(r)) {
		if k >= string(lo) && k < string(hi) && !f([]byte(k), []byte(r[k])) {
			return nil
		}
	}
	return nil
}

func (r rows) Size(_, _ []byte) uint64 { return 0 }
func (r rows) Close() error            { return nil }

func (r rows) apply(s *change.Set) {
	for _, e := range s.Entries {
		if e.Del {
			delete(r, string(s.KeyOf(e)))
		} else {
			r[string(s.KeyOf(e))] = string(s.ValueOf(e))
		}
	}
}

// model drives a Store as the engine does: actors apply epoch after epoch, each at its own pace, and a checkpoint takes what its epoch has
// changed. It knows what each epoch holds.
type model struct {
	*rand.Rand
	t        *testing.T
	s        *Store
	actors   []uint64 // the epoch that each has applied last
	made     map[uint64][]*change.Set
	complete uint64
	cut      uint64 // a checkpoint under way; 0: none
	saved    rows
}

const id = catalog.ID(7)

// epoch makes one actor's changes of its next epoch: an actor has keys of its own.
func (m *model) epoch(actor int) {
	m.actors[actor]++
	e := m.actors[actor]
	set := &change.Set{}
	for n := range 12 {
		k := binary.BigEndian.AppendUint32(nil, uint32(n))
		switch m.IntN(6) {
		case 0:
			set.Put(uint32(id), uint16(actor), k, fmt.Appendf(nil, "%d", e))
		case 1:
			set.Delete(uint32(id), uint16(actor), k)
		}
	}
	m.made[e] = append(m.made[e], set)
	m.s.Apply(id, NewLayer(e, set))
}

// at is what the relation holds after an epoch.
func (m *model) at(epoch uint64) rows {
	out := rows{}
	for e := uint64(1); e <= epoch; e++ {
		for _, set := range m.made[e] {
			out.apply(set)
		}
	}
	return out
}

// check reads the relation at an epoch.
func (m *model) check(epoch uint64) {
	m.t.Helper()
	v, err := m.s.View([]catalog.ID{id}, epoch)
	if err == ErrNotRetained && epoch < m.complete {
		return
	}
	if err != nil {
		m.t.Fatalf("epoch %d: %v", epoch, err)
	}
	defer v.Close()
	got := rows{}
	r := key.TableRange(uint32(id))
	if err := v.Scan(id, r.Lo, r.Hi, func(k, val []byte) bool { got[string(k)] = string(val); return true }); err != nil {
		m.t.Fatal(err)
	}
	if want := m.at(epoch); !maps.Equal(got, want) {
		m.t.Fatalf("epoch %d holds\n%q, want\n%q", epoch, got, want)
	}
	for k, want := range m.at(epoch) {
		if val, ok, _ := v.Get(id, []byte(k)); !ok || string(val) != want {
			m.t.Fatalf("epoch %d: key %q has %q, want %q", epoch, k, val, want)
		}
	}
}

func (m *model) step() {
	switch m.IntN(12) {
	case 0, 3: // an epoch that all actors have applied becomes readable
		if done := slices.Min(m.actors); done > m.complete {
			m.complete++
			m.s.Complete(id, m.complete)
		}
	case 1: // a checkpoint is announced before anybody has reached its epoch
		if m.cut == 0 && m.IntN(3) == 0 {
			m.cut = slices.Max(m.actors) + 1
			m.s.Cut(m.cut)
		}
	case 2: // and written when it is complete
		if m.cut == 0 || m.complete < m.cut {
			return
		}
		m.saved = maps.Clone(m.saved)
		for _, l := range m.s.Unsaved(id, m.cut) {
			m.saved.apply(l.Delta)
		}
		if want := m.at(m.cut); !maps.Equal(m.saved, want) {
			m.t.Fatalf("the checkpoint of epoch %d holds\n%q, want\n%q", m.cut, m.saved, want)
		}
		m.s.Advance(m.saved, map[catalog.ID]uint64{id: m.cut})
		m.cut = 0
	default:
		a := m.IntN(len(m.actors))
		if m.actors[a] < slices.Min(m.actors)+4 {
			m.epoch(a)
		}
	}
}

// TestStore: whatever the pace of a relation's actors, a view holds its epoch, and a checkpoint holds no more and no less than its own.
func TestStore(t *testing.T) {
	for seed := range uint64(24) {
		m := &model{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, actors: make([]uint64, 1+seed%3), made: map[uint64][]*change.Set{}, saved: rows{}}
		m.s = NewStore(rows{}, 1<<20)
		m.s.Register(id, 0)
		for range 400 {
			m.step()
			if m.complete > 0 {
				m.check(m.complete - min(m.complete, uint64(m.IntN(3))))
			}
		}
		if m.complete < 20 || len(m.saved) == 0 {
			t.Fatalf("seed %d: %d epochs, %d rows saved: this tests nothing", seed, m.complete, len(m.saved))
		}
	}
}
