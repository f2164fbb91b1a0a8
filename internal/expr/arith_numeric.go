package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// decOp is a numeric operation on one row.
type decOp func(a, b numeric.Dec) (numeric.Dec, error)

// decArith runs op over the rows that count. Values are inline, so nothing is allocated for up to 38 digits.
func decArith(op decOp) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, r := a.Vecs[0].Decs, a.Vecs[1].Decs, out.Decs
		if a.Sel == nil && out.Valid == nil {
			x, y, r = x[:a.N], y[:a.N], r[:a.N]
			for i := range r {
				var err error
				if r[i], err = op(x[i], y[i]); err != nil {
					c.Fail(out, i, err)
				}
			}
			return
		}
		a.each(out, func(i int) {
			var err error
			if r[i], err = op(x[i], y[i]); err != nil {
				c.Fail(out, i, err)
			}
		})
	}
}

// decFast is decArith with a fast path for small values.
func decFast(small func(r, x, y *numeric.Dec) bool, op decOp) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, r := a.Vecs[0].Decs, a.Vecs[1].Decs, out.Decs
		slow := func(i int) {
			var err error
			if r[i], err = op(x[i], y[i]); err != nil {
				c.Fail(out, i, err)
			}
		}
		if a.Sel == nil && out.Valid == nil {
			x, y, r := x[:a.N], y[:a.N], r[:a.N]
			for i := range r {
				if !small(&r[i], &x[i], &y[i]) {
					slow(i)
				}
			}
			return
		}
		a.each(out, func(i int) {
			if !small(&r[i], &x[i], &y[i]) {
				slow(i)
			}
		})
	}
}

// intFactor is numeric * integer without making numerics of the integers first, which is what prices times rates
// come down to.
type intFactor struct {
	dec, factor Program
	vecs        [2]*delta.Vec
}

// compileIntFactor recognises a product with an integer that was cast to numeric.
func compileIntFactor(x *Call) (Program, bool, error) {
	if x.Sig != "*(numeric,numeric)" {
		return nil, false, nil
	}
	for k, a := range x.Args {
		c, ok := a.(*Cast)
		if !ok || c.Ty != sqltypes.Numeric || !c.Arg.Type().IsInteger() {
			continue
		}
		dec, err := Compile(x.Args[1-k])
		if err != nil {
			return nil, false, err
		}
		factor, err := Compile(c.Arg)
		return &intFactor{dec: dec, factor: factor}, true, err
	}
	return nil, false, nil
}

// Eval implements Program.
func (p *intFactor) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	p.vecs = [2]*delta.Vec{p.dec.Eval(c, ch), p.factor.Eval(c, ch)}
	return RunKernel(c, mulByInt, Strict, sqltypes.Numeric, p.vecs[:], ch)
}

func mulByInt(c *Ctx, a Args, out *delta.Vec) {
	x, y, r := a.Vecs[0].Decs, a.Vecs[1].Ints, out.Decs
	a.each(out, func(i int) {
		var err error
		if r[i], err = numeric.MulInt64(x[i], y[i]); err != nil {
			c.Fail(out, i, err)
		}
	})
}

func decUnary(op func(a numeric.Dec) numeric.Dec) Kernel { return k1(op) }

func numericArithFuncs() []Func {
	n := sqltypes.Numeric
	one, two := ts(n), ts(n, n)
	return []Func{
		fn("+", two, n, decFast(numeric.AddSmall, numeric.Dec.Add), "sum"),
		fn("-", two, n, decFast(numeric.SubSmall, numeric.Dec.Sub), "difference"),
		fn("*", two, n, decFast(numeric.MulSmall, numeric.Dec.Mul), "product"),
		fn("/", two, n, decArith(numeric.Dec.Div), "quotient"),
		fn("%", two, n, decArith(numeric.Dec.Mod), "remainder with the sign of the dividend"),
		fn("mod", two, n, decArith(numeric.Dec.Mod), "remainder with the sign of the dividend"),
		fn("div", two, n, decArith(numeric.Dec.DivTrunc), "integer quotient, cut towards zero"),
		fn("^", two, n, decArith(numeric.Dec.Pow), "power"),
		fn("power", two, n, decArith(numeric.Dec.Pow), "power"),
		fn("pow", two, n, decArith(numeric.Dec.Pow), "power"),
		fn("-", one, n, decUnary(numeric.Dec.Neg), "negation"),
		fn("+", one, n, decUnary(func(a numeric.Dec) numeric.Dec { return a }), "the number itself"),
		fn("@", one, n, decUnary(numeric.Dec.Abs), "absolute value"),
		fn("abs", one, n, decUnary(numeric.Dec.Abs), "absolute value"),
	}
}
