// Package shard keeps the state of a group of vnodes in one Pebble database whose tables are objects.
//
// The idea: an epoch's changes arrive as one sorted delta, are written straight into sorted tables
// and ingested; nothing goes through a memtable or a log, because whoever produced the delta can
// produce it again from the committed epoch. A checkpoint names the live tables, uploads those that
// are new and returns a Manifest that holds all else that Pebble needs. Opening a manifest reads
// nothing but the manifest: tables come when they are touched. So the local folder is a cache, and
// Pebble's own metadata lives in memory (see cacheFS).
//
// One goroutine at a time, the shard's writer, calls Ingest, DeleteRange and Excise; one at a time, which may be another, calls Freeze and
// Checkpoint. Snapshot may be called by any goroutine, and a Snapshot used by several. Compaction runs in the
// background under one limit for all shards that share a Cache.
//
// Invariants: an object's name is used for one content, ever: it carries the incarnation, which is
// new each time a shard is opened. A manifest names uploaded objects only. A Snapshot never changes.
//
// It knows nothing of columns (storage/table), of the commit of many shards and of garbage
// (storage/checkpoint). Start at Open; fs.go is the cache, ingest.go the write path, snapshot.go the
// read path.
package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/storage/object"
)

// pebbleFormat is the format that this release writes. A newer Pebble would raise it by itself and
// lock older releases out of the manifest, so raising it is a decision and a line here.
const pebbleFormat = pebble.FormatTableFormatV6

// targetFileSize bounds a table, in bytes: large enough to keep objects few, small enough that
// fetching one or compacting one is short.
const targetFileSize = 16 << 20

// maxSublevels is the read amplification of level 0 at which Ingest waits for compaction. Pebble
// itself stalls memtable writes but not ingests.
const maxSublevels = 20

// dbDir is the name of the database in its own in-memory file system.
const dbDir = "/db"

// ErrClosed is returned by calls on a closed shard.
var ErrClosed = errors.New("shard is closed")

// Options says where a shard lives. Dir, Objects and Incarnation have no default.
type Options struct {
	Dir     string       // local folder of this shard: a cache, made when missing, owned by one open Shard
	Objects object.Store // where tables are kept

	ID          uint64 // in the names of the shard's objects
	Incarnation uint64 // never used before for this ID, and above that of the manifest

	Cache  *Cache       // shared by the shards of a process; nil: one of 32 MiB of its own
	Logger *slog.Logger // nil: slog.Default

	// Prefetch brings all tables of the manifest here in the background, one after another.
	Prefetch bool
}

// Shard is an open shard.
type Shard struct {
	opts  Options
	log   *slog.Logger
	fs    *cacheFS
	db    *pebble.DB
	popts *pebble.Options
	cache *Cache
	own   bool // cache was made by Open
	gate  *grants
	// compacted counts compactions that have finished.
	compacted atomic.Uint64

	temps    atomic.Int64 // names temporary tables and checkpoint folders
	changes  atomic.Int64 // counts what was ingested, deleted or excised, once it is
	throttle throttle

	mu struct {
		sync.Mutex
		snapshots int // open ones
		closed    bool

		// last is the newest manifest whose tables are all uploaded, or the one we were opened
		// from; it holds the first lastChanges changes.
		last        *Manifest
		lastChanges int64
	}
}

// Open opens the shard that m describes, or a new empty one when m is nil. It reads no table. Files
// of earlier incarnations that m does not name are removed from Dir.
func Open(ctx context.Context, opts Options, m *Manifest) (*Shard, error) {
	s, err := open(ctx, opts, m)
	if err != nil {
		return nil, fmt.Errorf("open shard %d: %w", opts.ID, err)
	}
	return s, nil
}

func open(ctx context.Context, opts Options, m *Manifest) (*Shard, error) {
	if err := checkOptions(opts, m); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, err
	}
	fs, err := newCacheFS(opts, m)
	if err != nil {
		return nil, err
	}
	s := &Shard{opts: opts, log: opts.Logger, fs: fs, cache: opts.Cache}
	s.mu.last = m
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.log.With("shard", opts.ID)
	if s.cache == nil {
		s.cache, s.own = NewCache(32<<20, 1), true
	}
	s.gate = s.cache.compactions.register()
	s.throttle.changed = make(chan struct{}, 1)
	s.popts = s.pebbleOptions()
	if s.db, err = pebble.Open(dbDir, s.popts); err != nil {
		fs.close()
		if s.own {
			s.cache.Close()
		}
		return nil, err
	}
	s.gate.open()
	if opts.Prefetch {
		fs.prefetch()
	}
	return s, nil
}

func checkOptions(opts Options, m *Manifest) error {
	if opts.Dir == "" || opts.Objects == nil || opts.Incarnation == 0 {
		return errors.New("options lack a folder, an object store or an incarnation")
	}
	if m == nil {
		return nil
	}
	if m.Shard != opts.ID {
		return fmt.Errorf("manifest is that of shard %d", m.Shard)
	}
	if m.Incarnation >= opts.Incarnation {
		return fmt.Errorf("incarnation %d is not above %d, which wrote the manifest: objects could be overwritten", opts.Incarnation, m.Incarnation)
	}
	return m.check()
}

func (s *Shard) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                         s.fs,
		FormatMajorVersion:         pebbleFormat,
		DisableWAL:                 true,
		MemTableSize:               64 << 10, // never written
		Cache:                      s.cache.blocks,
		FileCache:                  s.cache.files,
		Logger:                     pebbleLogger{s.log},
		EventListener:              s.events(),
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		DisableTableStats:          true,     // or it would open, hence fetch, every table
		MaxManifestFileSize:        64 << 10, // it travels in each of our manifests
		LBaseMaxBytes:              64 << 20,
		L0CompactionThreshold:      8, // each costs about a pass over the level below; reads ask filters first
		L0CompactionFileThreshold:  500,
		NoSyncOnClose:              true, // what is uploaded is synced then; the rest need not survive
	}
	o.Experimental.CompactionScheduler = s.gate
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range o.Levels {
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = targetFileSize
	}
	o.EnsureDefaults()
	return o
}

func (s *Shard) events() *pebble.EventListener {
	return &pebble.EventListener{
		CompactionEnd: func(pebble.CompactionInfo) {
			s.compacted.Add(1)
			s.throttle.signal()
		},
		BackgroundError: func(err error) {
			if !errors.Is(err, errClosing) {
				s.log.Warn("background work of a shard failed and will be repeated", "err", err)
			}
		},
	}
}

// Close stops the background work at once, leaves the local files as a cache and frees the rest. It
// refuses while snapshots are open. What no committed manifest names is lost, by design.
func (s *Shard) Close() error {
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return nil
	}
	if n := s.mu.snapshots; n > 0 {
		s.mu.Unlock()
		return fmt.Errorf("close shard %d: %d snapshots are open", s.opts.ID, n)
	}
	s.mu.closed = true
	s.mu.Unlock()

	s.fs.stop() // a running compaction fails at its next write instead of holding us up
	err := s.db.Close()
	s.fs.close()
	if s.own {
		s.cache.Close()
	}
	if err != nil {
		return fmt.Errorf("close shard %d: %w", s.opts.ID, err)
	}
	return nil
}

// Stats describes a shard at this moment.
type Stats struct {
	Tables      int   // live sorted tables
	Bytes       int64 // in them
	LocalBytes  int64 // of those that are in the local folder
	Sublevels   int   // of level 0: how far compaction is behind
	CacheHits   int64 // of the block cache, which shards may share
	CacheMisses int64
}

// Stats is for metrics; it costs about as much as a point read.
func (s *Shard) Stats() Stats {
	m := s.db.Metrics()
	st := Stats{Sublevels: int(m.Levels[0].Sublevels), CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses}
	st.Tables, st.Bytes, st.LocalBytes = s.fs.usage()
	return st
}

// pebbleLogger hands Pebble's lines to slog. Its chatter is Debug.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Debug("pebble error", "text", fmt.Sprintf(format, args...))
}

// Fatalf must not return. The process restarts from its last checkpoint.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("pebble cannot go on", "text", fmt.Sprintf(format, args...))
	panic("pebble: " + fmt.Sprintf(format, args...))
}

// writerOptions are those of a table that is ingested.
func (s *Shard) writerOptions() sstable.WriterOptions {
	return s.popts.MakeWriterOptions(0, s.db.TableFormat())
}

var _ vfs.FS = (*cacheFS)(nil)
