package batch

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

type row = []sqltypes.Datum

// table is a relation in memory: rows with weights.
type table struct {
	types   []sqltypes.Type
	rows    []row
	weights []int64
}

// relations are tables that hand out their rows in chunks of random shape: small ones, some with a selection that
// skips and garbles, some with weights.
type relations struct {
	tables map[catalog.ID]*table
	rnd    *rand.Rand
}

func (r *relations) Scan(_ context.Context, id catalog.ID, cols []int, lookup [][]sqltypes.Datum) (ChunkIter, error) {
	t := r.tables[id]
	it := &chunkList{}
	for i := 0; i < len(t.rows); {
		n := 1 + r.rnd.IntN(40)
		if r.rnd.IntN(4) == 0 {
			n = 1 + r.rnd.IntN(1500)
		}
		n = min(n, len(t.rows)-i)
		it.chunks = append(it.chunks, r.chunk(t, cols, i, n, lookup))
		i += n
	}
	return it, nil
}

// blockRelations hand out whole relations in blocks, some of which know the distinct values of their columns.
type blockRelations struct{ *relations }

func (r blockRelations) Blocks(ctx context.Context, id catalog.ID, cols []int, n int) ([]BlockIter, error) {
	it, err := r.Scan(ctx, id, cols, nil)
	if err != nil {
		return nil, err
	}
	lists := make([]*blockList, n)
	out := make([]BlockIter, n)
	for i := range lists {
		lists[i] = &blockList{}
		out[i] = lists[i]
	}
	for {
		ch, err := it.Next(ctx)
		if err != nil || ch == nil {
			return out, err
		}
		l := lists[r.rnd.IntN(n)]
		l.blocks = append(l.blocks, testBlock{BlockOf(ch), r.rnd.IntN(2) == 0})
	}
}

// sharedRelations are all worth sharing out.
type sharedRelations struct {
	blockRelations
	rows float64 // that they say they have
}

func (r sharedRelations) RowCount(catalog.ID) float64 { return r.rows }

type blockList struct{ blocks []Block }

func (l *blockList) Next(context.Context) (Block, error) {
	if len(l.blocks) == 0 {
		return nil, nil
	}
	b := l.blocks[0]
	l.blocks = l.blocks[1:]
	return b, nil
}

func (l *blockList) Close() {}

type testBlock struct {
	Block
	dict bool
}

func (b testBlock) Dict(i int) (*delta.Vec, []uint8, []uint64) {
	v := b.Col(i, nil)
	if !b.dict || b.Len() == 0 {
		return nil, nil, nil
	}
	index, codes := map[string]uint8{}, make([]uint8, b.Len())
	values := emptyVec(v.Type, 0)
	for k := range codes {
		if v.IsNull(k) {
			codes[k] = uint8(k % 256)
			if values.Len() > 0 {
				codes[k] %= uint8(values.Len())
			} else {
				return nil, nil, nil
			}
			continue
		}
		text := fmt.Sprint(v.Datum(k))
		c, ok := index[text]
		if !ok {
			if len(index) == 255 {
				return nil, nil, nil
			}
			c = uint8(len(index))
			index[text] = c
			values.AppendFrom(v, k)
		}
		codes[k] = c
	}
	return values, codes, v.Valid
}

func (r *relations) System(ctx context.Context, _, _ string, cols []int) (ChunkIter, error) {
	return r.Scan(ctx, 1, cols, nil)
}

func (r *relations) chunk(t *table, cols []int, at, n int, lookup [][]sqltypes.Datum) *delta.Chunk {
	garble := r.rnd.IntN(2) == 0
	types := pick(t.types, cols)
	b := delta.NewBuilder(types)
	var sel []int32
	for i := at; i < at+n; i++ {
		if garble && r.rnd.IntN(3) == 0 {
			b.AppendDatums(pick(t.rows[r.rnd.IntN(len(t.rows))], cols), 99)
		}
		if lookup != nil && !hasPrefix(t.rows[i], lookup) {
			continue
		}
		sel = append(sel, int32(b.Len()))
		b.AppendDatums(pick(t.rows[i], cols), t.weights[i])
	}
	ch := b.Take()
	if ch == nil {
		return &delta.Chunk{Cols: nullChunk(types, 0).Cols}
	}
	ch.Sel = nonNil(sel)
	plain := true
	for _, i := range sel {
		plain = plain && ch.Weight(int(i)) == 1
	}
	if plain {
		ch.Weights = nil
	}
	if len(sel) == ch.Rows && r.rnd.IntN(2) == 0 {
		ch.Sel = nil
	}
	return ch
}

func hasPrefix(r row, lookup [][]sqltypes.Datum) bool {
	for _, l := range lookup {
		ok := true
		for i, d := range l {
			ok = ok && r[i] != nil && compareDatums(r[i], d) == 0
		}
		if ok {
			return true
		}
	}
	return false
}

type chunkList struct{ chunks []*delta.Chunk }

func (c *chunkList) Next(context.Context) (*delta.Chunk, error) {
	if len(c.chunks) == 0 {
		return nil, nil
	}
	ch := c.chunks[0]
	c.chunks = c.chunks[1:]
	return ch, nil
}

func (c *chunkList) Close() {}

// testTypes are the columns of the random tables.
var testTypes = []sqltypes.Type{sqltypes.Int8, sqltypes.Text, sqltypes.Float8, sqltypes.Bool, sqltypes.Int4, sqltypes.Int8}

// randomTable makes rows of few distinct values, so that keys meet, with NULLs and repetitions. The last column
// numbers the rows.
func randomTable(rnd *rand.Rand, n int) *table {
	t := &table{types: testTypes}
	floats := []float64{0, math.Copysign(0, -1), 1.5, -2, math.NaN(), math.Inf(1), math.Inf(-1), 1e300}
	for i := range n {
		r := row{int64(rnd.IntN(12) - 3), strings.Repeat("ab\x00", rnd.IntN(4)) + string(rune('a'+rnd.IntN(3))),
			floats[rnd.IntN(len(floats))], rnd.IntN(2) == 0, int64(rnd.IntN(3)), int64(i)}
		for c := range r[:5] {
			if rnd.IntN(6) == 0 {
				r[c] = nil
			}
		}
		w := int64(1)
		if rnd.IntN(8) == 0 {
			w = 1 + rnd.Int64N(3)
		}
		t.rows, t.weights = append(t.rows, r), append(t.weights, w)
	}
	return t
}

func columns(types []sqltypes.Type) []plan.Column {
	out := make([]plan.Column, len(types))
	for i, t := range types {
		out[i] = plan.Column{Name: fmt.Sprintf("c%d", i), Type: t}
	}
	return out
}

// world is what a property test works on.
type world struct {
	t   *testing.T
	rnd *rand.Rand
	rel *relations
	mem int64
	dir string
	// workers is Options.Parallelism.
	workers int
	// shared: all relations are shared out among the workers.
	shared bool
	// rows is what relations say that they have, when shared.
	rows float64
	// leftFirst is that of semi and anti joins at the top, when not 0.
	leftFirst int
	// queries counts them: every second one reads blocks.
	queries int
	// spills counts the files that queries have made.
	spills int
}

func newWorld(t *testing.T, seed uint64, sizes ...int) *world {
	t.Helper()
	t.Logf("seed %d", seed)
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7))}
	w.rel = &relations{tables: map[catalog.ID]*table{}, rnd: w.rnd}
	for i, n := range sizes {
		w.rel.tables[catalog.ID(i+1)] = randomTable(w.rnd, n)
	}
	return w
}

// share makes three workers do what can be shared out.
func (w *world) share() { w.workers, w.shared, w.rows = 3, true, worthSharing }

func (w *world) scan(id catalog.ID, cols ...int) *plan.TableScan {
	if cols == nil {
		cols = allCols(testTypes)
	}
	return &plan.TableScan{Table: id, Cols: cols, Out: columns(pick(testTypes, cols))}
}

func (w *world) query() *query {
	var rel Relations = w.rel
	if w.queries++; w.queries%2 == 0 {
		rel = blockRelations{w.rel}
	}
	if w.shared {
		rel = sharedRelations{blockRelations{w.rel}, w.rows}
	}
	q := newQuery(rel, Options{MemoryBytes: w.mem, TempDir: w.dir, Parallelism: w.workers})
	q.aggBySig = func(sig string) (*expr.AggFunc, bool) { f, ok := testAggs[sig]; return f, ok }
	q.tableFuncBySig = func(sig string) (*expr.TableFunc, bool) { f, ok := testTableFuncs[sig]; return f, ok }
	return q
}

// run executes a plan and returns its rows.
func (w *world) run(n plan.Node) ([]row, error) {
	q := w.query()
	op, err := q.buildPlain(n)
	if err != nil {
		return nil, err
	}
	if j, ok := op.(*hashJoin); ok && j.leftFirst > 0 && w.leftFirst > 0 {
		j.leftFirst = w.leftFirst
	}
	defer func() {
		op.Close()
		w.spills += int(q.spills.Load())
		if used := q.mem.used.Load(); used != 0 {
			w.t.Errorf("%T: %d bytes still accounted for after Close", n, used)
		}
	}()
	return drainRows(op, plan.Types(n))
}

func drainRows(op Operator, types []sqltypes.Type) ([]row, error) {
	ctx := context.Background()
	if err := op.Open(ctx); err != nil {
		return nil, err
	}
	var out []row
	for {
		ch, err := op.Next(ctx)
		if err != nil {
			return out, err
		}
		if ch == nil {
			return out, nil
		}
		if ch.Len() == 0 {
			return nil, fmt.Errorf("%T yields an empty chunk", op)
		}
		if ch.Weights != nil {
			return nil, fmt.Errorf("%T yields weights", op)
		}
		if len(ch.Cols) != len(types) {
			return nil, fmt.Errorf("%T yields %d columns, want %d", op, len(ch.Cols), len(types))
		}
		for k := range ch.Len() {
			r := make(row, len(ch.Cols))
			for c, v := range ch.Cols {
				if v.Len() < ch.Rows || v.Type.Phys() != types[c].Phys() {
					return nil, fmt.Errorf("%T: column %d is %s with %d rows", op, c, v.Type, v.Len())
				}
				r[c] = v.Datum(ch.Row(k))
				if b, ok := r[c].([]byte); ok {
					r[c] = string(b)
				}
			}
			out = append(out, r)
		}
	}
}

func show(r row) string {
	var b strings.Builder
	for _, d := range r {
		switch x := d.(type) {
		case nil:
			b.WriteString(" NULL")
		case string:
			fmt.Fprintf(&b, " %q", x)
		case float64:
			if x == 0 {
				x = 0 // −0 and 0 may stand for one another
			}
			fmt.Fprintf(&b, " %v", x)
		default:
			fmt.Fprintf(&b, " %v", x)
		}
	}
	return b.String()
}

func shown(rows []row) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = show(r)
	}
	return out
}

// same compares the result of a plan with the expected rows, as a list or, unless ordered, as a bag.
func (w *world) same(n plan.Node, want []row, ordered bool) {
	w.t.Helper()
	rows, err := w.run(n)
	if err != nil {
		w.t.Fatalf("%T: %v", n, err)
	}
	a, b := shown(rows), shown(want)
	if !ordered {
		sort.Strings(a)
		sort.Strings(b)
	}
	for i := range max(len(a), len(b)) {
		x, y := "(none)", "(none)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			w.t.Fatalf("%T: %d rows, want %d; row %d is%s, want%s", n, len(a), len(b), i, x, y)
		}
	}
}

// rowsOf lists a table's rows, each as often as its weight says.
func (w *world) rowsOf(id catalog.ID) []row {
	t := w.rel.tables[id]
	var out []row
	for i, r := range t.rows {
		for range t.weights[i] {
			out = append(out, r)
		}
	}
	return out
}

// compareDatums orders values that are not NULL as SQL does.
func compareDatums(a, b sqltypes.Datum) int {
	switch x := a.(type) {
	case bool:
		return int(b2i(x) - b2i(b.(bool)))
	case int64:
		y := b.(int64)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	case float64:
		y := b.(float64)
		switch {
		case x == y || x != x && y != y:
			return 0
		case x != x:
			return 1
		case y != y:
			return -1
		case x < y:
			return -1
		}
		return 1
	}
	return strings.Compare(a.(string), b.(string))
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func equalDatums(a, b sqltypes.Datum) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return compareDatums(a, b) == 0
}

func compareRows(a, b row, keys []plan.SortKey) int {
	for _, k := range keys {
		x, y := a[k.Col], b[k.Col]
		if x == nil || y == nil {
			if x == nil && y == nil {
				continue
			}
			if (x == nil) == k.NullsFirst {
				return -1
			}
			return 1
		}
		if c := compareDatums(x, y); c != 0 {
			if k.Desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// keyString tells rows apart under GROUP BY.
func keyString(r row, cols []int) string { return show(pick(r, cols)) }

// The aggregates of these tests: one of each sort that the library has.
var testAggs = map[string]*expr.AggFunc{
	// Fixed, invertible, without arguments.
	"count()": {Name: "count", Invertible: true, Fixed: &expr.FixedAgg{Width: 8,
		Update: func(s *expr.States, slots []uint32, _ []*delta.Vec, rows []int32, weights []int64) {
			for k, slot := range slots {
				addWord(s.At(slot), 0, weightOf(rows, weights, k))
			}
		},
		Merge:  func(dst, src []byte) { addWord(dst, 0, wordOf(src, 0)) },
		Result: func(_ *expr.Ctx, s *expr.States, slots []uint32, out *delta.Vec) { appendWords(s, slots, out) },
	}},
	// Fixed, invertible, NULL without rows.
	"sum(bigint)": {Name: "sum", Args: []sqltypes.Type{sqltypes.Int8}, IgnoresNulls: true, Invertible: true,
		Fixed: &expr.FixedAgg{Width: 16,
			Update: func(s *expr.States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
				for k, slot := range slots {
					if i := physical(rows, k); !args[0].IsNull(i) {
						w := weightOf(rows, weights, k)
						addWord(s.At(slot), 0, w*args[0].Ints[i])
						addWord(s.At(slot), 1, w)
					}
				}
			},
			Merge: func(dst, src []byte) {
				addWord(dst, 0, wordOf(src, 0))
				addWord(dst, 1, wordOf(src, 1))
			},
			Result: func(_ *expr.Ctx, s *expr.States, slots []uint32, out *delta.Vec) {
				for _, slot := range slots {
					if wordOf(s.At(slot), 1) == 0 {
						out.AppendNull()
					} else {
						out.AppendInt(wordOf(s.At(slot), 0))
					}
				}
			}}},
	// Fixed, append-only.
	"max(bigint)": {Name: "max", Args: []sqltypes.Type{sqltypes.Int8}, IgnoresNulls: true, Multiset: true,
		Fixed: &expr.FixedAgg{Width: 16,
			Update: func(s *expr.States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
				for k, slot := range slots {
					if i := physical(rows, k); !args[0].IsNull(i) {
						if weightOf(rows, weights, k) < 0 {
							panic("max cannot take rows back")
						}
						maxWord(s.At(slot), args[0].Ints[i])
					}
				}
			},
			Merge: func(dst, src []byte) {
				if wordOf(src, 1) != 0 {
					maxWord(dst, wordOf(src, 0))
				}
			},
			Result: func(_ *expr.Ctx, s *expr.States, slots []uint32, out *delta.Vec) {
				for _, slot := range slots {
					if wordOf(s.At(slot), 1) == 0 {
						out.AppendNull()
					} else {
						out.AppendInt(wordOf(s.At(slot), 0))
					}
				}
			}}},
	// An object that depends on order.
	"list(text)": {Name: "list", Args: []sqltypes.Type{sqltypes.Text}, Ordered: true, Multiset: true,
		New: func([]sqltypes.Type) expr.AggObject { return &listAgg{} }},
	// An object that can take rows back, and skips NULLs.
	"objcount(text)": {Name: "objcount", Args: []sqltypes.Type{sqltypes.Text}, IgnoresNulls: true, Invertible: true,
		New: func([]sqltypes.Type) expr.AggObject { return &countAgg{} }},
}

func weightOf(rows []int32, weights []int64, k int) int64 {
	if weights == nil {
		return 1
	}
	return weights[physical(rows, k)]
}

func wordOf(b []byte, i int) int64     { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
func putWord(b []byte, i int, v int64) { binary.LittleEndian.PutUint64(b[8*i:], uint64(v)) }
func addWord(b []byte, i int, v int64) { putWord(b, i, wordOf(b, i)+v) }

func maxWord(b []byte, v int64) {
	if wordOf(b, 1) == 0 || v > wordOf(b, 0) {
		putWord(b, 0, v)
	}
	putWord(b, 1, 1)
}

func appendWords(s *expr.States, slots []uint32, out *delta.Vec) {
	for _, slot := range slots {
		out.AppendInt(wordOf(s.At(slot), 0))
	}
}

// listAgg joins values; NULL shows as "-".
type listAgg struct{ parts []string }

func (l *listAgg) Add(_ *expr.Ctx, args []*delta.Vec, row int, weight int64) error {
	for range weight {
		if args[0].IsNull(row) {
			l.parts = append(l.parts, "-")
		} else {
			l.parts = append(l.parts, string(args[0].Bytes(row)))
		}
	}
	return nil
}

func (l *listAgg) Result(_ *expr.Ctx, out *delta.Vec) error {
	if l.parts == nil {
		out.AppendNull()
	} else {
		out.AppendString(strings.Join(l.parts, ","))
	}
	return nil
}
func (l *listAgg) AppendImage(dst []byte) []byte { return dst }
func (l *listAgg) DecodeImage([]byte) error      { return nil }
func (l *listAgg) SizeBytes() int                { return 24 * len(l.parts) }

type countAgg struct{ n int64 }

func (a *countAgg) Add(_ *expr.Ctx, args []*delta.Vec, row int, weight int64) error {
	if args[0].IsNull(row) {
		panic("the caller skips NULLs")
	}
	a.n += weight
	return nil
}
func (a *countAgg) Result(_ *expr.Ctx, out *delta.Vec) error { out.AppendInt(a.n); return nil }
func (a *countAgg) Merge(o expr.AggObject)                   { a.n += o.(*countAgg).n }
func (a *countAgg) AppendImage(dst []byte) []byte            { return dst }
func (a *countAgg) DecodeImage([]byte) error                 { return nil }
func (a *countAgg) SizeBytes() int                           { return 8 }

// refAgg computes an aggregate of these tests over rows that are already filtered, ordered and distinct.
func refAgg(sig string, args []int, rows []row) sqltypes.Datum {
	n, sum := int64(0), int64(0)
	var most sqltypes.Datum
	var parts []string
	for _, r := range rows {
		if sig == "count()" {
			n++
			continue
		}
		d := r[args[0]]
		if sig == "list(text)" && d == nil {
			parts = append(parts, "-")
		}
		if d == nil {
			continue
		}
		n++
		switch x := d.(type) {
		case int64:
			sum += x
			if most == nil || x > most.(int64) {
				most = x
			}
		case string:
			parts = append(parts, x)
		}
	}
	switch sig {
	case "count()", "objcount(text)":
		return n
	case "sum(bigint)":
		if n == 0 {
			return nil
		}
		return sum
	case "max(bigint)":
		return most
	}
	if parts == nil {
		return nil
	}
	return strings.Join(parts, ",")
}

// testTableFuncs has one function with a polymorphic number of rows: repeat(n) yields n rows (i, i*i).
var testTableFuncs = map[string]*expr.TableFunc{
	"squares(bigint)": {Name: "squares", Args: []sqltypes.Type{sqltypes.Int8},
		Eval: func(_ *expr.Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func([]sqltypes.Datum) error) error {
			r := make(row, 2)
			for i := int64(1); i <= args[0].(int64); i++ {
				r[0], r[1] = i, i*i
				if err := emit(r); err != nil {
					return err
				}
			}
			return nil
		}},
	"generate_series(bigint,bigint,bigint)": {Name: "generate_series",
		Args: []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Int8}, Optional: 1},
}

func col(i int) *expr.Col { return &expr.Col{Index: i, Ty: testTypes[i%len(testTypes)]} }

func intConst(n int64) *expr.Const { return &expr.Const{Ty: sqltypes.Int8, Val: n} }

// row1 is a projection to the constant 1.
func row1() []expr.Expr { return []expr.Expr{intConst(1)} }
