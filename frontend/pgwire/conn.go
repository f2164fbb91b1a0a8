package pgwire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/sqlerr"
)

// conn is one client's connection. Its goroutine owns everything outside mu.
type conn struct {
	srv      *server
	raw      net.Conn // the transport as accepted
	net      net.Conn // raw, or TLS over it
	in       *reader
	out      *writer
	pid      uint32
	remote   string
	tls      bool
	admitted bool
	life     context.Context // as long as the connection; the parent of mu.ctx
	sess     Session

	stmts    map[string]*prepared // what the session's named ones look like on the wire
	unnamed  *prepared
	portals  map[string]*portal // named ones
	portal   portal             // the unnamed one, in use when portal.stmt is not nil
	skipping bool               // an extended message failed: nothing counts until Sync
	implicit bool               // the session may have something to end at Sync
	working  context.Context    // mu.ctx while mu.running
	ending   atomic.Bool        // end with 57P01 at the next opportunity; set while mu is held

	secret []byte // the cancel key; published as mu.key when the session is open

	// mu guards what other goroutines look at. It is never held across a call or I/O.
	mu struct {
		sync.Mutex
		ctx     context.Context // of the running statement, and of the next ones until it is cancelled
		cancel  context.CancelFunc
		running bool   // messages are being worked on
		seq     uint64 // counts the times that running has become true
		seen    uint64 // seq when the watch looked last
		key     []byte // what a cancel request must bring; nil until the client has got it
	}
}

func newConn(s *server, nc net.Conn) *conn {
	c := &conn{srv: s, raw: nc, remote: nc.RemoteAddr().String(), secret: make([]byte, longKeyBytes)}
	c.setTransport(nc)
	return c
}

// setTransport lets messages run over nc.
func (c *conn) setTransport(nc net.Conn) {
	c.net = nc
	c.in, c.out = newReader(nc, c.srv.opts.MaxMessageBytes), newWriter(nc)
	c.in.beforeWait = c.out.flushAsked
}

// serve is the whole life of a connection.
func (c *conn) serve() {
	var endLife context.CancelFunc
	c.life, endLife = context.WithCancel(c.srv.life)
	defer c.cut()
	defer endLife()
	defer c.closeSession()
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error("panic in a session", "session", c.pid, "panic", p, "stack", string(debug.Stack()))
			c.lastWords(fatal(sqlerr.New(sqlerr.InternalError, "internal error").
				WithDetail("The server's log has the cause, under session %d.", c.pid)))
		}
	}()
	c.raw.SetReadDeadline(time.Now().Add(c.srv.opts.AuthTimeout))
	served, err := c.open()
	if served && c.acceptDeadline() {
		err = c.loop()
	}
	if err != nil {
		c.lastWords(err)
	}
}

// acceptDeadline lifts the limit on start-up; it is false when the connection is to end at once.
func (c *conn) acceptDeadline() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending.Load() {
		return true // loop's first read finds the deadline passed and says so
	}
	return c.raw.SetReadDeadline(time.Time{}) == nil
}

// loop serves messages until the client leaves (nil) or something ends the connection.
func (c *conn) loop() error {
	for {
		limit, why := c.sess.IdleTimeout()
		if limit > 0 {
			c.waitAtMost(limit)
		}
		if !c.in.ready() {
			c.idle()
		}
		typ, body, err := c.in.next()
		if limit > 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) && !c.isEnding() {
				return fatal(why)
			}
			c.waitAtMost(0)
		}
		if err != nil {
			return c.readError(err)
		}
		if typ == 'X' {
			return nil
		}
		if err := c.handle(typ, body); err != nil {
			return err
		}
		if c.isEnding() {
			return fatal(shutdownError())
		}
	}
}

// waitAtMost bounds the wait for a message, 0: no bound. It leaves alone a connection that is to end.
func (c *conn) waitAtMost(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending.Load() {
		return
	}
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	c.raw.SetReadDeadline(at)
}

// handle works on one message. An error ends the connection.
func (c *conn) handle(typ byte, body []byte) error {
	if c.skipping && typ != 'S' {
		return nil
	}
	switch typ {
	case 'Q':
		return c.simpleQuery(body)
	case 'P', 'B', 'D', 'E', 'C':
		return c.extended(typ, body)
	case 'S':
		return c.sync()
	case 'H':
		c.out.asked = true
		return nil
	case 'd', 'c', 'f':
		return nil // what is left of a COPY that failed
	case 'F':
		c.failed(sqlerr.New(sqlerr.FeatureNotSupported, "function calls by message are not supported").
			WithHint("Call the function in a SELECT."))
		c.ready()
		return nil
	}
	return fatal(sqlerr.New(sqlerr.ProtocolViolation, "message of type %d does not belong here", typ))
}

// readError says what it means that a message could not be read.
func (c *conn) readError(err error) error {
	var cl *closing
	switch {
	case errors.As(err, &cl):
		return cl
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.isEnding() {
			return fatal(shutdownError())
		}
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "canceling authentication due to timeout"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "unexpected end of message"))
	}
	return &lost{err}
}

func shutdownError() *sqlerr.Error {
	return sqlerr.New(sqlerr.AdminShutdown, "terminating connection due to administrator command")
}

// begin marks the start of work on a message and returns the context for it. Messages that have arrived together are one
// piece of work, until idle.
func (c *conn) begin() context.Context {
	if c.working != nil && c.working.Err() == nil {
		return c.working
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.running = true
	c.mu.seq++
	if c.mu.ctx == nil || c.mu.ctx.Err() != nil {
		c.mu.ctx, c.mu.cancel = context.WithCancel(c.life)
	}
	c.working = c.mu.ctx
	return c.working
}

// idle marks the end of that work.
func (c *conn) idle() {
	if c.working == nil {
		return
	}
	c.working = nil
	c.mu.Lock()
	c.mu.running = false
	c.mu.Unlock()
}

// cancel cancels the running statement, if there is one. Any goroutine.
func (c *conn) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.running && c.mu.cancel != nil {
		c.mu.cancel()
	}
}

// terminate ends the connection with 57P01: now if it is idle, else when the running message is done.
// Any goroutine.
func (c *conn) terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending.Store(true)
	// Whatever is being read, or is read next, times out. A running statement does not read, except for COPY.
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// kill is terminate for a statement that is running, too. Any goroutine.
func (c *conn) kill() {
	c.terminate()
	c.cancel()
}

// cut closes the transport and cancels what runs. Any goroutine.
func (c *conn) cut() {
	c.cancel()
	c.raw.Close()
}

func (c *conn) isEnding() bool { return c.ending.Load() }

// stuckSinceLastLook reports whether the same message is running as at the previous call. The watch calls it.
func (c *conn) stuckSinceLastLook() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	stuck := c.mu.running && c.mu.seen == c.mu.seq
	c.mu.seen = c.mu.seq
	return stuck
}

// cancelKey is the key the client was given. Any goroutine.
func (c *conn) cancelKey() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.key
}

// failed tells the client of an error that leaves the connection in order.
func (c *conn) failed(err error) {
	e, internal := clientError(err, c.pid)
	if internal {
		c.srv.log.Error("run statement", "session", c.pid, "err", err, "cause", errors.Unwrap(e))
	}
	if e.Code == sqlerr.QueryCanceled && c.isEnding() {
		e = shutdownError() // that is why it was cancelled; FATAL follows
	}
	r := response(e, "ERROR")
	c.out.send(&r)
}

// finished tells the client what a statement left beside its result.
func (c *conn) finished() {
	for _, n := range c.sess.Notices() {
		r := pgproto3.NoticeResponse(response(n, severityOf(n)))
		c.out.send(&r)
	}
	c.sendParameters(c.sess.ParameterChanges())
}

// ready ends the answer to a query or Sync.
func (c *conn) ready() {
	status := c.sess.TxStatus()
	if status == 'I' {
		c.closePortals()
	}
	c.out.buf = append(c.out.buf, 'Z', 0, 0, 0, 5, status)
	c.out.asked = true
}

// rollBack tells the session that what it may have begun has failed. Not cancelled with the statement.
func (c *conn) rollBack() {
	c.implicit = false
	if err := c.sess.EndImplicit(c.life, true); err != nil {
		c.srv.log.Error("roll back", "session", c.pid, "err", err)
	}
}

// lastWords tells the client why the connection ends, if it is there to hear.
func (c *conn) lastWords(err error) {
	var cl *closing
	if !errors.As(err, &cl) {
		if !errors.Is(err, io.EOF) {
			c.srv.log.Debug("connection lost", "session", c.pid, "err", err)
		}
		return
	}
	r := response(cl.err, "FATAL")
	c.out.send(&r)
	c.raw.SetWriteDeadline(time.Now().Add(c.srv.opts.DrainTimeout))
	if c.out.flush() != nil {
		return
	}
	// Closing with unread input resets the connection, and the client may lose the message.
	if t, ok := c.net.(interface{ CloseWrite() error }); ok && t.CloseWrite() == nil {
		c.raw.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		io.CopyN(io.Discard, c.raw, 1<<20)
	}
}

// closeSession releases what the client left and ends the session, whatever happens in it.
func (c *conn) closeSession() {
	if c.sess == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error("panic closing a session", "session", c.pid, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	defer c.sess.Close()
	c.closePortals()
	for name := range c.stmts {
		c.dropStatement(name)
	}
	c.dropStatement("")
}
