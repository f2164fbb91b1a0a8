package stream

import (
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// mergeScans makes the scans of a source that occurs more than once alike: each delivers the columns that any of them
// needs, so that share can make one of them. A filter on a scan stays on it, for its rows' unique keys; a projection
// above restores the columns that were there.
func mergeScans(n plan.Node) plan.Node {
	scans := map[catalog.ID][]*plan.SourceScan{}
	plan.Walk(n, func(x plan.Node) bool {
		if s, ok := x.(*plan.SourceScan); ok && !s.Upsert {
			scans[s.Source] = append(scans[s.Source], s)
		}
		return true
	})
	merged := map[catalog.ID]*plan.SourceScan{}
	for id, list := range scans {
		if len(list) > 1 {
			merged[id] = unionScan(list)
		}
	}
	if len(merged) == 0 {
		return n
	}
	return replaceScans(n, merged)
}

// replaceScans puts the merged scans in the place of the scans and of the filters on them.
func replaceScans(n plan.Node, merged map[catalog.ID]*plan.SourceScan) plan.Node {
	if wide, cols, ok := widened(n, merged); ok {
		return selected(wide, n.Columns(), cols)
	}
	ch := slices.Clone(n.Children())
	for i, c := range ch {
		ch[i] = replaceScans(c, merged)
	}
	return n.WithChildren(ch)
}

// widened returns a scan, or filters and watermarks on one, over the merged scan, and where its columns are there now.
func widened(n plan.Node, merged map[catalog.ID]*plan.SourceScan) (plan.Node, []int, bool) {
	switch x := n.(type) {
	case *plan.SourceScan:
		all := merged[x.Source]
		if all == nil || x.Upsert {
			return nil, nil, false
		}
		cols := make([]int, len(x.Cols))
		for i, c := range x.Cols {
			cols[i] = slices.Index(all.Cols, c)
		}
		return all, cols, true
	case *plan.Filter:
		in, cols, ok := widened(x.Input, merged)
		if !ok {
			return nil, nil, false
		}
		return &plan.Filter{Input: in, Cond: expr.MapColumns(x.Cond, func(c int) int { return cols[c] })}, cols, true
	case *plan.Watermark:
		in, cols, ok := widened(x.Input, merged)
		if !ok {
			return nil, nil, false
		}
		w := *x
		w.Input, w.Col, w.Bound = in, cols[x.Col], expr.MapColumns(x.Bound, func(c int) int { return cols[c] })
		return &w, cols, true
	}
	return nil, nil, false
}

// selected projects a node on some of its columns.
func selected(n plan.Node, names []plan.Column, cols []int) plan.Node {
	if slices.Equal(cols, span(0, len(n.Columns()))) {
		return n
	}
	p := &plan.Project{Input: n}
	for i, c := range cols {
		p.Exprs = append(p.Exprs, &expr.Col{Index: c, Ty: names[i].Type, Name: names[i].Name})
		p.Names = append(p.Names, names[i].Name)
	}
	return p
}

// unionScan is a scan with the columns, and what is known of them, of all the scans of a source.
func unionScan(list []*plan.SourceScan) *plan.SourceScan {
	u := *list[0]
	u.Cols, u.Out, u.UniqueKeys, u.Variants = nil, nil, nil, nil
	out := map[int]plan.Column{}
	for _, s := range list {
		for i, c := range s.Cols {
			out[c] = s.Out[i]
		}
	}
	u.Cols = slices.Sorted(maps.Keys(out))
	for _, c := range u.Cols {
		u.Out = append(u.Out, out[c])
	}
	for _, s := range list {
		to := func(cols []int) []int {
			moved := make([]int, len(cols))
			for i, c := range cols {
				moved[i] = slices.Index(u.Cols, s.Cols[c])
			}
			return moved
		}
		u.UniqueKeys = addKeys(u.UniqueKeys, s.UniqueKeys, to)
		for _, v := range s.Variants {
			u.Variants = addVariant(u.Variants, v, to)
		}
	}
	return &u
}

func addKeys(keys, more [][]int, to func([]int) []int) [][]int {
	for _, k := range more {
		k = to(k)
		if !slices.ContainsFunc(keys, func(have []int) bool { return slices.Equal(have, k) }) {
			keys = append(keys, k)
		}
	}
	return keys
}

func addVariant(all []catalog.Variant, v catalog.Variant, to func([]int) []int) []catalog.Variant {
	col := to([]int{v.Col})[0]
	i := slices.IndexFunc(all, func(w catalog.Variant) bool { return w.Col == col && w.Value == v.Value })
	if i < 0 {
		i, all = len(all), append(all, catalog.Variant{Col: col, Value: v.Value})
	}
	for _, c := range to(v.NotNull) {
		if !slices.Contains(all[i].NotNull, c) {
			all[i].NotNull = append(all[i].NotNull, c)
		}
	}
	all[i].UniqueKeys = addKeys(all[i].UniqueKeys, v.UniqueKeys, to)
	return all
}

// share puts a Share on top of each largest part of the plan that occurs more than once and is worth running once:
// one that reads a source or keeps state. Parts with volatile functions are evaluated each for itself.
func share(n plan.Node) plan.Node {
	s := &sharer{class: map[plan.Node]int{}, alike: map[uint64][]int{}, done: map[int]*plan.Share{}}
	s.classify(n)
	s.uses = make([]int, len(s.members))
	s.tally(n)
	return s.replace(n)
}

// sharer sorts the parts worth sharing into classes of equal ones.
type sharer struct {
	class   map[plan.Node]int
	members []plan.Node      // one of each class
	alike   map[uint64][]int // classes by hash of their shape
	uses    []int            // how often a class occurs, not counting what is within a part seen before
	done    map[int]*plan.Share
	ids     int
}

// classify returns a hash of a part's shape, and whether it may be shared, and is worth it.
func (s *sharer) classify(n plan.Node) (shape uint64, may, worth bool) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%T", n)
	may = !slices.ContainsFunc(plan.Exprs(n), func(e expr.Expr) bool { return expr.VolatilityOf(e) == expr.Volatile })
	for _, c := range n.Children() {
		below, mayBelow, worthBelow := s.classify(c)
		fmt.Fprint(h, " ", below)
		may, worth = may && mayBelow, worth || worthBelow
	}
	switch x := n.(type) {
	case *plan.TableScan:
		fmt.Fprint(h, x.Table, x.Cols)
	case *plan.SourceScan:
		fmt.Fprint(h, x.Source, x.Cols)
		may, worth = !x.Upsert, true
	case *plan.DML:
		may = false
	default:
		worth = worth || StateTables(n) > 0
	}
	if w, ok := n.(*plan.Watermark); ok {
		// A watermark stays with its source in one actor.
		plan.Walk(w.Input, func(x plan.Node) bool { delete(s.class, x); return true })
	}
	shape = h.Sum64()
	if _, isExchange := n.(*plan.Exchange); !may || !worth || isExchange {
		return shape, may, worth
	}
	for _, k := range s.alike[shape] {
		if reflect.DeepEqual(s.members[k], n) {
			s.class[n] = k
			return shape, may, worth
		}
	}
	s.class[n] = len(s.members)
	s.alike[shape] = append(s.alike[shape], len(s.members))
	s.members = append(s.members, n)
	return shape, may, worth
}

func (s *sharer) tally(n plan.Node) {
	if k, ok := s.class[n]; ok {
		if s.uses[k]++; s.uses[k] > 1 {
			return
		}
	}
	for _, c := range n.Children() {
		s.tally(c)
	}
}

func (s *sharer) replace(n plan.Node) plan.Node {
	k, ok := s.class[n]
	shared := ok && s.uses[k] > 1
	if shared && s.done[k] != nil {
		return s.done[k]
	}
	ch := slices.Clone(n.Children())
	for i, c := range ch {
		ch[i] = s.replace(c)
	}
	if len(ch) > 0 {
		n = n.WithChildren(ch)
	}
	if !shared || !ownWork(n) {
		return n
	}
	s.ids++
	s.done[k] = &plan.Share{Input: n, ID: s.ids}
	return s.done[k]
}

// ownWork says that a part does more than pass on what shared parts below it yield.
func ownWork(n plan.Node) bool {
	switch n.(type) {
	case *plan.Share:
		return false
	case *plan.SourceScan:
		return true
	}
	return StateTables(n) > 0 || slices.ContainsFunc(n.Children(), ownWork)
}
