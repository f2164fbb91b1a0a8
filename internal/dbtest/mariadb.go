package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// noSync leaves it to the operating system when to write: it outlives what is killed.
const noSync = "--innodb-flush-method=nosync"

// MariaDB starts a MariaDB with a database test, whose user root needs no password, with a binary log in the form that change data capture wants. args are
// added to its command line.
func MariaDB(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := NewMariaDB(args...)
	return made(t, s, err)
}

// NewMariaDB is MariaDB for a server that several tests share. Error: ErrMissing.
func NewMariaDB(args ...string) (*Server, error) {
	install, err := exec.LookPath("mariadb-install-db")
	bin, err2 := findMariaDB()
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("%w: MariaDB (apt-get install mariadb-server)", ErrMissing)
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	s, err := folder("")
	if err != nil {
		return nil, err
	}
	s.bin, s.Args, s.Host = bin, args, filepath.Join(s.Dir, "sock")
	data := filepath.Join(s.Dir, "data")
	err = s.run(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db",
		"--skip-name-resolve", "--innodb-log-file-size=8M", noSync, "--user="+me.Username)
	if err == nil {
		s.Port, err = freePort()
	}
	if err == nil {
		err = s.openDB()
	}
	s.args = []string{"--no-defaults", "--datadir=" + data, "--socket=" + s.Host, "--port=" + strconv.Itoa(s.Port), "--bind-address=127.0.0.1",
		"--skip-name-resolve", "--user=" + me.Username, "--pid-file=" + filepath.Join(s.Dir, "pid"), "--tmpdir=" + s.Dir,
		"--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M", noSync,
		"--character-set-server=utf8mb4", "--skip-log-error"}
	if err == nil {
		err = s.Start()
	}
	if err == nil {
		_, err = s.db.Exec("CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4")
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func findMariaDB() (string, error) {
	for _, name := range []string{"mariadbd", "/usr/sbin/mariadbd"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", ErrMissing
}

func (s *Server) openDB() error {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.MultiStatements, cfg.InterpolateParams = "root", "tcp", s.Addr(), true, true
	cfg.Logger = &mysql.NopLogger{} // that a connection is gone after a kill needs no words
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(c)
	s.answer = func(ctx context.Context) error { return s.db.PingContext(ctx) }
	return nil
}

// DB gives connections to a MariaDB as root, without a database. Several statements may be given at once.
func (s *Server) DB() *sql.DB { return s.db }

// Exec runs statements in a MariaDB as root.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
