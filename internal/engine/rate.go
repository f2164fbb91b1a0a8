package engine

import (
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
)

// Limits of sources and sinks are in the catalog, so that they outlive a restart; who is limited by them asks there
// and is woken when they change.

// RatesChanged wakes sources and sinks after the catalog has changed their limits.
func (e *Engine) RatesChanged() { e.rates.wake() }

// rate returns the least limit that any of some relations sets, and a channel that is closed when it may have changed.
func (e *Engine) rate(kind string, ids ...catalog.ID) (int64, <-chan struct{}) {
	changed := e.rates.changed() // first: a change in between wakes for nothing
	snap := e.cfg.Catalog.Snapshot()
	least := throttle.Unlimited
	for _, id := range ids {
		if n, ok := snap.Relations[id].Rate(kind); ok && (least == throttle.Unlimited || n < least) {
			least = n
		}
	}
	return least, changed
}

// sourceThrottle makes what slows down a source inside a job: the source's limit or the job's, whichever is less.
func (e *Engine) sourceThrottle(job, source catalog.ID) *throttle.Throttle {
	return throttle.New(func() (int64, <-chan struct{}) { return e.rate(catalog.SourceRate, job, source) })
}

// sinkThrottle makes what slows down a sink.
func (e *Engine) sinkThrottle(sink catalog.ID) *throttle.Throttle {
	return throttle.New(func() (int64, <-chan struct{}) { return e.rate(catalog.SinkRate, sink) })
}
