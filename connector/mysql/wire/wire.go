// Package wire speaks MySQL's client protocol as far as change data capture needs it: connecting to MySQL and MariaDB, plain
// queries with their rows as texts, and the dump of the binary log.
//
// The idea: one connection, one buffer. A packet is handed out as a slice of the buffer and holds until the next one is read.
// Nothing is taken out of the buffer before it is there as a whole, so a read that was cancelled or has timed out can be repeated.
//
// A Conn belongs to one goroutine; Close may be called from another and unblocks it.
//
// It knows no table and no event: those are connector/mysql/binlog's. Prepared statements, compression and multiple
// results are not spoken. Start at Connect, Conn.Query and Conn.Dump.
package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxPayload is what fits into one packet, in bytes; one of just that size goes on in the next.
const maxPayload = 1<<24 - 1

// longest bounds what is put together from packets of that size, in bytes: max_allowed_packet's own bound is 1 GiB.
const longest = 1<<30 + 1<<20

// Conn is a connection to a server.
type Conn struct {
	net net.Conn
	seq byte
	// buf[r:w] was received and not handed out.
	buf  []byte
	r, w int
	// whole is where a payload of several packets is put together; partial says that one has begun.
	whole   []byte
	partial bool
	// Version is the server's, as its greeting gave it; MariaDB says which of the two it is.
	Version string
	MariaDB bool
	// ID is the connection's number at the server, for KILL.
	ID           uint32
	capabilities uint32
	addr         string
}

// Close ends the connection without a word to the server.
func (c *Conn) Close() error { return c.net.Close() }

// Addr is what was connected to, for messages.
func (c *Conn) Addr() string { return c.addr }

// fill reads until n bytes are in the buffer.
func (c *Conn) fill(n int) error {
	if c.w-c.r >= n {
		return nil
	}
	if len(c.buf)-c.r < n {
		into := c.buf
		if n > len(c.buf) {
			into = make([]byte, max(n, 2*len(c.buf)))
		}
		c.w = copy(into, c.buf[c.r:c.w])
		c.buf, c.r = into, 0
	}
	for c.w-c.r < n {
		k, err := c.net.Read(c.buf[c.w:])
		c.w += k
		if err != nil && c.w-c.r < n {
			if errors.Is(err, io.EOF) && c.w > c.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// buffered reports whether a whole packet is in the buffer.
func (c *Conn) buffered() bool {
	if c.w-c.r < 4 {
		return false
	}
	n := int(c.buf[c.r]) | int(c.buf[c.r+1])<<8 | int(c.buf[c.r+2])<<16
	return c.w-c.r >= 4+n
}

// read returns the next payload, put together from as many packets as it takes.
func (c *Conn) read() ([]byte, error) {
	for {
		if err := c.fill(4); err != nil {
			return nil, err
		}
		n := int(c.buf[c.r]) | int(c.buf[c.r+1])<<8 | int(c.buf[c.r+2])<<16
		if err := c.fill(4 + n); err != nil {
			return nil, err
		}
		if c.buf[c.r+3] != c.seq {
			return nil, fmt.Errorf("packet %d where %d was expected", c.buf[c.r+3], c.seq)
		}
		c.seq++
		payload := c.buf[c.r+4 : c.r+4+n : c.r+4+n]
		c.r += 4 + n
		if !c.partial && n < maxPayload {
			return payload, nil
		}
		if !c.partial {
			c.whole, c.partial = c.whole[:0], true
		}
		c.whole = append(c.whole, payload...)
		if len(c.whole) > longest {
			return nil, fmt.Errorf("message of more than %d bytes", longest)
		}
		if n < maxPayload {
			c.partial = false
			return c.whole, nil
		}
	}
}

// write sends a payload.
func (c *Conn) write(payload []byte) error {
	for {
		n := min(len(payload), maxPayload)
		packet := make([]byte, 4, 4+n)
		binary.LittleEndian.PutUint32(packet, uint32(n)|uint32(c.seq)<<24)
		c.seq++
		if _, err := c.net.Write(append(packet, payload[:n]...)); err != nil {
			return err
		}
		payload = payload[n:]
		if n < maxPayload {
			return nil
		}
	}
}

// command sends a command as the beginning of an exchange.
func (c *Conn) command(code byte, body []byte) error {
	c.seq = 0
	return c.write(append([]byte{code}, body...))
}

// bound makes reads and writes end with ctx, and after timeout (0: never). The function it returns takes that back.
func (c *Conn) bound(ctx context.Context, timeout time.Duration) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := c.net.SetDeadline(deadline); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.net.SetDeadline(time.Unix(1, 0))
		close(ended)
	})
	return func() {
		if !stop() {
			<-ended // or it would set its deadline for a later call
		}
	}, nil
}

// because prefers the context's reason to that of the connection, which it has ended.
func because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return err
}
