package limit

import "unsafe"

// table maps integer keys to values inline, by open addressing. Keys are never 0 and never removed.
type table[V any] struct {
	cells []cell[V] // a power of two of them
	used  int
	shift uint // of a 64-bit product, to an index into cells
}

type cell[V any] struct {
	key uint64
	val V
}

const (
	firstCells = 1 << 10
	spreading  = 0x9E3779B97F4A7C15
)

func newTable[V any]() *table[V] {
	t := &table[V]{}
	t.clear()
	return t
}

// clear forgets everything, and the memory.
func (t *table[V]) clear() { t.cells, t.shift, t.used = make([]cell[V], firstCells), 64-10, 0 }

// at returns the value of a key, a zero one when the key is new. It is valid until the next call.
func (t *table[V]) at(key uint64) *V {
	mask := uint64(len(t.cells) - 1)
	for i := key * spreading >> t.shift; ; i++ {
		c := &t.cells[i&mask]
		if c.key == key {
			return &c.val
		}
		if c.key == 0 {
			return t.insert(key, c)
		}
	}
}

func (t *table[V]) insert(key uint64, c *cell[V]) *V {
	if t.used*4 >= len(t.cells)*3 {
		t.grow()
		return t.at(key)
	}
	t.used++
	c.key = key
	return &c.val
}

// get returns the value of a key, or nil.
func (t *table[V]) get(key uint64) *V {
	mask := uint64(len(t.cells) - 1)
	for i := key * spreading >> t.shift; ; i++ {
		c := &t.cells[i&mask]
		if c.key == key {
			return &c.val
		}
		if c.key == 0 {
			return nil
		}
	}
}

func (t *table[V]) grow() {
	old := t.cells
	t.cells = make([]cell[V], 2*len(old))
	t.shift--
	mask := uint64(len(t.cells) - 1)
	for k := range old {
		if old[k].key == 0 {
			continue
		}
		i := old[k].key * spreading >> t.shift
		for t.cells[i&mask].key != 0 {
			i++
		}
		t.cells[i&mask] = old[k]
	}
}

func (t *table[V]) bytes() int { return len(t.cells) * int(unsafe.Sizeof(cell[V]{})) }

// slab keeps byte strings in large blocks. A place is given up with free and used again for one of about its size.
type slab struct {
	blocks [][]byte
	next   int         // free part of the last block
	unused [64][]place // by size
}

// place says where a string lies: block number and offset.
type place uint64

const (
	blockBytes = 4 << 20
	grain      = 32
)

// alloc returns room for n bytes, n < 64·grain.
func (s *slab) alloc(n int) (place, []byte) {
	class := (n + grain - 1) / grain
	if u := s.unused[class]; len(u) > 0 {
		p := u[len(u)-1]
		s.unused[class] = u[:len(u)-1]
		return p, s.at(p, n)
	}
	if len(s.blocks) == 0 || s.next+class*grain > blockBytes {
		s.blocks = append(s.blocks, make([]byte, blockBytes))
		s.next = 0
	}
	p := place((len(s.blocks)-1)*blockBytes + s.next)
	s.next += class * grain
	return p, s.at(p, n)
}

func (s *slab) at(p place, n int) []byte {
	from := int(p) % blockBytes
	return s.blocks[int(p)/blockBytes][from : from+n : from+n]
}

func (s *slab) free(p place, n int) {
	class := (n + grain - 1) / grain
	s.unused[class] = append(s.unused[class], p)
}

func (s *slab) bytes() int { return len(s.blocks) * blockBytes }
