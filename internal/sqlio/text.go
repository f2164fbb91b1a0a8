package sqlio

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/jsonpath"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// AppendText appends the text form of row i, which must not be NULL: what PostgreSQL's output function prints.
func AppendText(dst []byte, v *delta.Vec, i int, s *Settings) []byte {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		return appendBoolText(dst, v.Bools[i])
	case sqltypes.PhysInt64:
		return appendIntText(dst, v.Type, v.Ints[i], s)
	case sqltypes.PhysFloat64:
		return appendFloatText(dst, v.Type.Kind, v.Floats[i], s)
	case sqltypes.PhysNumeric:
		return v.Decs[i].AppendText(dst)
	case sqltypes.PhysInterval:
		return datetime.AppendInterval(dst, v.Intervals[i], &s.Time)
	}
	return appendBytesText(dst, v.Type, v.Bytes(i), s)
}

// AppendTextDatum is AppendText for a boxed value; it must not be NULL.
func AppendTextDatum(dst []byte, t sqltypes.Type, d sqltypes.Datum, s *Settings) []byte {
	switch x := d.(type) {
	case bool:
		return appendBoolText(dst, x)
	case int64:
		return appendIntText(dst, t, x, s)
	case float64:
		return appendFloatText(dst, t.Kind, x, s)
	case numeric.Dec:
		return x.AppendText(dst)
	case datetime.Interval:
		return datetime.AppendInterval(dst, x, &s.Time)
	}
	return appendBytesText(dst, t, toBytes(d), s)
}

// TextOf returns the text form of a value; NULL gives the empty string.
func TextOf(t sqltypes.Type, d sqltypes.Datum, s *Settings) string {
	if d == nil {
		return ""
	}
	return string(AppendTextDatum(nil, t, d, s))
}

func appendBoolText(dst []byte, b bool) []byte {
	if b {
		return append(dst, 't')
	}
	return append(dst, 'f')
}

func appendIntText(dst []byte, t sqltypes.Type, x int64, s *Settings) []byte {
	switch t.Kind {
	case sqltypes.KDate:
		return datetime.AppendDate(dst, x, &s.Time)
	case sqltypes.KTime:
		return datetime.AppendTime(dst, x)
	case sqltypes.KTimetz:
		return datetime.AppendTimetz(dst, x)
	case sqltypes.KTimestamp:
		return datetime.AppendTimestamp(dst, x, &s.Time)
	case sqltypes.KTimestamptz:
		return datetime.AppendTimestamptz(dst, x, &s.Time)
	case sqltypes.KRegclass, sqltypes.KRegtype, sqltypes.KRegproc, sqltypes.KRegprocedure, sqltypes.KRegoper, sqltypes.KRegoperator,
		sqltypes.KRegrole, sqltypes.KRegnamespace:
		return appendReg(dst, t.Kind, x, s)
	case sqltypes.KEnum:
		return appendEnum(dst, t, x)
	}
	return strconv.AppendInt(dst, x, 10)
}

func appendReg(dst []byte, k sqltypes.Kind, oid int64, s *Settings) []byte {
	if oid == 0 && k != sqltypes.KRegoper && k != sqltypes.KRegoperator {
		return append(dst, '-')
	}
	if s.RegName != nil {
		if name, ok := s.RegName(k, oid); ok {
			return append(dst, name...)
		}
	}
	if k == sqltypes.KRegtype {
		if t, ok := sqltypes.ByOID(uint32(oid)); ok {
			return append(dst, t.String()...)
		}
	}
	return strconv.AppendInt(dst, oid, 10)
}

func appendFloatText(dst []byte, k sqltypes.Kind, f float64, s *Settings) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	bits, digits := 64, 15
	if k == sqltypes.KFloat4 {
		bits, digits = 32, 6
	}
	if s.ExtraFloatDigits <= 0 {
		return appendRoundedFloat(dst, f, bits, max(digits+s.ExtraFloatDigits, 1))
	}
	return AppendFloat(dst, f, bits)
}

// AppendFloat appends the shortest digits that identify a finite f among floats of the given size (32 or 64
// bits), with an exponent where PostgreSQL 12 and later use one.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	low, high := 1e-4, 1e15
	if bits == 32 {
		low, high = float64(float32(1e-4)), 1e6
	}
	if abs := math.Abs(f); abs >= low && abs < high || f == 0 {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	if onBoundary(dst[n:], f, bits) {
		dst = appendInside(dst[:n], f, bits)
	}
	return dst
}

// onBoundary reports whether digits lie exactly between two floats and denote f only because ties go to the even
// one. PostgreSQL prints no such digits. There are none among small numbers.
func onBoundary(digits []byte, f float64, bits int) bool {
	next := math.Nextafter(math.Abs(f), math.Inf(1)) - math.Abs(f)
	if bits == 32 {
		next = float64(math.Nextafter32(float32(math.Abs(f)), float32(math.Inf(1)))) - math.Abs(f)
	}
	if next < 0.25 || math.IsInf(next, 0) || math.Abs(f) > 1e45 {
		return false
	}
	exact, _, err := big.ParseFloat(string(digits), 10, 400, big.ToNearestEven)
	if err != nil {
		return false
	}
	gap := exact.Abs(exact)
	gap.Sub(gap, new(big.Float).SetFloat64(math.Abs(f)))
	half := next / 2
	if gap.Sign() < 0 && isPowerOfTwo(f) { // below a power of two floats are closer together
		half /= 2
	}
	return gap.Abs(gap).Cmp(new(big.Float).SetFloat64(half)) == 0
}

func isPowerOfTwo(f float64) bool {
	frac, _ := math.Frexp(math.Abs(f))
	return frac == 0.5
}

// appendInside appends the fewest digits that denote f without being on a boundary.
func appendInside(dst []byte, f float64, bits int) []byte {
	n := len(dst)
	for digits := 1; digits < 17; digits++ {
		dst = strconv.AppendFloat(dst[:n], f, 'e', digits-1, bits)
		back, err := strconv.ParseFloat(string(dst[n:]), bits)
		if err == nil && back == f && !onBoundary(dst[n:], f, bits) {
			return dst
		}
	}
	return strconv.AppendFloat(dst[:n], f, 'e', 16, bits)
}

// appendRoundedFloat is C's %.*g.
func appendRoundedFloat(dst []byte, f float64, bits, digits int) []byte {
	sci := strconv.FormatFloat(f, 'e', digits-1, bits)
	mantissa, exp, _ := strings.Cut(sci, "e")
	e, _ := strconv.Atoi(exp)
	if e >= -4 && e < digits {
		fixed := strconv.FormatFloat(f, 'f', digits-1-e, bits)
		return append(dst, trimZeros(fixed)...)
	}
	return append(append(append(dst, trimZeros(mantissa)...), 'e'), exp...)
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func appendBytesText(dst []byte, t sqltypes.Type, b []byte, s *Settings) []byte {
	switch t.Kind {
	case sqltypes.KBytea:
		return appendByteaText(dst, b, s.ByteaEscape)
	case sqltypes.KJSONB:
		return jsonb.AppendText(dst, b)
	case sqltypes.KJSONPath:
		return appendJSONPath(dst, b)
	case sqltypes.KUUID:
		return appendUUID(dst, b)
	case sqltypes.KArray:
		return appendArrayText(dst, t, b, s)
	case sqltypes.KInt2Vector, sqltypes.KOidVector:
		return appendVectorText(dst, t, b, s)
	case sqltypes.KRecord:
		return appendRecordText(dst, t, b, s)
	case sqltypes.KMap:
		return appendMapText(dst, t, b, s)
	case sqltypes.KVector:
		return appendFloatsText(dst, b)
	case sqltypes.KBit, sqltypes.KVarbit:
		return appendBitsText(dst, b)
	case sqltypes.KChar:
		return AppendChar(dst, b)
	}
	return append(dst, b...)
}

func appendByteaText(dst, b []byte, escape bool) []byte {
	if !escape {
		return hex.AppendEncode(append(dst, '\\', 'x'), b)
	}
	for _, c := range b {
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendJSONPath prints a path as it was read, not as it was written.
func appendJSONPath(dst, b []byte) []byte {
	p, err := jsonpath.Parse(string(b))
	if err != nil { // it was checked when it came in
		return append(dst, b...)
	}
	return append(dst, p.String()...)
}

func appendUUID(dst, b []byte) []byte {
	if len(b) != 16 {
		return hex.AppendEncode(dst, b)
	}
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[:n])
		b = b[n:]
	}
	return dst
}
