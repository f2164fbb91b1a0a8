package shard

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/storage/object"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errClosing makes background work give up while a shard closes.
var errClosing = errors.New("shard is closing")

// cacheFS is the file system that a database sees. A sorted table is a local file that is, or will
// be, an object; all other files live in memory, because the manifest of a checkpoint carries them.
//
// A table's local file is named like its object (without folders), so that it is found again by a
// later incarnation. Removing a table removes its local file once nobody uploads it; the object
// stays until no manifest names it.
type cacheFS struct {
	vfs.FS // in memory

	dir         string
	prefix      string // "<incarnation>-": of the files we make
	objectDir   string // "sst/<shard>/"
	objects     object.Store
	maxDownload chan struct{} // holds a token per running download

	ctx     context.Context // of the shard's lifetime
	cancel  context.CancelFunc
	running sync.WaitGroup // downloads
	closing atomic.Bool

	complete atomic.Bool // no table needs the network any more

	mu struct {
		sync.Mutex
		tables map[string]*table   // by Pebble's path
		links  map[string][]*table // tables that a checkpoint folder names, each pinned once
	}
}

// table is one sorted table. Its fields but local are guarded by cacheFS.mu once it is complete.
type table struct {
	file     string // Pebble's name, without folder
	object   string
	path     string // of the local file
	size     int64
	crc      uint32
	uploaded bool
	pins     int  // checkpoints that still need the local file
	removed  bool // by Pebble

	local    atomic.Bool // the local file is there and whole
	download sync.Once
	tail     struct { // the end of an object, which opening a table reads first
		sync.Mutex
		data []byte
	}
}

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

func baseName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func newCacheFS(opts Options, m *Manifest) (*cacheFS, error) {
	c := &cacheFS{
		FS:          vfs.NewMem(),
		dir:         opts.Dir,
		prefix:      fmt.Sprintf("%d-", opts.Incarnation),
		objectDir:   fmt.Sprintf("sst/%d/", opts.ID),
		objects:     opts.Objects,
		maxDownload: make(chan struct{}, 2), // two keep a link busy without starving reads
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.tables = map[string]*table{}
	c.mu.links = map[string][]*table{}
	if err := c.FS.MkdirAll(dbDir, 0o755); err != nil {
		return nil, err
	}
	if err := c.restore(m); err != nil {
		return nil, err
	}
	return c, nil
}

// restore sets the file system up as the manifest says and removes local files that it does not name.
func (c *cacheFS) restore(m *Manifest) error {
	keep := map[string]*table{}
	if m != nil {
		for name, data := range m.Meta {
			if err := c.writeMeta(name, data); err != nil {
				return err
			}
		}
		for _, f := range m.Tables {
			t := &table{file: f.File, object: f.Object, size: f.Size, crc: f.CRC32C, uploaded: true,
				path: filepath.Join(c.dir, baseName(f.Object))}
			c.mu.tables[dbDir+"/"+f.File] = t
			keep[filepath.Base(t.path)] = t
		}
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if t := keep[e.Name()]; t != nil && info.Size() == t.size {
			t.local.Store(true)
			continue
		}
		if err := os.Remove(filepath.Join(c.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (c *cacheFS) writeMeta(name string, data []byte) error {
	f, err := c.FS.Create(dbDir+"/"+name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(slices.Clone(data)); err != nil { // a vfs.File may spoil what it is given
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// stop makes writes fail and ends downloads; close waits for them.
func (c *cacheFS) stop() {
	c.closing.Store(true)
	c.cancel()
}

func (c *cacheFS) close() {
	c.stop()
	c.running.Wait()
}

func (c *cacheFS) usage() (tables int, bytes, local int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.mu.tables {
		bytes += t.size
		if t.local.Load() {
			local += t.size
		}
	}
	return len(c.mu.tables), bytes, local
}

// allLocal tells whether no table needs the network. Once true it stays so.
func (c *cacheFS) allLocal() bool {
	if c.complete.Load() {
		return true
	}
	tables, bytes, local := c.usage()
	if _, links := c.objects.(object.FileLinker); links || tables == 0 || bytes == local {
		c.complete.Store(true)
	}
	return c.complete.Load()
}

// isScattered tells whether there are many tables and most of them small.
func (c *cacheFS) isScattered() bool {
	tables, bytes, _ := c.usage()
	return tables > 32 && bytes/int64(tables) < 1<<20
}

func (c *cacheFS) find(name string) *table {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.tables[name]
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// Create implements vfs.FS.
func (c *cacheFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !isTable(name) {
		return c.FS.Create(name, category)
	}
	if c.closing.Load() {
		return nil, errClosing
	}
	t := c.newTable(name)
	f, err := vfs.Default.Create(t.path, category)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.mu.tables[name] = t
	c.mu.Unlock()
	return &tableWriter{File: f, fs: c, table: t}, nil
}

// newTable describes a table of this incarnation.
func (c *cacheFS) newTable(name string) *table {
	file := c.prefix + baseName(name)
	return &table{file: baseName(name), object: c.objectDir + file, path: filepath.Join(c.dir, file)}
}

// Link implements vfs.FS. Within the database folder it gives an ingested table its number; into
// any other folder, a checkpoint's, it only takes note.
func (c *cacheFS) Link(oldname, newname string) error {
	if !isTable(oldname) {
		return c.FS.Link(oldname, newname)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.tables[oldname]
	if old == nil {
		return notExist("link", oldname)
	}
	if dir := c.PathDir(newname); dir != dbDir {
		old.pins++
		c.mu.links[dir] = append(c.mu.links[dir], old)
		return nil
	}
	t := c.newTable(newname)
	if err := os.Link(old.path, t.path); err != nil {
		return err
	}
	t.size, t.crc = old.size, old.crc
	t.local.Store(true)
	c.mu.tables[newname] = t
	return nil
}

// takeLinks returns the tables that were linked into a folder, in order of their files. Each is
// pinned until unpin.
func (c *cacheFS) takeLinks(dir string) []*table {
	c.mu.Lock()
	defer c.mu.Unlock()
	tables := c.mu.links[dir]
	delete(c.mu.links, dir)
	slices.SortFunc(tables, func(a, b *table) int { return strings.Compare(a.file, b.file) })
	return tables
}

func (c *cacheFS) unpin(tables []*table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range tables {
		if t.pins--; t.pins == 0 && t.removed {
			os.Remove(t.path) // a cache file too many is removed by the next Open
		}
	}
}

// Remove implements vfs.FS.
func (c *cacheFS) Remove(name string) error {
	if !isTable(name) {
		return c.FS.Remove(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.tables[name]
	if t == nil {
		return notExist("remove", name)
	}
	delete(c.mu.tables, name)
	t.removed = true
	if t.pins > 0 {
		return nil
	}
	if err := os.Remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll implements vfs.FS for checkpoint folders.
func (c *cacheFS) RemoveAll(name string) error {
	c.unpin(c.takeLinks(name))
	return c.FS.RemoveAll(name)
}

// Rename implements vfs.FS for metadata. Pebble never renames a table.
func (c *cacheFS) Rename(oldname, newname string) error {
	if isTable(oldname) {
		return &fs.PathError{Op: "rename", Path: oldname, Err: errors.ErrUnsupported}
	}
	return c.FS.Rename(oldname, newname)
}

// List implements vfs.FS.
func (c *cacheFS) List(dir string) ([]string, error) {
	names, err := c.FS.List(dir)
	if err != nil || dir != dbDir {
		return names, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.mu.tables {
		names = append(names, t.file)
	}
	return names, nil
}

// Stat implements vfs.FS.
func (c *cacheFS) Stat(name string) (vfs.FileInfo, error) {
	if !isTable(name) {
		return c.FS.Stat(name)
	}
	if t := c.find(name); t != nil {
		return tableInfo{t}, nil
	}
	return nil, notExist("stat", name)
}

// GetDiskUsage implements vfs.FS: that of the local folder.
func (c *cacheFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.Default.GetDiskUsage(c.dir)
}

// Unwrap implements vfs.FS: there is no one file system below.
func (c *cacheFS) Unwrap() vfs.FS { return nil }

// Open implements vfs.FS. A table that is not here is linked when the object store can do that, and
// else read where it is while it is brought here.
func (c *cacheFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if !isTable(name) {
		return c.FS.Open(name, opts...)
	}
	t := c.find(name)
	if t == nil {
		return nil, notExist("open", name)
	}
	if !t.local.Load() {
		if l, ok := c.objects.(object.FileLinker); ok && l.LinkFile(c.ctx, t.object, t.path) == nil {
			t.local.Store(true)
		}
	}
	if t.local.Load() {
		return vfs.Default.Open(t.path, opts...)
	}
	return &remoteFile{fs: c, table: t}, nil
}

// tableInfo is what Stat says of a table.
type tableInfo struct{ t *table }

func (i tableInfo) Name() string           { return i.t.file }
func (i tableInfo) Size() int64            { return i.t.size }
func (i tableInfo) Mode() fs.FileMode      { return 0o644 }
func (i tableInfo) ModTime() time.Time     { return time.Time{} }
func (i tableInfo) IsDir() bool            { return false }
func (i tableInfo) Sys() any               { return nil }
func (i tableInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// tableWriter sums a table up while it is written. It does not sync: an upload does.
//
// It hands the kernel large pieces: what a write costs is mostly by the page where it is small, and by the large folio
// where it is not.
type tableWriter struct {
	vfs.File
	fs    *cacheFS
	table *table
	size  int64
	crc   uint32
	buf   []byte // not written yet
	err   error  // of a write; no other follows
}

// writePiece is what is written at a time, in bytes. More no longer fits into the second-level cache.
const writePiece = 256 << 10

// pieces keeps buffers of writePiece bytes: tables are written all the time.
var pieces = sync.Pool{New: func() any { return new([writePiece]byte) }}

// Write implements vfs.File.
func (w *tableWriter) Write(p []byte) (int, error) {
	if w.fs.closing.Load() {
		return 0, errClosing
	}
	if w.buf == nil {
		w.buf = pieces.Get().(*[writePiece]byte)[:0]
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), writePiece-len(w.buf))
		w.buf, rest = append(w.buf, rest[:n]...), rest[n:]
		if len(w.buf) == writePiece {
			w.flush()
		}
	}
	return len(p), w.err
}

func (w *tableWriter) flush() {
	if w.err == nil && len(w.buf) > 0 {
		w.crc = crc32.Update(w.crc, castagnoli, w.buf)
		_, w.err = w.File.Write(w.buf)
		w.size += int64(len(w.buf))
	}
	w.buf = w.buf[:0]
}

// Sync implements vfs.File.
func (w *tableWriter) Sync() error { return nil }

// SyncData implements vfs.File.
func (w *tableWriter) SyncData() error { return nil }

// SyncTo implements vfs.File.
func (w *tableWriter) SyncTo(int64) (bool, error) { return false, nil }

// Close implements vfs.File.
func (w *tableWriter) Close() error {
	if w.buf != nil {
		w.flush()
		pieces.Put((*[writePiece]byte)(w.buf[:writePiece]))
		w.buf = nil
	}
	err := errors.Join(w.err, w.File.Close())
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.table.size, w.table.crc = w.size, w.crc
	w.table.local.Store(err == nil)
	return err
}
