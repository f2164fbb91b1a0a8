package pgwire

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// prepared is a prepared statement of the client.
type prepared struct {
	sql    string   // positions of errors refer to it
	p      Prepared // nil: an empty statement
	params []sqltypes.Type
	cols   []Column
}

// portal is a portal of the client. It is in use when stmt is not nil.
type portal struct {
	stmt    *prepared
	p       Portal // nil: of an empty statement
	formats formats
	cur     cursor
	started bool
	tag     string // of the finished portal
}

func (p *portal) close() {
	if p.started {
		p.cur.close()
	}
	*p = portal{formats: p.formats[:0]}
}

// extended answers a message of the extended protocol other than Sync and Flush.
func (c *conn) extended(typ byte, body []byte) error {
	ctx := c.begin()
	f := fields{rest: body}
	var err error
	switch typ {
	case 'P':
		err = c.parse(ctx, &f)
	case 'B':
		err = c.bind(ctx, &f)
	case 'D':
		err = c.describe(&f)
	case 'E':
		err = c.execute(ctx, &f)
	case 'C':
		err = c.closeMessage(&f)
	}
	if err == nil {
		return nil
	}
	c.rollBack()
	if endsConnection(err) {
		return err
	}
	c.finished()
	c.failed(err)
	c.skipping, c.out.asked = true, true
	return nil
}

// sync ends the implicit transaction of the messages since the last Sync.
func (c *conn) sync() error {
	c.skipping = false
	if c.implicit {
		ctx := c.begin()
		c.implicit = false
		if err := c.sess.EndImplicit(ctx, false); err != nil {
			c.rollBack()
			c.failed(err)
		}
		c.finished()
	}
	c.ready()
	return nil
}

// parse answers Parse.
func (c *conn) parse(ctx context.Context, f *fields) error {
	name, text := f.cstring(), f.cstring()
	oids := make([]uint32, 0, 8)
	for n := f.count(); n > 0 && f.bad == ""; n-- {
		oids = append(oids, uint32(f.int32()))
	}
	if err := f.done(); err != nil {
		return err
	}
	if err := checkUTF8(text); err != nil {
		return err
	}
	if len(name) == 0 {
		c.dropStatement("")
	} else if _, _, dup := c.sess.Named(string(name)); dup {
		return sqlerr.New(sqlerr.DuplicatePreparedStatement, `prepared statement "%s" already exists`, name)
	}
	st, err := c.prepare(ctx, string(text), oids)
	if err != nil {
		return located(err, string(text))
	}
	if len(name) == 0 {
		c.unnamed = st
	} else {
		c.sess.Keep(string(name), st.sql, st.p)
		c.cache(string(name), st)
	}
	c.out.empty('1')
	return nil
}

// prepare makes a prepared statement of a script of one statement.
func (c *conn) prepare(ctx context.Context, sql string, oids []uint32) (*prepared, error) {
	c.implicit = true
	stmts, err := c.sess.Parse(sql)
	if err != nil {
		return nil, err
	}
	var only Statement
	for _, s := range stmts {
		if s.Empty() {
			continue
		}
		if only != nil {
			return nil, sqlerr.New(sqlerr.SyntaxError, "cannot insert multiple commands into a prepared statement")
		}
		only = s
	}
	st := &prepared{sql: sql}
	if only == nil {
		return st, nil
	}
	if st.p, err = c.sess.Prepare(ctx, only, oids); err != nil {
		return nil, err
	}
	st.params, st.cols = st.p.Params(), st.p.Columns()
	return st, nil
}

// statement finds a prepared statement.
func (c *conn) statement(name []byte) (*prepared, error) {
	if len(name) == 0 {
		if c.unnamed == nil {
			return nil, sqlerr.New(sqlerr.InvalidSQLStatementName, "unnamed prepared statement does not exist")
		}
		return c.unnamed, nil
	}
	sql, p, ok := c.sess.Named(string(name))
	switch st := c.stmts[string(name)]; {
	case ok && st != nil && st.p == p:
		return st, nil
	case ok: // PREPARE has made it, or made it anew
		st = &prepared{sql: sql, p: p}
		if p != nil {
			st.params, st.cols = p.Params(), p.Columns()
		}
		c.cache(string(name), st)
		return st, nil
	}
	delete(c.stmts, string(name))
	return nil, sqlerr.New(sqlerr.InvalidSQLStatementName, `prepared statement "%s" does not exist`, name)
}

func (c *conn) cache(name string, st *prepared) {
	if c.stmts == nil {
		c.stmts = map[string]*prepared{}
	}
	c.stmts[name] = st
}

// dropStatement forgets a prepared statement, if there is one of that name.
func (c *conn) dropStatement(name string) {
	st := c.stmts[name]
	if name == "" {
		st, c.unnamed = c.unnamed, nil
	} else {
		c.sess.Drop(name)
		delete(c.stmts, name)
	}
	if st != nil && st.p != nil {
		st.p.Close()
	}
}

// portalNamed finds a portal; nil if there is none.
func (c *conn) portalNamed(name []byte) *portal {
	if len(name) > 0 {
		return c.portals[string(name)]
	}
	if c.portal.stmt == nil {
		return nil
	}
	return &c.portal
}

// dropPortal forgets a portal, if there is one of that name.
func (c *conn) dropPortal(name string) {
	if name == "" {
		if c.portal.stmt != nil {
			c.portal.close()
		}
		return
	}
	if p := c.portals[name]; p != nil {
		delete(c.portals, name)
		p.close()
	}
}

// closePortals forgets all portals: they do not outlive their transaction.
func (c *conn) closePortals() {
	c.dropPortal("")
	for name := range c.portals {
		c.dropPortal(name)
	}
}

// bind answers Bind.
func (c *conn) bind(ctx context.Context, f *fields) error {
	name, stmtName := f.cstring(), f.cstring()
	if f.bad != "" {
		return f.done()
	}
	st, err := c.statement(stmtName)
	if err != nil {
		return err
	}
	args, err := c.arguments(f, st, stmtName)
	if err != nil {
		return err
	}
	p := &c.portal
	if len(name) == 0 {
		c.dropPortal("")
	} else {
		if c.portals[string(name)] != nil {
			return sqlerr.New(sqlerr.DuplicateCursor, `cursor "%s" already exists`, name)
		}
		p = &portal{}
	}
	if err := p.resultFormats(f, len(st.cols)); err != nil {
		return err
	}
	if st.p != nil {
		c.implicit = true
		if p.p, err = st.p.Bind(ctx, args); err != nil {
			return located(err, st.sql)
		}
	}
	p.stmt = st
	if len(name) > 0 {
		if c.portals == nil {
			c.portals = map[string]*portal{}
		}
		c.portals[string(name)] = p
	}
	c.out.empty('2')
	return nil
}

// arguments reads the parameters of a Bind.
func (c *conn) arguments(f *fields, st *prepared, stmtName []byte) ([]sqltypes.Datum, error) {
	codes := f.count()
	codeBytes := f.take(2 * codes)
	n := f.count()
	switch {
	case f.bad != "":
		return nil, f.done()
	case codes > 1 && codes != n:
		return nil, sqlerr.New(sqlerr.ProtocolViolation,
			"bind message has %d parameter formats but %d parameters", codes, n)
	case n != len(st.params):
		return nil, sqlerr.New(sqlerr.ProtocolViolation,
			`bind message supplies %d parameters, but prepared statement "%s" requires %d`, n, stmtName, len(st.params))
	case n == 0:
		return nil, nil
	}
	args := make([]sqltypes.Datum, n)
	settings := c.sess.Settings()
	var bad error // reported once the message is known to be whole
	for i := range args {
		code := 0
		if codes > 0 {
			code = int(binary.BigEndian.Uint16(codeBytes[2*min(i, codes-1):]))
		}
		b := f.value()
		if b == nil || bad != nil {
			continue
		}
		if args[i], bad = argument(st.params[i], code, b, settings); bad != nil {
			args[i] = nil
		}
	}
	if f.bad != "" {
		return nil, f.done()
	}
	return args, bad
}

// argument converts one parameter.
func argument(t sqltypes.Type, code int, b []byte, s *sqlio.Settings) (sqltypes.Datum, error) {
	switch code {
	case 0:
		if err := checkUTF8(b); err != nil {
			return nil, err
		}
		return sqlio.ParseText(t, string(b), s)
	case 1:
		if t.IsString() || t.Kind == sqltypes.KJSON {
			if err := checkUTF8(b); err != nil {
				return nil, err
			}
		}
		return sqlio.ParseBinary(t, b)
	}
	return nil, sqlerr.New(sqlerr.InvalidParameterValue, "unsupported format code: %d", code)
}

// resultFormats reads the result formats of a Bind, the last thing in it, for n columns.
func (p *portal) resultFormats(f *fields, n int) error {
	codes := f.count()
	b := f.take(2 * codes)
	if err := f.done(); err != nil {
		return err
	}
	if codes > 1 && codes != n {
		return sqlerr.New(sqlerr.ProtocolViolation,
			"bind message has %d result formats but query has %d columns", codes, n)
	}
	p.formats = p.formats[:0]
	if codes == 0 {
		p.formats = nil
	}
	for i := 0; i < n && codes > 0; i++ {
		switch code := binary.BigEndian.Uint16(b[2*min(i, codes-1):]); code {
		case 0, 1:
			p.formats = append(p.formats, code == 1)
		default:
			return sqlerr.New(sqlerr.InvalidParameterValue, "unsupported format code: %d", code)
		}
	}
	return nil
}

// describe answers Describe.
func (c *conn) describe(f *fields) error {
	what, name := f.byte(), f.cstring()
	if err := f.done(); err != nil {
		return err
	}
	switch what {
	case 'S':
		st, err := c.statement(name)
		if err != nil {
			return err
		}
		var at int
		c.out.buf, at = beginMessage(c.out.buf, 't')
		c.out.buf = binary.BigEndian.AppendUint16(c.out.buf, uint16(len(st.params)))
		for _, t := range st.params {
			c.out.buf = binary.BigEndian.AppendUint32(c.out.buf, t.OID())
		}
		c.out.buf = endMessage(c.out.buf, at)
		c.describeColumns(st.cols, nil)
	case 'P':
		p := c.portalNamed(name)
		if p == nil {
			if cols, ok := c.sess.Cursor(string(name)); ok {
				c.describeColumns(cols, nil)
				return nil
			}
			return noPortal(name)
		}
		if p.p == nil {
			c.out.empty('n')
			return nil
		}
		c.describeColumns(p.p.Columns(), p.formats)
	default:
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "invalid DESCRIBE message subtype %d", what))
	}
	return nil
}

func (c *conn) describeColumns(cols []Column, f formats) {
	if cols == nil {
		c.out.empty('n')
		return
	}
	c.out.buf = appendRowDescription(c.out.buf, cols, f)
}

func noPortal(name []byte) error {
	return sqlerr.New(sqlerr.InvalidCursorName, `portal "%s" does not exist`, name)
}

// execute answers Execute.
func (c *conn) execute(ctx context.Context, f *fields) error {
	name, limit := f.cstring(), f.int32()
	if err := f.done(); err != nil {
		return err
	}
	p := c.portalNamed(name)
	if p == nil {
		return noPortal(name)
	}
	if p.p == nil {
		c.out.empty('I')
		return nil
	}
	c.implicit = true
	if err := c.runPortal(ctx, p, name, int64(max(limit, 0))); err != nil {
		return located(err, p.stmt.sql)
	}
	return nil
}

// runPortal runs a portal, or goes on with it, for at most limit rows (0: all).
func (c *conn) runPortal(ctx context.Context, p *portal, name []byte, limit int64) error {
	resumed := p.started
	if !p.started {
		p.started = true
		p.cur.done = true // until there are rows
		if p.p.Columns() == nil {
			tag, copied, err := c.copy(ctx, p.p)
			if err != nil {
				return err
			}
			if copied {
				c.finished()
				c.out.text('C', tag)
				return nil
			}
		}
		if s, ok := c.sess.(Pipelined); ok {
			s.Pipelined(!c.in.nextIs('S'))
		}
		rows, err := p.p.Execute(ctx)
		if err != nil {
			return err
		}
		p.cur = cursor{rows: rows}
	} else if p.p.Columns() == nil {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, `portal "%s" cannot be run`, name)
	}
	sent, suspended, err := c.sendRows(ctx, &p.cur, p.formats, limit)
	if err != nil {
		p.cur.close()
		return err
	}
	if suspended {
		c.finished()
		c.out.empty('s')
		return nil
	}
	if p.cur.rows != nil {
		p.tag = p.cur.rows.Tag()
		p.cur.close()
	}
	c.finished()
	c.out.text('C', tagFor(p.tag, resumed, sent))
	return nil
}

// tagFor is the tag of one Execute: that of a SELECT counts the rows of this Execute, not of all.
func tagFor(tag string, resumed bool, sent int64) string {
	if resumed && strings.HasPrefix(tag, "SELECT ") {
		return "SELECT " + strconv.FormatInt(sent, 10)
	}
	return tag
}

// closeMessage answers Close. Closing what does not exist is no error.
func (c *conn) closeMessage(f *fields) error {
	what, name := f.byte(), f.cstring()
	if err := f.done(); err != nil {
		return err
	}
	switch what {
	case 'S':
		c.dropStatement(string(name))
	case 'P':
		c.dropPortal(string(name))
	default:
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "invalid CLOSE message subtype %d", what))
	}
	c.out.empty('3')
	return nil
}
