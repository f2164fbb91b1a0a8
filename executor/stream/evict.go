package stream

import (
	"context"
	"sync"

	"github.com/millrace/millrace/internal/catalog"
)

// Eviction lets jobs forget what they hold in memory, because the store has all of it: at a checkpoint their actors flush, wait until the
// store has taken that, and go on with new operators, which ask the store for what they miss, as after a restart. Nothing else has to know
// how to leave parts of a container out, and what a restart gets right, this does.
//
// It is shared by the coordinator, the checkpoint and the actors.
type Eviction struct {
	jobs map[catalog.ID]bool
	once sync.Once
	done chan struct{} // closed by Done
	ok   bool          // written before done is closed
}

// NewEviction is an eviction of some jobs.
func NewEviction(jobs ...catalog.ID) *Eviction {
	e := &Eviction{jobs: map[catalog.ID]bool{}, done: make(chan struct{})}
	for _, id := range jobs {
		e.jobs[id] = true
	}
	return e
}

// Of reports whether a job is to let go of its state.
func (e *Eviction) Of(id catalog.ID) bool { return e != nil && e.jobs[id] }

// Done says that the store has taken the checkpoint; or, if not ok, that it never will. The first call counts.
func (e *Eviction) Done(ok bool) {
	if e != nil {
		e.once.Do(func() { e.ok = ok; close(e.done) })
	}
}

// Wait returns what Done was told.
func (e *Eviction) Wait(ctx context.Context) (ok bool, err error) {
	select {
	case <-e.done:
		return e.ok, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
