package change

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Sorted yields the changes of several sets in the order of their keys. Of a key that stands in more than one set the
// last set's change counts, and only that is yielded. The slices alias the sets.
func Sorted(sets []*Set) func(yield func(k, value []byte, del bool) bool) {
	s := sorter{sets: sets}
	n := 0
	for _, d := range sets {
		n += d.Len()
	}
	refs := make([]ref, 0, n)
	for k, d := range sets {
		for i := range d.Entries {
			refs = append(refs, ref{set: uint32(k) << takenBits, entry: uint32(i)})
		}
	}
	s.sort(refs, 0)
	return func(yield func(k, value []byte, del bool) bool) {
		for _, r := range refs {
			if r.entry == overtaken {
				continue
			}
			d := sets[r.set>>takenBits]
			e := d.Entries[r.entry]
			if !yield(d.KeyOf(e), d.ValueOf(e), e.Del) {
				return
			}
		}
	}
}

// ref is one change of one set.
type ref struct {
	head uint64 // the 8 bytes of the key that are being looked at, padded with zeros
	// set is the set's number, shifted, and how many bytes of head are the key's: of two keys with the same head one that
	// ends there is the smaller.
	set   uint32
	entry uint32
}

const (
	takenBits = 4
	taken     = 1<<takenBits - 1
	overtaken = ^uint32(0) // a set's number: a later change of the same key counts
)

// sorter sorts by comparing 8 bytes of the keys at a time, as numbers, behind what they have in common: keys are long
// and begin alike (table, vnode, the first columns of a key), and reading them costs a cache miss each.
type sorter struct{ sets []*Set }

func (s *sorter) key(r ref) []byte {
	d := s.sets[r.set>>takenBits]
	return d.KeyOf(d.Entries[r.entry])
}

// few is how many keys are sorted by comparing them as they are.
const few = 12

// sort orders changes whose keys agree in the first depth bytes.
func (s *sorter) sort(refs []ref, depth int) {
	for len(refs) > few {
		depth = s.common(refs, depth)
		slices.SortFunc(refs, func(a, b ref) int {
			if a.head != b.head {
				return cmp.Compare(a.head, b.head)
			}
			return cmp.Compare(a.set&taken, b.set&taken)
		})
		// Runs with equal heads go on behind them; the last one in this loop.
		first := 0
		for i := 1; i < len(refs); i++ {
			if refs[i].head == refs[first].head && (refs[i].set^refs[first].set)&taken == 0 {
				continue
			}
			s.run(refs[first:i], depth)
			first = i
		}
		if refs = refs[first:]; refs[0].set&taken < 8 {
			break // their keys end here
		}
		depth += 8
	}
	if len(refs) > 1 {
		s.compare(refs, depth)
	}
}

// run goes on with changes whose keys agree in the 8 bytes from depth on, or end there.
func (s *sorter) run(refs []ref, depth int) {
	switch {
	case len(refs) == 1:
	case refs[0].set&taken < 8:
		s.compare(refs, depth)
	default:
		s.sort(refs, depth+8)
	}
}

// common finds out how many bytes the keys have in common and sets the heads to what follows.
func (s *sorter) common(refs []ref, depth int) int {
	model := s.key(refs[0])[depth:]
	for _, r := range refs[1:] {
		k := s.key(r)[depth:]
		n := min(len(k), len(model))
		if !bytes.Equal(k[:n], model[:n]) {
			for n = 0; model[n] == k[n]; n++ {
			}
		}
		if model = model[:n]; n == 0 {
			break
		}
	}
	depth += len(model)
	for i, r := range refs {
		k := s.key(r)[depth:]
		if len(k) >= 8 {
			refs[i].head, refs[i].set = binary.BigEndian.Uint64(k), r.set&^taken|8
			continue
		}
		var b [8]byte
		copy(b[:], k)
		refs[i].head, refs[i].set = binary.BigEndian.Uint64(b[:]), r.set&^taken|uint32(len(k))
	}
	return depth
}

// compare sorts by the keys from depth on and marks the changes that later ones have overtaken.
func (s *sorter) compare(refs []ref, depth int) {
	slices.SortFunc(refs, func(a, b ref) int {
		if c := bytes.Compare(s.key(a)[depth:], s.key(b)[depth:]); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.set>>takenBits, b.set>>takenBits), cmp.Compare(a.entry, b.entry))
	})
	next := s.key(refs[len(refs)-1])
	for i := len(refs) - 2; i >= 0; i-- {
		k := s.key(refs[i])
		if bytes.Equal(k[depth:], next[depth:]) {
			refs[i].entry = overtaken
		}
		next = k
	}
}
