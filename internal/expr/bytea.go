package expr

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Binary strings: bytes and bits, encodings, digests.

func errIndexRange(i, n int64) error {
	return sqlerr.New(sqlerr.ArraySubscriptError, "index %d out of valid range, 0..%d", i, n-1)
}

func getByte(s []byte, i int64) (int64, error) {
	if i < 0 || i >= int64(len(s)) {
		return 0, errIndexRange(i, int64(len(s)))
	}
	return int64(s[i]), nil
}

func setByte(dst, s []byte, i, b int64) ([]byte, error) {
	if i < 0 || i >= int64(len(s)) {
		return dst, errIndexRange(i, int64(len(s)))
	}
	at := len(dst) + int(i)
	dst = append(dst, s...)
	dst[at] = byte(b)
	return dst, nil
}

func getBit(s []byte, i int64) (int64, error) {
	if i < 0 || i >= int64(len(s))*8 {
		return 0, errIndexRange(i, int64(len(s))*8)
	}
	return int64(s[i/8]>>(i%8)) & 1, nil
}

func setBit(dst, s []byte, i, bit int64) ([]byte, error) {
	if i < 0 || i >= int64(len(s))*8 {
		return dst, errIndexRange(i, int64(len(s))*8)
	}
	if bit != 0 && bit != 1 {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "new bit must be 0 or 1")
	}
	at := len(dst) + int(i/8)
	dst = append(dst, s...)
	dst[at] = dst[at]&^(1<<(i%8)) | byte(bit)<<(i%8)
	return dst, nil
}

func bitCount(s []byte) int64 {
	n := 0
	for _, b := range s {
		n += bits.OnesCount8(b)
	}
	return int64(n)
}

func reverseBytes(dst, s []byte) []byte {
	at := len(dst)
	dst = append(dst, s...)
	slices.Reverse(dst[at:])
	return dst
}

func positionBytes(s, needle []byte) int64 { return int64(bytes.Index(s, needle)) + 1 }

func errEncoding(name []byte) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "unrecognized encoding: \"%s\"", name)
}

// base64Line is where PostgreSQL breaks encoded lines.
const base64Line = 76

func encode(dst, s, format []byte) ([]byte, error) {
	switch strings.ToLower(string(format)) {
	case "hex":
		return hex.AppendEncode(dst, s), nil
	case "base64":
		text := base64.StdEncoding.AppendEncode(nil, s)
		for len(text) > base64Line {
			dst = append(append(dst, text[:base64Line]...), '\n')
			text = text[base64Line:]
		}
		return append(dst, text...), nil
	case "escape":
		for _, b := range s {
			switch {
			case b == 0 || b >= utf8.RuneSelf:
				dst = append(dst, '\\', '0'+b>>6, '0'+b>>3&7, '0'+b&7)
			case b == '\\':
				dst = append(dst, '\\', '\\')
			default:
				dst = append(dst, b)
			}
		}
		return dst, nil
	}
	return dst, errEncoding(format)
}

func decode(dst, s, format []byte) ([]byte, error) {
	switch strings.ToLower(string(format)) {
	case "hex":
		return decodeHex(dst, s)
	case "base64":
		return decodeBase64(dst, s)
	case "escape":
		return decodeEscape(dst, s)
	}
	return dst, errEncoding(format)
}

func firstChar(s []byte) string {
	r, w := utf8.DecodeRune(s)
	if r == utf8.RuneError {
		return string(s[:1])
	}
	return string(s[:w])
}

func decodeHex(dst, s []byte) ([]byte, error) {
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r' {
			i++
			continue
		}
		hi, ok := hexDigit(s[i])
		if !ok {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid hexadecimal digit: \"%s\"", firstChar(s[i:]))
		}
		i++
		if i >= len(s) {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid hexadecimal data: odd number of digits")
		}
		lo, ok := hexDigit(s[i])
		if !ok {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid hexadecimal digit: \"%s\"", firstChar(s[i:]))
		}
		i++
		dst = append(dst, hi<<4|lo)
	}
	return dst, nil
}

func decodeBase64(dst, s []byte) ([]byte, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var buf uint32
	pos, end := 0, 0
	for i, b := range s {
		if b == ' ' || b == '\n' || b == '\t' || b == '\r' {
			continue
		}
		v := strings.IndexByte(alphabet, b)
		if b == '=' {
			if end == 0 {
				switch pos {
				case 2:
					end = 1
				case 3:
					end = 2
				default:
					return dst, sqlerr.New(sqlerr.InvalidParameterValue, "unexpected \"=\" while decoding base64 sequence")
				}
			}
			v = 0
		} else if v < 0 {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid symbol \"%s\" found while decoding base64 sequence", firstChar(s[i:]))
		}
		buf = buf<<6 | uint32(v)
		if pos++; pos < 4 {
			continue
		}
		dst = append(dst, byte(buf>>16))
		if end == 0 || end > 1 {
			dst = append(dst, byte(buf>>8))
		}
		if end == 0 {
			dst = append(dst, byte(buf))
		}
		buf, pos = 0, 0
	}
	if pos != 0 {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid base64 end sequence").
			WithHint("Input data is missing padding, is truncated, or is otherwise corrupted.")
	}
	return dst, nil
}

func decodeEscape(dst, s []byte) ([]byte, error) {
	octal := func(b, top byte) bool { return b >= '0' && b <= top }
	for i := 0; i < len(s); {
		switch {
		case s[i] != '\\':
			dst = append(dst, s[i])
			i++
		case i+3 < len(s) && octal(s[i+1], '3') && octal(s[i+2], '7') && octal(s[i+3], '7'):
			dst = append(dst, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 4
		case i+1 < len(s) && s[i+1] == '\\':
			dst = append(dst, '\\')
			i += 2
		default:
			return dst, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type bytea")
		}
	}
	return dst, nil
}

// invalidUTF8 returns the offset of the first byte that is not text, or −1.
func invalidUTF8(s []byte) int {
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && w <= 1 || s[i] == 0 {
			return i
		}
		i += w
	}
	return -1
}

func errInvalidUTF8(s []byte) error {
	n := 1
	switch {
	case s[0] >= 0xF0:
		n = 4
	case s[0] >= 0xE0:
		n = 3
	case s[0] >= 0xC0:
		n = 2
	}
	var list []string
	for _, b := range s[:min(n, len(s))] {
		list = append(list, "0x"+hex.EncodeToString([]byte{b}))
	}
	return sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", strings.Join(list, " "))
}

func md5Hex(dst, s []byte) []byte {
	sum := md5.Sum(s)
	return hex.AppendEncode(dst, sum[:])
}

func digest(sum func(s []byte) []byte) Kernel {
	return b1(func(dst, s []byte) []byte { return append(dst, sum(s)...) })
}

func hmacOf(dst, s, key, algorithm []byte) ([]byte, error) {
	var h func() hash.Hash
	switch strings.ToLower(string(algorithm)) {
	case "md5":
		h = md5.New
	case "sha1":
		h = sha1.New
	case "sha224":
		h = sha256.New224
	case "sha256":
		h = sha256.New
	case "sha384":
		h = sha512.New384
	case "sha512":
		h = sha512.New
	default:
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "Cannot use \"%s\": No such hash algorithm", algorithm)
	}
	m := hmac.New(h, key)
	m.Write(s)
	return m.Sum(dst), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// byteaFuncs lists the functions on binary strings, and the encodings between those and text.
func byteaFuncs() []Func {
	t, i4, i8, b := sqltypes.Text, sqltypes.Int4, sqltypes.Int8, sqltypes.Bytea
	lenOf := func(s []byte) int64 { return int64(len(s)) }
	return []Func{
		fn("length", ts(b), i4, k1(lenOf), "number of bytes"),
		fn("octet_length", ts(b), i4, k1(lenOf), "number of bytes"),
		fn("bit_length", ts(b), i4, k1(func(s []byte) int64 { return 8 * int64(len(s)) }), "number of bits"),
		fn("substr", ts(b, i4), b, b2e(substrBytes2), "bytes from a position on"),
		fn("substr", ts(b, i4, i4), b, b3e(substrBytes3), "that many bytes from a position on"),
		fn("substring", ts(b, i4), b, b2e(substrBytes2), "bytes from a position on"),
		fn("substring", ts(b, i4, i4), b, b3e(substrBytes3), "that many bytes from a position on"),
		fn("overlay", ts(b, b, i4), b, b3e(overlayBytes3), "bytes from a position on replaced"),
		fn("overlay", ts(b, b, i4, i4), b, b4e(overlayWith(substringBytes)), "that many bytes from a position on replaced"),
		fn("position", ts(b, b), i4, k2(positionBytes), "position of the second string in the first, 0 for none"),
		fn("reverse", ts(b), b, b1(reverseBytes), "bytes in reverse order"),
		fn("get_byte", ts(b, i4), i4, k2e(getByte), "n-th byte from 0"),
		fn("set_byte", ts(b, i4, i4), b, b3e(setByte), "n-th byte replaced"),
		fn("get_bit", ts(b, i8), i4, k2e(getBit), "n-th bit from 0"),
		fn("set_bit", ts(b, i8, i4), b, b3e(setBit), "n-th bit replaced"),
		fn("bit_count", ts(b), i8, k1(bitCount), "number of bits set"),
		fn("encode", ts(b, t), t, b2e(encode), "text form: hex, base64 or escape"),
		fn("decode", ts(t, t), b, b2e(decode), "bytes from their text form: hex, base64 or escape"),
		fn("md5", ts(t), t, b1(md5Hex), "MD5 in hexadecimal"),
		fn("md5", ts(b), t, b1(md5Hex), "MD5 in hexadecimal"),
		fn("sha1", ts(b), b, digest(func(s []byte) []byte { x := sha1.Sum(s); return x[:] }), "SHA-1"),
		fn("sha224", ts(b), b, digest(func(s []byte) []byte { x := sha256.Sum224(s); return x[:] }), "SHA-224"),
		fn("sha256", ts(b), b, digest(func(s []byte) []byte { x := sha256.Sum256(s); return x[:] }), "SHA-256"),
		fn("sha384", ts(b), b, digest(func(s []byte) []byte { x := sha512.Sum384(s); return x[:] }), "SHA-384"),
		fn("sha512", ts(b), b, digest(func(s []byte) []byte { x := sha512.Sum512(s); return x[:] }), "SHA-512"),
		fn("hmac", ts(b, b, t), b, b3e(hmacOf), "keyed digest"),
		fn("hmac", ts(t, b, t), b, b3e(func(dst, key, s, algorithm []byte) ([]byte, error) { return hmacOf(dst, s, key, algorithm) }), "keyed digest, the key being given first"),
		fn("crc32", ts(b), i8, k1(func(s []byte) int64 { return int64(crc32.ChecksumIEEE(s)) }), "CRC-32"),
		fn("crc32c", ts(b), i8, k1(func(s []byte) int64 { return int64(crc32.Checksum(s, castagnoli)) }), "CRC-32C"),
		fn("secure_compare", ts(t, t), sqltypes.Bool, k2(func(x, y []byte) bool { return subtle.ConstantTimeCompare(x, y) == 1 }), "equality in constant time"),
	}
}
