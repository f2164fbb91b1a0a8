// Package objecttest has object stores for tests: one in memory, and one that fails on demand.
//
// Both are safe for any goroutine. Faulty wraps any store; it counts the operations that reach it
// and fails the chosen one before or after it took effect, so that a test can try each n.
//
// Start at Mem and Faulty.
package objecttest

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/storage/object"
)

// Mem is an object.Store in memory. The zero value is empty and ready.
type Mem struct {
	// Now gives the times of objects; nil means the zero time plus one second per write.
	Now func() time.Time

	mu struct {
		sync.Mutex
		objects map[string]memObject
		writes  int
	}
}

type memObject struct {
	data []byte
	time time.Time
}

var _ object.Store = (*Mem)(nil)

func fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &object.Error{Op: op, Name: name, Err: err}
}

// Put implements object.Store.
func (m *Mem) Put(ctx context.Context, name string, data []byte) error {
	return m.put(ctx, name, data, true)
}

// PutIfAbsent implements object.Store.
func (m *Mem) PutIfAbsent(ctx context.Context, name string, data []byte) error {
	return m.put(ctx, name, data, false)
}

func (m *Mem) put(ctx context.Context, name string, data []byte, replace bool) error {
	if err := check(ctx, name); err != nil {
		return fail("put", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.mu.objects[name]; ok && !replace {
		return fail("put", name, object.ErrExists)
	}
	if m.mu.objects == nil {
		m.mu.objects = map[string]memObject{}
	}
	m.mu.writes++
	now := time.Time{}.Add(time.Duration(m.mu.writes) * time.Second)
	if m.Now != nil {
		now = m.Now()
	}
	m.mu.objects[name] = memObject{data: slices.Clone(data), time: now}
	return nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return object.CheckName(name)
}

func (m *Mem) find(ctx context.Context, name string) (memObject, error) {
	if err := check(ctx, name); err != nil {
		return memObject{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.mu.objects[name]
	if !ok {
		return o, object.ErrNotFound
	}
	return o, nil
}

// Get implements object.Store.
func (m *Mem) Get(ctx context.Context, name string) ([]byte, error) {
	o, err := m.find(ctx, name)
	return append([]byte{}, o.data...), fail("get", name, err)
}

// GetRange implements object.Store.
func (m *Mem) GetRange(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	o, err := m.find(ctx, name)
	if err != nil {
		return nil, fail("get", name, err)
	}
	from := min(offset, int64(len(o.data)))
	return append([]byte{}, o.data[from:from+min(n, int64(len(o.data))-from)]...), nil
}

// Stat implements object.Store.
func (m *Mem) Stat(ctx context.Context, name string) (object.Info, error) {
	o, err := m.find(ctx, name)
	if err != nil {
		return object.Info{}, fail("stat", name, err)
	}
	return object.Info{Name: name, Size: int64(len(o.data)), ModTime: o.time}, nil
}

// List implements object.Store.
func (m *Mem) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(object.Info{}, fail("list", prefix, err))
			return
		}
		m.mu.Lock()
		var infos []object.Info
		for name, o := range m.mu.objects {
			if strings.HasPrefix(name, prefix) {
				infos = append(infos, object.Info{Name: name, Size: int64(len(o.data)), ModTime: o.time})
			}
		}
		m.mu.Unlock()
		slices.SortFunc(infos, func(a, b object.Info) int { return strings.Compare(a.Name, b.Name) })
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete implements object.Store.
func (m *Mem) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fail("delete", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.objects, name)
	return nil
}

// Names returns the names of all objects that begin with prefix, in order.
func (m *Mem) Names(prefix string) []string {
	var names []string
	for info := range m.List(context.Background(), prefix) {
		names = append(names, info.Name)
	}
	return names
}
