package key

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

// The hashes are persisted in every key and every row identity: these values never change.
func TestHashGolden(t *testing.T) {
	for _, c := range goldenHashes {
		hi, lo := Hash128(pattern(c.n))
		if got := Hash(pattern(c.n)); got != c.hash || hi != c.hi || lo != c.lo {
			t.Errorf("{%d, %#x, %#x, %#x},", c.n, got, hi, lo)
		}
	}
}

// Keys that differ in little, as ours do, must spread over vnodes and must not collide.
func TestHashSpreads(t *testing.T) {
	shapes := map[string]func(i uint64) []byte{
		"ascending int": func(i uint64) []byte { return AppendInt64(AppendNotNull(nil), int64(i)) },
		"stride":        func(i uint64) []byte { return AppendInt64(nil, int64(i<<20)) },
		"two ints":      func(i uint64) []byte { return AppendInt64(AppendInt64(nil, int64(i%512)), int64(i/512)) },
		"decimal text":  func(i uint64) []byte { return AppendBytes(nil, fmt.Sprint(i)) },
		"long":          func(i uint64) []byte { return binary.LittleEndian.AppendUint64(make([]byte, 93), i) },
		"long, early":   func(i uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, i), make([]byte, 93)...) },
		"zeros":         func(i uint64) []byte { return make([]byte, i%4096) },
	}
	const n = 1 << 17
	for name, shape := range shapes {
		rows := uint64(n)
		if name == "zeros" {
			rows = 4096
		}
		var perVNode [VNodes]int
		seen, seenHi, seenLo := map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
		for i := range rows {
			b := shape(i)
			h := Hash(b)
			hi, lo := Hash128(b)
			perVNode[h%VNodes]++
			seen[h], seenHi[hi], seenLo[lo] = true, true, true
		}
		if len(seen) != int(rows) || len(seenHi) != int(rows) || len(seenLo) != int(rows) {
			t.Errorf("%s: %d rows give %d hashes, %d and %d halves", name, rows, len(seen), len(seenHi), len(seenLo))
		}
		mean := float64(rows) / VNodes
		var chi float64
		for _, c := range perVNode {
			chi += (float64(c) - mean) * (float64(c) - mean) / mean
		}
		if chi > 380 { // 255 degrees of freedom: above 380 once in 10⁶ times
			t.Errorf("%s: uneven over vnodes, chi² %.0f", name, chi)
		}
	}
}

// Each flipped input bit flips about half of the output bits.
func TestHashAvalanche(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 3, 4, 7, 8, 9, 16, 17, 40, 48, 49, 100} {
		const trials = 2000
		var flips, flips128 int
		for range trials {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			h := Hash(b)
			hi, lo := Hash128(b)
			bit := rng.IntN(n * 8)
			b[bit/8] ^= 1 << (bit % 8)
			hi2, lo2 := Hash128(b)
			flips += bits.OnesCount64(h ^ Hash(b))
			flips128 += bits.OnesCount64(hi^hi2) + bits.OnesCount64(lo^lo2)
		}
		if f := float64(flips) / trials; f < 31.3 || f > 32.7 {
			t.Errorf("length %d: a flipped bit flips %.2f of 64 bits", n, f)
		}
		if f := float64(flips128) / trials; f < 63 || f > 65 {
			t.Errorf("length %d: a flipped bit flips %.2f of 128 bits", n, f)
		}
	}
}

var sink uint64

func BenchmarkHash(b *testing.B) {
	for _, n := range []int{9, 16, 32, 100} {
		in := pattern(n)
		b.Run(fmt.Sprintf("64/%d", n), func(b *testing.B) {
			for b.Loop() {
				sink += Hash(in)
			}
		})
		b.Run(fmt.Sprintf("128/%d", n), func(b *testing.B) {
			for b.Loop() {
				hi, _ := Hash128(in)
				sink += hi
			}
		})
	}
}

var goldenHashes = []struct {
	n            int
	hash, hi, lo uint64
}{
	{0, 0xbe25f8d2a520f67b, 0xe023a5e0fdadfaa8, 0x8b574606bb6b5aa4},
	{1, 0x73a6ffa3faa56013, 0x168a37996c1950a8, 0xc23cb92cbe8a6dde},
	{3, 0xbf173befba3a0d15, 0x343084632aaf15eb, 0x23da4a80d4056b6a},
	{4, 0x22f1dbf9431e7223, 0x955db5bd0fd8d09e, 0xe6e7107ea1ac2172},
	{8, 0x87bbf0536dba6834, 0xbdb8fa09e3a7d0e3, 0x169587df6b6e44f},
	{9, 0xbda8679b79a903b7, 0x841af31876d46edc, 0xd1b005d6fe29b2df},
	{16, 0x3c6682c47e260a36, 0x9a290e56e448bc1a, 0x9ab4b3580f776265},
	{17, 0x626724a921522281, 0x37c3a38971f6c721, 0x55aabfae7e60e8ab},
	{48, 0x69c4771cb794d42d, 0x4047c2775074f590, 0x7714e0872fcae36c},
	{49, 0xf0efb8483ce7fc7c, 0x6f5072417ef0721b, 0x88024448b8e515b9},
	{200, 0x776190ccf361df2b, 0x5f1c545c8eafb750, 0x32227b552d55826},
}
