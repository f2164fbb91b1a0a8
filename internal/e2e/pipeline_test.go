package e2e

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// pipeline sends statements of the extended protocol with one Sync behind them and returns the first error.
func pipeline(t *testing.T, c *pgconn.PgConn, sqls ...string) error {
	t.Helper()
	p := c.StartPipeline(context.Background())
	for _, sql := range sqls {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	var first error
	for range sqls {
		res, err := p.GetResults()
		if r, ok := res.(*pgconn.ResultReader); ok && err == nil {
			_, err = r.Close()
		}
		if err != nil && first == nil {
			first = err
		}
		if err != nil {
			break
		}
	}
	if err := p.Close(); err != nil && first == nil {
		first = err
	}
	return first
}

// TestPipelineIsOneTransaction: what is sent up to one Sync takes effect together, definitions too.
func TestPipelineIsOneTransaction(t *testing.T) {
	s := harness.NewNode(t)
	c, look := s.Conn().PgConn(), s.Conn()
	exec(t, look, `CREATE TABLE kept (a int PRIMARY KEY); CREATE TABLE altered (a int)`)

	if err := pipeline(t, c, `CREATE TABLE made (a int)`, `INSERT INTO made VALUES (1)`, `INSERT INTO kept VALUES (1) RETURNING a`,
		`ALTER TABLE altered ADD COLUMN b int`, `SELECT 1 / 0`); code(err) != "22012" {
		t.Fatalf("the pipeline ended with %v", err)
	}
	if got := one(t, look, `SELECT count(*)::text FROM pg_class WHERE relname = 'made'`); got != "0" {
		t.Errorf("the table is there although its pipeline failed")
	}
	if got := one(t, look, `SELECT count(*)::text FROM kept`); got != "0" {
		t.Errorf("kept has %s rows of a pipeline that failed", got)
	}
	if err := try(look, `SELECT b FROM altered`); code(err) != "42703" {
		t.Errorf("the column of a pipeline that failed: %v", err)
	}

	if err := pipeline(t, c, `INSERT INTO kept VALUES (1) RETURNING a`, `INSERT INTO kept VALUES (1)`); code(err) != "23505" {
		t.Fatalf("the pipeline ended with %v", err)
	}
	if got := one(t, look, `SELECT count(*)::text FROM kept`); got != "0" {
		t.Errorf("kept has %s rows of a pipeline that failed", got)
	}

	if err := pipeline(t, c, `CREATE TABLE made (a int)`, `INSERT INTO made VALUES (1), (2)`,
		`CREATE MATERIALIZED VIEW total AS SELECT sum(a) AS s FROM made`, `INSERT INTO made VALUES (3)`, `DROP TABLE kept`); err != nil {
		t.Fatal(err)
	}
	if got := one(t, look, `SELECT s::text FROM total`); got != "6" {
		t.Errorf("the view has %s, want 6", got)
	}
	if err := try(look, `SELECT 1 FROM kept`); code(err) != "42P01" {
		t.Errorf("the dropped table: %v", err)
	}

	// A COMMIT among the messages ends what is before it.
	if err := pipeline(t, c, `BEGIN`, `CREATE TABLE one (a int)`, `COMMIT`, `CREATE TABLE two (a int)`, `SELECT 1 / 0`); code(err) != "22012" {
		t.Fatalf("the pipeline ended with %v", err)
	}
	if got := one(t, look, `SELECT string_agg(relname, ',') FROM pg_class WHERE relname IN ('one', 'two')`); got != "one" {
		t.Errorf("there is %s, want one", got)
	}

	// Definitions that fail late fail the pipeline.
	if err := pipeline(t, c, `CREATE TABLE three (a int)`, `CREATE TABLE three (a int)`); code(err) != "42P07" {
		t.Fatalf("the pipeline ended with %v", err)
	}
	if err := pipeline(t, c, `CREATE TABLE three (a int)`); err != nil {
		t.Fatal(err)
	}
}
