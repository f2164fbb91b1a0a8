package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// probeSide is the streaming input: what was read while the build side was being chosen, then the rest.
type probeSide struct {
	op    Operator
	first []*delta.Chunk
	held  holding
}

func (p *probeSide) next(ctx context.Context) (*delta.Chunk, error) {
	if len(p.first) > 0 {
		ch := p.first[0]
		p.first = p.first[1:]
		if len(p.first) == 0 {
			p.held.release()
		}
		return ch, nil
	}
	return p.op.Next(ctx)
}

// buildSide is the collected input.
type buildSide struct {
	rows   *delta.Chunk
	table  *grouper // keys of the build rows
	lookup *grouper // the same table under the probe side's columns
	// The rows of group g are order[starts[g]:starts[g+1]].
	starts, order []int32
	nullRows      []int32 // NOT IN: rows with a NULL in a key
	all           []int32 // NOT IN: all rows
	matched       []bool  // by row, for joins that keep unmatched build rows
	held          holding
}

// prepare chooses and reads the build side, and makes its table.
func (j *hashJoin) prepare(ctx context.Context) error {
	if j.shared != nil {
		return j.shared.prepare(ctx, j)
	}
	rows, err := j.choose(ctx)
	if err != nil || j.disk != nil {
		return err
	}
	return j.finishBuild(ctx, rows)
}

// finishBuild makes the table over the collected side.
func (j *hashJoin) finishBuild(ctx context.Context, rows *collector) (err error) {
	buildTypes, buildKeys, probeKeys := j.rightTypes, j.n.RightKeys, j.n.LeftKeys
	if j.probe.op = j.left; j.leftRead {
		j.probe.op = &concatOp{}
	}
	if j.leftBuilt {
		buildTypes, buildKeys, probeKeys = j.leftTypes, j.n.LeftKeys, j.n.RightKeys
		j.probe.op = j.right
	}
	b := &j.build
	if b.rows, err = rows.finish(ctx); err != nil {
		return err
	}
	b.table = newGrouper(buildTypes, buildKeys, j.strict())
	b.lookup = b.table.over(probeKeys)
	if err := b.group(ctx, j.n.Kind == plan.NullAnti); err != nil {
		return err
	}
	if j.keepsBuild() {
		b.matched = make([]bool, b.rows.Rows)
	}
	rows.release()
	j.passOn()
	return b.held.set(int64(b.rows.SizeBytes()) + b.table.sizeBytes() + int64(9*b.rows.Rows))
}

// choose collects the build side; with it, what was read of the probe side. When neither fits, it spreads both over
// files.
func (j *hashJoin) choose(ctx context.Context) (*collector, error) {
	right, left := newCollector(j.q, j.rightTypes), newCollector(j.q, j.leftTypes)
	j.collected = []*collector{right, left}
	if j.leftFirst > 0 {
		if done, err := j.readLeft(ctx, left); err != nil || done && left.rows == 0 {
			return right, err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		op, to, other := j.right, right, left
		if !j.existence() && left.rows < right.rows && right.rows >= rightFirst {
			op, to, other = j.left, left, right
		}
		ch, err := op.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			j.leftBuilt = to == left
			return to, j.keepRead(other)
		}
		if err := to.add(ch); err != nil {
			return nil, err
		}
		held := left.held.bytes + right.held.bytes
		if j.spreads() && j.q.crowded(held+int64(left.rows+right.rows)*joinOverhead, held) {
			return nil, j.spread(ctx, left, right)
		}
	}
}

// leftFirst is how many rows of its left side a join reads before the right one; 0: none, for joins whose right side is not
// known to be large, or needed as a whole.
func (q *query) leftFirst(n *plan.Join) int {
	if n.Kind != plan.Semi && n.Kind != plan.Anti || len(n.LeftKeys) == 0 {
		return 0
	}
	if rows := q.scanned(n.Right); rows >= largeRight {
		return int(rows) / 4
	}
	return 0
}

// largeRight is the number of rows from which a relation is worth not being built whole.
const largeRight = 100_000

// scanned is how many rows there are about in the relation that a node reads row by row; 0: it does something else.
func (q *query) scanned(n plan.Node) float64 {
	switch x := n.(type) {
	case *plan.Filter:
		return q.scanned(x.Input)
	case *plan.Project:
		return q.scanned(x.Input)
	case *plan.TableScan:
		if c, ok := q.rel.(RowCounter); ok && x.Lookup == nil {
			return c.RowCount(x.Table)
		}
	}
	return 0
}

// readLeft reads the left side, up to leftFirst rows. If that is all, the right side is told whose matches are wanted.
func (j *hashJoin) readLeft(ctx context.Context, left *collector) (done bool, err error) {
	for left.rows <= j.leftFirst {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		ch, err := j.left.Next(ctx)
		if err != nil {
			return false, err
		}
		if ch != nil {
			if err := left.add(ch); err != nil {
				return false, err
			}
			if j.q.crowded(left.held.bytes, left.held.bytes) {
				return false, nil
			}
			continue
		}
		if err := left.mergeSmall(); err != nil {
			return false, err
		}
		keys := newGrouper(j.leftTypes, j.n.LeftKeys, j.strict())
		for _, ch := range left.kept {
			keys.assign(ch)
		}
		restrict(j.right, restriction{cols: j.n.RightKeys, keys: keys})
		j.leftRead = true
		return true, j.build.held.set(keys.sizeBytes())
	}
	return false, nil
}

// rightFirst is how many rows of the right side, which the planner takes to be the smaller one, are read before any of the left: so
// that a small build side is there before the other begins, and can restrict it.
const rightFirst = 32_768

// joinOverhead is what a build row costs besides its values, while the table is made.
const joinOverhead = 32

// keepRead puts what was read of the probe side before the rest of it.
func (j *hashJoin) keepRead(c *collector) error {
	if err := c.mergeSmall(); err != nil {
		return err
	}
	j.probe.first, c.kept = c.kept, nil
	j.probe.held.bytes, c.held.bytes = c.held.bytes, 0
	return nil
}

// group numbers the keys and sorts the rows by group, by counting.
func (b *buildSide) group(ctx context.Context, notIn bool) error {
	n := b.rows.Rows
	ids, err := b.number(ctx)
	if err != nil {
		return err
	}
	b.starts = make([]int32, b.table.groups()+1)
	for i, id := range ids {
		if id != noGroup {
			b.starts[id+1]++
		} else if notIn {
			b.nullRows = append(b.nullRows, int32(i))
		}
	}
	for g := 1; g < len(b.starts); g++ {
		b.starts[g] += b.starts[g-1]
	}
	b.order = make([]int32, b.starts[len(b.starts)-1])
	next := append([]int32(nil), b.starts...)
	for i, id := range ids {
		if id != noGroup {
			b.order[next[id]] = int32(i)
			next[id]++
		}
	}
	if notIn {
		b.all = make([]int32, n)
		for i := range b.all {
			b.all[i] = int32(i)
		}
	}
	return ctx.Err()
}

// number finds the group of each row, a part at a time.
func (b *buildSide) number(ctx context.Context) ([]uint32, error) {
	keys := &delta.Chunk{Cols: make([]*delta.Vec, len(b.rows.Cols)), Rows: b.rows.Rows}
	for _, c := range b.table.cols {
		keys.Cols[c] = b.rows.Cols[c]
	}
	ids := make([]uint32, 0, keys.Rows)
	for lo := 0; lo < keys.Rows; lo += sortRun {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ids = append(ids, b.table.assign(sliceChunk(keys, lo, min(lo+sortRun, keys.Rows)))...)
	}
	return ids, nil
}
