package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// tableFunc calls a set-returning function for each input row; a row's results carry its weight. Without
// input the function is called once, at the first barrier of the job's life.
type tableFunc struct {
	stateless
	env      *Env
	n        *plan.TableFunc
	fn       *expr.TableFunc
	parts    []*expr.TableFunc // several functions side by side, in the place of fn
	args     []expr.Program
	argTypes []sqltypes.Type
	once     once

	in   *delta.Chunk
	cols []*delta.Vec // the function's columns
	from []int32      // input row of each output row
	nums []int64      // ordinality, 0: NULL
	emit Emit
}

func newTableFunc(n *plan.TableFunc, env *Env) (Operator, error) {
	t := &tableFunc{env: env, n: n}
	sigs := []string{n.Sig}
	if n.Parts != nil {
		sigs = nil
		for _, p := range n.Parts {
			sigs = append(sigs, p.Sig)
		}
	}
	for _, sig := range sigs {
		fn, ok := expr.TableFuncBySig(sig)
		if !ok {
			return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", sig)
		}
		t.parts = append(t.parts, fn)
	}
	if n.Parts == nil {
		t.fn, t.parts = t.parts[0], nil
	}
	args, err := expr.CompileAll(n.Args)
	if err != nil {
		return nil, err
	}
	t.args = args
	for _, a := range n.Args {
		t.argTypes = append(t.argTypes, a.Type())
	}
	if n.Input == nil {
		t.once = newOnce(env)
	}
	return t, nil
}

// OnDelta implements Operator.
func (t *tableFunc) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	vecs := make([]*delta.Vec, len(t.args))
	for i, p := range t.args {
		vecs[i] = p.Eval(t.env.Ctx, c)
	}
	t.env.report(c)
	t.in, t.emit = c, emit
	t.reset()
	args := make([]sqltypes.Datum, len(vecs))
	for k := range c.Len() {
		if err := t.call(c.Row(k), vecs, args); err != nil {
			return err
		}
	}
	err := t.flush()
	t.in, t.emit = nil, nil
	return err
}

// OnBarrier implements Operator.
func (t *tableFunc) OnBarrier(_ Barrier, emit Emit) error {
	if !t.once.take() {
		return nil
	}
	return t.OnDelta(0, &delta.Chunk{Rows: 1}, emit)
}

// call evaluates the function for row i. A call that fails is reported and has the results that it gave
// before: the same ones whenever the row comes, with either sign.
func (t *tableFunc) call(i int, vecs []*delta.Vec, args []sqltypes.Datum) error {
	null := false
	for k, v := range vecs {
		args[k] = v.Datum(i)
		null = null || args[k] == nil
	}
	n := int64(0)
	var stop error
	if t.fn == nil || !null || t.fn.CalledOnNull {
		err := t.eval(args, func(r []sqltypes.Datum) error {
			n++
			for k, v := range t.cols {
				v.AppendDatum(r[k])
			}
			stop = t.added(i, n)
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			t.env.fail(t.in.Weight(i), sqlerr.From(err))
		}
		for _, re := range t.env.Ctx.TakeErrs() {
			t.env.fail(t.in.Weight(i), re.Err)
		}
	}
	if n > 0 || !t.n.Outer {
		return nil
	}
	for _, v := range t.cols {
		v.AppendNull()
	}
	return t.added(i, 0)
}

func (t *tableFunc) eval(args []sqltypes.Datum, emit func([]sqltypes.Datum) error) error {
	if t.fn == nil {
		return expr.Lockstep(t.env.Ctx, t.n.Calls(t.parts, args), emit)
	}
	return t.fn.Eval(t.env.Ctx, args, t.argTypes, emit)
}

func (t *tableFunc) added(i int, n int64) error {
	t.from, t.nums = append(t.from, int32(i)), append(t.nums, n)
	if len(t.from) < delta.BatchRows {
		return nil
	}
	return t.flush()
}

func (t *tableFunc) reset() {
	t.cols = t.cols[:0:0]
	for _, c := range t.n.Out {
		t.cols = append(t.cols, &delta.Vec{Type: c.Type})
	}
	t.from, t.nums = nil, nil
}

func (t *tableFunc) flush() error {
	if len(t.from) == 0 {
		return nil
	}
	cols := make([]*delta.Vec, 0, len(t.in.Cols)+len(t.cols)+1)
	for _, v := range t.in.Cols {
		cols = append(cols, v.Gather(t.from))
	}
	cols = append(cols, t.cols...)
	if t.n.WithOrdinality {
		v := delta.IntVec(sqltypes.Int8, t.nums)
		for k, n := range t.nums {
			if n == 0 {
				v.SetNull(k)
			}
		}
		cols = append(cols, v)
	}
	out := delta.NewChunk(cols, gatherWeights(t.in.Weights, t.from), len(t.from))
	t.reset()
	return t.emit(out)
}
