package postgres

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/catalog"
)

// poolSize bounds the sessions that are kept for queries; more are made when they are all in use, and closed afterwards.
const poolSize = 4

// upstream implements cdc.Upstream.
type upstream struct {
	*config
	log   *slog.Logger
	types *resolver
	// want is the latest position that Position gave: the stream hurries to reach it.
	want atomic.Uint64
	// touching has room for the one who may touch the publication: the server does not let two at a time.
	touching   chan struct{}
	watchEvery time.Duration

	mu struct {
		sync.Mutex
		idle   []*pgconn.PgConn
		shapes map[catalog.ID]*shape // what the tables here are in line with
		wire   *wire
		closed bool
	}
}

func newUpstream(c *config, log *slog.Logger) *upstream {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	u := &upstream{config: c, log: log, types: &resolver{}, touching: make(chan struct{}, 1), watchEvery: watchEvery}
	u.mu.shapes = map[catalog.ID]*shape{}
	return u
}

// session runs f with a connection for queries. It is used again when f succeeded.
func (u *upstream) session(ctx context.Context, f func(conn *pgconn.PgConn) error) error {
	u.mu.Lock()
	var conn *pgconn.PgConn
	if n := len(u.mu.idle); n > 0 {
		conn = u.mu.idle[n-1]
		u.mu.idle = u.mu.idle[:n-1]
	}
	u.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = u.connect(ctx, false); err != nil {
			return err
		}
	}
	if err := f(conn); err != nil {
		closeConn(conn)
		return err
	}
	u.mu.Lock()
	keep := !u.mu.closed && len(u.mu.idle) < poolSize
	if keep {
		u.mu.idle = append(u.mu.idle, conn)
	}
	u.mu.Unlock()
	if !keep {
		closeConn(conn)
	}
	return nil
}

// Position implements cdc.Upstream.
func (u *upstream) Position(ctx context.Context) (cdc.Position, error) {
	var at lsn
	err := u.session(ctx, func(conn *pgconn.PgConn) (err error) {
		at, err = position(ctx, conn)
		return err
	})
	if err != nil {
		return cdc.Position{}, u.explain(ctx, "ask for the position in the log", err)
	}
	for {
		old := u.want.Load()
		if old >= uint64(at) || u.want.CompareAndSwap(old, uint64(at)) {
			break
		}
	}
	u.mu.Lock()
	w := u.mu.wire
	u.mu.Unlock()
	if w != nil {
		w.nudge()
	}
	return at.position(), nil
}

// pageBytes is the size of a page of the log, pageHeader and segmentHeader that of what stands at its beginning, and at that of a file.
const (
	pageBytes     = 8192
	pageHeader    = 24
	segmentHeader = 40
)

// position asks where the log will go on. What is behind that place but not on disk yet is brought there: the stream shows only what is.
func position(ctx context.Context, conn *pgconn.PgConn) (lsn, error) {
	rows, err := query(ctx, conn, `SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn(),
		(SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size')`)
	if err != nil {
		return 0, err
	}
	at, err := parseLSN(string(rows[0][0]))
	if err != nil {
		return 0, err
	}
	// The next record comes behind the header of its page, the last one ended before it.
	segment, _ := strconv.ParseUint(string(rows[0][2]), 10, 64)
	switch r := uint64(at) % pageBytes; {
	case r == pageHeader, r == segmentHeader && segment > 0 && uint64(at)%segment == segmentHeader:
		at -= lsn(r)
	}
	flushed, err := parseLSN(string(rows[0][1]))
	if err != nil {
		return 0, err
	}
	if flushed < at {
		if _, err := query(ctx, conn, "SELECT pg_catalog.pg_logical_emit_message(true, 'millrace', '')"); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// shapeOf returns what a table here is in line with, nil when it has not been looked at yet.
func (u *upstream) shapeOf(t *cdc.Table) *shape {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mu.shapes[t.ID]
}

func (u *upstream) setShape(t *connector.Table, s *shape) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.shapes[t.ID] = s
}

// Close implements cdc.Upstream.
func (u *upstream) Close() error {
	u.mu.Lock()
	idle := u.mu.idle
	u.mu.idle, u.mu.closed = nil, true
	w := u.mu.wire
	u.mu.Unlock()
	for _, c := range idle {
		closeConn(c)
	}
	if w != nil {
		w.close()
	}
	return nil
}
