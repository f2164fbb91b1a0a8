package limit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/millrace/millrace/connector"
)

// event is one event as a test sees it.
type event struct {
	kind                              int64
	id, seller, category, from, until int64 // auction; id and from of a person too
	auction, bidder, price, time      int64
	state, channel, url               string
}

// generate returns the events of a stream one by one.
func generate(t *testing.T, o Options) []event {
	t.Helper()
	r, err := open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var out []event
	var b batch
	for {
		next, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b.load(next.Chunk)
		for i, k := range b.kind {
			e := event{kind: k}
			switch k {
			case 0:
				e.id, e.from, e.state = b.personID[i], b.personTime[i], string(b.personState.at(i))
			case 1:
				e.id, e.seller, e.category, e.from, e.until = b.auctionID[i], b.seller[i], b.category[i], b.auctionTime[i], b.expires[i]
			default:
				e.auction, e.bidder, e.price, e.time = b.bidAuction[i], b.bidder[i], b.price[i], b.bidTime[i]
				e.channel, e.url = string(b.channel.at(i)), string(b.url.at(i))
			}
			out = append(out, e)
		}
		r.(connector.Recycler).Recycle(next)
	}
}

// pair is a key of two numbers.
type pair struct{ a, b int64 }

// naive counts the rows of every query's result in the plainest way there is.
func naive(events []event) map[string]int64 {
	rows := map[string]int64{}
	people, auctions := map[int64]event{}, map[int64]event{}
	opened := map[int64]int64{} // auctions of a seller
	for _, e := range events {
		switch e.kind {
		case 0:
			people[e.id] = e
		case 1:
			auctions[e.id] = e
			opened[e.seller]++
		}
	}
	sellers := map[pair]bool{}
	for _, a := range auctions {
		if p, ok := people[a.seller]; ok {
			if a.category == 10 && (p.state == "OR" || p.state == "ID" || p.state == "CA") {
				rows["q3"]++
			}
			if w := a.from / q8Size; w == p.from/q8Size {
				sellers[pair{a.seller, w}] = true
			}
		}
	}
	rows["q8"] = int64(len(sellers))
	categories, won, perBidder, perPair := map[int64]bool{}, map[int64]bool{}, map[pair]bool{}, map[pair]bool{}
	perAuction, channels, highest := map[int64]int64{}, map[string]bool{}, map[int64]int64{}
	hops := map[int64]map[int64]int64{}
	lastBid := map[int64]int64{} // of a bidder
	for _, e := range events {
		if e.kind != bid {
			continue
		}
		for _, q := range []string{"q0", "q1", "q10", "q13", "q22"} {
			rows[q]++
		}
		if e.auction%123 == 0 {
			rows["q2"]++
		}
		if euros := e.price * 908; euros > 1_000_000_000 && euros < 50_000_000_000 {
			rows["q14"]++
		}
		if hotChannel([]byte(e.channel)) != "" || bytes.Contains([]byte(e.url), channelID) {
			rows["q21"]++
		}
		a, ok := auctions[e.auction]
		if ok && e.time >= a.from && e.time <= a.until {
			categories[a.category], won[a.id] = true, true
		}
		if ok && a.category == 10 {
			rows["q20"]++
		}
		if _, ok := people[e.bidder]; ok {
			rows["q23"] += opened[e.bidder]
		}
		perBidder[pair{e.bidder, e.time / q12Size}], perPair[pair{e.bidder, e.auction}] = true, true
		perAuction[e.auction]++
		if last, ok := lastBid[e.bidder]; !ok || e.time-last >= q11Gap {
			rows["q11"]++
		}
		lastBid[e.bidder] = e.time
		channels[e.channel] = true
		w := e.time / q7Size
		highest[w] = max(highest[w], e.price)
		for s := e.time/q5Slide - q5Slides + 1; s <= e.time/q5Slide; s++ {
			if hops[s] == nil {
				hops[s] = map[int64]int64{}
			}
			hops[s][e.auction]++
		}
	}
	rows["q4"], rows["q9"], rows["q12"], rows["q18"] = int64(len(categories)), int64(len(won)), int64(len(perBidder)), int64(len(perPair))
	rows["q6"] = rows["q9"]
	rows["q15"], rows["q16"], rows["q17"] = 1, int64(len(channels)), int64(len(perAuction))
	for _, n := range perAuction {
		rows["q19"] += min(n, q19Places)
	}
	for _, counts := range hops {
		most := int64(0)
		for _, n := range counts {
			most = max(most, n)
		}
		for _, n := range counts {
			if n == most {
				rows["q5"]++
			}
		}
	}
	for _, e := range events {
		if e.kind != bid {
			continue
		}
		w := e.time / q7Size
		if e.price == highest[w] {
			rows["q7"]++
		}
		if e.time == w*q7Size && e.price == highest[w-1] {
			rows["q7"]++
		}
	}
	return rows
}

func TestProgramsAgreeWithNaiveCounts(t *testing.T) {
	for name, o := range map[string]Options{
		"many windows": {Events: 40_000, EventRate: 1000, Seed: 3},
		"one window":   {Events: 20_000, EventRate: 1_000_000, Seed: 1},
		"odd length":   {Events: 4_321, EventRate: 700, Seed: -5},
	} {
		want := naive(generate(t, o))
		for _, q := range Queries() {
			r, err := Run(context.Background(), q, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Events != o.Events || r.Rows != want[q] {
				t.Errorf("%s, %s: %d rows of %d events, want %d", name, q, r.Rows, r.Events, want[q])
			}
		}
	}
}

func TestUnknownQuery(t *testing.T) {
	if _, err := Run(context.Background(), "q99", Options{Events: 1, EventRate: 1}); err == nil {
		t.Error("q99 ran")
	}
}

func TestTable(t *testing.T) {
	tab := newTable[int]()
	for k := uint64(1); k < 50_000; k += 7 {
		*tab.at(k) = int(k)
	}
	for k := uint64(1); k < 50_000; k++ {
		v := tab.get(k)
		if (k%7 == 1) != (v != nil) || v != nil && *v != int(k) {
			t.Fatalf("key %d: %v", k, v)
		}
	}
}

func TestSlabUsesPlacesAgain(t *testing.T) {
	var s slab
	a, buf := s.alloc(40)
	copy(buf, "first")
	b, _ := s.alloc(40)
	s.free(a, 40)
	if c, _ := s.alloc(50); c != a {
		t.Errorf("place %d instead of the freed %d", c, a)
	}
	if b == a || s.bytes() != blockBytes {
		t.Errorf("places %d and %d in %d bytes", a, b, s.bytes())
	}
}
