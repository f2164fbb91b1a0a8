package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector/cdc"
)

// watchEvery is how often the catalog is looked at, when the log has moved on meanwhile.
const watchEvery = time.Second

// sighting is what the watcher has seen.
type sighting struct {
	from   lsn         // where the server's log was before the look
	at     lsn         // and after it
	tables []*relation // as they are, in the order of the stream's; nil when nothing was seen
	// retained is how much log the server keeps for the slot. Unit: bytes; −1: there is no slot.
	retained int64
}

// watcher looks at the upstream's catalog now and then. The log tells of a changed table only with its next row, and of some
// changes never: a default for old rows, a partition that came with rows, a table that was made anew under its name.
// It also sees how far the server's log is. One goroutine; stop waits for it.
type watcher struct {
	u      *upstream
	tables []*cdc.Table
	news   chan sighting
	cancel context.CancelFunc
	done   sync.WaitGroup
	missed map[string]bool // tables that were found gone, and said so
	short  bool            // it was said that the slot will be lost
}

func (u *upstream) startWatcher(tables []*cdc.Table) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{u: u, tables: tables, news: make(chan sighting), cancel: cancel, missed: map[string]bool{}}
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		if s := u.shapeOf(t); s != nil {
			oids[i] = s.OID
		}
	}
	w.done.Add(1)
	go w.run(ctx, oids) // stop waits
	return w
}

func (w *watcher) stop() {
	w.cancel()
	w.done.Wait()
}

func (w *watcher) run(ctx context.Context, oids []uint32) {
	defer w.done.Done()
	last := lsn(0)
	for {
		var seen sighting
		err := w.u.session(ctx, func(conn *pgconn.PgConn) (err error) {
			if seen.from, err = position(ctx, conn); err != nil || seen.from == last {
				seen.at = seen.from
				return err
			}
			if seen.tables, err = w.look(ctx, conn, oids); err != nil {
				return err
			}
			if seen.retained, err = w.retained(ctx, conn); err != nil {
				return err
			}
			seen.at, err = position(ctx, conn) // what was seen is older than that
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.u.log.Debug("could not look at the upstream's catalog", "err", err)
		} else {
			last = seen.at
			select {
			case w.news <- seen:
			case <-ctx.Done():
				return
			}
		}
		if sleep(ctx, w.u.watchEvery) != nil {
			return
		}
	}
}

// retained asks how much log the server keeps for the slot, and warns when it will not do so for long.
func (w *watcher) retained(ctx context.Context, conn *pgconn.PgConn) (int64, error) {
	rows, err := query(ctx, conn, `SELECT coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), -1)::bigint, wal_status
		FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quote(w.u.slot))
	if err != nil || len(rows) == 0 {
		return -1, err
	}
	bad := string(rows[0][1]) == "unreserved" || string(rows[0][1]) == "lost"
	if bad && !w.short {
		w.u.log.Warn("the upstream is about to remove log that is not durable here: max_slot_wal_keep_size is too small", "slot", w.u.slot, "bytes", string(rows[0][0]))
	}
	w.short = bad
	return number[int64](rows[0][0]), nil
}

// look asks for all tables; oids follows those that were made anew.
func (w *watcher) look(ctx context.Context, conn *pgconn.PgConn, oids []uint32) ([]*relation, error) {
	where := "c.oid IN (0"
	for _, o := range oids {
		where += fmt.Sprintf(", %d", o)
	}
	rels, err := relations(ctx, conn, w.u.types, where+")")
	if err != nil {
		return nil, err
	}
	out := make([]*relation, len(oids))
	for i, o := range oids {
		for _, r := range rels {
			if r.OID == o {
				out[i] = r
			}
		}
		if out[i] == nil {
			if out[i], err = w.anew(ctx, conn, w.tables[i].Upstream); err != nil {
				return nil, err
			}
			if out[i] != nil {
				oids[i] = out[i].OID
			}
		}
		if s := w.u.shapeOf(w.tables[i]); s != nil && out[i] != nil && s.OID == out[i].OID {
			w.bornFull(ctx, conn, s, out[i])
		}
	}
	return out, nil
}

// bornFull marks new partitions that were made, filled and attached in one transaction: of their rows the log says nothing.
func (w *watcher) bornFull(ctx context.Context, conn *pgconn.PgConn, known *shape, now *relation) {
	for i := range now.Leaves {
		l := &now.Leaves[i]
		if l.Attached || slices.ContainsFunc(known.Leaves, func(k leaf) bool { return k.OID == l.OID }) {
			continue
		}
		name, err := one(ctx, conn, fmt.Sprintf("SELECT %d::regclass", l.OID))
		full := "t"
		if err == nil {
			full, err = one(ctx, conn, "SELECT EXISTS (SELECT FROM ONLY "+name+" WHERE xmin::text = "+quote(l.Made)+")")
		}
		l.Attached = err != nil || full == "t" // one that may not be looked into may have rows
	}
}

// anew looks for a table that has taken the place of one that is gone, and sees to it that its changes come.
func (w *watcher) anew(ctx context.Context, conn *pgconn.PgConn, name string) (*relation, error) {
	r, err := w.u.find(ctx, conn, w.u.types, name)
	if err == nil {
		if err = r.capturable(); err == nil {
			var p *publication
			if p, err = w.u.lookPublication(ctx, conn); err == nil {
				_, err = w.u.ensureTable(ctx, conn, p, r)
			}
		}
	}
	if err != nil {
		if !w.missed[name] {
			w.u.log.Warn("upstream table does not exist any more; the table here keeps what it has", "table", name, "err", err)
		}
		w.missed[name] = true
		return nil, ctx.Err()
	}
	delete(w.missed, name)
	return r, nil
}
