package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// unavailable is what Debezium writes for a value that the database did not send: PostgreSQL leaves out what is stored out of line and has
// not changed. The column keeps what is stored.
const unavailable = "__debezium_unavailable_value"

// unavailableJSON are its forms in JSON: of a text, of bytes in each of Debezium's encodings, of an array of texts, and of numbers.
var unavailableJSON = func() [][]byte {
	numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte(unavailable)), " ", ","), "[]")
	var out [][]byte
	for _, s := range []string{
		`"` + unavailable + `"`, `"` + base64.StdEncoding.EncodeToString([]byte(unavailable)) + `"`, `"` + base64.URLEncoding.EncodeToString([]byte(unavailable)) + `"`,
		`"` + hex.EncodeToString([]byte(unavailable)) + `"`, `["` + unavailable + `"]`, "[" + numbers + "]",
	} {
		out = append(out, []byte(s))
	}
	return out
}()

// lacksValue passes a placeholder if one follows.
func lacksValue(s *scanner) bool {
	switch s.peek() {
	case '"', '[':
	default:
		return false
	}
	for _, form := range unavailableJSON {
		if bytes.HasPrefix(s.b[s.i:], form) {
			s.i += len(form)
			return true
		}
	}
	return false
}

// unavailableDoc is the placeholder as a jsonb document.
var unavailableDoc = func() []byte {
	doc, err := jsonb.Parse(unavailableJSON[0])
	if err != nil {
		panic(err)
	}
	return doc
}()

// keepUnavailable leaves columns of the row in the making as they are stored, where a placeholder has been decoded as a text, bytes or a document.
func (t *target) keepUnavailable(to *Rows) {
	for i := range t.columns {
		slot := t.columns[i].slot
		v := to.cols[slot]
		if v.Len() == to.n || v.IsNull(to.n) {
			continue
		}
		var is bool
		switch k := v.Type.Kind; {
		case v.Type.IsString() || k == sqltypes.KBytea || k == sqltypes.KJSON:
			is = string(v.Bytes(to.n)) == unavailable
		case k == sqltypes.KJSONB:
			is = bytes.Equal(v.Bytes(to.n), unavailableDoc)
		}
		if is {
			truncate(v, to.n)
			to.keep(slot)
		}
	}
}

// errUnavailable is the error about a new row that is not whole.
func errUnavailable(op string) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "change event with op %q has a value that the database did not send", op).
		WithDetail("Debezium writes %s when the key of a row changes and a value stored out of line does not.", unavailable).
		WithHint("Run upstream: ALTER TABLE … REPLICA IDENTITY FULL")
}
