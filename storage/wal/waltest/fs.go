// Package waltest has a file system for the log's tests: in memory, it fails on demand and loses in a
// crash what was not synced.
//
// A file has bytes that were written and bytes that are safe; a name is safe once its folder was
// synced. Crash makes a new file system of what a disk might hold afterwards: all that is safe, and
// a random part of the rest, in any order of pages, as a kernel may have written it.
//
// It is safe for any goroutine. Start at FS and FS.Crash.
package waltest

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"github.com/millrace/millrace/storage/wal"
)

// ErrInjected is the error of operations that were told to fail.
var ErrInjected = errors.New("injected fault")

// page is the unit in which a crash keeps or loses what was not synced. Unit: bytes. It is small so
// that records are torn often.
const page = 64

// FS is a wal.FS. The zero value is an empty folder.
type FS struct {
	mu     sync.Mutex
	names  map[string]*inode
	safe   map[string]*inode // names as of the last SyncDir
	ops    int               // operations that change something
	failAt int
	dead   bool
	syncs  int
}

type inode struct {
	data []byte
	safe []byte // as of the last Sync
}

var _ wal.FS = (*FS)(nil)

// FailAt makes the n-th change from now (1 is the next: a create, write, sync, truncate, remove or
// sync of the folder) fail without effect, and all after it. 0 clears it.
func (f *FS) FailAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failAt, f.dead = 0, false
	if n > 0 {
		f.failAt = f.ops + n
	}
}

// Ops counts the changes so far, Syncs the file syncs among them.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Syncs counts the file syncs so far.
func (f *FS) Syncs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncs
}

// changeLocked counts a change and tells whether it fails.
func (f *FS) changeLocked() error {
	f.ops++
	if f.failAt != 0 && f.ops >= f.failAt {
		f.dead = true
	}
	if f.dead {
		return ErrInjected
	}
	return nil
}

// Crash returns what is left after a power cut. f may be used on, as if nothing had happened.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := &FS{names: map[string]*inode{}, safe: map[string]*inode{}}
	for _, name := range f.allNamesLocked() {
		node, now := f.names[name]
		old, then := f.safe[name]
		if now != then && rng.IntN(2) == 0 || now && then && node != old && rng.IntN(2) == 0 {
			node, now = old, then // the change of the folder was lost
		}
		if !now {
			continue
		}
		data := survivors(rng, node)
		after.names[name] = &inode{data: data, safe: slices.Clone(data)}
		after.safe[name] = after.names[name]
	}
	return after
}

func (f *FS) allNamesLocked() []string {
	var names []string
	for name := range f.names {
		names = append(names, name)
	}
	for name := range f.safe {
		if f.names[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// survivors returns the safe bytes and a random part of the others: the file's new length may or may
// not have reached the disk, and each page of it too.
func survivors(rng *rand.Rand, node *inode) []byte {
	data := slices.Clone(node.safe)
	if rng.IntN(3) == 0 {
		return data
	}
	if len(node.data) > len(data) {
		data = append(data, make([]byte, rng.IntN(len(node.data)-len(data)+1))...)
	} else {
		data = data[:len(node.data)]
	}
	for at := 0; at < len(data); at += page {
		if rng.IntN(2) == 0 {
			copy(data[at:min(at+page, len(data))], node.data[at:])
		}
	}
	return data
}

// Corrupt flips a bit of a file, also of what is safe.
func (f *FS) Corrupt(name string, at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name].data[at] ^= 0x10
}

// Create implements wal.FS.
func (f *FS) Create(name string) (wal.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked(); err != nil {
		return nil, err
	}
	if f.names == nil {
		f.names = map[string]*inode{}
	}
	f.names[name] = &inode{}
	return &file{fs: f, node: f.names[name]}, nil
}

// Open implements wal.FS.
func (f *FS) Open(name string) (wal.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node := f.names[name]
	if node == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &file{fs: f, node: node}, nil
}

// List implements wal.FS.
func (f *FS) List() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Size implements wal.FS.
func (f *FS) Size(name string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node := f.names[name]
	if node == nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
	}
	return int64(len(node.data)), nil
}

// Remove implements wal.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked(); err != nil {
		return err
	}
	delete(f.names, name)
	return nil
}

// SyncDir implements wal.FS.
func (f *FS) SyncDir() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.changeLocked(); err != nil {
		return err
	}
	f.safe = map[string]*inode{}
	for name, node := range f.names {
		f.safe[name] = node
	}
	return nil
}

// file is an open file.
type file struct {
	fs   *FS
	node *inode
}

// Write implements wal.File. One that fails may have written a part.
func (h *file) Write(p []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.changeLocked(); err != nil {
		h.node.data = append(h.node.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	h.node.data = append(h.node.data, p...)
	return len(p), nil
}

// ReadAt implements wal.File.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Sync implements wal.File.
func (h *file) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.changeLocked(); err != nil {
		return err
	}
	h.fs.syncs++
	h.node.safe = slices.Clone(h.node.data)
	return nil
}

// Truncate implements wal.File.
func (h *file) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.changeLocked(); err != nil {
		return err
	}
	h.node.data = h.node.data[:size:size]
	return nil
}

// Close implements wal.File.
func (h *file) Close() error { return nil }
