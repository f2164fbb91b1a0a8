package stream

import (
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// partClose forgets the partitions of an ordered container, whose entries begin with the partition's key, when the watermark
// of a partition column has passed them.
type partClose struct {
	*closing
	part  []row.KeyCol
	types []sqltypes.Type
	rows  *state.OrderedMap
	keys  []byte   // per slot of closing, the partition's key
	ends  []uint32 // where a slot's key ends in keys
	live  int      // slots that have not been taken out
	buf   []byte
}

func newPartClose(col int, part []row.KeyCol, types []sqltypes.Type, rows *state.OrderedMap) *partClose {
	return &partClose{closing: newClosing([]int{col}), part: part, types: types, rows: rows}
}

// added notes a partition that gets a row, row i of c; it may have been noted before.
func (x *partClose) added(c *delta.Chunk, i int, pk []byte) {
	if v := c.Cols[x.cols[0]]; !v.IsNull(i) {
		x.note(v.Ints[i], pk)
	}
}

// note makes a partition due when the watermark is above v.
func (x *partClose) note(v int64, pk []byte) {
	x.keys = append(x.keys, pk...)
	x.ends = append(x.ends, uint32(len(x.keys)))
	x.live++
	x.add(v, uint32(len(x.ends)-1))
}

// sweep deletes the entries of the partitions that the watermark has passed.
func (x *partClose) sweep(owns func(uint16) bool) error {
	if !x.takeMoved() {
		return nil
	}
	if !x.rows.Complete() {
		if err := x.load(owns); err != nil {
			return err
		}
	}
	var gone []byte
	var ends []int
	err := x.each(func(pk []byte) error {
		x.rows.Ascend(pk, nil, func(k, _ []byte) bool {
			gone = append(gone, k...)
			ends = append(ends, len(gone))
			return true
		})
		return nil
	})
	from := 0
	for _, to := range ends {
		x.rows.Delete(gone[from:to])
		from = to
	}
	return err
}

// each calls f for every partition that is due, which is then forgotten; f must note nothing.
func (x *partClose) each(f func(pk []byte) error) error {
	err := x.due(func(_ int64, slots []uint32) error {
		for _, s := range slots {
			if err := f(x.key(s)); err != nil {
				return err
			}
		}
		x.live -= len(slots)
		return nil
	})
	if x.live*2 < len(x.ends) {
		x.compact()
	}
	return err
}

func (x *partClose) key(slot uint32) []byte {
	from := uint32(0)
	if slot > 0 {
		from = x.ends[slot-1]
	}
	return x.keys[from:x.ends[slot]]
}

// compact drops the keys of slots that were taken out.
func (x *partClose) compact() {
	keys, ends := x.keys, x.ends
	x.keys, x.ends = nil, nil
	for _, list := range x.at {
		for n, s := range *list {
			from := uint32(0)
			if s > 0 {
				from = ends[s-1]
			}
			x.keys = append(x.keys, keys[from:ends[s]]...)
			x.ends = append(x.ends, uint32(len(x.keys)))
			(*list)[n] = uint32(len(x.ends) - 1)
		}
	}
}

// load brings all entries into memory after a restart and notes their partitions.
func (x *partClose) load(owns func(uint16) bool) error {
	if err := x.rows.LoadAll(owns); err != nil {
		return err
	}
	return x.eachPart(func(c *delta.Chunk, pk []byte) { x.added(c, 0, pk) })
}

// eachPart calls f for every partition in memory, with its first row.
func (x *partClose) eachPart(f func(c *delta.Chunk, pk []byte)) error {
	vecs := newVecs(x.types)
	var bad error
	var last []byte
	x.rows.Ascend(nil, nil, func(k, v []byte) bool {
		clearVecs(vecs)
		if bad = decodeImage(entryImage(k, v), x.types, vecs); bad != nil {
			return false
		}
		x.buf = row.AppendKey(x.buf[:0], vecs, x.part, 0)
		if last == nil || string(last) != string(x.buf) {
			last = append(last[:0], x.buf...)
			f(&delta.Chunk{Cols: vecs, Rows: 1}, x.buf)
		}
		return true
	})
	return bad
}
