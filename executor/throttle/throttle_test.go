package throttle

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dial is a limit that a test turns.
type dial struct {
	rows    atomic.Int64
	changed atomic.Pointer[chan struct{}]
}

func newDial(rows int64) *dial {
	d := &dial{}
	d.rows.Store(rows)
	ch := make(chan struct{})
	d.changed.Store(&ch)
	return d
}

func (d *dial) limit() (int64, <-chan struct{}) {
	ch := *d.changed.Load()
	return d.rows.Load(), ch
}

func (d *dial) turn(rows int64) {
	d.rows.Store(rows)
	ch := make(chan struct{})
	close(*d.changed.Swap(&ch))
}

func TestRowsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(newDial(100).limit)
		began := time.Now()
		for range 10 {
			if err := th.Pass(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 4500*time.Millisecond {
			t.Errorf("ten batches of 50 rows at 100 a second took %v, want 4.5s", took)
		}
		th.Charge(50)
		if err := th.Pass(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 5500*time.Millisecond {
			t.Errorf("rows that were charged took %v, want 5.5s", took)
		}
		if n := th.Batch(2048); n != 20 {
			t.Errorf("Batch = %d, want 20", n)
		}
	})
}

func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		for _, th := range []*Throttle{nil, New(newDial(Unlimited).limit)} {
			for range 10 {
				if err := th.Pass(t.Context(), 1<<30); err != nil {
					t.Fatal(err)
				}
			}
			if th.Batch(7) != 7 {
				t.Error("a batch is cut although there is no limit")
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDial(0)
		th := New(d.limit)
		var passed atomic.Bool
		go func() { // ends when the dial is turned, which the bubble waits for
			if err := th.Pass(t.Context(), 1); err != nil {
				t.Error(err)
			}
			passed.Store(true)
		}()
		time.Sleep(time.Hour)
		if passed.Load() {
			t.Error("a row has passed a pause")
		}
		if err := th.Pass(t.Context(), 0); err != nil {
			t.Error(err)
		}
		d.turn(Unlimited)
		synctest.Wait()
		if !passed.Load() {
			t.Error("the end of the pause is not felt")
		}
		d.turn(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := th.Pass(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pass = %v", err)
		}
	})
}

// TestNewLimitHoldsAtOnce: who waits for a thousand seconds at one row a second goes on when the limit rises.
func TestNewLimitHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDial(1)
		th := New(d.limit)
		if err := th.Pass(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- th.Pass(t.Context(), 1) }() // the test receives
		time.Sleep(5 * time.Second)
		d.turn(100)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("passed after %v, want 10s", took)
		}
	})
}
