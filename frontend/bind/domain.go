package bind

import (
	"slices"
	"sort"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// flat is the type that overloads are chosen by: below domains, without a modifier.
func flat(t sqltypes.Type) sqltypes.Type { return t.Underlying().Base() }

func flatTypes(es []expr.Expr) []sqltypes.Type {
	out := make([]sqltypes.Type, len(es))
	for i, e := range es {
		out[i] = flat(e.Type())
	}
	return out
}

// plain takes a domain's value for one of its underlying type.
func (b *binder) plain(e expr.Expr) expr.Expr {
	t := e.Type()
	if !t.IsDomain() {
		return e
	}
	return b.foldCast(&expr.Cast{Arg: e, Ty: flat(t)})
}

// toDomain takes e, of the type that domain is over, for a value of the domain, after the checks.
func (b *binder) toDomain(e expr.Expr, domain sqltypes.Type, at level) expr.Expr {
	x := &expr.ToDomain{Arg: e, Ty: domain, Explicit: at == explicit}
	if r := b.rule(domain); r != nil {
		x.Rules = []expr.DomainRule{*r}
	}
	return b.foldDomain(x)
}

// checked tests the values of domains within e, whose type has them as parts.
func (b *binder) checked(e expr.Expr, to sqltypes.Type, at level) expr.Expr {
	if !to.MadeOfDomains() {
		return e
	}
	x := &expr.ToDomain{Arg: e, Ty: to, Explicit: at == explicit}
	b.partRules(to, &x.Rules)
	return b.foldDomain(x)
}

// foldDomain is foldCast of a conversion to a domain.
func (b *binder) foldDomain(x *expr.ToDomain) expr.Expr {
	if _, ok := x.Arg.(*expr.Const); !ok || expr.VolatilityOf(x) != expr.Immutable {
		return x
	}
	v, err := expr.EvalConst(&b.eval, x)
	if err != nil {
		return x
	}
	return &expr.Const{Ty: x.Ty, Val: v}
}

// partRules collects the rules of the domains that t is made of.
func (b *binder) partRules(t sqltypes.Type, out *[]expr.DomainRule) {
	if !t.MadeOfDomains() {
		return
	}
	if t.IsDomain() {
		known := slices.ContainsFunc(*out, func(r expr.DomainRule) bool { return r.Domain == t })
		if r := b.rule(t); r != nil && !known {
			*out = append(*out, *r)
		}
		b.partRules(t.Underlying(), out)
		return
	}
	switch t.Kind {
	case sqltypes.KArray:
		b.partRules(t.ElemType(), out)
	case sqltypes.KRecord:
		for _, f := range t.Fields() {
			b.partRules(f.Type, out)
		}
	case sqltypes.KMap:
		k, v := t.KeyValue()
		b.partRules(k, out)
		b.partRules(v, out)
	}
}

// rule binds what a domain demands, what those below it demand first; nil: nothing.
func (b *binder) rule(domain sqltypes.Type) *expr.DomainRule {
	if b.env.Catalog == nil {
		return nil
	}
	t := b.env.Catalog.TypeBehind(domain)
	if t == nil || t.Domain == nil {
		return nil
	}
	r, ok := b.rules[t.ID]
	if ok {
		if r == nil {
			fail(unsupported(-1, "", "the checks of domain %s need values of the domain itself", domain))
		}
		return r
	}
	b.rules[t.ID] = nil
	r = &expr.DomainRule{Domain: domain, NotNull: t.Domain.NotNull}
	if base := t.Domain.Base; base.IsDomain() {
		if below := b.rule(base); below != nil {
			r.NotNull = r.NotNull || below.NotNull
			r.Checks = slices.Clone(below.Checks)
		}
	}
	checks := slices.Clone(t.Domain.Checks)
	sort.Slice(checks, func(i, j int) bool { return checks[i].Name < checks[j].Name })
	for _, c := range checks {
		e, err := parser.ParseExpr(c.Expr)
		if err != nil {
			failAt(err, -1)
		}
		cond := b.domainCheck(e, t.Domain.Base)
		if b.env.Streaming && !b.env.Plain && (expr.VolatilityOf(cond) == expr.Volatile || readsClock(cond)) {
			fail(unsupported(-1, "Cast to the domain's base type instead.", "a view cannot convert to domain %s, whose constraint %q may say something else about the same value later", domain, c.Name))
		}
		r.Checks = append(r.Checks, expr.DomainCheck{Name: c.Name, Cond: cond})
	}
	b.rules[t.ID] = r
	return r
}

func readsClock(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		if c, ok := x.(*expr.Call); ok {
			if f, ok := expr.BySig(c.Sig); ok && dependsOnClock(f.Name) {
				found = true
			}
		}
		return !found
	})
	return found
}

// domainCheck binds a CHECK expression over VALUE, of type base.
func (b *binder) domainCheck(e parser.Expr, base sqltypes.Type) expr.Expr {
	v := b.storedIn(e, "check constraints", sqltypes.Unknown, "", []plan.Column{{Name: "value", Type: base}})
	return b.toBool(v, "CHECK", e.At())
}

// DomainCheck binds the CHECK constraint of a domain over base, to find out whether it is one.
func DomainCheck(env *Env, e parser.Expr, base sqltypes.Type) (out expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.domainCheck(e, base), nil
}

// tested tests a value that has passed for one of its type by all domains that the type is made of.
func (b *binder) tested(e expr.Expr) expr.Expr {
	t := e.Type()
	if !t.IsDomain() {
		return b.checked(e, t, assignment)
	}
	base := expr.Expr(&expr.Cast{Arg: e, Ty: flat(t)})
	return b.toDomain(b.checked(base, flat(t), assignment), t, assignment)
}

// domainDefault is the SQL text of the default that a domain has.
func (env *Env) domainDefault(t sqltypes.Type) string {
	if env.Catalog == nil {
		return ""
	}
	return env.Catalog.DomainDefault(t)
}
