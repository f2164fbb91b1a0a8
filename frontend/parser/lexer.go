package parser

import (
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	tokEOF    tokenKind = iota
	tokWord             // unquoted identifier or keyword; val is folded
	tokQuoted           // "identifier"; val is decoded
	tokString           // any string literal; val is decoded
	tokBits             // B'…'
	tokHex              // X'…'
	tokInt              // val is decimal digits
	tokFloat            // val is decimal with fraction or exponent
	tokParam            // val is the number's digits
	tokOp               // any operator, val is its symbol; != is <>
	tokPunct            // ( ) [ ] { } , ; : . :: := .. =>
	tokError            // the text cannot be read on from here: the last token
)

// token is one lexical element. Its source text is sql[pos:end].
type token struct {
	val      string
	pos, end int
	kind     tokenKind
	cat      category // of a word
	bare     bool     // of a word: a column label without AS
}

// lexer cuts sql into tokens, all at once: the parser then looks ahead as far as it likes. An error
// becomes the last token and is reported only when the parser gets there, as PostgreSQL would.
type lexer struct {
	sql    string
	pos    int
	tokens []token
	err    *sqlerr.Error
}

// lex returns the tokens of sql, the last being tokEOF or tokError (then err is set).
func lex(sql string) ([]token, *sqlerr.Error) {
	l := &lexer{sql: sql, tokens: make([]token, 0, len(sql)/4+8)}
	for l.next() {
	}
	return l.tokens, l.err
}

func (l *lexer) emit(kind tokenKind, start int, val string) {
	l.tokens = append(l.tokens, token{kind: kind, pos: start, end: l.pos, val: val})
}

// fail ends lexing with an error whose text shows the source from start to end.
func (l *lexer) fail(start, end int, message string) bool {
	return l.failWith(start, sqlerr.New(sqlerr.SyntaxError, "%s at or near \"%s\"", message, l.sql[start:end]))
}

func (l *lexer) failWith(start int, err *sqlerr.Error) bool {
	l.err = err.At(start)
	l.tokens = append(l.tokens, token{kind: tokError, pos: start, end: len(l.sql)})
	return false
}

// next lexes one token and says whether there may be more.
func (l *lexer) next() bool {
	if !l.skipSpace() {
		return false
	}
	start := l.pos
	if start == len(l.sql) {
		l.emit(tokEOF, start, "")
		return false
	}
	c := l.sql[start]
	switch {
	case isIdentStart(c):
		return l.word()
	case c >= '0' && c <= '9', c == '.' && isDigit(l.at(start+1)):
		return l.number()
	case c == '\'':
		return l.plainString(start)
	case c == '"':
		return l.quotedIdent(start, start, false)
	case c == '$':
		return l.dollar()
	case isOpChar(c):
		return l.operator()
	}
	return l.punct(c)
}

// at returns the byte at i, or 0 beyond the end.
func (l *lexer) at(i int) byte {
	if i < len(l.sql) {
		return l.sql[i]
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func isIdentPart(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }
func isSpace(c byte) bool     { return c == ' ' || c >= '\t' && c <= '\r' }
func isOpChar(c byte) bool    { return c < 0x80 && strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }

// skipSpace skips white space and comments; false means an unterminated comment.
func (l *lexer) skipSpace() bool {
	for l.pos < len(l.sql) {
		c := l.sql[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '-' && l.at(l.pos+1) == '-':
			l.skipLineComment()
		case c == '/' && l.at(l.pos+1) == '*':
			if !l.skipBlockComment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

func (l *lexer) skipLineComment() {
	if i := strings.IndexAny(l.sql[l.pos:], "\n\r"); i >= 0 {
		l.pos += i
	} else {
		l.pos = len(l.sql)
	}
}

// skipBlockComment skips a comment that may contain others.
func (l *lexer) skipBlockComment() bool {
	start, depth := l.pos, 0
	for i := l.pos; i+1 < len(l.sql); {
		switch {
		case l.sql[i] == '/' && l.sql[i+1] == '*':
			depth++
			i += 2
		case l.sql[i] == '*' && l.sql[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				l.pos = i
				return true
			}
		default:
			i++
		}
	}
	return l.fail(start, len(l.sql), "unterminated /* comment")
}

// word lexes an identifier, a keyword, or a literal with a letter in front (E”, B”, X”, N”, U&”).
func (l *lexer) word() bool {
	start := l.pos
	c, d := l.sql[start], l.at(start+1)
	if d == '\'' {
		switch c {
		case 'e', 'E':
			l.pos++
			return l.escapeString(start)
		case 'b', 'B':
			return l.bits(start, tokBits, "unterminated bit string literal")
		case 'x', 'X':
			return l.bits(start, tokHex, "unterminated hexadecimal string literal")
		case 'n', 'N':
			l.pos++
			return l.plainString(start)
		}
	}
	if (c == 'u' || c == 'U') && d == '&' {
		switch l.at(start + 2) {
		case '\'':
			l.pos += 2
			return l.unicodeString(start)
		case '"':
			l.pos += 2
			return l.quotedIdent(start, start+2, true)
		}
	}
	i := start + 1
	for i < len(l.sql) && isIdentPart(l.sql[i]) {
		i++
	}
	l.pos = i
	l.emitWord(start)
	return true
}

// emitWord folds the word and looks it up among the keywords. Only ASCII letters fold, as in
// PostgreSQL with a multi-byte encoding.
func (l *lexer) emitWord(start int) {
	text := l.sql[start:l.pos]
	if len(text) <= maxKeyword {
		var buf [maxKeyword]byte
		for i := 0; i < len(text); i++ {
			buf[i] = lower(text[i])
		}
		if k, ok := keywords[string(buf[:len(text)])]; ok {
			l.tokens = append(l.tokens, token{kind: tokWord, pos: start, end: l.pos, val: k.text, cat: k.cat, bare: k.bare})
			return
		}
	}
	l.tokens = append(l.tokens, token{kind: tokWord, pos: start, end: l.pos, val: foldASCII(text), bare: true})
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func foldASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = lower(b[j])
			}
			return string(b)
		}
	}
	return s
}

// number lexes 12, 1_000, 1.5, .5, 1e10, 0x1f, 0o17, 0b11.
func (l *lexer) number() bool {
	start := l.pos
	if l.sql[start] == '0' {
		switch l.at(start + 1) {
		case 'x', 'X':
			return l.radix(16, "hexadecimal")
		case 'o', 'O':
			return l.radix(8, "octal")
		case 'b', 'B':
			return l.radix(2, "binary")
		}
	}
	kind := tokInt
	i := l.digits(start, 10)
	// 1..10 is two bounds of a slice, not a number with two points.
	if l.at(i) == '.' && l.at(i+1) != '.' {
		kind = tokFloat
		i++
		if isDigit(l.at(i)) {
			i = l.digits(i, 10)
		}
	}
	if e := l.at(i); e == 'e' || e == 'E' {
		j := i + 1
		if s := l.at(j); s == '+' || s == '-' {
			j++
		}
		if !isDigit(l.at(j)) {
			return l.fail(start, min(j, len(l.sql)), "trailing junk after numeric literal")
		}
		kind = tokFloat
		i = l.digits(j, 10)
	}
	if !l.endNumber(start, i, "numeric literal") {
		return false
	}
	l.emit(kind, start, strings.ReplaceAll(l.sql[start:i], "_", ""))
	return true
}

// digits returns the end of a run of digits with single underscores between them. A leading
// underscore is taken as well: 0x_1f.
func (l *lexer) digits(i int, base byte) int {
	for {
		c := l.at(i)
		if c == '_' && isRadixDigit(l.at(i+1), base) {
			i += 2
		} else if isRadixDigit(c, base) {
			i++
		} else {
			return i
		}
	}
}

func isRadixDigit(c byte, base byte) bool {
	switch {
	case isDigit(c):
		return c-'0' < base
	case base == 16:
		c = lower(c)
		return c >= 'a' && c <= 'f'
	}
	return false
}

func (l *lexer) radix(base byte, what string) bool {
	start := l.pos
	i := l.digits(start+2, base)
	if end := l.identEnd(start + 1); end > i {
		return l.fail(start, end, "trailing junk after numeric literal")
	}
	if i == start+2 {
		return l.fail(start, i, "invalid "+what+" integer")
	}
	l.pos = i
	n, _ := new(big.Int).SetString(strings.ReplaceAll(l.sql[start+2:i], "_", ""), int(base))
	l.emit(tokInt, start, n.String())
	return true
}

func (l *lexer) identEnd(i int) int {
	for i < len(l.sql) && isIdentPart(l.sql[i]) {
		i++
	}
	return i
}

// endNumber moves behind a number and refuses letters that touch it.
func (l *lexer) endNumber(start, end int, what string) bool {
	if isIdentStart(l.at(end)) {
		return l.fail(start, l.identEnd(end), "trailing junk after "+what)
	}
	l.pos = end
	return true
}

// dollar lexes $1 and $tag$ … $tag$.
func (l *lexer) dollar() bool {
	start := l.pos
	i := start + 1
	if isDigit(l.at(i)) {
		for isDigit(l.at(i)) {
			i++
		}
		if !l.endNumber(start, i, "parameter") {
			return false
		}
		l.emit(tokParam, start, l.sql[start+1:i])
		return true
	}
	for i < len(l.sql) && l.sql[i] != '$' && isIdentPart(l.sql[i]) {
		i++
	}
	if l.at(i) != '$' {
		l.pos++
		return l.fail(start, start+1, "syntax error")
	}
	tag := l.sql[start : i+1]
	n := strings.Index(l.sql[i+1:], tag)
	if n < 0 {
		return l.fail(start, len(l.sql), "unterminated dollar-quoted string")
	}
	l.pos = i + 1 + n + len(tag)
	l.emit(tokString, start, l.sql[i+1:i+1+n])
	return true
}

// quotedIdent lexes "…" whose quote is at open; unicode decodes \XXXX escapes.
func (l *lexer) quotedIdent(start, open int, unicode bool) bool {
	text, end := quoted(l.sql, open, '"')
	if end < 0 {
		return l.fail(start, len(l.sql), "unterminated quoted identifier")
	}
	l.pos = end
	if text == "" {
		return l.fail(start, end, "zero-length delimited identifier")
	}
	if unicode {
		var ok bool
		if text, ok = l.unicodeEscapes(text, open+1); !ok {
			return false
		}
	}
	l.emit(tokQuoted, start, text)
	return true
}

// quoted returns what stands between the quote at open and its partner, doubled quotes made single,
// and the offset behind it; -1 if there is no partner.
func quoted(s string, open int, q byte) (string, int) {
	i := open + 1
	for {
		n := strings.IndexByte(s[i:], q)
		if n < 0 {
			return "", -1
		}
		i += n + 1
		if i == len(s) || s[i] != q {
			break
		}
		i++
	}
	text := s[open+1 : i-1]
	if strings.IndexByte(text, q) >= 0 {
		text = strings.ReplaceAll(text, string([]byte{q, q}), string([]byte{q}))
	}
	return text, i
}

// operator lexes the longest operator, by PostgreSQL's rules: it ends before a comment, and may end in
// + or - only if it contains one of ~!@#^&|`?%.
func (l *lexer) operator() bool {
	start := l.pos
	i := start
	for i < len(l.sql) && isOpChar(l.sql[i]) {
		if i > start && (l.sql[i] == '-' && l.at(i+1) == '-' || l.sql[i] == '/' && l.at(i+1) == '*') {
			break
		}
		i++
	}
	op := l.sql[start:i]
	if !strings.ContainsAny(op, "~!@#^&|`?%") {
		for len(op) > 1 && (op[len(op)-1] == '+' || op[len(op)-1] == '-') {
			op = op[:len(op)-1]
		}
	}
	l.pos = start + len(op)
	switch {
	case op == "=>":
		l.emit(tokPunct, start, op)
	case op == "!=":
		l.emit(tokOp, start, "<>")
	case len(op) >= 64:
		return l.fail(start, l.pos, "operator too long")
	default:
		l.emit(tokOp, start, op)
	}
	return true
}

func (l *lexer) punct(c byte) bool {
	start := l.pos
	two := l.sql[start:min(start+2, len(l.sql))]
	switch {
	case two == "::", two == ":=", two == "..":
		l.pos += 2
		l.emit(tokPunct, start, two)
		return true
	case strings.IndexByte("()[]{},;:.", c) >= 0:
		l.pos++
		l.emit(tokPunct, start, l.sql[start:start+1])
		return true
	}
	_, n := utf8.DecodeRuneInString(l.sql[start:])
	return l.fail(start, start+n, "syntax error")
}
