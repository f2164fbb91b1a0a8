package expr

import (
	"sync"

	"github.com/millrace/millrace/internal/sqltypes"
)

// CastContext says where a cast may happen by itself.
type CastContext byte

// The contexts, each including the ones before it.
const (
	CastImplicit   CastContext = iota // anywhere in an expression
	CastAssignment                    // on the way into a column
	CastExplicit                      // when written
)

// castRule is a row of pg_cast.
type castRule struct {
	to      sqltypes.Kind
	context CastContext
	stable  bool // depends on settings
}

const (
	imp = CastImplicit
	asg = CastAssignment
	exp = CastExplicit
)

// castRules lists the casts between different types that are more than input and output of text.
// Source: PostgreSQL 15's pg_cast.
func castRules() map[sqltypes.Kind][]castRule {
	var regs []castRule
	for _, k := range sqltypes.RegKinds {
		regs = append(regs, castRule{k, imp, false})
	}
	reg := []castRule{{sqltypes.KInt4, asg, false}, {sqltypes.KInt8, asg, false}, {sqltypes.KOid, imp, false}}
	ints := func(own ...castRule) []castRule {
		own = append(own, castRule{sqltypes.KFloat4, imp, false}, castRule{sqltypes.KFloat8, imp, false},
			castRule{sqltypes.KNumeric, imp, false}, castRule{sqltypes.KOid, imp, false})
		return append(own, regs...)
	}
	rules := map[sqltypes.Kind][]castRule{
		sqltypes.KBool: {{sqltypes.KInt4, exp, false}, {sqltypes.KText, asg, false}, {sqltypes.KVarchar, asg, false}, {sqltypes.KBpchar, asg, false}},
		sqltypes.KInt2: ints(castRule{sqltypes.KInt4, imp, false}, castRule{sqltypes.KInt8, imp, false}),
		sqltypes.KInt4: ints(castRule{sqltypes.KInt2, asg, false}, castRule{sqltypes.KInt8, imp, false}, castRule{sqltypes.KBool, exp, false}, castRule{sqltypes.KChar, exp, false},
			castRule{sqltypes.KBit, exp, false}),
		sqltypes.KInt8: ints(castRule{sqltypes.KInt2, asg, false}, castRule{sqltypes.KInt4, asg, false}, castRule{sqltypes.KBit, exp, false}),
		sqltypes.KFloat4: {{sqltypes.KFloat8, imp, false}, {sqltypes.KInt2, asg, false}, {sqltypes.KInt4, asg, false},
			{sqltypes.KInt8, asg, false}, {sqltypes.KNumeric, asg, false}},
		sqltypes.KFloat8: {{sqltypes.KFloat4, asg, false}, {sqltypes.KInt2, asg, false}, {sqltypes.KInt4, asg, false},
			{sqltypes.KInt8, asg, false}, {sqltypes.KNumeric, asg, false}},
		sqltypes.KNumeric: {{sqltypes.KFloat4, imp, false}, {sqltypes.KFloat8, imp, false}, {sqltypes.KInt2, asg, false},
			{sqltypes.KInt4, asg, false}, {sqltypes.KInt8, asg, false}},
		sqltypes.KText:        {{sqltypes.KVarchar, imp, false}, {sqltypes.KBpchar, imp, false}, {sqltypes.KName, imp, false}, {sqltypes.KChar, asg, false}, {sqltypes.KRegclass, imp, true}},
		sqltypes.KVarchar:     {{sqltypes.KText, imp, false}, {sqltypes.KBpchar, imp, false}, {sqltypes.KName, imp, false}, {sqltypes.KChar, asg, false}, {sqltypes.KRegclass, imp, true}},
		sqltypes.KBpchar:      {{sqltypes.KText, imp, false}, {sqltypes.KVarchar, imp, false}, {sqltypes.KName, imp, false}, {sqltypes.KChar, asg, false}},
		sqltypes.KName:        {{sqltypes.KText, imp, false}, {sqltypes.KVarchar, asg, false}, {sqltypes.KBpchar, asg, false}},
		sqltypes.KChar:        {{sqltypes.KText, imp, false}, {sqltypes.KVarchar, asg, false}, {sqltypes.KBpchar, asg, false}, {sqltypes.KInt4, exp, false}},
		sqltypes.KDate:        {{sqltypes.KTimestamp, imp, false}, {sqltypes.KTimestamptz, imp, true}},
		sqltypes.KTime:        {{sqltypes.KInterval, imp, false}, {sqltypes.KTimetz, imp, true}},
		sqltypes.KTimetz:      {{sqltypes.KTime, asg, false}},
		sqltypes.KTimestamp:   {{sqltypes.KDate, asg, false}, {sqltypes.KTime, asg, false}, {sqltypes.KTimestamptz, imp, true}},
		sqltypes.KTimestamptz: {{sqltypes.KDate, asg, true}, {sqltypes.KTime, asg, true}, {sqltypes.KTimestamp, asg, true}, {sqltypes.KTimetz, asg, true}},
		sqltypes.KInterval:    {{sqltypes.KTime, asg, false}},
		sqltypes.KJSON:        {{sqltypes.KJSONB, asg, false}},
		sqltypes.KJSONB: {{sqltypes.KJSON, asg, false}, {sqltypes.KBool, exp, false}, {sqltypes.KNumeric, exp, false}, {sqltypes.KInt2, exp, false},
			{sqltypes.KInt4, exp, false}, {sqltypes.KInt8, exp, false}, {sqltypes.KFloat4, exp, false}, {sqltypes.KFloat8, exp, false}},
		sqltypes.KBit:    {{sqltypes.KVarbit, imp, false}, {sqltypes.KInt4, exp, false}, {sqltypes.KInt8, exp, false}},
		sqltypes.KVarbit: {{sqltypes.KBit, imp, false}},
		sqltypes.KOid:    append([]castRule{{sqltypes.KInt4, asg, false}, {sqltypes.KInt8, asg, false}}, regs...),
	}
	for _, k := range sqltypes.RegKinds {
		rules[k] = reg
	}
	for _, p := range regPairs {
		rules[p[0]] = append(reg[:len(reg):len(reg)], castRule{p[1], imp, false})
		rules[p[1]] = append(reg[:len(reg):len(reg)], castRule{p[0], imp, false})
	}
	return rules
}

// regPairs are names of the same things with and without arguments.
var regPairs = [][2]sqltypes.Kind{{sqltypes.KRegproc, sqltypes.KRegprocedure}, {sqltypes.KRegoper, sqltypes.KRegoperator}}

var castTable = sync.OnceValue(func() map[[2]sqltypes.Kind]castRule {
	m := map[[2]sqltypes.Kind]castRule{}
	for from, rules := range castRules() {
		for _, r := range rules {
			m[[2]sqltypes.Kind{from, r.to}] = r
		}
	}
	return m
})

// LookupCast says whether a value of type from can become one of type to, and in which contexts. Modifiers do not
// matter. Any type goes to a string type by its output function (on assignment) and comes from one by its input
// function (when written); an untyped literal becomes anything. A domain goes to and comes from all that its underlying type does.
func LookupCast(from, to sqltypes.Type) (CastContext, bool) {
	from, to = from.Underlying(), to.Underlying()
	switch {
	case to.IsPseudo() || from.IsPseudo():
		return 0, false
	case from.Kind == sqltypes.KUnknown:
		return CastImplicit, true
	case to.Kind == sqltypes.KUnknown:
		return 0, false
	case from.Kind == sqltypes.KVector && to.Kind == sqltypes.KArray, from.Kind == sqltypes.KArray && to.Kind == sqltypes.KVector:
		return vectorCast(from, to)
	case from.Kind == sqltypes.KMap && to.Kind == sqltypes.KMap:
		return lookupMapCast(from, to)
	case from.Kind == sqltypes.KArray && to.Kind == sqltypes.KArray:
		if from.Elem == to.Elem && from.Ext == to.Ext {
			return CastImplicit, true
		}
		return LookupCast(from.ElemType(), to.ElemType())
	case from.Kind == to.Kind && from.Kind == sqltypes.KRecord:
		return lookupRecordCast(from, to)
	case from.Kind == to.Kind && from.Kind == sqltypes.KEnum:
		return CastImplicit, from.Ext == to.Ext
	case from.Kind == to.Kind:
		return CastImplicit, true
	case isVector(from) && to.Kind == sqltypes.KArray && vectorElem(from) == to.Elem:
		return CastImplicit, true
	case isVector(from) && to.Kind == sqltypes.KArray:
		return LookupCast(sqltypes.Type{Kind: vectorElem(from)}, to.ElemType())
	}
	if r, ok := castTable()[[2]sqltypes.Kind{from.Kind, to.Kind}]; ok {
		return r.context, true
	}
	switch {
	case to.IsString():
		return CastAssignment, true
	case from.IsString():
		return CastExplicit, true
	}
	return 0, false
}

func isVector(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KInt2Vector || t.Kind == sqltypes.KOidVector
}

func vectorElem(t sqltypes.Type) sqltypes.Kind {
	if t.Kind == sqltypes.KInt2Vector {
		return sqltypes.KInt2
	}
	return sqltypes.KOid
}

// lookupMapCast casts keys and values; the context is the narrower of the two.
func lookupMapCast(from, to sqltypes.Type) (CastContext, bool) {
	fk, fv := from.KeyValue()
	tk, tv := to.KeyValue()
	k, ok := LookupCast(fk, tk)
	v, both := LookupCast(fv, tv)
	return max(k, v), ok && both
}

// lookupRecordCast casts field by field; the context is the narrowest of the fields'.
func lookupRecordCast(from, to sqltypes.Type) (CastContext, bool) {
	if !from.HasFields() || !to.HasFields() || from.Ext == to.Ext {
		return CastImplicit, true
	}
	if len(from.Fields()) != len(to.Fields()) || from.IsNamed() && to.IsNamed() {
		return 0, false
	}
	context := CastImplicit
	for i, f := range from.Fields() {
		c, ok := LookupCast(f.Type, to.Fields()[i].Type)
		if !ok {
			return 0, false
		}
		context = max(context, c)
	}
	return context, true
}

// castVolatility says whether a cast depends on settings. Reading and printing dates, times and intervals does.
func castVolatility(from, to sqltypes.Type) Volatility {
	from, to = from.Underlying(), to.Underlying()
	if from.Base() == to.Base() {
		return Immutable
	}
	if from.Kind == sqltypes.KArray && to.Kind == sqltypes.KArray {
		return castVolatility(from.ElemType(), to.ElemType())
	}
	if r, ok := castTable()[[2]sqltypes.Kind{from.Kind, to.Kind}]; ok {
		if r.stable {
			return Stable
		}
		return Immutable
	}
	other := from
	if from.IsString() || from.Kind == sqltypes.KUnknown {
		other = to
	}
	if textDependsOnSettings(other) {
		return Stable
	}
	return Immutable
}

func textDependsOnSettings(t sqltypes.Type) bool {
	if t.Kind.IsReg() {
		return true
	}
	switch t.Kind {
	case sqltypes.KDate, sqltypes.KTime, sqltypes.KTimetz, sqltypes.KTimestamp, sqltypes.KTimestamptz, sqltypes.KInterval,
		sqltypes.KRecord, sqltypes.KBytea, sqltypes.KEnum:
		return true
	case sqltypes.KArray:
		return textDependsOnSettings(t.ElemType())
	}
	return false
}
