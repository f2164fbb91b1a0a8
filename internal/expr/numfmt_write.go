package expr

import (
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

// numWriter writes a number into a template, cell by cell. Digit cells first pass over the room in front of the number,
// then over its text. The sign floats in front of the first thing of the number that shows, unless the template says
// where it goes.
type numWriter struct {
	numTemplate
	out    []byte
	text   string // the number without its sign: digits and a point, or what stands for them
	at     int    // where in text the next digit cell is
	room   int    // digit cells in front of the number
	sign   byte   // '+', '-', or 0 for none
	done   bool   // the sign is written, or will not be
	keep   int    // with FM: the last place of text that shows, unless a 0 asks for more; −1: all do
	passed int    // digit cells and points so far
	last   int    // how many of them there are, as the sign behind the number counts them
	inside bool   // the last cell wrote a digit
	end    int    // where the answer ends before its time; −1: it does not
}

// write fills the template with a number that has room digit cells in front of it. Error: 22P02 for TH behind what is
// no number.
func (t *numTemplate) write(dst []byte, text string, room int, sign byte) ([]byte, error) {
	w := &numWriter{numTemplate: *t, out: dst, text: text, room: room, sign: sign, keep: -1, end: -1}
	if !w.signed() {
		if w.fill && sign != '-' {
			w.bracket = false
		}
		w.done = w.fill && sign == '+' && w.signs == signNowhere
		if w.signs == signAhead && w.signPre == w.pre {
			w.signs = signBehind
		}
	} else {
		w.done = w.minus
	}
	w.last = w.pre + w.post - 1
	if w.fill && w.point {
		w.keepDigits()
	}
	if !w.done && room == 0 {
		w.last++
	}
	if room > 0 {
		w.last++
	}
	if w.point {
		w.last++
	}
	for _, c := range w.cells {
		if err := w.cell(c); err != nil {
			return dst, err
		}
	}
	if w.end >= 0 {
		w.out = w.out[:w.end]
	}
	return w.out, nil
}

// keepDigits finds the last place of the number that FM leaves: the last digit behind the point that is not 0, the point
// itself if there is none, or the one under the template's last 0.
func (w *numWriter) keepDigits() {
	w.keep = strings.IndexByte(w.text, '.')
	if w.keep < 0 {
		return
	}
	w.keep = max(w.keep, len(strings.TrimRight(w.text, "0"))-1)
	if w.zeroEnd > w.room {
		w.keep = max(w.keep, min(len(w.text)-1, w.zeroEnd-w.room))
	}
}

// char is the character of the number under the current cell, 0 behind its end.
func (w *numWriter) char() byte {
	if w.at < len(w.text) {
		return w.text[w.at]
	}
	return 0
}

// bare reports whether nothing but the point is kept behind the whole digits.
func (w *numWriter) bare() bool { return w.keep >= 0 && w.text[w.keep] == '.' }

// hidesZero reports whether the cell is that of the 0 of 0.5, which is written .5.
func (w *numWriter) hidesZero() bool {
	return !w.zero && w.at == 0 && w.char() == '0' && w.post != 0
}

func (w *numWriter) cell(c numCell) error {
	switch c.kind {
	case cellLiteral:
		w.out = append(w.out, c.text...)
	case cellNine, cellZero, cellPoint:
		if !w.roman {
			w.digit(c.kind)
		}
	case cellGroup:
		w.mark(w.inside, ',')
	case cellCurrency:
		w.out = append(w.out, ' ')
	case cellMinus:
		w.mark(w.sign == '-', '-')
	case cellPlus:
		w.mark(w.sign == '+', '+')
	case cellSign:
		if w.sign == 0 {
			w.cut()
		} else {
			w.out = append(w.out, w.sign)
		}
	case cellRoman:
		w.numeral(c.lower)
	case cellOrdinal:
		if w.roman || w.text[0] == '#' || w.sign == '-' || w.point {
			return nil
		}
		th, ok := ordinal(w.text, c.lower)
		if !ok {
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "\"%s\" is not a number", w.text)
		}
		w.out = append(w.out, th...)
	}
	return nil
}

// cut ends the answer here, whatever else is written: PostgreSQL puts the end of a C string here.
func (w *numWriter) cut() {
	if w.end < 0 {
		w.end = len(w.out)
	}
}

// mark writes a character that applies, or a blank.
func (w *numWriter) mark(applies bool, char byte) {
	if applies {
		w.out = append(w.out, char)
	} else if !w.fill {
		w.out = append(w.out, ' ')
	}
}

func (w *numWriter) numeral(lower bool) {
	text := w.text
	if lower {
		text = strings.ToLower(text)
	}
	if !w.fill {
		text = strings.Repeat(" ", romanWidth-len(text)) + text
	}
	w.out = append(w.out, text...)
}

// digit fills a cell of a digit or the point.
func (w *numWriter) digit(kind cellKind) {
	w.inside = false
	if !w.done && (w.passed >= w.room || w.zero && w.zeroStart == w.passed) && (!w.hidesZero() || w.bare()) {
		w.leadSign()
	}
	switch {
	case w.passed >= w.room:
		w.place(kind)
		w.at = min(w.at+1, len(w.text))
	case !w.zero || w.passed < w.zeroStart:
		w.mark(false, 0)
	default:
		w.show('0')
	}
	last := w.last
	if w.keep >= 0 && w.at == w.keep {
		last = w.passed
	}
	if w.passed+1 == last {
		w.closeNumber()
	}
	w.passed++
}

// place writes what the number has under the cell.
func (w *numWriter) place(kind cellKind) {
	switch c := w.char(); {
	case c == '.':
		w.out = append(w.out, '.') // even if nothing follows: 5 in FM9.9 is 5.
	case w.keep >= 0 && w.at > w.keep && kind != cellZero:
	case w.hidesZero():
		switch {
		case !w.fill:
			w.out = append(w.out, ' ')
		case w.bare():
			w.out = append(w.out, '0')
		}
	case c == 0:
		w.cut()
		w.inside = true
	default:
		w.show(c)
	}
}

func (w *numWriter) show(b byte) {
	w.out = append(w.out, b)
	w.inside = true
}

// leadSign writes the floating sign in front of the first thing that shows.
func (w *numWriter) leadSign() {
	switch {
	case w.signs == signBehind:
		return
	case w.signs == signAhead:
		w.out = append(w.out, choose(w.sign == '-', "-", "+")...)
	case w.bracket:
		w.out = append(w.out, choose(w.sign == '+', " ", "<")...)
	case w.sign == '-':
		w.out = append(w.out, '-')
	case !w.fill:
		w.out = append(w.out, ' ')
	}
	w.done = true
}

// closeNumber writes what stands right behind the number.
func (w *numWriter) closeNumber() {
	switch {
	case w.done && w.bracket:
		w.out = append(w.out, choose(w.sign == '+', " ", ">")...)
	case w.signs == signBehind:
		w.out = append(w.out, choose(w.sign == '-', "-", "+")...)
	}
}

// ordinal is the English suffix of a number; ok is false for what is none.
func ordinal(number string, lower bool) (th string, ok bool) {
	n := len(number)
	last := number[n-1]
	if last < '0' || last > '9' {
		return "", false
	}
	if th = "TH"; n < 2 || number[n-2] != '1' {
		switch last {
		case '1':
			th = "ST"
		case '2':
			th = "ND"
		case '3':
			th = "RD"
		}
	}
	if lower {
		th = strings.ToLower(th)
	}
	return th, true
}
