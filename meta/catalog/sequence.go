package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sequences. What is durable is the furthest value of a reserved run, written before any value of the run is handed
// out: after a crash a sequence goes on behind it, and the rest of the run is lost. A clean Close gives it back.

// sequenceKey leads to SequenceState records, as JSON, by id.
const sequenceKey = "sequence/"

// The first run that is reserved, and the longest; each is twice the one before.
const (
	firstRun   = 32
	longestRun = 1024
)

type sequences struct {
	mu sync.Mutex
	m  map[catalog.ID]*sequence
}

type sequence struct {
	mu     sync.Mutex // held while a value is drawn
	loaded bool
	catalog.SequenceState
	left  int64 // values of the reserved run that are not handed out yet
	run   int64
	dirty bool // what is durable is further on
}

func (s *Store) sequence(ctx context.Context, r *catalog.Relation) (*sequence, error) {
	s.seqs.mu.Lock()
	if s.seqs.m == nil {
		s.seqs.m = map[catalog.ID]*sequence{}
	}
	q := s.seqs.m[r.ID]
	if q == nil {
		q = &sequence{run: firstRun}
		s.seqs.m[r.ID] = q
	}
	s.seqs.mu.Unlock()
	q.mu.Lock()
	if q.loaded {
		return q, nil
	}
	res, err := s.client.Get(ctx, fmt.Sprint(sequenceKey, r.ID))
	if err == nil && len(res.Kvs) > 0 {
		err = json.Unmarshal(res.Kvs[0].Value, &q.SequenceState)
	} else if err == nil {
		q.SequenceState = catalog.SequenceState{Last: r.Sequence.Start}
	}
	if err != nil {
		q.mu.Unlock()
		return nil, fmt.Errorf("read sequence %d: %w", r.ID, err)
	}
	q.loaded = true
	return q, nil
}

func (s *Store) writeSequence(ctx context.Context, id catalog.ID, st catalog.SequenceState) error {
	b, err := json.Marshal(st)
	if err == nil {
		_, err = s.client.Put(ctx, fmt.Sprint(sequenceKey, id), string(b))
	}
	if err != nil {
		return fmt.Errorf("write sequence %d: %w", id, err)
	}
	return nil
}

// NextValue draws a value. Error 2200H at the end of a sequence that does not cycle.
func (s *Store) NextValue(ctx context.Context, r *catalog.Relation) (int64, error) {
	q, err := s.sequence(ctx, r)
	if err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	d := r.Sequence
	next := catalog.SequenceState{Last: q.Last, Called: true}
	if q.Called {
		if stepsLeft(d, q.Last) > 0 {
			next.Last += d.Increment
		} else {
			if !d.Cycle {
				return 0, exhausted(r)
			}
			q.left = 0
			if next.Last = d.Min; d.Increment < 0 {
				next.Last = d.Max
			}
		}
	}
	if q.left == 0 {
		more := min(q.run-1, stepsLeft(d, next.Last)) // after next
		reserved := catalog.SequenceState{Last: next.Last + more*d.Increment, Called: true}
		if err := s.writeSequence(ctx, r.ID, reserved); err != nil {
			return 0, err
		}
		q.left, q.run = more+1, min(2*q.run, longestRun)
	}
	q.left--
	q.SequenceState, q.dirty = next, q.left > 0
	return next.Last, nil
}

// stepsLeft is how often the increment can be added to v within the bounds.
func stepsLeft(d *catalog.SequenceDef, v int64) int64 {
	var room, step uint64
	if d.Increment > 0 {
		if v > d.Max {
			return 0
		}
		room, step = uint64(d.Max)-uint64(v), uint64(d.Increment)
	} else {
		if v < d.Min {
			return 0
		}
		room, step = uint64(v)-uint64(d.Min), -uint64(d.Increment)
	}
	return int64(min(room/step, math.MaxInt64))
}

func exhausted(r *catalog.Relation) error {
	if r.Sequence.Increment > 0 {
		return sqlerr.New(sqlerr.SequenceLimitExceeded, "nextval: reached maximum value of sequence %q (%d)", r.Name, r.Sequence.Max)
	}
	return sqlerr.New(sqlerr.SequenceLimitExceeded, "nextval: reached minimum value of sequence %q (%d)", r.Name, r.Sequence.Min)
}

// SetValue puts a sequence at a value.
func (s *Store) SetValue(ctx context.Context, r *catalog.Relation, st catalog.SequenceState) error {
	q, err := s.sequence(ctx, r)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	if err := s.writeSequence(ctx, r.ID, st); err != nil {
		return err
	}
	q.SequenceState, q.left, q.run, q.dirty = st, 0, firstRun, false
	return nil
}

// Value returns where a sequence stands.
func (s *Store) Value(ctx context.Context, r *catalog.Relation) (catalog.SequenceState, error) {
	q, err := s.sequence(ctx, r)
	if err != nil {
		return catalog.SequenceState{}, err
	}
	defer q.mu.Unlock()
	return q.SequenceState, nil
}

// Close gives back what sequences have reserved and not handed out. Nobody may draw values any more.
func (s *Store) Close(ctx context.Context) error {
	s.seqs.mu.Lock()
	defer s.seqs.mu.Unlock()
	for id, q := range s.seqs.m {
		q.mu.Lock()
		dirty, st := q.dirty, q.SequenceState
		q.mu.Unlock()
		if !dirty {
			continue
		}
		if err := s.writeSequence(ctx, id, st); err != nil {
			return err
		}
	}
	return nil
}

// sequenceStates reads all records, for a backup.
func (s *Store) sequenceStates(ctx context.Context) (map[string]json.RawMessage, error) {
	res, err := s.client.Get(ctx, sequenceKey, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	out := make(map[string]json.RawMessage, len(res.Kvs))
	for _, kv := range res.Kvs {
		out[strings.TrimPrefix(string(kv.Key), sequenceKey)] = kv.Value
	}
	return out, nil
}
