package demo

import (
	"bufio"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/server"
)

func sample() *state {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &state{At: at, Events: 1_234_567, Persons: 24_691, Auctions: 74_074, Bids: 1_135_802, PerSecond: 9_999.6, Rate: 10_000,
		Age: 42 * time.Millisecond, Window: at,
		Hot:        []hotAuction{{1000, 800, 99_876_512}, {1100, 400, 1200}},
		Categories: []category{{10, 12_345, 99_999_999, 123_456_789_012}, {11, 1, 100, 100}},
		States:     []region{{"OR", 12, 34, 56}},
	}
}

func TestPictureFitsTheScreen(t *testing.T) {
	for _, size := range [][2]int{{100, 40}, {80, 24}, {40, 15}, {12, 4}, {1, 1}} {
		lines := picture(sample(), "psql -h 127.0.0.1 -p 4566 -d dev -U root", "a warning", size[0], size[1])
		if len(lines) > size[1] {
			t.Errorf("%d lines on %d", len(lines), size[1])
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l.text) > size[0] {
				t.Errorf("line wider than %d: %s", size[0], l.text)
			}
		}
	}
}

func TestPictureSaysWhatMatters(t *testing.T) {
	var all strings.Builder
	for _, l := range picture(sample(), "psql -h here", "", 120, 60) {
		all.WriteString(l.text + "\n")
	}
	for _, want := range []string{"1,234,567 events, 10,000/s", "freshness 42 ms", "psql -h here", "03:04:05", "12,345", "OR", "$998,765", "$1.23B"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in\n%s", want, &all)
		}
	}
	if got := picture(&state{Age: -1}, "", "", 80, 60); !strings.Contains(got[2].text, "not known yet") {
		t.Errorf("an empty state: %s", got[2].text)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := commas(n); got != want {
			t.Errorf("commas(%d) = %s", n, got)
		}
	}
	for c, want := range map[float64]string{199: "$1", 99_999_900: "$999,999", 1e9: "$10.00M", 2.5e11: "$2.50B", 1e15: "$10.00T"} {
		if got := money(c); got != want {
			t.Errorf("money(%v) = %s, want %s", c, got, want)
		}
	}
}

// The demo on a real server, into a pipe: plain lines, a clean end, and the same events gone on with after a restart.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	first := runDemo(t, dir)
	second := runDemo(t, dir)
	if second.Events < first.Events {
		t.Errorf("%d events after a restart, %d before", second.Events, first.Events)
	}
}

var demoLine = regexp.MustCompile(`^\d\d:\d\d:\d\d  [\d,]+ events, [\d,]+/s, freshness \d+ ms, hottest auction \d+ .*, revenue \$.* in 5 categories, [\d,]+ bids in \d states$`)

func runDemo(t *testing.T, dir string) *Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := server.Start(ctx, server.Config{DataDir: dir}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	type end struct {
		sum *Summary
		err error
	}
	done := make(chan end, 1)
	go func() { // the test waits for done
		sum, err := Run(ctx, Options{Host: "127.0.0.1", Port: s.Addr().Port, Rate: 10_000, Out: w, Note: func() string { return "" },
			Emitted: func(string) (int64, bool) { return 0, true }})
		_ = w.Close()
		done <- end{sum, err}
	}()
	matched := false
	var seen []string
	for sc := bufio.NewScanner(r); sc.Scan(); {
		seen = append(seen, sc.Text())
		if demoLine.MatchString(sc.Text()) {
			matched = true
			cancel()
		}
	}
	e := <-done
	if e.err != nil || e.sum == nil || !matched {
		t.Fatalf("demo ended with %v after\n%s", e.err, strings.Join(seen, "\n"))
	}
	return e.sum
}
