package tpch

import (
	"bufio"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"time"
)

// rand is a small generator (splitmix64). Each row has one of its own, so that any row can be made alone.
type rand struct{ s uint64 }

func newRand(seed uint64, table int, row int64) *rand {
	r := &rand{seed*0x9E3779B97F4A7C15 ^ uint64(table)<<56 ^ uint64(row)*0xD1342543DE82EF95}
	r.next()
	return r
}

func (r *rand) next() uint64 {
	r.s += 0x9E3779B97F4A7C15
	z := r.s
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below is uniform in 0 … n-1.
func (r *rand) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// between is uniform in lo … hi, both included.
func (r *rand) between(lo, hi int) int { return lo + r.below(hi-lo+1) }

// Generator makes the rows of the eight tables in PostgreSQL's COPY text form. The same scale and seed give the same rows.
type Generator struct {
	Scale float64
	Seed  uint64
	text  []byte
}

// NewGenerator prepares a generator.
func NewGenerator(scale float64, seed uint64) *Generator {
	return &Generator{Scale: scale, Seed: seed, text: makeText(seed)}
}

// count scales the number of rows of a table.
func (g *Generator) count(atOne int) int { return max(int(float64(atOne)*g.Scale), 1) }

func (g *Generator) suppliers() int { return g.count(10_000) }
func (g *Generator) parts() int     { return g.count(200_000) }
func (g *Generator) customers() int { return g.count(150_000) }
func (g *Generator) orders() int    { return g.count(1_500_000) }

// table numbers keep the random numbers of tables apart.
const (
	inRegion = iota + 1
	inNation
	inSupplier
	inPart
	inPartsupp
	inCustomer
	inOrders
)

// Write writes all rows of a table and returns their number.
func (g *Generator) Write(table string, to io.Writer) (int64, error) {
	w := &rows{w: bufio.NewWriterSize(to, 1<<18)}
	make, ok := map[string]func(*rows){"region": g.region, "nation": g.nation, "supplier": g.supplier, "part": g.part,
		"partsupp": g.partsupp, "customer": g.customer, "orders": g.order, "lineitem": g.lineitem}[table]
	if !ok {
		return 0, fmt.Errorf("generate table %q: there is none", table)
	}
	make(w)
	if err := w.w.Flush(); err != nil {
		return 0, err
	}
	return w.n, w.err
}

// rows writes fields and rows.
type rows struct {
	w   *bufio.Writer
	b   []byte
	n   int64
	err error
}

func (w *rows) sep() {
	if len(w.b) > 0 {
		w.b = append(w.b, '\t')
	}
}

func (w *rows) int(x int) { w.sep(); w.b = strconv.AppendInt(w.b, int64(x), 10) }

func (w *rows) str(s string) { w.sep(); w.b = append(w.b, s...) }

func (w *rows) bytes(s []byte) { w.sep(); w.b = append(w.b, s...) }

// cents writes hundredths.
func (w *rows) cents(x int64) {
	w.sep()
	if x < 0 {
		w.b = append(w.b, '-')
		x = -x
	}
	w.b = strconv.AppendInt(w.b, x/100, 10)
	w.b = append(w.b, '.', byte('0'+x/10%10), byte('0'+x%10))
}

// numbered writes a name with a number of nine digits.
func (w *rows) numbered(name string, x int) {
	w.sep()
	w.b = append(w.b, name...)
	for d := 100_000_000; d > 0; d /= 10 {
		w.b = append(w.b, byte('0'+x/d%10))
	}
}

func (w *rows) date(day int) {
	w.sep()
	w.b = firstDay.AddDate(0, 0, day).AppendFormat(w.b, time.DateOnly)
}

func (w *rows) end() {
	w.b = append(w.b, '\n')
	if _, err := w.w.Write(w.b); err != nil && w.err == nil {
		w.err = err
	}
	w.b = w.b[:0]
	w.n++
}

var firstDay = time.Date(1992, 1, 1, 0, 0, 0, 0, time.UTC)

// Days count from 1992-01-01. Orders end 151 days before 1998-12-31.
const (
	lastOrderDay = 2557 - 1 - 151
	today        = 1263 // 1995-06-17
)

// comment is a piece of the text, lo to hi bytes long.
func (g *Generator) comment(r *rand, lo, hi int) []byte {
	n := r.between(lo, hi)
	at := r.below(len(g.text) - n)
	return g.text[at : at+n]
}

const addressLetters = "0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ,"

func (w *rows) address(r *rand) {
	w.sep()
	for range r.between(10, 40) {
		w.b = append(w.b, addressLetters[r.below(len(addressLetters))])
	}
}

func (w *rows) phone(r *rand, nation int) {
	w.sep()
	w.b = fmt.Appendf(w.b, "%d-%03d-%03d-%04d", nation+10, r.between(100, 999), r.between(100, 999), r.between(1000, 9999))
}

func (g *Generator) region(w *rows) {
	for k, name := range regions {
		w.int(k)
		w.str(name)
		w.bytes(g.comment(newRand(g.Seed, inRegion, int64(k)), 31, 115))
		w.end()
	}
}

func (g *Generator) nation(w *rows) {
	for k, n := range nations {
		w.int(k)
		w.str(n.name)
		w.int(n.region)
		w.bytes(g.comment(newRand(g.Seed, inNation, int64(k)), 31, 114))
		w.end()
	}
}

func (g *Generator) supplier(w *rows) {
	for k := 1; k <= g.suppliers(); k++ {
		r := newRand(g.Seed, inSupplier, int64(k))
		nation := r.below(len(nations))
		w.int(k)
		w.numbered("Supplier#", k)
		w.address(r)
		w.int(nation)
		w.phone(r, nation)
		w.cents(int64(r.between(-99_999, 999_999)))
		text := append([]byte(nil), g.comment(r, 25, 100)...)
		// Five in ten thousand have complaints, five are recommended.
		if x := r.below(2000); x < 2 {
			word := "Complaints"
			if x == 1 {
				word = "Recommends"
			}
			if len(text) < 40 {
				text = append(text, "                    "...)
			}
			copy(text[r.below(5):], "Customer")
			copy(text[20:], word)
		}
		w.bytes(text)
		w.end()
	}
}

// retailPrice is a part's price in cents.
func retailPrice(part int) int64 { return int64(90_000 + part/10%20_001 + 100*(part%1000)) }

func (g *Generator) part(w *rows) {
	name := make([]byte, 0, 60)
	for k := 1; k <= g.parts(); k++ {
		r := newRand(g.Seed, inPart, int64(k))
		name = name[:0]
		var used [5]int
		for i := range used {
			used[i] = r.below(len(colors))
			for j := 0; j < i; j++ {
				if used[j] == used[i] { // five different ones
					used[i] = (used[i] + 1) % len(colors)
					j = -1
				}
			}
			if i > 0 {
				name = append(name, ' ')
			}
			name = append(name, colors[used[i]]...)
		}
		m := r.between(1, 5)
		w.int(k)
		w.bytes(name)
		w.str("Manufacturer#" + strconv.Itoa(m))
		w.str("Brand#" + strconv.Itoa(10*m+r.between(1, 5)))
		w.str(types1[r.below(len(types1))] + " " + types2[r.below(len(types2))] + " " + types3[r.below(len(types3))])
		w.int(r.between(1, 50))
		w.str(containers1[r.below(len(containers1))] + " " + containers2[r.below(len(containers2))])
		w.cents(retailPrice(k))
		w.bytes(g.comment(r, 5, 22))
		w.end()
	}
}

// supplierOf is the i-th of the four suppliers of a part.
func (g *Generator) supplierOf(part, i int) int {
	s := g.suppliers()
	return (part+i*(s/4+(part-1)/s))%s + 1
}

func (g *Generator) partsupp(w *rows) {
	for k := 1; k <= g.parts(); k++ {
		seen := map[int]bool{}
		for i := range 4 {
			r := newRand(g.Seed, inPartsupp, int64(4*k+i))
			s := g.supplierOf(k, i)
			if seen[s] {
				continue // only below scale 0.001
			}
			seen[s] = true
			w.int(k)
			w.int(s)
			w.int(r.between(1, 9999))
			w.cents(int64(r.between(100, 100_000)))
			w.bytes(g.comment(r, 49, 198))
			w.end()
		}
	}
}

func (g *Generator) customer(w *rows) {
	for k := 1; k <= g.customers(); k++ {
		r := newRand(g.Seed, inCustomer, int64(k))
		nation := r.below(len(nations))
		w.int(k)
		w.numbered("Customer#", k)
		w.address(r)
		w.int(nation)
		w.phone(r, nation)
		w.cents(int64(r.between(-99_999, 999_999)))
		w.str(segments[r.below(len(segments))])
		w.bytes(g.comment(r, 29, 116))
		w.end()
	}
}

// line is one lineitem; money is in cents, discount and tax in hundredths.
type line struct {
	part, supplier, quantity     int
	price                        int64
	discount, tax                int
	shipped, committed, received int
	instruct, mode               int
	returned                     byte
	open                         bool
	comment                      []byte
}

// orderOf is an order with its lines.
type orderOf struct {
	key, customer, day, priority, clerk int
	lines                               []line
	comment                             []byte
}

// makeOrder makes the k-th order, from 0. Of 32 keys the first eight are used.
func (g *Generator) makeOrder(k int, o *orderOf) {
	r := newRand(g.Seed, inOrders, int64(k))
	o.key = k/8*32 + k%8 + 1
	o.customer = r.between(1, g.customers())
	for o.customer%3 == 0 && g.customers() > 1 { // a third of the customers never orders
		o.customer = r.between(1, g.customers())
	}
	o.day = r.between(0, lastOrderDay)
	o.priority = r.below(len(priorities))
	o.clerk = r.between(1, g.count(1000))
	o.comment = g.comment(r, 19, 78)
	o.lines = o.lines[:0]
	for range r.between(1, 7) {
		l := line{part: r.between(1, g.parts()), quantity: r.between(1, 50), discount: r.between(0, 10), tax: r.between(0, 8)}
		l.supplier = g.supplierOf(l.part, r.below(4))
		l.price = int64(l.quantity) * retailPrice(l.part)
		l.shipped = o.day + r.between(1, 121)
		l.committed = o.day + r.between(30, 90)
		l.received = l.shipped + r.between(1, 30)
		l.returned = "RA"[r.below(2)]
		if l.received > today {
			l.returned = 'N'
		}
		l.open = l.shipped > today
		l.instruct, l.mode = r.below(len(instructs)), r.below(len(modes))
		l.comment = g.comment(r, 10, 43)
		o.lines = append(o.lines, l)
	}
}

func (g *Generator) order(w *rows) {
	var o orderOf
	for k := range g.orders() {
		g.makeOrder(k, &o)
		total, open := int64(0), 0
		for _, l := range o.lines {
			total += l.price * int64(100+l.tax) / 100 * int64(100-l.discount) / 100
			if l.open {
				open++
			}
		}
		status := "P"
		switch open {
		case 0:
			status = "F"
		case len(o.lines):
			status = "O"
		}
		w.int(o.key)
		w.int(o.customer)
		w.str(status)
		w.cents(total)
		w.date(o.day)
		w.str(priorities[o.priority])
		w.numbered("Clerk#", o.clerk)
		w.int(0)
		w.bytes(o.comment)
		w.end()
	}
}

func (g *Generator) lineitem(w *rows) {
	var o orderOf
	for k := range g.orders() {
		g.makeOrder(k, &o)
		for i, l := range o.lines {
			w.int(o.key)
			w.int(l.part)
			w.int(l.supplier)
			w.int(i + 1)
			w.int(l.quantity)
			w.cents(l.price)
			w.cents(int64(l.discount))
			w.cents(int64(l.tax))
			w.bytes([]byte{l.returned})
			if l.open {
				w.str("O")
			} else {
				w.str("F")
			}
			w.date(l.shipped)
			w.date(l.committed)
			w.date(l.received)
			w.str(instructs[l.instruct])
			w.str(modes[l.mode])
			w.bytes(l.comment)
			w.end()
		}
	}
}
