package batch

import (
	"context"
	"errors"
	"iter"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// tableFunc calls a set-returning function for each input row.
//
// The library's functions push their rows. A coroutine turns that into pulling: it is resumed for each batch, so
// that a function with 10⁹ rows under a LIMIT does no more than is asked for. The series of integers, the
// most common case, is made without the library, a vector at a time.
type tableFunc struct {
	q  *query
	n  *plan.TableFunc
	fn *expr.TableFunc
	// parts are several functions called side by side; fn is nil then.
	parts []*expr.TableFunc
	in    Operator // nil: the function is called once
	args  []expr.Program
	// argTypes are the types of the arguments as they stand in the call.
	argTypes []sqltypes.Type
	outTypes []sqltypes.Type // input columns, then the function's
	series   bool

	// ctx is that of the running Next, for the coroutine.
	ctx  context.Context
	pull func() (*delta.Chunk, error, bool)
	stop func()
}

// errStopped makes a function's Eval return when nobody wants more rows.
var errStopped = errors.New("reader has stopped")

func newTableFunc(q *query, n *plan.TableFunc) (Operator, error) {
	t := &tableFunc{q: q, n: n, outTypes: plan.Types(n)}
	if err := t.resolve(); err != nil {
		return nil, err
	}
	if n.WithOrdinality {
		t.outTypes = t.outTypes[:len(t.outTypes)-1]
	}
	ints := len(n.Args) == 2 || len(n.Args) == 3
	for _, a := range n.Args {
		t.argTypes = append(t.argTypes, a.Type())
		ints = ints && a.Type().IsInteger()
	}
	t.series = t.fn != nil && t.fn.Name == "generate_series" && ints
	var err error
	if t.args, err = expr.CompileAll(n.Args); err != nil {
		return nil, err
	}
	if n.Input != nil {
		t.in, err = q.build(n.Input)
	}
	return t, err
}

// resolve finds the functions in the library.
func (t *tableFunc) resolve() error {
	out := make([]sqltypes.Type, len(t.n.Out))
	for i, c := range t.n.Out {
		out[i] = c.Type
	}
	find := func(sig string, cols int) (*expr.TableFunc, error) {
		fn, ok := expr.SQLTableFuncBySig(sig, out[:cols])
		if !ok {
			fn, ok = t.q.tableFuncBySig(sig)
		}
		if out = out[cols:]; !ok {
			return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", sig)
		}
		return fn, nil
	}
	if t.n.Parts == nil {
		var err error
		t.fn, err = find(t.n.Sig, len(t.n.Out))
		return err
	}
	for _, p := range t.n.Parts {
		fn, err := find(p.Sig, p.Cols)
		if err != nil {
			return err
		}
		t.parts = append(t.parts, fn)
	}
	return nil
}

// Open implements Operator.
func (t *tableFunc) Open(ctx context.Context) error {
	if t.in != nil {
		if err := t.in.Open(ctx); err != nil {
			return err
		}
	}
	t.pull, t.stop = iter.Pull2(t.run)
	return nil
}

// Next implements ChunkIter.
func (t *tableFunc) Next(ctx context.Context) (*delta.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.ctx = ctx
	ch, err, _ := t.pull()
	return ch, err
}

// Close implements ChunkIter.
func (t *tableFunc) Close() {
	if t.stop != nil {
		t.stop()
	}
	if t.in != nil {
		t.in.Close()
	}
}

// run is the coroutine: it yields chunks, and at last perhaps an error.
func (t *tableFunc) run(yield func(*delta.Chunk, error) bool) {
	in := &delta.Chunk{Rows: 1}
	for {
		if t.in != nil {
			var err error
			if in, err = t.in.Next(t.ctx); err != nil {
				yield(nil, err)
				return
			}
			if in == nil {
				return
			}
		}
		err := t.chunk(in, func(ch *delta.Chunk) bool { return yield(ch, nil) })
		if errors.Is(err, errStopped) {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if t.in == nil {
			return
		}
	}
}

// chunk calls the function for each row of in.
func (t *tableFunc) chunk(in *delta.Chunk, yield func(*delta.Chunk) bool) error {
	vecs := make([]*delta.Vec, len(t.args))
	for i, p := range t.args {
		vecs[i] = p.Eval(t.q.c, in)
	}
	if err := t.q.check(); err != nil {
		return err
	}
	w := &rowWriter{t: t, in: in, yield: yield}
	w.reset()
	for k := range in.Len() {
		if k%256 == 0 && t.ctx.Err() != nil {
			return t.ctx.Err()
		}
		w.row, w.number = in.Row(k), 0
		if err := t.call(vecs, w); err != nil {
			return err
		}
		if w.number == 0 && t.n.Outer {
			if err := w.nulls(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

// call evaluates the function for w.row.
func (t *tableFunc) call(vecs []*delta.Vec, w *rowWriter) error {
	args := make([]sqltypes.Datum, len(vecs))
	null := false
	for i, v := range vecs {
		args[i] = v.Datum(w.row)
		null = null || args[i] == nil
	}
	if t.parts != nil {
		if err := expr.Lockstep(t.q.c, t.n.Calls(t.parts, args), w.add); err != nil {
			return err
		}
		return t.q.check()
	}
	if null && !t.fn.CalledOnNull {
		return nil
	}
	if t.series {
		return t.intSeries(args, w)
	}
	if err := t.fn.Eval(t.q.c, args, t.argTypes, w.add); err != nil {
		return err
	}
	return t.q.check()
}

// intSeries is generate_series over integers.
func (t *tableFunc) intSeries(args []sqltypes.Datum, w *rowWriter) error {
	from, to, step := args[0].(int64), args[1].(int64), int64(1)
	if len(args) == 3 {
		step = args[2].(int64)
	}
	if step == 0 {
		return sqlerr.New(sqlerr.InvalidParameterValue, "step size cannot equal zero")
	}
	for step > 0 && from <= to || step < 0 && from >= to {
		n := 0
		out := w.cols[0]
		for room := delta.BatchRows - w.n; n < room; {
			out.Ints = append(out.Ints, from)
			n++
			next := from + step
			if (next > from) != (step > 0) { // overflow: this was the last one
				return w.added(n)
			}
			if from = next; step > 0 && from > to || step < 0 && from < to {
				break
			}
		}
		if err := w.added(n); err != nil {
			return err
		}
	}
	return nil
}

// rowWriter collects the rows of function calls over one input chunk into output chunks.
type rowWriter struct {
	t      *tableFunc
	in     *delta.Chunk
	yield  func(*delta.Chunk) bool
	row    int // physical input row of the running call
	number int64

	cols     []*delta.Vec // the function's columns
	from     []int32      // input row of each output row
	ordinals []int64
	noNumber []int32 // output rows without an ordinal
	n        int
}

func (w *rowWriter) reset() {
	w.cols = make([]*delta.Vec, len(w.t.n.Out))
	for i, c := range w.t.n.Out {
		w.cols[i] = emptyVec(c.Type, delta.BatchRows)
	}
	w.from, w.ordinals, w.noNumber, w.n = nil, nil, nil, 0
}

// add takes one row; it is what Eval calls.
func (w *rowWriter) add(row []sqltypes.Datum) error {
	for i, v := range w.cols {
		v.AppendDatum(row[i])
	}
	return w.added(1)
}

// added notes that the function's columns have n more rows, whose lengths may not be set yet.
func (w *rowWriter) added(n int) error {
	for range n {
		w.number++
		w.from = append(w.from, int32(w.row))
		if w.t.n.WithOrdinality {
			w.ordinals = append(w.ordinals, w.number)
		}
	}
	w.n += n
	for _, v := range w.cols {
		for v.Valid != nil && len(v.Valid)*64 < w.n {
			v.Valid = append(v.Valid, ^uint64(0))
		}
		v.SetLen(w.n)
	}
	if w.n < delta.BatchRows {
		return nil
	}
	return w.flush()
}

// nulls is the row of an outer call without results.
func (w *rowWriter) nulls() error {
	for _, v := range w.cols {
		v.AppendNull()
	}
	w.noNumber = append(w.noNumber, int32(w.n))
	return w.added(1)
}

// flush hands the collected rows on.
func (w *rowWriter) flush() error {
	if w.n == 0 {
		return nil
	}
	out := gatherChunk(w.in.Cols, w.from)
	out.Rows = w.n
	out.Weights = gatherWeights(w.in.Weights, w.from)
	out.Cols = append(out.Cols, w.cols...)
	if w.t.n.WithOrdinality {
		v := delta.IntVec(sqltypes.Int8, w.ordinals)
		for _, i := range w.noNumber {
			v.SetNull(int(i))
		}
		out.Cols = append(out.Cols, v)
	}
	w.reset()
	if !w.yield(out) {
		return errStopped
	}
	return w.t.ctx.Err()
}
