// Package change is a set of changes to the store in one flat buffer: what operators flush, what relations
// keep per epoch, and what a checkpoint writes.
//
// The idea: keys and values lie one after the other in one byte slice, so that a hundred thousand changes
// are three allocations and nothing for the garbage collector to scan.
//
// A Set belongs to whoever fills it and is immutable once handed on. It neither sorts nor removes
// duplicates. Start at Set.
package change

import (
	"github.com/millrace/millrace/storage/key"
)

// Set is a list of changes; in a finished set each key stands at most once.
type Set struct {
	Buf     []byte
	Entries []Entry
}

// Entry is one change: the key is Buf[Key:Key+KeyLen], the value follows it. Del: the key goes.
type Entry struct {
	Key    int
	KeyLen int32
	ValLen int32
	Del    bool
}

// KeyOf and ValueOf return the bytes of an entry; they alias Buf.
func (d *Set) KeyOf(c Entry) []byte { return d.Buf[c.Key : c.Key+int(c.KeyLen)] }

// ValueOf returns the value of an entry.
func (d *Set) ValueOf(c Entry) []byte {
	v := c.Key + int(c.KeyLen)
	return d.Buf[v : v+int(c.ValLen)]
}

// Put adds table/vnode/key → value.
func (d *Set) Put(table uint32, vnode uint16, k, value []byte) {
	at := len(d.Buf)
	d.Buf = key.AppendPrefix(d.Buf, table, vnode)
	d.Buf = append(d.Buf, k...)
	n := len(d.Buf) - at
	d.Buf = append(d.Buf, value...)
	d.Entries = append(d.Entries, Entry{Key: at, KeyLen: int32(n), ValLen: int32(len(value))})
}

// Delete adds the removal of table/vnode/key.
func (d *Set) Delete(table uint32, vnode uint16, k []byte) {
	at := len(d.Buf)
	d.Buf = key.AppendPrefix(d.Buf, table, vnode)
	d.Buf = append(d.Buf, k...)
	d.Entries = append(d.Entries, Entry{Key: at, KeyLen: int32(len(d.Buf) - at), Del: true})
}

// Len returns the number of entries.
func (d *Set) Len() int { return len(d.Entries) }

// Append adds all entries of another set.
func (d *Set) Append(o *Set) {
	at := len(d.Buf)
	d.Buf = append(d.Buf, o.Buf...)
	for _, e := range o.Entries {
		e.Key += at
		d.Entries = append(d.Entries, e)
	}
}
