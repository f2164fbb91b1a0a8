package limit

import (
	"bytes"
	"strconv"
	"time"
)

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

type q10 struct{ stateless }

func newQ10(o *out) program { return q10{stateless{o}} }

// The day and the minute are written once and copied while they stay the same.
func (q q10) step(b *batch) {
	q.o.inserts += int64(b.bids)
	copyInts(&q.o.ints[0], b.bidAuction)
	copyInts(&q.o.ints[1], b.bidder)
	copyInts(&q.o.ints[2], b.price)
	copyInts(&q.o.ints[3], b.bidTime)
	copyText(&q.o.texts[0], &b.bidExtra)
	minute := int64(-1)
	var text []byte
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		if m := b.bidTime[i] / microsOfMinute; m != minute {
			minute = m
			text = time2000.Add(time.Duration(m)*time.Minute).AppendFormat(text[:0], "2006-01-0215:04")
		}
		q.o.text(1, text[:10])
		q.o.text(2, text[10:])
	}
}

const microsOfMinute = 60_000_000

// time2000 is the zero of times in columns.
var time2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

type q13 struct {
	stateless
	side text
}

const q13Side = 10_000

// The side input is a table of 10,000 numbers and their texts.
func newQ13(o *out) program {
	q := q13{stateless: stateless{o}, side: text{offsets: []int32{0}}}
	for i := range q13Side {
		q.side.data = strconv.AppendInt(q.side.data, int64(i), 10)
		q.side.offsets = append(q.side.offsets, int32(len(q.side.data)))
	}
	return q
}

func (q q13) step(b *batch) {
	q.o.inserts += int64(b.bids)
	copyInts(&q.o.ints[0], b.bidAuction)
	copyInts(&q.o.ints[1], b.bidder)
	copyInts(&q.o.ints[2], b.price)
	copyInts(&q.o.ints[3], b.bidTime)
	for i, k := range b.kind {
		if k == bid {
			q.o.text(0, q.side.at(int(b.bidAuction[i]%q13Side)))
		}
	}
}

type q21 struct{ stateless }

func newQ21(o *out) program { return q21{stateless{o}} }

var channelID = []byte("&channel_id=")

// Of the four channels with names of their own each has a number; the id of others stands in the address.
func (q q21) step(b *batch) {
	for i, k := range b.kind {
		if k != bid {
			continue
		}
		channel := b.channel.at(i)
		id := hotChannel(channel)
		if id == "" {
			_, rest, ok := bytes.Cut(b.url.at(i), channelID)
			if !ok {
				continue
			}
			rest, _, _ = bytes.Cut(rest, ampersand)
			q.o.text(1, rest)
		} else {
			q.o.string(1, id)
		}
		q.o.row(b.bidAuction[i], b.bidder[i], b.price[i])
		q.o.text(0, channel)
		q.o.inserts++
	}
}

var ampersand = []byte{'&'}

func hotChannel(name []byte) string {
	switch string(name) {
	case "Apple":
		return "0"
	case "Google":
		return "1"
	case "Facebook":
		return "2"
	case "Baidu":
		return "3"
	}
	return ""
}
