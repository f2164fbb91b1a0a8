package stream

import (
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
)

// segment is a run of rows that did not change, between two that did or an end of the partition.
type segment struct {
	pos        [2]int64 // of its first row, by version
	len        int64
	prev, next *state.Change // nil: the partition's end
	at         *state.Cursor // on the first row; nil: not known
}

// end returns the positions behind the segment.
func (g *segment) end() [2]int64 { return [2]int64{g.pos[0] + g.len, g.pos[1] + g.len} }

// moved reports whether the rows have other numbers than before.
func (g *segment) moved() bool { return g.pos[state.Now] != g.pos[state.Before] }

// reach says how far from a change a function's values may change.
type reach struct {
	// head and tail: to the partition's end, behind the change or before it. The function's settled tells when not.
	head, tail bool
	// So many rows behind the change, and before it.
	rowsAfter, rowsBefore int64
	// So many peer groups besides the change's own; −1: not even that.
	groupsAfter, groupsBefore int64
	// As far as these ends of frames, which have a RANGE offset, go.
	rangeAfter, rangeBefore []*frameEnd
}

// frameReach is that of a function of all rows in its frame.
func frameReach(fr *windowFrame) reach {
	r := reach{groupsAfter: -1, groupsBefore: -1}
	for i := range fr.ends {
		e := &fr.ends[i]
		switch {
		case e.kind == plan.UnboundedPreceding:
			r.head = true
		case e.kind == plan.UnboundedFollowing:
			r.tail = true
		case fr.mode == 'R':
			// A frame that begins or ends n rows away is cut, or empty, within n rows of the partition's end.
			if e.kind == plan.Preceding {
				r.rowsAfter = max(r.rowsAfter, e.offset)
			} else {
				r.rowsBefore = max(r.rowsBefore, e.offset)
			}
		case e.bound != nil:
			// A frame that lies wholly before its row does not reach the rows right before it; behind it, neither.
			if e.isEnd || e.kind == plan.Following {
				r.rangeBefore = append(r.rangeBefore, e)
			}
			if !e.isEnd || e.kind == plan.Preceding {
				r.rangeAfter = append(r.rangeAfter, e)
			}
		default: // GROUPS, and CURRENT ROW of RANGE
			r.groupsAfter, r.groupsBefore = max(r.groupsAfter, 0), max(r.groupsBefore, 0)
			if e.kind == plan.Preceding {
				r.groupsAfter = max(r.groupsAfter, e.offset)
			} else {
				r.groupsBefore = max(r.groupsBefore, e.offset)
			}
		}
	}
	if r.rangeAfter != nil || r.rangeBefore != nil { // rows without a value see their peers
		r.groupsAfter, r.groupsBefore = max(r.groupsAfter, 0), max(r.groupsBefore, 0)
	}
	return r
}

// segment takes the rows of a segment that a change can reach.
func (w *window) segment(g *segment) error {
	var first, last int64
	var open []int // functions that depend on all before or behind
	for i, f := range w.funcs {
		if g.prev != nil {
			first = max(first, w.reachAfter(&f.reach, g))
		}
		if g.next != nil {
			last = max(last, w.reachBefore(&f.reach, g))
		}
		if (f.reach.head && g.prev != nil || f.reach.tail && g.next != nil) && !f.kernel.settled(g) {
			open = append(open, i)
		}
	}
	first, last = min(first, g.len), min(last, g.len)
	if len(open) > 0 || first+last >= g.len {
		stop := func(at int64) bool { return at >= first && at < g.len-last && w.settledNow(open) }
		if len(open) == 0 {
			stop = nil
		}
		done, err := w.span(g, 0, g.len, stop)
		if err != nil || done >= g.len {
			return err
		}
	} else if _, err := w.span(g, 0, first, nil); err != nil {
		return err
	}
	_, err := w.span(g, g.len-last, g.len, nil)
	return err
}

// settledNow reports whether all these functions have come to agree in both versions for good.
func (w *window) settledNow(open []int) bool {
	for _, i := range open {
		f := w.funcs[i]
		if f.reach.tail || !f.kernel.settledNow(&w.sides[0].states[i], &w.sides[1].states[i]) {
			return false
		}
	}
	return true
}

// span takes rows from … to−1 of a segment, and those that are copies of them. After each batch it may stop early. It
// returns how far it came.
func (w *window) span(g *segment, from, to int64, stop func(at int64) bool) (int64, error) {
	if from >= to {
		return from, nil
	}
	c := g.at
	if from > 0 || c == nil {
		var skipped int64
		c, skipped = w.rows.Select(state.Now, w.sides[state.Now].pk, g.pos[state.Now]+from)
		from -= skipped
	}
	if err := w.jump([2]int64{g.pos[0] + from, g.pos[1] + from}); err != nil {
		return from, err
	}
	at := from
	for at < to {
		n, runs := c.Weight(state.Now), w.runs
		if n > 0 {
			if err := w.take(c); err != nil {
				return at, err
			}
			at += n
		}
		if stop != nil && w.runs != runs && stop(at) {
			return at, nil
		}
		if at < to {
			w.following(c)
		}
	}
	return at, nil
}

// reachAfter is how many rows at the segment's begin the change before it may reach; head apart.
func (w *window) reachAfter(r *reach, g *segment) int64 {
	n := r.rowsAfter
	if r.groupsAfter >= 0 {
		n = max(n, w.groupsAfter(r.groupsAfter, g))
	}
	for _, e := range r.rangeAfter {
		prev := g.prev.Key[:orderLen(g.prev.Key, g.prev.Value)]
		n = max(n, w.gallop(g.len, func(t int64) bool {
			k, ok := w.boundOf(e, g.pos[state.Now]+t)
			return !ok || string(k) <= string(prev)
		}))
	}
	return n
}

func (w *window) reachBefore(r *reach, g *segment) int64 {
	n := r.rowsBefore
	if r.groupsBefore >= 0 {
		n = max(n, w.groupsBefore(r.groupsBefore, g))
	}
	for _, e := range r.rangeBefore {
		next := g.next.Key[:orderLen(g.next.Key, g.next.Value)]
		n = max(n, w.gallop(g.len, func(t int64) bool {
			k, ok := w.boundOf(e, g.pos[state.Now]+g.len-1-t)
			return !ok || string(k) >= string(next)
		}))
	}
	return n
}

// gallop returns how many of n rows, from the first, a condition holds for that holds for a prefix of them.
func (w *window) gallop(n int64, holds func(t int64) bool) int64 {
	lo, step := int64(0), int64(1) // it holds below lo
	for lo < n && holds(min(lo+step, n)-1) {
		lo = min(lo+step, n)
		step *= 2
	}
	hi := min(lo+step, n)
	for lo < hi { // it may hold up to hi
		mid := (lo + hi) / 2
		if holds(mid) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// boundOf returns, as a prefix of keys, the frame's end of the row at a position.
func (w *window) boundOf(e *frameEnd, pos int64) ([]byte, bool) {
	s := w.sides[state.Now]
	c, _ := w.rows.Select(state.Now, s.pk, pos)
	if !c.Valid() {
		return nil, false
	}
	vecs := newVecs(w.types)
	if decodeImage(entryImage(c.Key(), c.Value()), w.types, vecs) != nil {
		return nil, false
	}
	keys := e.keys(w, vecs, 1)
	w.env.Ctx.TakeErrs() // they are reported when the row is evaluated
	k := c.Key()
	return keys.at(s.pk, 0, k[:orderLen(k, c.Value())]), true
}

// rowPeers returns the order of the row at a position.
func (w *window) rowPeers(pos int64) []byte {
	c, _ := w.rows.Select(state.Now, w.sides[state.Now].pk, pos)
	k := c.Key()
	return k[:orderLen(k, c.Value())]
}

// groupsAfter counts the rows at the segment's begin that lie within n peer groups of the change before it.
func (w *window) groupsAfter(n int64, g *segment) int64 {
	s := w.sides[state.Now]
	peers := w.rowPeers(g.pos[state.Now])
	if n == 0 {
		if string(peers) != string(g.prev.Key[:orderLen(g.prev.Key, g.prev.Value)]) {
			return 0
		}
		return w.rows.CountRange(state.Now, s.pk, key.PrefixEnd(peers)) - g.pos[state.Now]
	}
	group := w.groups.CountRange(state.Now, s.pk, peers) + n + 1
	if group >= s.groupCount() {
		return g.len
	}
	c, _ := w.groups.Select(state.Now, s.pk, group)
	return w.rows.CountRange(state.Now, s.pk, c.Key()) - g.pos[state.Now]
}

func (w *window) groupsBefore(n int64, g *segment) int64 {
	s := w.sides[state.Now]
	end := g.pos[state.Now] + g.len
	peers := w.rowPeers(end - 1)
	if n == 0 {
		if string(peers) != string(g.next.Key[:orderLen(g.next.Key, g.next.Value)]) {
			return 0
		}
		return end - w.rows.CountRange(state.Now, s.pk, peers)
	}
	group := max(w.groups.CountRange(state.Now, s.pk, peers)-n, 0)
	c, _ := w.groups.Select(state.Now, s.pk, group)
	return end - w.rows.CountRange(state.Now, s.pk, c.Key())
}
