package catalog

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// pg_type, pg_cast, pg_collation, operator classes: what the type table implies.

// typeDetail is what pg_type says about a type beside sqltypes.Info.
type typeDetail struct {
	byValue           bool
	align, storage    byte
	collation         int64
	in, out           int64 // procedures of text input and output
	receive, send     int64 // of binary
	modIn, modOut     int64 // of modifiers
	opclass, opfamily int64 // default btree operator class
	opclassName       string
}

// arrayDetail serves every array type.
var arrayDetail = typeDetail{align: 'i', storage: 'x', in: 750, out: 751, receive: 2400, send: 2401, opclass: 10000, opfamily: 397, opclassName: "array_ops"}

// typeDetails are PostgreSQL 15's facts, by kind.
var typeDetails = map[sqltypes.Kind]typeDetail{
	sqltypes.KUnknown:      {false, 'c', 'p', 0, 109, 110, 2416, 2417, 0, 0, 0, 0, ""},
	sqltypes.KBool:         {true, 'c', 'p', 0, 1242, 1243, 2436, 2437, 0, 0, 10003, 424, "bool_ops"},
	sqltypes.KBytea:        {false, 'i', 'x', 0, 1244, 31, 2412, 2413, 0, 0, 10006, 428, "bytea_ops"},
	sqltypes.KChar:         {true, 'c', 'p', 0, 1245, 33, 2434, 2435, 0, 0, 10007, 429, "char_ops"},
	sqltypes.KName:         {false, 'c', 'p', collC, 34, 35, 2422, 2423, 0, 0, 10028, 1994, "name_ops"},
	sqltypes.KInt8:         {true, 'd', 'p', 0, 460, 461, 2408, 2409, 0, 0, 3124, 1976, "int8_ops"},
	sqltypes.KInt2:         {true, 's', 'p', 0, 38, 39, 2404, 2405, 0, 0, 1979, 1976, "int2_ops"},
	sqltypes.KInt2Vector:   {false, 'i', 'p', 0, 40, 41, 2410, 2411, 0, 0, 0, 0, ""},
	sqltypes.KInt4:         {true, 'i', 'p', 0, 42, 43, 2406, 2407, 0, 0, 1978, 1976, "int4_ops"},
	sqltypes.KRegproc:      {true, 'i', 'p', 0, 44, 45, 2444, 2445, 0, 0, 0, 0, ""},
	sqltypes.KText:         {false, 'i', 'x', collDefault, 46, 47, 2414, 2415, 0, 0, 3126, 1994, "text_ops"},
	sqltypes.KOid:          {true, 'i', 'p', 0, 1798, 1799, 2418, 2419, 0, 0, 1981, 1989, "oid_ops"},
	sqltypes.KOidVector:    {false, 'i', 'p', 0, 54, 55, 2420, 2421, 0, 0, 10032, 1991, "oidvector_ops"},
	sqltypes.KJSON:         {false, 'i', 'x', 0, 321, 322, 323, 324, 0, 0, 0, 0, ""},
	sqltypes.KFloat4:       {true, 'i', 'p', 0, 200, 201, 2424, 2425, 0, 0, 10012, 1970, "float4_ops"},
	sqltypes.KFloat8:       {true, 'd', 'p', 0, 214, 215, 2426, 2427, 0, 0, 3123, 1970, "float8_ops"},
	sqltypes.KBpchar:       {false, 'i', 'x', collDefault, 1044, 1045, 2430, 2431, 2913, 2914, 10004, 426, "bpchar_ops"},
	sqltypes.KVarchar:      {false, 'i', 'x', collDefault, 1046, 1047, 2432, 2433, 2915, 2916, 0, 0, ""},
	sqltypes.KDate:         {true, 'i', 'p', 0, 1084, 1085, 2468, 2469, 0, 0, 3122, 434, "date_ops"},
	sqltypes.KTime:         {true, 'd', 'p', 0, 1143, 1144, 2470, 2471, 2909, 2910, 10038, 1996, "time_ops"},
	sqltypes.KTimestamp:    {true, 'd', 'p', 0, 1312, 1313, 2474, 2475, 2905, 2906, 3128, 434, "timestamp_ops"},
	sqltypes.KTimestamptz:  {true, 'd', 'p', 0, 1150, 1151, 2476, 2477, 2907, 2908, 3127, 434, "timestamptz_ops"},
	sqltypes.KInterval:     {false, 'd', 'p', 0, 1160, 1161, 2478, 2479, 2903, 2904, 10022, 1982, "interval_ops"},
	sqltypes.KTimetz:       {false, 'd', 'p', 0, 1350, 1351, 2472, 2473, 2911, 2912, 10041, 2000, "timetz_ops"},
	sqltypes.KNumeric:      {false, 'i', 'm', 0, 1701, 1702, 2460, 2461, 2917, 2918, 3125, 1988, "numeric_ops"},
	sqltypes.KRegclass:     {true, 'i', 'p', 0, 2218, 2219, 2452, 2453, 0, 0, 0, 0, ""},
	sqltypes.KRegtype:      {true, 'i', 'p', 0, 2220, 2221, 2454, 2455, 0, 0, 0, 0, ""},
	sqltypes.KRecord:       {false, 'd', 'x', 0, 2290, 2291, 2402, 2403, 0, 0, 10034, 2994, "record_ops"},
	sqltypes.KAny:          {true, 'i', 'p', 0, 2294, 2295, 0, 0, 0, 0, 0, 0, ""},
	sqltypes.KAnyArray:     {false, 'd', 'x', 0, 2296, 2297, 2502, 2503, 0, 0, 10000, 397, "array_ops"},
	sqltypes.KVoid:         {true, 'i', 'p', 0, 2298, 2299, 3120, 3121, 0, 0, 0, 0, ""},
	sqltypes.KAnyElement:   {true, 'i', 'p', 0, 2312, 2313, 0, 0, 0, 0, 0, 0, ""},
	sqltypes.KAnyNonArray:  {true, 'i', 'p', 0, 2777, 2778, 0, 0, 0, 0, 0, 0, ""},
	sqltypes.KUUID:         {false, 'c', 'p', 0, 2952, 2953, 2961, 2962, 0, 0, 10065, 2968, "uuid_ops"},
	sqltypes.KBit:          {false, 'i', 'x', 0, 1564, 1565, 2456, 2457, 2919, 2920, 10002, 423, "bit_ops"},
	sqltypes.KVarbit:       {false, 'i', 'x', 0, 1579, 1580, 2458, 2459, 2902, 2921, 10043, 2002, "varbit_ops"},
	sqltypes.KJSONB:        {false, 'i', 'x', 0, 3806, 3804, 3805, 3803, 0, 0, 10088, 4033, "jsonb_ops"},
	sqltypes.KJSONPath:     {false, 'i', 'x', 0, 4001, 4003, 4002, 4004, 0, 0, 0, 0, ""},
	sqltypes.KEnum:         {true, 'i', 'p', 0, 3506, 3507, 3532, 3533, 0, 0, 10069, 3522, "enum_ops"},
	sqltypes.KAnyEnum:      {true, 'i', 'p', 0, 3504, 3505, 0, 0, 0, 0, 0, 0, ""},
	sqltypes.KRegnamespace: {true, 'i', 'p', 0, 4084, 4085, 4087, 4088, 0, 0, 0, 0, ""},
	sqltypes.KRegprocedure: {true, 'i', 'p', 0, 2212, 2213, 2446, 2447, 0, 0, 0, 0, ""},
	sqltypes.KRegoper:      {true, 'i', 'p', 0, 2214, 2215, 2448, 2449, 0, 0, 0, 0, ""},
	sqltypes.KRegoperator:  {true, 'i', 'p', 0, 2216, 2217, 2450, 2451, 0, 0, 0, 0, ""},
	sqltypes.KRegrole:      {true, 'i', 'p', 0, 4098, 4092, 4094, 4095, 0, 0, 0, 0, ""},
}

func detailOf(t sqltypes.Type) typeDetail {
	if t.Kind == sqltypes.KArray {
		d := arrayDetail
		d.collation = typeDetails[t.Elem].collation
		if a := typeDetails[t.Elem].align; a == 'd' {
			d.align = 'd'
		}
		return d
	}
	return typeDetails[t.Kind]
}

// opclassOf is the operator class that an index on a column of type t uses.
func opclassOf(t sqltypes.Type) int64 {
	switch {
	case t.Kind == sqltypes.KVarchar:
		t = sqltypes.Text
	case t.Kind.IsReg():
		t = sqltypes.Oid
	}
	return detailOf(t).opclass
}

// Pseudo-types in the signatures of input and output procedures.
const (
	oidCstring      = 2275
	oidTrigger      = 2279
	oidCstringArray = 1263
	oidInternalType = 2281
)

func fixedType(w *writer, _ *System) {
	for _, in := range sqltypes.Infos() {
		if in.Kind == sqltypes.KArray || in.Kind == sqltypes.KEnum {
			continue
		}
		t := sqltypes.Type{Kind: in.Kind}
		r := typeRow(t, in.PgName, detailOf(t))
		r["typarray"], r["typcategory"], r["typispreferred"] = in.ArrayOID, string(in.Category), in.Preferred
		r["typtype"] = "b"
		if in.Category == sqltypes.CatPseudo || in.Kind == sqltypes.KRecord || in.Kind == sqltypes.KUnknown {
			r["typtype"] = "p"
		}
		if in.Kind == sqltypes.KRecord {
			r["typcategory"] = "P"
		}
		switch in.Kind {
		case sqltypes.KInt2Vector:
			r["typelem"], r["typsubscript"] = sqltypes.Int2.OID(), 6179
		case sqltypes.KOidVector:
			r["typelem"], r["typsubscript"] = sqltypes.Oid.OID(), 6179
		case sqltypes.KName:
			r["typelem"], r["typsubscript"] = sqltypes.Char.OID(), 6180
		case sqltypes.KJSONB:
			r["typsubscript"] = 6098
		}
		w.add(r)
		if in.ArrayOID != 0 {
			a := sqltypes.ArrayOf(t)
			r := typeRow(a, "_"+in.PgName, detailOf(a))
			r["typelem"], r["typtype"], r["typcategory"], r["typsubscript"] = in.OID, "b", "A", 6179
			if in.Kind == sqltypes.KRecord {
				r["typtype"], r["typcategory"] = "p", "P"
			}
			w.add(r)
		}
	}
	w.add(row{"oid": oidTrigger, "typname": "trigger", "typnamespace": oidPgCatalog, "typowner": oidOwner, "typlen": 4, "typtype": "p", "typbyval": true,
		"typcategory": "P", "typisdefined": true, "typdelim": ",", "typalign": "i", "typstorage": "p", "typtypmod": -1})
	w.add(row{"oid": oidCstring, "typname": "cstring", "typnamespace": oidPgCatalog, "typowner": oidOwner, "typlen": -2, "typtype": "p",
		"typcategory": "P", "typisdefined": true, "typdelim": ",", "typarray": oidCstringArray, "typalign": "c", "typstorage": "p", "typtypmod": -1,
		"typinput": 2292, "typoutput": 2293, "typreceive": 2500, "typsend": 2501})
	w.add(row{"oid": oidCstringArray, "typname": "_cstring", "typnamespace": oidPgCatalog, "typowner": oidOwner, "typlen": -1, "typtype": "p",
		"typcategory": "P", "typisdefined": true, "typdelim": ",", "typelem": oidCstring, "typalign": "i", "typstorage": "x", "typtypmod": -1,
		"typinput": 750, "typoutput": 751, "typreceive": 2400, "typsend": 2401, "typsubscript": 6179})
	w.add(row{"oid": oidInternalType, "typname": "internal", "typnamespace": oidPgCatalog, "typowner": oidOwner, "typlen": 8, "typbyval": true,
		"typtype": "p", "typcategory": "P", "typisdefined": true, "typdelim": ",", "typalign": "d", "typstorage": "p", "typtypmod": -1,
		"typinput": 2304, "typoutput": 2305})
}

func typeRow(t sqltypes.Type, name string, d typeDetail) row {
	return row{"oid": t.OID(), "typname": name, "typnamespace": oidPgCatalog, "typowner": oidOwner, "typlen": t.Len(), "typbyval": d.byValue,
		"typisdefined": true, "typdelim": ",", "typinput": d.in, "typoutput": d.out, "typreceive": d.receive, "typsend": d.send,
		"typmodin": d.modIn, "typmodout": d.modOut, "typalign": string(d.align), "typstorage": string(d.storage), "typtypmod": -1,
		"typcollation": d.collation}
}

func fixedOpclass(w *writer, _ *System) {
	for _, t := range opclassTypes() {
		d := detailOf(t)
		w.add(row{"oid": d.opclass, "opcmethod": oidBtree, "opcname": d.opclassName, "opcnamespace": oidPgCatalog, "opcowner": oidOwner,
			"opcfamily": d.opfamily, "opcintype": t.OID(), "opcdefault": true})
	}
}

func fixedOpfamily(w *writer, _ *System) {
	seen := map[int64]bool{}
	for _, t := range opclassTypes() {
		d := detailOf(t)
		if seen[d.opfamily] {
			continue
		}
		seen[d.opfamily] = true
		name := d.opclassName
		switch d.opfamily {
		case 434:
			name = "datetime_ops"
		case 1970:
			name = "float_ops"
		case 1976:
			name = "integer_ops"
		case 1994:
			name = "text_ops"
		}
		w.add(row{"oid": d.opfamily, "opfmethod": oidBtree, "opfname": name, "opfnamespace": oidPgCatalog, "opfowner": oidOwner})
	}
}

// opclassTypes lists the types that have an operator class of their own.
func opclassTypes() []sqltypes.Type {
	var out []sqltypes.Type
	for _, in := range sqltypes.Infos() {
		if typeDetails[in.Kind].opclass != 0 && in.Kind != sqltypes.KEnum {
			out = append(out, sqltypes.Type{Kind: in.Kind})
		}
	}
	return out
}

// fixedCast lists the casts that are more than a value's text, as pg_cast does.
func fixedCast(w *writer, _ *System) {
	oid := firstLibraryOID
	for _, from := range sqltypes.Infos() {
		for _, to := range sqltypes.Infos() {
			a, b := sqltypes.Type{Kind: from.Kind}, sqltypes.Type{Kind: to.Kind}
			context, ok := expr.LookupCast(a, b)
			if !ok || a == b || from.Kind == sqltypes.KUnknown || from.Kind == sqltypes.KArray || to.Kind == sqltypes.KArray {
				continue
			}
			if stringLike(a) != stringLike(b) && context != expr.CastImplicit {
				continue // by way of the value's text
			}
			method := "f"
			if stringLike(a) && stringLike(b) {
				method = "b"
			}
			w.add(row{"oid": oid, "castsource": from.OID, "casttarget": to.OID, "castcontext": string("iae"[context]), "castmethod": method})
			oid++
		}
	}
}

func stringLike(t sqltypes.Type) bool { return t.IsString() || t.Kind == sqltypes.KChar }

func fixedCollation(w *writer, _ *System) {
	add := func(oid int64, name, provider string, encoding int, locale any) {
		w.add(row{"oid": oid, "collname": name, "collnamespace": oidPgCatalog, "collowner": oidOwner, "collprovider": provider,
			"collisdeterministic": true, "collencoding": encoding, "collcollate": locale, "collctype": locale})
	}
	add(collDefault, "default", "d", -1, nil)
	add(collC, "C", "c", -1, "C")
	add(951, "POSIX", "c", -1, "POSIX")
	add(12340, "ucs_basic", "c", 6, "C")
}
