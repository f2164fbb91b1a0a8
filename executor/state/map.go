package state

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/storage/key"
)

// Map holds one fixed-width value per key. Values are read and written in place through Value and
// States; whoever changes a value marks the slot dirty.
//
// A slot is [meta 8][key area][value]. The key area holds keys of up to keyInline bytes; a longer key lies
// in an arena and the area holds its ref and length.
type Map struct {
	cfg       Config
	keyInline int
	width     int // of the value
	slotWidth int
	blocks    [][]byte
	next      uint32 // slots handed out so far
	freeSlots []uint32
	idx       index
	keys      arena
	dirty     []uint32
	complete  bool
	loads     int
	probe     []byte
	expand    func(dst, k []byte) []byte // nil: keys in the store are those in memory
}

// Slot meta: bytes 0–1 vnode, 2–5 key length, 6 flags.
const (
	metaWidth  = 8
	flagDirty  = 1 << 0 // in the dirty list
	flagDead   = 1 << 1 // deleted, tombstone not yet flushed
	flagStored = 1 << 2 // the store may hold the key
	// flagTouched is an OrderedMap's: the running epoch changed the entry of a tracked map.
	flagTouched = 1 << 3
)

// NoSlot is the answer for a key that is not there.
const NoSlot = ^uint32(0)

// NewMap makes a map with values of width bytes, for keys that are usually not longer than keyHint bytes.
func NewMap(cfg Config, keyHint, width int) *Map {
	inline := min(max((keyHint+7)&^7, 16), 64)
	return &Map{cfg: cfg, keyInline: inline, width: width,
		slotWidth: metaWidth + inline + (width+7)&^7, complete: cfg.Store == nil}
}

// StoreKeys makes the keys in the store differ from those in memory: f appends the one for the other. LoadAll cannot
// turn them back. What f depends on must stay the same for a key from the time it is added until the Flush after it
// is deleted. Call it before the map is used.
func (m *Map) StoreKeys(f func(dst, k []byte) []byte) { m.expand = f }

// storeKey appends a key as the store has it.
func (m *Map) storeKey(dst, k []byte) []byte {
	if m.expand != nil {
		return m.expand(dst, k)
	}
	return append(dst, k...)
}

// Complete reports whether memory holds everything.
func (m *Map) Complete() bool { return m.complete }

// Len returns the number of live keys in memory (of all keys, when complete).
func (m *Map) Len() int { return m.idx.n }

// Layout tells expr.States where values lie: slot blocks, slots per block as a shift, bytes from slot to
// slot, and the offset of the value in the slot. Blocks may grow after an Upsert: ask again.
func (m *Map) Layout() (blocks [][]byte, shift uint, stride, valueOff int) {
	return m.blocks, blockShift, m.slotWidth, metaWidth + m.keyInline
}

func (m *Map) slot(s uint32) []byte {
	at := int(s&blockMask) * m.slotWidth
	return m.blocks[s>>blockShift][at : at+m.slotWidth]
}

// Value returns the value bytes of a slot, for reading and writing.
func (m *Map) Value(s uint32) []byte {
	at := int(s&blockMask)*m.slotWidth + metaWidth + m.keyInline
	return m.blocks[s>>blockShift][at : at+m.width : at+m.width]
}

// Key returns the key bytes of a slot; they stay valid until the slot is deleted and flushed.
func (m *Map) Key(s uint32) []byte {
	b := m.slot(s)
	n := int(binary.LittleEndian.Uint32(b[2:]))
	if n <= m.keyInline {
		return b[metaWidth : metaWidth+n]
	}
	return m.keys.bytes(ref(binary.LittleEndian.Uint64(b[metaWidth:])), n)
}

// VNode returns the vnode that a slot's key was inserted with.
func (m *Map) VNode(s uint32) uint16 { return binary.LittleEndian.Uint16(m.slot(s)) }

func (m *Map) lookup(hash uint64, k []byte) (uint32, bool) {
	return m.idx.find(hash, func(s uint32) bool { return string(m.Key(s)) == string(k) })
}

// Find returns the slot of a key, or NoSlot. It asks the store when memory is not complete.
func (m *Map) Find(hash uint64, vnode uint16, k []byte) (uint32, error) {
	if s, ok := m.lookup(hash, k); ok {
		if m.slot(s)[6]&flagDead != 0 {
			return NoSlot, nil
		}
		return s, nil
	}
	if m.complete {
		return NoSlot, nil
	}
	return m.load(hash, vnode, k)
}

func (m *Map) load(hash uint64, vnode uint16, k []byte) (uint32, error) {
	m.loads++
	m.probe = m.storeKey(key.AppendPrefix(m.probe[:0], m.cfg.Table, vnode), k)
	v, ok, err := m.cfg.Store.Get(m.probe)
	if err != nil || !ok {
		return NoSlot, err
	}
	s := m.add(hash, vnode, k)
	m.slot(s)[6] |= flagStored
	copy(m.Value(s), v)
	return s, nil
}

// Upsert returns the slot of a key, creating it with a value of zero bytes when it is not there.
func (m *Map) Upsert(hash uint64, vnode uint16, k []byte) (slot uint32, created bool, err error) {
	if s, ok := m.lookup(hash, k); ok {
		if b := m.slot(s); b[6]&flagDead != 0 {
			b[6] &^= flagDead
			clear(m.Value(s))
			return s, true, nil
		}
		return s, false, nil
	}
	if !m.complete {
		if s, err := m.load(hash, vnode, k); err != nil || s != NoSlot {
			return s, false, err
		}
	}
	return m.add(hash, vnode, k), true, nil
}

func (m *Map) add(hash uint64, vnode uint16, k []byte) uint32 {
	var s uint32
	if n := len(m.freeSlots); n > 0 {
		s = m.freeSlots[n-1]
		m.freeSlots = m.freeSlots[:n-1]
		clear(m.slot(s))
	} else {
		if m.next&blockMask == 0 {
			m.blocks = append(m.blocks, make([]byte, blockSlots*m.slotWidth))
		}
		s = m.next
		m.next++
	}
	b := m.slot(s)
	binary.LittleEndian.PutUint16(b, vnode)
	binary.LittleEndian.PutUint32(b[2:], uint32(len(k)))
	if len(k) <= m.keyInline {
		copy(b[metaWidth:], k)
	} else {
		r, kb := m.keys.alloc(len(k))
		copy(kb, k)
		binary.LittleEndian.PutUint64(b[metaWidth:], uint64(r))
	}
	m.idx.insert(hash, s)
	return s
}

// MarkDirty says that a slot's value has changed since the last Flush.
func (m *Map) MarkDirty(s uint32) {
	b := m.slot(s)
	if b[6]&flagDirty == 0 {
		b[6] |= flagDirty
		m.dirty = append(m.dirty, s)
	}
}

// Delete removes a slot's key. The slot must not be used afterwards.
func (m *Map) Delete(s uint32) {
	b := m.slot(s)
	if b[6]&flagStored == 0 && b[6]&flagDirty == 0 {
		m.drop(s) // the store never saw it
		return
	}
	b[6] |= flagDead
	m.MarkDirty(s)
}

func (m *Map) drop(s uint32) {
	k := m.Key(s)
	m.idx.remove(key.Hash(k), s)
	if len(k) > m.keyInline {
		m.keys.release(ref(binary.LittleEndian.Uint64(m.slot(s)[metaWidth:])), len(k))
	}
	m.freeSlots = append(m.freeSlots, s)
}

// Flush appends the changes since the last Flush to d.
//
// While the container is not complete a deleted key stays as a marker: until the store has committed its
// tombstone, a miss would find the old value.
func (m *Map) Flush(d *Delta) {
	for _, s := range m.dirty {
		b := m.slot(s)
		b[6] &^= flagDirty
		k := m.Key(s)
		if m.expand != nil {
			m.probe = m.expand(m.probe[:0], k)
			k = m.probe
		}
		if b[6]&flagDead == 0 {
			b[6] |= flagStored
			d.Put(m.cfg.Table, binary.LittleEndian.Uint16(b), k, m.Value(s))
			continue
		}
		if b[6]&flagStored != 0 {
			d.Delete(m.cfg.Table, binary.LittleEndian.Uint16(b), k)
		}
		if m.complete {
			m.drop(s)
		}
	}
	m.dirty = m.dirty[:0]
}

// Each calls f for every live slot in memory, in no order.
func (m *Map) Each(f func(slot uint32)) {
	for i := range m.idx.segs {
		for _, e := range m.idx.segs[i].tab {
			if e != 0 && e != tomb && m.slot(uint32(e) - 1)[6]&flagDead == 0 {
				f(uint32(e) - 1)
			}
		}
	}
}

// LoadAll brings every key of the table with an owned vnode into memory; the map is complete afterwards.
func (m *Map) LoadAll(owns func(vnode uint16) bool) error {
	return m.LoadWhere(owns, func([]byte) bool { return true })
}

// LoadWhere is LoadAll for a map that shares its table with other containers: is tells its keys from theirs.
func (m *Map) LoadWhere(owns func(vnode uint16) bool, is func(k []byte) bool) error {
	if m.complete {
		return nil
	}
	if m.expand != nil {
		return fmt.Errorf("load state table %d: its keys in the store cannot be turned back", m.cfg.Table)
	}
	r := key.TableRange(m.cfg.Table)
	err := m.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		_, vnode, k, err := key.Split(full)
		if err != nil || !owns(vnode) || !is(k) {
			return true
		}
		hash := key.Hash(k)
		if _, ok := m.lookup(hash, k); ok {
			return true // memory is newer
		}
		s := m.add(hash, vnode, k)
		m.slot(s)[6] |= flagStored
		copy(m.Value(s), v)
		return true
	})
	if err == nil {
		m.complete = true
	}
	return err
}

// LoadUnder brings the keys into memory that begin with prefix in the store, where head stands for it in memory, and calls f
// for each that was not there. It is for a map with StoreKeys, which LoadAll cannot load.
func (m *Map) LoadUnder(vnode uint16, prefix, head []byte, f func(slot uint32)) error {
	if m.complete {
		return nil
	}
	m.loads++
	full := append(key.AppendPrefix(nil, m.cfg.Table, vnode), prefix...)
	r := key.PrefixRange(full)
	var k []byte
	return m.cfg.Store.Scan(r.Lo, r.Hi, func(at, v []byte) bool {
		k = append(append(k[:0], head...), at[len(full):]...)
		hash := key.Hash(k)
		if _, ok := m.lookup(hash, k); ok {
			return true // memory is newer
		}
		s := m.add(hash, vnode, k)
		m.slot(s)[6] |= flagStored
		copy(m.Value(s), v)
		f(s)
		return true
	})
}

// SetComplete says that memory holds everything, after LoadUnder for all there is.
func (m *Map) SetComplete() { m.complete = true }

// Live reports whether a slot holds a key.
func (m *Map) Live(s uint32) bool {
	found, ok := m.lookup(key.Hash(m.Key(s)), m.Key(s))
	return ok && found == s && m.slot(s)[6]&flagDead == 0
}

// Stats describes the map.
func (m *Map) Stats() Stats {
	return Stats{Rows: m.idx.n, Bytes: len(m.blocks)*blockSlots*m.slotWidth + m.idx.bytes() + m.keys.memory(), Loads: m.loads}
}
