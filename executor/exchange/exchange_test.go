package exchange

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// collector keeps the rows that an actor gets, and where barriers stood among them.
type collector struct {
	rows   []int64
	keys   []string
	epochs []int // len(rows) at each barrier
}

func (c *collector) OnDelta(_ int, ch *delta.Chunk, _ stream.Emit) error {
	for k := range ch.Len() {
		i := ch.Row(k)
		c.rows = append(c.rows, ch.Cols[0].Ints[i]*ch.Weight(i))
		key := "NULL"
		if !ch.Cols[1].IsNull(i) {
			key = string(ch.Cols[1].Bytes(i))
		}
		c.keys = append(c.keys, key)
	}
	return nil
}

func (c *collector) OnBarrier(stream.Barrier, stream.Emit) error {
	c.epochs = append(c.epochs, len(c.rows))
	return nil
}

func (c *collector) Flush(*state.Delta) {}
func (c *collector) Stats() state.Stats { return state.Stats{} }

var types = []sqltypes.Type{sqltypes.Int8, sqltypes.Text}

// randomChunks numbers its rows from 1; every third row is not selected, and some keys are NULL.
func randomChunks(r *rand.Rand, n int) (chunks []*delta.Chunk, rows int64) {
	for range n {
		b := delta.NewBuilder(types)
		var sel []int32
		for i := range 1 + r.Intn(50) {
			var k sqltypes.Datum = fmt.Sprint("k", r.Intn(40))
			if r.Intn(20) == 0 {
				k = nil
			}
			if i%3 == 2 {
				b.AppendDatums([]sqltypes.Datum{int64(-7777), k}, 1)
				continue
			}
			rows++
			sel = append(sel, int32(b.Len()))
			b.AppendDatums([]sqltypes.Datum{rows, k}, 1-2*int64(r.Intn(2)))
		}
		chunks = append(chunks, b.Take().WithSel(sel))
	}
	return chunks, rows
}

// drive sends chunks through a dispatcher to n actors, with a barrier after every fifth, and returns what they got.
func drive(t *testing.T, n int, chunks []*delta.Chunk, make func([]*actor.Edge) *Dispatcher) []*collector {
	t.Helper()
	var wg sync.WaitGroup
	var got []*collector
	var edges []*actor.Edge
	for i := range n {
		c := &collector{}
		a := actor.New(1, i, fmt.Sprint("a", i), func(actor.Ack) {})
		edges = append(edges, a.AddInput(a.AddLeaf(a.AddNode(c, nil, 0), 0)))
		a.Ready()
		wg.Go(func() {
			if err := a.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		got = append(got, c)
	}
	d := make(edges)
	for i, c := range chunks {
		if err := d.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 || i == len(chunks)-1 {
			if err := d.Barrier(t.Context(), &stream.Barrier{Epoch: stream.Epoch(i), Stop: i == len(chunks)-1}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	return got
}

func abs(v int64) int64 { return max(v, -v) }

// TestHash: each row reaches one actor, the owner of its key's vnode, in order; every actor gets every barrier.
func TestHash(t *testing.T) {
	for n := 1; n <= 5; n++ {
		chunks, rows := randomChunks(rand.New(rand.NewSource(int64(n))), 40)
		got := drive(t, n, chunks, func(e []*actor.Edge) *Dispatcher { return Hash(e, []int{1}) })
		seen := map[int64]bool{}
		owner := map[string]int{}
		for a, c := range got {
			if len(c.epochs) != 8 {
				t.Fatalf("%d actors: actor %d got %d barriers", n, a, len(c.epochs))
			}
			last := int64(0)
			for i, v := range c.rows {
				if v = abs(v); v <= last || v > rows || seen[v] {
					t.Fatalf("%d actors: actor %d got row %d after %d", n, a, v, last)
				}
				last, seen[v] = v, true
				if o, ok := owner[c.keys[i]]; ok && o != a {
					t.Fatalf("%d actors: key %s is at %d and %d", n, c.keys[i], o, a)
				}
				owner[c.keys[i]] = a
			}
		}
		if int64(len(seen)) != rows {
			t.Fatalf("%d actors: %d rows arrived, want %d", n, len(seen), rows)
		}
		for k, a := range owner {
			v := delta.Repeat(sqltypes.Text, k, 1)
			if k == "NULL" {
				v = delta.Repeat(sqltypes.Text, nil, 1)
			}
			var b row.Batch
			b.Fill(&delta.Chunk{Cols: []*delta.Vec{v}, Rows: 1}, row.Cols(0))
			if want := Owner(b.VNode(0), n); a != want {
				t.Errorf("%d actors: key %s is at %d, want %d", n, k, a, want)
			}
		}
	}
}

// TestHashEpochs: a row stands on the same side of every barrier wherever it goes.
func TestHashEpochs(t *testing.T) {
	chunks, _ := randomChunks(rand.New(rand.NewSource(9)), 23)
	single := drive(t, 1, chunks, func(e []*actor.Edge) *Dispatcher { return Hash(e, []int{1}) })[0]
	spread := drive(t, 3, chunks, func(e []*actor.Edge) *Dispatcher { return Hash(e, []int{1}) })
	from := make([]int, 3)
	at := 0
	for e, end := range single.epochs {
		var all []int64
		for a, c := range spread {
			all = append(all, c.rows[from[a]:c.epochs[e]]...)
			from[a] = c.epochs[e]
		}
		want := slices.Clone(single.rows[at:end])
		at = end
		slices.Sort(all)
		slices.Sort(want)
		if !slices.Equal(all, want) {
			t.Fatalf("epoch %d: %v, want %v", e, all, want)
		}
	}
}

// TestBroadcast: everybody gets everything.
func TestBroadcast(t *testing.T) {
	chunks, rows := randomChunks(rand.New(rand.NewSource(4)), 20)
	for n := 1; n <= 3; n++ {
		for a, c := range drive(t, n, chunks, Broadcast) {
			if int64(len(c.rows)) != rows || len(c.epochs) != 4 {
				t.Errorf("%d actors: actor %d got %d rows and %d barriers", n, a, len(c.rows), len(c.epochs))
			}
		}
	}
}

// TestOwner: all vnodes have an owner, in ranges that differ by one at most.
func TestOwner(t *testing.T) {
	for n := 1; n <= row.VNodes; n++ {
		count := make([]int, n)
		last := 0
		for v := range row.VNodes {
			o := Owner(uint16(v), n)
			if o < last || o >= n {
				t.Fatalf("%d actors: vnode %d is at %d after %d", n, v, o, last)
			}
			last = o
			count[o]++
		}
		if slices.Max(count)-slices.Min(count) > 1 {
			t.Fatalf("%d actors: ranges of %d to %d", n, slices.Min(count), slices.Max(count))
		}
	}
}

// TestCancelled: a sender that waits for credits ends with its context.
func TestCancelled(t *testing.T) {
	a := actor.New(1, 0, "a", func(actor.Ack) {}) // it never runs
	edge := a.AddInput(a.AddLeaf(nil, 0))
	a.Ready()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	chunks, _ := randomChunks(rand.New(rand.NewSource(4)), 1)
	d := Hash([]*actor.Edge{edge}, []int{1})
	for i := range 1000 {
		if i == 3 {
			cancel()
		}
		if err := d.Send(ctx, chunks[0]); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("a thousand chunks found room in an actor that does not run")
}
