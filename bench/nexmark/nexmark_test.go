package nexmark

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/limit"
	"github.com/millrace/millrace/bench/peer"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/server"
)

// TestMain lets Run start this test binary as its child: child|limit, query, events, sink. It is also the server of peer.Millrace.
func TestMain(m *testing.M) {
	if peer.IsServer() {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if err := peer.Serve(context.Background(), server.Config{Logger: log}); err != nil {
			log.Error("serve", "err", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && (os.Args[1] == "child" || os.Args[1] == "limit") {
		events, _ := strconv.ParseInt(os.Args[3], 10, 64)
		o := options(os.Args[4], events, os.Args[2])
		err := error(nil)
		if os.Args[1] == "child" {
			err = Child(context.Background(), o, os.Stdout)
		} else {
			err = ChildLimit(context.Background(), o, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func options(sink string, events int64, queries ...string) Options {
	return Options{Queries: queries, Events: events, EventRate: 10_000, Seed: 7, Sink: sink, Limit: true, Timeout: time.Minute, Parallelism: 2}
}

func TestQueriesAreSQL(t *testing.T) {
	for i, q := range queries {
		if number(q.name) != i {
			t.Errorf("query %d is called %s", i, q.name)
		}
		for _, sink := range []string{SinkBlackhole, SinkView, SinkChecksum} {
			for _, sql := range append([]string{statement(q, sink), source(options(sink, 10))}, append(views, q.setup...)...) {
				if _, err := parser.Parse(sql); err != nil {
					t.Errorf("%s: %v in %s", q.name, err, sql)
				}
			}
		}
	}
	for _, q := range limit.Queries() {
		if _, err := find([]string{q}); err != nil {
			t.Error(err)
		}
	}
}

func TestFind(t *testing.T) {
	got, err := find([]string{"q4", "q0", "q23"})
	if err != nil || len(got) != 3 || got[0].name != "q4" || got[2].name != "q23" {
		t.Errorf("find = %v, %v", got, err)
	}
	if all, err := find(nil); err != nil || len(all) != 24 {
		t.Errorf("find(nil) gives %d queries, %v", len(all), err)
	}
	for _, bad := range []string{"q24", "4", "", "qx"} {
		if _, err := find([]string{bad}); err == nil {
			t.Errorf("found %q", bad)
		}
	}
}

func runChild(t *testing.T, o Options) *Result {
	t.Helper()
	var out bytes.Buffer
	if err := Child(context.Background(), o, &out); err != nil {
		t.Fatal(err)
	}
	r := &Result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A sink that hashes gives the same for any parallelism, and as many rows as a view and as the limit program.
func TestChild(t *testing.T) {
	const events = 30_000
	for _, q := range []string{"q2", "q3", "q4"} {
		one, two := options(SinkChecksum, events, q), options(SinkChecksum, events, q)
		one.Parallelism = 1
		a, b, v := runChild(t, one), runChild(t, two), runChild(t, options(SinkView, events, q))
		l, err := limit.Run(context.Background(), q, limit.Options{Events: events, EventRate: one.EventRate, Seed: one.Seed})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Result{a, b, v} {
			if r.Error != "" || r.Rows != l.Rows || r.Seconds <= 0 || r.CPUSeconds <= 0 {
				t.Errorf("%s: %+v, want %d rows", q, r, l.Rows)
			}
		}
		if a.Checksum != b.Checksum || a.Checksum == "" {
			t.Errorf("%s: checksum %q with one actor, %q with two", q, a.Checksum, b.Checksum)
		}
	}
}

func TestRun(t *testing.T) {
	o := options(SinkBlackhole, 10_000, "q0", "q2")
	args := func(query string, isLimit bool) []string {
		if isLimit {
			return []string{"limit", query, "10000", SinkBlackhole}
		}
		return []string{"child", query, "10000", SinkBlackhole}
	}
	var table, text bytes.Buffer
	if err := Run(context.Background(), o, args, &table); err != nil {
		t.Fatal(err)
	}
	if s := table.String(); strings.Count(s, "\n") != 5 || strings.Contains(s, "limit program has") || !strings.Contains(s, "geometric mean of 2 queries") {
		t.Errorf("table:\n%s", s)
	}
	o.JSON = true
	if err := Run(context.Background(), o, args, &text); err != nil {
		t.Fatal(err)
	}
	var rs []Result
	if err := json.Unmarshal(text.Bytes(), &rs); err != nil || len(rs) != 2 || rs[0].Rows != 9200 || rs[0].Limit == nil || rs[0].OfLimit <= 0 {
		t.Errorf("JSON: %v\n%s", err, &text)
	}
}

func TestSpread(t *testing.T) {
	if spread(nil) != nil {
		t.Error("a spread of nothing")
	}
	ms := make([]float64, 101)
	for i := range ms {
		ms[i] = float64(100 - i)
	}
	if s := spread(ms); *s != (Spread{50, 99, 100, 101}) {
		t.Errorf("spread = %+v", *s)
	}
}

func TestBig(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 9999: "9999", 12_345: "12K", 999_600: "1.00M", 4_321_000: "4.32M"} {
		if got := big(x); got != want {
			t.Errorf("big(%v) = %s, want %s", x, got, want)
		}
	}
}
