package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// mergeableCalls are aggregates that do not depend on the order of rows.
func mergeableCalls() []plan.AggCall {
	return []plan.AggCall{
		{Sig: "count()", Result: sqltypes.Int8, Filter: -1},
		{Sig: "sum(bigint)", Args: []int{0}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "sum(bigint)", Args: []int{5}, Result: sqltypes.Int8, Filter: 3},
		{Sig: "max(bigint)", Args: []int{5}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "objcount(text)", Args: []int{1}, Result: sqltypes.Int8, Filter: -1},
	}
}

// TestParallelAgg: groups of several workers, merged, are those of one; with memory for all of them and without.
func TestParallelAgg(t *testing.T) {
	for _, by := range [][]int{{0}, {1, 3}, {5}, {2}} {
		for _, mem := range []int64{0, 1 << 20} {
			for _, size := range []int{0, 1, 3000, 20000} {
				t.Run(fmt.Sprint(by, mem, size), func(t *testing.T) {
					w := newWorld(t, 5, size)
					w.mem, w.dir = mem, t.TempDir()
					w.share()
					n := &plan.Agg{Input: w.scan(1), GroupBy: by, Aggs: mergeableCalls()}
					w.same(n, refGroups(n, w.rowsOf(1)), false)
					if mem > 0 && size == 20000 && by[0] == 5 && w.spills == 0 {
						t.Error("nothing was spilled")
					}
				})
			}
		}
	}
}

// TestParallelScalarAgg: the one group is there without rows as well.
func TestParallelScalarAgg(t *testing.T) {
	for _, size := range []int{0, 5, 5000} {
		w := newWorld(t, 6, size)
		w.share()
		n := &plan.Agg{Input: w.scan(1), Scalar: true, Aggs: mergeableCalls()}
		w.same(n, refGroups(n, w.rowsOf(1)), true)
	}
}

// TestParallelPipeline: filter, projection and two joins in each worker, their build sides shared.
func TestParallelPipeline(t *testing.T) {
	w := newWorld(t, 8, 4000, 30, 50)
	join := func(left plan.Node, id int, key int) *plan.Join {
		return &plan.Join{Kind: plan.Left, Left: left, Right: w.scan(2), LeftKeys: []int{key}, RightKeys: []int{5}}
	}
	n := &plan.Project{Input: join(join(&plan.Filter{Input: w.scan(1), Cond: col(3)}, 2, 0), 3, 4), Exprs: []expr.Expr{col(5), col(11), col(17)},
		Names: []string{"a", "b", "c"}}
	want, err := w.run(n)
	if err != nil || len(want) == 0 {
		t.Fatalf("%d rows, %v", len(want), err)
	}
	w.share()
	w.same(n, want, false)
}

// broken is an operator that fails, or panics, after some chunks.
type broken struct {
	after int
	how   func() error
}

func (b *broken) Open(context.Context) error { return nil }
func (b *broken) Close()                     {}
func (b *broken) Next(context.Context) (*delta.Chunk, error) {
	if b.after--; b.after < 0 {
		return nil, b.how()
	}
	return &delta.Chunk{Cols: []*delta.Vec{delta.IntVec(sqltypes.Int8, []int64{1})}, Rows: 1}, nil
}

// endless yields rows until its context is cancelled.
type endless struct{ broken }

func (e *endless) Next(ctx context.Context) (*delta.Chunk, error) {
	e.after = 1
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.broken.Next(ctx)
}

// TestGatherEnds: a failure or a panic of one worker, and a cancelled reader, end all of them.
func TestGatherEnds(t *testing.T) {
	gone := errors.New("gone")
	drain := func(ctx context.Context, ops ...Operator) error {
		g := &gather{w: &workers{ops: ops}}
		defer g.Close()
		if err := g.Open(ctx); err != nil {
			return err
		}
		for {
			if ch, err := g.Next(ctx); err != nil || ch == nil {
				return err
			}
		}
	}
	if err := drain(t.Context(), &endless{}, &broken{after: 3, how: func() error { return gone }}); !errors.Is(err, gone) {
		t.Errorf("failure: %v", err)
	}
	if err := drain(t.Context(), &endless{}, &broken{after: 3, how: func() error { panic("oh") }}); err == nil || !strings.Contains(err.Error(), "panic: oh") {
		t.Errorf("panic: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	stop := &broken{after: 1 << 30}
	err := drain(ctx, &endless{}, opFunc(func(ctx context.Context) (*delta.Chunk, error) {
		if n++; n == 20 {
			cancel()
		}
		return stop.Next(ctx)
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := drain(t.Context(), &broken{how: func() error { return nil }}, &broken{after: 2, how: func() error { return nil }}); err != nil {
		t.Errorf("end: %v", err)
	}
}

type opFunc func(ctx context.Context) (*delta.Chunk, error)

func (f opFunc) Open(context.Context) error                     { return nil }
func (f opFunc) Close()                                         {}
func (f opFunc) Next(ctx context.Context) (*delta.Chunk, error) { return f(ctx) }

// TestCollectorIsCancelled: joining what was collected to one chunk can take long, and ends when the query does.
func TestCollectorIsCancelled(t *testing.T) {
	w := newWorld(t, 1)
	q := w.query()
	c := newCollector(q, []sqltypes.Type{sqltypes.Int8})
	for range 2 {
		if err := c.add(&delta.Chunk{Cols: []*delta.Vec{delta.IntVec(sqltypes.Int8, make([]int64, delta.BatchRows))}, Rows: delta.BatchRows}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("finish: %v", err)
	}
	c.release()
}
