// Package dbtest runs the database servers that tests of connectors read from and write to: PostgreSQL and MariaDB.
//
// The idea: a Server is a data folder and an address that outlive the process on them: Kill ends it with SIGKILL, Start begins
// another on the same folder.
//
// One goroutine at a time, except for DB and Exec.
//
// Invariants: only processes started here are ever signalled, and they die with the process that started them; nothing is written outside the
// server's folder, which goes with Close. A machine without the server's programs skips the test.
//
// Nothing here is part of Millrace. Start at Postgres and MariaDB.
package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// startWithin is how long a server may take to answer.
const startWithin = 30 * time.Second

// ErrMissing says that a server is not installed.
var ErrMissing = errors.New("this machine has no such server")

// Server is a database server of a test.
type Server struct {
	// Dir is the server's folder; it is the server's user that owns it.
	Dir string
	// Host is for an option host: the folder of PostgreSQL's socket, the socket of a MariaDB.
	Host string
	// Port is where the server listens on 127.0.0.1; 0: it does not.
	Port int
	User string // a superuser without a password
	// Args are added to the command line by the next Start.
	Args []string

	bin    string
	args   []string
	attr   *syscall.SysProcAttr
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	answer func(ctx context.Context) error
	db     *sql.DB // of a MariaDB
}

// made gives a server to a test, which ends it.
func made(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// folder makes a short folder (a socket's path has 107 bytes) for a server that is run as another user when root is not good enough; "" is ourselves.
func folder(as string) (*Server, error) {
	dir, err := os.MkdirTemp("", "mr-db")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, User: "root", attr: &syscall.SysProcAttr{}}
	dieWithParent(s.attr)
	if as == "" || os.Geteuid() != 0 {
		return s, nil
	}
	u, err := user.Lookup(as)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: there is no user %q to run it as", ErrMissing, as), os.RemoveAll(dir))
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s, nil
}

// Own gives a file to the user that the server runs as.
func (s *Server) Own(path string) error {
	if c := s.attr.Credential; c != nil {
		return os.Chown(path, int(c.Uid), int(c.Gid))
	}
	return nil
}

func (s *Server) run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = s.attr, s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", name, err, out)
	}
	return nil
}

// Start begins a process, again after Kill or Stop, and returns when it answers. A server that was killed a moment ago may have children left that keep the next
// one from starting; so one that ends is started again, for a while.
func (s *Server) Start() error {
	for end := time.Now().Add(startWithin); ; {
		if s.cmd == nil {
			if err := s.begin(); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := s.answer(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			s.Kill()
			return fmt.Errorf("wait for %s: %w\n%s", s.bin, err, s.lastWords())
		}
		select {
		case <-s.done:
			if s.cmd = nil; len(s.Args) > 0 { // it may be these that it does not like
				end = end.Add(-startWithin / 4)
			}
		case <-time.After(30 * time.Millisecond): // it says that it is ready in its log only
		}
	}
}

// MustStart is Start for a test that cannot go on without.
func (s *Server) MustStart(t testing.TB) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) begin() error {
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.bin, append(s.args[:len(s.args):len(s.args)], s.Args...)...)
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.attr, log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.bin, err)
	}
	done := make(chan struct{})
	go func() { // ends with the process, which Close ends
		_ = cmd.Wait()
		close(done)
	}()
	s.cmd, s.done = cmd, done
	return nil
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "log") }

// lastWords is the end of the log.
func (s *Server) lastWords() []byte {
	text, _ := os.ReadFile(s.logFile())
	return text[max(0, len(text)-3000):]
}

// Kill ends the process with SIGKILL; nothing happens if there is none.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Quit ends the process with SIGQUIT, with which PostgreSQL stops at once, and its children with it.
func (s *Server) Quit() { s.end(syscall.SIGQUIT) }

// Stop ends the process in order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	<-s.done
	s.cmd = nil
}

// Freeze stops the process where it is, and lets it go on when called again with false.
func (s *Server) Freeze(yes bool) {
	sig := syscall.SIGCONT
	if yes {
		sig = syscall.SIGSTOP
	}
	_ = s.cmd.Process.Signal(sig)
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	if s.db != nil {
		s.db.Close()
	}
	s.Kill()
	return os.RemoveAll(s.Dir)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
