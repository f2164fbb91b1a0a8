package limit

// q3 joins the persons of three states with their auctions in category 10. Both sides are kept.
type q3 struct {
	o       *out
	names   slab
	persons *table[q3Person]
	sellers *table[int32] // head of the seller's chain of auctions, 1-based
	chain   []q3Auction
}

type q3Person struct {
	at                place
	name, city, state uint8 // lengths
}

type q3Auction struct {
	id   int64
	next int32
}

func newQ3(o *out) program {
	return &q3{o: o, persons: newTable[q3Person](), sellers: newTable[int32]()}
}

func (q *q3) step(b *batch) {
	for _, i := range b.persons {
		q.person(b, int(i))
	}
	for _, i := range b.auctions {
		if b.category[i] == 10 {
			q.auction(b.auctionID[i], uint64(b.seller[i]))
		}
	}
}

func (q *q3) person(b *batch, i int) {
	state := b.personState.at(i)
	if s := string(state); s != "OR" && s != "ID" && s != "CA" {
		return
	}
	name, city := b.personName.at(i), b.personCity.at(i)
	p := q.persons.at(uint64(b.personID[i]))
	at, buf := q.names.alloc(len(name) + len(city) + len(state))
	*p = q3Person{at, uint8(len(name)), uint8(len(city)), uint8(len(state))}
	copy(buf[copy(buf[copy(buf, name):], city)+len(name):], state)
	if head := q.sellers.get(uint64(b.personID[i])); head != nil {
		for a := *head; a != 0; a = q.chain[a-1].next {
			q.emit(p, q.chain[a-1].id)
		}
	}
}

func (q *q3) auction(id int64, seller uint64) {
	head := q.sellers.at(seller)
	q.chain = append(q.chain, q3Auction{id, *head})
	*head = int32(len(q.chain))
	if p := q.persons.get(seller); p != nil {
		q.emit(p, id)
	}
}

func (q *q3) emit(p *q3Person, auction int64) {
	name, city := int(p.name), int(p.name)+int(p.city)
	row := q.names.at(p.at, city+int(p.state))
	q.o.text(0, row[:name])
	q.o.text(1, row[name:city])
	q.o.text(2, row[city:])
	q.o.row(auction)
	q.o.inserts++
}

func (q *q3) state() (rows, bytes int) {
	return q.persons.used + len(q.chain), q.persons.bytes() + q.sellers.bytes() + q.names.bytes() + 16*cap(q.chain)
}
