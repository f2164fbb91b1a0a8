package nexmark

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// texts is a text column while it is being filled, row by row in order.
type texts struct {
	on      bool
	rows    int // rows completed
	offsets []int32
	data    []byte
}

func (t *texts) reset(rows, size int, fresh bool) {
	if fresh || cap(t.offsets) < rows+1 {
		t.offsets = make([]int32, rows+1)
		t.data = make([]byte, 0, size)
	}
	t.offsets, t.data, t.rows = t.offsets[:rows+1], t.data[:0], 0
	t.offsets[0] = 0
}

// put makes b the text of a row; the rows since the one before become empty.
func (t *texts) put(row int, b []byte) {
	if t.on {
		t.skipTo(row)
		t.data = append(t.data, b...)
		t.end()
	}
}

func (t *texts) putString(row int, s string) {
	if t.on {
		t.skipTo(row)
		t.data = append(t.data, s...)
		t.end()
	}
}

func (t *texts) skipTo(row int) {
	for end := int32(len(t.data)); t.rows < row; t.rows++ {
		t.offsets[t.rows+1] = end
	}
}

func (t *texts) end() {
	t.rows++
	t.offsets[t.rows] = int32(len(t.data))
}

// block fills columns with the rows of some events. One goroutine; scratch columns are reused.
type block struct {
	g     *generator
	out   []field // the output columns
	types []sqltypes.Type
	ints  [eventNumber + 1][]int64
	texts [fieldCount]texts
	want  [eventNumber + 1]bool // fields to generate
	valid [all][]uint64         // combined stream: which rows are of the kind
	rows  int
	reuse bool            // the columns of the last chunk may be written again
	sizes [fieldCount]int // bytes per row of text seen so far, for the next batch's room
}

func newBlock(g *generator, out []field, types []sqltypes.Type) *block {
	b := &block{g: g, out: out, types: types}
	for f := range fieldCount {
		b.want[f] = g.generateAll && hasField(g.kind, f)
		b.sizes[f] = fields[f].rowLen
	}
	for _, f := range out {
		if f >= 0 {
			b.want[f] = true
		}
	}
	return b
}

// span is a run of event numbers.
type span struct{ lo, hi int64 }

// countRows counts the rows that a stream of the generator's kind has for s.
func (g *generator) countRows(s span) int {
	if g.kind == all {
		return int(s.hi - s.lo)
	}
	rows := 0
	for n := s.lo; n < s.hi; n++ {
		if kindOf(g.startID+g.number(n)) == g.kind {
			rows++
		}
	}
	return rows
}

// fill makes a chunk of the rows of the spans.
func (b *block) fill(spans []span) *delta.Chunk {
	b.rows = 0
	for _, s := range spans {
		b.rows += b.g.countRows(s)
	}
	b.prepare()
	switch b.g.kind {
	case person:
		b.each(spans, person, b.person)
	case auction:
		b.each(spans, auction, b.auction)
	case bid:
		b.bids(spans)
	default:
		b.each(spans, person, b.person)
		b.each(spans, auction, b.auction)
		b.bids(spans)
	}
	b.numbers(spans)
	return b.chunk()
}

// prepare makes room: new memory for what is handed on, the same again for what is not.
func (b *block) prepare() {
	var fresh [eventNumber + 1]bool
	for _, f := range b.out {
		if f >= 0 {
			fresh[f] = !b.reuse
		}
	}
	for f := range eventNumber + 1 {
		switch {
		case !b.want[f]:
			if f < fieldCount && !f.text() {
				b.ints[f] = b.scratch(b.ints[f])
			}
		case f < fieldCount && f.text():
			rows := b.rows
			if b.g.kind == all {
				rows = rows/cycle*[...]int{1, auctionsEach, cycle - firstBid}[fields[f].kind] + 8
			}
			b.texts[f].on = true
			b.texts[f].reset(b.rows, rows*b.sizes[f]*17/16+64, fresh[f])
		case fresh[f]:
			b.ints[f] = make([]int64, b.rows)
		default:
			b.ints[f] = b.scratch(b.ints[f])
		}
	}
	b.reuse = false
	if b.g.kind == all {
		for k := range b.valid {
			b.valid[k] = make([]uint64, (b.rows+63)/64)
		}
	}
}

func (b *block) scratch(old []int64) []int64 {
	if cap(old) >= b.rows {
		return old[:b.rows]
	}
	return make([]int64, b.rows)
}

// each calls fn for the events of kind k, with their row numbers.
func (b *block) each(spans []span, k kind, fn func(id, num int64, row int)) {
	row, g := 0, b.g
	for _, s := range spans {
		for n := s.lo; n < s.hi; n++ {
			num := g.number(n)
			id := g.startID + num
			if kindOf(id) == k {
				fn(id, num, row)
				if g.kind == all {
					b.valid[k][row>>6] |= 1 << (uint(row) & 63)
				}
			} else if g.kind != all {
				continue
			}
			row++
		}
	}
}

func (b *block) person(id, num int64, row int) {
	g, d := b.g, b.g.draws(id)
	b.ints[personID][row] = firstPersonID + lastPerson(id)
	b.ints[personTime][row] = g.time(num)
	w := d.at(1)
	first, last := firstNames[below(w, int64(len(firstNames)))], lastNames[lowBelow(w, int64(len(lastNames)))]
	w = d.at(2)
	city, state := cities[below(w, int64(len(cities)))], states[lowBelow(w, int64(len(states)))]
	w = d.at(3)
	user, host := piece(g.letters, 3+below(w, 4), d.at(4)), piece(g.letters, 3+lowBelow(w, 2), d.at(5))
	if t := &b.texts[personName]; t.on {
		t.skipTo(row)
		t.data = append(append(append(t.data, first...), ' '), last...)
		t.end()
	}
	if t := &b.texts[personEmail]; t.on {
		t.skipTo(row)
		t.data = append(append(append(append(t.data, user...), '@'), host...), ".com"...)
		t.end()
	}
	if t := &b.texts[personCard]; t.on {
		t.skipTo(row)
		t.data = appendCard(t.data, d.at(6))
		t.end()
	}
	b.texts[personCity].putString(row, city)
	b.texts[personState].putString(row, state)
	size := int64(8 + len(first) + 1 + len(last) + len(user) + 1 + len(host) + 4 + 19 + len(city) + len(state))
	w = d.at(7)
	b.texts[personExtra].put(row, piece(g.letters, extraLen(size, g.avgPerson, w), d.at(8)))
}

// appendCard writes four groups of four digits.
func appendCard(dst []byte, word uint64) []byte {
	for group := range 4 {
		if group > 0 {
			dst = append(dst, ' ')
		}
		n := (word >> (16 * group) & 0xffff) * 10_000 >> 16
		dst = append(dst, byte('0'+n/1000), byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
	}
	return dst
}

func (b *block) auction(id, num int64, row int) {
	g, d := b.g, b.g.draws(id)
	w, at := d.at(1), g.time(num)
	seller := lastPerson(id) / hotBatch * hotBatch
	if !hot(w, g.hotSeller) {
		seller = g.anyPerson(id, w)
	}
	w = d.at(2)
	initial := g.price(d.at(3))
	life := (g.time(num+g.inFlight*cycle/auctionsEach) - at) / 1000 // in milliseconds
	b.ints[auctionID][row] = firstAuction + lastAuction(id)
	b.ints[auctionSeller][row] = firstPersonID + seller
	b.ints[auctionCategory][row] = firstCategory + below(w, g.categories)
	b.ints[auctionInitialBid][row] = initial
	b.ints[auctionReserve][row] = initial + g.price(d.at(4))
	b.ints[auctionTime][row] = at
	b.ints[auctionExpires][row] = at + (1+int64(d.at(5)>>1)%max(life*2, 1))*1000
	w = d.at(6)
	item := trim(piece(g.words, 3+below(w, 17), d.at(7)))
	text := trim(piece(g.words, 3+lowBelow(w, 97), d.at(8)))
	b.texts[auctionItem].put(row, item)
	b.texts[auctionDescription].put(row, text)
	size := int64(48 + len(item) + len(text))
	b.texts[auctionExtra].put(row, piece(g.letters, extraLen(size, g.avgAuction, d.at(9)), d.at(10)))
}

// trim takes the blanks off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// bids is each for bids, which are 46 of 50 events, with everything that the loop needs at hand.
func (b *block) bids(spans []span) {
	g, row := b.g, 0
	auctions, bidders, prices, times := b.ints[bidAuction], b.ints[bidBidder], b.ints[bidPrice], b.ints[bidTime]
	channel, url, extra := &b.texts[bidChannel], &b.texts[bidURL], &b.texts[bidExtra]
	valid, combined := b.valid[bid], g.kind == all
	for _, s := range spans {
		for n := s.lo; n < s.hi; n++ {
			num := g.number(n)
			id := g.startID + num
			if id%cycle < firstBid {
				if combined {
					row++
				}
				continue
			}
			d := g.draws(id)
			w := d.at(1)
			on := lastAuction(id) / hotBatch * hotBatch
			if !hot(w, g.hotAuction) {
				on = g.anyAuction(id, w)
			}
			w = d.at(2)
			by := lastPerson(id)/hotBatch*hotBatch + 1
			if !hot(w, g.hotBidder) {
				by = g.anyPerson(id, w)
			}
			auctions[row] = firstAuction + on
			bidders[row] = firstPersonID + by
			times[row] = g.time(num)
			if b.want[bidPrice] {
				prices[row] = g.price(d.at(3))
			}
			if channel.on || url.on {
				name, link := g.site(d.at(4))
				channel.putString(row, name)
				url.putString(row, link)
			}
			if extra.on {
				w = d.at(5)
				extra.put(row, piece(g.letters, extraLen(32, g.avgBid, w), w))
			}
			if combined {
				valid[row>>6] |= 1 << (uint(row) & 63)
			}
			row++
		}
	}
}

// site draws a bid's channel and its address.
func (g *generator) site(w uint64) (channel, url string) {
	if hot(w, g.hotChannel) {
		i := below(w, int64(len(hotNames)))
		return hotNames[i], g.hotURL[i]
	}
	i := below(w, channels)
	return g.channel[i], g.url[i]
}

// numbers fills the columns that every event has.
func (b *block) numbers(spans []span) {
	types, numbers := b.want[eventType], b.want[eventNumber]
	if !types && !numbers {
		return
	}
	row := 0
	for _, s := range spans {
		for n := s.lo; n < s.hi; n++ {
			k := kindOf(b.g.startID + b.g.number(n))
			if b.g.kind != all && k != b.g.kind {
				continue
			}
			if types {
				b.ints[eventType][row] = int64(k)
			}
			if numbers {
				b.ints[eventNumber][row] = n
			}
			row++
		}
	}
}

// chunk wraps the columns that are asked for.
func (b *block) chunk() *delta.Chunk {
	cols := make([]*delta.Vec, len(b.out))
	for i, f := range b.out {
		cols[i] = b.column(f, b.types[i])
	}
	return delta.NewChunk(cols, nil, b.rows)
}

func (b *block) column(f field, typ sqltypes.Type) *delta.Vec {
	if f < 0 {
		v := delta.NewVec(typ, b.rows)
		v.Valid = make([]uint64, (b.rows+63)/64)
		return v
	}
	var v *delta.Vec
	if f < fieldCount && f.text() {
		t := &b.texts[f]
		t.skipTo(b.rows)
		if n := b.rows; b.g.kind != all && n > 0 {
			b.sizes[f] = len(t.data)/n + 1
		}
		v = delta.BytesVec(typ, t.offsets, t.data)
	} else {
		v = delta.IntVec(typ, b.ints[f])
	}
	if b.g.kind == all && f < fieldCount {
		v.Valid = b.valid[fields[f].kind]
	}
	return v
}
