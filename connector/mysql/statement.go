package mysql

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/sqlerr"
)

// statement follows a statement of the log that is none of a transaction.
func (s *Stream) statement(ctx context.Context, q binlog.Query) error {
	if s.txn.void || s.txn.again {
		return nil
	}
	for _, e := range s.stmts.effects(q, s.names) {
		for _, c := range s.byName[e.table] {
			if c.t.Failed() || s.past(c) {
				continue
			}
			if err := s.stopOnly(c, s.effect(ctx, c, &e)); err != nil {
				return err
			}
			if n := len(s.queue); n > 0 && s.queue[n-1].Change != nil {
				return nil // the rest of the statement is read again when the table has followed
			}
		}
	}
	// The last notice is behind the statement, those before are not: it is read again for the tables that follow.
	if n := len(s.queue); n > 0 {
		s.queue[n-1].Resume = nil
	}
	return nil
}

func (s *Stream) effect(ctx context.Context, c *capture, e *effect) error {
	switch e.kind {
	case effWrite:
		return &cdc.TableError{Err: sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the log of MySQL has a statement that changes %s, not the rows", c.name).
			WithHint("Set binlog_format to ROW at the server, also for sessions, and ALTER TABLE … REFRESH SCHEMA here.")}
	case effTruncate:
		c.t.Truncate()
		s.rows++
		return nil
	case effGone:
		if c.shape.Gone {
			return nil
		}
		gone := *c.shape
		gone.Gone, gone.Since = true, s.behind()
		s.set(c, &gone) // its rows stay, until it is made again
		s.told = true
		return nil
	case effMade:
		if e.ifNotExists && !c.shape.Gone {
			return nil
		}
	}
	if e.kind == effAlter {
		info, err := s.up.describe(ctx, c.name)
		if err != nil && !errors.Is(err, errNoTable) {
			return err
		}
		if m, keys, ok := c.shape.alter(e, info); ok {
			return s.move(c, m, info, keys, s.behind())
		}
	}
	return s.renew(ctx, c)
}

// renew takes a table for what it is now, and has it read anew: it was made, or altered in a way that we cannot follow. What the log says of
// it until now is in what is read.
func (s *Stream) renew(ctx context.Context, c *capture) error {
	info, now, err := s.up.describeAt(ctx, c.name)
	if errors.Is(err, errNoTable) {
		if c.shape.Gone {
			return nil
		}
		return s.effect(ctx, c, &effect{kind: effGone, table: c.name})
	}
	if err != nil {
		return err
	}
	m := c.shape.sameNamed(info)
	m.recopy, m.clear = true, true
	return s.move(c, m, info, true, now)
}

// behind is the point after the statement that is being read.
func (s *Stream) behind() *point {
	p := s.at.copy()
	if err := p.parse(); err != nil {
		panic(err) // it was written by us
	}
	p.Prepared = nil
	p.pass(&s.txn)
	p.File, p.Pos, p.Server = s.log.file, s.log.pos, s.up.server
	return p
}

// move makes a table's shape another, and tells what that means here.
func (s *Stream) move(c *capture, m *move, info *tableInfo, keys bool, since *point) error {
	change, recopy := c.shape.change(c.t, m)
	next := c.shape.after(m, since)
	if keys && next.Key != nil && info != nil {
		if next.Key = info.key(next.Key.Columns); next.Key == nil {
			return errKeyGone(c.name, c.shape.Key.Columns)
		}
	}
	if m.clear {
		c.t.Truncate()
		s.rows++
	}
	if change == nil && !recopy {
		s.set(c, next)
		return nil
	}
	if s.text == nil {
		s.text = s.at.bytes()
	}
	n := notice{Event: cdc.Event{Resume: s.text, At: s.at.position(), End: true, Backlog: -1, Retained: -1, Change: change}, c: c, shape: next}
	if recopy {
		n.Recopy = c.t
	}
	if change == nil {
		s.set(c, next)
	} else {
		n.Known = next.bytes()
	}
	s.queue = append(s.queue, n)
	return nil
}

// describe reads what a table looks like now; errNoTable.
func (u *Upstream) describe(ctx context.Context, n tableName) (info *tableInfo, err error) {
	err = u.with(ctx, func(c *wire.Conn) (err error) {
		info, err = describe(ctx, c, n)
		return err
	})
	if errors.Is(err, errNoTable) {
		return nil, errNoTable
	}
	return info, u.cfg.explain("read about the table "+n.String(), err)
}

// describeAt reads what a table looks like at a point in the log: the one before and after which it looks the same.
func (u *Upstream) describeAt(ctx context.Context, n tableName) (*tableInfo, *point, error) {
	before, err := u.describe(ctx, n)
	for range 10 {
		if err != nil {
			break
		}
		var p *point
		if p, err = u.now(ctx); err != nil {
			break
		}
		var after *tableInfo
		if after, err = u.describe(ctx, n); err != nil {
			break
		}
		if sameColumns(before.columns, after.columns) {
			return after, p, nil
		}
		before = after
	}
	if err == nil {
		err = fmt.Errorf("the table %s changes all the time", n)
	}
	return nil, nil, err
}
