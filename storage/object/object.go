// Package object stores immutable blobs by name: in a folder or in an S3 bucket.
//
// The idea: everything Millrace keeps for good (sorted tables, manifests, sealed log segments) is an
// object that is written once, whole, and never changed. Only Put and PutIfAbsent create one, and
// both are atomic: a reader sees all of it or nothing, and when they return nil it is durable.
// PutIfAbsent is the fence between two servers on one bucket.
//
// A Store has no state of its own and may be used by any goroutine. Each call carries a context, and
// an S3 store repeats what may be repeated before it gives up.
//
// Invariants: names are slash-separated, relative and clean (CheckName); each error says what was
// done to which object (*Error); ErrNotFound and ErrExists are found with errors.Is. No error text
// holds a credential.
//
// It does not cache, encrypt or collect garbage: see storage/shard and storage/checkpoint. Start at
// Store; file.go and s3.go implement it, objecttest has one in memory and one that fails on demand.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrNotFound is in the chain when the object does not exist.
var ErrNotFound = errors.New("object does not exist")

// ErrExists is in the chain when PutIfAbsent found an object that another call wrote.
var ErrExists = errors.New("object exists already")

// Info describes an object.
type Info struct {
	Name    string
	Size    int64     // bytes
	ModTime time.Time // by the clock of whoever stores it; resolution of a second
}

// Store is a set of named, immutable blobs.
type Store interface {
	// Put stores data under name. It replaces an object of that name, so callers choose names
	// that no two contents share.
	Put(ctx context.Context, name string, data []byte) error

	// PutIfAbsent stores data under name, or returns ErrExists. Of several callers one wins. When
	// the outcome of an attempt was lost on the way, it finds out; an error other than ErrExists
	// means that the object may or may not be there.
	PutIfAbsent(ctx context.Context, name string, data []byte) error

	// Get returns the whole object. The caller owns the slice.
	Get(ctx context.Context, name string) ([]byte, error)

	// GetRange returns the n bytes from offset on, fewer when the object ends before. An offset
	// at or behind the end gives an empty slice.
	GetRange(ctx context.Context, name string, offset, n int64) ([]byte, error)

	// Stat describes an object without reading it.
	Stat(ctx context.Context, name string) (Info, error)

	// List yields the objects whose names begin with prefix, in bytewise order of names. The
	// prefix need not end at a slash. After an error it stops.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes an object. One that does not exist is no error.
	Delete(ctx context.Context, name string) error
}

// FilePutter is a Store that can take a local file without reading it into memory. The file must
// not change afterwards: the store may keep a hard link to it. Use PutFile.
type FilePutter interface {
	PutFile(ctx context.Context, name, path string) error
}

// FileGetter is a Store that can hand an object over as a local file: complete under its path, or
// not there. Use GetFile.
type FileGetter interface {
	GetFile(ctx context.Context, name, path string) error
}

// FileLinker is a Store whose objects can appear at a local path at once, without copying. It returns
// an error when this object and this path do not allow it.
type FileLinker interface {
	LinkFile(ctx context.Context, name, path string) error
}

// PutFile stores the local file at path as an object, by the store's own means when it has any.
func PutFile(ctx context.Context, s Store, name, path string) error {
	if p, ok := s.(FilePutter); ok {
		return p.PutFile(ctx, name, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return wrap("put", name, err)
	}
	return s.Put(ctx, name, data)
}

// GetFile brings an object to the local path, replacing what is there. The file appears whole.
func GetFile(ctx context.Context, s Store, name, path string) error {
	if g, ok := s.(FileGetter); ok {
		return g.GetFile(ctx, name, path)
	}
	data, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	return wrap("get", name, writeWhole(path, filepath.Dir(path), func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	}))
}

// Error says what was done to which object, and why it did not work.
type Error struct {
	Op   string // "put", "get", "stat", "list", "delete"
	Name string // of the object, or the prefix of a list
	Err  error
	// Retryable tells that the same call may work later: the store was unreachable or overloaded.
	Retryable bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s object %q: %v", e.Op, e.Name, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Retryable tells whether err comes from a store that may work again later.
func Retryable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retryable
}

// wrap gives err its Op and Name. A nil err stays nil.
func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Err: err}
}

// CheckName tells whether a name is usable in every store: relative, slash-separated, without empty
// or dotted parts, printable ASCII, at most 512 bytes.
func CheckName(name string) error {
	if name == "" || len(name) > 512 {
		return fmt.Errorf("object name of %d bytes", len(name))
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || part[0] == '.' {
			return fmt.Errorf("object name %q has an empty or dotted part", name)
		}
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '\\' {
			return fmt.Errorf("object name %q holds byte %#x", name, c)
		}
	}
	return nil
}

// clip bounds a range of an object of size bytes. Negative bounds are the caller's mistake.
func clip(offset, n, size int64) (from, to int64, err error) {
	if offset < 0 || n < 0 {
		return 0, 0, fmt.Errorf("range of %d bytes at %d", n, offset)
	}
	from = min(offset, size)
	return from, from + min(n, size-from), nil
}
