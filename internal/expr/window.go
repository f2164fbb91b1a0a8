package expr

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// What window functions and frames come down to for a row, for batch and stream alike.

// PercentRank is percent_rank of a row whose first peer has before rows before it, in a partition of size rows.
func PercentRank(before, size int64) float64 {
	if size <= 1 {
		return 0
	}
	return float64(before) / float64(size-1)
}

// Ntile is the bucket, from 1, of row number pos, from 0, of size rows: buckets differ in size by one at most, the
// larger ones first.
func Ntile(pos, size, buckets int64) (int64, error) {
	if buckets <= 0 {
		return 0, sqlerr.New(sqlerr.InvalidArgumentForNtile, "argument of ntile must be greater than zero")
	}
	each, larger := size/buckets, size%buckets
	head := larger * (each + 1)
	if pos < head {
		return pos/(each+1) + 1, nil
	}
	return larger + (pos-head)/each + 1, nil
}

// SatAdd adds, stopping at the ends of int64.
func SatAdd(a, b int64) int64 {
	s := a + b
	switch {
	case (s > a) == (b > 0) || b == 0:
		return s
	case b > 0:
		return math.MaxInt64
	}
	return math.MinInt64
}

// RowsOffset checks the offset of a ROWS or GROUPS frame; which is "starting" or "ending".
func RowsOffset(d sqltypes.Datum, which string) (int64, error) {
	n, ok := d.(int64)
	switch {
	case d == nil:
		return 0, nullOffset(which)
	case !ok:
		return 0, fmt.Errorf("evaluate frame %s offset: it is a %T", which, d)
	case n < 0:
		return 0, sqlerr.New(sqlerr.PrecedingOrFollowingInvalid, "frame %s offset must not be negative", which)
	}
	return n, nil
}

func nullOffset(which string) error {
	return sqlerr.New(sqlerr.NullValueNotAllowed, "frame %s offset must not be null", which)
}

// RangeBound computes one end of RANGE frames: the order column less or plus an offset.
type RangeBound struct {
	col   int
	shift int64 // of an integer column
	sum   Program
	// Type is the bounds'; if it is not the column's (a date less an interval is a timestamp), the column is
	// compared after a cast to it.
	Type sqltypes.Type
}

// NewRangeBound checks the offset; which is "starting" or "ending".
func NewRangeBound(col *Col, off sqltypes.Datum, offType sqltypes.Type, minus bool, which string) (*RangeBound, error) {
	if off == nil {
		return nil, nullOffset(which)
	}
	if belowZero(offType, off) {
		return nil, sqlerr.New(sqlerr.PrecedingOrFollowingInvalid, "invalid preceding or following size in window function")
	}
	b := &RangeBound{col: col.Index, Type: col.Ty}
	if n, ok := off.(int64); ok && col.Ty.IsInteger() {
		b.shift = n
		if minus {
			b.shift = -n
		}
		return b, nil
	}
	op := "+"
	if minus {
		op = "-"
	}
	for _, fn := range ByName(op) {
		if len(fn.Args) != 2 || fn.Args[0].Base() != col.Ty.Base() || fn.Args[1].Base() != offType.Base() {
			continue
		}
		call := NewCall(fn, col, &Const{Ty: offType, Val: off})
		b.Type = call.Ty
		var err error
		b.sum, err = Compile(call)
		return b, err
	}
	return nil, sqlerr.New(sqlerr.FeatureNotSupported,
		"RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s and offset type %s", col.Ty, offType)
}

// belowZero reports whether an offset is negative, or NaN.
func belowZero(t sqltypes.Type, d sqltypes.Datum) bool {
	switch x := d.(type) {
	case int64:
		return x < 0
	case float64:
		return !(x >= 0)
	}
	return sqlio.Compare(t, d, delta.NewVec(t, 1).Datum(0)) < 0
}

// Eval computes the bound of each row. Integers stop at the ends of their range, which changes no comparison.
func (b *RangeBound) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	if b.sum != nil {
		return b.sum.Eval(c, ch)
	}
	v := ch.Cols[b.col]
	out := make([]int64, v.Len())
	for i, x := range v.Ints[:v.Len()] {
		out[i] = SatAdd(x, b.shift)
	}
	bound := delta.IntVec(v.Type, out)
	bound.Valid = v.Valid
	return bound
}

// CastsKey reports whether the order column is to be cast to Type before it is compared with bounds.
func (b *RangeBound) CastsKey(col sqltypes.Type) bool { return b.Type.Base() != col.Base() }
