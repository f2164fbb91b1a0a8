package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresBin is where Debian keeps the server that answers are compared with.
const postgresBin = "/usr/lib/postgresql/15/bin"

// Postgres starts a PostgreSQL with bytewise collation and Unicode case mapping, like ours, on a socket in a temporary folder and connects to it;
// both are gone with the test. It returns nil where there is no PostgreSQL 15.
func Postgres(t testing.TB) *pgx.Conn {
	t.Helper()
	if _, err := os.Stat(filepath.Join(postgresBin, "initdb")); err != nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "mr-pg") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr := runAs(t, dir)
	data := filepath.Join(dir, "data")
	cmd := exec.Command(filepath.Join(postgresBin, "initdb"), "-D", data, "-U", "root", "--auth=trust", "--locale=C", "--lc-ctype=C.UTF-8", "-E", "UTF8", "--no-sync")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a PostgreSQL cluster: %v\n%s", err, out)
	}
	var log bytes.Buffer
	srv := exec.Command(filepath.Join(postgresBin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC", "-c", "jit=off")
	srv.SysProcAttr, srv.Dir, srv.Stderr = attr, dir, &log
	if err := srv.Start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		_ = srv.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = srv.Wait()
	})
	deadline := time.Now().Add(startWithin)
	for {
		c, err := pgx.Connect(context.Background(), "host="+dir+" user=root dbname=postgres")
		if err == nil {
			t.Cleanup(func() { _ = closeConn(c) })
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("connect to PostgreSQL: %v\n%s", err, log.String())
		}
		time.Sleep(30 * time.Millisecond) // it says that it is ready in its log only
	}
}

// runAs gives dir to user postgres when we are root, whom PostgreSQL refuses to run as.
func runAs(t testing.TB, dir string) *syscall.SysProcAttr {
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
		t.Fatal(fmt.Errorf("user postgres has ids %q and %q", u.Uid, u.Gid))
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
