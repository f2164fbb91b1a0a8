package stream

import (
	"strings"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// temporalFilters turns conditions that compare a value with a function of the current time into temporal filters. What is
// left of the clock is refused by check.
func temporalFilters(n plan.Node, utc bool) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		switch y := x.(type) {
		case *plan.Filter:
			return temporalFilter(y.Input, expr.Conjuncts(y.Cond), utc)
		case *plan.Join:
			if y.Kind != plan.Inner || y.Cond == nil {
				return x
			}
			var on, above []expr.Expr
			for _, c := range expr.Conjuncts(y.Cond) {
				if clockIn(c) {
					above = append(above, c)
				} else {
					on = append(on, c)
				}
			}
			if len(above) == 0 {
				return x
			}
			j := *y
			j.Cond = expr.And(on)
			return temporalFilter(&j, above, utc)
		}
		return x
	})
}

// temporalFilter applies conditions, those without the clock first.
func temporalFilter(in plan.Node, conds []expr.Expr, utc bool) plan.Node {
	var plain []expr.Expr
	t := &plan.TemporalFilter{Grows: true}
	for _, c := range conds {
		bounds, ok := timeBounds(c, utc)
		if !ok {
			plain = append(plain, c)
			continue
		}
		for _, b := range bounds {
			t.Grows = t.Grows && !b.Drift.Falls && b.Op[0] == '<'
		}
		t.Bounds = append(t.Bounds, bounds...)
	}
	if len(plain) > 0 {
		in = &plan.Filter{Input: in, Cond: expr.And(plain)}
	}
	if len(t.Bounds) == 0 {
		return in
	}
	t.Input = in
	return t
}

// timeBounds reads value < f(now()) and its like; equality is two bounds.
func timeBounds(e expr.Expr, utc bool) ([]plan.TimeBound, bool) {
	c, ok := e.(*expr.Call)
	if !ok || len(c.Args) != 2 || !clockIn(c) {
		return nil, false
	}
	op, _, _ := strings.Cut(c.Sig, "(")
	value, clock := c.Args[0], c.Args[1]
	if clockIn(value) {
		value, clock = clock, value
		op = turned[op]
	}
	value, op, clock = ofDifference(value, op, clock)
	if clockIn(value) || plan.ReadsColumns(clock) || expr.VolatilityOf(value) == expr.Volatile {
		return nil, false
	}
	t, ok := commonTime(value.Type(), clock.Type())
	if !ok {
		return nil, false
	}
	value, clock = castTo(value, t), castTo(clock, t)
	d, ok := plan.ClockDrift(clock, utc)
	if !ok {
		return nil, false
	}
	switch op {
	case "<", "<=", ">", ">=":
		return []plan.TimeBound{{Value: value, Op: op, Clock: clock, Drift: d}}, true
	case "=":
		return []plan.TimeBound{{Value: value, Op: "<=", Clock: clock, Drift: d}, {Value: value, Op: ">=", Clock: clock, Drift: d}}, true
	}
	return nil, false
}

// turned is what an operator becomes when its sides change places.
var turned = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}

// ofDifference turns length > now() - at, where the length is a constant, into at > now() - length, and the same for at -
// now(). A difference of two times counts months and days as 30 and 1 times 24 hours when it is compared.
func ofDifference(value expr.Expr, op string, clock expr.Expr) (expr.Expr, string, expr.Expr) {
	length, isConst := value.(*expr.Const)
	diff, isCall := clock.(*expr.Call)
	if !isConst || !isCall || len(diff.Args) != 2 || !strings.HasPrefix(diff.Sig, "-(") {
		return value, op, clock
	}
	iv, isInterval := length.Val.(datetime.Interval)
	a, b := diff.Args[0], diff.Args[1]
	kind := a.Type().Kind
	if !isInterval || kind != b.Type().Kind || kind != sqltypes.KTimestamp && kind != sqltypes.KTimestamptz {
		return value, op, clock
	}
	const dayMicros = 24 * 3600 * 1_000_000
	total := datetime.Interval{Micros: (int64(iv.Months)*30+int64(iv.Days))*dayMicros + iv.Micros}
	shift := func(t expr.Expr, sign string) expr.Expr {
		return &expr.Call{Sig: sign + "(" + t.Type().Base().String() + ",interval)", Ty: t.Type(), Args: []expr.Expr{t, &expr.Const{Ty: sqltypes.IntervalT, Val: total}}}
	}
	switch {
	case clockIn(a) && !clockIn(b): // length op now − at: at op now − length
		return b, op, shift(a, "-")
	case clockIn(b) && !clockIn(a): // length op at − now: at turned-op now + length
		return a, turned[op], shift(b, "+")
	}
	return value, op, clock
}

// commonTime is the type in which two times are compared.
func commonTime(a, b sqltypes.Type) (sqltypes.Type, bool) {
	rank := func(t sqltypes.Type) int {
		switch t.Kind {
		case sqltypes.KDate:
			return 1
		case sqltypes.KTimestamp:
			return 2
		case sqltypes.KTimestamptz:
			return 3
		}
		return 0
	}
	if rank(a) == 0 || rank(b) == 0 {
		return a, false
	}
	return []sqltypes.Type{sqltypes.Date, sqltypes.Timestamp, sqltypes.Timestamptz}[max(rank(a), rank(b))-1], true
}

func castTo(e expr.Expr, t sqltypes.Type) expr.Expr {
	if e.Type().Kind == t.Kind {
		return e
	}
	return &expr.Cast{Arg: e, Ty: t}
}

// clockIn says that an expression reads the transaction's clock.
func clockIn(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		if c, ok := x.(*expr.Call); ok {
			name, _, _ := strings.Cut(c.Sig, "(")
			found = found || isClock(c, name)
		}
		return !found
	})
	return found
}
