package limit

// q4 averages, per category, the highest valid bid of each auction. Auction ids are unique and streams only grow, so
// that a bid need be kept only until its auction is known.
type q4 struct {
	o        *out
	auctions *table[q4Auction]
	early    chains[q4Bid]
	sum, n   [64]int64 // by category
	shown    [64]struct{ sum, n int64 }
	changed  []int64
	isMarked [64]bool
}

type q4Auction struct {
	from, until, highest int64
	category             int32 // 0: not known yet
	waiting              int32 // head of a chain of early bids
}

type q4Bid struct{ price, time int64 }

func newQ4(o *out) program { return &q4{o: o, auctions: newTable[q4Auction]()} }

func (q *q4) step(b *batch) {
	for _, i := range b.auctions {
		a := q.auctions.at(uint64(b.auctionID[i]))
		a.from, a.until, a.category = b.auctionTime[i], b.expires[i], int32(b.category[i])
		for a.waiting != 0 {
			early := q.early.pop(&a.waiting)
			q.bid(a, early.price, early.time)
		}
	}
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		a := q.auctions.at(uint64(b.bidAuction[i]))
		if a.category == 0 {
			q.early.push(&a.waiting, q4Bid{b.price[i], b.bidTime[i]})
		} else if b.price[i] > a.highest {
			q.bid(a, b.price[i], b.bidTime[i])
		}
	}
	q.emit()
}

func (q *q4) bid(a *q4Auction, price, time int64) {
	if price <= a.highest || time < a.from || time > a.until {
		return
	}
	c := a.category & 63
	if a.highest == 0 {
		q.n[c]++
	}
	q.sum[c] += price - a.highest
	a.highest = price
	if !q.isMarked[c] {
		q.isMarked[c] = true
		q.changed = append(q.changed, int64(c))
	}
}

func (q *q4) emit() {
	for _, c := range q.changed {
		if s := &q.shown[c]; s.n > 0 {
			q.o.row(c, s.sum, s.n, s.sum/s.n)
			q.o.deletes++
		}
		q.shown[c].sum, q.shown[c].n = q.sum[c], q.n[c]
		q.o.row(c, q.sum[c], q.n[c], q.sum[c]/q.n[c])
		q.o.inserts++
		q.isMarked[c] = false
	}
	q.changed = q.changed[:0]
}

func (q *q4) state() (rows, bytes int) {
	return q.auctions.used + q.early.used, q.auctions.bytes() + 24*cap(q.early.links)
}

// chains are singly linked lists in one array, with free links used again. Heads are 1-based; 0 is an empty chain.
type chains[V any] struct {
	links []link[V]
	spare int32
	used  int
}

type link[V any] struct {
	val  V
	next int32
}

func (c *chains[V]) push(head *int32, v V) {
	c.used++
	i := c.spare
	if i == 0 {
		c.links = append(c.links, link[V]{})
		i = int32(len(c.links))
	} else {
		c.spare = c.links[i-1].next
	}
	c.links[i-1] = link[V]{v, *head}
	*head = i
}

func (c *chains[V]) pop(head *int32) V {
	c.used--
	l := &c.links[*head-1]
	spare := *head
	*head = l.next
	l.next = c.spare
	c.spare = spare
	return l.val
}
