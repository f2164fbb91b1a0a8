package parser

// The precedences of gram.y, lowest first. An operand is parsed with the least precedence that it may
// contain without parentheses.
const (
	precLowest = iota
	precOr
	precAnd
	precNot
	precIs      // IS, ISNULL, NOTNULL
	precCompare // < > = <= >= <>, not associative
	precLike    // BETWEEN, IN, LIKE, ILIKE, SIMILAR, not associative
	precOp      // every other operator
	precAdd
	precMul
	precPow
	precAt
	precCollate
	precUnary
	precCast
)

// noPrec is no precedence: nothing bars a non-associative operator.
const noPrec = -1

// expr parses an expression (gram.y: a_expr).
func (p *parser) expr() Expr { return p.operand(precLowest, false) }

// restrictedExpr parses gram.y's b_expr: no AND, OR, NOT, LIKE, IN, BETWEEN or IS NULL outside parentheses.
func (p *parser) restrictedExpr() Expr { return p.operand(precLowest, true) }

// exprList parses expr, expr, ….
func (p *parser) exprList() []Expr {
	list := []Expr{p.expr()}
	for p.takePunct(",") {
		list = append(list, p.expr())
	}
	return list
}

// open starts a construct whose height is measured on its own; closeHeight ends it, given what open returned.
func (p *parser) open() int {
	outer := p.peak
	p.peak = 0
	return outer
}

func (p *parser) closeHeight(outer int) { p.peak = max(outer, p.grow(p.peak)) }

// operand parses an expression whose operators all have at least precedence least.
func (p *parser) operand(least int, restricted bool) Expr {
	p.enter()
	outer := p.open()
	e := p.operators(p.prefix(restricted), least, restricted)
	p.closeHeight(outer)
	p.leave()
	return e
}

// prefix parses a prefix operator with its operand, or a primary.
func (p *parser) prefix(restricted bool) Expr {
	t := p.cur()
	switch {
	case t.kind == tokOp:
		return p.prefixOp(restricted)
	case t.kind != tokWord:
	case t.val == "not" && !restricted:
		p.advance()
		return &Not{Loc{t.pos}, p.operand(precNot, false)}
	case t.val == "default" && !restricted:
		p.advance()
		return &DefaultExpr{Loc{t.pos}}
	case t.val == "operator" && p.peek(1).isPunct("("):
		op := p.operatorRef()
		return &Unary{Loc{t.pos}, op.name, op.schema, p.operand(precOp+1, restricted)}
	}
	return p.primary()
}

func (p *parser) prefixOp(restricted bool) Expr {
	t := p.cur()
	least := precOp + 1
	switch binaryPrec(t.val) {
	case precAdd:
		least = precUnary + 1
	case precOp:
	default:
		p.fail()
	}
	p.advance()
	return &Unary{Loc{t.pos}, t.val, nil, p.operand(least, restricted)}
}

// binaryPrec returns the precedence of an operator symbol.
func binaryPrec(op string) int {
	switch op {
	case "<", ">", "=", "<=", ">=", "<>":
		return precCompare
	case "+", "-":
		return precAdd
	case "*", "/", "%":
		return precMul
	case "^":
		return precPow
	}
	return precOp
}

// operators extends left by the operators that follow and have at least precedence least.
func (p *parser) operators(left Expr, least int, restricted bool) Expr {
	// barred is the precedence of the non-associative operator that left ends with: a = b may not be
	// followed by another comparison.
	barred := noPrec
	for {
		op, ok := p.infix(restricted)
		if !ok || op.prec < least {
			return left
		}
		if op.prec == barred {
			p.fail()
		}
		left, barred = op.parse(p, left, op, restricted)
		if _, chain := left.(*BoolOp); !chain {
			p.peak = p.grow(p.peak)
		}
	}
}

// infixOp is an operator seen, but not consumed, after an operand.
type infixOp struct {
	prec int
	// parse consumes the operator and its right side and returns the new left side, and the precedence
	// that is barred after it.
	parse func(p *parser, left Expr, op infixOp, restricted bool) (Expr, int)
}

// infix looks for an infix or postfix operator at the current token.
func (p *parser) infix(restricted bool) (infixOp, bool) {
	t := p.cur()
	switch t.kind {
	case tokOp:
		return infixOp{binaryPrec(t.val), (*parser).binary}, true
	case tokPunct:
		if t.val == "::" {
			return infixOp{precCast, (*parser).castOp}, true
		}
	case tokWord:
		if t.cat == catNone {
			break
		}
		if restricted {
			return p.restrictedWordOp(t)
		}
		return p.wordOp(t)
	}
	return infixOp{}, false
}

func (p *parser) restrictedWordOp(t *token) (infixOp, bool) {
	switch t.val {
	case "is":
		return infixOp{precIs, (*parser).isOperator}, true
	case "operator":
		return infixOp{precOp, (*parser).binary}, p.peek(1).isPunct("(")
	}
	return infixOp{}, false
}

func (p *parser) wordOp(t *token) (infixOp, bool) {
	switch t.val {
	case "or":
		return infixOp{precOr, (*parser).boolOp}, true
	case "and":
		return infixOp{precAnd, (*parser).boolOp}, true
	case "is":
		return infixOp{precIs, (*parser).isOperator}, true
	case "isnull", "notnull":
		return infixOp{precIs, (*parser).nullTest}, true
	case "between":
		return infixOp{precLike, (*parser).between}, true
	case "in":
		return infixOp{precLike, (*parser).in}, true
	case "like", "ilike":
		return infixOp{precLike, (*parser).like}, true
	case "similar": // SUBSTRING (x SIMILAR p …) is no operator
		return infixOp{precLike, (*parser).like}, p.peek(1).isWord("to")
	case "not":
		return p.notOp()
	case "at":
		return infixOp{precAt, (*parser).atTimeZone}, p.isWords("at", "time", "zone") || p.isWords("at", "local")
	case "collate":
		return infixOp{precCollate, (*parser).collate}, true
	case "operator":
		return infixOp{precOp, (*parser).binary}, p.peek(1).isPunct("(")
	}
	return infixOp{}, false
}

// notOp looks for NOT BETWEEN, NOT IN and NOT LIKE.
func (p *parser) notOp() (infixOp, bool) {
	next := p.peek(1)
	if next.kind != tokWord {
		return infixOp{}, false
	}
	switch next.val {
	case "between":
		return infixOp{precLike, (*parser).between}, true
	case "in":
		return infixOp{precLike, (*parser).in}, true
	case "like", "ilike", "similar":
		return infixOp{precLike, (*parser).like}, true
	}
	return infixOp{}, false
}

// opRef is an operator by name.
type opRef struct {
	schema []string
	name   string
}

// operatorRef parses OPERATOR(schema.op).
func (p *parser) operatorRef() (op opRef) {
	p.expect("operator")
	p.parens(func() {
		for p.cur().kind != tokOp {
			op.schema = append(op.schema, p.colID().Name)
			p.expectPunct(".")
		}
		op.name = p.cur().val
		p.advance()
	})
	return op
}

// binary parses an infix operator symbol, or OPERATOR(…), and its right side.
func (p *parser) binary(left Expr, in infixOp, restricted bool) (Expr, int) {
	loc := p.loc()
	op := opRef{name: p.cur().val}
	if p.cur().kind == tokWord {
		op = p.operatorRef()
	} else {
		p.advance()
	}
	if !restricted && p.isAny("any", "some", "all") {
		return p.quantified(left, loc, op), noPrec
	}
	right := p.operand(in.prec+1, restricted)
	barred := noPrec
	if in.prec == precCompare {
		barred = precCompare
	}
	return &Binary{loc, op.name, op.schema, left, right}, barred
}

// quantified parses ANY (…), SOME (…) or ALL (…) after an operator.
func (p *parser) quantified(left Expr, loc Loc, op opRef) Expr {
	q := &Quantified{Loc: loc, X: left, Op: op.name, Schema: op.schema, All: p.is("all")}
	p.advance()
	if !p.parensLeadToQuery() {
		p.parens(func() { q.Array = p.expr() })
		return q
	}
	query, list := p.queryOrExprs()
	if len(list) > 1 {
		p.fail()
	}
	if q.Query = query; query == nil {
		q.Array = list[0]
	}
	return q
}

func (p *parser) castOp(left Expr, _ infixOp, _ bool) (Expr, int) {
	loc := p.loc()
	p.advance()
	return &Cast{loc, left, p.typeName()}, noPrec
}

// boolOp parses AND or OR and its right side; a chain becomes one node.
func (p *parser) boolOp(left Expr, in infixOp, _ bool) (Expr, int) {
	kind := And
	if in.prec == precOr {
		kind = Or
	}
	loc := p.loc()
	p.advance()
	right := p.operand(in.prec+1, false)
	if b, ok := left.(*BoolOp); ok && b.Kind == kind {
		b.Args = append(b.Args, right)
		return b, noPrec
	}
	p.peak = p.grow(p.peak)
	return &BoolOp{loc, kind, []Expr{left, right}}, noPrec
}

func (p *parser) nullTest(left Expr, _ infixOp, _ bool) (Expr, int) {
	t := p.cur()
	p.advance()
	return &IsTest{Loc: Loc{t.pos}, X: left, Kind: IsNull, Not: t.val == "notnull"}, noPrec
}

var testWords = map[string]TestKind{
	"null": IsNull, "true": IsTrue, "false": IsFalse, "unknown": IsUnknown, "document": IsDocument,
	"normalized": IsNormalized,
}

// isOperator parses IS [NOT] …. As a restricted operand only DISTINCT FROM and DOCUMENT may follow.
func (p *parser) isOperator(left Expr, _ infixOp, restricted bool) (Expr, int) {
	loc := p.loc()
	p.advance()
	not := p.take("not")
	if p.take("distinct") {
		p.expect("from")
		return &IsDistinct{loc, left, p.operand(precIs+1, restricted), not}, precIs
	}
	t := p.cur()
	kind, ok := testWords[t.val]
	if t.kind != tokWord || restricted && t.val != "document" {
		p.fail()
	}
	test := &IsTest{Loc: loc, X: left, Kind: kind, Not: not}
	switch {
	case ok:
		p.advance()
	case t.val == "json":
		p.isJSON(test)
	default:
		if test.Detail = p.normalForm(); test.Detail == "" {
			p.fail()
		}
		test.Kind = IsNormalized
		p.expect("normalized")
	}
	return test, noPrec
}

// normalForm consumes NFC, NFD, NFKC or NFKD and returns it in upper case; "" if none stands here.
func (p *parser) normalForm() string { return upper(p.takeAny("nfc", "nfd", "nfkc", "nfkd")) }

func (p *parser) isJSON(test *IsTest) {
	p.advance()
	test.Kind = IsJSON
	test.Detail = upper(p.takeAny("value", "array", "object", "scalar"))
	switch {
	case p.takeWords("with", "unique"):
		test.UniqueKeys = true
		p.take("keys")
	case p.takeWords("without", "unique"):
		p.take("keys")
	}
}

// between parses [NOT] BETWEEN [SYMMETRIC|ASYMMETRIC] lo AND hi.
func (p *parser) between(left Expr, _ infixOp, _ bool) (Expr, int) {
	b := &Between{Loc: p.loc(), X: left, Not: p.take("not")}
	p.advance()
	if b.Symmetric = p.take("symmetric"); !b.Symmetric {
		p.take("asymmetric")
	}
	b.Lo = p.restrictedExpr()
	p.expect("and")
	b.Hi = p.operand(precLike+1, false)
	return b, precLike
}

// in parses [NOT] IN (list or query).
func (p *parser) in(left Expr, _ infixOp, _ bool) (Expr, int) {
	in := &In{Loc: p.loc(), X: left, Not: p.take("not")}
	p.advance()
	if p.parensLeadToQuery() {
		in.Query, in.List = p.queryOrExprs()
	} else {
		p.parens(func() { in.List = p.exprList() })
	}
	return in, noPrec
}

var likeOps = map[string]string{"like": "~~", "ilike": "~~*"}

// like parses [NOT] LIKE|ILIKE|SIMILAR TO pattern [ESCAPE e], and LIKE ANY (…).
func (p *parser) like(left Expr, _ infixOp, _ bool) (Expr, int) {
	l := &Like{Loc: p.loc(), X: left, Not: p.take("not")}
	word := p.cur().val
	p.advance()
	switch word {
	case "ilike":
		l.Kind = ILikeOp
	case "similar":
		l.Kind = SimilarTo
		p.expect("to")
	}
	if l.Kind != SimilarTo && p.isAny("any", "some", "all") {
		op := likeOps[word]
		if l.Not {
			op = "!" + op
		}
		return p.quantified(left, l.Loc, opRef{name: op}), noPrec
	}
	l.Pattern = p.operand(precLike+1, false)
	if p.take("escape") {
		l.Escape = p.operand(precLike+1, false)
	}
	return l, precLike
}

func (p *parser) atTimeZone(left Expr, _ infixOp, _ bool) (Expr, int) {
	at := &AtTimeZone{Loc: p.loc(), X: left}
	p.advance()
	if p.takeWords("time", "zone") {
		at.Zone = p.operand(precAt+1, false)
	} else {
		p.expect("local")
	}
	return at, noPrec
}

func (p *parser) collate(left Expr, _ infixOp, _ bool) (Expr, int) {
	loc := p.loc()
	p.advance()
	return &Collate{loc, left, p.qualifiedName()}, noPrec
}
