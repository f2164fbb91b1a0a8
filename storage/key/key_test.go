package key

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestGoldenBytes(t *testing.T) {
	negZero := math.Copysign(0, -1)
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"null first", AppendNull(nil, true), "00"},
		{"null last", AppendNull(nil, false), "02"},
		{"not null", AppendNotNull(nil), "01"},
		{"true", AppendBool(nil, true), "01"},
		{"true desc", AppendBoolDesc(nil, true), "fe"},
		{"int64 -1", AppendInt64(nil, -1), "7fffffffffffffff"},
		{"int64 1 desc", AppendInt64Desc(nil, 1), "7ffffffffffffffe"},
		{"uint64", AppendUint64(nil, 258), "0000000000000102"},
		{"float 0", AppendFloat64(nil, 0), "8000000000000000"},
		{"float -0", AppendFloat64(nil, negZero), "8000000000000000"},
		{"float -0 desc", AppendFloat64Desc(nil, negZero), "7fffffffffffffff"},
		{"float NaN", AppendFloat64(nil, math.NaN()), "fff8000000000001"},
		{"float other NaN", AppendFloat64(nil, math.Float64frombits(0xfff8000000000123)), "fff8000000000001"},
		{"bytes", AppendBytes(nil, "ab"), "61620001"},
		{"bytes with zero", AppendBytes(nil, "a\x00b"), "6100ff620001"},
		{"bytes desc", AppendBytesDesc(nil, "a"), "9efffe"},
		{"table key", TableKey(7, 255, []byte{9}), "0000000700ff09"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func sign(t *testing.T, what string, want int, asc, desc [2][]byte) {
	t.Helper()
	if got := bytes.Compare(asc[0], asc[1]); got != want {
		t.Errorf("%s: ascending keys compare %d, want %d (%x, %x)", what, got, want, asc[0], asc[1])
	}
	if got := bytes.Compare(desc[0], desc[1]); got != -want {
		t.Errorf("%s: descending keys compare %d, want %d (%x, %x)", what, got, -want, desc[0], desc[1])
	}
}

func checkInts(t *testing.T, a, b int64) {
	t.Helper()
	sign(t, "int64", cmp.Compare(a, b), [2][]byte{AppendInt64(nil, a), AppendInt64(nil, b)},
		[2][]byte{AppendInt64Desc(nil, a), AppendInt64Desc(nil, b)})
	sign(t, "uint64", cmp.Compare(uint64(a), uint64(b)), [2][]byte{AppendUint64(nil, uint64(a)), AppendUint64(nil, uint64(b))},
		[2][]byte{AppendUint64Desc(nil, uint64(a)), AppendUint64Desc(nil, uint64(b))})
	if v, rest, err := DecodeInt64(AppendInt64(nil, a)); v != a || len(rest) != 0 || err != nil {
		t.Errorf("int64 %d reads as %d, %v", a, v, err)
	}
	if v, rest, err := DecodeInt64Desc(AppendInt64Desc(nil, a)); v != a || len(rest) != 0 || err != nil {
		t.Errorf("descending int64 %d reads as %d, %v", a, v, err)
	}
	if v, _, err := DecodeUint64Desc(AppendUint64Desc(nil, uint64(a))); v != uint64(a) || err != nil {
		t.Errorf("descending uint64 %d reads as %d, %v", uint64(a), v, err)
	}
}

// compareFloats is PostgreSQL's order: NaN equals NaN and is above everything.
func compareFloats(a, b float64) int {
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

func checkFloats(t *testing.T, a, b float64) {
	t.Helper()
	sign(t, "float64", compareFloats(a, b), [2][]byte{AppendFloat64(nil, a), AppendFloat64(nil, b)},
		[2][]byte{AppendFloat64Desc(nil, a), AppendFloat64Desc(nil, b)})
	v, _, err := DecodeFloat64(AppendFloat64(nil, a))
	d, _, errDesc := DecodeFloat64Desc(AppendFloat64Desc(nil, a))
	if compareFloats(v, a) != 0 || compareFloats(d, a) != 0 || err != nil || errDesc != nil {
		t.Errorf("float64 %v reads as %v and %v, %v, %v", a, v, d, err, errDesc)
	}
}

func checkBytes(t *testing.T, a, b []byte) {
	t.Helper()
	ea, eb := AppendBytes(nil, a), AppendBytes(nil, b)
	da, db := AppendBytesDesc(nil, a), AppendBytesDesc(nil, b)
	sign(t, "bytes", bytes.Compare(a, b), [2][]byte{ea, eb}, [2][]byte{da, db})
	if len(a) > 0 && bytes.HasPrefix(eb, ea[:len(ea)-1]) && !bytes.Equal(a, b) && bytes.HasPrefix(eb, ea) {
		t.Errorf("key of %x is a prefix of the key of %x", a, b)
	}
	tail := []byte{0x00, 0xFF, 0x01}
	buf := []byte("kept")
	v, rest, err := DecodeBytes(append(ea, tail...), buf)
	if err != nil || !bytes.Equal(v, append([]byte("kept"), a...)) || !bytes.Equal(rest, tail) {
		t.Errorf("bytes %x read as %x, rest %x, %v", a, v, rest, err)
	}
	v, rest, err = DecodeBytesDesc(append(da, tail...), buf)
	if err != nil || !bytes.Equal(v, append([]byte("kept"), a...)) || !bytes.Equal(rest, tail) {
		t.Errorf("descending bytes %x read as %x, rest %x, %v", a, v, rest, err)
	}
	r1, err1 := SkipBytes(append(AppendBytes(nil, a), tail...), false)
	r2, err2 := SkipBytes(append(AppendBytesDesc(nil, a), tail...), true)
	if err1 != nil || err2 != nil || !bytes.Equal(r1, tail) || !bytes.Equal(r2, tail) {
		t.Errorf("skipping %x leaves %x and %x, %v, %v", a, r1, r2, err1, err2)
	}
}

func TestOrder(t *testing.T) {
	ints := []int64{math.MinInt64, math.MinInt64 + 1, -256, -255, -1, 0, 1, 255, 256, math.MaxInt64}
	for _, a := range ints {
		for _, b := range ints {
			checkInts(t, a, b)
		}
	}
	floats := []float64{math.Inf(-1), -math.MaxFloat64, -1.5, -1, -math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0,
		math.SmallestNonzeroFloat64, 1, 1.5, math.MaxFloat64, math.Inf(1), math.NaN()}
	for _, a := range floats {
		for _, b := range floats {
			checkFloats(t, a, b)
		}
	}
	texts := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00\x00", "a\x00b", "a\x01", "a\xff", "ab", "abc", "b", "\xff", "\xff\x00", "\xff\xff",
		strings.Repeat("x", 100)}
	for _, a := range texts {
		for _, b := range texts {
			checkBytes(t, []byte(a), []byte(b))
		}
	}
}

func TestNullOrder(t *testing.T) {
	one, two := AppendInt64(AppendNotNull(nil), 1), AppendInt64(AppendNotNull(nil), 2)
	first, last := AppendNull(nil, true), AppendNull(nil, false)
	if !(bytes.Compare(first, one) < 0 && bytes.Compare(one, two) < 0 && bytes.Compare(two, last) < 0) {
		t.Error("nulls do not sort at the ends")
	}
	for _, c := range []struct {
		in   []byte
		null bool
		err  error
	}{{first, true, nil}, {last, true, nil}, {one, false, nil}, {nil, false, ErrCorrupt}, {[]byte{3}, false, ErrCorrupt}} {
		if null, _, err := DecodeNull(c.in); null != c.null || err != c.err {
			t.Errorf("marker %x reads as %v, %v", c.in, null, err)
		}
	}
}

func TestDecodeCorrupt(t *testing.T) {
	for _, in := range []string{"", "a", "a\x00", "a\x00\x02", "a\x00\xffb"} {
		desc := []byte(in)
		Invert(desc)
		_, _, err := DecodeBytes([]byte(in), nil)
		_, _, errDesc := DecodeBytesDesc(desc, nil)
		_, errSkip := SkipBytes([]byte(in), false)
		for _, e := range []error{err, errDesc, errSkip} {
			if !errors.Is(e, ErrCorrupt) {
				t.Errorf("%q: %v", in, e)
			}
		}
	}
	if _, _, err := DecodeInt64([]byte{1, 2, 3}); err != ErrCorrupt {
		t.Errorf("short integer: %v", err)
	}
	if _, _, err := DecodeBool([]byte{2}); err != ErrCorrupt {
		t.Errorf("bool 2: %v", err)
	}
	if _, _, _, err := Split([]byte{1, 2, 3, 4, 5}); err != ErrCorrupt {
		t.Errorf("short table key: %v", err)
	}
}

func TestRanges(t *testing.T) {
	table, vnode, pk, err := Split(TableKey(300, 17, []byte("pk")))
	if table != 300 || vnode != 17 || string(pk) != "pk" || err != nil {
		t.Errorf("split gives %d, %d, %q, %v", table, vnode, pk, err)
	}
	if r := TableRange(300); !r.Contains(TableKey(300, 0, nil)) || !r.Contains(TableKey(300, 65535, []byte{0xFF, 0xFF})) ||
		r.Contains(TableKey(301, 0, nil)) || r.Contains(TableKey(299, 65535, []byte{0xFF})) {
		t.Error("table range is wrong")
	}
	if r := VNodeRange(300, 255); !r.Contains(TableKey(300, 255, []byte{0xFF})) || r.Contains(TableKey(300, 256, nil)) {
		t.Error("vnode range is wrong")
	}
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\xff": "b", "\x00": "\x01"} {
		if got := PrefixEnd([]byte(in)); string(got) != want {
			t.Errorf("end of %q is %q", in, got)
		}
	}
	if PrefixEnd([]byte{0xFF}) != nil || PrefixEnd(nil) != nil || !PrefixRange(nil).Contains([]byte{0xFF}) {
		t.Error("a prefix without an end has one")
	}
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"), int64(1), int64(-1), uint64(0x7ff8000000000001), uint64(1<<63))
	f.Fuzz(func(t *testing.T, a, b []byte, i, j int64, x, y uint64) {
		checkBytes(t, a, b)
		checkInts(t, i, j)
		checkFloats(t, math.Float64frombits(x), math.Float64frombits(y))
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a\x00\xff\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, rest, err := DecodeBytes(b, nil); err == nil && !bytes.Equal(append(AppendBytes(nil, v), rest...), b) {
			t.Errorf("%x reads as %x and is not written back", b, v)
		}
		if v, rest, err := DecodeBytesDesc(b, nil); err == nil && !bytes.Equal(append(AppendBytesDesc(nil, v), rest...), b) {
			t.Errorf("descending %x reads as %x and is not written back", b, v)
		}
		if v, rest, err := DecodeInt64(b); err == nil && !bytes.Equal(append(AppendInt64(nil, v), rest...), b) {
			t.Errorf("%x reads as %d and is not written back", b, v)
		}
		DecodeNull(b)
		DecodeBool(b)
		DecodeFloat64Desc(b)
		Split(b)
	})
}

func BenchmarkAppendBytes(b *testing.B) {
	dst := make([]byte, 0, 64)
	for b.Loop() {
		dst = AppendBytes(dst[:0], "a text of 24 bytes, say.")
	}
}
