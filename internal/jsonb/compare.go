package jsonb

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/numeric"
)

// Compare is PostgreSQL's btree order of jsonb: object > array > boolean > number > string > null; containers
// by their number of parts first, strings by bytes. An empty array alone, outside any container, comes before
// all scalars: PostgreSQL holds a lone scalar as an array of one element.
func Compare(a, b []byte) int {
	if c := cmp.Compare(rank(b), rank(a)); c != 0 {
		return c
	}
	return compare(a, b)
}

// rank is 1 for the empty array, which sorts before everything at top level.
func rank(v []byte) int {
	if KindOf(v) == Array && Len(v) == 0 {
		return 1
	}
	return 0
}

func compare(a, b []byte) int {
	ka, kb := KindOf(a), KindOf(b)
	if ka != kb {
		return cmp.Compare(ka, kb)
	}
	switch ka {
	case String:
		return bytes.Compare(a[1:], b[1:])
	case Number:
		x, _ := NumberValue(a)
		y, _ := NumberValue(b)
		return x.Cmp(y)
	case Bool:
		return cmp.Compare(a[0], b[0])
	case Array, Object:
		return compareContainers(a, b, ka == Object)
	}
	return 0
}

func compareContainers(a, b []byte, object bool) int {
	x, y := openContainer(a), openContainer(b)
	if x.n != y.n {
		return cmp.Compare(x.n, y.n)
	}
	for i := range x.n {
		if !object {
			if c := compare(x.part(i), y.part(i)); c != 0 {
				return c
			}
			continue
		}
		if c := bytes.Compare(x.part(i), y.part(i)); c != 0 {
			return c
		}
		if c := compare(x.value(i), y.value(i)); c != 0 {
			return c
		}
	}
	return 0
}

// Class bytes of a key, in order.
const (
	keyEmptyArray = 0x08 // only at top level
	keyNull       = 0x10
	keyString     = 0x20
	keyNumber     = 0x30
	keyFalse      = 0x40
	keyTrue       = 0x41
	keyArray      = 0x50
	keyObject     = 0x60
)

// AppendKey appends an encoding whose byte order is Compare's order; equal values have equal bytes, and no
// encoding is a prefix of another.
func AppendKey(dst, v []byte) []byte {
	if rank(v) == 1 {
		return append(dst, keyEmptyArray)
	}
	return appendKey(dst, v)
}

func appendKey(dst, v []byte) []byte {
	switch KindOf(v) {
	case String:
		return keyenc.AppendBytes(append(dst, keyString), v[1:])
	case Number:
		d, _, err := numeric.DecodeImage(v[1:])
		if err != nil {
			d = numeric.Dec{}
		}
		return d.AppendKey(append(dst, keyNumber))
	case Bool:
		if v[0] == tagTrue {
			return append(dst, keyTrue)
		}
		return append(dst, keyFalse)
	case Array:
		c := openContainer(v)
		dst = binary.BigEndian.AppendUint32(append(dst, keyArray), uint32(c.n))
		for i := range c.n {
			dst = appendKey(dst, c.part(i))
		}
		return dst
	case Object:
		c := openContainer(v)
		dst = binary.BigEndian.AppendUint32(append(dst, keyObject), uint32(c.n))
		for i := range c.n {
			dst = keyenc.AppendBytes(dst, c.part(i))
			dst = appendKey(dst, c.value(i))
		}
		return dst
	}
	return append(dst, keyNull)
}
