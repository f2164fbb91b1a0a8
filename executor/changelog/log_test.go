package changelog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

func entry(epoch int) Entry {
	c := delta.NewChunk([]*delta.Vec{delta.IntVec(sqltypes.Int8, []int64{int64(epoch)})}, nil, 1)
	return Entry{Barrier: stream.Barrier{Epoch: stream.Epoch(epoch)}, Chunks: []*delta.Chunk{c}}
}

// kept is how many entries the log holds.
func (l *Log) kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.entries)
}

func mustNext(t *testing.T, s *Sub, want int) {
	t.Helper()
	e, err := s.Next(t.Context())
	if err != nil || e.Barrier.Epoch != stream.Epoch(want) || e.Chunks[0].Cols[0].Ints[0] != int64(want) {
		t.Fatalf("epoch %d, %v, want %d", e.Barrier.Epoch, err, want)
	}
}

// TestLogKeepsWhatSomeoneNeeds: entries live until the slowest subscriber has released them.
func TestLogKeepsWhatSomeoneNeeds(t *testing.T) {
	l := New()
	l.Append(entry(1)) // nobody listens
	if l.kept() != 0 {
		t.Fatalf("%d entries are kept for nobody", l.kept())
	}
	slow, fast := l.Subscribe(), l.Subscribe()
	for e := 2; e <= 5; e++ {
		l.Append(entry(e))
	}
	for e := 2; e <= 5; e++ {
		mustNext(t, fast, e)
	}
	fast.Release(5)
	if l.kept() != 4 {
		t.Fatalf("%d entries are kept, want 4", l.kept())
	}
	mustNext(t, slow, 2)
	mustNext(t, slow, 3)
	if n, bytes := slow.Lag(); n != 2 || bytes <= 0 {
		t.Errorf("lag is %d epochs, %d bytes, want 2", n, bytes)
	}
	if n, all := slow.Unread(4), slow.Unread(9); n <= 0 || all != 2*n {
		t.Errorf("unread are %d bytes of one epoch and %d of two", n, all)
	}
	if e, more, err := fast.TryNext(); more == nil || err != nil || e.Chunks != nil {
		t.Errorf("TryNext at the end: %v, %v", e, err)
	}
	slow.Release(9) // not what it has not read
	if l.kept() != 2 {
		t.Fatalf("%d entries are kept, want 2", l.kept())
	}
	slow.Release(1)
	late := l.Subscribe() // begins at the end
	l.Append(entry(6))
	mustNext(t, late, 6)
	mustNext(t, fast, 6)
	mustNext(t, slow, 4)
	slow.Close()
	if l.kept() != 1 {
		t.Fatalf("%d entries are kept after Close, want 1", l.kept())
	}
	late.Close()
	fast.Close()
	if l.kept() != 0 {
		t.Fatalf("%d entries are kept for nobody", l.kept())
	}
}

// TestClosedSubscription: whatever is called on it after Close does no harm.
func TestClosedSubscription(t *testing.T) {
	l := New()
	s, other := l.Subscribe(), l.Subscribe()
	l.Append(entry(1))
	s.Close()
	s.Close()
	mustNext(t, other, 1)
	other.Release(1)
	l.Append(entry(2))
	s.Release(2)
	if n, bytes := s.Lag(); n != 0 || bytes != 0 {
		t.Errorf("lag is %d, %d", n, bytes)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("Next gives %v", err)
	}
	mustNext(t, other, 2)
}

// TestNextWaits: for an entry, for the end of its context, and for Close.
func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		s := l.Subscribe()
		got := make(chan error, 1)
		next := func(ctx context.Context) {
			go func() { // the test waits for it on got
				_, err := s.Next(ctx)
				got <- err
			}()
			synctest.Wait()
			select {
			case err := <-got:
				t.Fatalf("Next did not wait: %v", err)
			default:
			}
		}
		next(t.Context())
		l.Append(entry(1))
		if err := <-got; err != nil {
			t.Errorf("after Append: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		next(ctx)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: %v", err)
		}
		next(t.Context())
		s.Close()
		if err := <-got; !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestConcurrentSubscribers: each one sees every epoch from its beginning on, in order, while others come, release and go.
func TestConcurrentSubscribers(t *testing.T) {
	const epochs = 2000
	l := New()
	var wg sync.WaitGroup
	read := func(s *Sub, until int) {
		defer s.Close()
		last := 0
		released := make(chan stream.Epoch, epochs)
		wg.Go(func() { // as a committer does, from another goroutine
			for e := range released {
				s.Release(e)
				s.Lag()
			}
		})
		defer close(released)
		for last < until {
			e, err := s.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if n := int(e.Barrier.Epoch); last != 0 && n != last+1 {
				t.Errorf("epoch %d after %d", n, last)
				return
			}
			last = int(e.Barrier.Epoch)
			if last%7 == 0 {
				released <- e.Barrier.Epoch
			}
		}
	}
	for k := range 4 {
		s := l.Subscribe()
		wg.Go(func() { read(s, epochs/4*(k+1)) })
	}
	for e := 1; e <= epochs; e++ {
		if e%300 == 0 && e < epochs {
			s := l.Subscribe()
			wg.Go(func() { read(s, epochs) })
		}
		l.Append(entry(e))
	}
	wg.Wait()
	if l.kept() != 0 {
		t.Errorf("%d entries are left", l.kept())
	}
}
