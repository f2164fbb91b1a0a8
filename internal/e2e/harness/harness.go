// Package harness runs a whole Millrace for the tests of internal/e2e: as a process of its own that can be
// killed at any moment, or inside the test process for speed and the race detector.
//
// The idea: a Server is a data folder and a port that outlive the process on them. Kill ends the process with
// SIGKILL, Start begins a new one on the same folder, and a test goes on where it was. Everything listens on
// 127.0.0.1 and lies in temporary folders that go with the test.
//
// Any goroutine may connect; Start, Kill and Stop are for one goroutine at a time.
//
// Invariants: only processes started here are ever signalled, and none is left when its test has ended.
//
// It does not judge what the server answers (the tests do). Start at New.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startWithin is how long a server may take to say that it is ready before a test gives up on it. It is not
// the promise of start-up time, which has a test of its own.
const startWithin = 20 * time.Second

var built struct {
	sync.Once
	dir, path string
	err       error
}

// Binary returns the path of the server's binary, built once per test process. MILLRACE_TEST_BINARY names
// another to be tested instead. Main removes what was built.
func Binary(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.path = os.Getenv("MILLRACE_TEST_BINARY"); built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "millrace-e2e"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "millrace")
		cmd := exec.Command("go", "build", "-tags", "millrace_killpoints", "-o", built.path, "github.com/millrace/millrace/cmd/millrace")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the server: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Main runs a package's tests and removes the binary.
func Main(m *testing.M) int {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	return code
}

// Server is a data folder and an address, with a process on them between Start and Kill or Stop.
type Server struct {
	Data string // data folder
	Args []string
	Env  []string // added to the environment of the processes
	t    testing.TB
	port int
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	log  safeBuffer    // of all processes so far
}

// New returns a running server on an empty folder. args are added to its command line.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{Data: filepath.Join(t.TempDir(), "data"), Args: args, t: t, port: FreePort(t)}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() && s.log.Len() > 0 {
			t.Logf("the server's log:\n%s", tail(s.log.String(), 4000))
		}
	})
	s.Start()
	return s
}

// FreePort returns a port of 127.0.0.1 that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Command returns the command that Start runs.
func (s *Server) Command() *exec.Cmd {
	args := append([]string{"start", "--data", s.Data, "--listen", s.Addr()}, s.Args...)
	cmd := exec.Command(Binary(s.t), args...)
	cmd.Env = append(os.Environ(), s.Env...)
	return cmd
}

// Wait waits until the process has ended by itself.
func (s *Server) Wait() {
	s.t.Helper()
	select {
	case <-s.done:
		s.cmd = nil
	case <-time.After(startWithin):
		s.t.Fatal("the server runs on")
	}
}

// Start begins a process and returns how long it took to say that it is ready.
func (s *Server) Start() time.Duration {
	s.t.Helper()
	took, err := s.TryStart()
	if err != nil {
		s.t.Fatalf("start the server: %v\n%s", err, tail(s.log.String(), 4000))
	}
	return took
}

// TryStart is Start for goroutines that may not end the test.
func (s *Server) TryStart() (time.Duration, error) {
	cmd := s.Command()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	cmd.Stderr = &s.log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ready := make(chan error, 1)
	read := make(chan struct{})
	go func() { // ends with the process's output; done waits for it
		defer close(read)
		r := bufio.NewReader(out)
		line, err := r.ReadString('\n')
		if err == nil && !strings.Contains(line, "ready") {
			err = fmt.Errorf("first line is %q", line)
		}
		ready <- err
		_, _ = io.Copy(&s.log, r)
	}()
	done := make(chan struct{})
	go func() { // ends with the process; Kill and Stop wait
		<-read
		_ = cmd.Wait()
		close(done)
	}()
	s.cmd, s.done = cmd, done
	select {
	case err := <-ready:
		if err != nil {
			s.Kill()
			return 0, fmt.Errorf("wait for the ready line: %w", err)
		}
		return time.Since(began), nil
	case <-time.After(startWithin):
		s.Kill()
		return 0, fmt.Errorf("not ready after %v", startWithin)
	}
}

// Kill ends the process with SIGKILL and waits until it is gone; nothing happens if there is none.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Stop ends the process with SIGTERM. It returns the exit code and how long it took.
func (s *Server) Stop() (code int, took time.Duration) {
	s.t.Helper()
	if s.cmd == nil {
		s.t.Fatal("stop a server that does not run")
	}
	began := time.Now()
	cmd, done := s.cmd, s.done
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(startWithin):
		_ = cmd.Process.Kill()
		<-done
		s.t.Errorf("server did not end within %v of SIGTERM", startWithin)
	}
	s.cmd = nil
	return cmd.ProcessState.ExitCode(), time.Since(began)
}

// Restart kills and starts.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// PID returns the number of the running process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Alive reports whether the process runs.
func (s *Server) Alive() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Log returns what the processes have written so far.
func (s *Server) Log() string { return s.log.String() }

// Addr returns host and port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns the connection string.
func (s *Server) URL() string { return url(s.Addr()) }

func url(addr string) string { return "postgres://root@" + addr + "/dev?sslmode=disable" }

// Conn connects; the connection is closed with the test.
func (s *Server) Conn() *pgx.Conn { return connect(s.t, s.URL()) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = closeConn(c) })
	return c
}

func closeConn(c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.Close(ctx)
}

// safeBuffer is a buffer that several goroutines may write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *safeBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// ExitOf runs the binary to its end and returns its exit code and what it wrote.
func ExitOf(t testing.TB, within time.Duration, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run the server: %v", err)
	}
	if ctx.Err() != nil {
		t.Fatalf("millrace %s did not end within %v\n%s", strings.Join(args, " "), within, errs.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
