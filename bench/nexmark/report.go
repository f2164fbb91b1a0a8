package nexmark

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
)

func writeHead(out io.Writer, o Options) {
	par := o.Parallelism
	if par == 0 {
		par = runtime.GOMAXPROCS(0)
	}
	pace := "as fast as possible"
	if o.Throttle > 0 {
		pace = fmt.Sprintf("%s events/s", big(float64(o.Throttle)))
	}
	checkpoints := "no checkpoints"
	if o.Sink == SinkView {
		checkpoints = "a checkpoint a second"
	}
	fmt.Fprintf(out, "nexmark: %s events, %s/s of event time, %s, into a %s, %s, parallelism %d, seed %d, %d cores\n",
		big(float64(o.Events)), big(float64(o.EventRate)), pace, o.Sink, checkpoints, par, o.Seed, runtime.NumCPU())
	fmt.Fprintf(out, "%-4s %9s %9s %8s %8s %10s %9s %9s %6s  %s\n",
		"", "events/s", "per CPU-s", "seconds", "peak MB", "state rows", "state MB", "rows", "limit", "freshness ms: p50 p99 max")
}

func writeRow(out io.Writer, o Options, r *Result) {
	if r.Error != "" {
		fmt.Fprintf(out, "%-4s %s\n", r.Query, r.Error)
		return
	}
	part := "-"
	if r.Limit != nil {
		part = fmt.Sprintf("%.0f %%", 100*r.OfLimit)
	}
	line := fmt.Sprintf("%-4s %9s %9s %8.2f %8.0f %10s %9.1f %9s %6s", r.Query, big(r.PerSecond()), big(r.PerCPUSecond()), r.Seconds,
		float64(r.PeakRSS)/1e6, big(float64(r.StateRows)), float64(r.StateBytes)/1e6, big(float64(r.Rows)), part)
	if f := r.Freshness; f != nil {
		line += fmt.Sprintf("  %.0f %.0f %.0f", f.P50, f.P99, f.Max)
	}
	if r.RowsDiffer {
		line += fmt.Sprintf("  the limit program has %d rows, not %d", r.Limit.Rows, r.Rows)
	}
	if r.RowErrors != 0 {
		line += fmt.Sprintf("  %d rows failed", r.RowErrors)
	}
	if r.Checksum != "" {
		line += "  " + r.Checksum
	}
	fmt.Fprintln(out, strings.TrimRight(line, " "))
}

// writeFoot sums up: the geometric means over the queries that ran.
func writeFoot(out io.Writer, results []*Result) {
	var rates, parts []float64
	for _, r := range results {
		if r.Error == "" {
			rates = append(rates, r.PerCPUSecond())
			if r.OfLimit > 0 {
				parts = append(parts, r.OfLimit)
			}
		}
	}
	if len(rates) > 0 {
		fmt.Fprintf(out, "geometric mean of %d queries: %s events per CPU-second", len(rates), big(geometric(rates)))
		if len(parts) > 0 {
			fmt.Fprintf(out, ", %.0f %% of generator and limit program (%d queries)", 100*geometric(parts), len(parts))
		}
		fmt.Fprintln(out)
	}
}

func geometric(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(xs)))
}

// big writes a number with three digits or so and a unit.
func big(x float64) string {
	switch {
	case x >= 999_500:
		return fmt.Sprintf("%.2fM", x/1e6)
	case x >= 9_999.5:
		return fmt.Sprintf("%.0fK", x/1e3)
	}
	return fmt.Sprintf("%.0f", x)
}
