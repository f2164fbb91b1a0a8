package expr

import (
	"bytes"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Text functions. Positions and lengths count characters; ASCII strings take the short way.

// maxAlloc is the largest value a function builds, as in PostgreSQL.
const maxAlloc = 1<<30 - 1

var errNegativeLen = sqlerr.New(sqlerr.SubstringError, "negative substring length not allowed")

func isASCII(s []byte) bool {
	for _, b := range s {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func runeLen(s []byte) int64 {
	n := 0
	for _, b := range s {
		if b&0xC0 != 0x80 {
			n++
		}
	}
	return int64(n)
}

// charOffset returns the byte offset of character n (from 0), len(s) past the end.
func charOffset(s []byte, n int64) int {
	if n <= 0 {
		return 0
	}
	if n >= int64(len(s)) {
		return len(s)
	}
	if isASCII(s[:n]) {
		return int(n)
	}
	off := 0
	for ; n > 0 && off < len(s); n-- {
		_, w := utf8.DecodeRune(s[off:])
		off += w
	}
	return off
}

// clip turns PostgreSQL's (start from 1, length) into a half-open range from 0; unbounded when length < 0 is not
// given. Start may lie before the string.
func clip(start, length int64, bounded bool) (from, to int64, err error) {
	to = math.MaxInt64
	if bounded {
		if length < 0 {
			return 0, 0, errNegativeLen
		}
		to = start - 1 + length
	}
	return max(start-1, 0), max(to, 0), nil
}

func substring(dst, s []byte, start, length int64, bounded bool) ([]byte, error) {
	from, to, err := clip(start, length, bounded)
	if err != nil || from >= to {
		return dst, err
	}
	b := charOffset(s, from)
	e := len(s)
	if to != math.MaxInt64 {
		e = b + charOffset(s[b:], to-from)
	}
	return append(dst, s[b:e]...), nil
}

func substringBytes(dst, s []byte, start, length int64, bounded bool) ([]byte, error) {
	from, to, err := clip(start, length, bounded)
	n := int64(len(s))
	if from, to = min(from, n), min(to, n); err != nil || from >= to {
		return dst, err
	}
	return append(dst, s[from:to]...), nil
}

func substr2(dst, s []byte, start int64) ([]byte, error) { return substring(dst, s, start, 0, false) }

func substr3(dst, s []byte, start, n int64) ([]byte, error) {
	return substring(dst, s, start, n, true)
}

func substrBytes2(dst, s []byte, start int64) ([]byte, error) {
	return substringBytes(dst, s, start, 0, false)
}

func substrBytes3(dst, s []byte, start, n int64) ([]byte, error) {
	return substringBytes(dst, s, start, n, true)
}

// overlayWith replaces n characters from start by repl.
func overlayWith(cut func(dst, s []byte, start, n int64, bounded bool) ([]byte, error)) func(dst, s, repl []byte, start, n int64) ([]byte, error) {
	return func(dst, s, repl []byte, start, n int64) ([]byte, error) {
		if start <= 0 {
			return dst, errNegativeLen
		}
		if start+n > math.MaxInt32 {
			return dst, errInt4Range
		}
		dst, err := cut(dst, s, 1, start-1, true)
		if err != nil {
			return dst, err
		}
		return cut(append(dst, repl...), s, start+n, 0, false)
	}
}

func overlay3(dst, s, repl []byte, start int64) ([]byte, error) {
	return overlayWith(substring)(dst, s, repl, start, runeLen(repl))
}

func overlayBytes3(dst, s, repl []byte, start int64) ([]byte, error) {
	return overlayWith(substringBytes)(dst, s, repl, start, int64(len(repl)))
}

// position returns the character position of needle in s from 1, 0 when absent.
func position(s, needle []byte) int64 {
	i := bytes.Index(s, needle)
	if i < 0 {
		return 0
	}
	return runeLen(s[:i]) + 1
}

func lower(dst, s []byte) []byte { return mapCase(dst, s, 'A', 'Z', unicode.ToLower) }

func upper(dst, s []byte) []byte { return mapCase(dst, s, 'a', 'z', unicode.ToUpper) }

// mapCase flips ASCII letters between lo and hi and maps other characters one by one.
func mapCase(dst, s []byte, lo, hi byte, f func(rune) rune) []byte {
	at := len(dst)
	dst = append(dst, s...)
	for i, b := range dst[at:] {
		if b >= utf8.RuneSelf {
			dst = dst[:at+i]
			for _, r := range view(s[i:]) {
				dst = utf8.AppendRune(dst, f(r))
			}
			return dst
		}
		if b-lo <= hi-lo {
			dst[at+i] = b ^ 0x20
		}
	}
	return dst
}

func initcap(dst, s []byte) []byte {
	inWord := false
	for _, r := range view(s) {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		switch {
		case word && inWord:
			r = unicode.ToLower(r)
		case word:
			r = unicode.ToUpper(r)
		}
		inWord = word
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func left(dst, s []byte, n int64) []byte {
	if n < 0 {
		n += runeLen(s)
	}
	return append(dst, s[:charOffset(s, n)]...)
}

func right(dst, s []byte, n int64) []byte {
	if n < 0 {
		n = -n
	} else {
		n = runeLen(s) - n
	}
	return append(dst, s[charOffset(s, n):]...)
}

// pad fills s up to n characters, or cuts it; before says on which side the filling goes.
func pad(dst, s []byte, n int64, fill []byte, before bool) ([]byte, error) {
	n = max(n, 0)
	have := runeLen(s)
	if have >= n || len(fill) == 0 {
		return append(dst, s[:charOffset(s, n)]...), nil
	}
	if n*4 > maxAlloc {
		return dst, errTooLarge
	}
	if !before {
		dst = append(dst, s...)
	}
	missing, each := n-have, runeLen(fill)
	for ; missing >= each; missing -= each {
		dst = append(dst, fill...)
	}
	dst = append(dst, fill[:charOffset(fill, missing)]...)
	if before {
		dst = append(dst, s...)
	}
	return dst, nil
}

func lpad2(dst, s []byte, n int64) ([]byte, error) { return pad(dst, s, n, []byte{' '}, true) }

func rpad2(dst, s []byte, n int64) ([]byte, error) { return pad(dst, s, n, []byte{' '}, false) }

func lpad3(dst, s []byte, n int64, fill []byte) ([]byte, error) { return pad(dst, s, n, fill, true) }

func rpad3(dst, s []byte, n int64, fill []byte) ([]byte, error) { return pad(dst, s, n, fill, false) }

// trimmer trims the characters of set on the chosen sides.
func trimmer(atStart, atEnd bool) func(dst, s, set []byte) []byte {
	return func(dst, s, set []byte) []byte {
		if atStart {
			s = bytes.TrimLeft(s, view(set))
		}
		if atEnd {
			s = bytes.TrimRight(s, view(set))
		}
		return append(dst, s...)
	}
}

func trimSpace(atStart, atEnd bool) func(dst, s []byte) []byte {
	trim := trimmer(atStart, atEnd)
	return func(dst, s []byte) []byte { return trim(dst, s, []byte{' '}) }
}

// trimmerBytes is trimmer for bytea, whose set is of bytes.
func trimmerBytes(atStart, atEnd bool) func(dst, s, set []byte) []byte {
	return func(dst, s, set []byte) []byte {
		for atStart && len(s) > 0 && bytes.IndexByte(set, s[0]) >= 0 {
			s = s[1:]
		}
		for atEnd && len(s) > 0 && bytes.IndexByte(set, s[len(s)-1]) >= 0 {
			s = s[:len(s)-1]
		}
		return append(dst, s...)
	}
}

func replace(dst, s, from, to []byte) ([]byte, error) {
	if len(from) == 0 {
		return append(dst, s...), nil
	}
	for {
		i := bytes.Index(s, from)
		if i < 0 {
			return append(dst, s...), nil
		}
		dst = append(append(dst, s[:i]...), to...)
		s = s[i+len(from):]
	}
}

func translate(dst, s, from, to []byte) ([]byte, error) {
	f, t := []rune(string(from)), []rune(string(to))
	for _, r := range view(s) {
		k := indexRune(f, r)
		switch {
		case k < 0:
			dst = utf8.AppendRune(dst, r)
		case k < len(t):
			dst = utf8.AppendRune(dst, t[k])
		}
	}
	return dst, nil
}

func indexRune(rs []rune, r rune) int {
	for i, x := range rs {
		if x == r {
			return i
		}
	}
	return -1
}

func repeat(dst, s []byte, n int64) ([]byte, error) {
	if n > 0 && int64(len(s))*n > maxAlloc {
		return dst, errTooLarge
	}
	for ; n > 0; n-- {
		dst = append(dst, s...)
	}
	return dst, nil
}

func reverse(dst, s []byte) []byte {
	for len(s) > 0 {
		_, w := utf8.DecodeLastRune(s)
		dst = append(dst, s[len(s)-w:]...)
		s = s[:len(s)-w]
	}
	return dst
}

func splitPart(dst, s, sep []byte, n int64) ([]byte, error) {
	if n == 0 {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "field position must not be zero")
	}
	if len(sep) == 0 {
		if n == 1 || n == -1 {
			dst = append(dst, s...)
		}
		return dst, nil
	}
	if n < 0 {
		for ; n < -1; n++ {
			i := bytes.LastIndex(s, sep)
			if i < 0 {
				return dst, nil
			}
			s = s[:i]
		}
		if i := bytes.LastIndex(s, sep); i >= 0 {
			s = s[i+len(sep):]
		}
		return append(dst, s...), nil
	}
	for ; n > 1; n-- {
		i := bytes.Index(s, sep)
		if i < 0 {
			return dst, nil
		}
		s = s[i+len(sep):]
	}
	if i := bytes.Index(s, sep); i >= 0 {
		s = s[:i]
	}
	return append(dst, s...), nil
}

func ascii(s []byte) int64 {
	if len(s) == 0 {
		return 0
	}
	r, _ := utf8.DecodeRune(s)
	return int64(r)
}

func chr(dst []byte, n int64) ([]byte, error) {
	switch {
	case n < 0:
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "character number must be positive")
	case n == 0:
		return dst, sqlerr.New(sqlerr.ProgramLimitExceeded, "null character not permitted")
	case n > unicode.MaxRune:
		return dst, sqlerr.New(sqlerr.ProgramLimitExceeded, "requested character too large for encoding: %d", n)
	case !utf8.ValidRune(rune(n)):
		return dst, sqlerr.New(sqlerr.ProgramLimitExceeded, "requested character not valid for encoding: %d", n)
	}
	return utf8.AppendRune(dst, rune(n)), nil
}

// appendPlain appends the text of row i as concat, format and || show it.
func appendPlain(c *Ctx, dst []byte, v *delta.Vec, i int) []byte {
	switch v.Type.Kind {
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KName, sqltypes.KUnknown, sqltypes.KBpchar:
		return append(dst, v.Bytes(i)...)
	}
	return sqlio.AppendText(dst, v, i, c.settings())
}

func concat(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	for _, v := range vecs {
		if !v.IsNull(i) {
			dst = appendPlain(c, dst, v, i)
		}
	}
	return dst, nil
}

// concatCast is || with a value of another type, which is cast to text (true, where concat says t).
func concatCast(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	for _, v := range vecs {
		switch v.Type.Kind {
		case sqltypes.KBool:
			dst = boolToText(dst, v.Bools[i])
		case sqltypes.KBpchar:
			dst = stripBlanks(dst, v.Bytes(i))
		default:
			dst = appendPlain(c, dst, v, i)
		}
	}
	return dst, nil
}

func concatWS(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	sep := vecs[0].Bytes(i)
	first := true
	for _, v := range vecs[1:] {
		if v.IsNull(i) {
			continue
		}
		if !first {
			dst = append(dst, sep...)
		}
		first = false
		dst = appendPlain(c, dst, v, i)
	}
	return dst, nil
}

func concatOp(dst, a, b []byte) []byte { return append(append(dst, a...), b...) }

// unistr resolves \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\.
func unistr(dst, s []byte) ([]byte, error) {
	bad := sqlerr.New(sqlerr.SyntaxError, "invalid Unicode escape").
		WithHint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
	var high rune
	for len(s) > 0 {
		if s[0] != '\\' {
			if high != 0 {
				return dst, sqlerr.New(sqlerr.SyntaxError, "invalid Unicode surrogate pair")
			}
			dst, s = append(dst, s[0]), s[1:]
			continue
		}
		if len(s) > 1 && s[1] == '\\' {
			dst, s = append(dst, '\\'), s[2:]
			continue
		}
		skip, digits := 1, 4
		if len(s) > 1 {
			switch s[1] {
			case '+':
				skip, digits = 2, 6
			case 'u':
				skip = 2
			case 'U':
				skip, digits = 2, 8
			}
		}
		if len(s) < skip+digits {
			return dst, bad
		}
		r, ok := parseHex(s[skip : skip+digits])
		if !ok {
			return dst, bad
		}
		s = s[skip+digits:]
		switch {
		case high == 0 && 0xD800 <= r && r < 0xDC00:
			high = r
			continue
		case high != 0 && 0xDC00 <= r && r < 0xE000:
			r, high = (high-0xD800)<<10+(r-0xDC00)+0x10000, 0
		case high != 0 || 0xDC00 <= r && r < 0xE000:
			return dst, sqlerr.New(sqlerr.SyntaxError, "invalid Unicode surrogate pair")
		case r == 0 || r > unicode.MaxRune:
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "invalid Unicode code point: %04X", r)
		}
		dst = utf8.AppendRune(dst, r)
	}
	if high != 0 {
		return dst, sqlerr.New(sqlerr.SyntaxError, "invalid Unicode surrogate pair")
	}
	return dst, nil
}

func parseHex(s []byte) (rune, bool) {
	var r uint32
	for _, b := range s {
		d, ok := hexDigit(b)
		if !ok {
			return 0, false
		}
		r = r<<4 | uint32(d)
	}
	return rune(r), r <= math.MaxInt32
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

// quoteIdent quotes s unless it is a safe identifier.
func quoteIdent(dst, s []byte) []byte {
	safe := len(s) > 0 && !(s[0] >= '0' && s[0] <= '9')
	for _, b := range s {
		safe = safe && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '_')
	}
	if safe && !quotedKeyword(string(s)) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, bytes.ReplaceAll(s, []byte(`"`), []byte(`""`))...)
	return append(dst, '"')
}

// quoteLiteral makes a string literal; one with backslashes becomes an E” string.
func quoteLiteral(dst, s []byte) []byte {
	if bytes.IndexByte(s, '\\') >= 0 {
		dst = append(dst, 'E')
	}
	dst = append(dst, '\'')
	for _, b := range s {
		if b == '\'' || b == '\\' {
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return append(dst, '\'')
}

func quoteNullable(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return append(dst, "NULL"...), nil
	}
	if v := vecs[0]; v.Type.Kind == sqltypes.KBool { // as a cast to text has it, not as output
		return quoteLiteral(dst, boolToText(nil, v.Bools[i])), nil
	}
	return quoteLiteral(dst, appendPlain(c, nil, vecs[0], i)), nil
}

func startsWith(s, prefix []byte) bool { return bytes.HasPrefix(s, prefix) }

// toASCII keeps ASCII and replaces Latin letters with their base where there is one.
func toASCII(dst, s []byte) []byte {
	const from = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåçèéêëìíîïñòóôõöøùúûüýÿ"
	const to = "AAAAAACEEEEIIIINOOOOOOUUUUYaaaaaaceeeeiiiinoooooouuuuyy"
	for _, r := range view(s) {
		switch k := strings.IndexRune(from, r); {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case k >= 0:
			dst = append(dst, to[utf8.RuneCountInString(from[:k])])
		default:
			dst = append(dst, '?')
		}
	}
	return dst
}

// textFuncs lists the text functions; patterns are in like.go and regex_funcs.go.
func textFuncs() []Func {
	t, i4, b := sqltypes.Text, sqltypes.Int4, sqltypes.Bytea
	lenOf := func(s []byte) int64 { return int64(len(s)) }
	bits := func(s []byte) int64 { return 8 * int64(len(s)) }
	bpLen := func(s []byte) int64 { return runeLen(bytes.TrimRight(s, " ")) }
	anyNonArray := sqltypes.Type{Kind: sqltypes.KAnyNonArray}
	list := []Func{
		fn("||", ts(t, t), t, b2(concatOp), "concatenation"),
		fn("||", ts(t, anyNonArray), t, bytesOf(concatCast), "concatenation with the text form of any value").stable(),
		fn("||", ts(anyNonArray, t), t, bytesOf(concatCast), "concatenation with the text form of any value").stable(),
		fn("length", ts(t), i4, k1(runeLen), "number of characters"),
		fn("length", ts(sqltypes.Bpchar), i4, k1(bpLen), "number of characters without trailing blanks"),
		fn("char_length", ts(t), i4, k1(runeLen), "number of characters"),
		fn("char_length", ts(sqltypes.Bpchar), i4, k1(bpLen), "number of characters without trailing blanks"),
		fn("character_length", ts(t), i4, k1(runeLen), "number of characters"),
		fn("octet_length", ts(t), i4, k1(lenOf), "number of bytes"),
		fn("octet_length", ts(sqltypes.Bpchar), i4, k1(lenOf), "number of bytes"),
		fn("bit_length", ts(t), i4, k1(bits), "number of bits"),
		fn("lower", ts(t), t, b1(lower), "lower case"),
		fn("upper", ts(t), t, b1(upper), "upper case"),
		fn("initcap", ts(t), t, b1(initcap), "first letter of each word in upper case, the rest in lower case"),
		fn("substr", ts(t, i4), t, b2e(substr2), "characters from a position on"),
		fn("substr", ts(t, i4, i4), t, b3e(substr3), "that many characters from a position on"),
		fn("substring", ts(t, i4), t, b2e(substr2), "characters from a position on"),
		fn("substring", ts(t, i4, i4), t, b3e(substr3), "that many characters from a position on"),
		fn("overlay", ts(t, t, i4), t, b3e(overlay3), "text with characters from a position on replaced"),
		fn("overlay", ts(t, t, i4, i4), t, b4e(overlayWith(substring)), "text with that many characters from a position on replaced"),
		fn("position", ts(t, t), i4, k2(position), "position of the second text in the first, 0 for none"),
		fn("strpos", ts(t, t), i4, k2(position), "position of the second text in the first, 0 for none"),
		fn("left", ts(t, i4), t, b2(left), "first n characters, or all but the last −n"),
		fn("right", ts(t, i4), t, b2(right), "last n characters, or all but the first −n"),
		fn("lpad", ts(t, i4), t, b2e(lpad2), "filled up with blanks on the left, or cut"),
		fn("lpad", ts(t, i4, t), t, b3e(lpad3), "filled up on the left, or cut"),
		fn("rpad", ts(t, i4), t, b2e(rpad2), "filled up with blanks on the right, or cut"),
		fn("rpad", ts(t, i4, t), t, b3e(rpad3), "filled up on the right, or cut"),
		fn("replace", ts(t, t, t), t, b3e(replace), "every occurrence of a text replaced"),
		fn("translate", ts(t, t, t), t, b3e(translate), "characters replaced one by one"),
		fn("repeat", ts(t, i4), t, b2e(repeat), "text repeated"),
		fn("reverse", ts(t), t, b1(reverse), "characters in reverse order"),
		fn("split_part", ts(t, t, i4), t, b3e(splitPart), "n-th field, from the end when negative"),
		fn("ascii", ts(t), i4, k1(ascii), "code point of the first character"),
		fn("chr", ts(i4), t, b1e(chr), "character with a code point"),
		fn("concat", ts(sqltypes.Any), t, bytesOf(concat), "text forms joined, NULLs left out").variadic().onNulls().stable(),
		fn("concat_ws", ts(t, sqltypes.Any), t, bytesOf(concatWS), "text forms joined by a separator, NULLs left out").variadic().onNulls().stable(),
		fn("format", ts(t), t, bytesOf(format), "formatted text").onNulls().stable(),
		fn("format", ts(t, sqltypes.Any), t, bytesOf(format), "formatted text").variadic().onNulls().stable(),
		fn("quote_ident", ts(t), t, b1(quoteIdent), "text as an identifier, quoted if necessary"),
		fn("quote_literal", ts(t), t, b1(quoteLiteral), "text as a string literal"),
		fn("quote_literal", ts(sqltypes.AnyElement), t, bytesOf(quoteNullable), "value as a string literal").stable(),
		fn("quote_nullable", ts(t), t, bytesOf(quoteNullable), "text as a string literal, or NULL").onNulls(),
		fn("quote_nullable", ts(sqltypes.AnyElement), t, bytesOf(quoteNullable), "value as a string literal, or NULL").onNulls().stable(),
		fn("to_hex", ts(i4), t, b1(func(dst []byte, n int64) []byte { return appendHex(dst, uint64(uint32(n))) }), "hexadecimal digits"),
		fn("to_hex", ts(sqltypes.Int8), t, b1(func(dst []byte, n int64) []byte { return appendHex(dst, uint64(n)) }), "hexadecimal digits"),
		fn("starts_with", ts(t, t), sqltypes.Bool, k2(startsWith), "whether the first text begins with the second"),
		fn("^@", ts(t, t), sqltypes.Bool, k2(startsWith), "whether the first text begins with the second"),
		fn("unistr", ts(t), t, b1e(unistr), "Unicode escapes resolved"),
		fn("to_ascii", ts(t), t, b1(toASCII), "accents removed"),
	}
	list = append(list, trimFuncs()...)
	return append(list,
		fn("||", ts(b, b), b, b2(concatOp), "concatenation"))
}

func trimFuncs() []Func {
	t, b := sqltypes.Text, sqltypes.Bytea
	var out []Func
	for _, x := range []struct {
		name       string
		start, end bool
		doc        string
	}{
		{"btrim", true, true, "characters of a set (blanks) removed at both ends"},
		{"trim", true, true, "characters of a set (blanks) removed at both ends"},
		{"ltrim", true, false, "characters of a set (blanks) removed at the start"},
		{"rtrim", false, true, "characters of a set (blanks) removed at the end"},
	} {
		out = append(out,
			fn(x.name, ts(t), t, b1(trimSpace(x.start, x.end)), x.doc),
			fn(x.name, ts(t, t), t, b2(trimmer(x.start, x.end)), x.doc),
			fn(x.name, ts(b, b), b, b2(trimmerBytes(x.start, x.end)), x.doc))
	}
	return out
}
