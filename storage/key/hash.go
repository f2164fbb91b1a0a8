package key

import (
	"encoding/binary"
	"math/bits"
)

// Odd constants with about as many ones as zeros, and no relation to one another. They are part of
// the persisted format.
const (
	k0 = 0x9E3779B97F4A7C15
	k1 = 0xC2B2AE3D27D4EB4F
	k2 = 0xA24BAED4963EE407
	k3 = 0x8CB92BA72F3D8DD7
	k4 = 0xD6E8FEB86659FD93
)

// fold multiplies to 128 bits and adds the halves without carry: every bit of the result depends on
// every bit of both factors.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Hash is fast and stable: it decides vnodes (Hash & (VNodes-1)), so its results are persisted.
// It does not resist an adversary who knows the constants.
func Hash(b []byte) uint64 {
	n := len(b)
	h := uint64(k0)
	if n > 16 {
		h = hashBlocks(b)
		b = b[n-16:]
	}
	x, y := ends(b)
	return fold(fold(x^k1, y^h)^uint64(n)^k2, k3)
}

// ends reads up to 16 bytes as two words that overlap, so that every byte is in one of them. Two
// inputs of different lengths can give the same words; the callers mix the length in.
func ends(b []byte) (x, y uint64) {
	n := len(b)
	switch {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		return uint64(b[0])<<16 | uint64(b[n/2])<<8 | uint64(b[n-1]), 0
	}
	return 0, 0
}

// hashBlocks hashes all but the last one to sixteen bytes; three lanes keep the multipliers busy on
// long input.
func hashBlocks(b []byte) uint64 {
	h := uint64(k0)
	if len(b) > 48 {
		h1, h2 := uint64(k3), uint64(k4)
		for len(b) > 48 {
			h = fold(word(b, 0)^k1, word(b, 8)^h)
			h1 = fold(word(b, 16)^k2, word(b, 24)^h1)
			h2 = fold(word(b, 32)^k3, word(b, 40)^h2)
			b = b[48:]
		}
		h ^= h1 ^ bits.RotateLeft64(h2, 23)
	}
	for len(b) > 16 {
		h = fold(word(b, 0)^k4, word(b, 8)^h)
		b = b[16:]
	}
	return h
}

func word(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// Hash128 identifies a row by its exact image: two rows with equal hashes are taken to be equal, so
// it keeps two states of 64 bits that multiply the input in different pairings and also add it, so
// that no product of zero can swallow a word in both. Chance collisions among n rows: n² / 2¹²⁹.
// Its results are persisted.
func Hash128(b []byte) (hi, lo uint64) {
	n := uint64(len(b))
	hi, lo = k0^n, k4+n
	for len(b) > 16 {
		hi, lo = absorb(hi, lo, word(b, 0), word(b, 8))
		b = b[16:]
	}
	x, y := ends(b)
	hi, lo = absorb(hi, lo, x, y)
	return finish(hi, lo)
}

func absorb(h, l, x, y uint64) (uint64, uint64) {
	h2 := fold(x^h^k1, y+k2) + bits.RotateLeft64(h, 31) + x
	l2 := fold(y^l^k3, bits.RotateLeft64(x, 32)+k4) ^ (bits.RotateLeft64(l, 27) + y)
	return h2 + l, l2 ^ h
}

// finish spreads the two states over each other. Each step can be undone, so no state is lost.
func finish(h, l uint64) (uint64, uint64) {
	h += l
	l += h
	h, l = spread(h), spread(l)
	h += l
	return h, l + h
}

// spread is a bijection in which each input bit reaches each output bit: shifts and odd factors.
func spread(x uint64) uint64 {
	x = (x ^ x>>32) * k2
	x = (x ^ x>>29) * k3
	return x ^ x>>32
}
