package stream

import (
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// maxOneRow is a scalar subquery: the one row of its input, or a row of NULLs when there is none. Of a
// correlated subquery each partition is such an input; a partition without rows shows nothing.
//
// More than one row is an error of the data: it is reported, and for as long as it lasts the partition's row
// is NULLs (but for the partition's own columns, so that what is joined by them finds it).
type maxOneRow struct {
	env     *Env
	scalar  bool
	types   []sqltypes.Type
	part    []row.KeyCol
	exact   bool // equal partition columns are identical
	rows    *state.MultiMap
	started bool // scalar: the first barrier has passed
	batch   row.Batch
	mark    []bool // by bucket: changed in this epoch
	touched []shownBefore
	image   []byte
	vecs    []*delta.Vec // reused
	out     *delta.Builder
}

// oneRow is what a partition shows: a stored row, NULLs instead of several rows, or nothing (NoSlot). Stored
// rows can be read until the flush after the barrier.
type oneRow struct {
	row     uint32
	several bool
}

// shownBefore is a partition that changed, and what it showed before the epoch.
type shownBefore struct {
	bucket uint32
	old    oneRow
}

var noRow = oneRow{row: state.NoSlot}

func newMaxOneRow(n *plan.MaxOneRow, env *Env) (Operator, error) {
	m := &maxOneRow{env: env, scalar: len(n.PartitionBy) == 0, types: plan.Types(n), part: row.Cols(n.PartitionBy...), exact: true}
	hint := 0
	for _, c := range n.PartitionBy {
		hint += keyHint(m.types[c])
		m.exact = m.exact && sqlio.KeyIsExact(m.types[c])
	}
	m.rows = state.NewMultiMap(env.Table(n.State), hint, env.appendOnly(n.Input), uint64(env.StartEpoch)<<20)
	m.out = delta.NewBuilder(m.types)
	m.vecs = make([]*delta.Vec, len(m.types))
	return m, nil
}

// OnDelta implements Operator.
func (m *maxOneRow) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	m.batch.Fill(c, m.part)
	for k := range c.Len() {
		i, hash := c.Row(k), m.batch.Hashes[k]
		vnode := m.vnode(hash)
		b, err := m.rows.Find(hash, vnode, m.batch.Key(k))
		if err != nil {
			return err
		}
		old := noRow
		known := b != state.NoSlot && int(b) < len(m.mark) && m.mark[b]
		if b != state.NoSlot && !known {
			old = m.read(b)
		}
		m.image = row.AppendImage(m.image[:0], c.Cols, nil, i)
		if b, _, _, err = m.rows.Add(hash, vnode, m.batch.Key(k), m.image, c.Weight(i)); err != nil {
			return err
		}
		if !known {
			m.touch(b, old)
		}
	}
	return nil
}

func (m *maxOneRow) vnode(hash uint64) uint16 {
	if m.scalar {
		return m.env.SingletonVNode
	}
	return uint16(hash % row.VNodes)
}

func (m *maxOneRow) touch(b uint32, old oneRow) {
	for int(b) >= len(m.mark) {
		m.mark = append(m.mark, make([]bool, len(m.mark)+1024)...)
	}
	m.mark[b] = true
	m.touched = append(m.touched, shownBefore{b, old})
}

// read returns what a bucket shows, at an epoch's boundary. Of several rows any one gives the partition's
// columns, unless equal ones can look different: then it is the row with the lowest image.
func (m *maxOneRow) read(b uint32) oneRow {
	first := m.rows.First(b)
	if first == state.NoSlot || m.rows.Next(first) == state.NoSlot && m.rows.Weight(first) == 1 {
		return oneRow{row: first}
	}
	if !m.exact {
		for r := m.rows.Next(first); r != state.NoSlot; r = m.rows.Next(r) {
			if string(m.rows.Image(r)) < string(m.rows.Image(first)) {
				first = r
			}
		}
	}
	return oneRow{first, true}
}

// OnBarrier implements Operator.
func (m *maxOneRow) OnBarrier(_ Barrier, emit Emit) error {
	begins := m.scalar && !m.started && m.env.isNew()
	m.started = true
	if begins && len(m.touched) == 0 && m.env.owns(m.env.SingletonVNode) {
		if err := m.put(noRow, 1, emit); err != nil {
			return err
		}
	}
	for _, t := range m.touched {
		m.mark[t.bucket] = false
		if err := m.change(t.old, m.read(t.bucket), begins, emit); err != nil {
			return err
		}
	}
	m.touched = m.touched[:0]
	return emitRest(m.out, emit)
}

// change emits the difference between what a partition showed and shows; begins: it showed nothing at all.
func (m *maxOneRow) change(old, now oneRow, begins bool, emit Emit) error {
	if old.several != now.several {
		w := int64(1)
		if old.several {
			w = -1
		}
		m.env.fail(w, sqlerr.New(sqlerr.CardinalityViolation, "more than one row returned by a subquery used as an expression"))
	}
	if !begins {
		if old == now || old.several && now.several && m.exact {
			return nil
		}
		if err := m.put(old, -1, emit); err != nil {
			return err
		}
	}
	return m.put(now, 1, emit)
}

// put adds what is shown to the output.
func (m *maxOneRow) put(x oneRow, w int64, emit Emit) error {
	if x.row == state.NoSlot && !m.scalar {
		return nil
	}
	for i := range m.vecs {
		m.vecs[i] = m.out.Col(i)
		if x.row == state.NoSlot || x.several && !m.partitions(i) {
			m.vecs[i].AppendNull()
			m.vecs[i] = nil // not to be read from the image
		}
	}
	if x.row != state.NoSlot {
		if err := decodeImage(m.rows.Image(x.row), m.types, m.vecs); err != nil {
			return err
		}
	}
	m.out.EndRow(w)
	if m.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(m.out.Take())
}

func (m *maxOneRow) partitions(col int) bool {
	return slices.ContainsFunc(m.part, func(k row.KeyCol) bool { return k.Col == col })
}

// Flush implements Operator.
func (m *maxOneRow) Flush(d *state.Delta) { m.rows.Flush(d) }

// Stats implements Operator.
func (m *maxOneRow) Stats() state.Stats { return m.rows.Stats() }
