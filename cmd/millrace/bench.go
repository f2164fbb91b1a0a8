package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/bench/latency"
	"github.com/millrace/millrace/bench/lookup"
	"github.com/millrace/millrace/bench/nexmark"
	"github.com/millrace/millrace/bench/peer"
	"github.com/millrace/millrace/bench/tpch"
	"github.com/millrace/millrace/internal/server"
)

type benchCmd struct {
	Nexmark nexmarkCmd `cmd:"" help:"Measure the Nexmark queries on this machine."`
	Tpch    tpchCmd    `cmd:"" help:"Run the queries of TPC-H here and on PostgreSQL 15, and compare answers and times."`
	Lookup  lookupCmd  `cmd:"" help:"Run pgbench -S here and on PostgreSQL 15."`
	Latency latencyCmd `cmd:"" help:"Measure how soon an inserted row is durable and seen, and what an idle server costs."`
}

type nexmarkCmd struct {
	Queries     string        `help:"Which, such as q0,q4. Default: all." placeholder:"q0,q1,…"`
	Events      int64         `help:"Length of the stream." default:"10000000"`
	EventRate   int64         `help:"Events per second of event time." default:"1000000"`
	Throttle    int64         `help:"Events per second of the wall clock; 0: as many as the query takes." default:"0"`
	Parallelism int           `help:"Actors per fragment; 0: one per core." default:"0"`
	Seed        int64         `help:"Seed of the generator." default:"1"`
	Sink        string        `help:"Where results go: blackhole, view or checksum (hash every row)." enum:"blackhole,view,checksum" default:"blackhole"`
	Limit       bool          `help:"Compare with the hand-written programs." default:"true" negatable:""`
	Timeout     time.Duration `help:"Longest run of one query." default:"15m"`
	JSON        bool          `help:"Print results as JSON." name:"json"`
	CPUProfile  string        `help:"Write a processor profile of the (last) query to this file." name:"cpuprofile" placeholder:"FILE"`
	MemProfile  string        `help:"Write a heap profile, taken at the end, to this file." name:"memprofile" placeholder:"FILE"`
	Child       string        `hidden:"" help:"Measure one query in this process."`
}

func (c *nexmarkCmd) options() nexmark.Options {
	o := nexmark.Options{Events: c.Events, EventRate: c.EventRate, Throttle: c.Throttle, Parallelism: c.Parallelism, Seed: c.Seed,
		Sink: c.Sink, Limit: c.Limit, Timeout: c.Timeout, CPUProfile: c.CPUProfile, MemProfile: c.MemProfile, JSON: c.JSON}
	for q := range strings.SplitSeq(c.Queries, ",") {
		if q = strings.TrimSpace(q); q != "" {
			o.Queries = append(o.Queries, q)
		}
	}
	return o
}

func (c *nexmarkCmd) Run() error {
	if c.Events < 1 || c.EventRate < 1 || c.Throttle < 0 || c.Parallelism < 0 || c.Parallelism > 256 {
		return fmt.Errorf("--events and --event-rate must be at least 1, --throttle at least 0, --parallelism from 0 to 256")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := c.options()
	switch c.Child {
	case "query":
		return nexmark.Child(ctx, o, os.Stdout)
	case "limit":
		return nexmark.ChildLimit(ctx, o, os.Stdout)
	}
	return nexmark.Run(ctx, o, c.childArgs, os.Stdout)
}

// childArgs are the arguments that make this program measure one query by itself.
func (c *nexmarkCmd) childArgs(query string, limit bool) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	kind := "query"
	if limit {
		kind = "limit"
	}
	return []string{"bench", "nexmark", "--child=" + kind, "--queries=" + query, "--events=" + number(c.Events),
		"--event-rate=" + number(c.EventRate), "--throttle=" + number(c.Throttle), "--parallelism=" + strconv.Itoa(c.Parallelism),
		"--seed=" + number(c.Seed), "--sink=" + c.Sink, "--cpuprofile=" + c.CPUProfile, "--memprofile=" + c.MemProfile}
}

type latencyCmd struct {
	Inserts     int           `help:"How many rows, one after the other." default:"1000"`
	Pause       time.Duration `help:"Pause between two of them." default:"5ms"`
	Idle        time.Duration `help:"How long the idle server is watched." default:"10s"`
	ObjectStore string        `help:"Where the server's checkpoints go. Default: a local folder." placeholder:"URL"`
	JSON        bool          `help:"Print the result as JSON." name:"json"`
}

func (c *latencyCmd) Run() error {
	if c.Inserts < 1 || c.Pause < 0 || c.Idle <= 0 {
		return fmt.Errorf("--inserts must be at least 1, --pause at least 0, --idle above 0")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return latency.Run(ctx, latency.Options{Inserts: c.Inserts, Pause: c.Pause, Idle: c.Idle, Settle: time.Second, Object: c.ObjectStore, JSON: c.JSON}, os.Stdout)
}

type tpchCmd struct {
	SF       float64       `help:"Scale factor; 1 is about 1 GB." default:"1" name:"sf"`
	Queries  string        `help:"Which, such as 1,6,14. Default: all." placeholder:"1,2,…"`
	Rounds   int           `help:"How often each query runs; medians are reported." default:"3"`
	Seed     uint64        `help:"Seed of the data." default:"1"`
	Postgres bool          `help:"Run PostgreSQL 15 too and compare all answers." default:"true" negatable:""`
	Duckdb   bool          `help:"Time DuckDB too, where Python has its module." negatable:""`
	Timeout  time.Duration `help:"Longest run of one query." default:"5m"`
	Data     string        `help:"Folder where the generated files are kept. Default: a temporary one." type:"path"`
	Profile  string        `help:"Folder for processor profiles, of the load and of each query." type:"path"`
	JSON     bool          `help:"Print results as JSON." name:"json"`
	Child    bool          `hidden:"" help:"Be the server."`
}

func (c *tpchCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Child {
		return serveBench(ctx)
	}
	if c.SF <= 0 || c.Rounds < 1 {
		return fmt.Errorf("--sf must be above 0, --rounds at least 1")
	}
	o := tpch.Options{Scale: c.SF, Seed: c.Seed, Rounds: c.Rounds, Postgres: c.Postgres, DuckDB: c.Duckdb, Timeout: c.Timeout, Data: c.Data,
		Profile: c.Profile, JSON: c.JSON, Serve: []string{"bench", "tpch", "--child"}}
	for q := range strings.SplitSeq(c.Queries, ",") {
		if q = strings.TrimSpace(q); q == "" {
			continue
		}
		n, err := strconv.Atoi(q)
		if err != nil || n < 1 || n > 22 {
			return fmt.Errorf("--queries: there is no query %q", q)
		}
		o.Queries = append(o.Queries, n)
	}
	return tpch.Run(ctx, o, os.Stdout)
}

type lookupCmd struct {
	Scale   int    `help:"Rows, in units of 100,000." default:"10"`
	Clients int    `help:"Clients." default:"4" short:"c"`
	Threads int    `help:"Threads of pgbench." default:"2" short:"j"`
	Seconds int    `help:"Length of a round." default:"5"`
	Rounds  int    `help:"Rounds on each server; medians are reported." default:"5"`
	Mode    string `help:"Query protocol." enum:"simple,extended,prepared" default:"prepared"`
	Profile string `help:"Write a processor profile of our last round to this file." type:"path"`
	JSON    bool   `help:"Print results as JSON." name:"json"`
	Child   bool   `hidden:"" help:"Be the server."`
}

func (c *lookupCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Child {
		return serveBench(ctx)
	}
	if c.Scale < 1 || c.Clients < 1 || c.Threads < 1 || c.Seconds < 1 || c.Rounds < 1 {
		return fmt.Errorf("numbers must be at least 1")
	}
	return lookup.Run(ctx, lookup.Options{Scale: c.Scale, Clients: c.Clients, Threads: c.Threads, Seconds: c.Seconds, Rounds: c.Rounds, Mode: c.Mode,
		Profile: c.Profile, JSON: c.JSON, Serve: []string{"bench", "lookup", "--child"}}, os.Stdout)
}

// serveBench is the server of a benchmark.
func serveBench(ctx context.Context) error {
	return peer.Serve(ctx, server.Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
}
