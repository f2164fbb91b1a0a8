package shard

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage/object"
)

// uploads bounds the tables of one checkpoint that are sent at a time.
const uploads = 4

// Checkpoint makes all that was ingested durable as objects and returns the manifest that names
// them. The manifest itself is not stored; storage/checkpoint does that and commits it. A shard that
// has not changed returns its previous manifest, epoch and all. After an error the caller may try
// again: what was uploaded is not sent twice.
func (s *Shard) Checkpoint(ctx context.Context, epoch uint64) (*Manifest, error) {
	f, err := s.Freeze(epoch)
	if err != nil {
		return nil, err
	}
	return f.Upload(ctx)
}

// Frozen is a checkpoint whose contents are fixed and not uploaded yet. It keeps local files from
// being removed, so it must be uploaded or released.
type Frozen struct {
	shard    *Shard
	manifest *Manifest
	changes  int64    // Shard.changes that it holds, or fewer
	tables   []*table // pinned until release
	once     sync.Once
}

// Freeze fixes the contents of a checkpoint in about a millisecond, so that the next epoch can be
// ingested while this one is uploaded.
func (s *Shard) Freeze(epoch uint64) (*Frozen, error) {
	f, err := s.freeze(epoch)
	if err != nil {
		return nil, fmt.Errorf("checkpoint shard %d at epoch %d: %w", s.opts.ID, epoch, err)
	}
	return f, nil
}

func (s *Shard) freeze(epoch uint64) (*Frozen, error) {
	changes := s.changes.Load() // before the contents are fixed: what comes between counts as not in them
	s.mu.Lock()
	closed, last, idle := s.mu.closed, s.mu.last, s.mu.lastChanges == changes
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if last != nil && idle {
		return &Frozen{shard: s, manifest: last, changes: changes}, nil
	}
	dir := fmt.Sprintf("/checkpoint-%d", s.temps.Add(1))
	defer s.fs.RemoveAll(dir)
	if err := s.db.Checkpoint(dir); err != nil {
		return nil, err
	}
	meta, err := s.readMeta(dir)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Format: ManifestFormat, Shard: s.opts.ID, Epoch: epoch, Incarnation: s.opts.Incarnation,
		Tables: []Table{}, Meta: meta}
	f := &Frozen{shard: s, manifest: m, changes: changes, tables: s.fs.takeLinks(dir)}
	for _, t := range f.tables {
		m.Tables = append(m.Tables, Table{File: t.file, Object: t.object, Size: t.size, CRC32C: t.crc})
	}
	return f, nil
}

// readMeta reads Pebble's files of a checkpoint folder from memory. There may be an empty log: it
// has nothing in it, because nothing is ever logged.
func (s *Shard) readMeta(dir string) (map[string][]byte, error) {
	names, err := s.fs.FS.List(dir)
	if err != nil {
		return nil, err
	}
	meta := map[string][]byte{}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			continue
		}
		f, err := s.fs.FS.Open(dir + "/" + name)
		if err != nil {
			return nil, err
		}
		meta[name], err = io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return meta, nil
}

// Manifest returns what will be the manifest; it may be stored only after Upload.
func (f *Frozen) Manifest() *Manifest { return f.manifest }

// Upload stores the tables that no earlier checkpoint stored, a few at a time, and releases the
// checkpoint. It may run while the writer ingests.
func (f *Frozen) Upload(ctx context.Context) (*Manifest, error) {
	defer f.Release()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, t := range f.shard.fs.pending(f.tables) {
		group.Go(func() error { return f.shard.fs.upload(ctx, t) })
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("checkpoint shard %d at epoch %d: %w", f.manifest.Shard, f.manifest.Epoch, err)
	}
	f.shard.uploaded(f)
	return f.manifest, nil
}

func (s *Shard) uploaded(f *Frozen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.last == nil || f.changes > s.mu.lastChanges {
		s.mu.last, s.mu.lastChanges = f.manifest, f.changes
	}
}

// Release gives the local files free. A checkpoint that was not uploaded must not be used.
func (f *Frozen) Release() { f.once.Do(func() { f.shard.fs.unpin(f.tables) }) }

// pending returns the tables that are not uploaded.
func (c *cacheFS) pending(tables []*table) (pending []*table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range tables {
		if !t.uploaded {
			pending = append(pending, t)
		}
	}
	return pending
}

func (c *cacheFS) upload(ctx context.Context, t *table) error {
	if err := object.PutFile(ctx, c.objects, t.object, t.path); err != nil {
		return err
	}
	// The local file is trusted by a later incarnation, so it must not be hollow after a power cut.
	if err := syncFile(t.path); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.uploaded = true
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
