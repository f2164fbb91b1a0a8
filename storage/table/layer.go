package table

import (
	"bytes"
	"sort"
	"sync"

	"github.com/millrace/millrace/storage/change"
)

// Layer is what one actor changed in a relation in one epoch (or in a run of epochs, once merged): full
// store keys with values or tombstones, each key once. Immutable; sorted when first read.
type Layer struct {
	Epoch uint64 // the last epoch it covers
	First uint64 // the first epoch it covers
	Delta *change.Set
	Rows  int // about how many rows it holds; more than entries where a value holds several
	once  sync.Once
	order []int32 // entries in key order
}

// NewLayer wraps the changes of one epoch.
func NewLayer(epoch uint64, d *change.Set) *Layer {
	return &Layer{Epoch: epoch, First: epoch, Delta: d, Rows: d.Len()}
}

func (l *Layer) sorted() []int32 {
	l.once.Do(func() { l.order = l.Delta.Order() })
	return l.order
}

// Sort brings the entries into order now, so that no reader has to wait for it.
func (l *Layer) Sort() { l.sorted() }

// largeLayer is the number of entries from which a layer is sorted before it is published: readers would have to wait for that.
const largeLayer = 1 << 14

func (l *Layer) key(e int32) []byte { return l.Delta.KeyOf(l.Delta.Entries[e]) }

// seek returns the position in key order of the first entry ≥ k.
func (l *Layer) seek(k []byte) int {
	order := l.sorted()
	return sort.Search(len(order), func(i int) bool { return bytes.Compare(l.key(order[i]), k) >= 0 })
}

// get returns the entry of a key.
func (l *Layer) get(k []byte) (change.Entry, bool) {
	i := l.seek(k)
	if order := l.sorted(); i < len(order) {
		if c := l.Delta.Entries[order[i]]; bytes.Equal(l.Delta.KeyOf(c), k) {
			return c, true
		}
	}
	return change.Entry{}, false
}

// Merge folds layers, oldest first, into one: of each key the newest entry remains. Tombstones stay.
func Merge(layers []*Layer) *Layer {
	out := &change.Set{}
	m := newMerge(layers, nil, nil)
	for m.next() {
		out.Add(m.key, m.val, m.del)
	}
	merged := &Layer{Epoch: layers[len(layers)-1].Epoch, First: layers[0].First, Delta: out, Rows: out.Len()}
	for _, l := range layers {
		merged.Rows += l.Rows - l.Delta.Len()
	}
	merged.once.Do(func() {
		merged.order = make([]int32, len(out.Entries))
		for i := range merged.order {
			merged.order[i] = int32(i)
		}
	})
	return merged
}

// merge walks several layers in key order; of equal keys the entry of the newest layer counts.
type merge struct {
	cur []cursor
	hi  []byte
	key []byte
	val []byte
	del bool
}

type cursor struct {
	l   *Layer
	pos int
}

// newMerge walks the entries with lo ≤ key < hi (nil: unbounded). layers are oldest first.
func newMerge(layers []*Layer, lo, hi []byte) *merge {
	m := &merge{hi: hi}
	for i := len(layers) - 1; i >= 0; i-- { // newest first: ties go to the earlier cursor
		c := cursor{l: layers[i]}
		if lo != nil {
			c.pos = layers[i].seek(lo)
		} else {
			layers[i].sorted()
		}
		if c.ok(hi) {
			m.cur = append(m.cur, c)
		}
	}
	return m
}

func (c *cursor) ok(hi []byte) bool {
	return c.pos < len(c.l.order) && (hi == nil || bytes.Compare(c.key(), hi) < 0)
}

func (c *cursor) key() []byte { return c.l.key(c.l.order[c.pos]) }

func (m *merge) next() bool {
	if len(m.cur) == 0 {
		return false
	}
	best := 0
	for i := 1; i < len(m.cur); i++ {
		if bytes.Compare(m.cur[i].key(), m.cur[best].key()) < 0 {
			best = i
		}
	}
	b := &m.cur[best]
	ch := b.l.Delta.Entries[b.l.order[b.pos]]
	m.key, m.val, m.del = b.l.Delta.KeyOf(ch), b.l.Delta.ValueOf(ch), ch.Del
	live := m.cur[:0]
	for i := range m.cur {
		c := m.cur[i]
		if bytes.Equal(c.key(), m.key) {
			c.pos++
		}
		if c.ok(m.hi) {
			live = append(live, c)
		}
	}
	m.cur = live
	return true
}
