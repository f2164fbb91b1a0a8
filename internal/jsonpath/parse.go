package jsonpath

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/regex"
	"github.com/millrace/millrace/internal/sqlerr"
)

// maxDepth bounds nesting, where PostgreSQL's bound is its stack.
const maxDepth = 2000

// parser is a recursive-descent parser. Expressions and predicates are parsed by the same functions; where the grammar
// wants one of them and there is the other, the error is at the token that follows, as in PostgreSQL.
type parser struct {
	lexer
	depth int
}

// Parse reads a path. Errors: 22P02, 42601, and 2201B for a pattern.
func Parse(text string) (*Path, error) {
	p := &parser{lexer: lexer{in: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok == tEnd {
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type jsonpath: \"%s\"", text)
	}
	out := &Path{}
	if p.isWord("strict") || p.isWord("lax") {
		out.Strict = p.isWord("strict")
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	n, err := p.or()
	if err == nil && p.tok != tEnd {
		err = p.unexpected()
	}
	if err == nil {
		err = checkPlaces(n, false, false)
	}
	out.root = n
	return out, err
}

func (p *parser) unexpected() error { return syntaxError("syntax error", p.near) }

// isWord tells keywords, which may be written in any case but for null, true and false.
func (p *parser) isWord(w string) bool { return p.tok == tWord && strings.EqualFold(p.text, w) }

func (p *parser) take(t token) (bool, error) {
	if p.tok != t {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(t token) error {
	if p.tok != t {
		return p.unexpected()
	}
	return p.advance()
}

func (p *parser) takeWord(w string) (bool, error) {
	if !p.isWord(w) {
		return false, nil
	}
	return true, p.advance()
}

// binary parses operands of one sort (predicates or expressions) joined by left-associative operators.
func (p *parser) binary(operand func() (*node, error), predicate bool, ops map[token]kind) (*node, error) {
	left, err := operand()
	if err != nil {
		return nil, err
	}
	for {
		k, ok := ops[p.tok]
		if !ok {
			return left, nil
		}
		if left.isPredicate() != predicate {
			return nil, p.unexpected()
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		right, err := operand()
		if err != nil {
			return nil, err
		}
		if right.isPredicate() != predicate {
			return nil, p.unexpected()
		}
		left = &node{kind: k, left: left, right: right}
	}
}

// isPredicate: a predicate with steps behind it is a path again.
func (n *node) isPredicate() bool { return n.kind.predicate() && n.next == nil }

func (p *parser) or() (*node, error) { return p.binary(p.and, true, map[token]kind{tOr: kOr}) }

func (p *parser) and() (*node, error) { return p.binary(p.not, true, map[token]kind{tAnd: kAnd}) }

func (p *parser) not() (*node, error) {
	ok, err := p.take('!')
	if err != nil || !ok {
		return p.comparison(err)
	}
	if p.tok != '(' && !p.isWord("exists") {
		return nil, p.unexpected()
	}
	arg, err := p.delimited()
	if err != nil {
		return nil, err
	}
	return &node{kind: kNot, left: arg}, nil
}

// delimited parses (predicate) or exists (path).
func (p *parser) delimited() (*node, error) {
	exists, err := p.takeWord("exists")
	if err != nil {
		return nil, err
	}
	arg, err := p.parens(!exists)
	if err == nil && exists {
		arg = &node{kind: kExists, left: arg}
	}
	return arg, err
}

// parens parses a predicate or a path in parentheses.
func (p *parser) parens(predicate bool) (*node, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	inside := p.sum
	if predicate {
		inside = p.or
	}
	n, err := inside()
	if err != nil {
		return nil, err
	}
	if n.isPredicate() != predicate {
		return nil, p.unexpected()
	}
	return n, p.expect(')')
}

var comparisons = map[token]kind{tEqual: kEqual, tNotEqual: kNotEqual, tLess: kLess, tGreater: kGreater, tLessEqual: kLessEqual, tGreaterEqual: kGreaterEqual}

func (p *parser) comparison(err error) (*node, error) {
	if err != nil {
		return nil, err
	}
	if p.isWord("exists") {
		return p.delimited()
	}
	left, err := p.sum()
	if err != nil {
		return nil, err
	}
	k, compares := comparisons[p.tok]
	if !compares && !p.isWord("starts") && !p.isWord("like_regex") {
		return left, nil
	}
	if left.isPredicate() {
		return nil, p.unexpected()
	}
	word := p.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch {
	case compares:
		right, err := p.sum()
		if err == nil && right.isPredicate() {
			err = p.unexpected()
		}
		return &node{kind: k, left: left, right: right}, err
	case strings.EqualFold(word, "starts"):
		return p.startsWith(left)
	}
	return p.likeRegex(left)
}

func (p *parser) startsWith(left *node) (*node, error) {
	ok, err := p.takeWord("with")
	switch {
	case err != nil:
		return nil, err
	case !ok || p.tok != tString && p.tok != tVariable:
		return nil, p.unexpected()
	}
	right := &node{kind: kString, text: p.text}
	if p.tok == tVariable {
		right.kind = kVariable
	}
	return &node{kind: kStartsWith, left: left, right: right}, p.advance()
}

func (p *parser) likeRegex(left *node) (*node, error) {
	if p.tok != tString {
		return nil, p.unexpected()
	}
	n := &node{kind: kLikeRegex, left: left, text: p.text}
	if err := p.advance(); err != nil {
		return nil, err
	}
	flags := ""
	ok, err := p.takeWord("flag")
	if err == nil && ok {
		if p.tok != tString {
			return nil, p.unexpected()
		}
		flags = p.text
		err = p.advance()
	}
	if err != nil {
		return nil, err
	}
	return n, n.compile(flags)
}

// compile checks and compiles a pattern. XQuery's flags are not PostgreSQL's own: without s a dot stops at a newline,
// without m anchors match at the ends only.
func (n *node) compile(flags string) error {
	for _, f := range flags {
		if !strings.ContainsRune("ismxq", f) {
			return sqlerr.New(sqlerr.SyntaxError, "invalid input syntax for type jsonpath").
				WithDetail("Unrecognized flag character \"%c\" in LIKE_REGEX predicate.", f)
		}
	}
	for _, f := range "ismxq" {
		if strings.ContainsRune(flags, f) {
			n.flags += string(f)
		}
	}
	has := func(f byte) bool { return strings.IndexByte(n.flags, f) >= 0 }
	fl := regex.Flags{IgnoreCase: has('i'), Literal: has('q')}
	if !fl.Literal {
		if has('x') {
			return sqlerr.New(sqlerr.FeatureNotSupported, "XQuery \"x\" flag (expanded regular expressions) is not implemented")
		}
		fl.DotStops, fl.LineAnchor = !has('s'), has('m')
	}
	var err error
	n.re, err = regex.Compile(n.text, fl)
	return err
}

func (p *parser) sum() (*node, error) {
	return p.binary(p.product, false, map[token]kind{'+': kAdd, '-': kSub})
}

func (p *parser) product() (*node, error) {
	return p.binary(p.unary, false, map[token]kind{'*': kMul, '/': kDiv, '%': kMod})
}

func (p *parser) unary() (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded")
	}
	defer func() { p.depth-- }()
	if p.tok != '+' && p.tok != '-' {
		return p.path()
	}
	k := kPlus
	if p.tok == '-' {
		k = kMinus
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	arg, err := p.unary()
	switch {
	case err != nil:
		return nil, err
	case arg.isPredicate():
		return nil, p.unexpected()
	case arg.kind == kNumber && arg.next == nil:
		if k == kMinus {
			arg.num = arg.num.Neg()
		}
		return arg, nil
	}
	return &node{kind: k, left: arg}, nil
}

// path parses a primary with the steps behind it.
func (p *parser) path() (*node, error) {
	head, err := p.primary()
	if err != nil {
		return nil, err
	}
	if head.isPredicate() {
		is, err := p.takeWord("is")
		if err != nil {
			return nil, err
		}
		if is {
			if !p.isWord("unknown") {
				return nil, p.unexpected()
			}
			return &node{kind: kIsUnknown, left: head}, p.advance()
		}
	}
	last := head
	for last.next != nil {
		last = last.next
	}
	for {
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		if step == nil {
			return head, nil
		}
		last.next = step
		last = step
	}
}

func (p *parser) primary() (*node, error) {
	n := &node{}
	switch p.tok {
	case '(':
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		return n, p.expect(')')
	case '$':
		n.kind = kRoot
	case '@':
		n.kind = kCurrent
	case tString:
		n.kind, n.text = kString, p.text
	case tVariable:
		n.kind, n.text = kVariable, p.text
	case tInt, tNumeric:
		n.kind = kNumber
		var err error
		if n.num, err = numeric.Parse(p.text); err != nil {
			return nil, err
		}
	case tWord:
		switch {
		case p.text == "null":
			n.kind = kNull
		case p.text == "true" || p.text == "false":
			n.kind, n.yes = kBool, p.text == "true"
		case p.isWord("last"):
			n.kind = kLast
		default:
			return nil, p.unexpected()
		}
	default:
		return nil, p.unexpected()
	}
	return n, p.advance()
}

// step parses one accessor, method or filter; nil when there is none.
func (p *parser) step() (*node, error) {
	switch p.tok {
	case '.':
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.member()
	case '[':
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.index()
	case '?':
		if err := p.advance(); err != nil {
			return nil, err
		}
		arg, err := p.parens(true)
		return &node{kind: kFilter, left: arg}, err
	}
	return nil, nil
}

func (p *parser) member() (*node, error) {
	switch p.tok {
	case '*':
		return &node{kind: kAnyKey}, p.advance()
	case tAny:
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.levels()
	case tString, tWord:
	default:
		return nil, p.unexpected()
	}
	key, word := p.text, p.tok == tWord
	if err := p.advance(); err != nil {
		return nil, err
	}
	k, ok := methods[strings.ToLower(key)]
	datetime := strings.EqualFold(key, "datetime")
	if p.tok != '(' || !word || !ok && !datetime {
		return &node{kind: kKey, text: key}, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	n := &node{kind: k}
	if datetime {
		n.kind = kDatetime
		if p.tok == tString {
			n.left = &node{kind: kString, text: p.text}
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
	}
	return n, p.expect(')')
}

// levels parses what may follow **.
func (p *parser) levels() (*node, error) {
	n := &node{kind: kAnyLevel, last: anyLevel}
	ok, err := p.take('{')
	if err != nil || !ok {
		return n, err
	}
	if n.first, err = p.level(); err != nil {
		return nil, err
	}
	n.last = n.first
	ok, err = p.takeWord("to")
	if err == nil && ok {
		n.last, err = p.level()
	}
	if err != nil {
		return nil, err
	}
	return n, p.expect('}')
}

func (p *parser) level() (uint32, error) {
	if p.isWord("last") {
		return anyLevel, p.advance()
	}
	if p.tok != tInt {
		return 0, p.unexpected()
	}
	v, err := strconv.ParseInt(p.text, 10, 32)
	if err != nil {
		return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%s\" is out of range for type integer", p.text)
	}
	return uint32(v), p.advance()
}

// index parses what stands between brackets.
func (p *parser) index() (*node, error) {
	ok, err := p.take('*')
	if err != nil {
		return nil, err
	}
	if ok {
		return &node{kind: kAnyArray}, p.expect(']')
	}
	n := &node{kind: kIndex}
	for {
		var s subscript
		if s.from, err = p.indexBound(); err != nil {
			return nil, err
		}
		ok, err := p.takeWord("to")
		if err == nil && ok {
			s.to, err = p.indexBound()
		}
		if err != nil {
			return nil, err
		}
		n.subs = append(n.subs, s)
		if ok, err = p.take(','); err != nil {
			return nil, err
		}
		if !ok {
			return n, p.expect(']')
		}
	}
}

func (p *parser) indexBound() (*node, error) {
	n, err := p.sum()
	if err == nil && n.isPredicate() {
		err = p.unexpected()
	}
	return n, err
}

// checkPlaces refuses @ outside filters and last outside subscripts.
func checkPlaces(n *node, filter, index bool) error {
	for ; n != nil; n = n.next {
		switch {
		case n.kind == kCurrent && !filter:
			return sqlerr.New(sqlerr.SyntaxError, "@ is not allowed in root expressions")
		case n.kind == kLast && !index:
			return sqlerr.New(sqlerr.SyntaxError, "LAST is allowed only in array subscripts")
		}
		for _, s := range n.subs {
			if err := checkPlaces(s.from, filter, true); err != nil {
				return err
			}
			if err := checkPlaces(s.to, filter, true); err != nil {
				return err
			}
		}
		inside := filter || n.kind == kFilter
		if err := checkPlaces(n.left, inside, index); err != nil {
			return err
		}
		if err := checkPlaces(n.right, inside, index); err != nil {
			return err
		}
	}
	return nil
}
