package plan

// Session gives each row the bounds of its session: rows of a partition belong together as long as each comes less than the gap
// after the one before it. Output: the input columns, then window_start, the first row's time, and window_end, the gap after
// the last one's. Rows with a NULL or infinite time have no session.
type Session struct {
	Input       Node
	TimeCol     int
	GapMicros   int64
	PartitionBy []int
	Close       bool // a row leaves once, when the watermark has passed its session's end
	State       int
}

// Columns implements Node.
func (n *Session) Columns() []Column {
	in := n.Input.Columns()
	t := in[n.TimeCol].Type
	return append(in[:len(in):len(in)], Column{"window_start", t}, Column{"window_end", t})
}

// Children implements Node.
func (n *Session) Children() []Node { return []Node{n.Input} }

// WithChildren implements Node.
func (n *Session) WithChildren(c []Node) Node { m := *n; m.Input = c[0]; return &m }
