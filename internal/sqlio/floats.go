package sqlio

import (
	"cmp"
	"encoding/binary"
	"math"
	"strings"

	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/sqlerr"
)

// MaxDimensions is the longest value of type vector.
const MaxDimensions = 16000

// MakeFloats encodes a value of type vector. Errors: 22000 for a length or number that no vector may have.
func MakeFloats(fs []float32) ([]byte, error) {
	switch {
	case len(fs) == 0:
		return nil, sqlerr.New(sqlerr.DataException, "vector must have at least 1 dimension")
	case len(fs) > MaxDimensions:
		return nil, sqlerr.New(sqlerr.ProgramLimitExceeded, "vector cannot have more than %d dimensions", MaxDimensions)
	}
	dst := make([]byte, 0, 4*len(fs))
	for _, f := range fs {
		if f != f {
			return nil, sqlerr.New(sqlerr.DataException, "NaN not allowed in vector")
		}
		if math.IsInf(float64(f), 0) {
			return nil, sqlerr.New(sqlerr.DataException, "infinite value not allowed in vector")
		}
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
	}
	return dst, nil
}

// FloatsLen returns the number of dimensions of a vector.
func FloatsLen(b []byte) int { return len(b) / 4 }

// FloatAt returns one number of a vector.
func FloatAt(b []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
}

func appendFloatsText(dst, b []byte) []byte {
	dst = append(dst, '[')
	for i := range FloatsLen(b) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendFloat(dst, float64(FloatAt(b, i)), 32)
	}
	return append(dst, ']')
}

func parseFloats(text string) ([]byte, error) {
	bad := func(detail string) ([]byte, error) {
		err := errSyntax("vector", text)
		if e, ok := err.(*sqlerr.Error); ok && detail != "" {
			err = e.WithDetail("%s", detail)
		}
		return nil, err
	}
	s := trim(text)
	if !strings.HasPrefix(s, "[") {
		return bad(`Vector contents must start with "[".`)
	}
	if !strings.HasSuffix(s, "]") {
		return bad("")
	}
	s = s[1 : len(s)-1]
	if trim(s) == "" {
		return MakeFloats(nil)
	}
	var fs []float32
	for _, item := range strings.Split(s, ",") {
		f, err := parseFloat(item, 32)
		if err != nil {
			if sqlerr.CodeOf(err) == sqlerr.NumericValueOutOfRange {
				return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type vector", trim(item))
			}
			return bad("")
		}
		fs = append(fs, float32(f))
	}
	return MakeFloats(fs)
}

// compareVectors orders by the numbers, then by how many there are.
func compareVectors(a, b []byte) int {
	for i := range min(FloatsLen(a), FloatsLen(b)) {
		if c := cmp.Compare(FloatAt(a, i), FloatAt(b, i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func appendVectorKey(dst, b []byte) []byte {
	for i := range FloatsLen(b) {
		dst = keyenc.AppendFloat64(append(dst, keyValue), float64(FloatAt(b, i)))
	}
	return append(dst, keyEnd)
}

// appendFloatsBinary writes the number of dimensions, 0, and the numbers.
func appendFloatsBinary(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(FloatsLen(b)))
	dst = binary.BigEndian.AppendUint16(dst, 0)
	for i := range FloatsLen(b) {
		dst = binary.BigEndian.AppendUint32(dst, math.Float32bits(FloatAt(b, i)))
	}
	return dst
}

func parseFloatsBinary(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errShortBinary()
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[4:]
	if err := exactly(b, 4*n); err != nil {
		return nil, err
	}
	fs := make([]float32, n)
	for i := range fs {
		fs[i] = math.Float32frombits(binary.BigEndian.Uint32(b[4*i:]))
	}
	return MakeFloats(fs)
}
