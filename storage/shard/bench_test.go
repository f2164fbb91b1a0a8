package shard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/object"
)

// benchKeys is the number of keys of the benchmarks' deltas, benchValue the bytes of a value.
const (
	benchKeys  = 100_000
	benchValue = 64
)

// benchDelta writes n keys of 14 bytes, step apart.
func benchDelta(n int, step uint64, seed uint64) func(func(Entry) bool) {
	return func(yield func(Entry) bool) {
		rng := rand.New(rand.NewPCG(seed, 1))
		k := make([]byte, 0, 16)
		value := make([]byte, benchValue)
		for i := range uint64(n) {
			k = binary.BigEndian.AppendUint64(key.AppendPrefix(k[:0], 1, 0), i*step)
			for at := 0; at < len(value); at += 16 { // half of it compresses
				binary.LittleEndian.PutUint64(value[at:], rng.Uint64())
			}
			if !yield(Entry{Key: k, Value: value}) {
				return
			}
		}
	}
}

func BenchmarkIngest(b *testing.B) {
	store, err := object.NewFile(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s := openTest(b, b.TempDir(), store, 1, nil)
	epoch := uint64(0)
	for b.Loop() {
		epoch++
		if err := s.Ingest(ctx, benchDelta(benchKeys, 10, epoch)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*benchKeys), "µs/key")
}

func BenchmarkCheckpoint(b *testing.B) {
	for _, keys := range []int{100, benchKeys} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			store, err := object.NewFile(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			s := openTest(b, b.TempDir(), store, 1, nil)
			epoch := uint64(0)
			for b.Loop() {
				epoch++
				if err := s.Ingest(ctx, benchDelta(keys, 10, epoch)); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Checkpoint(ctx, epoch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	store, err := object.NewFile(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	cache := NewCache(256<<20, 1)
	b.Cleanup(cache.Close)
	s, err := Open(ctx, Options{Dir: b.TempDir(), Objects: store, ID: 1, Incarnation: 1, Cache: cache, Logger: quiet}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	const n = 1_000_000
	if err := s.Ingest(ctx, benchDelta(n, 10, 1)); err != nil {
		b.Fatal(err)
	}
	v := snapshot(b, s)
	b.Cleanup(func() { v.Close() })
	for name, miss := range map[string]uint64{"hit": 0, "miss": 5} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			k := make([]byte, 0, 16)
			for b.Loop() {
				k = binary.BigEndian.AppendUint64(key.AppendPrefix(k[:0], 1, 0), rng.Uint64N(n)*10+miss)
				if _, ok, err := v.Get(k); err != nil || ok != (miss == 0) {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run("multi-"+name, func(b *testing.B) {
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = binary.BigEndian.AppendUint64(key.AppendPrefix(nil, 1, 0), uint64(i)*n/100+miss)
			}
			for b.Loop() {
				if err := v.MultiGet(ctx, keys, func(int, []byte, bool) {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
		})
	}
}
