package job

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// watermark decides which rows are late, once and for all, and makes the watermark that everything downstream goes by.
//
// Each split has its own: the greatest bound of its rows so far, in the order of their offsets, which batches and
// actors do not change. It is state of the same epoch as the split's offset. What leaves is the least of the actor's
// splits; the least over all actors forms behind it, where barriers are aligned. Writes by DML are a split of their own.
//
// A split that rests (it was read to its end, or has been silent for longer than the table says) does not hold the
// others back. When it comes back, rows that are below what the others have reached are late.
type watermark struct {
	env    *stream.Env
	n      *plan.Watermark
	ty     sqltypes.Type
	bound  expr.Program
	cfg    state.Config
	floor  *floor
	index  int
	source *sourceScan // nil: there is none below
	alone  bool        // DML is all there is: it holds the watermark
	now    func() time.Time

	mu     sync.Mutex // what Status reads
	splits map[string]*splitMark
	cur    *splitMark // of the last row, and its name
	name   string
	out    stream.Mark
}

// splitMark is what is known of one split. It is stored as: watermark, late rows, 8 bytes each, then 1 if it rests.
type splitMark struct {
	mark    int64 // NoMark: none yet
	late    int64
	dirty   bool
	resting bool
	seen    time.Time // when it last had rows, or was first waited for
}

const splitMarkLen = 17

// dmlSplit names the writes to a table itself.
const dmlSplit = ""

// floor is the least watermark of all actors of a job, as far as they have got.
type floor struct {
	mu    sync.Mutex
	of    []stream.Mark // by actor
	least int64
}

func newFloor(n int) *floor {
	f := &floor{of: make([]stream.Mark, n), least: stream.NoMark}
	for i := range f.of {
		f.of[i].Value = stream.NoMark
	}
	return f
}

func (f *floor) set(actor int, m stream.Mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[actor] = m
	all := stream.Marks{f.of[0]}
	for _, o := range f.of[1:] {
		all = all.Merge(stream.Marks{o})
	}
	f.least = max(f.least, all[0].Value)
}

func (f *floor) get() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.least
}

func newWatermark(n *plan.Watermark, env *stream.Env, f *floor, index int) (*watermark, error) {
	bound, err := expr.Compile(n.Bound)
	if err != nil {
		return nil, err
	}
	w := &watermark{env: env, n: n, ty: plan.Types(n.Input)[n.Col], bound: bound, cfg: env.Table(n.State), floor: f,
		index: index, alone: true, now: time.Now, splits: map[string]*splitMark{}}
	if w.cfg.Store == nil {
		return w, nil
	}
	r := key.TableRange(w.cfg.Table)
	err = w.cfg.Store.Scan(r.Lo, r.Hi, func(full, v []byte) bool {
		if _, _, k, err := key.Split(full); err == nil && len(v) == splitMarkLen {
			w.splits[string(k)] = &splitMark{mark: int64(binary.LittleEndian.Uint64(v)), late: int64(binary.LittleEndian.Uint64(v[8:])), resting: v[16] != 0, seen: w.now()}
		}
		return true
	})
	return w, err
}

// reads says that the rows come from a source, whose scan knows their splits.
func (w *watermark) reads(s *sourceScan) { w.source, w.alone = s, false }

// OnDelta implements stream.Operator.
func (w *watermark) OnDelta(_ int, c *delta.Chunk, emit stream.Emit) error {
	bounds := w.bound.Eval(w.env.Ctx, c)
	w.env.Ctx.TakeErrs() // a row whose bound cannot be computed moves nothing
	var batch *connector.Batch
	if w.source != nil {
		batch = w.source.current
	}
	w.mu.Lock()
	kept := w.sift(c, bounds, batch)
	w.mu.Unlock()
	if kept.Len() == 0 {
		return nil
	}
	return emit(kept)
}

// sift walks the rows in the order of their split's offsets and drops the late ones.
func (w *watermark) sift(c *delta.Chunk, bounds *delta.Vec, batch *connector.Batch) *delta.Chunk {
	times := c.Cols[w.n.Col]
	floor := w.floor.get()
	var sel []int32
	dropped := false
	runs := runsOf(batch, c.Rows)
	at, end := 0, 0 // the running run and where it ends, by physical row
	for k := range c.Len() {
		i := c.Row(k)
		for i >= end {
			end += runs[at].Rows
			w.enter(runs[at].Split, floor)
			at++
		}
		s := w.cur
		if times.IsNull(i) || times.Ints[i] < s.mark {
			s.late++
			s.dirty = true
			if !dropped {
				dropped = true
				sel = append(make([]int32, 0, c.Len()), c.RowList()[:k]...)
			}
			continue
		}
		if dropped {
			sel = append(sel, int32(i))
		}
		if !bounds.IsNull(i) && bounds.Ints[i] > s.mark {
			s.mark, s.dirty = bounds.Ints[i], true
		}
	}
	if !dropped {
		return c
	}
	return c.WithSel(sel)
}

// runsOf returns the splits of a chunk's rows.
func runsOf(b *connector.Batch, rows int) []connector.Run {
	switch {
	case b == nil:
		return []connector.Run{{Split: dmlSplit, Rows: rows}}
	case b.Runs != nil:
		return b.Runs
	case len(b.Offsets) > 0:
		return []connector.Run{{Split: b.Offsets[0].Split, Rows: rows}}
	}
	return []connector.Run{{Split: dmlSplit, Rows: rows}}
}

func (w *watermark) split(name string) *splitMark {
	s := w.splits[name]
	if s == nil {
		s = &splitMark{mark: stream.NoMark, seen: w.now()}
		w.splits[name] = s
	}
	return s
}

// enter makes a split the current one. One that held nothing back may not fall behind what was promised meanwhile.
func (w *watermark) enter(name string, floor int64) {
	if w.cur == nil || w.name != name {
		w.cur, w.name = w.split(name), name
	}
	s := w.cur
	if s.resting || s.mark == stream.NoMark || name == dmlSplit && !w.alone {
		s.mark = max(s.mark, floor)
	}
	s.dirty = s.dirty || s.resting
	s.resting, s.seen = false, w.now()
}

// OnBarrier implements stream.Operator.
func (w *watermark) OnBarrier(stream.Barrier, stream.Emit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, rests := w.least()
	w.out = stream.Mark{Col: w.n.Col, Origin: w.n.State, Value: v, Rests: rests}
	w.floor.set(w.index, stream.Mark{Value: v, Rests: rests})
	return nil
}

// Marks implements stream.Marker.
func (w *watermark) Marks() stream.Marks { return stream.Marks{w.out} }

// least is the watermark of the actor's splits: the least of those that hold it back, and if none does the greatest of all.
func (w *watermark) least() (v int64, rests bool) {
	names, ok := w.mine()
	if !ok {
		return stream.NoMark, false
	}
	least, greatest := int64(math.MaxInt64), int64(stream.NoMark)
	rests = true
	for _, name := range names {
		s := w.split(name)
		if !s.resting && w.idle(name, s) {
			s.resting, s.dirty = true, true
		}
		if s.resting {
			greatest = max(greatest, s.mark)
		} else {
			least, rests = min(least, s.mark), false
		}
	}
	if rests {
		return greatest, true
	}
	return least, false
}

// mine lists the splits that the actor reads; not ok while it does not know them.
func (w *watermark) mine() (names []string, ok bool) {
	if w.source != nil {
		return w.source.owned()
	}
	if w.alone && w.index == 0 {
		return []string{dmlSplit}, true
	}
	return nil, true
}

func (w *watermark) idle(name string, s *splitMark) bool {
	return w.source != nil && w.source.rests(name) ||
		w.n.IdleMicros > 0 && w.now().Sub(s.seen) >= time.Duration(w.n.IdleMicros)*time.Microsecond
}

// Wake implements stream.Waker: a split that falls silent is noticed without a row.
func (w *watermark) Wake() (at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, known := w.mine()
	if w.n.IdleMicros == 0 || !known {
		return 0, false
	}
	for _, name := range names {
		s := w.split(name)
		if due := datetime.FromTime(s.seen) + w.n.IdleMicros; !s.resting && (!ok || due < at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// Flush implements stream.Operator.
func (w *watermark) Flush(d *state.Delta) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v [splitMarkLen]byte
	for name, s := range w.splits {
		if !s.dirty {
			continue
		}
		s.dirty = false
		binary.LittleEndian.PutUint64(v[:], uint64(s.mark))
		binary.LittleEndian.PutUint64(v[8:], uint64(s.late))
		if v[16] = 0; s.resting {
			v[16] = 1
		}
		d.Put(w.cfg.Table, splitVNode(name), []byte(name), v[:])
	}
}

// Stats implements stream.Operator.
func (w *watermark) Stats() state.Stats { return state.Stats{Rows: len(w.splits)} }

// WatermarkStatus is what the system catalog tells of one split's watermark.
type WatermarkStatus struct {
	Column  string
	Split   string
	Type    sqltypes.Type
	Mark    int64
	Known   bool // Mark means something
	Late    int64
	Resting bool
}

func (w *watermark) status() []WatermarkStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, _ := w.mine()
	if w.index == 0 && !slices.Contains(names, dmlSplit) && w.splits[dmlSplit] != nil {
		names = append(names, dmlSplit)
	}
	var out []WatermarkStatus
	for _, name := range names {
		s := w.split(name)
		out = append(out, WatermarkStatus{Column: w.n.Input.Columns()[w.n.Col].Name, Split: name, Type: w.ty, Mark: s.mark,
			Known: s.mark != stream.NoMark, Late: s.late, Resting: s.resting})
	}
	return out
}
