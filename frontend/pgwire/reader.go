package pgwire

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	readBufBytes = 8 << 10
	// keepBufBytes is the largest buffer kept from one message to the next.
	keepBufBytes = 64 << 10
	// smallMessageBytes bounds messages that carry neither SQL nor data, as PostgreSQL does.
	smallMessageBytes = 10_000
)

// reader cuts the byte stream of a client into messages. The buffer grows with the bytes that have
// arrived, not with the length that a header claims.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] has been read and not consumed
	// maxBytes bounds a message's body.
	maxBytes int
	// beforeWait runs before a read that may block: the place to send what the client waits for.
	beforeWait func() error
}

func newReader(src io.Reader, maxBytes int) *reader {
	return &reader{src: src, buf: make([]byte, readBufBytes), maxBytes: maxBytes}
}

// buffered returns the number of bytes read ahead.
func (r *reader) buffered() int { return r.w - r.r }

// ready reports whether next can return without reading.
func (r *reader) ready() bool {
	return r.buffered() >= 5 && int64(r.buffered()) > int64(binary.BigEndian.Uint32(r.buf[r.r+1:]))
}

// nextIs reports whether a message of the type is known to come next.
func (r *reader) nextIs(typ byte) bool { return r.buffered() > 0 && r.buf[r.r] == typ }

// fill makes n unread bytes available. io.EOF means that there were none at all.
func (r *reader) fill(n int) error {
	if r.w-r.r >= n {
		return nil
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
		if len(r.buf) > keepBufBytes && n <= readBufBytes {
			r.buf = make([]byte, readBufBytes)
		}
	}
	if r.r > 0 && r.r+n > len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.beforeWait != nil {
		if err := r.beforeWait(); err != nil {
			return err
		}
	}
	for idle := 0; r.w-r.r < n; {
		if r.w == len(r.buf) {
			grown := make([]byte, min(r.r+n, 2*len(r.buf)))
			copy(grown, r.buf[:r.w])
			r.buf = grown
		}
		m, err := r.src.Read(r.buf[r.w:])
		r.w += m
		if r.w-r.r >= n {
			return nil
		}
		if err == nil && m == 0 {
			if idle++; idle > 100 {
				err = io.ErrNoProgress
			}
		}
		if err == io.EOF && r.w > r.r {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// startup reads a message without a type byte and returns its body, of at least 4 bytes.
func (r *reader) startup() ([]byte, error) {
	if err := r.fill(4); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(r.buf[r.r:])
	if n < 8 || n > smallMessageBytes {
		return nil, fatal(sqlerr.New(sqlerr.ProtocolViolation, "invalid length of startup packet"))
	}
	return r.body(4, int(n)-4)
}

// next reads a message; its body is valid until the following call.
func (r *reader) next() (typ byte, body []byte, err error) {
	if err := r.fill(5); err != nil {
		return 0, nil, err
	}
	typ = r.buf[r.r]
	n := int64(int32(binary.BigEndian.Uint32(r.buf[r.r+1:]))) - 4
	limit := r.limit(typ)
	switch {
	case limit < 0:
		return 0, nil, fatal(sqlerr.New(sqlerr.ProtocolViolation, "invalid frontend message type %d", typ))
	case n < 0:
		return 0, nil, fatal(sqlerr.New(sqlerr.ProtocolViolation, "invalid message length"))
	case n > int64(limit):
		return 0, nil, fatal(sqlerr.New(sqlerr.ProtocolViolation, "message of %d bytes is over the limit of %d bytes", n, limit))
	}
	body, err = r.body(5, int(n))
	return typ, body, err
}

// limit bounds the body of a message by its type; −1 means that there is no such type.
func (r *reader) limit(typ byte) int {
	switch typ {
	case 'Q', 'P', 'B', 'd', 'F':
		return r.maxBytes
	case 'D', 'E', 'C', 'S', 'H', 'X', 'p', 'c', 'f':
		return min(smallMessageBytes, r.maxBytes)
	}
	return -1
}

// body consumes a header and the n bytes after it.
func (r *reader) body(header, n int) ([]byte, error) {
	if err := r.fill(header + n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	b := r.buf[r.r+header : r.r+header+n : r.r+header+n]
	r.r += header + n
	return b, nil
}

// fields takes a message body apart. The first error sticks; done reports it.
type fields struct {
	rest []byte
	bad  string
}

func (f *fields) fail(why string) { f.rest, f.bad = nil, why }

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		if f.bad == "" {
			f.fail("insufficient data left in message")
		}
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) int16() int {
	if b := f.take(2); b != nil {
		return int(int16(binary.BigEndian.Uint16(b)))
	}
	return 0
}

// count reads a 16-bit number of things; PostgreSQL reads it unsigned, for up to 65,535 parameters.
func (f *fields) count() int {
	if b := f.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (f *fields) int32() int32 {
	if b := f.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// cstring reads up to the next zero byte.
func (f *fields) cstring() []byte {
	i := bytes.IndexByte(f.rest, 0)
	if i < 0 {
		if f.bad == "" {
			f.fail("invalid string in message")
		}
		return nil
	}
	s := f.rest[:i:i]
	f.rest = f.rest[i+1:]
	return s
}

// value reads a length and as many bytes; nil for the length −1, a NULL.
func (f *fields) value() []byte {
	n := f.int32()
	if n < 0 {
		if n != -1 && f.bad == "" {
			f.fail("insufficient data left in message")
		}
		return nil
	}
	return f.take(int(n))
}

// done reports what was wrong, or that something was left over.
func (f *fields) done() error {
	if f.bad == "" && len(f.rest) > 0 {
		f.bad = "invalid message format"
	}
	if f.bad != "" {
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "%s", f.bad))
	}
	return nil
}
