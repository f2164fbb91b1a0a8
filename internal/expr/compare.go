package expr

import (
	"bytes"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// comparison is one pair of comparable types and how to make the kernel of each operator.
type comparison struct {
	left, right sqltypes.Type
	kernel      func(op cmpOp) Kernel
	volatility  Volatility
}

// comparisons lists every pair that PostgreSQL compares directly. varchar compares as text, the reg… types as oid.
func comparisons() []comparison {
	var out []comparison
	same := func(k func(cmpOp) Kernel, types ...sqltypes.Type) {
		for _, t := range types {
			out = append(out, comparison{t, t, k, Immutable})
		}
	}
	for _, l := range intTypes {
		for _, r := range intTypes {
			out = append(out, comparison{l, r, cmpInts, Immutable})
		}
	}
	for _, l := range floatTypes {
		for _, r := range floatTypes {
			out = append(out, comparison{l, r, cmpFloats, Immutable})
		}
	}
	same(cmpInts, sqltypes.Oid, sqltypes.Date, sqltypes.Time, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.AnyEnum)
	same(cmpBytes, sqltypes.Text, sqltypes.Name, sqltypes.Bytea, sqltypes.UUID, sqltypes.Char)
	same(func(op cmpOp) Kernel { return cmpBy(op, compareBool) }, sqltypes.Bool)
	same(func(op cmpOp) Kernel { return cmpBy(op, numeric.Dec.Cmp) }, sqltypes.Numeric)
	same(func(op cmpOp) Kernel { return cmpBy(op, datetime.Interval.Cmp) }, sqltypes.IntervalT)
	same(func(op cmpOp) Kernel { return cmpBy(op, jsonb.Compare) }, sqltypes.JSONB)
	same(func(op cmpOp) Kernel { return cmpBy(op, compareBpchar) }, sqltypes.Bpchar)
	same(cmpGeneric, sqltypes.Timetz, sqltypes.AnyArray, sqltypes.Record, sqltypes.Type{Kind: sqltypes.KOidVector}, sqltypes.Vector,
		sqltypes.Bit, sqltypes.Varbit)
	out = append(out,
		comparison{sqltypes.Name, sqltypes.Text, cmpBytes, Immutable},
		comparison{sqltypes.Text, sqltypes.Name, cmpBytes, Immutable})
	return append(out, datetimeComparisons()...)
}

// datetimeComparisons lists the pairs of different date and time types.
func datetimeComparisons() []comparison {
	dateTs := func(_ *Ctx, d, t int64) int { return datetime.CompareDateTimestamp(d, t) }
	dateTz := func(c *Ctx, d, t int64) int { return datetime.CompareDateTimestamptz(d, t, c.location()) }
	tsTz := func(c *Ctx, a, b int64) int { return datetime.CompareTimestampTimestamptz(a, b, c.location()) }
	pair := func(l, r sqltypes.Type, v Volatility, cmp func(*Ctx, int64, int64) int) []comparison {
		return []comparison{
			{l, r, func(op cmpOp) Kernel { return cmpCtx(op, cmp) }, v},
			{r, l, func(op cmpOp) Kernel {
				return cmpCtx(op, func(c *Ctx, a, b int64) int { return -cmp(c, b, a) })
			}, v},
		}
	}
	out := pair(sqltypes.Date, sqltypes.Timestamp, Immutable, dateTs)
	out = append(out, pair(sqltypes.Date, sqltypes.Timestamptz, Stable, dateTz)...)
	return append(out, pair(sqltypes.Timestamp, sqltypes.Timestamptz, Stable, tsTz)...)
}

func compareBpchar(a, b []byte) int {
	return bytes.Compare(bytes.TrimRight(a, " "), bytes.TrimRight(b, " "))
}

// cmpGeneric compares by the type table's order; slow, for the rare types.
func cmpGeneric(op cmpOp) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0], a.Vecs[1]
		a.each(out, func(i int) {
			out.Bools[i] = op.holds(sqlio.Compare(x.Type, x.Datum(i), y.Datum(i)))
		})
	}
}

// isDistinct is IS DISTINCT FROM on top of the kernel of <>.
func isDistinct(ne Kernel) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		out.Valid = intersectValid(a.Vecs, a.N)
		both := out.Valid
		ne(c, a, out)
		if both == nil {
			return
		}
		x, y := a.Vecs[0], a.Vecs[1]
		for i := range a.N {
			if xn, yn := x.IsNull(i), y.IsNull(i); xn || yn {
				out.Bools[i] = xn != yn
			}
		}
		out.Valid = nil
	}
}

var cmpNames = []struct {
	name string
	op   cmpOp
	doc  string
}{
	{"=", opEQ, "equal"},
	{"<>", opNE, "not equal"},
	{"<", opLT, "less than"},
	{"<=", opLE, "less than or equal"},
	{">", opGT, "greater than"},
	{">=", opGE, "greater than or equal"},
}

// compareFuncs lists the six operators and isdistinct over every comparable pair, and greatest and least.
func compareFuncs() []Func {
	var out []Func
	for _, p := range comparisons() {
		args := ts(p.left, p.right)
		for _, n := range cmpNames {
			f := fn(n.name, args, sqltypes.Bool, p.kernel(n.op), n.doc)
			f.Volatility = p.volatility
			out = append(out, f)
		}
		f := fn("isdistinct", args, sqltypes.Bool, isDistinct(p.kernel(opNE)), "IS DISTINCT FROM: not equal, NULL counting as a value").onNulls()
		f.Volatility = p.volatility
		out = append(out, f)
	}
	for _, n := range cmpNames[2:] { // the order that pattern indexes keep, which here is the only one
		out = append(out, fn("~"+n.name+"~", ts(sqltypes.Text, sqltypes.Text), sqltypes.Bool, cmpBytes(n.op), n.doc+", bytewise"),
			fn("~"+n.name+"~", ts(sqltypes.Bpchar, sqltypes.Bpchar), sqltypes.Bool, cmpBy(n.op, compareBpchar), n.doc+", bytewise"))
	}
	first := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	return append(out,
		fn("greatest", ts(sqltypes.AnyElement), sqltypes.AnyElement, extreme(1), "largest argument, NULLs aside").variadic().onNulls().resultOf(first),
		fn("least", ts(sqltypes.AnyElement), sqltypes.AnyElement, extreme(-1), "smallest argument, NULLs aside").variadic().onNulls().resultOf(first))
}

// rowCompare returns a three-way comparison of rows of vectors of type t.
func rowCompare(t sqltypes.Type) func(x *delta.Vec, i int, y *delta.Vec, j int) int {
	switch t.Phys() {
	case sqltypes.PhysInt64:
		if t.Kind != sqltypes.KTimetz {
			return func(x *delta.Vec, i int, y *delta.Vec, j int) int { return compareInt(x.Ints[i], y.Ints[j]) }
		}
	case sqltypes.PhysFloat64:
		return func(x *delta.Vec, i int, y *delta.Vec, j int) int { return compareFloat(x.Floats[i], y.Floats[j]) }
	case sqltypes.PhysNumeric:
		return func(x *delta.Vec, i int, y *delta.Vec, j int) int { return x.Decs[i].Cmp(y.Decs[j]) }
	}
	switch t.Kind {
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KName, sqltypes.KBytea, sqltypes.KUUID:
		return func(x *delta.Vec, i int, y *delta.Vec, j int) int { return bytes.Compare(x.Bytes(i), y.Bytes(j)) }
	}
	return func(x *delta.Vec, i int, y *delta.Vec, j int) int { return sqlio.Compare(t, x.Datum(i), y.Datum(j)) }
}

// extreme is greatest (sign 1) or least (sign −1).
func extreme(sign int) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		cmp := rowCompare(a.Vecs[0].Type)
		m := newMerger(out.Type, a.N)
		picks := make([][]int32, len(a.Vecs))
		a.each(out, func(i int) {
			best := -1
			for k, v := range a.Vecs {
				if !v.IsNull(i) && (best < 0 || sign*cmp(v, i, a.Vecs[best], i) > 0) {
					best = k
				}
			}
			if best >= 0 {
				picks[best] = append(picks[best], int32(i))
			}
		})
		for k, rows := range picks {
			m.take(a.Vecs[k], rows)
		}
		*out = *m.vec()
	}
}
