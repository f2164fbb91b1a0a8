package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MariaGTID is the name of one transaction of MariaDB, and what its event says of it.
type MariaGTID struct {
	Domain, Server uint32
	Number         uint64
	// Standalone: a single event follows, without an end of its own.
	Standalone bool
	// PreparedXA: what follows is prepared only.
	PreparedXA bool
	// AlterStarts and AlterFails mark parts of an ALTER logged in two phases which change nothing.
	AlterStarts, AlterFails bool
}

// Flags of the event.
const (
	mariaStandalone    = 0x01
	mariaGroupCommit   = 0x02
	mariaPreparedXA    = 0x40
	mariaCompletedXA   = 0x80
	mariaMultiEngine   = 0x01 // of the second byte of flags
	mariaStartAlter    = 0x02
	mariaRollbackAlter = 0x08
)

// ReadMariaGTID reads a TypeMariaGTID.
func ReadMariaGTID(e Event) (MariaGTID, error) {
	b := e.Body
	if len(b) < 13 {
		return MariaGTID{}, errShort
	}
	flags := b[12]
	g := MariaGTID{Domain: binary.LittleEndian.Uint32(b[8:]), Server: e.ServerID, Number: binary.LittleEndian.Uint64(b),
		Standalone: flags&mariaStandalone != 0, PreparedXA: flags&mariaPreparedXA != 0}
	b = b[13:]
	if flags&mariaGroupCommit != 0 {
		b = b[min(8, len(b)):]
	}
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 && len(b) >= 6 {
		b = b[min(6+int(b[4])+int(b[5]), len(b)):]
	}
	if len(b) > 0 && flags&mariaGroupCommit == 0 || len(b) > 1 {
		g.AlterStarts, g.AlterFails = b[0]&mariaStartAlter != 0, b[0]&mariaRollbackAlter != 0
	}
	return g, nil
}

// MariaPosition is the last transaction of each domain. The zero value is the beginning.
type MariaPosition struct {
	last map[uint32]MariaGTID
}

var errMariaPosition = errors.New("not a GTID position of MariaDB")

// ParseMariaPosition reads a position as MariaDB writes it: 0-1-100,1-2-7.
func ParseMariaPosition(s string) (*MariaPosition, error) {
	p := &MariaPosition{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		f := strings.Split(part, "-")
		if len(f) != 3 {
			return nil, fmt.Errorf("read %q: %w", part, errMariaPosition)
		}
		domain, err1 := strconv.ParseUint(f[0], 10, 32)
		server, err2 := strconv.ParseUint(f[1], 10, 32)
		n, err3 := strconv.ParseUint(f[2], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("read %q: %w", part, errMariaPosition)
		}
		p.Add(MariaGTID{Domain: uint32(domain), Server: uint32(server), Number: n})
	}
	return p, nil
}

// Add moves the position on to a transaction.
func (p *MariaPosition) Add(g MariaGTID) {
	if p.last == nil {
		p.last = map[uint32]MariaGTID{}
	}
	p.last[g.Domain] = MariaGTID{Domain: g.Domain, Server: g.Server, Number: g.Number}
}

// String writes the position as MariaDB does.
func (p *MariaPosition) String() string {
	var b []byte
	for i, d := range slices.Sorted(maps.Keys(p.last)) {
		if i > 0 {
			b = append(b, ',')
		}
		g := p.last[d]
		b = strconv.AppendUint(b, uint64(d), 10)
		b = strconv.AppendUint(append(b, '-'), uint64(g.Server), 10)
		b = strconv.AppendUint(append(b, '-'), g.Number, 10)
	}
	return string(b)
}

// Covers reports whether a transaction lies at or before the position.
func (p *MariaPosition) Covers(g MariaGTID) bool {
	last, ok := p.last[g.Domain]
	return ok && g.Number <= last.Number
}

// Passed reports whether a transaction is the last one of its domain, or an earlier one of the same server.
func (p *MariaPosition) Passed(g MariaGTID) bool {
	last, ok := p.last[g.Domain]
	return ok && g.Server == last.Server && g.Number <= last.Number
}
