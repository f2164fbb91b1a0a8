package state

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/storage/key"
)

// MultiMap holds rows (opaque images) with weights under each key: a Z-set per key. Equal images under one
// key are one row whose weight is the sum; a row of weight 0 is gone.
//
// In the store a row lies at key ++ row id, with value [weight varint][image]. The id is the image's 128-bit
// hash, or, for an append-only container, a number that never repeats; the latter keeps equal rows apart
// and needs no look-up by row.
type MultiMap struct {
	cfg        Config
	appendOnly bool
	nextRow    uint64 // append-only: row number
	buckets    *Map   // key → bucket value, in memory only
	blocks     [][]rowMeta
	next       uint32
	freeRows   []uint32
	rowIdx     index
	images     arena
	dirty      []uint32
	emptied    []uint32 // buckets that lost their last row since the last Flush
	complete   bool
	loads      int
	rows       int
	scratch    []byte
}

type rowMeta struct {
	image      ref
	id         uint64 // append-only: row number; else hash of bucket and image
	weight     int64
	bits       uint32 // length of the image, shifted, and flags: the struct is 40 bytes
	bucket     uint32
	prev, next uint32 // in the bucket, slot+1, 0: none
}

const (
	rowMetaBytes = 40
	rowFlagBits  = 3
	maxImage     = 1<<(32-rowFlagBits) - 1
)

func (x *rowMeta) len() int { return int(x.bits >> rowFlagBits) }

// Bucket value: first row (slot+1), number of rows, flags.
const (
	bucketWidth  = 16
	bucketLoaded = 1
	bucketEmpty  = 2 // in the emptied list
)

// NewMultiMap makes a MultiMap. appendOnly promises that no weight is ever negative; firstRow must then be
// larger than any number an earlier instance over the same table used (the epoch of the start, shifted).
func NewMultiMap(cfg Config, keyHint int, appendOnly bool, firstRow uint64) *MultiMap {
	return &MultiMap{cfg: cfg, appendOnly: appendOnly, nextRow: firstRow,
		buckets: NewMap(Config{Table: cfg.Table}, keyHint, bucketWidth), complete: cfg.Store == nil}
}

func (m *MultiMap) meta(r uint32) *rowMeta { return &m.blocks[r>>blockShift][r&blockMask] }

// Image returns a row's bytes; they stay valid until the row is removed.
func (m *MultiMap) Image(row uint32) []byte {
	x := m.meta(row)
	return m.images.bytes(x.image, x.len())
}

// Weight returns a row's weight.
func (m *MultiMap) Weight(row uint32) int64 { return m.meta(row).weight }

// First returns the first row under a bucket, Next the one after it; NoSlot ends. Order means nothing.
func (m *MultiMap) First(bucket uint32) uint32 {
	return binary.LittleEndian.Uint32(m.buckets.Value(bucket)) - 1
}

// Next returns the row after row in its bucket.
func (m *MultiMap) Next(row uint32) uint32 { return m.meta(row).next - 1 }

// Count returns the number of distinct rows in a bucket.
func (m *MultiMap) Count(bucket uint32) int {
	return int(binary.LittleEndian.Uint32(m.buckets.Value(bucket)[4:]))
}

// Find returns the bucket of a key, loaded from the store where needed, or NoSlot.
func (m *MultiMap) Find(hash uint64, vnode uint16, k []byte) (uint32, error) {
	if b, ok := m.buckets.lookup(hash, k); ok {
		return b, nil
	}
	if m.complete {
		return NoSlot, nil
	}
	return m.load(hash, vnode, k)
}

// load reads all rows of a key. The bucket stays, even if empty, as the memory of having looked.
func (m *MultiMap) load(hash uint64, vnode uint16, k []byte) (uint32, error) {
	m.loads++
	b := m.buckets.add(hash, vnode, k)
	binary.LittleEndian.PutUint32(m.buckets.Value(b)[8:], bucketLoaded)
	prefix := append(key.AppendPrefix(nil, m.cfg.Table, vnode), k...)
	r := key.PrefixRange(prefix)
	var bad error
	err := m.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		w, n := binary.Varint(v)
		if n <= 0 || len(full) < len(prefix)+m.idLen() {
			bad = fmt.Errorf("decode row of state table %d: corrupt entry", m.cfg.Table)
			return false
		}
		if len(full) != len(prefix)+m.idLen() {
			return true // a longer key that starts with this one
		}
		m.restore(b, full[len(prefix):], v[n:], w)
		return true
	})
	if err == nil {
		err = bad
	}
	return b, err
}

func (m *MultiMap) idLen() int {
	if m.appendOnly {
		return 8
	}
	return 16
}

func (m *MultiMap) restore(b uint32, id, image []byte, w int64) {
	row := m.newRow(b, image)
	x := m.meta(row)
	x.weight = w
	x.bits |= flagStored
	if m.appendOnly {
		x.id = binary.BigEndian.Uint64(id)
	} else {
		x.id = rowHash(b, image)
		m.rowIdx.insert(x.id, row)
	}
}

func rowHash(bucket uint32, image []byte) uint64 {
	return key.Hash(image) ^ uint64(bucket)*0x9E3779B97F4A7C15
}

func (m *MultiMap) newRow(b uint32, image []byte) uint32 {
	var row uint32
	if n := len(m.freeRows); n > 0 {
		row = m.freeRows[n-1]
		m.freeRows = m.freeRows[:n-1]
	} else {
		if m.next&blockMask == 0 {
			m.blocks = append(m.blocks, make([]rowMeta, blockSlots))
		}
		row = m.next
		m.next++
	}
	r, buf := m.images.alloc(max(len(image), 1))
	copy(buf, image)
	v := m.buckets.Value(b)
	head := binary.LittleEndian.Uint32(v)
	*m.meta(row) = rowMeta{image: r, bits: uint32(len(image)) << rowFlagBits, bucket: b, next: head}
	if head != 0 {
		m.meta(head - 1).prev = row + 1
	}
	binary.LittleEndian.PutUint32(v, row+1)
	binary.LittleEndian.PutUint32(v[4:], binary.LittleEndian.Uint32(v[4:])+1)
	m.rows++
	return row
}

// Add changes the weight of a row by w, creating or removing it as needed. It returns the bucket, and the
// row's weights before and after.
func (m *MultiMap) Add(hash uint64, vnode uint16, k, image []byte, w int64) (bucket uint32, before, after int64, err error) {
	bucket, _, before, after, err = m.AddRow(hash, vnode, k, image, w)
	return bucket, before, after, err
}

// AddRow is Add that also returns the row. A row keeps its number until the Flush after it lost its weight.
func (m *MultiMap) AddRow(hash uint64, vnode uint16, k, image []byte, w int64) (bucket, row uint32, before, after int64, err error) {
	return m.AddRowAt(NoSlot, hash, vnode, k, image, w)
}

// AddRowAt is AddRow with a guess from Candidates.
func (m *MultiMap) AddRowAt(guess uint32, hash uint64, vnode uint16, k, image []byte, w int64) (bucket, row uint32, before, after int64, err error) {
	b, err := m.FindAt(guess, hash, vnode, k)
	if err != nil {
		return b, NoSlot, 0, 0, err
	}
	if len(image) > maxImage {
		return b, NoSlot, 0, 0, fmt.Errorf("keep row of state table %d: it has %d bytes", m.cfg.Table, len(image))
	}
	if b == NoSlot {
		b = m.buckets.add(hash, vnode, k)
	}
	if m.appendOnly {
		row := m.newRow(b, image)
		x := m.meta(row)
		x.id, x.weight = m.nextRow, w
		m.nextRow++
		m.markDirty(row, x)
		return b, row, 0, w, nil
	}
	id := rowHash(b, image)
	row, ok := m.rowIdx.find(id, func(r uint32) bool {
		x := m.meta(r)
		return x.bucket == b && string(m.images.bytes(x.image, x.len())) == string(image)
	})
	if !ok {
		row = m.newRow(b, image)
		x := m.meta(row)
		x.id, x.weight = id, w
		m.rowIdx.insert(id, row)
		m.markDirty(row, x)
		return b, row, 0, w, nil
	}
	x := m.meta(row)
	before = x.weight
	x.weight += w
	after = x.weight
	m.markDirty(row, x)
	if after == 0 {
		m.remove(row, x)
	} else if before == 0 {
		m.relink(row, x)
	}
	return b, row, before, after, nil
}

// Clear removes all rows of a bucket, in an append-only container too. Their images can be read until Flush.
func (m *MultiMap) Clear(bucket uint32) {
	for r := m.First(bucket); r != NoSlot; {
		x := m.meta(r)
		next := x.next - 1
		x.weight = 0
		m.markDirty(r, x)
		m.remove(r, x)
		r = next
	}
}

// Remove takes out one row, as Clear does with all of a bucket.
func (m *MultiMap) Remove(row uint32) {
	x := m.meta(row)
	x.weight = 0
	m.markDirty(row, x)
	m.remove(row, x)
}

func (m *MultiMap) markDirty(row uint32, x *rowMeta) {
	if x.bits&flagDirty == 0 {
		x.bits |= flagDirty
		m.dirty = append(m.dirty, row)
	}
}

// remove unlinks a row from its bucket; it stays findable by image until Flush, in case it comes back.
func (m *MultiMap) remove(row uint32, x *rowMeta) {
	v := m.buckets.Value(x.bucket)
	if x.prev != 0 {
		m.meta(x.prev - 1).next = x.next
	} else {
		binary.LittleEndian.PutUint32(v, x.next)
	}
	if x.next != 0 {
		m.meta(x.next - 1).prev = x.prev
	}
	x.prev, x.next = 0, 0
	n := binary.LittleEndian.Uint32(v[4:]) - 1
	binary.LittleEndian.PutUint32(v[4:], n)
	flags := binary.LittleEndian.Uint32(v[8:])
	if n == 0 && flags&bucketEmpty == 0 {
		binary.LittleEndian.PutUint32(v[8:], flags|bucketEmpty)
		m.emptied = append(m.emptied, x.bucket)
	}
	m.rows--
}

// relink puts a row back into its bucket.
func (m *MultiMap) relink(row uint32, x *rowMeta) {
	v := m.buckets.Value(x.bucket)
	head := binary.LittleEndian.Uint32(v)
	x.prev, x.next = 0, head
	if head != 0 {
		m.meta(head - 1).prev = row + 1
	}
	binary.LittleEndian.PutUint32(v, row+1)
	binary.LittleEndian.PutUint32(v[4:], binary.LittleEndian.Uint32(v[4:])+1)
	m.rows++
}

// storeKey is key ++ row id.
func (m *MultiMap) storeKey(x *rowMeta, image []byte) []byte {
	k := append(m.scratch[:0], m.buckets.Key(x.bucket)...)
	if m.appendOnly {
		k = binary.BigEndian.AppendUint64(k, x.id)
	} else {
		hi, lo := key.Hash128(image)
		k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(k, hi), lo)
	}
	m.scratch = k
	return k
}

// Flush appends the changes since the last Flush to d.
func (m *MultiMap) Flush(d *Delta) {
	var val []byte
	for _, row := range m.dirty {
		x := m.meta(row)
		x.bits &^= flagDirty
		image := m.images.bytes(x.image, x.len())
		vnode := m.buckets.VNode(x.bucket)
		if x.weight != 0 {
			x.bits |= flagStored
			val = append(binary.AppendVarint(val[:0], x.weight), image...)
			d.Put(m.cfg.Table, vnode, m.storeKey(x, image), val)
			continue
		}
		if x.bits&flagStored != 0 {
			d.Delete(m.cfg.Table, vnode, m.storeKey(x, image))
		}
		if !m.appendOnly {
			m.rowIdx.remove(x.id, row)
		}
		m.images.release(x.image, max(x.len(), 1))
		m.freeRows = append(m.freeRows, row)
	}
	m.dirty = m.dirty[:0]
	m.dropEmptied()
}

func (m *MultiMap) dropEmptied() {
	for _, b := range m.emptied {
		v := m.buckets.Value(b)
		flags := binary.LittleEndian.Uint32(v[8:]) &^ bucketEmpty
		binary.LittleEndian.PutUint32(v[8:], flags)
		if m.complete && binary.LittleEndian.Uint32(v[4:]) == 0 {
			m.buckets.Delete(b)
		}
	}
	m.emptied = m.emptied[:0]
}

// EachBucket calls f for every key in memory.
func (m *MultiMap) EachBucket(f func(bucket uint32)) { m.buckets.Each(f) }

// EachRow calls f for every row in memory.
func (m *MultiMap) EachRow(f func(row uint32)) {
	m.EachBucket(func(b uint32) {
		for r := m.First(b); r != NoSlot; r = m.Next(r) {
			f(r)
		}
	})
}

// Key returns the key of a bucket.
func (m *MultiMap) Key(bucket uint32) []byte { return m.buckets.Key(bucket) }

// VNode returns the vnode of a bucket.
func (m *MultiMap) VNode(bucket uint32) uint16 { return m.buckets.VNode(bucket) }

// LoadAll brings every row with an owned vnode into memory. splitKey returns the length of the key part of
// a store key without its row id's length known otherwise: it is all but the last id bytes.
func (m *MultiMap) LoadAll(owns func(vnode uint16) bool) error {
	if m.complete {
		return nil
	}
	r := key.TableRange(m.cfg.Table)
	var bad error
	fresh := map[uint32]bool{}
	err := m.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		_, vnode, k, err := key.Split(full)
		w, n := binary.Varint(v)
		if err != nil || n <= 0 || len(k) < m.idLen() {
			bad = fmt.Errorf("decode row of state table %d: corrupt entry", m.cfg.Table)
			return false
		}
		if !owns(vnode) {
			return true
		}
		id := k[len(k)-m.idLen():]
		k = k[:len(k)-m.idLen()]
		hash := key.Hash(k)
		b, ok := m.buckets.lookup(hash, k)
		if !ok {
			b = m.buckets.add(hash, vnode, k)
			fresh[b] = true
		} else if !fresh[b] {
			return true // loaded earlier, memory is newer
		}
		m.restore(b, id, v[n:], w)
		return true
	})
	if err == nil {
		err = bad
	}
	if err == nil {
		m.complete = true
	}
	return err
}

// Complete reports whether memory holds everything.
func (m *MultiMap) Complete() bool { return m.complete }

// Stats describes the container.
func (m *MultiMap) Stats() Stats {
	s := m.buckets.Stats()
	return Stats{Rows: m.rows, Loads: m.loads,
		Bytes: s.Bytes + len(m.blocks)*blockSlots*rowMetaBytes + m.rowIdx.bytes() + m.images.memory()}
}
