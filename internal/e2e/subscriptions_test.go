package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// followed is a relation as the changes of a subscription make it, starting from nothing.
type followed struct {
	t         testing.TB
	sub       string
	rows      map[string]int
	at, last  int64 // time of the last row applied, and of the last time known to be complete
	seen      int
	afterEach func(f *followed)
}

// apply takes rows as FETCH returns them: columns, op, rw_timestamp.
func (f *followed) apply(lines []string) {
	f.t.Helper()
	for _, l := range lines {
		parts := strings.Split(l, "|")
		n := len(parts)
		row, op := strings.Join(parts[:n-2], "|"), parts[n-2]
		ts, err := strconv.ParseInt(parts[n-1], 10, 64)
		if err != nil {
			f.t.Fatalf("%s: rw_timestamp %q", f.sub, parts[n-1])
		}
		if ts < f.at {
			f.t.Fatalf("%s: %d after %d", f.sub, ts, f.at)
		}
		if ts > f.at {
			f.complete()
			f.at = ts
		}
		f.seen++
		switch op {
		case "Insert", "UpdateInsert":
			f.rows[row]++
		case "Delete", "UpdateDelete":
			f.rows[row]--
		default:
			f.t.Fatalf("%s: op %q", f.sub, op)
		}
		if f.rows[row] == 0 {
			delete(f.rows, row)
		}
	}
}

// complete says that nothing more comes at the current time.
func (f *followed) complete() {
	f.t.Helper()
	if f.last == f.at {
		return
	}
	f.last = f.at
	for r, n := range f.rows {
		if n < 0 {
			f.t.Fatalf("%s at %d: %d times %q", f.sub, f.at, n, r)
		}
	}
	if f.afterEach != nil {
		f.afterEach(f)
	}
}

func (f *followed) contents() []string {
	var out []string
	for r, n := range f.rows {
		for range n {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// catchUp fetches in steps of random size until nothing more comes.
func (f *followed) catchUp(c *pgx.Conn, rng *rand.Rand, until func() bool) error {
	f.t.Helper()
	name := "follow_" + f.sub
	since := "begin()"
	if f.last > 0 {
		since = fmt.Sprint(f.last)
	}
	if err := try(c, fmt.Sprintf("DECLARE %s SUBSCRIPTION CURSOR FOR %s SINCE %s", name, f.sub, since)); err != nil {
		return err
	}
	defer func() { _ = try(c, "CLOSE "+name) }()
	for {
		n := []int{1, 3, 50, 5000}[rng.IntN(4)]
		lines, err := inOrder(c, fmt.Sprintf("FETCH %d FROM %s WITH (timeout = '20ms')", n, name))
		if err != nil {
			return err
		}
		f.apply(lines)
		if len(lines) < n {
			f.complete()
			if len(lines) == 0 && until() {
				return nil
			}
		}
	}
}

// TestSubscriptionOverKills: what the cursors of a subscription give, applied to nothing, is the relation at each
// rw_timestamp, whatever is written, and over kills at any moment: a client goes on after the last time that it has
// seen whole, and gets each change once.
func TestSubscriptionOverKills(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	rng := newRand(t, 4711)
	exec(t, c, `CREATE TABLE item (id bigint PRIMARY KEY, v bigint, name text);
		CREATE TABLE bag (v bigint, name text);
		CREATE MATERIALIZED VIEW by_v AS SELECT v % 7 AS m, count(*) AS n, max(name) AS high FROM item GROUP BY v % 7;
		CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS v FROM bag;
		CREATE MATERIALIZED VIEW pairs AS SELECT v, name FROM bag WHERE v % 2 = 0`)
	relations := []string{"item", "bag", "by_v", "total", "pairs"}
	states := map[string][]string{} // contents of item by its marker, the row with id -1
	var follow []*followed
	for _, r := range relations {
		exec(t, c, fmt.Sprintf("CREATE SUBSCRIPTION %s_sub FROM %s WITH (retention = '1 hour')", r, r))
		f := &followed{t: t, sub: r + "_sub", rows: map[string]int{}}
		if r == "item" {
			f.afterEach = func(f *followed) {
				marker := ""
				for row := range f.rows {
					if m, ok := strings.CutPrefix(row, "-1|"); ok {
						marker = m
					}
				}
				if want, got := states[marker], f.contents(); !slices.Equal(want, got) {
					t.Fatalf("item at %d, marker %q:\n%s", f.at, marker, diff(want, got))
				}
			}
		}
		if r == "total" { // it had a row when the subscription began
			f.rows["0|∅"] = 1
		}
		follow = append(follow, f)
	}
	note := func() {
		all := rows(t, c, "SELECT id, v, name FROM item")
		slices.Sort(all)
		for _, r := range all {
			if m, ok := strings.CutPrefix(r, "-1|"); ok {
				states[m] = all
			}
		}
	}
	next := 0
	write := func() error {
		next++
		k := rng.IntN(60)
		sql := []string{
			fmt.Sprintf("INSERT INTO item SELECT g, %d, 'n%d' FROM generate_series(%d, %d) g ON CONFLICT (id) DO UPDATE SET v = excluded.v", next, next, k, k+rng.IntN(9)),
			fmt.Sprintf("DELETE FROM item WHERE id BETWEEN %d AND %d", k, k+rng.IntN(20)),
			fmt.Sprintf("UPDATE item SET v = v + 1 WHERE id BETWEEN %d AND %d", k, k+rng.IntN(30)),
			fmt.Sprintf("UPDATE item SET id = id + 100 WHERE id = %d; DELETE FROM item WHERE id >= 100", k),
			fmt.Sprintf("INSERT INTO bag SELECT g %% 3, 'b' FROM generate_series(1, %d) g", 1+rng.IntN(8)),
			fmt.Sprintf("UPDATE bag SET v = v + 1 WHERE v = %d", rng.IntN(4)),
			fmt.Sprintf("DELETE FROM bag WHERE v = %d", rng.IntN(5)),
			fmt.Sprintf("INSERT INTO item VALUES (50, %d, 'x') ON CONFLICT DO NOTHING; DELETE FROM item WHERE id = 50", next),
		}[rng.IntN(8)]
		return try(c, fmt.Sprintf("BEGIN; %s; INSERT INTO item VALUES (-1, %d, 'marker') ON CONFLICT (id) DO UPDATE SET v = excluded.v; COMMIT", sql, next))
	}
	for round := range rounds(5, 30) {
		stop := time.Now().Add(400 * time.Millisecond)
		killed := make(chan struct{})
		if round > 0 {
			time.AfterFunc(time.Duration(rng.IntN(400))*time.Millisecond, func() { s.Kill(); close(killed) })
		} else {
			close(killed)
		}
		for time.Now().Before(stop) {
			if write() != nil {
				break
			}
			if all, err := query(c, "SELECT id, v, name FROM item"); err == nil {
				slices.Sort(all)
				for _, r := range all {
					if m, ok := strings.CutPrefix(r, "-1|"); ok {
						states[m] = all
					}
				}
			}
		}
		<-killed
		if round > 0 {
			s.Start()
			c = s.Conn()
		}
		note()
		exec(t, c, "CHECKPOINT")
		for i, f := range follow {
			want := rows(t, c, "SELECT * FROM "+relations[i])
			slices.Sort(want)
			until := time.Now().Add(10 * time.Second)
			err := f.catchUp(c, rng, func() bool { return slices.Equal(want, f.contents()) || time.Now().After(until) })
			if err != nil {
				t.Fatal(err)
			}
			if got := f.contents(); !slices.Equal(want, got) {
				t.Fatalf("round %d, %s:\n%s", round, f.sub, diff(want, got))
			}
		}
	}
	if follow[0].seen < 100 {
		t.Errorf("item changed %d times only", follow[0].seen)
	}
	// A cursor that begins with all rows ends up with the same.
	exec(t, c, "DECLARE whole SUBSCRIPTION CURSOR FOR item_sub FULL")
	snapshot := rows(t, c, "FETCH 100000 FROM whole")
	for i := range snapshot {
		snapshot[i] = strings.TrimSuffix(snapshot[i], "|Insert|∅")
	}
	slices.Sort(snapshot)
	if got := follow[0].contents(); !slices.Equal(got, snapshot) {
		t.Errorf("FULL: %s", diff(got, snapshot))
	}
}

// TestSubscriptionRetention: of two subscriptions each keeps what it says; a cursor that would miss changes is told, and
// the disk gets back what is too old.
func TestSubscriptionRetention(t *testing.T) {
	n := harness.NewNode(t)
	c := n.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, v int)")
	exec(t, c, "CREATE SUBSCRIPTION short FROM t WITH (retention = '1 second')")
	exec(t, c, "CREATE SUBSCRIPTION long FROM t WITH (retention = '1 day')")
	exec(t, c, "CREATE SUBSCRIPTION small FROM t WITH (retention = '1 day', retention_bytes = '20kB')")
	for _, sub := range []string{"short", "long", "small"} {
		exec(t, c, fmt.Sprintf("DECLARE %s_cur SUBSCRIPTION CURSOR FOR %s", sub, sub))
	}
	exec(t, c, "INSERT INTO t SELECT g, 0 FROM generate_series(1, 3000) g")
	exec(t, c, "CHECKPOINT")
	if got := rows(t, c, "FETCH 1 FROM short_cur WITH (timeout = '5s')"); len(got) != 1 {
		t.Fatalf("the first change: %v", got)
	}
	time.Sleep(1200 * time.Millisecond)
	exec(t, c, "UPDATE t SET v = 1 WHERE id = 1")
	exec(t, c, "CHECKPOINT")
	exec(t, c, "UPDATE t SET v = 2 WHERE id = 1") // the checkpoint after sees how much there is
	exec(t, c, "CHECKPOINT")
	for _, sub := range []string{"short", "small"} {
		_, err := query(c, fmt.Sprintf("FETCH 5000 FROM %s_cur", sub))
		if code(err) != "55000" || !strings.Contains(err.Error(), "no longer kept") {
			t.Errorf("%s_cur: %v", sub, err)
		}
		var e *pgconn.PgError
		if !errors.As(err, &e) || !strings.Contains(e.Hint, "Declare the cursor again") || !strings.Contains(e.Detail, "rw_timestamp") {
			t.Errorf("%s_cur: %+v", sub, e)
		}
		exec(t, c, fmt.Sprintf("CLOSE %s_cur; DECLARE %s_cur SUBSCRIPTION CURSOR FOR %s SINCE begin()", sub, sub, sub))
		if got := rows(t, c, fmt.Sprintf("FETCH 10000 FROM %s_cur", sub)); len(got) == 0 || len(got) > 4 {
			t.Errorf("%s_cur from the beginning: %d rows", sub, len(got))
		}
	}
	if got := rows(t, c, "FETCH 10000 FROM long_cur"); len(got) != 3004 {
		t.Errorf("long_cur: %d rows", len(got))
	}
	eventually(t, c, "SELECT name, rows < 10, size_bytes < 20000, oldest_rw_timestamp <= newest_rw_timestamp FROM millrace_catalog.subscriptions ORDER BY name",
		[]string{"long|f|f|t", "short|t|t|t", "small|t|t|t"}, 5*time.Second)
	if err := try(c, "DECLARE past SUBSCRIPTION CURSOR FOR short SINCE 1000"); code(err) != "55000" {
		t.Errorf("SINCE 1000: %v", err)
	}
	if err := try(c, "DECLARE future SUBSCRIPTION CURSOR FOR short SINCE 99999999999999"); code(err) != "22023" {
		t.Errorf("SINCE the future: %v", err)
	}
	n.Stop()
	n.Start()
	c = n.Conn()
	exec(t, c, "DECLARE again SUBSCRIPTION CURSOR FOR long SINCE begin()")
	if got := rows(t, c, "FETCH 10000 FROM again"); len(got) != 3004 {
		t.Errorf("after a restart: %d rows", len(got))
	}
}

// TestFetchWithTimeout: FETCH waits for a change as long as it may, returns with the first, and ends when it is cancelled.
func TestFetchWithTimeout(t *testing.T) {
	n := harness.NewNode(t)
	c, w := n.Conn(), n.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY)")
	exec(t, c, "CREATE SUBSCRIPTION sub FROM t WITH (retention = '1 day')")
	exec(t, c, "DECLARE cur SUBSCRIPTION CURSOR FOR sub")
	took := func(sql string) (int, time.Duration) {
		t.Helper()
		began := time.Now()
		got := rows(t, c, sql)
		return len(got), time.Since(began)
	}
	if got, d := took("FETCH NEXT FROM cur"); got != 0 || d > 500*time.Millisecond {
		t.Errorf("without a timeout: %d rows after %v", got, d)
	}
	if got, d := took("FETCH NEXT FROM cur WITH (timeout = '300ms')"); got != 0 || d < 300*time.Millisecond || d > 3*time.Second {
		t.Errorf("with one: %d rows after %v", got, d)
	}
	done := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { done <- try(w, "INSERT INTO t SELECT generate_series(1, 3)") })
	if got, d := took("FETCH 10 FROM cur WITH (timeout = '1 minute')"); got != 3 || d > 10*time.Second {
		t.Errorf("with a change: %d rows after %v", got, d)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	time.AfterFunc(200*time.Millisecond, cancel)
	_, err := c.Exec(ctx, "FETCH 10 FROM cur WITH (timeout = '1 minute')")
	if d := time.Since(began); err == nil || d > 5*time.Second {
		t.Errorf("cancelled: %v after %v", err, d)
	}
	eventually(t, w, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'FETCH%'", []string{"0"}, 2*time.Second)
}
