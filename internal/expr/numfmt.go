package expr

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// to_char and to_number for numbers. A template is a row of cells: digits, a point, separators, signs, literals.
// The number is written into the digit cells from the point outwards; the sign floats in front of the first digit
// that shows, unless the template says where it goes.

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
	cellFloat // S: the sign in front of or behind the number
	cellOrdinal
	cellCurrency
	cellRoman
)

type numCell struct {
	kind  cellKind
	text  string
	lower bool
}

// numTemplate is a parsed template.
type numTemplate struct {
	cells      []numCell
	pre, post  int // digits before and after the point
	multi      int // digits behind V
	zeroStart  int // first digit cell from which zeros show; −1 for none
	zeroEnd    int // number of digit cells up to the last 0
	point      bool
	fill       bool // FM
	bracket    bool // PR
	minus      bool // MI or SG
	plus       bool // PL or SG
	float      bool // S
	floatAfter bool // S behind the digits
	shift      bool // V
	sci        bool // EEEE
	roman      bool
	blank      bool // B
}

func errTemplate(format string, args ...any) error {
	return sqlerr.New(sqlerr.SyntaxError, format, args...)
}

// numWords are the template's words, longer ones first.
var numWords = []string{"EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "TH", ",", ".", "0", "9", "B", "C", "D", "G", "L", "S", "V"}

func parseNumTemplate(s string) (*numTemplate, error) {
	t := &numTemplate{zeroStart: -1}
	for len(s) > 0 {
		if s[0] == '"' {
			s = t.quoted(s[1:])
			continue
		}
		word := ""
		for _, w := range numWords {
			if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) {
				word = w
				break
			}
		}
		if word == "" {
			n := charOffset([]byte(s), 1)
			if s[0] == '\\' && len(s) > 1 {
				s = s[1:]
				n = charOffset([]byte(s), 1)
			}
			t.add(numCell{kind: cellLiteral, text: s[:n]})
			s = s[n:]
			continue
		}
		lower := s[0] >= 'a' && s[0] <= 'z'
		s = s[len(word):]
		if err := t.word(word, lower); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// quoted takes a literal up to the closing quote.
func (t *numTemplate) quoted(s string) string {
	var b strings.Builder
	for len(s) > 0 && s[0] != '"' {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	t.add(numCell{kind: cellLiteral, text: b.String()})
	return strings.TrimPrefix(s, `"`)
}

func (t *numTemplate) add(c numCell) { t.cells = append(t.cells, c) }

func (t *numTemplate) word(w string, lower bool) error {
	if t.sci && w != "FM" {
		return errTemplate("\"EEEE\" must be the last pattern used")
	}
	signed := t.minus || t.plus || t.float
	switch w {
	case "9", "0":
		if t.bracket {
			return errTemplate("\"9\" must be ahead of \"PR\"")
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
		t.blank = true
	case "L":
		t.add(numCell{kind: cellCurrency})
	case "C": // the ISO currency name, of which there is none
	case "MI", "PL", "SG":
		if t.float {
			return errTemplate("cannot use \"S\" and \"%s\" together", choose(w == "MI", "MI", choose(w == "PL", "PL", "SG")))
		}
		if t.bracket {
			return errTemplate("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
		}
		t.sign(w)
	case "S":
		switch {
		case t.float:
			return errTemplate("cannot use \"S\" twice")
		case signed || t.bracket:
			return errTemplate("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")
		}
		t.float, t.floatAfter = true, t.pre+t.post+t.multi > 0
		t.add(numCell{kind: cellFloat})
	case "PR":
		if signed {
			return errTemplate("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
		}
		t.bracket = true
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
		if signed || t.bracket || t.roman || t.shift || t.fill || t.blank {
			return errTemplate("\"EEEE\" is incompatible with other formats")
		}
		t.sci = true
	}
	return nil
}

func (t *numTemplate) sign(w string) {
	switch w {
	case "MI":
		t.minus = true
		t.add(numCell{kind: cellMinus})
	case "PL":
		t.plus = true
		t.add(numCell{kind: cellPlus})
	default:
		t.minus, t.plus = true, true
		t.add(numCell{kind: cellSign})
	}
}

func (t *numTemplate) digit(zero bool) {
	if zero && t.zeroStart < 0 && !t.point {
		t.zeroStart = t.pre + t.multi
	}
	switch {
	case t.point:
		t.post++
	case t.shift:
		t.multi++
	default:
		t.pre++
	}
	kind := cellNine
	if zero {
		kind, t.zeroEnd = cellZero, t.pre+t.multi+t.post
	}
	t.add(numCell{kind: kind})
}

// numWriter writes one number into a template.
type numWriter struct {
	*numTemplate
	out       []byte
	negative  bool
	whole     []byte // digits before the point, without leading zeros but at least one
	frac      []byte // t.post digits
	keep      int    // digits of frac that show
	signDone  bool
	seenDigit bool
	col       int // digit cells passed
	lead      int // digit cells in front of the number
}

// toChar formats the digits of |x|: whole and frac (t.post digits); overflow says that whole does not fit.
func (t *numTemplate) toChar(dst []byte, negative bool, whole, frac []byte) []byte {
	w := &numWriter{numTemplate: t, out: dst, negative: negative, whole: whole, frac: frac, keep: len(frac)}
	pre := t.pre + t.multi
	if len(whole) > pre {
		w.whole, w.frac = bytes.Repeat([]byte{'#'}, pre), bytes.Repeat([]byte{'#'}, len(frac))
	}
	w.lead = pre - len(w.whole)
	if t.fill && len(w.whole) > 0 && (len(w.whole) == 0 || w.whole[0] != '#') {
		w.keep = max(len(bytes.TrimRight(w.frac, "0")), t.zeroEnd-pre)
	}
	w.signDone = t.minus || !t.plus && !t.bracket && !t.float && t.fill && !negative || t.float && t.floatAfter ||
		t.bracket && t.fill && !negative
	last := t.lastNumberCell()
	for i, c := range t.cells {
		w.cell(c)
		if i == last {
			w.closeNumber()
		}
	}
	return w.out
}

// lastNumberCell is the index of the last digit or point.
func (t *numTemplate) lastNumberCell() int {
	last := -1
	for i, c := range t.cells {
		if c.kind == cellNine || c.kind == cellZero || c.kind == cellPoint {
			last = i
		}
	}
	return last
}

// closeNumber writes what stands right behind the number.
func (w *numWriter) closeNumber() {
	switch {
	case w.bracket && w.negative:
		w.out = append(w.out, '>')
	case w.bracket && !w.fill:
		w.out = append(w.out, ' ')
	case w.float && w.floatAfter:
		w.out = append(w.out, choose(w.negative, "-", "+")...)
	}
}

func (w *numWriter) cell(c numCell) {
	switch c.kind {
	case cellLiteral:
		w.out = append(w.out, c.text...)
	case cellNine, cellZero:
		w.digitCell(c.kind == cellZero)
		w.col++
	case cellPoint:
		if len(w.frac) > 0 {
			w.leadSign()
			w.out = append(w.out, '.')
		}
	case cellGroup:
		if w.seenDigit {
			w.out = append(w.out, ',')
		} else if !w.fill {
			w.out = append(w.out, ' ')
		}
	case cellCurrency:
		w.out = append(w.out, ' ')
	case cellMinus:
		w.mark(w.negative, '-')
	case cellPlus:
		w.mark(!w.negative, '+')
	case cellSign:
		w.out = append(w.out, choose(w.negative, "-", "+")...)
	case cellOrdinal:
		if !w.negative && !w.point && !w.roman && (len(w.whole) == 0 || w.whole[0] != '#') {
			w.out = append(w.out, ordinal(w.whole, c.lower)...)
		}
	}
}

// mark writes a sign that applies, or a blank.
func (w *numWriter) mark(applies bool, sign byte) {
	if applies {
		w.out = append(w.out, sign)
	} else if !w.fill {
		w.out = append(w.out, ' ')
	}
}

// leadSign writes the floating sign, once, in front of the first thing that shows.
func (w *numWriter) leadSign() {
	if w.signDone {
		return
	}
	w.signDone = true
	switch {
	case w.float:
		w.out = append(w.out, choose(w.negative, "-", "+")...)
	case w.bracket && w.negative:
		w.out = append(w.out, '<')
	case w.negative:
		w.out = append(w.out, '-')
	case !w.fill:
		w.out = append(w.out, ' ')
	}
}

func (w *numWriter) digitCell(zero bool) {
	pre := w.pre + w.multi
	switch {
	case w.col >= pre: // behind the point
		k := w.col - pre
		if k >= len(w.frac) || k >= w.keep && !zero {
			return
		}
		w.leadSign()
		w.show(w.frac[k])
	case w.col < w.lead && (w.zeroStart < 0 || w.col < w.zeroStart):
		if !w.fill {
			w.out = append(w.out, ' ')
		}
	case w.col < w.lead:
		w.leadSign()
		w.show('0')
	case w.zeroStart < 0 && w.col == pre-1 && string(w.whole) == "0" && len(w.frac) > 0 && !(w.fill && w.keep <= 0):
		if !w.fill { // .5 rather than 0.5
			w.out = append(w.out, ' ')
		}
	default:
		w.leadSign()
		w.show(w.whole[w.col-w.lead])
	}
}

func (w *numWriter) show(b byte) {
	w.out = append(w.out, b)
	w.seenDigit = true
}

// ordinal is the English suffix of a whole number.
func ordinal(whole []byte, lower bool) string {
	n := len(whole)
	th := "TH"
	if n < 2 || whole[n-2] != '1' {
		switch {
		case n == 0:
		case whole[n-1] == '1':
			th = "ST"
		case whole[n-1] == '2':
			th = "ND"
		case whole[n-1] == '3':
			th = "RD"
		}
	}
	if lower {
		return strings.ToLower(th)
	}
	return th
}

// romanWidth is the width of the longest Roman numeral below 4000.
const romanWidth = 15

func (t *numTemplate) toRoman(dst []byte, n int64, ok bool) []byte {
	text := strings.Repeat("#", romanWidth)
	if ok && n > 0 && n < 4000 {
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
	for _, c := range t.cells {
		if c.kind == cellRoman && c.lower {
			text = strings.ToLower(text)
		}
	}
	if !t.fill {
		text = strings.Repeat(" ", romanWidth-len(text)) + text
	}
	return append(dst, text...)
}

// decToChar formats a numeric.
func decToChar(dst []byte, d numeric.Dec, format []byte) ([]byte, error) {
	t, err := parseNumTemplate(string(format))
	if err != nil {
		return dst, err
	}
	switch {
	case t.roman:
		v, ok := d.ToInt64()
		return t.toRoman(dst, v, ok), nil
	case t.sci:
		return t.decSci(dst, d)
	case !d.IsFinite():
		return t.special(dst, d.Abs().String(), d.Sign() < 0), nil
	}
	if t.multi > 0 {
		if d, err = d.Mul(pow10(t.multi)); err != nil {
			return dst, err
		}
	}
	if d, err = d.Round(int32(t.post)); err != nil {
		return dst, err
	}
	whole, frac := splitPoint(d.Abs().String())
	return t.toChar(dst, d.Sign() < 0, whole, frac), nil
}

func pow10(n int) numeric.Dec {
	d, _ := numeric.Parse("1e" + strconv.Itoa(n))
	return d
}

func splitPoint(s string) (whole, frac []byte) {
	w, f, _ := strings.Cut(s, ".")
	return []byte(w), []byte(f)
}

// special writes NaN or Infinity where digits would stand, if it fits.
func (t *numTemplate) special(dst []byte, name string, negative bool) []byte {
	if len(name) > t.pre+t.multi {
		return t.toChar(dst, negative, []byte(name), bytes.Repeat([]byte{'#'}, t.post))
	}
	return t.toChar(dst, negative, []byte(name), nil)
}

// decSci is EEEE for a numeric.
func (t *numTemplate) decSci(dst []byte, d numeric.Dec) ([]byte, error) {
	if !d.IsFinite() {
		return appendHashes(dst, t), nil
	}
	coef, scale, _ := d.ToBig()
	digits := coef.Abs(coef).String()
	exp := len(digits) - 1 - int(scale)
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

func appendHashes(dst []byte, t *numTemplate) []byte {
	dst = append(dst, ' ')
	dst = append(dst, strings.Repeat("#", t.pre)...)
	dst = append(dst, '.')
	return append(dst, strings.Repeat("#", t.post)+"####"...)
}

// intFormat formats an integer.
func intFormat(dst []byte, n int64, format []byte) ([]byte, error) {
	return decToChar(dst, numeric.FromInt64(n), format)
}

// floatToChar formats a float, of which only the digits that it really has are shown (15, or 6 for real).
func floatToChar(digits int) func(dst []byte, f float64, format []byte) ([]byte, error) {
	return func(dst []byte, f float64, format []byte) ([]byte, error) {
		t, err := parseNumTemplate(string(format))
		if err != nil {
			return dst, err
		}
		switch {
		case t.roman:
			r := math.RoundToEven(f)
			return t.toRoman(dst, int64(r), math.Abs(r) < 4000), nil
		case t.sci && suspicious(f):
			return appendHashes(dst, t), nil
		case t.sci:
			text := strconv.FormatFloat(math.Abs(f), 'e', t.post, 64)
			return append(append(dst, choose(f < 0, "-", " ")...), text...), nil
		case suspicious(f):
			return t.special(dst, strings.TrimPrefix(numeric.FromFloat64(f).String(), "-"), f < 0), nil
		}
		x := math.Abs(f) * math.Pow10(t.multi)
		whole := strconv.FormatFloat(x, 'f', 0, 64)
		post := t.post
		if len(whole) >= digits {
			post = 0
		} else {
			post = min(post, digits-len(whole))
		}
		w, fr := splitPoint(strconv.FormatFloat(x, 'f', post, 64))
		return t.toChar(dst, f < 0, w, fr), nil
	}
}

// toNumber reads a number by a template: it takes the digits, the sign and the point and passes over the rest.
func toNumber(s, format []byte) (numeric.Dec, error) {
	t, err := parseNumTemplate(string(format))
	if err != nil {
		return numeric.Dec{}, err
	}
	if t.roman {
		return numeric.Dec{}, sqlerr.New(sqlerr.FeatureNotSupported, "\"RN\" not supported for input")
	}
	if t.sci {
		return numeric.Dec{}, sqlerr.New(sqlerr.FeatureNotSupported, "\"EEEE\" not supported for input")
	}
	var whole, frac []byte
	negative, point := false, false
	pre, post := t.pre+t.multi, t.post
	for _, b := range s {
		switch {
		case b == '-' || b == '<':
			negative = true
		case b == '.' && t.point:
			point = true
		case b >= '0' && b <= '9' && !point && len(whole) < pre:
			whole = append(whole, b)
		case b >= '0' && b <= '9' && len(whole) >= pre && t.point && !point && len(frac) < post:
			frac = append(frac, b)
		case b >= '0' && b <= '9' && point && len(frac) < post:
			frac = append(frac, b)
		}
	}
	if len(whole)+len(frac) == 0 {
		return numeric.Dec{}, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type numeric: \" \"")
	}
	text := choose(negative, "-", "") + string(whole)
	if len(frac) > 0 {
		text += "." + string(frac)
	}
	d, err := numeric.Parse(text)
	if err == nil && t.multi > 0 {
		d, err = d.Div(pow10(t.multi))
	}
	return d, err
}

// numFormatFuncs lists to_char for numbers, and to_number.
func numFormatFuncs() []Func {
	t := sqltypes.Text
	const doc = "formatted number"
	list := []Func{
		fn("to_char", ts(sqltypes.Int4, t), t, b2e(intFormat), doc),
		fn("to_char", ts(sqltypes.Int8, t), t, b2e(intFormat), doc),
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
