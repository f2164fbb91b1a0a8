package objecttest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/millrace/millrace/storage/object"
)

// ErrInjected is in the chain of each failure that Faulty makes.
var ErrInjected = errors.New("injected fault")

// Faulty passes operations on to Store and fails those it is told to.
type Faulty struct {
	object.Store

	mu struct {
		sync.Mutex
		ops    map[string]int // by operation: "put", "get", "stat", "list", "delete"; "" is all
		failAt int            // 1-based count of all operations; 0 is never
		after  bool
		dead   bool // all further operations fail too
		kill   bool
		hook   func(op, name string) error
	}
}

// NewFaulty returns a store that does not fail yet.
func NewFaulty(s object.Store) *Faulty { return &Faulty{Store: s} }

// FailAt fails the n-th operation from now (1 is the next), before it takes effect or after it did.
// With kill, every later operation fails as well, as if the process were gone. n = 0 clears it.
func (f *Faulty) FailAt(n int, after, kill bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.failAt, f.mu.after, f.mu.kill, f.mu.dead = 0, after, kill, false
	if n > 0 {
		f.mu.failAt = f.mu.ops[""] + n
	}
}

// SetHook calls hook before each operation; an error from it fails the operation. It may block.
func (f *Faulty) SetHook(hook func(op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hook = hook
}

// Ops returns how many operations of a kind ("put", "get", "stat", "list", "delete"; "" is all) came so far.
func (f *Faulty) Ops(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.ops[kind]
}

// step counts an operation and runs it unless it is to fail.
func (f *Faulty) step(op, name string, run func() error) error {
	f.mu.Lock()
	if f.mu.ops == nil {
		f.mu.ops = map[string]int{}
	}
	f.mu.ops[""]++
	f.mu.ops[op]++
	hit := f.mu.failAt != 0 && f.mu.ops[""] == f.mu.failAt
	before := f.mu.dead || hit && !f.mu.after
	if hit && f.mu.kill {
		f.mu.dead = true
	}
	hook := f.mu.hook
	f.mu.Unlock()
	if before {
		return fail(op, name, ErrInjected)
	}
	if hook != nil {
		if err := hook(op, name); err != nil {
			return fail(op, name, err)
		}
	}
	if err := run(); err != nil {
		return err
	}
	if hit {
		return fail(op, name, ErrInjected)
	}
	return nil
}

// Put implements object.Store.
func (f *Faulty) Put(ctx context.Context, name string, data []byte) error {
	return f.step("put", name, func() error { return f.Store.Put(ctx, name, data) })
}

// PutIfAbsent implements object.Store.
func (f *Faulty) PutIfAbsent(ctx context.Context, name string, data []byte) error {
	return f.step("put", name, func() error { return f.Store.PutIfAbsent(ctx, name, data) })
}

// PutFile implements object.FilePutter by whatever means Store has.
func (f *Faulty) PutFile(ctx context.Context, name, path string) error {
	return f.step("put", name, func() error { return object.PutFile(ctx, f.Store, name, path) })
}

// Get implements object.Store.
func (f *Faulty) Get(ctx context.Context, name string) (data []byte, err error) {
	err = f.step("get", name, func() error {
		data, err = f.Store.Get(ctx, name)
		return err
	})
	return data, err
}

// GetFile implements object.FileGetter by whatever means Store has.
func (f *Faulty) GetFile(ctx context.Context, name, path string) error {
	return f.step("get", name, func() error { return object.GetFile(ctx, f.Store, name, path) })
}

// GetRange implements object.Store.
func (f *Faulty) GetRange(ctx context.Context, name string, offset, n int64) (data []byte, err error) {
	err = f.step("get", name, func() error {
		data, err = f.Store.GetRange(ctx, name, offset, n)
		return err
	})
	return data, err
}

// Stat implements object.Store.
func (f *Faulty) Stat(ctx context.Context, name string) (info object.Info, err error) {
	err = f.step("stat", name, func() error {
		info, err = f.Store.Stat(ctx, name)
		return err
	})
	return info, err
}

// List implements object.Store; the listing is one operation.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := f.step("list", prefix, func() error { return nil }); err != nil {
			yield(object.Info{}, err)
			return
		}
		f.Store.List(ctx, prefix)(yield)
	}
}

// Delete implements object.Store.
func (f *Faulty) Delete(ctx context.Context, name string) error {
	return f.step("delete", name, func() error { return f.Store.Delete(ctx, name) })
}
