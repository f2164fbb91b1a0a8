package expr

import (
	"bytes"
	"unsafe"

	"github.com/millrace/millrace/internal/delta"
)

// cmpOp is one of the six comparisons: bit 0 is the answer for less, bit 1 for equal, bit 2 for greater.
type cmpOp uint8

const (
	opLT cmpOp = 0b001
	opEQ cmpOp = 0b010
	opLE cmpOp = 0b011
	opGT cmpOp = 0b100
	opNE cmpOp = 0b101
	opGE cmpOp = 0b110
)

// holds turns a three-way result into the operator's answer.
func (op cmpOp) holds(cmp int) bool {
	switch {
	case cmp < 0:
		return op&opLT != 0
	case cmp > 0:
		return op&opGT != 0
	}
	return op&opEQ != 0
}

// swapped is the operator with its operands exchanged.
func (op cmpOp) swapped() cmpOp { return op&opEQ | op&opLT<<2 | op&opGT>>2 }

// number are the types whose values machine instructions compare.
type number interface{ int64 | float64 }

// cmpSlices writes a[i] op b[i]; one of the operands may be a single repeated value.
func cmpSlices[T number](op cmpOp, r []bool, a, b []T, sameA, sameB bool) {
	switch {
	case len(r) == 0:
	case sameB:
		cmpConst(op, r, a, b[0])
	case sameA:
		cmpConst(op.swapped(), r, b, a[0])
	case op == opGT || op == opGE:
		cmpVectors(op.swapped(), r, b, a)
	default:
		cmpVectors(op, r, a, b)
	}
}

func cmpVectors[T number](op cmpOp, r []bool, a, b []T) {
	a, b = a[:len(r)], b[:len(r)]
	switch op {
	case opEQ:
		for i := range r {
			r[i] = a[i] == b[i]
		}
	case opNE:
		for i := range r {
			r[i] = a[i] != b[i]
		}
	case opLT:
		for i := range r {
			r[i] = a[i] < b[i]
		}
	case opLE:
		for i := range r {
			r[i] = a[i] <= b[i]
		}
	}
}

func cmpConst[T number](op cmpOp, r []bool, a []T, k T) {
	a = a[:len(r)]
	switch op {
	case opEQ:
		for i := range r {
			r[i] = a[i] == k
		}
	case opNE:
		for i := range r {
			r[i] = a[i] != k
		}
	case opLT:
		for i := range r {
			r[i] = a[i] < k
		}
	case opLE:
		for i := range r {
			r[i] = a[i] <= k
		}
	case opGT:
		for i := range r {
			r[i] = a[i] > k
		}
	case opGE:
		for i := range r {
			r[i] = a[i] >= k
		}
	}
}

// cmpInts is the kernel of every comparison between two int64 representations of one scale.
func cmpInts(op cmpOp) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		if a.dense() {
			cmpSlices(op, out.Bools[:a.N], x.Ints, y.Ints, x.Same, y.Same)
			return
		}
		for _, i := range a.Sel {
			l, r := x.Ints[i], y.Ints[i]
			out.Bools[i] = l < r && op&opLT != 0 || l == r && op&opEQ != 0 || l > r && op&opGT != 0
		}
	}
}

// cmpFloats orders NaN above everything and equal to itself; the plain loops run when there is none.
func cmpFloats(op cmpOp) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		if a.dense() && !anyNaN(x.Floats[:a.N]) && !anyNaN(y.Floats[:a.N]) {
			cmpSlices(op, out.Bools[:a.N], x.Floats, y.Floats, x.Same, y.Same)
			return
		}
		a.each(out, func(i int) { out.Bools[i] = op.holds(compareFloat(x.Floats[i], y.Floats[i])) })
	}
}

func anyNaN(a []float64) bool {
	nan := false
	for _, x := range a {
		nan = nan || x != x
	}
	return nan
}

// compareFloat is PostgreSQL's order of floats.
func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a == a: // b is NaN
		return -1
	case b == b:
		return 1
	}
	return 0
}

// cmpBytes compares bytewise: text (collation C), bytea, uuid.
func cmpBytes(op cmpOp) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		if op != opEQ && op != opNE {
			a.each(out, func(i int) { out.Bools[i] = op.holds(bytes.Compare(x.Bytes(i), y.Bytes(i))) })
			return
		}
		if x.Same && !y.Same {
			x, y = y, x
		}
		if y.Same && a.N > 0 && a.dense() {
			equalConst(out.Bools[:a.N], x, y.Bytes(0), op == opNE)
			return
		}
		a.each(out, func(i int) { out.Bools[i] = string(x.Bytes(i)) == string(y.Bytes(i)) == (op == opEQ) })
	}
}

// equalConst tests every row of x against k; most rows differ in length or in the first byte.
func equalConst(r []bool, x *delta.Vec, k []byte, negate bool) {
	offsets, data, want := x.Offsets[:len(r)+1], x.Data, string(k)
	start := offsets[0]
	for i := range r {
		end := offsets[i+1]
		r[i] = (int(end-start) == len(want) && string(data[start:end]) == want) != negate
		start = end
	}
}

// cmpBy is the kernel for types with a three-way comparison of their own.
func cmpBy[T value](op cmpOp, cmp func(a, b T) int) Kernel {
	return k2(func(a, b T) bool { return op.holds(cmp(a, b)) })
}

// cmpCtx is cmpBy for comparisons that need the session's settings.
func cmpCtx[A, B value](op cmpOp, cmp func(c *Ctx, a A, b B) int) Kernel {
	return k2c(func(c *Ctx, a A, b B) (bool, error) { return op.holds(cmp(c, a, b)), nil })
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// view reads bytes as a string without copying. The string must not outlive the call it is passed to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
