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
	all   []int // all columns
	conds []blockCond
	// restrictions come from joins above.
	restrictions []*scanRestriction
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
	return &blockScan{q: q, open: from, width: len(n.Out), all: allCols(n.Out), conds: conds}, nil
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

// rowsLeft is a block while rows are dropped from it.
type rowsLeft struct {
	b    Block
	sel  []int32 // rows of the block that are left; nil: all
	rows int
	cols []*delta.Vec // made so far, for the rows left
}

// need makes columns.
func (l *rowsLeft) need(cols []int) {
	for _, i := range cols {
		if l.cols[i] == nil {
			l.cols[i] = l.b.Col(i, l.sel)
		}
	}
}

// keep drops all rows but those at some positions; nil drops none.
func (l *rowsLeft) keep(at []int32) {
	if at == nil {
		return
	}
	for k, v := range l.cols {
		if v != nil {
			l.cols[k] = v.Gather(at)
		}
	}
	if l.sel != nil {
		for k, r := range at {
			at[k] = l.sel[r]
		}
	}
	l.sel, l.rows = at, len(at)
}

// filter makes a chunk of the rows for which all conditions hold; nil when there are none.
func (s *blockScan) filter(b Block) (*delta.Chunk, error) {
	l := &rowsLeft{b: b, rows: b.Len(), cols: make([]*delta.Vec, s.width)}
	for i := range s.conds {
		if l.rows == 0 {
			return nil, nil
		}
		at, err := s.decide(&s.conds[i], l)
		if err != nil {
			return nil, err
		}
		l.keep(at)
	}
	for _, r := range s.restrictions {
		if l.rows > 0 && r.pays() {
			l.need(r.cols)
			l.keep(r.decide(&delta.Chunk{Cols: l.cols, Rows: l.rows}))
		}
	}
	if l.rows == 0 {
		return nil, nil
	}
	l.need(s.all)
	out := &delta.Chunk{Cols: l.cols, Rows: l.rows, Weights: b.Weights()}
	if l.sel != nil {
		out.Weights = gatherWeights(out.Weights, l.sel)
	}
	return out, nil
}

// decide returns which of the rows left a condition holds for, as positions among them; nil: for all.
func (s *blockScan) decide(c *blockCond, l *rowsLeft) ([]int32, error) {
	if c.single && l.cols[c.cols[0]] == nil {
		if values, codes, valid := l.b.Dict(c.cols[0]); values != nil && s.judge(c, values) {
			return c.lookUp(codes, valid, l.sel, l.rows), nil
		}
	}
	l.need(c.cols)
	at := expr.Filter(s.q.c, c.prog, &delta.Chunk{Cols: l.cols, Rows: l.rows})
	return at, s.q.check()
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
