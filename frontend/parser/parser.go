package parser

import (
	"strconv"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Parse parses a script: statements separated by semicolons. Empty statements vanish, so the result may
// be empty. An error is a *sqlerr.Error with a byte offset into sql.
func Parse(sql string) (stmts []Stmt, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.catch(&err)
	for {
		for p.takePunct(";") {
		}
		if p.cur().kind == tokEOF {
			return stmts, nil
		}
		stmts = append(stmts, p.statement())
		if p.cur().kind != tokEOF && !p.isPunct(";") {
			p.fail()
		}
	}
}

// ParseOne parses sql, which must hold exactly one statement.
func ParseOne(sql string) (Stmt, error) {
	stmts, err := Parse(sql)
	if err != nil {
		return nil, err
	}
	switch len(stmts) {
	case 0:
		return nil, sqlerr.New(sqlerr.SyntaxError, "syntax error at end of input").At(len(sql))
	case 1:
		return stmts[0], nil
	}
	return nil, sqlerr.New(sqlerr.SyntaxError, "cannot insert multiple commands into a prepared statement").
		At(stmts[1].At())
}

// ParseExpr parses sql as one expression: a stored default, check or generated column.
func ParseExpr(sql string) (e Expr, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.catch(&err)
	e = p.expr()
	p.atEnd()
	return e, nil
}

// ParseType parses sql as a type name.
func ParseType(sql string) (t *TypeName, err error) {
	p, err := newParser(sql)
	if err != nil {
		return nil, err
	}
	defer p.catch(&err)
	t = p.typeName()
	p.atEnd()
	return t, nil
}

const (
	// maxNesting bounds the recursion of the parser: parentheses, subqueries, prefix operators.
	maxNesting = 4000
	// maxHeight bounds the height of a tree. Chains of left-associative operators are parsed in a loop,
	// yet whoever walks the tree they build recurses.
	maxHeight = 50_000
)

// parser is a recursive-descent parser over the tokens of one text. Its methods abort by panicking with
// *sqlerr.Error; catch turns that into the error of an exported function. No other panic is caught.
type parser struct {
	sql    string
	tokens []token
	lexErr *sqlerr.Error
	i      int // index of the current token
	// far is the index of the first token that did not fit a phrase whose beginning stood in the text.
	// What comes before it is a beginning of a valid statement, so that is where an error is reported.
	far   int
	depth int // nesting of recursive calls
	// peak is the greatest height of the trees finished in the construct being parsed, see grow.
	peak int
	// parenEnd is the index of the first token that is no "(" after a run of them, as far as known.
	parenEnd int
	intos    []*Select // those of the statement with INTO
}

func newParser(sql string) (*parser, error) {
	if err := checkText(sql); err != nil {
		return nil, err
	}
	tokens, lexErr := lex(sql)
	return &parser{sql: sql, tokens: tokens, lexErr: lexErr}, nil
}

func (p *parser) catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *sqlerr.Error:
		*err = r
	default:
		panic(r)
	}
}

// raise aborts parsing.
func (p *parser) raise(err *sqlerr.Error) { panic(err) }

// errorAt aborts with a message that PostgreSQL's grammar gives about the token at offset pos.
func (p *parser) errorAt(code sqlerr.Code, pos int, format string, args ...any) {
	p.raise(sqlerr.New(code, format, args...).At(pos))
}

// fail aborts with a syntax error at the current token, or at the one where a phrase broke off: IF NOT x
// fails at x.
func (p *parser) fail() {
	t := &p.tokens[max(p.i, p.far)]
	switch t.kind {
	case tokError:
		p.raise(p.lexErr)
	case tokEOF:
		p.errorAt(sqlerr.SyntaxError, t.pos, "syntax error at end of input")
	}
	p.errorAt(sqlerr.SyntaxError, t.pos, "syntax error at or near \"%s\"", p.sql[t.pos:t.end])
}

// enter counts one level of recursion; its result must be called on the way out. A panic skips that,
// and ends the parser anyway.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.tooDeep()
	}
}

func (p *parser) leave() { p.depth-- }

func (p *parser) tooDeep() {
	p.raise(sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded").
		WithHint("Simplify the statement: it nests more deeply than this server allows.").At(p.cur().pos))
}

// grow records that a tree over the highest of those finished since reset was built, and returns its
// height. A chain a+b+c calls it once a step.
func (p *parser) grow(height int) int {
	if height++; height > maxHeight {
		p.tooDeep()
	}
	return height
}

// cur returns the current token. The last token (end or error) is never passed.
func (p *parser) cur() *token { return &p.tokens[p.i] }

// peek returns the n-th token after the current one.
func (p *parser) peek(n int) *token { return &p.tokens[min(p.i+n, len(p.tokens)-1)] }

func (p *parser) advance() {
	if p.i < len(p.tokens)-1 {
		p.i++
	}
}

// pos is the byte offset of the current token.
func (p *parser) pos() int { return p.tokens[p.i].pos }

// loc is the location of the current token.
func (p *parser) loc() Loc { return Loc{p.tokens[p.i].pos} }

func (t *token) isWord(w string) bool  { return t.kind == tokWord && t.val == w }
func (t *token) isPunct(s string) bool { return t.kind == tokPunct && t.val == s }
func (t *token) isOp(s string) bool    { return t.kind == tokOp && t.val == s }

func (p *parser) is(w string) bool      { return p.cur().isWord(w) }
func (p *parser) isPunct(s string) bool { return p.cur().isPunct(s) }
func (p *parser) isOp(s string) bool    { return p.cur().isOp(s) }

// isAny says whether the current token is one of the words.
func (p *parser) isAny(words ...string) bool {
	t := p.cur()
	if t.kind != tokWord {
		return false
	}
	for _, w := range words {
		if t.val == w {
			return true
		}
	}
	return false
}

// isWords says whether the words stand here in sequence.
func (p *parser) isWords(words ...string) bool {
	for n, w := range words {
		if !p.peek(n).isWord(w) {
			if n > 1 || n == 1 && !needsNext(words) {
				p.far = max(p.far, min(p.i+n, len(p.tokens)-1))
			}
			return false
		}
	}
	return true
}

// needsNext says that PostgreSQL reads the first two words as one token: WITH TIME, WITH ORDINALITY,
// WITHOUT TIME, NULLS FIRST, NULLS LAST.
func needsNext(words []string) bool {
	switch words[0] {
	case "with", "without":
		return words[1] == "time" || words[1] == "ordinality"
	case "nulls":
		return words[1] == "first" || words[1] == "last"
	}
	return false
}

// take consumes the word if it stands here.
func (p *parser) take(w string) bool {
	if p.is(w) {
		p.advance()
		return true
	}
	return false
}

// takeWords consumes the words if all of them stand here.
func (p *parser) takeWords(words ...string) bool {
	if !p.isWords(words...) {
		return false
	}
	for range words {
		p.advance()
	}
	return true
}

func (p *parser) takePunct(s string) bool {
	if p.isPunct(s) {
		p.advance()
		return true
	}
	return false
}

func (p *parser) takeOp(s string) bool {
	if p.isOp(s) {
		p.advance()
		return true
	}
	return false
}

// expect consumes the words or fails at the first that is missing.
func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.take(w) {
			p.fail()
		}
	}
}

func (p *parser) expectPunct(s string) {
	if !p.takePunct(s) {
		p.fail()
	}
}

func (p *parser) expectOp(s string) {
	if !p.takeOp(s) {
		p.fail()
	}
}

// takeAny consumes and returns the word if it is one of those given, else returns "".
func (p *parser) takeAny(words ...string) string {
	if !p.isAny(words...) {
		return ""
	}
	w := p.cur().val
	p.advance()
	return w
}

// atEnd fails unless all text is consumed.
func (p *parser) atEnd() {
	if p.cur().kind != tokEOF {
		p.fail()
	}
}

// list parses item, item, ….
func (p *parser) list(item func()) {
	item()
	for p.takePunct(",") {
		item()
	}
}

// parens parses ( … ).
func (p *parser) parens(inside func()) {
	p.expectPunct("(")
	inside()
	p.expectPunct(")")
}

// stringLit consumes a string literal.
func (p *parser) stringLit() string {
	t := p.cur()
	if t.kind != tokString {
		p.fail()
	}
	p.advance()
	return t.val
}

// intLit consumes an integer literal that fits int32, as PostgreSQL's Iconst does.
func (p *parser) intLit() int {
	t := p.cur()
	if t.kind != tokInt {
		p.fail()
	}
	n, err := strconv.ParseInt(t.val, 10, 32)
	if err != nil {
		p.fail()
	}
	p.advance()
	return int(n)
}

// signedInt consumes an integer literal with an optional sign.
func (p *parser) signedInt() int64 {
	if p.takeOp("-") {
		return -int64(p.intLit())
	}
	p.takeOp("+")
	return int64(p.intLit())
}
