package regex

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// translated is a PostgreSQL pattern in Go's syntax.
type translated struct {
	normal    string // quantifiers as written
	allLazy   string // every quantifier lazy: finds the shortest match
	lazy      bool   // some quantifier is lazy
	shortest  bool   // the expression as a whole prefers the shortest match
	backtrack bool   // needs the backtracking engine
	context   bool   // looks at what precedes the match
	groups    int
}

// taste is the preference of a part of an expression.
type taste uint8

const (
	tasteNone taste = iota
	tasteLong
	tasteShort
)

// frame is one open parenthesis. Both texts are kept because an outer {1,1}? makes everything inside lazy.
type frame struct {
	normal, lazy strings.Builder
	taste        taste // of the current branch
	branches     bool  // there is a |, which prefers long
	capture      bool
	look         bool // look-around: cannot be quantified
}

func (f *frame) whole() taste {
	if f.branches {
		return tasteLong
	}
	return f.taste
}

// parser is a recursive-descent translator with an explicit stack.
type parser struct {
	src   string
	pos   int
	flags Flags
	out   translated
	stack []*frame
	// The last atom, still open for a quantifier: its two texts and its own preference.
	atom, atomLazy string
	atomTaste      taste
	hasAtom        bool
	canRepeat      bool
}

func translate(src string, f Flags) (translated, error) {
	src, f = directorOf(src, f)
	if f.Literal {
		src = quote(src)
		if f.IgnoreCase {
			src = "(?i)" + src
		}
		return translated{normal: src, allLazy: src}, nil
	}
	if f.Basic {
		src = fromBasic(src)
	}
	p := &parser{src: src, flags: f}
	if err := p.options(); err != nil {
		return translated{}, err
	}
	p.stack = []*frame{{}}
	for p.pos < len(p.src) {
		if err := p.step(); err != nil {
			return translated{}, err
		}
	}
	if len(p.stack) != 1 {
		return translated{}, errPattern("parentheses () not balanced")
	}
	p.flush()
	top := p.stack[0]
	p.out.normal, p.out.allLazy = top.normal.String(), top.lazy.String()
	p.out.shortest = top.whole() == tasteShort
	if p.flags.IgnoreCase {
		p.out.normal, p.out.allLazy = "(?i)"+p.out.normal, "(?i)"+p.out.allLazy
	}
	return p.out, nil
}

// directorOf reads the prefixes ***= (Literal) and ***: (advanced).
func directorOf(src string, f Flags) (string, Flags) {
	if rest, ok := strings.CutPrefix(src, "***="); ok {
		f.Literal = true
		return rest, f
	}
	if rest, ok := strings.CutPrefix(src, "***:"); ok {
		f.Basic, f.Literal = false, false
		return rest, f
	}
	return src, f
}

func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fromBasic exchanges the plain and the escaped forms of the characters that Basic expressions write the other
// way round.
func fromBasic(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			if strings.IndexByte("(){}", s[i]) < 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case strings.IndexByte("(){}+?|", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// options reads (?xyz) at the start.
func (p *parser) options() error {
	if !strings.HasPrefix(p.src, "(?") {
		return nil
	}
	end := strings.IndexByte(p.src, ')')
	if end < 0 || len(p.src) < 3 || !(p.src[2] >= 'a' && p.src[2] <= 'z') {
		return nil
	}
	for _, b := range []byte(p.src[2:end]) {
		switch b {
		case 'g':
			return errPattern("invalid embedded option")
		default:
			f, err := ParseFlags([]byte{b})
			if err != nil {
				return errPattern("invalid embedded option")
			}
			p.embedded(b, f)
		}
	}
	p.pos = end + 1
	return nil
}

func (p *parser) embedded(b byte, f Flags) {
	switch b {
	case 'i', 'c':
		p.flags.IgnoreCase = f.IgnoreCase
	case 'm', 'n', 'p', 'w', 's':
		p.flags.DotStops, p.flags.LineAnchor = f.DotStops, f.LineAnchor
	case 'x', 't':
		p.flags.Expanded = f.Expanded
	}
}

func (p *parser) top() *frame { return p.stack[len(p.stack)-1] }

// flush writes the last atom without a quantifier.
func (p *parser) flush() {
	if !p.hasAtom {
		return
	}
	f := p.top()
	f.normal.WriteString(p.atom)
	f.lazy.WriteString(p.atomLazy)
	if f.taste == tasteNone {
		f.taste = p.atomTaste
	}
	p.hasAtom = false
}

// setAtom makes text the last atom.
func (p *parser) setAtom(text string, repeatable bool) {
	p.flush()
	p.atom, p.atomLazy, p.atomTaste = text, text, tasteNone
	p.hasAtom, p.canRepeat = true, repeatable
}

func (p *parser) step() error {
	c := p.src[p.pos]
	switch c {
	case '(':
		return p.open()
	case ')':
		return p.close()
	case '|':
		p.flush()
		p.pos++
		f := p.top()
		f.normal.WriteByte('|')
		f.lazy.WriteByte('|')
		f.branches = true
		p.canRepeat = false
		return nil
	case '*', '+', '?':
		p.pos++
		return p.quantify(string(c), c == '*' || c == '+' || c == '?', false)
	case '{':
		if p.pos+1 < len(p.src) && p.src[p.pos+1] >= '0' && p.src[p.pos+1] <= '9' {
			return p.braces()
		}
		if p.pos+1 >= len(p.src) {
			return errPattern("braces {} not balanced")
		}
		p.pos++
		p.setAtom(`\{`, true)
		return nil
	case '^':
		p.pos++
		p.out.context = true
		p.setAtom(choose(p.flags.LineAnchor, `(?m:^)`, `\A`), false)
		return nil
	case '$':
		p.pos++
		p.setAtom(choose(p.flags.LineAnchor, `(?m:$)`, `\z`), false)
		return nil
	case '.':
		p.pos++
		p.setAtom(choose(p.flags.DotStops, `[^\n]`, `(?s:.)`), true)
		return nil
	case '[':
		return p.bracket()
	case '\\':
		return p.escape()
	case ' ', '\t', '\n', '\r', '\f', '\v', '#':
		if p.flags.Expanded {
			p.skipBlank()
			return nil
		}
	}
	r, w := utf8.DecodeRuneInString(p.src[p.pos:])
	p.pos += w
	p.setAtom(quote(string(r)), true)
	return nil
}

func (p *parser) skipBlank() {
	if p.src[p.pos] == '#' {
		for p.pos < len(p.src) && p.src[p.pos] != '\n' {
			p.pos++
		}
		return
	}
	p.pos++
}

func (p *parser) open() error {
	p.flush()
	p.canRepeat = false
	f := &frame{}
	head := "("
	rest := p.src[p.pos:]
	switch {
	case strings.HasPrefix(rest, "(?:"):
		head = "(?:"
	case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!"):
		head, f.look = rest[:3], true
	case strings.HasPrefix(rest, "(?<=") || strings.HasPrefix(rest, "(?<!"):
		head, f.look = rest[:4], true
	case strings.HasPrefix(rest, "(?#"):
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return errPattern("parentheses () not balanced")
		}
		p.pos += end + 1
		return nil
	case strings.HasPrefix(rest, "(?"):
		return errPattern("quantifier operand invalid")
	default:
		f.capture = true
		p.out.groups++
	}
	p.out.backtrack = p.out.backtrack || f.look
	p.pos += len(head)
	f.normal.WriteString(head)
	f.lazy.WriteString(head)
	p.stack = append(p.stack, f)
	return nil
}

func (p *parser) close() error {
	p.flush()
	p.pos++
	if len(p.stack) == 1 {
		return errPattern("parentheses () not balanced")
	}
	f := p.top()
	p.stack = p.stack[:len(p.stack)-1]
	p.atom, p.atomLazy, p.atomTaste = f.normal.String()+")", f.lazy.String()+")", f.whole()
	p.hasAtom, p.canRepeat = true, !f.look
	return nil
}

// quantify applies a quantifier to the last atom; fixed ones ({3}) leave its preference as it is unless lazy.
func (p *parser) quantify(q string, _ bool, fixed bool) error {
	if !p.hasAtom || !p.canRepeat {
		return errPattern("quantifier operand invalid")
	}
	lazy := p.pos < len(p.src) && p.src[p.pos] == '?'
	if lazy {
		p.pos++
		p.out.lazy = true
	}
	own := tasteLong
	text := p.atom
	switch {
	case fixed && !lazy:
		own = p.atomTaste
	case lazy:
		own = tasteShort
		if q == "{1,1}" || fixed {
			text = p.atomLazy
		}
	}
	f := p.top()
	f.normal.WriteString(text + q + choose(lazy, "?", ""))
	f.lazy.WriteString(p.atomLazy + q + "?")
	if f.taste == tasteNone {
		f.taste = own
	}
	p.hasAtom, p.canRepeat = false, false
	return nil
}

// braces reads {m}, {m,} and {m,n}.
func (p *parser) braces() error {
	end := strings.IndexByte(p.src[p.pos:], '}')
	if end < 0 {
		return errPattern("braces {} not balanced")
	}
	body := p.src[p.pos+1 : p.pos+end]
	lo, hi, ranged := strings.Cut(body, ",")
	m, err := strconv.Atoi(lo)
	if err != nil || m > 255 {
		return errPattern("invalid repetition count(s)")
	}
	if hi != "" {
		if n, err := strconv.Atoi(hi); err != nil || n > 255 || n < m {
			return errPattern("invalid repetition count(s)")
		}
	}
	p.pos += end + 1
	return p.quantify("{"+body+"}", false, !ranged)
}

const (
	wordClass  = `A-Za-z0-9_`
	spaceClass = ` \t\n\v\f\r`
)

// classes are the named character classes, in ASCII as in the C locale.
var classes = map[string]string{
	"alpha": `A-Za-z`, "digit": `0-9`, "alnum": `A-Za-z0-9`, "upper": `A-Z`, "lower": `a-z`, "space": spaceClass,
	"blank": ` \t`, "punct": `!-/:-@\[-` + "`" + `{-~`, "graph": `!-~`, "print": ` -~`, "cntrl": `\x00-\x1f\x7f`,
	"xdigit": `0-9A-Fa-f`, "word": wordClass,
}

// escape translates a backslash outside brackets.
func (p *parser) escape() error {
	if p.pos+1 >= len(p.src) {
		return errPattern("invalid escape \\ sequence")
	}
	c := p.src[p.pos+1]
	simple := func(text string, repeatable bool) error {
		p.pos += 2
		p.setAtom(text, repeatable)
		return nil
	}
	switch c {
	case 'd':
		return simple(`[0-9]`, true)
	case 'D':
		return simple(choose(p.flags.DotStops, `[^0-9\n]`, `[^0-9]`), true)
	case 'w':
		return simple(`[`+wordClass+`]`, true)
	case 'W':
		return simple(choose(p.flags.DotStops, `[^`+wordClass+`\n]`, `[^`+wordClass+`]`), true)
	case 's':
		return simple(`[`+spaceClass+`]`, true)
	case 'S':
		return simple(`[^`+spaceClass+`]`, true)
	case 'A':
		p.out.context = true
		return simple(`\A`, false)
	case 'Z':
		return simple(`\z`, false)
	case 'y', 'Y':
		p.out.context = true
		return simple(choose(c == 'y', `\b`, `\B`), false)
	case 'm':
		return p.wordEdge(`(?<![`+wordClass+`])(?=[`+wordClass+`])`, 2)
	case 'M':
		return p.wordEdge(`(?<=[`+wordClass+`])(?![`+wordClass+`])`, 2)
	}
	if c >= '1' && c <= '9' {
		return p.backReference()
	}
	r, err := p.escapedRune()
	if err != nil {
		return err
	}
	p.setAtom(runeLiteral(r), true)
	return nil
}

func (p *parser) wordEdge(text string, skip int) error {
	p.pos += skip
	p.out.backtrack = true
	p.setAtom(text, false)
	return nil
}

func (p *parser) backReference() error {
	n := int(p.src[p.pos+1] - '0')
	p.pos += 2
	if n > p.out.groups {
		return errPattern("invalid backreference number")
	}
	p.out.backtrack = true
	p.setAtom(`(?:\`+strconv.Itoa(n)+`)`, true)
	return nil
}

func runeLiteral(r rune) string {
	if r < ' ' || r == 0x7f {
		return `\x` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15])
	}
	return quote(string(r))
}

// escapedRune reads a character escape; the backslash is at pos.
func (p *parser) escapedRune() (rune, error) {
	bad := errPattern("invalid escape \\ sequence")
	if p.pos+1 >= len(p.src) {
		return 0, bad
	}
	r, w := utf8.DecodeRuneInString(p.src[p.pos+1:])
	p.pos += 1 + w
	if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
		return r, nil
	}
	if i := strings.IndexRune("abefnrtvB", r); i >= 0 {
		return rune("\a\b\x1b\f\n\r\t\v\\"[i]), nil
	}
	hex := func(least, most int) (rune, error) {
		n := 0
		for n < most && p.pos+n < len(p.src) {
			if !isHex(p.src[p.pos+n]) {
				break
			}
			n++
		}
		if n < least {
			return 0, bad
		}
		v, err := strconv.ParseUint(p.src[p.pos:p.pos+n], 16, 32)
		p.pos += n
		if err != nil || v > utf8.MaxRune {
			return 0, bad
		}
		return rune(v), nil
	}
	switch r {
	case 'u':
		return hex(4, 4)
	case 'U':
		return hex(8, 8)
	case 'x':
		return hex(1, 8)
	case 'c':
		if p.pos < len(p.src) {
			c := rune(p.src[p.pos] & 31)
			p.pos++
			return c, nil
		}
	case '0':
		v := rune(0)
		for n := 0; n < 2 && p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '7'; n++ {
			v = v<<3 | rune(p.src[p.pos]-'0')
			p.pos++
		}
		return v, nil
	}
	return 0, bad
}

// bracket translates [...].
func (p *parser) bracket() error {
	rest := p.src[p.pos:]
	switch {
	case strings.HasPrefix(rest, "[[:<:]]"):
		return p.wordEdge(`(?<![`+wordClass+`])(?=[`+wordClass+`])`, 7)
	case strings.HasPrefix(rest, "[[:>:]]"):
		return p.wordEdge(`(?<=[`+wordClass+`])(?![`+wordClass+`])`, 7)
	}
	p.pos++
	var b strings.Builder
	b.WriteByte('[')
	negated := p.pos < len(p.src) && p.src[p.pos] == '^'
	if negated {
		p.pos++
		b.WriteByte('^')
		if p.flags.DotStops {
			b.WriteString(`\n`)
		}
	}
	for first := true; ; first = false {
		if p.pos >= len(p.src) {
			return errPattern("brackets [] not balanced")
		}
		if p.src[p.pos] == ']' && !first {
			p.pos++
			break
		}
		if err := p.bracketItem(&b); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	p.setAtom(b.String(), true)
	return nil
}

// bracketItem translates one class, character or range inside brackets.
func (p *parser) bracketItem(b *strings.Builder) error {
	rest := p.src[p.pos:]
	if strings.HasPrefix(rest, "[:") {
		end := strings.Index(rest, ":]")
		if end < 0 {
			return errPattern("brackets [] not balanced")
		}
		class, ok := classes[rest[2:end]]
		if !ok {
			return errPattern("invalid character class")
		}
		b.WriteString(class)
		p.pos += end + 2
		return nil
	}
	if len(rest) > 1 && rest[0] == '\\' {
		if i := strings.IndexByte("dwsDWS", rest[1]); i >= 0 {
			p.pos += 2
			b.WriteString([]string{`0-9`, wordClass, spaceClass, `\D`, `\W`, `\S`}[i])
			return nil
		}
	}
	lo, err := p.bracketRune()
	if err != nil {
		return err
	}
	b.WriteString(classRune(lo))
	if !strings.HasPrefix(p.src[p.pos:], "-") || strings.HasPrefix(p.src[p.pos:], "-]") {
		return nil
	}
	p.pos++
	if p.pos >= len(p.src) {
		return errPattern("brackets [] not balanced")
	}
	if strings.HasPrefix(p.src[p.pos:], "[:") {
		return errPattern("invalid character range")
	}
	hi, err := p.bracketRune()
	if err != nil {
		return err
	}
	if hi < lo {
		return errPattern("invalid character range")
	}
	b.WriteString("-" + classRune(hi))
	return nil
}

func (p *parser) bracketRune() (rune, error) {
	rest := p.src[p.pos:]
	if strings.HasPrefix(rest, "[.") || strings.HasPrefix(rest, "[=") {
		end := strings.Index(rest[2:], rest[1:2]+"]")
		if end < 0 {
			return 0, errPattern("brackets [] not balanced")
		}
		name := rest[2 : 2+end]
		p.pos += end + 4
		r, w := utf8.DecodeRuneInString(name)
		if w == 0 || w != len(name) {
			return 0, errPattern("invalid collating element")
		}
		return r, nil
	}
	if rest[0] == '\\' {
		return p.escapedRune()
	}
	r, w := utf8.DecodeRuneInString(rest)
	p.pos += w
	return r, nil
}

// classRune writes r so that it stands for itself inside brackets.
func classRune(r rune) string {
	if r < ' ' || r == 0x7f {
		return runeLiteral(r)
	}
	if strings.ContainsRune(`\]^-[&~`, r) {
		return `\` + string(r)
	}
	return string(r)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func choose(cond bool, a, b string) string {
	if cond {
		return a
	}
	return b
}
