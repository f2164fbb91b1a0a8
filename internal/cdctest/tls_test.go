package cdctest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestTLS follows and writes tables of servers that let nobody in without TLS: the log, the snapshot and the sink all speak it, with a certificate in
// a secret.
func TestTLS(t *testing.T) {
	ca := dbtest.NewAuthority(t)
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	mr := harness.New(t)
	here := mr.Conn()
	exec(t, here, "CREATE SECRET authority WITH (backend = 'meta') AS '"+string(pem)+"'")

	pg := dbtest.Postgres(t, "-c", "wal_level=logical")
	pg.Quit()
	pg.Listen(t)
	pg.ServeTLS(t, ca)
	if err := os.WriteFile(filepath.Join(pg.Dir, "data", "pg_hba.conf"), []byte("local all all trust\nhostssl all all 127.0.0.1/32 trust\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pg.MustStart(t)
	there := connectTo(t, pg)
	exec(t, there, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'); CREATE TABLE back (id int PRIMARY KEY, v text)")
	tls := "ssl.mode = 'verify-full', ssl.root.cert = SECRET authority"
	exec(t, here, fmt.Sprintf("CREATE SOURCE pg WITH (connector = 'postgres-cdc', hostname = 'localhost', port = %d, username = 'root', database.name = 'postgres', %s)", pg.Port, tls))
	exec(t, here, "CREATE TABLE pt (*) FROM pg TABLE 'public.t'")
	exec(t, here, fmt.Sprintf("CREATE SINK pback FROM pt WITH (connector = 'postgres', host = 'localhost', port = %d, user = 'root', database = 'postgres', table = 'back', type = 'upsert', primary_key = 'id', %s)", pg.Port, tls))
	exec(t, there, "INSERT INTO t VALUES (2, 'b'); UPDATE t SET v = 'c' WHERE id = 1")
	eventually(t, here, "SELECT id, v FROM pt", "1|c", "2|b")
	eventually(t, there, "SELECT id, v FROM back", "1|c", "2|b")

	my := dbtest.MariaDB(t)
	my.Stop()
	my.ServeTLS(t, ca)
	my.MustStart(t)
	my.Exec(t, "CREATE USER u REQUIRE SSL", "GRANT ALL ON *.* TO u", "USE test; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO t VALUES (1, 'a'); CREATE TABLE back (id INT PRIMARY KEY, v VARCHAR(9))")
	exec(t, here, fmt.Sprintf("CREATE SOURCE my WITH (connector = 'mysql-cdc', hostname = 'localhost', port = %d, username = 'u', database.name = 'test', %s)", my.Port, tls))
	exec(t, here, "CREATE TABLE mt (*) FROM my TABLE 'test.t'")
	exec(t, here, fmt.Sprintf("CREATE SINK mback FROM mt WITH (connector = 'mysql', host = 'localhost', port = %d, user = 'u', database = 'test', table = 'back', type = 'upsert', primary_key = 'id', %s)", my.Port, tls))
	my.Exec(t, "USE test; INSERT INTO t VALUES (2, 'b'); UPDATE t SET v = 'c' WHERE id = 1")
	eventually(t, here, "SELECT id, v FROM mt", "1|c", "2|b")
	w := &myWorld{t: t, my: my}
	for end := 0; ; end++ {
		if got := w.rowsOf("test", "SELECT id, v FROM back"); fmt.Sprint(got) == "[1|c 2|b]" {
			break
		} else if end > 500 {
			t.Fatalf("the sink's table has %v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
