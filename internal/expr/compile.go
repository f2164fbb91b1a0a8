package expr

import (
	"fmt"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Program is a compiled expression. Eval returns a vector with one entry per physical row of ch; only the
// entries of rows that ch selects mean anything. Errors go to c. The result may alias columns of ch.
type Program interface {
	Eval(c *Ctx, ch *delta.Chunk) *delta.Vec
}

// Compile prepares e for evaluation. It fails with XX000 on nodes that should be gone by now
// (parameters, subqueries) and 42883 on a signature that this release does not have.
func Compile(e Expr) (Program, error) {
	switch x := e.(type) {
	case *Col:
		return colProg(x.Index), nil
	case *Const:
		return &constProg{ty: x.Ty, val: x.Val}, nil
	case *Call:
		return compileCall(x)
	case *SQLCall:
		return compileSQLCall(x)
	case *Cast:
		return compileCast(x)
	case *ToDomain:
		return compileToDomain(x)
	case *BoolOp:
		args, err := CompileAll(x.Args)
		return &boolProg{x.Or, args}, err
	case *Not:
		p, err := Compile(x.Arg)
		return &notProg{p}, err
	case *IsNull:
		p, err := Compile(x.Arg)
		return &isNullProg{p, x.Negate}, err
	case *Case:
		return compileCase(x)
	case *Coalesce:
		args, err := CompileAll(x.Args)
		return &coalesceProg{args, x.Ty}, err
	case *InList:
		return compileInList(x)
	case *AnyAll:
		return compileAnyAll(x)
	case *MakeArray:
		args, err := CompileAll(x.Args)
		return &makeArrayProg{args, x.Ty, x.Nested}, err
	case *MakeRow:
		args, err := CompileAll(x.Args)
		return &makeRowProg{args, x.Ty, rowType(x)}, err
	case *Field:
		p, err := Compile(x.Arg)
		return &fieldProg{p, x.Index, x.Arg.Type(), x.Ty}, err
	}
	return nil, fmt.Errorf("compile expression of type %T", e)
}

// CompileAll compiles several expressions.
func CompileAll(es []Expr) ([]Program, error) {
	out := make([]Program, len(es))
	for i, e := range es {
		p, err := Compile(e)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// EvalConst evaluates an expression without input columns to one value. Bytes are the caller's own.
func EvalConst(c *Ctx, e Expr) (sqltypes.Datum, error) {
	if k, ok := e.(*Const); ok {
		return k.Val, nil
	}
	p, err := Compile(e)
	if err != nil {
		return nil, err
	}
	saved := c.Errs
	c.Errs = nil
	v := p.Eval(c, &delta.Chunk{Rows: 1})
	err = c.FirstErr()
	c.Errs = saved
	if err != nil {
		return nil, err
	}
	d := v.Datum(0)
	if b, ok := d.([]byte); ok {
		d = append([]byte(nil), b...)
	}
	return d, nil
}

// Filter returns the rows of ch for which p is true, as a selection: nil means all physical rows.
func Filter(c *Ctx, p Program, ch *delta.Chunk) []int32 {
	v := p.Eval(c, ch)
	n := ch.Len()
	out := make([]int32, 0, n)
	if ch.Sel == nil {
		for i, b := range v.Bools {
			if b && !v.IsNull(i) {
				out = append(out, int32(i))
			}
		}
		if len(out) == ch.Rows {
			return nil
		}
		return out
	}
	for _, i := range ch.Sel {
		if v.Bools[i] && !v.IsNull(int(i)) {
			out = append(out, i)
		}
	}
	return out
}

type colProg int

func (p colProg) Eval(_ *Ctx, ch *delta.Chunk) *delta.Vec { return ch.Cols[p] }

// constProg keeps the widest vector made so far and hands out prefixes of it.
type constProg struct {
	ty  sqltypes.Type
	val sqltypes.Datum
	vec *delta.Vec
}

func (p *constProg) Eval(_ *Ctx, ch *delta.Chunk) *delta.Vec {
	if p.vec == nil || p.vec.Len() < ch.Rows {
		p.vec = delta.Repeat(p.ty, p.val, max(ch.Rows, 16))
		p.vec.Same = true
	}
	return p.vec.Prefix(ch.Rows)
}

type callProg struct {
	fn   *Func
	ty   sqltypes.Type
	args []Program
	vecs []*delta.Vec
}

func compileCall(x *Call) (Program, error) {
	fn, ok := BySig(x.Sig)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", x.Sig)
	}
	if p, ok, err := compileIntFactor(x); ok || err != nil {
		return p, err
	}
	args, err := CompileAll(x.Args)
	if err != nil {
		return nil, err
	}
	return &callProg{fn: fn, ty: x.Ty, args: args, vecs: make([]*delta.Vec, len(args))}, nil
}

func (p *callProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	for i, a := range p.args {
		p.vecs[i] = a.Eval(c, ch)
	}
	return RunKernel(c, p.fn.Kernel, p.fn.Nulls, p.ty, p.vecs, ch)
}

// RunKernel allocates the output of a kernel, works out strict nulls and calls it.
func RunKernel(c *Ctx, k Kernel, nulls Nulls, ty sqltypes.Type, vecs []*delta.Vec, ch *delta.Chunk) *delta.Vec {
	var out *delta.Vec
	if ty.Phys() == sqltypes.PhysBytes {
		out = delta.NewBytesVec(ty, ch.Rows, guessBytes(vecs, ch.Rows))
	} else {
		out = delta.NewVec(ty, ch.Rows)
	}
	if nulls == Strict {
		out.Valid = intersectValid(vecs, ch.Rows)
	}
	k(c, Args{Vecs: vecs, Sel: ch.Sel, N: ch.Rows}, out)
	return out
}

// guessBytes is a first size for a bytes result: that of the largest bytes argument, or a short text a row.
func guessBytes(vecs []*delta.Vec, rows int) int {
	n := 0
	for _, v := range vecs {
		n = max(n, len(v.Data))
	}
	if n == 0 {
		n = 8 * rows
	}
	return n
}

// intersectValid returns a fresh bitmap of the rows where all vecs are valid; nil when all rows are.
func intersectValid(vecs []*delta.Vec, n int) []uint64 {
	var out []uint64
	for _, v := range vecs {
		if v.Valid == nil {
			continue
		}
		if out == nil {
			out = append([]uint64(nil), v.Valid[:(n+63)/64]...)
			continue
		}
		for i := range out {
			out[i] &= v.Valid[i]
		}
	}
	return out
}

type castProg struct {
	arg  Program
	cast Kernel
	from sqltypes.Type
	ty   sqltypes.Type
	mod  Kernel // applies the modifier; nil when there is none
	vecs [1]*delta.Vec
}

func compileCast(x *Cast) (Program, error) {
	arg, err := Compile(x.Arg)
	if err != nil {
		return nil, err
	}
	p := &castProg{arg: arg, from: x.Arg.Type(), ty: x.Ty}
	if p.from.Base() != x.Ty.Base() {
		k, ok := castKernel(p.from, x.Ty, x.Explicit)
		if !ok {
			return nil, sqlerr.New(sqlerr.CannotCoerce, "cannot cast type %s to %s", p.from, x.Ty)
		}
		p.cast = k
	}
	if x.Ty.Mod != 0 && x.Ty.Mod != p.from.Mod || x.Ty.Mod != 0 && p.cast != nil {
		p.mod = typmodKernel(x.Ty, x.Explicit)
	}
	return p, nil
}

func (p *castProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch)
	if p.cast != nil {
		p.vecs[0] = v
		v = RunKernel(c, p.cast, Strict, p.ty.Base(), p.vecs[:], ch)
	}
	if p.mod != nil {
		p.vecs[0] = v
		v = RunKernel(c, p.mod, Strict, p.ty, p.vecs[:], ch)
	}
	if v.Type != p.ty {
		v = v.Retype(p.ty)
	}
	return v
}

// boolProg evaluates operands from left to right, each only where the answer is still open.
type boolProg struct {
	or   bool
	args []Program
}

func (p *boolProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	out := delta.NewVec(sqltypes.Bool, ch.Rows)
	first := p.args[0].Eval(c, ch)
	copy(out.Bools, first.Bools[:ch.Rows])
	if first.Valid != nil {
		out.Valid = append([]uint64(nil), first.Valid...)
	}
	cur := ch
	for _, a := range p.args[1:] {
		open := p.open(out, cur)
		if len(open) == 0 {
			break
		}
		if len(open) < cur.Len() {
			cur = ch.WithSel(open)
		}
		p.merge(out, a.Eval(c, cur), open)
	}
	return out
}

// open lists the rows that the next operand can still change: all but decided ones.
func (p *boolProg) open(out *delta.Vec, ch *delta.Chunk) []int32 {
	open := make([]int32, 0, ch.Len())
	for k := range ch.Len() {
		i := ch.Row(k)
		if out.IsNull(i) || out.Bools[i] != p.or {
			open = append(open, int32(i))
		}
	}
	return open
}

func (p *boolProg) merge(out, v *delta.Vec, rows []int32) {
	for _, r := range rows {
		i := int(r)
		switch {
		case v.IsNull(i):
			out.SetNull(i)
		case v.Bools[i] == p.or: // decides, even over NULL
			out.Bools[i] = p.or
			if out.Valid != nil {
				out.Valid[i>>6] |= 1 << (uint(i) & 63)
			}
		}
	}
}

type notProg struct{ arg Program }

func (p *notProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch)
	out := delta.NewVec(sqltypes.Bool, ch.Rows)
	for i, b := range v.Bools[:ch.Rows] {
		out.Bools[i] = !b
	}
	if v.Valid != nil {
		out.Valid = append([]uint64(nil), v.Valid...)
	}
	return out
}

type isNullProg struct {
	arg    Program
	negate bool
}

func (p *isNullProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch)
	out := delta.NewVec(sqltypes.Bool, ch.Rows)
	if v.Type.Kind == sqltypes.KRecord {
		for k := range ch.Len() {
			i := ch.Row(k)
			all, none := recordNulls(v, i)
			out.Bools[i] = !p.negate && all || p.negate && none
		}
		return out
	}
	for i := range out.Bools {
		out.Bools[i] = v.IsNull(i) != p.negate
	}
	return out
}

// recordNulls reports whether all, and whether none, of the record's fields are NULL.
func recordNulls(v *delta.Vec, i int) (all, none bool) {
	if v.IsNull(i) {
		return true, false
	}
	fields, err := sqlio.DecodeRecord(v.Type, v.Bytes(i))
	if err != nil {
		return false, false
	}
	all, none = true, true
	for _, f := range fields {
		if f == nil {
			none = false
		} else {
			all = false
		}
	}
	return all, none
}

type caseProg struct {
	conds, thens []Program
	els          Program
	ty           sqltypes.Type
}

func compileCase(x *Case) (Program, error) {
	p := &caseProg{ty: x.Ty}
	for _, w := range x.Whens {
		cond, err := Compile(w.Cond)
		if err != nil {
			return nil, err
		}
		then, err := Compile(w.Then)
		if err != nil {
			return nil, err
		}
		p.conds, p.thens = append(p.conds, cond), append(p.thens, then)
	}
	if x.Else != nil {
		var err error
		if p.els, err = Compile(x.Else); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *caseProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	m := newMerger(p.ty, ch.Rows)
	rest := ch
	for i, cond := range p.conds {
		if rest.Len() == 0 {
			break
		}
		v := cond.Eval(c, rest)
		var hit, miss []int32
		for k := range rest.Len() {
			r := rest.Row(k)
			if !v.IsNull(r) && v.Bools[r] {
				hit = append(hit, int32(r))
			} else {
				miss = append(miss, int32(r))
			}
		}
		if len(hit) > 0 {
			m.take(p.thens[i].Eval(c, ch.WithSel(hit)), hit)
		}
		rest = ch.WithSel(nonNil(miss))
	}
	if p.els != nil && rest.Len() > 0 {
		m.take(p.els.Eval(c, rest), rest.RowList())
	}
	return m.vec()
}

func nonNil(s []int32) []int32 {
	if s == nil {
		return []int32{}
	}
	return s
}

type coalesceProg struct {
	args []Program
	ty   sqltypes.Type
}

func (p *coalesceProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	first := p.args[0].Eval(c, ch)
	if !first.HasNulls() {
		return first.Retype(p.ty)
	}
	m := newMerger(p.ty, ch.Rows)
	rest, v := ch, first
	for i := 0; ; i++ {
		var hit, miss []int32
		for k := range rest.Len() {
			r := rest.Row(k)
			if v.IsNull(r) {
				miss = append(miss, int32(r))
			} else {
				hit = append(hit, int32(r))
			}
		}
		m.take(v, hit)
		if len(miss) == 0 || i+1 == len(p.args) {
			return m.vec()
		}
		rest = ch.WithSel(miss)
		v = p.args[i+1].Eval(c, rest)
	}
}

type makeArrayProg struct {
	args   []Program
	ty     sqltypes.Type
	nested bool
}

func (p *makeArrayProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	return makeFrom(c, ch, p.ty, p.args, func(row []sqltypes.Datum) ([]byte, error) {
		if p.nested {
			return sqlio.StackArrays(p.ty, row)
		}
		return sqlio.MakeArray(p.ty, row), nil
	})
}

type makeRowProg struct {
	args []Program
	ty   sqltypes.Type
	enc  sqltypes.Type // ty with the fields' types, which an anonymous record does not tell
}

// rowType is the type to encode with.
func rowType(x *MakeRow) sqltypes.Type {
	if x.Ty.HasFields() {
		return x.Ty
	}
	fields := make([]sqltypes.RowField, len(x.Args))
	for i, a := range x.Args {
		fields[i].Type = a.Type()
	}
	return sqltypes.StructOf(fields)
}

func (p *makeRowProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	return makeFrom(c, ch, p.ty, p.args, func(row []sqltypes.Datum) ([]byte, error) {
		return sqlio.EncodeRecord(p.enc, row), nil
	})
}

// makeFrom builds one bytes value per selected row from the values of args.
func makeFrom(c *Ctx, ch *delta.Chunk, ty sqltypes.Type, args []Program, build func([]sqltypes.Datum) ([]byte, error)) *delta.Vec {
	vecs := make([]*delta.Vec, len(args))
	for i, a := range args {
		vecs[i] = a.Eval(c, ch)
	}
	out := delta.NewBytesVec(ty, ch.Rows, 0)
	row := make([]sqltypes.Datum, len(args))
	RowLoop(Args{Sel: ch.Sel, N: ch.Rows}, out, func(i int) {
		for k, v := range vecs {
			row[k] = v.Datum(i)
		}
		b, err := build(row)
		out.AppendBytes(b)
		if err != nil {
			c.Fail(out, i, err)
		}
	})
	return out
}

type fieldProg struct {
	arg   Program
	index int
	from  sqltypes.Type
	ty    sqltypes.Type
}

func (p *fieldProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch)
	out := &delta.Vec{Type: p.ty}
	if p.ty.Phys() == sqltypes.PhysBytes {
		out.Offsets = append(make([]int32, 0, ch.Rows+1), 0)
	}
	for i := range ch.Rows {
		if v.IsNull(i) || v.Offsets[i] == v.Offsets[i+1] {
			out.AppendNull()
			continue
		}
		fields, err := sqlio.DecodeRecord(p.from, v.Bytes(i))
		if err != nil {
			out.AppendNull()
			c.Fail(out, i, err)
			continue
		}
		out.AppendDatum(fields[p.index])
	}
	if ch.Rows == 0 {
		return delta.NewVec(p.ty, 0)
	}
	return out
}
