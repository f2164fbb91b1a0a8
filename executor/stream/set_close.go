package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// setClose forgets the rows of a set operation that a watermark has passed on both sides: how often they are there does not change any more.
// After a restart all rows are loaded at once: only those are left that are still open.
type setClose struct {
	*closing // marks: the lower of the sides'
	sides    [2]*closedBy
	vecs     []*delta.Vec
}

// newSetClose returns nil when no column has a watermark on both sides.
func newSetClose(n *plan.SetOp, types []sqltypes.Type) *setClose {
	cols := plan.MarkCols(n)
	if len(cols) == 0 {
		return nil
	}
	cols = cols[:1]
	return &setClose{closing: newClosing(cols), sides: [2]*closedBy{newClosedBy(cols), newClosedBy(cols)}, vecs: newVecs(types)}
}

// OnWatermarks implements Watermarker.
func (s *setOp) OnWatermarks(port int, m Marks) {
	if s.close != nil {
		s.close.sides[port].set(m)
	}
}

// created notes a row that is new in state, row i of c.
func (x *setClose) created(slot uint32, c *delta.Chunk, i int) {
	if v := c.Cols[x.cols[0]]; !v.IsNull(i) {
		x.add(v.Ints[i], slot)
	}
}

// value reads the watermark column of a slot; not ok: it is NULL.
func (s *setOp) value(slot uint32) (v int64, ok bool, err error) {
	x := s.close
	clearVecs(x.vecs)
	if err := s.cols.append(s.rows.VNode(slot), s.rows.Key(slot), x.vecs); err != nil {
		return 0, false, err
	}
	c := x.vecs[x.cols[0]]
	return c.Ints[0], !c.IsNull(0), nil
}

func (s *setOp) loadAll() error {
	if s.rows.Complete() {
		return nil
	}
	if err := s.rows.LoadWhere(s.env.owns, func(k []byte) bool { return len(k) > 0 && k[0] < tagImage }); err != nil {
		return err
	}
	var slots []uint32
	s.rows.Each(func(slot uint32) { slots = append(slots, slot) })
	for _, slot := range slots {
		if v, ok, err := s.value(slot); err != nil {
			return err
		} else if ok {
			s.close.add(v, slot)
		}
	}
	return nil
}

// closeRows forgets what both watermarks have passed.
func (s *setOp) closeRows() error {
	x := s.close
	least := min(x.sides[0].marks[0], x.sides[1].marks[0])
	if least == NoMark || least == x.marks[0] {
		return nil
	}
	x.marks[0] = least
	if err := s.loadAll(); err != nil {
		return err
	}
	return x.due(func(at int64, slots []uint32) error {
		for _, slot := range slots {
			// The number may have passed to another row meanwhile.
			if !s.rows.Live(slot) {
				continue
			}
			if v, ok, err := s.value(slot); err != nil {
				return err
			} else if !ok || v != at {
				continue
			}
			if err := s.cols.deleted(s.rows.VNode(slot), s.rows.Key(slot)); err != nil {
				return err
			}
			s.rows.Delete(slot)
		}
		return nil
	})
}
