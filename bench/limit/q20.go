package limit

// q20 gives bids the auctions that they are for, in category 10. As in q4, a bid is kept only until its auction is known;
// of an auction in another category no more than that is kept.
type q20 struct {
	o        *out
	auctions *table[q20Auction]
	early    chains[q20Bid]
	texts    slab
}

type q20Auction struct {
	initial, reserve, from, until, seller int64
	at                                    place // item, description, extra
	extra                                 uint16
	item, description                     uint8
	known, wanted                         bool
	waiting                               int32
}

type q20Bid struct {
	bidder, price, time int64
	at                  place // channel, url, extra
	channel, url, extra uint8
}

func newQ20(o *out) program { return &q20{o: o, auctions: newTable[q20Auction]()} }

func (q *q20) step(b *batch) {
	for _, i := range b.auctions {
		q.auction(b, int(i))
	}
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		a := q.auctions.at(uint64(b.bidAuction[i]))
		if a.wanted {
			q.emit(a, b.bidAuction[i], b.bidder[i], b.price[i], b.bidTime[i], b.channel.at(i), b.url.at(i), b.bidExtra.at(i))
		} else if !a.known {
			q.keep(a, b, i)
		}
	}
}

func (q *q20) keep(a *q20Auction, b *batch, i int) {
	channel, url, extra := b.channel.at(i), b.url.at(i), b.bidExtra.at(i)
	at, buf := q.texts.alloc(len(channel) + len(url) + len(extra))
	copy(buf, channel)
	copy(buf[len(channel):], url)
	copy(buf[len(channel)+len(url):], extra)
	q.early.push(&a.waiting, q20Bid{b.bidder[i], b.price[i], b.bidTime[i], at, uint8(len(channel)), uint8(len(url)), uint8(len(extra))})
}

func (q *q20) auction(b *batch, i int) {
	id := b.auctionID[i]
	a := q.auctions.at(uint64(id))
	a.known, a.wanted = true, b.category[i] == 10
	if a.wanted {
		item, description, extra := b.item.at(i), b.description.at(i), b.auctionExtra.at(i)
		at, buf := q.texts.alloc(len(item) + len(description) + len(extra))
		copy(buf, item)
		copy(buf[len(item):], description)
		copy(buf[len(item)+len(description):], extra)
		a.at, a.item, a.description, a.extra = at, uint8(len(item)), uint8(len(description)), uint16(len(extra))
		a.initial, a.reserve, a.from, a.until, a.seller = b.initialBid[i], b.reserve[i], b.auctionTime[i], b.expires[i], b.seller[i]
	}
	for a.waiting != 0 {
		e := q.early.pop(&a.waiting)
		size := int(e.channel) + int(e.url) + int(e.extra)
		if a.wanted {
			row := q.texts.at(e.at, size)
			url := int(e.channel) + int(e.url)
			q.emit(a, id, e.bidder, e.price, e.time, row[:e.channel], row[e.channel:url], row[url:])
		}
		q.texts.free(e.at, size)
	}
}

func (q *q20) emit(a *q20Auction, id, bidder, price, time int64, channel, url, extra []byte) {
	o := &q.o.ints
	o[0], o[1], o[2], o[3] = append(o[0], id), append(o[1], bidder), append(o[2], price), append(o[3], time)
	o[4], o[5], o[6] = append(o[4], a.initial), append(o[5], a.reserve), append(o[6], a.from)
	o[7], o[8], o[9] = append(o[7], a.until), append(o[8], a.seller), append(o[9], 10)
	q.o.text(0, channel)
	q.o.text(1, url)
	q.o.text(2, extra)
	description := int(a.item) + int(a.description)
	row := q.texts.at(a.at, description+int(a.extra))
	q.o.text(3, row[:a.item])
	q.o.text(4, row[a.item:description])
	q.o.text(5, row[description:])
	q.o.inserts++
}

func (q *q20) state() (rows, bytes int) {
	return q.auctions.used + q.early.used, q.auctions.bytes() + q.texts.bytes() + 48*cap(q.early.links)
}
