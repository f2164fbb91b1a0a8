// Package sqltest runs the database servers that tests of sinks write to, and those of sources read from.
//
// The idea: a Server is a data folder and a socket that outlive the process on them: Kill ends it with SIGKILL,
// Start begins another on the same folder. Nothing listens on a port, and everything goes with the test.
//
// One goroutine at a time.
//
// Invariants: only processes started here are signalled. A machine without the server's programs skips the test.
// Start at Postgres and MariaDB.
package sqltest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	"github.com/jackc/pgx/v5/pgxpool"
)

// startWithin is how long a server may take to answer.
const startWithin = 30 * time.Second

// Server is a database server.
type Server struct {
	Host string // for the option host: a folder or a socket
	User string

	t    testing.TB
	bin  string
	args []string
	attr *syscall.SysProcAttr
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	log  *bytes.Buffer

	cleanup sync.Once
	answer  func(ctx context.Context) error
}

// postgresBin is where Debian keeps PostgreSQL's programs.
const postgresBin = "/usr/lib/postgresql/15/bin"

// Postgres starts a PostgreSQL 15 whose database is postgres and whose superuser is root. args are added to its command line.
func Postgres(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := os.Stat(filepath.Join(postgresBin, "initdb")); err != nil {
		t.Skip("there is no PostgreSQL 15 in " + postgresBin)
	}
	s := folder(t, "postgres")
	data := filepath.Join(s.Host, "data")
	s.run(filepath.Join(postgresBin, "initdb"), "-D", data, "-U", "root", "--auth=trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
	s.bin = filepath.Join(postgresBin, "postgres")
	// fsync is off: what a killed process has written is there, and the machine does not lose power.
	s.args = []string{"-D", data, "-k", s.Host, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "jit=off"}
	s.args = append(s.args, args...)
	s.answer = func(ctx context.Context) error {
		p, err := pgxpool.New(ctx, "host="+s.Host+" user=root dbname=postgres")
		if err != nil {
			return err
		}
		defer p.Close()
		return p.Ping(ctx)
	}
	s.Start()
	return s
}

// MariaDB starts a MariaDB with a database test, whose user root needs no password.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	bin, err := exec.LookPath("mariadbd")
	install, err2 := exec.LookPath("mariadb-install-db")
	if err != nil || err2 != nil {
		t.Skip("there is no mariadbd in PATH")
	}
	s := folder(t, "mysql")
	data := filepath.Join(s.Host, "data")
	s.run(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M")
	s.bin = bin
	dir := s.Host
	s.Host = filepath.Join(dir, "sock")
	s.args = []string{"--no-defaults", "--datadir=" + data, "--socket=" + s.Host, "--pid-file=" + filepath.Join(dir, "pid"), "--skip-networking", "--tmpdir=" + dir,
		"--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M"}
	s.answer = func(ctx context.Context) error {
		db, err := sql.Open("mysql", "root@unix("+s.Host+")/")
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4")
		return err
	}
	s.Start()
	return s
}

// folder makes a short folder (a socket's path has 107 bytes) for a server that is not to run as root.
func folder(t testing.TB, name string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr-sql")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{t: t, Host: dir, User: "root", log: &bytes.Buffer{}}
	if os.Geteuid() != 0 {
		return s
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Skipf("there is no user %q to run the server as", name)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(fmt.Errorf("user %q has ids %q and %q", name, u.Uid, u.Gid))
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return s
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = s.attr, s.Host
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("run %s: %v\n%s", name, err, out)
	}
}

// Start begins a process and waits until it answers. A server that was killed a moment ago may have children left
// that keep the next one from starting; so one that ends is started again.
func (s *Server) Start() {
	s.t.Helper()
	for end := time.Now().Add(startWithin); ; {
		if s.cmd == nil {
			s.begin()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := s.answer(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.Kill()
			s.t.Fatalf("wait for %s: %v\n%s", s.bin, err, s.log.String())
		}
		select {
		case <-s.done:
			s.cmd = nil
		case <-time.After(30 * time.Millisecond): // it says that it is ready in its log only
		}
	}
}

func (s *Server) begin() {
	s.t.Helper()
	s.log.Reset()
	cmd := exec.Command(s.bin, s.args...)
	cmd.SysProcAttr, cmd.Stderr = s.attr, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.bin, err)
	}
	s.cleanup.Do(func() { s.t.Cleanup(s.Kill) })
	done := make(chan struct{})
	go func() { // Kill waits
		_ = cmd.Wait()
		close(done)
	}()
	s.cmd, s.done = cmd, done
}

// Kill ends the process with SIGKILL; nothing happens if there is none.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Quit ends the process with SIGQUIT, with which PostgreSQL stops at once, and its children with it.
func (s *Server) Quit() { s.end(syscall.SIGQUIT) }

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
