package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// selection is how the columns of a table here are read from the upstream table as it is now.
type selection struct {
	t     *connector.Table
	now   *relation
	exprs []string // of the columns here
	past  []bool   // the column has another type now: what does not fit is left out until the table has followed
	key   []int    // the key, in the order of its index: indexes into the columns here
}

// errGone: the table is not there any more.
var errGone = errors.New("upstream table is gone")

// selects locks a table against changes of its columns for the transaction under way, and finds out what to read.
func (u *upstream) selects(ctx context.Context, conn *pgconn.PgConn, t *connector.Table) (*selection, error) {
	u.mu.Lock()
	known := u.mu.shapes[t.ID]
	u.mu.Unlock()
	var now *relation
	if known == nil {
		r, err := u.find(ctx, conn, u.types, t.Upstream)
		if err != nil {
			return nil, err
		}
		now, known = r, &r.shape
	}
	for range 2 { // the second look is under the lock
		rels, err := relations(ctx, conn, u.types, fmt.Sprintf("c.oid = %d", known.OID))
		if err != nil {
			return nil, err
		}
		if len(rels) == 0 {
			return nil, errGone
		}
		if now != nil && now.Schema == rels[0].Schema && now.Name == rels[0].Name {
			now = rels[0]
			break
		}
		now = rels[0]
		if _, err := query(ctx, conn, "LOCK TABLE "+now.only()+" IN ACCESS SHARE MODE"); err != nil {
			return nil, err
		}
	}
	s := &selection{t: t, now: now, exprs: make([]string, len(t.Columns)), past: make([]bool, len(t.Columns))}
	for i, c := range t.Columns {
		s.exprs[i] = "NULL"
		switch k := known.byName(c.Name); {
		case c.Include == "schema_name":
			s.exprs[i] = quote(now.Schema)
		case c.Include == "table_name":
			s.exprs[i] = quote(now.Name)
		case c.Include != "" || k == nil:
		default:
			if n := now.byNum(k.Num); n != nil {
				s.exprs[i], s.past[i] = quoteIdent(n.Name), n.Type != k.Type
			}
		}
	}
	s.key = slices.Clone(t.Key)
	s.orderKey()
	return s, nil
}

// orderKey brings the key into the order of its index, which makes reading in that order cheap.
func (s *selection) orderKey() {
	place := map[int]int{}
	for _, ix := range s.now.Indexes {
		if len(ix.Columns) != len(s.key) || !ix.Usable {
			continue
		}
		clear(place)
		for _, k := range s.key {
			if at := slices.IndexFunc(ix.Columns, func(n int16) bool { c := s.now.byNum(n); return c != nil && quoteIdent(c.Name) == s.exprs[k] }); at >= 0 {
				place[k] = at
			}
		}
		if len(place) == len(s.key) {
			slices.SortFunc(s.key, func(a, b int) int { return place[a] - place[b] })
			return
		}
	}
}

// only names the table without those that inherit from it; a partitioned one is nothing without its partitions.
func (r *relation) only() string {
	if r.Kind == "p" {
		return r.quoted()
	}
	return "ONLY " + r.quoted()
}

// keyList writes the key's columns, in brackets.
func (s *selection) keyList() string {
	var names []string
	for _, k := range s.key {
		names = append(names, s.exprs[k])
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// literals writes values of the key, given as texts, in brackets.
func (s *selection) literals(values [][]byte) string {
	var out []string
	for i, k := range s.key {
		typ := "text"
		for _, c := range s.now.Cols {
			if quoteIdent(c.Name) == s.exprs[k] {
				typ = c.SQL
			}
		}
		out = append(out, quote(string(values[i]))+"::"+typ)
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// inTransaction runs f in a transaction that only reads.
func inTransaction(ctx context.Context, conn *pgconn.PgConn, begin string, f func() error) error {
	if _, err := query(ctx, conn, begin); err != nil {
		return err
	}
	err := f()
	if conn.IsClosed() {
		return err
	}
	if _, end := query(ctx, conn, "ROLLBACK"); err == nil {
		err = end
	}
	return err
}

// Chunk implements cdc.Upstream.
func (u *upstream) Chunk(ctx context.Context, t *cdc.Table, after []byte, limit int, to *cdc.Rows) (last []byte, end bool, err error) {
	err = u.session(ctx, func(conn *pgconn.PgConn) error {
		if after == nil {
			if err := u.settleTable(ctx, conn, &t.Table); err != nil {
				return err
			}
		}
		return inTransaction(ctx, conn, "BEGIN READ ONLY", func() error {
			s, err := u.selects(ctx, conn, &t.Table)
			if err != nil {
				return err
			}
			where := ""
			if after != nil {
				values, err := decodeKey(after, len(s.key))
				if err != nil {
					return err
				}
				where = " WHERE " + s.keyList() + " > " + s.literals(values)
			}
			d := &copyDecoder{sel: s, to: to}
			_, err = conn.CopyTo(ctx, d, fmt.Sprintf("COPY (SELECT %s FROM %s%s ORDER BY %s LIMIT %d) TO STDOUT", strings.Join(s.exprs, ", "),
				s.now.only(), where, strings.Trim(s.keyList(), "()"), limit))
			if d.err != nil {
				return d.err
			}
			last, end = d.lastKey(after), d.rows < limit
			return err
		})
	})
	if errors.Is(err, errGone) {
		return after, true, nil
	}
	return last, end, u.unreadable(ctx, t, err)
}

// unreadable explains why a table could not be read.
func (u *upstream) unreadable(ctx context.Context, t *cdc.Table, err error) error {
	err = u.explain(ctx, "read table "+t.Upstream, err)
	if sqlerr.CodeOf(err) == sqlerr.InsufficientPrivilege {
		return &cdc.TableError{Err: err}
	}
	return err
}

// settleTable is settle for a table that is about to be copied.
func (u *upstream) settleTable(ctx context.Context, conn *pgconn.PgConn, t *connector.Table) error {
	u.mu.Lock()
	known := u.mu.shapes[t.ID]
	u.mu.Unlock()
	if known == nil {
		return nil
	}
	rels, err := relations(ctx, conn, u.types, fmt.Sprintf("c.oid = %d", known.OID))
	if err != nil || len(rels) == 0 {
		return err
	}
	return u.settle(ctx, conn, rels[0])
}

// Reread implements cdc.Upstream.
func (u *upstream) Reread(ctx context.Context, t *cdc.Table, keys *delta.Chunk, to *cdc.Rows) error {
	if keys.Len() == 0 {
		return nil
	}
	err := u.session(ctx, func(conn *pgconn.PgConn) error {
		return inTransaction(ctx, conn, "BEGIN READ ONLY", func() error {
			s, err := u.selects(ctx, conn, &t.Table)
			if err != nil {
				return err
			}
			list := make([]string, keys.Len())
			for i := range list {
				row := keys.Row(i)
				values := make([][]byte, len(s.key))
				for j, k := range s.key {
					values[j] = sqlio.AppendText(nil, keys.Cols[k], row, texts)
				}
				list[i] = s.literals(values)
			}
			d := &copyDecoder{sel: s, to: to}
			_, err = conn.CopyTo(ctx, d, fmt.Sprintf("COPY (SELECT %s FROM %s WHERE %s IN (%s)) TO STDOUT", strings.Join(s.exprs, ", "), s.now.only(), s.keyList(), strings.Join(list, ", ")))
			if d.err != nil {
				return d.err
			}
			return err
		})
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return u.unreadable(ctx, t, err)
}

// Whole implements cdc.Upstream. A temporary slot exports a snapshot whose place in the log is known exactly.
func (u *upstream) Whole(ctx context.Context, t *cdc.Table, begin func(cdc.Position), emit func(*delta.Chunk) error) error {
	repl, err := u.connect(ctx, true)
	if err != nil {
		return err
	}
	defer closeConn(repl)
	err = u.session(ctx, func(conn *pgconn.PgConn) error {
		if err := u.settleTable(ctx, conn, &t.Table); err != nil {
			return err
		}
		name := fmt.Sprintf("millrace_copy_%d_%d", repl.PID(), t.ID)
		rows, err := query(ctx, repl, "CREATE_REPLICATION_SLOT "+quoteIdent(name)+" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT")
		if err != nil {
			return u.explain(ctx, "create a temporary replication slot", err)
		}
		at, err := parseLSN(string(rows[0][1]))
		if err != nil {
			return err
		}
		start := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + quote(string(rows[0][2]))
		return inTransaction(ctx, conn, start, func() error {
			s, err := u.selects(ctx, conn, &t.Table)
			if err != nil {
				return err
			}
			begin(at.position())
			to := cdc.NewRows(t.Table)
			d := &copyDecoder{sel: s, to: &to, full: emit}
			_, err = conn.CopyTo(ctx, d, fmt.Sprintf("COPY (SELECT %s FROM %s) TO STDOUT", strings.Join(s.exprs, ", "), s.now.only()))
			if d.err != nil {
				return d.err
			}
			if c := to.Take(); err == nil && c != nil {
				err = emit(c)
			}
			return err
		})
	})
	if errors.Is(err, errGone) {
		return &cdc.TableError{Err: sqlerr.New(sqlerr.UndefinedTable, "upstream table %q does not exist any more", t.Upstream)}
	}
	return u.unreadable(ctx, t, err)
}

// copyDecoder reads the text format of COPY into rows. It is an io.Writer of what the server sends, a row at a time.
type copyDecoder struct {
	sel    *selection
	to     *cdc.Rows
	full   func(*delta.Chunk) error // takes delta.BatchRows rows at a time; nil: they stay
	rows   int
	keys   [][]byte // of the last row
	fields []field
	rest   []byte // of a row that has not come whole
	room   []byte
	err    error
}

type field struct {
	text []byte
	null bool
}

// Write implements io.Writer.
func (d *copyDecoder) Write(b []byte) (int, error) {
	n := len(b)
	if len(d.rest) > 0 {
		b = append(d.rest, b...)
		d.rest = nil
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			d.rest = slices.Clone(b)
			break
		}
		if d.err = d.row(b[:i]); d.err != nil {
			return 0, d.err
		}
		b = b[i+1:]
	}
	return n, nil
}

func (d *copyDecoder) row(line []byte) error {
	d.split(line)
	s := d.sel
	if len(d.fields) != len(s.exprs) {
		return fmt.Errorf("read a row of table %s: %d columns, want %d", s.now.label(), len(d.fields), len(s.exprs))
	}
	for i := range d.fields {
		col, f := d.to.Col(i), &d.fields[i]
		if f.null {
			col.AppendNull()
			continue
		}
		if err := sqlio.AppendParsed(col, f.text, texts); err != nil {
			if !s.past[i] {
				return badValue(s.now.label(), s.t.Columns[i].Name, f.text, err)
			}
			col.AppendNull()
		}
	}
	d.to.Put()
	d.rows++
	if d.full == nil {
		d.keep()
	} else if d.to.Len() >= delta.BatchRows {
		return d.full(d.to.Take())
	}
	return nil
}

// keep remembers the key of the row just read.
func (d *copyDecoder) keep() {
	if d.keys == nil {
		d.keys = make([][]byte, len(d.sel.key))
	}
	for i, k := range d.sel.key {
		d.keys[i] = append(d.keys[i][:0], d.fields[k].text...)
	}
}

// split cuts a line into its fields and takes the escapes out.
func (d *copyDecoder) split(line []byte) {
	d.fields, d.room = d.fields[:0], d.room[:0]
	if len(d.sel.exprs) == 0 {
		return
	}
	if cap(d.room) < len(line) {
		d.room = make([]byte, 0, 2*len(line))
	}
	escapes := bytes.IndexByte(line, '\\') >= 0
	for {
		i := bytes.IndexByte(line, '\t')
		f := line
		if i >= 0 {
			f = line[:i]
		}
		switch {
		case !escapes:
			d.fields = append(d.fields, field{text: f})
		case len(f) == 2 && f[0] == '\\' && f[1] == 'N':
			d.fields = append(d.fields, field{null: true})
		default:
			at := len(d.room)
			d.room = unescape(d.room, f)
			d.fields = append(d.fields, field{text: d.room[at:]})
		}
		if i < 0 {
			return
		}
		line = line[i+1:]
	}
}

// unescape appends a field of COPY's text format as it was. dst has room for it.
func unescape(dst, f []byte) []byte {
	for i := 0; i < len(f); i++ {
		c := f[i]
		if c != '\\' || i+1 == len(f) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = f[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		}
		dst = append(dst, c)
	}
	return dst
}

// lastKey is the key of the last row, before when there was none.
func (d *copyDecoder) lastKey(before []byte) []byte {
	if d.keys == nil {
		return before
	}
	var b []byte
	for _, k := range d.keys {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
	}
	return b
}

func decodeKey(b []byte, n int) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) {
			return nil, errors.New("read where a snapshot goes on: unknown form")
		}
		out = append(out, b[used:used+int(size)])
		b = b[used+int(size):]
	}
	if len(out) != n {
		return nil, fmt.Errorf("read where a snapshot goes on: %d key columns, want %d", len(out), n)
	}
	return out, nil
}
