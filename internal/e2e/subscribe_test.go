package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// live is a relation as COPY (SUBSCRIBE …) TO STDOUT makes it, starting from nothing. One goroutine copies; mu guards the rest.
type live struct {
	name string
	done chan struct{} // closed when the COPY has ended

	mu       sync.Mutex
	rows     map[string]int64
	complete int64 // mz_timestamp below which all has come
	lines    int
	bad      string
	err      error
	each     func(at int64, rows []string) string
}

// follow copies, on a connection of its own, until that ends. The output has progress.
func (l *live) follow(t *testing.T, url, subscribe string) *pgconn.PgConn {
	t.Helper()
	l.done = make(chan struct{})
	c, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); <-l.done })
	r, w := io.Pipe()
	go func() {
		_, err := c.CopyTo(ctx, w, "COPY ("+subscribe+") TO STDOUT")
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
		_ = c.Close(ctx)
		w.Close()
	}()
	go func() { // whoever looks at done waits for both
		defer close(l.done)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.take(s.Text())
		}
	}()
	return c
}

func (l *live) take(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := strings.SplitN(line, "\t", 4)
	at, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil || at < l.complete {
		l.bad = fmt.Sprintf("%s: %q when all below %d was complete", l.name, line, l.complete)
	}
	l.lines++
	if f[1] == "f" {
		n, _ := strconv.ParseInt(f[2], 10, 64)
		row := strings.ReplaceAll(strings.ReplaceAll(f[3], "\t", "|"), `\N`, "∅")
		if l.rows[row] += n; l.rows[row] == 0 {
			delete(l.rows, row)
		}
		return
	}
	l.complete = at
	for row, n := range l.rows {
		if n < 0 {
			l.bad = fmt.Sprintf("%s at %d: %d times %q", l.name, at, n, row)
		}
	}
	if l.each != nil {
		if bad := l.each(at, l.contentsLocked()); bad != "" {
			l.bad = bad
		}
	}
}

func (l *live) contentsLocked() []string {
	var out []string
	for r, n := range l.rows {
		for range n {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// settle waits until the relation is what a query says.
func (l *live) settle(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	want := rows(t, c, sql)
	deadline := time.Now().Add(15 * time.Second)
	for {
		l.mu.Lock()
		got, bad, err := l.contentsLocked(), l.bad, l.err
		l.mu.Unlock()
		if bad != "" {
			t.Fatal(bad)
		}
		if slices.Equal(want, got) {
			return
		}
		if time.Now().After(deadline) || err != nil {
			t.Fatalf("%s: %v\n%s", l.name, err, diff(want, got))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// markerOf returns what the marker row says in a state of table item.
func markerOf(rows []string) string {
	for _, r := range rows {
		if m, ok := strings.CutPrefix(r, "-1|"); ok {
			return m
		}
	}
	return ""
}

// TestSubscribeIsTheRelation: what SUBSCRIBE gives of tables, views and queries, applied to nothing, is the relation at each
// timestamp, from whatever moment; after a kill a client goes on AS OF the last complete timestamp.
func TestSubscribeIsTheRelation(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	rng := newRand(t, 271)
	exec(t, c, `CREATE TABLE item (id bigint PRIMARY KEY, v bigint, name text);
		CREATE TABLE bag (v bigint, name text);
		CREATE MATERIALIZED VIEW by_v AS SELECT v % 7 AS m, count(*) AS n, max(name) AS high FROM item GROUP BY v % 7;
		CREATE SUBSCRIPTION item_sub FROM item WITH (retention = '1 hour');
		INSERT INTO item VALUES (-1, 0, 'marker')`)
	var mu sync.Mutex
	states := map[string][]string{"0|marker": {"-1|0|marker"}}
	next := 0
	write := func(w *pgx.Conn) error {
		next++
		k := rng.IntN(40)
		sql := []string{
			fmt.Sprintf("INSERT INTO item SELECT g, %d, 'n%d' FROM generate_series(%d, %d) g ON CONFLICT (id) DO UPDATE SET v = excluded.v", next, next, k, k+rng.IntN(9)),
			fmt.Sprintf("DELETE FROM item WHERE id BETWEEN %d AND %d", k, k+rng.IntN(20)),
			fmt.Sprintf("UPDATE item SET v = v + 1 WHERE id BETWEEN %d AND %d", k, k+rng.IntN(30)),
			fmt.Sprintf("INSERT INTO bag SELECT g %% 3, 'b' FROM generate_series(1, %d) g", 1+rng.IntN(8)),
			fmt.Sprintf("UPDATE bag SET v = v + 1 WHERE v = %d", rng.IntN(4)),
			fmt.Sprintf("DELETE FROM bag WHERE v = %d", rng.IntN(5)),
		}[rng.IntN(6)]
		if err := try(w, fmt.Sprintf("BEGIN; %s; UPDATE item SET v = %d WHERE id = -1; COMMIT", sql, next)); err != nil {
			return err
		}
		all, err := query(w, "SELECT id, v, name FROM item")
		mu.Lock()
		defer mu.Unlock()
		states[markerOf(all)] = all
		return err
	}
	check := func(at int64, rows []string) string {
		mu.Lock()
		defer mu.Unlock()
		m := markerOf(rows)
		if want, ok := states[m]; ok && !slices.Equal(want, rows) { // not ok: the writer has not looked yet
			return fmt.Sprintf("item at %d, marker %q:\n%s", at, m, diff(want, rows))
		}
		return ""
	}
	kinds := []struct{ name, subscribe, sql string }{
		{"item", "SUBSCRIBE item", "SELECT * FROM item"},
		{"whole", "SUBSCRIBE TO (SELECT * FROM item)", "SELECT * FROM item"},
		{"bag", "SUBSCRIBE TO bag", "SELECT * FROM bag"},
		{"by_v", "SUBSCRIBE by_v", "SELECT * FROM by_v"},
		{"groups", "SUBSCRIBE TO (SELECT name, count(*), sum(v) FROM item GROUP BY name)", "SELECT name, count(*), sum(v) FROM item GROUP BY name"},
		{"join", "SUBSCRIBE TO (SELECT i.id, b.v, b.name FROM item i JOIN bag b ON i.id = b.v)", "SELECT i.id, b.v, b.name FROM item i JOIN bag b ON i.id = b.v"},
		{"over a view", "SUBSCRIBE TO (SELECT m, n + 1 FROM by_v WHERE n > 1)", "SELECT m, n + 1 FROM by_v WHERE n > 1"},
		{"constant", "SUBSCRIBE TO (SELECT 1 AS one)", "SELECT 1"},
	}
	last := &live{name: "item resumed"}
	for round := range rounds(3, 12) {
		w := s.Conn()
		var all []*live
		for i, k := range kinds {
			l := &live{name: k.name, rows: map[string]int64{}}
			if i < 2 {
				l.each = check
			}
			l.follow(t, s.URL(), k.subscribe+" WITH (PROGRESS)")
			all = append(all, l)
			for range 2 {
				if err := write(w); err != nil {
					t.Fatal(err)
				}
			}
		}
		if round > 0 { // from where the last round was killed
			last.follow(t, s.URL(), fmt.Sprintf("SUBSCRIBE item WITH (PROGRESS) AS OF %d", last.complete-1))
			all = append(all, last)
		}
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			if err := write(w); err != nil {
				t.Fatal(err)
			}
		}
		for i, l := range all {
			l.settle(t, w, append(kinds, kinds[0])[i].sql)
		}
		first := all[0]
		s.Kill()
		for _, l := range all {
			<-l.done
		}
		if round == 0 {
			last.rows, last.complete, last.each = first.rows, first.complete, check
		}
		last.err = nil
		s.Start()
	}
	if last.lines < 20 {
		t.Errorf("the resumed client saw %d lines only", last.lines)
	}
}

// subscribers waits until the server knows of so many.
func subscribers(t *testing.T, c *pgx.Conn, n int, within time.Duration) {
	t.Helper()
	eventually(t, c, "SELECT count(*) FROM millrace_catalog.subscribers", []string{fmt.Sprint(n)}, within)
}

// TestSubscribeEnds: a cancel request, a client that is gone, DROP and CLOSE end what was followed, and leave nothing behind.
func TestSubscribeEnds(t *testing.T) {
	n := harness.NewNode(t)
	c := n.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g")
	const query = "SUBSCRIBE TO (SELECT v % 10, count(*) FROM t GROUP BY v % 10) WITH (PROGRESS)"
	for _, subscribe := range []string{"SUBSCRIBE t WITH (PROGRESS)", query} {
		// Ctrl-C.
		l := &live{name: subscribe, rows: map[string]int64{}}
		f := l.follow(t, n.URL(), subscribe)
		subscribers(t, c, 1, 5*time.Second)
		eventually(t, c, "SELECT epoch > 0 FROM millrace_catalog.subscribers", []string{"t"}, 10*time.Second)
		began := time.Now()
		if err := f.CancelRequest(context.Background()); err != nil {
			t.Fatal(err)
		}
		<-l.done
		subscribers(t, c, 0, 5*time.Second)
		took := time.Since(began)
		t.Logf("%s: cancelled after %v", subscribe, took)
		if took > time.Second {
			t.Errorf("%s: cancelled after %v", subscribe, took)
		}
		// Nobody is there any more.
		nc := rawCopy(t, n.URL(), "", subscribe)
		subscribers(t, c, 1, 5*time.Second)
		time.Sleep(100 * time.Millisecond)
		began = time.Now()
		nc.Close()
		subscribers(t, c, 0, 5*time.Second)
		took = time.Since(began)
		t.Logf("%s: gone after %v", subscribe, took)
		if took > time.Second {
			t.Errorf("%s: gone after %v", subscribe, took)
		}
		// CLOSE, and the end of the transaction.
		exec(t, c, "DECLARE a CURSOR FOR "+subscribe)
		exec(t, c, "BEGIN; DECLARE b CURSOR FOR "+subscribe)
		subscribers(t, c, 2, 0)
		exec(t, c, "ROLLBACK")
		subscribers(t, c, 1, 0)
		exec(t, c, "CLOSE a")
		subscribers(t, c, 0, 0)
	}
	exec(t, c, "DECLARE a CURSOR FOR SUBSCRIBE t; DECLARE b CURSOR FOR "+query)
	d := n.Conn()
	exec(t, d, "DROP TABLE t")
	for _, name := range []string{"a", "b"} {
		if err := try(c, "FETCH 1 FROM "+name); code(err) != "42P01" {
			t.Errorf("%s: %v", name, err)
		}
	}
	exec(t, c, "CLOSE ALL")
	exec(t, c, "CREATE TABLE u (a int); INSERT INTO u VALUES (1)") // epochs go on
	if got := one(t, c, "SELECT count(*) FROM u"); got != "1" {
		t.Errorf("u has %s rows", got)
	}
	subscribers(t, c, 0, 0)
}

// rawCopy starts a COPY on a connection of its own, of which nothing is read after the first message of data.
func rawCopy(t *testing.T, url, settings, subscribe string) net.Conn {
	t.Helper()
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := pgconn.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if settings != "" {
		if _, err := pc.Exec(context.Background(), settings).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	h, err := pc.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	h.Frontend.Send(&pgproto3.Query{String: "COPY (" + subscribe + ") TO STDOUT"})
	if err := h.Frontend.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := h.Frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(*pgproto3.CopyData); ok {
			return h.Conn
		}
	}
}

// TestSlowSubscriber: a client that does not read holds nothing up and takes no memory beyond its limit. It is told, with the
// last timestamp that it has complete; from there a subscription lets it go on.
func TestSlowSubscriber(t *testing.T) {
	n := harness.NewNode(t)
	c := n.Conn()
	exec(t, c, "CREATE TABLE t (id int, pad text) APPEND ONLY; INSERT INTO t VALUES (0, '')")
	exec(t, c, "CREATE SUBSCRIPTION sub FROM t WITH (retention = '1 hour')")
	nc := rawCopy(t, n.URL(), "SET subscribe_memory = '500kB'", "SUBSCRIBE t WITH (PROGRESS)")
	const each, batches = 5000, 12 // 24 MB
	for i := range batches {
		began := time.Now()
		exec(t, c, fmt.Sprintf("INSERT INTO t SELECT g, repeat('x', 400) FROM generate_series(%d, %d) g", i*each+1, (i+1)*each))
		exec(t, c, "CHECKPOINT")
		if d := time.Since(began); d > 10*time.Second {
			t.Fatalf("an INSERT took %v", d)
		}
	}
	eventually(t, c, "SELECT waiting_bytes, error FROM millrace_catalog.subscribers", []string{"0|the client is too slow"}, 10*time.Second)
	if err := nc.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fe := pgproto3.NewFrontend(nc, nc)
	seen, complete := 0, int64(0)
	var failed *pgproto3.ErrorResponse
	for failed == nil {
		m, err := fe.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			f := bytes.Split(m.Data, []byte("\t"))
			if string(f[1]) == "f" {
				seen++
			}
			at, _ := strconv.ParseInt(string(f[0]), 10, 64)
			complete = max(complete, at)
		case *pgproto3.ErrorResponse:
			failed = m
		}
	}
	if failed.Code != "54000" || !strings.Contains(failed.Detail, "last complete timestamp is ") {
		t.Fatalf("the client was told %+v", failed)
	}
	at, err := strconv.ParseInt(strings.TrimSuffix(failed.Detail[strings.LastIndex(failed.Detail, " ")+1:], "."), 10, 64)
	if err != nil || at < complete-1 {
		t.Errorf("last complete timestamp %d, the client saw up to %d", at, complete)
	}
	if seen >= each*batches {
		t.Errorf("the client got all of it")
	}
	exec(t, c, fmt.Sprintf("DECLARE rest CURSOR FOR SUBSCRIBE t AS OF %d", at))
	if rest := len(rows(t, c, "FETCH 1000000 FROM rest")); seen+rest < each*batches || seen+rest > each*batches+1 { // it may have had the first row
		t.Errorf("%d rows, and %d from timestamp %d on", seen, rest, at)
	}
}

// TestManySubscribers: a hundred clients see each change.
func TestManySubscribers(t *testing.T) {
	const clients = 100
	n := harness.NewNode(t)
	c := n.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, v int)")
	var all []*live
	for i := range clients {
		l := &live{name: fmt.Sprint("client ", i), rows: map[string]int64{}}
		sub := "SUBSCRIBE t WITH (PROGRESS)"
		if i%10 == 0 {
			sub = "SUBSCRIBE TO (SELECT id, v FROM t WHERE id > 0) WITH (PROGRESS)"
		}
		l.follow(t, n.URL(), sub)
		all = append(all, l)
	}
	for i := range 50 {
		exec(t, c, fmt.Sprintf("INSERT INTO t SELECT g, %d FROM generate_series(%d, %d) g", i, i*10+1, i*10+10))
		exec(t, c, fmt.Sprintf("UPDATE t SET v = v + 1 WHERE id %% 7 = %d", i%7))
	}
	for _, l := range all {
		l.settle(t, c, "SELECT * FROM t")
	}
	subscribers(t, c, clients, 0)
}

// TestSubscribeForms: the envelope, UP TO, formats of COPY, a cursor's FETCH, and where a query can begin.
func TestSubscribeForms(t *testing.T) {
	n := harness.NewNode(t)
	c, w := n.Conn(), n.Conn()
	exec(t, c, "CREATE TABLE t (v text, id int PRIMARY KEY); INSERT INTO t VALUES ('a', 1), ('b', 2)")
	exec(t, c, "CREATE SUBSCRIPTION sub FROM t WITH (retention = '1 hour')")
	exec(t, c, "BEGIN; DECLARE u CURSOR FOR SUBSCRIBE t ENVELOPE UPSERT (KEY (id)); DECLARE k CURSOR FOR SUBSCRIBE TO (SELECT id % 2 AS odd, v FROM t) ENVELOPE UPSERT (KEY (odd))")
	strip := func(lines []string) []string {
		for i, l := range lines {
			lines[i] = l[strings.Index(l, "|")+1:]
		}
		return lines
	}
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(strip(got), want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("upserts", rows(t, c, "FETCH ALL u"), "upsert|1|a", "upsert|2|b")
	exec(t, w, "UPDATE t SET v = 'c' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES ('d', 3), ('e', 5)")
	got, err := inOrder(c, "FETCH 4 u WITH (timeout = '10s')")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(strip(got))
	if w := []string{"delete|2|∅", "upsert|1|c", "upsert|3|d", "upsert|5|e"}; !slices.Equal(got, w) {
		t.Errorf("upserts: %q", got)
	}
	if got := strings.Join(rows(t, c, "FETCH 5 k WITH (timeout = '3s')"), " "); !strings.Contains(got, "key_violation|1|∅") {
		t.Errorf("two rows of a key: %s", got)
	}
	began := time.Now()
	if got := rows(t, c, "FETCH ALL u WITH (timeout = '300ms')"); len(got) != 0 || time.Since(began) < 300*time.Millisecond {
		t.Errorf("nothing to fetch: %q after %v", got, time.Since(began))
	}
	exec(t, c, "COMMIT")

	first := rows(t, c, "SELECT complete_after FROM millrace_catalog.subscriptions")[0]
	until := fmt.Sprint(time.Now().UnixMilli() + 1_000_000)
	var csv, bin bytes.Buffer
	now := time.Now().UnixMilli() + 50
	time.Sleep(60 * time.Millisecond)
	exec(t, w, "INSERT INTO t VALUES ('last', 9); CHECKPOINT")
	if _, err := c.PgConn().CopyTo(context.Background(), &csv, fmt.Sprintf("COPY (SUBSCRIBE t AS OF %s UP TO %d) TO STDOUT WITH (FORMAT csv, HEADER)", first, now)); err != nil {
		t.Fatal(err)
	}
	if got := csv.String(); !strings.HasPrefix(got, "mz_timestamp,mz_diff,v,id\n") || strings.Count(got, "\n") != 5+1 || strings.Contains(got, "last") {
		t.Errorf("csv: %s", got)
	}
	if _, err := c.PgConn().CopyTo(context.Background(), &bin, fmt.Sprintf("COPY (SUBSCRIBE t AS OF %s UP TO %d) TO STDOUT WITH (FORMAT binary)", first, now)); err != nil {
		t.Fatal(err)
	}
	b := bin.Bytes()
	if !bytes.HasPrefix(b, []byte("PGCOPY\n\xff\r\n\x00")) || !bytes.HasSuffix(b, []byte{0xff, 0xff}) || binary.BigEndian.Uint16(b[19:]) != 4 || binary.BigEndian.Uint32(b[21:]) != 8 {
		t.Errorf("binary: %x", b)
	}
	for _, bad := range []struct{ sql, code string }{
		{"SUBSCRIBE t AS OF 17", "55000"},
		{"SUBSCRIBE TO (SELECT id FROM t) AS OF 17", "55000"},
		{"SUBSCRIBE t WITH (SNAPSHOT) AS OF " + until, "0A000"},
		{"SUBSCRIBE t WITH (colour = 'red')", "22023"},
		{"SUBSCRIBE t ENVELOPE UPSERT (KEY (nothing))", "42703"},
		{"SUBSCRIBE nothing", "42P01"},
		{"SUBSCRIBE TO (SELECT * FROM nothing)", "42P01"},
		{"SUBSCRIBE pg_class", "42P01"},
		{"DECLARE s SCROLL CURSOR FOR SUBSCRIBE t", "42P11"},
	} {
		if err := try(c, bad.sql); code(err) != bad.code {
			t.Errorf("%s: %v", bad.sql, err)
		}
	}
	err = try(c, "SUBSCRIBE t AS OF 17")
	var e *pgconn.PgError
	if !errors.As(err, &e) || !strings.Contains(e.Detail, first) {
		t.Errorf("the oldest is %s: %+v", first, e)
	}
}
