package state

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/storage/key"
)

// OrderedMap holds entries (key → value bytes) in key order: a B+tree over pointer-free entries. Keys are
// composed by the user, usually group ++ order ++ row id, and each group (a key prefix) is loaded from the
// store as a whole when it is first touched.
//
// In the store an entry lies at its key with its value.
type OrderedMap struct {
	cfg      Config
	root     *node
	blocks   [][]entryMeta
	next     uint32
	free     []uint32
	mem      arena
	dirty    []uint32
	loaded   *Map // prefixes loaded so far, while not complete
	complete bool
	loads    int
	n        int
	track    *tracking // nil: neither versions nor sums are kept
	parts    int       // values by which Search can leave out subtrees; 0: none
	part     func(k, v []byte, i int) []byte
	value    []byte // scratch
}

type entryMeta struct {
	data  ref // key then value
	klen  uint32
	vlen  uint32
	vnode uint16
	flags uint8
}

const (
	leafMax  = 64
	innerMax = 64 // kids of an inner node
)

// node is a leaf (entries) or an inner node (kids, and copies of the smallest key of each kid but the first
// at the time of the split: they still separate when that entry is gone).
type node struct {
	entries []uint32
	seps    [][]byte
	kids    []*node
	sums    *nodeSums // of a tracked map
	reach   []reach   // of a map with Bound; nil: not known
}

// NewOrderedMap makes an OrderedMap.
func NewOrderedMap(cfg Config) *OrderedMap {
	return &OrderedMap{cfg: cfg, root: &node{}, complete: cfg.Store == nil, loaded: NewMap(Config{Table: cfg.Table}, 16, 8)}
}

func (m *OrderedMap) meta(e uint32) *entryMeta { return &m.blocks[e>>blockShift][e&blockMask] }

func (m *OrderedMap) keyOf(e uint32) []byte {
	x := m.meta(e)
	return m.mem.bytes(x.data, int(x.klen))
}

func (m *OrderedMap) valueOf(e uint32) []byte {
	x := m.meta(e)
	return m.mem.bytes(x.data, int(x.klen+x.vlen))[x.klen:]
}

// Ensure loads the group with the given prefix; call it before touching a group.
func (m *OrderedMap) Ensure(vnode uint16, prefix []byte) error {
	if m.complete {
		return nil
	}
	h := key.Hash(prefix)
	if _, ok := m.loaded.lookup(h, prefix); ok {
		return nil
	}
	m.loads++
	m.loaded.add(h, vnode, prefix)
	full := append(key.AppendPrefix(nil, m.cfg.Table, vnode), prefix...)
	r := key.PrefixRange(full)
	return m.cfg.Store.Scan(r.Lo, r.Hi, func(k, v []byte) bool {
		e := m.restore(vnode, k[len(full)-len(prefix):], v)
		m.meta(e).flags = flagStored
		return true
	})
}

// Loaded reports whether a group is in memory.
func (m *OrderedMap) Loaded(prefix []byte) bool {
	if m.complete {
		return true
	}
	_, ok := m.loaded.lookup(key.Hash(prefix), prefix)
	return ok
}

// Restore adds an entry that has been there all along: it is neither dirty nor a change. Its key must not be there.
func (m *OrderedMap) Restore(vnode uint16, k, v []byte) { m.restore(vnode, k, v) }

func (m *OrderedMap) restore(vnode uint16, k, v []byte) uint32 {
	e := m.newEntry(vnode, k, v)
	m.reshapedPath(m.keyOf(e))
	m.widen(e)
	m.insert(e)
	m.n++
	return e
}

func (m *OrderedMap) newEntry(vnode uint16, k, v []byte) uint32 {
	var e uint32
	if n := len(m.free); n > 0 {
		e = m.free[n-1]
		m.free = m.free[:n-1]
	} else {
		if m.next&blockMask == 0 {
			m.blocks = append(m.blocks, make([]entryMeta, blockSlots))
		}
		e = m.next
		m.next++
	}
	r, b := m.mem.alloc(max(len(k)+len(v), 1))
	copy(b, k)
	copy(b[len(k):], v)
	*m.meta(e) = entryMeta{data: r, klen: uint32(len(k)), vlen: uint32(len(v)), vnode: vnode}
	return e
}

// search returns the position of the first entry with a key ≥ k, and whether it is equal.
func (m *OrderedMap) search(entries []uint32, k []byte) (int, bool) {
	lo, hi := 0, len(entries)
	for lo < hi {
		mid := (lo + hi) / 2
		c := bytes.Compare(m.keyOf(entries[mid]), k)
		if c == 0 {
			return mid, true
		}
		if c < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false
}

// child returns the kid of an inner node that k belongs to.
func child(n *node, k []byte) int {
	lo, hi := 0, len(n.seps)
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(n.seps[mid], k) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// locate returns the leaf that k belongs to, its place there, and whether it is there.
func (m *OrderedMap) locate(k []byte) (leaf *node, i int, ok bool) {
	n := m.root
	for n.kids != nil {
		n = n.kids[child(n, k)]
	}
	i, ok = m.search(n.entries, k)
	return n, i, ok
}

func (m *OrderedMap) find(k []byte) (uint32, bool) {
	n, i, ok := m.locate(k)
	if !ok {
		return 0, false
	}
	return n.entries[i], true
}

// Get returns the value of a key, valid until the entry changes.
func (m *OrderedMap) Get(k []byte) ([]byte, bool) {
	e, ok := m.find(k)
	if !ok || m.meta(e).flags&flagDead != 0 {
		return nil, false
	}
	return m.valueOf(e), true
}

// VNode returns the vnode that a key's entry was put with; the key must be there.
func (m *OrderedMap) VNode(k []byte) uint16 {
	e, _ := m.find(k)
	return m.meta(e).vnode
}

// Put sets the value of a key.
func (m *OrderedMap) Put(vnode uint16, k, v []byte) {
	leaf, i, ok := m.locate(k)
	if !ok {
		m.addAt(leaf, i, vnode, k, v)
		return
	}
	m.set(k, leaf.entries[i], v)
}

// PutWeight is Put for entries whose value begins with a weight (8 bytes), to which it adds w; rest is what follows. It returns
// the entry, and its weights before and after; one without weight is deleted.
func (m *OrderedMap) PutWeight(vnode uint16, k, rest []byte, w int64) (e uint32, before, after int64) {
	leaf, i, ok := m.locate(k)
	if ok {
		if e = leaf.entries[i]; m.meta(e).flags&flagDead == 0 {
			before = int64(binary.LittleEndian.Uint64(m.valueOf(e)))
		}
	}
	after = before + w
	m.value = append(binary.LittleEndian.AppendUint64(m.value[:0], uint64(after)), rest...)
	if ok {
		m.set(k, e, m.value)
	} else {
		e = m.addAt(leaf, i, vnode, k, m.value)
	}
	if after == 0 {
		m.meta(e).flags |= flagDead
		m.n--
	}
	return e, before, after
}

// addAt adds an entry at the place that locate gave.
func (m *OrderedMap) addAt(leaf *node, i int, vnode uint16, k, v []byte) uint32 {
	m.touching(k, 0, false)
	e := m.newEntry(vnode, k, v)
	m.created(e)
	m.insertAt(leaf, i, e)
	m.n++
	m.mark(e)
	return e
}

// set changes the value of an entry, which may be dead.
func (m *OrderedMap) set(k []byte, e uint32, v []byte) {
	m.touching(k, e, true)
	x := m.meta(e)
	if x.flags&flagDead != 0 {
		m.n++
		x.flags &^= flagDead
	}
	if int(x.vlen) == len(v) {
		copy(m.valueOf(e), v)
	} else {
		kb := append([]byte(nil), m.keyOf(e)...)
		m.mem.release(x.data, max(int(x.klen+x.vlen), 1))
		r, b := m.mem.alloc(max(len(kb)+len(v), 1))
		copy(b, kb)
		copy(b[len(kb):], v)
		x.data, x.vlen = r, uint32(len(v))
	}
	m.mark(e)
}

// Delete removes a key. The entry stays in the tree, unseen, until Flush.
func (m *OrderedMap) Delete(k []byte) {
	e, ok := m.find(k)
	if !ok || m.meta(e).flags&flagDead != 0 {
		return
	}
	m.touching(k, e, true)
	m.meta(e).flags |= flagDead
	m.n--
	m.mark(e)
}

func (m *OrderedMap) mark(e uint32) {
	x := m.meta(e)
	if x.flags&flagDirty == 0 {
		x.flags |= flagDirty
		m.dirty = append(m.dirty, e)
	}
}

// Len returns the number of live entries in memory.
func (m *OrderedMap) Len() int { return m.n }

// Ascend calls f for the live entries with key ≥ from that start with prefix, in key order, until f
// returns false. f must not change the container.
func (m *OrderedMap) Ascend(prefix, from []byte, f func(k, v []byte) bool) {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	m.ascend(m.root, prefix, from, f)
}

func (m *OrderedMap) ascend(n *node, prefix, from []byte, f func(k, v []byte) bool) bool {
	if n.kids != nil {
		for i := child(n, from); i < len(n.kids); i++ {
			if !m.ascend(n.kids[i], prefix, from, f) {
				return false
			}
		}
		return true
	}
	i, _ := m.search(n.entries, from)
	for ; i < len(n.entries); i++ {
		e := n.entries[i]
		k := m.keyOf(e)
		if !bytes.HasPrefix(k, prefix) {
			return false
		}
		if m.meta(e).flags&flagDead == 0 && !f(k, m.valueOf(e)) {
			return false
		}
	}
	return true
}

// Descend is Ascend from the last entry with prefix downwards.
func (m *OrderedMap) Descend(prefix []byte, f func(k, v []byte) bool) {
	m.descend(m.root, prefix, key.PrefixEnd(prefix), f)
}

// DescendFrom calls f for the live entries with prefix and a key below hi, from the last downwards, until f returns false.
func (m *OrderedMap) DescendFrom(prefix, hi []byte, f func(k, v []byte) bool) {
	m.descend(m.root, prefix, hi, f)
}

// descend visits entries below hi (nil: no bound) in falling order.
func (m *OrderedMap) descend(n *node, prefix, hi []byte, f func(k, v []byte) bool) bool {
	if n.kids != nil {
		i := len(n.kids) - 1
		if hi != nil {
			i = child(n, hi)
		}
		for ; i >= 0; i-- {
			if !m.descend(n.kids[i], prefix, hi, f) {
				return false
			}
		}
		return true
	}
	i := len(n.entries)
	if hi != nil {
		i, _ = m.search(n.entries, hi)
	}
	for i--; i >= 0; i-- {
		e := n.entries[i]
		k := m.keyOf(e)
		if !bytes.HasPrefix(k, prefix) {
			return false
		}
		if m.meta(e).flags&flagDead == 0 && !f(k, m.valueOf(e)) {
			return false
		}
	}
	return true
}

// insertAt adds an entry whose key is not in the tree at the place that locate gave.
func (m *OrderedMap) insertAt(leaf *node, i int, e uint32) {
	m.widen(e)
	if len(leaf.entries) < leafMax {
		leaf.entries = slices.Insert(leaf.entries, i, e)
		return
	}
	m.insert(e)
}

// insert adds an entry whose key is not in the tree.
func (m *OrderedMap) insert(e uint32) {
	if right, sep := m.insertInto(m.root, e, m.keyOf(e)); right != nil {
		m.root = &node{seps: [][]byte{sep}, kids: []*node{m.root, right}}
	}
}

// insertInto returns the new right sibling and its smallest key when n had to split.
func (m *OrderedMap) insertInto(n *node, e uint32, k []byte) (*node, []byte) {
	if n.kids == nil {
		i, _ := m.search(n.entries, k)
		n.entries = slices.Insert(n.entries, i, e)
		if len(n.entries) <= leafMax {
			return nil, nil
		}
		half := len(n.entries) / 2
		if i == len(n.entries)-1 {
			half = i // ascending inserts fill leaves
		}
		right := &node{entries: append(make([]uint32, 0, leafMax+1), n.entries[half:]...)}
		n.entries = n.entries[:half]
		n.reach = nil
		n.reshaped()
		return right, bytes.Clone(m.keyOf(right.entries[0]))
	}
	i := child(n, k)
	right, sep := m.insertInto(n.kids[i], e, k)
	if right == nil {
		return nil, nil
	}
	n.seps = slices.Insert(n.seps, i, sep)
	n.kids = slices.Insert(n.kids, i+1, right)
	if len(n.kids) <= innerMax {
		return nil, nil
	}
	half := len(n.seps) / 2
	up := n.seps[half]
	r := &node{seps: slices.Clone(n.seps[half+1:]), kids: slices.Clone(n.kids[half+1:])}
	n.seps, n.kids = slices.Clip(n.seps[:half]), slices.Clip(n.kids[:half+1])
	n.reach = nil
	n.reshaped()
	return r, up
}

// erase takes the entry with key k out of the tree; nodes that become empty go, others are not merged.
func (m *OrderedMap) erase(n *node, k []byte) (empty bool) {
	n.reach = nil
	if n.kids == nil {
		if i, ok := m.search(n.entries, k); ok {
			n.entries = slices.Delete(n.entries, i, i+1)
		}
		return len(n.entries) == 0
	}
	i := child(n, k)
	if !m.erase(n.kids[i], k) {
		return false
	}
	n.kids = slices.Delete(n.kids, i, i+1)
	if len(n.seps) > 0 {
		s := max(i-1, 0)
		n.seps = slices.Delete(n.seps, s, s+1)
	}
	return len(n.kids) == 0
}

// Flush appends the changes since the last Flush to d.
func (m *OrderedMap) Flush(d *Delta) {
	for _, e := range m.dirty {
		x := m.meta(e)
		x.flags &^= flagDirty
		k := m.keyOf(e)
		if x.flags&flagDead == 0 {
			x.flags |= flagStored
			d.Put(m.cfg.Table, x.vnode, k, m.valueOf(e))
			continue
		}
		if x.flags&flagStored != 0 {
			d.Delete(m.cfg.Table, x.vnode, k)
		}
		if m.erase(m.root, k) {
			m.root = &node{}
		}
		m.mem.release(x.data, max(int(x.klen+x.vlen), 1))
		m.free = append(m.free, e)
	}
	m.dirty = m.dirty[:0]
}

// Stats describes the container.
func (m *OrderedMap) Stats() Stats {
	return Stats{Rows: m.n, Loads: m.loads, Bytes: len(m.blocks)*blockSlots*24 + m.n*5 + m.mem.memory()}
}

// Complete reports whether memory holds everything.
func (m *OrderedMap) Complete() bool { return m.complete }

// LoadAll brings every entry of the table with an owned vnode into memory; the container is complete afterwards.
func (m *OrderedMap) LoadAll(owns func(vnode uint16) bool) error {
	if m.complete {
		return nil
	}
	m.loads++
	r := key.TableRange(m.cfg.Table)
	err := m.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		_, vnode, k, err := key.Split(full)
		if err != nil || !owns(vnode) {
			return true
		}
		if _, ok := m.find(k); ok {
			return true // memory is newer
		}
		m.meta(m.restore(vnode, k, v)).flags = flagStored
		return true
	})
	if err == nil {
		m.complete = true
	}
	return err
}
