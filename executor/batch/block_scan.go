package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// blockScan reads a relation block by block and filters it. A condition sees the columns that it reads, of the rows that
// the earlier ones left; the other columns are made for the rows that remain. A condition on one column with few
// distinct values is decided for each of these, not for each row.
type blockScan struct {
	q     *query
	open  func(ctx context.Context) (BlockIter, error)
	it    BlockIter
	width int
	conds []blockCond
}

// blockCond is a conjunct and the columns that it reads.
type blockCond struct {
	prog expr.Program
	cols []int
	// single: its value depends on one column's value alone, so that it can be decided for distinct values.
	single bool
	dict   *delta.Vec // that verdicts is about
	// verdicts says for each value of dict whether the condition is true.
	verdicts []bool
}

// newBlockConds compiles a condition.
func newBlockConds(cond expr.Expr) ([]blockCond, error) {
	var out []blockCond
	for _, e := range expr.Conjuncts(cond) {
		p, err := expr.Compile(e)
		if err != nil {
			return nil, err
		}
		c := blockCond{prog: p}
		seen := map[int]bool{}
		expr.Columns(e, func(i int) {
			if !seen[i] {
				seen[i] = true
				c.cols = append(c.cols, i)
			}
		})
		c.single = len(c.cols) == 1 && expr.VolatilityOf(e) != expr.Volatile
		out = append(out, c)
	}
	return out, nil
}

// newBlockScan scans a whole relation and filters it; nil when it can only be read by rows. from, if not nil, is where the blocks come
// from.
func (q *query) newBlockScan(n *plan.TableScan, cond expr.Expr, from func(ctx context.Context) (BlockIter, error)) (Operator, error) {
	source, ok := q.rel.(BlockSource)
	if !ok || n.Lookup != nil {
		return nil, nil
	}
	conds, err := newBlockConds(cond)
	if err != nil {
		return nil, err
	}
	if from == nil {
		from = func(ctx context.Context) (BlockIter, error) {
			its, err := source.Blocks(ctx, n.Table, n.Cols, 1)
			if err != nil {
				return nil, err
			}
			return its[0], nil
		}
	}
	return &blockScan{q: q, open: from, width: len(n.Out), conds: conds}, nil
}

// Open implements Operator.
func (s *blockScan) Open(ctx context.Context) (err error) {
	s.it, err = s.open(ctx)
	return err
}

// Next implements ChunkIter.
func (s *blockScan) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := s.it.Next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		ch, err := s.filter(b)
		if err != nil {
			return nil, err
		}
		if ch != nil {
			return ch, nil
		}
	}
}

// filter makes a chunk of the rows for which all conditions hold; nil when there are none.
func (s *blockScan) filter(b Block) (*delta.Chunk, error) {
	rows := b.Len()
	if rows == 0 {
		return nil, nil
	}
	var sel []int32 // rows of the block that are left; nil: all
	cols := make([]*delta.Vec, s.width)
	for i := range s.conds {
		keep, err := s.decide(&s.conds[i], b, sel, rows, cols)
		if err != nil {
			return nil, err
		}
		if keep == nil {
			continue
		}
		if len(keep) == 0 {
			return nil, nil
		}
		for k, v := range cols {
			if v != nil {
				cols[k] = v.Gather(keep)
			}
		}
		if sel != nil {
			for k, r := range keep {
				keep[k] = sel[r]
			}
		}
		sel, rows = keep, len(keep)
	}
	for k := range cols {
		if cols[k] == nil {
			cols[k] = b.Col(k, sel)
		}
	}
	out := &delta.Chunk{Cols: cols, Rows: rows, Weights: b.Weights()}
	if sel != nil {
		out.Weights = gatherWeights(out.Weights, sel)
	}
	return out, nil
}

// decide returns which of the rows left a condition holds for, as positions among them; nil: for all.
func (s *blockScan) decide(c *blockCond, b Block, sel []int32, rows int, cols []*delta.Vec) ([]int32, error) {
	if c.single && cols[c.cols[0]] == nil {
		if values, codes, valid := b.Dict(c.cols[0]); values != nil && s.judge(c, values) {
			return c.lookUp(codes, valid, sel, rows), nil
		}
	}
	for _, i := range c.cols {
		if cols[i] == nil {
			cols[i] = b.Col(i, sel)
		}
	}
	keep := expr.Filter(s.q.c, c.prog, &delta.Chunk{Cols: cols, Rows: rows})
	return keep, s.q.check()
}

// judge decides a condition for distinct values, and for NULL behind them. It fails when one of them is an error: rows that have it
// may have been dropped.
func (s *blockScan) judge(c *blockCond, values *delta.Vec) bool {
	if c.dict == values {
		return true
	}
	ask := &delta.Vec{Type: values.Type}
	ask.AppendVec(values, nil)
	ask.AppendNull()
	cols := make([]*delta.Vec, s.width)
	cols[c.cols[0]] = ask
	v := c.prog.Eval(s.q.c, &delta.Chunk{Cols: cols, Rows: ask.Len()})
	if len(s.q.c.Errs) > 0 {
		s.q.c.Errs = s.q.c.Errs[:0]
		return false
	}
	c.verdicts = c.verdicts[:0]
	for i := range ask.Len() {
		c.verdicts = append(c.verdicts, v.Bools[i] && !v.IsNull(i))
	}
	c.dict = values
	return true
}

// lookUp finds the rows whose value has been judged true, as decide does.
func (c *blockCond) lookUp(codes []uint8, valid []uint64, sel []int32, rows int) []int32 {
	null := c.verdicts[len(c.verdicts)-1]
	keep := make([]int32, rows)
	n := 0
	for k := range rows {
		i := k
		if sel != nil {
			i = int(sel[k])
		}
		verdict := c.verdicts[codes[i]]
		if valid != nil && valid[uint(i)>>6]&(1<<(uint(i)&63)) == 0 {
			verdict = null
		}
		keep[n] = int32(k)
		n += int(b2u(verdict))
	}
	if n == rows {
		return nil
	}
	return keep[:n]
}

// Close implements ChunkIter.
func (s *blockScan) Close() {
	if s.it != nil {
		s.it.Close()
		s.it = nil
	}
}
