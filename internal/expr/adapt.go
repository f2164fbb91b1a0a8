package expr

import (
	"errors"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// This file turns plain Go functions into kernels. Three levels, from fast to convenient:
//
//   - hand-written loops over slices (arith.go, compare_*.go), for what every query does;
//   - k1…k4 and b1…b4 here: one line per function, no allocation per row;
//   - boxed: any number of arguments as Datums, for rare functions.
//
// All of them call the function for selected, non-NULL rows only, so it never sees garbage.

// fixed are the Go types of fixed-width values; value adds bytes, which alias their vector.
type fixed interface {
	bool | int64 | float64 | numeric.Dec | datetime.Interval
}

type value interface{ fixed | []byte }

// errNull is returned by a kernel function whose result is NULL for non-NULL arguments.
var errNull = errors.New("result is NULL")

// values returns the value slice of a fixed-width vector.
func values[T fixed](v *delta.Vec) []T {
	var z T
	switch any(z).(type) {
	case bool:
		return any(v.Bools).([]T)
	case int64:
		return any(v.Ints).([]T)
	case float64:
		return any(v.Floats).([]T)
	case numeric.Dec:
		return any(v.Decs).([]T)
	}
	return any(v.Intervals).([]T)
}

// column reads values of type T out of a vector.
type column[T value] struct {
	fix []T
	vec *delta.Vec
}

func read[T value](v *delta.Vec) column[T] {
	c := column[T]{vec: v}
	switch p := any(&c.fix).(type) {
	case *[]bool:
		*p = v.Bools
	case *[]int64:
		*p = v.Ints
	case *[]float64:
		*p = v.Floats
	case *[]numeric.Dec:
		*p = v.Decs
	case *[]datetime.Interval:
		*p = v.Intervals
	}
	return c
}

func (c *column[T]) at(i int) (x T) {
	if c.fix != nil {
		return c.fix[i]
	}
	if p, ok := any(&x).(*[]byte); ok {
		*p = c.vec.Bytes(i)
	}
	return x
}

// each calls f for every selected row that out does not mark NULL.
func (a Args) each(out *delta.Vec, f func(i int)) {
	if a.Sel == nil {
		for i := range a.N {
			if !out.IsNull(i) {
				f(i)
			}
		}
		return
	}
	for _, i := range a.Sel {
		if !out.IsNull(int(i)) {
			f(int(i))
		}
	}
}

// fail records err at row i, or just makes the row NULL when err says so.
func fail(c *Ctx, out *delta.Vec, i int, err error) {
	if err == errNull {
		out.SetNull(i)
		return
	}
	c.Fail(out, i, err)
}

// dense reports whether a loop over all physical rows is cheaper than one over the selection. Only loops that
// may run over garbage ask.
func (a Args) dense() bool { return a.Sel == nil || len(a.Sel)*4 >= a.N }

func k0[R fixed](f func(c *Ctx) (R, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		rs := values[R](out)
		a.each(out, func(i int) {
			r, err := f(c)
			rs[i] = r
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

// k1 adapts a function without errors.
func k1[A value, R fixed](f func(A) R) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, rs := read[A](a.Vecs[0]), values[R](out)
		a.each(out, func(i int) { rs[i] = f(x.at(i)) })
	}
}

func k1e[A value, R fixed](f func(A) (R, error)) Kernel {
	return k1c(func(_ *Ctx, x A) (R, error) { return f(x) })
}

func k1c[A value, R fixed](f func(*Ctx, A) (R, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, rs := read[A](a.Vecs[0]), values[R](out)
		a.each(out, func(i int) {
			r, err := f(c, x.at(i))
			rs[i] = r
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

func k2[A, B value, R fixed](f func(A, B) R) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		x, y, rs := read[A](a.Vecs[0]), read[B](a.Vecs[1]), values[R](out)
		a.each(out, func(i int) { rs[i] = f(x.at(i), y.at(i)) })
	}
}

func k2e[A, B value, R fixed](f func(A, B) (R, error)) Kernel {
	return k2c(func(_ *Ctx, x A, y B) (R, error) { return f(x, y) })
}

func k2c[A, B value, R fixed](f func(*Ctx, A, B) (R, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, rs := read[A](a.Vecs[0]), read[B](a.Vecs[1]), values[R](out)
		a.each(out, func(i int) {
			r, err := f(c, x.at(i), y.at(i))
			rs[i] = r
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

func k3c[A, B, C value, R fixed](f func(*Ctx, A, B, C) (R, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, z, rs := read[A](a.Vecs[0]), read[B](a.Vecs[1]), read[C](a.Vecs[2]), values[R](out)
		a.each(out, func(i int) {
			r, err := f(c, x.at(i), y.at(i), z.at(i))
			rs[i] = r
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

func k3e[A, B, C value, R fixed](f func(A, B, C) (R, error)) Kernel {
	return k3c(func(_ *Ctx, x A, y B, z C) (R, error) { return f(x, y, z) })
}

func k4c[A, B, C, D value, R fixed](f func(*Ctx, A, B, C, D) (R, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, z, w, rs := read[A](a.Vecs[0]), read[B](a.Vecs[1]), read[C](a.Vecs[2]), read[D](a.Vecs[3]), values[R](out)
		a.each(out, func(i int) {
			r, err := f(c, x.at(i), y.at(i), z.at(i), w.at(i))
			rs[i] = r
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

// bytesRows is the frame of every kernel with a bytes result: row appends the value of row i to dst. Rows that
// are not selected, NULL or failed become empty.
func bytesRows(c *Ctx, a Args, out *delta.Vec, row func(dst []byte, i int) ([]byte, error)) {
	RowLoop(a, out, func(i int) {
		start := len(out.Data)
		dst, err := row(out.Data, i)
		if err != nil {
			out.Data = out.Data[:start]
			out.EndRow()
			fail(c, out, i, err)
			return
		}
		out.Data = dst
		out.EndRow()
	})
}

func b0(f func(c *Ctx, dst []byte) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		bytesRows(c, a, out, func(dst []byte, _ int) ([]byte, error) { return f(c, dst) })
	}
}

// b1 adapts a function that appends its result to dst.
func b1[A value](f func(dst []byte, x A) []byte) Kernel {
	return b1c(func(_ *Ctx, dst []byte, x A) ([]byte, error) { return f(dst, x), nil })
}

func b1e[A value](f func(dst []byte, x A) ([]byte, error)) Kernel {
	return b1c(func(_ *Ctx, dst []byte, x A) ([]byte, error) { return f(dst, x) })
}

func b1c[A value](f func(c *Ctx, dst []byte, x A) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x := read[A](a.Vecs[0])
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) { return f(c, dst, x.at(i)) })
	}
}

func b2[A, B value](f func(dst []byte, x A, y B) []byte) Kernel {
	return b2c(func(_ *Ctx, dst []byte, x A, y B) ([]byte, error) { return f(dst, x, y), nil })
}

func b2e[A, B value](f func(dst []byte, x A, y B) ([]byte, error)) Kernel {
	return b2c(func(_ *Ctx, dst []byte, x A, y B) ([]byte, error) { return f(dst, x, y) })
}

func b2c[A, B value](f func(c *Ctx, dst []byte, x A, y B) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := read[A](a.Vecs[0]), read[B](a.Vecs[1])
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) { return f(c, dst, x.at(i), y.at(i)) })
	}
}

func b3e[A, B, C value](f func(dst []byte, x A, y B, z C) ([]byte, error)) Kernel {
	return b3c(func(_ *Ctx, dst []byte, x A, y B, z C) ([]byte, error) { return f(dst, x, y, z) })
}

func b3c[A, B, C value](f func(c *Ctx, dst []byte, x A, y B, z C) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, z := read[A](a.Vecs[0]), read[B](a.Vecs[1]), read[C](a.Vecs[2])
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) { return f(c, dst, x.at(i), y.at(i), z.at(i)) })
	}
}

func b4e[A, B, C, D value](f func(dst []byte, x A, y B, z C, w D) ([]byte, error)) Kernel {
	return b4c(func(_ *Ctx, dst []byte, x A, y B, z C, w D) ([]byte, error) { return f(dst, x, y, z, w) })
}

func b4c[A, B, C, D value](f func(c *Ctx, dst []byte, x A, y B, z C, w D) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y, z, w := read[A](a.Vecs[0]), read[B](a.Vecs[1]), read[C](a.Vecs[2]), read[D](a.Vecs[3])
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) {
			return f(c, dst, x.at(i), y.at(i), z.at(i), w.at(i))
		})
	}
}

// bytesOf adapts a function over whole vectors that appends the value of row i to dst; for variadic entries.
func bytesOf(f func(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) { return f(c, dst, a.Vecs, i) })
	}
}

// Boxed is the convenient form of a function: arguments and result as Datums, argument types beside them. The
// slice is reused from row to row; byte values alias the input.
type Boxed func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error)

// boxed adapts f; use it where speed does not matter.
func boxed(f Boxed) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		args, types := make([]sqltypes.Datum, len(a.Vecs)), make([]sqltypes.Type, len(a.Vecs))
		for k, v := range a.Vecs {
			types[k] = v.Type
		}
		call := func(i int) (sqltypes.Datum, error) {
			for k, v := range a.Vecs {
				args[k] = v.Datum(i)
			}
			return f(c, args, types)
		}
		datumRows(c, a, out, call)
	}
}

func appendBytesDatum(dst []byte, d sqltypes.Datum) ([]byte, error) {
	switch x := d.(type) {
	case []byte:
		return append(dst, x...), nil
	case string:
		return append(dst, x...), nil
	}
	return dst, errNull
}

// setFixed writes a non-NULL value into a fixed-width vector.
func setFixed(out *delta.Vec, i int, d sqltypes.Datum) {
	switch x := d.(type) {
	case bool:
		out.Bools[i] = x
	case int64:
		out.Ints[i] = x
	case float64:
		out.Floats[i] = x
	case numeric.Dec:
		out.Decs[i] = x
	case datetime.Interval:
		out.Intervals[i] = x
	}
}

// bytesOfDatum returns the bytes of a PhysBytes datum.
func bytesOfDatum(d sqltypes.Datum) []byte {
	if s, ok := d.(string); ok {
		return []byte(s)
	}
	b, _ := d.([]byte)
	return b
}

// ts builds a list of types.
func ts(t ...sqltypes.Type) []sqltypes.Type { return t }

// fn describes an immutable, strict function, which most are; the methods below change one thing each.
func fn(name string, args []sqltypes.Type, result sqltypes.Type, k Kernel, doc string) Func {
	return Func{Name: name, Args: args, Result: result, Kernel: k, Doc: doc}
}

func (f Func) stable() Func { f.Volatility = Stable; return f }

func (f Func) volatile() Func { f.Volatility = Volatile; return f }

func (f Func) onNulls() Func { f.Nulls = OnNulls; return f }

func (f Func) variadic() Func { f.Variadic = true; return f }

func (f Func) compatible() Func { f.Compatible = true; return f }

func (f Func) optional(n int) Func { f.Optional = n; return f }

func (f Func) resultOf(r func([]sqltypes.Type) sqltypes.Type) Func { f.ResultOf = r; return f }

// alias lists the same function under a second name.
func alias(name string, fs ...Func) []Func {
	out := make([]Func, len(fs))
	for i, f := range fs {
		f.Name = name
		out[i] = f
	}
	return out
}

// datumRows fills out with what value yields for each row; nil is NULL.
func datumRows(c *Ctx, a Args, out *delta.Vec, value func(i int) (sqltypes.Datum, error)) {
	if out.Type.Phys() == sqltypes.PhysBytes {
		bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) {
			d, err := value(i)
			if err != nil {
				return dst, err
			}
			return appendBytesDatum(dst, d)
		})
		return
	}
	a.each(out, func(i int) {
		d, err := value(i)
		switch {
		case err != nil:
			fail(c, out, i, err)
		case d == nil:
			out.SetNull(i)
		default:
			setFixed(out, i, d)
		}
	})
}
