package change

import (
	"github.com/millrace/millrace/storage/key"
)

// Map is a Set that finds its keys again: each stands once, with its last change. Beside it lies what the change
// replaced, so that a map tells a net difference: what was, and what is. It goes back to an earlier length by
// forgetting the keys that were added since (Shrink); changes of older keys are the caller's to restore (Entry, Restore).
//
// The index is one word per key: half of it from the hash, half the entry's number.
type Map struct {
	Set
	slots []uint64 // open addressing; 0: free
	olds  Set      // values that entries replace, without keys
	old   []int32  // per entry: its number in olds + 1; shorter than Entries where the rest has none
	nets  []int64  // likewise: the weight added in all
}

// fewKeys are found by looking at all of them.
const fewKeys = 8

// Find returns the number of a key's entry; −1: it has none.
func (m *Map) Find(k []byte) int {
	if m.slots == nil {
		for i, e := range m.Entries {
			if string(m.KeyOf(e)) == string(k) {
				return i
			}
		}
		return -1
	}
	return m.find(k, key.Hash(k))
}

func (m *Map) find(k []byte, hash uint64) int {
	mask := uint64(len(m.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := m.slots[at]
		if s == 0 {
			return -1
		}
		if s>>32 == hash>>32 {
			if i := int(uint32(s)) - 1; string(m.KeyOf(m.Entries[i])) == string(k) {
				return i
			}
		}
	}
}

// Has reports whether a key stands in the map.
func (m *Map) Has(k []byte) bool { return m.Find(k) >= 0 }

// Write sets a key's change and returns the number of its entry. i is what Find has returned.
func (m *Map) Write(i int, k, value []byte, del bool) int {
	e := m.store(k, value, del)
	if i >= 0 {
		m.Entries[i] = e
		return i
	}
	m.Entries = append(m.Entries, e)
	if n := len(m.Entries); n > fewKeys && 4*n > 3*len(m.slots) {
		m.index(4 * n)
	} else if m.slots != nil {
		m.link(n-1, key.Hash(k))
	}
	return len(m.Entries) - 1
}

// index makes the index anew with at least n slots.
func (m *Map) index(n int) {
	size := 32
	for size < n {
		size *= 2
	}
	m.slots = make([]uint64, size)
	for i, e := range m.Entries {
		m.link(i, key.Hash(m.KeyOf(e)))
	}
}

func (m *Map) link(i int, hash uint64) {
	mask := uint64(len(m.slots) - 1)
	at := hash & mask
	for m.slots[at] != 0 {
		at = (at + 1) & mask
	}
	m.slots[at] = hash>>32<<32 | uint64(uint32(i+1))
}

// Replaces notes the value that entry i stands in place of; the first note counts.
func (m *Map) Replaces(i int, value []byte) {
	if i < len(m.old) && m.old[i] != 0 {
		return
	}
	for len(m.old) <= i {
		m.old = append(m.old, 0)
	}
	m.olds.Add(nil, value, false)
	m.old[i] = int32(m.olds.Len())
}

// Old returns the value that entry i replaces.
func (m *Map) Old(i int) ([]byte, bool) {
	if i >= len(m.old) || m.old[i] == 0 {
		return nil, false
	}
	return m.olds.ValueOf(m.olds.Entries[m.old[i]-1]), true
}

// Weigh adds to the net weight of entry i.
func (m *Map) Weigh(i int, w int64) {
	for len(m.nets) <= i {
		m.nets = append(m.nets, 0)
	}
	m.nets[i] += w
}

// Net returns the weight added to entry i in all.
func (m *Map) Net(i int) int64 {
	if i >= len(m.nets) {
		return 0
	}
	return m.nets[i]
}

// Saved is an entry as it was.
type Saved struct {
	at  int
	e   Entry
	old int32
	net int64
}

// Save returns entry i for Restore.
func (m *Map) Save(i int) Saved {
	s := Saved{at: i, e: m.Entries[i], net: m.Net(i)}
	if i < len(m.old) {
		s.old = m.old[i]
	}
	return s
}

// Restore makes an entry what it was, if it is still there.
func (m *Map) Restore(s Saved) {
	if s.at >= len(m.Entries) {
		return
	}
	m.Entries[s.at] = s.e
	if s.at < len(m.old) {
		m.old[s.at] = s.old
	}
	if s.at < len(m.nets) {
		m.nets[s.at] = s.net
	}
}

// Shrink forgets all entries but the first n.
func (m *Map) Shrink(n int) {
	if m.slots != nil {
		// The youngest entry is the last of its run of slots, so that removing from the end leaves no hole.
		mask := uint64(len(m.slots) - 1)
		for i := len(m.Entries) - 1; i >= n; i-- {
			at := key.Hash(m.KeyOf(m.Entries[i])) & mask
			for uint32(m.slots[at]) != uint32(i+1) {
				at = (at + 1) & mask
			}
			m.slots[at] = 0
		}
	}
	m.Entries = m.Entries[:n]
	m.old, m.nets = m.old[:min(n, len(m.old))], m.nets[:min(n, len(m.nets))]
}
