package mysqlsink

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// mapping says which MySQL types (DATA_TYPE) take a type of ours, and which one to suggest.
type mapping struct {
	suggest string
	types   []string
}

var texts = []string{"varchar", "char", "text", "tinytext", "mediumtext", "longtext"}

func textual(suggest string, more ...string) mapping {
	return mapping{suggest, append(more, texts...)}
}

var accepted = map[sqltypes.Kind]mapping{
	sqltypes.KBool:        {"tinyint(1)", []string{"tinyint", "bit", "smallint", "mediumint", "int", "bigint"}},
	sqltypes.KInt2:        {"smallint", []string{"smallint", "mediumint", "int", "bigint", "decimal", "float", "double"}},
	sqltypes.KInt4:        {"int", []string{"int", "bigint", "decimal", "double"}},
	sqltypes.KInt8:        {"bigint", []string{"bigint", "decimal"}},
	sqltypes.KOid:         {"bigint", []string{"bigint", "decimal"}},
	sqltypes.KFloat4:      {"float", []string{"float", "double"}},
	sqltypes.KFloat8:      {"double", []string{"double"}},
	sqltypes.KNumeric:     {"decimal(65,10)", append([]string{"decimal"}, texts...)},
	sqltypes.KText:        textual("text", "enum", "set", "inet6", "inet4"),
	sqltypes.KVarchar:     textual("varchar(255)", "enum", "set", "inet6", "inet4"),
	sqltypes.KBpchar:      textual("char(255)", "enum"),
	sqltypes.KName:        textual("varchar(255)"),
	sqltypes.KChar:        textual("char(1)"),
	sqltypes.KEnum:        textual("varchar(255)", "enum"),
	sqltypes.KBytea:       {"longblob", []string{"varbinary", "blob", "tinyblob", "mediumblob", "longblob"}},
	sqltypes.KDate:        {"date", []string{"date"}},
	sqltypes.KTime:        {"time(6)", []string{"time"}},
	sqltypes.KTimetz:      textual("varchar(32)"),
	sqltypes.KTimestamp:   {"datetime(6)", []string{"datetime"}},
	sqltypes.KTimestamptz: {"timestamp(6)", []string{"timestamp", "datetime"}},
	sqltypes.KInterval:    textual("varchar(64)"),
	sqltypes.KJSON:        {"json", []string{"json", "longtext", "mediumtext", "text"}},
	sqltypes.KJSONB:       {"json", []string{"json", "longtext", "mediumtext", "text"}},
	sqltypes.KArray:       {"json", []string{"json", "longtext", "mediumtext", "text"}},
	sqltypes.KRecord:      {"json", []string{"json", "longtext", "mediumtext", "text"}},
	sqltypes.KUUID:        textual("char(36)", "uuid"),
	sqltypes.KMap:         textual("text"),
	sqltypes.KBit:         textual("text"),
	sqltypes.KVarbit:      textual("text"),
	sqltypes.KVector:      textual("text"),
	sqltypes.KJSONPath:    textual("text"),
}

func fits(t sqltypes.Type, c *column) bool { return slices.Contains(accepted[t.Kind].types, c.typ) }

func suggested(t sqltypes.Type) string {
	if m, ok := accepted[t.Kind]; ok {
		return m.suggest
	}
	return "text"
}

// literals writes values as SQL literals.
type literals struct {
	settings *sqlio.Settings
	json     *codec.JSONValues
	buf      []byte
}

func newLiterals() *literals {
	s := sqlio.DefaultSettings()
	return &literals{settings: s, json: codec.NewJSONValues(s)}
}

// append appends row i of v. Errors: 22003, 22008 for values that no MySQL type has.
func (l *literals) append(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	if v.IsNull(i) {
		return append(dst, "NULL"...), nil
	}
	switch v.Type.Kind {
	case sqltypes.KBool:
		if v.Bools[i] {
			return append(dst, '1'), nil
		}
		return append(dst, '0'), nil
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KOid:
		return strconv.AppendInt(dst, v.Ints[i], 10), nil
	case sqltypes.KFloat4, sqltypes.KFloat8:
		if f := v.Floats[i]; math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, l.none(v, i, sqlerr.NumericValueOutOfRange)
		}
		return append(sqlio.AppendText(append(dst, '\''), v, i, l.settings), '\''), nil
	case sqltypes.KNumeric:
		if !v.Decs[i].IsFinite() {
			return nil, l.none(v, i, sqlerr.NumericValueOutOfRange)
		}
		return v.Decs[i].AppendText(dst), nil
	case sqltypes.KBytea:
		return append(hex.AppendEncode(append(dst, "x'"...), v.Bytes(i)), '\''), nil
	case sqltypes.KDate, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		return l.datetime(dst, v, i)
	case sqltypes.KJSON:
		return quoted(dst, v.Bytes(i)), nil
	case sqltypes.KJSONB, sqltypes.KArray, sqltypes.KRecord:
		l.buf = l.json.Append(l.buf[:0], v, i)
		return quoted(dst, l.buf), nil
	case sqltypes.KText, sqltypes.KVarchar:
		return quoted(dst, v.Bytes(i)), nil
	}
	l.buf = sqlio.AppendText(l.buf[:0], v, i, l.settings)
	return quoted(dst, l.buf), nil
}

// datetime appends a date or a time of a day between the years 1 and 9999; of a timestamptz, in UTC and without its zone.
func (l *literals) datetime(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	l.buf = sqlio.AppendText(l.buf[:0], v, i, l.settings)
	b := l.buf
	if v.Type.Kind == sqltypes.KTimestamptz && len(b) > 3 && string(b[len(b)-3:]) == "+00" {
		b = b[:len(b)-3]
	}
	if b[0] < '0' || b[0] > '9' || b[len(b)-1] == 'C' || len(b) < 5 || b[4] != '-' { // infinity, BC, five digits of years
		return nil, l.none(v, i, sqlerr.DatetimeFieldOverflow)
	}
	return quoted(dst, b), nil
}

// none is the error about a value that has no counterpart.
func (l *literals) none(v *delta.Vec, i int, code sqlerr.Code) error {
	return sqlerr.New(code, "MySQL has no value for %s %s", v.Type, sqlio.AppendText(nil, v, i, l.settings)).
		WithHint("Replace it in the sink's query, for example with NULL.")
}

// quoted appends b as a string literal.
func quoted(dst, b []byte) []byte {
	dst = append(dst, '\'')
	for _, c := range b {
		switch c {
		case '\'', '\\':
			dst = append(dst, '\\', c)
		case 0:
			dst = append(dst, '\\', '0')
		case 26:
			dst = append(dst, '\\', 'Z')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '\'')
}
