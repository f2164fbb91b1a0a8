package limit

import "bytes"

// dayStats are the columns that q15 and q16 share: bids, bidders and auctions, each in all and by third of price.
type dayStats struct {
	bids, bidders, auctions [4]int64 // low, middle, high, all
	latest                  int64
}

// third tells which of the three ranges of prices p is in.
func third(p int64) uint8 {
	if p < 10_000 {
		return 0
	}
	if p < 1_000_000 {
		return 1
	}
	return 2
}

const seenAtAll = 3 // bit of a mask, beside the three thirds

// see counts one more distinct value with the mask of what it was seen in.
func see(mask *uint8, third uint8, n *[4]int64) {
	add := 1<<third | uint8(1<<seenAtAll)
	fresh := add &^ *mask
	if fresh == 0 {
		return
	}
	*mask |= add
	n[third] += int64(fresh >> third & 1)
	n[seenAtAll] += int64(fresh >> seenAtAll & 1)
}

func (s *dayStats) emit(o *out) {
	for k := range 4 {
		o.ints[k] = append(o.ints[k], s.bids[k])
		o.ints[4+k] = append(o.ints[4+k], s.bidders[k])
		o.ints[8+k] = append(o.ints[8+k], s.auctions[k])
	}
	o.ints[12] = append(o.ints[12], s.latest)
}

// q15 keeps them for a day; one byte per bidder and per auction says where it was seen.
type q15 struct {
	o                 *out
	day               int64
	bidders, auctions *table[uint8]
	now, shown        dayStats
}

func newQ15(o *out) program {
	return &q15{o: o, bidders: newTable[uint8](), auctions: newTable[uint8]()}
}

func (q *q15) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		if d := b.bidTime[i] / microsOfDay; d != q.day {
			q.emit()
			q.day, q.now, q.shown = d, dayStats{}, dayStats{}
			q.bidders.clear()
			q.auctions.clear()
		}
		t := third(b.price[i])
		q.now.bids[t]++
		q.now.bids[seenAtAll]++
		see(q.bidders.at(uint64(b.bidder[i])), t, &q.now.bidders)
		see(q.auctions.at(uint64(b.bidAuction[i])), t, &q.now.auctions)
	}
	q.emit()
}

func (q *q15) emit() {
	if q.now == q.shown {
		return
	}
	if q.shown.bids[seenAtAll] > 0 {
		q.shown.emit(q.o)
		q.o.deletes++
	}
	q.now.emit(q.o)
	q.o.inserts++
	q.shown = q.now
}

func (q *q15) state() (rows, bytes int) {
	return q.bidders.used + q.auctions.used, q.bidders.bytes() + q.auctions.bytes()
}

// q16 keeps them per channel and day. Channels are numbered as they come.
type q16 struct {
	o                 *out
	numbers           *table[uint32] // by hash of name and day; the name is compared
	groups            []q16Group
	bidders, auctions *table[uint8] // by group and id
	dirty             []uint32
}

type q16Group struct {
	now, shown dayStats
	name       []byte
	day        int64
	dirty      bool
}

func newQ16(o *out) program {
	return &q16{o: o, numbers: newTable[uint32](), bidders: newTable[uint8](), auctions: newTable[uint8]()}
}

func (q *q16) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		n := q.group(b.channel.at(i), b.bidTime[i]/microsOfDay)
		g := &q.groups[n]
		if !g.dirty {
			g.dirty = true
			q.dirty = append(q.dirty, n)
		}
		t := third(b.price[i])
		g.now.bids[t]++
		g.now.bids[seenAtAll]++
		g.now.latest = max(g.now.latest, b.bidTime[i])
		of := uint64(n+1) << 40
		see(q.bidders.at(of|uint64(b.bidder[i])), t, &g.now.bidders)
		see(q.auctions.at(of|uint64(b.bidAuction[i])), t, &g.now.auctions)
	}
	for _, n := range q.dirty {
		g := &q.groups[n]
		if g.shown.bids[seenAtAll] > 0 {
			g.shown.emit(q.o)
			q.o.text(0, g.name)
			q.o.deletes++
		}
		g.now.emit(q.o)
		q.o.text(0, g.name)
		q.o.inserts++
		g.shown, g.dirty = g.now, false
	}
	q.dirty = q.dirty[:0]
}

func (q *q16) group(name []byte, day int64) uint32 {
	for h := hash(name, uint64(day)) | 1; ; h += 2 { // 0 is no key
		n := q.numbers.at(h)
		if *n == 0 {
			q.groups = append(q.groups, q16Group{name: bytes.Clone(name), day: day})
			*n = uint32(len(q.groups))
			return *n - 1
		}
		if g := &q.groups[*n-1]; g.day == day && bytes.Equal(g.name, name) {
			return *n - 1
		}
	}
}

// hash mixes a short text, eight bytes at a time.
func hash(b []byte, seed uint64) uint64 {
	h := seed*spreading + uint64(len(b))
	for len(b) > 0 {
		w := uint64(0)
		n := min(len(b), 8)
		for k := range n {
			w |= uint64(b[k]) << (8 * k)
		}
		h = (h ^ w) * 0xff51afd7ed558ccd
		h ^= h >> 32
		b = b[n:]
	}
	return h
}

func (q *q16) state() (rows, bytes int) {
	return q.bidders.used + q.auctions.used + len(q.groups),
		q.bidders.bytes() + q.auctions.bytes() + q.numbers.bytes() + 256*cap(q.groups)
}
