package limit

// q7 finds the highest bids of each window of 10 s. A bid at the very end of a window is in the next one, but is found for
// the earlier one too when it is as high as that one's highest.
type q7 struct {
	o        *out
	from     int64 // start of the running window
	now, was q7Window
	rows     int
}

type q7Window struct {
	highest int64
	bids    []q7Bid
	shown   []q7Bid
	dirty   bool
}

type q7Bid struct {
	auction, bidder, price, time int64
	extra                        []byte
}

const q7Size = 10_000_000

func newQ7(o *out) program { return &q7{o: o} }

func (q *q7) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		t := b.bidTime[i]
		if t >= q.from+q7Size {
			q.now.emit(q.o)
			q.was, q.now = q.now, q7Window{}
			q.from = t - t%q7Size
			q.rows += len(q.was.bids)
		}
		if t == q.from && b.price[i] == q.was.highest {
			q.was.add(b, i)
		}
		if b.price[i] >= q.now.highest {
			q.now.add(b, i)
		}
	}
	q.was.emit(q.o)
	q.now.emit(q.o)
}

func (w *q7Window) add(b *batch, i int) {
	w.dirty = true
	if b.price[i] > w.highest {
		w.highest, w.bids = b.price[i], w.bids[:0]
	}
	w.bids = append(w.bids, q7Bid{b.bidAuction[i], b.bidder[i], b.price[i], b.bidTime[i], append([]byte(nil), b.bidExtra.at(i)...)})
}

func (w *q7Window) emit(o *out) {
	if !w.dirty {
		return
	}
	w.dirty = false
	for _, rows := range [][]q7Bid{w.shown, w.bids} {
		for _, r := range rows {
			o.row(r.auction, r.price, r.bidder, r.time)
			o.text(0, r.extra)
		}
	}
	o.deletes += int64(len(w.shown))
	o.inserts += int64(len(w.bids))
	w.shown = append(w.shown[:0], w.bids...)
}

func (q *q7) state() (rows, bytes int) {
	return q.rows + len(q.now.bids), 0
}
