package sqlio

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Bit strings. A value is a byte that says how many bits of the last byte are not used, and the bits, eight in a byte from
// the highest down. Unused bits are 0, so that equal strings have equal bytes; B'' is one byte, 0.

// MaxBits is the longest bit string, in bits.
const MaxBits = math.MaxInt32 - 7

// Bits is a bit string to be read.
type Bits struct {
	// Data holds the bits, eight in a byte from the highest down; what is left of the last byte is 0.
	Data []byte
	// Len is the number of bits.
	Len int
}

// ReadBits takes the bytes of a value apart. The result aliases b.
func ReadBits(b []byte) Bits {
	if len(b) == 0 {
		return Bits{}
	}
	return Bits{b[1:], 8*(len(b)-1) - int(b[0])}
}

// At returns bit i, counted from the left and from 0.
func (b Bits) At(i int) byte { return b.Data[i/8] >> (7 - i%8) & 1 }

// AppendBits appends the bytes of a value of n bits; data holds at least that many. What data has behind them does not
// matter.
func AppendBits(dst, data []byte, n int) []byte {
	size := (n + 7) / 8
	unused := 8*size - n
	dst = append(append(dst, byte(unused)), data[:size]...)
	if unused > 0 {
		dst[len(dst)-1] &= 0xFF << unused
	}
	return dst
}

// ErrBitsTooLong is 54000 about a bit string that would be longer than MaxBits.
func ErrBitsTooLong() error {
	return sqlerr.New(sqlerr.ProgramLimitExceeded, "bit string length exceeds the maximum allowed (%d)", MaxBits)
}

// parseBits reads binary digits, after a b if there is one, or hexadecimal ones after an x.
func parseBits(text string) ([]byte, error) {
	width := 1
	if text != "" {
		switch text[0] {
		case 'b', 'B':
			text = text[1:]
		case 'x', 'X':
			text, width = text[1:], 4
		}
	}
	if len(text) > MaxBits/width {
		return nil, ErrBitsTooLong()
	}
	n := width * len(text)
	out := make([]byte, 1+(n+7)/8)
	out[0] = byte(8*(len(out)-1) - n)
	for i := range len(text) {
		digit, ok := bitsDigit(text[i], width)
		if !ok {
			_, size := utf8.DecodeRuneInString(text[i:])
			name := map[int]string{1: "binary", 4: "hexadecimal"}[width]
			return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "\"%s\" is not a valid %s digit", text[i:i+size], name)
		}
		at := width * i
		out[1+at/8] |= digit << (8 - width - at%8)
	}
	return out, nil
}

// bitsDigit reads a digit of one or four bits.
func bitsDigit(c byte, width int) (byte, bool) {
	switch {
	case c == '0' || c == '1':
		return c - '0', true
	case width == 1:
		return 0, false
	case c >= '2' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func appendBitsText(dst, b []byte) []byte {
	bits := ReadBits(b)
	for i := range bits.Len {
		dst = append(dst, '0'+bits.At(i))
	}
	return dst
}

// FitBits cuts a bit string to what its type says, or pads it with zeros. Without explicit, a bit(n) of another length
// is error 22026, and a bit varying(n) that is longer error 22001. The result may alias b.
func FitBits(t sqltypes.Type, b []byte, explicit bool) ([]byte, error) {
	bits, n := ReadBits(b), int(t.Typmod())
	if n <= 0 || bits.Len == n || t.Kind == sqltypes.KVarbit && bits.Len < n {
		return b, nil
	}
	if !explicit {
		if t.Kind == sqltypes.KBit {
			return nil, sqlerr.New(sqlerr.StringDataLengthMismatch, "bit string length %d does not match type bit(%d)", bits.Len, n)
		}
		return nil, sqlerr.New(sqlerr.StringDataRightTruncation, "bit string too long for type bit varying(%d)", n)
	}
	data := bits.Data
	if missing := (n+7)/8 - len(data); missing > 0 {
		data = append(data[:len(data):len(data)], make([]byte, missing)...)
	}
	return AppendBits(nil, data, n), nil
}

// compareBits orders by the bits from the left, and a string before those that it begins.
func compareBits(a, b []byte) int {
	x, y := ReadBits(a), ReadBits(b)
	if c := bytes.Compare(x.Data, y.Data); c != 0 {
		return c
	}
	return cmp.Compare(x.Len, y.Len)
}

// appendBitsKey appends the bits, and behind them how many of the last byte are used, which decides among strings that
// differ in zeros at their end only.
func appendBitsKey(dst, b []byte) []byte {
	if len(b) == 0 {
		b = []byte{0}
	}
	return append(keyenc.AppendBytes(dst, b[1:]), 8-b[0])
}

func decodeBitsKey(src []byte) (b, rest []byte, err error) {
	data, rest, err := keyenc.DecodeBytes(src)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) == 0 || rest[0] < 1 || rest[0] > 8 {
		return nil, nil, errBitsKey
	}
	return append([]byte{8 - rest[0]}, data...), rest[1:], nil
}

// appendBitsBinary writes the number of bits and the bits.
func appendBitsBinary(dst, b []byte) []byte {
	bits := ReadBits(b)
	return append(binary.BigEndian.AppendUint32(dst, uint32(bits.Len)), bits.Data...)
}

func parseBitsBinary(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errShortBinary()
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n < 0 || n > MaxBits {
		return nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "invalid length in external bit string")
	}
	if err := exactly(b[4:], (int(n)+7)/8); err != nil {
		return nil, err
	}
	return AppendBits(nil, b[4:], int(n)), nil
}
