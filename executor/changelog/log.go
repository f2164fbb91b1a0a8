// Package changelog is the edge between two jobs: what a relation's actor changed, epoch by epoch, kept in
// memory until every subscriber has read and released it.
//
// The idea: the upstream appends and never waits for a reader; a subscriber reads at its own pace from its
// own position. So a slow, failing or new job delays nobody; jobs that keep up get the chunks by reference
// the moment they are appended.
//
// A Log is shared by one writer (the materialize operator's actor) and any number of subscribers; its mutex
// is never held across I/O. Chunks are immutable.
//
// Invariants: epochs ascend; an entry lives until all subscribers have released its epoch.
//
// It does not persist anything. Start at Log.
package changelog

import (
	"context"
	"errors"
	"sync"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
)

// Entry is one epoch of one actor: consolidated changes, then its barrier, and the watermarks that hold after it.
type Entry struct {
	Barrier stream.Barrier
	Chunks  []*delta.Chunk
	Marks   stream.Marks
}

// Log is the changelog of one partition of a relation.
type Log struct {
	mu struct {
		sync.Mutex
		first   int // number of entries dropped so far
		entries []Entry
		subs    map[*Sub]struct{}
		more    chan struct{} // closed and replaced at each append
	}
}

// New makes an empty log.
func New() *Log {
	l := &Log{}
	l.mu.subs = map[*Sub]struct{}{}
	l.mu.more = make(chan struct{})
	return l
}

// Append adds an epoch.
func (l *Log) Append(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.subs) == 0 {
		l.mu.first++
		return
	}
	l.mu.entries = append(l.mu.entries, e)
	l.wakeLocked()
}

// Read reports whether anybody subscribes. New subscribers come only while no epoch is under way.
func (l *Log) Read() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.subs) > 0
}

// Sub is one subscriber's position. Next belongs to one goroutine; the others may come from anywhere. The fields are
// guarded by the log's mutex.
type Sub struct {
	log      *Log
	next     int // number of the entry to read next
	released int // entries below are no longer needed
}

// Subscribe starts a reader at the log's end.
func (l *Log) Subscribe() *Sub {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.mu.first + len(l.mu.entries)
	s := &Sub{log: l, next: end, released: end}
	l.mu.subs[s] = struct{}{}
	return s
}

// errClosed answers readers that go on after Close.
var errClosed = errors.New("read changelog: the subscription is closed")

// Next returns the next epoch, waiting for it until ctx or the subscription ends. The entry stays in the log until
// Release.
func (s *Sub) Next(ctx context.Context) (Entry, error) {
	for {
		e, more, err := s.TryNext()
		if more == nil || err != nil {
			return e, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// TryNext is Next without waiting: when there is no entry yet, more is closed as soon as there may be one.
func (s *Sub) TryNext() (e Entry, more <-chan struct{}, err error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return Entry{}, nil, errClosed
	}
	i := s.next - l.mu.first
	if i >= len(l.mu.entries) {
		return Entry{}, l.mu.more, nil
	}
	s.next++
	return l.mu.entries[i], nil, nil
}

// Unread returns the bytes of chunks up to an epoch that the subscriber has not read.
func (s *Sub) Unread(e stream.Epoch) (bytes int) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return 0
	}
	for i := s.next - l.mu.first; i < len(l.mu.entries) && l.mu.entries[i].Barrier.Epoch <= e; i++ {
		for _, c := range l.mu.entries[i].Chunks {
			bytes += c.SizeBytes()
		}
	}
	return bytes
}

// Release gives up all entries read with epochs up to e.
func (s *Sub) Release(e stream.Epoch) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return
	}
	for s.released-l.mu.first < len(l.mu.entries) && s.released < s.next &&
		l.mu.entries[s.released-l.mu.first].Barrier.Epoch <= e {
		s.released++
	}
	l.trimLocked()
}

// Between returns the entries with low < epoch ≤ high that the subscriber has not released, read or not.
func (s *Sub) Between(low, high stream.Epoch) []Entry {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return nil
	}
	var out []Entry
	for _, e := range l.mu.entries[s.released-l.mu.first:] {
		if low < e.Barrier.Epoch && e.Barrier.Epoch <= high {
			out = append(out, e)
		}
	}
	return out
}

// Skip gives up all entries with epochs up to e, those that were not read as well.
func (s *Sub) Skip(e stream.Epoch) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return
	}
	for s.released-l.mu.first < len(l.mu.entries) && l.mu.entries[s.released-l.mu.first].Barrier.Epoch <= e {
		s.released++
	}
	s.next = max(s.next, s.released)
	l.trimLocked()
}

// Rewind goes back to the first entry that was not released, for another reader in the place of one that has ended.
func (s *Sub) Rewind() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.next = s.released
}

// Cut takes back the entries after an epoch: their writer begins again there. Who has read them begins again, too.
func (l *Log) Cut(e stream.Epoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.mu.entries)
	for n > 0 && l.mu.entries[n-1].Barrier.Epoch > e {
		n--
	}
	l.mu.entries = l.mu.entries[:n:n]
	for s := range l.mu.subs {
		s.next, s.released = min(s.next, l.mu.first+n), min(s.released, l.mu.first+n)
	}
}

// Close ends the subscription and a Next that waits. It may be called again.
func (s *Sub) Close() {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.subs, s)
	l.trimLocked()
	l.wakeLocked()
}

// wakeLocked lets every reader that waits look again.
func (l *Log) wakeLocked() {
	close(l.mu.more)
	l.mu.more = make(chan struct{})
}

func (l *Log) trimLocked() {
	low := l.mu.first + len(l.mu.entries)
	for s := range l.mu.subs {
		low = min(low, s.released)
	}
	if n := low - l.mu.first; n > 0 {
		l.mu.entries = append([]Entry(nil), l.mu.entries[n:]...)
		l.mu.first = low
	}
}

// Lag returns how many epochs and bytes of chunks the subscriber has not read.
func (s *Sub) Lag() (epochs, bytes int) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.subs[s]; !ok {
		return 0, 0
	}
	for i := s.next - l.mu.first; i < len(l.mu.entries); i++ {
		epochs++
		for _, c := range l.mu.entries[i].Chunks {
			bytes += c.SizeBytes()
		}
	}
	return epochs, bytes
}
