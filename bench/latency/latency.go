// Package latency measures what a person waits for on a server that has nothing else to do: a one-row INSERT to be
// durable, and to be seen in a view; and what such a server costs while nobody waits.
//
// The idea: the server is a process of its own (this program, started again), so that its memory and processor
// time are nobody else's. One client inserts a row, waits for the acknowledgement, and at once reads the view until the
// row is there: with read-your-writes the first read shows it.
//
// One goroutine. It writes nothing but its report. Start at Run.
package latency

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what to measure.
type Options struct {
	Inserts int
	Pause   time.Duration // between two inserts, so that each meets an idle server
	Idle    time.Duration // how long the idle server is watched
	Settle  time.Duration // before that, until what went before is done
	Object  string        // object store URL; "" is the default
	JSON    bool
}

// Result is what was measured. Times in milliseconds.
type Result struct {
	ReadyMS   float64 `json:"ready_ms"`                // start of the process to its first answer
	IdleRSS   int64   `json:"idle_rss_bytes"`          // 0: not known on this system
	IdleCPU   float64 `json:"idle_cpu_percent"`        // of one core
	Durable   Spread  `json:"insert_durable"`          // INSERT sent to acknowledgement
	Visible   Spread  `json:"insert_visible"`          // INSERT sent to the row read from the view
	Reads     float64 `json:"reads_per_insert"`        // 1: the first read always shows the row
	LoadedRSS int64   `json:"loaded_rss_bytes"`        // after the inserts
	LoadedCPU float64 `json:"loaded_idle_cpu_percent"` // idle again, with a table and a view
}

// Spread describes waits in milliseconds.
type Spread struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// warmUp is how many inserts come before those that are counted.
const warmUp = 50

// Run starts a server on a temporary folder, measures, and writes the report to out.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &Result{}
	began := time.Now()
	p, err := start(ctx, dir, o.Object)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
		return err
	}
	r.ReadyMS = ms(time.Since(began))
	if r.IdleCPU, r.IdleRSS, err = p.idle(ctx, o); err != nil {
		return err
	}
	if err := inserts(ctx, conn, o, r); err != nil {
		return err
	}
	if r.LoadedCPU, r.LoadedRSS, err = p.idle(ctx, o); err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	write(out, o, r)
	return nil
}

// inserts measures one row after the other.
func inserts(ctx context.Context, conn *pgx.Conn, o Options, r *Result) error {
	for _, sql := range []string{
		"CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint, amount bigint)",
		"CREATE MATERIALIZED VIEW spent AS SELECT customer, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY customer",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	var durable, visible []float64
	reads := 0
	for i := range warmUp + o.Inserts {
		began := time.Now()
		if _, err := conn.Exec(ctx, "INSERT INTO orders VALUES ($1, $2, $3)", i, i, 10*i); err != nil {
			return err
		}
		acked := time.Now()
		n, err := see(ctx, conn, i)
		if err != nil {
			return err
		}
		if i >= warmUp {
			durable, visible = append(durable, ms(acked.Sub(began))), append(visible, ms(time.Since(began)))
			reads += n
		}
		if err := sleep(ctx, o.Pause); err != nil {
			return err
		}
	}
	r.Durable, r.Visible, r.Reads = spread(durable), spread(visible), float64(reads)/float64(max(o.Inserts, 1))
	return nil
}

// maxReads bounds the reads for one row; a view that needs that many does not follow.
const maxReads = 10_000

// see reads the view until a customer is in it, and returns how many reads that took.
func see(ctx context.Context, conn *pgx.Conn, customer int) (int, error) {
	for n := 1; n <= maxReads; n++ {
		var orders int64
		err := conn.QueryRow(ctx, "SELECT orders FROM spent WHERE customer = $1", customer).Scan(&orders)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return n, err
		}
	}
	return maxReads, fmt.Errorf("row %d is not in the view after %d reads", customer, maxReads)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func spread(xs []float64) Spread {
	if len(xs) == 0 {
		return Spread{}
	}
	slices.Sort(xs)
	at := func(part float64) float64 { return xs[int(part*float64(len(xs)-1))] }
	return Spread{at(0.5), at(0.99), xs[len(xs)-1]}
}

func write(out io.Writer, o Options, r *Result) {
	fmt.Fprintf(out, "ready after                %8.0f ms\n", r.ReadyMS)
	fmt.Fprintf(out, "idle, empty                %8.0f MB resident, %.2f %% of a core\n", float64(r.IdleRSS)/1e6, r.IdleCPU)
	fmt.Fprintf(out, "%-26s %8s %8s %8s\n", fmt.Sprintf("%d inserts of one row, ms", o.Inserts), "p50", "p99", "max")
	fmt.Fprintf(out, "  acknowledged durable     %8.2f %8.2f %8.2f\n", r.Durable.P50, r.Durable.P99, r.Durable.Max)
	fmt.Fprintf(out, "  then seen in a view      %8.2f %8.2f %8.2f   (%.3f reads each)\n", r.Visible.P50, r.Visible.P99, r.Visible.Max, r.Reads)
	fmt.Fprintf(out, "idle, with table and view  %8.0f MB resident, %.2f %% of a core\n", float64(r.LoadedRSS)/1e6, r.LoadedCPU)
}

// process is a running server.
type process struct {
	cmd *exec.Cmd
	url string
}

var readyLine = regexp.MustCompile(`psql -h (\S+) -p (\d+)`)

func start(ctx context.Context, dir, object string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"start", "--listen", "127.0.0.1:0", "--data", dir}
	if object != "" {
		args = append(args, "--object-store", object)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	text, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	line, err := bufio.NewReader(text).ReadString('\n')
	m := readyLine.FindStringSubmatch(line)
	if m == nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("start server: it said %q", line), err, cmd.Wait())
	}
	return &process{cmd, fmt.Sprintf("postgres://root@%s:%s/dev", m[1], m[2])}, nil
}

func (p *process) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

// idle returns the part of a core that the server uses over a time, and its memory at the end; zeros where the
// system does not tell.
func (p *process) idle(ctx context.Context, o Options) (percent float64, rss int64, err error) {
	if err := sleep(ctx, o.Settle); err != nil {
		return 0, 0, err
	}
	before, ok := p.cpu()
	if !ok {
		return 0, 0, nil
	}
	began := time.Now()
	if err := sleep(ctx, o.Idle); err != nil {
		return 0, 0, err
	}
	after, _ := p.cpu()
	return 100 * (after - before).Seconds() / time.Since(began).Seconds(), p.resident(), nil
}

// clockTick is the unit of processor times in /proc, the same on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

func (p *process) cpu() (time.Duration, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, false
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick, true
}

func (p *process) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}
