// Package wal is the log of committed DML: a record per transaction, on disk before it is acknowledged.
//
// The idea: callers add records to a batch in memory; one of them, the leader, writes the batch and
// syncs it while the next batch fills. So any number of callers share one sync and nobody waits for
// a timer. A record has a position; positions grow by one, so position p is durable when a record
// at or above p is. Records are bytes: what is in them is the caller's.
//
// The log is a folder of segments (segment.go). Only the last can have a torn end, because a segment
// begins after all before it was synced. Each record names the first position of its batch: if a
// broken record is followed by a good one of a later batch, it had been synced and the disk lost it,
// which is an error; else nobody was told that it is safe, and Open cuts it off.
//
// A Log may be used by any goroutine. Its lock guards memory only and is never held across I/O.
//
// Invariants: readers see durable records only, in order, without gaps. After a write or a sync
// failed nothing is acknowledged any more, not even what a later sync might seem to save (ErrPoisoned).
//
// Deciding what to write and when to forget it belongs to the sequencer and the checkpoint. Start at
// Open, Log.Enqueue and Log.Subscribe.
package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Errors that callers tell apart.
var (
	// ErrPoisoned is in the chain of all errors after a failed write or sync. What waited for it may
	// or may not be on disk; opening the log anew tells.
	ErrPoisoned = errors.New("log takes no more records after a failed write")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("log is closed")
	// ErrTruncated is returned to a reader whose next record has been removed by TruncateBefore.
	ErrTruncated = errors.New("log records have been removed")
	// ErrCorrupt is in the chain when records that were durable cannot be read.
	ErrCorrupt = errors.New("log is corrupt")
)

// MaxPayload bounds one record. Unit: bytes.
const MaxPayload = 1 << 30

// Options configures a Log. FS has no default.
type Options struct {
	FS FS // the folder; see Dir

	// SegmentBytes is the size at which a segment is followed by a new one; 32 MiB by default.
	SegmentBytes int64
	// TailBytes bounds the newest records that are kept in memory for subscribers; 8 MiB by default.
	TailBytes int64
	// MinNext is the least position of the next record: above all that was ever committed, in case
	// the folder was lost. 1 by default.
	MinNext uint64

	Logger *slog.Logger // nil: slog.Default
}

// Record is one entry of the log.
type Record struct {
	Pos     uint64
	Payload []byte // shared and immutable
}

// Log is an open log.
type Log struct {
	opts Options

	// Of the leader: whoever took the token of the oldest unfinished batch.
	file    File  // of the last segment
	written int64 // its size

	mu struct {
		sync.Mutex
		next     uint64    // position of the next record
		batch    *batch    // being filled; nil when empty
		flushing bool      // a batch has a leader, or a token for one
		busy     *batch    // being written
		closed   bool      // Close was called
		segments []segment // in order; the last is the one that grows
		durable  uint64    // the last position that is on disk
		tail     []chunk   // newest durable batches, in order
		tailSize int64
		grown    chan struct{} // closed when durable grows or failed is set
		failed   error
	}
}

// segment is a file of the log.
type segment struct {
	name  string
	first uint64 // position of its first record, if it has one
	size  int64  // durable bytes
}

// chunk is a durable batch: encoded records first … last.
type chunk struct {
	first, last uint64
	data        []byte
}

// batch is a set of records that become durable together.
type batch struct {
	first uint64
	last  uint64
	data  []byte
	lead  chan struct{} // holds one token: whoever takes it writes the batch
	done  chan struct{} // closed when err is final
	err   error
}

// Open opens the log in a folder, cuts off what was never acknowledged, and continues it.
func Open(opts Options) (*Log, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = 32 << 20
	}
	if opts.TailBytes == 0 {
		opts.TailBytes = 8 << 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	l := &Log{opts: opts}
	l.mu.grown = make(chan struct{})
	if err := l.recover(); err != nil {
		if l.file != nil {
			l.file.Close()
		}
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, nil
}

// recover finds the segments and the end of the last one.
func (l *Log) recover() error {
	segments, err := listSegments(l.opts.FS)
	if err != nil {
		return err
	}
	end := uint64(0) // last position
	for len(segments) > 0 {
		last := &segments[len(segments)-1]
		found, err := l.openLast(last)
		if err != nil {
			return fmt.Errorf("segment %s: %w", last.name, err)
		}
		if found.header {
			end = max(found.last, last.first-1)
			break
		}
		// The crash came while the segment was begun: all before it is whole.
		l.opts.Logger.Info("removed a log segment without a header", "segment", last.name)
		if err := l.opts.FS.Remove(last.name); err != nil {
			return err
		}
		segments = segments[:len(segments)-1]
	}
	l.mu.segments, l.mu.durable = segments, end
	l.mu.next = max(end+1, l.opts.MinNext, 1)
	if l.file == nil || l.mu.next != end+1 {
		return l.begin(l.mu.next)
	}
	return nil
}

// openLast scans the last segment, cuts a torn end and makes it the one that grows.
func (l *Log) openLast(s *segment) (scanResult, error) {
	f, err := l.opts.FS.Open(s.name)
	if err != nil {
		return scanResult{}, err
	}
	found, err := scanSegment(f, s)
	if err == nil && found.header {
		err = l.cut(f, s, found)
	}
	if err != nil || !found.header {
		f.Close()
		return found, err
	}
	l.file, l.written, s.size = f, found.end, found.end
	return found, nil
}

// cut removes what follows the last good record, durably: a later record must not be followed by
// the remains of an earlier one.
func (l *Log) cut(f File, s *segment, found scanResult) error {
	if found.size == found.end {
		return nil
	}
	l.opts.Logger.Info("cut an unfinished record off the log", "segment", s.name, "bytes", found.size-found.end)
	if err := f.Truncate(found.end); err != nil {
		return err
	}
	return f.Sync()
}

// begin starts a new segment whose first record will have the given position. All records before it
// are durable. The leader calls it.
func (l *Log) begin(first uint64) error {
	s := segment{name: segmentName(first), first: first, size: headerLen}
	f, err := l.opts.FS.Create(s.name)
	if err != nil {
		return err
	}
	if _, err = f.Write(encodeHeader(first, l.lastPosition())); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.opts.FS.SyncDir()
	}
	if err != nil {
		f.Close()
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			f.Close()
			return err
		}
	}
	l.file, l.written = f, headerLen
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.segments = append(l.mu.segments, s)
	return nil
}

func (l *Log) lastPosition() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.durable
}

// Append adds records, in order and without others between them, and returns the position of the
// last one once all are durable.
func (l *Log) Append(payloads [][]byte) (pos uint64, err error) {
	pos, wait := l.enqueue(payloads)
	return pos, wait()
}

// Enqueue takes the next position for a record at once, so that a caller who holds a lock can order
// its records by it; wait, called without the lock, returns when the record is durable. Call wait
// exactly once: nothing is written unless somebody waits. The payload is copied.
func (l *Log) Enqueue(payload []byte) (pos uint64, wait func() error) {
	return l.enqueue([][]byte{payload})
}

func (l *Log) enqueue(payloads [][]byte) (uint64, func() error) {
	size := 0
	for _, p := range payloads {
		if len(p) > MaxPayload {
			return 0, func() error {
				return fmt.Errorf("append %d bytes to the log: a record has at most %d", len(p), MaxPayload)
			}
		}
		size += len(p) + frameLen
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuseLocked(); err != nil {
		return 0, func() error { return err }
	}
	if len(payloads) == 0 {
		return l.mu.next - 1, func() error { return nil }
	}
	b := l.mu.batch
	if b == nil {
		b = &batch{first: l.mu.next, data: make([]byte, 0, size), lead: make(chan struct{}, 1), done: make(chan struct{})}
		l.mu.batch = b
		if !l.mu.flushing {
			l.mu.flushing = true
			b.lead <- struct{}{}
		}
	}
	for _, p := range payloads {
		b.data = appendFrame(b.data, l.mu.next, b.first, p)
		b.last = l.mu.next
		l.mu.next++
	}
	return b.last, func() error { return l.wait(b) }
}

func (l *Log) refuseLocked() error {
	if l.mu.failed == nil && l.mu.closed {
		return ErrClosed
	}
	return l.mu.failed
}

// wait returns when b is durable. One of those who wait leads.
func (l *Log) wait(b *batch) error {
	select {
	case <-b.done:
	case <-b.lead:
		l.lead(b)
	}
	return b.err
}

// lead writes a batch, tells who waits for it, and hands the lead on to the next batch.
func (l *Log) lead(b *batch) {
	l.mu.Lock()
	l.mu.batch, l.mu.busy = nil, b // b takes no more records
	err := l.mu.failed
	l.mu.Unlock()
	if err == nil {
		err = l.write(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.mu.failed == nil {
		l.opts.Logger.Error("log takes no more records", "err", err)
		l.mu.failed = fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	if b.err = l.mu.failed; b.err == nil {
		l.publishLocked(b)
	}
	close(b.done)
	l.mu.busy = nil
	close(l.mu.grown)
	l.mu.grown = make(chan struct{})
	if next := l.mu.batch; next != nil {
		next.lead <- struct{}{}
	} else {
		l.mu.flushing = false
	}
}

// write puts a batch on disk.
func (l *Log) write(b *batch) error {
	if l.written > headerLen && l.written+int64(len(b.data)) > l.opts.SegmentBytes {
		if err := l.begin(b.first); err != nil {
			return fmt.Errorf("begin log segment at %d: %w", b.first, err)
		}
	}
	if _, err := l.file.Write(b.data); err != nil {
		return fmt.Errorf("write log at %d: %w", b.first, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync log at %d: %w", b.first, err)
	}
	l.written += int64(len(b.data))
	return nil
}

// publishLocked shows a durable batch to readers.
func (l *Log) publishLocked(b *batch) {
	l.mu.durable = b.last
	l.mu.segments[len(l.mu.segments)-1].size = l.written
	l.mu.tail = append(l.mu.tail, chunk{first: b.first, last: b.last, data: b.data})
	l.mu.tailSize += int64(len(b.data))
	for l.mu.tailSize > l.opts.TailBytes && len(l.mu.tail) > 1 {
		l.mu.tailSize -= int64(len(l.mu.tail[0].data))
		l.mu.tail[0] = chunk{}
		l.mu.tail = l.mu.tail[1:]
	}
}

// Durable returns the position of the last record that is on disk; 0 in a log that never had one.
func (l *Log) Durable() uint64 { return l.lastPosition() }

// First returns the position of the oldest record that can be read, or that of the next one when
// there is none.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.segments[0].first
}

// TruncateBefore forgets records below pos, a segment at a time, so some may stay. The newest segment
// always stays: it knows the next position.
func (l *Log) TruncateBefore(pos uint64) error {
	l.mu.Lock()
	n := 0
	for n+1 < len(l.mu.segments) && l.mu.segments[n+1].first <= pos {
		n++
	}
	gone := l.mu.segments[:n:n]
	l.mu.segments = l.mu.segments[n:]
	l.mu.Unlock()
	for _, s := range gone {
		if err := l.opts.FS.Remove(s.name); err != nil {
			return fmt.Errorf("remove log segment %s: %w", s.name, err)
		}
	}
	return nil
}

// Close refuses further records, waits for those on their way and frees the file. Readers get
// ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return nil
	}
	l.mu.closed = true
	last := l.mu.batch
	if last == nil {
		last = l.mu.busy
	}
	l.mu.Unlock()
	if last != nil {
		l.wait(last) // its error goes to those who enqueued
	}
	l.mu.Lock()
	l.mu.failed = ErrClosed
	close(l.mu.grown)
	l.mu.grown = make(chan struct{})
	l.mu.Unlock()
	return l.file.Close()
}
