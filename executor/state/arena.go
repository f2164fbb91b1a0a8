package state

import "math/bits"

// arena hands out byte ranges that never move, addressed by ref; freed ranges are reused by size class.
// A ref is block<<32 | offset, never 0.
type arena struct {
	blocks [][]byte
	at     int // next free byte in the last block
	free   [maxClass][]ref
	live   int // bytes handed out
}

type ref uint64

const (
	arenaBlock = 1 << 18
	maxClass   = 40
)

// class rounds a size up to one of four steps per power of two, at least 16 bytes.
func class(n int) (cls, size int) {
	if n <= 16 {
		return 0, 16
	}
	b := bits.Len(uint(n-1)) - 1 // 2^b < n ≤ 2^(b+1)
	step := 1 << b >> 2
	q := (n - 1 - 1<<b) / step // 0..3
	return (b-4)*4 + q + 1, 1<<b + (q+1)*step
}

// alloc returns n bytes, zeroed only where never used before.
func (a *arena) alloc(n int) (ref, []byte) {
	cls, size := class(n)
	a.live += size
	if cls < maxClass {
		if f := a.free[cls]; len(f) > 0 {
			r := f[len(f)-1]
			a.free[cls] = f[:len(f)-1]
			return r, a.bytes(r, n)
		}
	}
	if size > arenaBlock/4 {
		// A large value gets a block of its own. The rest of the block in use is given up.
		a.blocks = append(a.blocks, make([]byte, size+8))
		i := len(a.blocks) - 1
		a.at = len(a.blocks[i])
		r := ref(uint64(i)<<32 | 8)
		return r, a.bytes(r, n)
	}
	if len(a.blocks) == 0 || a.at+size > len(a.blocks[len(a.blocks)-1]) {
		a.blocks = append(a.blocks, make([]byte, arenaBlock))
		a.at = 8 // offset 0 is never handed out, so no ref is 0
	}
	r := ref(uint64(len(a.blocks)-1)<<32 | uint64(a.at))
	a.at += size
	return r, a.bytes(r, n)
}

func (a *arena) bytes(r ref, n int) []byte {
	off := int(uint32(r))
	return a.blocks[r>>32][off : off+n : off+n]
}

// from returns everything from r to the end of its block.
func (a *arena) from(r ref) []byte { return a.blocks[r>>32][uint32(r):] }

// release gives back a range of n bytes.
func (a *arena) release(r ref, n int) {
	cls, size := class(n)
	a.live -= size
	if cls < maxClass {
		a.free[cls] = append(a.free[cls], r)
	}
}

func (a *arena) memory() int {
	n := 0
	for _, b := range a.blocks {
		n += len(b)
	}
	for i := range a.free {
		n += 8 * cap(a.free[i])
	}
	return n
}
