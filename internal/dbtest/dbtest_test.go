package dbtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMariaDBRestart(t *testing.T) {
	s := MariaDB(t)
	s.Exec(t, "CREATE TABLE test.t (a INT PRIMARY KEY)", "INSERT INTO test.t VALUES (1), (2)")
	s.Kill()
	s.MustStart(t)
	var n int
	if err := s.DB().QueryRow("SELECT count(*) FROM test.t").Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d rows after a kill, %v", n, err)
	}
}

func TestPostgresRestart(t *testing.T) {
	s := Postgres(t, "-c", "wal_level=logical")
	ask := func(sql string) (text string) {
		c, err := pgx.Connect(context.Background(), "host="+s.Host+" dbname=postgres user=root")
		if err == nil {
			defer c.Close(context.Background())
			err = c.QueryRow(context.Background(), sql).Scan(&text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ask("SELECT pg_logical_emit_message(true, 'x', 'y')::text")
	ask("SELECT lo_create(4711)::text")
	s.Kill()
	s.MustStart(t)
	if got := ask("SELECT current_setting('wal_level') || count(*) FROM pg_largeobject_metadata"); got != "logical1" {
		t.Fatalf("after a kill: %s", got)
	}
}
