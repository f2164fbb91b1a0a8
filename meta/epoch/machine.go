// Package epoch decides when an epoch ends, when a job has completed one, and when a checkpoint may commit.
//
// The idea: a pure state machine. Facts go in (time passes, a source has data, somebody waits for their
// write, an actor has passed a barrier, a commit has finished), decisions come out (issue this barrier, this
// job has completed this epoch, commit this checkpoint). No clock, no I/O, no goroutine, so that every
// sequence can be tested.
//
// Its owner (internal/engine's coordinator goroutine) serialises all calls.
//
// Invariants: epochs are issued in ascending order and never reused; a job completes epochs in order; at
// most one checkpoint is under way; a checkpoint commits only when every job that existed at its barrier,
// and still exists, has completed it.
//
// It does not carry barriers (executor/actor) or write checkpoints (internal/engine). Start at Machine.
package epoch

import (
	"slices"
	"time"

	"github.com/millrace/millrace/internal/catalog"
)

// Config are the machine's times and bounds.
type Config struct {
	// Interval is the time between barriers while sources have data. Default 100 ms.
	Interval time.Duration
	// While an epoch has at most SmallRows rows of sources, it may end QuickInterval after the one before: at
	// a low rate a row is visible at once, at a high rate long epochs fold many changes into one. TxnRows is the same bound
	// while transactions of another database arrive, each of which somebody may be waiting for.
	// Defaults 5 ms, 512 and 8192 rows.
	QuickInterval time.Duration
	SmallRows     int
	TxnRows       int
	// CheckpointInterval is the time between checkpoints while anything changes. Default 1 s.
	CheckpointInterval time.Duration
	// MaxInFlight bounds the epochs that the slowest job may be behind before sources have to wait, and no more are issued for them; it
	// bounds memory and what recovery replays. Unit: epochs. Default 8.
	MaxInFlight int
	// MaxOnDemand is the same bound for epochs that somebody waits for: a job that is busy with much does not hold up the writes and reads of
	// others. Default 256.
	MaxOnDemand int
}

// Barrier is a decision to end an epoch.
type Barrier struct {
	Epoch      uint64
	Checkpoint bool
}

// Decisions are what a step asks its owner to do, in the order of the fields.
type Decisions struct {
	Completed []Completed // these jobs have completed these epochs
	Commit    uint64      // write and commit this checkpoint; 0: none
	Issue     []Barrier   // send these barriers
}

// Completed says that a job has passed an epoch.
type Completed struct {
	Job   catalog.ID
	Epoch uint64
}

// Machine is the state. Use New.
type Machine struct {
	cfg    Config
	last   uint64   // last epoch issued
	issued []uint64 // epochs that some job has not completed yet, ascending
	jobs   map[catalog.ID]*job
	// activity: a source has put data into the running epoch. demand: somebody waits for a barrier.
	activity, demand, force bool
	rows                    int  // of sources in the running epoch
	txns                    bool // some of them are transactions of another database
	held                    bool // issue nothing
	lastIssue               time.Time
	lastCheckpoint          time.Time
	dirty                   bool                    // an epoch was issued since the last checkpoint barrier
	checkpoint              uint64                  // checkpoint under way, 0: none
	waitingFor              map[catalog.ID]struct{} // jobs that have not completed it
	committing              bool
}

type job struct {
	actors    int
	root      bool
	completed uint64
	acks      map[uint64]int
}

// New starts after the given epoch, usually the last committed one.
func New(cfg Config, last uint64) *Machine {
	if cfg.Interval == 0 {
		cfg.Interval = 100 * time.Millisecond
	}
	if cfg.QuickInterval == 0 {
		cfg.QuickInterval = 5 * time.Millisecond
	}
	if cfg.SmallRows == 0 {
		cfg.SmallRows = 512
	}
	if cfg.TxnRows == 0 {
		cfg.TxnRows = 8192
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = time.Second
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 8
	}
	if cfg.MaxOnDemand == 0 {
		cfg.MaxOnDemand = 256
	}
	return &Machine{cfg: cfg, last: last, jobs: map[catalog.ID]*job{}}
}

// Last returns the last epoch issued.
func (m *Machine) Last() uint64 { return m.last }

// AddJob makes a job take part from the next epoch on; it has completed the epochs up to completed. root
// marks jobs that take DML: an on-demand barrier waits for them only.
func (m *Machine) AddJob(id catalog.ID, actors int, root bool, completed uint64) {
	m.jobs[id] = &job{actors: actors, root: root, completed: completed, acks: map[uint64]int{}}
}

// RemoveJob forgets a job; a checkpoint no longer waits for it.
func (m *Machine) RemoveJob(id catalog.ID, now time.Time) Decisions {
	delete(m.jobs, id)
	delete(m.waitingFor, id)
	m.trim()
	return m.decide(now, nil)
}

// Activity says that a source has put rows into the running epoch; txn: they are whole transactions of another database.
func (m *Machine) Activity(rows int, txn bool, now time.Time) Decisions {
	m.activity = true
	m.rows += rows
	m.txns = m.txns || txn
	return m.decide(now, nil)
}

// Demand asks for a barrier as soon as possible; it joins the next one.
func (m *Machine) Demand(now time.Time) Decisions {
	m.demand = true
	return m.decide(now, nil)
}

// ForceCheckpoint asks for a checkpoint as soon as possible.
func (m *Machine) ForceCheckpoint(now time.Time) Decisions {
	m.force = true
	return m.decide(now, nil)
}

// Tick says that time has passed.
func (m *Machine) Tick(now time.Time) Decisions { return m.decide(now, nil) }

// Committed ends the checkpoint under way.
func (m *Machine) Committed(now time.Time) Decisions {
	m.checkpoint, m.committing = 0, false
	return m.decide(now, nil)
}

// Hold stops new epochs from being issued, or lets them again; Tick follows soon.
func (m *Machine) Hold(on bool) { m.held = on }

// InFlight returns how many epochs some job has not completed.
func (m *Machine) InFlight() int { return len(m.issued) }

// Completed returns the last epoch that a job has completed.
func (m *Machine) Completed(id catalog.ID) uint64 {
	if j := m.jobs[id]; j != nil {
		return j.completed
	}
	return 0
}

// Floor returns the last epoch that every job has completed.
func (m *Machine) Floor() uint64 {
	floor := m.last
	for _, j := range m.jobs {
		floor = min(floor, j.completed)
	}
	return floor
}

// Overloaded reports whether the slowest job is so far behind that sources should wait.
func (m *Machine) Overloaded() bool { return len(m.issued) >= m.cfg.MaxInFlight }

// Idle reports whether every job has completed every epoch, nothing waits for the next one, and no checkpoint
// is under way or due.
func (m *Machine) Idle() bool {
	return len(m.issued) == 0 && m.checkpoint == 0 && !m.dirty && !m.activity && !m.demand
}

// Ack says that one actor of a job has passed an epoch's barrier.
func (m *Machine) Ack(id catalog.ID, epoch uint64, now time.Time) Decisions {
	j := m.jobs[id]
	if j == nil {
		return Decisions{}
	}
	j.acks[epoch]++
	var done []Completed
	for {
		next, ok := j.next()
		if !ok {
			break
		}
		delete(j.acks, next)
		j.completed = next
		done = append(done, Completed{id, next})
		if next >= m.checkpoint && m.checkpoint != 0 {
			delete(m.waitingFor, id)
		}
	}
	m.trim()
	return m.decide(now, done)
}

// next returns the job's earliest epoch if all actors have passed it.
func (j *job) next() (uint64, bool) {
	low := ^uint64(0)
	for e := range j.acks {
		low = min(low, e)
	}
	return low, low != ^uint64(0) && j.acks[low] == j.actors
}

// trim drops issued epochs that every job has completed.
func (m *Machine) trim() {
	m.issued = slices.DeleteFunc(m.issued, func(e uint64) bool {
		for _, j := range m.jobs {
			if j.completed < e {
				return false
			}
		}
		return true
	})
}

// rootsBusy reports whether a job that takes DML is still working on an epoch.
func (m *Machine) rootsBusy() bool {
	for _, j := range m.jobs {
		if j.root && j.completed < m.last {
			return true
		}
	}
	return false
}

func (m *Machine) decide(now time.Time, done []Completed) Decisions {
	d := Decisions{Completed: done}
	if m.checkpoint != 0 && !m.committing && len(m.waitingFor) == 0 {
		m.committing = true
		d.Commit = m.checkpoint
	}
	if b, ok := m.issue(now); ok {
		d.Issue = append(d.Issue, b)
		if len(m.jobs) == 0 && b.Checkpoint { // nobody to wait for
			m.committing = true
			d.Commit = b.Epoch
		}
	}
	return d
}

// small reports whether the running epoch has so few rows that it need not gather more.
func (m *Machine) small() bool {
	return m.rows <= m.cfg.SmallRows || m.txns && m.rows <= m.cfg.TxnRows
}

func (m *Machine) issue(now time.Time) (Barrier, bool) {
	if m.held || len(m.issued) >= m.cfg.MaxInFlight && !(m.demand && len(m.issued) < m.cfg.MaxOnDemand) {
		return Barrier{}, false
	}
	due := m.checkpoint == 0 && (m.force || (m.dirty || m.activity) && now.Sub(m.lastCheckpoint) >= m.cfg.CheckpointInterval)
	switch {
	case m.demand && !m.rootsBusy():
	case m.activity && now.Sub(m.lastIssue) >= m.cfg.Interval:
	case m.activity && m.small() && len(m.issued) == 0 && now.Sub(m.lastIssue) >= m.cfg.QuickInterval:
	case due && (m.force || now.Sub(m.lastIssue) >= m.cfg.Interval):
	default:
		return Barrier{}, false
	}
	// Milliseconds since 1970 keep epochs from being reused after a crash that lost uncommitted ones.
	m.last = max(m.last+1, uint64(now.UnixMilli()))
	b := Barrier{Epoch: m.last, Checkpoint: due}
	m.demand, m.activity, m.txns, m.rows = false, false, false, 0
	m.lastIssue = now
	m.dirty = true
	if len(m.jobs) > 0 {
		m.issued = append(m.issued, b.Epoch)
	}
	if due {
		m.force, m.dirty = false, false
		m.lastCheckpoint = now
		m.checkpoint = b.Epoch
		m.waitingFor = make(map[catalog.ID]struct{}, len(m.jobs))
		for id := range m.jobs {
			m.waitingFor[id] = struct{}{}
		}
	}
	return b, true
}
