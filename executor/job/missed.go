package job

import (
	"context"

	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// A job that has failed goes on from its last checkpoint, while the others have gone on to later ones. What its upstreams changed
// between the two is kept for each of its scans, and comes to it as one epoch, that of the latest checkpoint. What has changed since then
// is in the changelogs.

// Missed is what a job goes on with that is behind the latest checkpoint.
type Missed struct {
	// Barrier ends the epoch.
	Barrier stream.Barrier
	// Kept calls f for what was kept for a scan, in order.
	Kept func(scan ScanState, f func(*delta.Chunk) error) error
	// Behind says that an upstream is itself behind that checkpoint: the barrier comes in its changelog, after what is missing.
	Behind func(upstream catalog.ID) bool
}

// ScanState is the place where the changes that a scan has missed are kept.
type ScanState struct {
	Table     uint32
	Partition uint16
	Types     []sqltypes.Type
}

func (p *scanPump) state(base catalog.ID) ScanState {
	return ScanState{uint32(base) + uint32(p.node.State), uint16(p.partition), plan.Types(p.node)}
}

// catchUp sends what was kept.
func (p *scanPump) catchUp(ctx context.Context) error {
	err := p.missed.Kept(p.state(p.base), func(c *delta.Chunk) error { return p.edge.Send(ctx, actor.Message{Chunk: c}) })
	if err != nil || p.missed.Behind(p.node.Table) {
		return err
	}
	b := p.missed.Barrier
	p.after = b.Epoch
	return p.edge.Send(ctx, actor.Message{Barrier: &b, Marks: p.marks(nil)})
}

// MissedScan is what a job that has failed, or is behind, does not have of an upstream.
type MissedScan struct {
	ScanState
	Upstream catalog.ID
	entries  []changelog.Entry
	pump     *scanPump
}

// Each calls f for every epoch's changes, as the scan reads them.
func (m MissedScan) Each(f func(epoch stream.Epoch, chunks []*delta.Chunk)) {
	for _, e := range m.entries {
		chunks := make([]*delta.Chunk, len(e.Chunks))
		for i, c := range e.Chunks {
			chunks[i] = m.pump.project(c)
		}
		f(e.Barrier.Epoch, chunks)
	}
}

// Missed lists what the job's scans have to be kept of the epochs up to one, for those upstreams that are at that epoch; low is where what
// was kept of an upstream before ends.
func (j *Job) Missed(until stream.Epoch, low func(upstream catalog.ID) (stream.Epoch, bool)) []MissedScan {
	var out []MissedScan
	for _, s := range j.scans {
		if from, ok := low(s.node.Table); ok && !s.captured {
			out = append(out, MissedScan{s.state(s.base), s.node.Table, s.sub.Between(from, until), s})
		}
	}
	return out
}

// Kept says that what the job has missed of some upstreams, up to an epoch, is kept. running: the job still reads the changelogs.
func (j *Job) Kept(e stream.Epoch, running bool, of func(upstream catalog.ID) bool) {
	for _, s := range j.scans {
		switch {
		case !of(s.node.Table) || s.captured:
		case running:
			s.sub.Release(e)
		default:
			s.sub.Skip(e)
		}
	}
}

// ScanTables lists the tables in which changes are kept for the job.
func (j *Job) ScanTables() []uint32 {
	var out []uint32
	for _, s := range j.scans {
		if !s.captured {
			out = append(out, s.state(s.base).Table)
		}
	}
	return out
}
