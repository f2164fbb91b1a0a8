package parser

import "strings"

// call writes a function call, in its special form where the plain one would not read back.
func (f *formatter) call(e *FuncCall) {
	if len(e.Name.Parts) == 1 && e.isPlain() && f.specialCall(e) {
		return
	}
	f.funcName(e.Name)
	f.add("(")
	f.callArgs(e)
	f.add(")")
	if e.WithinGroup != nil {
		f.add(" WITHIN GROUP (ORDER BY ")
		f.orderItems(e.WithinGroup)
		f.add(")")
	}
	if e.Filter != nil {
		f.add(" FILTER (WHERE ")
		f.expr(e.Filter)
		f.add(")")
	}
	f.addIf(e.IgnoreNulls && len(e.Args) == 0, " IGNORE NULLS")
	if e.Over != nil {
		f.add(" OVER ")
		f.windowSpec(e.Over)
	}
}

// isPlain says that the call is a name and unnamed arguments, and nothing else.
func (e *FuncCall) isPlain() bool {
	for _, a := range e.Args {
		if a.Name != "" {
			return false
		}
	}
	return !e.Star && !e.Distinct && !e.Variadic && !e.IgnoreNulls && e.OrderBy == nil &&
		e.PartitionBy == nil && e.WithinGroup == nil && e.Filter == nil && e.Over == nil
}

// funcName writes the name of a function. Words that only a function may have need no quotes; some
// that would begin something else do.
func (f *formatter) funcName(n Name) {
	if len(n.Parts) > 1 {
		f.name(n)
		return
	}
	switch name := n.Parts[0]; {
	case name == "operator" || name == "rollup" || name == "cube":
		f.add(`"`, name, `"`)
	case keywords[name].cat == catTypeFunc, strings.HasPrefix(name, "json") && plainIdent(name):
		f.add(name)
	default:
		f.ident(name)
	}
}

func (f *formatter) callArgs(e *FuncCall) {
	f.addIf(e.Star, "*")
	f.addIf(e.Distinct, "DISTINCT ")
	f.commas(len(e.Args), func(i int) {
		f.addIf(e.Variadic && i == len(e.Args)-1, "VARIADIC ")
		if a := e.Args[i]; a.Name != "" {
			f.ident(a.Name)
			f.add(" => ")
		}
		f.expr(e.Args[i].Value)
	})
	f.addIf(e.IgnoreNulls && len(e.Args) > 0, " IGNORE NULLS")
	if e.PartitionBy != nil {
		f.add(" PARTITION BY ")
		f.exprs(e.PartitionBy)
	}
	f.orderBy(e.OrderBy)
}

// specialCall writes the calls that have a syntax of their own; false if e is not one.
func (f *formatter) specialCall(e *FuncCall) bool {
	args := e.Args
	name := e.Name.Parts[0]
	switch {
	case name == "extract" && len(args) == 2 && isString(args[0].Value):
		f.infixCall(name, args[0].Value, " FROM ", args[1].Value)
	case name == "position" && len(args) == 2:
		f.add("position(")
		f.restricted(args[1].Value)
		f.add(" IN ")
		f.restricted(args[0].Value)
		f.add(")")
	case name == "substring" && e.Similar:
		f.add("substring(")
		f.expr(args[0].Value)
		f.add(" SIMILAR ")
		f.expr(args[1].Value)
		f.add(" ESCAPE ")
		f.expr(args[2].Value)
		f.add(")")
	case name == "normalize" && len(args) == 2 && isNormalForm(args[1].Value):
		f.add("normalize(")
		f.expr(args[0].Value)
		f.add(", ", args[1].Value.(*StringLit).Value, ")")
	case callsPlainly(name, len(args)):
		f.add(name, "(")
		f.callArgs(e)
		f.add(")")
	default:
		return false
	}
	return true
}

func (f *formatter) infixCall(name string, a Expr, word string, b Expr) {
	f.add(name, "(")
	f.expr(a)
	f.add(word)
	f.expr(b)
	f.add(")")
}

// callsPlainly says whether a special form also takes that number of plain arguments.
func callsPlainly(name string, n int) bool {
	switch name {
	case "coalesce", "greatest", "least", "grouping":
		return n > 0
	case "nullif":
		return n == 2
	case "substring", "overlay":
		return true
	case "normalize":
		return n == 1
	}
	return false
}

func isString(e Expr) bool {
	_, ok := e.(*StringLit)
	return ok
}

func isNormalForm(e Expr) bool {
	s, ok := e.(*StringLit)
	return ok && (s.Value == "NFC" || s.Value == "NFD" || s.Value == "NFKC" || s.Value == "NFKD")
}

// windowSpec writes what follows OVER, or AS in a WINDOW clause.
func (f *formatter) windowSpec(w *WindowSpec) {
	if w.Bare {
		f.ident(w.Ref)
		return
	}
	var parts []func()
	if w.Ref != "" {
		parts = append(parts, func() { f.windowRef(w.Ref) })
	}
	if w.PartitionBy != nil {
		parts = append(parts, func() {
			f.add("PARTITION BY ")
			f.exprs(w.PartitionBy)
		})
	}
	if w.OrderBy != nil {
		parts = append(parts, func() {
			f.add("ORDER BY ")
			f.orderItems(w.OrderBy)
		})
	}
	if w.Frame != nil {
		parts = append(parts, func() { f.frame(w.Frame) })
	}
	f.add("(")
	for i, part := range parts {
		f.addIf(i > 0, " ")
		part()
	}
	f.add(")")
}

// windowRef writes the name of a window where a keyword would begin a clause.
func (f *formatter) windowRef(name string) {
	switch name {
	case "partition", "range", "rows", "groups", "session":
		f.add(`"`, name, `"`)
	default:
		f.ident(name)
	}
}

var frameNames = map[FrameUnit]string{FrameRange: "RANGE ", FrameRows: "ROWS ", FrameGroups: "GROUPS "}

var excludeNames = map[FrameExclude]string{
	ExcludeNone: "", ExcludeCurrentRow: " EXCLUDE CURRENT ROW", ExcludeGroup: " EXCLUDE GROUP", ExcludeTies: " EXCLUDE TIES",
}

func (f *formatter) frame(w *Frame) {
	if w.Unit == FrameSession {
		f.add("SESSION WITH GAP ")
		f.expr(w.Gap)
		return
	}
	f.add(frameNames[w.Unit])
	f.addIf(w.Between, "BETWEEN ")
	f.frameBound(w.Start)
	if w.Between {
		f.add(" AND ")
		f.frameBound(w.End)
	}
	f.add(excludeNames[w.Exclude])
}

func (f *formatter) frameBound(b FrameBound) {
	switch b.Kind {
	case UnboundedPreceding:
		f.add("UNBOUNDED PRECEDING")
	case UnboundedFollowing:
		f.add("UNBOUNDED FOLLOWING")
	case CurrentRow:
		f.add("CURRENT ROW")
	default:
		// A column may be called unbounded.
		if _, ok := b.X.(*ColumnRef); ok {
			f.parens(b.X)
		} else {
			f.operand(b.X, precAnd+1)
		}
		if b.Kind == OffsetPreceding {
			f.add(" PRECEDING")
		} else {
			f.add(" FOLLOWING")
		}
	}
}
