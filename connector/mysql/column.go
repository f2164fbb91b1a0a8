package mysql

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// column is a column of an upstream table. It is stored as JSON (docs/format/state.md).
type column struct {
	Name string `json:"name"`
	// Decl is the type as information_schema has it: int(10) unsigned, enum('a','b').
	Decl string `json:"type"`
	// Charset is that of texts; "" for bytes and for what is not a text.
	Charset string `json:"charset,omitempty"`
	NotNull bool   `json:"notnull,omitempty"`
	// JSON: a text of MariaDB that a constraint holds to be JSON.
	JSON bool `json:"json,omitempty"`

	base       string // the first word of Decl
	args       []int
	labels     []string
	unsigned   bool
	compressed bool
}

// parse takes Decl apart.
func (c *column) parse() {
	decl := c.Decl
	end := strings.IndexFunc(decl, func(r rune) bool { return r == '(' || r == ' ' })
	if end < 0 {
		end = len(decl)
	}
	c.base, decl = strings.ToLower(decl[:end]), decl[end:]
	c.args, c.labels = nil, nil
	if strings.HasPrefix(decl, "(") {
		if c.base == "enum" || c.base == "set" {
			c.labels, decl = parseLabels(decl[1:])
		} else {
			list, rest, _ := strings.Cut(decl[1:], ")")
			for a := range strings.SplitSeq(list, ",") {
				if n, err := strconv.Atoi(strings.TrimSpace(a)); err == nil {
					c.args = append(c.args, n)
				}
			}
			decl = rest
		}
	}
	decl = strings.ToLower(decl)
	c.unsigned = strings.Contains(decl, "unsigned")
	c.compressed = strings.Contains(decl, "compressed")
	switch c.base {
	case "bool", "boolean":
		c.base = "tinyint"
	case "integer":
		c.base = "int"
	case "numeric", "dec", "fixed":
		c.base = "decimal"
	case "real":
		c.base = "double"
	}
}

// parseLabels reads 'a','b”c') up to the closing parenthesis.
func parseLabels(s string) (labels []string, rest string) {
	for {
		start := strings.IndexByte(s, '\'')
		if start < 0 {
			return labels, s
		}
		s = s[start+1:]
		var b strings.Builder
		for {
			i := strings.IndexAny(s, `'\`)
			if i < 0 {
				return append(labels, b.String()), ""
			}
			b.WriteString(s[:i])
			if i+1 < len(s) && (s[i] == '\\' || s[i+1] == '\'') {
				b.WriteByte(s[i+1])
				s = s[i+2:]
				continue
			}
			s = s[i+1:]
			break
		}
		labels = append(labels, b.String())
		if strings.HasPrefix(s, ")") {
			return labels, s[1:]
		}
	}
}

func (c *column) arg(i, def int) int {
	if i < len(c.args) {
		return c.args[i]
	}
	return def
}

// family is what conversions go by.
type family int

const (
	famUnknown family = iota
	famInt            // also YEAR
	famBit
	famDecimal
	famFloat
	famDouble
	famDate
	famDatetime
	famTimestamp
	famTime
	famText  // CHAR, VARCHAR, TEXT
	famEnum  //
	famSet   //
	famBytes // BINARY, VARBINARY, BLOB, GEOMETRY, VECTOR
	famJSON  // MySQL's
	famUUID  // MariaDB's, as the other two
	famInet6
	famInet4
)

var families = map[string]family{
	"tinyint": famInt, "smallint": famInt, "mediumint": famInt, "int": famInt, "bigint": famInt, "year": famInt,
	"bit": famBit, "decimal": famDecimal, "float": famFloat, "double": famDouble,
	"date": famDate, "datetime": famDatetime, "timestamp": famTimestamp, "time": famTime,
	"char": famText, "varchar": famText, "tinytext": famText, "text": famText, "mediumtext": famText, "longtext": famText,
	"enum": famEnum, "set": famSet,
	"binary": famBytes, "varbinary": famBytes, "tinyblob": famBytes, "blob": famBytes, "mediumblob": famBytes, "longblob": famBytes,
	"geometry": famBytes, "point": famBytes, "linestring": famBytes, "polygon": famBytes, "multipoint": famBytes,
	"multilinestring": famBytes, "multipolygon": famBytes, "geometrycollection": famBytes, "geomcollection": famBytes, "vector": famBytes,
	"json": famJSON, "uuid": famUUID, "inet6": famInet6, "inet4": famInet4,
}

func (c *column) family() family { return families[c.base] }

// typ is the type that the column has here when nobody says otherwise; ok is false for one that cannot be captured.
func (c *column) typ() (t sqltypes.Type, ok bool) {
	switch c.family() {
	case famInt:
		return c.intType(), true
	case famBit:
		switch n := c.arg(0, 1); {
		case n == 1:
			return sqltypes.Bool, true
		case n < 64:
			return sqltypes.Int8, true
		}
		return sqltypes.Numeric, true
	case famDecimal:
		return sqltypes.Numeric, true
	case famFloat:
		return sqltypes.Float4, true
	case famDouble:
		return sqltypes.Float8, true
	case famDate:
		return sqltypes.Date, true
	case famDatetime:
		return sqltypes.Timestamp, true
	case famTimestamp:
		return sqltypes.Timestamptz, true
	case famTime:
		return sqltypes.Time, true
	case famText:
		if c.JSON {
			return sqltypes.JSONB, true
		}
		return sqltypes.Varchar, true
	case famEnum, famSet, famInet6, famInet4:
		return sqltypes.Varchar, true
	case famBytes:
		return sqltypes.Bytea, true
	case famJSON:
		return sqltypes.JSONB, true
	case famUUID:
		return sqltypes.UUID, true
	}
	return sqltypes.Type{}, false
}

func (c *column) intType() sqltypes.Type {
	switch c.base {
	case "tinyint":
		return sqltypes.Int2
	case "smallint":
		if !c.unsigned {
			return sqltypes.Int2
		}
		return sqltypes.Int4
	case "mediumint", "year":
		return sqltypes.Int4
	case "int":
		if !c.unsigned {
			return sqltypes.Int4
		}
		return sqltypes.Int8
	}
	if c.unsigned {
		return sqltypes.Numeric
	}
	return sqltypes.Int8
}

// fits reports whether the log's description of a column agrees with ours.
func (c *column) fits(b *binlog.Column, named, signed bool) bool {
	if named && !strings.EqualFold(b.Name, c.Name) {
		return false
	}
	switch c.family() {
	case famInt:
		if signed && b.Kind != binlog.KindYear && b.Unsigned != c.unsigned {
			return false
		}
		return b.Kind == intKinds[c.base]
	case famBit:
		return b.Kind == binlog.KindBit && b.Size == c.arg(0, 1)
	case famDecimal:
		return b.Kind == binlog.KindDecimal && b.Size == c.arg(0, 10) && b.Scale == c.arg(1, 0)
	case famFloat:
		return b.Kind == binlog.KindFloat
	case famDouble:
		return b.Kind == binlog.KindDouble
	case famDate:
		return b.Kind == binlog.KindDate || b.Kind == binlog.KindNewDate
	case famDatetime:
		return b.Kind == binlog.KindDatetime2 && b.Size == c.arg(0, 0) || b.Kind == binlog.KindDatetime && len(c.args) == 0
	case famTimestamp:
		return b.Kind == binlog.KindTimestamp2 && b.Size == c.arg(0, 0) || b.Kind == binlog.KindTimestamp && len(c.args) == 0
	case famTime:
		return b.Kind == binlog.KindTime2 && b.Size == c.arg(0, 0) || b.Kind == binlog.KindTime && len(c.args) == 0
	case famEnum:
		return b.Kind == binlog.KindEnum
	case famSet:
		return b.Kind == binlog.KindSet
	case famJSON:
		return b.Kind == binlog.KindJSON
	case famText, famBytes:
		return c.fitsString(b)
	case famUUID, famInet6, famInet4:
		return b.Kind == binlog.KindString && b.Size == netSizes[c.base]
	}
	return false
}

var intKinds = map[string]binlog.Kind{"tinyint": binlog.KindTiny, "smallint": binlog.KindShort, "mediumint": binlog.KindInt24,
	"int": binlog.KindLong, "bigint": binlog.KindLongLong, "year": binlog.KindYear}

var netSizes = map[string]int{"uuid": 16, "inet6": 16, "inet4": 4}

// blobSizes are the bytes of the length of texts and blobs.
var blobSizes = map[string]int{"tinytext": 1, "tinyblob": 1, "text": 2, "blob": 2, "mediumtext": 3, "mediumblob": 3, "longtext": 4, "longblob": 4}

func (c *column) fitsString(b *binlog.Column) bool {
	switch c.base {
	case "char", "binary":
		return b.Kind == binlog.KindString
	case "varchar", "varbinary":
		return b.Kind == binlog.KindVarchar || b.Kind == binlog.KindVarcharZ || b.Kind == binlog.KindVarString
	}
	if n, ok := blobSizes[c.base]; ok {
		return (b.Kind == binlog.KindBlob || b.Kind == binlog.KindBlobZ) && b.Size == n
	}
	return b.Kind == binlog.KindGeometry || b.Kind == binlog.KindBlob || b.Kind == binlog.KindVector
}
