package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The messages of pgoutput, protocol version 1 (PostgreSQL documentation, "Logical Replication Message Formats"): the server puts a
// transaction together, on its own disk if need be, and sends it when it has committed. That is why version 1 is asked for and not
// a newer one, which sends pieces of transactions that may still be rolled back.
const (
	msgBegin    = 'B'
	msgCommit   = 'C'
	msgRelation = 'R'
	msgInsert   = 'I'
	msgUpdate   = 'U'
	msgDelete   = 'D'
	msgTruncate = 'T'
)

var errMalformed = errors.New("malformed message of pgoutput")

// parser reads the fields of a message; after the first that does not fit, all are zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n int) []byte {
	if n < 0 || len(p.b) < n {
		p.bad, p.b = true, nil
		return nil
	}
	out := p.b[:n:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) u8() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) u16() int {
	if b := p.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (p *parser) u32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) u64() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (p *parser) text() string {
	i := bytes.IndexByte(p.b, 0)
	if i < 0 {
		p.bad, p.b = true, nil
		return ""
	}
	s := string(p.b[:i])
	p.b = p.b[i+1:]
	return s
}

func (p *parser) err() error {
	if p.bad {
		return errMalformed
	}
	return nil
}

// begin opens a transaction. final is where its commit record begins, which tells it from all others; at is the time of the commit in
// microseconds since 2000-01-01 UTC.
type begin struct {
	final lsn
	at    int64
}

func parseBegin(b []byte) (begin, error) {
	p := parser{b: b}
	m := begin{final: lsn(p.u64()), at: int64(p.u64())}
	p.u32() // transaction id
	return m, p.err()
}

// parseCommit returns where the transaction ends in the log.
func parseCommit(b []byte) (lsn, error) {
	p := parser{b: b}
	p.u8()
	p.u64()
	end := lsn(p.u64())
	p.u64()
	return end, p.err()
}

// relationMessage describes a table ahead of its first change, and again when it may have changed.
type relationMessage struct {
	oid          uint32
	schema, name string
	identity     byte
	cols         []sent
}

func parseRelation(b []byte) (*relationMessage, error) {
	p := parser{b: b}
	m := &relationMessage{oid: p.u32(), schema: p.text(), name: p.text(), identity: p.u8()}
	for n := p.u16(); n > 0 && !p.bad; n-- {
		flags := p.u8()
		m.cols = append(m.cols, sent{key: flags&1 != 0, name: p.text(), typ: p.u32(), mod: int32(p.u32())})
	}
	return m, p.err()
}

// The kinds of a value in a tuple.
const (
	valueNull      = 'n'
	valueUnchanged = 'u' // stored out of line and not touched: the log does not have it
	valueText      = 't'
)

// value is one column of a tuple. Text aliases the message.
type value struct {
	kind byte
	text []byte
}

// tuple reads into room, which is used again.
func (p *parser) tuple(room []value) []value {
	room = room[:0]
	for n := p.u16(); n > 0 && !p.bad; n-- {
		v := value{kind: p.u8()}
		switch v.kind {
		case valueNull, valueUnchanged:
		case valueText:
			v.text = p.take(int(p.u32()))
		default:
			p.bad = true
		}
		room = append(room, v)
	}
	return room
}

// rowChange is an insert, update or delete. Its tuples alias the message.
type rowChange struct {
	oid uint32
	// oldKind is 'K' when old has the columns of the replica identity only, 'O' when it has all, 0 when there is none.
	oldKind  byte
	old, row []value
	hasRow   bool
}

// parse reads a message of one of the three kinds.
func (c *rowChange) parse(kind byte, b []byte) error {
	p := parser{b: b}
	c.oid, c.oldKind, c.hasRow = p.u32(), 0, false
	part := p.u8()
	if kind != msgInsert && (part == 'K' || part == 'O') {
		c.oldKind = part
		c.old = p.tuple(c.old)
		if kind == msgUpdate {
			part = p.u8()
		}
	}
	if kind != msgDelete {
		if part != 'N' {
			return errMalformed
		}
		c.row, c.hasRow = p.tuple(c.row), true
	}
	if kind == msgDelete && c.oldKind == 0 {
		return errMalformed
	}
	return p.err()
}

// parseTruncate lists the tables that were emptied.
func parseTruncate(b []byte) ([]uint32, error) {
	p := parser{b: b}
	n := p.u32()
	p.u8()
	var oids []uint32
	for ; n > 0 && !p.bad; n-- {
		oids = append(oids, p.u32())
	}
	return oids, p.err()
}
