// Package engine runs the streaming jobs of one node: it carries out the decisions of meta/epoch, takes DML,
// answers reads, adds and drops jobs, and writes checkpoints.
//
// The idea: one coordinator goroutine owns all bookkeeping about epochs and jobs; everything else (actors,
// sessions, the checkpointer) talks to it by posting closures. Reads never go through it: they open a view
// of storage/table at an epoch that all their relations have completed.
//
// Goroutines: the coordinator; those of each job; one per checkpoint being written; one per job being
// created. All have ended when Close returns.
//
// Lock order: ddl, then dml.mu, then shard. None is held while waiting for a job.
//
// Invariants: an acknowledged write is in the log; every epoch carries one log position up to which all
// tables read; a checkpoint holds all jobs at one epoch.
//
// It does not parse, bind or plan (frontend, planner) and does not know the wire. Start at Open, then
// coordinator.go.
package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/meta/epoch"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/shard"
	"github.com/millrace/millrace/storage/table"
	"github.com/millrace/millrace/storage/wal"
)

// Catalog is what the engine needs of the catalog.
type Catalog interface {
	Snapshot() *catalog.Snapshot
	// SetCreated marks a relation's job as complete, durably.
	SetCreated(ctx context.Context, id catalog.ID) error
}

// Commit is the part of a checkpoint that this package keeps in the global manifest.
type Commit struct {
	Epoch  uint64
	LogPos uint64
	// Now is the epoch's time, µs since 2000-01-01 UTC: now() in views does not fall behind it.
	Now int64 `json:",omitempty"`
	// Jobs lists the relations whose jobs are part of the checkpoint.
	Jobs []catalog.ID
	// Behind lists those of them that it holds at an earlier epoch: they had failed.
	Behind []Behind `json:",omitempty"`
}

// Checkpoints makes checkpoints durable.
type Checkpoints interface {
	// Commit uploads what the shard holds and makes it the current checkpoint, atomically.
	Commit(ctx context.Context, s *shard.Shard, epoch, logPos uint64, engine json.RawMessage) error
}

// Config is what an engine is built with. All fields without "default" are required.
type Config struct {
	Catalog     Catalog
	Shard       *shard.Shard
	Checkpoints Checkpoints
	Log         *wal.Log
	Last        *Commit // what the current checkpoint holds; nil: nothing
	Source      func(name string) (connector.Source, error)
	Sink        func(name string) (connector.Sink, error)
	Settings    func(rel *catalog.Relation) *sqlio.Settings // those frozen at CREATE
	// Follow lets a captured table follow a change of its upstream's columns; what it cannot follow is noted, and no error. nil: no table
	// is captured.
	Follow func(ctx context.Context, table *catalog.Relation, change *connector.SchemaChange) error
	// Demands binds what a table demands of rows that a sink brings into it, and makes what it is evaluated with. nil: nothing.
	Demands    func(ctx context.Context, table *catalog.Relation) ([]plan.Check, *expr.Ctx, error)
	ClusterID  string // never used by another cluster: names what sinks keep in their targets
	Epochs     epoch.Config
	CacheBytes int64        // of relations' columns in memory
	StateBytes int64        // that the state of jobs may take in memory; default: no limit
	Logger     *slog.Logger // default: slog.Default
}

// Engine is a running node.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	tables *table.Store
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	posted chan func(now time.Time)

	// ddl serialises creating and dropping jobs.
	ddl sync.Mutex
	// shardMu serialises writers of the shard, and makes ingest plus change of the readers' base one step.
	shardMu sync.Mutex

	// Owned by the coordinator.
	machine   *epoch.Machine
	jobs      map[catalog.ID]*running
	quiescent []func()
	lastNow   int64
	ckpt      checkpoint
	early     []jobDelta // of jobs that joined since the last checkpoint barrier
	committed uint64
	more      bool // the last epoch did not take all that was logged
	// What jobs that have failed go on from.
	base       Commit               // what the shard holds: Epoch, LogPos, Now
	places     map[catalog.ID]Place // where it holds each job
	issued     []*stream.Barrier    // since base
	committing bool                 // a checkpoint is being written
	failures   map[catalog.ID]int   // of a job since a checkpoint held it last

	mu       sync.Mutex
	sinks    map[catalog.ID]*delivery     // guarded by mu
	captures map[catalog.ID]*job.Captures // by source; guarded by mu
	captured broadcast                    // the captured tables of some source are others
	// subscriptions are the logs of running subscriptions; guarded by mu.
	subscriptions map[catalog.ID]*subscription
	feeds         map[*Feed]struct{} // guarded by mu
	// delivered holds what the log says of sinks into tables; guarded by mu.
	delivered map[catalog.ID]uint64

	dml      dml
	startPos uint64 // what the log held at start: no reader sees less
	gate     gate
	rates    broadcast // after limits of sources and sinks have changed
	progress broadcast // after each completed epoch, commit or change of jobs
	durable  atomic.Uint64
	commits  broadcast // after each commit: durable, the committed epoch, has grown
	status   statusMap
	failed   atomic.Pointer[error] // a checkpoint could not be written: reads go on, writes do not
}

type epochPos struct {
	epoch, pos uint64
}

// running is a job in this process.
type running struct {
	rel      *catalog.Relation
	job      *job.Job
	logs     []*changelog.Log
	creating bool   // not yet part of the machine
	epoch    uint64 // it began after this one; creating: that of its snapshot
	acks     map[uint64]int
	at       uint64        // creating: last epoch completed
	saved    int           // creating: barriers of the snapshot phase completed
	now      int64         // creating: time of the snapshot's epoch
	wakes    map[int]int64 // by actor: when it wants a barrier without input
	deltas   []*change.Set // creating: flushed and not yet in the store
	stopped  bool
	behind   bool // creating: it has failed and goes on from epoch
	// A sink's delivery: its end, and when it has ended.
	cancel    context.CancelFunc
	delivered chan struct{}
}

// Open starts the engine and every job of the catalog. It returns before the jobs have caught up.
func Open(parent context.Context, cfg Config) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	snap, err := cfg.Shard.Snapshot()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(parent)
	e := &Engine{cfg: cfg, log: cfg.Logger, ctx: ctx, cancel: cancel, tables: table.NewStore(snapshot{snap}, cfg.CacheBytes),
		posted: make(chan func(time.Time), 4096), jobs: map[catalog.ID]*running{},
		sinks: map[catalog.ID]*delivery{}, captures: map[catalog.ID]*job.Captures{}, delivered: map[catalog.ID]uint64{},
		subscriptions: map[catalog.ID]*subscription{}, feeds: map[*Feed]struct{}{}}
	last := Commit{}
	if cfg.Last != nil {
		last = *cfg.Last
	}
	e.committed, e.lastNow, e.base = last.Epoch, last.Now, last
	e.places, e.failures = last.places(), map[catalog.ID]int{}
	e.machine = epoch.New(cfg.Epochs, last.Epoch)
	e.durable.Store(last.Epoch)
	e.progress.init()
	e.commits.init()
	e.rates.init()
	e.captured.init()
	e.dml.init(last.Epoch, last.LogPos)
	e.gate.init()
	e.status.init()
	behind, err := e.start(last)
	if err != nil {
		cancel()
		e.stopJobs()
		_ = e.tables.Close()
		return nil, err
	}
	e.startPos = e.Logged()
	e.wg.Add(1)
	go e.coordinate() // Close waits
	e.demand()        // makes what the log holds readable
	if len(behind) > 0 {
		e.wg.Add(1)
		go func() { // Close waits
			defer e.wg.Done()
			e.caughtUp(behind)
		}()
	}
	e.resumeCreation(last)
	return e, nil
}

// places is where the checkpoint has each job.
func (c Commit) places() map[catalog.ID]Place {
	s := standings{live: c.Jobs, behind: c.Behind}
	return s.places(Place{c.Epoch, c.LogPos})
}

// start brings up the jobs that the checkpoint holds, and new ones that need no snapshot. It returns those that have yet to catch up with
// the checkpoint.
func (e *Engine) start(last Commit) (behind []*running, err error) {
	if err := e.replay(last.LogPos); err != nil {
		return nil, err
	}
	saved := map[catalog.ID]bool{}
	for _, id := range last.Jobs {
		saved[id] = true
	}
	for _, rel := range e.cfg.Catalog.Snapshot().Sorted() {
		if !rel.HasJob() || !saved[rel.ID] && beginsAnew(e.cfg.Catalog.Snapshot(), rel) {
			continue
		}
		if !saved[rel.ID] {
			if err := e.deleteState(e.ctx, rel); err != nil {
				return nil, err
			}
		}
		if e.placeOf(rel.ID).Epoch < last.Epoch {
			behind = append(behind, &running{rel: rel})
			continue
		}
		r, err := e.build(rel, origin{epoch: last.Epoch, saved: saved[rel.ID]})
		if err != nil {
			return nil, fmt.Errorf("start job of %s %q: %w", rel.Kind, rel.Name, err)
		}
		e.attach(r, last.Epoch)
	}
	return e.goOn(behind)
}

// resumeCreation begins anew the jobs whose snapshot had not been finished.
func (e *Engine) resumeCreation(last Commit) {
	saved := map[catalog.ID]bool{}
	for _, id := range last.Jobs {
		saved[id] = true
	}
	for _, rel := range e.cfg.Catalog.Snapshot().Sorted() {
		if rel.Captured != nil && rel.Creating {
			e.wg.Add(1)
			go func() { // Close waits
				defer e.wg.Done()
				e.finishCapture(rel)
			}()
		}
		if !rel.HasJob() || saved[rel.ID] || !beginsAnew(e.cfg.Catalog.Snapshot(), rel) {
			continue
		}
		e.wg.Add(1)
		go func() { // Close waits
			defer e.wg.Done()
			e.restart([]*running{{rel: rel}}, 0)
		}()
	}
}

// needsSnapshot reports whether a relation's job scans stored relations. A subscription keeps changes only.
func needsSnapshot(s *catalog.Snapshot, rel *catalog.Relation) bool {
	if rel.Kind == catalog.Subscription {
		return false
	}
	for _, d := range rel.DependsOn {
		if r := s.Relations[d]; r != nil && r.IsStored() && d != rel.SinkInto {
			return true
		}
	}
	return false
}

// beginsAnew reports whether a job that the checkpoint does not hold begins with its inputs as they are
// then. A subscription does, too: what changed meanwhile is not in its log, and its cursors are told.
func beginsAnew(s *catalog.Snapshot, rel *catalog.Relation) bool {
	return rel.Kind == catalog.Subscription || needsSnapshot(s, rel)
}

// post hands a closure to the coordinator.
func (e *Engine) post(f func(now time.Time)) {
	select {
	case e.posted <- f:
	case <-e.ctx.Done():
	}
}

// call runs a closure on the coordinator and waits for it; false when the engine is closing.
func (e *Engine) call(f func(now time.Time)) bool {
	done := make(chan struct{})
	e.post(func(now time.Time) { f(now); close(done) })
	select {
	case <-done:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// Close takes a last checkpoint, bounded by ctx, and stops everything.
func (e *Engine) Close(ctx context.Context) error {
	err := e.Checkpoint(ctx)
	e.settle(ctx)
	e.cancel()
	e.wg.Wait()
	e.stopJobs()
	for _, d := range e.sinks {
		d.closeDirect()
	}
	if cerr := e.tables.Close(); err == nil {
		err = cerr
	}
	return err
}

func (e *Engine) stopJobs() {
	for _, r := range e.jobs {
		r.job.Stop()
	}
	for _, r := range e.jobs {
		_ = r.job.Wait()
	}
}

// snapshot adapts the shard's snapshot to what storage/table reads.
type snapshot struct{ *shard.Snapshot }

// Scan implements table.Snapshot.
func (s snapshot) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	it := s.Snapshot.Scan(context.Background(), lo, hi, false)
	for it.Next() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	return it.Close()
}

// broadcast wakes everyone who waits for a change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) init() { b.ch = make(chan struct{}) }

// changed returns a channel that is closed at the next wake.
func (b *broadcast) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}

// gate makes sources wait while jobs are too far behind.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed: open
	shut bool
}

func (g *gate) init() { g.open = make(chan struct{}); close(g.open) }

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if shut == g.shut {
		return
	}
	g.shut = shut
	if shut {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
}

func (g *gate) wait(ctx context.Context) {
	g.mu.Lock()
	ch := g.open
	g.mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
	}
}
