package delta

import (
	"math/bits"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Vec is one column of a chunk. Exactly one of the value slices is in use, chosen by Type.Phys():
//
//	PhysBool     Bools[i]
//	PhysInt64    Ints[i]
//	PhysFloat64  Floats[i]
//	PhysNumeric  Decs[i]
//	PhysInterval Intervals[i]
//	PhysBytes    Data[Offsets[i]:Offsets[i+1]], Offsets has N+1 entries, ascending
//
// The layout is Arrow's (bool as bytes and narrow integers widened apart), so that wrapping a Vec as an
// Arrow array copies nothing for bigint, double, timestamp, text and bytea. Values at NULL positions and
// at positions outside a selection are undefined but readable.
//
// A Vec is immutable once it has been handed on.
type Vec struct {
	Type sqltypes.Type
	// Valid has a bit per row, 1 = not NULL, least significant first (Arrow's polarity); nil: no NULLs.
	Valid     []uint64
	Bools     []bool
	Ints      []int64
	Floats    []float64
	Decs      []numeric.Dec
	Intervals []datetime.Interval
	Offsets   []int32
	Data      []byte
	// Same says that all rows hold the same value (a repeated constant); kernels may exploit it.
	Same bool
	n    int
}

// NewVec returns a vector of n rows with room for its values: zero values, and for bytes empty strings.
// Bytes vectors are filled in row order with AppendBytes starting from NewBytesVec instead.
func NewVec(t sqltypes.Type, n int) *Vec {
	v := &Vec{Type: t, n: n}
	switch t.Phys() {
	case sqltypes.PhysBool:
		v.Bools = make([]bool, n)
	case sqltypes.PhysInt64:
		v.Ints = make([]int64, n)
	case sqltypes.PhysFloat64:
		v.Floats = make([]float64, n)
	case sqltypes.PhysNumeric:
		v.Decs = make([]numeric.Dec, n)
	case sqltypes.PhysInterval:
		v.Intervals = make([]datetime.Interval, n)
	case sqltypes.PhysBytes:
		v.Offsets = make([]int32, n+1)
	}
	return v
}

// NewBytesVec returns an empty PhysBytes vector with room for n rows of size bytes in all.
func NewBytesVec(t sqltypes.Type, n, size int) *Vec {
	return &Vec{Type: t, Offsets: append(make([]int32, 0, n+1), 0), Data: make([]byte, 0, size)}
}

// IntVec wraps values without copying.
func IntVec(t sqltypes.Type, values []int64) *Vec { return &Vec{Type: t, Ints: values, n: len(values)} }

// BytesVec wraps offsets (n+1 of them) and data without copying.
func BytesVec(t sqltypes.Type, offsets []int32, data []byte) *Vec {
	return &Vec{Type: t, Offsets: offsets, Data: data, n: len(offsets) - 1}
}

// Room gives an empty vector room for n rows, of size bytes in all if it is a PhysBytes vector.
func (v *Vec) Room(n, size int) {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		v.Bools = make([]bool, 0, n)
	case sqltypes.PhysInt64:
		v.Ints = make([]int64, 0, n)
	case sqltypes.PhysFloat64:
		v.Floats = make([]float64, 0, n)
	case sqltypes.PhysNumeric:
		v.Decs = make([]numeric.Dec, 0, n)
	case sqltypes.PhysInterval:
		v.Intervals = make([]datetime.Interval, 0, n)
	case sqltypes.PhysBytes:
		v.Offsets = append(make([]int32, 0, n+1), 0)
		v.Data = make([]byte, 0, size)
	}
}

// Len returns the number of rows, selected or not.
func (v *Vec) Len() int { return v.n }

// SetLen declares the number of rows after value slices were appended to directly.
func (v *Vec) SetLen(n int) { v.n = n }

// Reset empties v for other values of its type and keeps its memory, unless that is much.
func (v *Vec) Reset() {
	const keep = 64 << 10
	if cap(v.Data) > keep {
		v.Data = nil
	}
	v.Bools, v.Ints, v.Floats, v.Decs, v.Intervals = v.Bools[:0], v.Ints[:0], v.Floats[:0], v.Decs[:0], v.Intervals[:0]
	v.Offsets, v.Data = v.Offsets[:min(1, len(v.Offsets))], v.Data[:0]
	v.Valid, v.Same, v.n = nil, false, 0
}

// IsNull reports whether row i is NULL.
func (v *Vec) IsNull(i int) bool {
	return v.Valid != nil && v.Valid[uint(i)>>6]&(1<<(uint(i)&63)) == 0
}

// HasNulls reports whether the vector may hold NULLs.
func (v *Vec) HasNulls() bool { return v.Valid != nil }

// SetNull makes row i NULL. Only the vector's producer may call it.
func (v *Vec) SetNull(i int) {
	if v.Valid == nil {
		v.Valid = AllValid(max(v.n, i+1))
	}
	v.Valid[uint(i)>>6] &^= 1 << (uint(i) & 63)
}

// AllValid returns a validity bitmap for n rows without NULLs.
func AllValid(n int) []uint64 {
	b := make([]uint64, (n+63)/64)
	for i := range b {
		b[i] = ^uint64(0)
	}
	return b
}

// Prefix returns the first n rows, sharing the values.
func (v *Vec) Prefix(n int) *Vec {
	if n == v.n {
		return v
	}
	p := *v
	p.n = n
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		p.Bools = v.Bools[:n:n]
	case sqltypes.PhysInt64:
		p.Ints = v.Ints[:n:n]
	case sqltypes.PhysFloat64:
		p.Floats = v.Floats[:n:n]
	case sqltypes.PhysNumeric:
		p.Decs = v.Decs[:n:n]
	case sqltypes.PhysInterval:
		p.Intervals = v.Intervals[:n:n]
	case sqltypes.PhysBytes:
		p.Offsets = v.Offsets[: n+1 : n+1]
	}
	if v.Valid != nil {
		p.Valid = v.Valid[: (n+63)/64 : (n+63)/64]
	}
	return &p
}

// Retype returns the same values under another type of the same physical representation.
func (v *Vec) Retype(t sqltypes.Type) *Vec {
	if v.Type == t {
		return v
	}
	r := *v
	r.Type = t
	return &r
}

// CountNulls counts the NULLs among all rows.
func (v *Vec) CountNulls() int {
	if v.Valid == nil {
		return 0
	}
	set := 0
	for i := 0; i < v.n/64; i++ {
		set += bits.OnesCount64(v.Valid[i])
	}
	if r := uint(v.n & 63); r != 0 {
		set += bits.OnesCount64(v.Valid[v.n/64] & (1<<r - 1))
	}
	return v.n - set
}

// Bytes returns the value of row i of a PhysBytes vector; it aliases the vector.
func (v *Vec) Bytes(i int) []byte { return v.Data[v.Offsets[i]:v.Offsets[i+1]:v.Offsets[i+1]] }

// growValid keeps the bitmap long enough for row v.n, appended as valid or not.
func (v *Vec) growValid(valid bool) {
	i := v.n
	if v.Valid == nil {
		if valid {
			return
		}
		v.Valid = AllValid(i + 1)
	}
	for len(v.Valid) <= i>>6 {
		v.Valid = append(v.Valid, ^uint64(0))
	}
	if !valid {
		v.Valid[i>>6] &^= 1 << (uint(i) & 63)
	}
}

// Extend declares n more rows, none of them NULL, after their values were appended directly.
func (v *Vec) Extend(n int) {
	v.n += n
	for v.Valid != nil && len(v.Valid) < (v.n+63)/64 {
		v.Valid = append(v.Valid, ^uint64(0))
	}
}

// AppendNull appends a NULL row.
func (v *Vec) AppendNull() {
	v.growValid(false)
	v.appendZero()
}

func (v *Vec) appendZero() {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		v.Bools = append(v.Bools, false)
	case sqltypes.PhysInt64:
		v.Ints = append(v.Ints, 0)
	case sqltypes.PhysFloat64:
		v.Floats = append(v.Floats, 0)
	case sqltypes.PhysNumeric:
		v.Decs = append(v.Decs, numeric.Dec{})
	case sqltypes.PhysInterval:
		v.Intervals = append(v.Intervals, datetime.Interval{})
	case sqltypes.PhysBytes:
		if len(v.Offsets) == 0 {
			v.Offsets = append(v.Offsets, 0)
		}
		v.Offsets = append(v.Offsets, int32(len(v.Data)))
	}
	v.n++
}

// AppendBool appends a row to a PhysBool vector.
func (v *Vec) AppendBool(b bool) { v.growValid(true); v.Bools = append(v.Bools, b); v.n++ }

// AppendInt appends a row to a PhysInt64 vector.
func (v *Vec) AppendInt(x int64) { v.growValid(true); v.Ints = append(v.Ints, x); v.n++ }

// AppendFloat appends a row to a PhysFloat64 vector.
func (v *Vec) AppendFloat(x float64) { v.growValid(true); v.Floats = append(v.Floats, x); v.n++ }

// AppendDec appends a row to a PhysNumeric vector.
func (v *Vec) AppendDec(x numeric.Dec) { v.growValid(true); v.Decs = append(v.Decs, x); v.n++ }

// AppendInterval appends a row to a PhysInterval vector.
func (v *Vec) AppendInterval(x datetime.Interval) {
	v.growValid(true)
	v.Intervals = append(v.Intervals, x)
	v.n++
}

// AppendBytes appends a copy of b as a row of a PhysBytes vector.
func (v *Vec) AppendBytes(b []byte) {
	v.growValid(true)
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	v.Data = append(v.Data, b...)
	v.Offsets = append(v.Offsets, int32(len(v.Data)))
	v.n++
}

// AppendString appends a copy of s as a row of a PhysBytes vector.
func (v *Vec) AppendString(s string) {
	v.growValid(true)
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	v.Data = append(v.Data, s...)
	v.Offsets = append(v.Offsets, int32(len(v.Data)))
	v.n++
}

// EndRow ends a row of a PhysBytes vector whose bytes were appended to v.Data directly.
func (v *Vec) EndRow() {
	v.growValid(true)
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	v.Offsets = append(v.Offsets, int32(len(v.Data)))
	v.n++
}

// AppendFrom appends row i of src, which has the same physical representation.
func (v *Vec) AppendFrom(src *Vec, i int) {
	if src.IsNull(i) {
		v.AppendNull()
		return
	}
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		v.AppendBool(src.Bools[i])
	case sqltypes.PhysInt64:
		v.AppendInt(src.Ints[i])
	case sqltypes.PhysFloat64:
		v.AppendFloat(src.Floats[i])
	case sqltypes.PhysNumeric:
		v.AppendDec(src.Decs[i])
	case sqltypes.PhysInterval:
		v.AppendInterval(src.Intervals[i])
	case sqltypes.PhysBytes:
		v.AppendBytes(src.Bytes(i))
	}
}

// AppendDatum appends a boxed value; see sqltypes.Datum for the Go type of each Phys. nil is NULL.
func (v *Vec) AppendDatum(d sqltypes.Datum) {
	switch x := d.(type) {
	case nil:
		v.AppendNull()
	case bool:
		v.AppendBool(x)
	case int64:
		v.AppendInt(x)
	case float64:
		v.AppendFloat(x)
	case numeric.Dec:
		v.AppendDec(x)
	case datetime.Interval:
		v.AppendInterval(x)
	case []byte:
		v.AppendBytes(x)
	case string:
		v.AppendString(x)
	default:
		panic("delta: datum of unknown Go type")
	}
}

// Datum boxes row i. Byte values alias the vector.
func (v *Vec) Datum(i int) sqltypes.Datum {
	if v.IsNull(i) {
		return nil
	}
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		return v.Bools[i]
	case sqltypes.PhysInt64:
		return v.Ints[i]
	case sqltypes.PhysFloat64:
		return v.Floats[i]
	case sqltypes.PhysNumeric:
		return v.Decs[i]
	case sqltypes.PhysInterval:
		return v.Intervals[i]
	default:
		return v.Bytes(i)
	}
}

// Repeat returns a vector of n rows that all hold d.
func Repeat(t sqltypes.Type, d sqltypes.Datum, n int) *Vec {
	v := &Vec{Type: t}
	if t.Phys() == sqltypes.PhysBytes {
		v.Offsets = append(make([]int32, 0, n+1), 0)
	}
	for range n {
		v.AppendDatum(d)
	}
	if n == 0 {
		return NewVec(t, 0)
	}
	return v
}

// Gather returns the rows idx of v, in that order. A negative index yields NULL.
func (v *Vec) Gather(idx []int32) *Vec {
	out := &Vec{Type: v.Type, n: len(idx)}
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		out.Bools = gather(v.Bools, idx)
	case sqltypes.PhysInt64:
		out.Ints = gather(v.Ints, idx)
	case sqltypes.PhysFloat64:
		out.Floats = gather(v.Floats, idx)
	case sqltypes.PhysNumeric:
		out.Decs = gather(v.Decs, idx)
	case sqltypes.PhysInterval:
		out.Intervals = gather(v.Intervals, idx)
	case sqltypes.PhysBytes:
		out.Offsets, out.Data = v.gatherBytes(idx)
	}
	v.gatherValid(idx, out)
	return out
}

func gather[T any](src []T, idx []int32) []T {
	out := make([]T, len(idx))
	for k, i := range idx {
		if i >= 0 {
			out[k] = src[i]
		}
	}
	return out
}

func (v *Vec) gatherBytes(idx []int32) ([]int32, []byte) {
	offsets := make([]int32, len(idx)+1)
	size := int32(0)
	for k, i := range idx {
		if i >= 0 {
			size += v.Offsets[i+1] - v.Offsets[i]
		}
		offsets[k+1] = size
	}
	data := make([]byte, size)
	for k, i := range idx {
		if i >= 0 {
			copy(data[offsets[k]:], v.Data[v.Offsets[i]:v.Offsets[i+1]])
		}
	}
	return offsets, data
}

func (v *Vec) gatherValid(idx []int32, out *Vec) {
	if v.Valid == nil {
		for k, i := range idx {
			if i < 0 {
				out.SetNull(k)
			}
		}
		return
	}
	for k, i := range idx {
		if i < 0 || v.IsNull(int(i)) {
			out.SetNull(k)
		}
	}
}

// AppendVec appends the rows sel of src (all of them when sel is nil).
func (v *Vec) AppendVec(src *Vec, sel []int32) {
	if sel != nil {
		for _, i := range sel {
			v.AppendFrom(src, int(i))
		}
		return
	}
	for i := range src.n {
		v.AppendFrom(src, i)
	}
}

// Bytes held by the vector, for memory accounting.
func (v *Vec) SizeBytes() int {
	return len(v.Bools) + 8*len(v.Ints) + 8*len(v.Floats) + 32*len(v.Decs) + 16*len(v.Intervals) +
		4*len(v.Offsets) + len(v.Data) + 8*len(v.Valid)
}
