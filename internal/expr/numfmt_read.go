package expr

import (
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// numReader reads a number by a template. Digit cells take a sign, a digit or the point if one is there; literals pass over a
// character whatever it is, and other cells over one that is not part of a number.
type numReader struct {
	*numTemplate
	in     string
	at     int
	sign   byte // ' ' for none so far
	digits []byte
	whole  int // digits taken before the point
	frac   int // and behind it
	dotted bool
}

// toNumber is to_number. NULL for an empty template. Errors: 22P02 without a digit, 22003 for more digits than the template
// has.
func toNumber(s, format []byte) (numeric.Dec, error) {
	if len(format) == 0 {
		return numeric.Dec{}, errNull
	}
	t, err := parseNumTemplate(string(format))
	if err != nil {
		return numeric.Dec{}, err
	}
	switch {
	case t.sci:
		return numeric.Dec{}, sqlerr.New(sqlerr.FeatureNotSupported, "\"EEEE\" not supported for input")
	case t.roman:
		return numeric.Dec{}, sqlerr.New(sqlerr.FeatureNotSupported, "\"RN\" not supported for input")
	}
	r := &numReader{numTemplate: t, in: string(s), sign: ' '}
	for _, c := range t.cells {
		if r.over() {
			break
		}
		r.cell(c)
	}
	d, err := numeric.Parse(string(r.sign) + strings.TrimSuffix(string(r.digits), "."))
	if err != nil {
		return numeric.Dec{}, err
	}
	if d, err = d.ApplyTypmod(int32((t.pre+t.multi+r.frac)<<16|r.frac) + 4); err != nil || !t.shift {
		return d, err
	}
	by, err := numeric.FromInt64(10).Pow(numeric.FromInt64(int64(-t.multi)))
	if err != nil {
		return numeric.Dec{}, err
	}
	return d.Mul(by)
}

func (r *numReader) over() bool { return r.at >= len(r.in) }

func (r *numReader) cell(c numCell) {
	switch c.kind {
	case cellNine, cellZero, cellPoint:
		r.digit(c.kind != cellPoint)
		r.at++
	case cellGroup:
		// In front of the number FM has no place for it.
		if r.in[r.at] == ',' && !r.fill {
			r.at++
		}
	case cellCurrency:
		r.pass(1)
	case cellOrdinal:
		if !r.point {
			r.pass(2)
		}
	case cellMinus:
		r.mark("-")
	case cellPlus:
		r.mark("+")
	case cellSign:
		r.mark("-+")
	default:
		r.skip()
	}
}

// skip passes over one character.
func (r *numReader) skip() { r.at += charOffset([]byte(r.in[r.at:]), 1) }

// pass passes over up to n characters that are not part of a number.
func (r *numReader) pass(n int) {
	for ; n > 0 && !r.over() && !strings.ContainsRune("0123456789.,+-", rune(r.in[r.at])); n-- {
		r.skip()
	}
}

// mark takes one of the signs, or passes over what stands in its place.
func (r *numReader) mark(signs string) {
	if c := r.in[r.at]; strings.IndexByte(signs, c) >= 0 {
		r.sign = c
		r.at++
		return
	}
	r.pass(1)
}

func isDecimal(c byte) bool { return c >= '0' && c <= '9' }

// digit reads what is under a cell of a digit or the point; the caller goes on by one character.
func (r *numReader) digit(digit bool) {
	if r.in[r.at] == ' ' {
		r.at++
	}
	if r.over() {
		return
	}
	if r.sign == ' ' && digit && r.whole+r.frac == 0 {
		r.leadSign()
	}
	if r.over() {
		return
	}
	took := false
	switch c := r.in[r.at]; {
	case isDecimal(c):
		if r.dotted && r.frac == r.post {
			return
		}
		r.digits = append(r.digits, c)
		if r.dotted {
			r.frac++
		} else {
			r.whole++
		}
		took = true
	case r.point && !r.dotted && c == '.':
		r.digits, r.dotted, took = append(r.digits, c), true, true
	}
	if r.sign == ' ' && r.whole+r.frac > 0 {
		r.tailSign(took)
	}
}

// leadSign takes the sign in front of the first digit.
func (r *numReader) leadSign() {
	c := r.in[r.at]
	switch {
	case c == '<' && r.bracket:
		c = '-'
	case c != '-' && c != '+':
		return
	}
	r.sign = c
	r.at++
}

// tailSign takes a sign behind the number: with S right behind the digit just taken, with MI, PL or SG in the place of one.
func (r *numReader) tailSign(took bool) {
	isSign := func(at int) bool { return at < len(r.in) && (r.in[at] == '-' || r.in[at] == '+') }
	switch {
	case r.signs != signNowhere && took:
		if isSign(r.at + 1) {
			r.at++
			r.sign = r.in[r.at]
		}
	case !took && r.signed() && isSign(r.at):
		r.sign = r.in[r.at]
	}
}
