package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// hashJoin serves all kinds of joins. One side, the build side, is collected and its rows are sorted by key group;
// the other, the probe side, streams past. For each probe row the rows of its group are candidates; candidates are
// gathered in batches, the further condition is evaluated over a batch at a time, and survivors leave. Without keys
// all build rows are one group, which is the nested loop.
//
// The build side is the right one for semi and anti joins, and otherwise the one that ends first when both are read in
// turn, so that the smaller input is the one in memory, without any statistics. A semi or anti join with all of a large
// relation on its right reads the left side before it: if that turns out to be small, its keys are all that is wanted of the right.
//
// When memory runs short before a side has ended, both inputs are spread over files by key and joined file by file.
type hashJoin struct {
	q     *query
	n     *plan.Join
	left  Operator
	right Operator
	conds []expr.Program
	// condCols marks the columns (left, then right) that the condition reads.
	condCols              []bool
	leftTypes, rightTypes []sqltypes.Type

	probe probeSide
	build buildSide
	// leftBuilt: the build side is the left one.
	leftBuilt bool
	opened    bool // build side is there
	closed    bool
	done      bool

	cur        *delta.Chunk // probe chunk, nil: get the next one
	ids        []uint32     // groups of its rows
	k          int          // row of cur (counted) whose candidates are being listed
	pos        int          // next candidate of it
	hit        []bool       // by counted row of cur: some candidate survived
	pairK      []int32      // candidates: counted row of cur …
	pairBuild  []int32      // … and build row
	pairProbe  []int32      // … and physical row of cur
	unmatched  int          // next build row to look at after the probe side's end
	collected  []*collector // while the build side is being chosen
	level      int          // how often the inputs have been spread over files
	leftFirst  int          // see query.leftFirst
	leftRead   bool         // all of the left side has been read before the right one
	disk       *diskJoin    // nil: the build side fits
	shared     *sharedBuild // nil: the build side is this join's own
	candidates [2][]int32
}

func newHashJoin(q *query, n *plan.Join) (Operator, error) {
	left, err := q.build(n.Left)
	if err != nil {
		return nil, err
	}
	right, err := q.build(n.Right)
	if err != nil {
		return nil, err
	}
	return newHashJoinOver(q, n, left, right, 0)
}

// newHashJoinOver joins the rows of two operators.
func newHashJoinOver(q *query, n *plan.Join, left, right Operator, level int) (*hashJoin, error) {
	var err error
	j := &hashJoin{q: q, n: n, left: left, right: right, level: level, leftTypes: plan.Types(n.Left), rightTypes: plan.Types(n.Right)}
	j.probe.held.mem, j.build.held.mem = q.mem, q.mem
	if level == 0 {
		j.leftFirst = q.leftFirst(n)
	}
	if n.Cond != nil {
		j.condCols = make([]bool, len(j.leftTypes)+len(j.rightTypes))
		expr.Columns(n.Cond, func(i int) { j.condCols[i] = true })
		if j.conds, err = expr.CompileAll(expr.Conjuncts(n.Cond)); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// Open implements Operator.
func (j *hashJoin) Open(ctx context.Context) error {
	if j.shared == nil {
		return openAll(ctx, j.left, j.right)
	}
	if err := j.left.Open(ctx); err != nil {
		return err
	}
	return j.shared.open(ctx)
}

// Close implements ChunkIter.
func (j *hashJoin) Close() {
	j.left.Close()
	if j.shared == nil {
		j.right.Close()
	} else if !j.closed {
		j.shared.close()
	}
	j.closed = true
	for _, c := range j.collected {
		c.release()
	}
	j.disk.close()
	j.probe.held.release()
	j.build.held.release()
	j.cur, j.build.rows, j.probe.first = nil, nil, nil
}

// strict says which keys are not equal when both are NULL.
func (j *hashJoin) strict() []bool {
	out := make([]bool, len(j.n.LeftKeys))
	for i := range out {
		out[i] = j.n.NullSafe == nil || !j.n.NullSafe[i]
	}
	return out
}

// keepsProbe reports whether probe rows without a match leave, with NULLs.
func (j *hashJoin) keepsProbe() bool {
	return j.n.Kind == plan.Full || !j.leftBuilt && j.n.Kind == plan.Left || j.leftBuilt && j.n.Kind == plan.Right
}

// keepsBuild reports whether build rows without a match leave, with NULLs.
func (j *hashJoin) keepsBuild() bool {
	return j.n.Kind == plan.Full || j.leftBuilt && j.n.Kind == plan.Left || !j.leftBuilt && j.n.Kind == plan.Right
}

// existence reports whether the join only asks if there is a match.
func (j *hashJoin) existence() bool { return j.n.Kind >= plan.Semi }

// Next implements ChunkIter.
func (j *hashJoin) Next(ctx context.Context) (*delta.Chunk, error) {
	if !j.opened {
		j.opened = true
		if err := j.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if j.disk != nil {
		return j.disk.next(ctx, j)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if j.done {
			return j.buildRest(), nil
		}
		if j.cur == nil {
			if err := j.fetch(ctx); err != nil {
				return nil, err
			}
			continue
		}
		out, err := j.step()
		if err != nil || out != nil && out.Len() > 0 {
			return out, err
		}
	}
}

// fetch gets the next probe chunk.
func (j *hashJoin) fetch(ctx context.Context) error {
	if j.build.rows.Rows == 0 && (j.n.Kind == plan.Inner || j.n.Kind == plan.Semi) {
		j.done = true // nothing can match
		return nil
	}
	ch, err := j.probe.next(ctx)
	if err != nil {
		return err
	}
	if ch == nil {
		j.done = true
		return nil
	}
	j.cur, j.k, j.pos = ch, 0, 0
	j.ids = j.build.lookup.find(ch)
	if j.existence() || j.keepsProbe() {
		j.hit = append(j.hit[:0], make([]bool, ch.Len())...)
	}
	return nil
}

// step does a batch of candidates of cur or, when there are no more, what is left to do for cur.
func (j *hashJoin) step() (*delta.Chunk, error) {
	if j.existence() && j.conds == nil && j.n.Kind != plan.NullAnti {
		for k, id := range j.ids {
			j.hit[k] = id != noGroup
		}
		return j.probeRest(), nil
	}
	if !j.list() {
		return j.probeRest(), nil
	}
	if err := j.test(); err != nil {
		return nil, err
	}
	for x, k := range j.pairK {
		if j.hit != nil {
			j.hit[k] = true
		}
		if j.build.matched != nil {
			j.build.matched[j.pairBuild[x]] = true
		}
	}
	if j.existence() || len(j.pairK) == 0 {
		return nil, nil
	}
	return j.joined(), nil
}

// list fills the candidate lists; false when cur has no more.
func (j *hashJoin) list() bool {
	j.pairK, j.pairBuild, j.pairProbe = j.pairK[:0], j.pairBuild[:0], j.pairProbe[:0]
	for n := j.cur.Len(); j.k < n; j.k, j.pos = j.k+1, 0 {
		if j.existence() && j.hit[j.k] {
			continue // settled by an earlier batch
		}
		if !j.listRow() {
			return true
		}
	}
	return len(j.pairK) > 0
}

// listRow lists candidates of row k from pos on; false when the lists are full.
func (j *hashJoin) listRow() bool {
	i := int32(j.cur.Row(j.k))
	if j.n.Kind == plan.NullAnti {
		return j.listNotIn(i)
	}
	id := j.ids[j.k]
	if id == noGroup {
		return true
	}
	rows := j.build.order[j.build.starts[id]:j.build.starts[id+1]]
	for j.pos < len(rows) {
		if len(j.pairK) >= delta.BatchRows {
			return false
		}
		take := min(len(rows)-j.pos, delta.BatchRows-len(j.pairK))
		for _, r := range rows[j.pos : j.pos+take] {
			j.pairK = append(j.pairK, int32(j.k))
			j.pairProbe = append(j.pairProbe, i)
			j.pairBuild = append(j.pairBuild, r)
		}
		j.pos += take
	}
	return true
}

// test removes the candidates that the condition does not hold for.
func (j *hashJoin) test() error {
	if j.conds == nil || len(j.pairK) == 0 {
		return nil
	}
	ch := j.pairs(func(col int) bool { return j.condCols[col] })
	ch, err := j.q.filter(j.conds, ch)
	if err != nil || ch.Sel == nil {
		return err
	}
	for x, p := range ch.Sel {
		j.pairK[x], j.pairBuild[x], j.pairProbe[x] = j.pairK[p], j.pairBuild[p], j.pairProbe[p]
	}
	n := len(ch.Sel)
	j.pairK, j.pairBuild, j.pairProbe = j.pairK[:n], j.pairBuild[:n], j.pairProbe[:n]
	return nil
}

// pairs gathers the wanted columns of the candidates, left before right.
func (j *hashJoin) pairs(want func(col int) bool) *delta.Chunk {
	left, leftRows, right, rightRows := j.cur.Cols, j.pairProbe, j.build.rows.Cols, j.pairBuild
	if j.leftBuilt {
		left, leftRows, right, rightRows = right, rightRows, left, leftRows
	}
	cols := make([]*delta.Vec, len(left)+len(right))
	for i, v := range left {
		if want(i) {
			cols[i] = v.Gather(leftRows)
		}
	}
	for i, v := range right {
		if want(len(left) + i) {
			cols[len(left)+i] = v.Gather(rightRows)
		}
	}
	return &delta.Chunk{Cols: cols, Rows: len(j.pairK)}
}

// joined makes the output for the surviving candidates.
func (j *hashJoin) joined() *delta.Chunk {
	out := j.pairs(func(int) bool { return true })
	if j.cur.Weights != nil || j.build.rows.Weights != nil {
		out.Weights = make([]int64, out.Rows)
		for x := range out.Weights {
			out.Weights[x] = j.cur.Weight(int(j.pairProbe[x])) * j.build.rows.Weight(int(j.pairBuild[x]))
		}
	}
	return out
}

// probeRest ends the work on cur: the rows whose presence depends on having, or not having, had a match.
func (j *hashJoin) probeRest() *delta.Chunk {
	ch := j.cur
	j.cur = nil
	want := false
	switch {
	case j.n.Kind == plan.Semi:
		want = true
	case !j.existence() && !j.keepsProbe():
		return nil
	}
	sel := make([]int32, 0, ch.Len())
	for k, hit := range j.hit[:ch.Len()] {
		if hit == want {
			sel = append(sel, int32(ch.Row(k)))
		}
	}
	if j.existence() {
		return ch.WithSel(sel)
	}
	return j.padded(ch.Cols, ch.Weights, sel, j.leftBuilt)
}

// padded makes rows of one side with NULLs for the other; the side is the right one when rightSide.
func (j *hashJoin) padded(cols []*delta.Vec, weights []int64, rows []int32, rightSide bool) *delta.Chunk {
	out := gatherChunk(cols, rows)
	out.Weights = gatherWeights(weights, rows)
	if rightSide {
		out.Cols = append(nullChunk(j.leftTypes, len(rows)).Cols, out.Cols...)
	} else {
		out.Cols = append(out.Cols, nullChunk(j.rightTypes, len(rows)).Cols...)
	}
	return out
}

// buildRest yields the build rows without a match, nil at the end.
func (j *hashJoin) buildRest() *delta.Chunk {
	b := &j.build
	var idx []int32
	for ; j.unmatched < len(b.matched) && len(idx) < delta.BatchRows; j.unmatched++ {
		if !b.matched[j.unmatched] {
			idx = append(idx, int32(j.unmatched))
		}
	}
	if len(idx) == 0 {
		return nil
	}
	return j.padded(b.rows.Cols, b.rows.Weights, idx, !j.leftBuilt)
}
