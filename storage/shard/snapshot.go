package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"
)

// Snapshot is a view of a shard as it was at one moment. Any goroutine may use it, several at a
// time. It is cheap, but while it is open compaction keeps what it sees: close it.
type Snapshot struct {
	shard *Shard
	snap  *pebble.Snapshot
	once  sync.Once
	// points are what Get reads with.
	points iterators
}

// Snapshot returns a view of all that was ingested so far, or ErrClosed.
func (s *Shard) Snapshot() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil, ErrClosed
	}
	s.mu.snapshots++
	return &Snapshot{shard: s, snap: s.db.NewSnapshot()}, nil
}

// Close releases the view. Its iterators must have been closed before.
func (v *Snapshot) Close() error {
	var err error
	v.once.Do(func() {
		v.points.close()
		err = v.snap.Close()
		v.shard.mu.Lock()
		v.shard.mu.snapshots--
		v.shard.mu.Unlock()
	})
	return err
}

func (v *Snapshot) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of shard %d: %w", what, v.shard.opts.ID, err)
}

// parallelGets is how many readers MultiGet uses when tables must come from objects: a miss then
// waits for the network, not for a processor.
const parallelGets = 16

// MultiGet looks keys up that are in ascending order and calls visit once for each, with its index;
// value is valid during the call only. Calls come one at a time, and in order unless tables have to
// be fetched.
func (v *Snapshot) MultiGet(ctx context.Context, keys [][]byte, visit func(i int, value []byte, ok bool)) error {
	parts := 1
	if !v.shard.fs.allLocal() {
		parts = min(parallelGets, len(keys))
	}
	if parts <= 1 {
		return v.wrap("read keys", v.multiGet(ctx, keys, 0, visit))
	}
	var mu sync.Mutex
	serial := func(i int, value []byte, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		visit(i, value, ok)
	}
	group, ctx := errgroup.WithContext(ctx)
	for p := range parts {
		lo, hi := p*len(keys)/parts, (p+1)*len(keys)/parts
		group.Go(func() error { return v.multiGet(ctx, keys[lo:hi], lo, serial) })
	}
	return v.wrap("read keys", group.Wait())
}

// multiGet reads with one iterator. Seeking by prefix, where the prefix is the whole key, asks the
// Bloom filters first.
func (v *Snapshot) multiGet(ctx context.Context, keys [][]byte, base int, visit func(int, []byte, bool)) error {
	if len(keys) == 0 {
		return nil
	}
	it, err := v.snap.NewIterWithContext(ctx, nil)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if i%64 == 0 && ctx.Err() != nil {
			return errors.Join(ctx.Err(), it.Close())
		}
		if !it.SeekPrefixGE(key) || !bytes.Equal(it.Key(), key) {
			if it.Error() != nil {
				break
			}
			visit(base+i, nil, false)
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		visit(base+i, value, true)
	}
	return it.Close() // returns the iterator's error
}

// Size guesses how many bytes the keys in [lo, hi) take on disk now.
func (v *Snapshot) Size(lo, hi []byte) uint64 {
	n, err := v.shard.db.EstimateDiskUsage(lo, hi)
	if err != nil {
		return 0 // it is a guess
	}
	return n
}

// Scan iterates over the keys in [lo, hi), in ascending or descending order. A nil bound is no
// bound. The iterator belongs to one goroutine.
func (v *Snapshot) Scan(ctx context.Context, lo, hi []byte, reverse bool) *Iterator {
	it, err := v.snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	return &Iterator{view: v, it: it, err: err, reverse: reverse}
}

// Iterator walks over keys. Start with Next; call Err when Next returns false, and Close in any case.
type Iterator struct {
	view    *Snapshot
	it      *pebble.Iterator // nil when err is set
	reverse bool
	started bool
	err     error
}

// Next moves to the next key and tells whether there is one.
func (i *Iterator) Next() bool {
	switch {
	case i.it == nil:
		return false
	case i.started && i.reverse:
		return i.it.Prev()
	case i.started:
		return i.it.Next()
	}
	i.started = true
	if i.reverse {
		return i.it.Last()
	}
	return i.it.First()
}

// SeekGE moves to the first key at or above key and tells whether there is one; Next goes on from
// there. Not for a reverse iterator.
func (i *Iterator) SeekGE(key []byte) bool {
	if i.it == nil {
		return false
	}
	i.started = true
	return i.it.SeekGE(key)
}

// Key returns the current key, valid until the next move.
func (i *Iterator) Key() []byte { return i.it.Key() }

// Value returns the current value, valid until the next move. An error shows in Err.
func (i *Iterator) Value() []byte {
	value, err := i.it.ValueAndErr()
	if err != nil {
		i.err = err
	}
	return value
}

// Err returns what ended the iteration early, if anything did.
func (i *Iterator) Err() error {
	if i.err == nil && i.it != nil {
		i.err = i.it.Error()
	}
	return i.view.wrap("scan", i.err)
}

// Close releases the iterator and returns Err. It may be called twice.
func (i *Iterator) Close() error {
	if i.it != nil {
		if err := i.it.Close(); i.err == nil {
			i.err = err
		}
		i.it = nil
	}
	return i.view.wrap("scan", i.err)
}
