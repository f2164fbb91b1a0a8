package state

// index maps hashes to slots: open addressing in segments chosen by the hash's upper bits, so that growing
// moves one small segment at a time (256 KiB at 10M entries) instead of stalling for the whole table.
type index struct {
	segs [segments]segment
	n    int
}

const (
	segBits  = 9
	segments = 1 << segBits
)

// segment entries: lower 32 hash bits << 32 | slot+1; 0 is free, tomb is deleted. The place of an entry comes from the
// same bits, so that growing reads no keys.
type segment struct {
	tab  []uint64
	used int // taken or tombstones
	live int
}

const tomb = ^uint64(0)

func segOf(hash uint64) uint64 { return hash >> (64 - segBits) }

// find calls eq for each slot whose tag matches until eq returns true; it returns that slot.
func (x *index) find(hash uint64, eq func(slot uint32) bool) (uint32, bool) {
	s := &x.segs[segOf(hash)]
	if len(s.tab) == 0 {
		return 0, false
	}
	mask := uint64(len(s.tab) - 1)
	tag := hash << 32
	for i := hash & mask; ; i = (i + 1) & mask {
		e := s.tab[i]
		if e == 0 {
			return 0, false
		}
		if e != tomb && (e^tag)>>32 == 0 && eq(uint32(e)-1) {
			return uint32(e) - 1, true
		}
	}
}

// insert adds a slot that is not in the index.
func (x *index) insert(hash uint64, slot uint32) {
	s := &x.segs[segOf(hash)]
	if (s.used+1)*4 > len(s.tab)*3 {
		s.grow()
	}
	s.put(hash, slot)
	s.used++
	s.live++
	x.n++
}

func (s *segment) put(hash uint64, slot uint32) {
	mask := uint64(len(s.tab) - 1)
	i := hash & mask
	for s.tab[i] != 0 && s.tab[i] != tomb {
		i = (i + 1) & mask
	}
	if s.tab[i] == tomb {
		s.used--
	}
	s.tab[i] = hash<<32 | uint64(slot+1)
}

func (s *segment) grow() {
	size := max(16, len(s.tab))
	if s.live*2 >= len(s.tab) {
		size = max(16, 2*len(s.tab))
	}
	old := s.tab
	s.tab = make([]uint64, size)
	s.used = s.live
	for _, e := range old {
		if e != 0 && e != tomb {
			s.put(e>>32, uint32(e)-1)
		}
	}
}

// remove takes a slot out.
func (x *index) remove(hash uint64, slot uint32) {
	s := &x.segs[segOf(hash)]
	mask := uint64(len(s.tab) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := s.tab[i]
		if e == 0 {
			return
		}
		if e != tomb && uint32(e)-1 == slot {
			s.tab[i] = tomb
			s.live--
			x.n--
			return
		}
	}
}

func (x *index) bytes() int {
	n := 0
	for i := range x.segs {
		n += 8 * len(x.segs[i].tab)
	}
	return n
}
