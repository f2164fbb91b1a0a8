package limit

// q5 finds the auctions with most bids in each window of 10 s, one of which begins every 2 s. Counts are gathered per
// slide of 2 s and batch, then added to the five windows that the slide lies in.
type q5 struct {
	o       *out
	slide   int64 // of the bids in batch
	batch   *table[int32]
	keys    []uint64
	windows map[int64]*q5Window
	changed []*q5Window
}

// q5Window counts the bids of one window. Its leaders have the most.
type q5Window struct {
	counts  *table[int32]
	most    int32
	leaders []int64
	shown   []int64 // leaders that were put out last
	at      int32   // their count
	dirty   bool
}

const (
	q5Slide  = 2_000_000
	q5Slides = 5 // in a window
)

func newQ5(o *out) program {
	return &q5{o: o, batch: newTable[int32](), windows: map[int64]*q5Window{}}
}

func (q *q5) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		if s := b.bidTime[i] / q5Slide; s != q.slide {
			q.spread()
			q.slide = s
		}
		n := q.batch.at(uint64(b.bidAuction[i]))
		if *n == 0 {
			q.keys = append(q.keys, uint64(b.bidAuction[i]))
		}
		*n++
	}
	q.spread()
	for _, w := range q.changed {
		w.emit(q.o)
	}
	q.changed = q.changed[:0]
}

// spread adds the counts of the running slide to its windows.
func (q *q5) spread() {
	if len(q.keys) == 0 {
		return
	}
	for first := q.slide - q5Slides + 1; first <= q.slide; first++ {
		w := q.windows[first]
		if w == nil {
			w = &q5Window{counts: newTable[int32]()}
			q.windows[first] = w
		}
		if !w.dirty {
			w.dirty = true
			q.changed = append(q.changed, w)
		}
		for _, k := range q.keys {
			w.add(k, *q.batch.get(k))
		}
	}
	for _, k := range q.keys {
		*q.batch.get(k) = 0
	}
	q.keys = q.keys[:0]
	if q.batch.used > 4*firstCells {
		q.batch.clear()
	}
}

func (w *q5Window) add(key uint64, n int32) {
	c := w.counts.at(key)
	*c += n
	if *c < w.most {
		return
	}
	if *c > w.most {
		w.most, w.leaders = *c, w.leaders[:0]
	}
	w.leaders = append(w.leaders, int64(key))
}

func (w *q5Window) emit(o *out) {
	w.dirty = false
	if w.at == w.most && len(w.shown) == len(w.leaders) {
		return
	}
	for _, a := range w.shown {
		o.row(a, int64(w.at))
	}
	for _, a := range w.leaders {
		o.row(a, int64(w.most))
	}
	o.deletes += int64(len(w.shown))
	o.inserts += int64(len(w.leaders))
	w.shown, w.at = append(w.shown[:0], w.leaders...), w.most
}

func (q *q5) state() (rows, bytes int) {
	for _, w := range q.windows {
		rows, bytes = rows+w.counts.used, bytes+w.counts.bytes()
	}
	return rows, bytes
}
