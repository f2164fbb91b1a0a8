package batch

import (
	"bytes"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// noGroup stands for a key that is not there, or that holds a NULL where NULL is not a value.
const noGroup = math.MaxUint32

// grouper numbers the distinct keys that it sees, from 0 in the order of their first row. All its memory is free of
// pointers except for a handful of slices.
type grouper struct {
	cols    []int
	classes []keyClass
	// strict[k]: a NULL in key column k equals nothing. nil: NULL equals NULL everywhere.
	strict []bool
	ints   *intTable // a single integer column
	bytes  *byteTable

	ids   []uint32 // result of assign and find; reused
	fresh []int32  // physical rows that began a group in the last assign, in order of their groups
	buf   []byte

	misses []int32 // reused
}

func newGrouper(types []sqltypes.Type, cols []int, strict []bool) *grouper {
	g := &grouper{cols: cols, classes: classesOf(types, cols), strict: strict}
	if len(cols) == 1 && g.classes[0] == keyInt {
		g.ints = newIntTable()
	} else {
		g.bytes = newByteTable()
	}
	return g
}

// over returns a grouper that looks keys up in the same table, under other column numbers.
func (g *grouper) over(cols []int) *grouper {
	return &grouper{cols: cols, classes: g.classes, strict: g.strict, ints: g.ints, bytes: g.bytes}
}

// groups is the number of keys.
func (g *grouper) groups() int {
	if g.ints != nil {
		return int(g.ints.n)
	}
	return len(g.bytes.ends)
}

func (g *grouper) sizeBytes() int64 {
	if g.ints != nil {
		return int64(16 * len(g.ints.slots))
	}
	return int64(8*len(g.bytes.slots) + cap(g.bytes.keys) + 8*cap(g.bytes.ends))
}

// assign returns the group of each row that counts, in order, adding the keys that are new. The result is valid until
// the next call.
func (g *grouper) assign(ch *delta.Chunk) []uint32 {
	g.fresh = g.fresh[:0]
	ids := g.result(ch.Len())
	if g.ints != nil {
		g.assignInts(ch, ids)
		return ids
	}
	for k := range ids {
		i := ch.Row(k)
		if !g.encode(ch, i) {
			ids[k] = noGroup
			continue
		}
		n := len(g.bytes.ends)
		ids[k] = g.bytes.put(g.buf)
		if int(ids[k]) == n {
			g.fresh = append(g.fresh, int32(i))
		}
	}
	return ids
}

// find is assign without adding: keys that are not there give noGroup.
func (g *grouper) find(ch *delta.Chunk) []uint32 {
	ids := g.result(ch.Len())
	if g.ints != nil {
		g.findInts(ch, ids)
		return ids
	}
	for k := range ids {
		ids[k] = noGroup
		if g.encode(ch, ch.Row(k)) {
			ids[k] = g.bytes.get(g.buf)
		}
	}
	return ids
}

func (g *grouper) result(n int) []uint32 {
	if cap(g.ids) < n {
		g.ids = make([]uint32, n)
	}
	g.ids = g.ids[:n]
	return g.ids
}

// encode puts the key of row i into buf; false when a NULL makes it equal to nothing.
func (g *grouper) encode(ch *delta.Chunk, i int) bool {
	b := g.buf[:0]
	for k, c := range g.cols {
		v := ch.Cols[c]
		if v.IsNull(i) {
			if g.strict != nil && g.strict[k] {
				return false
			}
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = appendEqual(b, g.classes[k], v, i)
	}
	g.buf = b
	return true
}

func (g *grouper) assignInts(ch *delta.Chunk, ids []uint32) {
	t, v := g.ints, ch.Cols[g.cols[0]]
	if ch.Sel == nil && !v.HasNulls() {
		xs := v.Ints[:len(ids)]
		for _, k := range t.probe(xs, ids, g.missing(len(ids))) {
			n := t.n
			ids[k] = t.put(xs[k])
			if t.n != n {
				g.fresh = append(g.fresh, k)
			}
		}
		return
	}
	strict := g.strict != nil && g.strict[0]
	for k := range ids {
		i := ch.Row(k)
		n := t.n
		switch {
		case !v.IsNull(i):
			ids[k] = t.put(v.Ints[i])
		case strict:
			ids[k] = noGroup
		default:
			ids[k] = t.putNull()
		}
		if t.n != n {
			g.fresh = append(g.fresh, int32(i))
		}
	}
}

func (g *grouper) findInts(ch *delta.Chunk, ids []uint32) {
	t, v := g.ints, ch.Cols[g.cols[0]]
	if ch.Sel == nil && !v.HasNulls() {
		xs := v.Ints[:len(ids)]
		for _, k := range t.probe(xs, ids, g.missing(len(ids))) {
			ids[k] = t.get(xs[k])
		}
		return
	}
	strict := g.strict != nil && g.strict[0]
	for k := range ids {
		i := ch.Row(k)
		switch {
		case !v.IsNull(i):
			ids[k] = t.get(v.Ints[i])
		case strict:
			ids[k] = noGroup
		default:
			ids[k] = t.null
		}
	}
}

// missing is room for the positions of n rows.
func (g *grouper) missing(n int) []int32 {
	if len(g.misses) < n {
		g.misses = make([]int32, n)
	}
	return g.misses[:n]
}

// intTable maps integers to dense numbers: open addressing, linear probing, at most two thirds full.
type intTable struct {
	slots []intSlot
	shift uint   // 64 − log2(len(slots))
	n     uint32 // keys, NULL included
	null  uint32 // number of NULL, noGroup when it is not there
}

type intSlot struct {
	key int64
	id  uint32 // number plus one; 0: empty
}

func newIntTable() *intTable {
	return &intTable{slots: make([]intSlot, 64), shift: 64 - 6, null: noGroup}
}

// at is the slot where a key's probing begins: the upper bits of a product with an odd constant spread runs of
// consecutive integers evenly.
func (t *intTable) at(k int64) uint {
	x := uint64(k)
	x ^= x >> 32
	return uint(x * 0x9E3779B97F4A7C15 >> t.shift)
}

// probe looks only where the search of each key begins. It sets ids of the keys that are there and returns the positions
// of the others, in miss. The loop waits for nothing, so the processor fetches many slots at once; where they were the
// wrong ones, the right ones are next to them.
func (t *intTable) probe(keys []int64, ids []uint32, miss []int32) []int32 {
	n := 0
	mask := uint(len(t.slots) - 1)
	miss, ids = miss[:len(keys)], ids[:len(keys)]
	for i, k := range keys {
		s := &t.slots[t.at(k)&mask]
		missed := 0
		if s.key != k {
			missed = 1
		}
		if s.id == 0 {
			missed = 1
		}
		ids[i] = s.id - 1
		miss[n] = int32(i)
		n += missed
	}
	return miss[:n]
}

func (t *intTable) put(k int64) uint32 {
	mask := uint(len(t.slots) - 1)
	for p := t.at(k) & mask; ; p = (p + 1) & mask {
		s := &t.slots[p]
		if s.id == 0 {
			return t.insert(p, k)
		}
		if s.key == k {
			return s.id - 1
		}
	}
}

func (t *intTable) insert(p uint, k int64) uint32 {
	id := t.n
	t.n++
	t.slots[p] = intSlot{k, id + 1}
	if int(t.n)*3 > 2*len(t.slots) {
		t.grow()
	}
	return id
}

func (t *intTable) get(k int64) uint32 {
	mask := uint(len(t.slots) - 1)
	for p := t.at(k) & mask; ; p = (p + 1) & mask {
		s := &t.slots[p]
		if s.id == 0 {
			return noGroup
		}
		if s.key == k {
			return s.id - 1
		}
	}
}

func (t *intTable) putNull() uint32 {
	if t.null == noGroup {
		t.null = t.n
		t.n++
	}
	return t.null
}

// grow doubles the table. The order of the slots stays, so that memory is read and written from one end to the other.
func (t *intTable) grow() {
	old := t.slots
	t.slots = make([]intSlot, 2*len(old))
	t.shift--
	mask := uint(len(t.slots) - 1)
	for _, s := range old {
		if s.id == 0 {
			continue
		}
		p := t.at(s.key) & mask
		for t.slots[p].id != 0 {
			p = (p + 1) & mask
		}
		t.slots[p] = s
	}
}

// byteTable maps encoded keys to dense numbers. A slot holds 32 bits of the key's hash above the number plus one; the
// place of a slot comes from the same 32 bits, so that growing reads no keys.
type byteTable struct {
	slots []uint64
	keys  []byte
	ends  []uint64 // where each key ends in keys
}

func newByteTable() *byteTable { return &byteTable{slots: make([]uint64, 64)} }

func (t *byteTable) key(id uint32) []byte {
	start := uint64(0)
	if id > 0 {
		start = t.ends[id-1]
	}
	return t.keys[start:t.ends[id]]
}

func (t *byteTable) put(k []byte) uint32 {
	tag := key.Hash(k) >> 32
	mask := uint64(len(t.slots) - 1)
	for p := tag & mask; ; p = (p + 1) & mask {
		s := t.slots[p]
		if s == 0 {
			return t.insert(p, tag, k)
		}
		if s>>32 == tag && bytes.Equal(t.key(uint32(s)-1), k) {
			return uint32(s) - 1
		}
	}
}

func (t *byteTable) insert(p, tag uint64, k []byte) uint32 {
	id := uint32(len(t.ends))
	t.keys = append(t.keys, k...)
	t.ends = append(t.ends, uint64(len(t.keys)))
	t.slots[p] = tag<<32 | uint64(id+1)
	if len(t.ends)*2 > len(t.slots) {
		t.grow()
	}
	return id
}

func (t *byteTable) get(k []byte) uint32 {
	tag := key.Hash(k) >> 32
	mask := uint64(len(t.slots) - 1)
	for p := tag & mask; ; p = (p + 1) & mask {
		s := t.slots[p]
		if s == 0 {
			return noGroup
		}
		if s>>32 == tag && bytes.Equal(t.key(uint32(s)-1), k) {
			return uint32(s) - 1
		}
	}
}

func (t *byteTable) grow() {
	old := t.slots
	t.slots = make([]uint64, 2*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		p := s >> 32 & mask
		for t.slots[p] != 0 {
			p = (p + 1) & mask
		}
		t.slots[p] = s
	}
}
