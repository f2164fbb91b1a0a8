package limit

import (
	"math/bits"

	"github.com/millrace/millrace/internal/delta"
)

// bid is the value of event_type that bids have.
const bid = 2

// text is a column of strings.
type text struct {
	offsets []int32
	data    []byte
}

func (t *text) at(i int) []byte { return t.data[t.offsets[i]:t.offsets[i+1]] }

// batch is some events. Row i of a column has a meaning where kind[i] is that column's kind of event.
type batch struct {
	rows int
	kind []int64
	// Where the few persons and auctions are, and how many bids there are.
	persons, auctions []int32
	bids              int

	personID, personTime                                                      []int64
	personName, personEmail, personCard, personCity, personState, personExtra text

	auctionID, initialBid, reserve, auctionTime, expires, seller, category []int64
	item, description, auctionExtra                                        text

	bidAuction, bidder, price, bidTime []int64
	channel, url, bidExtra             text
}

// columns is how many the combined stream has: event_type, 8 of persons, 10 of auctions, 7 of bids.
const columns = 26

// load points the batch at a chunk's columns, which come in the order of the source's schema.
func (b *batch) load(c *delta.Chunk) {
	b.rows = c.Rows
	next := 0
	ints := func(to *[]int64) { *to = c.Cols[next].Ints[:c.Rows]; next++ }
	texts := func(to *text) { *to = text{c.Cols[next].Offsets, c.Cols[next].Data}; next++ }
	ints(&b.kind)
	ints(&b.personID)
	for _, t := range []*text{&b.personName, &b.personEmail, &b.personCard, &b.personCity, &b.personState} {
		texts(t)
	}
	ints(&b.personTime)
	texts(&b.personExtra)
	ints(&b.auctionID)
	texts(&b.item)
	texts(&b.description)
	for _, v := range []*[]int64{&b.initialBid, &b.reserve, &b.auctionTime, &b.expires, &b.seller, &b.category} {
		ints(v)
	}
	texts(&b.auctionExtra)
	for _, v := range []*[]int64{&b.bidAuction, &b.bidder, &b.price} {
		ints(v)
	}
	texts(&b.channel)
	texts(&b.url)
	ints(&b.bidTime)
	texts(&b.bidExtra)
	b.persons = set(b.persons[:0], c.Cols[1].Valid)
	b.auctions = set(b.auctions[:0], c.Cols[9].Valid)
	b.bids = b.rows - len(b.persons) - len(b.auctions)
}

// set lists the bits that are set.
func set(to []int32, words []uint64) []int32 {
	for k, w := range words {
		for ; w != 0; w &= w - 1 {
			to = append(to, int32(64*k+bits.TrailingZeros64(w)))
		}
	}
	return to
}

// out is where results go: columns that are written again for each batch.
type out struct {
	ints             [16][]int64
	texts            [12]text
	inserts, deletes int64
}

func newOut() *out {
	o := &out{}
	o.reset()
	return o
}

func (o *out) reset() {
	for k := range o.ints {
		o.ints[k] = o.ints[k][:0]
	}
	for k := range o.texts {
		o.texts[k].offsets = append(o.texts[k].offsets[:0], 0)
		o.texts[k].data = o.texts[k].data[:0]
	}
}

// row appends a row's integers to the first columns.
func (o *out) row(vals ...int64) {
	for k, v := range vals {
		o.ints[k] = append(o.ints[k], v)
	}
}

func (o *out) text(k int, b []byte) {
	t := &o.texts[k]
	t.data = append(t.data, b...)
	t.offsets = append(t.offsets, int32(len(t.data)))
}

func (o *out) string(k int, s string) {
	t := &o.texts[k]
	t.data = append(t.data, s...)
	t.offsets = append(t.offsets, int32(len(t.data)))
}
