package state

import "bytes"

// Search finds entries by their key and by further values, the parts, which Bound reads out of them: each node of the tree knows the
// least and the greatest of each part below it, so that subtrees without what is looked for are left out.
//
// What a node knows may be too wide, because dead entries count until Flush. It is never too narrow.

// reach is the span of a part's values below a node.
type reach struct{ least, most []byte }

func (r *reach) widen(v []byte) {
	if r.least == nil || bytes.Compare(v, r.least) < 0 {
		r.least = append(r.least[:0:0], v...)
	}
	if r.most == nil || bytes.Compare(v, r.most) > 0 {
		r.most = append(r.most[:0:0], v...)
	}
}

// Bound gives entries parts: part returns the i-th of an entry, which is not empty and does not change. The map must be empty.
func (m *OrderedMap) Bound(parts int, part func(k, v []byte, i int) []byte) {
	m.parts, m.part = parts, part
}

// widen is called before entry e comes into the tree.
func (m *OrderedMap) widen(e uint32) {
	if m.parts == 0 {
		return
	}
	k, v := m.keyOf(e), m.valueOf(e)
	for n := m.root; ; n = n.kids[child(n, k)] {
		for i := range n.reach {
			n.reach[i].widen(m.part(k, v, i))
		}
		if n.kids == nil {
			return
		}
	}
}

// reachOf returns what a node knows of its parts, and finds it out if need be.
func (m *OrderedMap) reachOf(n *node) []reach {
	if n.reach != nil {
		return n.reach
	}
	r := make([]reach, m.parts)
	for _, e := range n.entries {
		for i := range r {
			r[i].widen(m.part(m.keyOf(e), m.valueOf(e), i))
		}
	}
	for _, kid := range n.kids {
		for i, k := range m.reachOf(kid) {
			if k.least != nil {
				r[i].widen(k.least)
				r[i].widen(k.most)
			}
		}
	}
	n.reach = r
	return r
}

// PartRange says which values of a part are looked for: from Lo on, and below Hi; nil: no end.
type PartRange struct {
	Part   int
	Lo, Hi []byte
}

func (p *PartRange) meets(r reach) bool {
	return r.least != nil && (p.Lo == nil || bytes.Compare(r.most, p.Lo) >= 0) && (p.Hi == nil || bytes.Compare(r.least, p.Hi) < 0)
}

// Search calls f for the entries with lo ≤ key < hi (nil: no end) whose parts lie in the ranges, in key order, until it returns false.
// Dead entries are among them: see WeightOf. f must not change the container.
func (m *OrderedMap) Search(lo, hi []byte, parts []PartRange, f func(e uint32) bool) {
	if hi == nil || bytes.Compare(lo, hi) < 0 {
		m.searchIn(m.root, lo, hi, parts, f)
	}
}

func (m *OrderedMap) searchIn(n *node, lo, hi []byte, parts []PartRange, f func(e uint32) bool) bool {
	for i := range parts {
		if !parts[i].meets(m.reachOf(n)[parts[i].Part]) {
			return true
		}
	}
	if n.kids != nil {
		from, to := child(n, lo), len(n.kids)-1
		if hi != nil {
			to = child(n, hi)
		}
		for i := from; i <= to; i++ {
			if !m.searchIn(n.kids[i], lo, hi, parts, f) {
				return false
			}
		}
		return true
	}
	i, _ := m.search(n.entries, lo)
next:
	for ; i < len(n.entries); i++ {
		e := n.entries[i]
		k := m.keyOf(e)
		if hi != nil && bytes.Compare(k, hi) >= 0 {
			return false
		}
		for _, p := range parts {
			if v := m.part(k, m.valueOf(e), p.Part); !p.meets(reach{v, v}) {
				continue next
			}
		}
		if !f(e) {
			return false
		}
	}
	return true
}

// EntryKey returns the key of an entry that Search or PutWeight gave; like the number it is valid until the Flush after the entry's end.
func (m *OrderedMap) EntryKey(e uint32) []byte { return m.keyOf(e) }

// EntryValue returns its value.
func (m *OrderedMap) EntryValue(e uint32) []byte { return m.valueOf(e) }

// Dead reports whether an entry has been deleted since the last Flush.
func (m *OrderedMap) Dead(e uint32) bool { return m.meta(e).flags&flagDead != 0 }

// WeightBefore returns the weight of an entry of a tracked map as of the last Settle.
func (m *OrderedMap) WeightBefore(e uint32) int64 { return m.weight(e, Before) }
