package state

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A tracked OrderedMap (Track) remembers, until Settle, what it held before the changes of the running epoch, and
// knows the sum of any range of either version in the time of a search: how many rows there are, by the weight in
// the first 8 bytes of each value, and what the map's Summary makes of them. It answers which row is the n-th, and
// how many come before a key.
//
// Sums are kept by node of the tree and computed when they are asked for; a change forgets those on its path.

// Version says which contents are meant.
type Version uint8

// The versions.
const (
	Now    Version = iota
	Before         // as of the last Settle
)

// Summary sums up entries beyond their number. Sums of neighbours are merged in key order; a sum is not changed once
// it has been returned.
type Summary interface {
	// Leaf returns the sum of entries; weights are positive.
	Leaf(keys, values [][]byte, weights []int64) any
	// Merge returns the sum of all parts, in order.
	Merge(parts []any) any
}

// tracking is what a tracked map has beside its tree.
type tracking struct {
	summary Summary // nil: rows are only counted
	before  map[uint32]int64
	stamp   uint32
}

// nodeSums are a node's sums; those from before the epoch's changes are kept apart once there was one.
type nodeSums struct {
	stamp uint32 // of the epoch of the last change
	cur   nodeSum
	old   nodeSum // while stamp is the running epoch's
}

type nodeSum struct {
	counted bool
	count   int64
	agg     any // nil: not known
}

// Track begins to keep versions and sums. The map must be empty.
func (m *OrderedMap) Track(s Summary) {
	m.track = &tracking{summary: s, before: map[uint32]int64{}, stamp: 1}
}

// Settle makes what is there now the version of before.
func (m *OrderedMap) Settle() {
	for e := range m.track.before {
		m.meta(e).flags &^= flagTouched
	}
	if len(m.track.before) > blockSlots { // a map never shrinks
		m.track.before = map[uint32]int64{}
	}
	clear(m.track.before)
	m.track.stamp++
}

// touching is called before the entry with key k, which e is if it exists, changes.
func (m *OrderedMap) touching(k []byte, e uint32, exists bool) {
	t := m.track
	if t == nil {
		return
	}
	for n := m.root; n != nil; {
		n.touched(t.stamp)
		if n.kids == nil {
			break
		}
		n = n.kids[child(n, k)]
	}
	if exists && m.meta(e).flags&flagTouched == 0 {
		t.before[e] = m.weightNow(e)
		m.meta(e).flags |= flagTouched
	}
}

// created notes an entry that was not there before.
func (m *OrderedMap) created(e uint32) {
	if m.track != nil {
		m.track.before[e] = 0
		m.meta(e).flags |= flagTouched
	}
}

func (n *node) touched(stamp uint32) {
	s := n.sums
	switch {
	case s == nil:
	case s.stamp != stamp:
		s.stamp, s.old, s.cur = stamp, s.cur, nodeSum{}
	default:
		s.cur = nodeSum{}
	}
}

// reshaped forgets both versions of a node that has got or lost entries that were there before.
func (n *node) reshaped() {
	if n.sums != nil {
		n.sums = nil
	}
}

// reshapedPath does it for all nodes down to k.
func (m *OrderedMap) reshapedPath(k []byte) {
	if m.track == nil {
		return
	}
	for n := m.root; ; n = n.kids[child(n, k)] {
		n.reshaped()
		if n.kids == nil {
			return
		}
	}
}

func (m *OrderedMap) weightNow(e uint32) int64 {
	if m.meta(e).flags&flagDead != 0 {
		return 0
	}
	return max(int64(binary.LittleEndian.Uint64(m.valueOf(e))), 0)
}

// weight is never negative.
func (m *OrderedMap) weight(e uint32, v Version) int64 {
	if v == Before && m.meta(e).flags&flagTouched != 0 {
		return max(m.track.before[e], 0)
	}
	return m.weightNow(e)
}

// sum returns the node's cell for a version.
func (m *OrderedMap) sum(n *node, v Version) *nodeSum {
	if n.sums == nil {
		n.sums = &nodeSums{stamp: m.track.stamp}
	}
	if v == Before && n.sums.stamp == m.track.stamp {
		return &n.sums.old
	}
	return &n.sums.cur
}

func (m *OrderedMap) count(n *node, v Version) int64 {
	s := m.sum(n, v)
	if s.counted {
		return s.count
	}
	c := int64(0)
	if n.kids == nil {
		for _, e := range n.entries {
			c += m.weight(e, v)
		}
	}
	for _, k := range n.kids {
		c += m.count(k, v)
	}
	s.counted, s.count = true, c
	return c
}

func (m *OrderedMap) agg(n *node, v Version) any {
	s := m.sum(n, v)
	if s.agg != nil {
		return s.agg
	}
	var a any
	if n.kids == nil {
		var keys, vals [][]byte
		var ws []int64
		for _, e := range n.entries {
			if w := m.weight(e, v); w > 0 {
				keys, vals, ws = append(keys, m.keyOf(e)), append(vals, m.valueOf(e)), append(ws, w)
			}
		}
		a = m.track.summary.Leaf(keys, vals, ws)
	} else {
		parts := make([]any, len(n.kids))
		for i, k := range n.kids {
			parts[i] = m.agg(k, v)
		}
		a = m.track.summary.Merge(parts)
	}
	m.sum(n, v).agg = a
	return a
}

// Change is an entry whose weight the epoch changed.
type Change struct {
	Key   []byte
	Value []byte // the present one
	Old   int64
	New   int64
}

// Changes lists what changed since the last Settle, in key order. Keys are valid until the next change.
func (m *OrderedMap) Changes() []Change {
	var out []Change
	for e, w := range m.track.before {
		if now := m.weightNow(e); now != max(w, 0) {
			out = append(out, Change{m.keyOf(e), m.valueOf(e), max(w, 0), now})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// CountRange returns the number of rows with lo ≤ key < hi; hi nil: no end.
func (m *OrderedMap) CountRange(v Version, lo, hi []byte) int64 {
	return m.countRange(m.root, v, lo, hi, true, hi != nil)
}

func (m *OrderedMap) countRange(n *node, v Version, lo, hi []byte, cutLo, cutHi bool) int64 {
	if !cutLo && !cutHi {
		return m.count(n, v)
	}
	c := int64(0)
	if n.kids == nil {
		i, j := 0, len(n.entries)
		if cutLo {
			i, _ = m.search(n.entries, lo)
		}
		if cutHi {
			j, _ = m.search(n.entries, hi)
		}
		for ; i < j; i++ {
			c += m.weight(n.entries[i], v)
		}
		return c
	}
	i, j := 0, len(n.kids)-1
	if cutLo {
		i = child(n, lo)
	}
	if cutHi {
		j = child(n, hi)
	}
	for k := i; k <= j; k++ {
		c += m.countRange(n.kids[k], v, lo, hi, cutLo && k == i, cutHi && k == j)
	}
	return c
}

// Cursor stands on an entry of a tracked map, or behind the last; a change of the map makes it invalid.
type Cursor struct {
	m    *OrderedMap
	path []cursorStep
}

type cursorStep struct {
	n *node
	i int
}

// Seek returns a cursor on the first entry with key ≥ k, of any version.
func (m *OrderedMap) Seek(k []byte) *Cursor {
	c := &Cursor{m: m}
	n := m.root
	for n.kids != nil {
		i := child(n, k)
		c.path = append(c.path, cursorStep{n, i})
		n = n.kids[i]
	}
	i, _ := m.search(n.entries, k)
	c.path = append(c.path, cursorStep{n, i})
	c.settle()
	return c
}

// settle moves on from the end of a leaf.
func (c *Cursor) settle() {
	for len(c.path) > 0 {
		top := &c.path[len(c.path)-1]
		if top.n.kids == nil && top.i < len(top.n.entries) {
			return
		}
		if top.n.kids != nil && top.i < len(top.n.kids) {
			c.path = append(c.path, cursorStep{n: top.n.kids[top.i]})
			continue
		}
		c.path = c.path[:len(c.path)-1]
		if len(c.path) > 0 {
			c.path[len(c.path)-1].i++
		}
	}
}

// Valid reports whether there is an entry.
func (c *Cursor) Valid() bool { return len(c.path) > 0 }

func (c *Cursor) entry() uint32 {
	top := &c.path[len(c.path)-1]
	return top.n.entries[top.i]
}

// Key returns the entry's key.
func (c *Cursor) Key() []byte { return c.m.keyOf(c.entry()) }

// Value returns the entry's value, as it is now.
func (c *Cursor) Value() []byte { return c.m.valueOf(c.entry()) }

// Weight returns how often the entry is there in a version.
func (c *Cursor) Weight(v Version) int64 { return c.m.weight(c.entry(), v) }

// Next moves to the next entry.
func (c *Cursor) Next() {
	top := &c.path[len(c.path)-1]
	top.i++
	if top.i == len(top.n.entries) {
		c.settle()
	}
}

// Select returns a cursor on the entry of the pos-th row, from 0, among those with key ≥ lo, and how many rows of
// that entry come before it. Without such a row the cursor is not valid.
func (m *OrderedMap) Select(v Version, lo []byte, pos int64) (*Cursor, int64) {
	c := &Cursor{m: m}
	if m.selectIn(m.root, v, lo, true, &pos, c) {
		return c, pos
	}
	return &Cursor{m: m}, 0
}

func (m *OrderedMap) selectIn(n *node, v Version, lo []byte, cut bool, pos *int64, c *Cursor) bool {
	if !cut {
		if k := m.count(n, v); k <= *pos {
			*pos -= k
			return false
		}
	}
	c.path = append(c.path, cursorStep{n: n})
	at := len(c.path) - 1
	if n.kids == nil {
		i := 0
		if cut {
			i, _ = m.search(n.entries, lo)
		}
		for ; i < len(n.entries); i++ {
			w := m.weight(n.entries[i], v)
			if w > *pos {
				c.path[at].i = i
				return true
			}
			*pos -= w
		}
		c.path = c.path[:at]
		return false
	}
	i := 0
	if cut {
		i = child(n, lo)
	}
	for first := i; i < len(n.kids); i++ {
		c.path[at].i = i
		if m.selectIn(n.kids[i], v, lo, cut && i == first, pos, c) {
			return true
		}
	}
	c.path = c.path[:at]
	return false
}

// Fold goes through rows from … to−1, counted from 0 among those with key ≥ lo, in order: node is told of sums of
// whole nodes, entry of entries of which copies rows are wanted. With node nil, every entry is told.
func (m *OrderedMap) Fold(v Version, lo []byte, from, to int64, node func(sum any), entry func(k, val []byte, copies int64) error) error {
	f := folder{m: m, v: v, lo: lo, from: from, to: to, node: node, entry: entry}
	return f.visit(m.root, true)
}

type folder struct {
	m     *OrderedMap
	v     Version
	lo    []byte
	at    int64 // rows passed
	from  int64
	to    int64
	node  func(sum any)
	entry func(k, val []byte, copies int64) error
}

func (f *folder) visit(n *node, cut bool) error {
	if !cut {
		c := f.m.count(n, f.v)
		switch {
		case f.at+c <= f.from:
			f.at += c
			return nil
		case f.node != nil && f.at >= f.from && f.at+c <= f.to:
			f.at += c
			f.node(f.m.agg(n, f.v))
			return nil
		}
	}
	if n.kids == nil {
		return f.leaf(n, cut)
	}
	i := 0
	if cut {
		i = child(n, f.lo)
	}
	for first := i; i < len(n.kids) && f.at < f.to; i++ {
		if err := f.visit(n.kids[i], cut && i == first); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) leaf(n *node, cut bool) error {
	i := 0
	if cut {
		i, _ = f.m.search(n.entries, f.lo)
	}
	for ; i < len(n.entries) && f.at < f.to; i++ {
		e := n.entries[i]
		w := f.m.weight(e, f.v)
		lo, hi := max(f.at, f.from), min(f.at+w, f.to)
		f.at += w
		if lo < hi {
			if err := f.entry(f.m.keyOf(e), f.m.valueOf(e), hi-lo); err != nil {
				return err
			}
		}
	}
	return nil
}
