package limit

// q9 finds the winning bid of each auction, and puts it out with everything known of both. As in q4, bids wait only for
// auctions that are not known yet.
type q9 struct {
	o        *out
	auctions *table[q9Auction]
	early    chains[q9Bid]
	texts    slab
	dirty    []uint64
	dead     []q9Bid // replaced in this batch; their texts are still needed to take them back
}

type q9Auction struct {
	initial, reserve, from, until, seller, category int64
	at                                              place // item, description, extra
	item, description                               uint8
	extra                                           uint16
	known, dirty                                    bool
	waiting                                         int32
	best, shown                                     q9Bid // price 0: none
}

type q9Bid struct {
	bidder, price, time int64
	at                  place
	extra               uint8
}

func newQ9(o *out) program { return &q9{o: o, auctions: newTable[q9Auction]()} }

func (q *q9) step(b *batch) {
	for _, i := range b.auctions {
		q.auction(b, int(i))
	}
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		id := uint64(b.bidAuction[i])
		a := q.auctions.at(id)
		v := q9Bid{bidder: b.bidder[i], price: b.price[i], time: b.bidTime[i]}
		if a.known && !a.wins(&v) {
			continue
		}
		extra := b.bidExtra.at(i)
		at, buf := q.texts.alloc(len(extra))
		copy(buf, extra)
		v.at, v.extra = at, uint8(len(extra))
		if a.known {
			q.replace(id, a, v)
		} else {
			q.early.push(&a.waiting, v)
		}
	}
	for _, id := range q.dirty {
		a := q.auctions.get(id)
		if a.shown.price > 0 {
			q.emit(id, a, &a.shown)
			q.o.deletes++
		}
		q.emit(id, a, &a.best)
		q.o.inserts++
		a.shown, a.dirty = a.best, false
	}
	for _, v := range q.dead {
		q.texts.free(v.at, int(v.extra))
	}
	q.dirty, q.dead = q.dirty[:0], q.dead[:0]
}

func (q *q9) auction(b *batch, i int) {
	id := uint64(b.auctionID[i])
	a := q.auctions.at(id)
	item, description, extra := b.item.at(i), b.description.at(i), b.auctionExtra.at(i)
	at, buf := q.texts.alloc(len(item) + len(description) + len(extra))
	copy(buf, item)
	copy(buf[len(item):], description)
	copy(buf[len(item)+len(description):], extra)
	a.at, a.item, a.description, a.extra, a.known = at, uint8(len(item)), uint8(len(description)), uint16(len(extra)), true
	a.initial, a.reserve, a.from, a.until = b.initialBid[i], b.reserve[i], b.auctionTime[i], b.expires[i]
	a.seller, a.category = b.seller[i], b.category[i]
	for a.waiting != 0 {
		if v := q.early.pop(&a.waiting); a.wins(&v) {
			q.replace(id, a, v)
		} else {
			q.dead = append(q.dead, v)
		}
	}
}

func (a *q9Auction) wins(v *q9Bid) bool {
	return v.time >= a.from && v.time <= a.until && (v.price > a.best.price || v.price == a.best.price && v.time < a.best.time)
}

func (q *q9) replace(id uint64, a *q9Auction, v q9Bid) {
	if a.best.price > 0 {
		q.dead = append(q.dead, a.best)
	}
	a.best = v
	if !a.dirty {
		a.dirty = true
		q.dirty = append(q.dirty, id)
	}
}

func (q *q9) emit(id uint64, a *q9Auction, v *q9Bid) {
	o := &q.o.ints
	o[0], o[1], o[2], o[3] = append(o[0], int64(id)), append(o[1], a.initial), append(o[2], a.reserve), append(o[3], a.from)
	o[4], o[5], o[6] = append(o[4], a.until), append(o[5], a.seller), append(o[6], a.category)
	o[7], o[8], o[9] = append(o[7], v.bidder), append(o[8], v.price), append(o[9], v.time)
	description := int(a.item) + int(a.description)
	row := q.texts.at(a.at, description+int(a.extra))
	q.o.text(0, row[:a.item])
	q.o.text(1, row[a.item:description])
	q.o.text(2, row[description:])
	q.o.text(3, q.texts.at(v.at, int(v.extra)))
}

func (q *q9) state() (rows, bytes int) {
	return q.auctions.used + q.early.used, q.auctions.bytes() + q.texts.bytes() + 48*cap(q.early.links)
}
