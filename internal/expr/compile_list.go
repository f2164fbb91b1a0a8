package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// inListProg decides membership by the values' key encoding, under which equal values are equal bytes.
type inListProg struct {
	arg     Program
	ints    map[int64]struct{} // used instead of keys for integer-like columns
	keys    map[string]struct{}
	hasNull bool
	negate  bool
}

func compileInList(x *InList) (Program, error) {
	arg, err := Compile(x.Arg)
	if err != nil {
		return nil, err
	}
	p := &inListProg{arg: arg, hasNull: x.HasNull, negate: x.Negate}
	ty := x.Arg.Type()
	if ty.Phys() == sqltypes.PhysInt64 {
		p.ints = make(map[int64]struct{}, len(x.Vals))
		for _, v := range x.Vals {
			p.ints[v.(int64)] = struct{}{}
		}
		return p, nil
	}
	p.keys = make(map[string]struct{}, len(x.Vals))
	for _, d := range x.Vals {
		v := delta.Repeat(ty, d, 1)
		p.keys[string(sqlio.AppendKey(nil, v, 0))] = struct{}{}
	}
	return p, nil
}

func (p *inListProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch)
	out := delta.NewVec(sqltypes.Bool, ch.Rows)
	var buf []byte
	for k := range ch.Len() {
		i := ch.Row(k)
		if v.IsNull(i) {
			out.SetNull(i)
			continue
		}
		var hit bool
		if p.ints != nil {
			_, hit = p.ints[v.Ints[i]]
		} else {
			buf = sqlio.AppendKey(buf[:0], v, i)
			_, hit = p.keys[string(buf)]
		}
		if !hit && p.hasNull {
			out.SetNull(i)
			continue
		}
		out.Bools[i] = hit != p.negate
	}
	return out
}

type anyAllProg struct {
	fn          *Func
	left, array Program
	elem        sqltypes.Type
	all         bool
}

func compileAnyAll(x *AnyAll) (Program, error) {
	fn, ok := BySig(x.Sig)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "operator %s does not exist", x.Sig)
	}
	left, err := Compile(x.Left)
	if err != nil {
		return nil, err
	}
	array, err := Compile(x.Array)
	return &anyAllProg{fn, left, array, x.Array.Type().ElemType(), x.All}, err
}

func (p *anyAllProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	l, a := p.left.Eval(c, ch), p.array.Eval(c, ch)
	out := delta.NewVec(sqltypes.Bool, ch.Rows)
	if a.Same && ch.Len() > 0 && !a.IsNull(ch.Row(0)) {
		p.same(c, ch, out, l, a)
		return out
	}
	for k := range ch.Len() {
		i := ch.Row(k)
		if a.IsNull(i) {
			out.SetNull(i)
			continue
		}
		arr, err := sqlio.ReadArray(a.Type, a.Bytes(i))
		if err != nil {
			c.Fail(out, i, err)
			continue
		}
		p.row(c, out, l, i, arr)
	}
	return out
}

// same compares a whole column with each element of one constant array in turn.
func (p *anyAllProg) same(c *Ctx, ch *delta.Chunk, out, l, a *delta.Vec) {
	arr, err := sqlio.ReadArray(a.Type, a.Bytes(ch.Row(0)))
	unknown := make([]bool, ch.Rows)
	for i := range out.Bools {
		out.Bools[i] = p.all
	}
	for j := range arr.Len() {
		elem := delta.Repeat(p.elem, arr.At(j), ch.Rows)
		elem.Same = true
		v := RunKernel(c, p.fn.Kernel, p.fn.Nulls, sqltypes.Bool, []*delta.Vec{l, elem}, ch)
		for k := range ch.Len() {
			i := ch.Row(k)
			if v.IsNull(i) {
				unknown[i] = true
			} else if v.Bools[i] != p.all {
				out.Bools[i] = !p.all
			}
		}
	}
	for k := range ch.Len() {
		i := ch.Row(k)
		if err != nil {
			c.Fail(out, i, err)
		} else if unknown[i] && out.Bools[i] == p.all {
			out.SetNull(i)
		}
	}
}

func (p *anyAllProg) row(c *Ctx, out, l *delta.Vec, i int, arr sqlio.ArrayReader) {
	n := arr.Len()
	if n == 0 {
		out.Bools[i] = p.all
		return
	}
	elems := &delta.Vec{Type: p.elem}
	for k := range n {
		elems.AppendDatum(arr.At(k))
	}
	idx := make([]int32, n)
	for k := range idx {
		idx[k] = int32(i)
	}
	errs := len(c.Errs)
	v := RunKernel(c, p.fn.Kernel, p.fn.Nulls, sqltypes.Bool, []*delta.Vec{l.Gather(idx), elems}, &delta.Chunk{Rows: n})
	for k := errs; k < len(c.Errs); k++ {
		c.Errs[k].Row = int32(i)
	}
	sawNull := false
	for k := range n {
		if v.IsNull(k) {
			sawNull = true
		} else if v.Bools[k] != p.all {
			out.Bools[i] = !p.all
			return
		}
	}
	if sawNull {
		out.SetNull(i)
		return
	}
	out.Bools[i] = p.all
}
