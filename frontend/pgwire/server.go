package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Options configure Serve. The zero value of each field is its default.
type Options struct {
	// TLS, if set, is offered to clients that ask for encryption. Default: encryption is declined.
	TLS *tls.Config
	// Logger gets what no client can be told. Default: nothing is logged.
	Logger *slog.Logger
	// MaxMessageBytes bounds a message from a client. Default: 256 MiB.
	MaxMessageBytes int
	// MaxConnections bounds the clients served at once; more get 53300. Default: 1,000.
	MaxConnections int
	// AuthTimeout bounds the time from connecting to the first ReadyForQuery. Default: 1 minute.
	AuthTimeout time.Duration
	// DrainTimeout is how long a running statement may go on after the shutdown began. It is then
	// cancelled; after as long again its connection is cut. Default: 1 s.
	DrainTimeout time.Duration
	// VanishedCheck is the interval at which clients with a running statement are checked for having
	// gone. Default: 30 ms; negative: never.
	VanishedCheck time.Duration
}

func (o *Options) fill() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.MaxMessageBytes, 256<<20)
	setDefault(&o.MaxConnections, 1000)
	setDefault(&o.AuthTimeout, time.Minute)
	setDefault(&o.DrainTimeout, time.Second)
	setDefault(&o.VanishedCheck, 30*time.Millisecond)
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// server is what the connections of one Serve share.
type server struct {
	backend Backend
	opts    Options
	log     *slog.Logger
	mockKey []byte // makes the verifiers of unknown users; random per start
	// life is the parent of all contexts of connections. Shutting down does not cancel it, cutting off does.
	life context.Context
	wg   sync.WaitGroup // one for each connection's goroutine

	mu struct {
		sync.Mutex
		conns    map[uint32]*conn // by PID, every accepted connection
		admitted int              // those past their startup packet
		lastPID  uint32
		draining bool
	}
}

// Serve accepts connections on ln and serves each in a goroutine of its own until ctx is done. Then idle
// clients get 57P01, running statements may finish within opts.DrainTimeout, and Serve returns nil when the
// last connection has gone. It closes ln. A failing listener is the only other reason to return.
func Serve(ctx context.Context, ln net.Listener, b Backend, opts Options) error {
	opts.fill()
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &server{backend: b, opts: opts, log: opts.Logger, mockKey: make([]byte, 32), life: life}
	s.mu.conns = map[uint32]*conn{}
	if _, err := rand.Read(s.mockKey); err != nil {
		return fmt.Errorf("draw key: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	watching, stopWatching := context.WithCancel(life)
	defer stopWatching()
	var watch sync.WaitGroup
	watch.Go(func() { s.watchVanished(watching) })

	err := s.accept(ctx, ln)
	ln.Close()
	s.drain()
	stopWatching()
	watch.Wait()
	return err
}

// accept takes connections until the listener is closed.
func (s *server) accept(ctx context.Context, ln net.Listener) error {
	const longestPause = time.Second
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(nc)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections: %w", err)
		default: // out of file descriptors, most likely: it may pass
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			s.log.Warn("accept connection", "err", err, "retry_in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// start registers a connection and serves it.
func (s *server) start(nc net.Conn) {
	c := newConn(s, nc)
	if _, err := rand.Read(c.secret); err != nil {
		s.log.Error("draw cancel key", "err", err)
		nc.Close()
		return
	}
	s.mu.Lock()
	for s.mu.lastPID++; s.mu.lastPID == 0 || s.mu.lastPID > 1<<31-1 || s.mu.conns[s.mu.lastPID] != nil; s.mu.lastPID++ {
		if s.mu.lastPID >= 1<<31-1 { // clients take it for a signed number
			s.mu.lastPID = 0
		}
	}
	c.pid = s.mu.lastPID
	s.mu.conns[c.pid] = c
	s.mu.Unlock()
	s.wg.Go(func() {
		defer s.forget(c)
		c.serve()
	})
}

// admit counts a client in, or says why not.
func (s *server) admit(c *conn) *sqlerr.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.draining {
		return sqlerr.New(sqlerr.CannotConnectNow, "the database system is shutting down")
	}
	if s.mu.admitted >= s.opts.MaxConnections {
		return sqlerr.New(sqlerr.TooManyConnections, "sorry, too many clients already")
	}
	s.mu.admitted++
	c.admitted = true
	return nil
}

func (s *server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c.pid)
	if c.admitted {
		s.mu.admitted--
	}
}

// cancelRequest takes the body of a CancelRequest. Nobody is told whether it had an effect.
func (s *server) cancelRequest(body []byte) {
	if len(body) < 8 {
		return
	}
	s.mu.Lock()
	c := s.mu.conns[binary.BigEndian.Uint32(body)]
	s.mu.Unlock()
	if c != nil && subtle.ConstantTimeCompare(c.cancelKey(), body[4:]) == 1 {
		c.cancel()
	}
}

// all lists the connections there are now.
func (s *server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.mu.conns))
	for _, c := range s.mu.conns {
		list = append(list, c)
	}
	return list
}

// drain ends all connections: politely, then by cancelling, then by cutting.
func (s *server) drain() {
	s.mu.Lock()
	s.mu.draining = true
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() { s.wg.Wait(); close(gone) }() // drain waits for it
	steps := []func(*conn){(*conn).terminate, (*conn).cancel, (*conn).cut}
	for _, step := range steps {
		for _, c := range s.all() {
			step(c)
		}
		select {
		case <-gone:
			return
		case <-time.After(s.opts.DrainTimeout):
		}
	}
	<-gone
}

// watchVanished cancels the statements of clients that have gone. A connection is looked at when the
// same message of it is being worked on in two consecutive rounds: short statements never pay.
func (s *server) watchVanished(ctx context.Context) {
	if s.opts.VanishedCheck < 0 {
		return
	}
	t := time.NewTicker(s.opts.VanishedCheck)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, c := range s.all() {
			if c.stuckSinceLastLook() && hungUp(c.raw) {
				s.log.Info("client vanished, cancelling its statement", "session", c.pid)
				c.cancel()
			}
		}
	}
}
