package session

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// cursor is a query opened by DECLARE. It keeps the rows that it has read, to be able to go back, unless it was declared
// NO SCROLL; one that was declared neither way gives up going back when the rows take too much memory.
type cursor struct {
	name, query  string
	columns      []pgwire.Column
	made         time.Time
	scroll, back bool // SCROLL was written; going back is possible
	binary, hold bool
	held         bool // its transaction has committed
	broken       bool // a FETCH has failed

	rows  pgwire.Rows // nil: read to its end
	kept  []keptRow
	first int64 // rows before those kept
	pos   int64 // of the current row, from 1; 0: before the first; read()+1: after the last
	bytes int64
}

type keptRow struct {
	c *delta.Chunk
	i int32
}

// read is the number of rows read so far.
func (c *cursor) read() int64 { return c.first + int64(len(c.kept)) }

// declare runs DECLARE.
func (s *Session) declare(ctx context.Context, p *portal, x *parser.DeclareStmt) error {
	c := &cursor{name: x.Name, query: p.p.st.text, made: time.Now(), back: true, hold: x.Hold != nil && *x.Hold, columns: p.p.cursor}
	has := func(o string) bool { return slices.Contains(x.Options, o) }
	c.scroll, c.binary = has("SCROLL"), has("BINARY")
	switch {
	case has("NO SCROLL") && c.scroll:
		return sqlerr.New(sqlerr.InvalidCursorDefinition, "cannot specify both SCROLL and NO SCROLL")
	case has("INSENSITIVE") && has("ASENSITIVE"):
		return sqlerr.New(sqlerr.InvalidCursorDefinition, "cannot specify both ASENSITIVE and INSENSITIVE")
	case x.IsSubscription:
		return s.declareSubscription(ctx, x, p.p.st.text)
	case x.Subscribe != nil:
		return s.declareFollower(ctx, p, x)
	case !c.hold && !s.txn.block:
		return onlyInBlock("DECLARE CURSOR")
	}
	if err := s.freeCursorName(x.Name); err != nil {
		return err
	}
	c.back = !has("NO SCROLL")
	if c.binary {
		c.columns = slices.Clone(c.columns)
		for i := range c.columns {
			c.columns[i].Binary = true
		}
	}
	r, err := s.runQuery(ctx, p.b)
	if err != nil {
		return err
	}
	c.rows = &queryRows{r: r}
	s.cursors[x.Name] = c
	return nil
}

// need reads on until n rows have been read, all of them when n is negative. drop: they are not wanted afterwards.
func (c *cursor) need(ctx context.Context, s *Session, n int64) error {
	limit, _ := parseMemory(s.settings.must("query_memory"))
	for c.rows != nil && (n < 0 || c.read() < n) {
		ch, err := c.rows.Next(ctx)
		if err != nil {
			return err
		}
		if ch == nil {
			c.rows.Close()
			c.rows = nil
			return nil
		}
		c.keep(ch)
		if c.bytes <= limit {
			continue
		}
		switch {
		case c.scroll || c.hold || n < 0 && c.back:
			return sqlerr.New(sqlerr.OutOfMemory, "the rows of cursor %q take more than query_memory", c.name)
		default:
			c.back = false
		}
	}
	return nil
}

// keep copies a chunk's rows, each as often as its weight says.
func (c *cursor) keep(ch *delta.Chunk) {
	b := delta.NewBuilder(ch.Types())
	for k := range ch.Len() {
		i := ch.Row(k)
		b.AppendRow(ch, i, 1)
	}
	own := b.Take()
	c.bytes += int64(own.SizeBytes())
	for k := range ch.Len() {
		for range ch.Weight(ch.Row(k)) {
			c.kept = append(c.kept, keptRow{own, int32(k)})
		}
	}
}

// forget lets go of what a cursor that cannot go back has left behind.
func (c *cursor) forget() {
	if c.back {
		return
	}
	n := min(max(c.pos-1-c.first, 0), int64(len(c.kept)))
	if n < delta.BatchRows && n < int64(len(c.kept)) {
		return
	}
	c.kept = slices.Clone(c.kept[n:])
	c.first += n
	c.bytes = 0
}

// run moves the cursor as FETCH says and returns the rows passed, in that order.
func (c *cursor) run(ctx context.Context, s *Session, x *parser.FetchStmt) ([]int64, error) {
	kind, n := x.Kind, x.Count
	switch {
	case kind == parser.FetchAbsolute:
		return c.to(ctx, s, n)
	case kind == parser.FetchRelative:
		return c.by(ctx, s, n)
	case kind == parser.FetchBackward && x.All:
		return c.walk(ctx, s, c.pos, false)
	case x.All:
		return c.walk(ctx, s, -1, true)
	case kind == parser.FetchBackward:
		n = -n
	}
	switch {
	case n == 0:
		return c.by(ctx, s, 0)
	case n < 0:
		return c.walk(ctx, s, -n, false)
	}
	return c.walk(ctx, s, n, true)
}

func (c *cursor) onlyForward() error {
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "cursor can only scan forward").
		WithHint("Declare it with SCROLL option to enable backward scan.")
}

// walk passes n rows; forward with a negative n passes all.
func (c *cursor) walk(ctx context.Context, s *Session, n int64, forward bool) ([]int64, error) {
	var out []int64
	if !forward {
		if !c.back {
			return nil, c.onlyForward()
		}
		for ; n > 0 && c.pos > 1; n-- {
			c.pos--
			out = append(out, c.pos)
		}
		if n > 0 {
			c.pos = 0
		}
		return out, nil
	}
	to := int64(-1)
	if n >= 0 && c.pos <= 1<<62-n {
		to = c.pos + n
	}
	if err := c.need(ctx, s, to); err != nil {
		return nil, err
	}
	for n != 0 && c.pos < c.read() {
		c.pos++
		n--
		out = append(out, c.pos)
	}
	if n != 0 {
		c.pos = c.read() + 1
	}
	return out, nil
}

// to goes to a row by its number, from the end if that is negative.
func (c *cursor) to(ctx context.Context, s *Session, n int64) ([]int64, error) {
	if n < 0 {
		if err := c.need(ctx, s, -1); err != nil {
			return nil, err
		}
		n = max(c.read()+1+n, 0)
	} else if err := c.need(ctx, s, n); err != nil {
		return nil, err
	}
	if !c.back && (n < c.pos || n == c.pos && n > 0) {
		return nil, c.onlyForward()
	}
	c.pos = min(n, c.read()+1)
	if c.pos == 0 || c.pos > c.read() {
		return nil, nil
	}
	return []int64{c.pos}, nil
}

func (c *cursor) by(ctx context.Context, s *Session, n int64) ([]int64, error) {
	if !c.back && (n < 0 || n == 0 && c.pos > 0 && c.pos <= c.read()) {
		return nil, c.onlyForward()
	}
	if n == 0 {
		if c.pos == 0 || c.pos > c.read() {
			return nil, nil
		}
		return []int64{c.pos}, nil
	}
	to := c.pos + n
	if to <= 0 {
		c.pos = 0
		return nil, nil
	}
	return c.to(ctx, s, to)
}

// fetch runs FETCH and MOVE.
func (s *Session) fetch(ctx context.Context, x *parser.FetchStmt) (pgwire.Rows, error) {
	if f := s.followers[x.Cursor]; f != nil {
		return s.fetchFollowed(f, x)
	}
	c := s.cursors[x.Cursor]
	if c == nil {
		return nil, noCursor(x.Cursor)
	}
	if c.broken {
		return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "portal %q cannot be run", c.name)
	}
	at, err := c.run(ctx, s, x)
	if err != nil {
		c.broken = true
		return nil, err
	}
	defer c.forget()
	if x.Move {
		return &done{tag: fmt.Sprintf("MOVE %d", len(at))}, nil
	}
	types := make([]sqltypes.Type, len(c.columns))
	for i := range types {
		types[i] = c.columns[i].Type
	}
	out := &done{tag: fmt.Sprintf("FETCH %d", len(at))}
	b := delta.NewBuilder(types)
	for _, n := range at {
		k := c.kept[n-1-c.first]
		b.AppendRow(k.c, int(k.i), 1)
		if b.Len() == delta.BatchRows {
			out.chunks = append(out.chunks, b.Take())
		}
	}
	if rest := b.Take(); rest != nil {
		out.chunks = append(out.chunks, rest)
	}
	return out, nil
}

func noCursor(name string) error {
	return sqlerr.New(sqlerr.InvalidCursorName, "cursor %q does not exist", name)
}

// closeNamed runs CLOSE.
func (s *Session) closeNamed(x *parser.CloseStmt) (pgwire.Rows, error) {
	if x.Name == "" {
		s.closeCursors()
		s.closeFollowers()
		return &done{tag: "CLOSE CURSOR ALL"}, nil
	}
	if s.followers[x.Name] != nil {
		s.closeFollower(x.Name)
		return &done{tag: "CLOSE CURSOR"}, nil
	}
	if s.cursors[x.Name] == nil {
		return nil, noCursor(x.Name)
	}
	s.closeCursor(x.Name)
	return &done{tag: "CLOSE CURSOR"}, nil
}

func (s *Session) closeCursor(name string) {
	if c := s.cursors[name]; c.rows != nil {
		c.rows.Close()
	}
	delete(s.cursors, name)
}

func (s *Session) closeCursors() {
	for n := range s.cursors {
		s.closeCursor(n)
	}
}

// holdCursors reads the rows of cursors that outlive the transaction.
func (s *Session) holdCursors(ctx context.Context) error {
	for _, c := range s.cursors {
		if c.hold && !c.held {
			if err := c.need(ctx, s, -1); err != nil {
				return err
			}
		}
	}
	return nil
}

// endCursors closes the cursors of a transaction that has ended. committed: those WITH HOLD stay.
func (s *Session) endCursors(committed bool) {
	for n, c := range s.cursors {
		c.held = c.held || committed && c.hold
		if !c.held {
			s.closeCursor(n)
		}
	}
}

// Cursor implements pgwire.Session.
func (s *Session) Cursor(name string) ([]pgwire.Column, bool) {
	c := s.cursors[name]
	if c == nil {
		return nil, false
	}
	return c.columns, true
}

// CursorInfo describes a cursor for pg_cursors.
type CursorInfo struct {
	Name, Statement          string
	Holdable, Binary, Scroll bool
	Created                  time.Time
}

// Cursors lists the session's cursors by name.
func (s *Session) Cursors() []CursorInfo {
	var out []CursorInfo
	for _, c := range s.cursors {
		out = append(out, CursorInfo{c.name, c.query, c.hold, c.binary, c.back, c.made})
	}
	for _, f := range s.followers {
		out = append(out, CursorInfo{f.name, f.query, !f.block, false, false, f.made})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
