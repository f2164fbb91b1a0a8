package cdctest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/e2e/harness"
)

// myWorld is a MariaDB, a server, and a session with the server.
type myWorld struct {
	t     *testing.T
	my    *dbtest.Server
	proxy *proxy
	mr    *harness.Server
	here  *pgx.Conn
}

func newMyWorld(t *testing.T) *myWorld {
	t.Helper()
	w := &myWorld{t: t, my: dbtest.MariaDB(t)}
	w.proxy = newProxy(t, w.my.Addr())
	w.mr = harness.New(t)
	w.here = w.mr.Conn()
	w.my.Exec(t, "CREATE DATABASE shop")
	return w
}

func (w *myWorld) options() string {
	return fmt.Sprintf("connector = 'mysql-cdc', hostname = '127.0.0.1', port = %d, username = 'root', database.name = 'shop', heartbeat.interval = '500ms'", w.proxy.port())
}

// there runs statements in the MariaDB.
func (w *myWorld) there(statements ...string) {
	w.t.Helper()
	for _, q := range statements {
		w.my.Exec(w.t, "USE shop; "+q)
	}
}

// rows are the rows of a query in the MariaDB, as query has them.
func (w *myWorld) rows(q string) []string {
	w.t.Helper()
	return w.rowsOf("shop", q)
}

func (w *myWorld) rowsOf(database, q string) []string {
	w.t.Helper()
	c, err := w.my.DB().Conn(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(context.Background(), "USE "+database); err != nil {
		w.t.Fatal(err)
	}
	rows, err := c.QueryContext(context.Background(), q)
	if err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			w.t.Fatal(err)
		}
		parts := make([]string, len(columns))
		for i, v := range values {
			if parts[i] = v.String; !v.Valid {
				parts[i] = "∅"
			}
		}
		out = append(out, strings.Join(parts, "|"))
	}
	sort.Strings(out)
	return out
}

// TestMySQL follows a few tables through their life.
func TestMySQL(t *testing.T) {
	w := newMyWorld(t)
	w.there("CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40), active TINYINT(1))",
		"CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT, amount DECIMAL(10,2))",
		"CREATE TABLE visits (customer INT, page VARCHAR(100))",
		"INSERT INTO customers VALUES (1, 'Ann', 1), (2, 'Bob', 0)",
		"INSERT INTO orders SELECT seq, 1 + seq % 2, seq FROM seq_1_to_1000",
		"INSERT INTO visits SELECT seq % 2, '/' FROM seq_1_to_100")
	exec(t, w.here, "CREATE SOURCE shop WITH ("+w.options()+")")
	exec(t, w.here, "CREATE TABLE customers (*) FROM shop TABLE 'shop.customers'")
	exec(t, w.here, "CREATE TABLE orders (*) FROM shop TABLE 'shop.orders'")
	exec(t, w.here, "CREATE TABLE visits (*) FROM shop TABLE 'shop.visits'")
	exec(t, w.here, "CREATE TABLE flags (id int PRIMARY KEY, active varchar) FROM shop TABLE 'shop.customers'")
	const totals = "SELECT c.name, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.name"
	exec(t, w.here, "CREATE MATERIALIZED VIEW totals AS "+totals)
	eventually(t, w.here, "SELECT * FROM totals", "Ann|500|250500.00", "Bob|500|250000.00")
	eventually(t, w.here, "SELECT customer, count(*) FROM visits GROUP BY customer", "0|50", "1|50")
	eventually(t, w.here, "SELECT id, active FROM flags", "1|1", "2|0")

	w.there("BEGIN; UPDATE orders SET customer = 1 WHERE id <= 10; DELETE FROM orders WHERE id > 990; COMMIT",
		"DELETE FROM visits WHERE customer = 0; UPDATE visits SET page = '/x'; INSERT INTO visits VALUES (1, '/x')")
	eventually(t, w.here, "SELECT * FROM totals", w.rows(totals)...)
	eventually(t, w.here, "SELECT customer, page, count(*) FROM visits GROUP BY customer, page", "1|/x|51")

	// Columns come, go, and change; what a view needs stays.
	w.there("ALTER TABLE visits ADD COLUMN seconds INT DEFAULT 7")
	eventually(t, w.here, "SELECT customer, page, seconds, count(*) FROM visits GROUP BY 1, 2, 3", "1|/x|7|51")
	w.there("ALTER TABLE visits CHANGE page path VARCHAR(200), MODIFY seconds VARCHAR(10), DROP COLUMN customer")
	eventually(t, w.here, "SELECT path, seconds, count(*) FROM visits GROUP BY 1, 2", "/x|7|51")
	w.there("ALTER TABLE customers ADD COLUMN town TEXT; UPDATE customers SET town = 'Ulm' WHERE id = 1")
	eventually(t, w.here, "SELECT id, name, town FROM customers", "1|Ann|Ulm", "2|Bob|∅")

	// A kill, and changes meanwhile.
	w.mr.Kill()
	w.there("INSERT INTO customers VALUES (3, 'Cem', NULL, 'Bonn')", "TRUNCATE visits", "ALTER TABLE visits ADD COLUMN late INT DEFAULT 1",
		"INSERT INTO visits VALUES ('/y', '1s', 2)")
	w.mr.Start()
	w.here = w.mr.Conn()
	eventually(t, w.here, "SELECT id, name, town FROM customers", "1|Ann|Ulm", "2|Bob|∅", "3|Cem|Bonn")
	eventually(t, w.here, "SELECT path, seconds, late FROM visits", "/y|1s|2")
	eventually(t, w.here, "SELECT id, active FROM flags", "1|1", "2|0", "3|∅")

	// The single-table form.
	exec(t, w.here, "CREATE TABLE c2 (id int PRIMARY KEY, name varchar) WITH ("+w.options()+", table.name = 'customers')")
	eventually(t, w.here, "SELECT * FROM c2", "1|Ann", "2|Bob", "3|Cem")
	exec(t, w.here, "DROP TABLE c2")
	exec(t, w.here, "DROP SOURCE shop CASCADE")
}

// TestMySQLTorture: four clients move money between accounts, while either server is killed, connections are cut and columns change. Nobody ever sees
// half a transfer, and at the end both sides have the same.
func TestMySQLTorture(t *testing.T) {
	rnd := newRand(t, 7)
	w := newMyWorld(t)
	const accounts, each = 200, 1000
	w.there("CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL, note VARCHAR(40))",
		"CREATE TABLE ledger (account INT, amount BIGINT, what VARCHAR(20))",
		fmt.Sprintf("INSERT INTO accounts SELECT seq, %d, CONCAT('n', seq) FROM seq_1_to_%d", each, accounts),
		"CREATE TABLE filler (id INT PRIMARY KEY, v VARCHAR(100))", "INSERT INTO filler SELECT seq, REPEAT('f', 50) FROM seq_1_to_30000")
	exec(t, w.here, "CREATE SOURCE shop WITH ("+w.options()+")")
	var clients sync.WaitGroup
	stop := make(chan struct{})
	var transfers atomic.Int64
	for i := range 4 {
		clients.Add(1)
		go transfer(w.my, rand.New(rand.NewPCG(rnd.Uint64(), uint64(i))), accounts, stop, &clients, &transfers) // the test waits
	}
	for _, table := range []string{"accounts", "ledger", "filler"} {
		exec(t, w.here, "CREATE TABLE "+table+" (*) FROM shop TABLE 'shop."+table+"'")
	}
	exec(t, w.here, "CREATE MATERIALIZED VIEW moved AS SELECT account, count(*) AS n, sum(amount) AS total FROM ledger GROUP BY account")
	const sums = "SELECT (SELECT sum(balance) FROM accounts), (SELECT coalesce(sum(amount), 0) FROM ledger), (SELECT coalesce(sum(total), 0) FROM moved)"
	want := fmt.Sprintf("%d|0|0", accounts*each)
	const sumThere = "SELECT sum(balance) FROM accounts"
	eventually(t, w.here, sums, want)
	eventually(t, w.here, "SELECT count(*) FROM filler", "30000")
	var asked atomic.Int64
	watch := make(chan string, 1)
	clients.Add(1)
	go watchSums(w.mr.URL(), sums, want, stop, &clients, &asked, watch) // the test waits

	columns := 0
	for n := disturbances(8, 60); n > 0; n-- {
		time.Sleep(time.Duration(200+rnd.IntN(800)) * time.Millisecond)
		switch k := rnd.IntN(6); k {
		case 0, 1:
			t.Log("kill the server")
			w.mr.Kill()
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			w.mr.Start()
		case 2:
			t.Log("kill the MariaDB")
			w.my.Kill()
			if err := w.my.Start(); err != nil {
				t.Fatal(err)
			}
		case 3:
			t.Log("cut the connections")
			w.proxy.cut()
		default:
			columns++
			// Not of accounts: while a table takes over columns it is empty for a moment.
			q := []string{
				fmt.Sprintf("ALTER TABLE filler ADD COLUMN c%d INT", columns),
				fmt.Sprintf("ALTER TABLE filler ADD COLUMN d%d INT NOT NULL DEFAULT %d FIRST", columns, columns),
				"FLUSH LOGS",
			}[rnd.IntN(3)]
			t.Log(q)
			w.there(q)
		}
		select {
		case bad := <-watch:
			close(stop)
			clients.Wait()
			time.Sleep(3 * time.Second)
			w.here = w.mr.Conn()
			t.Logf("now %v", rowsOf(t, w.here, sums))
			a, b := w.rows("SELECT id, balance FROM accounts"), rowsOf(t, w.here, "SELECT id, balance FROM accounts")
			t.Logf("lacking %v, too many %v", minus(a, b), minus(b, a))
			t.Fatalf("seen: %s, and it should always be %s; there it is %v", bad, want, w.rows(sumThere))
		default:
		}
	}
	close(stop)
	clients.Wait()
	select {
	case bad := <-watch:
		t.Errorf("seen: %s, and it should always be %s; there it is %v", bad, want, w.rows(sumThere))
	default:
	}
	w.here = w.mr.Conn()
	t.Logf("%d transfers, sums were asked for %d times", transfers.Load(), asked.Load())
	for _, q := range []string{"SELECT id, balance, note FROM accounts", "SELECT count(*), sum(length(v)) FROM filler"} {
		eventually(t, w.here, q, w.rows(q)...)
	}
	const ledger = "SELECT what, account, amount, count(*) AS n FROM ledger GROUP BY what, account, amount"
	if a, b := w.rows(ledger), rowsOf(t, w.here, ledger); !slices.Equal(a, b) {
		t.Errorf("the ledger lacks %q and has too many: %q", minus(a, b), minus(b, a))
	}
	eventually(t, w.here, "SELECT * FROM moved", w.rows("SELECT account, count(*) AS n, sum(amount) AS total FROM ledger GROUP BY account")...)
	there := w.rows("SELECT column_name FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'filler'")
	eventually(t, w.here, "SELECT column_name FROM information_schema.columns WHERE table_name = 'filler'", there...)
	if asked.Load() == 0 || transfers.Load() == 0 {
		t.Error("nothing happened")
	}
}

// transfer moves money between accounts, in one transaction each: balances and the ledger stay in step. Errors are those of a server that is killed.
func transfer(s *dbtest.Server, rnd *rand.Rand, accounts int, stop chan struct{}, done *sync.WaitGroup, n *atomic.Int64) {
	defer done.Done()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rnd.IntN(8)) * time.Millisecond):
		}
		a, b, x := 1+rnd.IntN(accounts), 1+rnd.IntN(accounts), 1+rnd.IntN(50)
		if a == b {
			continue
		}
		a, b = min(a, b), max(a, b)
		id := rnd.Uint64() >> 8
		q := fmt.Sprintf(`USE shop; SET SESSION lock_wait_timeout = 5; BEGIN; UPDATE accounts SET balance = balance - %d, note = 'x' WHERE id = %d; INSERT INTO ledger VALUES (%d, -%d, '%x out');
			UPDATE accounts SET balance = balance + %d WHERE id = %d; INSERT INTO ledger VALUES (%d, %d, '%x in'); COMMIT`, x, a, a, x, id, x, b, b, x, id)
		switch rnd.IntN(12) {
		case 0: // an account gets another number, and its own again
			q = fmt.Sprintf("USE shop; BEGIN; UPDATE accounts SET id = -id WHERE id = %d; UPDATE accounts SET id = -id WHERE id = -%d; COMMIT", a, a)
		case 1: // and is made anew
			q = fmt.Sprintf("USE shop; REPLACE INTO accounts (id, balance, note) SELECT id, balance, 'again' FROM accounts WHERE id = %d FOR UPDATE", a)
		case 2:
			q = fmt.Sprintf("USE shop; BEGIN; UPDATE accounts SET balance = 0 WHERE id = %d; DELETE FROM ledger LIMIT 3; ROLLBACK", a)
		}
		c, err := s.DB().Conn(context.Background())
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if _, err := c.ExecContext(context.Background(), q); err == nil {
			n.Add(1)
		} else {
			_, _ = c.ExecContext(context.Background(), "ROLLBACK")
		}
		_ = c.Close()
	}
}

// watchSums asks for sums that no transaction changes, and tells the first answer that is another.
func watchSums(url, sums, want string, stop chan struct{}, done *sync.WaitGroup, asked *atomic.Int64, bad chan<- string) {
	defer done.Done()
	var c *pgx.Conn
	defer func() {
		if c != nil {
			_ = c.Close(context.Background())
		}
	}()
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		if c == nil || c.IsClosed() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			c, _ = pgx.Connect(ctx, url)
			cancel()
			continue
		}
		got, err := query(c, sums)
		if err != nil {
			continue // the server was killed
		}
		asked.Add(1)
		if len(got) != 1 || got[0] != want {
			bad <- strings.Join(got, "; ")
			return
		}
	}
}

// TestMySQLUnloggedDDL changes a table behind the log's back: the stream finds out in the middle of a transaction that has touched another table
// before. Nobody sees a part of it, and nothing hangs.
func TestMySQLUnloggedDDL(t *testing.T) {
	w := newMyWorld(t)
	w.there("CREATE TABLE a (id INT PRIMARY KEY, n INT)", "CREATE TABLE b (id INT PRIMARY KEY, n INT)", "INSERT INTO a VALUES (1, 0)", "INSERT INTO b VALUES (1, 0)")
	exec(t, w.here, "CREATE SOURCE src WITH ("+w.options()+")")
	for _, name := range []string{"a", "b"} {
		exec(t, w.here, "CREATE TABLE "+name+" (*) FROM src TABLE 'shop."+name+"'")
	}
	w.there("SET SESSION sql_log_bin = 0; ALTER TABLE b ADD COLUMN more INT; SET SESSION sql_log_bin = 1",
		"BEGIN; UPDATE a SET n = 1; INSERT INTO a SELECT seq + 1, 1 FROM seq_1_to_3000; UPDATE b SET n = 1, more = 5; COMMIT")
	exec(t, w.here, "CREATE TABLE own (id int PRIMARY KEY)")
	eventually(t, w.here, "SELECT (SELECT sum(n) FROM a), (SELECT n FROM b), (SELECT more FROM b)", "3001|1|5")
	w.there("BEGIN; UPDATE a SET n = 2; UPDATE b SET n = 2; COMMIT")
	eventually(t, w.here, "SELECT (SELECT sum(n) FROM a), (SELECT n FROM b), (SELECT more FROM b)", "6002|2|5")
}
