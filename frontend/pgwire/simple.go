package pgwire

import (
	"context"

	"github.com/millrace/millrace/internal/sqlerr"
)

// simpleQuery answers a Query message: a script, in one implicit transaction.
func (c *conn) simpleQuery(body []byte) error {
	f := fields{rest: body}
	text := f.cstring()
	if err := f.done(); err != nil {
		return err
	}
	c.dropStatement("")
	c.dropPortal("")
	ctx := c.begin()
	if err := c.runScript(ctx, text); err != nil {
		c.rollBack()
		if endsConnection(err) {
			return err
		}
		c.finished()
		c.failed(err)
	}
	c.implicit = false
	c.ready()
	return nil
}

// runScript parses all of a script and then runs one statement after the other.
func (c *conn) runScript(ctx context.Context, text []byte) error {
	if err := checkUTF8(text); err != nil {
		return err
	}
	sql := string(text)
	stmts, err := c.sess.Parse(sql)
	if err != nil {
		return located(err, sql)
	}
	todo := stmts[:0:0]
	for _, s := range stmts {
		if !s.Empty() {
			todo = append(todo, s)
		}
	}
	for i, s := range todo {
		if err := c.runStatement(ctx, s, i == len(todo)-1); err != nil {
			return located(err, sql)
		}
	}
	if len(todo) == 0 {
		c.out.empty('I')
		return c.sess.EndImplicit(ctx, false)
	}
	return nil
}

// runStatement takes one statement of a script through all its stages.
func (c *conn) runStatement(ctx context.Context, s Statement, last bool) error {
	p, err := c.sess.Prepare(ctx, s, nil)
	if err != nil {
		return err
	}
	defer p.Close()
	if len(p.Params()) > 0 {
		return sqlerr.New(sqlerr.UndefinedParameter, "there is no parameter $1")
	}
	run, err := p.Bind(ctx, nil)
	if err != nil {
		return err
	}
	tag, err := c.runWhole(ctx, run)
	if err != nil {
		return err
	}
	if last {
		// Before the tag: a commit that fails must not have been announced as done.
		if err := c.sess.EndImplicit(ctx, false); err != nil {
			return err
		}
	}
	c.finished()
	c.out.text('C', tag)
	return nil
}

// runWhole runs a portal of the simple protocol to its end, all in text.
func (c *conn) runWhole(ctx context.Context, p Portal) (tag string, err error) {
	cols := p.Columns()
	if cols == nil {
		if tag, copied, err := c.copy(ctx, p); copied || err != nil {
			return tag, err
		}
	}
	rows, err := p.Execute(ctx)
	if err != nil {
		return "", err
	}
	cur := cursor{rows: rows}
	defer cur.close()
	var f formats
	if len(cols) > 0 && cols[0].Binary {
		f = make(formats, len(cols))
		for i := range f {
			f[i] = cols[i].Binary
		}
	}
	if cols != nil {
		c.out.buf = appendRowDescription(c.out.buf, cols, f)
	}
	if _, _, err := c.sendRows(ctx, &cur, f, 0); err != nil {
		return "", err
	}
	return rows.Tag(), nil
}
