package job

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// marksNode reads (at timestamp, bound timestamp).
func marksNode() *plan.Watermark {
	cols := []plan.Column{{Name: "at", Type: sqltypes.Timestamp}, {Name: "bound", Type: sqltypes.Timestamp}}
	return &plan.Watermark{Input: &plan.SourceScan{Out: cols}, Bound: &expr.Col{Index: 1, Ty: sqltypes.Timestamp}, State: 2}
}

type mapStore map[string][]byte

func (m mapStore) Get(k []byte) ([]byte, bool, error) { v, ok := m[string(k)]; return v, ok, nil }

func (m mapStore) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	for k, v := range m {
		if bytes.Compare([]byte(k), lo) >= 0 && bytes.Compare([]byte(k), hi) < 0 && !f([]byte(k), v) {
			break
		}
	}
	return nil
}

func (m mapStore) apply(d *state.Delta) {
	for _, e := range d.Entries {
		m[string(d.KeyOf(e))] = bytes.Clone(d.ValueOf(e))
	}
}

// reader is one actor: a scan and the watermark above it.
type reader struct {
	scan *sourceScan
	w    *watermark
	rows []string // what passed
}

func newReader(t *testing.T, store state.Store, f *floor, index int, splits ...string) *reader {
	t.Helper()
	table := func(k int) state.Config { return state.Config{Table: 50 + uint32(k), Store: store} }
	scan, err := newSourceScan(table(1))
	if err != nil {
		t.Fatal(err)
	}
	scan.mine = map[string]struct{}{}
	for _, s := range splits {
		scan.mine[s] = struct{}{}
	}
	w, err := newWatermark(marksNode(), &stream.Env{Table: table, Ctx: &expr.Ctx{}}, f, index)
	if err != nil {
		t.Fatal(err)
	}
	w.reads(scan)
	return &reader{scan: scan, w: w}
}

type timed struct {
	split     string
	at, bound int64
}

// read delivers rows as one batch.
func (r *reader) read(t *testing.T, resting bool, rows ...timed) {
	t.Helper()
	b := &connector.Batch{Resting: resting}
	var at, bound []int64
	for _, x := range rows {
		at, bound = append(at, x.at), append(bound, x.bound)
		if n := len(b.Runs) - 1; n >= 0 && b.Runs[n].Split == x.split {
			b.Runs[n].Rows++
		} else {
			b.Runs = append(b.Runs, connector.Run{Split: x.split, Rows: 1})
		}
		b.Offsets = append(b.Offsets, connector.SplitOffset{Split: x.split, Offset: []byte("1")})
	}
	c := delta.NewChunk([]*delta.Vec{delta.IntVec(sqltypes.Timestamp, at), delta.IntVec(sqltypes.Timestamp, bound)}, nil, len(at))
	r.scan.OnMeta(b)
	err := r.scan.OnDelta(0, c, func(c *delta.Chunk) error {
		return r.w.OnDelta(0, c, func(c *delta.Chunk) error {
			for k := range c.Len() {
				r.rows = append(r.rows, fmt.Sprint(c.Cols[0].Ints[c.Row(k)]))
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *reader) barrier(t *testing.T) stream.Mark {
	t.Helper()
	if err := r.w.OnBarrier(stream.Barrier{}, nil); err != nil {
		t.Fatal(err)
	}
	return r.w.Marks()[0]
}

func wantMark(t *testing.T, got stream.Mark, value int64, rests bool) {
	t.Helper()
	if got.Value != value || got.Rests != rests {
		t.Fatalf("watermark %d (rests: %v), want %d (%v)", got.Value, got.Rests, value, rests)
	}
}

// TestWatermarkOfSplits: each split decides for itself what is late, and the slowest holds the watermark.
func TestWatermarkOfSplits(t *testing.T) {
	r := newReader(t, nil, newFloor(1), 0, "a", "b")
	r.read(t, false, timed{"a", 10, 10})
	wantMark(t, r.barrier(t), stream.NoMark, false) // b has said nothing yet
	r.read(t, false, timed{"b", 3, 3}, timed{"a", 9, 9}, timed{"a", 10, 5}, timed{"b", 4, 4})
	wantMark(t, r.barrier(t), 4, false)
	if want := []string{"10", "3", "10", "4"}; !slices.Equal(r.rows, want) {
		t.Fatalf("passed %v, want %v", r.rows, want)
	}
	st := r.w.status()
	sort.Slice(st, func(i, j int) bool { return st[i].Split < st[j].Split })
	if st[0].Late != 1 || st[1].Late != 0 {
		t.Fatalf("late rows: %+v", st)
	}
}

// TestWatermarkRests: a split that was read to its end does not hold others back, and what it gets later may not fall
// behind what they have reached.
func TestWatermarkRests(t *testing.T) {
	f := newFloor(2)
	a, b := newReader(t, nil, f, 0, "a"), newReader(t, nil, f, 1, "b")
	a.read(t, true, timed{"a", 5, 5})
	wantMark(t, a.barrier(t), 5, true)
	b.read(t, false, timed{"b", 20, 20})
	wantMark(t, b.barrier(t), 20, false)
	a.read(t, false, timed{"a", 12, 12}, timed{"a", 21, 21})
	if want := []string{"5", "21"}; !slices.Equal(a.rows, want) {
		t.Fatalf("passed %v, want %v", a.rows, want)
	}
	wantMark(t, a.barrier(t), 21, false)
}

// TestWatermarkIdle: so does a split that is silent for longer than it may be.
func TestWatermarkIdle(t *testing.T) {
	r := newReader(t, nil, newFloor(1), 0, "a", "b")
	now := time.Unix(1000, 0)
	r.w.now = func() time.Time { return now }
	r.w.n.IdleMicros = 5_000_000
	r.read(t, false, timed{"a", 10, 10}, timed{"b", 1, 1})
	wantMark(t, r.barrier(t), 1, false)
	now = now.Add(4 * time.Second)
	r.read(t, false, timed{"a", 11, 11})
	wantMark(t, r.barrier(t), 1, false)
	now = now.Add(time.Second)
	wantMark(t, r.barrier(t), 11, false)
	r.read(t, false, timed{"b", 2, 2}, timed{"b", 11, 11})
	if want := []string{"10", "1", "11", "11"}; !slices.Equal(r.rows, want) {
		t.Fatalf("passed %v, want %v", r.rows, want)
	}
}

// TestWatermarkReplay: however the rows of the splits are cut into batches, mixed and shared by actors, and wherever the
// job is restarted, the same ones are late.
func TestWatermarkReplay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	splits := map[string][]timed{}
	var want []string
	for _, name := range []string{"a", "b", "c"} {
		mark := int64(-1)
		for i := range 300 {
			at := int64(i) + rnd.Int64N(40)
			x := timed{name, at, at - 20}
			splits[name] = append(splits[name], x)
			if at >= mark {
				want = append(want, fmt.Sprint(at))
			}
			mark = max(mark, x.bound)
		}
	}
	sort.Strings(want)
	for range 20 {
		store := mapStore{}
		start := func(saved bool) []*reader {
			f := newFloor(2)
			var st state.Store
			if saved {
				st = store
			}
			return []*reader{newReader(t, st, f, 0, "a", "b"), newReader(t, st, f, 1, "c")}
		}
		rs := start(false)
		owner := map[string]int{"a": 0, "b": 0, "c": 1}
		at := map[string]int{}
		var got []string
		for at["a"]+at["b"]+at["c"] < 900 {
			var batches [2][]timed
			for range 1 + rnd.IntN(30) {
				name := string(rune('a' + rnd.IntN(3)))
				if at[name] < 300 {
					batches[owner[name]] = append(batches[owner[name]], splits[name][at[name]])
					at[name]++
				}
			}
			for i, b := range batches {
				if len(b) > 0 {
					rs[i].read(t, false, b...)
				}
			}
			if rnd.IntN(3) > 0 {
				continue
			}
			for _, r := range rs {
				r.barrier(t)
			}
			if rnd.IntN(3) == 0 {
				d := &state.Delta{}
				for _, r := range rs {
					r.w.Flush(d)
					got = append(got, r.rows...)
				}
				store.apply(d)
				rs = start(true)
			}
		}
		for _, r := range rs {
			got = append(got, r.rows...)
		}
		sort.Strings(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%d rows passed, want %d", len(got), len(want))
		}
	}
}
