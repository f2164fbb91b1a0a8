package plan

import "github.com/millrace/millrace/internal/sqltypes"

// GapFill adds rows to a time series, in each partition, where two rows that follow each other are more than a step apart:
// one for each step from the first of them that lies before the second. Rows of one time are in the order of their other
// columns. Rows with a NULL or infinite time pass and border no gap.
type GapFill struct {
	Input       Node
	TimeCol     int
	StepMicros  int64
	PartitionBy []int
	Fill        []Fill // by input column
	State       int
}

// Fill says what a column of a row that fills a gap holds.
type Fill uint8

// The ways to fill.
const (
	FillNull Fill = iota
	FillLast      // what the row before the gap has
	FillLine      // on a straight line between the rows before and after the gap
)

// Columns implements Node.
func (n *GapFill) Columns() []Column { return n.Input.Columns() }

// Children implements Node.
func (n *GapFill) Children() []Node { return []Node{n.Input} }

// WithChildren implements Node.
func (n *GapFill) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }

// Order lists the columns by which the rows of a partition are ordered: the time, then those others that can be compared.
func (n *GapFill) Order() []SortKey {
	out := []SortKey{{Col: n.TimeCol}}
	for i, c := range n.Input.Columns() {
		if i != n.TimeCol && c.Type.Kind != sqltypes.KJSON {
			out = append(out, SortKey{Col: i})
		}
	}
	return out
}
