package pgwire

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/sqlerr"
)

// copy runs p if it is a COPY that involves the client; copied is false when it is not.
func (c *conn) copy(ctx context.Context, p Portal) (tag string, copied bool, err error) {
	in, ok, err := p.CopyIn(ctx)
	if err != nil {
		return "", false, err
	}
	if ok {
		tag, err = c.copyIn(ctx, in)
		return tag, true, err
	}
	out, ok, err := p.CopyOut(ctx)
	if err != nil || !ok {
		return "", false, err
	}
	tag, err = c.copyOut(ctx, out)
	return tag, true, err
}

// copyFormats spells out the format for the overall code and for each column, as the messages want it.
func copyFormats(columns int, binary bool) (overall byte, codes []uint16) {
	codes = make([]uint16, columns)
	if binary {
		for i := range codes {
			codes[i] = 1
		}
		return 1, codes
	}
	return 0, codes
}

// copyIn takes data from the client until it says that it is done, or gives up.
func (c *conn) copyIn(ctx context.Context, in CopyIn) (tag string, err error) {
	ended := false
	defer func() {
		if !ended { // an error, or a panic below
			if err == nil {
				err = errors.New("copy was interrupted")
			}
			in.Abort(err)
		}
	}()
	overall, codes := copyFormats(in.Format())
	c.out.send(&pgproto3.CopyInResponse{OverallFormat: overall, ColumnFormatCodes: codes})
	c.out.asked = true
	for {
		typ, body, err := c.in.next()
		if err != nil {
			return "", c.readError(err)
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		switch typ {
		case 'd':
			if err := in.Write(ctx, body); err != nil {
				return "", err
			}
		case 'c':
			ended = true
			return in.Finish(ctx)
		case 'f':
			f := fields{rest: body}
			reason := f.cstring()
			if err := f.done(); err != nil {
				return "", err
			}
			return "", sqlerr.New(sqlerr.QueryCanceled, "COPY from stdin failed: %s", clean(string(reason)))
		case 'H', 'S': // libpq sends a Sync right after an Execute
		case 'X':
			return "", &lost{errors.New("client left in the middle of a COPY")}
		default:
			return "", fatal(sqlerr.New(sqlerr.ProtocolViolation,
				"unexpected message type 0x%02X during COPY from stdin", typ))
		}
	}
}

// copyOut sends data to the client.
func (c *conn) copyOut(ctx context.Context, out CopyOut) (tag string, err error) {
	defer out.Close()
	overall, codes := copyFormats(out.Format())
	c.out.send(&pgproto3.CopyOutResponse{OverallFormat: overall, ColumnFormatCodes: codes})
	for {
		if err := c.flushBeforeWait(out); err != nil {
			return "", err
		}
		row, err := out.Next(ctx)
		if err != nil {
			return "", err
		}
		if row == nil {
			c.out.empty('c')
			return out.Tag(), nil
		}
		c.out.data('d', row)
		if err := c.out.spill(); err != nil {
			return "", &lost{err}
		}
	}
}

// flushBeforeWait sends what the client is owed if the next row has to be waited for.
func (c *conn) flushBeforeWait(rows any) error {
	if l, ok := rows.(Live); ok && !l.Ready() {
		if err := c.out.flush(); err != nil {
			return &lost{err}
		}
	}
	return nil
}
