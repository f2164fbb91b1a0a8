package stream

import "github.com/millrace/millrace/storage/key"

// keySet numbers the distinct keys of an epoch, from 0 in order of arrival.
type keySet struct {
	buf    []byte
	ents   []keyEnt
	heads  []int32 // per bucket of the hash: entry + 1
	vnodes []uint16
}

type keyEnt struct {
	hash uint64
	off  int32
	len  int32
	next int32
}

// add returns the number of a key, and whether it is new.
func (s *keySet) add(hash uint64, vnode uint16, k []byte) (n int, fresh bool) {
	if len(s.heads) == 0 {
		s.heads = make([]int32, 64)
	}
	if n, ok := s.find(hash, k); ok {
		return n, false
	}
	if len(s.ents) >= len(s.heads) {
		s.grow()
	}
	b := hash >> 8 & uint64(len(s.heads)-1)
	s.ents = append(s.ents, keyEnt{hash, int32(len(s.buf)), int32(len(k)), s.heads[b]})
	s.vnodes = append(s.vnodes, vnode)
	s.buf = append(s.buf, k...)
	s.heads[b] = int32(len(s.ents))
	return len(s.ents) - 1, true
}

// find returns the number of a key that is in the set.
func (s *keySet) find(hash uint64, k []byte) (n int, ok bool) {
	if len(s.heads) == 0 {
		return 0, false
	}
	for e := s.heads[hash>>8&uint64(len(s.heads)-1)]; e != 0; e = s.ents[e-1].next {
		if x := &s.ents[e-1]; x.hash == hash && string(s.buf[x.off:x.off+x.len]) == string(k) {
			return int(e - 1), true
		}
	}
	return 0, false
}

// addKey is add for a key that has not been hashed.
func (s *keySet) addKey(vnode uint16, k []byte) (n int, fresh bool) {
	return s.add(key.Hash(k), vnode, k)
}

func (s *keySet) grow() {
	s.heads = make([]int32, 4*len(s.heads))
	for i := range s.ents {
		b := s.ents[i].hash >> 8 & uint64(len(s.heads)-1)
		s.ents[i].next = s.heads[b]
		s.heads[b] = int32(i + 1)
	}
}

func (s *keySet) len() int           { return len(s.ents) }
func (s *keySet) hash(n int) uint64  { return s.ents[n].hash }
func (s *keySet) vnode(n int) uint16 { return s.vnodes[n] }
func (s *keySet) key(n int) []byte {
	x := &s.ents[n]
	return s.buf[x.off : x.off+x.len : x.off+x.len]
}

// reset forgets all keys; memory of ordinary size is kept.
func (s *keySet) reset() {
	if len(s.heads) > 1<<16 || cap(s.buf) > 8<<20 {
		*s = keySet{}
		return
	}
	clear(s.heads)
	s.buf, s.ents, s.vnodes = s.buf[:0], s.ents[:0], s.vnodes[:0]
}
