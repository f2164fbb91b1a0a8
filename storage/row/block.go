package row

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// BlockWriter writes blocks: many rows in one value, column after column. Rows that are never changed and never looked up one by
// one cost a fraction of what they do as images, to write and to read. Like an image, a block gives back exactly what was
// written. The bytes are described in docs/format/row.md.
type BlockWriter struct {
	rows []int32
	runs []rowRun
	xs   []int64
}

// rowRun is rows of a chunk that lie one after the other.
type rowRun struct{ first, end int32 }

// Append appends the rows rows of vecs as a block.
func (w *BlockWriter) Append(dst []byte, vecs []*delta.Vec, rows []int32) []byte {
	w.rows, w.runs = rows, w.runs[:0]
	for _, i := range rows {
		if n := len(w.runs); n > 0 && w.runs[n-1].end == i {
			w.runs[n-1].end++
		} else {
			w.runs = append(w.runs, rowRun{i, i + 1})
		}
	}
	w.xs = slices.Grow(w.xs[:0], len(rows))[:len(rows)]
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	for _, v := range vecs {
		dst = w.column(dst, v)
	}
	return dst
}

// Forms of a column in a block.
const (
	blockPlain  = 0
	blockScaled = 1      // numerics: integers of one scale
	blockNulls  = 1 << 7 // a bit per row, 1 = NULL, stands before the values
)

func (w *BlockWriter) column(dst []byte, v *delta.Vec) []byte {
	head := len(dst)
	dst = append(dst, blockPlain)
	nulls := false
	if v.HasNulls() {
		dst, nulls = w.bits(dst, v.IsNull)
		if nulls {
			dst[head] |= blockNulls
		} else {
			dst = dst[:head+1]
		}
	}
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		dst, _ = w.bits(dst, func(i int) bool { return v.Bools[i] })
		return dst
	case sqltypes.PhysInt64:
		for k, i := range w.rows {
			w.xs[k] = v.Ints[i]
		}
		return w.ints(dst, v, nulls)
	case sqltypes.PhysFloat64:
		for _, i := range w.rows {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Floats[i]))
		}
		return dst
	case sqltypes.PhysInterval:
		for field := range 3 {
			for k, i := range w.rows {
				x := v.Intervals[i]
				w.xs[k] = [3]int64{int64(x.Months), int64(x.Days), x.Micros}[field]
			}
			dst = w.ints(dst, v, nulls)
		}
		return dst
	case sqltypes.PhysNumeric:
		return w.decs(dst, head, v, nulls)
	}
	return w.strings(dst, v, nulls)
}

// bits appends a bit per row and tells whether any is 1.
func (w *BlockWriter) bits(dst []byte, bit func(i int) bool) ([]byte, bool) {
	at, some := len(dst), false
	dst = append(dst, make([]byte, (len(w.rows)+7)/8)...)
	for k, i := range w.rows {
		if bit(int(i)) {
			dst[at+k/8] |= 1 << (k % 8)
			some = true
		}
	}
	return dst, some
}

// ints appends w.xs: the least one as a varint, how many bytes the differences from it take, and those.
// What stands for a NULL is any number.
func (w *BlockWriter) ints(dst []byte, v *delta.Vec, nulls bool) []byte {
	if nulls {
		w.hide(v)
	}
	lo, hi := w.xs[0], w.xs[0]
	for _, x := range w.xs {
		lo, hi = min(lo, x), max(hi, x)
	}
	width := 0
	for span := uint64(hi) - uint64(lo); span > 0; span >>= 8 {
		width++
	}
	dst = append(binary.AppendVarint(dst, lo), byte(width))
	if width == 0 {
		return dst
	}
	at := len(dst)
	dst = slices.Grow(dst, width*len(w.xs)+8)[:at+width*len(w.xs)+8] // each store writes 8 bytes, the next one over what is too much
	for _, x := range w.xs {
		binary.LittleEndian.PutUint64(dst[at:], uint64(x)-uint64(lo))
		at += width
	}
	return dst[:at]
}

// hide replaces what lies at NULLs by a value that there is, so that it does not widen the others.
func (w *BlockWriter) hide(v *delta.Vec) {
	some := int64(0)
	for k, i := range w.rows {
		if !v.IsNull(int(i)) {
			some = w.xs[k]
			break
		}
	}
	for k, i := range w.rows {
		if v.IsNull(int(i)) {
			w.xs[k] = some
		}
	}
}

// decs appends numerics: as integers where all have one scale, else their images one after the other. dst[head] is the column's form.
func (w *BlockWriter) decs(dst []byte, head int, v *delta.Vec, nulls bool) []byte {
	scale, found, one := int32(0), false, true
	for k, i := range w.rows {
		w.xs[k] = 0
		if nulls && v.IsNull(int(i)) {
			continue
		}
		x, s, ok := v.Decs[i].ToScaled64()
		if one = ok && (!found || s == scale); !one {
			break
		}
		w.xs[k], scale, found = x, s, true
	}
	if one {
		dst[head] |= blockScaled
		return w.ints(binary.AppendUvarint(dst, uint64(scale)), v, nulls)
	}
	for _, i := range w.rows {
		if !nulls || !v.IsNull(int(i)) {
			dst = v.Decs[i].AppendImage(dst)
		}
	}
	return dst
}

// strings appends lengths and then the bytes. A NULL has none.
func (w *BlockWriter) strings(dst []byte, v *delta.Vec, nulls bool) []byte {
	for k, i := range w.rows {
		w.xs[k] = int64(v.Offsets[i+1] - v.Offsets[i])
		if nulls && v.IsNull(int(i)) {
			w.xs[k] = 0
		}
	}
	dst = w.ints(dst, v, false)
	if !nulls {
		for _, r := range w.runs {
			dst = append(dst, v.Data[v.Offsets[r.first]:v.Offsets[r.end]]...)
		}
		return dst
	}
	for _, i := range w.rows {
		if !v.IsNull(int(i)) {
			dst = append(dst, v.Data[v.Offsets[i]:v.Offsets[i+1]]...)
		}
	}
	return dst
}

// DecodeBlock appends the columns of a block to vecs (one per column of the block; nil entries are skipped) and returns its
// number of rows and what follows it.
func DecodeBlock(b []byte, types []sqltypes.Type, vecs []*delta.Vec) (rows int, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n == 0 || n > maxBlockRows {
		return 0, nil, errCorrupt
	}
	r := blockReader{b: b[w:], n: int(n)}
	for k, t := range types {
		r.column(t.Phys(), vecs[k])
		if r.bad {
			return 0, nil, errCorrupt
		}
	}
	return r.n, r.b, nil
}

// maxBlockRows is more than any block has; a larger number is no number of rows.
const maxBlockRows = 1 << 20

// maxScale is the largest scale of a numeric.
const maxScale = 16383

type blockReader struct {
	b   []byte
	n   int
	bad bool
}

func (r *blockReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *blockReader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

// column appends a column to v, which may be nil.
func (r *blockReader) column(phys sqltypes.Phys, v *delta.Vec) {
	form := r.bytes(1)
	if r.bad {
		return
	}
	var nulls []byte
	if form[0]&blockNulls != 0 {
		if nulls = r.bytes((r.n + 7) / 8); r.bad {
			return
		}
	}
	switch form[0] &^ blockNulls {
	case blockPlain:
		r.plain(phys, v, nulls)
	case blockScaled:
		r.scaled(phys, v)
	default:
		r.bad = true
	}
	if v == nil || r.bad {
		return
	}
	at := v.Len()
	v.Extend(r.n)
	for k := range r.n {
		if isBit(nulls, k) {
			v.SetNull(at + k)
		}
	}
}

func isBit(bits []byte, k int) bool { return bits != nil && bits[k/8]&(1<<(k%8)) != 0 }

func (r *blockReader) plain(phys sqltypes.Phys, v *delta.Vec, nulls []byte) {
	switch phys {
	case sqltypes.PhysBool:
		bits := r.bytes((r.n + 7) / 8)
		if v == nil || r.bad {
			return
		}
		for k := range r.n {
			v.Bools = append(v.Bools, isBit(bits, k))
		}
	case sqltypes.PhysInt64:
		s := r.ints()
		if v != nil && !r.bad {
			v.Ints = s.appendTo(v.Ints)
		}
	case sqltypes.PhysFloat64:
		b := r.bytes(8 * r.n)
		if v == nil {
			return
		}
		v.Floats = slices.Grow(v.Floats, r.n)
		for ; len(b) > 0; b = b[8:] {
			v.Floats = append(v.Floats, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	case sqltypes.PhysInterval:
		months, days, micros := r.ints(), r.ints(), r.ints()
		if v == nil || r.bad {
			return
		}
		v.Intervals = slices.Grow(v.Intervals, r.n)
		for k := range r.n {
			v.Intervals = append(v.Intervals, datetime.Interval{Months: int32(months.at(k)), Days: int32(days.at(k)), Micros: micros.at(k)})
		}
	case sqltypes.PhysNumeric:
		r.decs(v, nulls)
	default:
		r.strings(v)
	}
}

func (r *blockReader) scaled(phys sqltypes.Phys, v *delta.Vec) {
	scale := r.uvarint()
	s := r.ints()
	if phys != sqltypes.PhysNumeric || scale > maxScale {
		r.bad = true
	}
	if v == nil || r.bad {
		return
	}
	v.Decs = slices.Grow(v.Decs, r.n)
	for k := range r.n {
		v.Decs = append(v.Decs, numeric.FromScaled(s.at(k), int32(scale)))
	}
}

func (r *blockReader) decs(v *delta.Vec, nulls []byte) {
	for k := range r.n {
		var d numeric.Dec
		if !isBit(nulls, k) {
			var err error
			if d, r.b, err = numeric.DecodeImage(r.b); err != nil {
				r.bad = true
				return
			}
		}
		if v != nil {
			v.Decs = append(v.Decs, d)
		}
	}
}

func (r *blockReader) strings(v *delta.Vec) {
	s := r.ints()
	if r.bad {
		return
	}
	size, left := int64(0), int64(len(r.b))
	for k := range r.n {
		x := s.at(k)
		if size += x; x < 0 || size > left {
			r.bad = true
			return
		}
	}
	data := r.bytes(int(size))
	if v == nil {
		return
	}
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	end := v.Offsets[len(v.Offsets)-1]
	v.Offsets = slices.Grow(v.Offsets, r.n)
	for k := range r.n {
		end += int32(s.at(k))
		v.Offsets = append(v.Offsets, end)
	}
	v.Data = append(v.Data, data...)
}

// intSeries is the numbers of BlockWriter.ints.
type intSeries struct {
	base  int64
	width int
	n     int
	b     []byte
}

func (r *blockReader) ints() (s intSeries) {
	base, n := binary.Varint(r.b)
	if r.bad || n <= 0 || len(r.b) == n || r.b[n] > 8 {
		r.bad = true
		return s
	}
	s = intSeries{base: base, width: int(r.b[n]), n: r.n}
	r.b = r.b[n+1:]
	s.b = r.bytes(s.width * r.n)
	return s
}

// at returns the k-th number.
func (s *intSeries) at(k int) int64 {
	if s.width == 0 {
		return s.base
	}
	at := k * s.width
	if at+8 <= len(s.b) {
		return s.base + int64(binary.LittleEndian.Uint64(s.b[at:])<<(64-8*s.width)>>(64-8*s.width))
	}
	x := uint64(0)
	for i := s.width - 1; i >= 0; i-- {
		x = x<<8 | uint64(s.b[at+i])
	}
	return s.base + int64(x)
}

func (s *intSeries) appendTo(xs []int64) []int64 {
	xs = slices.Grow(xs, s.n)
	for k := range s.n {
		xs = append(xs, s.at(k))
	}
	return xs
}
