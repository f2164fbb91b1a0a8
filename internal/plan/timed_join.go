package plan

import (
	"github.com/millrace/millrace/internal/expr"
)

// AsofJoin pairs each left row with at most one right row: among those with equal keys whose time is at or before
// the left row's (Later: at or after), the one nearest in time; of several at one time, the first by exact image.
// Output: left then right columns. A left row without a partner is padded if Outer, else dropped.
type AsofJoin struct {
	Left, Right Node
	// LeftKeys and RightKeys are compared pairwise and have the same types; a NULL matches nothing.
	LeftKeys, RightKeys []int
	// LeftTime and RightTime are columns of one type.
	LeftTime, RightTime int
	Later               bool
	Strict              bool // equal times do not match
	Outer               bool
	State               int // left rows, right rows
}

// TemporalJoin pairs each left row with the right rows as they are when it comes; what happens to the right side
// later changes nothing. Streams only: a query reads both sides at one time, which is a Join.
type TemporalJoin struct {
	Left, Right         Node
	LeftKeys, RightKeys []int
	Cond                expr.Expr // over left then right columns; nil: none
	Outer               bool
	State               int // right rows; what left rows have met, if they may be taken back
}

// Columns implements Node.
func (n *AsofJoin) Columns() []Column { return sideBySide(n.Left, n.Right) }

// Columns implements Node.
func (n *TemporalJoin) Columns() []Column { return sideBySide(n.Left, n.Right) }

func sideBySide(left, right Node) []Column {
	l := left.Columns()
	return append(l[:len(l):len(l)], right.Columns()...)
}

func (n *AsofJoin) Children() []Node     { return []Node{n.Left, n.Right} }
func (n *TemporalJoin) Children() []Node { return []Node{n.Left, n.Right} }

func (n *AsofJoin) WithChildren(c []Node) Node     { m := *n; m.Left, m.Right = c[0], c[1]; return &m }
func (n *TemporalJoin) WithChildren(c []Node) Node { m := *n; m.Left, m.Right = c[0], c[1]; return &m }

// temporalKeys: a left row meets one right row at most if the right keys are unique. A left row that was taken back and
// comes again counts as another.
func temporalKeys(n *TemporalJoin) [][]int {
	if containsKey(UniqueKeys(n.Right), n.RightKeys) {
		return UniqueKeys(n.Left)
	}
	return nil
}
