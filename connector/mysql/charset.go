package mysql

import (
	"context"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"

	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/sqlerr"
)

// charset turns a text of the log into UTF-8.
type charset struct {
	name string
	// table has the UTF-8 of each byte, of a character set with one byte for each character; the server was asked for it.
	table *[256]string
	multi encoding.Encoding
}

// multibyte are the character sets that have more than one byte for a character and are not UTF-8.
var multibyte = map[string]encoding.Encoding{
	"gbk": simplifiedchinese.GBK, "gb2312": simplifiedchinese.GBK, "gb18030": simplifiedchinese.GB18030,
	"big5": traditionalchinese.Big5, "sjis": japanese.ShiftJIS, "cp932": japanese.ShiftJIS, "ujis": japanese.EUCJP, "eucjpms": japanese.EUCJP,
	"euckr": korean.EUCKR, "ucs2": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "utf16": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	"utf16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "utf32": utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM),
}

// isUTF8 reports whether texts of a character set are UTF-8 as they are.
func isUTF8(name string) bool {
	switch name {
	case "utf8mb4", "utf8mb3", "utf8", "ascii":
		return true
	}
	return false
}

// loadCharset makes a charset, asking the server what the bytes of one mean that has one byte for each character.
func loadCharset(ctx context.Context, c *wire.Conn, name string) (*charset, error) {
	if isUTF8(name) {
		return &charset{name: name}, nil
	}
	if e, ok := multibyte[name]; ok {
		return &charset{name: name, multi: e}, nil
	}
	rows, err := c.Rows(ctx, "SELECT maxlen FROM information_schema.character_sets WHERE character_set_name = "+quote(name))
	if err != nil {
		return nil, fmt.Errorf("read about character set %s: %w", name, err)
	}
	if len(rows) != 1 || rows[0][0] != "1" {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "texts in the character set %q cannot be captured", name)
	}
	sql := make([]byte, 0, 256*48)
	for i := range 256 {
		if i > 0 {
			sql = append(sql, ',')
		} else {
			sql = append(sql, "SELECT "...)
		}
		sql = fmt.Appendf(sql, "CONVERT(_%s X'%02X' USING utf8mb4)", name, i)
	}
	if rows, err = c.Rows(ctx, string(sql)); err != nil {
		return nil, fmt.Errorf("read the characters of %s: %w", name, err)
	}
	cs := &charset{name: name, table: new([256]string)}
	copy(cs.table[:], rows[0])
	return cs, nil
}

// appendUTF8 appends the text b in UTF-8.
func (c *charset) appendUTF8(dst, b []byte) ([]byte, error) {
	switch {
	case c.table != nil:
		for _, x := range b {
			dst = append(dst, c.table[x]...)
		}
		return dst, nil
	case c.multi != nil:
		out, err := c.multi.NewDecoder().Bytes(b)
		if err != nil {
			return dst, fmt.Errorf("read a text in %s: %w", c.name, err)
		}
		return append(dst, out...), nil
	}
	if !utf8.Valid(b) {
		return dst, sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\" in a text of the character set %s", c.name)
	}
	return append(dst, b...), nil
}
