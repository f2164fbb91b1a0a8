package limit

// q12 counts each bidder's bids in windows of 10 s of event time.
type q12 struct {
	o      *out
	groups *table[q12Group]
	dirty  []uint64
}

type q12Group struct{ bids, shown int64 }

const q12Size = 10_000_000

func newQ12(o *out) program { return &q12{o: o, groups: newTable[q12Group]()} }

func (q *q12) step(b *batch) {
	var window, end int64 // times ascend: most bids are in the window of the one before
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		if t := b.bidTime[i]; t >= end {
			window = t / q12Size
			end = (window + 1) * q12Size
		}
		key := uint64(b.bidder[i]) | uint64(window)<<32
		g := q.groups.at(key)
		if g.bids == g.shown {
			q.dirty = append(q.dirty, key)
		}
		g.bids++
	}
	for _, key := range q.dirty {
		g := q.groups.get(key)
		if g.shown > 0 {
			q.emit(key, g.shown)
			q.o.deletes++
		}
		q.emit(key, g.bids)
		q.o.inserts++
		g.shown = g.bids
	}
	q.dirty = q.dirty[:0]
}

func (q *q12) emit(key uint64, bids int64) {
	o, start := &q.o.ints, int64(key>>32)*q12Size
	o[0], o[1] = append(o[0], int64(key&(1<<32-1))), append(o[1], bids)
	o[2], o[3] = append(o[2], start), append(o[3], start+q12Size)
}

func (q *q12) state() (rows, bytes int) { return q.groups.used, q.groups.bytes() }
