package expr

import (
	"bytes"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// castKernel returns the kernel that turns from into to, modifiers aside; a nil kernel with ok means that the
// values are the same bytes.
func castKernel(from, to sqltypes.Type, explicit bool) (k Kernel, ok bool) {
	if _, ok := LookupCast(from, to); !ok {
		return nil, false
	}
	from, to = from.Underlying(), to.Underlying()
	switch {
	case isVector(from) && to.Kind == sqltypes.KArray && vectorElem(from) != to.Elem:
		return castArray(from, to, explicit), true
	case from.Kind == sqltypes.KVector && to.Kind == sqltypes.KArray:
		return b1(vectorToArray), true
	case from.Kind == sqltypes.KArray && to.Kind == sqltypes.KVector:
		return arrayToVector(from), true
	case from.Kind == sqltypes.KArray && to.Kind == sqltypes.KArray:
		return castArray(from, to, explicit), true
	case from.Kind == sqltypes.KRecord && to.Kind == sqltypes.KRecord:
		if sameFields(from, to) {
			return nil, true
		}
		return castRecord(from, to, explicit), true
	case from.Kind == to.Kind && from.Kind == sqltypes.KMap && from.Ext != to.Ext:
		return castMap(from, to, explicit), true
	case to.Kind == sqltypes.KBit && from.Phys() == sqltypes.PhysInt64:
		return intToBits(to), true
	case from.Kind == to.Kind, isVector(from) && to.Kind == sqltypes.KArray:
		return nil, true
	}
	if mk, ok := directCasts[[2]sqltypes.Kind{from.Kind, to.Kind}]; ok {
		return mk, true
	}
	if from.Kind.IsReg() && to.Phys() == sqltypes.PhysInt64 || to.Kind.IsReg() && from.Phys() == sqltypes.PhysInt64 {
		return castReg(from.Kind, to.Kind), true
	}
	return ioCast(from, to), true
}

// ioCast goes through text: by the output function to string types, else by the input function.
func ioCast(from, to sqltypes.Type) Kernel {
	switch {
	case from.Kind == sqltypes.KUnknown:
		if to.Kind == sqltypes.KText {
			return nil
		}
		return castFromText(to.Base())
	case to.Kind == sqltypes.KName:
		return castToName
	case to.IsString():
		return castToText
	}
	return castFromText(to.Base())
}

func castToText(c *Ctx, a Args, out *delta.Vec) {
	v, s := a.Vecs[0], c.settings()
	bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) { return sqlio.AppendText(dst, v, i, s), nil })
}

func castToName(c *Ctx, a Args, out *delta.Vec) {
	v, s := a.Vecs[0], c.settings()
	bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) {
		start := len(dst)
		dst = sqlio.AppendText(dst, v, i, s)
		return append(dst[:start], cutName(dst[start:])...), nil
	})
}

// nameBytes is the longest value of type name.
const nameBytes = 63

func cutName(s []byte) []byte {
	if len(s) <= nameBytes {
		return s
	}
	n := nameBytes
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// castFromText reads each text with the input function of the type.
func castFromText(to sqltypes.Type) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		v, s := a.Vecs[0], c.settings()
		next, want := &delta.Vec{Type: to}, wanted(a, out)
		for i := range a.N {
			if !want(i) {
				next.AppendNull()
				continue
			}
			if err := sqlio.AppendParsed(next, v.Bytes(i), s); err != nil {
				next.AppendNull()
				c.Fail(next, i, err)
			}
		}
		if a.N > 0 {
			*out = *next
		}
	}
}

// wanted tells which physical rows a kernel has to compute.
func wanted(a Args, out *delta.Vec) func(i int) bool {
	if a.Sel == nil {
		return func(i int) bool { return !out.IsNull(i) }
	}
	mask := selMask(a.Sel, a.N)
	return func(i int) bool { return mask[uint(i)>>6]&(1<<(uint(i)&63)) != 0 && !out.IsNull(i) }
}

// directCasts lists the casts with kernels of their own. Binary compatible types have a nil one.
var directCasts = map[[2]sqltypes.Kind]Kernel{
	{sqltypes.KBool, sqltypes.KInt4}:    k1(boolToInt),
	{sqltypes.KBool, sqltypes.KText}:    b1(boolToText),
	{sqltypes.KBool, sqltypes.KVarchar}: b1(boolToText),
	{sqltypes.KBool, sqltypes.KBpchar}:  b1(boolToText),

	{sqltypes.KInt2, sqltypes.KInt4}:    nil,
	{sqltypes.KInt2, sqltypes.KInt8}:    nil,
	{sqltypes.KInt4, sqltypes.KInt8}:    nil,
	{sqltypes.KInt4, sqltypes.KInt2}:    narrowInt(sqltypes.KInt2),
	{sqltypes.KInt8, sqltypes.KInt2}:    narrowInt(sqltypes.KInt2),
	{sqltypes.KInt8, sqltypes.KInt4}:    narrowInt(sqltypes.KInt4),
	{sqltypes.KInt2, sqltypes.KFloat4}:  intToFloat,
	{sqltypes.KInt4, sqltypes.KFloat4}:  k1(func(a int64) float64 { return float64(float32(a)) }),
	{sqltypes.KInt8, sqltypes.KFloat4}:  k1(func(a int64) float64 { return float64(float32(a)) }),
	{sqltypes.KInt2, sqltypes.KFloat8}:  intToFloat,
	{sqltypes.KInt4, sqltypes.KFloat8}:  intToFloat,
	{sqltypes.KInt8, sqltypes.KFloat8}:  intToFloat,
	{sqltypes.KInt2, sqltypes.KNumeric}: intToNumeric,
	{sqltypes.KInt4, sqltypes.KNumeric}: intToNumeric,
	{sqltypes.KInt8, sqltypes.KNumeric}: intToNumeric,
	{sqltypes.KInt4, sqltypes.KBool}:    k1(func(a int64) bool { return a != 0 }),
	{sqltypes.KInt4, sqltypes.KChar}:    b1e(intToChar),

	{sqltypes.KFloat4, sqltypes.KFloat8}:  nil,
	{sqltypes.KFloat8, sqltypes.KFloat4}:  k1e(float8To4),
	{sqltypes.KFloat4, sqltypes.KInt2}:    floatToInt(sqltypes.KInt2),
	{sqltypes.KFloat4, sqltypes.KInt4}:    floatToInt(sqltypes.KInt4),
	{sqltypes.KFloat4, sqltypes.KInt8}:    floatToInt(sqltypes.KInt8),
	{sqltypes.KFloat8, sqltypes.KInt2}:    floatToInt(sqltypes.KInt2),
	{sqltypes.KFloat8, sqltypes.KInt4}:    floatToInt(sqltypes.KInt4),
	{sqltypes.KFloat8, sqltypes.KInt8}:    floatToInt(sqltypes.KInt8),
	{sqltypes.KFloat4, sqltypes.KNumeric}: k1(func(a float64) numeric.Dec { return numeric.FromFloat32(float32(a)) }),
	{sqltypes.KFloat8, sqltypes.KNumeric}: k1(numeric.FromFloat64),

	{sqltypes.KNumeric, sqltypes.KInt2}:   decToInt(sqltypes.KInt2),
	{sqltypes.KNumeric, sqltypes.KInt4}:   decToInt(sqltypes.KInt4),
	{sqltypes.KNumeric, sqltypes.KInt8}:   decToInt(sqltypes.KInt8),
	{sqltypes.KNumeric, sqltypes.KFloat4}: k1e(decToFloat4),
	{sqltypes.KNumeric, sqltypes.KFloat8}: k1e(decToFloat8),

	{sqltypes.KText, sqltypes.KVarchar}:   nil,
	{sqltypes.KText, sqltypes.KBpchar}:    nil,
	{sqltypes.KVarchar, sqltypes.KText}:   nil,
	{sqltypes.KVarchar, sqltypes.KBpchar}: nil,
	{sqltypes.KBpchar, sqltypes.KText}:    b1(stripBlanks),
	{sqltypes.KBpchar, sqltypes.KVarchar}: b1(stripBlanks),
	{sqltypes.KText, sqltypes.KName}:      b1(toName),
	{sqltypes.KVarchar, sqltypes.KName}:   b1(toName),
	{sqltypes.KBpchar, sqltypes.KName}:    b1(func(dst, s []byte) []byte { return toName(dst, bytes.TrimRight(s, " ")) }),
	{sqltypes.KName, sqltypes.KText}:      nil,
	{sqltypes.KName, sqltypes.KVarchar}:   nil,
	{sqltypes.KName, sqltypes.KBpchar}:    nil,
	{sqltypes.KChar, sqltypes.KText}:      b1(sqlio.AppendChar),
	{sqltypes.KChar, sqltypes.KVarchar}:   b1(sqlio.AppendChar),
	{sqltypes.KChar, sqltypes.KBpchar}:    b1(sqlio.AppendChar),
	{sqltypes.KText, sqltypes.KChar}:      b1(toChar),
	{sqltypes.KVarchar, sqltypes.KChar}:   b1(toChar),
	{sqltypes.KBpchar, sqltypes.KChar}:    b1(toChar),
	{sqltypes.KChar, sqltypes.KInt4}:      k1(charToInt),

	{sqltypes.KDate, sqltypes.KTimestamp}:        k1e(datetime.DateToTimestamp),
	{sqltypes.KDate, sqltypes.KTimestamptz}:      k1c(func(c *Ctx, d int64) (int64, error) { return datetime.DateToTimestamptz(d, c.location()) }),
	{sqltypes.KTimestamp, sqltypes.KDate}:        k1(datetime.TimestampToDate),
	{sqltypes.KTimestamp, sqltypes.KTime}:        k1e(func(t int64) (int64, error) { return orNull(datetime.TimestampToTime(t)) }),
	{sqltypes.KTimestamp, sqltypes.KTimestamptz}: k1c(func(c *Ctx, t int64) (int64, error) { return datetime.TimestampToTimestamptz(t, c.location()) }),
	{sqltypes.KTimestamptz, sqltypes.KDate}:      k1c(func(c *Ctx, t int64) (int64, error) { return datetime.TimestamptzToDate(t, c.location()), nil }),
	{sqltypes.KTimestamptz, sqltypes.KTime}:      k1c(func(c *Ctx, t int64) (int64, error) { return orNull(datetime.TimestamptzToTime(t, c.location())) }),
	{sqltypes.KTimestamptz, sqltypes.KTimetz}:    k1c(func(c *Ctx, t int64) (int64, error) { return orNull(datetime.TimestamptzToTimetz(t, c.location())) }),
	{sqltypes.KTimestamptz, sqltypes.KTimestamp}: k1c(func(c *Ctx, t int64) (int64, error) { return datetime.TimestamptzToTimestamp(t, c.location()) }),
	{sqltypes.KTime, sqltypes.KInterval}:         k1(datetime.TimeToInterval),
	{sqltypes.KInterval, sqltypes.KTime}:         k1(datetime.IntervalToTime),
	{sqltypes.KTime, sqltypes.KTimetz}:           k1c(func(c *Ctx, t int64) (int64, error) { return datetime.TimeToTimetz(t, c.location(), c.Now), nil }),
	{sqltypes.KTimetz, sqltypes.KTime}:           k1(datetime.TimetzToTime),

	{sqltypes.KJSON, sqltypes.KJSONB}:    b1e(jsonToJSONB),
	{sqltypes.KJSONB, sqltypes.KJSON}:    b1(jsonb.AppendText),
	{sqltypes.KJSONB, sqltypes.KBool}:    k1e(jsonbToBool),
	{sqltypes.KJSONB, sqltypes.KNumeric}: jsonbToNumber("numeric", func(d numeric.Dec) (numeric.Dec, error) { return d, nil }),
	{sqltypes.KJSONB, sqltypes.KInt2}:    jsonbToNumber("smallint", decToIntOf(sqltypes.KInt2)),
	{sqltypes.KJSONB, sqltypes.KInt4}:    jsonbToNumber("integer", decToIntOf(sqltypes.KInt4)),
	{sqltypes.KJSONB, sqltypes.KInt8}:    jsonbToNumber("bigint", decToIntOf(sqltypes.KInt8)),
	{sqltypes.KJSONB, sqltypes.KFloat4}:  jsonbToNumber("real", decToFloat4),
	{sqltypes.KJSONB, sqltypes.KFloat8}:  jsonbToNumber("double precision", decToFloat8),

	{sqltypes.KBit, sqltypes.KVarbit}: nil,
	{sqltypes.KVarbit, sqltypes.KBit}: nil,
	{sqltypes.KBit, sqltypes.KInt4}:   bitsToInt(32, errInt4Range),
	{sqltypes.KBit, sqltypes.KInt8}:   bitsToInt(64, errInt8Range),

	{sqltypes.KInt2, sqltypes.KOid}: k1(signToOid),
	{sqltypes.KInt4, sqltypes.KOid}: k1(signToOid),
	{sqltypes.KInt8, sqltypes.KOid}: k1e(int8ToOid),
	{sqltypes.KOid, sqltypes.KInt4}: k1(oidToSign),
	{sqltypes.KOid, sqltypes.KInt8}: nil,
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func boolToText(dst []byte, b bool) []byte {
	if b {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}

// narrowInt checks the range of a smaller integer type.
func narrowInt(k sqltypes.Kind) Kernel {
	lo, width, rangeErr := intRange(k)
	return func(c *Ctx, a Args, out *delta.Vec) {
		x := a.Vecs[0].Ints
		copy(out.Ints, x[:a.N])
		a.each(out, func(i int) {
			if uint64(x[i]-lo)>>width != 0 {
				c.Fail(out, i, rangeErr)
			}
		})
	}
}

func intToFloat(_ *Ctx, a Args, out *delta.Vec) {
	r := out.Floats[:a.N]
	for i, x := range a.Vecs[0].Ints[:a.N] {
		r[i] = float64(x)
	}
}

func intToNumeric(_ *Ctx, a Args, out *delta.Vec) {
	r := out.Decs[:a.N]
	for i, x := range a.Vecs[0].Ints[:a.N] {
		r[i] = numeric.FromInt64(x)
	}
}

func intToChar(dst []byte, a int64) ([]byte, error) {
	if a < math.MinInt8 || a > math.MaxInt8 {
		return dst, sqlerr.New(sqlerr.NumericValueOutOfRange, "\"char\" out of range")
	}
	if a == 0 {
		return dst, nil
	}
	return append(dst, byte(a)), nil
}

func charToInt(s []byte) int64 {
	if len(s) == 0 {
		return 0
	}
	return int64(int8(s[0]))
}

func toChar(dst, s []byte) []byte { return append(dst, sqlio.ParseChar(string(s))...) }

func float8To4(a float64) (float64, error) {
	r := float64(float32(a))
	switch {
	case math.IsInf(r, 0) && !math.IsInf(a, 0):
		return 0, errOverflow
	case r == 0 && a != 0:
		return 0, errUnderflow
	}
	return r, nil
}

// floatToInt rounds to nearest, ties to even.
func floatToInt(k sqltypes.Kind) Kernel {
	lo, _, rangeErr := intRange(k)
	least, limit := float64(lo), -float64(lo)
	return k1e(func(a float64) (int64, error) {
		r := math.RoundToEven(a)
		if !(r >= least && r < limit) {
			return 0, rangeErr
		}
		return int64(r), nil
	})
}

func decToInt(k sqltypes.Kind) Kernel { return k1e(decToIntOf(k)) }

// decToIntOf rounds to nearest, ties away from zero.
func decToIntOf(k sqltypes.Kind) func(d numeric.Dec) (int64, error) {
	name := sqltypes.Type{Kind: k}.String()
	_, _, rangeErr := intRange(k)
	return func(d numeric.Dec) (int64, error) {
		switch {
		case d.IsNaN():
			return 0, sqlerr.New(sqlerr.FeatureNotSupported, "cannot convert NaN to %s", name)
		case d.IsInf():
			return 0, sqlerr.New(sqlerr.FeatureNotSupported, "cannot convert infinity to %s", name)
		}
		v, ok := d.ToInt64()
		if !ok {
			return 0, rangeErr
		}
		return checkInt(k, v)
	}
}

func decToFloat8(d numeric.Dec) (float64, error) {
	f, ok := d.ToFloat64()
	if !ok {
		return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type double precision", d)
	}
	return f, nil
}

func decToFloat4(d numeric.Dec) (float64, error) {
	f, ok := d.ToFloat32()
	if !ok {
		return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type real", d)
	}
	return float64(f), nil
}

func stripBlanks(dst, s []byte) []byte { return append(dst, bytes.TrimRight(s, " ")...) }

func toName(dst, s []byte) []byte { return append(dst, cutName(s)...) }

func orNull(v int64, ok bool) (int64, error) {
	if !ok {
		return 0, errNull
	}
	return v, nil
}

func jsonToJSONB(dst, s []byte) ([]byte, error) {
	v, err := jsonb.Parse(s)
	return append(dst, v...), err
}

func errJSONBCast(v []byte, to string) error {
	kind := jsonb.KindOf(v).String()
	if kind == "number" {
		kind = "numeric"
	}
	return sqlerr.New(sqlerr.InvalidParameterValue, "cannot cast jsonb %s to type %s", kind, to)
}

func jsonbToBool(v []byte) (bool, error) {
	b, ok := jsonb.BoolValue(v)
	if !ok {
		return false, errJSONBCast(v, "boolean")
	}
	return b, nil
}

func jsonbToNumber[R fixed](name string, convert func(numeric.Dec) (R, error)) Kernel {
	return k1e(func(v []byte) (R, error) {
		d, ok := jsonb.NumberValue(v)
		if !ok {
			var zero R
			return zero, errJSONBCast(v, name)
		}
		return convert(d)
	})
}

// castReg is a cast between an oid alias and a number, which is one between oid and the number.
func castReg(from, to sqltypes.Kind) Kernel {
	asOid := func(k sqltypes.Kind) sqltypes.Kind {
		if k.IsReg() {
			return sqltypes.KOid
		}
		return k
	}
	return directCasts[[2]sqltypes.Kind{asOid(from), asOid(to)}]
}

// OIDs are unsigned in 32 bits.
func signToOid(a int64) int64 { return int64(uint32(a)) }

func oidToSign(a int64) int64 { return int64(int32(a)) }

func int8ToOid(a int64) (int64, error) {
	if a < 0 || a > math.MaxUint32 {
		return 0, errOidRange
	}
	return a, nil
}

// castVec runs a scalar cast over a whole vector; modifiers are not applied.
func castVec(c *Ctx, v *delta.Vec, to sqltypes.Type, explicit bool) *delta.Vec {
	k, ok := castKernel(v.Type, to, explicit)
	if !ok || k == nil {
		return v.Retype(to)
	}
	return RunKernel(c, k, Strict, to, []*delta.Vec{v}, &delta.Chunk{Rows: v.Len()})
}

// CastDatum converts one value, modifier of to included; it is what a Cast node does, for callers without columns.
func CastDatum(c *Ctx, d sqltypes.Datum, from, to sqltypes.Type, explicit bool) (sqltypes.Datum, error) {
	if d == nil {
		return nil, nil
	}
	return EvalConst(c, &Cast{Arg: &Const{Ty: from, Val: d}, Ty: to, Explicit: explicit})
}

// castArray casts the elements of each array and keeps its shape.
func castArray(from, to sqltypes.Type, explicit bool) Kernel {
	of := from.ElemType()
	if isVector(from) {
		of = sqltypes.Type{Kind: vectorElem(from)}
	}
	elemTo := to.ElemType()
	elemTo.Mod = to.Mod
	elem, ok := castKernel(of, elemTo, explicit)
	if ok && elem == nil {
		return retypeArray(from, to)
	}
	return b1c(func(c *Ctx, dst []byte, b []byte) ([]byte, error) {
		arr, err := sqlio.ReadArray(from, b)
		if err != nil {
			return dst, err
		}
		elems, err := castElems(c, arr.Elems(), of, elemTo, explicit)
		if err != nil {
			return dst, err
		}
		return appendArrayLike(dst, to, arr, elems)
	})
}

// retypeArray rewrites an array whose elements are the same values under another type.
func retypeArray(from, to sqltypes.Type) Kernel {
	return b1e(func(dst []byte, b []byte) ([]byte, error) {
		arr, err := sqlio.ReadArray(from, b)
		if err != nil {
			return dst, err
		}
		return appendArrayLike(dst, to, arr, arr.Elems())
	})
}

// appendArrayLike appends an array of elems with the dimensions of arr.
func appendArrayLike(dst []byte, t sqltypes.Type, arr sqlio.ArrayReader, elems []sqltypes.Datum) ([]byte, error) {
	dims, lower := shapeOf(arr)
	b, err := sqlio.MakeArrayDims(t, dims, lower, elems)
	return append(dst, b...), err
}

func shapeOf(arr sqlio.ArrayReader) (dims, lower []int) {
	for k := range arr.NDim() {
		n, lo := arr.Dim(k)
		dims, lower = append(dims, n), append(lower, lo)
	}
	return dims, lower
}

// castElems casts boxed values all at once; the first error counts.
func castElems(c *Ctx, elems []sqltypes.Datum, from, to sqltypes.Type, explicit bool) ([]sqltypes.Datum, error) {
	v := &delta.Vec{Type: from}
	for _, d := range elems {
		v.AppendDatum(d)
	}
	saved := c.Errs
	c.Errs = nil
	r := castVec(c, v, to, explicit)
	err := c.FirstErr()
	c.Errs = saved
	if err != nil {
		return nil, err
	}
	out := make([]sqltypes.Datum, len(elems))
	for i := range out {
		out[i] = r.Datum(i)
	}
	return out, nil
}

// sameFields says that two record types have fields of the same types, whatever their names.
func sameFields(a, b sqltypes.Type) bool {
	if !a.HasFields() || !b.HasFields() || a.Ext == b.Ext {
		return true
	}
	return slices.EqualFunc(a.Fields(), b.Fields(), func(x, y sqltypes.RowField) bool { return x.Type == y.Type })
}

// castRecord casts field by field.
func castRecord(from, to sqltypes.Type, explicit bool) Kernel {
	return b1c(func(c *Ctx, dst []byte, b []byte) ([]byte, error) {
		fields, err := sqlio.DecodeRecord(from, b)
		if err != nil {
			return dst, err
		}
		for i := range fields {
			fields[i], err = CastDatum(c, fields[i], from.Fields()[i].Type, to.Fields()[i].Type, explicit)
			if err != nil {
				return dst, err
			}
		}
		return append(dst, sqlio.EncodeRecord(to, fields)...), nil
	})
}

// typmodKernel applies the modifier of t to values of its base type.
func typmodKernel(t sqltypes.Type, explicit bool) Kernel {
	mod := t.Typmod()
	switch t.Kind {
	case sqltypes.KNumeric:
		return k1e(func(d numeric.Dec) (numeric.Dec, error) { return d.ApplyTypmod(mod) })
	case sqltypes.KVarchar, sqltypes.KBpchar:
		n := int64(mod - 4)
		return b1e(func(dst, s []byte) ([]byte, error) { return limitText(dst, s, n, t, explicit) })
	}
	return boxed(func(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type) (sqltypes.Datum, error) {
		return sqlio.ApplyTypmod(t, args[0], explicit)
	})
}

// limitText cuts s to n characters, if only blanks fall off or the cast is explicit, and pads char(n).
func limitText(dst, s []byte, n int64, t sqltypes.Type, explicit bool) ([]byte, error) {
	if have := runeLen(s); have <= n {
		dst = append(dst, s...)
		if t.Kind == sqltypes.KBpchar {
			dst = append(dst, bytes.Repeat([]byte{' '}, int(n-have))...)
		}
		return dst, nil
	}
	cut := charOffset(s, n)
	if !explicit && len(bytes.TrimRight(s[cut:], " ")) > 0 {
		return dst, sqlerr.New(sqlerr.StringDataRightTruncation, "value too long for type %s", t)
	}
	return append(dst, s[:cut]...), nil
}
