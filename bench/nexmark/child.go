package nexmark

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/bench/limit"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/server"
)

// Child measures one query in this process, on a temporary data folder, and prints its Result.
func Child(ctx context.Context, o Options, out io.Writer) error {
	qs, err := find(o.Queries)
	if err != nil || len(qs) != 1 {
		return errors.Join(err, fmt.Errorf("one query a process, not %d", len(qs)))
	}
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &Result{Query: qs[0].name, Sink: o.Sink, Events: o.Events}
	if err := measure(ctx, o, qs[0], dir, r); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return json.NewEncoder(out).Encode(r)
}

// ChildLimit measures the hand-written program for a query in this process.
func ChildLimit(ctx context.Context, o Options, out io.Writer) error {
	l, err := limit.Run(ctx, o.Queries[0], limit.Options{Events: o.Events, EventRate: o.EventRate, Seed: o.Seed})
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l)
}

// counts keeps what a blackhole sink says of itself when it is closed.
type counts struct {
	slog.Handler
	mu               *sync.Mutex
	inserts, deletes *int64
	checksum         *uint64
	seen             *bool
}

func newCounts() *counts {
	return &counts{Handler: slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}),
		mu: new(sync.Mutex), inserts: new(int64), deletes: new(int64), checksum: new(uint64), seen: new(bool)}
}

// Enabled implements slog.Handler.
func (c *counts) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (c *counts) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Message == "blackhole closed" {
		c.mu.Lock()
		defer c.mu.Unlock()
		*c.seen = true
		rec.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "inserts":
				*c.inserts += a.Value.Int64()
			case "deletes":
				*c.deletes += a.Value.Int64()
			case "checksum":
				*c.checksum += a.Value.Uint64()
			}
			return true
		})
	}
	if rec.Level < slog.LevelWarn {
		return nil
	}
	return c.Handler.Handle(ctx, rec)
}

// WithAttrs implements slog.Handler.
func (c *counts) WithAttrs(as []slog.Attr) slog.Handler {
	d := *c
	d.Handler = c.Handler.WithAttrs(as)
	return &d
}

// WithGroup implements slog.Handler.
func (c *counts) WithGroup(name string) slog.Handler {
	d := *c
	d.Handler = c.Handler.WithGroup(name)
	return &d
}

// noCheckpoint is the time between checkpoints where the query alone is measured: longer than any run.
const noCheckpoint = 24 * time.Hour

// stopWithin bounds the end of a child's server.
const stopWithin = time.Minute

func measure(ctx context.Context, o Options, q query, dir string, r *Result) error {
	log := newCounts()
	cfg := server.Config{DataDir: dir, Parallelism: o.Parallelism, Logger: slog.New(log)}
	if o.Sink != SinkView {
		cfg.Epochs.CheckpointInterval = noCheckpoint
	}
	s, err := server.Start(ctx, cfg, "127.0.0.1:0")
	if err != nil {
		return err
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		return s.Stop(end)
	}
	defer func() { _ = stop() }()
	r.Parallelism = o.Parallelism
	if r.Parallelism == 0 {
		r.Parallelism = runtime.GOMAXPROCS(0)
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://root@%s/dev", s.Addr()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range append(append([]string{source(o)}, views...), q.setup...) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := timed(ctx, o, s, conn, q, r); err != nil {
		return err
	}
	if o.Sink == SinkView {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+q.name).Scan(&r.Rows); err != nil {
			return err
		}
		return nil
	}
	if err := conn.Close(ctx); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	if !*log.seen {
		return errors.New("count the sink's rows: it did not say how many they are")
	}
	r.Inserts, r.Deletes = *log.inserts, *log.deletes
	r.Rows = r.Inserts - r.Deletes
	if o.Sink == SinkChecksum {
		r.Checksum = fmt.Sprintf("%016x", *log.checksum)
	}
	return nil
}

// timed is the part of a measurement during which the clock runs.
func timed(ctx context.Context, o Options, s *server.Server, conn *pgx.Conn, q query, r *Result) error {
	if o.CPUProfile != "" {
		f, err := os.Create(o.CPUProfile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	start, cpu := time.Now(), cpuTime()
	if _, err := conn.Exec(ctx, statement(q, o.Sink)); err != nil {
		return err
	}
	job, ok := s.Catalog.Snapshot().Find("public", q.name)
	if !ok {
		return fmt.Errorf("find job %s in the catalog", q.name)
	}
	ages, err := watch(ctx, o, s.Engine, job.ID, r)
	if err != nil {
		return err
	}
	if o.Sink == SinkView {
		err = s.Engine.Checkpoint(ctx)
	} else {
		err = s.Engine.Flush(ctx)
	}
	if err != nil {
		return err
	}
	r.Seconds, r.CPUSeconds = time.Since(start).Seconds(), (cpuTime() - cpu).Seconds()
	r.PeakRSS = peakRSS()
	r.Freshness = spread(ages)
	if o.MemProfile != "" {
		f, err := os.Create(o.MemProfile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		runtime.GC()
		if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
			return err
		}
	}
	if err := s.Engine.Checkpoint(ctx); err != nil { // which counts what the state holds
		return err
	}
	st, err := status(s.Engine, job.ID)
	r.StateRows, r.StateBytes, r.RowErrors = st.Rows, st.Bytes, st.RowErrors
	return err
}

// watchEach is how often a running query's progress is looked at. It is also the resolution of freshness.
const watchEach = 5 * time.Millisecond

// watch waits until every reader of the stream has passed its end. It returns how old what could be seen was,
// in milliseconds, at each look: epochs are numbered by the time they were cut.
func watch(ctx context.Context, o Options, e *engine.Engine, id catalog.ID, r *Result) ([]float64, error) {
	var ages []float64
	began := time.Now()
	tick := time.NewTicker(watchEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		st, err := status(e, id)
		if err != nil {
			return nil, err
		}
		var rows int64
		for _, src := range st.Sources {
			rows += src.Rows
		}
		r.Scans = len(st.Sources) / r.Parallelism
		if r.Scans > 0 && rows >= o.Events*int64(r.Scans) {
			return ages, nil
		}
		if time.Since(began) > time.Second { // after the start, which waits for the first epochs
			ages = append(ages, float64(time.Now().UnixMicro()-int64(st.Epoch)*1000)/1000)
		}
	}
}

func status(e *engine.Engine, id catalog.ID) (engine.JobStatus, error) {
	for _, st := range e.Jobs() {
		if st.ID != id {
			continue
		}
		if st.Error != "" {
			return st, fmt.Errorf("run job: %s", st.Error)
		}
		return st, nil
	}
	return engine.JobStatus{}, errors.New("the job is gone")
}

// cpuTime returns the processor time of this process, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS returns the most memory that this process has had resident. Unit: bytes; 0 where the system does not tell.
func peakRSS() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}
