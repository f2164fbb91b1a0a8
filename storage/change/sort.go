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
		refs = s.refsOf(refs, k, d)
	}
	s.sort(refs, 0)
	return func(yield func(k, value []byte, del bool) bool) {
		for i, r := range refs {
			if i%ahead == 0 {
				s.touch(refs[i:min(i+ahead, len(refs))])
			}
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

// Order returns the numbers of the set's entries in the order of their keys. Of a key that stands more than once the last change counts.
func (d *Set) Order() []int32 {
	s := sorter{sets: []*Set{d}}
	refs := s.refsOf(make([]ref, 0, d.Len()), 0, d)
	s.sort(refs, 0)
	order := make([]int32, 0, len(refs))
	for _, r := range refs {
		if r.entry != overtaken {
			order = append(order, int32(r.entry))
		}
	}
	return order
}

// ref is one change of one set.
type ref struct {
	hi, lo uint64 // the 16 bytes of the key that are being looked at, padded with zeros
	// set is the set's number, shifted, and how many bytes of hi and lo are the key's: of two keys with the same ones the one
	// that ends there is the smaller.
	set   uint32
	entry uint32
}

const (
	headBytes = 16
	takenBits = 5
	taken     = 1<<takenBits - 1
	overtaken = ^uint32(0) // an entry's number: a later change of the same key counts
)

// ahead is how many entries are brought into the cache at a time, before they are read one after the other: in the order of
// their keys they lie anywhere, and a processor waits for many of them as long as for one.
const ahead = 32

// sorter sorts by the digits of 16 bytes of the keys at a time, behind what they have in common: keys are long and begin alike
// (table, vnode, the first columns of a key), and reading them costs a cache miss each.
type sorter struct {
	sets []*Set
	sink byte // what touch has read
}

func (s *sorter) refsOf(refs []ref, set int, d *Set) []ref {
	for i := range d.Entries {
		refs = append(refs, ref{set: uint32(set) << takenBits, entry: uint32(i)})
	}
	return refs
}

// touch reads something of each cache line of the entries' keys and values.
func (s *sorter) touch(refs []ref) {
	const line, lines = 64, 8
	var at [ahead]Entry
	for i, r := range refs {
		if r.entry != overtaken {
			at[i] = s.sets[r.set>>takenBits].Entries[r.entry]
		}
	}
	for i, r := range refs {
		if e := at[i]; r.entry != overtaken {
			b := s.sets[r.set>>takenBits].blocks[e.block]
			end := min(e.at+uint32(e.KeyLen+e.ValLen), e.at+lines*line)
			for k := e.at; k < end; k += line {
				s.sink += b[k]
			}
		}
	}
}

func (s *sorter) key(r ref) []byte {
	d := s.sets[r.set>>takenBits]
	return d.KeyOf(d.Entries[r.entry])
}

// few is how many heads are sorted by comparing them.
const few = 32

// sort orders changes whose keys agree in the first depth bytes.
func (s *sorter) sort(refs []ref, depth int) {
	if len(refs) > 1 {
		depth = s.common(refs, depth)
		if !slices.IsSortedFunc(refs, compareHeads) {
			s.digits(refs, 0)
		}
		s.ties(refs, depth)
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
	for i := range refs {
		r := &refs[i]
		k := s.key(*r)[depth:]
		n := min(len(k), headBytes)
		if n < headBytes {
			var b [headBytes]byte
			copy(b[:], k)
			k = b[:]
		}
		r.hi, r.lo, r.set = binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:]), r.set&^taken|uint32(n)
	}
	return depth
}

func compareHeads(a, b ref) int {
	if a.hi != b.hi {
		return cmp.Compare(a.hi, b.hi)
	}
	if a.lo != b.lo {
		return cmp.Compare(a.lo, b.lo)
	}
	return cmp.Compare(a.set&taken, b.set&taken)
}

// digit is byte k of the head.
func (r *ref) digit(k int) byte {
	if k < 8 {
		return byte(r.hi >> (56 - 8*k))
	}
	return byte(r.lo >> (120 - 8*k))
}

// digits orders changes by their heads, which agree in the bytes before the k-th: it brings them into a heap for each value of that
// byte, in place, and goes on with each heap.
func (s *sorter) digits(refs []ref, k int) {
	for {
		if len(refs) <= few {
			insert(refs)
			return
		}
		var differ ref
		for i := range refs[1:] {
			differ.hi |= refs[i+1].hi ^ refs[0].hi
			differ.lo |= refs[i+1].lo ^ refs[0].lo
		}
		for k < headBytes && differ.digit(k) == 0 {
			k++
		}
		if k == headBytes {
			slices.SortFunc(refs, compareHeads) // by what there is of them
			return
		}
		var next, end [257]int32
		for i := range refs {
			end[int(refs[i].digit(k))+1]++
		}
		for v := range 256 {
			end[v+1] += end[v]
		}
		next = end
		for v := range 256 {
			for next[v] < end[v+1] {
				r := refs[next[v]]
				for to := int(r.digit(k)); to != v; to = int(r.digit(k)) {
					r, refs[next[to]] = refs[next[to]], r
					next[to]++
				}
				refs[next[v]] = r
				next[v]++
			}
		}
		// The largest heap is the next turn of this loop, so that the calls do not nest deep.
		largest := 0
		for v := range 256 {
			if end[v+1]-end[v] > end[largest+1]-end[largest] {
				largest = v
			}
		}
		k++
		for v := range 256 {
			if v != largest && end[v+1]-end[v] > 1 {
				s.digits(refs[end[v]:end[v+1]], k)
			}
		}
		refs = refs[end[largest]:end[largest+1]]
	}
}

// insert orders a few changes by their heads.
func insert(refs []ref) {
	for i := 1; i < len(refs); i++ {
		r := refs[i]
		k := i
		for ; k > 0 && compareHeads(r, refs[k-1]) < 0; k-- {
			refs[k] = refs[k-1]
		}
		refs[k] = r
	}
}

// ties goes on with runs of equal heads, behind the depth that the heads begin at.
func (s *sorter) ties(refs []ref, depth int) {
	first := 0
	for i := 1; i <= len(refs); i++ {
		if i < len(refs) && refs[i].hi == refs[first].hi && refs[i].lo == refs[first].lo && (refs[i].set^refs[first].set)&taken == 0 {
			continue
		}
		switch run := refs[first:i]; {
		case len(run) == 1:
		case len(run) > 2 && run[0].set&taken == headBytes:
			s.sort(run, depth+headBytes)
		default:
			s.compare(run, depth)
		}
		first = i
	}
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
