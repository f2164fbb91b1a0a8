package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
)

// matchMode says how a join finds out which rows of a preserved side have a match.
type matchMode uint8

const (
	matchNone matchMode = iota // an inner join does not ask
	// matchByKey: without further conditions a row has a match when the other side's bucket is not empty.
	matchByKey
	// matchByRow: with them, each row counts its matches (its degree). Degrees are not stored: those of a key
	// are computed again when the key is first touched after a restart.
	matchByRow
	// matchNotIn is matchByKey for NOT IN without correlation: a NULL on the other side, or the first row at
	// all, decides for all rows.
	matchNotIn
)

func (j *hashJoin) matchMode() matchMode {
	switch {
	case !j.sides[0].preserved && !j.sides[1].preserved:
		return matchNone
	case j.cond != nil || len(j.compare) > 0:
		return matchByRow
	case j.notIn:
		return matchNotIn
	}
	return matchByKey
}

// matchState is what a preserved side remembers of an epoch's changes, by row number.
type matchState struct {
	touched []touchedRow
	mark    []uint32 // position in touched + 1
	degrees []int64  // matchByRow
	known   bool     // degrees of all keys are known
	buckets []bool   // else: of these
	// For the running chunk: a row that is new in state has its matches counted by the chunk's row that
	// brought it, the last one if there are several.
	bringer []int32  // by row number: chunk row + 1
	brought []uint32 // by chunk row
	counts  []bool   // by chunk row: it counts matches
}

// touchedRow is a row that the epoch may have made to appear or disappear.
type touchedRow struct {
	row uint32
	key int32 // matchByKey
	// old is the weight that showed before the epoch; in matchByKey, or if unknown, the weight the row had.
	old     int64
	unknown bool // its matches had not been counted (rangeJoin)
}

func (s *joinSide) beginChunk(m matchMode, rows int) {
	if m != matchByRow || !s.preserved {
		return
	}
	if len(s.counts) < rows {
		s.counts, s.brought = make([]bool, rows), make([]uint32, rows)
	}
	clear(s.counts)
}

// grow makes room for row number r.
func (s *matchState) grow(r uint32, m matchMode) {
	if n := int(r) + 1; n > len(s.mark) {
		n += n/2 + 1024
		s.mark = append(s.mark, make([]uint32, n-len(s.mark))...)
		if m == matchByRow {
			s.degrees = append(s.degrees, make([]int64, n-len(s.degrees))...)
			s.bringer = append(s.bringer, make([]int32, n-len(s.bringer))...)
		}
	}
}

// shows returns the weight with which a row of weight w is visible.
func (j *hashJoin) shows(w int64, matched bool) int64 {
	if matched == (j.kind == plan.Semi) {
		return w
	}
	return 0
}

// changed notes that chunk row i changed the weight of stored row r.
func (s *joinSide) changed(j *hashJoin, i int, r uint32, before, after int64) {
	s.grow(r, j.match)
	if j.match != matchByRow {
		if s.mark[r] == 0 {
			s.touched = append(s.touched, touchedRow{row: r, key: int32(j.keys.cur), old: before})
			s.mark[r] = uint32(len(s.touched))
		}
		return
	}
	s.touch(j, r, before)
	if before != 0 || after == 0 {
		return
	}
	s.degrees[r] = 0
	if b := s.bringer[r] - 1; b >= 0 && int(b) < len(s.counts) && s.counts[b] && s.brought[b] == r {
		s.counts[b] = false
	}
	s.bringer[r], s.brought[i], s.counts[i] = int32(i)+1, r, true
}

// touch notes what showed of a row of weight w before its degree or weight changes.
func (s *joinSide) touch(j *hashJoin, r uint32, w int64) {
	if s.mark[r] != 0 {
		return
	}
	t := touchedRow{row: r}
	switch {
	case w == 0:
	case s.order != nil && !s.order.isKnown(r):
		t.old, t.unknown = w, true
	default:
		t.old = j.shows(w, s.degrees[r] != 0)
	}
	s.touched = append(s.touched, t)
	s.mark[r] = uint32(len(s.touched))
}

// countPairs adds the pairs of the candidate list that ch selects to the degrees.
func (j *hashJoin) countPairs(port int, c, ch *delta.Chunk) {
	own, other := &j.sides[port], &j.sides[1-port]
	p := &j.pairs
	for k := range ch.Len() {
		x := ch.Row(k)
		i, r := p.chunk[x], p.rows[x]
		if own.preserved && own.counts[i] {
			own.degrees[own.brought[i]] += p.weights[x]
		}
		if other.preserved {
			other.grow(r, j.match)
			other.touch(j, r, p.weights[x])
			other.degrees[r] += c.Weight(int(i))
		}
	}
}

// touchedKeys are the keys of an epoch, with what the sides held under them before.
type touchedKeys struct {
	set   keySet
	had   [2][]bool
	cur   int // number of the key of the row being stored
	notIn *notInCount
}

// prepare is called before a change under a key.
func (j *hashJoin) prepare(hash uint64, vnode uint16, k []byte) error {
	switch j.match {
	case matchByKey, matchNotIn:
		if j.keys.notIn != nil {
			if err := j.keys.notIn.open(); err != nil {
				return err
			}
		}
		n, fresh := j.keys.set.add(hash, vnode, k)
		j.keys.cur = n
		if !fresh {
			return nil
		}
		for p := range j.sides {
			has, err := j.sides[p].has(hash, vnode, k)
			if err != nil {
				return err
			}
			j.keys.had[p] = append(j.keys.had[p], has)
		}
	case matchByRow:
		for p := range j.sides {
			if s := &j.sides[p]; s.preserved && !s.known {
				if err := j.learn(p, hash, vnode, k); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// has reports whether a side holds rows under a key.
func (s *joinSide) has(hash uint64, vnode uint16, k []byte) (bool, error) {
	b, err := s.hashed.Find(hash, vnode, k)
	return err == nil && b != state.NoSlot && s.hashed.Count(b) > 0, err
}

// learn computes the degrees of the rows that side p brought back from the store under a key.
func (j *hashJoin) learn(p int, hash uint64, vnode uint16, k []byte) error {
	s, o := &j.sides[p], &j.sides[1-p]
	b, err := s.hashed.Find(hash, vnode, k)
	if err != nil || b == state.NoSlot {
		return err
	}
	for int(b) >= len(s.buckets) {
		s.buckets = append(s.buckets, make([]bool, len(s.buckets)+256)...)
	}
	if s.buckets[b] {
		return nil
	}
	s.buckets[b] = true
	ob, err := o.hashed.Find(hash, vnode, k)
	if err != nil {
		return err
	}
	var mine, theirs []uint32
	for r := s.hashed.First(b); r != state.NoSlot; r = s.hashed.Next(r) {
		s.grow(r, j.match)
		s.degrees[r] = 0
		if ob == state.NoSlot {
			continue
		}
		for q := o.hashed.First(ob); q != state.NoSlot; q = o.hashed.Next(q) {
			if mine, theirs = append(mine, r), append(theirs, q); len(mine) >= delta.BatchRows {
				if err := j.learnPairs(p, mine, theirs); err != nil {
					return err
				}
				mine, theirs = mine[:0], theirs[:0]
			}
		}
	}
	return j.learnPairs(p, mine, theirs)
}

// learnPairs adds stored pairs that match to the degrees of side p. Their errors were reported long ago.
func (j *hashJoin) learnPairs(p int, mine, theirs []uint32) error {
	s, o := &j.sides[p], &j.sides[1-p]
	ch, err := j.pairsOf(p, mine, theirs)
	if err != nil {
		return err
	}
	for k := range ch.Len() {
		x := ch.Row(k)
		s.degrees[mine[x]] += o.rows.Weight(theirs[x])
	}
	return nil
}

// pairsOf tests pairs of stored rows of side p and of the other side. Their errors were reported when they first met.
func (j *hashJoin) pairsOf(p int, mine, theirs []uint32) (*delta.Chunk, error) {
	left, err := j.sides[p].decode(mine)
	if err != nil {
		return nil, err
	}
	right, err := j.sides[1-p].decode(theirs)
	if err != nil {
		return nil, err
	}
	if p == 1 {
		left, right = right, left
	}
	ch := j.test(delta.NewChunk(append(left, right...), nil, len(mine)))
	j.env.Ctx.TakeErrs()
	return ch, nil
}

// settleRows emits, for each row that the epoch touched, what its degree means now.
func (j *hashJoin) settleRows() error {
	for p := range j.sides {
		s := &j.sides[p]
		for _, t := range s.touched {
			s.mark[t.row] = 0
			now := j.shows(s.rows.Weight(t.row), s.degrees[t.row] != 0)
			if err := j.out.add(p, t.row, now-t.old); err != nil {
				return err
			}
		}
		s.touched = s.touched[:0]
	}
	return nil
}

// settleKeys does the same when the other side's bucket decides.
func (j *hashJoin) settleKeys() error {
	ks := &j.keys
	if ks.set.len() == 0 {
		return nil
	}
	var has [2][]bool
	for p := range j.sides {
		for n := range ks.set.len() {
			h, err := j.sides[p].has(ks.set.hash(n), ks.set.vnode(n), ks.set.key(n))
			if err != nil {
				return err
			}
			has[p] = append(has[p], h)
		}
	}
	for p := range j.sides {
		if !j.sides[p].preserved {
			continue
		}
		if err := j.settleSide(p, has[1-p]); err != nil {
			return err
		}
	}
	ks.set.reset()
	ks.had = [2][]bool{ks.had[0][:0], ks.had[1][:0]}
	if ks.notIn != nil {
		ks.notIn.settle()
	}
	return nil
}

// settleSide emits the changes of a preserved side; has tells, by key, whether the other side holds rows now.
func (j *hashJoin) settleSide(p int, has []bool) error {
	s, ks := &j.sides[p], &j.keys
	had := ks.had[1-p]
	matched := func(n int) (before, after bool) { return had[n], has[n] }
	if ks.notIn != nil {
		matched = func(n int) (before, after bool) {
			null := isNullKey(ks.set.key(n))
			return ks.notIn.old.matches(null, had[n]), ks.notIn.now().matches(null, has[n])
		}
	}
	for _, t := range s.touched {
		before, after := matched(int(t.key))
		if err := j.out.add(p, t.row, j.shows(s.rows.Weight(t.row), after)-j.shows(t.old, before)); err != nil {
			return err
		}
	}
	if ks.notIn != nil && ks.notIn.turned() {
		if err := j.settleAll(p, matched); err != nil {
			return err
		}
	} else {
		for n := range ks.set.len() {
			before, after := matched(n)
			if before == after {
				continue
			}
			b, err := s.hashed.Find(ks.set.hash(n), ks.set.vnode(n), ks.set.key(n))
			if err != nil {
				return err
			}
			if err := j.settleBucket(p, b, before, after); err != nil {
				return err
			}
		}
	}
	for _, t := range s.touched {
		s.mark[t.row] = 0
	}
	s.touched = s.touched[:0]
	return nil
}

// settleBucket emits the rows of a bucket that did not change themselves.
func (j *hashJoin) settleBucket(p int, b uint32, before, after bool) error {
	s := &j.sides[p]
	if b == state.NoSlot || before == after {
		return nil
	}
	for r := s.hashed.First(b); r != state.NoSlot; r = s.hashed.Next(r) {
		if int(r) < len(s.mark) && s.mark[r] != 0 {
			continue
		}
		w := s.rows.Weight(r)
		if err := j.out.add(p, r, j.shows(w, after)-j.shows(w, before)); err != nil {
			return err
		}
	}
	return nil
}

// settleAll goes through all keys of a NOT IN.
func (j *hashJoin) settleAll(p int, matched func(n int) (before, after bool)) error {
	s, o, ks := &j.sides[p], &j.sides[1-p], &j.keys
	if err := s.hashed.LoadAll(func(uint16) bool { return true }); err != nil {
		return err
	}
	var bad error
	s.hashed.EachBucket(func(b uint32) {
		if bad != nil {
			return
		}
		k, vnode := s.hashed.Key(b), s.hashed.VNode(b)
		hash := key.Hash(k)
		n, touched := ks.set.find(hash, k)
		if touched {
			before, after := matched(n)
			bad = j.settleBucket(p, b, before, after)
			return
		}
		has, err := o.has(hash, vnode, k)
		if err != nil {
			bad = err
			return
		}
		null := isNullKey(k)
		bad = j.settleBucket(p, b, ks.notIn.old.matches(null, has), ks.notIn.now().matches(null, has))
	})
	return bad
}

func isNullKey(k []byte) bool {
	null, _, err := key.DecodeNull(k)
	return err == nil && null
}

// notInCount counts the right side's rows of a NOT IN, and those among them whose value is NULL.
type notInCount struct {
	total *state.Map // one key, value: rows, NULLs
	slot  uint32
	vnode uint16
	old   notInSide // before the epoch
}

type notInSide struct{ some, null bool }

// matches reports whether a row of the left side is kept out: its value is equal to some value of the right
// side (has), or may be.
func (s notInSide) matches(null, has bool) bool { return s.some && (null || s.null || has) }

func newNotInCount(env *Env, table int) *notInCount {
	return &notInCount{total: state.NewMap(env.Table(table), 8, 16), slot: state.NoSlot, vnode: env.SingletonVNode}
}

// open finds the counter.
func (c *notInCount) open() error {
	if c.slot != state.NoSlot {
		return nil
	}
	var err error
	if c.slot, _, err = c.total.Upsert(key.Hash(nil), c.vnode, nil); err == nil {
		c.old = c.now()
	}
	return err
}

func (c *notInCount) add(w int64, null bool) {
	p := c.total.Value(c.slot)
	binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)+uint64(w))
	if null {
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])+uint64(w))
	}
	c.total.MarkDirty(c.slot)
}

func (c *notInCount) now() notInSide {
	p := c.total.Value(c.slot)
	return notInSide{binary.LittleEndian.Uint64(p) != 0, binary.LittleEndian.Uint64(p[8:]) != 0}
}

func (c *notInCount) turned() bool { return c.now() != c.old }

func (c *notInCount) settle() { c.old = c.now() }

// padder collects the rows that leave at the barrier, per side, and emits them, padded with NULLs where the
// join has the other side's columns too.
type padder struct {
	join    *hashJoin
	emit    Emit
	rows    [2][]uint32
	weights [2][]int64
}

func (o *padder) add(p int, r uint32, w int64) error {
	if w == 0 {
		return nil
	}
	o.rows[p], o.weights[p] = append(o.rows[p], r), append(o.weights[p], w)
	if len(o.rows[p]) < delta.BatchRows {
		return nil
	}
	return o.flush()
}

func (o *padder) flush() error {
	j := o.join
	for p := range j.sides {
		n := len(o.rows[p])
		if n == 0 {
			continue
		}
		cols, err := j.sides[p].decode(o.rows[p])
		if err != nil {
			return err
		}
		if j.kind <= plan.Full {
			nulls := nullVecs(j.sides[1-p].types, n)
			if p == 0 {
				cols = append(cols, nulls...)
			} else {
				cols = append(nulls, cols...)
			}
		}
		out := delta.NewChunk(cols, o.weights[p], n)
		o.rows[p], o.weights[p] = o.rows[p][:0], nil
		if err := o.emit(out); err != nil {
			return err
		}
	}
	return nil
}
