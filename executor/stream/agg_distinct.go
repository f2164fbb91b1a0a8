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
// rise above 0 and its fall to 0 reach an aggregate. Of input that never retracts a byte says whether there was a row.
//
// In memory a key is the group's slot (4 bytes) and the value; in the store the group's key takes the slot's place.
// A slot passes to another group only after a flush, which takes the entries of the old one along.
//
// Inside an epoch a count may be negative; what was passed on then is made good by the time of the barrier.
type distinctSet struct {
	tag    []byte
	args   []row.KeyCol
	hint   int
	grows  bool // the input never retracts
	calls  []*aggCall
	values *state.Map
	moved  []moves // by call, for the running chunk
	batch  row.Batch
	rows   []int32  // by key of the batch
	slots  []uint32 // groups, likewise
	found  []uint32 // entries, likewise
	closes bool     // groups may be given up with all their values
	first  []uint32 // closes: by group, the first of its values, +1; next by value
	next   []uint32
}

// moves are the rows of a chunk that make a value appear (+1) or disappear (−1).
type moves struct {
	rows    []int32
	slots   []uint32
	weights []int64 // by physical row
	minus   bool
}

func newDistinctSet(index int, c *aggCall, in []sqltypes.Type, grows bool) *distinctSet {
	s := &distinctSet{tag: binary.AppendUvarint([]byte{tagDistinct}, uint64(index)), args: row.Cols(c.n.Args...), hint: slotWidth, grows: grows}
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

// slotWidth is the room of a group's slot in front of a value.
const slotWidth = 4

func (s *distinctSet) open(cfg state.Config, groups *state.Map) {
	width := 8 * len(s.calls)
	if s.grows {
		width = len(s.calls)
	}
	s.values = state.NewMap(cfg, s.hint, width)
	s.values.StoreKeys(func(dst, k []byte) []byte {
		dst = append(append(dst, s.tag...), groups.Key(binary.LittleEndian.Uint32(k))...)
		return append(dst, k[slotWidth:]...)
	})
	s.moved = make([]moves, len(s.calls))
}

// fold counts the rows of a chunk and passes on what appears and disappears.
func (s *distinctSet) fold(a *hashAgg, st *expr.States, c *delta.Chunk, slots []uint32) error {
	for i := range s.moved {
		s.moved[i].reset(c.Rows)
	}
	s.collect(c, slots)
	for k := range s.rows {
		if err := s.count(a, c, k); err != nil {
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

// collect makes the keys of the rows that some aggregate takes, and looks up where they may be.
func (s *distinctSet) collect(c *delta.Chunk, slots []uint32) {
	b := &s.batch
	b.Buf, b.Ends, b.Hashes = b.Buf[:0], b.Ends[:0], b.Hashes[:0]
	s.rows, s.slots = s.rows[:0], s.slots[:0]
	for k, slot := range slots {
		i := c.Row(k)
		if !s.takes(c, i) {
			continue
		}
		at := len(b.Buf)
		b.Buf = row.AppendKey(binary.LittleEndian.AppendUint32(b.Buf, slot), c.Cols, s.args, i)
		b.Ends, b.Hashes = append(b.Ends, int32(len(b.Buf))), append(b.Hashes, key.Hash(b.Buf[at:]))
		s.rows, s.slots = append(s.rows, int32(i)), append(s.slots, slot)
	}
	for len(s.found) < len(s.rows) {
		s.found = append(s.found, 0)
	}
	s.values.Candidates(b.Hashes, s.found)
}

func (s *distinctSet) takes(c *delta.Chunk, i int) bool {
	if s.calls[0].fn.IgnoresNulls && c.Cols[s.args[0].Col].IsNull(i) {
		return false
	}
	for _, call := range s.calls {
		if call.passes(c, i) {
			return true
		}
	}
	return false
}

// count adds the k-th row of the batch to the counts of its value.
func (s *distinctSet) count(a *hashAgg, c *delta.Chunk, k int) error {
	i, slot := int(s.rows[k]), s.slots[k]
	v, created, err := s.values.UpsertAt(s.found[k], s.batch.Hashes[k], a.groups.VNode(slot), s.batch.Key(k))
	if err != nil {
		return err
	}
	if created {
		s.link(slot, v)
	}
	counts := s.values.Value(v)
	if s.grows {
		for j, call := range s.calls {
			if counts[j] == 0 && call.passes(c, i) {
				counts[j] = 1
				s.moved[j].add(int32(i), slot, 0, 1)
				s.values.MarkDirty(v)
			}
		}
		return nil
	}
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
