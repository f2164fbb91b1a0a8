package explain

import (
	"strings"

	"github.com/millrace/millrace/internal/plan"
)

func asofJoin(x *plan.AsofJoin) string {
	op := map[bool]string{false: ">", true: "<"}[x.Later] + optional(!x.Strict, "=")
	l, r := x.Left.Columns(), x.Right.Columns()
	both := append(l[:len(l):len(l)], r...)
	on := append(equalities(both, len(l), x.LeftKeys, x.RightKeys),
		columnName(both, x.LeftTime)+" "+op+" "+columnName(both, len(l)+x.RightTime))
	return "AsofJoin " + outerName(x.Outer) + " on " + strings.Join(on, ", ")
}

func temporalJoin(x *plan.TemporalJoin) string {
	l, r := x.Left.Columns(), x.Right.Columns()
	both := append(l[:len(l):len(l)], r...)
	s := "TemporalJoin " + outerName(x.Outer)
	if len(x.LeftKeys) > 0 {
		s += " on " + strings.Join(equalities(both, len(l), x.LeftKeys, x.RightKeys), ", ")
	}
	if x.Cond != nil {
		s += " if " + formatOver(x.Cond, both)
	}
	return s
}

func outerName(outer bool) string {
	if outer {
		return joinNames[plan.Left]
	}
	return joinNames[plan.Inner]
}

func equalities(both []plan.Column, lw int, left, right []int) []string {
	out := make([]string, len(left))
	for i := range left {
		out[i] = columnName(both, left[i]) + " = " + columnName(both, lw+right[i])
	}
	return out
}
