// Package change is sets of changes to the store: what operators flush, what relations keep per epoch, what transactions
// have written, and what a checkpoint writes.
//
// The idea: keys and values lie one after the other in a few blocks, so that a hundred thousand changes
// are a handful of allocations and nothing for the garbage collector to scan. Blocks never move: a set that grows copies
// nothing, and bytes that were read stay as they are.
//
// A Set belongs to whoever fills it and is immutable once handed on. It neither sorts nor removes
// duplicates; Map, which finds keys again, does the latter. Start at Set.
package change

import (
	"slices"

	"github.com/millrace/millrace/storage/key"
)

// Set is a list of changes; in a finished set each key stands at most once.
type Set struct {
	Entries []Entry
	blocks  [][]byte
}

// Entry is one change: where its key lies, and how long key and value are, which follows. Del: the key goes.
type Entry struct {
	block, at      uint32
	KeyLen, ValLen int32
	Del            bool
}

// Blocks begin small and double up to maxBlock, or more where one key and value need it. Unit: bytes.
const (
	minBlock = 256
	maxBlock = 1 << 20
)

// NewSet makes a set with room for about so many bytes and entries.
func NewSet(bytes, entries int) *Set {
	d := &Set{Entries: make([]Entry, 0, entries)}
	if bytes > 0 {
		d.blocks = append(d.blocks, make([]byte, 0, min(bytes, maxBlock)))
	}
	return d
}

// KeyOf and ValueOf return the bytes of an entry; they alias the set.
func (d *Set) KeyOf(e Entry) []byte {
	return d.blocks[e.block][e.at : e.at+uint32(e.KeyLen) : e.at+uint32(e.KeyLen)]
}

// ValueOf returns the value of an entry.
func (d *Set) ValueOf(e Entry) []byte {
	v := e.at + uint32(e.KeyLen)
	return d.blocks[e.block][v : v+uint32(e.ValLen) : v+uint32(e.ValLen)]
}

// room returns the number of a block with n bytes to spare.
func (d *Set) room(n int) int {
	last, size := len(d.blocks)-1, minBlock
	if last >= 0 {
		if b := d.blocks[last]; cap(b)-len(b) >= n {
			return last
		}
		size = min(max(2*cap(d.blocks[last]), minBlock), maxBlock)
	}
	d.blocks = append(d.blocks, make([]byte, 0, max(n, size)))
	return last + 1
}

// Put adds table/vnode/key → value.
func (d *Set) Put(table uint32, vnode uint16, k, value []byte) {
	n := key.PrefixLen + len(k)
	at := d.room(n + len(value))
	b := d.blocks[at]
	e := Entry{block: uint32(at), at: uint32(len(b)), KeyLen: int32(n), ValLen: int32(len(value))}
	b = append(key.AppendPrefix(b, table, vnode), k...)
	d.blocks[at] = append(b, value...)
	if len(d.Entries) == cap(d.Entries) {
		d.Entries = slices.Grow(d.Entries, max(fewEntries, len(d.Entries)))
	}
	d.Entries = append(d.Entries, e)
}

// fewEntries is how many a set has room for at first; from then on it doubles, which append does not where there are many.
const fewEntries = 4

// Delete adds the removal of table/vnode/key.
func (d *Set) Delete(table uint32, vnode uint16, k []byte) {
	d.Put(table, vnode, k, nil)
	d.Entries[len(d.Entries)-1].Del = true
}

// Add adds a change of a full key.
func (d *Set) Add(k, value []byte, del bool) { d.Entries = append(d.Entries, d.store(k, value, del)) }

func (d *Set) store(k, value []byte, del bool) Entry {
	at := d.room(len(k) + len(value))
	b := d.blocks[at]
	d.blocks[at] = append(append(b, k...), value...)
	return Entry{block: uint32(at), at: uint32(len(b)), KeyLen: int32(len(k)), ValLen: int32(len(value)), Del: del}
}

// Len returns the number of entries.
func (d *Set) Len() int { return len(d.Entries) }

// SizeBytes returns how many bytes keys and values take.
func (d *Set) SizeBytes() int {
	n := 0
	for _, b := range d.blocks {
		n += len(b)
	}
	return n
}

// Append adds all entries of another set, whose bytes the two share from now on.
func (d *Set) Append(o *Set) {
	first := uint32(len(d.blocks))
	for _, b := range o.blocks {
		d.blocks = append(d.blocks, b[:len(b):len(b)])
	}
	d.Entries = slices.Grow(d.Entries, len(o.Entries))
	for _, e := range o.Entries {
		e.block += first
		d.Entries = append(d.Entries, e)
	}
}

// Clone returns a set of the same changes that does not see what is done to this one later. The bytes are shared.
func (d *Set) Clone() *Set {
	c := &Set{Entries: slices.Clone(d.Entries), blocks: slices.Clone(d.blocks)}
	for i, b := range c.blocks {
		c.blocks[i] = b[:len(b):len(b)]
	}
	return c
}
