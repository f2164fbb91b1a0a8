package parser

import (
	"strconv"
	"strings"
)

// expr writes an expression where any operator may stand.
func (f *formatter) expr(e Expr) { f.operand(e, precLowest) }

func (f *formatter) exprs(list []Expr) {
	f.commas(len(list), func(i int) { f.expr(list[i]) })
}

// operand writes e, in parentheses if its operator binds less than least.
func (f *formatter) operand(e Expr, least int) {
	if precOf(e) < least {
		f.parens(e)
		return
	}
	f.bare(e)
}

func (f *formatter) parens(e Expr) {
	f.add("(")
	f.bare(e)
	f.add(")")
}

// leftOperand writes the left side of an operator that is not associative. A test that ends with a
// closed form (IS NULL, IN (…)) of the same precedence needs no parentheses.
func (f *formatter) leftOperand(e Expr, prec int) {
	switch e.(type) {
	case *IsTest, *In, *Quantified:
		f.operand(e, prec)
	default:
		f.operand(e, prec+1)
	}
}

// restricted writes an operand for a place where the grammar takes only a b_expr.
func (f *formatter) restricted(e Expr) {
	if isRestricted(e) {
		f.bare(e)
	} else {
		f.parens(e)
	}
}

// isRestricted says whether e reads back as a b_expr without parentheses around it.
func isRestricted(e Expr) bool {
	for {
		switch x := e.(type) {
		case *Cast:
			e = x.X
		case *Unary:
			e = x.X
		case *Binary:
			if !isRestricted(x.R) {
				return false
			}
			e = x.L
		default:
			return precOf(e) > precCast && !isDefault(e)
		}
	}
}

func isDefault(e Expr) bool {
	_, ok := e.(*DefaultExpr)
	return ok
}

// precPrimary is the precedence of what needs no parentheses anywhere.
const precPrimary = precCast + 1

// precOf returns the precedence of an expression's outermost operator.
func precOf(e Expr) int {
	switch e := e.(type) {
	case *BoolOp:
		if e.Kind == Or {
			return precOr
		}
		return precAnd
	case *Not:
		return precNot
	case *IsTest, *IsDistinct:
		return precIs
	case *Between, *In, *Like:
		return precLike
	case *Binary:
		return opPrec(e.Op, e.Schema)
	case *Quantified:
		switch e.Op {
		case "~~", "!~~", "~~*", "!~~*":
			return precOp
		}
		return opPrec(e.Op, e.Schema)
	case *Unary:
		if e.Schema == nil && binaryPrec(e.Op) == precAdd {
			return precUnary
		}
		return precOp
	case *AtTimeZone:
		return precAt
	case *Collate:
		return precCollate
	case *Cast:
		return precCast
	}
	return precPrimary
}

// opPrec is the precedence of an infix operator; OPERATOR(…) has the lowest of them.
func opPrec(op string, schema []string) int {
	if schema != nil {
		return precOp
	}
	return binaryPrec(op)
}

// bare writes e without parentheses around it.
func (f *formatter) bare(e Expr) {
	switch e := e.(type) {
	case *BoolOp, *Not, *IsTest, *IsDistinct, *Between, *In, *Like:
		f.predicate(e)
	case *Binary, *Unary, *Quantified, *AtTimeZone, *Collate, *Cast:
		f.operation(e)
	case *FuncCall:
		f.call(e)
	default:
		f.primary(e)
	}
}

func (f *formatter) predicate(e Expr) {
	switch e := e.(type) {
	case *BoolOp:
		f.boolOp(e)
	case *Not:
		f.add("NOT ")
		f.operand(e.X, precNot)
	case *IsTest:
		f.isTest(e)
	case *IsDistinct:
		f.operand(e.L, precIs+1)
		f.add(" IS ", not(e.Not), "DISTINCT FROM ")
		f.operand(e.R, precIs+1)
	case *Between:
		f.operand(e.X, precLike+1)
		f.add(" ", not(e.Not), "BETWEEN ")
		f.addIf(e.Symmetric, "SYMMETRIC ")
		f.restricted(e.Lo)
		f.add(" AND ")
		f.operand(e.Hi, precLike+1)
	case *In:
		f.leftOperand(e.X, precLike)
		f.add(" ", not(e.Not), "IN (")
		f.queryOr(e.Query, e.List)
		f.add(")")
	case *Like:
		f.like(e)
	}
}

func not(b bool) string {
	if b {
		return "NOT "
	}
	return ""
}

// queryOr writes the query or, if it is nil, the list.
func (f *formatter) queryOr(q *Query, list []Expr) {
	if q != nil {
		f.query(q)
		return
	}
	f.exprs(list)
}

func (f *formatter) boolOp(e *BoolOp) {
	word, prec := " AND ", precAnd
	if e.Kind == Or {
		word, prec = " OR ", precOr
	}
	for i, arg := range e.Args {
		f.addIf(i > 0, word)
		f.operand(arg, prec+1)
	}
}

var testNames = map[TestKind]string{
	IsNull: "NULL", IsTrue: "TRUE", IsFalse: "FALSE", IsUnknown: "UNKNOWN", IsDocument: "DOCUMENT", IsJSON: "JSON",
}

func (f *formatter) isTest(e *IsTest) {
	f.leftOperand(e.X, precIs)
	f.add(" IS ", not(e.Not))
	if e.Kind == IsNormalized {
		f.addIf(e.Detail != "", e.Detail+" ")
		f.add("NORMALIZED")
		return
	}
	f.add(testNames[e.Kind])
	f.addIf(e.Detail != "", " "+e.Detail)
	f.addIf(e.UniqueKeys, " WITH UNIQUE KEYS")
}

var likeNames = map[LikeKind]string{LikeOp: "LIKE ", ILikeOp: "ILIKE ", SimilarTo: "SIMILAR TO "}

func (f *formatter) like(e *Like) {
	f.operand(e.X, precLike+1)
	f.add(" ", not(e.Not), likeNames[e.Kind])
	f.operand(e.Pattern, precLike+1)
	if e.Escape != nil {
		f.add(" ESCAPE ")
		f.operand(e.Escape, precLike+1)
	}
}

func (f *formatter) operation(e Expr) {
	switch e := e.(type) {
	case *Binary:
		f.binary(e)
	case *Unary:
		f.unary(e)
	case *Quantified:
		f.quantified(e)
	case *AtTimeZone:
		f.operand(e.X, precAt)
		if e.Zone == nil {
			f.add(" AT LOCAL")
			return
		}
		f.add(" AT TIME ZONE ")
		f.operand(e.Zone, precAt+1)
	case *Collate:
		f.operand(e.X, precCollate)
		f.collation(e.Collation)
	case *Cast:
		f.operand(e.X, precCast)
		f.add("::")
		f.typeName(e.Type)
	}
}

// binary writes a chain of left-associative operators without recursing into its left side.
func (f *formatter) binary(e *Binary) {
	chain := []*Binary{e}
	for {
		l, ok := chain[len(chain)-1].L.(*Binary)
		prec := precOf(chain[len(chain)-1])
		if !ok || prec == precCompare || precOf(l) < prec {
			break
		}
		chain = append(chain, l)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		b := chain[i]
		prec := precOf(b)
		if i == len(chain)-1 {
			f.binaryLeft(b.L, prec)
		}
		f.add(" ")
		f.operator(b.Op, b.Schema)
		f.add(" ")
		f.operand(b.R, prec+1)
	}
}

func (f *formatter) binaryLeft(e Expr, prec int) {
	if prec == precCompare {
		f.leftOperand(e, prec)
		return
	}
	f.operand(e, prec)
}

func (f *formatter) operator(op string, schema []string) {
	if schema == nil {
		f.add(op)
		return
	}
	f.add("OPERATOR(")
	f.parts(schema)
	f.add(".", op, ")")
}

// unary writes a prefix operator. Two operator characters must not meet: - -1 is not --1.
func (f *formatter) unary(e *Unary) {
	if prec := binaryPrec(e.Op); e.Schema == nil && prec != precAdd && prec != precOp {
		f.add("OPERATOR(", e.Op, ")")
	} else {
		f.operator(e.Op, e.Schema)
	}
	_, twice := e.X.(*Unary)
	f.addIf(twice || precOf(e) != precUnary, " ")
	if twice && precOf(e) == precUnary && precOf(e.X) == precUnary {
		f.bare(e.X)
		return
	}
	f.operand(e.X, precOf(e)+1)
}

func (f *formatter) quantified(e *Quantified) {
	f.binaryLeft(e.X, precOf(e))
	f.add(" ")
	f.operator(e.Op, e.Schema)
	if e.All {
		f.add(" ALL (")
	} else {
		f.add(" ANY (")
	}
	f.queryOr(e.Query, []Expr{e.Array})
	f.add(")")
}

func (f *formatter) primary(e Expr) {
	switch e := e.(type) {
	case *ColumnRef:
		f.parts(e.Parts)
	case *Star:
		f.star(e)
	case *Param:
		f.add("$", strconv.Itoa(e.N))
	case *Subscript:
		f.subscript(e)
	case *FieldSelect:
		f.indirectionBase(e.X)
		f.add(".")
		f.ident(e.Field)
	case *Case:
		f.caseExpr(e)
	case *MapLit:
		f.add("MAP {")
		f.commas(len(e.Keys), func(i int) {
			f.expr(e.Keys[i])
			f.add(": ")
			f.expr(e.Values[i])
		})
		f.add("}")
	case *ArrayLit:
		f.add("ARRAY")
		f.arrayElems(e)
	case *Row:
		f.row(e)
	case *Subquery:
		f.add(subqueryWords[e.Kind], "(")
		f.query(e.Query)
		f.add(")")
	case *SQLValue:
		f.add(e.Name)
		f.addIf(e.Precision >= 0, "("+strconv.Itoa(e.Precision)+")")
	case *SecretRef:
		f.add("SECRET ")
		f.name(e.Name)
		f.addIf(e.AsFile, " AS FILE")
	default:
		f.literal(e)
	}
}

var subqueryWords = map[SubqueryKind]string{Scalar: "", Exists: "EXISTS ", ArrayOf: "ARRAY"}

func (f *formatter) literal(e Expr) {
	switch e := e.(type) {
	case *NumberLit:
		f.add(e.Text)
	case *StringLit:
		f.string(e.Value)
	case *BoolLit:
		f.add(strings.ToUpper(strconv.FormatBool(e.Value)))
	case *NullLit:
		f.add("NULL")
	case *DefaultExpr:
		f.add("DEFAULT")
	case *BitLit:
		prefix := "B"
		if e.Hex {
			prefix = "X"
		}
		f.add(prefix, "'", e.Digits, "'")
	}
}

func (f *formatter) star(e *Star) {
	switch {
	case e.X != nil:
		f.indirectionBase(e.X)
		f.add(".")
	case e.Qualifier != nil:
		f.parts(e.Qualifier)
		f.add(".")
	}
	f.add("*")
	if e.Except != nil {
		f.add(" EXCEPT (")
		f.exprs(e.Except)
		f.add(")")
	}
}

// indirectionBase writes what a .field or .* follows.
func (f *formatter) indirectionBase(e Expr) {
	switch e.(type) {
	case *Subscript, *FieldSelect, *Param:
		f.bare(e)
	default:
		f.parens(e)
	}
}

func (f *formatter) subscript(e *Subscript) {
	switch e.X.(type) {
	case *ColumnRef, *FieldSelect, *Param:
		f.bare(e.X)
	default:
		f.parens(e.X)
	}
	for _, item := range e.Items {
		f.subscriptItem(item)
	}
}

func (f *formatter) subscriptItem(item SubscriptItem) {
	f.add("[")
	if item.Lower != nil {
		f.expr(item.Lower)
	}
	f.addIf(item.Slice, " : ")
	if item.Upper != nil {
		f.expr(item.Upper)
	}
	f.add("]")
}

func (f *formatter) caseExpr(e *Case) {
	f.add("CASE")
	if e.Operand != nil {
		f.add(" ")
		f.expr(e.Operand)
	}
	for _, w := range e.Whens {
		f.add(" WHEN ")
		f.expr(w.Cond)
		f.add(" THEN ")
		f.expr(w.Result)
	}
	if e.Else != nil {
		f.add(" ELSE ")
		f.expr(e.Else)
	}
	f.add(" END")
}

// arrayElems writes […]; if all elements are arrays, they stand without ARRAY.
func (f *formatter) arrayElems(e *ArrayLit) {
	nested := len(e.Elems) > 0
	for _, x := range e.Elems {
		_, ok := x.(*ArrayLit)
		nested = nested && ok
	}
	f.add("[")
	f.commas(len(e.Elems), func(i int) {
		if nested {
			f.arrayElems(e.Elems[i].(*ArrayLit))
		} else {
			f.expr(e.Elems[i])
		}
	})
	f.add("]")
}

func (f *formatter) row(e *Row) {
	f.addIf(e.Explicit || len(e.Elems) < 2, "ROW")
	f.add("(")
	f.exprs(e.Elems)
	f.add(")")
}
