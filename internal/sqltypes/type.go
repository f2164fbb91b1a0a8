// Package sqltypes is the one table of SQL types: names, OIDs, physical representation, and how
// values of each type are read and written as text and in PostgreSQL's binary format.
//
// The idea: a Type is a small comparable value (== means same type, typmod included), and every type
// is carried by one of six physical representations (Phys). Kernels are written per Phys, rules per Kind.
// What does not fit into so little (fields, labels, names) lies behind its Ext, an interned handle.
//
// Everything here is pure and safe for any goroutine. A Datum is the boxed, slow-path form of one
// value (literals, defaults, wire parameters); columns of values are delta.Vec.
//
// It does not cast between types (internal/expr does) and knows nothing of the wire's messages.
// Start at Type and the infos table.
//
// Source: PostgreSQL documentation chapter 8, pg_type.dat for names and OIDs.
package sqltypes

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says which SQL type a Type is, without modifiers.
type Kind uint8

// The kinds. Their numbers are persisted in plans and rows: append only, never reorder.
const (
	KUnknown      Kind = iota // an untyped literal or NULL; Phys is Bytes (its text)
	KBool                     // Phys Bool
	KInt2                     // Phys Int64
	KInt4                     // Phys Int64
	KInt8                     // Phys Int64
	KFloat4                   // Phys Float64, every value rounded to float32
	KFloat8                   // Phys Float64
	KNumeric                  // Phys Numeric
	KText                     // Phys Bytes, UTF-8
	KVarchar                  // Phys Bytes, UTF-8
	KBpchar                   // Phys Bytes, UTF-8, blank padded
	KBytea                    // Phys Bytes
	KDate                     // Phys Int64: days since 2000-01-01; DateInfinity bounds
	KTime                     // Phys Int64: microseconds since midnight, 24:00 allowed
	KTimestamp                // Phys Int64: microseconds since 2000-01-01 00:00
	KTimestamptz              // Phys Int64: microseconds since 2000-01-01 00:00 UTC
	KInterval                 // Phys Interval
	KJSONB                    // Phys Bytes: internal/jsonb encoding
	KJSON                     // Phys Bytes: the text as given
	KArray                    // Phys Bytes: internal/sqltypes array encoding; Elem says of what
	KUUID                     // Phys Bytes, 16 of them
	KTimetz                   // Phys Int64: packed, see internal/datetime
	KOid                      // Phys Int64
	KRegclass                 // Phys Int64
	KRegtype                  // Phys Int64
	KRegproc                  // Phys Int64
	KRegnamespace             // Phys Int64
	KName                     // Phys Bytes
	KChar                     // Phys Bytes: PostgreSQL's internal "char"
	KRecord                   // Phys Bytes: anonymous or named composite; Ext gives the fields
	KVoid                     // Phys Bytes, always empty
	KInt2Vector               // Phys Bytes: as an int2 array, printed with spaces
	KOidVector                // Phys Bytes: as an oid array, printed with spaces
	KJSONPath                 // Phys Bytes: the path as it was written, see internal/jsonpath
	KEnum                     // Phys Int64: the label's place in the order; Ext gives the labels
	KMap                      // Phys Bytes: as an array of records (key, value), ordered by key; Ext gives the two types
	KVector                   // Phys Bytes: float32s, little-endian; Mod is the number of them
	KRegprocedure             // Phys Int64
	KRegoper                  // Phys Int64
	KRegoperator              // Phys Int64
	KRegrole                  // Phys Int64
	KBit                      // Phys Bytes: see sqlio.Bits; Mod is the number of bits
	KVarbit                   // Phys Bytes: as KBit; Mod is the most bits

	// Pseudo-types, in function signatures only; their numbers are not persisted.
	KAny
	KAnyElement
	KAnyArray
	KAnyNonArray
	KAnyEnum
	KAnyMap
	KAnyCompatible
	KAnyCompatibleArray
	KAnyCompatibleNonArray
	kindCount
)

// Phys is how values of a type lie in memory.
type Phys uint8

// The physical representations; see delta.Vec for the layout of a column of each.
const (
	PhysBool     Phys = iota // bool
	PhysInt64                // int64
	PhysFloat64              // float64
	PhysNumeric              // numeric.Dec
	PhysInterval             // datetime.Interval
	PhysBytes                // variable-length bytes
)

// Type is a SQL type with its modifier. Comparable: == means identical types.
type Type struct {
	Kind Kind
	// Elem is the element kind of a KArray; dimensions are part of the value, not of the type.
	Elem Kind
	// Mod is PostgreSQL's atttypmod plus one, so that the zero value means "none":
	// varchar(n)/bpchar(n): n+4; numeric(p,s): (p<<16|s)+4; time and timestamp(p): p; vector(n), bit(n) and varbit(n): n.
	Mod int32
	// Ext is what the kind does not say: fields, labels, key and value. An array has its elements' Ext.
	// The JSON name is older than the field.
	Ext Ext `json:"Row,omitzero"`
}

// The types without modifiers.
var (
	Unknown     = Type{Kind: KUnknown}
	Bool        = Type{Kind: KBool}
	Int2        = Type{Kind: KInt2}
	Int4        = Type{Kind: KInt4}
	Int8        = Type{Kind: KInt8}
	Float4      = Type{Kind: KFloat4}
	Float8      = Type{Kind: KFloat8}
	Numeric     = Type{Kind: KNumeric}
	Text        = Type{Kind: KText}
	Varchar     = Type{Kind: KVarchar}
	Bpchar      = Type{Kind: KBpchar}
	Bytea       = Type{Kind: KBytea}
	Date        = Type{Kind: KDate}
	Time        = Type{Kind: KTime}
	Timetz      = Type{Kind: KTimetz}
	Timestamp   = Type{Kind: KTimestamp}
	Timestamptz = Type{Kind: KTimestamptz}
	IntervalT   = Type{Kind: KInterval}
	JSONB       = Type{Kind: KJSONB}
	JSON        = Type{Kind: KJSON}
	JSONPath    = Type{Kind: KJSONPath}
	UUID        = Type{Kind: KUUID}
	Oid         = Type{Kind: KOid}
	Regclass    = Type{Kind: KRegclass}
	Regtype     = Type{Kind: KRegtype}
	Regproc     = Type{Kind: KRegproc}
	Name        = Type{Kind: KName}
	Char        = Type{Kind: KChar}
	Record      = Type{Kind: KRecord}
	Void        = Type{Kind: KVoid}
	Any         = Type{Kind: KAny}
	AnyElement  = Type{Kind: KAnyElement}
	AnyArray    = Type{Kind: KAnyArray}
	AnyEnum     = Type{Kind: KAnyEnum}
	AnyMap      = Type{Kind: KAnyMap}
	AnyNonArray = Type{Kind: KAnyNonArray}
	Vector      = Type{Kind: KVector}
	Bit         = Type{Kind: KBit}
	Varbit      = Type{Kind: KVarbit}
)

// ArrayOf returns the array type over elem; elem's modifier is dropped.
func ArrayOf(elem Type) Type { return Type{Kind: KArray, Elem: elem.Kind, Ext: elem.Ext} }

// ElemType returns the element type of an array type, or of a domain over one.
func (t Type) ElemType() Type {
	if d := t.Ext.named(); d != nil && d.Base != (Type{}) {
		if t.IsDomain() {
			return d.Base.ElemType()
		}
		return Type{Kind: t.Elem, Elem: d.Base.Elem, Ext: t.Ext}
	}
	return Type{Kind: t.Elem, Ext: t.Ext}
}

// Base returns t without its modifier.
func (t Type) Base() Type { t.Mod = 0; return t }

// WithTypmod returns t with PostgreSQL's atttypmod m (−1: none).
func (t Type) WithTypmod(m int32) Type { t.Mod = m + 1; return t }

// Typmod returns PostgreSQL's atttypmod, −1 for none.
func (t Type) Typmod() int32 { return t.Mod - 1 }

// Category is PostgreSQL's pg_type.typcategory: the groups that type resolution (chapter 10) goes by.
type Category byte

// The categories in use.
const (
	CatArray     Category = 'A'
	CatBool      Category = 'B'
	CatComposite Category = 'C'
	CatDateTime  Category = 'D'
	CatEnum      Category = 'E'
	CatNumeric   Category = 'N'
	CatPseudo    Category = 'P'
	CatString    Category = 'S'
	CatTimespan  Category = 'T'
	CatUser      Category = 'U'
	CatBitString Category = 'V'
	CatUnknown   Category = 'X'
	CatInternal  Category = 'Z'
)

// Info is what the type table says about one Kind.
type Info struct {
	Kind      Kind
	Name      string // as format_type and error messages print it
	PgName    string // pg_type.typname
	OID       uint32
	ArrayOID  uint32 // 0: none
	Len       int16  // pg_type.typlen
	Phys      Phys
	Category  Category
	Preferred bool // preferred type of its category
	Aliases   []string
}

var infos = [kindCount]Info{
	{KUnknown, "unknown", "unknown", 705, 0, -2, PhysBytes, CatUnknown, false, nil},
	{KBool, "boolean", "bool", 16, 1000, 1, PhysBool, CatBool, true, nil},
	{KInt2, "smallint", "int2", 21, 1005, 2, PhysInt64, CatNumeric, false, nil},
	{KInt4, "integer", "int4", 23, 1007, 4, PhysInt64, CatNumeric, false, []string{"int"}},
	{KInt8, "bigint", "int8", 20, 1016, 8, PhysInt64, CatNumeric, false, nil},
	{KFloat4, "real", "float4", 700, 1021, 4, PhysFloat64, CatNumeric, false, nil},
	{KFloat8, "double precision", "float8", 701, 1022, 8, PhysFloat64, CatNumeric, true, []string{"float", "double"}},
	{KNumeric, "numeric", "numeric", 1700, 1231, -1, PhysNumeric, CatNumeric, false, []string{"decimal", "dec"}},
	{KText, "text", "text", 25, 1009, -1, PhysBytes, CatString, true, []string{"string"}},
	{KVarchar, "character varying", "varchar", 1043, 1015, -1, PhysBytes, CatString, false, nil},
	{KBpchar, "character", "bpchar", 1042, 1014, -1, PhysBytes, CatString, false, []string{"char"}},
	{KBytea, "bytea", "bytea", 17, 1001, -1, PhysBytes, CatUser, false, []string{"bytes"}},
	{KDate, "date", "date", 1082, 1182, 4, PhysInt64, CatDateTime, false, nil},
	{KTime, "time without time zone", "time", 1083, 1183, 8, PhysInt64, CatDateTime, false, nil},
	{KTimestamp, "timestamp without time zone", "timestamp", 1114, 1115, 8, PhysInt64, CatDateTime, false, nil},
	{KTimestamptz, "timestamp with time zone", "timestamptz", 1184, 1185, 8, PhysInt64, CatDateTime, true, nil},
	{KInterval, "interval", "interval", 1186, 1187, 16, PhysInterval, CatTimespan, true, nil},
	{KJSONB, "jsonb", "jsonb", 3802, 3807, -1, PhysBytes, CatUser, false, nil},
	{KJSON, "json", "json", 114, 199, -1, PhysBytes, CatUser, false, nil},
	{KArray, "array", "array", 0, 0, -1, PhysBytes, CatArray, false, nil},
	{KUUID, "uuid", "uuid", 2950, 2951, 16, PhysBytes, CatUser, false, nil},
	{KTimetz, "time with time zone", "timetz", 1266, 1270, 12, PhysInt64, CatDateTime, false, nil},
	{KOid, "oid", "oid", 26, 1028, 4, PhysInt64, CatNumeric, true, nil},
	{KRegclass, "regclass", "regclass", 2205, 2210, 4, PhysInt64, CatNumeric, false, nil},
	{KRegtype, "regtype", "regtype", 2206, 2211, 4, PhysInt64, CatNumeric, false, nil},
	{KRegproc, "regproc", "regproc", 24, 1008, 4, PhysInt64, CatNumeric, false, nil},
	{KRegnamespace, "regnamespace", "regnamespace", 4089, 4090, 4, PhysInt64, CatNumeric, false, nil},
	{KName, "name", "name", 19, 1003, 64, PhysBytes, CatString, false, nil},
	{KChar, "\"char\"", "char", 18, 1002, 1, PhysBytes, CatInternal, false, nil},
	{KRecord, "record", "record", 2249, 2287, -1, PhysBytes, CatComposite, false, nil},
	{KVoid, "void", "void", 2278, 0, 4, PhysBytes, CatPseudo, false, nil},
	{KInt2Vector, "int2vector", "int2vector", 22, 1006, -1, PhysBytes, CatArray, false, nil},
	{KOidVector, "oidvector", "oidvector", 30, 1013, -1, PhysBytes, CatArray, false, nil},
	{KJSONPath, "jsonpath", "jsonpath", 4072, 4073, -1, PhysBytes, CatUser, false, nil},
	{KEnum, "enum", "enum", 0, 0, 4, PhysInt64, CatEnum, false, nil},
	{KMap, "map", "map", 16400, 16401, -1, PhysBytes, CatUser, false, nil},
	{KVector, "vector", "vector", 16402, 16403, -1, PhysBytes, CatUser, false, nil},
	{KRegprocedure, "regprocedure", "regprocedure", 2202, 2207, 4, PhysInt64, CatNumeric, false, nil},
	{KRegoper, "regoper", "regoper", 2203, 2208, 4, PhysInt64, CatNumeric, false, nil},
	{KRegoperator, "regoperator", "regoperator", 2204, 2209, 4, PhysInt64, CatNumeric, false, nil},
	{KRegrole, "regrole", "regrole", 4096, 4097, 4, PhysInt64, CatNumeric, false, nil},
	{KBit, "bit", "bit", 1560, 1561, -1, PhysBytes, CatBitString, false, nil},
	{KVarbit, "bit varying", "varbit", 1562, 1563, -1, PhysBytes, CatBitString, true, nil},
	{KAny, "\"any\"", "any", 2276, 0, 4, PhysBytes, CatPseudo, false, nil},
	{KAnyElement, "anyelement", "anyelement", 2283, 0, 4, PhysBytes, CatPseudo, false, nil},
	{KAnyArray, "anyarray", "anyarray", 2277, 0, -1, PhysBytes, CatPseudo, false, nil},
	{KAnyNonArray, "anynonarray", "anynonarray", 2776, 0, 4, PhysBytes, CatPseudo, false, nil},
	{KAnyEnum, "anyenum", "anyenum", 3500, 0, 4, PhysInt64, CatPseudo, false, nil},
	{KAnyMap, "anymap", "anymap", 16404, 0, -1, PhysBytes, CatPseudo, false, nil},
	{KAnyCompatible, "anycompatible", "anycompatible", 5077, 0, 4, PhysBytes, CatPseudo, false, nil},
	{KAnyCompatibleArray, "anycompatiblearray", "anycompatiblearray", 5078, 0, -1, PhysBytes, CatPseudo, false, nil},
	{KAnyCompatibleNonArray, "anycompatiblenonarray", "anycompatiblenonarray", 5079, 0, 4, PhysBytes, CatPseudo, false, nil},
}

// Infos lists the type table, for pg_type.
func Infos() []Info { return infos[:] }

// Info returns the row of k in the type table.
func (k Kind) Info() *Info { return &infos[k] }

// Phys returns the physical representation of values of t.
func (t Type) Phys() Phys { return infos[t.Kind].Phys }

// Category returns t's type category.
func (t Type) Category() Category { return infos[t.Kind].Category }

// OID returns the pg_type OID that drivers see.
func (t Type) OID() uint32 {
	if d := t.Ext.named(); d != nil {
		if t.Kind == KArray && !t.IsDomain() {
			return d.ArrayOID
		}
		return d.OID
	}
	if t.Kind == KArray {
		return infos[t.Elem].ArrayOID
	}
	return infos[t.Kind].OID
}

// Len returns pg_type.typlen.
func (t Type) Len() int16 { return infos[t.Kind].Len }

// IsInteger reports whether t is smallint, integer or bigint.
func (t Type) IsInteger() bool { return t.Kind == KInt2 || t.Kind == KInt4 || t.Kind == KInt8 }

// IsFloat reports whether t is real or double precision.
func (t Type) IsFloat() bool { return t.Kind == KFloat4 || t.Kind == KFloat8 }

// IsNumber reports whether t is an integer, float or numeric type.
func (t Type) IsNumber() bool { return t.IsInteger() || t.IsFloat() || t.Kind == KNumeric }

// IsString reports whether t is text, varchar, char(n) or name.
func (t Type) IsString() bool {
	return t.Kind == KText || t.Kind == KVarchar || t.Kind == KBpchar || t.Kind == KName
}

// IsPseudo reports whether t may stand in a function signature only.
func (t Type) IsPseudo() bool { return t.Kind >= KAny }

// RegKinds lists the kinds that are OIDs shown as the name of what they stand for.
var RegKinds = []Kind{KRegclass, KRegtype, KRegproc, KRegprocedure, KRegoper, KRegoperator, KRegrole, KRegnamespace}

// IsReg reports whether k is one of RegKinds.
func (k Kind) IsReg() bool { return slices.Contains(RegKinds, k) }

// IsStorable reports whether t is the type of values that can be kept, and not a number that means no type.
func (t Type) IsStorable() bool { return t.Kind < kindCount && t.Elem < kindCount && !t.IsPseudo() }

// String is PostgreSQL's format_type: the name with its modifier.
func (t Type) String() string {
	if t.Kind == KArray && !t.IsDomain() {
		elem := t.ElemType()
		elem.Mod = t.Mod
		return elem.String() + "[]"
	}
	if !t.Ext.IsZero() {
		return t.Ext.name(t.Kind)
	}
	in := infos[t.Kind]
	if t.Mod <= 0 {
		return in.Name
	}
	m := t.Mod - 1
	switch t.Kind {
	case KVarchar, KBpchar:
		return fmt.Sprintf("%s(%d)", in.Name, m-4)
	case KVector, KBit, KVarbit:
		return fmt.Sprintf("%s(%d)", in.Name, m)
	case KNumeric:
		return fmt.Sprintf("numeric(%d,%d)", (m-4)>>16, NumericScale(m))
	case KTime, KTimestamp, KTimetz, KTimestamptz:
		head, tail, _ := strings.Cut(in.Name, " ")
		return fmt.Sprintf("%s(%d) %s", head, m, tail)
	case KInterval:
		return in.Name + intervalModifier(m)
	}
	return in.Name
}

// intervalFields names the restrictions of an interval's fields by the bits that PostgreSQL keeps in the upper half of
// its atttypmod.
var intervalFields = map[int32]string{
	1 << 2: "YEAR", 1 << 1: "MONTH", 1 << 3: "DAY", 1 << 10: "HOUR", 1 << 11: "MINUTE", 1 << 12: "SECOND",
	1<<2 | 1<<1:           "YEAR TO MONTH",
	1<<3 | 1<<10:          "DAY TO HOUR",
	1<<3 | 1<<10 | 1<<11:  "DAY TO MINUTE",
	1<<3 | 7<<10:          "DAY TO SECOND",
	1<<10 | 1<<11:         "HOUR TO MINUTE",
	1<<10 | 1<<11 | 1<<12: "HOUR TO SECOND",
	1<<11 | 1<<12:         "MINUTE TO SECOND",
}

const (
	allIntervalFields = 0x7FFF
	fullPrecision     = 0xFFFF
)

// IntervalTypmod packs fields ("DAY TO SECOND", "" for all) and precision (−1: full) as PostgreSQL does.
func IntervalTypmod(fields string, precision int32) int32 {
	bits := int32(allIntervalFields)
	for b, name := range intervalFields {
		if name == fields {
			bits = b
		}
	}
	return bits<<16 | precision&fullPrecision
}

func intervalModifier(typmod int32) string {
	out := ""
	if name, ok := intervalFields[typmod>>16&allIntervalFields]; ok {
		out = " " + strings.ToLower(name)
	}
	if p := typmod & fullPrecision; p != fullPrecision {
		out += fmt.Sprintf("(%d)", p)
	}
	return out
}

// NumericScale extracts the (possibly negative) scale from a numeric atttypmod, as PostgreSQL 15 packs it.
func NumericScale(typmod int32) int32 { return (((typmod - 4) & 0x7ff) ^ 1024) - 1024 }

// NumericTypmod packs precision and scale as PostgreSQL 15 does.
func NumericTypmod(precision, scale int32) int32 { return (precision<<16 | (scale & 0x7ff)) + 4 }

// ByOID finds the type with a pg_type OID, array types included.
func ByOID(oid uint32) (Type, bool) {
	if oid == 0 {
		return Type{}, false
	}
	for k := range infos {
		if infos[k].OID == oid {
			return Type{Kind: Kind(k)}, true
		}
		if infos[k].ArrayOID == oid {
			return Type{Kind: KArray, Elem: Kind(k)}, true
		}
	}
	return Type{}, false
}

// ByName finds a scalar type by its SQL name, its pg_type name or an alias, in lower case.
func ByName(name string) (Type, bool) {
	for k := range infos {
		in := &infos[k]
		if k == int(KArray) || k == int(KUnknown) || k == int(KChar) || k == int(KEnum) || k == int(KMap) {
			continue
		}
		if in.PgName == name || in.Name == name {
			return Type{Kind: Kind(k)}, true
		}
		for _, a := range in.Aliases {
			if a == name {
				return Type{Kind: Kind(k)}, true
			}
		}
	}
	if n, ok := strings.CutPrefix(name, "_"); ok {
		if e, ok := ByName(n); ok {
			return ArrayOf(e), true
		}
	}
	return Type{}, false
}
