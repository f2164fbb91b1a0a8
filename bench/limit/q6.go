package limit

import "slices"

// q6 averages, for each auction that was won, its price and those of the ten auctions of the same seller won before it, in the order of the
// winning bids. Winning bids are found as in q4; a seller's are a list by time, whose end is where nearly all changes are.
type q6 struct {
	o        *out
	auctions *table[q6Auction]
	early    chains[q4Bid]
	sellers  *table[q6Seller]
	dirty    []uint64
	gone     []q6Row // shown and not there any more
	sold     []int64 // their sellers
	wins     int
}

type q6Auction struct {
	from, until, price, time, seller int64 // price 0: no bid
	waiting                          int32
	known                            bool
}

type q6Seller struct {
	wins  []q6Row
	first int // of the wins whose averages may be others
	dirty bool
}

// q6Row is a winning bid, and the average that was put out for it.
type q6Row struct {
	time, auction, price int64
	sum, n               int64 // n 0: none was
}

const q6Rows = 11

func newQ6(o *out) program {
	return &q6{o: o, auctions: newTable[q6Auction](), sellers: newTable[q6Seller]()}
}

func (q *q6) step(b *batch) {
	for _, i := range b.auctions {
		id := uint64(b.auctionID[i])
		a := q.auctions.at(id)
		a.from, a.until, a.seller, a.known = b.auctionTime[i], b.expires[i], b.seller[i], true
		for a.waiting != 0 {
			early := q.early.pop(&a.waiting)
			q.bid(id, a, early.price, early.time)
		}
	}
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		id := uint64(b.bidAuction[i])
		a := q.auctions.at(id)
		if !a.known {
			q.early.push(&a.waiting, q4Bid{b.price[i], b.bidTime[i]})
		} else if b.price[i] > a.price {
			q.bid(id, a, b.price[i], b.bidTime[i])
		}
	}
	q.emit()
}

func (q *q6) bid(id uint64, a *q6Auction, price, time int64) {
	if price <= a.price || time < a.from || time > a.until {
		return
	}
	s := q.sellers.at(uint64(a.seller))
	if !s.dirty {
		s.dirty, s.first = true, len(s.wins)
		q.dirty = append(q.dirty, uint64(a.seller))
	}
	if a.price > 0 {
		k := s.find(a.time, int64(id))
		if old := s.wins[k]; old.n > 0 {
			q.gone, q.sold = append(q.gone, old), append(q.sold, a.seller)
		}
		s.wins = slices.Delete(s.wins, k, k+1)
		s.first = min(s.first, k)
		q.wins--
	}
	a.price, a.time = price, time
	k := s.find(time, int64(id))
	s.wins = slices.Insert(s.wins, k, q6Row{time: time, auction: int64(id), price: price})
	s.first = min(s.first, k)
	q.wins++
}

// find returns the place of a win, from the end on.
func (s *q6Seller) find(time, auction int64) int {
	k := len(s.wins)
	for k > 0 && (s.wins[k-1].time > time || s.wins[k-1].time == time && s.wins[k-1].auction >= auction) {
		k--
	}
	return k
}

func (q *q6) emit() {
	for k, r := range q.gone {
		q.o.row(q.sold[k], r.sum, r.n)
		q.o.deletes++
	}
	for _, seller := range q.dirty {
		s := q.sellers.get(seller)
		from := max(s.first-q6Rows+1, 0)
		sum := int64(0)
		for k := from; k < len(s.wins); k++ {
			sum += s.wins[k].price
			if k-from >= q6Rows {
				sum -= s.wins[k-q6Rows].price
			}
			if k < s.first {
				continue
			}
			w := &s.wins[k]
			n := int64(min(k-from+1, q6Rows))
			if w.sum == sum && w.n == n {
				continue
			}
			if w.n > 0 {
				q.o.row(int64(seller), w.sum, w.n)
				q.o.deletes++
			}
			q.o.row(int64(seller), sum, n)
			q.o.inserts++
			w.sum, w.n = sum, n
		}
		s.dirty = false
	}
	q.dirty, q.gone, q.sold = q.dirty[:0], q.gone[:0], q.sold[:0]
}

func (q *q6) state() (rows, bytes int) {
	return q.auctions.used + q.early.used + q.wins, q.auctions.bytes() + q.sellers.bytes() + 40*q.wins + 24*cap(q.early.links)
}
