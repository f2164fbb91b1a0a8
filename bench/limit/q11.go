package limit

// q11 counts each bidder's bids in sessions: bids less than 10 s apart. Times ascend, so only a bidder's last session can grow.
type q11 struct {
	o       *out
	bidders *table[q11Session]
	dirty   []uint64
	ended   int
}

type q11Session struct {
	start, last, bids int64
	shownEnd, shown   int64 // shown 0: nothing was put out
	dirty             bool
}

const q11Gap = 10_000_000

func newQ11(o *out) program { return &q11{o: o, bidders: newTable[q11Session]()} }

func (q *q11) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		key, t := uint64(b.bidder[i]), b.bidTime[i]
		s := q.bidders.at(key)
		if s.bids > 0 && t-s.last >= q11Gap {
			q.show(key, s)
			q.ended++
			s.bids, s.shown = 0, 0
		}
		if s.bids == 0 {
			s.start = t
		}
		s.last = t
		s.bids++
		if !s.dirty {
			s.dirty = true
			q.dirty = append(q.dirty, key)
		}
	}
	for _, key := range q.dirty {
		s := q.bidders.get(key)
		q.show(key, s)
		s.dirty = false
	}
	q.dirty = q.dirty[:0]
}

// show puts a session out if it is another than what was put out.
func (q *q11) show(bidder uint64, s *q11Session) {
	if s.shown == s.bids {
		return
	}
	if s.shown > 0 {
		q.o.row(int64(bidder), s.shown, s.start, s.shownEnd)
		q.o.deletes++
	}
	s.shown, s.shownEnd = s.bids, s.last+q11Gap
	q.o.row(int64(bidder), s.shown, s.start, s.shownEnd)
	q.o.inserts++
}

func (q *q11) state() (rows, bytes int) { return q.bidders.used + q.ended, q.bidders.bytes() }
