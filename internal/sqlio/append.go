package sqlio

import (
	"unsafe"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// AppendParsed parses text and appends the value to v as a new row, with v's type modifier applied as on
// assignment. It does not box values or keep text: the column path of COPY, CSV and JSON sources.
func AppendParsed(v *delta.Vec, text []byte, s *Settings) error {
	switch v.Type.Kind {
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8:
		x, ok := fastInt(text)
		if limit := intLimit(v.Type.Kind); !ok || x > limit || x < -limit-1 {
			var err error
			if x, err = parseInt(v.Type.Kind, view(text)); err != nil {
				return err
			}
		}
		v.AppendInt(x)
		return nil
	case sqltypes.KText, sqltypes.KUnknown:
		v.AppendBytes(text)
		return nil
	case sqltypes.KFloat8:
		f, err := parseFloat(view(text), 64)
		if err != nil {
			return err
		}
		v.AppendFloat(f)
		return nil
	case sqltypes.KBool:
		b, err := parseBool(view(text))
		if err != nil {
			return err
		}
		v.AppendBool(b)
		return nil
	}
	return appendParsedMod(v, text, s)
}

// appendParsedMod handles the kinds that may have a modifier.
func appendParsedMod(v *delta.Vec, text []byte, s *Settings) error {
	t := v.Type.Underlying()
	switch {
	case t.Kind == sqltypes.KNumeric:
		d, err := numeric.ParseBytes(text)
		if err == nil && t.Mod != 0 {
			d, err = d.ApplyTypmod(t.Typmod())
		}
		if err != nil {
			return err
		}
		v.AppendDec(d)
		return nil
	case (t.Kind == sqltypes.KVarchar || t.Kind == sqltypes.KBpchar) && t.Mod <= 0:
		v.AppendBytes(text)
		return nil
	case t.Kind == sqltypes.KVarchar, t.Kind == sqltypes.KBpchar:
		fit := FitVarchar
		if t.Kind == sqltypes.KBpchar {
			fit = FitBpchar
		}
		b, err := fit(text, int(t.Typmod())-4, false)
		if err != nil {
			return err
		}
		v.AppendBytes(b)
		return nil
	case t.Phys() == sqltypes.PhysInt64 && t.Mod == 0:
		x, err := parseIntKind(t, view(text), s)
		if err != nil {
			return err
		}
		v.AppendInt(x)
		return nil
	}
	d, err := ParseText(t, string(text), s)
	if err == nil {
		d, err = ApplyTypmod(t, d, false)
	}
	if err != nil {
		return err
	}
	v.AppendDatum(d)
	return nil
}

// view is text as a string without a copy; it must not outlive the call it is passed to. Errors hold formatted
// copies of the text, never a view of it.
func view(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }
