package expr

import (
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Aggregates that answer nearly, from a state whose size does not grow with the group. Both count what falls into a
// cell, so that a row can be taken back.

// cells counts rows by cell; a cell without rows is not there.
type cells map[int64]int64

func (c cells) add(cell, weight int64) {
	if n := c[cell] + weight; n != 0 {
		c[cell] = n
	} else {
		delete(c, cell)
	}
}

func (c cells) appendImage(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c)))
	for _, k := range slices.Sorted(maps.Keys(c)) {
		dst = binary.AppendVarint(binary.AppendVarint(dst, k), c[k])
	}
	return dst
}

func takeCells(src []byte) (cells, []byte, error) {
	n, src, err := takeUvarint(src)
	if err != nil || n > uint64(len(src)) {
		return nil, nil, errImage
	}
	c := make(cells, n)
	for range n {
		var kv [2]int64
		for i := range kv {
			v, w := binary.Varint(src)
			if w <= 0 {
				return nil, nil, errImage
			}
			kv[i], src = v, src[w:]
		}
		c.add(kv[0], kv[1])
	}
	return c, src, nil
}

// distinctCount is a HyperLogLog of 2^14 registers, with an error of 0.8 %. A cell is a register and a rank (the number of
// leading zeros of a hash, plus one); the register's value is the highest rank that has rows.
type distinctCount struct{ cells cells }

const registerBits = 14

func (a *distinctCount) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	h := xxhash.Sum64(sqlio.AppendKey(nil, args[0], row))
	register := int64(h >> (64 - registerBits))
	rank := int64(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1))) + 1
	a.cells.add(register<<6|rank, weight)
	return nil
}

func (a *distinctCount) Result(_ *Ctx, out *delta.Vec) error {
	const m = 1 << registerBits
	highest := map[int64]int64{}
	for c, n := range a.cells {
		if r := c >> 6; n > 0 {
			highest[r] = max(highest[r], c&63)
		}
	}
	empty := float64(m - len(highest))
	sum := empty
	for _, rank := range highest {
		sum += math.Ldexp(1, -int(rank))
	}
	const alpha = 0.7213 / (1 + 1.079/m)
	estimate := alpha * m * m / sum
	if estimate <= 2.5*m && empty > 0 { // few values: the number of empty registers says more
		estimate = m * math.Log(m/empty)
	}
	out.AppendInt(int64(math.Round(estimate)))
	return nil
}

func (a *distinctCount) AppendImage(dst []byte) []byte { return a.cells.appendImage(dst) }

func (a *distinctCount) DecodeImage(src []byte) (err error) {
	a.cells, _, err = takeCells(src)
	return err
}

func (a *distinctCount) SizeBytes() int { return 64 + 48*len(a.cells) }

// quantileSketch is a DDSketch: a cell holds the values from g^(k−1) to g^k, so that its middle is within a relative error
// of all of them. Cells of negative values are those of their opposites, below the cell of zero.
type quantileSketch struct {
	cells cells
	// The direct arguments, from the row seen last.
	fraction, relative float64
	known              bool // fraction is not NULL
}

const (
	defaultRelative = 0.01
	zeroCell        = 0
	firstCell       = 1 << 40 // of the value 1, far from zero's
)

func (a *quantileSketch) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	a.relative = defaultRelative
	if len(args) > 2 {
		a.relative = args[2].Floats[row]
		if args[2].IsNull(row) || !(a.relative > 0 && a.relative < 1) {
			return sqlerr.New(sqlerr.NumericValueOutOfRange, "relative error of approx_percentile must be between 0 and 1")
		}
	}
	if a.known = !args[1].IsNull(row); a.known {
		a.fraction = args[1].Floats[row]
		if err := checkFraction(a.fraction); err != nil {
			return err
		}
	}
	a.cells.add(a.cell(args[0].Floats[row]), weight)
	return nil
}

// base is g.
func (a *quantileSketch) base() float64 { return (1 + a.relative) / (1 - a.relative) }

func (a *quantileSketch) cell(x float64) int64 {
	switch {
	case x == 0:
		return zeroCell
	case math.IsNaN(x):
		return math.MaxInt64
	case math.IsInf(x, 0):
		return int64(math.Copysign(math.MaxInt64-1, x))
	}
	k := firstCell + int64(math.Ceil(math.Log(math.Abs(x))/math.Log(a.base())))
	if x < 0 {
		return -k
	}
	return k
}

func (a *quantileSketch) value(cell int64) float64 {
	switch {
	case cell == zeroCell:
		return 0
	case cell == math.MaxInt64:
		return math.NaN()
	case cell >= math.MaxInt64-1:
		return math.Inf(1)
	case cell <= -(math.MaxInt64 - 1):
		return math.Inf(-1)
	case cell < 0:
		return -a.value(-cell)
	}
	g := a.base()
	return 2 * math.Pow(g, float64(cell-firstCell)) / (g + 1)
}

func (a *quantileSketch) Result(_ *Ctx, out *delta.Vec) error {
	var total int64
	for _, n := range a.cells {
		total += n
	}
	if total <= 0 || !a.known {
		out.AppendNull()
		return nil
	}
	left := int64(math.Floor(a.fraction * float64(total-1)))
	for _, k := range slices.Sorted(maps.Keys(a.cells)) {
		if left -= a.cells[k]; left < 0 {
			out.AppendFloat(a.value(k))
			return nil
		}
	}
	out.AppendNull()
	return nil
}

func (a *quantileSketch) AppendImage(dst []byte) []byte {
	if len(a.cells) == 0 { // whatever its last row said
		a = &quantileSketch{}
	}
	known := byte(0)
	if a.known {
		known = 1
	}
	dst = append(dst, known)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(a.fraction))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(a.relative))
	return a.cells.appendImage(dst)
}

func (a *quantileSketch) DecodeImage(src []byte) (err error) {
	if len(src) < 17 {
		return errImage
	}
	a.known = src[0] == 1
	a.fraction = math.Float64frombits(binary.LittleEndian.Uint64(src[1:]))
	a.relative = math.Float64frombits(binary.LittleEndian.Uint64(src[9:]))
	a.cells, _, err = takeCells(src[17:])
	return err
}

func (a *quantileSketch) SizeBytes() int { return 96 + 48*len(a.cells) }

// approxAggs lists the aggregates that answer nearly.
func approxAggs() []AggFunc {
	f8 := sqltypes.Float8
	percentile := func(args []sqltypes.Type, direct int, doc string) AggFunc {
		return AggFunc{Name: "approx_percentile", Args: args, Result: f8, IgnoresNulls: true, Invertible: true, OrderedSet: true, Direct: direct, Doc: doc,
			New: func([]sqltypes.Type) AggObject { return &quantileSketch{cells: cells{}} }}
	}
	return []AggFunc{
		{Name: "approx_count_distinct", Args: ts(sqltypes.Any), Result: sqltypes.Int8, IgnoresNulls: true, Invertible: true,
			Doc: "number of distinct values, nearly (within 1 %, as a rule)",
			New: func([]sqltypes.Type) AggObject { return &distinctCount{cells{}} }},
		percentile(ts(f8, f8), 1, "value at a fraction of the rows in order, within 1 % of it"),
		percentile(ts(f8, f8, f8), 2, "value at a fraction of the rows in order, within a relative error of it"),
	}
}
