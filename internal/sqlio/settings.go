// Package sqlio reads and writes values of every SQL type: as PostgreSQL's text, in PostgreSQL's binary wire
// format, as memcomparable keys and as exact row images; and it holds the encodings of arrays and records.
//
// The idea: one switch over sqltypes.Kind per direction. The fast forms take a row of a delta.Vec and append to
// a buffer without boxing; the Datum forms serve literals, defaults, parameters and elements of arrays.
//
// Everything is pure and safe for any goroutine as long as nobody writes the Settings meanwhile.
//
// Invariants: ParseText of TextOf is the same value; byte order of keys is Compare's order; equal values have
// equal keys; an image gives back exactly the value that was written (a key need not: 1.0 and 1.00 share one).
// Keys, images, arrays and records are persisted: their bytes may change only with the storage format.
//
// An array value (PhysBytes) is
//
//	ndim u8 | flags u8 (1: has NULLs) | ndim × (length u32, lower bound i32) | NULL bitmap | elements
//
// little-endian; the bitmap (1 = NULL, least significant bit first) is there only with the flag. Elements of
// fixed size lie one after the other (bool 1 byte, integers and floats 8, interval 16); others are a table of
// u32 end offsets followed by their bytes (numeric as its image). An array without elements has ndim 0.
//
// A record value is self-describing:
//
//	field count uvarint | per field: kind u8, element kind u8, typmod+1 varint, 0 for NULL or 1 and an image
//
// The package applies no casts and does not look anything up in the catalog, except through the functions in
// Settings. Start at AppendText and ParseText.
package sqlio

import (
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Settings is what text output and input depend on. The zero value is UTC, ISO dates with MDY input, but
// ExtraFloatDigits 0; see DefaultSettings.
type Settings struct {
	Time datetime.Settings
	// ExtraFloatDigits: above 0 floats print with as few digits as identify them, else rounded to 15 (real: 6)
	// plus this many digits.
	ExtraFloatDigits int
	// ByteaEscape is bytea_output = escape instead of hex.
	ByteaEscape bool
	// RegName prints an oid alias (regclass, regtype, regproc, regnamespace); nil or false: as a number.
	RegName func(k sqltypes.Kind, oid int64) (string, bool)
	// RegOID resolves the name given for an oid alias; nil: only numbers are accepted.
	RegOID func(k sqltypes.Kind, name string) (int64, error)
}

// DefaultSettings returns PostgreSQL's defaults with TimeZone UTC.
func DefaultSettings() *Settings { return &Settings{ExtraFloatDigits: 1} }

// elemType returns the type of the elements of an array or vector type.
func elemType(t sqltypes.Type) sqltypes.Type {
	switch t.Kind {
	case sqltypes.KInt2Vector:
		return sqltypes.Int2
	case sqltypes.KOidVector:
		return sqltypes.Oid
	}
	if t.Kind == sqltypes.KMap {
		return t.EntryType()
	}
	return t.ElemType()
}

func isArray(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KArray || t.Kind == sqltypes.KInt2Vector || t.Kind == sqltypes.KOidVector
}

// toBytes accepts both Go types of a PhysBytes datum.
func toBytes(d sqltypes.Datum) []byte {
	if s, ok := d.(string); ok {
		return []byte(s)
	}
	return d.([]byte)
}
