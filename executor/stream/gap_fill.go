package stream

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/gapfill"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// gapFill passes its input on and adds rows in the gaps between neighbours.
//
// An entry's key is partition, order, image; its value the weight now and the weight at the last barrier. At a barrier each run
// of changed entries is looked at with the unchanged one before and the one behind it: the neighbours that were give back
// what fills their gap, those that are put out theirs.
type gapFill struct {
	env   *Env
	n     *plan.GapFill
	part  []row.KeyCol
	order []row.KeyCol
	types []sqltypes.Type
	rows  *state.OrderedMap
	fill  *gapfill.Filler
	batch row.Batch
	parts keySet
	keys  [][][]byte // by partition in parts: touched in this epoch
	buf   []byte
	gone  [][]byte
}

// Value of an entry: weight, length of the image (4 bytes), weight at the last barrier.
const gapValueLen = entryValueLen + 8

func newGapFill(n *plan.GapFill, env *Env) (Operator, error) {
	f, err := gapfill.New(n, env.Ctx)
	return &gapFill{env: env, n: n, part: row.Cols(n.PartitionBy...), order: sortKeys(n.Order()), types: plan.Types(n.Input),
		rows: state.NewOrderedMap(env.Table(n.State)), fill: f}, err
}

// OnDelta implements Operator.
func (g *gapFill) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	g.batch.Fill(c, g.part)
	times := c.Cols[g.n.TimeCol]
	for k := range c.Len() {
		i := c.Row(k)
		if times.IsNull(i) || times.Ints[i] == math.MinInt64 || times.Ints[i] == math.MaxInt64 {
			continue
		}
		pk, hash := g.batch.Key(k), g.batch.Hashes[k]
		vnode := uint16(hash % row.VNodes)
		if len(g.part) == 0 {
			vnode = g.env.SingletonVNode
		}
		n, fresh := g.parts.add(hash, vnode, pk)
		if fresh {
			if err := g.rows.Ensure(vnode, pk); err != nil {
				return err
			}
			g.keys = append(g.keys, nil)
		}
		g.buf = row.AppendKey(append(g.buf[:0], pk...), c.Cols, g.order, i)
		head := len(g.buf)
		g.buf = row.AppendImage(g.buf, c.Cols, nil, i)
		val, created := g.rows.Upsert(vnode, g.buf, gapValueLen)
		if created {
			binary.LittleEndian.PutUint32(val[8:], uint32(len(g.buf)-head))
		}
		binary.LittleEndian.PutUint64(val, uint64(entryWeight(val)+c.Weight(i)))
		g.keys[n] = append(g.keys[n], slices.Clone(g.buf))
	}
	return emit(c)
}

func weightBefore(val []byte) int64 { return int64(binary.LittleEndian.Uint64(val[entryValueLen:])) }

// OnBarrier implements Operator.
func (g *gapFill) OnBarrier(_ Barrier, emit Emit) error {
	for n := range g.parts.len() {
		keys := g.keys[n]
		slices.SortFunc(keys, slices.Compare)
		keys = slices.CompactFunc(keys, func(a, b []byte) bool { return string(a) == string(b) })
		for len(keys) > 0 {
			done, err := g.settle(g.parts.key(n), keys, emit)
			if err != nil {
				return err
			}
			keys = keys[done:]
		}
		for _, k := range g.gone {
			g.rows.Delete(k)
		}
		g.gone = g.gone[:0]
	}
	g.parts.reset()
	g.keys = g.keys[:0]
	return nil
}

// settle deals with the run of touched entries that begins with keys[0], and returns how many belong to it.
func (g *gapFill) settle(pk []byte, keys [][]byte, emit Emit) (done int, err error) {
	rows := delta.NewBuilder(g.types)
	vecs := make([]*delta.Vec, len(g.types))
	for i := range vecs {
		vecs[i] = rows.Col(i)
	}
	var was, is []int // rows of the run in either version
	take := func(k, val []byte) {
		if err == nil {
			err = decodeImage(entryImage(k, val), g.types, vecs)
		}
		if err != nil {
			return
		}
		if weightBefore(val) > 0 {
			was = append(was, rows.Len())
		}
		if entryWeight(val) > 0 {
			is = append(is, rows.Len())
		}
		rows.EndRow(1)
	}
	g.rows.DescendFrom(pk, keys[0], func(k, val []byte) bool {
		if entryWeight(val) <= 0 || weightBefore(val) <= 0 { // of a run before this one
			return true
		}
		take(k, val)
		return false
	})
	var changed [][]byte
	g.rows.Ascend(pk, keys[0], func(k, val []byte) bool {
		touched := done < len(keys) && string(keys[done]) == string(k)
		take(k, val)
		if !touched {
			return false
		}
		changed = append(changed, keys[done])
		done++
		return err == nil
	})
	if err != nil {
		return 0, err
	}
	for _, k := range changed {
		val, _ := g.rows.Upsert(0, k, gapValueLen)
		w := entryWeight(val)
		if binary.LittleEndian.PutUint64(val[entryValueLen:], uint64(w)); w == 0 {
			g.gone = append(g.gone, k)
		}
	}
	c := rows.Take()
	return done, g.diff(c, was, is, emit)
}

// diff takes back what filled the gaps of one list of neighbours and puts out what fills those of another, but for pairs that
// are in both.
func (g *gapFill) diff(c *delta.Chunk, was, is []int, emit Emit) error {
	type pair struct{ a, b int }
	had := map[pair]bool{}
	for i := 1; i < len(was); i++ {
		had[pair{was[i-1], was[i]}] = true
	}
	for i := 1; i < len(is); i++ {
		p := pair{is[i-1], is[i]}
		if had[p] {
			delete(had, p)
			continue
		}
		if err := g.fill.Between(c, p.a, c, p.b, 1, emit); err != nil {
			return err
		}
	}
	for p := range had {
		if err := g.fill.Between(c, p.a, c, p.b, -1, emit); err != nil {
			return err
		}
	}
	return nil
}

// Flush implements Operator.
func (g *gapFill) Flush(d *state.Delta) { g.rows.Flush(d) }

// Stats implements Operator.
func (g *gapFill) Stats() state.Stats { return g.rows.Stats() }
