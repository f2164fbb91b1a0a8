package engine

import (
	"bytes"
	"sync"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// A sink's job keeps a log of the changes it owes its target (changeLog). A change is delivered only after the checkpoint that holds it has committed, and
// leaves the log with a checkpoint after its delivery. The target remembers the epoch, so that a restart
// between delivery and checkpoint delivers nothing twice.
//
// What was logged lately is delivered from memory; when that is more than owedBytes, because the target is slow or
// away, it is forgotten there and read from the log again.

// owedBytes bounds the changes that a sink holds in memory for its target.
const owedBytes = 32 << 20

// cleanRows bounds the delivered changes that one checkpoint deletes from an actor's part of the log.
const cleanRows = 100_000

// sinkRoot makes the root operators of a sink's job.
func (e *Engine) sinkRoot(rel *catalog.Relation) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	var once sync.Once
	var d *delivery
	return func(n *plan.Sink, env *stream.Env) (stream.Operator, error) {
		once.Do(func() {
			d = newDelivery(e, rel, n)
			e.mu.Lock()
			e.sinks[rel.ID] = d
			e.mu.Unlock()
		})
		s := &sinkLog{d: d, cons: stream.NewConsolidator(sinkKey(n)),
			changeLog: changeLog{e: e, table: env.Table(n.State).Table, vnode: uint16(len(d.logs)), types: d.types}}
		if env.AppendOnly(n.Input) {
			s.cons = nil
		}
		if env.Table(n.State).Store != nil {
			at := uint64(env.StartEpoch) // the store has the log as of then
			s.restored, s.stored = at, span{high: at}
		}
		d.logs = append(d.logs, s)
		return s, nil
	}
}

func sinkKey(n *plan.Sink) []row.KeyCol {
	if len(n.Key) == 0 {
		return nil
	}
	return row.Cols(n.Key...)
}

// sinkLog is the root operator of one actor of a sink's job.
type sinkLog struct {
	changeLog
	d        *delivery
	cons     *stream.Consolidator
	pass     []*delta.Chunk
	dirty    []owed // since the last Flush
	clean    []byte // the log's keys below are deleted; nil: not known
	restored uint64 // the epoch that a restart found the log at; 0: none

	mu sync.Mutex
	// What is owed, in two parts, earlier epochs first: stored are epochs to be read from the log, recent those in
	// memory.
	stored  span
	recent  []owed // ascending by epoch, all above stored
	bytes   int    // of recent
	rows    int64  // of both; of what a restart found, once it has been counted
	settled uint64 // delivered up to here
}

// span is a range of epochs, both ends included; high 0: none.
type span struct{ low, high uint64 }

// owed is an epoch's changes.
type owed struct {
	epoch  uint64
	chunks []*delta.Chunk
	rows   int
}

// OnDelta implements stream.Operator.
func (s *sinkLog) OnDelta(_ int, c *delta.Chunk, _ stream.Emit) error {
	if s.d.volatile() {
		return s.d.write(0, []*delta.Chunk{c})
	}
	if s.cons == nil {
		s.pass = append(s.pass, c)
	} else {
		s.cons.Add(c)
	}
	return nil
}

// OnBarrier implements stream.Operator.
func (s *sinkLog) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	if s.d.volatile() {
		return s.d.write(uint64(b.Epoch), nil)
	}
	chunks := s.pass
	s.pass = nil
	if s.cons != nil {
		var err error
		if chunks, err = netChanges(s.cons, s.types); err != nil {
			return err
		}
	}
	o := owed{epoch: uint64(b.Epoch), chunks: chunks}
	for _, c := range chunks {
		o.rows += c.Len()
	}
	if o.rows == 0 {
		return nil
	}
	s.dirty = append(s.dirty, o)
	s.owe(o)
	return nil
}

// owe notes an epoch's changes, in memory if there is room.
func (s *sinkLog) owe(o owed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += int64(o.rows)
	if s.stored.high == o.epoch { // snapshot phase: one epoch, many barriers
		return
	}
	n := len(s.recent)
	if n > 0 && s.recent[n-1].epoch == o.epoch {
		s.recent[n-1].chunks = append(s.recent[n-1].chunks, o.chunks...)
		s.recent[n-1].rows += o.rows
	} else {
		s.recent = append(s.recent, o)
	}
	for _, c := range o.chunks {
		s.bytes += c.SizeBytes()
	}
	if s.bytes > owedBytes/len(s.d.logs) {
		if s.stored.high == 0 {
			s.stored.low = s.recent[0].epoch
		}
		s.stored.high = o.epoch
		s.recent, s.bytes = nil, 0
	}
}

// Flush implements stream.Operator.
func (s *sinkLog) Flush(d *state.Delta) {
	s.d.landing.Lock()
	defer s.d.landing.Unlock()
	for _, o := range s.dirty {
		s.put(d, o.epoch, o.chunks)
	}
	s.dirty = nil
	s.mu.Lock()
	settled := s.settled
	s.mu.Unlock()
	if settled > 0 {
		s.forget(settled, d)
	}
}

// forget deletes what was delivered up to an epoch. What is left by an error, or for its number, goes another time: it is
// not delivered again.
func (s *sinkLog) forget(settled uint64, d *state.Delta) {
	lo, hi := s.clean, s.at(settled+1)
	if lo == nil {
		lo = s.at(0)
	}
	if bytes.Compare(lo, hi) >= 0 {
		return
	}
	n := 0
	err := s.scan(lo, hi, func(full, _ []byte) bool {
		_, _, k, _ := key.Split(full)
		d.Delete(s.table, s.vnode, k)
		n++
		if n == cleanRows {
			hi = append(append([]byte(nil), full...), 0)
		}
		return n < cleanRows
	})
	if err == nil {
		s.clean = hi
	}
}

// Stats implements stream.Operator.
func (s *sinkLog) Stats() state.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state.Stats{Bytes: s.bytes}
	for _, o := range s.recent {
		st.Rows += o.rows
	}
	return st
}

// first returns the earliest epoch after another that is owed and committed; ok is false for none.
func (s *sinkLog) first(after, committed uint64) (epoch uint64, ok bool, err error) {
	s.mu.Lock()
	st := s.stored
	s.mu.Unlock()
	low, high := max(st.low, after+1), min(st.high, committed)
	if st.high > 0 && low <= high {
		if epoch, err = s.firstFrom(low, high); err != nil || epoch > 0 {
			return epoch, err == nil, err
		}
		if low == st.low {
			s.skip(high)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.recent {
		if o.epoch > after {
			return o.epoch, o.epoch <= committed, nil
		}
	}
	return 0, false, nil
}

// skip notes that the log holds nothing that is owed up to an epoch.
func (s *sinkLog) skip(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(epoch)
}

// drop takes epochs out of both parts. The caller holds mu.
func (s *sinkLog) drop(epoch uint64) {
	if s.stored.high > 0 {
		if s.stored.low = max(s.stored.low, epoch+1); s.stored.low > s.stored.high {
			s.stored = span{}
		}
	}
	for len(s.recent) > 0 && s.recent[0].epoch <= epoch {
		for _, c := range s.recent[0].chunks {
			s.bytes -= c.SizeBytes()
		}
		s.recent = s.recent[1:]
	}
}

// settle notes that everything up to an epoch was delivered: rows changes.
func (s *sinkLog) settle(epoch uint64, rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = max(s.settled, epoch)
	s.rows -= rows
	s.drop(epoch)
}

// until adds up the changes that are owed up to an epoch.
func (s *sinkLog) until(epoch uint64) (rows int64, err error) {
	s.mu.Lock()
	st := s.stored
	for _, o := range s.recent {
		if o.epoch <= epoch {
			rows += int64(o.rows)
		}
	}
	s.mu.Unlock()
	if st.high > 0 && st.low <= epoch {
		err = s.scan(s.at(st.low), s.at(min(epoch, st.high)+1), func(_, _ []byte) bool { rows++; return true })
	}
	return rows, err
}

// count adds up the changes that a restart found in the log.
func (s *sinkLog) count() error {
	n, err := s.until(s.restored)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += n
	return err
}

// read calls f for the changes of an epoch, in chunks, and returns how many there were.
func (s *sinkLog) read(epoch uint64, f func(*delta.Chunk) error) (rows int64, err error) {
	s.mu.Lock()
	st := s.stored
	var chunks []*delta.Chunk
	for _, o := range s.recent {
		if o.epoch == epoch {
			chunks = o.chunks
		}
	}
	s.mu.Unlock()
	if st.high > 0 && st.low <= epoch && epoch <= st.high {
		return s.readStored(epoch, f)
	}
	for _, c := range chunks {
		rows += int64(c.Len())
		if err := f(c); err != nil {
			return rows, err
		}
	}
	return rows, nil
}
