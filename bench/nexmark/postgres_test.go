package nexmark

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/bench/peer"
)

// tied makes a query's answer one: rows that it orders alike get an order of their own.
var tied = strings.NewReplacer(
	"PARTITION BY a.id, a.seller ORDER BY b.price DESC)", "PARTITION BY a.id, a.seller ORDER BY b.price DESC, b.date_time, b.bidder)",
	"PARTITION BY seller ORDER BY date_time ROWS", "PARTITION BY seller ORDER BY date_time, id ROWS",
	"ORDER BY b.price DESC, b.date_time)", "ORDER BY b.price DESC, b.date_time, b.bidder)",
	"PARTITION BY bidder, auction ORDER BY date_time DESC)", "PARTITION BY bidder, auction ORDER BY date_time DESC, price, extra)",
	"PARTITION BY auction ORDER BY price DESC)", "PARTITION BY auction ORDER BY price DESC, date_time, bidder, extra)",
)

// tumbling is a window of 10 s over a table, in PostgreSQL's terms.
func tumbling(table string) string {
	return "(SELECT *, date_bin('10 seconds', date_time, '1970-01-01') AS window_start, date_bin('10 seconds', date_time, '1970-01-01') + INTERVAL '10 seconds' AS window_end FROM " + table + ") w"
}

// plain replaces what PostgreSQL does not have.
var plain = strings.NewReplacer(
	"TUMBLE(bid, date_time, INTERVAL '10 seconds')", tumbling("bid"),
	"TUMBLE(person, date_time, INTERVAL '10 seconds')", tumbling("person"),
	"TUMBLE(auction, date_time, INTERVAL '10 seconds')", tumbling("auction"),
	"HOP(bid, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds')",
	`(SELECT b.*, s AS window_start, s + INTERVAL '10 seconds' AS window_end FROM bid b, generate_series(
	   date_bin('2 seconds', b.date_time, '1970-01-01') - INTERVAL '8 seconds', date_bin('2 seconds', b.date_time, '1970-01-01'), INTERVAL '2 seconds') s) w`,
	"SESSION(bid, date_time, INTERVAL '10 seconds' PARTITION BY bidder)",
	`(SELECT *, min(date_time) OVER (PARTITION BY bidder, session) AS window_start, max(date_time) OVER (PARTITION BY bidder, session) + INTERVAL '10 seconds' AS window_end
	  FROM (SELECT *, count(*) FILTER (WHERE fresh) OVER (PARTITION BY bidder ORDER BY date_time) AS session
	        FROM (SELECT *, date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time) >= INTERVAL '10 seconds' AS fresh FROM bid) x) y) w`,
	" FOR SYSTEM_TIME AS OF PROCTIME()", "",
)

// eventTables are the three kinds of events in PostgreSQL.
var eventTables = map[string]string{
	"person": "id bigint, name text, email_address text, credit_card text, city text, state text, date_time timestamp, extra text",
	"auction": `id bigint, item_name text, description text, initial_bid bigint, reserve bigint, date_time timestamp, expires timestamp,
		seller bigint, category bigint, extra text`,
	"bid": "auction bigint, bidder bigint, price bigint, channel text, url text, date_time timestamp, extra text",
}

// TestPostgresViews: each query, kept up to date while the events come, ends as what PostgreSQL answers over the same events.
func TestPostgresViews(t *testing.T) {
	if os.Getenv("MILLRACE_TEST_POSTGRES") == "" {
		t.Skip("MILLRACE_TEST_POSTGRES is not set: make test-postgres")
	}
	ctx := t.Context()
	connect := func(s *peer.Server, err error) *pgx.Conn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop() })
		c, err := pgx.Connect(ctx, s.DSN)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(ctx) })
		return c
	}
	ours, theirs := connect(peer.Millrace(ctx)), connect(peer.Postgres(ctx))
	exec := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	const events = 30_000
	exec(ours, source(Options{Events: events, EventRate: 1000, Seed: 11}))
	for _, sql := range views {
		exec(ours, sql)
	}
	for table := range eventTables {
		exec(ours, fmt.Sprintf("CREATE MATERIALIZED VIEW %s_rows AS SELECT * FROM %s", table, table))
	}
	for _, q := range queries {
		for _, sql := range q.setup {
			exec(ours, sql)
			exec(theirs, sql)
		}
		exec(ours, "CREATE MATERIALIZED VIEW "+q.name+" AS "+tied.Replace(q.sql))
	}
	count := func() (n int) {
		t.Helper()
		if err := ours.QueryRow(ctx, "SELECT (SELECT count(*) FROM person_rows) + (SELECT count(*) FROM auction_rows) + (SELECT count(*) FROM bid_rows)").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end := time.Now().Add(time.Minute); count() < events; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d events after a minute", count(), events)
		}
	}
	for table, columns := range eventTables {
		exec(theirs, fmt.Sprintf("CREATE TABLE %s (%s)", table, columns))
		var rows bytes.Buffer
		if _, err := ours.PgConn().CopyTo(ctx, &rows, "COPY (SELECT * FROM "+table+"_rows) TO STDOUT"); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.PgConn().CopyFrom(ctx, &rows, "COPY "+table+" FROM STDIN"); err != nil {
			t.Fatal(err)
		}
	}
	exec(theirs, "CREATE INDEX ON bid (auction)")
	exec(theirs, "ANALYZE")
	lines := func(c *pgx.Conn, sql string) []string {
		t.Helper()
		res, err := c.PgConn().Exec(ctx, sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var out []string
		for _, row := range res[0].Rows {
			out = append(out, string(bytes.Join(row, []byte("\t"))))
		}
		slices.Sort(out)
		return out
	}
	for _, q := range queries {
		want := lines(theirs, plain.Replace(tied.Replace(q.sql)))
		// Jobs are asked for one after the other: each has its own time to finish.
		var got []string
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if got = lines(ours, "SELECT * FROM "+q.name); slices.Equal(got, want) || time.Now().After(end) {
				break
			}
		}
		switch {
		case len(want) == 0:
			t.Errorf("%s: there are no rows, which proves nothing", q.name)
		case len(got) != len(want):
			t.Errorf("%s: %d rows, want %d", q.name, len(got), len(want))
		case !slices.Equal(got, want):
			k := 0
			for got[k] == want[k] {
				k++
			}
			t.Errorf("%s: row %q, want %q", q.name, got[k], want[k])
		}
	}
}
