// Package jsonpath is SQL/JSON path as PostgreSQL has it: the type jsonpath and its evaluation over jsonb.
//
// The idea: Parse makes a tree of steps, each pointing to the one after it. An evaluation walks the steps depth first and
// stops at the first result when only existence was asked for. A failure is either an answer ("unknown" inside a filter, an
// empty result when the caller is silent) or an error, and the walk carries which of the two holds.
//
// The value of the SQL type is the text that was given; its printed form is String, made from the tree. A Path is
// immutable apart from its compiled patterns, and belongs to one goroutine at a time.
//
// It knows nothing of SQL functions (internal/expr calls it). Start at Parse and Path.Query.
package jsonpath

import (
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/regex"
)

// Path is a parsed path.
type Path struct {
	Strict bool
	root   *node
}

// kind says what a node of the tree does.
type kind uint8

const (
	kNull kind = iota
	kString
	kNumber
	kBool
	kVariable
	kRoot
	kCurrent
	kLast

	kKey
	kAnyKey
	kAnyArray
	kIndex
	kAnyLevel
	kFilter
	kType
	kSize
	kAbs
	kFloor
	kCeiling
	kDouble
	kDatetime
	kKeyValue

	kPlus
	kMinus
	kAdd
	kSub
	kMul
	kDiv
	kMod

	// Predicates from here on.
	kAnd
	kOr
	kNot
	kIsUnknown
	kEqual
	kNotEqual
	kLess
	kGreater
	kLessEqual
	kGreaterEqual
	kExists
	kStartsWith
	kLikeRegex
)

func (k kind) predicate() bool { return k >= kAnd }

// node is one step or operator.
type node struct {
	kind        kind
	next        *node // the step after it
	left, right *node // operands; left alone for unary ones, filters and arguments
	text        string
	num         numeric.Dec
	yes         bool
	subs        []subscript
	first, last uint32 // levels of **
	flags       string // of like_regex, in PostgreSQL's order
	re          *regex.Regexp
}

// subscript is one entry between brackets; to is nil for a single index.
type subscript struct{ from, to *node }

// anyLevel is the level of "last".
const anyLevel = 1<<32 - 1

// methods are the item methods without arguments.
var methods = map[string]kind{"type": kType, "size": kSize, "abs": kAbs, "floor": kFloor, "ceiling": kCeiling,
	"double": kDouble, "keyvalue": kKeyValue}

// names of operators and methods, as errors and printed paths have them.
var names = map[kind]string{kPlus: "+", kMinus: "-", kAdd: "+", kSub: "-", kMul: "*", kDiv: "/", kMod: "%",
	kAnd: "&&", kOr: "||", kEqual: "==", kNotEqual: "!=", kLess: "<", kGreater: ">", kLessEqual: "<=", kGreaterEqual: ">=",
	kStartsWith: "starts with", kType: "type", kSize: "size", kAbs: "abs", kFloor: "floor", kCeiling: "ceiling",
	kDouble: "double", kDatetime: "datetime", kKeyValue: "keyvalue"}
