package limit

// q17 keeps eight statistics of the bids on an auction in a day.
type q17 struct {
	o      *out
	groups *table[q17Group]
	dirty  []uint64
}

type q17Group struct {
	q17Values
	shown q17Values // what was put out last; no bids: nothing
	dirty bool
}

type q17Values struct {
	bids, low, high, min, max, sum int64 // bids in the middle are the rest
}

func newQ17(o *out) program { return &q17{o: o, groups: newTable[q17Group]()} }

func (q *q17) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		key := uint64(b.bidAuction[i]) | uint64(b.bidTime[i]/microsOfDay)<<40
		g := q.groups.at(key)
		if !g.dirty {
			g.dirty = true
			q.dirty = append(q.dirty, key)
		}
		p := b.price[i]
		if g.bids == 0 {
			g.min, g.max = p, p
		}
		g.bids++
		if p < 10_000 {
			g.low++
		} else if p >= 1_000_000 {
			g.high++
		}
		g.min, g.max, g.sum = min(g.min, p), max(g.max, p), g.sum+p
	}
	for _, key := range q.dirty {
		g := q.groups.get(key)
		if g.shown.bids > 0 {
			q.emit(key, &g.shown)
			q.o.deletes++
		}
		q.emit(key, &g.q17Values)
		q.o.inserts++
		g.shown, g.dirty = g.q17Values, false
	}
	q.dirty = q.dirty[:0]
}

func (q *q17) emit(key uint64, v *q17Values) {
	q.o.row(int64(key&(1<<40-1)), int64(key>>40), v.bids, v.low, v.bids-v.low-v.high, v.high, v.min, v.max, v.sum/v.bids, v.sum)
}

func (q *q17) state() (rows, bytes int) { return q.groups.used, q.groups.bytes() }
