// Package demo shows a running Millrace to a person: an auction house that never sleeps, and views of it that are
// always up to date, drawn in the terminal.
//
// The idea: the demo is a user like any other. It creates a Nexmark source and a few views with SQL over the
// Postgres wire, then reads the views a few times a second, all of them at one point in time, and draws what it
// read: on a terminal in place, else one line a second. Only how far the source has got is told by the server
// directly, for comparison with what can be seen.
//
// One goroutine, Run's. Pictures are made by pure functions of what was read and the screen's size.
//
// Invariants: the terminal is given back as it was, whatever ends the demo; a data folder that holds the demo's
// relations already is gone on with.
//
// It does not start the server (cmd does) and draws no conclusions. Start at Run.
package demo

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/term"
)

// Options say what to show and where.
type Options struct {
	// Host and Port are the server's.
	Host string
	Port int
	// Rate is the pace of a new source. Unit: events per second.
	Rate int
	// Emitted returns how many events the source of a job has emitted, false while that is not known.
	Emitted func(job string) (int64, bool)
	// Note returns the server's last warning, if there is one, to be shown below.
	Note func() string
	Out  *os.File
}

// Times between two looks at the views.
const (
	drawEach = 250 * time.Millisecond
	lineEach = time.Second
)

// Summary says what a demo has shown.
type Summary struct {
	Events int64 // that could be seen, since the source was made
	Lasted time.Duration
}

// Run shows the demo until ctx ends, which is no error.
func Run(ctx context.Context, o Options) (*Summary, error) {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://root@%s:%d/dev", o.Host, o.Port))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	began := time.Now()
	f := &feed{conn: conn, emitted: o.Emitted}
	if err := f.create(ctx, o.Rate); err != nil {
		return nil, orEnd(ctx, err)
	}
	s := newScreen(o)
	defer s.close()
	tick := time.NewTicker(s.each())
	defer tick.Stop()
	var last *state
	for {
		st, err := f.read(ctx)
		if err != nil {
			return summary(last, began), orEnd(ctx, err)
		}
		last = st
		if err := s.show(st); err != nil {
			return summary(last, began), err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return summary(last, began), nil
		}
	}
}

// orEnd takes an error for the end that it is, once the demo has been told to end.
func orEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func summary(last *state, began time.Time) *Summary {
	sum := &Summary{Lasted: time.Since(began)}
	if last != nil {
		sum.Events = last.Events
	}
	return sum
}

// isTerminal reports whether f is a screen that understands escape sequences.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" }
