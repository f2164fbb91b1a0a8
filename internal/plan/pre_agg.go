package plan

import "github.com/millrace/millrace/internal/sqltypes"

// PreAgg folds rows of hot groups, those that a chunk has many rows of, into one row each, in front of the Exchange that brings groups
// together; other rows pass. It keeps nothing.
//
// Output: the input's columns, then the states of Aggs one after the other, and the number of rows folded, both NULL in a row that
// passes. A folded row has the group's columns and NULL in the others. The Agg above has the same GroupBy and Aggs, and Merges.
type PreAgg struct {
	Input   Node
	GroupBy []int
	Aggs    []AggCall
}

// Columns implements Node.
func (n *PreAgg) Columns() []Column {
	in := n.Input.Columns()
	return append(in[:len(in):len(in)], Column{"states", sqltypes.Bytea}, Column{"folded", sqltypes.Int8})
}

// Children implements Node.
func (n *PreAgg) Children() []Node { return []Node{n.Input} }

// WithChildren implements Node.
func (n *PreAgg) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }
