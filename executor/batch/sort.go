package batch

import (
	"context"
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// sortOp orders all of its input; equal rows stay in input order. When the rows do not fit into memory, it writes sorted
// runs to disk and merges them.
type sortOp struct {
	q     *query
	in    Operator
	types []sqltypes.Type
	keys  []orderKey
	rows  *collector

	read   bool
	all    *delta.Chunk // the rows, in memory
	perm   []int32
	runs   []*spillFile // or on disk
	merger *runMerger
}

func newSort(q *query, n *plan.Sort) (Operator, error) {
	in, err := q.buildPlain(n.Input)
	if err != nil {
		return nil, err
	}
	types := plan.Types(n.Input)
	return &sortOp{q: q, in: in, types: types, keys: orderKeys(types, n.Keys), rows: newCollector(q, types)}, nil
}

// Open implements Operator.
func (s *sortOp) Open(ctx context.Context) error { return s.in.Open(ctx) }

// Next implements ChunkIter.
func (s *sortOp) Next(ctx context.Context) (*delta.Chunk, error) {
	if !s.read {
		s.read = true
		if err := s.collect(ctx); err != nil {
			return nil, err
		}
	}
	if s.merger != nil {
		return s.merger.next(ctx)
	}
	return nextGathered(ctx, s.all.Cols, &s.perm)
}

// sortOverhead is what sorting takes for a row besides the row itself; the buffer of long keys is counted as twice the
// rows again.
const sortOverhead = 64

func (s *sortOp) collect(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch, err := s.in.Next(ctx)
		if err != nil {
			return err
		}
		if ch == nil {
			break
		}
		if err := s.rows.add(ch); err != nil {
			return err
		}
		held := s.rows.held.bytes
		if s.q.crowded(3*held+int64(s.rows.rows)*sortOverhead, held) {
			if err := s.spill(ctx); err != nil {
				return err
			}
		}
	}
	if len(s.runs) > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
		return s.merge(ctx)
	}
	return s.sort(ctx)
}

// sort orders the rows in memory.
func (s *sortOp) sort(ctx context.Context) (err error) {
	if s.all, err = s.rows.finish(ctx); err != nil {
		return err
	}
	s.perm, err = sortRows(ctx, s.q, s.all, s.keys)
	return err
}

// spill writes the rows in memory as a run.
func (s *sortOp) spill(ctx context.Context) error {
	if err := s.sort(ctx); err != nil {
		return err
	}
	run, err := newSpillFile(s.q, s.types)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, run)
	for len(s.perm) > 0 {
		n := min(runBlock, len(s.perm))
		if err := run.add(gatherChunk(s.all.Cols, s.perm[:n])); err != nil {
			return err
		}
		s.perm = s.perm[n:]
	}
	s.all, s.perm = nil, nil
	s.rows.release()
	return ctx.Err()
}

// merge merges runs, in their order, until one pass over what is left yields the result.
func (s *sortOp) merge(ctx context.Context) error {
	for len(s.runs) > maxRuns {
		for done := 0; done < len(s.runs); done++ {
			n := min(maxRuns, len(s.runs)-done)
			run, err := s.mergeToFile(ctx, s.runs[done:done+n])
			if err != nil {
				return err
			}
			s.runs = slices.Replace(s.runs, done, done+n, run)
		}
	}
	var err error
	s.merger, err = newRunMerger(ctx, s.types, s.keys, s.runs)
	return err
}

func (s *sortOp) mergeToFile(ctx context.Context, runs []*spillFile) (*spillFile, error) {
	m, err := newRunMerger(ctx, s.types, s.keys, runs)
	if err != nil {
		return nil, err
	}
	out, err := newSpillFile(s.q, s.types)
	if err != nil {
		return nil, err
	}
	for {
		ch, err := m.next(ctx)
		if err == nil && ch != nil {
			err = out.add(ch)
		}
		if err != nil {
			out.Close()
			return nil, err
		}
		if ch == nil {
			break
		}
	}
	for _, r := range runs {
		r.Close()
	}
	return out, nil
}

// nextGathered takes a batch of rows off perm and copies them.
func nextGathered(ctx context.Context, cols []*delta.Vec, perm *[]int32) (*delta.Chunk, error) {
	if len(*perm) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := min(delta.BatchRows, len(*perm))
	idx := (*perm)[:n]
	*perm = (*perm)[n:]
	return gatherChunk(cols, idx), nil
}

// Close implements ChunkIter.
func (s *sortOp) Close() {
	s.in.Close()
	s.rows.release()
	for _, r := range s.runs {
		r.Close()
	}
}
