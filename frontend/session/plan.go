package session

import (
	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/batch"
	"github.com/millrace/millrace/planner/stream"
)

// planBatch makes a logical plan ready for the batch executor.
func planBatch(n plan.Node, snap *catalog.Snapshot) (plan.Node, error) {
	return batch.Plan(n, snap, nil)
}

// planQuery is planBatch for a SELECT, whose joins are ordered by what is known of the relations.
func (s *Session) planQuery(n plan.Node, snap *catalog.Snapshot) (plan.Node, error) {
	if s.m.Engine == nil {
		return planBatch(n, snap)
	}
	return batch.Plan(n, snap, s.m.Engine)
}

// setJob stores a planned job in its relation and returns how many state tables it has.
func setJob(r *catalog.Relation, n plan.Node, f *stream.Facts) (int, error) {
	b, err := plan.Encode(n)
	if err != nil {
		return 0, err
	}
	r.Plan, r.Key, r.Dist, r.UniqueKeys, r.AppendOnly, r.Watermarks = b, f.Key, f.Dist, f.UniqueKeys, f.AppendOnly, f.Watermarks
	return f.States, nil
}

// setTableJob plans the job of a table: DML, and its connector's rows if it has one.
func (s *Session) setTableJob(r *catalog.Relation) (int, error) {
	if r.Captured != nil {
		n, f := stream.CapturedJob(r)
		return setJob(r, n, f)
	}
	var src plan.Node
	if r.Connector != nil && r.Webhook == nil {
		var err error
		if src, err = bind.Source(s.env(nil), r); err != nil {
			return 0, err
		}
	}
	marks, err := bind.Watermarks(s.env(nil), r)
	if err != nil {
		return 0, err
	}
	n, f := stream.TableJob(r, src, marks, r.Parallelism)
	return setJob(r, n, f)
}
