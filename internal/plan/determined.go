package plan

import (
	"github.com/millrace/millrace/internal/expr"
)

// Determined returns, for each output column of n, whether rows that agree in the known columns agree in it, too,
// down to the exact value: a functional dependence that follows from unique keys, equalities and projections.
func Determined(n Node, known []int) []bool {
	out := make([]bool, len(n.Columns()))
	for _, k := range known {
		out[k] = true
	}
	closure(n, out)
	return out
}

// closure adds to set what follows from it.
func closure(n Node, set []bool) {
	for _, key := range UniqueKeys(n) {
		if allIn(key, set) {
			for i := range set {
				set[i] = true
			}
			return
		}
	}
	switch x := n.(type) {
	case *Project:
		closureProject(x, set)
	case *Join:
		closureJoin(x, set)
	case *Filter, *TopN, *Hop, *Exchange, *Share, *Sort, *Watermark, *EmitOnClose, *TemporalFilter:
		in := n.Children()[0]
		closure(in, set[:len(in.Columns())])
	case *Expand:
		closureExpand(x, set)
	case *TableFunc:
		if x.Input != nil {
			closure(x.Input, set[:len(x.Input.Columns())])
		}
	}
}

func allIn(cols []int, set []bool) bool {
	for _, c := range cols {
		if !set[c] {
			return false
		}
	}
	return true
}

func closureProject(x *Project, set []bool) {
	below := make([]bool, len(x.Input.Columns()))
	for i, e := range x.Exprs {
		if c, ok := e.(*expr.Col); ok && set[i] {
			below[c.Index] = true
		}
	}
	closure(x.Input, below)
	for i, e := range x.Exprs {
		if set[i] || expr.VolatilityOf(e) == expr.Volatile {
			continue
		}
		all := true
		expr.Columns(e, func(c int) { all = all && below[c] })
		set[i] = all
	}
}

// closureExpand adds the copies whose key and set are known.
func closureExpand(x *Expand, set []bool) {
	w := len(x.Input.Columns())
	closure(x.Input, set[:w])
	for i, k := range x.Keys {
		set[w+i] = set[w+i] || set[k] && set[w+len(x.Keys)]
	}
}

// closureJoin alternates between the sides. A key known on one side identifies rows of the other, but equal is not
// identical, so it does not determine the other side's key column by itself; the other side's unique key does. Sides
// that may be padded determine nothing but from the row that they are padded to.
func closureJoin(x *Join, set []bool) {
	lw := len(x.Left.Columns())
	if x.Kind == Right || x.Kind == Full {
		return
	}
	closure(x.Left, set[:lw])
	if x.Kind >= Semi {
		return
	}
	right := set[lw:]
	if x.Kind == Left && x.Cond != nil && !allIn(Span(0, lw), set) {
		return // which rows are padded depends on columns that are not known
	}
	rightKnown := make([]bool, len(right))
	copy(rightKnown, right)
	for i, l := range x.LeftKeys {
		if set[l] {
			rightKnown[x.RightKeys[i]] = true
		}
	}
	for _, key := range UniqueKeys(x.Right) {
		if allIn(key, rightKnown) { // one partner row, or in a left join the padding, for all rows that agree
			for i := range right {
				right[i] = true
			}
		}
	}
	if x.Kind != Inner {
		return
	}
	closure(x.Right, right)
	leftKnown := make([]bool, lw)
	copy(leftKnown, set[:lw])
	for i, r := range x.RightKeys {
		if right[r] {
			leftKnown[x.LeftKeys[i]] = true
		}
	}
	for _, key := range UniqueKeys(x.Left) {
		if allIn(key, leftKnown) {
			for i := range lw {
				set[i] = true
			}
		}
	}
}
