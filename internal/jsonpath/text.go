package jsonpath

import (
	"strconv"

	"github.com/millrace/millrace/internal/jsonb"
)

// String prints the path as PostgreSQL does, which is not always a path of the same meaning: it leaves out the
// parentheses of an operation that has a method behind it.
func (p *Path) String() string {
	var w writer
	if p.Strict {
		w.add("strict ")
	}
	w.node(p.root, false, true)
	return string(w.out)
}

type writer struct{ out []byte }

func (w *writer) add(s string) { w.out = append(w.out, s...) }

func (w *writer) quoted(s string) { w.out = jsonb.AppendQuoted(w.out, s) }

func priority(k kind) int {
	switch k {
	case kOr:
		return 0
	case kAnd:
		return 1
	case kEqual, kNotEqual, kLess, kGreater, kLessEqual, kGreaterEqual, kStartsWith:
		return 2
	case kAdd, kSub:
		return 3
	case kMul, kDiv, kMod:
		return 4
	case kPlus, kMinus:
		return 5
	}
	return 6
}

// operand prints an operand of n.
func (w *writer) operand(n, arg *node) { w.node(arg, false, priority(arg.kind) <= priority(n.kind)) }

// node prints n and what follows it; key says that n is a step, brackets that an operation needs parentheses.
func (w *writer) node(n *node, key, brackets bool) {
	switch n.kind {
	case kAnd, kOr, kEqual, kNotEqual, kLess, kGreater, kLessEqual, kGreaterEqual, kStartsWith, kAdd, kSub, kMul, kDiv, kMod:
		w.open(brackets)
		w.operand(n, n.left)
		w.add(" " + names[n.kind] + " ")
		w.operand(n, n.right)
		w.close(brackets)
	case kPlus, kMinus:
		w.open(brackets)
		w.add(names[n.kind])
		w.operand(n, n.left)
		w.close(brackets)
	case kLikeRegex:
		w.open(brackets)
		w.operand(n, n.left)
		w.add(" like_regex ")
		w.quoted(n.text)
		if n.flags != "" {
			w.add(` flag "` + n.flags + `"`)
		}
		w.close(brackets)
	case kNot:
		w.around("!(", n.left, ")")
	case kIsUnknown:
		w.around("(", n.left, ") is unknown")
	case kExists:
		w.around("exists (", n.left, ")")
	case kFilter:
		w.around("?(", n.left, ")")
	case kIndex:
		w.index(n)
	default:
		w.leaf(n, key)
	}
	if n.next != nil {
		w.node(n.next, true, true)
	}
}

func (w *writer) open(brackets bool) {
	if brackets {
		w.add("(")
	}
}

func (w *writer) close(brackets bool) {
	if brackets {
		w.add(")")
	}
}

func (w *writer) around(before string, n *node, after string) {
	w.add(before)
	w.node(n, false, false)
	w.add(after)
}

func (w *writer) index(n *node) {
	w.add("[")
	for i, s := range n.subs {
		if i > 0 {
			w.add(",")
		}
		w.node(s.from, false, false)
		if s.to != nil {
			w.add(" to ")
			w.node(s.to, false, false)
		}
	}
	w.add("]")
}

func (w *writer) leaf(n *node, key bool) {
	switch n.kind {
	case kNull:
		w.add("null")
	case kString:
		w.quoted(n.text)
	case kBool:
		w.add(strconv.FormatBool(n.yes))
	case kNumber:
		w.open(n.next != nil)
		w.out = n.num.AppendText(w.out)
		w.close(n.next != nil)
	case kVariable:
		w.add("$")
		w.quoted(n.text)
	case kRoot:
		w.add("$")
	case kCurrent:
		w.add("@")
	case kLast:
		w.add("last")
	case kKey:
		w.dot(key)
		w.quoted(n.text)
	case kAnyKey:
		w.dot(key)
		w.add("*")
	case kAnyArray:
		w.add("[*]")
	case kAnyLevel:
		w.dot(key)
		w.levels(n)
	case kDatetime:
		w.add(".datetime(")
		if n.left != nil {
			w.node(n.left, false, false)
		}
		w.add(")")
	default:
		w.add("." + names[n.kind] + "()")
	}
}

func (w *writer) dot(key bool) {
	if key {
		w.add(".")
	}
}

func (w *writer) levels(n *node) {
	level := func(v uint32) string {
		if v == anyLevel {
			return "last"
		}
		return strconv.FormatUint(uint64(v), 10)
	}
	switch {
	case n.first == 0 && n.last == anyLevel:
		w.add("**")
	case n.first == n.last:
		w.add("**{" + level(n.first) + "}")
	default:
		w.add("**{" + level(n.first) + " to " + level(n.last) + "}")
	}
}
