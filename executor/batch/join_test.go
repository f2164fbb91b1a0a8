package batch

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// TestJoins compares every kind of join, on different keys and conditions, with nested loops.
func TestJoins(t *testing.T) {
	conds := map[string]expr.Expr{
		"":      nil,
		"or":    &expr.BoolOp{Or: true, Args: []expr.Expr{col(3), col(9)}},
		"right": col(9),
		"left":  expr.And([]expr.Expr{col(3), &expr.IsNull{Arg: col(7), Negate: true}}),
		"false": &expr.Const{Ty: col(3).Ty, Val: false},
	}
	keys := []struct {
		left, right []int
		safe        []bool
	}{
		{},
		{left: []int{0}, right: []int{0}},
		{left: []int{0}, right: []int{0}, safe: []bool{true}},
		{left: []int{1}, right: []int{1}},
		{left: []int{2, 0}, right: []int{2, 5}},
		{left: []int{4, 0}, right: []int{4, 0}, safe: []bool{true, false}},
		{left: []int{3, 4}, right: []int{3, 4}, safe: []bool{true, true}},
	}
	sizes := [][2]int{{60, 40}, {0, 30}, {30, 0}, {20, 200}, {1500, 3}}
	for i, size := range sizes {
		for k, key := range keys {
			for name, cond := range conds {
				for kind := plan.Inner; kind <= plan.NullAnti; kind++ {
					if cond == nil && name != "" {
						continue
					}
					t.Run(fmt.Sprintf("%d/%d/%s/%d", i, k, name, kind), func(t *testing.T) {
						w := newWorld(t, uint64(i), size[0], size[1])
						n := &plan.Join{Kind: kind, Left: w.scan(1), Right: w.scan(2), LeftKeys: key.left, RightKeys: key.right,
							NullSafe: key.safe, Cond: cond}
						w.same(n, refJoin(n, w.rowsOf(1), w.rowsOf(2), name), false)
						w.share()
						w.same(n, refJoin(n, w.rowsOf(1), w.rowsOf(2), name), false)
						for _, w.leftFirst = range []int{0, 30} { // the right side is large: the left one is read before it
							w.rows = largeRight
							w.same(n, refJoin(n, w.rowsOf(1), w.rowsOf(2), name), false)
						}
					})
				}
			}
		}
	}
}

// refCond evaluates the conditions of TestJoins.
func refCond(name string, l, r row) bool {
	switch name {
	case "or":
		return l[3] == true || r[3] == true
	case "right":
		return r[3] == true
	case "left":
		return l[3] == true && r[1] != nil
	case "false":
		return false
	}
	return true
}

// refKeys compares the keys of two rows: 1 true, 0 false, -1 unknown.
func refKeys(n *plan.Join, l, r row) int {
	out := 1
	for i := range n.LeftKeys {
		a, b := l[n.LeftKeys[i]], r[n.RightKeys[i]]
		switch {
		case n.NullSafe != nil && n.NullSafe[i]:
			if !equalDatums(a, b) {
				return 0
			}
		case a == nil || b == nil:
			out = -1
		case !equalDatums(a, b):
			return 0
		}
	}
	return out
}

func refJoin(n *plan.Join, left, right []row, cond string) (out []row) {
	pair := func(l, r row) {
		if l == nil {
			l = make(row, len(testTypes))
		}
		if r == nil {
			r = make(row, len(testTypes))
		}
		out = append(out, append(append(row{}, l...), r...))
	}
	rightHit := make([]bool, len(right))
	for _, l := range left {
		hit := false
		for i, r := range right {
			k := refKeys(n, l, r)
			if !(k == 1 || k == -1 && n.Kind == plan.NullAnti) || !refCond(cond, l, r) {
				continue
			}
			hit, rightHit[i] = true, true
			if n.Kind < plan.Semi {
				pair(l, r)
			}
		}
		switch {
		case n.Kind == plan.Semi && hit, (n.Kind == plan.Anti || n.Kind == plan.NullAnti) && !hit:
			out = append(out, l)
		case (n.Kind == plan.Left || n.Kind == plan.Full) && !hit:
			pair(l, nil)
		}
	}
	for i, r := range right {
		if (n.Kind == plan.Right || n.Kind == plan.Full) && !rightHit[i] {
			pair(nil, r)
		}
	}
	return out
}

// TestJoinLarge has more candidates for a row than a batch holds.
func TestJoinLarge(t *testing.T) {
	w := newWorld(t, 3, 30, 4000)
	for kind := plan.Inner; kind <= plan.NullAnti; kind++ {
		n := &plan.Join{Kind: kind, Left: w.scan(1), Right: w.scan(2), LeftKeys: []int{4}, RightKeys: []int{4},
			Cond: &expr.BoolOp{Args: []expr.Expr{col(9), &expr.IsNull{Arg: col(6)}}}}
		if kind >= plan.Semi {
			n.Cond = &expr.InList{Arg: col(11), Vals: row{int64(3999)}}
		}
		rows, err := w.run(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(rows); got != refCount(w, n) {
			t.Errorf("kind %d: %d rows, want %d", kind, got, refCount(w, n))
		}
	}
}

// refCount counts the rows of TestJoinLarge's joins.
func refCount(w *world, n *plan.Join) int {
	match := func(l, r row) bool {
		k := refKeys(n, l, r)
		if n.Kind >= plan.Semi {
			return r[5] == int64(3999) && (k == 1 || k == -1 && n.Kind == plan.NullAnti)
		}
		return k == 1 && r[3] == true && r[0] == nil
	}
	count := 0
	hit := map[int]bool{}
	for _, l := range w.rowsOf(1) {
		any := 0
		for i, r := range w.rowsOf(2) {
			if match(l, r) {
				any++
				hit[i] = true
			}
		}
		switch {
		case n.Kind == plan.Semi:
			count += min(any, 1)
		case n.Kind >= plan.Anti:
			count += 1 - min(any, 1)
		case any == 0 && (n.Kind == plan.Left || n.Kind == plan.Full):
			count++
		default:
			count += any
		}
	}
	if n.Kind == plan.Right || n.Kind == plan.Full {
		count += len(w.rowsOf(2)) - len(hit)
	}
	return count
}
