package shard

import (
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/storage/object"
)

// tailBytes is how much of an object's end its first read brings: footer, properties, filter and
// index of most tables, which opening one reads piece by piece.
const tailBytes = 256 << 10

// remoteFile reads a table that was not here when it was opened: from its object, range by range,
// until the download that the first read starts is done, and from the local file afterwards.
type remoteFile struct {
	fs    *cacheFS
	table *table

	// The local file, once there. A file is read by several goroutines; whoever opens it second
	// closes its own.
	local fileHolder
}

var errReadOnly = fmt.Errorf("table is read-only: %w", os.ErrPermission)

// ReadAt implements vfs.File.
func (f *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	t := f.table
	if t.local.Load() {
		local, err := f.local.get(t.path)
		if err != nil {
			return 0, err
		}
		return local.ReadAt(p, off)
	}
	f.fs.startDownload(t)
	data, err := f.fs.readRemote(t, off, int64(len(p)))
	n := copy(p, data)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// readRemote reads a range of an object, from the tail when it lies there.
func (c *cacheFS) readRemote(t *table, off, n int64) ([]byte, error) {
	start := max(t.size-tailBytes, 0)
	if off < start {
		return c.objects.GetRange(c.ctx, t.object, off, n)
	}
	t.tail.Lock()
	defer t.tail.Unlock()
	if t.tail.data == nil {
		data, err := c.objects.GetRange(c.ctx, t.object, start, t.size-start)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) != t.size-start {
			return nil, fmt.Errorf("object %q ends after %d bytes, its manifest says %d", t.object, start+int64(len(data)), t.size)
		}
		t.tail.data = data
	}
	from := min(off-start, int64(len(t.tail.data)))
	return t.tail.data[from:min(from+n, int64(len(t.tail.data)))], nil
}

// startDownload brings a table here in the background, once. A failure is no error: reads go on from
// the object.
func (c *cacheFS) startDownload(t *table) {
	t.download.Do(func() {
		c.running.Add(1)
		go func() { // close waits for it
			defer c.running.Done()
			c.fetch(t)
		}()
	})
}

func (c *cacheFS) fetch(t *table) {
	select {
	case c.maxDownload <- struct{}{}:
		defer func() { <-c.maxDownload }()
	case <-c.ctx.Done():
		return
	}
	// Not under its own name: Pebble may remove the table meanwhile, and a late file would stay.
	temp := t.path + ".fetch"
	if object.GetFile(c.ctx, c.objects, t.object, temp) != nil {
		os.Remove(temp)
		return
	}
	st, err := os.Stat(temp)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || st.Size() != t.size || t.removed || os.Rename(temp, t.path) != nil {
		os.Remove(temp)
		return
	}
	t.local.Store(true)
	t.tail.Lock()
	t.tail.data = nil
	t.tail.Unlock()
}

// prefetch brings the tables that are missing here, one after another.
func (c *cacheFS) prefetch() {
	c.mu.Lock()
	var missing []*table
	for _, t := range c.mu.tables {
		if !t.local.Load() {
			missing = append(missing, t)
		}
	}
	c.mu.Unlock()
	c.running.Add(1)
	go func() { // close waits for it
		defer c.running.Done()
		for _, t := range missing {
			t.download.Do(func() { c.fetch(t) })
		}
	}()
}

// Close implements vfs.File.
func (f *remoteFile) Close() error { return f.local.close() }

// Stat implements vfs.File.
func (f *remoteFile) Stat() (vfs.FileInfo, error) { return tableInfo{f.table}, nil }

// Read implements vfs.File; Pebble reads tables by ReadAt only.
func (f *remoteFile) Read([]byte) (int, error) { return 0, errReadOnly }

// Write implements vfs.File.
func (f *remoteFile) Write([]byte) (int, error) { return 0, errReadOnly }

// WriteAt implements vfs.File.
func (f *remoteFile) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }

// Preallocate implements vfs.File.
func (f *remoteFile) Preallocate(int64, int64) error { return nil }

// Sync implements vfs.File.
func (f *remoteFile) Sync() error { return nil }

// SyncData implements vfs.File.
func (f *remoteFile) SyncData() error { return nil }

// SyncTo implements vfs.File.
func (f *remoteFile) SyncTo(int64) (bool, error) { return false, nil }

// Prefetch implements vfs.File.
func (f *remoteFile) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (f *remoteFile) Fd() uintptr { return vfs.InvalidFd }
