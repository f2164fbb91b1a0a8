package batch

import (
	"bytes"
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// topN keeps the first rows of each partition. It collects rows; whenever those collected since the last time outnumber
// those kept then, it sorts and drops what cannot be in the result any more. So memory is bounded by twice the
// result plus a batch, and the sorting costs a few comparisons a row.
type topN struct {
	q     *query
	n     *plan.TopN
	in    Operator
	types []sqltypes.Type
	keys  []orderKey // partition, then order
	order []orderKey
	rows  *collector
	// keep is the number of rows of a partition that can matter, offset included.
	keep int64
	// Without partitions, bound is the order key of the last row kept; rows after it are not collected.
	bound []byte
	buf   []byte

	all  *delta.Chunk // nil: the input has not been read yet
	perm []int32      // rows of the result
	nums []int64      // their row numbers
}

// topNSlack is the number of rows that are collected before the first reduction.
const topNSlack = 4 * delta.BatchRows

func newTopN(q *query, n *plan.TopN) (Operator, error) {
	in, err := q.buildPlain(n.Input)
	if err != nil {
		return nil, err
	}
	types := plan.Types(n.Input)
	t := &topN{q: q, n: n, in: in, types: types, order: orderKeys(types, n.OrderBy), rows: newCollector(q, types),
		keep: math.MaxInt64}
	t.keys = append(append(partitionKeys(types, n.PartitionBy), t.order...), q.tieKeys()...)
	if n.Limit >= 0 && n.Limit <= math.MaxInt64-n.Offset {
		t.keep = n.Limit + n.Offset
	}
	return t, nil
}

// Open implements Operator.
func (t *topN) Open(ctx context.Context) error { return t.in.Open(ctx) }

// Next implements ChunkIter.
func (t *topN) Next(ctx context.Context) (*delta.Chunk, error) {
	if t.all == nil {
		if err := t.read(ctx); err != nil {
			return nil, err
		}
	}
	out, err := nextGathered(ctx, t.all.Cols, &t.perm)
	if out != nil && t.n.RowNumber {
		out.Cols = append(out.Cols, delta.IntVec(sqltypes.Int8, t.nums[:out.Rows:out.Rows]))
		t.nums = t.nums[out.Rows:]
	}
	return out, err
}

func (t *topN) read(ctx context.Context) error {
	kept := 0
	for t.n.Limit != 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch, err := t.in.Next(ctx)
		if err != nil {
			return err
		}
		if ch == nil {
			break
		}
		if t.bound != nil {
			ch = t.within(ch)
		}
		if err := t.rows.add(ch); err != nil {
			return err
		}
		if t.keep == math.MaxInt64 || t.rows.rows-kept < max(kept, topNSlack) {
			continue
		}
		if kept, err = t.reduce(ctx); err != nil {
			return err
		}
	}
	var err error
	if t.all, err = t.rows.finish(ctx); err != nil {
		return err
	}
	t.perm, t.nums, err = t.first(ctx, t.all, t.n.Offset)
	return err
}

// within drops the rows that come after the bound; a row that ties with it comes after it, too, unless ties count or
// are decided.
func (t *topN) within(ch *delta.Chunk) *delta.Chunk {
	sel := make([]int32, 0, ch.Len())
	for k := range ch.Len() {
		i := ch.Row(k)
		t.buf = appendSortKey(t.buf[:0], t.order, ch.Cols, i, true)
		if c := bytes.Compare(t.buf, t.bound); c < 0 || c == 0 && (t.n.WithTies || t.q.opt.ExactTies) {
			sel = append(sel, int32(i))
		}
	}
	return ch.WithSel(sel)
}

// reduce replaces the rows collected by those that can still be in the result.
func (t *topN) reduce(ctx context.Context) (kept int, err error) {
	all, err := t.rows.finish(ctx)
	if err != nil {
		return 0, err
	}
	perm, _, err := t.first(ctx, all, 0)
	if err != nil {
		return 0, err
	}
	few := gatherChunk(all.Cols, perm)
	t.rows.release()
	if len(t.n.PartitionBy) == 0 && int64(few.Rows) >= t.keep {
		t.bound = appendSortKey(nil, t.order, few.Cols, few.Rows-1, true)
	}
	return few.Rows, t.rows.add(few)
}

// first sorts rows and picks, of each partition, those from offset on that are among the first keep.
func (t *topN) first(ctx context.Context, ch *delta.Chunk, offset int64) (perm []int32, nums []int64, err error) {
	perm, err = sortRows(ctx, t.q, ch, t.keys)
	if err != nil {
		return nil, nil, err
	}
	partition := newRowEqual(ch, t.n.PartitionBy)
	peer := newRowEqual(ch, sortCols(t.n.OrderBy))
	out := perm[:0] // overtakes nothing: at most one row is written for each one read
	pos, last := int64(0), int32(-1)
	var prev int32
	for k, r := range perm {
		if k%sortRun == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if k > 0 && !partition.equal(int(prev), int(r)) {
			pos, last = 0, -1
		}
		prev = r
		pos++
		in := pos <= t.keep
		if !in && t.n.WithTies && last >= 0 {
			in = peer.equal(int(last), int(r))
		}
		if !in {
			continue
		}
		if pos == t.keep {
			last = r
		}
		if pos > offset {
			out = append(out, r)
			nums = append(nums, pos)
		}
	}
	return out, nums, nil
}

func sortCols(keys []plan.SortKey) []int {
	out := make([]int, len(keys))
	for i, k := range keys {
		out[i] = k.Col
	}
	return out
}

// Close implements ChunkIter.
func (t *topN) Close() {
	t.in.Close()
	t.rows.release()
}
