package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	// reportEvery is how often the server is told how far we are; more often when its wal_sender_timeout is short.
	reportEvery = time.Second
	// idleEvery is how often Next returns although no captured table has changed, when the log has moved on.
	idleEvery = 500 * time.Millisecond
)

// stream implements cdc.Stream.
//
// Messages of a transaction are collected until it ends or delta.BatchRows changes have come, so that a table that turns out to look
// different can still be followed before anything of the transaction is given. Transactions that arrive together are given together,
// unless a table wants them apart.
type stream struct {
	u      *upstream
	w      *wire
	system uint64
	tables []*cdc.Table
	byOID  map[uint32]*captured
	other  map[uint32]bool // tables that nobody captures
	watch  *watcher
	seenAt *sighting // the watcher's last news, until the stream has come to where it was seen
	single bool      // transactions are given one by one

	items []item // of the block in hand
	first bool   // nothing was given yet

	// done is where all transactions before have been given or collected; at is the same as a Position.
	done    lsn
	resumed resume // of which transaction an earlier stream has given changes
	// The transaction under way.
	open    bool
	begin   begin
	seen    uint64   // changes of it that have come
	skip    uint64   // as many were given by an earlier stream
	given   uint64   // as many were given
	partial bool     // some of it was given
	pending []change // not given yet

	rows     int  // collected from whole transactions since the last event
	told     bool // something is to be told of a table without rows
	change   *followed
	reported lsn       // At of the last event
	last     time.Time // of the last event
	scratch  rowChange

	// For Backlog: how many changes came in how much log, and where the server's log is.
	changes, from, ahead uint64
	retained             int64 // as cdc.Event has it
}

// change is a message that waits to be given: of a row, or a truncation of one table.
type change struct {
	of   *captured
	view *view
	kind byte
	body []byte
}

// followed is a difference that a table must follow.
type followed struct {
	c *captured
	d *difference
}

// captured is a table of ours while its log is read.
type captured struct {
	t     *cdc.Table
	known *shape
	msg   *relationMessage // the last one; nil: none came yet
	view  *view            // what it means
	// truncated lists the commits of truncations that the watcher's news may show the trace of.
	truncated []lsn
}

// follow takes note of a new shape that asks for nothing but the table's rows.
func (c *captured) follow(next *shape) {
	c.known, c.t.Known = next, next.encode()
	if c.msg != nil {
		c.view = newView(c, c.msg)
	}
}

// Stream implements cdc.Upstream.
func (u *upstream) Stream(ctx context.Context, from []byte, tables []*cdc.Table) (cdc.Stream, error) {
	s := &stream{u: u, tables: tables, byOID: map[uint32]*captured{}, other: map[uint32]bool{}, first: true, last: time.Now(), retained: -1}
	if err := u.session(ctx, func(conn *pgconn.PgConn) error { return s.prepare(ctx, conn, from != nil) }); err != nil {
		return nil, err
	}
	conn, err := u.connect(ctx, true)
	if err != nil {
		return nil, err
	}
	if err := s.begins(ctx, conn, from); err != nil {
		closeConn(conn)
		return nil, err
	}
	s.watch = u.startWatcher(tables)
	return s, nil
}

// prepare sees to the publication, and to what the tables look like.
func (s *stream) prepare(ctx context.Context, conn *pgconn.PgConn, resumed bool) error {
	u := s.u
	p, err := u.lookPublication(ctx, conn)
	if err != nil {
		return err
	}
	if resumed && !p.exists {
		return u.lost(fmt.Sprintf("publication %q does not exist any more", u.publication))
	}
	if p, err = u.ensurePublication(ctx, conn); err != nil {
		return err
	}
	for _, t := range s.tables {
		if err := stopOnly(t, s.prepareTable(ctx, conn, p, t)); err != nil {
			return err
		}
	}
	return nil
}

// stopOnly stops a table when an error is about it alone, and returns any other.
func stopOnly(t *cdc.Table, err error) error {
	var of *cdc.TableError
	if errors.As(err, &of) {
		t.Fail(of)
		return nil
	}
	return err
}

func (s *stream) prepareTable(ctx context.Context, conn *pgconn.PgConn, p *publication, t *cdc.Table) error {
	u := s.u
	var known *shape
	var now *relation
	if t.Known != nil {
		var err error
		if known, err = decodeShape(t.Known); err != nil {
			return fmt.Errorf("read what was known of table %s: %w", t.Upstream, err)
		}
		rels, err := relations(ctx, conn, u.types, fmt.Sprintf("c.oid = %d", known.OID))
		if err != nil {
			return u.explain(ctx, "look up table "+known.label(), err)
		}
		if len(rels) == 1 {
			now = rels[0]
		}
	}
	if now == nil {
		var err error
		if now, err = u.find(ctx, conn, u.types, t.Upstream); err != nil {
			if sqlerr.CodeOf(err) != sqlerr.UndefinedTable {
				return err
			}
			if known == nil {
				return &cdc.TableError{Err: err}
			}
			u.gone(t, known)
			s.capture(t, known)
			return nil
		}
	}
	t.Gone = false
	if known == nil {
		if err := now.fits(&t.Table); err != nil {
			return &cdc.TableError{Err: err}
		}
	}
	added, err := u.ensureTable(ctx, conn, p, now)
	if err != nil {
		return err
	}
	switch {
	case known == nil:
		known = &now.shape
		t.Known = known.encode()
	case added:
		known.Stale = true // it was taken out of the publication for a while
	}
	s.capture(t, known)
	return nil
}

// gone says that a table is not there any more. What it held when it was dropped stays here.
func (u *upstream) gone(t *cdc.Table, s *shape) {
	t.Gone = true
	u.log.Warn("upstream table does not exist any more; the table here keeps what it has", "table", s.label())
}

func (s *stream) capture(t *cdc.Table, known *shape) {
	s.byOID[known.OID] = &captured{t: t, known: known}
	s.u.setShape(&t.Table, known)
}

// begins finds or makes the slot, and starts to read it.
func (s *stream) begins(ctx context.Context, conn *pgconn.PgConn, from []byte) error {
	u := s.u
	rows, err := query(ctx, conn, "IDENTIFY_SYSTEM")
	if err != nil {
		return u.explain(ctx, "identify itself", err)
	}
	s.system = number[uint64](rows[0][0])
	sl, err := u.lookSlot(ctx, conn)
	if err == nil {
		err = sl.check(u.config)
	}
	if err != nil {
		return err
	}
	if from == nil {
		err = s.fromNow(ctx, conn, sl)
	} else {
		err = s.fromResume(from, sl)
	}
	if err != nil {
		return err
	}
	every, err := reportInterval(ctx, conn)
	if err != nil {
		return u.explain(ctx, "ask for its settings", err)
	}
	if err := u.awaitSlot(ctx, conn, slotWithin); err != nil {
		return err
	}
	command := fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names %s)", quoteIdent(u.slot), s.done, quote(quoteIdent(u.publication)))
	w, err := start(ctx, conn, command, s.done, every, &u.want)
	if err != nil {
		return s.failed(ctx, err)
	}
	s.w, s.from, s.reported = w, uint64(s.done), s.done
	u.mu.Lock()
	closed := u.mu.closed
	u.mu.wire = w
	u.mu.Unlock()
	if closed {
		w.close()
	}
	return nil
}

// fromNow begins a log of which nothing was read yet.
func (s *stream) fromNow(ctx context.Context, conn *pgconn.PgConn, sl *slot) (err error) {
	switch {
	case sl.lost: // nothing in it is wanted any more
		if err := s.u.dropSlot(ctx, conn); err != nil {
			return err
		}
		fallthrough
	case !sl.exists:
		s.done, err = s.u.createSlot(ctx, conn)
		return err
	}
	// An older slot may be older than the publication, of which the server must not find transactions that know nothing.
	if s.done, err = position(ctx, conn); err != nil {
		return s.u.explain(ctx, "ask for the position in the log", err)
	}
	return s.u.explain(ctx, "wait for transactions under way", waitForTransactions(ctx, conn))
}

// waitForTransactions waits until all transactions that are under way have ended.
func waitForTransactions(ctx context.Context, conn *pgconn.PgConn) error {
	limit, err := one(ctx, conn, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())")
	if err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		done, err := one(ctx, conn, "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= "+quote(limit)+"::xid8")
		if err != nil || done == "t" {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// fromResume goes on after what was read, if the slot still has it.
func (s *stream) fromResume(from []byte, sl *slot) error {
	r, err := decodeResume(from)
	switch {
	case err != nil:
		return err
	case r.system != s.system:
		return s.u.lost("it is another server than the one that was read before").WithDetail("The system identifier was %d, and is %d.", r.system, s.system)
	case !sl.exists:
		return s.u.lost("the replication slot does not exist any more")
	case sl.lost:
		return s.u.lost("the server has removed WAL that the slot needs (its wal_status is lost)")
	case sl.confirmed > r.at:
		return s.u.lost(fmt.Sprintf("the slot was moved to %s, and what was read ends at %s", sl.confirmed, r.at))
	}
	s.done, s.resumed = r.at, r
	return nil
}

// reportInterval is short enough for the server's patience.
func reportInterval(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	ms, err := one(ctx, conn, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'")
	if err != nil {
		return 0, err
	}
	if d := time.Duration(number[int64]([]byte(ms))) * time.Millisecond; d > 0 {
		return min(reportEvery, max(d/4, 10*time.Millisecond)), nil
	}
	return reportEvery, nil
}

// failed explains why the log cannot be read.
func (s *stream) failed(ctx context.Context, err error) error {
	e := s.u.explain(ctx, fmt.Sprintf("send changes from replication slot %q", s.u.slot), err)
	switch sqlerr.CodeOf(e) {
	case sqlerr.ObjectNotInPrerequisiteState, sqlerr.UndefinedObject:
		if own := sqlerr.From(e); own.Hint == "" {
			return s.u.lost(own.Message).WithCause(err)
		}
	}
	return e
}

// Ack implements cdc.Stream.
func (s *stream) Ack(from []byte) {
	r, err := decodeResume(from)
	if err != nil || r.system != s.system {
		return
	}
	for {
		old := s.w.acked.Load()
		if old >= uint64(r.at) || s.w.acked.CompareAndSwap(old, uint64(r.at)) {
			return
		}
	}
}

// Close implements cdc.Stream.
func (s *stream) Close() error {
	s.watch.stop()
	s.w.close()
	s.u.mu.Lock()
	if s.u.mu.wire == s.w {
		s.u.mu.wire = nil
	}
	s.u.mu.Unlock()
	return nil
}

// Next implements cdc.Stream.
func (s *stream) Next(ctx context.Context) (cdc.Event, error) {
	if s.first {
		s.first = false
		return s.event(), nil // where the log begins, for a restart to find
	}
	for {
		s.look()
		if s.change != nil && !s.partial && s.rows == 0 {
			return s.followEvent(), nil
		}
		if full, err := s.consume(ctx); err != nil || full {
			return s.event(), err
		}
		if s.change != nil && !s.partial {
			if s.rows > 0 {
				return s.event(), nil
			}
			continue
		}
		if s.rows > 0 && len(s.w.blocks) == 0 {
			return s.event(), nil
		}
		if err := s.fill(ctx); err != nil {
			return cdc.Event{}, err
		}
		if s.rows == 0 && s.due() {
			return s.event(), nil
		}
	}
}

// due reports whether the place in the log is worth an event of its own.
func (s *stream) due() bool {
	return s.told || s.done > s.reported && (s.u.want.Load() > uint64(s.reported) || time.Since(s.last) >= idleEvery)
}

// fill waits for the next block, for news from the catalog, or for the time to tell of an idle log.
func (s *stream) fill(ctx context.Context) error {
	if len(s.items) > 0 {
		return nil
	}
	var timer <-chan time.Time
	if s.done > s.reported {
		t := time.NewTimer(max(idleEvery-time.Since(s.last), 0))
		defer t.Stop()
		timer = t.C
	}
	news := s.watch.news
	if s.seenAt != nil {
		news = nil // one after the other: there will be newer ones
	}
	select {
	case items, ok := <-s.w.blocks:
		if !ok {
			return s.failed(ctx, s.w.err)
		}
		s.items = items
	case seen := <-news:
		s.seenAt, s.ahead, s.retained = &seen, max(s.ahead, uint64(seen.at)), seen.retained
	case <-timer:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// event tells what was collected.
func (s *stream) event() cdc.Event {
	r := resume{system: s.system, at: s.done}
	switch {
	case s.open && s.partial:
		r.final, r.given = s.begin.final, s.given
	case !s.open:
		r.final, r.given = s.resumed.final, s.resumed.given // has not come again yet
	}
	s.rows, s.told, s.reported, s.last = 0, false, s.done, time.Now()
	return cdc.Event{Resume: r.encode(), At: s.done.position(), End: r.final == 0, Backlog: s.backlog(), Retained: s.retained}
}

// backlog estimates the changes ahead, from how many came in how much log so far.
func (s *stream) backlog() int64 {
	if s.ahead <= uint64(s.done) {
		return 0
	}
	if s.changes == 0 || uint64(s.done) <= s.from {
		return -1
	}
	return int64(float64(s.ahead-uint64(s.done)) * float64(s.changes) / float64(uint64(s.done)-s.from))
}

// followEvent asks for a table to be brought into line. The transaction under way, if any, is sent again to the next stream.
func (s *stream) followEvent() cdc.Event {
	f := s.change
	if f.d.empty && len(f.c.t.Key) > 0 { // first, for a change comes with nothing else; a bag is emptied when it is read anew
		f.d.empty = false
		f.c.t.Truncate()
		return s.event()
	}
	s.change = nil
	e := s.event()
	if f.d.change == nil { // only the rows have to be read anew
		s.remember(f.c, f.d.next)
	} else {
		e.Change, e.Known = f.d.change, f.d.next.encode()
	}
	if f.d.recopy {
		e.Recopy = f.c.t
	}
	return e
}

// consume takes messages from the block in hand. full: it is time for an event.
func (s *stream) consume(ctx context.Context) (full bool, err error) {
	for len(s.items) > 0 {
		if len(s.pending) >= delta.BatchRows {
			if s.rows > 0 {
				return true, nil // whole transactions first
			}
			if s.change != nil && !s.partial {
				return false, nil
			}
			if err := s.give(); err != nil {
				return false, err
			}
			s.partial, s.rows = true, 0
			return true, nil
		}
		it := s.items[0]
		s.items = s.items[1:]
		if err := s.take(ctx, it); err != nil {
			return false, err
		}
		if s.change != nil && !s.partial || s.rows >= delta.BatchRows || s.rows > 0 && s.apart() || !s.open && s.partial {
			s.partial = s.partial && s.open
			return s.change == nil || s.rows > 0, nil
		}
	}
	return false, nil
}

// apart reports whether transactions have to be given one by one.
func (s *stream) apart() bool {
	return slices.ContainsFunc(s.tables, func(t *cdc.Table) bool { return t.Apart() })
}

// take reads one message.
func (s *stream) take(ctx context.Context, it item) error {
	switch it.kind {
	case 0:
		if !s.open {
			s.done = max(s.done, it.at)
		}
	case msgBegin:
		b, err := parseBegin(it.body)
		if err != nil {
			return err
		}
		s.open, s.begin, s.seen, s.skip = true, b, 0, 0
		if s.resumed.final == b.final {
			s.skip, s.resumed = s.resumed.given, resume{}
		}
		s.given, s.partial = s.skip, s.skip > 0
	case msgCommit:
		end, err := parseCommit(it.body)
		if err == nil {
			err = s.give()
		}
		s.open, s.done = false, max(s.done, end)
		return err
	case msgRelation:
		return s.relation(ctx, it.body)
	case msgInsert, msgUpdate, msgDelete:
		p := parser{b: it.body}
		oid := p.u32()
		if p.bad {
			return errMalformed
		}
		s.row(oid, it)
	case msgTruncate:
		oids, err := parseTruncate(it.body)
		if err != nil {
			return err
		}
		if s.counted() {
			for _, oid := range oids {
				if c := s.byOID[oid]; c != nil && c.view != nil {
					s.pending = append(s.pending, change{of: c, view: c.view, kind: it.kind})
					c.truncated = append(c.truncated, s.begin.final)
				}
			}
		}
	}
	return nil
}

// counted counts a change, and reports whether it is to be given.
func (s *stream) counted() bool {
	s.seen++
	s.changes++
	return s.seen > s.skip
}

func (s *stream) row(oid uint32, it item) {
	if !s.counted() {
		return
	}
	if c := s.byOID[oid]; c != nil && c.view != nil && !c.t.Failed() {
		s.pending = append(s.pending, change{of: c, view: c.view, kind: it.kind, body: it.body})
	}
}

// give appends what is pending to the rows of its tables.
func (s *stream) give() error {
	for i := range s.pending {
		c := s.pending[i].of
		if c.t.Failed() {
			continue
		}
		if s.pending[i].view.unsure && !c.known.Stale {
			next := *c.known
			next.Stale = true
			s.remember(c, &next)
		}
		if c.known.Stale && len(c.t.Key) == 0 {
			continue // rows that are not as they came cannot be taken back; all of them will be read anew
		}
		if err := stopOnly(c.t, s.pending[i].apply(&s.scratch, s.begin.at)); err != nil {
			return err
		}
	}
	s.rows += len(s.pending)
	s.given = max(s.seen, s.skip)
	s.pending = s.pending[:0]
	return nil
}

// relation takes note of how a table looks from here on.
func (s *stream) relation(ctx context.Context, body []byte) error {
	m, err := parseRelation(body)
	if err != nil || s.other[m.oid] {
		return err
	}
	c := s.byOID[m.oid]
	if c == nil {
		s.other[m.oid] = true // one of that name made anew is noticed by the watcher
		return nil
	}
	if c.t.Failed() {
		return nil
	}
	if !c.known.equals(m.cols) && s.change == nil {
		var rels []*relation
		err := s.u.session(ctx, func(conn *pgconn.PgConn) (err error) {
			rels, err = relations(ctx, conn, s.u.types, fmt.Sprintf("c.oid = %d", m.oid))
			return err
		})
		if err != nil {
			return s.u.explain(ctx, "look up table "+c.known.label(), err)
		}
		if len(rels) == 1 {
			rels[0].Leaves = c.known.Leaves // the watcher sees to them
			if d := compare(&c.t.Table, c.known, rels[0], s.u.types); d != nil {
				// The catalog may be ahead of the log. And what is left of a transaction that was given in part is not sent again.
				d.next.Stale, d.recopy = d.next.Stale || d.recopy || s.partial, false
				s.found(c, d)
			}
		}
	}
	c.msg, c.view = m, newView(c, m)
	return nil
}

// found notes what a table has to follow.
func (s *stream) found(c *captured, d *difference) {
	if d.change == nil && !d.recopy { // a new file, a new partition: to be remembered only
		s.remember(c, d.next)
		return
	}
	s.change = &followed{c, d}
}

// remember makes a shape the one that a table is in line with.
func (s *stream) remember(c *captured, next *shape) {
	delete(s.byOID, c.known.OID)
	delete(s.other, next.OID)
	s.byOID[next.OID] = c
	c.follow(next)
	s.u.setShape(&c.t.Table, next)
}

// look takes what the watcher has seen, once the log has been read up to there: what changed with a word in it is known then.
func (s *stream) look() {
	seen := s.seenAt
	if seen == nil || s.done < seen.at || s.open || s.change != nil {
		return
	}
	for i, now := range seen.tables {
		for _, c := range s.byOID {
			if c.t != s.tables[i] || c.t.Failed() {
				continue
			}
			if gone := now == nil; gone != c.t.Gone {
				s.told, c.t.Gone = true, gone
			}
			if now == nil {
				break
			}
			if c.toldOfTruncation(seen) {
				c.known.refile(now.Leaves)
			}
			d := compare(&c.t.Table, c.known, now, s.u.types)
			if d == nil && c.known.Stale {
				next := *c.known
				d = &difference{next: &next}
			}
			if d != nil { // all of the log that shows another shape has been read
				d.recopy, d.next.Stale = d.recopy || d.next.Stale, false
				s.found(c, d)
			}
			if s.change != nil {
				return // the others later
			}
			break
		}
	}
	s.seenAt = nil
}

// toldOfTruncation reports whether the log told of a truncation that the watcher may have seen the trace of. It forgets those that it must have seen.
func (c *captured) toldOfTruncation(seen *sighting) bool {
	told := slices.ContainsFunc(c.truncated, func(l lsn) bool { return l < seen.at })
	c.truncated = slices.DeleteFunc(c.truncated, func(l lsn) bool { return l < seen.from })
	return told
}

// fits refuses a table that has come to identify its rows in another way than the table here.
func (r *relation) fits(t *connector.Table) error {
	key := make([]string, len(t.Key))
	for i, k := range t.Key {
		key[i] = t.Columns[k].Name
	}
	_, err := r.key(key)
	return err
}
