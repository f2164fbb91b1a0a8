// Package lookup measures reading one row by its primary key over TCP: pgbench -S against this build and against PostgreSQL 15, in
// turn, with the same client and the same rows.
//
// The idea: pgbench speaks PostgreSQL's protocol and nothing else, so it measures both servers from outside. Rounds alternate, and the
// ratio of the medians counts, for the machine may have other things to do.
//
// One goroutine; servers and clients are processes.
//
// Start at Run.
package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/bench/peer"
)

// Options say what to measure.
type Options struct {
	Scale   int // pgbench's: 100,000 rows each
	Clients int
	Threads int
	Seconds int // of one round
	Rounds  int
	Mode    string   // pgbench -M
	Profile string   // file for a processor profile of our last round
	Serve   []string // arguments that make this program serve (peer.Serve)
	JSON    bool
}

// Result is the report. The names in JSON are for programs that keep history: do not change them.
type Result struct {
	Rows     int     `json:"rows"`
	Clients  int     `json:"clients"`
	Mode     string  `json:"mode"`
	Cores    int     `json:"cores"`
	Millrace Side    `json:"millrace"`
	Postgres Side    `json:"postgres"`
	Ratio    float64 `json:"ratio"` // look-ups per second, ours over PostgreSQL's
}

// Side is what one server did: medians over the rounds.
type Side struct {
	PerSecond float64   `json:"per_second"`
	CPU       float64   `json:"cpu_microseconds"` // of the server, for one look-up
	Rounds    []float64 `json:"rounds"`
}

// schema are pgbench's tables as far as pgbench -S needs them; it asks the second one for the scale.
func schema(scale int) []string {
	return []string{
		"CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88))",
		"CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))",
		fmt.Sprintf("INSERT INTO pgbench_branches SELECT i, 0, '' FROM generate_series(1, %d) AS g (i)", scale),
	}
}

// Run measures and writes the report.
func Run(ctx context.Context, o Options, out io.Writer) error {
	pg, err := peer.Postgres(ctx, "shared_buffers=1GB")
	if err != nil {
		return err
	}
	defer func() { _ = pg.Stop() }()
	ours, err := peer.Millrace(ctx, o.Serve...)
	if err != nil {
		return err
	}
	defer func() { _ = ours.Stop() }()
	r := Result{Rows: o.Scale * 100_000, Clients: o.Clients, Mode: o.Mode, Cores: runtime.NumCPU()}
	servers := []*peer.Server{ours, pg}
	for _, s := range servers {
		if err := load(ctx, s, o.Scale); err != nil {
			return fmt.Errorf("load %s: %w", s.Name, err)
		}
	}
	cpus := map[string][]float64{}
	for round := range o.Rounds {
		for _, s := range servers {
			profile := o.Profile != "" && s == ours && round == o.Rounds-1
			if profile {
				if err := s.Tell("profile " + o.Profile); err != nil {
					return err
				}
			}
			before := s.CPU()
			rate, count, err := pgbench(ctx, o, s)
			if err != nil {
				return err
			}
			if profile {
				if err := s.Tell("profile"); err != nil {
					return err
				}
			}
			side := &r.Millrace
			if s == pg {
				side = &r.Postgres
			}
			side.Rounds = append(side.Rounds, rate)
			cpus[s.Name] = append(cpus[s.Name], float64((s.CPU()-before).Microseconds())/count)
		}
	}
	r.Millrace.PerSecond, r.Postgres.PerSecond = median(r.Millrace.Rounds), median(r.Postgres.Rounds)
	r.Millrace.CPU, r.Postgres.CPU = median(cpus[ours.Name]), median(cpus[pg.Name])
	r.Ratio = r.Millrace.PerSecond / r.Postgres.PerSecond
	if o.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(out, "pgbench -S -M %s -c %d -j %d over TCP, %d rows, %d cores, medians of %d rounds of %d s\n", o.Mode, o.Clients, o.Threads, r.Rows, r.Cores, o.Rounds, o.Seconds)
	fmt.Fprintf(out, "millrace %8.0f look-ups/s, %5.1f µs of processor each\n", r.Millrace.PerSecond, r.Millrace.CPU)
	fmt.Fprintf(out, "postgres %8.0f look-ups/s, %5.1f µs of processor each\n", r.Postgres.PerSecond, r.Postgres.CPU)
	fmt.Fprintf(out, "ratio    %8.2f\n", r.Ratio)
	return nil
}

func load(ctx context.Context, s *peer.Server, scale int) error {
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range schema(scale) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	var b bytes.Buffer
	for branch := range scale {
		b.Reset()
		for i := range 100_000 {
			fmt.Fprintf(&b, "%d\t%d\t0\t\n", branch*100_000+i+1, branch+1)
		}
		if _, err := conn.PgConn().CopyFrom(ctx, &b, "COPY pgbench_accounts FROM STDIN"); err != nil {
			return err
		}
	}
	last := "VACUUM ANALYZE"
	if s.Name == "millrace" {
		last = "FLUSH"
	}
	_, err = conn.Exec(ctx, last)
	return err
}

var (
	ratePattern  = regexp.MustCompile(`(?m)^tps = ([0-9.]+) `)
	countPattern = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
	failPattern  = regexp.MustCompile(`(?m)^number of failed transactions: 0 `)
)

// pgbench runs a round and returns look-ups per second and how many there were.
func pgbench(ctx context.Context, o Options, s *peer.Server) (rate, count float64, err error) {
	user, db := "root", "dev"
	if s.Name == "postgres" {
		db = "postgres"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(peer.Bin(), "pgbench"), "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", user, "-n", "-S",
		"-M", o.Mode, "-c", strconv.Itoa(o.Clients), "-j", strconv.Itoa(o.Threads), "-T", strconv.Itoa(o.Seconds), db)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("run pgbench on %s: %w: %s", s.Name, err, text)
	}
	tps, n := ratePattern.FindSubmatch(text), countPattern.FindSubmatch(text)
	if tps == nil || n == nil || !failPattern.Match(text) {
		return 0, 0, fmt.Errorf("run pgbench on %s: unexpected report: %s", s.Name, strings.TrimSpace(string(text)))
	}
	if rate, err = strconv.ParseFloat(string(tps[1]), 64); err != nil {
		return 0, 0, err
	}
	count, err = strconv.ParseFloat(string(n[1]), 64)
	return rate, count, err
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}
