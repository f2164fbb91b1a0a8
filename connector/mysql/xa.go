package mysql

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"

	"github.com/millrace/millrace/connector/mysql/binlog"
)

// replay is an XA transaction that has been committed, while its rows are read again from where it was prepared.
type replay struct {
	log *binlogReader
	key string // among the prepared; "" when it was committed in one phase
}

// prepared takes the end of an XA transaction's rows: they are given when it is committed, which here and now may be.
func (s *Stream) prepared(ctx context.Context, e binlog.Event) error {
	if s.replayed != nil {
		err := s.replayed.log.close()
		s.forget(s.replayed.key)
		s.replayed = nil
		s.endTxn()
		return err
	}
	if s.txn.again {
		s.endTxn()
		return nil
	}
	if binlog.XAPrepare(e) {
		return s.replay(ctx, s.at, "")
	}
	key, err := xidOfEvent(e)
	if err != nil {
		return err
	}
	from := s.at.copy()
	from.Prepared = nil
	if err := from.parse(); err != nil {
		return err
	}
	s.at.Prepared = maps.Clone(s.at.Prepared)
	if s.at.Prepared == nil {
		s.at.Prepared = map[string]*point{}
	}
	s.at.Prepared[key] = from
	s.endTxn()
	return nil
}

// xaCommit gives the rows of an XA transaction that was prepared before.
func (s *Stream) xaCommit(ctx context.Context, text string) error {
	if s.txn.again {
		s.endTxn()
		return nil
	}
	key := xidOf(text)
	from, ok := s.at.Prepared[key]
	if !ok {
		// It was prepared before we began to read: what it did is in no snapshot, and is not known.
		for _, c := range s.tables {
			if c.t.Failed() {
				continue
			}
			if err := s.stopOnly(c, s.again(c)); err != nil {
				return err
			}
		}
		if n := len(s.queue); n > 0 {
			s.queue[n-1].Resume = nil
		}
		s.endTxn()
		return nil
	}
	s.open, s.alone = true, false
	if err := from.parse(); err != nil {
		return err
	}
	return s.replay(ctx, from, key)
}

// again has a table read anew from its beginning.
func (s *Stream) again(c *capture) error {
	m := &move{recopy: true, clear: true}
	for _, col := range c.shape.Columns {
		m.next = append(m.next, nextColumn{column: col, from: col.Name})
	}
	return s.move(c, m, nil, false, s.behind())
}

// replay begins to read the transaction after a point again, as another replica.
func (s *Stream) replay(ctx context.Context, from *point, key string) error {
	log, err := openLog(ctx, s.up, from, s.up.cfg.serverID^0x2aaaaaaa)
	if err != nil {
		return fmt.Errorf("read an XA transaction: %w", err)
	}
	s.replayed = &replay{log: log, key: key}
	clear(s.maps)
	return nil
}

func (s *Stream) forget(key string) {
	if _, ok := s.at.Prepared[key]; ok {
		s.at.Prepared = maps.Clone(s.at.Prepared)
		delete(s.at.Prepared, key)
		s.text = nil
	}
}

// xidOfEvent is the name of the transaction that an XAPrepare ends.
func xidOfEvent(e binlog.Event) (string, error) {
	b := e.Body
	if len(b) < 13 {
		return "", io.ErrUnexpectedEOF
	}
	format, global, branch := binary.LittleEndian.Uint32(b[1:]), int(binary.LittleEndian.Uint32(b[5:])), int(binary.LittleEndian.Uint32(b[9:]))
	b = b[13:]
	if global < 0 || branch < 0 || global > 64 || branch > 64 || len(b) < global+branch {
		return "", io.ErrUnexpectedEOF
	}
	return fmt.Sprintf("%x,%x,%d", b[:global], b[global:global+branch], format), nil
}

var xidParts = regexp.MustCompile(`(?i)X'([0-9a-f]*)'\s*(?:,\s*X'([0-9a-f]*)'\s*(?:,\s*(0x[0-9a-f]+|[0-9]+))?)?`)

// xidOf is the name of the transaction in XA COMMIT or XA ROLLBACK, as servers write it into the log.
func xidOf(text string) string {
	m := xidParts.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	global, _ := hex.DecodeString(m[1])
	branch, _ := hex.DecodeString(m[2])
	format := "1"
	if m[3] != "" {
		format = m[3]
	}
	if strings.HasPrefix(strings.ToLower(format), "0x") {
		var n uint32
		fmt.Sscanf(format, "%v", &n)
		format = fmt.Sprint(n)
	}
	return fmt.Sprintf("%x,%x,%s", global, branch, format)
}
