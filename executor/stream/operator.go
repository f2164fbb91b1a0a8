// Package stream holds the streaming operators, one a file.
//
// The idea: an operator is a single-threaded state machine. It is told of deltas on its ports and of
// barriers, and emits deltas; it never sees a lock, a channel, a context or an unaligned barrier. Linear
// operators (filter, project, the cross term of a join, partial aggregation) answer each delta at once;
// all others act at the barrier on the net change of the epoch and emit at most one −old +new per key.
// What an operator remembers lies in executor/state containers.
//
// An actor (executor/actor) owns an operator tree and drives it: OnDelta for chunks as they come, then
// OnBarrier once every port is aligned, children before parents, then Flush when the barrier is a
// checkpoint. Emit may block (back-pressure); large outputs leave in chunks of delta.BatchRows.
//
// Invariants, checked by the property test "view equals recompute": over any run, the sum of what was
// emitted up to a barrier equals the operator's function of the sum of what came in; at a barrier no
// emitted row's net weight is negative.
//
// It does not place operators on actors (planner/stream) and does not build trees from bytes. Start at
// Operator and Build.
package stream

import (
	"time"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/storage/change"
)

// Epoch numbers the interval between two barriers.
type Epoch uint64

// Barrier ends an epoch.
type Barrier struct {
	Epoch Epoch
	// Now is the epoch's timestamp, µs since 2000-01-01 UTC; it never falls.
	Now int64
	// Checkpoint: state changed so far is to be flushed.
	Checkpoint bool
	// LogPos is the position in the DML log up to which tables read in this epoch.
	LogPos uint64
	// Snapshot: the barrier belongs to the snapshot phase of a new job, all of whose barriers carry one
	// epoch; what a relation holds so far is saved like state and not yet readable.
	Snapshot bool
	// Stop: the actors end after this barrier.
	Stop bool
	// Evict asks jobs to let go of state that is in memory; nil: none has to. Only with Checkpoint.
	Evict *Eviction
	// Bulk is a large transaction that makes up the epoch of the job's relation; nil: none (executor/job, bulk.go).
	Bulk *change.Map
}

// WallClock is the time in the unit of Barrier.Now.
func WallClock() int64 { return datetime.FromTime(time.Now()) }

// Emit hands a chunk to whatever comes next. The chunk must not be changed afterwards.
type Emit func(*delta.Chunk) error

// Operator is one node of a running stream plan.
type Operator interface {
	// OnDelta takes changes from input port (0 is the first child).
	OnDelta(port int, c *delta.Chunk, emit Emit) error
	// OnBarrier is called when every port has reached b and the children have been told.
	OnBarrier(b Barrier, emit Emit) error
	// Flush appends the state changes since the last Flush; called after OnBarrier of a checkpoint.
	Flush(d *state.Delta)
	// Stats sums up the operator's state.
	Stats() state.Stats
}

// Watermarker is an Operator that makes use of watermarks. It is told of those of each port that hold after the
// barrier for which OnBarrier is called next.
type Watermarker interface {
	OnWatermarks(port int, m Marks)
}

// Marker is an Operator that makes watermarks of its own; it is asked after OnBarrier.
type Marker interface {
	Marks() Marks
}

// Env is what operators of one actor are built with.
type Env struct {
	// Table turns a job-local state ordinal (plan nodes' State fields) into a container's Config.
	Table func(ordinal int) state.Config
	// Owns reports whether the actor owns a vnode.
	Owns func(vnode uint16) bool
	// Ctx evaluates expressions; one per actor.
	Ctx *expr.Ctx
	// Report is told of rows whose expressions failed (the value became NULL); weight is the row's.
	Report func(weight int64, err *sqlerr.Error)
	// Late is told of rows below a watermark that an operator has acted on; nil: nobody wants to know.
	Late func(rows int)
	// StartEpoch is the epoch the actor starts after; row numbers of append-only state derive from it.
	StartEpoch Epoch
	// Singleton vnode for operators that run in one actor: tables without a distribution key.
	SingletonVNode uint16
	// AppendOnly reports whether the output of a plan node never retracts.
	AppendOnly func(n plan.Node) bool
	// UniqueKey returns a unique key of a plan node's output, if one is known.
	UniqueKey func(n plan.Node) ([]int, bool)
}

// report passes on the evaluation errors of c's rows and forgets them.
func (e *Env) report(c *delta.Chunk) {
	for _, re := range e.Ctx.TakeErrs() {
		e.fail(c.Weight(int(re.Row)), re.Err)
	}
}

// fail reports a row that could not be computed.
func (e *Env) fail(weight int64, err *sqlerr.Error) {
	if e.Report != nil {
		e.Report(weight, err)
	}
}

func (e *Env) late(rows int) {
	if rows > 0 && e.Late != nil {
		e.Late(rows)
	}
}

func (e *Env) owns(vnode uint16) bool { return e.Owns == nil || e.Owns(vnode) }

func (e *Env) appendOnly(n plan.Node) bool { return e.AppendOnly != nil && e.AppendOnly(n) }

// isNew reports whether the job has no saved state, so that no epoch of it has been completed for good.
func (e *Env) isNew() bool { return e.Table(0).Store == nil }

// stateless provides the methods of operators without state.
type stateless struct{}

func (stateless) OnBarrier(Barrier, Emit) error { return nil }
func (stateless) Flush(*state.Delta)            {}
func (stateless) Stats() state.Stats            { return state.Stats{} }
