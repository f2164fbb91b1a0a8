package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
)

// eviction chooses the jobs that let go of their state at a checkpoint: when state takes more memory than it may, those that hold most, until
// two thirds of that is left. nil: none has to. Coordinator only.
func (e *Engine) eviction() *stream.Eviction {
	limit := e.cfg.StateBytes
	if limit <= 0 {
		return nil
	}
	held := e.status.stateBytes()
	total := int64(0)
	for id, n := range held {
		if r := e.jobs[id]; r == nil || r.creating || r.stopped || r.rel.Kind == catalog.Feed {
			delete(held, id) // not in the checkpoint
		}
		total += n
	}
	if total <= limit {
		return nil
	}
	var chosen []catalog.ID
	for _, id := range slices.SortedFunc(maps.Keys(held), func(a, b catalog.ID) int { return cmp.Compare(held[b], held[a]) }) {
		if total <= limit/3*2 || held[id] == 0 {
			break
		}
		chosen = append(chosen, id)
		total -= held[id]
	}
	if len(chosen) == 0 {
		return nil
	}
	e.log.Info("state takes more memory than it may", "jobs", chosen, "limit", limit)
	return stream.NewEviction(chosen...)
}
