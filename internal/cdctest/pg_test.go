package cdctest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/e2e/harness"
)

// pgWorld is a PostgreSQL, a server, and a session with each.
type pgWorld struct {
	t     *testing.T
	pg    *dbtest.Server
	proxy *proxy
	mr    *harness.Server
	there *pgx.Conn
	here  *pgx.Conn
}

func newPgWorld(t *testing.T) *pgWorld {
	t.Helper()
	w := &pgWorld{t: t, pg: dbtest.Postgres(t, "-c", "wal_level=logical")}
	w.proxy = newProxy(t, filepath.Join(w.pg.Host, ".s.PGSQL.5432"))
	w.there = w.upstream()
	w.mr = harness.New(t)
	w.here = w.mr.Conn()
	return w
}

// upstream makes a session with the PostgreSQL.
func (w *pgWorld) upstream() *pgx.Conn {
	w.t.Helper()
	return connectTo(w.t, w.pg)
}

func connectTo(t testing.TB, s *dbtest.Server) *pgx.Conn {
	t.Helper()
	dsn := "host=" + s.Host + " dbname=postgres user=root"
	if s.Port != 0 {
		dsn += fmt.Sprintf(" port=%d", s.Port)
	}
	c, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (w *pgWorld) options() string {
	return fmt.Sprintf("connector = 'postgres-cdc', hostname = '127.0.0.1', port = %d, username = 'root', database.name = 'postgres'", w.proxy.port())
}

// TestPostgres follows a few tables through their life.
func TestPostgres(t *testing.T) {
	w := newPgWorld(t)
	exec(t, w.there, `CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE orders (id bigint PRIMARY KEY, customer int, amount numeric(10,2));
		CREATE TABLE visits (customer int, page text);
		ALTER TABLE visits REPLICA IDENTITY FULL;
		INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
		INSERT INTO orders SELECT g, 1 + g % 2, g FROM generate_series(1, 1000) g;
		INSERT INTO visits SELECT g % 2, '/' FROM generate_series(1, 100) g`)
	exec(t, w.here, "CREATE SOURCE shop WITH ("+w.options()+")")
	exec(t, w.here, "CREATE TABLE customers (*) FROM shop TABLE 'public.customers'")
	exec(t, w.here, "CREATE TABLE orders (*) FROM shop TABLE 'public.orders'")
	exec(t, w.here, "CREATE TABLE visits (*) FROM shop TABLE 'public.visits'")
	exec(t, w.here, `CREATE MATERIALIZED VIEW totals AS SELECT c.name, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.name`)
	eventually(t, w.here, "SELECT * FROM totals", "Ann|500|250500.00", "Bob|500|250000.00")
	eventually(t, w.here, "SELECT customer, count(*) FROM visits GROUP BY customer", "0|50", "1|50")

	exec(t, w.there, `BEGIN; UPDATE orders SET customer = 1 WHERE id <= 10; DELETE FROM orders WHERE id > 990; COMMIT;
		DELETE FROM visits WHERE customer = 0; UPDATE visits SET page = '/x'; INSERT INTO visits VALUES (1, '/x')`)
	eventually(t, w.here, "SELECT * FROM totals", rowsOf(t, w.there, "SELECT c.name, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.name")...)
	eventually(t, w.here, "SELECT customer, page, count(*) FROM visits GROUP BY customer, page", "1|/x|51")

	// Columns come, go, and change; what a view needs stays.
	exec(t, w.there, "ALTER TABLE visits ADD COLUMN seconds int DEFAULT 7")
	eventually(t, w.here, "SELECT customer, page, seconds, count(*) FROM visits GROUP BY 1, 2, 3", "1|/x|7|51")
	exec(t, w.there, "ALTER TABLE visits RENAME COLUMN page TO path; ALTER TABLE visits ALTER seconds TYPE text USING seconds || 's'; ALTER TABLE visits DROP COLUMN customer")
	eventually(t, w.here, "SELECT path, seconds, count(*) FROM visits GROUP BY 1, 2", "/x|7s|51")
	exec(t, w.there, "ALTER TABLE customers ADD COLUMN town text; UPDATE customers SET town = 'Ulm' WHERE id = 1")
	eventually(t, w.here, "SELECT id, name, town FROM customers", "1|Ann|Ulm", "2|Bob|∅")

	// A transaction that takes longer than the time between two barriers.
	exec(t, w.there, "BEGIN; INSERT INTO orders SELECT g, 3, 1 FROM generate_series(2001, 102000) g; DELETE FROM orders WHERE customer = 3; INSERT INTO customers VALUES (9, 'Zoe'); COMMIT; DELETE FROM customers WHERE id = 9; INSERT INTO customers VALUES (10, 'last')")
	eventually(t, w.here, "SELECT count(*) FROM customers WHERE name = 'last'", "1")
	exec(t, w.there, "DELETE FROM customers WHERE id = 10")

	// A kill, and changes meanwhile.
	w.mr.Kill()
	exec(t, w.there, "INSERT INTO customers VALUES (3, 'Cem', 'Bonn'); TRUNCATE visits; ALTER TABLE visits ADD COLUMN late int DEFAULT 1; INSERT INTO visits VALUES ('/y', '1s', 2)")
	w.mr.Start()
	w.here = w.mr.Conn()
	eventually(t, w.here, "SELECT id, name, town FROM customers", "1|Ann|Ulm", "2|Bob|∅", "3|Cem|Bonn")
	eventually(t, w.here, "SELECT path, seconds, late FROM visits", "/y|1s|2")

	// The single-table form, with a slot and publication of its own.
	exec(t, w.here, "CREATE TABLE c2 (id int PRIMARY KEY, name varchar) WITH ("+w.options()+", schema.name = 'public', table.name = 'customers', slot.name = 'mine')")
	eventually(t, w.here, "SELECT * FROM c2", "1|Ann", "2|Bob", "3|Cem")
	eventually(t, w.there, "SELECT count(*) FROM pg_replication_slots", "2")

	exec(t, w.here, "DROP TABLE c2")
	exec(t, w.here, "DROP SOURCE shop CASCADE")
	eventually(t, w.there, "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)", "0|0")
}

// TestPostgresAway lets the database go away in the middle of a large transaction, at several moments: nobody here waits for the rest of it.
func TestPostgresAway(t *testing.T) {
	w := newPgWorld(t)
	exec(t, w.there, "CREATE TABLE big (id int PRIMARY KEY)")
	exec(t, w.here, "CREATE SOURCE src WITH ("+w.options()+")")
	exec(t, w.here, "CREATE TABLE big (*) FROM src TABLE 'public.big'")
	exec(t, w.here, "CREATE TABLE own (id int PRIMARY KEY)")
	for i := range 3 {
		exec(t, w.there, fmt.Sprintf("INSERT INTO big SELECT g + %d * 1000000 FROM generate_series(1, 150000) g", i))
		time.Sleep(time.Duration(50+100*i) * time.Millisecond)
		w.pg.Quit()
		began := time.Now()
		exec(t, w.here, fmt.Sprintf("INSERT INTO own VALUES (%d)", i))
		eventually(t, w.here, "SELECT count(*) FROM own", fmt.Sprint(i+1))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a write of our own was seen after %v", took)
		}
		if n := rowsOf(t, w.here, "SELECT count(*) % 150000 FROM big"); n[0] != "0" {
			t.Errorf("a part of a transaction is seen: %s rows of the last one", n)
		}
		w.pg.MustStart(w.t)
		w.there = w.upstream()
	}
	eventually(t, w.here, "SELECT count(*) FROM big", "450000")
}
