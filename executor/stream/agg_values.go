package stream

import (
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// aggValues keeps all live values of each group in order, for aggregates that cannot take a value back
// (min, max over input that retracts) or that depend on order (string_agg, array_agg).
//
// Entry: tag, aggregate, group, order, image → weight. The image holds the arguments and then the
// order columns; without ORDER BY the order is that of the arguments, so that the result is a function of
// the rows and not of their arrival. The image breaks ties.
type aggValues struct {
	call   *aggCall
	tag    []byte
	store  *state.OrderedMap
	sort   []row.KeyCol // over the input's columns
	image  []int        // input columns in an entry's image
	types  []sqltypes.Type
	args   []row.KeyCol // the arguments, in the image
	first  []byte       // min and max: which end decides; nil: all values count
	key    []byte
	prefix []byte
}

// The ends of a group.
var (
	lowEnd  = []byte{0}
	highEnd = []byte{1}
)

func newAggValues(c *aggCall, index int, in []sqltypes.Type, cfg state.Config) *aggValues {
	v := &aggValues{call: c, tag: binary.AppendUvarint([]byte{tagValues}, uint64(index)), store: state.NewOrderedMap(cfg)}
	v.sort = append(sortKeys(c.n.OrderBy), row.Cols(c.n.Args...)...)
	for _, i := range c.n.Args {
		v.args = append(v.args, row.KeyCol{Col: v.keep(i)})
	}
	for _, k := range c.n.OrderBy {
		v.keep(k.Col)
	}
	for _, i := range v.image {
		v.types = append(v.types, in[i])
	}
	switch {
	case len(c.n.OrderBy) > 0 || len(c.n.Args) != 1:
	case c.fn.Name == "min":
		v.first = lowEnd
	case c.fn.Name == "max":
		v.first = highEnd
	}
	return v
}

// keep puts an input column into the image and returns its place.
func (v *aggValues) keep(col int) int {
	if i := slices.Index(v.image, col); i >= 0 {
		return i
	}
	v.image = append(v.image, col)
	return len(v.image) - 1
}

func (v *aggValues) groupPrefix(group []byte) []byte {
	v.prefix = append(append(v.prefix[:0], v.tag...), group...)
	return v.prefix
}

func (v *aggValues) load(groups *state.Map, s uint32) error {
	return v.store.Ensure(groups.VNode(s), v.groupPrefix(groups.Key(s)))
}

// fold adds the rows' weights to their values.
func (v *aggValues) fold(a *hashAgg, c *delta.Chunk, rows []int32, slots []uint32) error {
	for i, col := range v.call.n.Args {
		v.call.args[i] = c.Cols[col]
	}
	for k, s := range slots {
		i := k
		if rows != nil {
			i = int(rows[k])
		}
		if v.call.skips(v.call.args, i) {
			continue
		}
		at := append(append(v.key[:0], v.tag...), a.groups.Key(s)...)
		at = row.AppendKey(at, c.Cols, v.sort, i)
		n := len(at)
		at = row.AppendImage(at, c.Cols, v.image, i)
		v.key = at
		addEntry(v.store, a.groups.VNode(s), at, len(at)-n, c.Weight(i))
	}
	return nil
}

// result appends the aggregate's value for a group.
func (v *aggValues) result(groups *state.Map, s uint32, out *delta.Vec, weight int64) error {
	prefix := v.groupPrefix(groups.Key(s))
	if v.first != nil {
		return v.extreme(prefix, out)
	}
	vecs := newVecs(v.types)
	var weights []int64
	var bad error
	v.store.Ascend(prefix, nil, func(k, val []byte) bool {
		if bad = decodeImage(entryImage(k, val), v.types, vecs); bad != nil {
			return false
		}
		weights = append(weights, entryWeight(val))
		return true
	})
	if bad != nil {
		return bad
	}
	if v.call.n.Distinct {
		v.distinct(vecs, weights)
	}
	args := make([]*delta.Vec, len(v.args))
	for i, a := range v.args {
		args[i] = vecs[a.Col]
	}
	return v.run(args, weights, out, weight)
}

func (v *aggValues) extreme(prefix []byte, out *delta.Vec) error {
	var bad error
	found := false
	f := func(k, val []byte) bool {
		found = true
		bad = decodeImage(entryImage(k, val), v.types, []*delta.Vec{out})
		return false
	}
	if v.first[0] == 0 {
		v.store.Ascend(prefix, nil, f)
	} else {
		v.store.Descend(prefix, f)
	}
	if !found {
		out.AppendNull()
	}
	return bad
}

// distinct leaves one row of each run of equal arguments. With DISTINCT, the order's columns are arguments, so equal
// arguments stand together.
func (v *aggValues) distinct(vecs []*delta.Vec, weights []int64) {
	var last, k []byte
	for i := range weights {
		k = row.AppendKey(k[:0], vecs, v.args, i)
		if i > 0 && string(k) == string(last) {
			weights[i] = 0
			continue
		}
		weights[i] = 1
		last = append(last[:0], k...)
	}
}

// run evaluates the aggregate from scratch over values in order.
func (v *aggValues) run(args []*delta.Vec, weights []int64, out *delta.Vec, weight int64) error {
	c := v.call
	if c.fn.New == nil {
		s := expr.States{Blocks: [][]byte{make([]byte, c.fn.Fixed.Width)}, Width: c.fn.Fixed.Width}
		c.fn.Fixed.Update(&s, make([]uint32, len(weights)), args, nil, weights)
		c.fn.Fixed.Result(c.env.Ctx, &s, []uint32{0}, out)
		return nil
	}
	obj := c.fn.New(c.argTypes)
	for i, w := range weights {
		if w <= 0 {
			continue
		}
		if err := obj.Add(c.env.Ctx, args, i, w); err != nil {
			c.env.fail(weight, sqlerr.From(err))
		}
	}
	c.result(obj, out, weight)
	return nil
}
