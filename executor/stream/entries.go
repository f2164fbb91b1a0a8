package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// Ordered state of aggregates, top-N and scalar subqueries: the key of an entry ends with the image of a row,
// which also breaks ties in the order; the value is the row's weight (8 bytes) and the image's length (4).
const entryValueLen = 12

// addEntry changes the weight of an entry; one without weight goes.
func addEntry(m *state.OrderedMap, vnode uint16, k []byte, imageLen int, w int64) {
	val, created := m.Upsert(vnode, k, entryValueLen)
	if created {
		binary.LittleEndian.PutUint32(val[8:], uint32(imageLen))
	}
	w += entryWeight(val)
	binary.LittleEndian.PutUint64(val, uint64(w))
	if w == 0 {
		m.Delete(k)
	}
}

func entryWeight(val []byte) int64 { return int64(binary.LittleEndian.Uint64(val)) }

func entryImage(k, val []byte) []byte { return k[len(k)-int(binary.LittleEndian.Uint32(val[8:])):] }

// decodeImage appends the columns of an image to vecs.
func decodeImage(image []byte, types []sqltypes.Type, vecs []*delta.Vec) error {
	_, err := row.DecodeImage(image, types, vecs)
	return err
}

// newVecs makes empty columns to append to.
func newVecs(types []sqltypes.Type) []*delta.Vec {
	out := make([]*delta.Vec, len(types))
	for i, t := range types {
		out[i] = &delta.Vec{Type: t}
		if t.Phys() == sqltypes.PhysBytes {
			out[i].Offsets = []int32{0}
		}
	}
	return out
}

// clearVecs empties columns that have not been handed on, keeping their memory.
func clearVecs(vecs []*delta.Vec) {
	for i, v := range vecs {
		if v.Len() > keepRows {
			vecs[i] = newVecs([]sqltypes.Type{v.Type})[0]
			continue
		}
		v.Valid, v.Bools, v.Ints, v.Floats = nil, v.Bools[:0], v.Ints[:0], v.Floats[:0]
		v.Decs, v.Intervals, v.Data = v.Decs[:0], v.Intervals[:0], v.Data[:0]
		if len(v.Offsets) > 0 {
			v.Offsets = v.Offsets[:1]
		}
		v.SetLen(0)
	}
}

// keepRows is how many rows' worth of scratch memory an operator holds on to from epoch to epoch.
const keepRows = 1 << 17

// sameRow reports whether row i of a and row j of b are the same to the digit.
func sameRow(a []*delta.Vec, i int, b []*delta.Vec, j int) bool {
	for k := range a {
		if !sameValue(a[k], i, b[k], j) {
			return false
		}
	}
	return true
}

func sameValue(a *delta.Vec, i int, b *delta.Vec, j int) bool {
	if an, bn := a.IsNull(i), b.IsNull(j); an || bn {
		return an && bn
	}
	switch a.Type.Phys() {
	case sqltypes.PhysBool:
		return a.Bools[i] == b.Bools[j]
	case sqltypes.PhysInt64:
		return a.Ints[i] == b.Ints[j]
	case sqltypes.PhysBytes:
		return string(a.Bytes(i)) == string(b.Bytes(j))
	case sqltypes.PhysInterval:
		return a.Intervals[i] == b.Intervals[j]
	case sqltypes.PhysNumeric:
		return a.Decs[i].Identical(b.Decs[j])
	}
	var x, y [64]byte // −0 is not 0 here, and 1.0 is not 1.00
	return string(row.AppendImage(x[:0], []*delta.Vec{a}, nil, i)) == string(row.AppendImage(y[:0], []*delta.Vec{b}, nil, j))
}

// sortKeys converts a plan's order.
func sortKeys(keys []plan.SortKey) []row.KeyCol {
	out := make([]row.KeyCol, len(keys))
	for i, k := range keys {
		out[i] = row.KeyCol(k)
	}
	return out
}

func addStats(to *state.Stats, s state.Stats) {
	to.Rows += s.Rows
	to.Bytes += s.Bytes
	to.Loads += s.Loads
}
