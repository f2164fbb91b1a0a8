package stream

import (
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// distinctSet counts, per group and value of an argument list, the rows that each DISTINCT aggregate over
// those arguments has seen; the aggregates (which differ in their FILTER) share one look-up. Only a count's
// rise above 0 and its fall to 0 reach an aggregate.
//
// Inside an epoch a count may be negative; what was passed on then is made good by the time of the barrier.
type distinctSet struct {
	tag    []byte
	args   []row.KeyCol
	hint   int
	calls  []*aggCall
	values *state.Map
	moved  []moves // by call, for the running chunk
	key    []byte
}

// moves are the rows of a chunk that make a value appear (+1) or disappear (−1).
type moves struct {
	rows    []int32
	slots   []uint32
	weights []int64 // by physical row
	minus   bool
}

func newDistinctSet(index int, c *aggCall, in []sqltypes.Type) *distinctSet {
	s := &distinctSet{tag: binary.AppendUvarint([]byte{tagDistinct}, uint64(index)), args: row.Cols(c.n.Args...), hint: 12}
	for _, i := range c.n.Args {
		s.hint += keyHint(in[i])
	}
	s.calls = []*aggCall{c}
	return s
}

// add takes an aggregate into the set if it has the same arguments.
func (s *distinctSet) add(c *aggCall) bool {
	first := s.calls[0]
	if !slices.Equal(first.n.Args, c.n.Args) || first.fn.IgnoresNulls != c.fn.IgnoresNulls {
		return false
	}
	s.calls = append(s.calls, c)
	return true
}

func (s *distinctSet) open(cfg state.Config) {
	s.values = state.NewMap(cfg, s.hint, 8*len(s.calls))
	s.moved = make([]moves, len(s.calls))
}

// fold counts the rows of a chunk and passes on what appears and disappears.
func (s *distinctSet) fold(a *hashAgg, st *expr.States, c *delta.Chunk, slots []uint32) error {
	for i := range s.moved {
		s.moved[i].reset(c.Rows)
	}
	for k, slot := range slots {
		i := c.Row(k)
		if s.calls[0].fn.IgnoresNulls && c.Cols[s.args[0].Col].IsNull(i) {
			continue
		}
		if err := s.count(a, c, i, slot, a.batch.Key(k)); err != nil {
			return err
		}
	}
	for i, call := range s.calls {
		m := &s.moved[i]
		if len(m.rows) == 0 {
			continue
		}
		weights := m.weights
		if !m.minus {
			weights = nil
		}
		if err := call.update(a, st, c, m.slots, m.rows, weights); err != nil {
			return err
		}
	}
	return nil
}

// count adds row i, of a group, to the counts of its value.
func (s *distinctSet) count(a *hashAgg, c *delta.Chunk, i int, slot uint32, group []byte) error {
	any := false
	for _, call := range s.calls {
		any = any || call.passes(c, i)
	}
	if !any {
		return nil
	}
	s.key = row.AppendKey(append(append(s.key[:0], s.tag...), group...), c.Cols, s.args, i)
	v, _, err := s.values.Upsert(key.Hash(s.key), a.groups.VNode(slot), s.key)
	if err != nil {
		return err
	}
	counts := s.values.Value(v)
	w, rest := c.Weight(i), int64(0)
	for j, call := range s.calls {
		p := counts[8*j:]
		old := int64(binary.LittleEndian.Uint64(p))
		now := old
		if call.passes(c, i) {
			now += w
			binary.LittleEndian.PutUint64(p, uint64(now))
			s.moved[j].add(int32(i), slot, old, now)
		}
		rest |= now
	}
	s.values.MarkDirty(v)
	if rest == 0 {
		s.values.Delete(v)
	}
	return nil
}

func (m *moves) reset(rows int) {
	m.rows, m.slots, m.minus = m.rows[:0], m.slots[:0], false
	if len(m.weights) < rows {
		m.weights = make([]int64, rows)
	}
}

func (m *moves) add(i int32, slot uint32, old, now int64) {
	if (old > 0) == (now > 0) {
		return
	}
	m.rows, m.slots = append(m.rows, i), append(m.slots, slot)
	m.weights[i] = 1
	if now <= 0 {
		m.weights[i] = -1
		m.minus = true
	}
}
