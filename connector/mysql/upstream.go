package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// Upstream implements cdc.Upstream: one MySQL or MariaDB server.
type Upstream struct {
	cfg  *config
	fold bool // the server compares table names without regard to case
	// gtid: MySQL numbers its transactions.
	gtid    bool
	mariaDB bool
	server  uint32

	// asked is the last answer of Position: the stream tells when it has come there.
	asked atomic.Pointer[cdc.Position]
	// given is how far the stream has given transactions away.
	given atomic.Pointer[given]

	mu struct {
		sync.Mutex
		idle     []*wire.Conn
		all      map[*wire.Conn]bool
		shapes   map[catalog.ID]*shape
		charsets map[string]*charset
		closed   bool
	}
}

// given is how far a stream has given transactions away.
type given struct {
	end cdc.Position // of the last transaction
	set string       // of MySQL's GTIDs; "" when there are none
}

var errClosed = errors.New("the connection to MySQL is closed")

// open connects to a server and asks what it is.
func open(ctx context.Context, cfg *config) (*Upstream, error) {
	u := &Upstream{cfg: cfg}
	u.mu.all, u.mu.shapes, u.mu.charsets = map[*wire.Conn]bool{}, map[catalog.ID]*shape{}, map[string]*charset{}
	err := u.with(ctx, func(c *wire.Conn) error {
		u.mariaDB = c.MariaDB
		rows, err := c.Rows(ctx, "SELECT @@lower_case_table_names, @@server_id")
		if err != nil {
			return err
		}
		id, err := strconv.ParseUint(rows[0][1], 10, 32)
		if err != nil {
			return err
		}
		u.fold, u.server = rows[0][0] != "0", uint32(id)
		if u.mariaDB {
			return nil
		}
		rows, err = c.Rows(ctx, "SELECT @@gtid_mode")
		if wire.CodeOf(err) == wire.ErrUnknownVariable {
			return nil // before MySQL 5.6
		}
		u.gtid = err == nil && strings.EqualFold(rows[0][0], "ON")
		return err
	})
	if err != nil {
		u.Close()
		return nil, cfg.explain("connect", err)
	}
	return u, nil
}

// borrow gives a connection for queries.
func (u *Upstream) borrow(ctx context.Context) (*wire.Conn, error) {
	u.mu.Lock()
	if n := len(u.mu.idle); n > 0 && !u.mu.closed {
		c := u.mu.idle[n-1]
		u.mu.idle = u.mu.idle[:n-1]
		u.mu.Unlock()
		return c, nil
	}
	u.mu.Unlock()
	c, err := u.cfg.connect(ctx)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.closed {
		c.Close()
		return nil, errClosed
	}
	u.mu.all[c] = true
	return c, nil
}

// release takes a connection back; after an error that is not the server's answer it is of no more use.
func (u *Upstream) release(c *wire.Conn, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.closed || err != nil && wire.CodeOf(err) == 0 {
		c.Close()
		delete(u.mu.all, c)
		return
	}
	u.mu.idle = append(u.mu.idle, c)
}

// with runs f with a connection.
func (u *Upstream) with(ctx context.Context, f func(*wire.Conn) error) error {
	c, err := u.borrow(ctx)
	if err != nil {
		return err
	}
	err = f(c)
	u.release(c, err)
	return err
}

// Close implements cdc.Upstream.
func (u *Upstream) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.closed = true
	for c := range u.mu.all {
		c.Close()
	}
	clear(u.mu.all)
	u.mu.idle = nil
	return nil
}

// logStatus asks for the end of the log.
func logStatus(ctx context.Context, c *wire.Conn) (file string, pos uint64, set string, err error) {
	rows, err := c.Rows(ctx, "SHOW MASTER STATUS")
	if wire.CodeOf(err) == wire.ErrSyntax { // MySQL 8.4 and newer
		rows, err = c.Rows(ctx, "SHOW BINARY LOG STATUS")
	}
	if err != nil {
		return "", 0, "", err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", 0, "", errLogOff
	}
	if len(rows[0]) > 4 {
		set = strings.ReplaceAll(rows[0][4], "\n", "")
	}
	pos, err = strconv.ParseUint(rows[0][1], 10, 64)
	return rows[0][0], pos, set, err
}

var errLogOff = sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the MySQL server has no binary log").
	WithHint("Start it with log_bin and binlog_format = ROW.")

// Position implements cdc.Upstream. What a query has seen was in the log before.
func (u *Upstream) Position(ctx context.Context) (cdc.Position, error) {
	var p cdc.Position
	err := u.with(ctx, func(c *wire.Conn) error {
		file, pos, _, err := logStatus(ctx, c)
		p = cdc.Position{A: fileNumber(file), B: pos}
		return err
	})
	if err != nil {
		return p, u.cfg.explain("read the position of the binary log", err)
	}
	u.asked.Store(&p)
	return p, nil
}

// now returns a point such that everything up to it is visible to queries that begin later.
func (u *Upstream) now(ctx context.Context) (*point, error) {
	p := &point{Server: u.server}
	err := u.with(ctx, func(c *wire.Conn) (err error) {
		switch {
		case u.mariaDB:
			p.By = byMaria
			if err = snapshot(ctx, c, p); err != nil {
				return err
			}
			rows, err := c.Rows(ctx, "SELECT BINLOG_GTID_POS("+quote(p.File)+", "+strconv.FormatUint(p.Pos, 10)+")")
			if err != nil {
				return err
			}
			p.GTID = rows[0][0]
			return c.Exec(ctx, "COMMIT")
		case u.gtid:
			p.By = byGTID
			if p.File, p.Pos, p.GTID, err = logStatus(ctx, c); err != nil {
				return err
			}
			// What is in the set has been committed; at the position there may be more.
			return nil
		}
		p.By = byFile
		p.File, p.Pos, _, err = logStatus(ctx, c)
		return err
	})
	if err != nil {
		return nil, u.cfg.explain("read the position of the binary log", err)
	}
	return p, p.parse()
}

// snapshot begins a transaction of MariaDB and says where in the log its snapshot is, exactly.
func snapshot(ctx context.Context, c *wire.Conn, p *point) error {
	if err := c.Exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return err
	}
	rows, err := c.Rows(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return err
	}
	for _, r := range rows {
		switch strings.ToLower(r[0]) {
		case "binlog_snapshot_file":
			p.File = r[1]
		case "binlog_snapshot_position":
			if p.Pos, err = strconv.ParseUint(r[1], 10, 64); err != nil {
				return err
			}
		}
	}
	if p.File == "" {
		return errLogOff
	}
	return nil
}

// visible waits until all that the stream has given is visible to c: a transaction is in the log a moment before its engine
// shows it. On MariaDB a transaction with a snapshot is open afterwards.
func (u *Upstream) visible(ctx context.Context, c *wire.Conn) error {
	g := u.given.Load()
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		ok := true
		switch {
		case u.mariaDB:
			p := &point{}
			if err := snapshot(ctx, c, p); err != nil {
				return err
			}
			ok = g == nil || !p.position().Before(g.end)
		case u.gtid && g != nil:
			rows, err := c.Rows(ctx, "SELECT GTID_SUBSET("+quote(g.set)+", @@GLOBAL.gtid_executed)")
			if err != nil {
				return err
			}
			ok = rows[0][0] == "1"
		}
		if ok {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep waits; an error of ctx ends it.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// locking is what a query for a piece ends with: a MySQL server without GTIDs does not say what is visible, so the rows of
// transactions on their way are waited for by their locks.
func (u *Upstream) locking() string {
	if u.mariaDB || u.gtid {
		return ""
	}
	return " LOCK IN SHARE MODE"
}

// setShape publishes what a table looks like at the stream's position.
func (u *Upstream) setShape(id catalog.ID, s *shape) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.shapes[id] = s
}

func (u *Upstream) shape(id catalog.ID) *shape {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mu.shapes[id]
}

// charset returns how texts of a character set are read.
func (u *Upstream) charset(ctx context.Context, name string) (*charset, error) {
	u.mu.Lock()
	cs := u.mu.charsets[name]
	u.mu.Unlock()
	if cs != nil {
		return cs, nil
	}
	err := u.with(ctx, func(c *wire.Conn) (err error) {
		cs, err = loadCharset(ctx, c, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.charsets[name] = cs
	return cs, nil
}

// Chunk implements cdc.Upstream. The key is kept as a JSON list of its values. A table that looks different from what the stream knows has been
// changed by DDL that the stream has not come to: Chunk waits for it.
func (u *Upstream) Chunk(ctx context.Context, t *cdc.Table, after []byte, limit int, to *cdc.Rows) (last []byte, end bool, err error) {
	var from [][]byte
	if after != nil {
		if err := json.Unmarshal(after, &from); err != nil {
			return nil, false, fmt.Errorf("read the last key %q: %w", after, err)
		}
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		s := u.shape(t.ID)
		if s == nil || s.Gone {
			return nil, true, nil
		}
		n := 0
		var key [][]byte
		err := u.with(ctx, func(c *wire.Conn) error {
			n, key, err = u.piece(ctx, c, t, s, from, limit, to)
			return errors.Join(err, u.done(ctx, c, err))
		})
		if err == nil {
			if n < limit {
				return nil, true, nil
			}
			last, err = json.Marshal(key)
			return last, false, err
		}
		if !u.changedMeanwhile(ctx, t, s, err) {
			return nil, false, u.cfg.unreadable(t, err)
		}
		*to = cdc.NewRows(t.Table)
		if err := sleep(ctx, wait); err != nil {
			return nil, false, err
		}
	}
}

// unreadable explains why a table could not be read.
func (c *config) unreadable(t *cdc.Table, err error) error {
	switch err = c.explain("read the table "+t.Upstream, err); sqlerr.CodeOf(err) {
	case sqlerr.InsufficientPrivilege:
		return &cdc.TableError{Err: err}
	}
	return err
}

// done ends the transaction that visible has begun.
func (u *Upstream) done(ctx context.Context, c *wire.Conn, err error) error {
	if !u.mariaDB || err != nil && wire.CodeOf(err) == 0 {
		return nil
	}
	return c.Exec(ctx, "COMMIT")
}

// changedMeanwhile reports whether err is explained by DDL that the stream has not come to.
func (u *Upstream) changedMeanwhile(ctx context.Context, t *cdc.Table, s *shape, err error) bool {
	const tableChanged = 1412
	switch wire.CodeOf(err) {
	case wire.ErrUnknownColumn, wire.ErrNoSuchTable, tableChanged:
		return true
	}
	var conversion *valueError
	if !errors.As(err, &conversion) {
		return false
	}
	var info *tableInfo
	err = u.with(ctx, func(c *wire.Conn) (err error) {
		info, err = describe(ctx, c, u.name(t.Upstream))
		return err
	})
	return errors.Is(err, errNoTable) || err == nil && !sameColumns(info.columns, s.Columns)
}

// valueError is a value that could not be read.
type valueError struct {
	table  string
	column string
	err    error
}

func (e *valueError) Error() string {
	return fmt.Sprintf("column %q of %s: %v", e.column, e.table, e.err)
}
func (e *valueError) Unwrap() error { return e.err }

// asValueError names the column that a value was of, also where the user will see it.
func asValueError(table, col string, err error) error {
	var se *sqlerr.Error
	if errors.As(err, &se) {
		named := sqlerr.New(se.Code, "%s, in column %q of %s", se.Message, col, table).WithHint("%s", se.Hint)
		err = named
	}
	return &cdc.TableError{Err: &valueError{table: table, column: col, err: err}}
}

// fields are what a query selects for a table, and how its values are appended.
type fields struct {
	list string
	puts []put
	key  []column // of the key, whose values follow
}

// put appends a value to a column here.
type put struct {
	to   int
	add  appender
	name string
}

// fieldsOf prepares a query for a table.
func (u *Upstream) fieldsOf(t *cdc.Table, s *shape) (*fields, error) {
	f := &fields{}
	var list []string
	for i, col := range t.Columns {
		k := s.find(col)
		if k < 0 {
			continue
		}
		c := &s.Columns[k]
		if !accepts(c, col.Type) {
			return nil, errCannotHold(t.Upstream, c, col)
		}
		list = append(list, c.selectExpr())
		f.puts = append(f.puts, put{to: i, add: asText(c, col.Type, textAppender(c, u.cfg.zero)), name: c.Name})
	}
	if s.Key != nil {
		for _, name := range s.Key.Columns {
			k := indexOf(s.Columns, name)
			if k < 0 {
				return nil, fmt.Errorf("the key of %s has a column %q that is not there", t.Upstream, name)
			}
			f.key = append(f.key, s.Columns[k])
			list = append(list, s.Columns[k].keyExpr())
		}
	}
	if len(list) == 0 {
		list = append(list, "1")
	}
	f.list = strings.Join(list, ", ")
	return f, nil
}

// add appends a row.
func (f *fields) add(t *cdc.Table, values [][]byte, to *cdc.Rows) error {
	for i, p := range f.puts {
		v := to.Col(p.to)
		if values[i] == nil {
			v.AppendNull()
			continue
		}
		if err := p.add(v, values[i]); err != nil {
			return asValueError(t.Upstream, p.name, err)
		}
	}
	if len(f.puts) < len(t.Columns) {
		f.rest(t, to)
	}
	to.Put()
	return nil
}

// rest fills the columns that are not upstream with NULL.
func (f *fields) rest(t *cdc.Table, to *cdc.Rows) {
	next := 0
	for i := range t.Columns {
		if next < len(f.puts) && f.puts[next].to == i {
			next++
			continue
		}
		to.Col(i).AppendNull()
	}
}

// piece reads up to limit rows after a key.
func (u *Upstream) piece(ctx context.Context, c *wire.Conn, t *cdc.Table, s *shape, from [][]byte, limit int, to *cdc.Rows) (n int, last [][]byte, err error) {
	f, err := u.fieldsOf(t, s)
	if err != nil {
		return 0, nil, err
	}
	if len(f.key) == 0 || from != nil && len(from) != len(f.key) {
		return 0, nil, fmt.Errorf("the key of %s has changed while it was read", t.Upstream)
	}
	if err := u.visible(ctx, c); err != nil {
		return 0, nil, err
	}
	order := make([]string, len(f.key))
	for i, k := range f.key {
		order[i] = ident(k.Name)
	}
	sql := "SELECT " + f.list + " FROM " + u.name(t.Upstream).sql() + " FORCE INDEX (" + ident(s.Key.Index) + ")"
	if from != nil {
		sql += " WHERE " + afterKey(f.key, from)
	}
	sql += " ORDER BY " + strings.Join(order, ", ") + " LIMIT " + strconv.Itoa(limit) + u.locking()
	last = make([][]byte, len(f.key))
	err = c.Query(ctx, sql, func(values [][]byte) error {
		if err := f.add(t, values, to); err != nil {
			return err
		}
		n++
		for i := range last {
			last[i] = append(last[i][:0], values[len(f.puts)+i]...)
		}
		return nil
	})
	return n, last, err
}

// afterKey is the condition for rows after a key, in the form of ranges of the index: a > 1 OR a = 1 AND b > 2.
func afterKey(key []column, from [][]byte) string {
	var or []string
	equal := ""
	for i := range key {
		name, value := ident(key[i].Name), key[i].literal(from[i])
		or = append(or, equal+name+" > "+value)
		equal += name + " = " + value + " AND "
	}
	return "(" + strings.Join(or, " OR ") + ")"
}

// Reread implements cdc.Upstream.
func (u *Upstream) Reread(ctx context.Context, t *cdc.Table, keys *delta.Chunk, to *cdc.Rows) error {
	s := u.shape(t.ID)
	if s == nil || s.Gone || keys.Len() == 0 {
		return nil
	}
	f, err := u.fieldsOf(t, s)
	if err != nil {
		return err
	}
	settings := sqlio.DefaultSettings()
	var or []string
	for j := range keys.Len() {
		i := keys.Row(j)
		var and []string
		for _, k := range t.Key {
			col := s.find(t.Columns[k])
			if col < 0 {
				return fmt.Errorf("the key of %s has changed while it was read", t.Upstream)
			}
			c := &s.Columns[col]
			v := keys.Cols[k]
			text := sqlio.AppendText(nil, v, i, settings)
			if c.family() == famBytes {
				text = v.Bytes(i)
			}
			and = append(and, ident(c.Name)+" = "+c.literal(text))
		}
		or = append(or, strings.Join(and, " AND "))
	}
	err = u.with(ctx, func(c *wire.Conn) error {
		if err := u.visible(ctx, c); err != nil {
			return err
		}
		err := c.Query(ctx, "SELECT "+f.list+" FROM "+u.name(t.Upstream).sql()+" WHERE "+strings.Join(or, " OR ")+u.locking(),
			func(values [][]byte) error { return f.add(t, values, to) })
		return errors.Join(err, u.done(ctx, c, err))
	})
	return u.cfg.unreadable(t, err)
}

// name completes the name of an upstream table.
func (u *Upstream) name(upstream string) tableName { return u.cfg.name(upstream, u.fold) }

func (c *config) name(upstream string, fold bool) tableName {
	n := tableName{schema: c.databases[0], table: upstream}
	if schema, table, ok := strings.Cut(upstream, "."); ok {
		n = tableName{schema: schema, table: table}
	}
	if fold {
		n.schema, n.table = strings.ToLower(n.schema), strings.ToLower(n.table)
	}
	return n
}

func errCannotHold(table string, c *column, col catalog.Column) error {
	return &cdc.TableError{Err: sqlerr.New(sqlerr.DatatypeMismatch, "column %q of %s is of type %s, which a column of type %s cannot hold", c.Name, table, c.Decl, col.Type)}
}

var _ cdc.Upstream = (*Upstream)(nil)
