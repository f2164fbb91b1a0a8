package mysql

import (
	"context"
	"errors"
	"strconv"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/delta"
)

// lockSeconds is how long reading a table without a key may wait for the transactions that change it; writers wait behind it.
const lockSeconds = 10

// Whole implements cdc.Upstream.
func (u *Upstream) Whole(ctx context.Context, t *cdc.Table, begin func(at cdc.Position), emit func(*delta.Chunk) error) error {
	s := u.shape(t.ID)
	if s == nil || s.Gone {
		at, err := u.Position(ctx)
		if err == nil {
			begin(at)
		}
		return err
	}
	f, err := u.fieldsOf(t, s)
	if err != nil {
		return err
	}
	n := u.name(t.Upstream)
	read := func(c *wire.Conn) error {
		rows := cdc.NewRows(t.Table)
		err := c.Query(ctx, "SELECT "+f.list+" FROM "+n.sql(), func(values [][]byte) error {
			if err := f.add(t, values, &rows); err != nil {
				return err
			}
			if rows.Len() >= delta.BatchRows {
				return emit(rows.Take())
			}
			return nil
		})
		if last := rows.Take(); err == nil && last != nil {
			err = emit(last)
		}
		return err
	}
	err = u.with(ctx, func(c *wire.Conn) error {
		info, err := describe(ctx, c, n)
		if err != nil {
			return err
		}
		switch {
		case !info.transactional:
			err = u.wholeLocked(ctx, c, n, begin, read)
		case u.mariaDB:
			err = u.wholeInSnapshot(ctx, c, begin, read)
		default:
			err = u.wholeBehindLock(ctx, c, n, begin, read)
		}
		return err
	})
	return u.cfg.unreadable(t, err)
}

// wholeInSnapshot reads in a snapshot of which MariaDB knows the position.
func (u *Upstream) wholeInSnapshot(ctx context.Context, c *wire.Conn, begin func(cdc.Position), read func(*wire.Conn) error) error {
	p := &point{}
	if err := snapshot(ctx, c, p); err != nil {
		return err
	}
	u.announce(p.position(), begin)
	if err := read(c); err != nil {
		return err
	}
	return c.Exec(ctx, "COMMIT")
}

// announce says where a snapshot is; the stream tells when it has come there.
func (u *Upstream) announce(at cdc.Position, begin func(cdc.Position)) {
	u.asked.Store(&at)
	begin(at)
}

// lock keeps writers from a table; when it is there, all that they have written is in the log and visible.
func lock(ctx context.Context, c *wire.Conn, n tableName) (at cdc.Position, err error) {
	if err := c.Exec(ctx, "SET SESSION lock_wait_timeout = "+strconv.Itoa(lockSeconds)); err != nil {
		return at, err
	}
	if err := c.Exec(ctx, "LOCK TABLES "+n.sql()+" READ"); err != nil {
		return at, err
	}
	file, pos, _, err := logStatus(ctx, c)
	return cdc.Position{A: fileNumber(file), B: pos}, err
}

// wholeBehindLock takes a snapshot while a short lock keeps writers from the table.
func (u *Upstream) wholeBehindLock(ctx context.Context, c *wire.Conn, n tableName, begin func(cdc.Position), read func(*wire.Conn) error) error {
	return u.with(ctx, func(locker *wire.Conn) error {
		at, err := lock(ctx, locker, n)
		if err == nil {
			err = c.Exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
		}
		if e := locker.Exec(ctx, "UNLOCK TABLES"); err != nil || e != nil {
			return errors.Join(err, e)
		}
		u.announce(at, begin)
		if err := read(c); err != nil {
			return err
		}
		return c.Exec(ctx, "COMMIT")
	})
}

// wholeLocked keeps writers from the table all the time: its engine has no snapshots.
func (u *Upstream) wholeLocked(ctx context.Context, c *wire.Conn, n tableName, begin func(cdc.Position), read func(*wire.Conn) error) error {
	at, err := lock(ctx, c, n)
	if err == nil {
		u.announce(at, begin)
		err = read(c)
	}
	if err != nil && wire.CodeOf(err) == 0 {
		return err
	}
	return errors.Join(err, c.Exec(ctx, "UNLOCK TABLES"))
}
