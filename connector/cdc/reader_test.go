package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// world is an upstream made of two tables: "keyed" (k, v, big), of which updates may leave big out, and "bag" (k, v, big). Each call may
// let transactions happen first, so a snapshot is read while rows change.
type world struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	left  int // transactions still to come
	keyed map[int64]pair
	bag   map[string]int
	log   []txn
	// past holds the contents after each transaction, for comparison.
	past  []state
	moved chan struct{}
	// fails: now and then a table cannot be read.
	fails bool
}

var errBad = &TableError{errors.New("a value has no place here")}

// bad reports whether a table cannot be read now.
func (w *world) bad() bool { return w.fails && w.rnd.IntN(60) == 0 }

type pair struct{ v, big int64 }

type state struct {
	keyed map[int64]pair
	bag   map[string]int
}

type txn []op

type op struct {
	bag     bool
	kind    byte // p put, d delete, k put keeping big, m move keeping big, t truncate
	k, v, b int64
	from    int64 // m: the old key
}

func newWorld(seed uint64, txns int) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), left: txns, keyed: map[int64]pair{}, bag: map[string]int{}, moved: make(chan struct{}, 1)}
	for k := range int64(w.rnd.IntN(60)) {
		w.keyed[k*3] = pair{k, k * 100}
		w.bag[bagRow(k%7, k%2, 0)]++
	}
	w.past = []state{{maps.Clone(w.keyed), maps.Clone(w.bag)}}
	return w
}

func bagRow(k, v, b int64) string { return fmt.Sprint(k, ",", v, ",", b) }

// happen commits up to n transactions.
func (w *world) happen(n int) {
	for range w.rnd.IntN(n + 1) {
		if w.left == 0 {
			return
		}
		w.left--
		var t txn
		for range 1 + w.rnd.IntN(4) {
			t = append(t, w.change()...)
		}
		w.log = append(w.log, t)
		w.past = append(w.past, state{maps.Clone(w.keyed), maps.Clone(w.bag)})
	}
}

func (w *world) change() []op {
	k, v, b := int64(w.rnd.IntN(200)), int64(w.rnd.IntN(1000)), int64(w.rnd.IntN(1000))
	old, had := w.keyed[k]
	switch w.rnd.IntN(12) {
	case 0, 1, 2:
		w.keyed[k] = pair{v, b}
		return []op{{kind: 'p', k: k, v: v, b: b}}
	case 3, 4:
		if !had {
			return nil
		}
		delete(w.keyed, k)
		return []op{{kind: 'd', k: k}}
	case 5, 6:
		if !had {
			return nil
		}
		w.keyed[k] = pair{v, old.big}
		return []op{{kind: 'k', k: k, v: v}}
	case 7:
		to := int64(w.rnd.IntN(200))
		if _, taken := w.keyed[to]; !had || taken {
			return nil
		}
		delete(w.keyed, k)
		w.keyed[to] = pair{v, old.big}
		return []op{{kind: 'd', k: k}, {kind: 'm', k: to, v: v, from: k}}
	case 8:
		if w.rnd.IntN(10) > 0 {
			return nil
		}
		if w.rnd.IntN(2) == 0 {
			clear(w.keyed)
			return []op{{kind: 't'}}
		}
		clear(w.bag)
		return []op{{bag: true, kind: 't'}}
	case 9, 10:
		w.bag[bagRow(k%7, v%2, 0)]++
		return []op{{bag: true, kind: 'p', k: k % 7, v: v % 2}}
	default:
		r := bagRow(k%7, v%2, 0)
		if w.bag[r] == 0 {
			return nil
		}
		w.bag[r]--
		return []op{{bag: true, kind: 'd', k: k % 7, v: v % 2}}
	}
}

func (w *world) Position(context.Context) (Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happen(1)
	w.poke()
	return Position{A: uint64(len(w.log))}, nil
}

func (w *world) poke() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

func (w *world) Chunk(_ context.Context, _ *Table, after []byte, _ int, to *Rows) ([]byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happen(3)
	if w.bad() {
		return nil, false, errBad
	}
	from := int64(-1)
	if after != nil {
		from, _ = strconv.ParseInt(string(after), 10, 64)
	}
	n := 0
	for _, k := range slices.Sorted(maps.Keys(w.keyed)) {
		if k <= from {
			continue
		}
		if n++; n > 7 {
			w.happen(3)
			return []byte(fmt.Sprint(from)), false, nil
		}
		from = k
		put(to, k, w.keyed[k].v, w.keyed[k].big)
	}
	w.happen(3)
	return []byte(fmt.Sprint(from)), true, nil
}

func put(to *Rows, vals ...int64) {
	for i, v := range vals {
		to.Col(i).AppendInt(v)
	}
	to.Put()
}

func (w *world) Reread(_ context.Context, _ *Table, keys *delta.Chunk, to *Rows) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happen(2)
	for i := range keys.Len() {
		k := keys.Cols[0].Ints[i]
		if p, ok := w.keyed[k]; ok {
			put(to, k, p.v, p.big)
		}
	}
	w.happen(1)
	return nil
}

func (w *world) Whole(_ context.Context, t *Table, begin func(Position), emit func(*delta.Chunk) error) error {
	w.mu.Lock()
	w.happen(3)
	if w.bad() {
		w.mu.Unlock()
		return errBad
	}
	at, rows := Position{A: uint64(len(w.log))}, maps.Clone(w.bag)
	w.happen(3)
	w.mu.Unlock()
	begin(at)
	to := NewRows(t.Table)
	for r, n := range rows {
		for range n {
			var k, v, b int64
			_, _ = fmt.Sscanf(r, "%d,%d,%d", &k, &v, &b)
			put(&to, k, v, b)
			if to.Len() == 5 {
				if err := emit(to.Take()); err != nil {
					return err
				}
			}
		}
	}
	if c := to.Take(); c != nil {
		return emit(c)
	}
	return nil
}

func (w *world) Close() error { return nil }

func (w *world) Stream(_ context.Context, resume []byte, tables []*Table) (Stream, error) {
	s := &worldStream{w: w, tables: tables}
	if resume == nil {
		w.mu.Lock()
		s.at = len(w.log)
		w.mu.Unlock()
		return s, nil
	}
	_, err := fmt.Sscanf(string(resume), "%d+%d", &s.at, &s.op)
	return s, err
}

type worldStream struct {
	w       *world
	tables  []*Table
	at, op  int
	beating bool
}

func (s *worldStream) Next(ctx context.Context) (Event, error) {
	for {
		s.w.mu.Lock()
		s.w.happen(1)
		if s.at < len(s.w.log) {
			break
		}
		more := s.w.left > 0
		s.w.mu.Unlock()
		if more {
			continue
		}
		if !s.beating {
			s.beating = true
			return s.event(), nil
		}
		select {
		case <-s.w.moved:
			s.beating = false
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
	defer s.w.mu.Unlock()
	t := s.w.log[s.at]
	for s.op < len(t) {
		o := t[s.op]
		s.op++
		s.apply(o)
		// A move is two changes that belong together.
		if s.w.rnd.IntN(3) == 0 && (s.op == len(t) || t[s.op].kind != 'm') {
			return s.event(), nil
		}
	}
	s.at, s.op = s.at+1, 0
	return s.event(), nil
}

func (s *worldStream) event() Event {
	return Event{Resume: fmt.Appendf(nil, "%d+%d", s.at, s.op), At: Position{A: uint64(s.at)}, End: s.op == 0, Backlog: -1}
}

func (s *worldStream) apply(o op) {
	for _, t := range s.tables {
		if (t.Upstream == "bag") != o.bag || t.Failed() {
			continue
		}
		if s.w.bad() {
			t.Col(0).AppendInt(o.k) // half a row, as the error finds it
			t.Fail(errBad)
			continue
		}
		if o.kind == 't' {
			t.Truncate()
			continue
		}
		t.Col(0).AppendInt(o.k)
		t.Col(1).AppendInt(o.v)
		if t.Col(2); o.kind == 'k' || o.kind == 'm' {
			t.Col(2).AppendNull()
		} else {
			t.Col(2).AppendInt(o.b)
		}
		switch o.kind {
		case 'p':
			t.Put()
		case 'd':
			t.Delete()
		case 'k':
			t.PutKeeping([]byte{1 << 2})
		case 'm':
			t.PutMoved([]byte{1 << 2})
		}
	}
}

func (s *worldStream) Ack([]byte)   {}
func (s *worldStream) Close() error { return nil }

// mirror applies batches as a table does.
type mirror struct {
	keyed map[int64]pair
	bag   map[string]int
}

func (m *mirror) apply(b *connector.Batch) {
	for _, tc := range b.Tables {
		var gone pair
		for j := range tc.Chunk.Len() {
			i := tc.Chunk.Row(j)
			control := tc.Chunk.Cols[3]
			kind := byte(0)
			if !control.IsNull(i) {
				kind = control.Bytes(i)[0]
			}
			if kind == connector.ControlTruncate {
				if tc.Table == 1 {
					clear(m.keyed)
				} else {
					clear(m.bag)
				}
				continue
			}
			k, v, big := tc.Chunk.Cols[0].Ints[i], tc.Chunk.Cols[1].Ints[i], tc.Chunk.Cols[2].Ints[i]
			if tc.Table == 2 {
				m.bag[bagRow(k, v, big)] += int(tc.Chunk.Weight(i))
				continue
			}
			switch {
			case tc.Chunk.Weight(i) < 0:
				gone = m.keyed[k]
				delete(m.keyed, k)
			case kind == connector.ControlKeep:
				m.keyed[k] = pair{v, m.keyed[k].big}
			case kind == connector.ControlMove:
				m.keyed[k] = pair{v, gone.big}
			default:
				m.keyed[k] = pair{v, big}
			}
		}
	}
}

func (m *mirror) clean() map[string]int {
	out := map[string]int{}
	for r, n := range m.bag {
		if n != 0 {
			out[r] = n
		}
	}
	return out
}

func without(m map[string]int) map[string]int {
	out := maps.Clone(m)
	maps.DeleteFunc(out, func(_ string, n int) bool { return n == 0 })
	return out
}

func testSpec() *connector.SourceSpec {
	cols := []catalog.Column{{Name: "k", Type: sqltypes.Int8}, {Name: "v", Type: sqltypes.Int8}, {Name: "big", Type: sqltypes.Int8}}
	return &connector.SourceSpec{Tables: []connector.Table{{ID: 1, Upstream: "keyed", Columns: cols, Key: []int{0}},
		{ID: 2, Upstream: "bag", Columns: cols}}}
}

// TestMirror: whatever happens upstream while snapshots are read, and wherever the reader is stopped and opened again, a live table
// is the upstream's at the position of the stream, at each end of a transaction. A table that stops leaves the other alone, and is again when it is
// read anew.
func TestMirror(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		mirrorOnce(t, uint64(seed))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func mirrorOnce(t *testing.T, seed uint64) {
	const txns = 120
	w := newWorld(seed, txns)
	w.fails = seed%3 == 0
	rnd := rand.New(rand.NewPCG(seed, 2))
	m := &mirror{keyed: map[int64]pair{}, bag: map[string]int{}}
	offsets := map[string][]byte{}
	spec := testSpec()
	for {
		var start []connector.SplitOffset
		for s, o := range offsets {
			start = append(start, connector.SplitOffset{Split: s, Offset: o})
		}
		r, err := NewReader(t.Context(), w, spec, start)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		for range 20 + rnd.IntN(300) {
			b, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m.apply(b)
			for _, o := range b.Offsets {
				offsets[o.Split] = o.Offset
			}
			if done = check(t, w, m, offsets); done || t.Failed() {
				break
			}
			if stopped(offsets) && (rnd.IntN(8) == 0 || w.over(offsets)) {
				break
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if done || t.Failed() {
			return
		}
		for _, id := range []catalog.ID{1, 2} {
			split := connector.TableSplit(id)
			if o, _ := ParseTableOffset(offsets[split]); o.Phase == Stopped && rnd.IntN(3) > 0 {
				offsets[split] = Anew()
			}
		}
	}
}

// stopped reports whether a table is, and says why.
func stopped(offsets map[string][]byte) bool {
	for _, b := range offsets {
		if strings.Contains(string(b), string(Stopped)) && strings.Contains(string(b), "no place") {
			return true
		}
	}
	return false
}

// over reports whether nothing more will come.
func (w *world) over(offsets map[string][]byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var at int
	_, _ = fmt.Sscanf(string(offsets[connector.LogSplit]), "%d+", &at)
	return w.left == 0 && at == len(w.log)
}

// check compares live tables, and reports whether everything was read.
func check(t *testing.T, w *world, m *mirror, offsets map[string][]byte) bool {
	t.Helper()
	var at, op int
	if _, err := fmt.Sscanf(string(offsets[connector.LogSplit]), "%d+%d", &at, &op); err != nil || op != 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	live := 0
	for id := catalog.ID(1); id <= 2; id++ {
		o, err := ParseTableOffset(offsets[connector.TableSplit(id)])
		if err != nil {
			t.Fatal(err)
		}
		if o.Phase != Live {
			continue
		}
		live++
		if id == 1 && !maps.Equal(m.keyed, w.past[at].keyed) {
			t.Errorf("at %d the table is\n%v, want\n%v", at, m.keyed, w.past[at].keyed)
		}
		if id == 2 && !maps.Equal(m.clean(), without(w.past[at].bag)) {
			t.Errorf("at %d the bag is\n%v, want\n%v", at, m.clean(), w.past[at].bag)
		}
	}
	return live == 2 && w.left == 0 && at == len(w.log)
}
