package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// quiet is how long the stream may keep to itself that the log has moved on.
const quiet = 100 * time.Millisecond

// Stream implements cdc.Stream: the log of one server, cut into transactions.
type Stream struct {
	up       *Upstream
	log      *binlogReader
	payload  *binlog.Payload // the compressed transaction that is being read
	replayed *replay         // the XA transaction that is being given

	tables   []*capture
	byName   map[tableName][]*capture
	names    []tableName
	stmts    *statements
	maps     map[uint64][]*binding
	at       *point       // after the last transaction
	text     []byte       // of at, as it is stored; nil: at has moved
	lastEnd  cdc.Position // of the last transaction
	txn      txn          // the one that is open, or comes next
	open     bool
	alone    bool           // the transaction is one event
	xa       bool           // it is an XA transaction, whose rows come with its commit
	skip     map[string]int // rows of it that were given before
	given    map[string]int // rows of it that were given
	rows     int            // given to the tables since the last event
	queue    []notice
	reported cdc.Position // at, in the last event
	last     time.Time    // when that was
	told     bool         // something is to be told of a table without rows
	started  bool
	ended    bool // by a schema change
}

// notice is an event about one table.
type notice struct {
	cdc.Event
	c     *capture
	shape *shape
}

// capture is a table that is captured.
type capture struct {
	t     *cdc.Table
	name  tableName
	shape *shape
	// body is the last table map, without its number, and bound what it led to.
	body  []byte
	bound *binding
}

// set makes a shape the table's.
func (s *Stream) set(c *capture, sh *shape) {
	c.shape, c.t.Known, c.t.Gone = sh, sh.bytes(), sh.Gone
	c.body, c.bound = nil, nil
	s.up.setShape(c.t.ID, sh)
}

// Stream implements cdc.Upstream.
func (u *Upstream) Stream(ctx context.Context, resume []byte, tables []*cdc.Table) (cdc.Stream, error) {
	var at *point
	var err error
	if resume == nil {
		at, err = u.now(ctx)
	} else {
		at, err = parsePoint(resume)
	}
	if err != nil {
		return nil, err
	}
	s := &Stream{up: u, byName: map[tableName][]*capture{}, stmts: newStatements(u.fold), maps: map[uint64][]*binding{}, at: at, skip: at.Given}
	at.Given = nil
	s.given = map[string]int{}
	for _, t := range tables {
		c := &capture{t: t, name: u.name(t.Upstream)}
		if err := s.stopOnly(c, s.begin(ctx, c)); err != nil {
			return nil, err
		}
		if s.tables = append(s.tables, c); s.byName[c.name] == nil {
			s.names = append(s.names, c.name)
		}
		s.byName[c.name] = append(s.byName[c.name], c)
	}
	if s.log, err = openLog(ctx, u, at, u.cfg.serverID); err != nil {
		return nil, err
	}
	if at.Server == u.server {
		s.lastEnd = at.position()
	}
	return s, nil
}

// stopOnly stops a table when an error is about it alone, and returns any other.
func (s *Stream) stopOnly(c *capture, err error) error {
	var of *cdc.TableError
	if !errors.As(err, &of) {
		return err
	}
	c.t.Fail(of)
	s.told = true
	return nil
}

// begin finds out what a table looks like: from its offset, or when it has none yet, by asking.
func (s *Stream) begin(ctx context.Context, c *capture) (err error) {
	if c.t.Known != nil {
		if c.shape, err = parseShape(c.t.Known); err != nil {
			return err
		}
		c.t.Gone = c.shape.Gone
		s.up.setShape(c.t.ID, c.shape)
		return nil
	}
	info, since, err := s.up.describeAt(ctx, c.name)
	if errors.Is(err, errNoTable) {
		return &cdc.TableError{Err: sqlerr.New(sqlerr.UndefinedTable, "the table %s of MySQL does not exist", c.name)}
	}
	if err != nil {
		return err
	}
	sh := &shape{Since: since, Columns: info.columns}
	if len(c.t.Key) > 0 {
		var names []string
		for _, k := range c.t.Key {
			names = append(names, c.t.Columns[k].Name)
		}
		if sh.Key = info.key(names); sh.Key == nil {
			return errKeyGone(c.name, names)
		}
	}
	s.set(c, sh)
	return nil
}

func errKeyGone(n tableName, key []string) error {
	return &cdc.TableError{Err: sqlerr.New(sqlerr.InvalidTableDefinition, "the table %s of MySQL has no unique key (%s) any more", n, strings.Join(key, ", ")).
		WithHint("Drop the table here and create it again, with a key that there is.")}
}

// Ack implements cdc.Stream. MySQL keeps its log for a time, whoever reads it.
func (s *Stream) Ack([]byte) {}

// Close implements cdc.Stream.
func (s *Stream) Close() error { return s.log.close() } // of a replay, the end comes with that of the Upstream

// Next implements cdc.Stream.
func (s *Stream) Next(ctx context.Context) (cdc.Event, error) {
	if s.ended {
		return cdc.Event{}, errors.New("the stream ended with a schema change")
	}
	if !s.started {
		s.started = true
		return s.event(), nil
	}
	for {
		if len(s.queue) > 0 {
			return s.notify(), nil
		}
		if s.rows >= delta.BatchRows {
			return s.event(), nil
		}
		wait, ok := s.due()
		if ok {
			return s.event(), nil
		}
		e, err := s.read(ctx, wait)
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return s.event(), nil
			}
			return cdc.Event{}, err
		}
		if err := s.process(ctx, e); err != nil {
			return cdc.Event{}, err
		}
	}
}

// due tells whether something is to be said before more is read, and if not, how long it may wait; 0: for ever.
func (s *Stream) due() (wait time.Duration, now bool) {
	if s.open || s.inside() {
		return 0, false
	}
	at := s.at.position()
	moved := s.reported.Before(at) || at.A != s.reported.A
	if s.told {
		return 0, true
	}
	if s.rows == 0 && !moved {
		return 0, false
	}
	if asked := s.up.asked.Load(); asked != nil && s.reported.Before(*asked) && !at.Before(*asked) {
		return 0, true
	}
	if s.rows > 0 && slices.ContainsFunc(s.tables, func(c *capture) bool { return c.t.Apart() }) {
		return 0, true
	}
	// Enough for a batch: what begins now is not to be cut if it is of ordinary size.
	if s.rows > 0 && (s.rows >= delta.BatchRows/2 || s.log.conn.Waits()) {
		return 0, true
	}
	left := quiet - time.Since(s.last)
	return max(left, 0), left <= 0
}

// inside reports whether events come from within another.
func (s *Stream) inside() bool { return s.payload != nil || s.replayed != nil }

// event tells what has been given to the tables, and how far the log was read.
func (s *Stream) event() cdc.Event {
	e := cdc.Event{At: s.at.position(), End: !s.open && len(s.skip) == 0, Backlog: -1, Retained: -1}
	if !e.End {
		e.Resume = s.at.resume(s.sofar())
	} else {
		if s.text == nil {
			s.text = s.at.bytes()
		}
		e.Resume = s.text
	}
	s.rows, s.told, s.reported, s.last = 0, false, e.At, time.Now()
	g := &given{end: s.lastEnd}
	if s.at.set != nil {
		g.set = s.at.set.String()
	}
	s.up.given.Store(g)
	return e
}

// sofar counts the rows given of the transaction that is open, or was when the stream began.
func (s *Stream) sofar() map[string]int {
	n := maps.Clone(s.given)
	for t, k := range s.skip {
		n[t] = max(n[t], k)
	}
	return n
}

// notify gives the next notice; what was given to tables before goes with it, or before it when it ends the stream.
func (s *Stream) notify() cdc.Event {
	n := s.queue[0]
	if n.Change == nil {
		s.queue = s.queue[1:]
		e := s.event()
		e.Recopy = n.Recopy
		if n.Resume != nil {
			e.Resume = n.Resume
		}
		return e
	}
	if s.rows > 0 {
		return s.event()
	}
	s.ended = true
	return n.Event
}

// read returns the next event: of the XA transaction that is given, of the compressed transaction that is open, or of the log.
func (s *Stream) read(ctx context.Context, wait time.Duration) (binlog.Event, error) {
	if s.payload != nil {
		e, err := s.payload.Next()
		if !errors.Is(err, io.EOF) {
			return e, err
		}
		s.payload.Close()
		s.payload = nil
	}
	if s.replayed != nil {
		return s.replayed.log.next(ctx)
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	return s.log.next(ctx)
}

// process takes an event.
func (s *Stream) process(ctx context.Context, e binlog.Event) error {
	switch e.Type {
	case binlog.TypeMariaGTID:
		g, err := binlog.ReadMariaGTID(e)
		if err != nil {
			return err
		}
		if s.replayed != nil {
			return nil
		}
		s.beginTxn(txn{maria: g, has: true})
		s.open, s.alone, s.xa = !g.Standalone, g.Standalone, g.PreparedXA
		s.txn.void = g.AlterStarts || g.AlterFails
	case binlog.TypeGTID, binlog.TypeGTIDTagged:
		g, err := binlog.ReadGTID(e)
		if err != nil {
			return err
		}
		if s.replayed == nil {
			s.beginTxn(txn{gtid: g, has: true})
		}
	case binlog.TypeAnonymousGTID:
		if s.replayed == nil {
			s.beginTxn(txn{})
		}
	case binlog.TypeQuery, binlog.TypeMariaQueryZ:
		return s.query(ctx, e)
	case binlog.TypeXID:
		s.endTxn()
	case binlog.TypeXAPrepare:
		return s.prepared(ctx, e)
	case binlog.TypePayload:
		p, err := binlog.ReadPayload(e)
		if err != nil {
			return err
		}
		s.payload = p
	case binlog.TypeTableMap:
		return s.tableMap(ctx, e)
	case binlog.TypeIncident:
		return sqlerr.New(sqlerr.DataCorrupted, "the log of MySQL at %s has a gap after %s: %s", s.up.cfg.addr(), s.at, binlog.Incident(e)).
			WithHint("Changes are lost: ALTER SOURCE … REFRESH SCHEMA copies the tables of the source anew.")
	case binlog.TypePartialUpdate:
		return s.partial(e)
	case binlog.TypeBeginLoadQuery, binlog.TypeExecuteLoadQuery:
		return s.loaded(ctx, e)
	default:
		if e.Type.IsRows() {
			return s.rowsEvent(e)
		}
		if !knownQuiet[e.Type] && e.Flags&binlog.FlagIgnorable == 0 {
			return fmt.Errorf("read the binary log at %s: an event of type %d, which is not known", s.at, e.Type)
		}
		if !s.open && s.replayed == nil && !s.alone {
			s.moved()
		}
	}
	return nil
}

// knownQuiet are the types of events that say nothing of rows and tables.
var knownQuiet = map[binlog.Type]bool{
	binlog.TypeStop: true, binlog.TypeRotate: true, binlog.TypeFormat: true, binlog.TypeHeartbeat: true, binlog.TypeHeartbeatV2: true,
	binlog.TypeRowsQuery: true, binlog.TypePreviousGTIDs: true, binlog.TypeMariaGTIDList: true, binlog.TypeMariaStartEncrypt: true,
	5: true, 13: true, 14: true, 28: true, // of statements: INSERT_ID, RAND, user variables; ignorable
	36: true, 37: true, // of group replication
	160: true, 161: true, // annotations and checkpoints of MariaDB
}

// moved takes note of where the log was read to, outside of transactions.
func (s *Stream) moved() {
	if s.at.File != s.log.file || s.at.Pos != s.log.pos || s.at.Server != s.up.server {
		s.at.File, s.at.Pos, s.at.Server, s.text = s.log.file, s.log.pos, s.up.server, nil
	}
}

func (s *Stream) beginTxn(t txn) {
	s.txn = t
	s.txn.again = s.at.gave(&t)
	s.open, s.alone, s.xa = false, false, false
}

// endTxn closes the transaction.
func (s *Stream) endTxn() {
	if s.replayed != nil {
		return
	}
	s.txn.end = s.log.position()
	s.at.pass(&s.txn)
	s.lastEnd, s.text = s.txn.end, nil
	s.moved()
	s.txn = txn{}
	s.open, s.alone, s.xa = false, false, false
	s.skip = nil
	clear(s.given)
	clear(s.maps)
}

// query takes a statement of the log: the beginning or end of a transaction, DDL, or one that should not be there.
func (s *Stream) query(ctx context.Context, e binlog.Event) error {
	q, err := binlog.ReadQuery(e)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(q.Text)
	word := strings.ToUpper(text[:min(len(text), 24)])
	switch {
	case word == "BEGIN" || strings.HasPrefix(word, "START TRANSACTION"):
		s.open, s.alone = true, false
		return nil
	case word == "COMMIT" || word == "ROLLBACK":
		s.endTxn()
		return nil
	case strings.HasPrefix(word, "XA START") || strings.HasPrefix(word, "XA BEGIN"):
		s.open, s.xa, s.alone = true, true, false
		return nil
	case strings.HasPrefix(word, "XA END"), strings.HasPrefix(word, "SAVEPOINT"), strings.HasPrefix(word, "ROLLBACK TO"),
		strings.HasPrefix(word, "RELEASE"):
		return nil
	case strings.HasPrefix(word, "XA COMMIT"):
		return s.xaCommit(ctx, text)
	case strings.HasPrefix(word, "XA ROLLBACK"):
		s.forget(xidOf(text))
		s.endTxn()
		return nil
	}
	if s.replayed != nil {
		return nil
	}
	s.txn.end = s.log.position()
	if err := s.statement(ctx, q); err != nil {
		return err
	}
	if s.ended || len(s.queue) > 0 && s.queue[len(s.queue)-1].Change != nil {
		return nil // the statement is read again when the table has followed
	}
	if !s.open {
		s.endTxn()
	}
	return nil
}

// tableMap takes the description of the rows that follow.
func (s *Stream) tableMap(ctx context.Context, e binlog.Event) error {
	if s.xa && s.replayed == nil {
		return nil
	}
	body := e.Body
	if len(body) < 8 {
		return io.ErrUnexpectedEOF
	}
	captures, err := s.captured(e)
	if err != nil {
		return err
	}
	id := littleEndian(body[:6])
	s.maps[id] = nil
	for _, c := range captures {
		if c.t.Failed() || s.txn.again || s.past(c) {
			continue
		}
		if c.bound == nil || !bytes.Equal(c.body, body[6:]) {
			m, err := binlog.ReadTableMap(e)
			if err != nil {
				return err
			}
			if !c.shape.fits(m) {
				// A change that we did not see, or that went on after the log we are reading.
				if err := s.stopOnly(c, s.renew(ctx, c)); err != nil {
					return err
				}
				if n := len(s.queue); n > 0 {
					s.queue[n-1].Resume = nil // it comes within the transaction
					if s.queue[n-1].Change != nil {
						return nil // the stream ends
					}
				}
				continue
			}
			if c.bound, err = s.bind(ctx, c, m); err != nil {
				if err := s.stopOnly(c, err); err != nil {
					return err
				}
				continue
			}
			c.body = append(c.body[:0], body[6:]...)
		}
		s.maps[id] = append(s.maps[id], c.bound)
	}
	return nil
}

// captured finds the tables that a table map is about by its name, before the rest of it is read.
func (s *Stream) captured(e binlog.Event) ([]*capture, error) {
	b := e.Body[8:]
	var names [2]string
	for i := range names {
		if len(b) == 0 || len(b) < int(b[0])+2 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int(b[0])
		names[i], b = s.stmts.folded(string(b[1:1+n])), b[n+2:]
	}
	return s.byName[tableName{names[0], names[1]}], nil
}

// past reports whether the open transaction is over for a table: its shape is of a later time.
func (s *Stream) past(c *capture) bool {
	t := s.txn
	if !t.has {
		t.end = s.log.position()
	}
	return c.shape.Since.covers(&t, s.up.server)
}

// binding is how the rows that a table map describes go into a table.
type binding struct {
	m *binlog.TableMap
	c *capture
	// source has for each column here the one of the log; −1: none. add appends its cell.
	source []int
	add    []appender
	// key lists the columns of the log that identify a row.
	key []int
	// isKey tells for each column here whether it belongs to the key.
	isKey []bool
}

func (s *Stream) bind(ctx context.Context, c *capture, m *binlog.TableMap) (*binding, error) {
	b := &binding{m: m, c: c, isKey: make([]bool, len(c.t.Columns))}
	for _, k := range c.t.Key {
		b.isKey[k] = true
	}
	for i, col := range c.t.Columns {
		k := c.shape.find(col)
		b.source = append(b.source, k)
		if k < 0 {
			b.add = append(b.add, nil)
			continue
		}
		up := &c.shape.Columns[k]
		if !accepts(up, col.Type) {
			return nil, errCannotHold(c.t.Upstream, up, col)
		}
		var cs *charset
		if up.family() == famText {
			var err error
			if cs, err = s.up.charset(ctx, up.Charset); err != nil {
				return nil, err
			}
		}
		b.add = append(b.add, asText(up, col.Type, cellAppender(up, &m.Columns[k], cs, s.up.cfg.zero)))
		if b.isKey[i] {
			b.key = append(b.key, k)
		}
	}
	return b, nil
}

// rowsEvent gives rows to their tables.
func (s *Stream) rowsEvent(e binlog.Event) error {
	if s.xa && s.replayed == nil {
		return nil
	}
	r, err := binlog.ReadRows(e)
	if err != nil {
		return err
	}
	list, ok := s.maps[r.TableID]
	const onlyEnds = 0xffffff // a number that no table has: the event only ends a statement
	if !ok && r.TableID != onlyEnds {
		return fmt.Errorf("read the binary log at %s: rows of the table number %d, which no table map describes", s.at, r.TableID)
	}
	for i, b := range list {
		if i > 0 {
			if r, err = binlog.ReadRows(e); err != nil {
				return err
			}
		}
		if b.c.t.Failed() {
			continue
		}
		n, err := s.putRows(b, r)
		if err := s.stopOnly(b.c, err); err != nil {
			return err
		}
		if i == len(list)-1 {
			s.given[b.c.t.Upstream] = n
		}
	}
	return nil
}

// putRows gives the rows of an event, but those given before, and counts them.
func (s *Stream) putRows(b *binding, r *binlog.Rows) (n int, err error) {
	if err := r.Bind(b.m); err != nil {
		if errors.Is(err, binlog.ErrPartial) {
			return 0, errRowImage(b.c.name)
		}
		return 0, err
	}
	upstream := b.c.t.Upstream
	skip := s.skip[upstream]
	n = s.given[upstream]
	for {
		before, after, ok, err := r.Next()
		if err != nil || !ok {
			return n, err
		}
		if n++; n <= skip {
			continue
		}
		if err := s.put(b, before, after); err != nil {
			return n, err
		}
	}
}

func errRowImage(n tableName) error {
	return &cdc.TableError{Err: sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the log of MySQL has rows of %s without all of their columns", n).
		WithHint("Set binlog_row_image to FULL at the server, also for sessions, and ALTER TABLE … REFRESH SCHEMA here.")}
}

// put gives what became of a row.
func (s *Stream) put(b *binding, before, after binlog.Row) error {
	t := b.c.t
	if before != nil && (after == nil || len(b.key) == 0 || b.moved(before, after)) {
		if err := b.append(before, len(b.key) > 0); err != nil {
			return err
		}
		t.Delete()
		s.rows++
	}
	if after != nil {
		if err := b.append(after, false); err != nil {
			return err
		}
		t.Put()
		s.rows++
	}
	return nil
}

// moved reports whether the key of a row changed.
func (b *binding) moved(before, after binlog.Row) bool {
	for _, k := range b.key {
		if !bytes.Equal(before[k], after[k]) {
			return true
		}
	}
	return false
}

func (b *binding) append(row binlog.Row, keyOnly bool) error {
	for i, k := range b.source {
		v := b.c.t.Col(i)
		switch {
		case k < 0 || row[k] == nil || keyOnly && !b.isKey[i]: // a column that is not upstream has no value
			v.AppendNull()
		default:
			if err := b.add[i](v, row[k]); err != nil {
				return asValueError(b.c.t.Upstream, b.c.shape.Columns[k].Name, err)
			}
		}
	}
	return nil
}

// partial refuses rows of which the log only has the parts of JSON values that changed.
func (s *Stream) partial(e binlog.Event) error {
	if len(e.Body) < 6 {
		return io.ErrUnexpectedEOF
	}
	list := s.maps[littleEndian(e.Body[:6])]
	if len(list) == 0 || s.xa && s.replayed == nil {
		return nil
	}
	for _, b := range list {
		b.c.t.Fail(sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the log of MySQL has only parts of JSON values of %s", b.c.name).
			WithHint("Set binlog_row_value_options to the empty text at the server, and ALTER TABLE … REFRESH SCHEMA here."))
	}
	s.told = true
	return nil
}

// loaded takes the events of a LOAD DATA that was logged as a statement.
func (s *Stream) loaded(ctx context.Context, e binlog.Event) error {
	if e.Type == binlog.TypeBeginLoadQuery {
		return nil
	}
	const extra = 4 + 4 + 4 + 1 // behind the head of an ordinary statement
	if len(e.Body) < 13+extra {
		return io.ErrUnexpectedEOF
	}
	plain := e
	plain.Type = binlog.TypeQuery
	plain.Body = append(bytes.Clone(e.Body[:13]), e.Body[13+extra:]...)
	return s.query(ctx, plain)
}
