package keyenc

import (
	"bytes"
	"cmp"
	"math"
	"testing"
)

func FuzzInt64(f *testing.F) {
	f.Add(int64(math.MinInt64), int64(math.MaxInt64))
	f.Add(int64(-1), int64(0))
	f.Fuzz(func(t *testing.T, a, b int64) {
		ka, kb := AppendInt64(nil, a), AppendInt64(nil, b)
		if bytes.Compare(ka, kb) != cmp.Compare(a, b) {
			t.Fatalf("%d and %d: %x and %x", a, b, ka, kb)
		}
		if v, rest, err := DecodeInt64(append(ka, 7)); v != a || len(rest) != 1 || err != nil {
			t.Fatalf("%d decodes as %d, %v", a, v, err)
		}
	})
}

// order is PostgreSQL's: NaN last.
func order(a, b float64) int {
	switch {
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	case b != b:
		return -1
	}
	return cmp.Compare(a, b)
}

func FuzzFloat64(f *testing.F) {
	for _, v := range []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1, -1, 5e-324} {
		f.Add(v, 0.0)
		f.Add(math.Inf(1), v)
	}
	f.Fuzz(func(t *testing.T, a, b float64) {
		ka, kb := AppendFloat64(nil, a), AppendFloat64(nil, b)
		if bytes.Compare(ka, kb) != order(a, b) {
			t.Fatalf("%v and %v: %x and %x", a, b, ka, kb)
		}
		if v, rest, err := DecodeFloat64(append(ka, 7)); order(v, a) != 0 || len(rest) != 1 || err != nil {
			t.Fatalf("%v decodes as %v, %v", a, v, err)
		}
	})
}

func FuzzBytes(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"))
	f.Add([]byte(""), []byte("\x00\xff"))
	f.Add([]byte("\x00\x01"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ka, kb := AppendBytes(nil, a), AppendBytes(nil, b)
		if bytes.Compare(ka, kb) != bytes.Compare(a, b) {
			t.Fatalf("%x and %x: %x and %x", a, b, ka, kb)
		}
		// Followed by anything the order must not change, and decoding must stop at the right place.
		if v, rest, err := DecodeBytes(append(ka, b...)); !bytes.Equal(v, a) || !bytes.Equal(rest, b) || err != nil {
			t.Fatalf("%x decodes as %x, rest %x, %v", a, v, rest, err)
		}
		_, _, _ = DecodeBytes(a)
	})
}

func TestBoolOrder(t *testing.T) {
	lo, hi := AppendBool(nil, false), AppendBool(nil, true)
	if bytes.Compare(lo, hi) >= 0 {
		t.Fatalf("false %x is not before true %x", lo, hi)
	}
	if b, _, err := DecodeBool(hi); !b || err != nil {
		t.Fatalf("true decodes as %v, %v", b, err)
	}
}
