package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/row"
)

// setOp is INTERSECT and EXCEPT: each distinct row has a weight on either side, and shows as often as those
// two numbers say. Rows that are equal count as one, and the first of them stands for all.
type setOp struct {
	env     *Env
	except  bool
	all     bool
	key     []row.KeyCol
	cols    *groupColumns
	rows    *state.Map // value: weight left, weight right
	batch   row.Batch
	mark    []uint32 // by slot: position in touched + 1
	touched []touchedSlot
	close   *setClose // nil: no watermark says when a row is done with
	out     *delta.Builder
}

// touchedSlot is a row that the epoch touched, and how often it showed before.
type touchedSlot struct {
	slot uint32
	old  int64
}

func newSetOp(n *plan.SetOp, env *Env) (Operator, error) {
	types := plan.Types(n.Left)
	cols := make([]int, len(types))
	hint := 0
	for i := range cols {
		cols[i] = i
		hint += keyHint(types[i])
	}
	cfg := env.Table(n.State)
	return &setOp{env: env, except: n.Except, all: n.All, key: row.Cols(cols...), cols: newGroupColumns(cols, types, cfg),
		rows: state.NewMap(cfg, hint, 16), close: newSetClose(n, types), out: delta.NewBuilder(types)}, nil
}

// OnDelta implements Operator.
func (s *setOp) OnDelta(port int, c *delta.Chunk, _ Emit) error {
	if s.close != nil {
		if err := s.loadAll(); err != nil {
			return err
		}
	}
	s.batch.Fill(c, s.key)
	for k := range c.Len() {
		i := c.Row(k)
		vnode := s.batch.VNode(k)
		slot, created, err := s.rows.Upsert(s.batch.Hashes[k], vnode, s.batch.Key(k))
		if err != nil {
			return err
		}
		if created {
			if s.close != nil {
				s.close.created(slot, c, i)
			}
			if err := s.cols.created(vnode, s.batch.Key(k), c, i); err != nil {
				return err
			}
		}
		s.touch(slot)
		p := s.rows.Value(slot)[8*port:]
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)+uint64(c.Weight(i)))
	}
	return nil
}

func (s *setOp) touch(slot uint32) {
	for int(slot) >= len(s.mark) {
		s.mark = append(s.mark, make([]uint32, len(s.mark)+1024)...)
	}
	if s.mark[slot] == 0 {
		s.touched = append(s.touched, touchedSlot{slot, s.shows(slot)})
		s.mark[slot] = uint32(len(s.touched))
		s.rows.MarkDirty(slot)
	}
}

func (s *setOp) weights(slot uint32) (l, r int64) {
	p := s.rows.Value(slot)
	return int64(binary.LittleEndian.Uint64(p)), int64(binary.LittleEndian.Uint64(p[8:]))
}

// shows returns how often a row is in the result.
func (s *setOp) shows(slot uint32) int64 {
	l, r := s.weights(slot)
	n := min(l, r)
	if s.except {
		n = l - r
		if !s.all && r > 0 {
			n = 0
		}
	}
	if s.all {
		return max(n, 0)
	}
	return min(max(n, 0), 1)
}

// OnBarrier implements Operator.
func (s *setOp) OnBarrier(_ Barrier, emit Emit) error {
	vecs := make([]*delta.Vec, len(s.key))
	for _, t := range s.touched {
		s.mark[t.slot] = 0
		vnode, k := s.rows.VNode(t.slot), s.rows.Key(t.slot)
		if w := s.shows(t.slot) - t.old; w != 0 {
			for i := range vecs {
				vecs[i] = s.out.Col(i)
			}
			if err := s.cols.append(vnode, k, vecs); err != nil {
				return err
			}
			s.out.EndRow(w)
			if s.out.Len() >= delta.BatchRows {
				if err := emit(s.out.Take()); err != nil {
					return err
				}
			}
		}
		if l, r := s.weights(t.slot); l == 0 && r == 0 {
			if err := s.cols.deleted(vnode, k); err != nil {
				return err
			}
			s.rows.Delete(t.slot)
		}
	}
	s.touched = s.touched[:0]
	if err := emitRest(s.out, emit); err != nil || s.close == nil {
		return err
	}
	return s.closeRows()
}

// Flush implements Operator.
func (s *setOp) Flush(d *state.Delta) {
	s.cols.flush(d)
	s.rows.Flush(d)
}

// Stats implements Operator.
func (s *setOp) Stats() state.Stats {
	st := s.rows.Stats()
	addStats(&st, s.cols.stats())
	return st
}
