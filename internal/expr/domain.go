package expr

import (
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// ToDomain makes Arg one of Ty: a domain, whose underlying type Arg has, or a type made of domains, which Arg has but for
// the checks. Rules are what the domains demand at the time of binding: a plan keeps to them, so that a row goes from a
// view as it came, whatever ALTER DOMAIN says in between.
type ToDomain struct {
	Arg   Expr
	Ty    sqltypes.Type
	Rules []DomainRule // of every domain that Ty is made of
	// Explicit: strings within Arg are cut to the length of a domain's base, as an explicit cast cuts them.
	Explicit bool
}

// DomainRule is what a domain demands of a value, what the domains below it demand included.
type DomainRule struct {
	Domain  sqltypes.Type
	NotNull bool
	Checks  []DomainCheck // in the order of evaluation
}

// DomainCheck is a CHECK constraint of a domain; Cond reads the value as column 0.
type DomainCheck struct {
	Name string
	Cond Expr
}

// Type is the domain, or the type made of domains.
func (e *ToDomain) Type() sqltypes.Type { return e.Ty }

// volatility is that of the checks.
func (e *ToDomain) volatility() Volatility {
	v := Immutable
	for _, r := range e.Rules {
		for _, c := range r.Checks {
			v = max(v, VolatilityOf(c.Cond))
		}
	}
	return v
}

func sameRules(a, b []DomainRule) bool {
	return slices.EqualFunc(a, b, func(x, y DomainRule) bool {
		return x.Domain == y.Domain && x.NotNull == y.NotNull && slices.EqualFunc(x.Checks, y.Checks, func(c, d DomainCheck) bool {
			return c.Name == d.Name && Same(c.Cond, d.Cond, nil)
		})
	})
}

// domainRule is a compiled DomainRule.
type domainRule struct {
	domain  sqltypes.Type
	notNull bool
	names   []string
	progs   []Program
}

type toDomainProg struct {
	arg      Program
	ty       sqltypes.Type
	rules    []*domainRule
	explicit bool
	// whole is the rule of ty, if ty is a domain over a type that has no domains within.
	whole *domainRule
}

func compileToDomain(x *ToDomain) (Program, error) {
	arg, err := Compile(x.Arg)
	if err != nil {
		return nil, err
	}
	p := &toDomainProg{arg: arg, ty: x.Ty, explicit: x.Explicit}
	for _, r := range x.Rules {
		c := &domainRule{domain: r.Domain, notNull: r.NotNull}
		for _, k := range r.Checks {
			prog, err := Compile(k.Cond)
			if err != nil {
				return nil, err
			}
			c.names, c.progs = append(c.names, k.Name), append(c.progs, prog)
		}
		p.rules = append(p.rules, c)
		if r.Domain == x.Ty && x.Arg.Type().Base() == x.Ty.Underlying().Base() {
			p.whole = c
		}
	}
	return p, nil
}

func (p *toDomainProg) Eval(c *Ctx, ch *delta.Chunk) *delta.Vec {
	v := p.arg.Eval(c, ch).Retype(p.ty)
	if p.whole != nil {
		return p.whole.check(c, v, ch)
	}
	if len(p.rules) == 0 {
		return v
	}
	return p.parts(c, v, ch)
}

// check tests the rows of v that ch selects; those that fail become NULL.
func (r *domainRule) check(c *Ctx, v *delta.Vec, ch *delta.Chunk) *delta.Vec {
	if !r.notNull && len(r.progs) == 0 {
		return v
	}
	out := *v // what fails becomes NULL here, and not in the column that v may be
	out.Same = false
	out.Valid = slices.Clone(v.Valid)
	left := slices.Clone(ch.RowList())
	keep := func(ok func(i int) error) {
		left = slices.DeleteFunc(left, func(i int32) bool {
			err := ok(int(i))
			if err != nil {
				c.Fail(&out, int(i), err)
			}
			return err != nil
		})
	}
	if r.notNull {
		keep(func(i int) error {
			if v.IsNull(i) {
				return r.errNull()
			}
			return nil
		})
	}
	values := &delta.Chunk{Cols: []*delta.Vec{v}, Rows: ch.Rows}
	for k, p := range r.progs {
		if len(left) == 0 {
			break
		}
		seen := len(c.Errs)
		res := p.Eval(c, values.WithSel(left))
		failed := map[int32]bool{}
		for _, e := range c.Errs[seen:] {
			failed[e.Row] = true
			out.SetNull(int(e.Row))
		}
		left = slices.DeleteFunc(left, func(i int32) bool { return failed[i] })
		keep(func(i int) error {
			if !res.IsNull(i) && !res.Bools[i] {
				return r.errCheck(r.names[k])
			}
			return nil
		})
	}
	return &out
}

func (r *domainRule) errNull() error {
	d := r.domain.Ext.Def()
	return sqlerr.New(sqlerr.NotNullViolation, "domain %s does not allow null values", r.domain).WithType(d.Schema, d.Name, "")
}

func (r *domainRule) errCheck(name string) error {
	d := r.domain.Ext.Def()
	return sqlerr.New(sqlerr.CheckViolation, "value for domain %s violates check constraint %q", r.domain, name).WithType(d.Schema, d.Name, name)
}

// parts tests the values of domains within each value.
func (p *toDomainProg) parts(c *Ctx, v *delta.Vec, ch *delta.Chunk) *delta.Vec {
	out := &delta.Vec{Type: p.ty}
	if p.ty.Phys() == sqltypes.PhysBytes {
		out.Offsets = append(make([]int32, 0, ch.Rows+1), 0)
	}
	if ch.Rows == 0 {
		return delta.NewVec(p.ty, 0)
	}
	var selected []uint64
	if ch.Sel != nil {
		selected = selMask(ch.Sel, ch.Rows)
	}
	for i := range ch.Rows {
		if selected != nil && selected[uint(i)>>6]&(1<<(uint(i)&63)) == 0 {
			out.AppendNull()
			continue
		}
		d, err := p.part(c, p.ty, v.Datum(i))
		if err != nil {
			out.AppendNull()
			c.Fail(out, i, err)
			continue
		}
		out.AppendDatum(d)
	}
	return out
}

// part returns d, of type t, with the modifiers of the domains in it applied; it fails if one of them does not take it.
func (p *toDomainProg) part(c *Ctx, t sqltypes.Type, d sqltypes.Datum) (sqltypes.Datum, error) {
	if t.IsDomain() {
		base := t.Underlying()
		d, err := p.part(c, base, d)
		if err == nil {
			d, err = sqlio.ApplyTypmod(base, d, p.explicit)
		}
		if err != nil {
			return nil, err
		}
		return d, p.one(c, t, d)
	}
	if d == nil || !t.MadeOfDomains() {
		return d, nil
	}
	b, err := datumBytes(d)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case sqltypes.KArray:
		a, err := sqlio.ReadArray(t, b)
		if err != nil {
			return nil, err
		}
		elems := a.Elems()
		for i := range elems {
			if elems[i], err = p.part(c, t.ElemType(), elems[i]); err != nil {
				return nil, err
			}
		}
		dims, lower := a.Dims()
		return sqlio.MakeArrayDims(t, dims, lower, elems)
	case sqltypes.KRecord:
		values, err := sqlio.DecodeRecord(t, b)
		if err != nil {
			return nil, err
		}
		for i, f := range t.Fields() {
			if i < len(values) {
				if values[i], err = p.part(c, f.Type, values[i]); err != nil {
					return nil, err
				}
			}
		}
		return sqlio.EncodeRecord(t, values), nil
	case sqltypes.KMap:
		_, err := p.part(c, sqltypes.ArrayOf(t.EntryType()), b)
		return b, err
	}
	return d, nil
}

func datumBytes(d sqltypes.Datum) ([]byte, error) {
	switch b := d.(type) {
	case []byte:
		return b, nil
	case string:
		return []byte(b), nil
	}
	return nil, sqlerr.New(sqlerr.InternalError, "a value of type %T where bytes are expected", d)
}

// one tests a single value against the rule of a domain.
func (p *toDomainProg) one(c *Ctx, t sqltypes.Type, d sqltypes.Datum) error {
	i := slices.IndexFunc(p.rules, func(r *domainRule) bool { return r.domain == t })
	if i < 0 {
		return nil
	}
	saved := c.Errs
	c.Errs = nil
	p.rules[i].check(c, delta.Repeat(t, d, 1), &delta.Chunk{Rows: 1})
	err := c.FirstErr()
	c.Errs = saved
	return err
}
