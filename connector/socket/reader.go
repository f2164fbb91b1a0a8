package socket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Reader implements connector.Reader.
type Reader struct {
	config  *config
	spec    *connector.SourceSpec
	log     *slog.Logger
	batch   *message.Batch
	at      int64
	started bool
	rec     codec.Record
	records chan record // capacity: as many as a batch has, so that a batch fills while one is decoded
	failed  chan error  // capacity 1: the first failure
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	mu      struct {
		sync.Mutex
		listener net.Listener
		conns    map[net.Conn]struct{}
	}
}

// record is one record and who sent it; one with an error cannot be read.
type record struct {
	data []byte
	from string
	err  error
}

func newReader(c *config, spec *connector.SourceSpec) *Reader {
	log := spec.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{config: c, spec: spec, log: log, records: make(chan record, 1024), failed: make(chan error, 1), closed: make(chan struct{})}
	r.mu.conns = map[net.Conn]struct{}{}
	return r
}

var errClosed = errors.New("read from a socket: reader is closed")

func (r *Reader) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// start listens or connects.
func (r *Reader) start(ctx context.Context) error {
	if !r.config.listen {
		conn, err := r.config.dial(ctx)
		if err != nil {
			return err
		}
		return r.serve(conn, func(err error) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			r.fail(sqlerr.New(sqlerr.ConnectionFailure, "the connection to %s has ended", r.config.address).WithDetail("%v", err).WithCause(err))
		})
	}
	l, err := r.config.open(ctx)
	if err != nil {
		return err
	}
	r.mu.listener = l
	r.wg.Add(1)
	go func() { // Close waits
		defer r.wg.Done()
		r.accept(l)
	}()
	return nil
}

func (r *Reader) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			r.fail(sqlerr.New(sqlerr.ConnectionFailure, "cannot listen on %s any more", r.config.address).WithDetail("%v", err).WithCause(err))
			return
		}
		from := conn.RemoteAddr().String()
		if err := r.serve(conn, func(err error) {
			if err != nil {
				r.log.Warn("connection of a socket source ended", "source", r.spec.Name, "from", from, "err", err)
			}
		}); err != nil {
			r.log.Warn("connection of a socket source refused", "source", r.spec.Name, "from", from, "err", err)
			_ = conn.Close()
		}
	}
}

// serve reads a connection until it ends, and tells ended with what error, nil for the sender's end.
func (r *Reader) serve(conn net.Conn, ended func(error)) error {
	dec, _, err := codec.NewDecoder(r.spec)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.closed:
		return errClosed
	default:
	}
	if len(r.mu.conns) >= r.config.most {
		return sqlerr.New(sqlerr.TooManyConnections, "there are %d connections already", len(r.mu.conns))
	}
	r.mu.conns[conn] = struct{}{}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
	r.wg.Add(1)
	go func() { // Close waits
		defer r.wg.Done()
		err := r.cut(conn, dec)
		_ = conn.Close()
		r.mu.Lock()
		delete(r.mu.conns, conn)
		r.mu.Unlock()
		select {
		case <-r.closed:
		default:
			ended(err)
		}
	}()
	return nil
}

// cut reads a connection and hands on its records; nil at its end.
func (r *Reader) cut(conn net.Conn, dec codec.Decoder) error {
	framer := dec.(codec.Framer)
	from := conn.RemoteAddr().String()
	buf := make([]byte, 0, 64<<10)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= r.config.largest {
				r.put(record{data: buf, from: from, err: sqlerr.New(sqlerr.ProgramLimitExceeded, "a record is larger than %d bytes", r.config.largest)})
				return sqlerr.New(sqlerr.ProgramLimitExceeded, "a record is larger than %d bytes", r.config.largest)
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		ended := errors.Is(err, io.EOF)
		if ended && len(buf) > 0 && buf[len(buf)-1] != '\n' {
			buf = append(buf, '\n') // the last record needs no line end
		}
		at := 0
		for at < len(buf) {
			n := framer.Frame(buf[at:])
			if n == 0 {
				break
			}
			one := bytes.TrimRight(buf[at:at+n], "\r\n")
			at += n
			if len(one) == 0 {
				continue
			}
			if !r.put(record{data: append([]byte(nil), one...), from: from}) {
				return nil
			}
		}
		buf = append(buf[:0], buf[at:]...)
		if ended {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// put hands a record to the reader; false when that is closed.
func (r *Reader) put(rec record) bool {
	select {
	case r.records <- rec:
		return true
	case <-r.closed:
		return false
	}
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	if !r.started { // so that a split with a position is known to be an old one
		r.started = true
		return r.batch.Take(offset.Encode(r.at)), nil
	}
	select { // what was received goes before the end of the connection
	case rec := <-r.records:
		return r.fill(ctx, rec)
	default:
	}
	select {
	case rec := <-r.records:
		return r.fill(ctx, rec)
	case err := <-r.failed:
		return nil, err
	case <-r.closed:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fill makes a batch of a record and those that wait behind it.
func (r *Reader) fill(ctx context.Context, rec record) (*connector.Batch, error) {
	most := r.spec.BatchRows()
	for {
		r.at++
		if rec.err != nil {
			r.batch.Refuse(rec.data, strconv.FormatInt(r.at, 10), rec.err)
		} else {
			r.rec = codec.Record{Key: []byte(rec.from), Value: rec.data, Offset: r.at, Timestamp: message.Timestamp(time.Now().UnixMicro())}
			if err := r.batch.AddWaiting(ctx, &r.rec, strconv.FormatInt(r.at, 10)); err != nil {
				return nil, err
			}
		}
		if r.batch.Full(most) {
			break
		}
		select {
		case rec = <-r.records:
			continue
		default:
		}
		break
	}
	return r.batch.Take(offset.Encode(r.at)), nil
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.once.Do(func() {
		r.mu.Lock()
		close(r.closed)
		if r.mu.listener != nil {
			_ = r.mu.listener.Close()
		}
		for c := range r.mu.conns {
			_ = c.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return nil
}
