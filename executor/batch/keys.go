package batch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	image "github.com/millrace/millrace/storage/row"
)

// keyClass says how values of a column are compared and encoded as keys.
type keyClass uint8

const (
	keyInt   keyClass = iota // order and equality of int64
	keyBool                  // false < true
	keyFloat                 // −0 = 0, NaN is one value above all others
	keyBytes                 // bytewise
	keyOther                 // whatever sqlio.AppendKey says
)

func classOf(t sqltypes.Type) keyClass {
	switch t.Kind {
	case sqltypes.KTimetz:
		return keyOther
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KBytea, sqltypes.KUUID, sqltypes.KName:
		return keyBytes
	}
	switch t.Phys() {
	case sqltypes.PhysBool:
		return keyBool
	case sqltypes.PhysInt64:
		return keyInt
	case sqltypes.PhysFloat64:
		return keyFloat
	}
	return keyOther
}

func classesOf(types []sqltypes.Type, cols []int) []keyClass {
	out := make([]keyClass, len(cols))
	for k, c := range cols {
		out[k] = classOf(types[c])
	}
	return out
}

// appendEqual appends an encoding of a value that is not NULL: equal values have equal bytes, and no encoding is the
// beginning of another. It does not keep order, which makes it cheaper than appendOrder.
func appendEqual(dst []byte, class keyClass, v *delta.Vec, i int) []byte {
	switch class {
	case keyInt:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.Ints[i]))
	case keyBool:
		return key.AppendBool(dst, v.Bools[i])
	case keyFloat:
		return key.AppendFloat64(dst, v.Floats[i])
	case keyBytes:
		b := v.Bytes(i)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
		return append(dst, b...)
	}
	return sqlio.AppendKey(dst, v, i)
}

// appendOrder appends an encoding of a value that is not NULL whose bytewise order is the order of the values.
func appendOrder(dst []byte, class keyClass, v *delta.Vec, i int) []byte {
	switch class {
	case keyInt:
		return key.AppendInt64(dst, v.Ints[i])
	case keyBool:
		return key.AppendBool(dst, v.Bools[i])
	case keyFloat:
		return key.AppendFloat64(dst, v.Floats[i])
	case keyBytes:
		return key.AppendBytes(dst, v.Bytes(i))
	}
	return sqlio.AppendKey(dst, v, i)
}

// comparer compares values of one type that are not NULL.
type comparer struct {
	class keyClass
	a, b  []byte
}

func (c *comparer) compare(x *delta.Vec, i int, y *delta.Vec, j int) int {
	switch c.class {
	case keyInt:
		return cmp.Compare(x.Ints[i], y.Ints[j])
	case keyFloat:
		return compareFloats(x.Floats[i], y.Floats[j])
	case keyBytes:
		return bytes.Compare(x.Bytes(i), y.Bytes(j))
	}
	c.a = appendOrder(c.a[:0], c.class, x, i)
	c.b = appendOrder(c.b[:0], c.class, y, j)
	return bytes.Compare(c.a, c.b)
}

// compareFloats is PostgreSQL's order: NaN equals NaN and is above everything.
func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	an, bn := math.IsNaN(a), math.IsNaN(b)
	switch {
	case an && bn:
		return 0
	case an:
		return 1
	}
	return -1
}

// rowEqual tells whether two rows have equal values, NULLs being equal, in some columns.
type rowEqual struct {
	cols []*delta.Vec
	cmp  []comparer
}

func newRowEqual(ch *delta.Chunk, cols []int) *rowEqual {
	e := &rowEqual{}
	for _, c := range cols {
		e.cols = append(e.cols, ch.Cols[c])
		e.cmp = append(e.cmp, comparer{class: classOf(ch.Cols[c].Type)})
	}
	return e
}

func (e *rowEqual) equal(i, j int) bool {
	for k, v := range e.cols {
		in, jn := v.IsNull(i), v.IsNull(j)
		if in || jn {
			if in != jn {
				return false
			}
			continue
		}
		if e.cmp[k].compare(v, i, v, j) != 0 {
			return false
		}
	}
	return true
}

// orderKey is one column of an order.
type orderKey struct {
	col        int // -1: the row's exact image, as the last key
	class      keyClass
	desc       bool
	nullsFirst bool
}

func orderKeys(types []sqltypes.Type, keys []plan.SortKey) []orderKey {
	out := make([]orderKey, len(keys))
	for i, k := range keys {
		out[i] = orderKey{k.Col, classOf(types[k.Col]), k.Desc, k.NullsFirst}
	}
	return out
}

// tieKeys are what follows an order that may leave open which of two rows comes first.
func (q *query) tieKeys() []orderKey {
	if q.opt.ExactTies {
		return []orderKey{{col: -1}}
	}
	return nil
}

// partitionKeys orders by columns in some way that keeps equal values together.
func partitionKeys(types []sqltypes.Type, cols []int) []orderKey {
	out := make([]orderKey, len(cols))
	for i, c := range cols {
		out[i] = orderKey{col: c, class: classOf(types[c])}
	}
	return out
}

// appendSortKey appends the key of row i; bytes.Compare orders keys as the columns say. The encoding is
// self-delimiting. Without marks, the columns must be free of NULLs.
func appendSortKey(dst []byte, keys []orderKey, cols []*delta.Vec, i int, marks bool) []byte {
	for k := range keys {
		o := &keys[k]
		if o.col < 0 {
			return image.AppendImage(dst, cols, nil, i)
		}
		v := cols[o.col]
		if marks {
			if v.IsNull(i) {
				dst = key.AppendNull(dst, o.nullsFirst)
				continue
			}
			dst = key.AppendNotNull(dst)
		}
		start := len(dst)
		dst = appendOrder(dst, o.class, v, i)
		if o.desc {
			key.Invert(dst[start:])
		}
	}
	return dst
}
