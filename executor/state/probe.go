package state

import (
	"encoding/binary"
)

// Looking keys up in two steps, first all hashes and then all keys, lets the processor wait for many cache
// lines at once: half the time per key once a container has outgrown the cache.

// candidates sets out[k] to the first slot in probe order whose tag fits hashes[k], or NoSlot.
func (x *index) candidates(hashes []uint64, out []uint32) {
	for k, hash := range hashes {
		out[k] = NoSlot
		s := &x.segs[segOf(hash)]
		if len(s.tab) == 0 {
			continue
		}
		mask := uint64(len(s.tab) - 1)
		tag := hash << 32
		for i := hash & mask; ; i = (i + 1) & mask {
			e := s.tab[i]
			if e == 0 {
				break
			}
			if e != tomb && (e^tag)>>32 == 0 {
				out[k] = uint32(e) - 1
				break
			}
		}
	}
}

// Candidates makes a guess, from hashes alone, at the slot of each key: out is as long as hashes. A guess
// stands until a slot is deleted, and UpsertAt or FindAt check it.
func (m *Map) Candidates(hashes []uint64, out []uint32) { m.idx.candidates(hashes, out) }

// is reports whether a slot holds the key k and lives.
func (m *Map) is(s uint32, k []byte) bool {
	b := m.slot(s)
	if b[6]&flagDead != 0 || binary.LittleEndian.Uint32(b[2:]) != uint32(len(k)) {
		return false
	}
	if len(k) <= m.keyInline {
		return string(b[metaWidth:metaWidth+len(k)]) == string(k)
	}
	return string(m.Key(s)) == string(k)
}

// UpsertAt is Upsert with a guess from Candidates.
func (m *Map) UpsertAt(guess uint32, hash uint64, vnode uint16, k []byte) (slot uint32, created bool, err error) {
	if guess != NoSlot && m.is(guess, k) {
		return guess, false, nil
	}
	return m.Upsert(hash, vnode, k)
}

// Candidates is Map.Candidates for buckets.
func (m *MultiMap) Candidates(hashes []uint64, out []uint32) { m.buckets.idx.candidates(hashes, out) }

// FindAt is Find with a guess from Candidates.
func (m *MultiMap) FindAt(guess uint32, hash uint64, vnode uint16, k []byte) (uint32, error) {
	if guess != NoSlot && m.buckets.is(guess, k) {
		return guess, nil
	}
	return m.Find(hash, vnode, k)
}

// Upsert returns the value of a key for changing in place, until the container changes otherwise. A key that
// was not there gets a value of width zero bytes. All values of the container have that width.
func (m *OrderedMap) Upsert(vnode uint16, k []byte, width int) (v []byte, created bool) {
	leaf, i, ok := m.locate(k)
	var e uint32
	if ok {
		e = leaf.entries[i]
	}
	m.touching(k, e, ok)
	switch {
	case !ok:
		e = m.newEntry(vnode, k, make([]byte, width))
		m.created(e)
		m.insertAt(leaf, i, e)
		m.n++
		created = true
	case m.meta(e).flags&flagDead != 0:
		m.meta(e).flags &^= flagDead
		m.n++
		clear(m.valueOf(e))
		created = true
	}
	m.mark(e)
	return m.valueOf(e), created
}
