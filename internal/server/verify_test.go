package server

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/storage/shard"
	"github.com/millrace/millrace/storage/table"
)

// TestVerifyFindsCorruption: a byte of a view's stored row is changed in the store behind the server's back, before anybody has read it, and VERIFY
// shows the row that is there and the one that should be.
func TestVerifyFindsCorruption(t *testing.T) {
	ctx := t.Context()
	s, err := Start(ctx, Config{DataDir: filepath.Join(t.TempDir(), "data"), Parallelism: 2, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	c, err := pgx.Connect(ctx, "postgres://root@"+s.Addr().String()+"/dev")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	exec := func(sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	differing := func(view string) [][3]int64 {
		t.Helper()
		rows, err := c.Query(ctx, "VERIFY MATERIALIZED VIEW "+view)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (v [3]int64, err error) {
			err = r.Scan(&v[0], &v[1], &v[2])
			return v, err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(out, func(a, b [3]int64) int { return int(a[2] - b[2]) })
		return out
	}
	exec("CREATE TABLE t (id bigint PRIMARY KEY, k bigint, n bigint); INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 1000) i")
	exec("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(n)::bigint AS total FROM t GROUP BY k")
	exec("CREATE MATERIALIZED VIEW same AS SELECT k, sum(n)::bigint AS total FROM t GROUP BY k")
	if err := s.Engine.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	rel, _ := s.Catalog.Snapshot().Find("public", "sums")
	lo, hi := table.Range(rel.ID)
	snap, err := s.shard.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	it := snap.Scan(ctx, lo, hi, false)
	if !it.Next() {
		t.Fatal("the view has no stored row")
	}
	k, v := slices.Clone(it.Key()), slices.Clone(it.Value())
	_ = it.Close()
	_ = snap.Close()
	v[len(v)-1] ^= 1
	if err := s.shard.Ingest(ctx, func(yield func(shard.Entry) bool) { yield(shard.Entry{Key: k, Value: v}) }); err != nil {
		t.Fatal(err)
	}
	exec("CREATE TABLE other (a int); INSERT INTO other VALUES (1)") // so that there is something to checkpoint, and readers get the store as it is now
	if err := s.Engine.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	d := differing("sums")
	if len(d) != 2 || d[0][0] != d[1][0] || d[0][1] == d[1][1] || d[0][2] != -1 || d[1][2] != 1 {
		t.Fatalf("VERIFY finds %v, want one row too few and one too many, of one key", d)
	}
	var total int64
	if err := c.QueryRow(ctx, "SELECT sum(n)::bigint FROM t WHERE k = $1", d[0][0]).Scan(&total); err != nil || total != d[0][1] {
		t.Errorf("the row that should be there has %d, want %d (%v)", d[0][1], total, err)
	}
	if d := differing("same"); len(d) > 0 {
		t.Errorf("VERIFY of the other view finds %v", d)
	}
}
