package expr

import (
	"strconv"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// appendHex appends n in lower-case hexadecimal.
func appendHex(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 16) }

func errFormat(msg string, args ...any) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, msg, args...)
}

var errFormatEnd = sqlerr.New(sqlerr.InvalidParameterValue, "unterminated format() type specifier").
	WithHint(`For a single "%%" use "%%%%".`)

// formatter is the state of one format() call.
type formatter struct {
	c    *Ctx
	s    []byte // what is left of the format string
	vecs []*delta.Vec
	row  int
	next int // argument that a directive without a position takes, from 1
}

// format is the format() function: %[position$][-][width]{s|I|L} and %%.
func format(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	f := formatter{c: c, s: vecs[0].Bytes(i), vecs: vecs, row: i, next: 1}
	for len(f.s) > 0 {
		b := f.s[0]
		f.s = f.s[1:]
		if b != '%' {
			dst = append(dst, b)
			continue
		}
		if len(f.s) == 0 {
			return dst, errFormatEnd
		}
		if f.s[0] == '%' {
			dst, f.s = append(dst, '%'), f.s[1:]
			continue
		}
		var err error
		if dst, err = f.directive(dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// number reads decimal digits; ok is false when there are none.
func (f *formatter) number() (n int64, ok bool, err error) {
	for len(f.s) > 0 && f.s[0] >= '0' && f.s[0] <= '9' {
		n = n*10 + int64(f.s[0]-'0')
		if n > 1<<31-1 {
			return 0, false, sqlerr.New(sqlerr.NumericValueOutOfRange, "number is out of range")
		}
		ok = true
		f.s = f.s[1:]
	}
	if len(f.s) == 0 {
		return 0, false, errFormatEnd
	}
	return n, ok, nil
}

// position reads "n$" after a number was read.
func (f *formatter) position(n int64) error {
	f.s = f.s[1:]
	if n == 0 {
		return errFormat("format specifies argument 0, but arguments are numbered from 1")
	}
	if len(f.s) == 0 {
		return errFormatEnd
	}
	f.next = int(n)
	return nil
}

func (f *formatter) directive(dst []byte) ([]byte, error) {
	n, ok, err := f.number()
	if err != nil {
		return dst, err
	}
	width, leftAlign := int64(0), false
	switch {
	case ok && f.s[0] == '$':
		if err := f.position(n); err != nil {
			return dst, err
		}
		ok = false
	case ok:
		width = n
	}
	if !ok {
		if width, leftAlign, err = f.flagsAndWidth(); err != nil {
			return dst, err
		}
	}
	kind := f.s[0]
	f.s = f.s[1:]
	if kind != 's' && kind != 'I' && kind != 'L' {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "unrecognized format() type specifier \"%s\"", string(rune(kind))).
			WithHint(`For a single "%%" use "%%%%".`)
	}
	text, err := f.value(kind)
	if err != nil {
		return dst, err
	}
	return alignTo(dst, text, width, leftAlign)
}

// flagsAndWidth reads [-][number | * | *n$].
func (f *formatter) flagsAndWidth() (width int64, leftAlign bool, err error) {
	for f.s[0] == '-' {
		leftAlign = true
		if f.s = f.s[1:]; len(f.s) == 0 {
			return 0, false, errFormatEnd
		}
	}
	if f.s[0] != '*' {
		width, _, err = f.number()
		return width, leftAlign, err
	}
	if f.s = f.s[1:]; len(f.s) == 0 {
		return 0, false, errFormatEnd
	}
	n, ok, err := f.number()
	if err != nil {
		return 0, false, err
	}
	arg := f.next
	if ok {
		if f.s[0] != '$' {
			return 0, false, errFormat("width argument position must be ended by \"$\"")
		}
		f.s = f.s[1:]
		if n == 0 {
			return 0, false, errFormat("format specifies argument 0, but arguments are numbered from 1")
		}
		if len(f.s) == 0 {
			return 0, false, errFormatEnd
		}
		arg = int(n)
	}
	v, err := f.arg(arg)
	if err != nil {
		return 0, false, err
	}
	f.next = arg + 1
	width = widthOf(v, f.row)
	if width < 0 {
		width, leftAlign = -width, true
	}
	return width, leftAlign, nil
}

func widthOf(v *delta.Vec, i int) int64 {
	if v.IsNull(i) {
		return 0
	}
	if v.Type.Phys() == sqltypes.PhysInt64 {
		return v.Ints[i]
	}
	n, _ := strconv.ParseInt(string(appendPlain(&Ctx{}, nil, v, i)), 10, 32)
	return n
}

func (f *formatter) arg(n int) (*delta.Vec, error) {
	if n >= len(f.vecs) {
		return nil, errFormat("too few arguments for format()")
	}
	return f.vecs[n], nil
}

func (f *formatter) value(kind byte) ([]byte, error) {
	v, err := f.arg(f.next)
	if err != nil {
		return nil, err
	}
	f.next++
	if v.IsNull(f.row) {
		switch kind {
		case 's':
			return nil, nil
		case 'L':
			return []byte("NULL"), nil
		}
		return nil, sqlerr.New(sqlerr.NullValueNotAllowed, "null values cannot be formatted as an SQL identifier")
	}
	text := appendPlain(f.c, nil, v, f.row)
	switch kind {
	case 'I':
		return quoteIdent(nil, text), nil
	case 'L':
		return quoteLiteral(nil, text), nil
	}
	return text, nil
}

func alignTo(dst, text []byte, width int64, leftAlign bool) ([]byte, error) {
	if width > maxAlloc {
		return dst, errTooLarge
	}
	if leftAlign {
		return pad(dst, text, max(width, runeLen(text)), []byte{' '}, false)
	}
	return pad(dst, text, max(width, runeLen(text)), []byte{' '}, true)
}
