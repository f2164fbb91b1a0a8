package batch

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// RowCounter is implemented by Relations that know about how many rows a stored relation has.
type RowCounter interface {
	RowCount(table catalog.ID) float64
}

// worthSharing is the number of rows below which a scan is not shared out among workers.
const worthSharing = 20_000

// worker returns a query of another goroutine of this one.
func (q *query) worker() *query {
	w := *q
	w.shared = true
	w.c = &expr.Ctx{Settings: q.c.Settings, Now: q.c.Now, StmtNow: q.c.StmtNow, Session: q.c.Session}
	return &w
}

// fork makes operators that yield the rows of a node between them, one for each worker; nil when the node cannot be shared
// out, or need not be.
func (q *query) fork(n plan.Node) (*workers, error) {
	if q.opt.Parallelism < 2 || !q.isLarge(n) {
		return nil, nil
	}
	w := &workers{}
	for range q.opt.Parallelism {
		w.qs = append(w.qs, q.worker())
	}
	var err error
	if w.ops, err = q.forkNode(n, w); w.ops == nil {
		return nil, err
	}
	return w, err
}

// isLarge follows a node to the scan that it shares out, and asks how large that is.
func (q *query) isLarge(n plan.Node) bool {
	switch x := n.(type) {
	case *plan.Filter:
		return q.isLarge(x.Input)
	case *plan.Project:
		return q.isLarge(x.Input)
	case *plan.Join:
		return q.isLarge(x.Left)
	case *plan.TableScan:
		c, ok := q.rel.(RowCounter)
		return ok && x.Lookup == nil && c.RowCount(x.Table) >= worthSharing
	}
	return false
}

// workers are the operators of several goroutines, and what each of them evaluates with.
type workers struct {
	qs  []*query
	ops []Operator
}

// forkNode makes an operator for each worker; none when the node cannot be shared out.
func (q *query) forkNode(n plan.Node, w *workers) ([]Operator, error) {
	switch x := n.(type) {
	case *plan.TableScan:
		return q.forkScan(x, nil, w)
	case *plan.Filter:
		if !shareable(x.Cond) {
			return nil, nil
		}
		if s, ok := x.Input.(*plan.TableScan); ok {
			return q.forkScan(s, x.Cond, w)
		}
		return q.forkOver(x.Input, w, func(q *query, in Operator) (Operator, error) {
			conds, err := expr.CompileAll(expr.Conjuncts(x.Cond))
			return &filter{q, in, conds}, err
		})
	case *plan.Project:
		if !shareable(x.Exprs...) {
			return nil, nil
		}
		return q.forkOver(x.Input, w, func(q *query, in Operator) (Operator, error) { return newProjectOver(q, in, x) })
	case *plan.Join:
		return q.forkJoin(x, w)
	}
	return nil, nil
}

// shareable reports whether expressions may be evaluated by several goroutines: they ask nothing of the session.
func shareable(es ...expr.Expr) bool {
	for _, e := range es {
		if e != nil && expr.VolatilityOf(e) != expr.Immutable {
			return false
		}
	}
	return true
}

func (q *query) forkOver(n plan.Node, w *workers, over func(q *query, in Operator) (Operator, error)) ([]Operator, error) {
	ins, err := q.forkNode(n, w)
	if err != nil || ins == nil {
		return nil, err
	}
	out := make([]Operator, len(ins))
	for i, in := range ins {
		if out[i], err = over(w.qs[i], in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// forkScan shares the blocks of a relation out.
func (q *query) forkScan(n *plan.TableScan, cond expr.Expr, w *workers) ([]Operator, error) {
	source, ok := q.rel.(BlockSource)
	if !ok {
		return nil, nil
	}
	// The iterators are made when the first worker opens its scan.
	var mu sync.Mutex
	var its []BlockIter
	out := make([]Operator, len(w.qs))
	for i, wq := range w.qs {
		op, err := wq.newBlockScan(n, cond, func(ctx context.Context) (BlockIter, error) {
			mu.Lock()
			defer mu.Unlock()
			if its == nil {
				var err error
				if its, err = source.Blocks(ctx, n.Table, n.Cols, len(w.qs)); err != nil {
					return nil, err
				}
			}
			return its[i], nil
		})
		if op == nil {
			return nil, err
		}
		out[i] = op
	}
	return out, nil
}

// forkJoin shares out the probing of a join whose right side is built once, for all.
func (q *query) forkJoin(n *plan.Join, w *workers) ([]Operator, error) {
	if n.Kind == plan.Right || n.Kind == plan.Full || !shareable(n.Cond) || q.leftFirst(n) > 0 {
		return nil, nil
	}
	left, err := q.forkNode(n.Left, w)
	if err != nil || left == nil {
		return nil, err
	}
	right, err := q.build(n.Right)
	if err != nil {
		return nil, err
	}
	s := &sharedBuild{right: right, users: len(left)}
	out := make([]Operator, len(left))
	for i := range left {
		j, err := newHashJoinOver(w.qs[i], n, left[i], right, 0)
		if err != nil {
			return nil, err
		}
		j.shared = s
		s.joins = append(s.joins, j)
		out[i] = j
	}
	return out, nil
}

// sharedBuild is the build side of a join that several workers probe. The first of them to need it makes it.
type sharedBuild struct {
	right  Operator
	joins  []*hashJoin // one of each worker
	opened bool

	mu    sync.Mutex
	done  bool
	err   error
	build *hashJoin // whose build side it is
	// alone is the join that does everything, because the build side does not fit in memory and both inputs have gone to disk.
	alone *hashJoin
	users int
}

// open opens the right side, once. Operators are opened by one goroutine.
func (s *sharedBuild) open(ctx context.Context) error {
	if s.opened {
		return nil
	}
	s.opened = true
	return s.right.Open(ctx)
}

// prepare gives j the build side; or makes it the one that does everything, or nothing.
func (s *sharedBuild) prepare(ctx context.Context, j *hashJoin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		s.err = s.make(ctx, j)
	}
	switch {
	case s.err != nil:
		return s.err
	case s.alone != nil:
		j.done = s.alone != j
		return nil
	}
	b := &s.build.build
	j.build.rows, j.build.table, j.build.starts, j.build.order = b.rows, b.table, b.starts, b.order
	j.build.nullRows, j.build.all = b.nullRows, b.all
	j.build.lookup = b.table.over(j.n.LeftKeys)
	j.probe.op = j.left
	if s.build != j {
		j.build.table = b.table
		j.passOn()
	}
	return nil
}

// make reads the right side and builds it in j, or, when it is too large, makes j join all that any worker would have read.
func (s *sharedBuild) make(ctx context.Context, j *hashJoin) error {
	rows := newCollector(j.q, j.rightTypes)
	j.collected = []*collector{rows}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch, err := s.right.Next(ctx)
		if err != nil {
			return err
		}
		if ch == nil {
			s.build = j
			return j.finishBuild(ctx, rows)
		}
		if err := rows.add(ch); err != nil {
			return err
		}
		if held := rows.held.bytes; j.spreads() && j.q.crowded(held+int64(rows.rows)*joinOverhead, held) {
			s.alone = j
			left := newCollector(j.q, j.leftTypes)
			j.collected = append(j.collected, left)
			all := &concatOp{}
			for _, other := range s.joins {
				all.ops = append(all.ops, other.left)
			}
			j.left = all
			return j.spread(ctx, left, rows)
		}
	}
}

// close lets go of the right side when the last worker does.
func (s *sharedBuild) close() {
	s.users--
	if s.users == 0 {
		s.right.Close()
	}
}

// concatOp yields the rows of operators that are open, one after the other.
type concatOp struct {
	ops []Operator
	at  int
}

// Open implements Operator.
func (c *concatOp) Open(context.Context) error { return nil }

// Next implements ChunkIter.
func (c *concatOp) Next(ctx context.Context) (*delta.Chunk, error) {
	for ; c.at < len(c.ops); c.at++ {
		ch, err := c.ops[c.at].Next(ctx)
		if ch != nil || err != nil {
			return ch, err
		}
	}
	return nil, nil
}

// Close implements ChunkIter.
func (c *concatOp) Close() {
	for _, op := range c.ops {
		op.Close()
	}
}

// each runs f for each worker in a goroutine of its own and waits for all; the first error cancels the others.
func (w *workers) each(ctx context.Context, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range w.ops {
		wg.Go(func() {
			if err := guard(func() error { return f(ctx, i) }); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// guard turns a panic into an error, so that it ends the query and not the process.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run part of a query: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// gather yields what workers do, in whatever order it comes.
type gather struct {
	w      *workers
	out    chan *delta.Chunk
	cancel context.CancelFunc
	ended  chan struct{} // closed when all workers have ended
	err    error         // of the workers; read it after ended
}

// gatherAhead is how many chunks each worker may be ahead of the reader.
const gatherAhead = 4

// Open implements Operator.
func (g *gather) Open(ctx context.Context) error { return openAll(ctx, g.w.ops...) }

// Next implements ChunkIter.
func (g *gather) Next(ctx context.Context) (*delta.Chunk, error) {
	if g.out == nil {
		g.start(ctx)
	}
	select {
	case ch, ok := <-g.out:
		if ok {
			return ch, nil
		}
		<-g.ended
		return nil, g.err
	case <-ctx.Done():
		g.cancel()
		return nil, ctx.Err()
	}
}

// start sets the workers going. They live until Close and not as long as ctx: a portal is read by several statements.
func (g *gather) start(ctx context.Context) {
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.out = make(chan *delta.Chunk, gatherAhead*len(g.w.ops))
	g.ended = make(chan struct{})
	go func() { // Close waits for it
		defer close(g.ended)
		defer close(g.out)
		g.err = g.w.each(ctx, func(ctx context.Context, i int) error {
			for {
				ch, err := g.w.ops[i].Next(ctx)
				if err != nil || ch == nil {
					return err
				}
				select {
				case g.out <- ch:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}()
}

// Close implements ChunkIter.
func (g *gather) Close() {
	if g.out != nil {
		g.cancel()
		<-g.ended
	}
	g.w.close()
}

func (w *workers) close() {
	for _, op := range w.ops {
		op.Close()
	}
}
