// Package table is the readable side of relations: rows of the last checkpoint in the shard, plus the
// epochs completed since, in memory, as one consistent view over all relations.
//
// The idea: at each barrier a materialize operator hands over a Layer, the epoch's changed keys. A read at
// epoch e merges the layers up to e over the shard's snapshot. When a checkpoint is ingested, the snapshot
// moves forward and the layers it covers go, in one step for all relations, so a view of several relations
// is always of one epoch.
//
// Store is shared by sessions, actors and the checkpointer; its mutex guards maps and slice headers only and
// is never held across I/O. Views are immutable and must be closed.
//
// Invariants: a relation's layers are in epoch order, all later than its base; a view's rows never change.
//
// It does not decide which epoch a query reads (internal/engine) and does not write SSTs (storage/shard).
// Start at Store and View.
package table

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/column"
	"github.com/millrace/millrace/storage/key"
)

// Snapshot is a consistent view of the shard.
type Snapshot interface {
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls f for lo ≤ key < hi in order until it returns false.
	Scan(lo, hi []byte, f func(key, value []byte) bool) error
	// Size guesses the bytes that lo ≤ key < hi take on disk.
	Size(lo, hi []byte) uint64
	Close() error
}

// Store knows the state of every stored relation. Locks are taken in the order Store, columns, column.Cache.
type Store struct {
	images *column.Cache // the relations' columns in memory, as of the base
	mu     struct {
		sync.Mutex
		base   *base
		tables map[catalog.ID]*relation
		// cuts are the epochs of checkpoints under way, ascending: no merge reaches over one.
		cuts []uint64
	}
}

// base is the shard's snapshot with a count of its users; the last one closes it.
type base struct {
	snap Snapshot
	refs int // guarded by Store.mu
}

type relation struct {
	baseEpoch uint64   // the snapshot holds this epoch
	completed uint64   // readable up to here
	hidden    bool     // its job is still reading its first snapshot
	layers    []*Layer // oldest first, all > baseEpoch; several of one epoch when several actors write
	columns   *columns // as of base
}

// NewStore starts with the shard's snapshot. Columns in memory take up to cacheBytes.
func NewStore(snap Snapshot, cacheBytes int64) *Store {
	s := &Store{images: column.NewCache(cacheBytes)}
	s.mu.base = &base{snap: snap, refs: 1}
	s.mu.tables = map[catalog.ID]*relation{}
	return s
}

// Register makes a relation known, readable at epoch.
func (s *Store) Register(id catalog.ID, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.tables[id] = &relation{baseEpoch: epoch, completed: epoch, columns: &columns{}}
}

// RegisterHidden makes a relation known whose rows cannot be read before Publish.
func (s *Store) RegisterHidden(id catalog.ID, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.tables[id] = &relation{baseEpoch: epoch, completed: epoch, hidden: true, columns: &columns{}}
}

// Publish makes a hidden relation readable at epoch.
func (s *Store) Publish(id catalog.ID, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.mu.tables[id]; r != nil {
		r.hidden, r.completed = false, epoch
		r.columns.drop()
		r.columns = &columns{}
	}
}

// Forget drops a relation; open views keep what they have.
func (s *Store) Forget(id catalog.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.mu.tables[id]; r != nil {
		r.columns.drop()
	}
	delete(s.mu.tables, id)
}

// Apply adds one actor's changes of an epoch that is not complete yet. Other actors of the relation may be epochs ahead.
func (s *Store) Apply(id catalog.ID, l *Layer) {
	if l.Delta.Len() >= largeLayer {
		l.sorted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.tables[id]
	if r == nil || l.Delta.Len() == 0 {
		return
	}
	at := len(r.layers)
	for at > 0 && r.layers[at-1].Epoch > l.Epoch {
		at--
	}
	r.layers = slices.Insert(r.layers[:len(r.layers):len(r.layers)], at, l)
}

// ApplyAt is Apply of a layer that was made, and sorted, before its epoch was known.
func (s *Store) ApplyAt(id catalog.ID, l *Layer, epoch uint64) {
	l.Epoch, l.First = epoch, epoch
	s.Apply(id, l)
}

const (
	mergeLayers = 12   // more small layers than this are merged
	mergeRows   = 1024 // layers up to this many rows count as small
)

// Complete makes an epoch of a relation readable.
func (s *Store) Complete(id catalog.ID, epoch uint64) {
	s.mu.Lock()
	r := s.mu.tables[id]
	if r == nil {
		s.mu.Unlock()
		return
	}
	r.completed = max(r.completed, epoch)
	small := r.smallTail(s.floorLocked(), s.mu.cuts)
	s.mu.Unlock()
	if len(small) > mergeLayers {
		s.swap(id, small, Merge(small))
	}
}

// Cut announces that a checkpoint will take the layers up to epoch; Advance ends it.
func (s *Store) Cut(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.cuts = append(s.mu.cuts, epoch)
}

// floorLocked is the latest epoch that every relation has completed: nobody reads below it for long.
func (s *Store) floorLocked() uint64 {
	floor := ^uint64(0)
	for _, r := range s.mu.tables {
		if !r.hidden {
			floor = min(floor, r.completed)
		}
	}
	return floor
}

// smallTail returns the longest run of small layers that ends at the floor and crosses no cut.
func (r *relation) smallTail(floor uint64, cuts []uint64) []*Layer {
	end := len(r.layers)
	for end > 0 && r.layers[end-1].Epoch > floor {
		end--
	}
	low := uint64(0)
	for _, c := range cuts {
		if end > 0 && c < r.layers[end-1].Epoch {
			low = max(low, c)
		}
	}
	start := end
	for start > 0 && r.layers[start-1].First > low && r.layers[start-1].Rows <= mergeRows {
		start--
	}
	return r.layers[start:end]
}

// swap replaces a run of layers by their merge, unless a checkpoint has taken some of them meanwhile.
func (s *Store) swap(id catalog.ID, run []*Layer, merged *Layer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.tables[id]
	if r == nil {
		return
	}
	for i, l := range r.layers {
		if l != run[0] {
			continue
		}
		if i+len(run) > len(r.layers) || r.layers[i+len(run)-1] != run[len(run)-1] {
			return
		}
		next := append([]*Layer(nil), r.layers[:i]...)
		next = append(next, merged)
		r.layers = append(next, r.layers[i+len(run):]...)
		return
	}
}

// Completed returns the epoch up to which a relation can be read.
func (s *Store) Completed(id catalog.ID) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.tables[id]
	if r == nil || r.hidden {
		return 0, false
	}
	return r.completed, true
}

// Readable lists the relations that can be read.
func (s *Store) Readable() []catalog.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]catalog.ID, 0, len(s.mu.tables))
	for id, r := range s.mu.tables {
		if !r.hidden {
			ids = append(ids, id)
		}
	}
	return ids
}

// Unsaved returns a relation's layers up to an epoch: what a checkpoint of that epoch has to write.
func (s *Store) Unsaved(id catalog.ID, epoch uint64) []*Layer {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.tables[id]
	if r == nil {
		return nil
	}
	var out []*Layer
	for _, l := range r.layers {
		if l.Epoch <= epoch {
			out = append(out, l)
		}
	}
	return out
}

// Advance replaces the snapshot by one that holds each given relation at the given epoch, and drops the
// layers that it covers. It ends the oldest Cut.
func (s *Store) Advance(snap Snapshot, saved map[catalog.ID]uint64) {
	s.mu.Lock()
	old := s.mu.base
	s.mu.base = &base{snap: snap, refs: 1}
	if len(s.mu.cuts) > 0 {
		s.mu.cuts = s.mu.cuts[1:]
	}
	for id, epoch := range saved {
		r := s.mu.tables[id]
		if r == nil {
			continue
		}
		r.baseEpoch = epoch
		var keep, gone []*Layer
		for _, l := range r.layers {
			if l.Epoch > epoch {
				keep = append(keep, l)
			} else {
				gone = append(gone, l)
			}
		}
		r.layers = keep
		if len(gone) > 0 {
			r.columns = r.columns.without(gone)
		}
	}
	last := s.unref(old)
	s.mu.Unlock()
	if last {
		_ = old.snap.Close()
	}
}

// unref reports whether b has no user left; s.mu is held.
func (s *Store) unref(b *base) bool {
	b.refs--
	return b.refs == 0
}

// Rebase replaces the snapshot by a later one that differs only in relations nobody can read yet.
func (s *Store) Rebase(snap Snapshot) {
	s.mu.Lock()
	old := s.mu.base
	s.mu.base = &base{snap: snap, refs: 1}
	last := s.unref(old)
	s.mu.Unlock()
	if last {
		_ = old.snap.Close()
	}
}

// Saved is the latest checkpoint, for state containers; it implements their Store.
type Saved struct{ S *Store }

func (x Saved) with(f func(Snapshot) error) error {
	x.S.mu.Lock()
	b := x.S.mu.base
	b.refs++
	x.S.mu.Unlock()
	err := f(b.snap)
	x.S.mu.Lock()
	last := x.S.unref(b)
	x.S.mu.Unlock()
	if last {
		_ = b.snap.Close()
	}
	return err
}

// Get returns the value of a full key.
func (x Saved) Get(k []byte) (v []byte, ok bool, err error) {
	err = x.with(func(s Snapshot) (err error) { v, ok, err = s.Get(k); return err })
	return v, ok, err
}

// Scan calls f for lo ≤ key < hi in order until it returns false.
func (x Saved) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	return x.with(func(s Snapshot) error { return s.Scan(lo, hi, f) })
}

// Close lets go of the snapshot.
func (s *Store) Close() error {
	s.mu.Lock()
	b := s.mu.base
	last := s.unref(b)
	s.mu.Unlock()
	if last {
		return b.snap.Close()
	}
	return nil
}

// View is the contents of some relations at one epoch.
type View struct {
	Epoch  uint64
	store  *Store
	base   *base
	layers map[catalog.ID][]*Layer
	cols   map[catalog.ID]*columns
}

// ErrNotRetained says that a relation's contents at the epoch are gone: the reader should take a later one.
var ErrNotRetained = fmt.Errorf("read relation: the epoch is no longer retained")

// View opens relations at an epoch that all of them have completed.
func (s *Store) View(ids []catalog.ID, epoch uint64) (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &View{Epoch: epoch, store: s, base: s.mu.base, layers: make(map[catalog.ID][]*Layer, len(ids)),
		cols: make(map[catalog.ID]*columns, len(ids))}
	for _, id := range ids {
		r := s.mu.tables[id]
		if r == nil {
			return nil, fmt.Errorf("read relation %d: it is gone", id)
		}
		if r.completed < epoch || r.baseEpoch > epoch {
			return nil, ErrNotRetained
		}
		n := len(r.layers)
		for n > 0 && r.layers[n-1].Epoch > epoch {
			n--
		}
		for _, l := range r.layers[n:] {
			if l.First <= epoch {
				return nil, ErrNotRetained // merged past the epoch
			}
		}
		v.layers[id] = r.layers[:n:n]
		v.cols[id] = r.columns
	}
	v.base.refs++
	return v, nil
}

// Latest opens one relation with everything applied so far, complete or not: for its own writers.
func (s *Store) Latest(id catalog.ID) (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.tables[id]
	if r == nil {
		return nil, fmt.Errorf("read relation %d: it is gone", id)
	}
	v := &View{store: s, base: s.mu.base, layers: map[catalog.ID][]*Layer{id: r.layers}}
	v.base.refs++
	return v, nil
}

// Overlay puts changes on top of a relation in this view only: a transaction's own writes. The set must
// hold each key once and must not change while the view is in use.
func (v *View) Overlay(id catalog.ID, set *change.Set) {
	ls := v.layers[id]
	v.layers[id] = append(ls[:len(ls):len(ls)], NewLayer(v.Epoch, set))
}

// Retain returns another handle on the view, to be closed separately; what is laid over one does not show in the other.
func (v *View) Retain() *View {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	v.base.refs++
	c := *v
	c.layers = maps.Clone(v.layers)
	return &c
}

// Holds reports whether the view was opened on a relation.
func (v *View) Holds(id catalog.ID) bool {
	_, ok := v.layers[id]
	return ok
}

// Close lets go of the view.
func (v *View) Close() {
	v.store.mu.Lock()
	last := v.store.unref(v.base)
	v.store.mu.Unlock()
	if last {
		_ = v.base.snap.Close()
	}
}

// Get returns the stored value of a full key.
func (v *View) Get(id catalog.ID, full []byte) ([]byte, bool, error) {
	return get(v.layers[id], v.base.snap, full)
}

func get(layers []*Layer, under Snapshot, full []byte) ([]byte, bool, error) {
	for i := len(layers) - 1; i >= 0; i-- {
		if c, ok := layers[i].get(full); ok {
			if c.Del {
				return nil, false, nil
			}
			return layers[i].Delta.ValueOf(c), true, nil
		}
	}
	return under.Get(full)
}

// Scan calls f for the entries of a relation with lo ≤ key < hi, in key order, until f returns false. The
// bytes are valid during the call.
func (v *View) Scan(id catalog.ID, lo, hi []byte, f func(key, value []byte) bool) error {
	m := newMerge(v.layers[id], lo, hi)
	more := m.next()
	stopped := false
	err := v.base.snap.Scan(lo, hi, func(k, val []byte) bool {
		for more && string(m.key) < string(k) {
			if !m.del && !f(m.key, m.val) {
				stopped = true
				return false
			}
			more = m.next()
		}
		if more && string(m.key) == string(k) {
			if !m.del && !f(m.key, m.val) {
				stopped = true
				return false
			}
			more = m.next()
			return true
		}
		stopped = !f(k, val)
		return !stopped
	})
	for err == nil && !stopped && more {
		if !m.del && !f(m.key, m.val) {
			break
		}
		more = m.next()
	}
	return err
}

// Empty reports whether the view has no row of a relation.
func (v *View) Empty(id catalog.ID) (bool, error) {
	empty := true
	lo, hi := Range(id)
	err := v.Scan(id, lo, hi, func(_, _ []byte) bool {
		empty = false
		return false
	})
	return empty, err
}

// Range returns the bounds of a relation's rows.
func Range(id catalog.ID) (lo, hi []byte) {
	r := key.TableRange(uint32(id))
	return r.Lo, r.Hi
}
