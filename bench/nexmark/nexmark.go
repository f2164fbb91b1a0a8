// Package nexmark measures the Nexmark queries on this very build: how many events a query takes in, per
// second and per second of processor time, and what memory and state it needs.
//
// The idea: each query has a process, a server and a data folder of its own, so that processor time and
// memory are that query's and nothing is warm. The parent starts itself again for each query (Child), collects one
// JSON result a process, and for comparison runs bench/limit's program for the same query, over the same
// events, in a process of its own as well.
//
// One goroutine each, in parent and child. The child is the ordinary server: it is given SQL through its
// port, and asked for its jobs' status in memory.
//
// Invariants: the clock runs from CREATE until all events have passed; into a view until the commit of a checkpoint
// that holds them, with one every second before, and into a blackhole without any. A query that
// does not run is reported with its error and stops no other.
//
// It does not judge: the numbers to reach are written elsewhere. Start at Run and Child.
package nexmark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/millrace/millrace/bench/limit"
)

// What a query's result goes into.
const (
	SinkBlackhole = "blackhole" // thrown away
	SinkView      = "view"      // a materialized view
	SinkChecksum  = "checksum"  // thrown away after hashing every row
)

// Options say what to measure.
type Options struct {
	Queries     []string // none: all
	Events      int64
	EventRate   int64 // events per second of event time
	Throttle    int64 // events per second of the wall clock; 0: as fast as possible
	Parallelism int   // actors per fragment; 0: one per core
	Seed        int64
	Sink        string
	Limit       bool          // run the hand-written programs too
	Timeout     time.Duration // of one query
	CPUProfile  string        // file that the child writes a processor profile to
	MemProfile  string        // file that the child writes a heap profile to, at the end
	JSON        bool
}

// Result is what one query gave. The names in JSON are for programs that keep history: do not change them.
type Result struct {
	Query       string  `json:"query"`
	Sink        string  `json:"sink"`
	Error       string  `json:"error,omitempty"`
	Events      int64   `json:"events"`
	Scans       int     `json:"scans"` // how many times the query reads the stream
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	PeakRSS     int64   `json:"peak_rss_bytes"`
	StateRows   int     `json:"state_rows"`
	StateBytes  int     `json:"state_bytes"`
	Rows        int64   `json:"rows"` // net rows of the result
	Inserts     int64   `json:"inserts"`
	Deletes     int64   `json:"deletes"`
	Checksum    string  `json:"checksum,omitempty"`
	RowErrors   int64   `json:"row_errors"`
	Freshness   *Spread `json:"freshness,omitempty"`
	Limit       *Limit  `json:"limit,omitempty"`
	OfLimit     float64 `json:"of_limit,omitempty"` // events per CPU-second, as a part of the limit program's
	RowsDiffer  bool    `json:"rows_differ,omitempty"`
	Parallelism int     `json:"parallelism"`
}

// Limit is what the hand-written program for a query took.
type Limit = limit.Result

// Spread describes ages of what readers see, sampled at regular times. Unit: milliseconds.
type Spread struct {
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
	Samples int     `json:"samples"`
}

// PerSecond returns events per second of wall-clock time.
func (r *Result) PerSecond() float64 { return per(r.Events, r.Seconds) }

// PerCPUSecond returns events per second of processor time, over all cores.
func (r *Result) PerCPUSecond() float64 { return per(r.Events, r.CPUSeconds) }

func per(events int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(events) / seconds
}

// Run measures the queries one after the other and writes the report to out. childArgs makes the arguments with
// which this program, started again, calls Child or ChildLimit.
func Run(ctx context.Context, o Options, childArgs func(query string, limit bool) []string, out io.Writer) error {
	qs, err := find(o.Queries)
	if err != nil {
		return err
	}
	var results []*Result
	if !o.JSON {
		writeHead(out, o)
	}
	for _, q := range qs {
		r := &Result{Query: q.name, Sink: o.Sink, Events: o.Events}
		if err := spawn(ctx, o, childArgs(q.name, false), r); err != nil {
			r.Error = err.Error()
		}
		if o.Limit && limit.Has(q.name) && ctx.Err() == nil {
			l := &Limit{}
			if err := spawn(ctx, o, childArgs(q.name, true), l); err != nil {
				return fmt.Errorf("run limit program %s: %w", q.name, err)
			}
			r.compare(l)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		results = append(results, r)
		if !o.JSON {
			writeRow(out, o, r)
		}
	}
	if o.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	}
	writeFoot(out, results)
	return nil
}

func (r *Result) compare(l *Limit) {
	r.Limit = l
	if r.Error != "" {
		return
	}
	r.OfLimit = r.PerCPUSecond() * l.CPUSeconds / float64(l.Events)
	r.RowsDiffer = l.Rows != r.Rows
}

// spawn runs this program again and reads the result that it prints.
func spawn(ctx context.Context, o Options, args []string, result any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	text, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("not done after %s", o.Timeout)
		}
		return fmt.Errorf("run query: %w", err)
	}
	return json.Unmarshal(text, result)
}

func spread(ms []float64) *Spread {
	if len(ms) == 0 {
		return nil
	}
	slices.Sort(ms)
	at := func(part float64) float64 { return ms[int(part*float64(len(ms)-1))] }
	return &Spread{P50: at(0.5), P99: at(0.99), Max: ms[len(ms)-1], Samples: len(ms)}
}
