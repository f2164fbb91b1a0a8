package job

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// resolve turns the epoch's commands into changes: per key the last command counts, and the stored row, if
// any, is what it replaces.
func (m *materialize) resolve(set *change.Set) ([]*delta.Chunk, error) {
	if m.cmds.empty() {
		return nil, nil
	}
	view, err := m.tables.Latest(m.rel.ID)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	r := &resolution{m: m, view: view, set: set}
	if m.cmds.truncated {
		if err := r.deleteOthers(); err != nil {
			return nil, err
		}
	}
	for _, k := range m.cmds.order {
		if err := r.command([]byte(k), m.cmds.last[k]); err != nil {
			return nil, err
		}
		if m.out.Len() >= delta.BatchRows {
			r.chunks = append(r.chunks, m.out.Take())
		}
	}
	m.cmds.reset()
	return m.last(r.chunks), nil
}

// resolution is one epoch's commands on their way into the table.
type resolution struct {
	m         *materialize
	view      *table.View
	set       *change.Set
	chunks    []*delta.Chunk
	full, val []byte
}

func (r *resolution) stored(vnode uint16, k []byte) ([]byte, bool, error) {
	r.full = append(key.AppendPrefix(r.full[:0], uint32(r.m.rel.ID), vnode), k...)
	return r.view.Get(r.m.rel.ID, r.full)
}

func (r *resolution) command(k []byte, cmd command) error {
	m, c, i := r.m, cmd.c, cmd.row
	vnode := m.layout.VNode(c.Cols, i)
	stored, had, err := r.stored(vnode, k)
	if err != nil || !had && !cmd.put || had && cmd.put && m.cmds.keepOld {
		return err
	}
	var old *delta.Chunk
	if had {
		if old, err = m.layout.DecodeRow(stored); err != nil {
			return err
		}
	}
	if cmd.put {
		if cmd.keep != nil {
			if c, err = r.completed(vnode, cmd, old); err != nil {
				return err
			}
			i = 0
		}
		r.val = m.layout.AppendValue(r.val[:0], c.Cols, i, 1)
	}
	if had {
		if cmd.put && string(stored) == string(r.val) {
			return nil
		}
		m.out.AppendRow(old, 0, -1)
	}
	if cmd.put {
		m.out.AppendRow(c, i, 1)
		r.set.Put(uint32(m.rel.ID), vnode, k, r.val)
	} else {
		r.set.Delete(uint32(m.rel.ID), vnode, k)
	}
	return nil
}

// completed fills in what a command keeps: from the row stored under its own key, or under the one that it had before.
func (r *resolution) completed(vnode uint16, cmd command, old *delta.Chunk) (*delta.Chunk, error) {
	if cmd.from != "" {
		stored, had, err := r.stored(vnode, []byte(cmd.from))
		if old = nil; err != nil {
			return nil, err
		}
		if had {
			if old, err = r.m.layout.DecodeRow(stored); err != nil {
				return nil, err
			}
		}
	}
	if r.m.cmds.truncated {
		old = nil
	}
	return patch(cmd.c, cmd.row, cmd.keep, old, 0), nil
}

// deleteOthers removes every stored row that no command of the epoch names.
func (r *resolution) deleteOthers() error {
	m := r.m
	rows := key.TableRange(uint32(m.rel.ID))
	var bad error
	err := r.view.Scan(m.rel.ID, rows.Lo, rows.Hi, func(full, val []byte) bool {
		_, vnode, k, err := key.Split(full)
		if err != nil {
			bad = err
			return false
		}
		if _, named := m.cmds.last[string(k)]; named {
			return true
		}
		old, err := m.layout.DecodeRow(val)
		if err != nil {
			bad = err
			return false
		}
		m.out.AppendRow(old, 0, -1)
		r.set.Delete(uint32(m.rel.ID), vnode, k)
		if m.out.Len() >= delta.BatchRows {
			r.chunks = append(r.chunks, m.out.Take())
		}
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}

// take files rows of a captured table.
func (m *materialize) take(c *delta.Chunk) error {
	n := len(m.rel.Columns)
	control := c.Cols[n]
	c = c.WithCols(c.Cols[:n])
	if m.mode == upserting {
		m.cmds.add(c, control)
		return nil
	}
	if control.HasNulls() && control.CountNulls() == control.Len() {
		m.cons.Add(c)
		return nil
	}
	var sel []int32
	for j := range c.Len() {
		i := c.Row(j)
		if !control.IsNull(i) && control.Bytes(i)[0] == connector.ControlTruncate {
			m.cons.Reset()
			m.truncated, sel = true, sel[:0]
			continue
		}
		sel = append(sel, int32(i))
	}
	if len(sel) > 0 {
		m.cons.Add(c.WithSel(sel))
	}
	return nil
}

// bagAnew replaces all stored rows of a table without a key by those that came since it was truncated.
func (m *materialize) bagAnew(set *change.Set) ([]*delta.Chunk, error) {
	m.truncated = false
	net := stream.NewConsolidator(nil) // what changes for readers
	if err := m.removeStored(set, net); err != nil {
		return nil, err
	}
	var chunks []*delta.Chunk
	var val []byte
	err := m.cons.Net(func(k []byte, hash uint64, rows []stream.NetRow) error {
		r := rows[0]
		chunks = m.emit(chunks, r)
		return m.weighRow(set, m.layout.VNode(r.Chunk.Cols, r.Row), k, hash, r, &val)
	})
	m.cons.Reset()
	if err != nil {
		return nil, err
	}
	for _, c := range m.last(chunks) {
		net.Add(c)
	}
	chunks = nil
	err = net.Net(func(_ []byte, _ uint64, rows []stream.NetRow) error {
		chunks = m.emit(chunks, rows[0])
		return nil
	})
	return m.last(chunks), err
}

// removeStored removes every stored row of a table without a key, in whatever form it is stored, and adds what goes to net.
func (m *materialize) removeStored(set *change.Set, net *stream.Consolidator) error {
	view, err := m.tables.Latest(m.rel.ID)
	if err != nil {
		return err
	}
	defer view.Close()
	rows := key.TableRange(uint32(m.rel.ID))
	var bad error
	err = view.Scan(m.rel.ID, rows.Lo, rows.Hi, func(full, val []byte) bool {
		_, vnode, k, err := key.Split(full)
		if err != nil {
			bad = err
			return false
		}
		old, err := m.layout.DecodeRow(val)
		if err != nil {
			bad = err
			return false
		}
		s, _, err := m.counts.Upsert(key.Hash(k), vnode, k)
		if err != nil {
			bad = err
			return false
		}
		m.counts.Delete(s)
		set.Delete(uint32(m.rel.ID), vnode, k)
		net.Add(old.Negate())
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}

// commands collects an epoch's upserts and deletes and keeps, per key, the last.
type commands struct {
	keyCols   []row.KeyCol
	keepOld   bool // ON CONFLICT ignore: a stored row wins, and so does the first of several
	last      map[string]command
	order     []string
	truncated bool // all rows stored before are gone
	// The last delete: its key, and what it replaced in last.
	gone     string
	goneFrom command
}

// command is what becomes of a key's row.
type command struct {
	c   *delta.Chunk
	row int
	put bool
	// keep: the columns set (connector.ControlKeep) are those of the row stored under the key from; "": under its own.
	keep []byte
	from string
}

func newCommands(l *Layout, keepOld bool) commands {
	return commands{keyCols: l.Key, keepOld: keepOld, last: map[string]command{}}
}

func (x *commands) empty() bool { return len(x.order) == 0 && !x.truncated }

// add files the rows of a chunk. control, nil for what is not captured, says what is special about them.
func (x *commands) add(c *delta.Chunk, control *delta.Vec) {
	var k []byte
	for j := range c.Len() {
		i := c.Row(j)
		cmd := command{c: c, row: i, put: c.Weight(i) > 0}
		what := byte(0)
		if control != nil && !control.IsNull(i) {
			what = control.Bytes(i)[0]
		}
		if what == connector.ControlTruncate {
			x.reset()
			x.truncated = true
			continue
		}
		k = row.AppendKey(k[:0], c.Cols, x.keyCols, i)
		prev, seen := x.last[string(k)]
		switch {
		case !seen:
			x.order = append(x.order, string(k))
		case x.keepOld && cmd.put && prev.put:
			continue
		}
		switch what {
		case connector.ControlKeep:
			cmd.keepFrom(control.Bytes(i)[1:], prev, seen, "")
		case connector.ControlMove:
			cmd.keepFrom(control.Bytes(i)[1:], x.goneFrom, x.goneFrom.c != nil, x.gone)
		}
		if !cmd.put && control != nil {
			x.gone, x.goneFrom = string(k), prev
		}
		x.last[string(k)] = cmd
	}
}

// keepFrom makes a command keep columns: of the command that came before it, or of the row stored under from.
func (cmd *command) keepFrom(bitmap []byte, prev command, seen bool, from string) {
	if !seen {
		cmd.keep, cmd.from = bitmap, from
		return
	}
	if !prev.put {
		prev.c = nil
	}
	keep := make([]byte, len(bitmap))
	for b := range keep {
		if b < len(prev.keep) {
			keep[b] = bitmap[b] & prev.keep[b]
		}
	}
	cmd.c, cmd.row = patch(cmd.c, cmd.row, bitmap, prev.c, prev.row), 0
	if prev.keep != nil {
		cmd.keep, cmd.from = keep, prev.from
		if cmd.from == "" {
			cmd.from = from
		}
	}
}

// patch makes a row of c's, with the columns of a bitmap taken from row j of old; NULL where there is no old row.
func patch(c *delta.Chunk, i int, bitmap []byte, old *delta.Chunk, j int) *delta.Chunk {
	vecs := make([]*delta.Vec, len(c.Cols))
	for col, v := range c.Cols {
		vecs[col] = &delta.Vec{Type: v.Type}
		kept := col/8 < len(bitmap) && bitmap[col/8]&(1<<(col%8)) != 0
		switch {
		case !kept:
			vecs[col].AppendFrom(v, i)
		case old == nil:
			vecs[col].AppendNull()
		default:
			vecs[col].AppendFrom(old.Cols[col], j)
		}
	}
	return delta.NewChunk(vecs, nil, 1)
}

func (x *commands) reset() {
	clear(x.last)
	x.order = x.order[:0]
	x.truncated, x.gone, x.goneFrom = false, "", command{}
}
