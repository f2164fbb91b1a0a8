package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Entry is one change of a delta: set Key to Value, or delete Key.
type Entry struct {
	Key, Value []byte // not kept after the yield that passed them
	Delete     bool   // Value is ignored; a key that does not exist is no error
}

// Ingest applies a delta, whole or not at all. Its keys are unique and ascending, and none is the
// single byte 00 or FF; a delta that is not so is an error and changes nothing. An empty one costs nothing. When it returns, new snapshots
// see the delta; it is durable only in a committed checkpoint.
//
// It waits while compaction is too far behind.
func (s *Shard) Ingest(ctx context.Context, delta iter.Seq[Entry]) error {
	err := s.waitForCompaction(ctx)
	if err == nil {
		err = s.ingest(ctx, func(w *deltaWriter) error { return w.addAll(delta, s.fs.isScattered()) })
	}
	if err != nil {
		return fmt.Errorf("ingest into shard %d: %w", s.opts.ID, err)
	}
	return nil
}

// DeleteRange deletes all keys in [lo, hi), at a cost that does not depend on their number.
func (s *Shard) DeleteRange(ctx context.Context, lo, hi []byte) error {
	if string(lo) >= string(hi) {
		return nil
	}
	err := s.ingest(ctx, func(w *deltaWriter) error {
		if err := w.start(); err != nil {
			return err
		}
		return w.out.DeleteRange(lo, hi)
	})
	if err != nil {
		return fmt.Errorf("delete a range of shard %d: %w", s.opts.ID, err)
	}
	return nil
}

// Excise drops all keys in [lo, hi) from the shard as if they had never been there: nothing is
// written, so a clone of another shard's manifest sheds what it does not own. It reaches into
// snapshots that are open, and therefore refuses while there are any.
func (s *Shard) Excise(ctx context.Context, lo, hi []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock() // held across the excise: no snapshot may be taken before it is done
	var err error
	switch {
	case s.mu.closed:
		err = ErrClosed
	case s.mu.snapshots > 0:
		err = fmt.Errorf("%d snapshots are open", s.mu.snapshots)
	default:
		err = s.db.Excise(ctx, pebble.KeyRange{Start: lo, End: hi})
		s.changes.Add(1)
	}
	if err != nil {
		return fmt.Errorf("excise from shard %d: %w", s.opts.ID, err)
	}
	return nil
}

// ingest lets fill write tables and hands them to Pebble.
func (s *Shard) ingest(ctx context.Context, fill func(*deltaWriter) error) error {
	if s.isClosed() {
		return ErrClosed
	}
	w := deltaWriter{shard: s, opts: s.writerOptions()}
	err := fill(&w)
	if errFinish := w.finish(); err == nil {
		err = errFinish
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && len(w.paths) > 0 {
		err = s.db.Ingest(ctx, w.paths) // removes them
		s.changes.Add(1)
	}
	if err != nil {
		for _, path := range w.paths {
			s.fs.Remove(path)
		}
	}
	return err
}

func (s *Shard) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.closed
}

// deltaWriter writes a delta into as many tables as it needs.
type deltaWriter struct {
	shard *Shard
	opts  sstable.WriterOptions
	out   *sstable.Writer // nil between tables
	paths []string
	size  int64 // of keys and values in out
}

// rawTableSize is how much key and value goes into one table. Compression brings it near
// targetFileSize or below.
const rawTableSize = 2 * targetFileSize

// Below and above all keys that callers may use.
var lowest, highest = []byte{0x00}, []byte{0xFF}

// addAll writes a delta. A wide one begins and ends with a tombstone at the ends of the key space: a
// delta that overlaps nothing, say of ascending keys, goes straight to the bottom level, where nothing
// ever merges it with its small neighbours; a wide one goes to level 0 and draws them into a compaction.
func (w *deltaWriter) addAll(delta iter.Seq[Entry], wide bool) error {
	for e := range delta {
		if len(e.Key) == 1 && (e.Key[0] == lowest[0] || e.Key[0] == highest[0]) {
			return fmt.Errorf("key %x is reserved", e.Key)
		}
		if wide && w.out == nil && len(w.paths) == 0 {
			if err := w.add(Entry{Key: lowest, Delete: true}); err != nil {
				return err
			}
		}
		if err := w.add(e); err != nil {
			return err
		}
	}
	if wide && len(w.paths) > 0 {
		return w.add(Entry{Key: highest, Delete: true})
	}
	return nil
}

func (w *deltaWriter) add(e Entry) error {
	if w.size >= rawTableSize {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if w.out == nil {
		if err := w.start(); err != nil {
			return err
		}
	}
	w.size += int64(len(e.Key) + len(e.Value) + 16)
	if e.Delete {
		return w.out.Delete(e.Key)
	}
	return w.out.Set(e.Key, e.Value)
}

func (w *deltaWriter) start() error {
	path := fmt.Sprintf("%s/ingest-%d.sst", dbDir, w.shard.temps.Add(1))
	f, err := w.shard.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.paths = append(w.paths, path)
	w.out = sstable.NewWriter(objstorageprovider.NewFileWritable(f), w.opts)
	return nil
}

func (w *deltaWriter) finish() error {
	if w.out == nil {
		return nil
	}
	err := w.out.Close()
	w.out, w.size = nil, 0
	return err
}

// throttle lets the writer wait until compaction has made progress.
type throttle struct{ changed chan struct{} } // one token: a compaction ended since the last look

func (t *throttle) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// waitForCompaction returns once level 0 is shallow enough to take more.
func (s *Shard) waitForCompaction(ctx context.Context) error {
	for !s.isClosed() && s.db.Metrics().Levels[0].Sublevels >= maxSublevels {
		select {
		case <-s.throttle.changed:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), errors.New("compaction is behind"))
		case <-s.fs.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}
