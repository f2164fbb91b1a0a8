package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// copyFormat is the text, CSV or binary form of COPY.
type copyFormat struct {
	csv, binary   bool
	delim         byte
	null          string
	quote, escape byte
	header        bool
}

// copyOptions are the options that COPY knows.
var copyOptions = []string{"format", "delimiter", "null", "header", "quote", "escape", "encoding", "freeze",
	"force_quote", "force_not_null", "force_null"}

func readCopyFormat(x *parser.CopyStmt) (copyFormat, error) {
	f := copyFormat{delim: '\t', null: `\N`, quote: '"', escape: '"'}
	set := map[string]string{}
	for _, o := range x.Options {
		v, ok := o.Text()
		if !ok && o.Value == nil {
			v = "true"
		}
		if !slices.Contains(copyOptions, o.Name) {
			return f, sqlerr.New(sqlerr.SyntaxError, "option %q not recognized", o.Name).At(o.Pos)
		}
		set[o.Name] = v
	}
	switch strings.ToLower(set["format"]) {
	case "", "text":
	case "csv":
		f.csv, f.delim, f.null = true, ',', ""
	default:
		return f, sqlerr.New(sqlerr.InvalidParameterValue, "COPY format %q not recognized", set["format"]).At(x.Pos)
	case "binary":
		if x.From {
			return f, sqlerr.New(sqlerr.FeatureNotSupported, "COPY FROM with the binary format is not supported").At(x.Pos)
		}
		f.binary = true
		for _, name := range []string{"delimiter", "null", "header", "quote", "escape"} {
			if _, ok := set[name]; ok {
				return f, sqlerr.New(sqlerr.SyntaxError, "cannot specify %s in BINARY mode", strings.ToUpper(name)).At(x.Pos)
			}
		}
	}
	one := func(name string, to *byte) error {
		v, ok := set[name]
		if !ok {
			return nil
		}
		if len(v) != 1 {
			return sqlerr.New(sqlerr.FeatureNotSupported, "COPY %s must be a single one-byte character", name).At(x.Pos)
		}
		*to = v[0]
		return nil
	}
	if err := one("delimiter", &f.delim); err != nil {
		return f, err
	}
	if err := one("quote", &f.quote); err != nil {
		return f, err
	}
	f.escape = f.quote
	if err := one("escape", &f.escape); err != nil {
		return f, err
	}
	if v, ok := set["null"]; ok {
		f.null = v
	}
	if v, ok := set["header"]; ok {
		b, err := boolean(v)
		f.header = err == nil && b == "on" || strings.EqualFold(v, "match")
	}
	return f, nil
}

// CopyIn implements pgwire.Portal.
func (p *portal) CopyIn(ctx context.Context) (pgwire.CopyIn, bool, error) {
	x, ok := p.p.copyStmt()
	if !ok || !x.From {
		return nil, false, nil
	}
	s := p.p.s
	if err := s.mayRun(x); err != nil {
		return nil, true, err
	}
	if x.File != "" {
		return nil, true, sqlerr.New(sqlerr.FeatureNotSupported, "COPY from a file of the server is not supported").At(x.Pos).
			WithHint("Use COPY FROM STDIN, or psql's \\copy.")
	}
	s.stmt = ctx
	c, err := s.copyIn(x)
	return c, true, err
}

func (p *prepared) copyStmt() (*parser.CopyStmt, bool) {
	x, ok := p.st.ast.(*parser.CopyStmt)
	return x, ok
}

// copyIn is a COPY FROM STDIN under way. Rows are added to the transaction batch by batch.
type copyIn struct {
	s      *Session
	rel    *catalog.Relation
	checks []plan.Check
	f      copyFormat
	cols   []int // table column of each input column
	fill   []expr.Expr
	buf    []byte // input not yet consumed
	line   int
	rows   int64
	b      *delta.Builder
	scr    []byte
	ended  bool
	fields [][]byte
	nulls  []bool
}

func (s *Session) copyIn(x *parser.CopyStmt) (*copyIn, error) {
	f, err := readCopyFormat(x)
	if err != nil {
		return nil, err
	}
	r, err := s.find(s.snapshot(), x.Table)
	if err != nil {
		return nil, err
	}
	if r.Kind != catalog.Table {
		return nil, sqlerr.New(sqlerr.WrongObjectType, "cannot copy to %s %q", r.Kind, r.Name).At(x.Table.Pos)
	}
	access := &bind.Access{Rel: r.ID, Rights: "a", Columns: map[byte][]int{'a': {}}}
	for k, c := range r.Columns {
		if x.Columns == nil || slices.ContainsFunc(x.Columns, func(n parser.Ident) bool { return n.Name == c.Name }) {
			access.Columns['a'] = append(access.Columns['a'], k)
		}
	}
	if err := s.mayAccess([]*bind.Access{access}); err != nil {
		return nil, err
	}
	c := &copyIn{s: s, rel: r, f: f, b: delta.NewBuilder(r.Types())}
	if c.checks, err = bind.InputChecks(s.env(nil), r); err != nil {
		return nil, err
	}
	for _, n := range x.Columns {
		k, ok := r.Column(n.Name)
		if !ok {
			return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", n.Name, r.Name).At(n.Pos)
		}
		c.cols = append(c.cols, k)
	}
	if x.Columns == nil {
		for i := range r.Columns {
			if r.Columns[i].Generated == "" {
				c.cols = append(c.cols, i)
			}
		}
	}
	given := map[int]bool{}
	for _, k := range c.cols {
		given[k] = true
	}
	c.fill = make([]expr.Expr, len(r.Columns))
	for i, col := range r.Columns {
		if given[i] {
			continue
		}
		if c.fill[i], err = bind.DefaultOf(s.env(nil), &col); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Format implements pgwire.CopyIn.
func (c *copyIn) Format() (int, bool) { return len(c.cols), false }

// Write implements pgwire.CopyIn.
func (c *copyIn) Write(ctx context.Context, data []byte) error {
	c.buf = append(c.buf, data...)
	return c.consume(ctx, false)
}

// Finish implements pgwire.CopyIn.
func (c *copyIn) Finish(ctx context.Context) (string, error) {
	defer c.end()
	if err := c.consume(ctx, true); err != nil {
		return "", err
	}
	if err := c.flush(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("COPY %d", c.rows), nil
}

// Abort implements pgwire.CopyIn. The rows are in the transaction, which pgwire fails.
func (c *copyIn) Abort(error) { c.end() }

// end lets go of what the transaction keeps for the COPY.
func (c *copyIn) end() {
	if c.s.txn.writes != nil {
		c.s.txn.writes.EndLoad()
	}
}

func (c *copyIn) consume(ctx context.Context, end bool) error {
	at := 0
	for !c.ended {
		n := c.record(c.buf[at:], end)
		if n == 0 {
			break
		}
		rec := c.buf[at : at+n]
		at += n
		c.line++
		if err := c.row(rec); err != nil {
			return c.context(err)
		}
		if c.b.Len() >= delta.BatchRows {
			if err := c.flush(ctx); err != nil {
				return err
			}
		}
	}
	c.buf = append(c.buf[:0], c.buf[at:]...)
	return nil
}

// record returns the length of the first complete record, its line end included; 0: more is needed.
func (c *copyIn) record(b []byte, end bool) int {
	if !c.f.csv {
		return textRecord(b, end)
	}
	inQuotes := false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == c.f.quote:
			inQuotes = !inQuotes
		case b[i] == '\n' && !inQuotes:
			return i + 1
		}
	}
	if end {
		return len(b)
	}
	return 0
}

// textRecord is record of the text format, where a backslash takes the meaning from a line end.
func textRecord(b []byte, end bool) int {
	for from := 0; ; {
		n := bytes.IndexByte(b[from:], '\n')
		if n < 0 {
			break
		}
		n += from
		slashes := 0
		for slashes < n && b[n-1-slashes] == '\\' {
			slashes++
		}
		if from = n + 1; slashes%2 == 0 {
			return from
		}
	}
	if end {
		return len(b)
	}
	return 0
}

func (c *copyIn) context(err error) error {
	e := sqlerr.From(err)
	if e.Detail == "" {
		e = e.WithDetail("COPY %s, line %d", c.rel.Name, c.line)
	}
	return e
}

func (c *copyIn) row(rec []byte) error {
	rec = trimEOL(rec)
	if c.f.header && c.line == 1 {
		return nil
	}
	if string(rec) == `\.` {
		c.ended = true
		return nil
	}
	if err := c.split(rec); err != nil {
		return err
	}
	if len(c.fields) < len(c.cols) {
		return sqlerr.New(sqlerr.BadCopyFileFormat, "missing data for column %q", c.rel.Columns[c.cols[len(c.fields)]].Name)
	}
	if len(c.fields) > len(c.cols) {
		return sqlerr.New(sqlerr.BadCopyFileFormat, "extra data after last expected column")
	}
	for i, k := range c.cols {
		v := c.b.Col(k)
		if c.nulls[i] {
			v.AppendNull()
			continue
		}
		if err := sqlio.AppendParsed(v, c.fields[i], c.s.settings.io); err != nil {
			return err
		}
	}
	for k, e := range c.fill {
		if e == nil {
			continue
		}
		d, err := expr.EvalConst(c.s.evalCtx(), e)
		if err != nil {
			return err
		}
		c.b.Col(k).AppendDatum(d)
	}
	c.b.EndRow(1)
	return nil
}

func trimEOL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}

// split cuts a record into fields. The fields alias c.scr or the record.
func (c *copyIn) split(rec []byte) error {
	c.fields, c.nulls, c.scr = c.fields[:0], c.nulls[:0], c.scr[:0]
	if !c.f.csv && bytes.IndexByte(rec, '\\') < 0 && len(rec) > 0 {
		c.splitPlain(rec)
		return nil
	}
	type span struct {
		from, to int
		null     bool
	}
	var spans []span
	i := 0
	for {
		from, start, quoted := len(c.scr), i, false
		for i < len(rec) && rec[i] != c.f.delim {
			switch {
			case c.f.csv && rec[i] == c.f.quote:
				quoted = true
				n, err := c.quoted(rec[i+1:])
				if err != nil {
					return err
				}
				i += 1 + n
			case !c.f.csv && rec[i] == '\\' && i+1 < len(rec):
				n := c.unescape(rec[i+1:])
				i += 1 + n
			default:
				c.scr = append(c.scr, rec[i])
				i++
			}
		}
		null := !quoted && string(rec[start:i]) == c.f.null
		spans = append(spans, span{from, len(c.scr), null})
		if i >= len(rec) {
			break
		}
		i++
	}
	for _, s := range spans {
		c.fields, c.nulls = append(c.fields, c.scr[s.from:s.to]), append(c.nulls, s.null)
	}
	if len(c.cols) == 0 && len(rec) == 0 {
		c.fields, c.nulls = nil, nil
	}
	return nil
}

// splitPlain is split where nothing is escaped.
func (c *copyIn) splitPlain(rec []byte) {
	for {
		n := bytes.IndexByte(rec, c.f.delim)
		if n < 0 {
			n = len(rec)
		}
		c.fields = append(c.fields, rec[:n:n])
		c.nulls = append(c.nulls, string(rec[:n]) == c.f.null)
		if n == len(rec) {
			return
		}
		rec = rec[n+1:]
	}
}

// quoted reads a quoted CSV field after its opening quote and returns how much it read.
func (c *copyIn) quoted(b []byte) (int, error) {
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == c.f.escape && i+1 < len(b) && (b[i+1] == c.f.quote || b[i+1] == c.f.escape):
			i++
			c.scr = append(c.scr, b[i])
		case b[i] == c.f.quote:
			return i + 1, nil
		default:
			c.scr = append(c.scr, b[i])
		}
	}
	return 0, sqlerr.New(sqlerr.BadCopyFileFormat, "unterminated CSV quoted field")
}

// unescape reads what follows a backslash in text format and returns how much it read.
func (c *copyIn) unescape(b []byte) int {
	simple := map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}
	if x, ok := simple[b[0]]; ok {
		c.scr = append(c.scr, x)
		return 1
	}
	if b[0] >= '0' && b[0] <= '7' {
		v, n := 0, 0
		for n < 3 && n < len(b) && b[n] >= '0' && b[n] <= '7' {
			v = v*8 + int(b[n]-'0')
			n++
		}
		c.scr = append(c.scr, byte(v))
		return n
	}
	if b[0] == 'x' && len(b) > 1 {
		v, n := 0, 1
		for n < 3 && n < len(b) {
			d := strings.IndexByte("0123456789abcdef", b[n]|0x20)
			if d < 0 {
				break
			}
			v = v*16 + d
			n++
		}
		if n > 1 {
			c.scr = append(c.scr, byte(v))
			return n
		}
	}
	c.scr = append(c.scr, b[0])
	return 1
}

// flush adds the rows collected to the transaction.
func (c *copyIn) flush(ctx context.Context) error {
	ch := c.b.Take()
	if ch == nil {
		return nil
	}
	if err := c.s.mayWrite("COPY FROM"); err != nil {
		return err
	}
	rel, checks, s := c.rel, c.checks, c.s
	n, err := s.modifying(ctx, false, func(ctx context.Context, txn *engine.Txn) (int64, error) {
		return s.m.Engine.InsertChunk(ctx, txn, rel, checks, ch, s.query2())
	})
	c.rows += n
	if err != nil {
		return c.context(err)
	}
	if s.txn.writes.Large() {
		s.txn.redo, s.txn.once = nil, true // the rows are not kept in the form to do it again
	}
	return nil
}

// CopyOut implements pgwire.Portal.
func (p *portal) CopyOut(ctx context.Context) (pgwire.CopyOut, bool, error) {
	x, ok := p.p.copyStmt()
	if !ok || x.From {
		return nil, false, nil
	}
	s := p.p.s
	if err := s.mayRun(x); err != nil {
		return nil, true, err
	}
	if x.File != "" {
		return nil, true, sqlerr.New(sqlerr.FeatureNotSupported, "COPY to a file of the server is not supported").At(x.Pos).
			WithHint("Use COPY TO STDOUT, or psql's \\copy.")
	}
	s.stmt = ctx
	c, err := s.copyOut(ctx, x)
	return c, true, err
}

type copyOut struct {
	s      *Session
	f      copyFormat
	cols   []plan.Column
	rows   pgwire.Rows
	cur    *delta.Chunk
	k      int
	left   int64
	n      int64
	header bool
	closed bool // the last thing of the binary format was sent
	buf    []byte
	val    []byte
}

func (s *Session) copyOut(ctx context.Context, x *parser.CopyStmt) (*copyOut, error) {
	f, err := readCopyFormat(x)
	if err != nil {
		return nil, err
	}
	if x.Subscribe != nil {
		return s.copySubscribe(ctx, x, f)
	}
	q := x.Query
	if q == nil {
		r, err := s.find(s.snapshot(), x.Table)
		if err != nil {
			return nil, err
		}
		if !r.IsStored() {
			return nil, sqlerr.New(sqlerr.WrongObjectType, "cannot copy from %s %q", r.Kind, r.Name).At(x.Table.Pos).
				WithHint("Try the COPY (SELECT ...) TO variant.")
		}
		list := "*"
		if x.Columns != nil {
			var names []string
			for _, c := range x.Columns {
				if _, ok := r.Column(c.Name); !ok {
					return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", c.Name, r.Name).At(c.Pos)
				}
				names = append(names, parser.QuoteIdent(c.Name))
			}
			list = strings.Join(names, ", ")
		}
		st, err := parser.ParseOne("SELECT " + list + " FROM " + parser.QuoteName(x.Table))
		if err != nil {
			return nil, err
		}
		q = st.(*parser.SelectStmt).Query
	}
	env := s.env(nil)
	n, err := bind.Query(env, q)
	if err != nil {
		return nil, err
	}
	if err := s.mayAccess(env.Access); err != nil {
		return nil, err
	}
	out := &copyOut{s: s, f: f, cols: n.Columns(), header: f.header || f.binary}
	if n, err = planBatch(n, s.snapshot()); err != nil {
		return nil, err
	}
	r, err := s.m.Engine.Run(ctx, s.reads(), n, s.queryOf(bound{runs: env.Runs}))
	if err != nil {
		return nil, err
	}
	out.rows = &queryRows{r: r}
	return out, nil
}

// copySubscribe is COPY (SUBSCRIBE …) TO STDOUT.
func (s *Session) copySubscribe(ctx context.Context, x *parser.CopyStmt, f copyFormat) (*copyOut, error) {
	b, err := s.bindSubscribe(x.Subscribe)
	if err != nil {
		return nil, err
	}
	out := &copyOut{s: s, f: f, header: f.header || f.binary}
	for _, c := range b.columns {
		out.cols = append(out.cols, plan.Column{Name: c.Name, Type: c.Type})
	}
	rows, err := s.openSubscribe(ctx, b)
	if err != nil {
		return nil, err
	}
	out.rows = rows
	return out, nil
}

// Format implements pgwire.CopyOut.
func (c *copyOut) Format() (int, bool) { return len(c.cols), c.f.binary }

// Ready implements pgwire.Live.
func (c *copyOut) Ready() bool {
	if c.header || c.left > 0 || c.cur != nil && c.k < c.cur.Len() {
		return true
	}
	l, ok := c.rows.(pgwire.Live)
	return !ok || l.Ready()
}

// Tag implements pgwire.CopyOut.
func (c *copyOut) Tag() string { return fmt.Sprintf("COPY %d", c.n) }

// Close implements pgwire.CopyOut.
func (c *copyOut) Close() { c.rows.Close() }

// Next implements pgwire.CopyOut.
func (c *copyOut) Next(ctx context.Context) ([]byte, error) {
	if c.header {
		c.header = false
		c.buf = c.buf[:0]
		if c.f.binary { // no flags, no extension
			return append(c.buf, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...), nil
		}
		for i, col := range c.cols {
			c.field(i, []byte(col.Name), false)
		}
		return append(c.buf, '\n'), nil
	}
	for c.left == 0 {
		if c.cur == nil || c.k >= c.cur.Len() {
			ch, err := c.rows.Next(ctx)
			if err != nil {
				return nil, err
			}
			if ch == nil {
				return c.trailer(), nil
			}
			c.cur, c.k = ch, 0
		}
		c.left = c.cur.Weight(c.cur.Row(c.k))
		c.k++
	}
	c.left--
	c.n++
	i := c.cur.Row(c.k - 1)
	c.buf = c.buf[:0]
	if c.f.binary {
		c.tuple(i)
		return c.buf, nil
	}
	for f, v := range c.cur.Cols {
		if v.IsNull(i) {
			c.field(f, nil, true)
			continue
		}
		c.val = sqlio.AppendText(c.val[:0], v, i, c.s.settings.io)
		c.field(f, c.val, false)
	}
	c.buf = append(c.buf, '\n')
	return c.buf, nil
}

// trailer ends the binary format; nil: nothing is left to send.
func (c *copyOut) trailer() []byte {
	if !c.f.binary || c.closed {
		return nil
	}
	c.closed = true
	return []byte{0xff, 0xff}
}

// tuple appends row i of the chunk in the binary format.
func (c *copyOut) tuple(i int) {
	c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(len(c.cur.Cols)))
	for _, v := range c.cur.Cols {
		if v.IsNull(i) {
			c.buf = append(c.buf, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		c.val = sqlio.AppendBinary(c.val[:0], v, i)
		c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(c.val)))
		c.buf = append(c.buf, c.val...)
	}
}

// field appends one field in the format's form.
func (c *copyOut) field(i int, v []byte, null bool) {
	if i > 0 {
		c.buf = append(c.buf, c.f.delim)
	}
	switch {
	case null:
		c.buf = append(c.buf, c.f.null...)
	case c.f.csv:
		c.csvField(v)
	default:
		for _, b := range v {
			switch b {
			case '\b':
				c.buf = append(c.buf, `\b`...)
			case '\f':
				c.buf = append(c.buf, `\f`...)
			case '\n':
				c.buf = append(c.buf, `\n`...)
			case '\r':
				c.buf = append(c.buf, `\r`...)
			case '\t':
				c.buf = append(c.buf, `\t`...)
			case '\v':
				c.buf = append(c.buf, `\v`...)
			case '\\':
				c.buf = append(c.buf, `\\`...)
			default:
				if b == c.f.delim {
					c.buf = append(c.buf, '\\')
				}
				c.buf = append(c.buf, b)
			}
		}
	}
}

func (c *copyOut) csvField(v []byte) {
	quote := string(v) == c.f.null || string(v) == `\.`
	for _, b := range v {
		quote = quote || b == c.f.delim || b == c.f.quote || b == '\n' || b == '\r'
	}
	if !quote {
		c.buf = append(c.buf, v...)
		return
	}
	c.buf = append(c.buf, c.f.quote)
	for _, b := range v {
		if b == c.f.quote || b == c.f.escape {
			c.buf = append(c.buf, c.f.escape)
		}
		c.buf = append(c.buf, b)
	}
	c.buf = append(c.buf, c.f.quote)
}
