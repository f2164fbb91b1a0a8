package wal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is one folder without subfolders. waltest has a twin that crashes and fails on demand.
type FS interface {
	// Create makes an empty file to append to, in place of one that has the name.
	Create(name string) (File, error)
	// Open opens an existing file to read and to append to.
	Open(name string) (File, error)
	// List returns the names of all files; Size returns that of one, in bytes.
	List() ([]string, error)
	Size(name string) (int64, error)
	// Remove removes a file, durably or not.
	Remove(name string) error
	// SyncDir makes the names of files durable.
	SyncDir() error
}

// File is an open file. Write appends.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// Dir returns the folder at path, which is made when it is missing.
func Dir(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	return osDir(path), nil
}

type osDir string

type osFile struct{ *os.File }

func (d osDir) path(name string) string { return filepath.Join(string(d), name) }

// Create implements FS.
func (d osDir) Create(name string) (File, error) {
	return openFile(d.path(name), os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC)
}

// Open implements FS.
func (d osDir) Open(name string) (File, error) {
	return openFile(d.path(name), os.O_RDWR|os.O_APPEND)
}

func openFile(path string, flags int) (File, error) {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Sync implements File. The size is data to fdatasync, times are not.
func (f osFile) Sync() error { return fdatasync(f.File) }

// List implements FS.
func (d osDir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Size implements FS.
func (d osDir) Size(name string) (int64, error) {
	st, err := os.Stat(d.path(name))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Remove implements FS.
func (d osDir) Remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SyncDir implements FS.
func (d osDir) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
