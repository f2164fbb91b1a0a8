package sqlio

import (
	"bytes"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// ApplyTypmod makes d fit the modifier of t: it rounds numerics, times and intervals, and cuts or pads strings.
// An explicit cast cuts a long string silently; an assignment drops only blanks. Errors: 22000, 22001, 22003, 22008, 22026.
// The modifier of a domain, or of an array's elements of one, is that of what it is over.
func ApplyTypmod(t sqltypes.Type, d sqltypes.Datum, explicit bool) (sqltypes.Datum, error) {
	t = t.Underlying()
	if t.Mod == 0 && t.Kind == sqltypes.KArray && t.IsNamed() {
		t.Mod = t.ElemType().Underlying().Mod
	}
	if t.Mod <= 0 || d == nil {
		return d, nil
	}
	mod := t.Typmod()
	switch t.Kind {
	case sqltypes.KNumeric:
		return boxed(d.(numeric.Dec).ApplyTypmod(mod))
	case sqltypes.KInterval:
		return boxed(d.(datetime.Interval).ApplyTypmod(mod))
	case sqltypes.KTime:
		return datetime.RoundTime(d.(int64), mod), nil
	case sqltypes.KTimetz:
		return datetime.RoundTimetz(d.(int64), mod), nil
	case sqltypes.KTimestamp, sqltypes.KTimestamptz:
		return boxed(datetime.RoundTimestamp(d.(int64), mod))
	case sqltypes.KArray:
		return elementTypmods(t, d, explicit)
	case sqltypes.KVarchar:
		return boxed(FitVarchar(toBytes(d), int(mod)-4, explicit))
	case sqltypes.KBpchar:
		return boxed(FitBpchar(toBytes(d), int(mod)-4, explicit))
	case sqltypes.KBit, sqltypes.KVarbit:
		return boxed(FitBits(t, toBytes(d), explicit))
	case sqltypes.KVector:
		if n := FloatsLen(toBytes(d)); n != int(mod) {
			return nil, sqlerr.New(sqlerr.DataException, "expected %d dimensions, not %d", mod, n)
		}
	}
	return d, nil
}

// elementTypmods applies the modifier of an array type to each element.
func elementTypmods(t sqltypes.Type, d sqltypes.Datum, explicit bool) (sqltypes.Datum, error) {
	r, err := ReadArray(t.Base(), toBytes(d))
	if err != nil {
		return nil, err
	}
	elem := t.ElemType().Underlying()
	elem.Mod = t.Mod
	elems := r.Elems()
	for i := range elems {
		if elems[i], err = ApplyTypmod(elem, elems[i], explicit); err != nil {
			return nil, err
		}
	}
	dims, lower := r.Dims()
	return boxed(MakeArrayDims(t.Base(), dims, lower, elems))
}

// FitVarchar cuts b to n characters; the result aliases b. Without explicit, cutting off anything but blanks is
// error 22001.
func FitVarchar(b []byte, n int, explicit bool) ([]byte, error) {
	return fit(b, n, explicit, "character varying")
}

// FitBpchar cuts b to n characters, or pads it with blanks. Error: 22001 as FitVarchar.
func FitBpchar(b []byte, n int, explicit bool) ([]byte, error) {
	if count := utf8.RuneCount(b); count < n {
		pad := n - count
		return append(append(make([]byte, 0, len(b)+pad), b...), bytes.Repeat([]byte{' '}, pad)...), nil
	}
	return fit(b, n, explicit, "character")
}

func fit(b []byte, n int, explicit bool, name string) ([]byte, error) {
	if len(b) <= n {
		return b, nil
	}
	cut := 0
	for range n {
		if cut == len(b) {
			return b, nil
		}
		_, size := utf8.DecodeRune(b[cut:])
		cut += size
	}
	if !explicit && len(bytes.TrimRight(b[cut:], " ")) > 0 {
		return nil, sqlerr.New(sqlerr.StringDataRightTruncation, "value too long for type %s(%d)", name, n)
	}
	return b[:cut:cut], nil
}
