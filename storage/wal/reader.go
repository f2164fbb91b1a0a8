package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Subscription reads the log from a position on and waits for more at its end. It belongs to one
// goroutine. Records come from memory as long as the reader keeps up, else from the segments.
type Subscription struct {
	log  *Log
	next uint64 // position of the next record
	last uint64 // position of the last record handed out, or of the last one not asked for; below next

	chunk  []byte // rest of the chunk of memory that is being read; begins with record next
	disk   *segmentReader
	closed bool
}

// Subscribe reads the records after position after; 0 reads all there are. Close it when done.
func (l *Log) Subscribe(after uint64) *Subscription {
	if after == 0 {
		after = l.First() - 1
	}
	return &Subscription{log: l, next: after + 1, last: after}
}

// Next returns the next durable record and waits for it. It returns ErrTruncated when it has been
// removed, ErrClosed or ErrPoisoned when there will be none, ErrCorrupt, or the error of ctx.
func (s *Subscription) Next(ctx context.Context) (Record, error) {
	for {
		r, ok, grown, err := s.tryNext()
		if ok || err != nil {
			return r, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// TryNext returns the next record if it is durable already.
func (s *Subscription) TryNext() (r Record, ok bool, err error) {
	r, ok, _, err = s.tryNext()
	return r, ok, err
}

func (s *Subscription) tryNext() (Record, bool, <-chan struct{}, error) {
	if s.closed {
		return Record{}, false, nil, ErrClosed
	}
	if len(s.chunk) > 0 {
		r, err := s.takeFromChunk()
		return r, err == nil, nil, err
	}
	if s.disk != nil {
		r, ok, err := s.takeFromDisk()
		if ok || err != nil {
			return r, ok, nil, err
		}
	}
	found, grown, err := s.find()
	if !found || err != nil {
		return Record{}, false, grown, err
	}
	return s.tryNext() // there is a chunk or a segment now
}

// takeFromChunk decodes a record of memory.
func (s *Subscription) takeFromChunk() (Record, error) {
	f, ok := decodeFrame(s.chunk)
	if !ok {
		return Record{}, fmt.Errorf("read log record %d from memory: %w", s.next, ErrCorrupt)
	}
	s.chunk = s.chunk[f.size:]
	s.last, s.next = f.pos, f.pos+1
	return Record{Pos: f.pos, Payload: f.payload}, nil
}

// takeFromDisk reads on in the open segment, and closes it at its end.
func (s *Subscription) takeFromDisk() (Record, bool, error) {
	for {
		f, ok, err := s.disk.next()
		if err != nil {
			return Record{}, false, fmt.Errorf("read log record %d: %w", s.next, err)
		}
		if !ok {
			// Positions up to the next segment may have been skipped when it was begun.
			s.next = max(s.next, s.disk.followedBy)
			err := s.disk.close()
			s.disk = nil
			return Record{}, false, err
		}
		if f.pos < s.next {
			continue // the segment begins before what we were asked for
		}
		s.last, s.next = f.pos, f.pos+1
		return Record{Pos: f.pos, Payload: f.payload}, true, nil
	}
}

// find looks for where the next record is: in memory, in a segment, or not there yet.
func (s *Subscription) find() (found bool, grown <-chan struct{}, err error) {
	l := s.log
	l.mu.Lock()
	failed, durable := l.mu.failed, l.mu.durable
	if s.next > durable {
		defer l.mu.Unlock()
		return false, l.mu.grown, failed
	}
	if errors.Is(failed, ErrClosed) {
		l.mu.Unlock()
		return false, nil, ErrClosed
	}
	if len(l.mu.tail) > 0 && s.next >= l.mu.tail[0].first {
		i := searchChunk(l.mu.tail, s.next)
		c := l.mu.tail[i]
		l.mu.Unlock()
		s.next, s.chunk = max(s.next, c.first), c.data
		return true, nil, s.skipInChunk()
	}
	seg, followedBy, err := findSegment(l.mu.segments, s.next)
	l.mu.Unlock()
	if err == nil {
		s.disk, err = openSegment(l.opts.FS, seg, s.last)
	}
	if err != nil {
		return false, nil, fmt.Errorf("read log record %d: %w", s.next, err)
	}
	s.disk.followedBy = followedBy
	return true, nil, nil
}

// skipInChunk drops the records below next.
func (s *Subscription) skipInChunk() error {
	for {
		f, ok := decodeFrame(s.chunk)
		if !ok {
			return fmt.Errorf("read log record %d from memory: %w", s.next, ErrCorrupt)
		}
		if f.pos >= s.next {
			return nil
		}
		s.chunk = s.chunk[f.size:]
	}
}

// searchChunk returns the chunk that holds pos, or the one after it when pos was skipped. The last
// chunk ends at or after pos.
func searchChunk(tail []chunk, pos uint64) int {
	lo, hi := 0, len(tail)-1
	for lo < hi {
		mid := (lo + hi) / 2
		if tail[mid].last < pos {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// findSegment returns the segment to read for pos, and the first position of the one after it; 0
// when it is the last.
func findSegment(segments []segment, pos uint64) (seg segment, followedBy uint64, err error) {
	i := len(segments) - 1
	for i >= 0 && segments[i].first > pos {
		i--
	}
	if i < 0 {
		return seg, 0, ErrTruncated
	}
	if i+1 < len(segments) {
		followedBy = segments[i+1].first
	}
	return segments[i], followedBy, nil
}

// Close frees what the subscription holds.
func (s *Subscription) Close() error {
	s.closed, s.chunk = true, nil
	if s.disk == nil {
		return nil
	}
	err := s.disk.close()
	s.disk = nil
	return err
}

// Records yields the records after position after that are durable now, in order, and then ends. It
// does not wait. After an error it stops.
func (l *Log) Records(after uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		end := l.lastPosition()
		s := l.Subscribe(after)
		defer s.Close()
		for s.next <= end {
			r, ok, err := s.TryNext()
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !ok || !yield(r, nil) {
				return
			}
		}
	}
}

// readBuffer is how much is read from a segment at a time. Unit: bytes.
const readBuffer = 1 << 20

// segmentReader reads a segment as far as it was durable when it was opened.
type segmentReader struct {
	file File
	seg  segment
	off  int64  // of the next byte to read from the file
	buf  []byte // bytes that precede off
	want uint64 // position of the next record

	followedBy uint64 // first position of the next segment; 0 when there was none
}

// openSegment opens a segment for reading on after the record at last, which may lie in this segment or
// in one before it.
func openSegment(fs FS, seg segment, last uint64) (*segmentReader, error) {
	f, err := fs.Open(seg.name)
	if errors.Is(err, os.ErrNotExist) {
		err = ErrTruncated // since we looked
	}
	if err != nil {
		return nil, err
	}
	r := &segmentReader{file: f, seg: seg, want: seg.first}
	if err := r.header(last); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

func (r *segmentReader) header(last uint64) error {
	if err := r.fill(headerLen); err != nil {
		return err
	}
	first, previous, err := decodeHeader(r.buf)
	if err != nil {
		return fmt.Errorf("%w: segment %s: %w", ErrCorrupt, r.seg.name, err)
	}
	if first != r.seg.first {
		return fmt.Errorf("%w: segment %s: header says first position %d", ErrCorrupt, r.seg.name, first)
	}
	if previous > last {
		return fmt.Errorf("%w: segment %s follows record %d, which is missing", ErrCorrupt, r.seg.name, previous)
	}
	r.buf = r.buf[headerLen:]
	return nil
}

// fill makes at least n bytes available in buf, or as many as there are. Payloads that were handed
// out stay untouched: it reads into new memory.
func (r *segmentReader) fill(n int) error {
	left := r.seg.size - r.off
	if len(r.buf) >= n || left == 0 {
		return nil
	}
	take := min(max(int64(n-len(r.buf)), readBuffer), left)
	buf := make([]byte, len(r.buf)+int(take))
	copy(buf, r.buf)
	_, err := io.ReadFull(io.NewSectionReader(r.file, r.off, take), buf[len(r.buf):])
	if err != nil {
		return fmt.Errorf("%w: segment %s at byte %d: %w", ErrCorrupt, r.seg.name, r.off, err)
	}
	r.buf, r.off = buf, r.off+take
	return nil
}

// next returns the next record; ok is false at the end.
func (r *segmentReader) next() (f frame, ok bool, err error) {
	if err := r.fill(frameLen); err != nil {
		return f, false, err
	}
	if len(r.buf) == 0 {
		return f, false, nil
	}
	if err := r.fill(frameSize(r.buf)); err != nil {
		return f, false, err
	}
	f, ok = decodeFrame(r.buf)
	if !ok || f.pos != r.want {
		return f, false, fmt.Errorf("%w: segment %s: broken record %d", ErrCorrupt, r.seg.name, r.want)
	}
	r.buf, r.want = r.buf[f.size:], f.pos+1
	return f, true, nil
}

func (r *segmentReader) close() error { return r.file.Close() }
