package pgwire

import (
	"encoding/binary"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	writeBufBytes = 16 << 10
	// flushBytes is how much is collected before it is written without being asked for.
	flushBytes = 64 << 10
)

// writer collects messages for a client. An error of the connection sticks.
type writer struct {
	dst io.Writer
	buf []byte
	err error
	// asked: the client is owed what is in buf before it is waited for.
	asked bool
}

func newWriter(dst io.Writer) *writer {
	return &writer{dst: dst, buf: make([]byte, 0, writeBufBytes)}
}

// send appends a message.
func (w *writer) send(m pgproto3.BackendMessage) {
	b, err := m.Encode(w.buf)
	if err != nil {
		w.err = err
		return
	}
	w.buf = b
}

// empty appends a message without a body.
func (w *writer) empty(typ byte) { w.buf = append(w.buf, typ, 0, 0, 0, 4) }

// text appends a message that is one string.
func (w *writer) text(typ byte, s string) {
	w.buf = append(w.buf, typ)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(s)+5))
	w.buf = append(append(w.buf, s...), 0)
}

// data appends a message that is raw bytes.
func (w *writer) data(typ byte, b []byte) {
	w.buf = append(w.buf, typ)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(b)+4))
	w.buf = append(w.buf, b...)
}

// spill writes the buffer when it has grown large.
func (w *writer) spill() error {
	if len(w.buf) < flushBytes {
		return w.err
	}
	return w.flush()
}

// flush writes the buffer.
func (w *writer) flush() error {
	w.asked = false
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	_, w.err = w.dst.Write(w.buf)
	if cap(w.buf) > 4*flushBytes {
		w.buf = make([]byte, 0, writeBufBytes)
	}
	w.buf = w.buf[:0]
	return w.err
}

// flushAsked writes the buffer when the client is owed it.
func (w *writer) flushAsked() error {
	if !w.asked {
		return w.err
	}
	return w.flush()
}

// beginMessage starts a message whose length endMessage fills in.
func beginMessage(dst []byte, typ byte) ([]byte, int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst) + 1
}

func endMessage(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
