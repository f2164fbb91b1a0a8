package expr

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Integer arithmetic. Each loop computes every physical row, garbage included, and collects signs of trouble in
// two words; only when there are any are the rows looked at one by one, with their NULLs and selection.

// intRange describes an integer type: the least value, the width in bits, and the error beyond it.
func intRange(k sqltypes.Kind) (lo int64, width uint, err *sqlerr.Error) {
	switch k {
	case sqltypes.KInt2:
		return math.MinInt16, 16, errInt2Range
	case sqltypes.KInt4:
		return math.MinInt32, 32, errInt4Range
	}
	return math.MinInt64, 64, errInt8Range
}

// checkInt raises the range error of kind k unless r is in range.
func checkInt(k sqltypes.Kind, r int64) (int64, error) {
	lo, width, err := intRange(k)
	if uint64(r-lo)>>width != 0 {
		return 0, err
	}
	return r, nil
}

// intOp computes one row; ok says that 64 bits were enough.
type intOp func(a, b int64) (r int64, ok bool)

func addInt(a, b int64) (int64, bool) { r := a + b; return r, (a^r)&(b^r) >= 0 }

func subInt(a, b int64) (int64, bool) { r := a - b; return r, (a^b)&(a^r) >= 0 }

func mulInt(a, b int64) (int64, bool) {
	lo := a * b
	return lo, mulHigh(a, b) == lo>>63
}

// mulHigh returns the upper half of the signed 128-bit product.
func mulHigh(a, b int64) int64 {
	hi, _ := bits.Mul64(uint64(a), uint64(b))
	return int64(hi) - (a>>63)&b - (b>>63)&a
}

// intLoop computes r = a op b for whole slices. spread is the OR of all r−lo: bits at and above the type's width
// mean a row out of range; a negative bad means that some row overflowed 64 bits.
type intLoop func(r, a, b []int64, lo int64) (spread uint64, bad int64)

// intArith is the kernel of an operation that cannot fail but by leaving the range.
func intArith(result sqltypes.Kind, loop intLoop, op intOp) Kernel {
	lo, width, rangeErr := intRange(result)
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0].Ints, a.Vecs[1].Ints
		if a.dense() {
			spread, bad := loop(out.Ints, x[:a.N], y[:a.N], lo)
			if spread>>width == 0 && bad >= 0 {
				return
			}
		}
		a.each(out, func(i int) {
			r, ok := op(x[i], y[i])
			out.Ints[i] = r
			if !ok || uint64(r-lo)>>width != 0 {
				c.Fail(out, i, rangeErr)
			}
		})
	}
}

func addInts(r, a, b []int64, lo int64) (spread uint64, bad int64) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		y := b[i]
		s := x + y
		r[i] = s
		spread |= uint64(s - lo)
		bad |= (x ^ s) & (y ^ s)
	}
	return spread, bad
}

func subInts(r, a, b []int64, lo int64) (spread uint64, bad int64) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		y := b[i]
		s := x - y
		r[i] = s
		spread |= uint64(s - lo)
		bad |= (x ^ y) & (x ^ s)
	}
	return spread, bad
}

// mulNarrow is for operands of at most 32 bits, whose product fits in 64. (Garbage may not; then bad is a false
// alarm at worst, because spread catches the rows that count.)
func mulNarrow(r, a, b []int64, lo int64) (spread uint64, bad int64) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		s := x * b[i]
		r[i] = s
		spread |= uint64(s - lo)
	}
	return spread, 0
}

func mulInts(r, a, b []int64, lo int64) (spread uint64, bad int64) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		y := b[i]
		s := x * y
		r[i] = s
		if h := mulHigh(x, y); h != s>>63 {
			bad = -1
		}
	}
	return 0, bad
}

// intDiv is / and, when mod, %. A constant divisor is tested once.
func intDiv(result sqltypes.Kind, mod bool) Kernel {
	lo, width, rangeErr := intRange(result)
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0].Ints, a.Vecs[1].Ints
		if a.N > 0 && a.Vecs[1].Same && y[0] > 0 && a.dense() {
			divConst(out.Ints, x[:a.N], y[0], mod)
			return
		}
		a.each(out, func(i int) {
			switch d := y[i]; {
			case d == 0:
				c.Fail(out, i, errDivByZero)
			case mod && d == -1:
				out.Ints[i] = 0
			case mod:
				out.Ints[i] = x[i] % d
			case d == -1 && x[i] == math.MinInt64:
				c.Fail(out, i, rangeErr)
			default:
				r := x[i] / d
				out.Ints[i] = r
				if uint64(r-lo)>>width != 0 {
					c.Fail(out, i, rangeErr)
				}
			}
		})
	}
}

// divConst divides by a positive constant. Values of 32 bits, the usual case, take the machine's short division.
func divConst(r, a []int64, d int64, mod bool) {
	r = r[:len(a)]
	short := d <= math.MaxUint32
	for i, x := range a {
		var q int64
		if short && uint64(x) <= math.MaxUint32 {
			q = int64(uint32(x) / uint32(d))
		} else {
			q = x / d
		}
		if mod {
			q = x - q*d
		}
		r[i] = q
	}
}

// intUnary is an operation on one integer with a range check.
func intUnary(result sqltypes.Kind, op func(a int64) (int64, bool)) Kernel {
	lo, width, rangeErr := intRange(result)
	return func(c *Ctx, a Args, out *delta.Vec) {
		x := a.Vecs[0].Ints
		a.each(out, func(i int) {
			r, ok := op(x[i])
			out.Ints[i] = r
			if !ok || uint64(r-lo)>>width != 0 {
				c.Fail(out, i, rangeErr)
			}
		})
	}
}

func negInt(a int64) (int64, bool) { return -a, a != math.MinInt64 }

func absInt(a int64) (int64, bool) {
	if a < 0 {
		return -a, a != math.MinInt64
	}
	return a, true
}

// shiftLeft and shiftRight take the count modulo the type's width, as the machines do that PostgreSQL runs on.
func shiftLeft(k sqltypes.Kind) Kernel {
	switch k {
	case sqltypes.KInt2: // computed in 32 bits, then cut
		return k2(func(a, n int64) int64 { return int64(int16(int32(a) << (uint(n) & 31))) })
	case sqltypes.KInt4:
		return k2(func(a, n int64) int64 { return int64(int32(a) << (uint(n) & 31)) })
	}
	return k2(func(a, n int64) int64 { return a << (uint(n) & 63) })
}

func shiftRight(k sqltypes.Kind) Kernel {
	mask := uint(31)
	if k == sqltypes.KInt8 {
		mask = 63
	}
	return k2(func(a, n int64) int64 { return a >> (uint(n) & mask) })
}

// wider returns the larger of two integer types.
func wider(a, b sqltypes.Type) sqltypes.Type {
	rank := func(t sqltypes.Type) int {
		switch t.Kind {
		case sqltypes.KInt2:
			return 0
		case sqltypes.KInt4:
			return 1
		}
		return 2
	}
	if rank(a) > rank(b) {
		return a
	}
	return b
}

var intTypes = ts(sqltypes.Int2, sqltypes.Int4, sqltypes.Int8)

// intArithFuncs lists the operators of the integer types, each pair of types of its own.
func intArithFuncs() []Func {
	var out []Func
	for _, l := range intTypes {
		for _, r := range intTypes {
			t := wider(l, r)
			mul := intLoop(mulInts)
			if t != sqltypes.Int8 {
				mul = mulNarrow
			}
			args := ts(l, r)
			out = append(out,
				fn("+", args, t, intArith(t.Kind, addInts, addInt), "sum"),
				fn("-", args, t, intArith(t.Kind, subInts, subInt), "difference"),
				fn("*", args, t, intArith(t.Kind, mul, mulInt), "product"),
				fn("/", args, t, intDiv(t.Kind, false), "quotient, cut towards zero"))
		}
		out = append(out, intSameTypeFuncs(l)...)
	}
	return out
}

// intSameTypeFuncs lists what is defined within one integer type only.
func intSameTypeFuncs(t sqltypes.Type) []Func {
	one, two, shift := ts(t), ts(t, t), ts(t, sqltypes.Int4)
	return []Func{
		fn("%", two, t, intDiv(t.Kind, true), "remainder with the sign of the dividend"),
		fn("mod", two, t, intDiv(t.Kind, true), "remainder with the sign of the dividend"),
		fn("-", one, t, intUnary(t.Kind, negInt), "negation"),
		fn("+", one, t, k1(func(a int64) int64 { return a }), "the number itself"),
		fn("@", one, t, intUnary(t.Kind, absInt), "absolute value"),
		fn("abs", one, t, intUnary(t.Kind, absInt), "absolute value"),
		fn("&", two, t, k2(func(a, b int64) int64 { return a & b }), "bitwise and"),
		fn("|", two, t, k2(func(a, b int64) int64 { return a | b }), "bitwise or"),
		fn("#", two, t, k2(func(a, b int64) int64 { return a ^ b }), "bitwise exclusive or"),
		fn("~", one, t, k1(func(a int64) int64 { return ^a }), "bitwise not"),
		fn("<<", shift, t, shiftLeft(t.Kind), "shift left"),
		fn(">>", shift, t, shiftRight(t.Kind), "shift right"),
	}
}
