package sqllogictest_test

import (
	"bytes"
	"context"
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

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/sqllogictest"
)

// TestPostgres runs the same files against a real PostgreSQL, so that what they expect is what PostgreSQL
// answers. Materialized views become plain views there, which are a query over their inputs at any moment:
// what a view of ours holds after a change is compared with the query computed from scratch. Records about
// what PostgreSQL does not have say "skipif postgres".
//
// It runs when MILLRACE_TEST_POSTGRES is set (make test-postgres sets it); POSTGRES_BIN names the folder of
// initdb and postgres.
func TestPostgres(t *testing.T) {
	if os.Getenv("MILLRACE_TEST_POSTGRES") == "" {
		t.Skip("MILLRACE_TEST_POSTGRES is not set: make test-postgres compares with a real PostgreSQL")
	}
	server := startPostgres(t)
	n := 0
	eachFile(t, func(t *testing.T) *sqllogictest.Runner {
		n++
		url := fmt.Sprintf("%s dbname=slt%d", server, n)
		admin(t, server, fmt.Sprintf("CREATE DATABASE slt%d", n))
		return &sqllogictest.Runner{
			Connect: func(ctx context.Context) (*pgconn.PgConn, error) {
				cfg, err := pgconn.ParseConfig(url)
				if err != nil {
					return nil, err
				}
				cfg.DialFunc = dialPlainViews
				return pgconn.ConnectConfig(ctx, cfg)
			},
			Labels: []string{"postgres"},
			// restart is for ours; to a server that loses nothing it makes no difference.
			Restart: func(context.Context) error { return nil },
		}
	})
}

// admin runs one statement on the server's first database.
func admin(t *testing.T, server, sql string) {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), server+" dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// dialPlainViews makes connections on which MATERIALIZED VIEW is sent as VIEW.
func dialPlainViews(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &plainViews{c}, err
}

type plainViews struct{ net.Conn }

// Write implements net.Conn. The words are blanked, which keeps the length of the message and the
// positions in it; pgconn sends each statement in one Write.
func (c *plainViews) Write(b []byte) (int, error) {
	words := []byte("MATERIALIZED VIEW")
	return c.Conn.Write(bytes.ReplaceAll(b, words, []byte("             VIEW")))
}

// startPostgres runs a PostgreSQL of its own on a socket in a temporary folder, as user postgres if we are
// root, since it refuses to run as root.
func startPostgres(t *testing.T) (url string) {
	t.Helper()
	bin := postgresBin(t)
	dir, err := os.MkdirTemp("", "millrace-pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := postgresUser(t, dir)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, as
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "root", "-E", "UTF8", "--locale=C", "--lc-ctype=C.UTF-8", "--auth=trust", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("make a PostgreSQL cluster: %v\n%s", err, out)
	}
	server := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "timezone=UTC", "-c", "jit=off")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = server.Wait()
	})
	url = fmt.Sprintf("host=%s user=root", dir)
	deadline := time.Now().Add(startWithin)
	for {
		c, err := pgconn.Connect(t.Context(), url+" dbname=postgres")
		if err == nil {
			_ = c.Close(t.Context())
			return url
		}
		if time.Now().After(deadline) {
			t.Fatalf("connect to PostgreSQL: %v\n%s", err, log.String())
		}
		time.Sleep(50 * time.Millisecond) // the server says "ready" only in its log
	}
}

func postgresBin(t *testing.T) string {
	t.Helper()
	candidates := []string{os.Getenv("POSTGRES_BIN"), "/usr/lib/postgresql/15/bin"}
	if p, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(p))
	}
	for _, c := range candidates {
		if _, err := os.Stat(filepath.Join(c, "initdb")); c != "" && err == nil {
			return c
		}
	}
	t.Fatal("there is no initdb in POSTGRES_BIN, /usr/lib/postgresql/15/bin or PATH: install postgresql-15")
	return ""
}

// postgresUser gives dir to user postgres and returns how to run as that user; nil unless we are root.
func postgresUser(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("find the user to run PostgreSQL as: %v", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatalf("user postgres has ids %q and %q", u.Uid, u.Gid)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
