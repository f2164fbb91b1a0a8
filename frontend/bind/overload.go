package bind

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// candidate is one overload, reduced to what choosing needs. Its args are as many as the call's: optional
// ones left out, variadic ones repeated.
type candidate struct {
	args []sqltypes.Type
	// compatible: polymorphic arguments meet in a common type instead of being of one.
	compatible bool
	of         any // the library's entry
}

// expand fits an entry's signature to n arguments; false if it does not take so many.
func expand(args []sqltypes.Type, optional int, variadic bool, n int) ([]sqltypes.Type, bool) {
	if variadic {
		fixed := len(args) - 1
		if n < fixed || n == fixed && optional == 0 {
			return nil, false
		}
		out := make([]sqltypes.Type, n)
		copy(out, args[:fixed])
		for i := fixed; i < n; i++ {
			out[i] = args[fixed]
		}
		return out, true
	}
	if n > len(args) || n < len(args)-optional {
		return nil, false
	}
	return args[:n], true
}

// choose is PostgreSQL's overload resolution (10.2 and 10.3): nil and false when nothing fits, nil and true
// when several do. operator applies the rule for binary operators with one untyped operand.
func choose(cands []candidate, actual []sqltypes.Type, operator bool) (best *candidate, ambiguous bool) {
	for i := range actual {
		actual[i] = actual[i].Base()
	}
	if c := exactMatch(cands, actual); c != nil {
		return c, false
	}
	if operator && len(actual) == 2 && (actual[0].Kind == sqltypes.KUnknown) != (actual[1].Kind == sqltypes.KUnknown) {
		t := actual[0]
		if t.Kind == sqltypes.KUnknown {
			t = actual[1]
		}
		if c := exactMatch(cands, []sqltypes.Type{t, t}); c != nil {
			return c, false
		}
	}
	var fit []*candidate
	for i := range cands {
		if accepts(&cands[i], actual) {
			fit = append(fit, &cands[i])
		}
	}
	if len(fit) > 1 {
		fit = narrow(fit, actual)
	}
	switch len(fit) {
	case 0:
		return nil, false
	case 1:
		return fit[0], false
	}
	return nil, true
}

func exactMatch(cands []candidate, actual []sqltypes.Type) *candidate {
next:
	for i := range cands {
		for k, t := range cands[i].args {
			if t != actual[k] {
				continue next
			}
		}
		return &cands[i]
	}
	return nil
}

// accepts says that every argument can be coerced implicitly and that polymorphic arguments agree.
func accepts(c *candidate, actual []sqltypes.Type) bool {
	for k, t := range c.args {
		if !canCoerce(actual[k], t, implicit) {
			return false
		}
	}
	_, ok := polymorphic(c.args, actual, c.compatible)
	if ok && slices.ContainsFunc(c.args, func(t sqltypes.Type) bool { return t.Kind >= sqltypes.KAnyCompatible }) {
		_, ok = polymorphic(compatibles(c.args), actual, true)
	}
	return ok
}

// compatibles replaces anycompatible and its kin by anyelement and its kin, and what is polymorphic otherwise by any.
func compatibles(declared []sqltypes.Type) []sqltypes.Type {
	out := slices.Clone(declared)
	for i, t := range out {
		switch t.Kind {
		case sqltypes.KAnyCompatible:
			out[i] = sqltypes.AnyElement
		case sqltypes.KAnyCompatibleArray:
			out[i] = sqltypes.AnyArray
		case sqltypes.KAnyCompatibleNonArray:
			out[i] = sqltypes.AnyNonArray
		default:
			if isPolymorphic(t) {
				out[i] = sqltypes.Any
			}
		}
	}
	return out
}

// polymorphic finds the type that stands for anyelement in a call, KUnknown when there is none or all
// its arguments are untyped; ok is false when the arguments contradict each other. compatible: they need only
// have a common type.
func polymorphic(declared, actual []sqltypes.Type, compatible bool) (elem sqltypes.Type, ok bool) {
	var elems []typed
	for k, d := range declared {
		a := actual[k].Base()
		if a.Kind == sqltypes.KUnknown || !isPolymorphic(d) {
			continue
		}
		if d.Kind == sqltypes.KAnyArray {
			if !isArray(a) {
				return elem, false
			}
			a = elemType(a)
		}
		elems = append(elems, typed{&expr.Col{Ty: a}, -1})
		if elem.Kind == sqltypes.KUnknown {
			elem = a
		} else if elem != a && !compatible {
			return elem, false
		}
	}
	if elem.Kind == sqltypes.KUnknown {
		for _, d := range declared { // text, which stands for what is not known, is neither
			if d.Kind == sqltypes.KAnyEnum || d.Kind == sqltypes.KAnyMap {
				return elem, false
			}
		}
	}
	if !compatible || len(elems) == 0 {
		return elem, true
	}
	elem, err := commonTypeOf("", elems)
	if err != nil {
		return elem, false
	}
	for _, x := range elems {
		if !canCoerce(x.e.Type(), elem, implicit) {
			return elem, false
		}
	}
	return elem, true
}

// isPolymorphic says that a declared type stands for one that the arguments decide.
func isPolymorphic(t sqltypes.Type) bool {
	switch t.Kind {
	case sqltypes.KAnyArray, sqltypes.KAnyElement, sqltypes.KAnyNonArray, sqltypes.KAnyEnum, sqltypes.KAnyMap:
		return true
	}
	return false
}

// elemType is the type of an array's elements.
func elemType(array sqltypes.Type) sqltypes.Type {
	switch array.Kind {
	case sqltypes.KInt2Vector:
		return sqltypes.Int2
	case sqltypes.KOidVector:
		return sqltypes.Oid
	}
	return array.ElemType()
}

// narrow keeps the best candidates, step by step as func_select_candidate does.
func narrow(fit []*candidate, actual []sqltypes.Type) []*candidate {
	unknowns := 0
	for _, t := range actual {
		if t.Kind == sqltypes.KUnknown {
			unknowns++
		}
	}
	fit = mostMatches(fit, func(c *candidate, k int) bool {
		return actual[k].Kind != sqltypes.KUnknown && c.args[k] == actual[k]
	})
	if len(fit) == 1 {
		return fit
	}
	fit = mostMatches(fit, func(c *candidate, k int) bool {
		t := c.args[k]
		return actual[k].Kind != sqltypes.KUnknown &&
			(t == actual[k] || t.Category() == actual[k].Category() && t.Kind.Info().Preferred)
	})
	if len(fit) == 1 || unknowns == 0 {
		return fit
	}
	if kept := byUnknownCategory(fit, actual); kept != nil {
		fit = kept
	}
	if len(fit) == 1 {
		return fit
	}
	return bySameType(fit, actual)
}

// mostMatches keeps the candidates with the highest number of arguments for which hit holds.
func mostMatches(fit []*candidate, hit func(*candidate, int) bool) []*candidate {
	best := -1
	var out []*candidate
	for _, c := range fit {
		n := 0
		for k := range c.args {
			if hit(c, k) {
				n++
			}
		}
		if n > best {
			best, out = n, out[:0:0]
		}
		if n == best {
			out = append(out, c)
		}
	}
	return out
}

// byUnknownCategory assumes, for each untyped argument, the string category if a candidate takes one there, else
// the one category that all candidates take; nil when that decides nothing.
func byUnknownCategory(fit []*candidate, actual []sqltypes.Type) []*candidate {
	out := fit
	for k := range actual {
		if actual[k].Kind != sqltypes.KUnknown {
			continue
		}
		cat, preferred := fit[0].args[k].Category(), false
		conflict := false
		for _, c := range fit {
			t := c.args[k]
			switch {
			case t.Category() == cat:
				preferred = preferred || t.Kind.Info().Preferred
			case t.Category() == sqltypes.CatString:
				cat, preferred, conflict = sqltypes.CatString, t.Kind.Info().Preferred, false
			case cat != sqltypes.CatString:
				conflict = true
			}
		}
		if conflict {
			return nil
		}
		var kept []*candidate
		for _, c := range out {
			t := c.args[k]
			if t.Category() == cat && (!preferred || t.Kind.Info().Preferred) {
				kept = append(kept, c)
			}
		}
		if out = kept; len(out) == 0 {
			return nil
		}
	}
	return out
}

// bySameType assumes that untyped arguments have the type of the others, when those all have one type.
func bySameType(fit []*candidate, actual []sqltypes.Type) []*candidate {
	known := sqltypes.Unknown
	for _, t := range actual {
		switch {
		case t.Kind == sqltypes.KUnknown:
		case known.Kind == sqltypes.KUnknown:
			known = t
		case known != t:
			return fit
		}
	}
	if known.Kind == sqltypes.KUnknown {
		return fit
	}
	same := make([]sqltypes.Type, len(actual))
	for k := range same {
		same[k] = known
	}
	var out []*candidate
	for _, c := range fit {
		if accepts(c, same) {
			out = append(out, c)
		}
	}
	if len(out) == 1 {
		return out
	}
	return fit
}

// argList prints argument types as error messages do.
func argList(ts []sqltypes.Type) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.Base().String()
	}
	return strings.Join(names, ", ")
}
