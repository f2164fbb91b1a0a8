package expr

import (
	"encoding/binary"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// decSum is sum and avg over numeric.
type decSum struct {
	acc numeric.Acc
	n   int64
	avg bool
}

func (a *decSum) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if !args[0].IsNull(row) {
		a.acc.Add(args[0].Decs[row], weight)
		a.n += weight
	}
	return nil
}

func (a *decSum) Result(_ *Ctx, out *delta.Vec) error {
	if a.n == 0 {
		out.AppendNull()
		return nil
	}
	d, err := a.acc.Result()
	if err == nil && a.avg {
		d, err = numeric.Avg(d, a.n)
	}
	if err == nil {
		out.AppendDec(d)
	}
	return err
}

// Merge implements AggMerger.
func (a *decSum) Merge(src AggObject) {
	o := src.(*decSum)
	a.acc.Merge(&o.acc)
	a.n += o.n
}

func (a *decSum) AppendImage(dst []byte) []byte {
	return a.acc.AppendImage(binary.AppendVarint(dst, a.n))
}

func (a *decSum) DecodeImage(src []byte) (err error) {
	if a.n, src, err = takeVarint(src); err == nil {
		_, err = a.acc.DecodeImage(src)
	}
	return err
}

func (a *decSum) SizeBytes() int { return 16 + a.acc.SizeBytes() }

// decVariance is variance and standard deviation over integers and numeric.
type decVariance struct {
	x, xx        numeric.Acc
	n            int64
	sample, root bool
}

func (a *decVariance) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if args[0].IsNull(row) {
		return nil
	}
	var d numeric.Dec
	if args[0].Type.Phys() == sqltypes.PhysInt64 {
		d = numeric.FromInt64(args[0].Ints[row])
	} else {
		d = args[0].Decs[row]
	}
	square, err := d.Mul(d)
	if err != nil {
		return err
	}
	a.x.Add(d, weight)
	a.xx.Add(square, weight)
	a.n += weight
	return nil
}

func (a *decVariance) Result(_ *Ctx, out *delta.Vec) error {
	if a.n == 0 || a.sample && a.n == 1 {
		out.AppendNull()
		return nil
	}
	x, err := a.x.Result()
	if err != nil {
		return err
	}
	xx, err := a.xx.Result()
	if err != nil {
		return err
	}
	if !x.IsFinite() {
		out.AppendDec(numeric.NaN())
		return nil
	}
	d, err := numeric.Variance(a.n, x, xx, a.sample, a.root)
	if err == nil {
		out.AppendDec(d)
	}
	return err
}

// Merge implements AggMerger.
func (a *decVariance) Merge(src AggObject) {
	o := src.(*decVariance)
	a.x.Merge(&o.x)
	a.xx.Merge(&o.xx)
	a.n += o.n
}

func (a *decVariance) AppendImage(dst []byte) []byte {
	return a.xx.AppendImage(a.x.AppendImage(binary.AppendVarint(dst, a.n)))
}

func (a *decVariance) DecodeImage(src []byte) (err error) {
	if a.n, src, err = takeVarint(src); err == nil {
		if src, err = a.x.DecodeImage(src); err == nil {
			_, err = a.xx.DecodeImage(src)
		}
	}
	return err
}

func (a *decVariance) SizeBytes() int { return 16 + a.x.SizeBytes() + a.xx.SizeBytes() }

// numericAggs lists sum, avg and the statistics with a numeric result.
func numericAggs() []AggFunc {
	n := sqltypes.Numeric
	out := []AggFunc{
		floatAgg("sum", ts(n), n, func() AggObject { return &decSum{} }, "sum"),
		floatAgg("avg", ts(n), n, func() AggObject { return &decSum{avg: true} }, "average"),
	}
	for _, t := range ts(sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, n) {
		for _, v := range varianceNames {
			out = append(out, floatAgg(v.name, ts(t), n, func() AggObject {
				return &decVariance{sample: v.sample, root: v.root}
			}, v.doc))
		}
	}
	return out
}
