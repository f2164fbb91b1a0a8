package limit

import "bytes"

// stateless is what the programs without state share.
type stateless struct{ o *out }

func (stateless) state() (rows, bytes int) { return 0, 0 }

// copyInts and copyText copy a whole column, gaps included: a batch's columns are used again.
func copyInts(to *[]int64, from []int64) { *to = append((*to)[:0], from...) }

func copyText(to *text, from *text) {
	to.offsets = append(to.offsets[:0], from.offsets...)
	to.data = append(to.data[:0], from.data...)
}

type q0 struct{ stateless }

func newQ0(o *out) program { return q0{stateless{o}} }

func (q q0) step(b *batch) {
	q.o.inserts += int64(b.bids)
	copyInts(&q.o.ints[0], b.bidAuction)
	copyInts(&q.o.ints[1], b.bidder)
	copyInts(&q.o.ints[2], b.price)
	copyInts(&q.o.ints[3], b.bidTime)
	copyText(&q.o.texts[0], &b.bidExtra)
}

type q1 struct{ stateless }

func newQ1(o *out) program { return q1{stateless{o}} }

// Prices are exact decimals of three places: thousandths as integers. The other columns are passed on as they are.
func (q q1) step(b *batch) {
	q.o.inserts += int64(b.bids)
	euros := q.o.ints[0]
	if cap(euros) < b.rows {
		euros = make([]int64, b.rows)
	}
	euros = euros[:b.rows]
	for i, p := range b.price[:len(euros)] {
		euros[i] = p * 908
	}
	q.o.ints[0] = euros
}

type q2 struct{ stateless }

func newQ2(o *out) program { return q2{stateless{o}} }

func (q q2) step(b *batch) {
	auctions, prices := q.o.ints[0], q.o.ints[1]
	for i, a := range b.bidAuction {
		if uint64(a)%123 == 0 && b.kind[i] == bid {
			auctions, prices = append(auctions, a), append(prices, b.price[i])
		}
	}
	q.o.ints[0], q.o.ints[1] = auctions, prices
	q.o.inserts += int64(len(auctions))
}

type q14 struct{ stateless }

func newQ14(o *out) program { return q14{stateless{o}} }

const (
	microsOfHour = 3_600_000_000
	microsOfDay  = 24 * microsOfHour
)

func (q q14) step(b *batch) {
	for i, p := range b.price {
		p *= 908
		if p <= 1_000_000_000 || p >= 50_000_000_000 || b.kind[i] != bid {
			continue
		}
		name := "otherTime"
		if h := b.bidTime[i] % microsOfDay / microsOfHour; h >= 8 && h <= 18 {
			name = "dayTime"
		} else if h <= 6 || h >= 20 {
			name = "nightTime"
		}
		extra := b.bidExtra.at(i)
		q.o.row(b.bidAuction[i], b.bidder[i], p, b.bidTime[i], int64(bytes.Count(extra, []byte{'c'})))
		q.o.string(0, name)
		q.o.text(1, extra)
		q.o.inserts++
	}
}

type q22 struct{ stateless }

func newQ22(o *out) program { return q22{stateless{o}} }

func (q q22) step(b *batch) {
	q.o.inserts += int64(b.bids)
	copyInts(&q.o.ints[0], b.bidAuction)
	copyInts(&q.o.ints[1], b.bidder)
	copyInts(&q.o.ints[2], b.price)
	copyText(&q.o.texts[0], &b.channel)
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		rest := b.url.at(i)
		for range 3 { // https: and two slashes, then the host
			_, rest, _ = bytes.Cut(rest, slash)
		}
		for part := range 3 {
			var dir []byte
			dir, rest, _ = bytes.Cut(rest, slash)
			q.o.text(1+part, dir)
		}
	}
}

var slash = []byte{'/'}
