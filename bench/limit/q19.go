package limit

// q19 keeps the ten highest bids of each auction, with their places. A batch's changes are found by comparing the
// ten with what they were.
type q19 struct {
	o        *out
	auctions *table[q19Auction]
	tops     []q19Top // by number
	texts    slab
	before   []q19Top // of the auctions that the batch changes
	dirty    []uint64
	dead     []bidRow
}

type q19Auction struct {
	top   int32 // number of its ten + 1
	dirty bool
}

const q19Places = 10

type q19Top struct {
	bids    [q19Places]bidRow
	bidders [q19Places]int64
	n       int
}

func newQ19(o *out) program { return &q19{o: o, auctions: newTable[q19Auction]()} }

func (q *q19) step(b *batch) {
	for i, k := range b.kind {
		if k == bid {
			q.bid(b, i)
		}
	}
	for k, id := range q.dirty {
		a := q.auctions.get(id)
		a.dirty = false
		q.emit(int64(id), &q.before[k], &q.tops[a.top-1])
	}
	for i := range q.dead {
		q.texts.free(q.dead[i].at, q.dead[i].size())
	}
	q.dirty, q.before, q.dead = q.dirty[:0], q.before[:0], q.dead[:0]
}

func (q *q19) bid(b *batch, i int) {
	id := uint64(b.bidAuction[i])
	a := q.auctions.at(id)
	if a.top == 0 {
		q.tops = append(q.tops, q19Top{})
		a.top = int32(len(q.tops))
	}
	t := &q.tops[a.top-1]
	price := b.price[i]
	if t.n == q19Places && t.bids[q19Places-1].price >= price {
		return
	}
	if !a.dirty {
		a.dirty = true
		q.dirty, q.before = append(q.dirty, id), append(q.before, *t)
	}
	if t.n == q19Places {
		q.dead = append(q.dead, t.bids[q19Places-1])
	} else {
		t.n++
	}
	at := t.n - 1
	for ; at > 0 && t.bids[at-1].price < price; at-- {
		t.bids[at], t.bidders[at] = t.bids[at-1], t.bidders[at-1]
	}
	t.bids[at], t.bidders[at] = keepBid(&q.texts, b, i), b.bidder[i]
}

// emit puts out the places whose bid is another one now.
func (q *q19) emit(id int64, before, now *q19Top) {
	for k := range now.n {
		if k < before.n {
			if before.bids[k].at == now.bids[k].at {
				continue
			}
			q.place(id, k, before)
			q.o.deletes++
		}
		q.place(id, k, now)
		q.o.inserts++
	}
}

func (q *q19) place(id int64, k int, t *q19Top) {
	t.bids[k].emit(q.o, &q.texts, id, t.bidders[k])
	q.o.ints[4] = append(q.o.ints[4], int64(k+1))
}

func (q *q19) state() (rows, bytes int) {
	for i := range q.tops {
		rows += q.tops[i].n
	}
	return rows, q.auctions.bytes() + q.texts.bytes() + 496*cap(q.tops)
}
