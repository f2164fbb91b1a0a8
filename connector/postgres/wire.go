package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// blockBytes is how much of the log is handed on at once when there is plenty.
	blockBytes = 64 << 10
	// blocksAhead bounds what is read before it is wanted; the rest waits on the server.
	blocksAhead = 16
	// silentFor is how long a server may say nothing, although it was asked, before it is taken for dead.
	silentFor = 30 * time.Second
	// nudgeEvery is how often the server is asked where it is while somebody waits for a position.
	nudgeEvery = 20 * time.Millisecond
)

// item is a message of the log, or with kind 0 the server's word that all before at has been sent.
type item struct {
	kind byte
	at   lsn
	body []byte
}

// wire is the connection that the log comes on. One goroutine reads it and hands blocks of messages on; another tells the server
// what is durable here: at intervals, when asked, and more often while somebody waits for a position, so that the server neither takes
// us for dead while the engine is busy nor keeps log that nobody needs.
type wire struct {
	conn   net.Conn
	fe     *pgproto3.Frontend
	blocks chan []item // closed at the end, after err was set
	err    error
	every  time.Duration // between reports

	closed   chan struct{}
	closing  sync.Once
	readers  sync.WaitGroup
	ask      chan struct{} // report now, and ask for a sign of life
	received atomic.Uint64 // all up to there has arrived
	acked    atomic.Uint64 // all up to there is durable
	want     *atomic.Uint64
	heard    atomic.Int64 // Unix nanoseconds of the last message
	blocked  atomic.Bool  // we do not read: nobody takes the blocks

	out struct {
		sync.Mutex
		buf []byte
	}
}

// start sends START_REPLICATION and takes the connection over. want is the position that somebody waits for.
func start(ctx context.Context, conn *pgconn.PgConn, command string, from lsn, every time.Duration, want *atomic.Uint64) (*wire, error) {
	fe := conn.Frontend()
	fe.SendQuery(&pgproto3.Query{String: command})
	if err := fe.Flush(); err != nil {
		return nil, err
	}
	for started := false; !started; {
		msg, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return nil, err
		}
		switch m := msg.(type) {
		case *pgproto3.CopyBothResponse:
			started = true
		case *pgproto3.ErrorResponse:
			return nil, pgconn.ErrorResponseToPgError(m)
		}
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	w := &wire{conn: h.Conn, fe: h.Frontend, blocks: make(chan []item, blocksAhead), every: every, closed: make(chan struct{}),
		ask: make(chan struct{}, 1), want: want}
	w.received.Store(uint64(from))
	w.acked.Store(uint64(from))
	w.heard.Store(time.Now().UnixNano())
	w.readers.Add(2)
	go w.read()   // Close waits
	go w.report() // Close waits
	return w, nil
}

// close ends the connection and waits for the goroutines.
func (w *wire) close() {
	w.closing.Do(func() {
		close(w.closed)
		_ = w.conn.Close()
	})
	w.readers.Wait()
}

// nudge makes the server say soon how far it is.
func (w *wire) nudge() {
	select {
	case w.ask <- struct{}{}:
	default:
	}
}

func (w *wire) read() {
	defer w.readers.Done()
	defer close(w.blocks)
	var items []item
	var buf []byte
	for {
		msg, err := w.fe.Receive()
		if err != nil {
			w.err = err
			return
		}
		w.heard.Store(time.Now().UnixNano())
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			var it item
			if it, buf, err = w.take(m.Data, buf); err != nil {
				w.err = err
				return
			}
			items = append(items, it)
		case *pgproto3.ErrorResponse:
			w.err = pgconn.ErrorResponseToPgError(m)
			return
		case *pgproto3.CopyDone, *pgproto3.CommandComplete:
			w.err = errors.New("the server has ended the stream of changes")
			return
		}
		if len(items) == 0 || w.fe.ReadBufferLen() > 0 && len(buf) < blockBytes {
			continue
		}
		select {
		case w.blocks <- items:
		default:
			w.blocked.Store(true)
			select {
			case w.blocks <- items:
			case <-w.closed:
				w.err = net.ErrClosed
				return
			}
			w.blocked.Store(false)
		}
		items, buf = nil, nil
	}
}

// take reads one message of the replication protocol. Its body is copied to buf, which the items of a block share.
func (w *wire) take(data, buf []byte) (item, []byte, error) {
	switch {
	case len(data) >= 26 && data[0] == 'w':
		if cap(buf)-len(buf) < len(data)-26 {
			buf = make([]byte, 0, max(blockBytes, len(data)-26))
		}
		at := len(buf)
		buf = append(buf, data[26:]...)
		return item{kind: data[25], at: lsn(binary.BigEndian.Uint64(data[1:])), body: buf[at:len(buf):len(buf)]}, buf, nil
	case len(data) >= 18 && data[0] == 'k':
		at := binary.BigEndian.Uint64(data[1:])
		if data[17] != 0 {
			w.nudge()
		}
		w.received.Store(max(at, w.received.Load()))
		return item{at: lsn(at)}, buf, nil
	}
	return item{}, buf, fmt.Errorf("message of the replication protocol: %w", errMalformed)
}

// report tells the server how far we are until the connection ends.
func (w *wire) report() {
	defer w.readers.Done()
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	hurry := time.NewTimer(time.Hour)
	defer hurry.Stop()
	for {
		select {
		case <-w.closed:
			return
		case <-tick.C:
		case <-w.ask:
		case <-hurry.C:
		}
		if quiet := time.Since(time.Unix(0, w.heard.Load())); quiet > silentFor && !w.blocked.Load() {
			_ = w.conn.Close() // the reader notices
			return
		}
		if w.send() != nil {
			_ = w.conn.Close()
			return
		}
		if w.want.Load() > w.received.Load() {
			hurry.Reset(nudgeEvery)
		}
	}
}

// send reports once, and asks for an answer.
func (w *wire) send() error {
	w.out.Lock()
	defer w.out.Unlock()
	acked := w.acked.Load()
	b := append(w.out.buf[:0], 'd', 0, 0, 0, 38, 'r')
	b = binary.BigEndian.AppendUint64(b, max(w.received.Load(), acked))
	b = binary.BigEndian.AppendUint64(b, acked)
	b = binary.BigEndian.AppendUint64(b, acked)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Since(epoch2000).Microseconds()))
	b = append(b, 1)
	w.out.buf = b
	_ = w.conn.SetWriteDeadline(time.Now().Add(silentFor))
	_, err := w.conn.Write(b)
	return err
}

var epoch2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
