package plan

import "github.com/millrace/millrace/internal/expr"

// DynamicFilter keeps the input rows whose column Col compares with the bound, column BoundCol of the one row that Bound
// has at most; without a bound, or with a NULL one, no row. Streams only: when the bound moves, only rows that it passes
// move. Output: the input's columns.
type DynamicFilter struct {
	Input, Bound  Node
	Col, BoundCol int
	Op            string    // <, <=, > or >=: Col Op BoundCol
	Cond          expr.Expr // the same, over the columns of Input then Bound
	Dist          []int     // input columns whose hash gives a row's vnode; nil: all in one actor
	State         int       // input rows, the bound
}

func (n *DynamicFilter) Columns() []Column { return n.Input.Columns() }
func (n *DynamicFilter) Children() []Node  { return []Node{n.Input, n.Bound} }
func (n *DynamicFilter) WithChildren(c []Node) Node {
	m := *n
	m.Input, m.Bound = c[0], c[1]
	return &m
}
