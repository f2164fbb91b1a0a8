package codec

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Rows is a chunk in the making, one vector per wanted column. A decoder appends a row's values in any order
// of columns, then calls end; columns that got none become NULL.
type Rows struct {
	types   []sqltypes.Type
	cols    []*delta.Vec
	weights []int64
	mixed   bool // some weight is not +1
	// control is the control column (connector.ControlKeep), once a row keeps something; kept are the columns that the row in the making keeps.
	control *delta.Vec
	kept    []byte
	n       int
	room    int   // rows to make room for
	bytes   []int // bytes to make room for, per column: what the last chunk took
}

// NewRows returns an empty Rows with columns of the given types.
func NewRows(types []sqltypes.Type) *Rows {
	r := &Rows{types: types, bytes: make([]int, len(types))}
	r.reset()
	return r
}

func (r *Rows) reset() {
	r.cols = make([]*delta.Vec, len(r.types))
	for i, t := range r.types {
		r.cols[i] = newVec(t, r.room, r.bytes[i])
	}
	r.weights, r.mixed, r.n = nil, false, 0
	r.control, r.kept = nil, nil
}

// keep ends a column of the row in the making: it stays as it is in the row that is stored under the key.
func (r *Rows) keep(slot int) {
	r.cols[slot].AppendNull()
	if r.kept == nil {
		r.kept = make([]byte, 1+(len(r.cols)+7)/8)
		r.kept[0] = connector.ControlKeep
	}
	r.kept[1+slot/8] |= 1 << (slot % 8)
}

// newVec makes an empty vector with room for rows values.
func newVec(t sqltypes.Type, rows, size int) *delta.Vec {
	if t.Phys() == sqltypes.PhysBytes {
		return delta.NewBytesVec(t, rows, size)
	}
	v := delta.NewVec(t, rows)
	truncate(v, 0)
	return v
}

// Len returns the number of complete rows.
func (r *Rows) Len() int { return r.n }

// Bytes returns the bytes held by text columns so far: a second bound on a batch.
func (r *Rows) Bytes() int {
	n := 0
	for _, v := range r.cols {
		n += len(v.Data)
	}
	return n
}

// end completes a row.
func (r *Rows) end(weight int64) {
	for _, v := range r.cols {
		if v.Len() == r.n {
			v.AppendNull()
		}
	}
	r.endControl()
	r.n++
	if weight != 1 && !r.mixed {
		r.mixed = true
		r.weights = make([]int64, r.n-1, max(r.n, 64))
		for i := range r.weights {
			r.weights[i] = 1
		}
	}
	if r.mixed {
		r.weights = append(r.weights, weight)
	}
}

// unkeep takes back what keep did.
func (r *Rows) unkeep(slot int) {
	if r.kept != nil {
		r.kept[1+slot/8] &^= 1 << (slot % 8)
	}
}

func (r *Rows) endControl() {
	if r.control == nil {
		if r.kept == nil {
			return
		}
		r.control = newVec(sqltypes.Bytea, r.room, 0)
		for range r.n {
			r.control.AppendNull()
		}
	}
	if r.kept == nil {
		r.control.AppendNull()
	} else {
		r.control.AppendBytes(r.kept)
	}
	r.kept = nil
}

// rollback drops everything from row n on, the values of an incomplete row included.
func (r *Rows) rollback(n int) {
	for _, v := range r.cols {
		if v.Len() >= n { // equal: bytes without a row may be left
			truncate(v, n)
		}
	}
	r.n = n
	if r.mixed {
		r.weights = r.weights[:n]
	}
	if r.kept = nil; r.control != nil && r.control.Len() > n {
		truncate(r.control, n)
	}
}

// Take returns the rows as a chunk, which the receiver owns, and starts anew; nil when there are none.
func (r *Rows) Take() *delta.Chunk {
	if r.n == 0 {
		return nil
	}
	for i, v := range r.cols {
		r.bytes[i] = len(v.Data) + len(v.Data)/16
	}
	r.room = min(max(r.n, r.room/2), 2*delta.BatchRows)
	cols := r.cols
	if r.control != nil {
		cols = append(cols[:len(cols):len(cols)], r.control)
	}
	c := delta.NewChunk(cols, r.weights, r.n)
	r.reset()
	return c
}

// truncate cuts a vector that is still being written down to n rows.
func truncate(v *delta.Vec, n int) {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		v.Bools = v.Bools[:n]
	case sqltypes.PhysInt64:
		v.Ints = v.Ints[:n]
	case sqltypes.PhysFloat64:
		v.Floats = v.Floats[:n]
	case sqltypes.PhysNumeric:
		v.Decs = v.Decs[:n]
	case sqltypes.PhysInterval:
		v.Intervals = v.Intervals[:n]
	case sqltypes.PhysBytes:
		v.Offsets = v.Offsets[:n+1]
		v.Data = v.Data[:v.Offsets[n]]
	}
	if v.Valid != nil {
		v.Valid = v.Valid[:(n+63)/64]
		if rest := uint(n) & 63; rest != 0 {
			v.Valid[n/64] |= ^uint64(0) << rest // appending a value relies on ones
		}
	}
	v.SetLen(n)
}
