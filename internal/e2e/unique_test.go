package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestUniqueKeys: sessions fight over few values of a unique column, with inserts, updates, deletes and ON CONFLICT,
// across kills. Nobody may get a value that somebody has, and what was acknowledged is there.
func TestUniqueKeys(t *testing.T) {
	const clients, values, each, kills = 6, 5, 40, 2
	server := harness.New(t)
	conn := server.Conn()
	exec(t, conn, "CREATE TABLE seat (id bigserial PRIMARY KEY, place int UNIQUE CHECK (place >= 0), who text)")
	exec(t, conn, "CREATE MATERIALIZED VIEW taken AS SELECT place, count(*) AS n FROM seat GROUP BY place")
	for kill := range kills + 1 {
		sessions(t, server.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
			rng := rand.New(rand.NewPCG(uint64(kill), uint64(i)))
			for n := range each {
				place, who := rng.IntN(values), fmt.Sprintf("%d-%d-%d", kill, i, n)
				var err error
				switch rng.IntN(4) {
				case 0:
					_, err = c.Exec(ctx, "INSERT INTO seat (place, who) VALUES ($1, $2)", place, who)
				case 1:
					_, err = c.Exec(ctx, "INSERT INTO seat (place, who) VALUES ($1, $2) ON CONFLICT (place) DO UPDATE SET who = excluded.who", place, who)
				case 2:
					_, err = c.Exec(ctx, "UPDATE seat SET place = $1 WHERE place = $2", place, rng.IntN(values))
				case 3:
					_, err = c.Exec(ctx, "DELETE FROM seat WHERE place = $1", place)
				}
				if got := code(err); err != nil && got != "23505" && got != "40001" {
					return err
				}
			}
			return nil
		})
		if kill < kills {
			server.Restart()
		}
		conn = server.Conn()
		var rows, places, most int
		if err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT place) FROM seat").Scan(&rows, &places); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), "SELECT coalesce(max(n), 1) FROM taken").Scan(&most); err != nil {
			t.Fatal(err)
		}
		if rows != places || most != 1 {
			t.Fatalf("round %d: %d rows have %d places, and a place has %d rows", kill, rows, places, most)
		}
	}
}

// TestSequencesNeverRepeat: numbers drawn by several sessions before and after kills are all different.
func TestSequencesNeverRepeat(t *testing.T) {
	const clients, each, kills = 6, 60, 3
	server := harness.New(t)
	exec(t, server.Conn(), "CREATE SEQUENCE ticket; CREATE TABLE issued (n bigint DEFAULT nextval('ticket') PRIMARY KEY)")
	var mu sync.Mutex
	seen := map[int64]bool{}
	for kill := range kills + 1 {
		sessions(t, server.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
			for n := range each {
				var v int64
				sql := "SELECT nextval('ticket')"
				if n%2 == 0 {
					sql = "INSERT INTO issued DEFAULT VALUES RETURNING n"
				}
				if err := c.QueryRow(ctx, sql).Scan(&v); err != nil {
					return err
				}
				mu.Lock()
				dup := seen[v]
				seen[v] = true
				mu.Unlock()
				if dup {
					return fmt.Errorf("%d was handed out twice", v)
				}
			}
			return nil
		})
		if kill < kills {
			server.Restart()
		}
	}
	// A clean stop leaves nothing out.
	conn := server.Conn()
	var before, after int64
	if err := conn.QueryRow(t.Context(), "SELECT nextval('ticket')").Scan(&before); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server.Start()
	if err := server.Conn().QueryRow(t.Context(), "SELECT nextval('ticket')").Scan(&after); err != nil {
		t.Fatal(err)
	}
	if after != before+1 {
		t.Errorf("after a clean stop the sequence goes from %d to %d", before, after)
	}
}

// TestUniqueIndexOnBusyTable: while sessions write duplicates, a unique constraint is added; either it is refused
// or from then on there are none.
func TestUniqueIndexOnBusyTable(t *testing.T) {
	node := harness.NewNode(t)
	conn := node.Conn()
	exec(t, conn, "CREATE TABLE busy (id bigserial PRIMARY KEY, v int)")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		sessions(t, node.URL(), 3, func(ctx context.Context, c *pgx.Conn, i int) error {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				_, err := c.Exec(ctx, "INSERT INTO busy (v) VALUES ($1)", n%200)
				if got := code(err); err != nil && got != "23505" && got != "40001" {
					return err
				}
			}
		})
	}()
	added := false
	for end := time.Now().Add(20 * time.Second); !added && time.Now().Before(end); {
		exec(t, conn, "DELETE FROM busy")
		_, err := conn.Exec(t.Context(), "ALTER TABLE busy ADD CONSTRAINT once UNIQUE (v)")
		if got := code(err); err != nil && got != "23505" {
			t.Fatal(err)
		}
		added = err == nil
	}
	close(stop)
	<-done
	if !added {
		t.Skip("the constraint was refused each time")
	}
	var rows, values int
	if err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT v) FROM busy").Scan(&rows, &values); err != nil {
		t.Fatal(err)
	}
	if rows != values {
		t.Errorf("%d rows have %d values", rows, values)
	}
}
