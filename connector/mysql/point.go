package mysql

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/binlog"
)

// The ways to name a place in the log.
const (
	byMaria = "mariadb" // MariaDB's GTID position
	byGTID  = "gtid"    // MySQL's set of GTIDs
	byFile  = "file"    // file and offset of one server
)

// point is a place in the log between two transactions, or after some rows of one. It is stored as JSON (docs/format/state.md).
type point struct {
	By   string `json:"by"`
	GTID string `json:"gtid,omitempty"`
	// File and Pos are where this is on the server with the number Server: all there is when By is byFile.
	File   string `json:"file"`
	Pos    uint64 `json:"pos"`
	Server uint32 `json:"server"`
	// Given counts, by table, the rows of the transaction after the point that were already given.
	Given map[string]int `json:"given,omitempty"`
	// Prepared are the beginnings of XA transactions that were prepared before this point and are neither committed nor rolled back.
	Prepared map[string]*point `json:"prepared,omitempty"`

	set   *binlog.Set
	maria *binlog.MariaPosition
}

func parsePoint(b []byte) (*point, error) {
	p := &point{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("read position %q in the binary log: %w", b, err)
	}
	return p, p.parse()
}

func (p *point) parse() (err error) {
	switch p.By {
	case byGTID:
		p.set, err = binlog.ParseSet(p.GTID)
	case byMaria:
		p.maria, err = binlog.ParseMariaPosition(p.GTID)
	case byFile:
	default:
		err = fmt.Errorf("read position in the binary log: kind %q", p.By)
	}
	return err
}

// copy returns a point that does not change with p, without rows given.
func (p *point) copy() *point {
	c := &point{By: p.By, GTID: p.text(), File: p.File, Pos: p.Pos, Server: p.Server}
	if len(p.Prepared) > 0 {
		c.Prepared = make(map[string]*point, len(p.Prepared))
		for k, v := range p.Prepared {
			c.Prepared[k] = v
		}
	}
	return c
}

// text is the GTID part as the server writes it.
func (p *point) text() string {
	switch {
	case p.set != nil:
		return p.set.String()
	case p.maria != nil:
		return p.maria.String()
	}
	return p.GTID
}

// MarshalJSON implements json.Marshaler: the GTID is that of now, the field that of when the point was read.
func (p *point) MarshalJSON() ([]byte, error) {
	type plain point
	now := plain(*p)
	now.GTID = p.text()
	return json.Marshal(&now)
}

// bytes is the point as it is stored.
func (p *point) bytes() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

// resume is the point as it is stored, with rows already given of the transaction after it.
func (p *point) resume(given map[string]int) []byte {
	c := p.copy()
	c.Given = given
	return c.bytes()
}

// txn names a transaction in the log.
type txn struct {
	gtid  binlog.GTID
	maria binlog.MariaGTID
	has   bool         // one of the two
	end   cdc.Position // of its last event
	void  bool         // it changes nothing: a part of an ALTER logged in two phases
	again bool         // it was given before: a replica that lags behind begins with what it has
}

// pass moves the point behind a transaction.
func (p *point) pass(t *txn) {
	if !t.has || t.again {
		return
	}
	switch p.By {
	case byGTID:
		p.set.Add(t.gtid)
	case byMaria:
		p.maria.Add(t.maria)
	}
}

// gave reports whether a transaction was given before the point, for certain: numbers of one server rise.
func (p *point) gave(t *txn) bool {
	switch {
	case p.By == byGTID && t.has:
		return p.set.Has(t.gtid)
	case p.By == byMaria && t.has:
		return p.maria.Passed(t.maria)
	}
	return false
}

// covers reports whether a transaction lies before the point. server is where it was read.
func (p *point) covers(t *txn, server uint32) bool {
	switch {
	case p.By == byGTID && t.has:
		return p.set.Has(t.gtid)
	case p.By == byMaria && t.has:
		return p.maria.Covers(t.maria)
	}
	return p.Server == server && !p.position().Before(t.end)
}

// position is the place on the server that File and Pos are about.
func (p *point) position() cdc.Position { return cdc.Position{A: fileNumber(p.File), B: p.Pos} }

// fileNumber is the number at the end of the name of a file of the log.
func fileNumber(name string) uint64 {
	_, digits, _ := cutLast(name, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// String names the point for messages.
func (p *point) String() string {
	if p.By == byFile {
		return fmt.Sprintf("%s:%d", p.File, p.Pos)
	}
	return cmp.Or(p.text(), fmt.Sprintf("%s:%d", p.File, p.Pos))
}
