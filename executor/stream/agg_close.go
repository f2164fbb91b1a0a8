package stream

import (
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// aggClose lets a hashAgg whose groups have a watermark give them up. Without EMIT ON WINDOW CLOSE a group that the
// watermark has passed is forgotten, as nothing can change it; with it, that is when it leaves, for the first and only time.
//
// After a restart all groups are loaded at once: only windows that are still open are left.
type aggClose struct {
	*closing
	groupAt []int // of each watermark column among the groups
	emits   bool
	waiting []uint32 // emits: due by the first column, not yet by all
}

// newAggClose returns nil for an aggregation without watermarks.
func newAggClose(n *plan.Agg) *aggClose {
	if n.Phase == plan.AggPartial || len(n.GroupBy) == 0 {
		return nil
	}
	x := &aggClose{emits: n.Close != nil}
	have := plan.MarkCols(n.Input)
	var cols []int
	for i, g := range n.GroupBy {
		if slices.Contains(have, g) {
			x.groupAt, cols = append(x.groupAt, i), append(cols, g)
		}
	}
	if cols == nil {
		return nil
	}
	x.closing = newClosing(cols)
	return x
}

// OnWatermarks implements Watermarker.
func (a *hashAgg) OnWatermarks(_ int, m Marks) {
	if a.close != nil {
		a.close.set(m)
	}
}

// created notes a new group, whose first row is row i of c.
func (x *aggClose) created(slot uint32, c *delta.Chunk, i int) {
	if v := c.Cols[x.cols[0]]; !v.IsNull(i) {
		x.add(v.Ints[i], slot)
	}
}

// loadAll brings all groups into memory after a restart.
func (a *hashAgg) loadAll() error {
	if a.groups.Complete() {
		return nil
	}
	if err := a.groups.LoadWhere(a.env.owns, func(k []byte) bool { return len(k) > 0 && k[0] < tagImage }); err != nil {
		return err
	}
	var slots []uint32
	a.groups.Each(func(s uint32) { slots = append(slots, s) })
	for _, s := range slots {
		clearVecs(a.keys)
		if err := a.cols.append(a.groups.VNode(s), a.groups.Key(s), a.keys); err != nil {
			return err
		}
		if v := a.keys[a.close.groupAt[0]]; !v.IsNull(0) {
			a.close.add(v.Ints[0], s)
		}
	}
	for _, set := range a.sets {
		if err := set.loadAll(a.groups, slots); err != nil {
			return err
		}
	}
	return nil
}

// closeGroups gives up, and with EMIT ON WINDOW CLOSE emits, the groups that watermarks have passed.
func (a *hashAgg) closeGroups(emit Emit) error {
	x := a.close
	if !x.takeMoved() {
		return nil
	}
	if err := a.loadAll(); err != nil {
		return err
	}
	waiting := x.waiting
	x.waiting = nil
	if err := a.closeSome(waiting, emit); err != nil {
		return err
	}
	return x.due(func(_ int64, slots []uint32) error { return a.closeSome(slots, emit) })
}

func (a *hashAgg) closeSome(slots []uint32, emit Emit) error {
	for len(slots) > 0 {
		n := min(len(slots), delta.BatchRows)
		closed, err := a.passed(slots[:n])
		if err != nil {
			return err
		}
		if err := a.giveUp(closed, emit); err != nil {
			return err
		}
		slots = slots[n:]
	}
	return nil
}

// passed returns the slots, each once, that hold groups all of whose watermark columns are below their watermarks; the groups'
// columns are in a.keys then. Others that are due by one column wait for the rest.
func (a *hashAgg) passed(slots []uint32) ([]uint32, error) {
	clearVecs(a.keys)
	slots = slices.DeleteFunc(slots, func(s uint32) bool { return !a.groups.Live(s) })
	slices.Sort(slots)
	slots = slices.Compact(slots)
	for _, s := range slots {
		if err := a.cols.append(a.groups.VNode(s), a.groups.Key(s), a.keys); err != nil {
			return nil, err
		}
	}
	var rows []int32
	closed := make([]uint32, 0, len(slots))
	for k, s := range slots {
		below := 0
		for i, g := range a.close.groupAt {
			if v := a.keys[g]; !v.IsNull(k) && v.Ints[k] < a.close.marks[i] {
				below++
			}
		}
		switch {
		case below == len(a.close.groupAt) || below > 0 && !a.close.emits:
			closed, rows = append(closed, s), append(rows, int32(k))
		case below > 0:
			a.close.waiting = append(a.close.waiting, s)
		}
	}
	for i, v := range a.keys {
		a.keys[i] = v.Gather(rows)
	}
	return closed, nil
}

// giveUp drops groups, whose columns are in a.keys, after emitting them where that is what closing means.
func (a *hashAgg) giveUp(slots []uint32, emit Emit) error {
	if a.close.emits && len(slots) > 0 {
		for _, s := range slots {
			for _, c := range a.calls {
				if err := c.touch(a.groups, s, false); err != nil {
					return err
				}
			}
		}
		clearVecs(a.now)
		if err := a.results(slots, a.now, 1); err != nil {
			return err
		}
		var rows []int32
		for k, s := range slots {
			if a.count(s) > 0 {
				rows = append(rows, int32(k))
			}
		}
		if err := emitGathered(emit, 1, a.keys, rows, a.now, rows); err != nil {
			return err
		}
	}
	for _, set := range a.sets {
		set.forget(slots)
	}
	for _, s := range slots {
		for _, c := range a.calls {
			if err := c.forget(a.groups, s); err != nil {
				return err
			}
		}
		if err := a.drop(s); err != nil {
			return err
		}
	}
	return nil
}

// forget deletes what an aggregate keeps of a group that still has rows.
func (c *aggCall) forget(groups *state.Map, s uint32) error {
	switch c.kind {
	case foldObject:
		return c.objects.store.Ensure(groups.VNode(s), c.objects.key(groups.Key(s)))
	case foldValues:
		return c.values.forget(groups, s)
	}
	return nil
}

// forget deletes the values of a group.
func (v *aggValues) forget(groups *state.Map, s uint32) error {
	prefix := v.groupPrefix(groups.Key(s))
	if err := v.store.Ensure(groups.VNode(s), prefix); err != nil {
		return err
	}
	var keys []byte
	var ends []int
	v.store.Ascend(prefix, nil, func(k, _ []byte) bool {
		keys = append(keys, k...)
		ends = append(ends, len(keys))
		return true
	})
	from := 0
	for _, to := range ends {
		v.store.Delete(keys[from:to])
		from = to
	}
	return nil
}

// loadAll brings the values of all groups into memory; there are none of others.
func (s *distinctSet) loadAll(groups *state.Map, slots []uint32) error {
	var prefix []byte
	for _, g := range slots {
		prefix = append(append(prefix[:0], s.tag...), groups.Key(g)...)
		err := s.values.LoadUnder(groups.VNode(g), prefix, binary.LittleEndian.AppendUint32(nil, g), func(e uint32) { s.link(g, e) })
		if err != nil {
			return err
		}
	}
	s.values.SetComplete()
	return nil
}

// link notes a new value of a group, so that it can be found when the group is given up. Values of input that retracts come
// and go, and are looked for instead.
func (s *distinctSet) link(group, entry uint32) {
	if !s.closes || !s.grows {
		return
	}
	for int(group) >= len(s.first) {
		s.first = append(s.first, make([]uint32, len(s.first)+64)...)
	}
	for int(entry) >= len(s.next) {
		s.next = append(s.next, make([]uint32, len(s.next)+1024)...)
	}
	s.next[entry] = s.first[group]
	s.first[group] = entry + 1
}

// forget deletes the values of groups that are given up.
func (s *distinctSet) forget(groups []uint32) {
	if s.grows {
		for _, g := range groups {
			if int(g) >= len(s.first) {
				continue
			}
			for e := s.first[g]; e != 0; e = s.next[e-1] {
				s.values.Delete(e - 1)
			}
			s.first[g] = 0
		}
		return
	}
	gone := make(map[uint32]bool, len(groups))
	for _, g := range groups {
		gone[g] = true
	}
	var entries []uint32
	s.values.Each(func(e uint32) {
		if gone[binary.LittleEndian.Uint32(s.values.Key(e))] {
			entries = append(entries, e)
		}
	})
	for _, e := range entries {
		s.values.Delete(e)
	}
}
