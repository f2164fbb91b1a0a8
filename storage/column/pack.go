package column

import (
	"math"
	"slices"
	"unsafe"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Col is one packed column of a block.
type Col struct {
	n     int
	typ   sqltypes.Type
	valid []uint64 // as delta.Vec.Valid
	// numbers: value i is base plus the i-th number of the array in use; numerics have it at scale.
	numbers bool
	base    int64
	scale   int32
	w1      []uint8
	w2      []uint16
	w4      []uint32
	w8      []int64 // whole values, base is 0
	// dict: the distinct values; w1 says which one a row has.
	dict *delta.Vec
	// plain: neither.
	plain *delta.Vec

	min, max int64 // of numbers, NULLs apart; min > max: none
}

// maxDict is the most distinct strings that a block's dictionary holds.
const maxDict = 256

// Pack packs a column. It may keep v, which must not change any more.
func Pack(v *delta.Vec) *Col {
	c := &Col{n: v.Len(), typ: v.Type, valid: v.Valid, min: math.MaxInt64, max: math.MinInt64}
	switch v.Type.Phys() {
	case sqltypes.PhysInt64:
		c.pack(v, v.Ints)
	case sqltypes.PhysNumeric:
		c.packDecs(v)
	case sqltypes.PhysBytes:
		c.packBytes(v)
	default:
		c.plain = v
	}
	return c
}

// pack stores integers in as few bytes as their range needs.
func (c *Col) pack(v *delta.Vec, xs []int64) {
	c.numbers = true
	for i, x := range xs[:c.n] {
		if v.Valid == nil || !v.IsNull(i) {
			c.min, c.max = min(c.min, x), max(c.max, x)
		}
	}
	if c.min > c.max {
		c.base = 0
	} else {
		c.base = c.min
	}
	at := func(i int) uint64 {
		if v.Valid != nil && v.IsNull(i) {
			return 0
		}
		return uint64(xs[i]) - uint64(c.base)
	}
	switch span := uint64(c.max) - uint64(c.base); {
	case c.min > c.max || span < 1<<8:
		c.w1 = make([]uint8, c.n)
		for i := range c.w1 {
			c.w1[i] = uint8(at(i))
		}
	case span < 1<<16:
		c.w2 = make([]uint16, c.n)
		for i := range c.w2 {
			c.w2[i] = uint16(at(i))
		}
	case span < 1<<32:
		c.w4 = make([]uint32, c.n)
		for i := range c.w4 {
			c.w4[i] = uint32(at(i))
		}
	default:
		c.base, c.w8 = 0, slices.Clone(xs[:c.n])
	}
}

// packDecs packs numerics that are integers at one scale; others stay as they are.
func (c *Col) packDecs(v *delta.Vec) {
	xs := make([]int64, c.n)
	first := true
	for i := range xs {
		if v.IsNull(i) {
			continue
		}
		x, scale, ok := v.Decs[i].ToScaled64()
		if !ok || !first && scale != c.scale {
			c.plain, c.scale = v, 0
			return
		}
		xs[i], c.scale, first = x, scale, false
	}
	c.pack(v, xs)
}

// packBytes makes a dictionary if there are few distinct values, and that saves something.
func (c *Col) packBytes(v *delta.Vec) {
	if c.n == 0 {
		c.plain = v
		return
	}
	c.plain = delta.BytesVec(v.Type, slices.Clone(v.Offsets), slices.Clone(v.Data)) // what was appended to has room to spare
	c.plain.Valid = v.Valid
	if c.n < 64 {
		return
	}
	codes := make([]uint8, c.n)
	index := make(map[string]uint8, 64)
	dict := delta.NewBytesVec(v.Type, 0, 0)
	for i := range codes {
		if v.IsNull(i) {
			continue
		}
		b := v.Bytes(i)
		code, ok := index[string(b)]
		if !ok {
			if len(index) == maxDict || len(index) > c.n/4+8 {
				return
			}
			code = uint8(len(index))
			index[string(b)] = code
			dict.AppendBytes(b)
		}
		codes[i] = code
	}
	if dict.Len() == 0 { // NULLs only
		dict.AppendBytes(nil)
	}
	c.plain, c.dict, c.w1 = nil, dict, codes
}

// SizeBytes is what the column takes in memory.
func (c *Col) SizeBytes() int64 {
	n := int64(unsafe.Sizeof(*c)) + int64(8*len(c.valid)+len(c.w1)+2*len(c.w2)+4*len(c.w4)+8*len(c.w8))
	if c.dict != nil {
		n += int64(c.dict.SizeBytes())
	}
	if c.plain != nil {
		n += int64(c.plain.SizeBytes())
	}
	return n
}

// Bounds returns the least and the greatest number, of numerics at their scale; ok is false where that is not known.
func (c *Col) Bounds() (lo, hi int64, ok bool) { return c.min, c.max, c.numbers && c.min <= c.max }

// Dict returns the distinct values and which of them each row has; nil for a column without a dictionary. A NULL has
// any code. They must not be written.
func (c *Col) Dict() (values *delta.Vec, codes []uint8) {
	if c.dict == nil {
		return nil, nil
	}
	return c.dict, c.w1
}

// Valid is the column's delta.Vec.Valid.
func (c *Col) Valid() []uint64 { return c.valid }

// Vec unpacks the rows sel; nil means all.
func (c *Col) Vec(sel []int32) *delta.Vec {
	if c.plain != nil {
		if sel == nil {
			return c.plain
		}
		return c.plain.Gather(sel)
	}
	n := c.n
	if sel != nil {
		n = len(sel)
	}
	v := &delta.Vec{Type: c.typ, Valid: c.valid}
	v.SetLen(n)
	if sel != nil && c.valid != nil {
		v.Valid = gatherBits(c.valid, sel)
	}
	switch {
	case c.dict != nil:
		c.strings(v, sel, n)
	case c.typ.Phys() == sqltypes.PhysNumeric:
		v.Decs = c.decs(sel, n)
	default:
		v.Ints = c.ints(sel, n)
	}
	return v
}

func gatherBits(valid []uint64, sel []int32) []uint64 {
	out := make([]uint64, (len(sel)+63)/64)
	for k, i := range sel {
		out[k>>6] |= valid[uint(i)>>6] >> (uint(i) & 63) & 1 << (uint(k) & 63)
	}
	return out
}

func (c *Col) ints(sel []int32, n int) []int64 {
	if c.w8 != nil && sel == nil {
		return c.w8
	}
	out := make([]int64, n)
	switch {
	case c.w1 != nil:
		widen(out, c.w1, c.base, sel)
	case c.w2 != nil:
		widen(out, c.w2, c.base, sel)
	case c.w4 != nil:
		widen(out, c.w4, c.base, sel)
	default:
		widen(out, c.w8, 0, sel)
	}
	return out
}

func widen[T uint8 | uint16 | uint32 | int64](out []int64, in []T, base int64, sel []int32) {
	if sel == nil {
		for i, x := range in[:len(out)] {
			out[i] = base + int64(x)
		}
		return
	}
	for k, i := range sel {
		out[k] = base + int64(in[i])
	}
}

func (c *Col) decs(sel []int32, n int) []numeric.Dec {
	out := make([]numeric.Dec, n)
	switch {
	case c.w1 != nil:
		scaled(out, c.w1, c.base, c.scale, sel)
	case c.w2 != nil:
		scaled(out, c.w2, c.base, c.scale, sel)
	case c.w4 != nil:
		scaled(out, c.w4, c.base, c.scale, sel)
	default:
		scaled(out, c.w8, 0, c.scale, sel)
	}
	return out
}

func scaled[T uint8 | uint16 | uint32 | int64](out []numeric.Dec, in []T, base int64, scale int32, sel []int32) {
	if sel == nil {
		for i, x := range in[:len(out)] {
			out[i] = numeric.FromScaled(base+int64(x), scale)
		}
		return
	}
	for k, i := range sel {
		out[k] = numeric.FromScaled(base+int64(in[i]), scale)
	}
}

// strings copies dictionary entries out.
func (c *Col) strings(v *delta.Vec, sel []int32, n int) {
	v.Offsets = make([]int32, n+1)
	offs, data := c.dict.Offsets, c.dict.Data
	code := func(k int) int {
		if sel != nil {
			return int(c.w1[sel[k]])
		}
		return int(c.w1[k])
	}
	size := int32(0)
	for k := range n {
		x := code(k)
		size += offs[x+1] - offs[x]
		v.Offsets[k+1] = size
	}
	v.Data = make([]byte, size)
	for k := range n {
		x := code(k)
		copy(v.Data[v.Offsets[k]:], data[offs[x]:offs[x+1]])
	}
}
