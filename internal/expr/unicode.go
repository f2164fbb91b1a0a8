package expr

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Normal forms and encodings.

func normalForm(name []byte) (norm.Form, error) {
	switch strings.ToUpper(string(name)) {
	case "NFC":
		return norm.NFC, nil
	case "NFD":
		return norm.NFD, nil
	case "NFKC":
		return norm.NFKC, nil
	case "NFKD":
		return norm.NFKD, nil
	}
	return 0, sqlerr.New(sqlerr.InvalidParameterValue, "invalid normalization form: %s", name)
}

func normalize(dst, s, form []byte) ([]byte, error) {
	f, err := normalForm(form)
	if err != nil {
		return dst, err
	}
	return append(dst, f.Bytes(s)...), nil
}

func isNormalized(s, form []byte) (bool, error) {
	f, err := normalForm(form)
	return err == nil && f.IsNormal(s), err
}

// encoding is a way to write text as bytes; without a table it is UTF-8, or bytes as they are.
type encoding struct {
	name  string
	table *charmap.Charmap
	ascii bool // SQL_ASCII: any bytes
}

// encodings are PostgreSQL's single-byte ones and UTF-8, by their names without punctuation.
var encodings = map[string]encoding{
	"utf8": {name: "UTF8"}, "unicode": {name: "UTF8"}, "sqlascii": {name: "SQL_ASCII", ascii: true},
	"latin1": {name: "LATIN1", table: charmap.ISO8859_1}, "iso88591": {name: "LATIN1", table: charmap.ISO8859_1},
	"latin2": {name: "LATIN2", table: charmap.ISO8859_2}, "iso88592": {name: "LATIN2", table: charmap.ISO8859_2},
	"latin3": {name: "LATIN3", table: charmap.ISO8859_3}, "iso88593": {name: "LATIN3", table: charmap.ISO8859_3},
	"latin4": {name: "LATIN4", table: charmap.ISO8859_4}, "iso88594": {name: "LATIN4", table: charmap.ISO8859_4},
	"latin5": {name: "LATIN5", table: charmap.ISO8859_9}, "iso88599": {name: "LATIN5", table: charmap.ISO8859_9},
	"latin6": {name: "LATIN6", table: charmap.ISO8859_10}, "iso885910": {name: "LATIN6", table: charmap.ISO8859_10},
	"latin7": {name: "LATIN7", table: charmap.ISO8859_13}, "iso885913": {name: "LATIN7", table: charmap.ISO8859_13},
	"latin8": {name: "LATIN8", table: charmap.ISO8859_14}, "iso885914": {name: "LATIN8", table: charmap.ISO8859_14},
	"latin9": {name: "LATIN9", table: charmap.ISO8859_15}, "iso885915": {name: "LATIN9", table: charmap.ISO8859_15},
	"latin10": {name: "LATIN10", table: charmap.ISO8859_16}, "iso885916": {name: "LATIN10", table: charmap.ISO8859_16},
	"iso88595": {name: "ISO_8859_5", table: charmap.ISO8859_5}, "iso88596": {name: "ISO_8859_6", table: charmap.ISO8859_6},
	"iso88597": {name: "ISO_8859_7", table: charmap.ISO8859_7}, "iso88598": {name: "ISO_8859_8", table: charmap.ISO8859_8},
	"win1250": {name: "WIN1250", table: charmap.Windows1250}, "win1251": {name: "WIN1251", table: charmap.Windows1251},
	"win1252": {name: "WIN1252", table: charmap.Windows1252}, "win1253": {name: "WIN1253", table: charmap.Windows1253},
	"win1254": {name: "WIN1254", table: charmap.Windows1254}, "win1255": {name: "WIN1255", table: charmap.Windows1255},
	"win1256": {name: "WIN1256", table: charmap.Windows1256}, "win1257": {name: "WIN1257", table: charmap.Windows1257},
	"win1258": {name: "WIN1258", table: charmap.Windows1258}, "win866": {name: "WIN866", table: charmap.CodePage866},
	"win874": {name: "WIN874", table: charmap.Windows874}, "koi8r": {name: "KOI8R", table: charmap.KOI8R}, "koi8": {name: "KOI8R", table: charmap.KOI8R},
	"koi8u": {name: "KOI8U", table: charmap.KOI8U}, "windows1252": {name: "WIN1252", table: charmap.Windows1252},
	"windows1250": {name: "WIN1250", table: charmap.Windows1250}, "windows1251": {name: "WIN1251", table: charmap.Windows1251},
}

// encodingNames lists PostgreSQL's encodings by their numbers.
var encodingNames = strings.Fields(`SQL_ASCII EUC_JP EUC_CN EUC_KR EUC_TW EUC_JIS_2004 UTF8 MULE_INTERNAL LATIN1 LATIN2 LATIN3 LATIN4 LATIN5
	LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 WIN1256 WIN1258 WIN866 WIN874 KOI8R WIN1251 WIN1252 ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8
	WIN1250 WIN1253 WIN1254 WIN1255 WIN1257 KOI8U SJIS BIG5 GBK UHC GB18030 JOHAB SHIFT_JIS_2004`)

// encodingOf finds an encoding; what says which one is wrong.
func encodingOf(name []byte, what string) (encoding, error) {
	e, ok := encodings[strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(string(name)))]
	if !ok {
		return e, sqlerr.New(sqlerr.InvalidParameterValue, "invalid %s name \"%s\"", what, name)
	}
	return e, nil
}

// hexBytes lists bytes as errors show them.
func hexBytes(s []byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i, c := range s {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("0x")
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func errNoEquivalent(char []byte, from, to string) error {
	return sqlerr.New(sqlerr.UntranslatableCharacter, "character with byte sequence %s in encoding \"%s\" has no equivalent in encoding \"%s\"", hexBytes(char), from, to)
}

// decodeText appends s, which is in encoding e, as UTF-8.
func (e encoding) decodeText(dst, s []byte) ([]byte, error) {
	if e.table == nil {
		if i := invalidUTF8(s); i >= 0 {
			return dst, errInvalidUTF8(s[i:])
		}
		return append(dst, s...), nil
	}
	for i, c := range s {
		r := e.table.DecodeByte(c)
		switch {
		case c == 0:
			return dst, sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"%s\": 0x00", e.name)
		case r == utf8.RuneError:
			return dst, errNoEquivalent(s[i:i+1], e.name, "UTF8")
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, nil
}

// encodeText appends UTF-8 text in encoding e.
func (e encoding) encodeText(dst, s []byte) ([]byte, error) {
	if e.table == nil {
		return append(dst, s...), nil
	}
	for len(s) > 0 {
		r, w := utf8.DecodeRune(s)
		c, ok := e.table.EncodeRune(r)
		if !ok {
			return dst, errNoEquivalent(s[:w], "UTF8", e.name)
		}
		dst, s = append(dst, c), s[w:]
	}
	return dst, nil
}

func convertFrom(dst, s, name []byte) ([]byte, error) {
	e, err := encodingOf(name, "source encoding")
	if err != nil {
		return dst, err
	}
	return e.decodeText(dst, s)
}

func convertTo(dst, s, name []byte) ([]byte, error) {
	e, err := encodingOf(name, "destination encoding")
	if err != nil {
		return dst, err
	}
	return e.encodeText(dst, s)
}

// convertBytes turns bytes of one encoding into those of another.
func convertBytes(dst, s, from, to []byte) ([]byte, error) {
	src, err := encodingOf(from, "source encoding")
	if err != nil {
		return dst, err
	}
	dest, err := encodingOf(to, "destination encoding")
	if err != nil {
		return dst, err
	}
	text, err := src.decodeText(nil, s)
	if err != nil {
		return dst, err
	}
	return dest.encodeText(dst, text)
}

func lengthIn(s, name []byte) (int64, error) {
	e, err := encodingOf(name, "encoding")
	if err != nil || e.table != nil || e.ascii {
		return int64(len(s)), err
	}
	if i := invalidUTF8(s); i >= 0 {
		return 0, errInvalidUTF8(s[i:])
	}
	return runeLen(s), nil
}

// toASCIIFrom is to_ascii for an encoding, of which PostgreSQL knows four.
func toASCIIFrom(dst, s, name []byte) ([]byte, error) {
	e, err := encodingOf(name, "encoding")
	if err != nil {
		return dst, sqlerr.New(sqlerr.UndefinedObject, "%s is not a valid encoding name", name)
	}
	switch e.name {
	case "LATIN1", "LATIN2", "LATIN9", "WIN1250":
		return toASCII(dst, s), nil
	}
	return dst, sqlerr.New(sqlerr.FeatureNotSupported, "encoding conversion from %s to ASCII not supported", e.name)
}

// unicodeFuncs lists the functions on normal forms and encodings.
func unicodeFuncs() []Func {
	t, b, n := sqltypes.Text, sqltypes.Bytea, sqltypes.Name
	nfc := func(dst, s []byte) ([]byte, error) { return normalize(dst, s, []byte("NFC")) }
	return []Func{
		fn("normalize", ts(t), t, b1e(nfc), "text in Unicode's normal form C"),
		fn("normalize", ts(t, t), t, b2e(normalize), "text in one of Unicode's normal forms: NFC, NFD, NFKC or NFKD"),
		fn("is_normalized", ts(t), sqltypes.Bool, k1e(func(s []byte) (bool, error) { return isNormalized(s, []byte("NFC")) }), "whether text is in normal form C"),
		fn("is_normalized", ts(t, t), sqltypes.Bool, k2e(isNormalized), "whether text is in a normal form"),
		fn("length", ts(b, n), sqltypes.Int4, k2e(lengthIn), "number of characters in an encoding"),
		fn("convert", ts(b, n, n), b, b3e(convertBytes), "bytes of one encoding as those of another"),
		fn("convert_from", ts(b, n), t, b2e(convertFrom), "text from bytes in an encoding"),
		fn("convert_to", ts(t, n), b, b2e(convertTo), "bytes of a text in an encoding"),
		fn("to_ascii", ts(t, n), t, b2e(toASCIIFrom), "accents removed"),
	}
}
