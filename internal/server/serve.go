package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/frontend/catalog"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/frontend/session"
)

// Server is a node that listens for Postgres clients.
type Server struct {
	*Node
	Sessions *session.Manager
	listener net.Listener
	cancel   context.CancelFunc
	hooks    *hooks // nil: no webhooks
	served   chan error
}

// Version of this build.
const Version = "0.1.0"

// Start opens a node and serves clients on addr until Stop. It returns when clients can connect.
func Start(ctx context.Context, cfg Config, addr string) (*Server, error) {
	if cfg.Parallelism == 0 {
		cfg.Parallelism = runtime.GOMAXPROCS(0)
	}
	limitMemory()
	l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	n, err := Open(ctx, cfg)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	s := &Server{Node: n, listener: l, served: make(chan error, 1)}
	tmp := filepath.Join(n.cfg.DataDir, "tmp")
	_ = os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	s.Sessions = &session.Manager{Catalog: n.Catalog, Engine: n.Engine, System: catalog.New(), Vault: n.Vault, Parallelism: cfg.Parallelism,
		TempDir: tmp, Version: Version, Started: time.Now(), Logger: n.cfg.Logger}
	if !loopback(l.Addr()) && !s.Sessions.HasPasswords() {
		return nil, errors.Join(fmt.Errorf("refusing to listen on %s: a user without a password could connect from other machines; "+
			"listen on 127.0.0.1, or first give each user one (ALTER USER root PASSWORD '…')", l.Addr()), s.Stop(ctx))
	}
	n.sessions.Store(s.Sessions)
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() { // Stop waits
		s.served <- pgwire.Serve(serve, l, s.Sessions, pgwire.Options{Logger: n.cfg.Logger})
	}()
	if cfg.Webhooks != "" {
		if err := s.startHooks(cfg.Webhooks); err != nil {
			return nil, errors.Join(err, s.Stop(ctx))
		}
	}
	return s, nil
}

// linger is how long a start waits for what a predecessor that was just killed still holds: a large process
// takes a moment to disappear.
const linger = time.Second

// listen opens the port, with an error that says which and why.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	for end := time.Now().Add(linger); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		l, err = net.Listen("tcp", addr)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %s: the port is taken by another process; choose one with --listen", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return l, nil
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// Addr returns the address that clients connect to.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Done reports the end of serving, when it comes by itself.
func (s *Server) Done() <-chan error { return s.served }

// Stop ends sessions, takes a last checkpoint within ctx and closes the node.
func (s *Server) Stop(ctx context.Context) error {
	var err error
	if s.hooks != nil {
		half, cancel := context.WithTimeout(ctx, time.Second)
		err = s.hooks.stop(half)
		cancel()
		if err != nil {
			s.cfg.Logger.Warn("requests of webhooks did not end in time", "err", err)
		}
	}
	if s.cancel != nil {
		s.cancel()
		select {
		case err = <-s.served:
		case <-ctx.Done():
			slog.Default().Warn("clients did not leave in time")
		}
	} else {
		_ = s.listener.Close()
	}
	if cerr := s.Node.Close(ctx); err == nil || errors.Is(err, context.Canceled) {
		err = cerr
	}
	return err
}

// limitMemory tells the garbage collector how much memory there is, unless GOMEMLIMIT has: 80 % of the
// smaller of the cgroup's limit and the machine's memory.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(math.MaxInt64)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			limit = n
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil {
			limit = min(limit, kb<<10)
		}
	}
	if limit < math.MaxInt64 {
		debug.SetMemoryLimit(limit / 5 * 4)
	}
}

// stateBytes is how much memory the state of views may take, if nothing is said: half of what there is.
func stateBytes(want int64) int64 {
	if limit := debug.SetMemoryLimit(-1); want == 0 && limit < math.MaxInt64 {
		return limit / 2
	}
	return want
}

// columnCacheBytes is how much memory may hold columns of relations for scans: an eighth of what there is.
func columnCacheBytes() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 8
	}
	return 1 << 30
}
