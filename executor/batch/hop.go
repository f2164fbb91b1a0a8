package batch

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// hop repeats each row for every window that holds its time, earliest window first.
type hop struct {
	n  *plan.Hop
	in Operator
	ty sqltypes.Type
	// unit is the number of microseconds in one unit of the time column.
	unit int64

	cur  *delta.Chunk
	k    int
	next plan.Windows // those of row k that are left; valid when inside
	// inside: row k has been begun.
	inside bool
}

const microsPerDay = 86400 * 1000000

func newHop(q *query, n *plan.Hop) (Operator, error) {
	in, err := q.build(n.Input)
	if err != nil {
		return nil, err
	}
	h := &hop{n: n, in: in, ty: plan.Types(n.Input)[n.TimeCol], unit: 1}
	if h.ty.Kind == sqltypes.KDate {
		h.unit = microsPerDay
	}
	return h, nil
}

// Open implements Operator.
func (h *hop) Open(ctx context.Context) error { return h.in.Open(ctx) }

// Next implements ChunkIter.
func (h *hop) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		if h.cur == nil {
			ch, err := h.in.Next(ctx)
			if err != nil || ch == nil {
				return nil, err
			}
			h.cur, h.k, h.inside = ch, 0, false
		}
		if out := h.step(); out != nil {
			return out, nil
		}
		h.cur = nil
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// step makes a batch of rows from cur, nil when there are no more.
func (h *hop) step() *delta.Chunk {
	var idx []int32
	var starts, ends []int64
	times := h.cur.Cols[h.n.TimeCol]
	for ; h.k < h.cur.Len(); h.k, h.inside = h.k+1, false {
		i := h.cur.Row(h.k)
		if times.IsNull(i) || !h.finite(times.Ints[i]) {
			continue
		}
		if !h.inside {
			h.next, h.inside = h.n.WindowsAt(times.Ints[i]*h.unit), true
		}
		for ; h.next.Count > 0; h.next.Count-- {
			if len(idx) >= delta.BatchRows {
				return h.windows(idx, starts, ends)
			}
			idx = append(idx, int32(i))
			starts = append(starts, floorDiv(h.next.Start, h.unit))
			ends = append(ends, floorDiv(h.next.End, h.unit))
			h.next.Start, h.next.End = h.next.Start+h.next.StartStep, h.next.End+h.next.EndStep
		}
	}
	if len(idx) == 0 {
		return nil
	}
	return h.windows(idx, starts, ends)
}

// finite reports whether a time lies in windows at all: 'infinity' does not.
func (h *hop) finite(t int64) bool {
	if h.unit != 1 {
		return t > math.MinInt32 && t < math.MaxInt32
	}
	return t > math.MinInt64 && t < math.MaxInt64
}

func floorMod(a, b int64) int64 {
	if m := a % b; m < 0 {
		return m + b
	} else {
		return m
	}
}

func floorDiv(a, b int64) int64 {
	if b == 1 {
		return a
	}
	return (a - floorMod(a, b)) / b
}

func (h *hop) windows(idx []int32, starts, ends []int64) *delta.Chunk {
	out := gatherChunk(h.cur.Cols, idx)
	out.Weights = gatherWeights(h.cur.Weights, idx)
	out.Cols = append(out.Cols, delta.IntVec(h.ty, starts), delta.IntVec(h.ty, ends))
	return out
}

// Close implements ChunkIter.
func (h *hop) Close() { h.in.Close() }
