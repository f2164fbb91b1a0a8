package stream

import (
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// hashJoin serves all kinds of joins. Both sides are kept as bags under the join key.
//
// Pairs are linear and leave at once: a change on one side meets what the other side holds at that moment,
// so each pair of changes meets exactly once, whichever comes first. Rows that depend on having, or not
// having, a match (padding of outer joins, semi and anti joins) leave at the barrier; see join_match.go.
//
// When a side only grows and the join key is unique in it, a row of the other side that has met its match can
// meet no other: it is not kept. Of a stream of facts joined to such a side only those wait in memory that
// came too early.
type hashJoin struct {
	env   *Env
	kind  plan.JoinKind
	sides [2]joinSide
	cond  expr.Program
	// compare lists the key pairs (left, right columns) of NOT IN that are compared row by row, unknown being
	// as good as equal. They are no part of the state's key.
	compare []keyPair
	notIn   bool // NOT IN with one key and nothing else
	match   matchMode
	keys    touchedKeys // matchByKey
	batch   row.Batch
	image   []byte
	guess   [2][]uint32 // buckets of each side, by counted row
	pairs   pairList
	lone    []int32 // rows of the running chunk that can have no match
	out     padder
	close   *joinClose // nil: no watermark says when a key is done with
	// expire forgets rows that have met all that they can meet, by side; nil: nothing says when.
	expire [2]*joinExpire
}

type keyPair struct{ left, right int }

// joinSide is what a join knows of one input.
type joinSide struct {
	rows   sideRows
	hashed *state.MultiMap // rows, of a hashJoin
	order  *joinOrder      // rows, of a rangeJoin
	types  []sqltypes.Type
	key    []row.KeyCol
	strict []int // key columns in which a NULL matches nothing
	// unique: a key never has a second row, and rows never go.
	unique bool
	// preserved: rows leave depending on matches.
	preserved bool
	widths    []float64 // per column: about how many bytes a string takes, from the last rows that were decoded
	matchState
}

// sideRows are the rows of a side, by number. A row keeps its number, and its image, until the Flush after it lost its weight.
type sideRows interface {
	Image(row uint32) []byte
	Weight(row uint32) int64
	Remove(row uint32)
	Complete() bool
	LoadAll(owns func(vnode uint16) bool) error
	EachRow(f func(row uint32))
	Flush(d *state.Delta)
	Stats() state.Stats
}

// pairList collects candidates: rows of the running chunk and rows of the other side's state.
type pairList struct {
	chunk   []int32
	rows    []uint32
	weights []int64 // of the stored rows
}

func (p *pairList) add(i int32, r uint32, w int64) {
	p.chunk, p.rows, p.weights = append(p.chunk, i), append(p.rows, r), append(p.weights, w)
}

func (p *pairList) reset() { p.chunk, p.rows, p.weights = p.chunk[:0], p.rows[:0], p.weights[:0] }

func newHashJoin(n *plan.Join, env *Env) (Operator, error) {
	j := &hashJoin{}
	if err := j.init(n, env); err != nil {
		return nil, err
	}
	j.sides[0].unique = n.Kind == plan.Inner && isUnique(env, n.Left, n.LeftKeys)
	j.sides[1].unique = n.Kind == plan.Inner && isUnique(env, n.Right, n.RightKeys)
	children := []plan.Node{n.Left, n.Right}
	for p := range j.sides {
		s := &j.sides[p]
		hint := 0
		for _, k := range s.key {
			hint += keyHint(s.types[k.Col])
		}
		// Rows are numbered from a number that no earlier run of the job can have reached.
		s.hashed = state.NewMultiMap(env.Table(n.State+p), hint, env.appendOnly(children[p]), uint64(env.StartEpoch)<<20)
		s.rows = s.hashed
		s.known = env.Table(n.State+p).Store == nil
	}
	if j.match == matchNotIn {
		j.keys.notIn = newNotInCount(env, n.State+2)
	}
	j.close = newJoinClose(n, j)
	j.expire = newJoinExpire(n, j)
	return j, nil
}

// init reads what all joins have in common out of the plan.
func (j *hashJoin) init(n *plan.Join, env *Env) error {
	j.env, j.kind = env, n.Kind
	j.sides[0].types, j.sides[1].types = plan.Types(n.Left), plan.Types(n.Right)
	j.sides[0].widths, j.sides[1].widths = make([]float64, len(j.sides[0].types)), make([]float64, len(j.sides[1].types))
	j.setKeys(n)
	if n.Cond != nil {
		var err error
		if j.cond, err = expr.Compile(n.Cond); err != nil {
			return err
		}
	}
	j.sides[0].preserved, j.sides[1].preserved = n.Kind.Preserved()
	j.match = j.matchMode()
	j.out = padder{join: j}
	return nil
}

// setKeys splits the keys: NULL-safe ones, strict ones, and for NOT IN those to compare row by row.
func (j *hashJoin) setKeys(n *plan.Join) {
	j.notIn = n.Kind == plan.NullAnti && len(n.LeftKeys) == 1 && n.Cond == nil && (n.NullSafe == nil || !n.NullSafe[0])
	for i := range n.LeftKeys {
		l, r := n.LeftKeys[i], n.RightKeys[i]
		safe := n.NullSafe != nil && n.NullSafe[i]
		if n.Kind == plan.NullAnti && !safe && !j.notIn {
			j.compare = append(j.compare, keyPair{l, r})
			continue
		}
		j.sides[0].key = append(j.sides[0].key, row.KeyCol{Col: l})
		j.sides[1].key = append(j.sides[1].key, row.KeyCol{Col: r})
		if !safe && !j.notIn {
			j.sides[0].strict = append(j.sides[0].strict, l)
			j.sides[1].strict = append(j.sides[1].strict, r)
		}
	}
}

// isUnique reports whether n only grows and some unique key of it lies within cols.
func isUnique(env *Env, n plan.Node, cols []int) bool {
	if !env.appendOnly(n) || env.UniqueKey == nil {
		return false
	}
	keys := plan.UniqueKeys(n)
	if k, ok := env.UniqueKey(n); ok {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if !slices.ContainsFunc(k, func(c int) bool { return !slices.Contains(cols, c) }) {
			return true
		}
	}
	return false
}

// emitsPairs reports whether matching rows leave together.
func (j *hashJoin) emitsPairs() bool { return j.kind <= plan.Full }

// OnDelta implements Operator.
func (j *hashJoin) OnDelta(port int, c *delta.Chunk, emit Emit) error {
	own, other := &j.sides[port], &j.sides[1-port]
	j.batch.Fill(c, own.key)
	strict := own.nullable(c)
	wantPairs := j.emitsPairs() || j.match == matchByRow
	own.beginChunk(j.match, c.Rows)
	for p := range j.guess {
		for len(j.guess[p]) < c.Len() {
			j.guess[p] = append(j.guess[p], 0)
		}
		j.sides[p].hashed.Candidates(j.batch.Hashes, j.guess[p])
	}
	j.lone = j.lone[:0]
	for k := range c.Len() {
		i := c.Row(k)
		if len(strict) > 0 && anyNull(c, strict, i) {
			j.lone = append(j.lone, int32(i))
			continue
		}
		b, err := j.store(port, c, i, k)
		if err != nil {
			return err
		}
		if b == state.NoSlot || !wantPairs {
			continue
		}
		for r := other.hashed.First(b); r != state.NoSlot; r = other.hashed.Next(r) {
			j.pairs.add(int32(i), r, other.hashed.Weight(r))
			if len(j.pairs.chunk) >= delta.BatchRows {
				if err := j.flushPairs(port, c, emit); err != nil {
					return err
				}
			}
		}
		if own.unique {
			other.hashed.Clear(b) // they have met their only match
		}
	}
	if err := j.flushPairs(port, c, emit); err != nil {
		return err
	}
	return j.emitLone(port, c, emit)
}

// store keeps row i, the n-th that counts, where it may be needed later and returns the other side's bucket of the
// same key.
func (j *hashJoin) store(port int, c *delta.Chunk, i, n int) (uint32, error) {
	own, other := &j.sides[port], &j.sides[1-port]
	hash, k := j.batch.Hashes[n], j.batch.Key(n)
	vnode := j.vnode(hash)
	if err := j.prepare(hash, vnode, k); err != nil {
		return 0, err
	}
	b, err := other.hashed.FindAt(j.guess[1-port][n], hash, vnode, k)
	if err != nil || other.unique && b != state.NoSlot && other.hashed.Count(b) > 0 {
		return b, err
	}
	j.image = row.AppendImage(j.image[:0], c.Cols, nil, i)
	at, r, before, after, err := own.hashed.AddRowAt(j.guess[port][n], hash, vnode, k, j.image, c.Weight(i))
	if err == nil && j.close != nil && before == 0 && own.hashed.Count(at) == 1 {
		j.close.sides[port].added(at, c, i)
	}
	if x := j.expire[port]; err == nil && x != nil && before == 0 {
		x.added(r, c, i)
	}
	if err == nil && own.preserved {
		own.changed(j, i, r, before, after)
	}
	if err == nil && j.match == matchNotIn && port == 1 {
		j.keys.notIn.add(c.Weight(i), c.Cols[own.key[0].Col].IsNull(i))
	}
	return b, err
}

func (j *hashJoin) vnode(hash uint64) uint16 {
	if len(j.sides[0].key) == 0 || j.match == matchNotIn {
		return j.env.SingletonVNode
	}
	return uint16(hash % row.VNodes)
}

// nullable lists the strict key columns in which c has NULLs.
func (s *joinSide) nullable(c *delta.Chunk) []int {
	for _, col := range s.strict {
		if c.Cols[col].HasNulls() {
			return s.strict
		}
	}
	return nil
}

func anyNull(c *delta.Chunk, cols []int, i int) bool {
	for _, col := range cols {
		if c.Cols[col].IsNull(i) {
			return true
		}
	}
	return false
}

// emitLone passes on the rows that can have no match, where that makes them part of the result: at once, as
// nothing can change it.
func (j *hashJoin) emitLone(port int, c *delta.Chunk, emit Emit) error {
	if len(j.lone) == 0 || !j.sides[port].preserved || j.kind == plan.Semi {
		return nil
	}
	lone := c.WithSel(slices.Clone(j.lone)).Compact()
	if j.kind >= plan.Semi {
		return emit(lone)
	}
	cols := slices.Clone(lone.Cols)
	nulls := nullVecs(j.sides[1-port].types, lone.Rows)
	if port == 0 {
		cols = append(cols, nulls...)
	} else {
		cols = append(nulls, cols...)
	}
	return emit(lone.WithCols(cols))
}

// nullVecs makes columns of n NULLs.
func nullVecs(types []sqltypes.Type, n int) []*delta.Vec {
	out := make([]*delta.Vec, len(types))
	for i, t := range types {
		out[i] = delta.NewVec(t, n)
		out[i].Valid = make([]uint64, (n+63)/64)
	}
	return out
}

// flushPairs tests the candidates and emits those that match.
func (j *hashJoin) flushPairs(port int, c *delta.Chunk, emit Emit) error {
	p := &j.pairs
	n := len(p.chunk)
	if n == 0 {
		return nil
	}
	other := &j.sides[1-port]
	mine := make([]*delta.Vec, len(c.Cols))
	for k, v := range c.Cols {
		mine[k] = v.Gather(p.chunk)
	}
	theirs, err := other.decode(p.rows)
	if err != nil {
		return err
	}
	ch := delta.NewChunk(append(mine, theirs...), p.products(c), n)
	if port == 1 {
		ch.Cols = append(theirs[:len(theirs):len(theirs)], mine...)
	}
	ch = j.test(ch)
	j.env.report(ch)
	if j.match == matchByRow {
		j.countPairs(port, c, ch)
	}
	p.reset()
	if !j.emitsPairs() || ch.Len() == 0 {
		return nil
	}
	if ch.Sparse() {
		ch = ch.Compact()
	}
	return emit(ch)
}

// manyRows is from how many rows on columns get room beforehand, for strings as long as the last ones.
const manyRows = 32

// decode returns the columns of stored rows.
func (s *joinSide) decode(rows []uint32) ([]*delta.Vec, error) {
	vecs := newVecs(s.types)
	if len(rows) >= manyRows {
		for k, v := range vecs {
			v.Room(len(rows), int(float64(len(rows))*s.widths[k]))
		}
	}
	for _, r := range rows {
		if err := decodeImage(s.rows.Image(r), s.types, vecs); err != nil {
			return nil, err
		}
	}
	if len(rows) >= manyRows {
		for k, v := range vecs {
			s.widths[k] = float64(len(v.Data)) / float64(len(rows)) * 17 / 16
		}
	}
	return vecs, nil
}

// products multiplies the weights of the candidates; nil when all are 1.
func (p *pairList) products(c *delta.Chunk) []int64 {
	plain := c.Weights == nil
	for _, w := range p.weights {
		plain = plain && w == 1
	}
	if plain {
		return nil
	}
	out := make([]int64, len(p.chunk))
	for x, i := range p.chunk {
		out[x] = c.Weight(int(i)) * p.weights[x]
	}
	return out
}

// test selects the pairs, left columns first, for which the further conditions hold.
func (j *hashJoin) test(ch *delta.Chunk) *delta.Chunk {
	if len(j.compare) > 0 {
		sel := make([]int32, 0, ch.Rows)
		for i := range ch.Rows {
			if j.possible(ch, i) {
				sel = append(sel, int32(i))
			}
		}
		ch = ch.WithSel(sel)
	}
	if j.cond == nil {
		return ch
	}
	if sel := expr.Filter(j.env.Ctx, j.cond, ch); sel != nil {
		return ch.WithSel(sel)
	}
	return ch
}

// possible reports whether no comparison of NOT IN is false for pair i.
func (j *hashJoin) possible(ch *delta.Chunk, i int) bool {
	shift := len(j.sides[0].types)
	for _, p := range j.compare {
		l, r := ch.Cols[p.left], ch.Cols[shift+p.right]
		if l.IsNull(i) || r.IsNull(i) {
			continue
		}
		var x, y [32]byte
		at := []row.KeyCol{{}}
		if string(row.AppendKey(x[:0], []*delta.Vec{l}, at, i)) != string(row.AppendKey(y[:0], []*delta.Vec{r}, at, i)) {
			return false
		}
	}
	return true
}

// OnBarrier implements Operator.
func (j *hashJoin) OnBarrier(_ Barrier, emit Emit) error {
	j.out.emit = emit
	var err error
	switch j.match {
	case matchByRow:
		err = j.settleRows()
	case matchByKey, matchNotIn:
		err = j.settleKeys()
	}
	if err != nil {
		return err
	}
	if err := j.out.flush(); err != nil {
		return err
	}
	for _, x := range j.expire {
		if x != nil {
			if err := x.sweep(j.env.owns); err != nil {
				return err
			}
		}
	}
	if j.close == nil {
		return err
	}
	return j.closeKeys()
}

// Flush implements Operator.
func (j *hashJoin) Flush(d *state.Delta) {
	for p := range j.sides {
		j.sides[p].rows.Flush(d)
	}
	if j.keys.notIn != nil {
		j.keys.notIn.total.Flush(d)
	}
}

// Stats implements Operator.
func (j *hashJoin) Stats() state.Stats {
	st := j.sides[0].rows.Stats()
	addStats(&st, j.sides[1].rows.Stats())
	return st
}
