package stream

import (
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// maxOneRow is a scalar subquery: the one row of its input, or a row of NULLs when there is none. More than
// one row is an error of the data: it is reported, and the row is NULLs for as long as it lasts.
type maxOneRow struct {
	env     *Env
	types   []sqltypes.Type
	rows    *state.OrderedMap // entries: image
	ready   bool
	shown   bool   // a row has been emitted
	current []byte // its image; nil: NULLs
	failed  bool   // it stands for several rows
	image   []byte
}

func newMaxOneRow(n *plan.MaxOneRow, env *Env) (Operator, error) {
	return &maxOneRow{env: env, types: plan.Types(n), rows: state.NewOrderedMap(env.Table(n.State))}, nil
}

// open brings the state back: what was emitted before a restart follows from it.
func (m *maxOneRow) open() error {
	if m.ready {
		return nil
	}
	m.ready = true
	if err := m.rows.Ensure(m.env.SingletonVNode, nil); err != nil {
		return err
	}
	if m.shown = !m.env.isNew(); m.shown {
		m.current, m.failed = m.read()
	}
	return nil
}

// OnDelta implements Operator.
func (m *maxOneRow) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	if err := m.open(); err != nil {
		return err
	}
	for k := range c.Len() {
		i := c.Row(k)
		m.image = row.AppendImage(m.image[:0], c.Cols, nil, i)
		addEntry(m.rows, m.env.SingletonVNode, m.image, len(m.image), c.Weight(i))
	}
	return nil
}

// read returns the image to show, nil for NULLs, and whether there is more than one row.
func (m *maxOneRow) read() (image []byte, several bool) {
	n := int64(0)
	m.rows.Ascend(nil, nil, func(k, v []byte) bool {
		if n += entryWeight(v); n == 1 {
			image = append([]byte{}, k...)
		}
		return n <= 1
	})
	if n > 1 {
		return nil, true
	}
	return image, false
}

// OnBarrier implements Operator.
func (m *maxOneRow) OnBarrier(_ Barrier, emit Emit) error {
	if !m.env.owns(m.env.SingletonVNode) {
		return nil
	}
	if err := m.open(); err != nil {
		return err
	}
	image, failed := m.read()
	if failed != m.failed {
		w := int64(1)
		if m.failed {
			w = -1
		}
		m.env.fail(w, sqlerr.New(sqlerr.CardinalityViolation, "more than one row returned by a subquery used as an expression"))
	}
	same := m.shown && (image == nil) == (m.current == nil) && string(image) == string(m.current)
	out := delta.NewBuilder(m.types)
	if !same {
		if m.shown {
			if err := m.put(out, m.current, -1); err != nil {
				return err
			}
		}
		if err := m.put(out, image, 1); err != nil {
			return err
		}
	}
	m.shown, m.current, m.failed = true, image, failed
	return emitRest(out, emit)
}

func (m *maxOneRow) put(out *delta.Builder, image []byte, w int64) error {
	vecs := make([]*delta.Vec, len(m.types))
	for i := range vecs {
		vecs[i] = out.Col(i)
		if image == nil {
			vecs[i].AppendNull()
		}
	}
	if image != nil {
		if err := decodeImage(image, m.types, vecs); err != nil {
			return err
		}
	}
	out.EndRow(w)
	return nil
}

// Flush implements Operator.
func (m *maxOneRow) Flush(d *state.Delta) { m.rows.Flush(d) }

// Stats implements Operator.
func (m *maxOneRow) Stats() state.Stats { return m.rows.Stats() }
