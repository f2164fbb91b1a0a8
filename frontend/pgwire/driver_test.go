package pgwire

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

// dsn is a connection string for the fake behind addr.
func dsn(addr, user, password, more string) string {
	host, port, _ := net.SplitHostPort(addr)
	s := "host=" + host + " port=" + port + " user=" + user + " dbname=dev " + more
	if password != "" {
		s += " password='" + password + "'"
	}
	return s
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func connectPgx(t testing.TB, s string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(testContext(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func TestPgx(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	c := connectPgx(t, dsn(addr, "root", "", "sslmode=disable"))
	ctx := testContext(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		var sum int
		if err := c.QueryRow(ctx, "add $1 $2", mode, 40, 2).Scan(&sum); err != nil || sum != 42 {
			t.Errorf("mode %v: %d, %v", mode, sum, err)
		}
	}
	rows, err := c.Query(ctx, "rows 3")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
		var id int64
		var name *string
		err := r.Scan(&id, &name)
		return strconv.FormatInt(id, 10) + *name, err
	})
	if err != nil || strings.Join(got, ",") != "1n1,2n2,3n3" {
		t.Errorf("%v, %v", got, err)
	}
	var pe *pgconn.PgError
	if _, err := c.Exec(ctx, "fail"); !errors.As(err, &pe) || pe.Code != "22012" || pe.Position != 1 || pe.Hint != "the hint" {
		t.Errorf("%v", err)
	}
	batch := &pgx.Batch{}
	for range 3 {
		batch.Queue("insert")
	}
	b.take()
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		t.Error(err)
	}
	if got := b.take(); !strings.HasSuffix(got, "insert; insert; insert; end(false)") {
		t.Errorf("a batch is one transaction; session saw %q", got)
	}
}

func TestPgxCopyAndCancel(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	c := connectPgx(t, dsn(addr, "root", "", "sslmode=disable")).PgConn()
	ctx := testContext(t)
	data := strings.Repeat("1\tone\n", 100_000)
	tag, err := c.CopyFrom(ctx, strings.NewReader(data), "copyin")
	if err != nil || tag.String() != "COPY 100000" || string(b.copied) != data {
		t.Errorf("%v, %v, %d bytes", tag, err, len(b.copied))
	}
	if _, err = c.CopyFrom(ctx, strings.NewReader(strings.Repeat("bad\n", 100_000)), "copyin"); err == nil {
		t.Error("bad data was taken")
	}
	var out bytes.Buffer
	if tag, err = c.CopyTo(ctx, &out, "copyout 2"); err != nil || out.String() != "1\tn1\n2\tn2\n" || tag.String() != "COPY 2" {
		t.Errorf("%q, %v, %v", out.String(), tag, err)
	}
	go func() {
		<-b.waiting
		c.CancelRequest(ctx)
	}()
	_, err = c.Exec(ctx, "wait").ReadAll()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "57014" {
		t.Errorf("%v", err)
	}
}

func TestLibPQ(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{})
	for _, more := range []string{"sslmode=disable", "sslmode=disable binary_parameters=yes"} {
		db, err := sql.Open("postgres", dsn(addr, "root", "", more))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var sum int
		if err := db.QueryRow("add $1 $2", 40, 2).Scan(&sum); err != nil || sum != 42 {
			t.Errorf("%d, %v", sum, err)
		}
		var e *pq.Error
		if _, err := db.Exec("missing"); !errors.As(err, &e) || e.Code != "42P01" {
			t.Errorf("%v", err)
		}
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func TestPasswords(t *testing.T) {
	b := newFakeBackend()
	b.passwords = map[string]string{"root": "geheim", "ünï": "pässwörd"}
	plain, _ := serveFake(t, b, Options{})
	crypt, _ := serveFake(t, b, Options{TLS: testTLS(t)})
	tests := []struct {
		name, addr, user, password, more string
		ok                               bool
	}{
		{"right", plain, "root", "geheim", "sslmode=disable", true},
		{"right, beyond ASCII", plain, "ünï", "pässwörd", "sslmode=disable", true},
		{"wrong", plain, "root", "nope", "sslmode=disable", false},
		{"unknown user", plain, "nobody", "geheim", "sslmode=disable", false},
		{"right over TLS", crypt, "root", "geheim", "sslmode=require", true},
		{"wrong over TLS", crypt, "root", "nope", "sslmode=require", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := dsn(tt.addr, tt.user, tt.password, tt.more)
			_, err := pgconn.Connect(testContext(t), s)
			check(t, "pgx", tt.ok, err)
			db, err := sql.Open("postgres", s)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			check(t, "lib/pq", tt.ok, db.Ping())
			if psql, err := exec.LookPath("psql"); err == nil {
				out, err := runPsql(psql, s, "rows 0")
				if !tt.ok && !strings.Contains(out, "password authentication failed for user") {
					t.Errorf("psql: %s", out)
				}
				check(t, "psql "+out, tt.ok, err)
				if tt.addr == crypt && tt.ok {
					out, err := runPsql(psql, s+" channel_binding=require", "rows 0")
					check(t, "psql with channel binding "+out, true, err)
				}
			}
		})
	}
}

func check(t *testing.T, who string, ok bool, err error) {
	t.Helper()
	if (err == nil) != ok {
		t.Errorf("%s: %v", who, err)
	}
	var e *pgconn.PgError
	if !ok && who == "pgx" && (!errors.As(err, &e) || e.Code != "28P01") {
		t.Errorf("%v", err)
	}
}

func TestPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	addr, _ := serveFake(t, newFakeBackend(), Options{TLS: testTLS(t)})
	tests := []struct{ name, mode, sql, want string }{
		{"plain", "disable", "rows 2", "1|n1\n2|n2\n"},
		{"TLS", "require", "rows 2", "1|n1\n2|n2\n"},
		{"notice", "disable", "notice hi", "NOTICE:  hi\nNOTICE\n"},
		{"error", "disable", "ä; missing", "Ä\nERROR:  relation \"missing\" does not exist\nLINE 1: ä; missing\n           ^\n"},
		{"copy out", "disable", "copyout 2", "1\tn1\n2\tn2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _ := runPsql(psql, dsn(addr, "root", "", "sslmode="+tt.mode), tt.sql)
			if out != tt.want {
				t.Errorf("got %q, want %q", out, tt.want)
			}
		})
	}
}

func runPsql(psql, conninfo, command string) (string, error) {
	cmd := exec.Command(psql, "-X", "-A", "-t", "-c", command, conninfo)
	cmd.Env = append(os.Environ(), "PGCONNECT_TIMEOUT=10", "PSQLRC=", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
