package stream

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// session puts rows into sessions, and takes them out of one and into another when rows that come or go between them make
// sessions grow, merge or fall apart.
//
// An entry's key is partition, time, image. Its value says with what weight and bounds the row has been shown, so that a barrier
// compares with that: it looks at the sessions around the times that the epoch touched, and at no others.
type session struct {
	env    *Env
	n      *plan.Session
	part   []row.KeyCol
	types  []sqltypes.Type
	rows   *state.OrderedMap
	batch  row.Batch
	parts  keySet
	times  [][]int64 // by partition in parts: touched in this epoch
	close  *partClose
	buf    []byte
	out    *delta.Builder
	gone   []byte // keys to delete, one after the other
	goneAt []int
}

// Value of an entry: weight, length of the image (4 bytes), then what is shown: weight, start, end.
const sessionValueLen = 36

func newSession(n *plan.Session, env *Env) Operator {
	types := plan.Types(n.Input)
	s := &session{env: env, n: n, part: row.Cols(n.PartitionBy...), types: types, rows: state.NewOrderedMap(env.Table(n.State)),
		out: delta.NewBuilder(plan.Types(n))}
	if slices.Contains(plan.MarkCols(n.Input), n.TimeCol) {
		s.close = newPartClose(n.TimeCol, s.part, types, s.rows)
	}
	return s
}

// OnDelta implements Operator.
func (s *session) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	if s.close != nil {
		if err := s.load(); err != nil {
			return err
		}
		kept, dropped := s.close.late(c)
		s.env.late(dropped)
		c = kept
	}
	s.batch.Fill(c, s.part)
	times := c.Cols[s.n.TimeCol]
	for k := range c.Len() {
		i := c.Row(k)
		if times.IsNull(i) || times.Ints[i] == math.MinInt64 || times.Ints[i] == math.MaxInt64 {
			continue
		}
		pk, hash := s.batch.Key(k), s.batch.Hashes[k]
		vnode := uint16(hash % row.VNodes)
		if len(s.part) == 0 {
			vnode = s.env.SingletonVNode
		}
		n, fresh := s.parts.add(hash, vnode, pk)
		if fresh {
			if err := s.rows.Ensure(vnode, pk); err != nil {
				return err
			}
			s.times = append(s.times, nil)
		}
		s.times[n] = append(s.times[n], times.Ints[i])
		s.buf = s.at(s.buf[:0], pk, times.Ints[i])
		head := len(s.buf)
		s.buf = row.AppendImage(s.buf, c.Cols, nil, i)
		val, created := s.rows.Upsert(vnode, s.buf, sessionValueLen)
		if created {
			binary.LittleEndian.PutUint32(val[8:], uint32(len(s.buf)-head))
		}
		binary.LittleEndian.PutUint64(val, uint64(entryWeight(val)+c.Weight(i)))
	}
	return nil
}

// at appends where the rows of a time begin.
func (s *session) at(dst, pk []byte, t int64) []byte { return key.AppendInt64(append(dst, pk...), t) }

// sessionTime reads the time of an entry of a partition.
func sessionTime(k, pk []byte) int64 {
	t, _, _ := key.DecodeInt64(k[len(pk):])
	return t
}

// sessionShown is what an entry's row looks like to others.
type sessionShown struct{ weight, start, end int64 }

func shownOf(val []byte) sessionShown {
	u := func(at int) int64 { return int64(binary.LittleEndian.Uint64(val[at:])) }
	return sessionShown{u(12), u(20), u(28)}
}

func (x sessionShown) put(val []byte) {
	binary.LittleEndian.PutUint64(val[12:], uint64(x.weight))
	binary.LittleEndian.PutUint64(val[20:], uint64(x.start))
	binary.LittleEndian.PutUint64(val[28:], uint64(x.end))
}

// OnWatermarks implements Watermarker.
func (s *session) OnWatermarks(_ int, m Marks) {
	if s.close != nil {
		s.close.set(m)
	}
}

// OnBarrier implements Operator.
func (s *session) OnBarrier(_ Barrier, emit Emit) error {
	for n := range s.parts.len() {
		pk, times := s.parts.key(n), s.times[n]
		slices.Sort(times)
		if s.close != nil {
			s.close.note(times[0]+s.n.GapMicros-1, pk)
		}
		if s.n.Close {
			s.tidy(pk, times)
			continue
		}
		if err := s.settle(pk, times, emit); err != nil {
			return err
		}
	}
	s.parts.reset()
	s.times = s.times[:0]
	if s.close != nil {
		if err := s.closeSessions(emit); err != nil {
			return err
		}
	}
	return emitRest(s.out, emit)
}

// tidy drops the entries that have lost their weight, where nothing is shown before its session closes.
func (s *session) tidy(pk []byte, times []int64) {
	for _, t := range slices.Compact(times) {
		s.rows.Ascend(s.at(nil, pk, t), nil, func(k, val []byte) bool {
			if entryWeight(val) == 0 {
				s.drop(k)
			}
			return true
		})
	}
	s.dropAll()
}

func (s *session) drop(k []byte) {
	s.gone = append(s.gone, k...)
	s.goneAt = append(s.goneAt, len(s.gone))
}

func (s *session) dropAll() {
	from := 0
	for _, to := range s.goneAt {
		s.rows.Delete(s.gone[from:to])
		from = to
	}
	s.gone, s.goneAt = s.gone[:0], s.goneAt[:0]
}

// settle shows the sessions around the touched times of a partition as they are now.
func (s *session) settle(pk []byte, times []int64, emit Emit) error {
	for len(times) > 0 {
		from := s.begin(pk, times[0])
		done, err := s.walk(pk, from, times, emit)
		if err != nil {
			return err
		}
		times = times[done:]
	}
	s.dropAll()
	return nil
}

// begin returns where the sessions begin that a change at time t may touch: where a row at t, or the row before it if t is
// within its gap, was last shown to begin.
func (s *session) begin(pk []byte, t int64) int64 {
	from := t
	s.rows.Ascend(s.at(nil, pk, t), nil, func(_, val []byte) bool {
		if x := shownOf(val); x.weight != 0 {
			from = min(from, x.start)
		}
		return from == t
	})
	s.rows.DescendFrom(pk, s.at(nil, pk, t), func(k, val []byte) bool {
		if p := sessionTime(k, pk); t-p < s.n.GapMicros {
			from = min(from, p)
			if x := shownOf(val); x.weight != 0 {
				from = min(from, x.start)
			}
		}
		return false
	})
	return from
}

// sessionRow is a row of the session under construction.
type sessionRow struct {
	key    []byte
	weight int64
	was    sessionShown
}

// walk goes through the rows from a time on, session by session, until one begins that is not touched and was shown to begin
// there. It returns how many of the touched times lie behind it.
func (s *session) walk(pk []byte, from int64, times []int64, emit Emit) (done int, err error) {
	var rows []sessionRow
	var ends []int    // of sessions among rows
	var lasts []int64 // and their last times
	var keys []byte
	last, seen, live := int64(0), from, false
	s.rows.Ascend(pk, s.at(nil, pk, from), func(k, val []byte) bool {
		t := sessionTime(k, pk)
		_, touched := slices.BinarySearch(times, t)
		w, was := entryWeight(val), shownOf(val)
		begins := !touched && was.weight != 0 && was.start == t && t > from
		switch {
		case live && t-last >= s.n.GapMicros:
			ends, lasts, live = append(ends, len(rows)), append(lasts, last), false
			if begins {
				return false
			}
		case !live && begins:
			return false
		}
		keys = append(keys, k...)
		rows = append(rows, sessionRow{keys[len(keys)-len(k):], w, was})
		if seen = t; w > 0 {
			last, live = t, true
		}
		return true
	})
	if len(ends) == 0 || ends[len(ends)-1] < len(rows) {
		ends, lasts = append(ends, len(rows)), append(lasts, last)
	}
	at := 0
	for i, end := range ends {
		if err := s.show(rows[at:end], pk, lasts[i], emit); err != nil {
			return 0, err
		}
		at = end
	}
	for done < len(times) && times[done] <= seen {
		done++
	}
	return done, nil
}

// show compares the rows of a session, which ends with last, with what was shown of them.
func (s *session) show(rows []sessionRow, pk []byte, last int64, emit Emit) error {
	now := sessionShown{end: last + s.n.GapMicros}
	for i := range rows {
		if rows[i].weight > 0 {
			now.start = sessionTime(rows[i].key, pk)
			break
		}
	}
	for i := range rows {
		r := &rows[i]
		x := now
		if x.weight = r.weight; x == r.was {
			continue
		}
		image := s.imageOf(r.key)
		if r.was.weight != 0 {
			if err := s.put(image, r.was, -r.was.weight, emit); err != nil {
				return err
			}
		}
		if r.weight == 0 {
			s.drop(r.key)
			continue
		}
		if err := s.put(image, x, r.weight, emit); err != nil {
			return err
		}
		val, _ := s.rows.Upsert(0, r.key, sessionValueLen)
		x.put(val)
	}
	return nil
}

func (s *session) imageOf(k []byte) []byte {
	val, _ := s.rows.Get(k)
	return entryImage(k, val)
}

func (s *session) put(image []byte, x sessionShown, w int64, emit Emit) error {
	vecs := make([]*delta.Vec, len(s.types))
	for i := range vecs {
		vecs[i] = s.out.Col(i)
	}
	if err := decodeImage(image, s.types, vecs); err != nil {
		return err
	}
	s.out.Col(len(vecs)).AppendInt(x.start)
	s.out.Col(len(vecs) + 1).AppendInt(x.end)
	s.out.EndRow(w)
	if s.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(s.out.Take())
}

// load brings everything into memory after a restart: what is left are sessions that are still open.
func (s *session) load() error {
	if s.rows.Complete() {
		return nil
	}
	if err := s.rows.LoadAll(s.env.owns); err != nil {
		return err
	}
	return s.close.eachPart(func(c *delta.Chunk, pk []byte) {
		s.close.note(c.Cols[s.n.TimeCol].Ints[0]+s.n.GapMicros-1, pk)
	})
}

// closeSessions emits, where that is what closing means, and forgets the sessions whose end the watermark has reached.
func (s *session) closeSessions(emit Emit) error {
	if !s.close.takeMoved() {
		return nil
	}
	if err := s.load(); err != nil {
		return err
	}
	var again [][]byte
	var ends []int64
	err := s.close.each(func(pk []byte) error {
		end, left, err := s.closeFirst(pk, emit)
		if left {
			again, ends = append(again, bytes.Clone(pk)), append(ends, end)
		}
		return err
	})
	for i, pk := range again {
		s.close.note(ends[i]-1, pk)
	}
	return err
}

// closeFirst closes a partition's sessions up to the first that is still open, and returns the end of that.
func (s *session) closeFirst(pk []byte, emit Emit) (end int64, left bool, err error) {
	mark := s.close.marks[0]
	var open []sessionRow
	var keys []byte
	last := int64(0)
	finish := func() bool {
		if len(open) == 0 || last+s.n.GapMicros > mark {
			return false
		}
		x := sessionShown{start: sessionTime(open[0].key, pk), end: last + s.n.GapMicros}
		for _, r := range open {
			if s.n.Close && err == nil {
				err = s.put(s.imageOf(r.key), x, r.weight, emit)
			}
			s.drop(r.key)
		}
		open, keys = open[:0], nil
		return true
	}
	s.rows.Ascend(pk, nil, func(k, val []byte) bool {
		t := sessionTime(k, pk)
		if len(open) > 0 && t-last >= s.n.GapMicros && !finish() {
			return false
		}
		keys = append(keys, k...)
		open = append(open, sessionRow{key: keys[len(keys)-len(k):], weight: entryWeight(val)})
		last = t
		return err == nil && t <= mark
	})
	finish()
	s.dropAll()
	return last + s.n.GapMicros, len(open) > 0, err
}

// Flush implements Operator.
func (s *session) Flush(d *state.Delta) { s.rows.Flush(d) }

// Stats implements Operator.
func (s *session) Stats() state.Stats { return s.rows.Stats() }
