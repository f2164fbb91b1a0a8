package nexmark

import (
	"math"
	"math/bits"
	"strconv"
	"sync"
)

// The constants of the benchmark's specification.
const (
	cycle         = 50 // events: one person, three auctions, 46 bids
	auctionsEach  = 3  // auctions a cycle
	firstBid      = 4  // place of the first bid in a cycle
	firstPersonID = 1000
	firstAuction  = 1000
	firstCategory = 10
	hotBatch      = 100
	personLead    = 10 // ids ahead of creation that may be referred to
	auctionLead   = 10
	channels      = 10_000
)

var (
	firstNames = [...]string{"Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"}
	lastNames  = [...]string{"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"}
	cities     = [...]string{"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"}
	states     = [...]string{"AZ", "CA", "ID", "OR", "WA", "WY"}
	hotNames   = [...]string{"Google", "Facebook", "Baidu", "Apple"}
)

// generator computes events from their ids. Immutable.
type generator struct {
	config
	*tables
}

// tables are what all events of all streams draw from. They depend on fixed seeds only; immutable.
type tables struct {
	letters []byte // random a–z, substrings of which are texts without blanks
	words   []byte // the same with a blank for each 13th character
	channel []string
	url     []string
	hotURL  [len(hotNames)]string
	exp2    [1024]float64 // 2^(i/1024)
}

// poolBytes is the length of the pools of random text, a power of two.
const poolBytes = 1 << 20

// draws is the random sequence of one event: any number of it can be had without the ones before.
type draws uint64

const golden = 0x9E3779B97F4A7C15

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

func (c *config) draws(id int64) draws {
	return draws(mix(c.seed*0xD1342543DE82EF95 + uint64(id)*golden + 1))
}

// at returns the k-th random word.
func (d draws) at(k uint64) uint64 { return mix(uint64(d) + k*golden) }

// below maps the upper half of a random word to [0, n), n < 2³².
func below(word uint64, n int64) int64 { return int64((word >> 32) * uint64(n) >> 32) }

// lowBelow does the same with the lower half.
func lowBelow(word uint64, n int64) int64 { return int64((word & (1<<32 - 1)) * uint64(n) >> 32) }

// hot decides, with the lower half of a word, with probability 1 − 1/ratio.
func hot(word, ratio uint64) bool { return (word&(1<<32-1))*ratio>>32 > 0 }

func newGenerator(c config) *generator { return &generator{config: c, tables: sharedTables()} }

// sharedTables are made on first use and kept: 3.5 MB.
var sharedTables = sync.OnceValue(newTables)

func newTables() *tables {
	g := &tables{letters: make([]byte, poolBytes), words: make([]byte, poolBytes)}
	d, n := draws(mix(42)), uint64(0)
	next := func(k int64) int64 { n++; return below(d.at(n), k) }
	for i := range g.letters {
		g.letters[i] = byte('a' + next(26))
		g.words[i] = byte('a' + next(26))
		if next(13) == 0 {
			g.words[i] = ' '
		}
	}
	part := func() string { // 3 or 4 characters
		b := make([]byte, 3+next(2))
		for i := range b {
			b[i] = byte('a' + next(26))
			if next(13) == 0 {
				b[i] = '_'
			}
		}
		return string(b)
	}
	url := func() string {
		return "https://www.nexmark.com/" + part() + "/" + part() + "/" + part() + "/item.htm?query=1"
	}
	for i := range g.hotURL {
		g.hotURL[i] = url()
	}
	g.channel, g.url = make([]string, channels), make([]string, channels)
	for i := range channels {
		g.channel[i] = "channel-" + strconv.Itoa(i)
		g.url[i] = url()
		if next(10) > 0 {
			id := int64(int32(bits.Reverse32(uint32(i))))
			g.url[i] += "&channel_id=" + strconv.FormatInt(max(id, -id), 10)
		}
	}
	g.fillExp2()
	return g
}

// fillExp2 uses square roots only, which every machine rounds alike, so that prices do not depend on it.
func (g *tables) fillExp2() {
	for i := range g.exp2 {
		g.exp2[i] = 1
	}
	root := 2.0
	for bit := len(g.exp2) / 2; bit > 0; bit /= 2 {
		root = math.Sqrt(root)
		for i := range g.exp2 {
			if i&bit != 0 {
				g.exp2[i] = float64(g.exp2[i] * root)
			}
		}
	}
}

// price is round(10^(6u)·100), u uniform in [0,1): 2^y with y split into a power, a table step of 1/1024 and a
// rest small enough for three terms of the series. The conversions keep the compiler from fusing.
func (g *tables) price(word uint64) int64 {
	y := float64(float64(word>>11) * (6 * math.Log2E * math.Ln10 / (1 << 53)))
	step := int64(y * 1024)
	r := float64((y - float64(float64(step)*(1.0/1024))) * math.Ln2)
	series := float64(1 + r + float64(float64(r*r)*0.5))
	scale := math.Float64frombits(uint64(1023+step>>10) << 52)
	return int64(float64(float64(float64(g.exp2[step&1023]*series)*scale)*100) + 0.5)
}

// number maps an event's place to the number that its id and time are made of (the out-of-order option).
func (c *config) number(n int64) int64 {
	if c.group == 1 {
		return n
	}
	base := n / c.group * c.group
	return base + n%c.group*953%c.group
}

// time returns an event's time in µs since 2000, a whole number of milliseconds.
func (c *config) time(num int64) int64 {
	return c.base + int64(float64(num)*c.delayMicros)/1000*1000
}

func kindOf(id int64) kind {
	switch rem := id % cycle; {
	case rem == 0:
		return person
	case rem < firstBid:
		return auction
	}
	return bid
}

func lastPerson(id int64) int64 { return id / cycle }

// lastAuction is the number of the newest auction at event id; −1 before the first.
func lastAuction(id int64) int64 {
	epoch, rem := id/cycle, id%cycle
	if rem == 0 {
		return epoch*auctionsEach - 1
	}
	return epoch*auctionsEach + min(rem, auctionsEach) - 1
}

func (c *config) anyPerson(id int64, word uint64) int64 {
	people := lastPerson(id) + 1
	active := min(people, c.activePeople)
	return people - active + below(word, active+personLead)
}

func (c *config) anyAuction(id int64, word uint64) int64 {
	newest := lastAuction(id)
	oldest := max(newest-c.inFlight, 0)
	return oldest + below(word, newest-oldest+1+auctionLead)
}

// extraLen is the length of a filler that brings a row of cur bytes to about avg.
func extraLen(cur, avg int64, word uint64) int64 {
	if cur > avg {
		return 0
	}
	want := avg - cur
	spread := (want + 2) / 5
	return want - spread + below(word, 2*spread)
}

// piece is a random substring of a pool.
func piece(pool []byte, size int64, word uint64) []byte {
	at := word & (poolBytes - 1)
	if at+uint64(size) > poolBytes {
		at -= uint64(size)
	}
	return pool[at : at+uint64(size)]
}
