package pgdiff

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/sqllogictest"
)

// TestFiles compares the answers to all statements of the project's .slt files, in all that a client sees of them;
// that they are what the files expect is for others to test. Materialized views are plain ones to PostgreSQL.
func TestFiles(t *testing.T) {
	p := pair(t)
	files, err := sqllogictest.Files(filepath.Join("..", "..", "sqllogictest"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for i, file := range files {
		if !strings.Contains(file, *only) {
			continue
		}
		f := &twin{Pair: p, database: fmt.Sprintf("pgdiff%d", i), conns: map[string]*pgconn.PgConn{}, of: filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)}
		f.run(t, file)
	}
	report(t, p)
}

// twin runs one file on ours and sends each statement to a database of theirs too.
type twin struct {
	*Pair
	database string
	of       string
	conns    map[string]*pgconn.PgConn
	failed   error
}

func (f *twin) run(t *testing.T, file string) {
	t.Helper()
	ctx := t.Context()
	admin, err := f.Theirs.Connect(ctx) // without the limit of a statement's time
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + f.database, "CREATE DATABASE " + f.database + " TEMPLATE template0"} {
		if _, err := admin.Exec(ctx, sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	defer func() {
		for _, c := range f.conns {
			_ = c.Close(context.WithoutCancel(ctx))
		}
		_, _ = admin.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+f.database+" WITH (FORCE)").ReadAll()
	}()
	r := &sqllogictest.Runner{Connect: f.Ours.Connect, Labels: []string{"postgres"}, Restart: func(context.Context) error { return nil },
		Observe: f.observe, MaxFailures: 1000, Timeout: 20 * time.Second}
	_ = r.File(ctx, file) // whether it is what the file expects is not the question here
	if f.failed != nil {
		t.Errorf("%s: %v", f.of, f.failed)
	}
}

func (f *twin) connection(ctx context.Context, name string) (*pgconn.PgConn, error) {
	if c := f.conns[name]; c != nil && !c.IsClosed() {
		return c, nil
	}
	c, err := f.Theirs.ConnectTo(ctx, f.database)
	if err == nil {
		f.conns[name] = c
	}
	return c, err
}

// observe is told what ours answered, and asks theirs.
func (f *twin) observe(ctx context.Context, name, sql string, results []*pgconn.Result, refused *pgconn.PgError) {
	c, err := f.connection(ctx, name)
	if err != nil {
		f.failed = err
		return
	}
	reader := c.Exec(ctx, plainViews(sql))
	var got []*pgconn.Result
	for reader.NextResult() {
		fields := slices.Clone(reader.ResultReader().FieldDescriptions())
		r := reader.ResultReader().Read()
		r.FieldDescriptions = fields
		got = append(got, r)
	}
	err = reader.Close()
	theirs := answerOf(got)
	if err != nil && !errors.As(err, &theirs.Err) {
		f.failed = fmt.Errorf("%w, in answer to %s", err, sql)
		return
	}
	ours := answerOf(results)
	ours.Err = refused
	f.Asked++
	if theirs.Err != nil {
		f.Errors++
	}
	f.judge(Statement{Of: f.of, SQL: sql, Any: !ordered.MatchString(sql)}, Text, ours, theirs)
}

var ordered = regexp.MustCompile(`(?is)ORDER\s+BY[^()]*$`)

// plainViews keeps the length of the statement, and with it the positions in it.
func plainViews(sql string) string {
	return materialized.ReplaceAllStringFunc(sql, func(s string) string { return strings.Repeat(" ", len(s)-4) + "VIEW" })
}

var materialized = regexp.MustCompile(`(?i)MATERIALIZED VIEW`)

// answerOf takes the last result with columns, else the last.
func answerOf(results []*pgconn.Result) *Answer {
	a := &Answer{}
	for _, r := range results {
		if len(r.FieldDescriptions) > 0 || a.Columns == nil {
			*a = Answer{Tag: r.CommandTag.String(), Rows: r.Rows}
			for _, d := range r.FieldDescriptions {
				a.Columns = append(a.Columns, Column{d.Name, d.DataTypeOID, d.TypeModifier, d.DataTypeSize})
			}
		}
	}
	return a
}
