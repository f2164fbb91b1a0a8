package stream

import (
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// hop repeats each row for every window that holds its time.
type hop struct {
	stateless
	n    *plan.Hop
	ty   sqltypes.Type
	unit int64 // microseconds in one unit of the time column
}

const microsPerDay = 86400 * 1000000

func newHop(n *plan.Hop) (Operator, error) {
	if n.SlideMicros <= 0 || n.SizeMicros <= 0 {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "window size and slide must be positive")
	}
	return hopOf(n), nil
}

func hopOf(n *plan.Hop) *hop {
	h := &hop{n: n, ty: plan.Types(n.Input)[n.TimeCol], unit: 1}
	if h.ty.Kind == sqltypes.KDate {
		h.unit = microsPerDay
	}
	return h
}

// earliest returns the bounds of the earliest window with t in it, or of the next one when slides leave a gap there.
func (h *hop) earliest(t int64) (start, end int64) {
	if !h.finite(t) {
		return t, t
	}
	w := h.n.WindowsAt(t * h.unit)
	return floorDiv(w.Start, h.unit), floorDiv(w.End, h.unit)
}

// OnDelta implements Operator.
func (h *hop) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	per := int((h.n.SizeMicros + h.n.SlideMicros - 1) / h.n.SlideMicros)
	idx := make([]int32, 0, min(per*c.Len(), 2*delta.BatchRows))
	starts, ends := make([]int64, 0, cap(idx)), make([]int64, 0, cap(idx))
	flush := func() error {
		if len(idx) == 0 {
			return nil
		}
		err := emit(h.windows(c, idx, starts, ends))
		idx, starts, ends = make([]int32, 0, cap(idx)), make([]int64, 0, cap(idx)), make([]int64, 0, cap(idx))
		return err
	}
	times := c.Cols[h.n.TimeCol]
	for k := range c.Len() {
		i := c.Row(k)
		if times.IsNull(i) || !h.finite(times.Ints[i]) {
			continue
		}
		w := h.n.WindowsAt(times.Ints[i] * h.unit)
		for range w.Count {
			idx, starts, ends = append(idx, int32(i)), append(starts, w.Start), append(ends, w.End)
			if len(idx) >= 2*delta.BatchRows {
				if err := flush(); err != nil {
					return err
				}
			}
			w.Start, w.End = w.Start+w.StartStep, w.End+w.EndStep
		}
	}
	return flush()
}

// windows makes the rows idx of c with windows of the given bounds, in microseconds.
func (h *hop) windows(c *delta.Chunk, idx []int32, starts, ends []int64) *delta.Chunk {
	cols := make([]*delta.Vec, 0, len(c.Cols)+2)
	for _, v := range c.Cols {
		cols = append(cols, v.Gather(idx))
	}
	for k := range starts {
		starts[k], ends[k] = floorDiv(starts[k], h.unit), floorDiv(ends[k], h.unit)
	}
	cols = append(cols, delta.IntVec(h.ty, starts), delta.IntVec(h.ty, ends))
	return delta.NewChunk(cols, gatherWeights(c.Weights, idx), len(idx))
}

func gatherWeights(w []int64, idx []int32) []int64 {
	if w == nil {
		return nil
	}
	out := make([]int64, len(idx))
	for k, i := range idx {
		out[k] = w[i]
	}
	return out
}

// finite reports whether a time lies in windows at all: 'infinity' does not.
func (h *hop) finite(t int64) bool {
	if h.unit != 1 {
		return t > math.MinInt32 && t < math.MaxInt32
	}
	return t > math.MinInt64 && t < math.MaxInt64
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

func floorDiv(a, b int64) int64 {
	if b == 1 {
		return a
	}
	return (a - floorMod(a, b)) / b
}
