package table

import "github.com/millrace/millrace/internal/catalog"

// Get reads one key of one relation after the latest epoch that the relation has completed, without the bookkeeping of a View.
// current is false, and nothing was read, when will says that this epoch will not do, or when the relation cannot be read.
// value must not be changed.
func (s *Store) Get(id catalog.ID, full []byte, will func(epoch uint64) bool) (value []byte, found, current bool, err error) {
	s.mu.Lock()
	r := s.mu.tables[id]
	if r == nil || r.hidden {
		s.mu.Unlock()
		return nil, false, false, nil
	}
	epoch, layers, b := r.completed, r.layers, s.mu.base
	if !settled(layers, epoch) {
		s.mu.Unlock()
		return nil, false, false, nil
	}
	b.refs++
	s.mu.Unlock()
	if current = will(epoch); current {
		value, found, err = get(layers, b.snap, full)
	}
	s.mu.Lock()
	last := s.unref(b)
	s.mu.Unlock()
	if last {
		_ = b.snap.Close()
	}
	return value, found, current, err
}

// settled reports whether no layer holds anything of an epoch that is not complete.
func settled(layers []*Layer, epoch uint64) bool {
	return len(layers) == 0 || layers[len(layers)-1].Epoch <= epoch
}
