package kafkatest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// query runs a statement on a connection of its own and returns its rows as text, columns joined by '|'.
func query(s *harness.Server, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	return queryOn(ctx, c, sql)
}

func queryOn(ctx context.Context, c *pgx.Conn, sql string) ([]string, error) {
	res := c.PgConn().Exec(ctx, sql)
	all, err := res.ReadAll()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range all {
		for _, row := range r.Rows {
			vals := make([]string, len(row))
			for i, v := range row {
				if vals[i] = string(v); v == nil {
					vals[i] = "NULL"
				}
			}
			out = append(out, strings.Join(vals, "|"))
		}
	}
	return out, nil
}

// run executes statements that must succeed.
func run(t testing.TB, s *harness.Server, sql string) {
	t.Helper()
	if _, err := query(s, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// expect runs a query that must return the rows given.
func expect(t testing.TB, s *harness.Server, sql string, want ...string) {
	t.Helper()
	got, err := query(s, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s\nyields\n%s\nnot\n%s", sql, g, w)
	}
}

// await repeats a query until it returns the rows given.
func await(t testing.TB, s *harness.Server, within time.Duration, sql string, want ...string) {
	t.Helper()
	eventually(t, within, sql, func() error {
		got, err := query(s, sql)
		if err != nil {
			return err
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			return fmt.Errorf("it yields\n%s\nnot\n%s", g, w)
		}
		return nil
	})
}

// bidSource is the README's statement.
func bidSource(b *Broker, name, topic string) string {
	return fmt.Sprintf(`CREATE SOURCE %s (id BIGINT, auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
		date_time TIMESTAMP, extra VARCHAR)
		WITH (connector = 'kafka', topic = '%s', properties.bootstrap.server = '%s', scan.startup.mode = 'earliest')
		FORMAT PLAIN ENCODE JSON`, name, topic, b.Addr())
}
