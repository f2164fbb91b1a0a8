package stream

import "slices"

// aggQueue lets the frame of an aggregate that cannot take rows back (min, max) slide at a constant cost per row. The
// frame is cut in two: of the front part there is a state for each row, of it and those behind it up to the cut; of the
// back part one state, to which rows are added. When the frame has left the front part, all of it becomes the front.
type aggQueue struct {
	first int64    // position of front[0]
	front []aggRun // states of rows first+k … cut−1
	cut   int64
	back  aggRun
}

// queueRows bounds the frames that slide by a queue, which holds a state for each row. Larger ones merge sums for each row.
const queueRows = 1 << 16

// slide moves the state of run.lo … run.hi−1 forward.
func (a *windowAgg) slide(s *winSide, run *aggRun, start, end int64) error {
	q := run.queue
	if q == nil || q.cut <= start || q.first > run.lo {
		q = &aggQueue{first: start, cut: end, back: a.empty()}
		if err := a.fillFront(s, q); err != nil {
			return err
		}
	} else if err := a.add(s, &q.back, run.hi, end, 1); err != nil {
		return err
	}
	*run = a.empty()
	run.lo, run.hi, run.is, run.queue = start, end, true, q
	if start < q.cut {
		a.merge(run, q.front[start-q.first])
	}
	a.merge(run, q.back)
	return nil
}

// fillFront makes the states of the front part, from the last row to the first.
func (a *windowAgg) fillFront(s *winSide, q *aggQueue) error {
	n := int(q.cut - q.first)
	r := newRowReader(a.w.types, a.columns())
	if err := a.w.rows.Fold(s.ver, s.pk, q.first, q.cut, nil, func(k, val []byte, copies int64) error {
		for range copies {
			if err := r.add(entryImage(k, val), 1); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	q.front = slices.Grow(q.front, n)[:n]
	args, filter := a.args(r.vecs), a.filter(r.vecs)
	for i := n - 1; i >= 0; i-- {
		q.front[i] = a.empty()
		if err := a.update(s, &q.front[i], args, filter, []int32{int32(i)}, nil, 1); err != nil {
			return err
		}
		if i+1 < n {
			a.merge(&q.front[i], q.front[i+1])
		}
	}
	return nil
}
