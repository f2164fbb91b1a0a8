package expr

import (
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// to_char and to_number for numbers: what a template is, and the functions. numfmt_write.go writes a number into a
// template, numfmt_read.go reads one by it. Templates that make little sense have answers in PostgreSQL, too, which are
// the answers here; internal/pgdiff compares thousands of them.

type cellKind uint8

const (
	cellLiteral cellKind = iota
	cellNine             // a digit, nothing in front of the number
	cellZero             // a digit, zero in front of the number
	cellPoint
	cellGroup
	cellMinus // MI
	cellPlus  // PL
	cellSign  // SG
	cellOrdinal
	cellCurrency
	cellRoman
)

type numCell struct {
	kind  cellKind
	text  string // of a literal: one character
	lower bool
}

// signPlace is where S puts the sign.
type signPlace uint8

const (
	signNowhere signPlace = iota
	signAhead
	signBehind
)

// numTemplate is a parsed template: a row of cells, and what they say together.
type numTemplate struct {
	cells     []numCell
	pre, post int // digits before and after the point
	multi     int // digits 9 behind V
	zero      bool
	zeroStart int // with zero: digits in front of the first 0
	zeroEnd   int // digits up to the last 0
	signs     signPlace
	signPre   int // with signAhead: digits before the point in front of S
	point     bool
	fill      bool // FM
	bracket   bool // PR
	minus     bool // MI or SG
	plus      bool // PL or SG
	shift     bool // V
	sci       bool // EEEE
	roman     bool
	blank     bool // B
}

func errTemplate(format string, args ...any) error {
	return sqlerr.New(sqlerr.SyntaxError, format, args...)
}

// numWords are the template's words, longer ones before those that they begin with. They count in upper or lower case, not
// in a mixture.
var numWords = []string{"EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "SP", "TH", ",", ".", "0", "9", "B", "C", "D", "G", "L", "S", "V"}

// numWord finds the word that s begins with.
func numWord(s string) (word string, lower bool) {
	for _, w := range numWords {
		if strings.HasPrefix(s, w) {
			return w, false
		}
		if l := strings.ToLower(w); l != w && strings.HasPrefix(s, l) {
			return w, true
		}
	}
	return "", false
}

func parseNumTemplate(s string) (*numTemplate, error) {
	t := &numTemplate{}
	for len(s) > 0 {
		if word, lower := numWord(s); word != "" {
			s = s[len(word):]
			if err := t.word(word, lower); err != nil {
				return nil, err
			}
			continue
		}
		if s[0] == '"' {
			s = t.quoted(s[1:])
			continue
		}
		if strings.HasPrefix(s, `\"`) {
			s = s[1:]
		}
		s = t.literal(s)
	}
	return t, nil
}

// quoted takes literals up to the closing quote.
func (t *numTemplate) quoted(s string) string {
	for len(s) > 0 && s[0] != '"' {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		s = t.literal(s)
	}
	return strings.TrimPrefix(s, `"`)
}

// literal takes one character.
func (t *numTemplate) literal(s string) string {
	n := charOffset([]byte(s), 1)
	t.add(numCell{kind: cellLiteral, text: s[:n]})
	return s[n:]
}

func (t *numTemplate) add(c numCell) { t.cells = append(t.cells, c) }

func (t *numTemplate) word(w string, lower bool) error {
	if t.sci && w != "EEEE" {
		return errTemplate("\"EEEE\" must be the last pattern used")
	}
	switch w {
	case "9", "0":
		if t.bracket {
			return errTemplate("\"%s\" must be ahead of \"PR\"", w)
		}
		t.digit(w == "0")
	case ".", "D":
		switch {
		case t.point:
			return errTemplate("multiple decimal points")
		case t.shift:
			return errTemplate("cannot use \"V\" and decimal point together")
		}
		t.point = true
		t.add(numCell{kind: cellPoint})
	case ",", "G":
		t.add(numCell{kind: cellGroup})
	case "FM":
		t.fill = true
	case "B":
		t.blank = t.blank || t.pre == 0 && t.post == 0 && !t.zero
	case "L":
		t.add(numCell{kind: cellCurrency})
	case "TH":
		t.add(numCell{kind: cellOrdinal, lower: lower})
	case "RN":
		t.roman = true
		t.add(numCell{kind: cellRoman, lower: lower})
	case "V":
		if t.point {
			return errTemplate("cannot use \"V\" and decimal point together")
		}
		t.shift = true
	case "EEEE":
		switch {
		case t.sci:
			return errTemplate("cannot use \"EEEE\" twice")
		case t.signed() || t.signs != signNowhere || t.bracket || t.roman || t.shift || t.fill || t.blank:
			return sqlerr.New(sqlerr.SyntaxError, "\"EEEE\" is incompatible with other formats").
				WithDetail("\"EEEE\" may only be used together with digit and decimal point patterns.")
		}
		t.sci = true
	case "MI", "PL", "SG", "S", "PR":
		return t.sign(w)
	}
	return nil // C and SP mean nothing
}

// signed reports whether MI, PL or SG say where the sign goes.
func (t *numTemplate) signed() bool { return t.minus || t.plus }

func (t *numTemplate) sign(w string) error {
	switch w {
	case "S":
		switch {
		case t.signs != signNowhere:
			return errTemplate("cannot use \"S\" twice")
		case t.signed() || t.bracket:
			return errTemplate("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")
		case t.point:
			t.signs = signBehind
		default:
			t.signs, t.signPre = signAhead, t.pre
		}
		return nil
	case "PR":
		if t.signed() || t.signs != signNowhere {
			return errTemplate("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
		}
		t.bracket = true
		return nil
	}
	if t.signs != signNowhere {
		return errTemplate("cannot use \"S\" and \"%s\" together", w)
	}
	t.minus, t.plus = t.minus || w != "PL", t.plus || w != "MI"
	t.add(numCell{kind: map[string]cellKind{"MI": cellMinus, "PL": cellPlus, "SG": cellSign}[w]})
	return nil
}

func (t *numTemplate) digit(zero bool) {
	kind := cellNine
	if zero {
		kind = cellZero
		if !t.zero && !t.point {
			t.zero, t.zeroStart = true, t.pre
		}
	}
	switch {
	case !zero && t.shift:
		t.multi++
	case t.point:
		t.post++
	default:
		t.pre++
	}
	if zero {
		t.zeroEnd = t.pre + t.post
	}
	t.add(numCell{kind: kind})
}

// romanWidth is the width of the longest Roman numeral below 4000.
const romanWidth = 15

// toRoman writes a template with a Roman numeral in it, # for a number that has none.
func (t *numTemplate) toRoman(dst []byte, n int64) ([]byte, error) {
	text := strings.Repeat("#", romanWidth)
	if n > 0 && n < 4000 {
		text = ""
		for _, r := range []struct {
			v int64
			s string
		}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}} {
			for n >= r.v {
				text, n = text+r.s, n-r.v
			}
		}
	}
	bare := numTemplate{cells: t.cells, roman: true, fill: t.fill}
	return bare.write(dst, text, 0, 0)
}

// toChar writes a number printed with t.post digits behind its point, which may be less than the template has.
func (t *numTemplate) toChar(dst []byte, text string) ([]byte, error) {
	sign := byte('+')
	if strings.HasPrefix(text, "-") {
		sign, text = '-', text[1:]
	}
	whole, _, _ := strings.Cut(text, ".")
	switch spare := t.pre - len(whole); {
	case spare < 0:
		return t.write(dst, hashes(t.pre, t.post), 0, sign)
	default:
		return t.write(dst, text, spare, sign)
	}
}

// hashes stands for a number that does not fit.
func hashes(pre, post int) string { return strings.Repeat("#", pre) + "." + strings.Repeat("#", post) }

// decToChar formats a numeric.
func decToChar(dst []byte, d numeric.Dec, format []byte) ([]byte, error) {
	t, err := parseNumTemplate(string(format))
	if err != nil || len(format) == 0 {
		return dst, err
	}
	switch {
	case t.roman:
		n, err := decToIntOf(sqltypes.KInt4)(d)
		if err != nil {
			return dst, err
		}
		return t.toRoman(dst, n)
	case t.sci:
		return t.decSci(dst, d)
	}
	if t.shift {
		if d, err = d.Mul(pow10(t.multi)); err != nil {
			return dst, err
		}
		t.pre += t.multi
	}
	if d, err = d.Round(int32(t.post)); err != nil {
		return dst, err
	}
	return t.toChar(dst, d.String())
}

func pow10(n int) numeric.Dec {
	d, _ := numeric.Parse("1e" + strconv.Itoa(n))
	return d
}

// decSci is EEEE for a numeric.
func (t *numTemplate) decSci(dst []byte, d numeric.Dec) ([]byte, error) {
	if !d.IsFinite() {
		return append(dst, t.sciHashes()...), nil
	}
	coef, scale, _ := d.ToBig()
	exp := len(coef.Abs(coef).String()) - 1 - int(scale)
	if d.IsZero() {
		exp = 0
	}
	m, err := numeric.Parse(d.Abs().String() + "e" + strconv.Itoa(-exp))
	if err != nil {
		return dst, err
	}
	if m, err = m.Round(int32(t.post)); err != nil {
		return dst, err
	}
	// Rounding up to 10 leaves the exponent alone, as in PostgreSQL: 9.999 in 9.9EEEE is 10.0e+00.
	dst = append(dst, choose(d.Sign() < 0, "-", " ")...)
	dst = append(m.AppendText(dst), 'e')
	return append(dst, exponent(exp)...), nil
}

func exponent(e int) string {
	sign := "+"
	if e < 0 {
		sign, e = "-", -e
	}
	s := strconv.Itoa(e)
	if len(s) < 2 {
		s = "0" + s
	}
	return sign + s
}

// sciHashes stands for NaN and the infinities in EEEE.
func (t *numTemplate) sciHashes() string {
	return " " + strings.Repeat("#", t.pre) + "." + strings.Repeat("#", t.post+4)
}

// integerToChar formats an integer of the given size in bits.
func integerToChar(size int) func(dst []byte, n int64, format []byte) ([]byte, error) {
	return func(dst []byte, n int64, format []byte) ([]byte, error) {
		t, err := parseNumTemplate(string(format))
		if err != nil || len(format) == 0 {
			return dst, err
		}
		switch {
		case t.roman && int64(int32(n)) != n:
			return dst, errInt4Range
		case t.roman:
			return t.toRoman(dst, n)
		case t.sci && size == 32:
			return t.floatSci(dst, float64(n)), nil
		case t.sci:
			return t.decSci(dst, numeric.FromInt64(n))
		}
		if t.shift {
			if n, err = shiftInt(n, t.multi, size); err != nil {
				return dst, err
			}
			t.pre += t.multi
		}
		text := strconv.FormatInt(n, 10)
		if t.post > 0 {
			text += "." + strings.Repeat("0", t.post)
		}
		return t.toChar(dst, text)
	}
}

// shiftInt multiplies by 10^digits. Error: 22003.
func shiftInt(n int64, digits, size int) (int64, error) {
	rangeErr := errInt8Range
	if size == 32 {
		rangeErr = errInt4Range
	}
	p := math.Pow10(digits)
	if p >= math.Pow(2, float64(size-1)) {
		return 0, rangeErr
	}
	lo := n * int64(p)
	if mulHigh(n, int64(p)) != lo>>63 || size == 32 && int64(int32(lo)) != lo {
		return 0, rangeErr
	}
	return lo, nil
}

// floatSci is EEEE for a float or an integer.
func (t *numTemplate) floatSci(dst []byte, f float64) []byte {
	if suspicious(f) {
		return append(dst, t.sciHashes()...)
	}
	dst = append(dst, choose(math.Signbit(f), "-", " ")...)
	return strconv.AppendFloat(dst, math.Abs(f), 'e', t.post, 64)
}

// floatToChar formats a float, of which only the digits that it really has are shown (15, or 6 for real).
func floatToChar(digits int) func(dst []byte, f float64, format []byte) ([]byte, error) {
	return func(dst []byte, f float64, format []byte) ([]byte, error) {
		t, err := parseNumTemplate(string(format))
		if err != nil || len(format) == 0 {
			return dst, err
		}
		switch {
		case t.roman:
			r := math.RoundToEven(f)
			if !(math.Abs(r) < 4000) {
				r = 0 // has no numeral, either
			}
			return t.toRoman(dst, int64(r))
		case t.sci:
			return t.floatSci(dst, f), nil
		}
		if t.shift {
			if f *= math.Pow10(t.multi); digits == 6 {
				f = float64(float32(f))
			}
			t.pre += t.multi
		}
		t.post = max(0, min(t.post, digits-len(printFloat(math.Abs(f), 0))))
		return t.toChar(dst, printFloat(f, t.post))
	}
}

// printFloat is C's %.*f.
func printFloat(f float64, digits int) string {
	switch {
	case f != f:
		return "NaN"
	case math.IsInf(f, 0):
		return choose(f < 0, "-Infinity", "Infinity")
	}
	return strconv.FormatFloat(f, 'f', digits, 64)
}

// numFormatFuncs lists to_char for numbers, and to_number.
func numFormatFuncs() []Func {
	t := sqltypes.Text
	const doc = "formatted number"
	list := []Func{
		fn("to_char", ts(sqltypes.Int4, t), t, b2e(integerToChar(32)), doc),
		fn("to_char", ts(sqltypes.Int8, t), t, b2e(integerToChar(64)), doc),
		fn("to_char", ts(sqltypes.Numeric, t), t, b2e(decToChar), doc),
		fn("to_char", ts(sqltypes.Float4, t), t, b2e(floatToChar(6)), doc),
		fn("to_char", ts(sqltypes.Float8, t), t, b2e(floatToChar(15)), doc),
		fn("to_number", ts(t, t), sqltypes.Numeric, k2e(toNumber), "number from formatted text"),
	}
	for i := range list {
		list[i] = list[i].stable()
	}
	return list
}
