package limit

// q23 joins each bid with its bidder and with every auction that the bidder has opened. All three sides are kept:
// nothing says that no more of them come.
type q23 struct {
	o        *out
	people   *table[q23Person]
	bids     lists[q23Bid]
	auctions lists[q23Auction]
	texts    slab
}

type q23Person struct {
	at             place // name, email, card, city, state, extra
	ends           [6]uint16
	time           int64
	known          bool
	bids, auctions int32 // heads
}

type q23Bid struct {
	price               int64
	at                  place // channel, url, extra
	channel, url, extra uint8
}

type q23Auction struct {
	id, initial, reserve, from, until, category int64
	at                                          place
	item, description                           uint8
	extra                                       uint16
}

// lists are chains that only grow.
type lists[V any] struct{ links []link[V] }

func (l *lists[V]) push(head *int32, v V) *V {
	l.links = append(l.links, link[V]{v, *head})
	*head = int32(len(l.links))
	return &l.links[*head-1].val
}

func newQ23(o *out) program { return &q23{o: o, people: newTable[q23Person]()} }

func (q *q23) step(b *batch) {
	for _, i := range b.persons {
		q.person(b, int(i))
	}
	for _, i := range b.auctions {
		q.auction(b, int(i))
	}
	for i, k := range b.kind {
		if k == bid {
			q.bid(b, i)
		}
	}
}

func (q *q23) person(b *batch, i int) {
	id := b.personID[i]
	p := q.people.at(uint64(id))
	parts := [6][]byte{b.personName.at(i), b.personEmail.at(i), b.personCard.at(i), b.personCity.at(i), b.personState.at(i), b.personExtra.at(i)}
	size := 0
	for k, s := range parts {
		size += len(s)
		p.ends[k] = uint16(size)
	}
	at, buf := q.texts.alloc(size)
	for _, s := range parts {
		buf = buf[copy(buf, s):]
	}
	p.at, p.time, p.known = at, b.personTime[i], true
	for n := p.bids; n != 0; n = q.bids.links[n-1].next {
		for a := p.auctions; a != 0; a = q.auctions.links[a-1].next {
			q.emit(id, p, &q.bids.links[n-1].val, &q.auctions.links[a-1].val)
		}
	}
}

func (q *q23) auction(b *batch, i int) {
	p := q.people.at(uint64(b.seller[i]))
	item, description, extra := b.item.at(i), b.description.at(i), b.auctionExtra.at(i)
	at, buf := q.texts.alloc(len(item) + len(description) + len(extra))
	copy(buf, item)
	copy(buf[len(item):], description)
	copy(buf[len(item)+len(description):], extra)
	a := q.auctions.push(&p.auctions, q23Auction{b.auctionID[i], b.initialBid[i], b.reserve[i], b.auctionTime[i], b.expires[i], b.category[i],
		at, uint8(len(item)), uint8(len(description)), uint16(len(extra))})
	if !p.known {
		return
	}
	for n := p.bids; n != 0; n = q.bids.links[n-1].next {
		q.emit(b.seller[i], p, &q.bids.links[n-1].val, a)
	}
}

func (q *q23) bid(b *batch, i int) {
	p := q.people.at(uint64(b.bidder[i]))
	r := keepBid(&q.texts, b, i)
	v := q.bids.push(&p.bids, q23Bid{r.price, r.at, r.channel, r.url, r.extra})
	if !p.known {
		return
	}
	for a := p.auctions; a != 0; a = q.auctions.links[a-1].next {
		q.emit(b.bidder[i], p, v, &q.auctions.links[a-1].val)
	}
}

func (q *q23) emit(id int64, p *q23Person, b *q23Bid, a *q23Auction) {
	q.o.row(id, b.price, p.time, a.id, a.initial, a.reserve, a.from, a.until, a.category)
	url := int(b.channel) + int(b.url)
	row := q.texts.at(b.at, url+int(b.extra))
	q.o.text(0, row[:b.channel])
	q.o.text(1, row[b.channel:url])
	q.o.text(2, row[url:])
	row = q.texts.at(p.at, int(p.ends[5]))
	from := uint16(0)
	for k, end := range p.ends {
		q.o.text(3+k, row[from:end])
		from = end
	}
	description := int(a.item) + int(a.description)
	row = q.texts.at(a.at, description+int(a.extra))
	q.o.text(9, row[:a.item])
	q.o.text(10, row[a.item:description])
	q.o.text(11, row[description:])
	q.o.inserts++
}

func (q *q23) state() (rows, bytes int) {
	return q.people.used + len(q.bids.links) + len(q.auctions.links),
		q.people.bytes() + q.texts.bytes() + 32*cap(q.bids.links) + 72*cap(q.auctions.links)
}
