package sqlio

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

const arrayDelimiter = ','

func appendArrayText(dst []byte, t sqltypes.Type, b []byte, s *Settings) []byte {
	a, err := ReadArray(t, b)
	if err != nil || a.n == 0 {
		return append(dst, '{', '}')
	}
	dst = appendBounds(dst, a)
	next := 0
	return appendLevel(dst, a, 0, &next, s)
}

// appendBounds prints [l:u]…= unless all lower bounds are 1.
func appendBounds(dst []byte, a ArrayReader) []byte {
	dims, lower := a.Dims()
	plain := true
	for _, l := range lower {
		plain = plain && l == 1
	}
	if plain {
		return dst
	}
	for k := range dims {
		dst = strconv.AppendInt(append(dst, '['), int64(lower[k]), 10)
		dst = strconv.AppendInt(append(dst, ':'), int64(lower[k]+dims[k]-1), 10)
		dst = append(dst, ']')
	}
	return append(dst, '=')
}

func appendLevel(dst []byte, a ArrayReader, level int, next *int, s *Settings) []byte {
	dst = append(dst, '{')
	n, _ := a.Dim(level)
	for i := range n {
		if i > 0 {
			dst = append(dst, arrayDelimiter)
		}
		if level < a.NDim()-1 {
			dst = appendLevel(dst, a, level+1, next, s)
			continue
		}
		dst = appendElement(dst, a, *next, s)
		*next++
	}
	return append(dst, '}')
}

func appendElement(dst []byte, a ArrayReader, i int, s *Settings) []byte {
	if a.IsNull(i) {
		return append(dst, "NULL"...)
	}
	start := len(dst)
	dst = AppendTextDatum(dst, a.elem, a.At(i), s)
	if !needsQuotes(dst[start:]) {
		return dst
	}
	text := string(dst[start:])
	dst = append(dst[:start], '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

func needsQuotes(b []byte) bool {
	if len(b) == 0 || len(b) == 4 && strings.EqualFold(string(b), "null") {
		return true
	}
	for _, c := range b {
		switch c {
		case '"', '\\', '{', '}', arrayDelimiter:
			return true
		}
		if isSpace(c) {
			return true
		}
	}
	return false
}

func appendVectorText(dst []byte, t sqltypes.Type, b []byte, s *Settings) []byte {
	a, err := ReadArray(t, b)
	if err != nil {
		return dst
	}
	for i := range a.n {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendTextDatum(dst, a.elem, a.At(i), s)
	}
	return dst
}

func parseVector(t sqltypes.Type, text string, s *Settings) ([]byte, error) {
	var elems []sqltypes.Datum
	for _, f := range strings.Fields(text) {
		d, err := ParseText(elemType(t), f, s)
		if err != nil {
			return nil, err
		}
		elems = append(elems, d)
	}
	if len(elems) == 0 {
		return []byte{0, 0}, nil
	}
	return MakeArrayDims(t, []int{len(elems)}, []int{0}, elems)
}

func errMalformed(what, text, detail string, args ...any) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "malformed %s literal: \"%s\"", what, text).WithDetail(detail, args...)
}

// arrayParser reads an array literal: it finds the dimensions and the element texts in one pass.
type arrayParser struct {
	text  string
	pos   int
	state arrayState
	dims  []int // lengths found so far, outermost first; −1: not known yet
	count []int // items seen at each open level
	depth int
	items []arrayItem
}

type arrayItem struct {
	text string
	null bool
}

// arrayState is what was read last, which decides what may follow.
type arrayState uint8

const (
	noLevel        arrayState = iota // before the first brace
	levelStarted                     // after {
	elemCompleted                    // after an element
	elemDelimited                    // after the comma behind an element
	levelCompleted                   // after }
	levelDelimited                   // after the comma behind }
)

func parseArray(t sqltypes.Type, text string, s *Settings) ([]byte, error) {
	p := &arrayParser{text: text}
	dims, lower, err := p.bounds()
	if err != nil {
		return nil, err
	}
	if err := p.braces(); err != nil {
		return nil, err
	}
	if len(p.items) == 0 {
		if dims != nil {
			return nil, p.bad("Specified array dimensions do not match array contents.")
		}
		return []byte{0, 0}, nil
	}
	if dims != nil && !equalInts(dims, p.dims) {
		return nil, p.bad("Specified array dimensions do not match array contents.")
	}
	elems := make([]sqltypes.Datum, len(p.items))
	for i, item := range p.items {
		if item.null {
			continue
		}
		if elems[i], err = ParseText(elemType(t), item.text, s); err != nil {
			return nil, err
		}
	}
	return MakeArrayDims(t, p.dims, lower, elems)
}

func (p *arrayParser) bad(detail string, args ...any) error {
	return errMalformed("array", p.text, detail, args...)
}

func (p *arrayParser) skipSpace() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

func (p *arrayParser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// bounds reads [l:u]…= and stops at the opening brace. dims is nil when there is none.
func (p *arrayParser) bounds() (dims, lower []int, err error) {
	for {
		p.skipSpace()
		if p.peek() != '[' {
			break
		}
		p.pos++
		if len(dims) == MaxArrayDims {
			return nil, nil, errTooManyDims(len(dims) + 1)
		}
		first, ok := p.integer()
		if !ok {
			return nil, nil, p.bad("\"[\" must introduce explicitly-specified array dimensions.")
		}
		l, u := 1, first
		if p.peek() == ':' {
			p.pos++
			l = first
			if u, ok = p.integer(); !ok {
				return nil, nil, p.bad("Missing array dimension value.")
			}
		}
		if p.peek() != ']' {
			return nil, nil, p.bad("Missing \"%s\" after array dimensions.", "]")
		}
		p.pos++
		if u < l {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "upper bound cannot be less than lower bound")
		}
		dims, lower = append(dims, u-l+1), append(lower, l)
	}
	if dims == nil {
		if p.peek() != '{' {
			return nil, nil, p.bad("Array value must start with \"{\" or dimension information.")
		}
		return nil, nil, nil
	}
	if p.peek() != '=' {
		return nil, nil, p.bad("Missing \"%s\" after array dimensions.", "=")
	}
	p.pos++
	p.skipSpace()
	if p.peek() != '{' {
		return nil, nil, p.bad("Array contents must start with \"{\".")
	}
	return dims, lower, nil
}

// integer reads digits and signs as C's atoi would; ok is false if there are none.
func (p *arrayParser) integer() (v int, ok bool) {
	start := p.pos
	for c := p.peek(); c-'0' < 10 || c == '-' || c == '+'; c = p.peek() {
		p.pos++
	}
	v, err := strconv.Atoi(p.text[start:p.pos])
	if err != nil {
		v = 0
	}
	return v, p.pos > start
}

// braces reads from the opening brace to the end of the text.
func (p *arrayParser) braces() error {
	for {
		p.skipSpace()
		if p.pos == len(p.text) {
			return p.bad("Unexpected end of input.")
		}
		var err error
		switch c := p.text[p.pos]; c {
		case '{':
			err = p.open()
		case '}':
			err = p.close()
		case arrayDelimiter:
			err = p.delimiter()
		default:
			err = p.element()
		}
		if err != nil {
			return err
		}
		if p.depth == 0 {
			break
		}
	}
	p.skipSpace()
	if p.pos < len(p.text) {
		return p.bad("Junk after closing right brace.")
	}
	return nil
}

func (p *arrayParser) open() error {
	if p.state != noLevel && p.state != levelStarted && p.state != levelDelimited {
		return p.bad("Unexpected \"%c\" character.", '{')
	}
	if p.depth == MaxArrayDims {
		return errTooManyDims(p.depth + 1)
	}
	if p.depth == len(p.dims) {
		p.dims, p.count = append(p.dims, -1), append(p.count, 0)
	}
	p.count[p.depth] = 0
	p.depth++
	p.state = levelStarted
	p.pos++
	return nil
}

func (p *arrayParser) close() error {
	if p.state != elemCompleted && p.state != levelCompleted && !(p.depth == 1 && p.state == levelStarted) {
		return p.bad("Unexpected \"%c\" character.", '}')
	}
	p.depth--
	if want := p.dims[p.depth]; want >= 0 && want != p.count[p.depth] {
		return p.bad("Multidimensional arrays must have sub-arrays with matching dimensions.")
	}
	p.dims[p.depth] = p.count[p.depth]
	if p.depth > 0 {
		p.count[p.depth-1]++
	}
	p.state = levelCompleted
	p.pos++
	return nil
}

func (p *arrayParser) delimiter() error {
	switch p.state {
	case elemCompleted:
		p.state = elemDelimited
	case levelCompleted:
		p.state = levelDelimited
	default:
		return p.bad("Unexpected \"%c\" character.", arrayDelimiter)
	}
	p.pos++
	return nil
}

// element reads one element, quoted or not.
func (p *arrayParser) element() error {
	if p.state != levelStarted && p.state != elemDelimited {
		if p.text[p.pos] == '\\' {
			return p.bad("Unexpected \"%c\" character.", '\\')
		}
		return p.bad("Unexpected array element.")
	}
	if p.depth < len(p.dims) { // an element where deeper levels were before
		return p.bad("Unexpected array element.")
	}
	var err error
	var item arrayItem
	if p.text[p.pos] == '"' {
		item.text, err = p.quoted()
	} else {
		item, err = p.bare()
	}
	if err != nil {
		return err
	}
	p.items = append(p.items, item)
	p.count[p.depth-1]++
	p.state = elemCompleted
	return nil
}

func (p *arrayParser) quoted() (string, error) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case '"':
			p.pos++
			return b.String(), nil
		case '\\':
			if p.pos++; p.pos == len(p.text) {
				return "", p.bad("Unexpected end of input.")
			}
		}
		b.WriteByte(p.text[p.pos])
	}
	return "", p.bad("Unexpected end of input.")
}

// bare reads an unquoted element up to a delimiter or brace; blanks within it count, at its end not.
func (p *arrayParser) bare() (arrayItem, error) {
	var b strings.Builder
	keep, escaped := 0, false
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch c {
		case arrayDelimiter, '}':
			text := b.String()[:keep]
			return arrayItem{text, !escaped && strings.EqualFold(text, "null")}, nil
		case '{':
			return arrayItem{}, p.bad("Unexpected \"%c\" character.", '{')
		case '"':
			return arrayItem{}, p.bad("Unexpected array element.")
		case '\\':
			if p.pos++; p.pos == len(p.text) {
				return arrayItem{}, p.bad("Unexpected end of input.")
			}
			c, escaped = p.text[p.pos], true
			b.WriteByte(c)
			keep = b.Len()
			p.pos++
			continue
		}
		b.WriteByte(c)
		if !isSpace(c) {
			keep = b.Len()
		}
		p.pos++
	}
	return arrayItem{}, p.bad("Unexpected end of input.")
}
