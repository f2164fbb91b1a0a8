package engine

import (
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// JobStatus is what SQL shows of a job.
type JobStatus struct {
	ID        catalog.ID
	State     string // running, creating, failed, recovering (it goes on from an earlier checkpoint and has yet to catch up)
	Epoch     uint64 // completed
	LagEpochs int
	Rows      int   // rows of operator state
	Bytes     int   // memory of operator state
	Read      int64 // creating: rows of the snapshot read
	Total     int64 // creating: rows of the snapshot, 0 unknown
	Error     string
	RowErrors int64 // rows whose expressions failed, net
	LastRow   string
	Sources   []job.SourceStatus
	// Watermarks are those that the job makes; LateRows came below a watermark that an operator had acted on.
	Watermarks []job.WatermarkStatus
	LateRows   int64
	// Captured are the tables that the job of a capturing source reads.
	Captured []CapturedTable
}

// CapturedTable is how far the snapshot of a captured table is.
type CapturedTable struct {
	Table catalog.ID
	Phase string // copying, recopying, live, gone, stopped
	Rows  int64  // that the snapshot has given
	Error string // why it is stopped
}

// Quarantined is a record that did not decode.
type Quarantined struct {
	Job    catalog.ID
	At     time.Time
	Record connector.RecordError
}

// quarantineRows bounds the records kept aside in memory. Unit: records over all jobs.
const quarantineRows = 10000

// statusMap holds what actors and sources report about themselves.
type statusMap struct {
	mu         sync.Mutex
	jobs       map[catalog.ID]*jobReport
	quarantine []Quarantined
}

type jobReport struct {
	err     error
	actors  map[int]state.Stats
	errs    int64
	late    int64
	lastErr string
}

func (s *statusMap) init() { s.jobs = map[catalog.ID]*jobReport{} }

func (s *statusMap) job(id catalog.ID) *jobReport {
	r := s.jobs[id]
	if r == nil {
		r = &jobReport{actors: map[int]state.Stats{}}
		s.jobs[id] = r
	}
	return r
}

func (s *statusMap) fail(id catalog.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.job(id).err = err
}

func (s *statusMap) forget(id catalog.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
}

func (s *statusMap) state(id catalog.ID, act int, a actor.Ack) {
	if a.Delta == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.job(id).actors[act] = a.Stats
}

// stateBytes is what the state of each job took in memory at the last checkpoint.
func (s *statusMap) stateBytes() map[catalog.ID]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[catalog.ID]int64{}
	for id, r := range s.jobs {
		for _, a := range r.actors {
			out[id] += int64(a.Bytes)
		}
	}
	return out
}

// rowError counts a row whose expression failed.
func (s *statusMap) rowError(id catalog.ID, weight int64, err *sqlerr.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.job(id)
	r.errs += weight
	r.lastErr = err.Error()
}

// lateRows counts rows that an operator dropped.
func (s *statusMap) lateRows(id catalog.ID, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.job(id).late += int64(rows)
}

func (s *statusMap) quarantined(id catalog.ID, recs []connector.RecordError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range recs {
		s.quarantine = append(s.quarantine, Quarantined{id, time.Now(), r})
	}
	if n := len(s.quarantine) - quarantineRows; n > 0 {
		s.quarantine = append([]Quarantined(nil), s.quarantine[n:]...)
	}
}

// Jobs reports on every job.
func (e *Engine) Jobs() []JobStatus {
	var out []JobStatus
	e.call(func(time.Time) {
		for id, r := range e.jobs {
			st := JobStatus{ID: id, State: "running", Sources: r.job.Sources(), Watermarks: r.job.Watermarks()}
			if r.rel.Captures() {
				st.Captured = e.capturedTables(id, st.Sources)
			}
			st.LagEpochs, _ = r.job.Lag()
			st.Epoch = e.machine.Completed(id)
			if r.creating {
				st.State, st.Epoch = "creating", r.at
				if b := r.job.Backfill(); b != nil {
					st.Read, st.Total = b.Rows.Load(), b.Total.Load()
				}
			}
			if r.behind {
				st.State = "recovering"
			}
			if r.stopped {
				st.State = "failed"
			}
			out = append(out, st)
		}
	})
	e.status.mu.Lock()
	defer e.status.mu.Unlock()
	for i := range out {
		r := e.status.jobs[out[i].ID]
		if r == nil {
			continue
		}
		if r.err != nil {
			out[i].State, out[i].Error = "failed", r.err.Error()
		}
		out[i].RowErrors, out[i].LastRow, out[i].LateRows = r.errs, r.lastErr, r.late
		for _, a := range r.actors {
			out[i].Rows += a.Rows
			out[i].Bytes += a.Bytes
		}
	}
	return out
}

// Quarantine lists the records kept aside, oldest first.
func (e *Engine) Quarantine() []Quarantined {
	e.status.mu.Lock()
	defer e.status.mu.Unlock()
	return append([]Quarantined(nil), e.status.quarantine...)
}
