package expr

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Bit strings. Functions are declared over bit, operators of concatenation and comparison over bit varying as well, as in
// PostgreSQL: either type becomes the other by itself.

// bitsWriter builds a bit string by runs of bits.
type bitsWriter struct {
	data []byte
	n    int
}

// add appends bits from to to of b.
func (w *bitsWriter) add(b sqlio.Bits, from, to int) {
	for w.n%8 != 0 && from < to {
		w.data[w.n/8] |= b.At(from) << (7 - w.n%8)
		w.n++
		from++
	}
	for ; from+8 <= to; from += 8 {
		w.data = append(w.data, byteAt(b, from))
		w.n += 8
	}
	if from < to {
		n := to - from
		w.data = append(w.data, byteAt(b, from)&(0xFF<<(8-n)))
		w.n += n
	}
}

// zeros appends n zeros.
func (w *bitsWriter) zeros(n int) {
	w.n += n
	for len(w.data) < (w.n+7)/8 {
		w.data = append(w.data, 0)
	}
}

func (w *bitsWriter) appendTo(dst []byte) []byte { return sqlio.AppendBits(dst, w.data, w.n) }

// byteAt returns the eight bits from i on, zeros behind the end.
func byteAt(b sqlio.Bits, i int) byte {
	k, shift := i/8, i%8
	out := b.Data[k] << shift
	if shift > 0 && k+1 < len(b.Data) {
		out |= b.Data[k+1] >> (8 - shift)
	}
	return out
}

// onBits makes the kernel of an operator on the bits of two strings of one length; verb names it in the error.
func onBits(op func(x, y byte) byte, verb string) Kernel {
	return b2e(func(dst, x, y []byte) ([]byte, error) { return appendOnBits(dst, x, y, op, verb) })
}

func appendOnBits(dst, x, y []byte, op func(x, y byte) byte, verb string) ([]byte, error) {
	a, b := sqlio.ReadBits(x), sqlio.ReadBits(y)
	if a.Len != b.Len {
		return dst, sqlerr.New(sqlerr.StringDataLengthMismatch, "cannot %s bit strings of different sizes", verb)
	}
	data := make([]byte, len(a.Data))
	for i := range data {
		data[i] = op(a.Data[i], b.Data[i])
	}
	return sqlio.AppendBits(dst, data, a.Len), nil
}

func andBits(x, y byte) byte { return x & y }

func orBits(x, y byte) byte { return x | y }

func xorBits(x, y byte) byte { return x ^ y }

func notBits(dst, b []byte) []byte {
	in := sqlio.ReadBits(b)
	data := make([]byte, len(in.Data))
	for i, x := range in.Data {
		data[i] = ^x
	}
	return sqlio.AppendBits(dst, data, in.Len)
}

// shiftBits moves bits n places to the left, or to the right for a negative n, and keeps the length.
func shiftBits(dst, b []byte, n int64) []byte {
	in := sqlio.ReadBits(b)
	size := int64(in.Len)
	n = max(-size, min(n, size))
	var w bitsWriter
	if n >= 0 {
		w.add(in, int(n), in.Len)
		w.zeros(int(n))
	} else {
		w.zeros(int(-n))
		w.add(in, 0, int(size+n))
	}
	return w.appendTo(dst)
}

func concatBits(dst, x, y []byte) ([]byte, error) {
	a, b := sqlio.ReadBits(x), sqlio.ReadBits(y)
	if a.Len > sqlio.MaxBits-b.Len {
		return dst, sqlio.ErrBitsTooLong()
	}
	var w bitsWriter
	w.add(a, 0, a.Len)
	w.add(b, 0, b.Len)
	return w.appendTo(dst), nil
}

func substringBits(dst, b []byte, start, length int64, bounded bool) ([]byte, error) {
	from, to, err := clip(start, length, bounded)
	if err != nil {
		return dst, err
	}
	in := sqlio.ReadBits(b)
	n := int64(in.Len)
	from, to = min(from, n), min(to, n)
	var w bitsWriter
	w.add(in, int(from), int(max(from, to)))
	return w.appendTo(dst), nil
}

// overlayBits replaces n bits from start on.
func overlayBits(dst, b, repl []byte, start, n int64) ([]byte, error) {
	in, by := sqlio.ReadBits(b), sqlio.ReadBits(repl)
	switch {
	case start <= 0:
		return dst, errNegativeLen
	case start+n > math.MaxInt32 || start+n < math.MinInt32:
		return dst, errInt4Range
	}
	var w bitsWriter
	w.add(in, 0, int(min(start-1, int64(in.Len))))
	w.add(by, 0, by.Len)
	w.add(in, int(max(0, min(start+n-1, int64(in.Len)))), in.Len)
	return w.appendTo(dst), nil
}

// positionBits returns the place of needle in b from 1, 0 if it is not there.
func positionBits(b, needle []byte) int64 {
	in, sub := sqlio.ReadBits(b), sqlio.ReadBits(needle)
	switch {
	case in.Len == 0 || sub.Len > in.Len:
		return 0
	case sub.Len == 0:
		return 1
	}
	for at := range in.Len - sub.Len + 1 {
		if bitsBegin(in, at, sub) {
			return int64(at) + 1
		}
	}
	return 0
}

// bitsBegin reports whether sub lies in b from bit at on, where there is room for it.
func bitsBegin(b sqlio.Bits, at int, sub sqlio.Bits) bool {
	last := len(sub.Data) - 1
	for i, x := range sub.Data[:last] {
		if byteAt(b, at+8*i) != x {
			return false
		}
	}
	unused := 8*len(sub.Data) - sub.Len
	return (byteAt(b, at+8*last)^sub.Data[last])>>unused == 0
}

func errBitIndex(i int64, n int) error {
	return sqlerr.New(sqlerr.ArraySubscriptError, "bit index %d out of valid range (0..%d)", i, n-1)
}

func getBitOfBits(b []byte, i int64) (int64, error) {
	in := sqlio.ReadBits(b)
	if i < 0 || i >= int64(in.Len) {
		return 0, errBitIndex(i, in.Len)
	}
	return int64(in.At(int(i))), nil
}

func setBitOfBits(dst, b []byte, i, bit int64) ([]byte, error) {
	in := sqlio.ReadBits(b)
	if i < 0 || i >= int64(in.Len) {
		return dst, errBitIndex(i, in.Len)
	}
	if bit != 0 && bit != 1 {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "new bit must be 0 or 1")
	}
	at := len(dst) + 1 + int(i/8)
	dst = append(dst, b...)
	dst[at] = dst[at]&^(0x80>>(i%8)) | byte(bit)<<(7-i%8)
	return dst, nil
}

func countBits(b []byte) int64 {
	n := 0
	for _, x := range sqlio.ReadBits(b).Data {
		n += bits.OnesCount8(x)
	}
	return int64(n)
}

// bitsToInt casts to an integer of width bits: the last bit is the lowest.
func bitsToInt(width int, rangeErr error) Kernel {
	return k1e(func(b []byte) (int64, error) {
		in := sqlio.ReadBits(b)
		if in.Len > width {
			return 0, rangeErr
		}
		var v uint64
		for _, x := range in.Data {
			v = v<<8 | uint64(x)
		}
		v >>= 8*len(in.Data) - in.Len
		if width == 32 {
			return int64(int32(v)), nil
		}
		return int64(v), nil
	})
}

// intToBits casts an integer to as many bits as the type says, one without a length: the lowest bit becomes the last, and
// what lies before those of the integer is its sign.
func intToBits(to sqltypes.Type) Kernel {
	n := int(max(to.Typmod(), 1))
	return b1(func(dst []byte, v int64) []byte {
		data := make([]byte, (n+7)/8)
		unused := 8*len(data) - n
		for i := range data {
			// The bits of byte i from the right, in a row of bits that goes on with the sign.
			low := 8*(len(data)-1-i) - unused
			switch {
			case low < 0:
				data[i] = byte(v << -low)
			default:
				data[i] = byte(v >> min(low, 63))
			}
		}
		return sqlio.AppendBits(dst, data, n)
	})
}

// bitsFold is bit_and, bit_or and bit_xor over bit strings.
type bitsFold struct {
	op   func(x, y byte) byte
	verb string
	some bool
	acc  []byte
}

func (a *bitsFold) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if weight < 0 {
		return errRetract
	}
	if args[0].IsNull(row) {
		return nil
	}
	b := args[0].Bytes(row)
	for range weight {
		if !a.some {
			a.some, a.acc = true, append([]byte{}, b...)
			continue
		}
		acc, err := appendOnBits(nil, a.acc, b, a.op, a.verb)
		if err != nil {
			return err
		}
		a.acc = acc
	}
	return nil
}

func (a *bitsFold) Result(_ *Ctx, out *delta.Vec) error {
	if a.some {
		out.AppendBytes(a.acc)
	} else {
		out.AppendNull()
	}
	return nil
}

func (a *bitsFold) AppendImage(dst []byte) []byte {
	if !a.some {
		return append(dst, 0)
	}
	return append(append(dst, 1), a.acc...)
}

func (a *bitsFold) DecodeImage(src []byte) error {
	if len(src) == 0 {
		return errImage
	}
	a.some, a.acc = src[0] == 1, append([]byte{}, src[1:]...)
	return nil
}

func (a *bitsFold) SizeBytes() int { return 64 + len(a.acc) }

func bitsAggs() []AggFunc {
	var out []AggFunc
	for _, x := range []struct {
		name, verb string
		op         func(x, y byte) byte
		doc        string
	}{
		{"bit_and", "AND", andBits, "bitwise and, of strings of one length"},
		{"bit_or", "OR", orBits, "bitwise or, of strings of one length"},
		{"bit_xor", "XOR", xorBits, "bitwise exclusive or, of strings of one length"},
	} {
		out = append(out, AggFunc{Name: x.name, Args: ts(sqltypes.Bit), Result: sqltypes.Bit, Doc: x.doc, IgnoresNulls: true, Multiset: true,
			New: func([]sqltypes.Type) AggObject { return &bitsFold{op: x.op, verb: x.verb} }})
	}
	return out
}

// bitsFuncs lists the functions and operators on bit strings; comparisons are among those of other types.
func bitsFuncs() []Func {
	b, v, i4, i8 := sqltypes.Bit, sqltypes.Varbit, sqltypes.Int4, sqltypes.Int8
	lenOf := func(x []byte) int64 { return int64(sqlio.ReadBits(x).Len) }
	return []Func{
		fn("&", ts(b, b), b, onBits(andBits, "AND"), "bitwise and, of strings of one length"),
		fn("|", ts(b, b), b, onBits(orBits, "OR"), "bitwise or, of strings of one length"),
		fn("#", ts(b, b), b, onBits(xorBits, "XOR"), "bitwise exclusive or, of strings of one length"),
		fn("~", ts(b), b, b1(notBits), "every bit inverted"),
		fn("<<", ts(b, i4), b, b2(shiftBits), "bits moved to the left, the length staying"),
		fn(">>", ts(b, i4), b, b2(func(dst, x []byte, n int64) []byte { return shiftBits(dst, x, -n) }), "bits moved to the right, the length staying"),
		fn("||", ts(v, v), v, b2e(concatBits), "concatenation"),
		fn("length", ts(b), i4, k1(lenOf), "number of bits"),
		fn("bit_length", ts(b), i4, k1(lenOf), "number of bits"),
		fn("octet_length", ts(b), i4, k1(func(x []byte) int64 { return int64(len(sqlio.ReadBits(x).Data)) }), "number of bytes that the bits take"),
		fn("bit_count", ts(b), i8, k1(countBits), "number of bits set"),
		fn("substring", ts(b, i4), b, b2e(func(dst, x []byte, start int64) ([]byte, error) { return substringBits(dst, x, start, 0, false) }), "bits from a position on"),
		fn("substring", ts(b, i4, i4), b, b3e(func(dst, x []byte, start, n int64) ([]byte, error) { return substringBits(dst, x, start, n, true) }), "that many bits from a position on"),
		fn("overlay", ts(b, b, i4), b, b3e(func(dst, x, repl []byte, start int64) ([]byte, error) {
			return overlayBits(dst, x, repl, start, lenOf(repl))
		}), "bits from a position on replaced"),
		fn("overlay", ts(b, b, i4, i4), b, b4e(overlayBits), "that many bits from a position on replaced"),
		fn("position", ts(b, b), i4, k2(positionBits), "position of the second string in the first, 0 for none"),
		fn("get_bit", ts(b, i4), i4, k2e(getBitOfBits), "n-th bit from 0, from the left"),
		fn("set_bit", ts(b, i4, i4), b, b3e(setBitOfBits), "n-th bit replaced"),
	}
}
