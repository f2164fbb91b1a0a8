package limit

// q8 finds the persons who opened auctions in the window of 10 s in which they signed up. Windows that are over
// are forgotten: times ascend.
type q8 struct {
	o          *out
	window     int64
	people     *table[q8Person]
	names      slab
	rows, size int // the most there were
}

type q8Person struct {
	at                      place
	name                    uint8
	known, sells, wasPutOut bool
}

const q8Size = 10_000_000

func newQ8(o *out) program { return &q8{o: o, people: newTable[q8Person]()} }

func (q *q8) step(b *batch) {
	// Persons and auctions of a batch may lie in two windows: they are taken in order of time.
	p, a := b.persons, b.auctions
	for len(p)+len(a) > 0 {
		if len(a) == 0 || len(p) > 0 && p[0] < a[0] {
			q.person(b, int(p[0]))
			p = p[1:]
		} else {
			q.auction(b, int(a[0]))
			a = a[1:]
		}
	}
}

func (q *q8) person(b *batch, i int) {
	q.turn(b.personTime[i])
	v := q.people.at(uint64(b.personID[i]))
	name := b.personName.at(i)
	var buf []byte
	v.at, buf = q.names.alloc(len(name))
	copy(buf, name)
	v.name, v.known = uint8(len(name)), true
	q.emit(v, b.personID[i])
}

func (q *q8) auction(b *batch, i int) {
	q.turn(b.auctionTime[i])
	v := q.people.at(uint64(b.seller[i]))
	v.sells = true
	q.emit(v, b.seller[i])
}

// turn begins another window when the time has come.
func (q *q8) turn(time int64) {
	w := time / q8Size
	if w == q.window {
		return
	}
	q.note()
	q.window = w
	q.people.clear()
	q.names = slab{}
}

func (q *q8) note() {
	q.rows, q.size = max(q.rows, q.people.used), max(q.size, q.people.bytes()+q.names.bytes())
}

func (q *q8) emit(v *q8Person, id int64) {
	if v.wasPutOut || !v.known || !v.sells {
		return
	}
	v.wasPutOut = true
	q.o.row(id, q.window*q8Size)
	q.o.text(0, q.names.at(v.at, int(v.name)))
	q.o.inserts++
}

func (q *q8) state() (rows, bytes int) {
	q.note()
	return q.rows, q.size
}
