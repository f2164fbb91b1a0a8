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
	if s.txn.void {
		return nil
	}
	for _, e := range s.stmts.effects(q, s.names) {
		c := s.byName[e.table]
		if c == nil || s.past(c) {
			continue
		}
		if err := s.effect(ctx, c, &e); err != nil {
			return err
		}
		if n := len(s.queue); n > 0 && s.queue[n-1].Change != nil {
			return nil // the rest of the statement is read again when the table has followed
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
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the log of MySQL has a statement that changes %s, not the rows", c.name).
			WithHint("Set binlog_format to ROW at the server, also for sessions, and drop the table here and create it again.")
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
		c.t.Truncate()
		s.rows++
		s.set(c, &gone)
		return nil
	case effMade:
		if e.ifNotExists && !c.shape.Gone {
			return nil
		}
	}
	info, err := s.up.describe(ctx, c.name)
	if err != nil && !errors.Is(err, errNoTable) {
		return err
	}
	if e.kind == effAlter {
		m, keys, ok := c.shape.alter(e, info)
		if ok {
			return s.follow(c, m, info, keys)
		}
	}
	// Made anew, or altered in a way that we cannot read: it is what it is now.
	if info == nil {
		if c.shape.Gone {
			return nil
		}
		return s.effect(ctx, c, &effect{kind: effGone, table: e.table})
	}
	m := c.shape.sameNamed(info)
	m.recopy, m.clear = true, true
	return s.follow(c, m, info, true)
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

// follow makes a move of a table's shape, behind the statement that is being read.
func (s *Stream) follow(c *capture, m *move, info *tableInfo, keys bool) error {
	return s.move(c, m, info, keys, s.behind())
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
	n := notice{Event: cdc.Event{Resume: s.text, At: s.at.position(), End: true, Backlog: -1, Change: change}, c: c, shape: next}
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

// reconcile finds out what a table looks like when the log describes it otherwise than it should be: a change that we did not see, or
// that went on after the log we are reading.
func (s *Stream) reconcile(ctx context.Context, c *capture, m *binlog.TableMap) error {
	info, err := s.up.describe(ctx, c.name)
	if err != nil && !errors.Is(err, errNoTable) {
		return err
	}
	var now []column
	if info != nil {
		now = info.columns
	}
	var columns []column
	switch {
	case m.Named:
		charsets, err := s.up.collations(ctx)
		if err != nil {
			return err
		}
		columns = fromLog(m, charsets, now, c.shape.Columns)
	case columnsFit(now, m):
		columns = now
	default:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the log of MySQL describes %s in a way that fits neither what it was nor what it is", c.name).
			WithDetail("The log has %d columns at %s, the table has %d now, and was known with %d.", len(m.Columns), s.at, len(now), len(c.shape.Columns)).
			WithHint("Set binlog_row_metadata to FULL at the server, so that the log says what columns its rows have; " +
				"drop the table here and create it again to go on.")
	}
	next := &tableInfo{columns: columns, filled: map[string]bool{}}
	if info != nil {
		next.filled = info.filled
	}
	mv := c.shape.sameNamed(next)
	mv.recopy = true
	since := s.at.copy()
	since.Prepared = nil
	if err := since.parse(); err != nil {
		return err
	}
	if err := s.move(c, mv, nil, false, since); err != nil {
		return err
	}
	if n := len(s.queue); n > 0 && s.queue[n-1].Change == nil {
		// Only to be read anew: the rows that follow have their shape.
		s.queue[n-1].Resume = s.at.resume(s.sofar())
	}
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
	if errors.Is(err, errNoTable) {
		return nil, nil, sqlerr.New(sqlerr.UndefinedTable, "the table %s of MySQL does not exist", n)
	}
	if err == nil {
		err = fmt.Errorf("the table %s changes all the time", n)
	}
	return nil, nil, err
}

// collations returns what tells the character set of a collation by its number.
func (u *Upstream) collations(ctx context.Context) (func(uint64) string, error) {
	names := map[string]string{}
	err := u.with(ctx, func(c *wire.Conn) error {
		sql := "SELECT id, character_set_name FROM information_schema.collations"
		if c.MariaDB {
			sql += " WHERE id IS NOT NULL"
		}
		rows, err := c.Rows(ctx, sql)
		for _, r := range rows {
			names[r[0]] = r[1]
		}
		return err
	})
	return func(id uint64) string { return names[fmt.Sprint(id)] }, u.cfg.explain("read the collations", err)
}
