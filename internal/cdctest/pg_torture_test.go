package cdctest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgbench is the program that comes with the server.
const pgbench = "/usr/lib/postgresql/15/bin/pgbench"

// kept are sums that every transaction of pgbench keeps: each is 0 in every state that ever was.
const kept = `SELECT (SELECT sum(abalance) FROM pgbench_accounts) - (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT sum(tbalance) FROM pgbench_tellers) - (SELECT sum(bbalance) FROM pgbench_branches),
	(SELECT sum(bbalance) FROM pgbench_branches) - (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT coalesce(sum(n * sign), 0) FROM pairs)`

// pgTables are the tables of the torture and how the rows of each are compared; "*" would show columns in another order.
var pgTables = []string{"pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history", "pairs", "things", "bag"}

const pgView = `SELECT t.tid, count(*) AS n, sum(h.delta) AS moved, max(t.tbalance) AS balance FROM pgbench_tellers t JOIN pgbench_history h ON h.tid = t.tid GROUP BY t.tid`

// TestPostgresTorture lets pgbench and others work on a PostgreSQL while either side is killed, connections are cut and columns change.
// Sums that each transaction keeps are never seen broken; at the end all is equal.
func TestPostgresTorture(t *testing.T) {
	if _, err := os.Stat(pgbench); err != nil {
		t.Skip("there is no " + pgbench)
	}
	rng := newRand(t, 7)
	w := newPgWorld(t)
	w.bench("-i", "-q", "-s", "1")
	exec(t, w.there, `ALTER TABLE pgbench_history REPLICA IDENTITY FULL;
		CREATE TABLE pairs (k int, sign int, n int, PRIMARY KEY (sign, k)) PARTITION BY LIST (sign);
		CREATE TABLE pairs_plus PARTITION OF pairs FOR VALUES IN (1); CREATE TABLE pairs_minus PARTITION OF pairs FOR VALUES IN (-1);
		INSERT INTO pairs SELECT k, s, 0 FROM generate_series(1, 200) k, unnest('{1,-1}'::int[]) s;
		CREATE TABLE things (id text PRIMARY KEY, doc jsonb, long text, n numeric, tags text[]);
		ALTER TABLE things ALTER long SET STORAGE EXTERNAL;
		CREATE TABLE bag (a int, b text);
		ALTER TABLE bag REPLICA IDENTITY FULL`)
	exec(t, w.here, "CREATE SOURCE src WITH ("+w.options()+")")
	load := w.startLoad(rng.Uint64())
	for _, name := range pgTables { // while pgbench runs
		exec(t, w.here, fmt.Sprintf("CREATE TABLE %s (*) FROM src TABLE 'public.%s'", name, name))
	}
	exec(t, w.here, "CREATE MATERIALIZED VIEW moved AS "+pgView)
	eventually(t, w.here, "SELECT count(*) FROM millrace_catalog.captured_tables WHERE phase <> 'live'", "0")
	checker := w.startChecker()

	d := &pgDisturber{w: w, rng: rng}
	for range disturbances(8, 150) {
		time.Sleep(time.Duration(300+rng.IntN(1200)) * time.Millisecond)
		d.disturb()
	}
	checks := checker()
	transactions := load()
	defer w.status()
	t.Logf("%d transactions of pgbench, %d looks at the sums, disturbances: %s", transactions, checks, strings.Join(d.did, ", "))
	if transactions == 0 || checks == 0 {
		t.Error("nothing has happened")
	}
	w.caughtUp()
	for _, name := range pgTables {
		cols := strings.Join(rowsOf(t, w.there, "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '"+name+"'::regclass AND attnum > 0 AND NOT attisdropped"), ", ")
		same(t, w.there, w.here, "SELECT "+cols+" FROM "+name, "SELECT "+cols+" FROM "+name)
	}
	same(t, w.there, w.here, pgView, "SELECT tid, n, moved, balance FROM moved")
	if v := rowsOf(t, w.here, "VERIFY MATERIALIZED VIEW moved"); len(v) > 1 {
		t.Errorf("VERIFY: %v", v)
	}
}

// bench runs pgbench to its end.
func (w *pgWorld) bench(args ...string) string {
	cmd := osexec.Command(pgbench, append([]string{"-h", w.pg.Host, "-U", "root"}, append(args, "postgres")...)...)
	out, _ := cmd.CombinedOutput() // it fails when the server is killed
	return string(out)
}

// startLoad runs pgbench and other clients until the function that it returns is called, which gives how many transactions pgbench made.
func (w *pgWorld) startLoad(seed uint64) func() int {
	var stop atomic.Bool
	var wg sync.WaitGroup
	transactions := 0
	wg.Go(func() {
		for !stop.Load() {
			out := w.bench("-c", "4", "-T", "2", "-n")
			var n int
			if _, after, ok := strings.Cut(out, "transactions actually processed: "); ok {
				_, _ = fmt.Sscan(after, &n)
			}
			transactions += n
		}
	})
	wg.Go(func() { w.scribble(rand.New(rand.NewPCG(seed, 2)), &stop) })
	return func() int {
		stop.Store(true)
		wg.Wait()
		return transactions
	}
}

// scribble changes the tables that pgbench does not know.
func (w *pgWorld) scribble(rng *rand.Rand, stop *atomic.Bool) {
	ctx := context.Background()
	var c *pgx.Conn
	for n := 0; !stop.Load(); n++ {
		if c == nil {
			var err error
			if c, err = pgx.Connect(ctx, "host="+w.pg.Host+" dbname=postgres user=root"); err != nil {
				c = nil
				time.Sleep(50 * time.Millisecond)
				continue
			}
		}
		if _, err := c.Exec(ctx, scribbled(rng, n)); err != nil && c.IsClosed() {
			c = nil
		}
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
	if c != nil {
		_ = c.Close(ctx)
	}
}

// scribbled is a transaction.
func scribbled(rng *rand.Rand, n int) string {
	k := 1 + rng.IntN(200)
	id := fmt.Sprintf("'thing %d'", rng.IntN(60))
	switch rng.IntN(12) {
	case 0, 1:
		return fmt.Sprintf("BEGIN; UPDATE pairs SET n = n + %d WHERE k = %d AND sign = 1; UPDATE pairs SET n = n + %d WHERE k = %d AND sign = -1; COMMIT", n, k, n, k)
	case 2: // rows that move between partitions
		return fmt.Sprintf("BEGIN; DELETE FROM pairs WHERE k = %d; INSERT INTO pairs VALUES (%d, 1, %d), (%d, -1, %d); COMMIT", k, k, n, k, n)
	case 3, 4:
		return fmt.Sprintf(`INSERT INTO things VALUES (%s, '{"n": %d}', repeat('long %d ', %d), %d.50, '{a,NULL,"b c"}') ON CONFLICT (id) DO UPDATE SET n = things.n + 1`, id, n, n, 500+rng.IntN(2000), n)
	case 5:
		return fmt.Sprintf("UPDATE things SET n = n + 1 WHERE id = %s", id) // long stays where it is
	case 6:
		return fmt.Sprintf("UPDATE things SET id = id || '+' WHERE id = %s", id)
	case 7:
		return fmt.Sprintf("DELETE FROM things WHERE id LIKE %s || '%%'", id)
	case 8:
		return fmt.Sprintf("INSERT INTO bag SELECT %d %% 7, 'x' FROM generate_series(1, %d)", n, rng.IntN(30))
	case 9:
		return fmt.Sprintf("UPDATE bag SET b = b || 'y' WHERE a = %d AND length(b) < 5", rng.IntN(7))
	case 10:
		return fmt.Sprintf("DELETE FROM bag WHERE a = %d", rng.IntN(7))
	}
	return fmt.Sprintf("BEGIN; INSERT INTO bag VALUES (1, 'never'); SAVEPOINT s; INSERT INTO things (id) VALUES ('never %d'); ROLLBACK TO s; UPDATE things SET n = 1 WHERE id = %s; ROLLBACK", n, id)
}

// startChecker looks at the sums all the time. The function that it returns ends that, and says how often.
func (w *pgWorld) startChecker() func() int {
	var stop atomic.Bool
	var wg sync.WaitGroup
	checks := 0
	wg.Go(func() {
		ctx := context.Background()
		var c *pgx.Conn
		for !stop.Load() {
			if c == nil {
				var err error
				if c, err = pgx.Connect(ctx, w.mr.URL()); err != nil {
					c = nil
					time.Sleep(50 * time.Millisecond)
					continue
				}
			}
			got, err := query(c, kept)
			switch {
			case err == nil && (len(got) != 1 || got[0] != "0|0|0|0"):
				w.t.Errorf("the sums that every transaction keeps are %v", got)
				return
			case err == nil:
				checks++
			case c.IsClosed():
				c = nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		if c != nil {
			_ = c.Close(ctx)
		}
	})
	return func() int {
		stop.Store(true)
		wg.Wait()
		return checks
	}
}

// pgDisturber does harm.
type pgDisturber struct {
	w   *pgWorld
	rng *rand.Rand
	did []string
	n   int
}

func (d *pgDisturber) disturb() {
	w := d.w
	d.n++
	what := d.rng.IntN(8)
	if d.n <= 8 {
		what = d.n % 8 // each once
	}
	switch what {
	case 0, 1:
		d.did = append(d.did, "kill")
		w.mr.Kill()
		time.Sleep(time.Duration(d.rng.IntN(500)) * time.Millisecond)
		w.mr.Start()
		w.here = w.mr.Conn()
	case 2:
		d.did = append(d.did, "restart upstream")
		w.pg.Quit()
		w.pg.MustStart(w.t)
		w.there = w.upstream()
	case 3:
		d.did = append(d.did, "cut")
		w.proxy.cut()
	case 4:
		d.did = append(d.did, "large transaction")
		d.try(fmt.Sprintf("BEGIN; DELETE FROM things WHERE id LIKE 'large %%'; INSERT INTO things SELECT 'large %d ' || g, '{}', repeat('x', 100), g FROM generate_series(1, 20000) g; UPDATE things SET n = -n WHERE id LIKE 'large %d %%'; "+
			"UPDATE pairs SET n = n + 5; COMMIT", d.n, d.n))
		w.proxy.cut() // in the middle of it, with luck
	case 5:
		d.did = append(d.did, "DDL")
		d.try(fmt.Sprintf("ALTER TABLE things ADD COLUMN extra%d int DEFAULT %d", d.n, d.n))
		d.try(fmt.Sprintf("ALTER TABLE bag ADD COLUMN more%d text", d.n))
		d.try("ALTER TABLE bag RENAME COLUMN b TO c")
		d.try("ALTER TABLE bag RENAME COLUMN c TO b")
	case 6:
		d.did = append(d.did, "DDL and rows in one transaction")
		d.try(fmt.Sprintf("BEGIN; INSERT INTO bag (a, b) VALUES (%d, 'old'); ALTER TABLE bag ADD COLUMN t%d int DEFAULT 3; INSERT INTO bag (a, b, t%d) VALUES (%d, 'new', 4); "+
			"ALTER TABLE things ALTER n TYPE numeric(20,3); UPDATE things SET n = n + 0.125; COMMIT", d.n, d.n, d.n, d.n))
	case 7:
		d.did = append(d.did, "truncate, and drop a column")
		d.try("BEGIN; TRUNCATE bag; INSERT INTO bag (a, b) VALUES (1, 'first'); COMMIT")
		for _, r := range rowsOf(w.t, w.there, "SELECT attname FROM pg_attribute WHERE attrelid = 'things'::regclass AND attname LIKE 'extra%' AND NOT attisdropped") {
			d.try("ALTER TABLE things DROP COLUMN " + r)
		}
	}
}

// try runs statements upstream; they may fail when something else is in the way.
func (d *pgDisturber) try(sql string) {
	if _, err := query(d.w.there, sql); err != nil {
		d.w.t.Logf("%s\n%v", sql, err)
		_, _ = query(d.w.there, "ROLLBACK")
	}
}

// status says, when the test has failed, how far both sides are.
func (w *pgWorld) status() {
	if !w.t.Failed() {
		return
	}
	for _, q := range []string{"SELECT name, phase, snapshot_rows, notes FROM millrace_catalog.captured_tables", "SHOW JOBS"} {
		out, err := query(w.here, q)
		w.t.Logf("%s: %v\n  %s", q, err, strings.Join(out, "\n  "))
	}
	out, err := query(w.there, `SELECT slot_name, active, wal_status, restart_lsn, confirmed_flush_lsn, pg_current_wal_lsn(),
		(SELECT string_agg(concat_ws(' ', r.state, sent_lsn, write_lsn, flush_lsn, wait_event), ',') FROM pg_stat_activity a JOIN pg_stat_replication r USING (pid)) FROM pg_replication_slots`)
	w.t.Logf("slots: %v\n  %s", err, strings.Join(out, "\n  "))
}

// caughtUp waits until everything that was committed upstream is here.
func (w *pgWorld) caughtUp() {
	w.t.Helper()
	exec(w.t, w.there, "INSERT INTO things (id, n) VALUES ('the end', 1)")
	w.progress("SELECT count(*) FROM things WHERE id = 'the end'", "1")
	eventually(w.t, w.here, "SELECT count(*) FROM millrace_catalog.captured_tables WHERE phase <> 'live'", "0")
	// The catalog is looked at once a second: what it shows is followed.
	for _, name := range []string{"things", "bag"} {
		cols := rowsOf(w.t, w.there, "SELECT attname FROM pg_attribute WHERE attrelid = '"+name+"'::regclass AND attnum > 0 AND NOT attisdropped")
		eventually(w.t, w.here, "SELECT column_name FROM information_schema.columns WHERE table_name = '"+name+"'", cols...)
	}
	time.Sleep(1500 * time.Millisecond)
	eventually(w.t, w.here, "SELECT count(*) FROM millrace_catalog.captured_tables WHERE phase <> 'live'", "0")
}

// progress waits for an answer for as long as the place in the log that is durable here moves on: how much there is to catch up with after a
// long run depends on the machine.
func (w *pgWorld) progress(sql, want string) {
	w.t.Helper()
	at, moved := "", time.Now()
	for time.Since(moved) < within {
		if got, err := query(w.here, sql); err == nil && slices.Equal(got, []string{want}) {
			return
		}
		if now := fmt.Sprint(rowsOf(w.t, w.there, "SELECT confirmed_flush_lsn FROM pg_replication_slots")); now != at {
			at, moved = now, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("%s\nis not %s, and what is durable of the log has been the same for %v: %s", sql, want, within, at)
}
