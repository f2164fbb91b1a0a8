package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	comQuery = 0x03
	comPing  = 0x0e
)

// queryTimeout bounds how long a server may be silent during a query.
const queryTimeout = 60 * time.Second

var errShort = errors.New("a packet ends too early")

// Query runs a statement and gives each row to row, as the texts of its values (nil: NULL), which are valid until it returns. A statement
// without rows is run as well. An error of row ends the query and makes the connection useless.
func (c *Conn) Query(ctx context.Context, sql string, row func(values [][]byte) error) error {
	release, err := c.bound(ctx, queryTimeout)
	if err != nil {
		return err
	}
	defer release()
	return because(ctx, c.query(ctx, sql, row))
}

// Exec runs a statement and passes over what it returns.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	return c.Query(ctx, sql, func([][]byte) error { return nil })
}

// Rows runs a statement and returns all its rows; NULL is "".
func (c *Conn) Rows(ctx context.Context, sql string) ([][]string, error) {
	var out [][]string
	err := c.Query(ctx, sql, func(values [][]byte) error {
		r := make([]string, len(values))
		for i, v := range values {
			r[i] = string(v)
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

func (c *Conn) query(ctx context.Context, sql string, row func([][]byte) error) error {
	if err := c.command(comQuery, []byte(sql)); err != nil {
		return err
	}
	p, err := c.read()
	if err != nil {
		return err
	}
	if len(p) == 0 {
		return errShort
	}
	switch p[0] {
	case 0x00:
		return nil
	case 0xff:
		return asError(p)
	case 0xfb:
		return errors.New("the server asks for a local file")
	}
	n, _, ok := lenenc(p)
	if !ok || n == 0 || n > 1<<16 {
		return fmt.Errorf("a result of %d columns", n)
	}
	if err := c.skipColumns(int(n)); err != nil {
		return err
	}
	values := make([][]byte, n)
	for {
		if !c.buffered() { // the bound is on the server's silence, not on the whole, nor on ours
			if err := c.net.SetReadDeadline(time.Now().Add(queryTimeout)); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil { // which may have set its own deadline before
				return err
			}
		}
		p, err := c.read()
		switch {
		case err != nil:
			return err
		case len(p) > 0 && p[0] == 0xff:
			return asError(p)
		case len(p) > 0 && p[0] == 0xfe && len(p) < maxPayload && (c.capabilities&clientDeprecateEOF != 0 || len(p) < 9):
			return nil
		}
		for i := range values {
			if values[i], p, ok = lenencBytes(p); !ok {
				return errShort
			}
		}
		if err := row(values); err != nil {
			return err
		}
	}
}

// skipColumns passes over the descriptions of a result's columns.
func (c *Conn) skipColumns(n int) error {
	if c.capabilities&clientDeprecateEOF == 0 {
		n++ // an EOF packet ends them
	}
	for range n {
		if _, err := c.read(); err != nil {
			return err
		}
	}
	return nil
}

// Ping asks whether the server is there.
func (c *Conn) Ping(ctx context.Context) error {
	release, err := c.bound(ctx, queryTimeout)
	if err != nil {
		return err
	}
	defer release()
	if err := c.command(comPing, nil); err != nil {
		return because(ctx, err)
	}
	_, err = c.read()
	return because(ctx, err)
}

// lenenc reads a number of one to nine bytes.
func lenenc(p []byte) (n uint64, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	size := 0
	switch p[0] {
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	case 0xfb, 0xff:
		return 0, nil, false
	default:
		return uint64(p[0]), p[1:], true
	}
	if len(p) < 1+size {
		return 0, nil, false
	}
	var b [8]byte
	copy(b[:], p[1:1+size])
	return binary.LittleEndian.Uint64(b[:]), p[1+size:], true
}

// lenencBytes reads a string with its length in front; nil for NULL.
func lenencBytes(p []byte) (s, rest []byte, ok bool) {
	if len(p) > 0 && p[0] == 0xfb {
		return nil, p[1:], true
	}
	n, p, ok := lenenc(p)
	if !ok || n > uint64(len(p)) {
		return nil, nil, false
	}
	return p[:n:n], p[n:], true
}

func appendLenenc(dst []byte, n uint64) []byte {
	switch {
	case n < 0xfb:
		return append(dst, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(dst, 0xfc), uint16(n))
	case n < 1<<24:
		return append(dst, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), n)
}

func cutZero(p []byte) (before, after []byte, ok bool) { return bytes.Cut(p, []byte{0}) }
