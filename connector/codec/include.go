package codec

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Includes lists what INCLUDE can name; "header:<name>" is one header, "header" all of them.
var Includes = []string{"key", "offset", "partition", "timestamp", "header", "payload", "file"}

// IncludeType is the type that a column gets from INCLUDE when none is declared.
func IncludeType(what string) sqltypes.Type {
	switch what {
	case "offset", "partition", "file":
		return sqltypes.Varchar
	case "timestamp":
		return sqltypes.Timestamptz
	case "header", "payload":
		return sqltypes.JSONB
	}
	return sqltypes.Bytea // key, header:<name>
}

// include is a column filled from a record's surroundings.
type include struct {
	what   string
	header string
	typ    sqltypes.Type
	slot   int
	key    bool // part of the primary key: filled in deletes, too
	// read appends a key that has a schema; nil: keys are bytes.
	read func(key []byte, v *delta.Vec) error
}

func newInclude(c *catalog.Column, slot int, key, typedKey bool) (include, error) {
	what, header, _ := strings.Cut(c.Include, ":")
	inc := include{what: what, header: header, typ: c.Type, slot: slot, key: key}
	for _, known := range Includes {
		if what == known {
			if what == "key" && typedKey {
				return inc, nil
			}
			return inc, inc.check(c.Name)
		}
	}
	return inc, option.Unknown(sqlerr.InvalidParameterValue, "included field", what, Includes)
}

// check refuses types that the value cannot have.
func (n include) check(column string) error {
	k, ok := n.typ.Kind, false
	switch n.what {
	case "offset", "partition":
		ok = n.typ.IsInteger() || n.typ.IsString()
	case "timestamp":
		ok = k == sqltypes.KTimestamp || k == sqltypes.KTimestamptz
	case "file":
		ok = n.typ.IsString()
	case "header":
		ok = k == sqltypes.KJSONB || n.header != "" && (k == sqltypes.KBytea || n.typ.IsString())
	default:
		ok = k == sqltypes.KJSONB || k == sqltypes.KBytea || n.typ.IsString()
	}
	if !ok {
		return sqlerr.New(sqlerr.DatatypeMismatch, "column %q includes the %s, which has type %s, not %s",
			column, n.what, IncludeType(n.what), n.typ)
	}
	return nil
}

// appendIncludes fills the included columns of the row that is about to end.
func (t *target) appendIncludes(rec *Record, to *Rows, deleted bool) error {
	for i := range t.includes {
		n := &t.includes[i]
		if deleted && !n.key {
			continue
		}
		if err := n.append(to.cols[n.slot], rec, t.settings); err != nil {
			return wrapColumn(n.what, err)
		}
	}
	return nil
}

func (n *include) append(v *delta.Vec, rec *Record, s *sqlio.Settings) error {
	switch n.what {
	case "offset":
		appendNumber(v, rec.Offset)
	case "partition":
		appendNumber(v, int64(rec.Partition))
	case "timestamp":
		v.AppendInt(rec.Timestamp)
	case "file":
		v.AppendString(rec.File)
	case "key":
		if n.read != nil && rec.Key != nil {
			return n.read(rec.Key, v)
		}
		return appendRaw(v, rec.Key, s)
	case "payload":
		return appendRaw(v, rec.Value, s)
	case "header":
		if n.header == "" {
			v.AppendBytes(headersJSON(rec.Headers))
			return nil
		}
		for i := range rec.Headers {
			if rec.Headers[i].Name == n.header {
				return appendRaw(v, rec.Headers[i].Value, s)
			}
		}
		v.AppendNull()
	}
	return nil
}

func appendNumber(v *delta.Vec, n int64) {
	if v.Type.Phys() == sqltypes.PhysInt64 {
		v.AppendInt(n)
		return
	}
	v.Data = strconv.AppendInt(v.Data, n, 10)
	v.EndRow()
}

// appendRaw appends bytes as they are: as bytea, as text, or parsed as jsonb.
func appendRaw(v *delta.Vec, b []byte, _ *sqlio.Settings) error {
	switch {
	case b == nil:
		v.AppendNull()
	case v.Type.Kind == sqltypes.KJSONB:
		doc, err := jsonb.Parse(b)
		if err != nil {
			return err
		}
		v.AppendBytes(doc)
	case v.Type.Kind != sqltypes.KBytea:
		if err := checkText(b); err != nil {
			return err
		}
		v.AppendBytes(b)
	default:
		v.AppendBytes(b)
	}
	return nil
}

// checkText refuses what text cannot hold: invalid UTF-8 and NUL.
func checkText(b []byte) error {
	if bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) {
		return nil
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 || r == 0 {
			return badUTF8(b[i])
		}
		i += size
	}
	return nil
}

func badUTF8(c byte) error {
	return sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%02x", c)
}

// headersJSON makes one jsonb object of all headers; the last of a name wins, what is not UTF-8 is repaired.
func headersJSON(headers []Header) []byte {
	var b jsonb.Builder
	b.Reset()
	b.BeginObject()
	for _, h := range headers {
		b.Key(strings.ToValidUTF8(h.Name, "\uFFFD"))
		if h.Value == nil {
			b.Null()
		} else {
			b.String(strings.ReplaceAll(strings.ToValidUTF8(string(h.Value), "\uFFFD"), "\x00", "\uFFFD"))
		}
	}
	b.EndObject()
	return b.Bytes()
}
