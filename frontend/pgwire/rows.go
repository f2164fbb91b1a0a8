package pgwire

import (
	"context"
	"encoding/binary"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// maxRowBytes is the longest data row a client can be sent; libpq refuses more than a gigabyte.
const maxRowBytes = 1<<30 - 1

// cursor is a result on its way to the client: how far into which chunk we are.
type cursor struct {
	rows  Rows
	chunk *delta.Chunk
	next  int   // the row of chunk to be sent next, counted among those that count
	left  int64 // how many more times to send it; 0: not looked at yet
	done  bool  // rows is exhausted
}

func (cur *cursor) close() {
	if cur.rows != nil {
		cur.rows.Close()
	}
	*cur = cursor{done: true}
}

// formats says per column whether it is sent in binary; nil means that all are text.
type formats []bool

// sendRows sends up to limit rows (0: all) and returns how many. suspended means that the limit ended it.
func (c *conn) sendRows(ctx context.Context, cur *cursor, f formats, limit int64) (sent int64, suspended bool, err error) {
	if cur.done {
		return 0, false, nil
	}
	settings := c.sess.Settings()
	for {
		if cur.chunk == nil || cur.next >= cur.chunk.Len() {
			if err = c.flushBeforeWait(cur.rows); err != nil {
				return sent, false, err
			}
			if cur.chunk, err = cur.rows.Next(ctx); err != nil {
				return sent, false, err
			}
			cur.next, cur.left = 0, 0
			if cur.chunk == nil {
				cur.done = true
				return sent, false, nil
			}
			continue
		}
		room := int64(1<<63 - 1)
		if limit > 0 {
			room = limit - sent
		}
		n, err := c.sendChunk(cur, f, settings, room)
		sent += n
		if err != nil {
			return sent, false, err
		}
		if limit > 0 && sent >= limit {
			return sent, true, nil
		}
	}
}

// sendChunk sends up to room rows of the cursor's chunk.
func (c *conn) sendChunk(cur *cursor, f formats, s *sqlio.Settings, room int64) (sent int64, err error) {
	chunk := cur.chunk
	for ; cur.next < chunk.Len(); cur.next++ {
		i := chunk.Row(cur.next)
		if cur.left == 0 {
			w := chunk.Weight(i)
			if w == 0 {
				continue
			}
			if w < 0 {
				return sent, sqlerr.New(sqlerr.InternalError, "a result row has weight %d", w)
			}
			cur.left = w
		}
		if sent == room {
			return sent, nil
		}
		start := len(c.out.buf)
		c.out.buf = appendRow(c.out.buf, chunk.Cols, i, f, s)
		if n := len(c.out.buf) - start; n > maxRowBytes {
			c.out.buf = c.out.buf[:start]
			return sent, sqlerr.New(sqlerr.ProgramLimitExceeded, "a result row of %d bytes is too large to be sent", n)
		}
		sent++
		cur.left--
		if cur.left > 0 {
			n, err := c.repeatRow(start, min(cur.left, room-sent))
			sent += n
			cur.left -= n
			if err != nil || cur.left > 0 {
				return sent, err
			}
		}
		if err := c.out.spill(); err != nil {
			return sent, &lost{err}
		}
	}
	return sent, nil
}

// repeatRow sends the row encoded at start, the last thing in the buffer, another n times.
func (c *conn) repeatRow(start int, n int64) (sent int64, err error) {
	if n <= 0 {
		return 0, nil
	}
	row := append([]byte(nil), c.out.buf[start:]...)
	for ; sent < n; sent++ {
		c.out.buf = append(c.out.buf, row...)
		if err := c.out.spill(); err != nil {
			return sent, &lost{err}
		}
	}
	return sent, nil
}

// appendRow appends row i as a DataRow message.
func appendRow(dst []byte, cols []*delta.Vec, i int, f formats, s *sqlio.Settings) []byte {
	start := len(dst)
	dst = append(dst, 'D', 0, 0, 0, 0, byte(len(cols)>>8), byte(len(cols)))
	for k, v := range cols {
		if v.IsNull(i) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		if f != nil && f[k] {
			dst = sqlio.AppendBinary(dst, v, i)
		} else {
			dst = sqlio.AppendText(dst, v, i, s)
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return endMessage(dst, start+1)
}

// appendRowDescription appends a RowDescription message.
func appendRowDescription(dst []byte, cols []Column, f formats) []byte {
	dst, at := beginMessage(dst, 'T')
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(cols)))
	for k, c := range cols {
		dst = append(append(dst, clean(c.Name)...), 0)
		dst = binary.BigEndian.AppendUint32(dst, c.TableOID)
		dst = binary.BigEndian.AppendUint16(dst, c.AttNum)
		t := c.Type.Underlying() // as PostgreSQL does, of a domain what it is made of
		dst = binary.BigEndian.AppendUint32(dst, t.OID())
		dst = binary.BigEndian.AppendUint16(dst, uint16(t.Len()))
		dst = binary.BigEndian.AppendUint32(dst, uint32(t.Typmod()))
		code := uint16(0)
		if f != nil && f[k] {
			code = 1
		}
		dst = binary.BigEndian.AppendUint16(dst, code)
	}
	return endMessage(dst, at)
}
