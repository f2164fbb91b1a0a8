// Package tpch measures the 22 queries of TPC-H on this build and on PostgreSQL 15, over the same rows, in one run, and compares
// every answer. The data comes from our own generator, written after the specification; neither is the official
// kit, so results are "derived from TPC-H" and not comparable with published ones.
//
// The idea: the rows are written to files once, both servers load them by COPY, and then each query goes to one server
// and the other in turn, several times; medians are reported, of the wall clock and of processor time, because a machine that
// others use too shifts the former more than the latter. PostgreSQL has secondary indexes, for some of its plans need them.
//
// One goroutine does it all; the servers are processes (bench/peer).
//
// Invariants: the same scale and seed give the same rows; an answer is right when it has PostgreSQL's rows, as text,
// and PostgreSQL's order in the columns that the query orders by.
//
// Start at Run; the queries lie beside it, one file each.
package tpch

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/bench/peer"
)

// Options say what to measure.
type Options struct {
	Scale    float64
	Seed     uint64
	Queries  []int // none: all
	Rounds   int
	Postgres bool
	DuckDB   bool
	Timeout  time.Duration // of one query
	Data     string        // folder of the generated files; "": a temporary one
	Profile  string        // folder for processor profiles: of our load, and of each of our queries
	Serve    []string      // arguments that make this program serve (peer.Serve)
	JSON     bool
}

// Result is the whole report. The names in JSON are for programs that keep history: do not change them.
type Result struct {
	Note     string        `json:"note"`
	Scale    float64       `json:"scale"`
	Seed     uint64        `json:"seed"`
	Cores    int           `json:"cores"`
	Rounds   int           `json:"rounds"`
	Load     []LoadResult  `json:"load"`
	Queries  []QueryResult `json:"queries"`
	Total    Times         `json:"total"` // of the queries that both answered
	Peer     Times         `json:"postgres_total"`
	Ratio    float64       `json:"ratio"`     // our time over PostgreSQL's, wall clock
	CPURatio float64       `json:"cpu_ratio"` // likewise, processor time
	Wrong    int           `json:"wrong"`
	PeakRSS  int64         `json:"peak_rss_bytes"`
	DuckDB   float64       `json:"duckdb_seconds,omitempty"`
	DuckCPU  float64       `json:"duckdb_cpu_seconds,omitempty"`
	Duck     float64       `json:"duckdb_ratio,omitempty"`     // our time over DuckDB's, wall clock
	CPUDuck  float64       `json:"duckdb_cpu_ratio,omitempty"` // likewise, processor time
}

// Times are seconds of the wall clock and of processor time.
type Times struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
}

// LoadResult is what loading all tables took; for PostgreSQL also indexes and statistics.
type LoadResult struct {
	Server   string  `json:"server"`
	Rows     int64   `json:"rows"`
	Copy     Times   `json:"copy"`
	Lineitem float64 `json:"lineitem_rows_per_second"`
	Settle   Times   `json:"settle"` // PostgreSQL: VACUUM, ANALYZE and indexes; ours: until checkpoints are done
	PeakRSS  int64   `json:"peak_rss_bytes"`
}

// QueryResult is one query on both sides, medians.
type QueryResult struct {
	Query    int     `json:"query"`
	Ours     Times   `json:"millrace"`
	Postgres *Times  `json:"postgres,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Rows     int     `json:"rows"`
	Right    bool    `json:"right"`
	Error    string  `json:"error,omitempty"`
	DuckDB   float64 `json:"duckdb_seconds,omitempty"`
	DuckCPU  float64 `json:"duckdb_cpu_seconds,omitempty"`
}

//go:embed queries
var queryFiles embed.FS

// queryCount is how many there are.
const queryCount = 22

// orderColumns are the result columns that each query orders by.
var orderColumns = [queryCount + 1][]int{
	1: {0, 1}, 2: {0, 2, 1, 3}, 3: {1, 2}, 4: {0}, 5: {1}, 6: {}, 7: {0, 1, 2}, 8: {0}, 9: {0, 1}, 10: {2}, 11: {1},
	12: {0}, 13: {1, 0}, 14: {}, 15: {0}, 16: {3, 0, 1, 2}, 17: {}, 18: {4, 3}, 19: {}, 20: {0}, 21: {1, 0}, 22: {0},
}

// Query returns the text of a query with its default parameters.
func Query(n int, scale float64) (string, error) {
	b, err := queryFiles.ReadFile(fmt.Sprintf("queries/%02d.sql", n))
	if err != nil {
		return "", fmt.Errorf("read query %d: %w", n, err)
	}
	return strings.ReplaceAll(string(b), "{{fraction}}", strconv.FormatFloat(0.0001/scale, 'f', -1, 64)), nil
}

// postgresSettings are the advice of PostgreSQL's manual for a machine of this size; the rest is as it comes.
var postgresSettings = []string{"shared_buffers=4GB", "effective_cache_size=12GB", "work_mem=256MB", "maintenance_work_mem=1GB",
	"max_wal_size=8GB", "random_page_cost=1.1"}

// side is one of the servers.
type side struct {
	*peer.Server
	conn *pgx.Conn
}

func open(ctx context.Context, s *peer.Server) (*side, error) {
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return &side{s, conn}, nil
}

func (s *side) close(ctx context.Context) {
	_ = s.conn.Close(context.WithoutCancel(ctx))
	_ = s.Stop()
}

// timed runs f and says what it took.
func (s *side) timed(f func() error) (Times, error) {
	start, cpu := time.Now(), s.CPU()
	err := f()
	return Times{time.Since(start).Seconds(), (s.CPU() - cpu).Seconds()}, err
}

// Run measures and writes the report.
func Run(ctx context.Context, o Options, out io.Writer) error {
	res := &Result{Note: "derived from TPC-H: our own data generator, the specification's queries; not comparable with published results",
		Scale: o.Scale, Seed: o.Seed, Cores: runtime.NumCPU(), Rounds: o.Rounds}
	say := func(format string, args ...any) {
		if !o.JSON {
			fmt.Fprintf(out, format, args...)
		}
	}
	say("%s\nscale %g, seed %d, %d cores, %d rounds\n", res.Note, o.Scale, o.Seed, res.Cores, o.Rounds)
	files, remove, err := generate(o)
	defer remove()
	if err != nil {
		return err
	}
	ours, err := startOurs(ctx, o)
	if err != nil {
		return err
	}
	defer ours.close(ctx)
	sides := []*side{ours}
	if o.Postgres {
		s, err := peer.Postgres(ctx, postgresSettings...)
		if err != nil {
			return err
		}
		pg, err := open(ctx, s)
		if err != nil {
			return err
		}
		defer pg.close(ctx)
		sides = append(sides, pg)
	}
	for i, s := range sides {
		if i == 0 && o.Profile != "" {
			if err := s.Tell("profile " + filepath.Join(o.Profile, "load.pprof")); err != nil {
				return err
			}
		}
		l, err := s.load(ctx, files)
		if i == 0 && o.Profile != "" && err == nil {
			err = s.Tell("profile")
		}
		if err != nil {
			return fmt.Errorf("load into %s: %w", s.Name, err)
		}
		res.Load = append(res.Load, l)
		say("load %-9s %d rows in %.1f s (%.1f s of processor), lineitem %.0f rows/s; then %.1f s; peak %.0f MB\n", l.Server, l.Rows,
			l.Copy.Seconds, l.Copy.CPU, l.Lineitem, l.Settle.Seconds, float64(l.PeakRSS)/1e6)
	}
	duck := map[int]Times{}
	if o.DuckDB {
		if duck, err = runDuckDB(ctx, o, files); err != nil {
			say("duckdb: %v\n", err)
		}
	}
	say("%5s %10s %10s %10s %10s %7s %7s %6s %s\n", "query", "millrace", "cpu", "postgres", "cpu", "ratio", "cpu", "rows", "")
	list := o.Queries
	if len(list) == 0 {
		for n := 1; n <= queryCount; n++ {
			list = append(list, n)
		}
	}
	for _, n := range list {
		q, err := measure(ctx, o, n, sides)
		if err != nil {
			return err
		}
		q.DuckDB, q.DuckCPU = duck[n].Seconds, duck[n].CPU
		res.add(q)
		say("%s\n", q.line())
	}
	res.sum(ours)
	if o.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(res)
	}
	say("%5s %10.3f %10.3f %10.3f %10.3f %7.2f %7.2f  %d wrong, peak %.0f MB\n", "total", res.Total.Seconds, res.Total.CPU,
		res.Peer.Seconds, res.Peer.CPU, res.Ratio, res.CPURatio, res.Wrong, float64(res.PeakRSS)/1e6)
	if res.DuckDB > 0 {
		say("duckdb: %.3f s, ratio %.2f; %.3f s of processor, ratio %.2f\n", res.DuckDB, res.Duck, res.DuckCPU, res.CPUDuck)
	}
	if res.Wrong > 0 {
		return fmt.Errorf("%d answers are wrong", res.Wrong)
	}
	return nil
}

func startOurs(ctx context.Context, o Options) (*side, error) {
	s, err := peer.Millrace(ctx, o.Serve...)
	if err != nil {
		return nil, err
	}
	return open(ctx, s)
}

// generate writes a file for each table, unless it is there already.
func generate(o Options) (map[string]string, func(), error) {
	dir, remove := o.Data, func() {}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "millrace-tpch-")
		if err != nil {
			return nil, remove, err
		}
		dir, remove = tmp, func() { _ = os.RemoveAll(tmp) }
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, remove, err
	}
	g := NewGenerator(o.Scale, o.Seed)
	files := map[string]string{}
	for _, t := range tables {
		path := filepath.Join(dir, fmt.Sprintf("%s-%g-%d.tbl", t.name, o.Scale, o.Seed))
		files[t.name] = path
		if _, err := os.Stat(path); err == nil {
			continue
		}
		f, err := os.Create(path + ".part")
		if err != nil {
			return nil, remove, err
		}
		_, err = g.Write(t.name, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, remove, err
		}
		if err := os.Rename(path+".part", path); err != nil {
			return nil, remove, err
		}
	}
	return files, remove, nil
}

// load makes the tables and fills them.
func (s *side) load(ctx context.Context, files map[string]string) (LoadResult, error) {
	r := LoadResult{Server: s.Name}
	copied, err := s.timed(func() error {
		for _, t := range tables {
			if err := s.loadTable(ctx, t.name, fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", t.name, t.columns, t.key), files[t.name], &r); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	r.Copy = copied
	after := []string{"FLUSH"}
	if s.Name == "postgres" {
		after = append(slices.Clone(postgresIndexes), "VACUUM ANALYZE", "CHECKPOINT")
	}
	r.Settle, err = s.timed(func() error {
		for _, sql := range after {
			if _, err := s.conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	r.PeakRSS = s.PeakRSS()
	return r, err
}

func (s *side) loadTable(ctx context.Context, name, ddl, file string, r *LoadResult) error {
	if _, err := s.conn.Exec(ctx, ddl); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	start := time.Now()
	tag, err := s.conn.PgConn().CopyFrom(ctx, f, "COPY "+name+" FROM STDIN")
	if err != nil {
		return err
	}
	r.Rows += tag.RowsAffected()
	if name == "lineitem" {
		r.Lineitem = float64(tag.RowsAffected()) / time.Since(start).Seconds()
	}
	return nil
}

// answer is a result as text.
type answer [][]string

func (s *side) query(ctx context.Context, sql string) (answer, error) {
	var out answer
	res, err := s.conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, r := range res {
		for _, row := range r.Rows {
			vals := make([]string, len(row))
			for i, v := range row {
				if v == nil {
					vals[i] = "NULL"
				} else {
					vals[i] = string(v)
				}
			}
			out = append(out, vals)
		}
	}
	return out, nil
}

// measure runs a query on all sides in turn. Errors of ours are part of the result.
func measure(ctx context.Context, o Options, n int, sides []*side) (QueryResult, error) {
	q := QueryResult{Query: n}
	sql, err := Query(n, o.Scale)
	if err != nil {
		return q, err
	}
	times := make([][]Times, len(sides))
	answers := make([]answer, len(sides))
	for round := range o.Rounds {
		for i, s := range sides {
			if i == 0 && q.Error != "" {
				continue
			}
			if i == 0 && o.Profile != "" && round == 0 {
				if err := s.Tell("profile " + filepath.Join(o.Profile, fmt.Sprintf("q%02d.pprof", n))); err != nil {
					return q, err
				}
			}
			limit, cancel := context.WithTimeout(ctx, o.Timeout)
			t, err := s.timed(func() (err error) {
				answers[i], err = s.query(limit, sql)
				return err
			})
			cancel()
			if i == 0 && o.Profile != "" && round == o.Rounds-1 {
				if err := s.Tell("profile"); err != nil {
					return q, err
				}
			}
			if err != nil {
				if i > 0 || ctx.Err() != nil {
					return q, fmt.Errorf("query %d on %s: %w", n, s.Name, err)
				}
				q.Error = errorText(err)
				if s.conn.IsClosed() {
					if s.conn, err = pgx.Connect(ctx, s.DSN); err != nil {
						return q, err
					}
				}
				continue
			}
			times[i] = append(times[i], t)
		}
	}
	q.Rows = len(answers[0])
	q.Ours = median(times[0])
	if len(sides) > 1 {
		t := median(times[1])
		q.Postgres = &t
		if q.Error == "" {
			q.Ratio = q.Ours.Seconds / t.Seconds
			if diff := difference(answers[0], answers[1], orderColumns[n]); diff != "" {
				q.Error = diff
			}
		}
	}
	q.Right = q.Error == ""
	return q, nil
}

func errorText(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code + " " + e.Message
	}
	return err.Error()
}

func median(ts []Times) Times {
	if len(ts) == 0 {
		return Times{}
	}
	wall, cpu := make([]float64, len(ts)), make([]float64, len(ts))
	for i, t := range ts {
		wall[i], cpu[i] = t.Seconds, t.CPU
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return Times{wall[len(wall)/2], cpu[len(cpu)/2]}
}

// difference says how an answer differs from the expected one, "" when it does not.
func difference(got, want answer, order []int) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d rows, not %d", len(got), len(want))
	}
	lines := func(a answer) []string {
		out := make([]string, len(a))
		for i, row := range a {
			out[i] = strings.Join(row, "\t")
		}
		slices.Sort(out)
		return out
	}
	g, w := lines(got), lines(want)
	for i := range g {
		if g[i] != w[i] {
			return fmt.Sprintf("row %q, not %q", g[i], w[i])
		}
	}
	for i := range got {
		for _, c := range order {
			if got[i][c] != want[i][c] {
				return fmt.Sprintf("row %d in order has %q, not %q", i+1, got[i][c], want[i][c])
			}
		}
	}
	return ""
}

func (r *Result) add(q QueryResult) {
	r.Queries = append(r.Queries, q)
	if !q.Right {
		r.Wrong++
		return
	}
	r.Total.Seconds += q.Ours.Seconds
	r.Total.CPU += q.Ours.CPU
	r.DuckDB, r.DuckCPU = r.DuckDB+q.DuckDB, r.DuckCPU+q.DuckCPU
	if q.Postgres != nil {
		r.Peer.Seconds += q.Postgres.Seconds
		r.Peer.CPU += q.Postgres.CPU
	}
}

func (r *Result) sum(ours *side) {
	if r.Peer.Seconds > 0 {
		r.Ratio = r.Total.Seconds / r.Peer.Seconds
	}
	if r.Peer.CPU > 0 {
		r.CPURatio = r.Total.CPU / r.Peer.CPU
	}
	if r.DuckDB > 0 {
		r.Duck, r.CPUDuck = r.Total.Seconds/r.DuckDB, r.Total.CPU/r.DuckCPU
	}
	r.PeakRSS = ours.PeakRSS()
}

func (q *QueryResult) line() string {
	s := fmt.Sprintf("%5d %10.3f %10.3f", q.Query, q.Ours.Seconds, q.Ours.CPU)
	if q.Postgres != nil {
		cpu := 0.0
		if q.Postgres.CPU > 0 {
			cpu = q.Ours.CPU / q.Postgres.CPU
		}
		s += fmt.Sprintf(" %10.3f %10.3f %7.2f %7.2f", q.Postgres.Seconds, q.Postgres.CPU, q.Ratio, cpu)
	}
	s += fmt.Sprintf(" %6d", q.Rows)
	if q.DuckDB > 0 {
		s += fmt.Sprintf("  duckdb %.3f, cpu %.3f", q.DuckDB, q.DuckCPU)
	}
	if q.Error != "" {
		s += "  WRONG: " + q.Error
	}
	return s
}
