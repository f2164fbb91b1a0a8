package limit

// q18 keeps the last bid of each bidder on each auction, whole. Within a batch only the last one counts.
type q18 struct {
	o     *out
	kept  *table[bidRow] // by bidder and auction
	texts slab
	last  *table[int32] // of the batch: position in rows + 1
	keys  []uint64
	rows  []int32
}

// bidRow is a bid in state; its texts lie in a slab.
type bidRow struct {
	price, time         int64
	at                  place // channel, url, extra
	channel, url, extra uint8
}

// keepBid copies row i's texts into a slab.
func keepBid(s *slab, b *batch, i int) bidRow {
	channel, url, extra := b.channel.at(i), b.url.at(i), b.bidExtra.at(i)
	at, buf := s.alloc(len(channel) + len(url) + len(extra))
	copy(buf, channel)
	copy(buf[len(channel):], url)
	copy(buf[len(channel)+len(url):], extra)
	return bidRow{b.price[i], b.bidTime[i], at, uint8(len(channel)), uint8(len(url)), uint8(len(extra))}
}

func (r *bidRow) size() int { return int(r.channel) + int(r.url) + int(r.extra) }

// emit puts a bid into the first columns.
func (r *bidRow) emit(o *out, s *slab, auction, bidder int64) {
	c := &o.ints
	c[0], c[1], c[2], c[3] = append(c[0], auction), append(c[1], bidder), append(c[2], r.price), append(c[3], r.time)
	row, url := s.at(r.at, r.size()), int(r.channel)+int(r.url)
	o.text(0, row[:r.channel])
	o.text(1, row[r.channel:url])
	o.text(2, row[url:])
}

func newQ18(o *out) program {
	return &q18{o: o, kept: newTable[bidRow](), last: newTable[int32]()}
}

func (q *q18) step(b *batch) {
	q.keys, q.rows = q.keys[:0], q.rows[:0]
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		key := uint64(b.bidder[i])<<32 | uint64(b.bidAuction[i])
		n := q.last.at(key)
		if *n == 0 {
			q.keys, q.rows = append(q.keys, key), append(q.rows, int32(i))
			*n = int32(len(q.rows))
		} else if b.bidTime[i] >= b.bidTime[q.rows[*n-1]] {
			q.rows[*n-1] = int32(i)
		}
	}
	clear(q.last.cells)
	q.last.used = 0
	for n, key := range q.keys {
		q.keep(key, b, int(q.rows[n]))
	}
}

func (q *q18) keep(key uint64, b *batch, i int) {
	r := q.kept.at(key)
	auction, bidder := b.bidAuction[i], b.bidder[i]
	if r.price > 0 {
		r.emit(q.o, &q.texts, auction, bidder)
		q.o.deletes++
		q.texts.free(r.at, r.size())
	}
	*r = keepBid(&q.texts, b, i)
	r.emit(q.o, &q.texts, auction, bidder)
	q.o.inserts++
}

func (q *q18) state() (rows, bytes int) { return q.kept.used, q.kept.bytes() + q.texts.bytes() }
