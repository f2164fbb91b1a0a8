package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/key"
)

// sourceScan is the leaf of a source inside a job: it passes chunks on and keeps the offsets that came with
// them, so that they are saved in the same epoch as the results.
type sourceScan struct {
	mu      sync.Mutex // Status is read by sessions
	cfg     state.Config
	offsets map[string][]byte
	dirty   map[string]struct{}
	mine    map[string]struct{} // splits that this actor reads; offsets holds the others' saved ones, too
	rows    int64
	errs    int64
	lastErr string // of the last record that did not decode
	failure string // of the outside world, while it lasts
	backlog int64
	splits  map[string]*SplitStatus
	report  func([]connector.RecordError)
	policy  string           // what happens to records that do not decode: quarantine, skip or fail
	fatal   error            // policy fail: the record that ends the job at the next barrier
	resting map[string]bool  // splits that were read to their end
	current *connector.Batch // whose chunk is on its way through the actor's tree
	// readable says where an offset is; nil: it is text.
	readable func(split string, offset []byte) string
	saving   []savedOffsets // at checkpoints that are not durable yet, ascending
}

// savedOffsets are the positions that a checkpoint holds.
type savedOffsets struct {
	epoch   stream.Epoch
	offsets []connector.SplitOffset
}

func newSourceScan(cfg state.Config) (*sourceScan, error) {
	s := &sourceScan{cfg: cfg, offsets: map[string][]byte{}, dirty: map[string]struct{}{}, resting: map[string]bool{}, splits: map[string]*SplitStatus{}}
	if cfg.Store == nil {
		return s, nil
	}
	r := key.TableRange(cfg.Table)
	err := cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		if _, _, k, err := key.Split(full); err == nil {
			s.offsets[string(k)] = append([]byte(nil), v...)
		}
		return true
	})
	return s, err
}

// OnMeta implements actor.Leaf.
func (s *sourceScan) OnMeta(meta any) {
	b := meta.(*connector.Batch)
	s.current = b
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range b.Offsets {
		s.offsets[o.Split] = o.Offset
		s.dirty[o.Split] = struct{}{}
		s.resting[o.Split] = b.Resting
	}
	s.backlog = b.Backlog
	s.count(b)
	if n := len(b.Errors); n > 0 {
		s.errs += int64(n)
		s.lastErr = b.Errors[n-1].Err.Error()
		if s.policy == "fail" {
			s.fatal = fmt.Errorf("decode record at %s of split %s: %w", b.Errors[0].Offset, b.Errors[0].Split, b.Errors[0].Err)
		}
		if s.report != nil && s.policy != "skip" {
			s.report(b.Errors)
		}
	}
}

// count adds what a batch says of each of its splits.
func (s *sourceScan) count(b *connector.Batch) {
	for i, o := range b.Offsets {
		if st := s.split(o.Split); b.Lags != nil {
			st.Lag = b.Lags[i]
		}
	}
	switch {
	case b.Chunk == nil:
	case b.Runs != nil:
		for _, r := range b.Runs {
			s.split(r.Split).Rows += int64(r.Rows)
		}
	case len(b.Offsets) > 0:
		s.split(b.Offsets[0].Split).Rows += int64(b.Chunk.Len())
	}
	for _, e := range b.Errors {
		st := s.split(e.Split)
		st.Errors++
		st.LastError = e.Err.Error()
	}
}

func (s *sourceScan) split(name string) *SplitStatus {
	st := s.splits[name]
	if st == nil {
		st = &SplitStatus{Lag: -1, Retained: -1}
		s.splits[name] = st
	}
	return st
}

// OnDelta implements stream.Operator.
func (s *sourceScan) OnDelta(_ int, c *delta.Chunk, emit stream.Emit) error {
	s.mu.Lock()
	s.rows += int64(c.Len())
	s.mu.Unlock()
	err := emit(c)
	s.current = nil
	return err
}

// OnBarrier implements stream.Operator. An epoch with a record that may not be left out does not complete: the
// job fails with the record's error and tries again from the last checkpoint.
func (s *sourceScan) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	if b.Checkpoint && len(s.dirty) > 0 && s.fatal == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		saved := savedOffsets{epoch: b.Epoch}
		for split := range s.dirty {
			saved.offsets = append(saved.offsets, connector.SplitOffset{Split: split, Offset: s.offsets[split]})
		}
		s.saving = append(s.saving, saved)
	}
	return s.fatal
}

// durable returns the positions that the checkpoint of an epoch, or one before it, has made durable since it was asked last.
func (s *sourceScan) durable(e stream.Epoch) []connector.SplitOffset {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []connector.SplitOffset
	for len(s.saving) > 0 && s.saving[0].epoch <= e {
		out = append(out, s.saving[0].offsets...)
		s.saving = s.saving[1:]
	}
	return out
}

// Flush implements stream.Operator.
func (s *sourceScan) Flush(d *state.Delta) {
	for split := range s.dirty {
		d.Put(s.cfg.Table, splitVNode(split), []byte(split), s.offsets[split])
	}
	clear(s.dirty)
}

// Stats implements stream.Operator.
func (s *sourceScan) Stats() state.Stats { return state.Stats{Rows: len(s.offsets)} }

// fail keeps what is wrong with the outside world; "" when it is well again.
func (s *sourceScan) fail(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = text
}

// placed reports whether the actor knows its splits and where in each of them it is.
func (s *sourceScan) placed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for split := range s.mine {
		if s.offsets[split] == nil {
			return false
		}
	}
	return s.mine != nil
}

// at reports whether a split's offset is that one.
func (s *sourceScan) at(split string, offset []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Equal(s.offsets[split], offset)
}

// owned lists the splits that the actor reads; not ok while it does not know them.
func (s *sourceScan) owned() (names []string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for split := range s.mine {
		names = append(names, split)
	}
	return names, s.mine != nil
}

// rests reports whether a split was read to its end and may get no more.
func (s *sourceScan) rests(split string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resting[split]
}

func splitVNode(split string) uint16 { return uint16(key.Hash([]byte(split)) & 255) }

// SourceStatus is what SHOW and the system catalog tell of a source inside a job.
type SourceStatus struct {
	Rows, Errors, Backlog int64
	LastError             string // Failure, or else that of the last record that did not decode
	Failure               string // what is wrong with the outside world now
	Offsets               map[string]string
	Positions             map[string]string // Offsets for people, where those are not
	// Splits say how each split that has been read goes.
	Splits map[string]SplitStatus
}

// SplitStatus is what has been read of a split since the server was started.
type SplitStatus struct {
	Rows, Errors int64
	Lag          int64  // records ahead, as of the last batch; −1: unknown
	Retained     int64  // bytes of log that the upstream keeps for us; −1: unknown
	LastError    string // of the last record that did not decode
}

func (s *sourceScan) status() SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := SourceStatus{Rows: s.rows, Errors: s.errs, Backlog: s.backlog, LastError: s.lastErr, Offsets: map[string]string{}}
	if s.failure != "" {
		st.LastError, st.Failure = s.failure, s.failure
	}
	st.Splits = make(map[string]SplitStatus, len(s.mine))
	if s.readable != nil {
		st.Positions = map[string]string{}
	}
	for k := range s.mine {
		st.Offsets[k] = string(s.offsets[k])
		if s.readable != nil && s.offsets[k] != nil {
			st.Positions[k] = s.readable(k, s.offsets[k])
		}
		if one := s.splits[k]; one != nil {
			st.Splits[k] = *one
		}
	}
	return st
}

// sourcePump feeds a sourceScan: it opens readers for the splits of its actor, retries them with back-off
// and hands batches over as fast as credits allow. One goroutine.
type sourcePump struct {
	src      connector.Source
	spec     *connector.SourceSpec
	index, n int // this actor's place among the job's
	slow     *throttle.Throttle
	scan     *sourceScan
	edge     *actor.Edge
	sent     map[string][]byte        // per split, where what was sent to the actor ends
	opened   bool                     // a reader was opened before, in this process or (offsets are there) an earlier one
	activity func(rows int, txn bool) // tells the coordinator that there is data for an epoch; waits while it is overloaded
	current  current
}

const (
	retryMin     = 100 * time.Millisecond
	retryMax     = 10 * time.Second
	discoverEach = 5 * time.Second
)

// run reads until ctx ends. Errors of the outside world are kept in the status and retried for ever.
func (p *sourcePump) run(ctx context.Context) error {
	wait := retryMin
	for ctx.Err() == nil {
		progressed, err := p.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progressed {
			wait = retryMin
		}
		if err == nil {
			continue // new splits: open again at once
		}
		if !errors.Is(err, io.EOF) {
			p.scan.fail(err.Error())
			p.spec.Logger.Warn("retry source", "source", p.spec.Name, "err", err, "wait", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, retryMax)
	}
	return ctx.Err()
}

// session reads with one reader until it fails or the set of splits changes (nil error).
func (p *sourcePump) session(ctx context.Context) (progressed bool, err error) {
	splits, err := p.assigned(ctx)
	if err != nil {
		return false, err
	}
	if len(splits) == 0 {
		p.opened = true // whatever comes is new
		p.scan.mu.Lock()
		p.scan.mine = map[string]struct{}{}
		p.scan.mu.Unlock()
		return false, p.waitForSplits(ctx, splits)
	}
	start := make([]connector.SplitOffset, len(splits))
	p.scan.mu.Lock()
	p.scan.mine = map[string]struct{}{}
	for i, s := range splits {
		p.scan.mine[s] = struct{}{}
		start[i] = connector.SplitOffset{Split: s, Offset: p.scan.offsets[s]}
		if o, ok := p.sent[s]; ok {
			start[i].Offset = o // the actor may not have taken all that was sent
		}
		if p.opened && start[i].Offset == nil {
			// A split that has come since the job began is read whole, whatever the start mode says.
			start[i].Offset = connector.FromStart
		}
	}
	p.scan.mu.Unlock()
	r, err := p.src.Open(ctx, p.spec, start)
	if err != nil {
		return false, err
	}
	p.opened = true
	p.current.set(r)
	defer p.current.set(nil)
	p.scan.fail("")
	defer func() { _ = r.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{})
	go func() { // ends with ctx, which session cancels
		if p.waitForSplits(ctx, splits) == nil {
			close(changed)
			cancel()
		}
	}()
	inTxn := false
	for {
		b, err := r.Next(ctx)
		if err != nil {
			select {
			case <-changed:
				return progressed, nil
			default:
			}
			if errors.Is(err, io.EOF) {
				return progressed, p.waitForSplits(ctx, splits)
			}
			return progressed, err
		}
		progressed = true
		rows := 0
		if b.Chunk != nil {
			rows = b.Chunk.Len()
		}
		if inTxn { // a barrier waits for the transaction's end
			p.slow.Charge(rows)
		} else {
			err = p.slow.Pass(ctx, rows)
		}
		inTxn = !b.EndOfTxn
		if err == nil {
			err = p.edge.Send(ctx, actor.Message{Chunk: b.Chunk, Meta: b, Open: !b.EndOfTxn})
		}
		if err != nil {
			select {
			case <-changed:
				return progressed, nil // what was not sent is read again
			default:
			}
			return progressed, err
		}
		for _, o := range b.Offsets {
			p.sent[o.Split] = o.Offset
		}
		// After sending, so that the barrier asked for comes behind the data.
		p.activity(rows, false)
	}
}

// assigned lists this actor's splits. A split stays where it is when others appear, for its offset lies in
// that actor's state: numbered splits go round, named ones by hash.
func (p *sourcePump) assigned(ctx context.Context) ([]string, error) {
	all, err := p.src.Splits(ctx, p.spec)
	if err != nil {
		return nil, err
	}
	var mine []string
	for _, s := range all {
		i, err := strconv.Atoi(s)
		if err != nil {
			i = int(key.Hash([]byte(s)) >> 33)
		}
		if i%p.n == p.index {
			mine = append(mine, s)
		}
	}
	return mine, nil
}

// waitForSplits returns nil when the actor's splits are no longer the given ones.
func (p *sourcePump) waitForSplits(ctx context.Context, have []string) error {
	t := time.NewTicker(discoverEach)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := p.assigned(ctx)
		if err == nil && !equalStrings(now, have) {
			return nil
		}
	}
}

func equalStrings(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
