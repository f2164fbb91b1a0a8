// Package throttle slows down what flows in from sources and out to sinks to a number of rows per second, which may be
// none and may change at any moment.
//
// The idea: each batch pays for itself afterwards: the next one passes when as much time has gone by as its rows take
// at the limit that holds then. So a limit that is raised, lifted or set to nothing takes effect at once, also for
// who waits.
//
// A Throttle may be used by any goroutine; several share its limit.
//
// It does not know where a limit comes from (internal/engine). Start at Throttle.Pass.
package throttle

import (
	"context"
	"math"
	"sync"
	"time"
)

// Unlimited is the limit of what is not slowed down.
const Unlimited = int64(-1)

// Throttle lets rows pass.
type Throttle struct {
	limit func() (rows int64, changed <-chan struct{})
	mu    sync.Mutex
	sent  int       // rows of the last batch
	at    time.Time // when it passed
}

// New returns a throttle. limit gives the rows per second as they are now, 0 for none at all, and a channel that is
// closed when they may have changed.
func New(limit func() (rows int64, changed <-chan struct{})) *Throttle {
	return &Throttle{limit: limit}
}

// Pass waits until a batch of so many rows may pass, or for the end of ctx. Nothing holds up a batch without rows.
func (t *Throttle) Pass(ctx context.Context, rows int) error {
	if t == nil || rows == 0 {
		return nil
	}
	for {
		limit, changed := t.limit()
		wait := t.try(limit, rows)
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// Charge adds rows to the batch that passed last: the rest of a transaction, which nothing may hold up.
func (t *Throttle) Charge(rows int) {
	if t != nil {
		t.mu.Lock()
		t.sent += rows
		t.mu.Unlock()
	}
}

// try takes the place of the next batch, or returns how long until it is free.
func (t *Throttle) try(limit int64, rows int) time.Duration {
	if limit == 0 {
		return math.MaxInt64
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if limit > 0 {
		cost := time.Duration(float64(t.sent) / float64(limit) * float64(time.Second))
		if left := cost - now.Sub(t.at); left > 0 && !t.at.IsZero() {
			return left
		}
	}
	t.sent, t.at = rows, now
	return 0
}

// Batch is how many rows the next batch should have: a fifth of a second's, most at the most.
func (t *Throttle) Batch(most int) int {
	if t == nil {
		return most
	}
	limit, _ := t.limit()
	if limit < 0 {
		return most
	}
	return int(min(max(limit/5, 1), int64(most)))
}
