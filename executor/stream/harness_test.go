package stream

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// memStore is what checkpoints are written to.
type memStore struct{ m map[string][]byte }

func (s *memStore) Get(k []byte) ([]byte, bool, error) {
	v, ok := s.m[string(k)]
	return bytes.Clone(v), ok, nil
}

func (s *memStore) Scan(lo, hi []byte, f func(k, v []byte) bool) error {
	var keys []string
	for k := range s.m {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !f([]byte(k), s.m[k]) {
			break
		}
	}
	return nil
}

// apply writes a checkpoint; a key stands in it at most once.
func (s *memStore) apply(d *state.Delta) error {
	seen := map[string]bool{}
	for _, e := range d.Entries {
		k := string(d.KeyOf(e))
		if seen[k] {
			return fmt.Errorf("key %x is twice in one checkpoint", k)
		}
		seen[k] = true
		if e.Del {
			delete(s.m, k)
		} else {
			s.m[k] = bytes.Clone(d.ValueOf(e))
		}
	}
	return nil
}

// sim runs an operator tree in one goroutine, as an actor does.
type sim struct {
	plan   plan.Node
	store  *memStore
	nodes  []simNode // parents before children
	leaves []simLeaf
	epoch  Epoch
	saved  bool
	out    []*delta.Chunk // of the running epoch
	errs   map[string]int64
	marks  map[catalog.ID]int64 // of column 0 of a table
	late   int
	now    int64
}

type simNode struct {
	op     Operator
	emit   Emit
	rules  *MarkRules
	parent int // −1: none
	port   int
	in     []Marks
}

type simLeaf struct {
	table  *plan.TableScan
	emit   Emit
	parent int
	port   int
}

// numberStates gives each node tables of its own, as many as the planner does.
func numberStates(n plan.Node) plan.Node {
	next := 1
	take := func(k int) int {
		next += k
		return next - k
	}
	return plan.Transform(n, func(n plan.Node) plan.Node {
		switch x := n.(type) {
		case *plan.Join:
			m := *x
			m.State = take(4)
			return &m
		case *plan.Agg:
			m := *x
			m.State = take(1)
			return &m
		case *plan.TopN:
			m := *x
			m.State = take(1)
			return &m
		case *plan.Window:
			m := *x
			m.State = take(1)
			return &m
		case *plan.DynamicFilter:
			m := *x
			m.State = take(2)
			return &m
		case *plan.AsofJoin:
			m := *x
			m.State = take(2)
			return &m
		case *plan.TemporalJoin:
			m := *x
			m.State = take(2)
			return &m
		case *plan.SetOp:
			m := *x
			m.State = take(2)
			return &m
		case *plan.MaxOneRow:
			m := *x
			m.State = take(1)
			return &m
		case *plan.EmitOnClose:
			m := *x
			m.State = take(1)
			return &m
		case *plan.GapFill:
			m := *x
			m.State = take(1)
			return &m
		case *plan.Session:
			m := *x
			m.State = take(1)
			return &m
		case *plan.TemporalFilter:
			m := *x
			m.State = take(1)
			return &m
		}
		return n
	})
}

func newSim(n plan.Node) (*sim, error) {
	s := &sim{plan: numberStates(n), store: &memStore{map[string][]byte{}}, errs: map[string]int64{}, marks: map[catalog.ID]int64{}}
	return s, s.start()
}

// start builds the operators over what is saved.
func (s *sim) start() error {
	s.nodes, s.leaves, s.out = nil, nil, nil
	env := &Env{
		Table: func(ordinal int) state.Config {
			c := state.Config{Table: 100 + uint32(ordinal)}
			if s.saved {
				c.Store = s.store
			}
			return c
		},
		Owns:           func(uint16) bool { return true },
		Ctx:            &expr.Ctx{},
		Report:         func(w int64, err *sqlerr.Error) { s.errs[err.Message] += w },
		Late:           func(n int) { s.late += n },
		StartEpoch:     s.epoch,
		SingletonVNode: 7,
		AppendOnly:     plan.AppendOnly,
		UniqueKey: func(n plan.Node) ([]int, bool) {
			if k := plan.UniqueKeys(n); len(k) > 0 {
				return k[0], true
			}
			return nil, false
		},
	}
	return s.build(s.plan, env, -1, 0, func(c *delta.Chunk) error {
		s.out = append(s.out, c)
		return nil
	})
}

func (s *sim) build(n plan.Node, env *Env, parent, at int, emit Emit) error {
	some := func(c *delta.Chunk) error {
		if c.Len() == 0 {
			return nil
		}
		return emit(c)
	}
	if scan, ok := n.(*plan.TableScan); ok {
		s.leaves = append(s.leaves, simLeaf{scan, some, parent, at})
		return nil
	}
	op, err := Build(n, env)
	if err != nil {
		return err
	}
	rules, err := NewMarkRules(n, env)
	if err != nil {
		return err
	}
	self := len(s.nodes)
	s.nodes = append(s.nodes, simNode{op, some, rules, parent, at, make([]Marks, len(n.Children()))})
	for port, c := range n.Children() {
		if err := s.build(c, env, self, port, func(c *delta.Chunk) error { return op.OnDelta(port, c, some) }); err != nil {
			return err
		}
	}
	return nil
}

// push sends a chunk into every scan of a table.
func (s *sim) push(table int, c *delta.Chunk) error {
	for _, l := range s.leaves {
		if l.table.Table == tableID(table) {
			if err := l.emit(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// barrier ends the epoch and returns what it put out.
func (s *sim) barrier(checkpoint bool) ([]*delta.Chunk, error) {
	s.epoch++
	b := Barrier{Epoch: s.epoch, Checkpoint: checkpoint, Now: s.now}
	for _, l := range s.leaves {
		if v, ok := s.marks[l.table.Table]; ok && l.parent >= 0 {
			s.nodes[l.parent].in[l.port] = Marks{{Origin: int(l.table.Table), Value: v}}
		}
	}
	for i := len(s.nodes) - 1; i >= 0; i-- {
		n := &s.nodes[i]
		if w, ok := n.op.(Watermarker); ok {
			for port, m := range n.in {
				w.OnWatermarks(port, m)
			}
		}
		if err := n.op.OnBarrier(b, n.emit); err != nil {
			return nil, err
		}
		if n.parent >= 0 {
			s.nodes[n.parent].in[n.port] = n.rules.Out(n.in)
		}
	}
	if checkpoint {
		d := &state.Delta{}
		for i := range s.nodes {
			s.nodes[i].op.Flush(d)
			s.nodes[i].op.Stats()
		}
		if err := s.store.apply(d); err != nil {
			return nil, err
		}
		s.saved = true
	}
	out := s.out
	s.out = nil
	return out, nil
}

// zset is a bag of rows; the key of the map tells exact rows apart.
type zset map[string]*zrow

type zrow struct {
	vals []sqltypes.Datum
	w    int64
}

func (z zset) add(vals []sqltypes.Datum, w int64) {
	k := show(vals)
	r := z[k]
	if r == nil {
		r = &zrow{vals: vals}
		z[k] = r
	}
	if r.w += w; r.w == 0 {
		delete(z, k)
	}
}

func (z zset) clone() zset {
	out := zset{}
	for k, r := range z {
		c := *r
		out[k] = &c
	}
	return out
}

// rows lists the rows, each as often as its weight says, in a fixed order.
func (z zset) rows() [][]sqltypes.Datum {
	var keys []string
	for k := range z {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out [][]sqltypes.Datum
	for _, k := range keys {
		for range z[k].w {
			out = append(out, z[k].vals)
		}
	}
	return out
}

func chunkRows(c *delta.Chunk, f func(vals []sqltypes.Datum, w int64)) {
	for k := range c.Len() {
		i := c.Row(k)
		f(rowDatums(c, i), c.Weight(i))
	}
}

func rowDatums(c *delta.Chunk, i int) []sqltypes.Datum {
	vals := make([]sqltypes.Datum, len(c.Cols))
	for j, v := range c.Cols {
		vals[j] = v.Datum(i)
		if b, ok := vals[j].([]byte); ok {
			vals[j] = string(b)
		}
	}
	return vals
}

func show(vals []sqltypes.Datum) string {
	var b strings.Builder
	for i, d := range vals {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch x := d.(type) {
		case nil:
			b.WriteString("NULL")
		case string:
			if x == "" || strings.ContainsAny(x, " \x00") || x == "NULL" {
				fmt.Fprintf(&b, "%q", x)
			} else {
				b.WriteString(x)
			}
		default:
			fmt.Fprint(&b, x)
		}
	}
	return b.String()
}

// equalityKey is what GROUP BY goes by.
func equalityKey(vals []sqltypes.Datum, types []sqltypes.Type) string {
	c := chunkOf(types, [][]sqltypes.Datum{vals}, nil)
	cols := make([]int, len(types))
	for i := range cols {
		cols[i] = i
	}
	return string(row.AppendKey(nil, c.Cols, row.Cols(cols...), 0))
}

func chunkOf(types []sqltypes.Type, rows [][]sqltypes.Datum, weights []int64) *delta.Chunk {
	b := delta.NewBuilder(types)
	for i, r := range rows {
		w := int64(1)
		if weights != nil {
			w = weights[i]
		}
		b.AppendDatums(r, w)
	}
	if c := b.Take(); c != nil {
		return c
	}
	return &delta.Chunk{Cols: newVecs(types)}
}

// check compares a relation with what it should be, by equality of rows, and refuses negative weights.
func check(t *testing.T, what string, got, want zset, types []sqltypes.Type) {
	t.Helper()
	sums := map[string]int64{}
	names := map[string]string{}
	for k, r := range got {
		if r.w < 0 {
			t.Fatalf("%s: row (%s) has weight %d", what, k, r.w)
		}
		e := equalityKey(r.vals, types)
		sums[e] += r.w
		names[e] = k
	}
	for k, r := range want {
		e := equalityKey(r.vals, types)
		sums[e] -= r.w
		names[e] = k
	}
	for e, d := range sums {
		if d != 0 {
			t.Fatalf("%s: row (%s) %+d\ngot:\n%s\nwant:\n%s", what, names[e], d, dump(got), dump(want))
		}
	}
}

func dump(z zset) string {
	var b strings.Builder
	for _, r := range z.rows() {
		b.WriteString("  " + show(r) + "\n")
	}
	return b.String()
}
