package change

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

// keyShapes make keys as containers make them, and such as they do not.
var keyShapes = map[string]func(r *rand.Rand) []byte{
	"numbers": func(r *rand.Rand) []byte { return binary.BigEndian.AppendUint64(nil, uint64(r.Intn(5000))) },
	"text and number": func(r *rand.Rand) []byte {
		return binary.BigEndian.AppendUint64([]byte(fmt.Sprintf("channel-%d\x00\x012015-07-15", r.Intn(3))), uint64(r.Intn(3000)))
	},
	"of any length": func(r *rand.Rand) []byte { return make([]byte, r.Intn(40)) },
	"alike for long": func(r *rand.Rand) []byte {
		return append(bytes.Repeat([]byte{7}, 40), binary.BigEndian.AppendUint16(nil, uint16(r.Intn(500)))...)
	},
	"ends at a head": func(r *rand.Rand) []byte { return bytes.Repeat([]byte{byte(r.Intn(2))}, 16*r.Intn(4)) },
	"few letters": func(r *rand.Rand) []byte {
		k := make([]byte, r.Intn(30))
		for i := range k {
			k[i] = byte(r.Intn(2))
		}
		return k
	},
}

// TestSorted compares with a map and a sort.
func TestSorted(t *testing.T) {
	for name, shape := range keyShapes {
		for seed := range int64(20) {
			r := rand.New(rand.NewSource(seed))
			want := map[string]string{}
			var sets []*Set
			for range 1 + r.Intn(5) {
				d := &Set{}
				seen := map[string]bool{}
				for range r.Intn(2000) {
					table, vnode, k := uint32(1+r.Intn(3)), uint16(r.Intn(4)), shape(r)
					id := fmt.Sprint(table, vnode, k)
					if seen[id] {
						continue // a set has a key at most once
					}
					seen[id] = true
					if r.Intn(4) == 0 {
						d.Delete(table, vnode, k)
					} else {
						d.Put(table, vnode, k, []byte(fmt.Sprint(len(sets), r.Intn(1000))))
					}
					e := d.Entries[len(d.Entries)-1]
					want[string(d.KeyOf(e))] = fmt.Sprint(string(d.ValueOf(e)), e.Del)
				}
				sets = append(sets, d)
			}
			var last []byte
			n := 0
			Sorted(sets)(func(k, v []byte, del bool) bool {
				if n > 0 && bytes.Compare(last, k) >= 0 {
					t.Fatalf("%s, seed %d: key %x after %x", name, seed, k, last)
				}
				if got := fmt.Sprint(string(v), del); got != want[string(k)] {
					t.Fatalf("%s, seed %d: key %x has %q, want %q", name, seed, k, got, want[string(k)])
				}
				last = slices.Clone(k)
				n++
				return true
			})
			if n != len(want) {
				t.Fatalf("%s, seed %d: %d keys, want %d", name, seed, n, len(want))
			}
			for _, d := range sets {
				order := d.Order()
				if len(order) != d.Len() || !slices.IsSortedFunc(order, func(a, b int32) int { return bytes.Compare(d.KeyOf(d.Entries[a]), d.KeyOf(d.Entries[b])) }) {
					t.Fatalf("%s, seed %d: the order of a set of %d is %v", name, seed, d.Len(), order)
				}
			}
		}
	}
}

func BenchmarkSorted(b *testing.B) {
	for name, shape := range keyShapes {
		r := rand.New(rand.NewSource(1))
		sets := []*Set{{}, {}}
		const n = 200_000
		for i := range n {
			k := binary.BigEndian.AppendUint32(shape(r), uint32(i))
			sets[i%2].Put(uint32(1+i%4), uint16(r.Intn(256)), k, k)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Sorted(sets)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
		})
	}
}
