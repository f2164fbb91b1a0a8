// Package mariadbtest runs a real MariaDB for tests.
//
// The idea: a Server is one mariadbd on a free port of 127.0.0.1 with its data in a temporary folder, with a binary log in the form that change
// data capture wants. Folder and port outlive the process, so that it can be killed at any moment and started again.
//
// Start, Kill and Stop are for one goroutine at a time; everything else may be called by any.
//
// Invariants: only processes started here are ever signalled, and they die with the process that started them; nothing is written outside
// the temporary folder.
//
// Nothing here is part of Millrace. Start at New.
package mariadbtest

import (
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

	"github.com/go-sql-driver/mysql"
)

// ErrMissing says that MariaDB is not installed.
var ErrMissing = errors.New("there is no MariaDB (apt-get install mariadb-server)")

// noSync leaves it to the operating system when to write: it outlives what is killed.
const noSync = "--innodb-flush-method=nosync"

// Server is a MariaDB of a test. Its user root has no password.
type Server struct {
	Port int
	// Args are given to mariadbd when it starts, behind those that make it log rows in full.
	Args []string
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	db   *sql.DB
}

// New makes and starts a server with Args.
func New(args ...string) (*Server, error) {
	install, err1 := exec.LookPath("mariadb-install-db")
	_, err2 := find()
	if err1 != nil || err2 != nil {
		return nil, ErrMissing
	}
	dir, err := os.MkdirTemp("", "millrace-mariadb-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, Args: args}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(install, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db",
		"--skip-name-resolve", "--innodb-log-file-size=8M", noSync, "--user="+me.Username).CombinedOutput()
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	if s.Port, err = freePort(); err == nil {
		err = s.Start()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// For makes a server that lives as long as a test, which is skipped when there is no MariaDB.
func For(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := New(args...)
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

func find() (string, error) {
	for _, name := range []string{"mariadbd", "/usr/sbin/mariadbd"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", ErrMissing
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Start runs the server, again after Kill or Stop, and returns when it answers.
func (s *Server) Start() error {
	bin, err := find()
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"--no-defaults", "--datadir=" + s.data(), "--socket=" + filepath.Join(s.dir, "sock"), "--port=" + strconv.Itoa(s.Port),
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--user=" + me.Username, "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M", noSync,
		"--character-set-server=utf8mb4", "--skip-log-error"}
	cmd := exec.Command(bin, append(args, s.Args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func() { // ends with the process, which Close ends
		cmd.Wait()
		close(s.done)
	}()
	if s.db == nil {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.MultiStatements, cfg.InterpolateParams = "root", "tcp", s.Addr(), true, true
		cfg.Logger = &mysql.NopLogger{} // that a connection is gone after a kill needs no words
		c, err := mysql.NewConnector(cfg)
		if err != nil {
			return err
		}
		s.db = sql.OpenDB(c)
	}
	for end := time.Now().Add(30 * time.Second); ; {
		if err = s.db.Ping(); err == nil {
			return nil
		}
		select {
		case <-s.done:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("mariadbd ended: %s", text[max(0, len(text)-3000):])
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("mariadbd does not answer: %w", err)
		}
	}
}

// Kill ends the server without warning.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server in order.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	<-s.done
	s.cmd = nil
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	if s.db != nil {
		s.db.Close()
	}
	s.Kill()
	return os.RemoveAll(s.dir)
}

// DB gives connections as root, without a database. Several statements may be given at once.
func (s *Server) DB() *sql.DB { return s.db }

// Exec runs statements as root.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
