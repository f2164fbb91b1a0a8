// Package row turns rows of chunks into bytes and back: memcomparable keys (equal values are equal bytes,
// byte order is SQL order) and exact images (what was written comes back to the digit).
//
// The idea: keys find rows, images are rows. 1.0 and 1.00 have one key and two images; a row's identity in
// a bag is the 128-bit hash of its image.
//
// Codecs are immutable after construction except for scratch space, hence one per goroutine.
//
// Key: per column a null marker (storage/key) and the value's key encoding, inverted for DESC.
// Image: ⌈n/8⌉ bytes of null bits (1 = NULL), then each value that is not NULL: bool 1 byte; integers, dates
// and times as signed varints; floats 8 bytes; numeric and interval as their own images; bytes as length and
// data. Relations put their schema version as a varint in front. See docs/format/row.md.
//
// It knows nothing of tables or vnodes beyond the hash. Start at KeyCodec and AppendImage.
package row

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// VNodes is the number of vnodes that rows are spread over.
const VNodes = 256

// KeyCol is one column of a key.
type KeyCol struct {
	Col        int
	Desc       bool
	NullsFirst bool
}

// Cols makes ascending key columns with NULLs last.
func Cols(cols ...int) []KeyCol {
	out := make([]KeyCol, len(cols))
	for i, c := range cols {
		out[i] = KeyCol{Col: c}
	}
	return out
}

// AppendKey appends the key of row i over cols.
func AppendKey(dst []byte, vecs []*delta.Vec, cols []KeyCol, i int) []byte {
	for _, c := range cols {
		v := vecs[c.Col]
		if v.IsNull(i) {
			dst = key.AppendNull(dst, c.NullsFirst)
			continue
		}
		dst = key.AppendNotNull(dst)
		at := len(dst)
		switch v.Type.Phys() {
		case sqltypes.PhysInt64:
			dst = key.AppendInt64(dst, v.Ints[i])
		case sqltypes.PhysFloat64:
			dst = key.AppendFloat64(dst, v.Floats[i])
		case sqltypes.PhysBool:
			dst = key.AppendBool(dst, v.Bools[i])
		default:
			dst = sqlio.AppendKey(dst, v, i)
		}
		if c.Desc {
			key.Invert(dst[at:])
		}
	}
	return dst
}

// AppendKeyDatums appends the key of boxed values, one per column of cols, in cols' order (Col is ignored).
func AppendKeyDatums(dst []byte, types []sqltypes.Type, cols []KeyCol, vals []sqltypes.Datum) []byte {
	for k, d := range vals {
		v := delta.Repeat(types[k], d, 1)
		dst = AppendKey(dst, []*delta.Vec{v}, []KeyCol{{0, cols[k].Desc, cols[k].NullsFirst}}, 0)
	}
	return dst
}

// HasNull reports whether a key column of row i is NULL.
func HasNull(vecs []*delta.Vec, cols []KeyCol, i int) bool {
	for _, c := range cols {
		if vecs[c.Col].IsNull(i) {
			return true
		}
	}
	return false
}

// Batch is the keys of many rows in one buffer, with their hashes.
type Batch struct {
	Buf    []byte
	Ends   []int32
	Hashes []uint64
}

// Key returns the k-th key; it aliases the batch.
func (b *Batch) Key(k int) []byte {
	start := int32(0)
	if k > 0 {
		start = b.Ends[k-1]
	}
	return b.Buf[start:b.Ends[k]]
}

// VNode returns the vnode of the k-th key, for keys that are distribution keys.
func (b *Batch) VNode(k int) uint16 { return uint16(b.Hashes[k] % VNodes) }

// Fill encodes and hashes the keys of all rows that c selects.
func (b *Batch) Fill(c *delta.Chunk, cols []KeyCol) {
	b.Buf, b.Ends, b.Hashes = b.Buf[:0], b.Ends[:0], b.Hashes[:0]
	n := c.Len()
	if len(cols) == 1 && b.fillInts(c, cols[0]) {
		return
	}
	for k := range n {
		at := len(b.Buf)
		b.Buf = AppendKey(b.Buf, c.Cols, cols, c.Row(k))
		b.Ends = append(b.Ends, int32(len(b.Buf)))
		b.Hashes = append(b.Hashes, key.Hash(b.Buf[at:]))
	}
}

// fillInts is Fill for the commonest key: one integer-like column without NULLs, ascending.
func (b *Batch) fillInts(c *delta.Chunk, col KeyCol) bool {
	v := c.Cols[col.Col]
	if v.Type.Phys() != sqltypes.PhysInt64 || v.HasNulls() || col.Desc {
		return false
	}
	for k := range c.Len() {
		at := len(b.Buf)
		b.Buf = key.AppendInt64(key.AppendNotNull(b.Buf), v.Ints[c.Row(k)])
		b.Ends = append(b.Ends, int32(len(b.Buf)))
		b.Hashes = append(b.Hashes, key.Hash(b.Buf[at:]))
	}
	return true
}

// AppendImage appends the exact image of row i over the given columns (nil: all).
func AppendImage(dst []byte, vecs []*delta.Vec, cols []int, i int) []byte {
	n := len(cols)
	if cols == nil {
		n = len(vecs)
	}
	bits := len(dst)
	for range (n + 7) / 8 {
		dst = append(dst, 0)
	}
	for k := range n {
		c := k
		if cols != nil {
			c = cols[k]
		}
		v := vecs[c]
		if v.IsNull(i) {
			dst[bits+k/8] |= 1 << (k % 8)
			continue
		}
		dst = appendValue(dst, v, i)
	}
	return dst
}

func appendValue(dst []byte, v *delta.Vec, i int) []byte {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		if v.Bools[i] {
			return append(dst, 1)
		}
		return append(dst, 0)
	case sqltypes.PhysInt64:
		return binary.AppendVarint(dst, v.Ints[i])
	case sqltypes.PhysFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Floats[i]))
	case sqltypes.PhysNumeric:
		return v.Decs[i].AppendImage(dst)
	case sqltypes.PhysInterval:
		x := v.Intervals[i]
		dst = binary.AppendVarint(dst, int64(x.Months))
		dst = binary.AppendVarint(dst, int64(x.Days))
		return binary.AppendVarint(dst, x.Micros)
	default:
		b := v.Data[v.Offsets[i]:v.Offsets[i+1]]
		return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	}
}

var errCorrupt = fmt.Errorf("decode row image: corrupt data")

// DecodeImage appends the columns of an image to vecs (one per column of the image; nil entries are
// skipped) and returns what follows the image.
func DecodeImage(b []byte, types []sqltypes.Type, vecs []*delta.Vec) ([]byte, error) {
	n := len(types)
	if len(b) < (n+7)/8 {
		return nil, errCorrupt
	}
	bits := b[:(n+7)/8]
	b = b[(n+7)/8:]
	for k := range n {
		if bits[k/8]&(1<<(k%8)) != 0 {
			if vecs[k] != nil {
				vecs[k].AppendNull()
			}
			continue
		}
		var err error
		if b, err = decodeValue(b, types[k].Phys(), vecs[k]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// decodeValue appends one value to v, which may be nil.
func decodeValue(b []byte, phys sqltypes.Phys, v *delta.Vec) ([]byte, error) {
	switch phys {
	case sqltypes.PhysBool:
		if len(b) < 1 {
			return nil, errCorrupt
		}
		if v != nil {
			v.AppendBool(b[0] != 0)
		}
		return b[1:], nil
	case sqltypes.PhysInt64:
		x, n := binary.Varint(b)
		if n <= 0 {
			return nil, errCorrupt
		}
		if v != nil {
			v.AppendInt(x)
		}
		return b[n:], nil
	case sqltypes.PhysFloat64:
		if len(b) < 8 {
			return nil, errCorrupt
		}
		if v != nil {
			v.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
		return b[8:], nil
	case sqltypes.PhysNumeric:
		d, rest, err := numeric.DecodeImage(b)
		if err != nil {
			return nil, err
		}
		if v != nil {
			v.AppendDec(d)
		}
		return rest, nil
	case sqltypes.PhysInterval:
		return decodeInterval(b, v)
	default:
		n, w := binary.Uvarint(b)
		if w <= 0 || uint64(len(b)-w) < n {
			return nil, errCorrupt
		}
		if v != nil {
			v.AppendBytes(b[w : w+int(n)])
		}
		return b[w+int(n):], nil
	}
}

func decodeInterval(b []byte, v *delta.Vec) ([]byte, error) {
	var f [3]int64
	for i := range f {
		x, n := binary.Varint(b)
		if n <= 0 {
			return nil, errCorrupt
		}
		f[i], b = x, b[n:]
	}
	if v != nil {
		v.AppendInterval(datetime.Interval{Months: int32(f[0]), Days: int32(f[1]), Micros: f[2]})
	}
	return b, nil
}
