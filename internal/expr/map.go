package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Maps. PostgreSQL has none: names and answers are RisingWave's. A key or value beside a map comes in the map's types.

// CheckMapKey refuses types that cannot be keys of a map: only integers and strings can.
func CheckMapKey(t sqltypes.Type) error {
	if t.IsInteger() || t.Kind == sqltypes.KText || t.Kind == sqltypes.KVarchar {
		return nil
	}
	return sqlerr.New(sqlerr.DatatypeMismatch, "invalid map key type: %s", t.Base())
}

// castMap casts keys and values.
func castMap(from, to sqltypes.Type, explicit bool) Kernel {
	fk, fv := from.KeyValue()
	tk, tv := to.KeyValue()
	return b1c(func(c *Ctx, dst []byte, b []byte) ([]byte, error) {
		keys, values, err := sqlio.ReadMap(from, b)
		if err == nil {
			keys, err = castElems(c, keys, fk, tk, explicit)
		}
		if err == nil {
			values, err = castElems(c, values, fv, tv, explicit)
		}
		if err != nil {
			return dst, err
		}
		return appendMap(dst, to, keys, values)
	})
}

func appendMap(dst []byte, t sqltypes.Type, keys, values []sqltypes.Datum) ([]byte, error) {
	b, err := sqlio.MakeMap(t, keys, values)
	return append(dst, b...), err
}

// mapArg reads argument k, a map; NULL is one without entries.
func mapArg(vecs []*delta.Vec, k, i int) (keys, values []sqltypes.Datum, err error) {
	if vecs[k].IsNull(i) {
		return nil, nil, nil
	}
	return sqlio.ReadMap(vecs[k].Type, vecs[k].Bytes(i))
}

// keyAt returns where a key is, −1 if it is not there.
func keyAt(t sqltypes.Type, keys []sqltypes.Datum, key sqltypes.Datum) int {
	for i, k := range keys {
		if sqlio.Compare(t, k, key) == 0 {
			return i
		}
	}
	return -1
}

// mapResult is the type of a map with keys and values of two types; one that cannot be is left to the kernel to refuse.
func mapResult(key, value sqltypes.Type) sqltypes.Type {
	return sqltypes.MapOf(key.Base(), value.Base())
}

// mapFromPairs is MAP {key: value, …}.
func mapFromPairs(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	t := mapResult(vecs[0].Type, vecs[1].Type)
	if err := CheckMapKey(vecs[0].Type); err != nil {
		return dst, err
	}
	var keys, values []sqltypes.Datum
	for k := 0; k+1 < len(vecs); k += 2 {
		keys, values = append(keys, vecs[k].Datum(i)), append(values, vecs[k+1].Datum(i))
	}
	return appendMap(dst, t, keys, values)
}

func mapFromKeyValues(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].Type.Kind != sqltypes.KArray || vecs[1].Type.Kind != sqltypes.KArray {
		return dst, sqlerr.New(sqlerr.DatatypeMismatch, "map_from_key_values takes two arrays")
	}
	if err := CheckMapKey(vecs[0].Type.ElemType()); err != nil {
		return dst, err
	}
	keys, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	values, err := arrayOfArg(vecs, 1, i)
	if err != nil {
		return dst, err
	}
	if keys.Len() != values.Len() {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "map keys and values have different length")
	}
	return appendMap(dst, mapResult(keys.Elem(), values.Elem()), keys.Elems(), values.Elems())
}

func mapFromEntries(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	elem := vecs[0].Type.ElemType()
	if elem.Kind != sqltypes.KRecord {
		return dst, sqlerr.New(sqlerr.DatatypeMismatch, "invalid map entries type, expected struct, got: %s", elem)
	}
	fields := elem.Fields()
	if len(fields) != 2 {
		return dst, sqlerr.New(sqlerr.DatatypeMismatch, "the underlying struct for map must have exactly two fields")
	}
	if err := CheckMapKey(fields[0].Type); err != nil {
		return dst, err
	}
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	var keys, values []sqltypes.Datum
	for _, e := range arr.Elems() {
		if e == nil {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "map entries must not be NULL")
		}
		kv, err := sqlio.DecodeRecord(elem, e.([]byte))
		if err != nil {
			return dst, err
		}
		keys, values = append(keys, kv[0]), append(values, kv[1])
	}
	return appendMap(dst, mapResult(fields[0].Type, fields[1].Type), keys, values)
}

func entriesType(args []sqltypes.Type) sqltypes.Type {
	if f := args[0].ElemType().Fields(); len(f) == 2 {
		return mapResult(f[0].Type, f[1].Type)
	}
	return sqltypes.MapOf(sqltypes.Text, sqltypes.Text)
}

func mapAccess(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	kt, _ := types[0].KeyValue()
	keys, values, err := sqlio.ReadMap(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return nil, err
	}
	if k := keyAt(kt, keys, args[1]); k >= 0 {
		return values[k], nil
	}
	return nil, nil
}

func mapContains(_ *Ctx, vecs []*delta.Vec, i int) (bool, error) {
	kt, _ := vecs[0].Type.KeyValue()
	keys, _, err := mapArg(vecs, 0, i)
	if err != nil {
		return false, err
	}
	return keyAt(kt, keys, vecs[1].Datum(i)) >= 0, nil
}

// mapInsert is map_insert: a key that is there gets the new value.
func mapInsert(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	if vecs[1].IsNull(i) {
		return append(dst, vecs[0].Bytes(i)...), nil
	}
	kt, _ := vecs[0].Type.KeyValue()
	keys, values, err := mapArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	key, value := vecs[1].Datum(i), vecs[2].Datum(i)
	if k := keyAt(kt, keys, key); k >= 0 {
		values[k] = value
	} else {
		keys, values = append(keys, key), append(values, value)
	}
	return appendMap(dst, vecs[0].Type, keys, values)
}

func mapDelete(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	kt, _ := vecs[0].Type.KeyValue()
	keys, values, err := mapArg(vecs, 0, i)
	if err != nil || vecs[1].IsNull(i) {
		return append(dst, vecs[0].Bytes(i)...), err
	}
	if k := keyAt(kt, keys, vecs[1].Datum(i)); k >= 0 {
		keys, values = append(keys[:k:k], keys[k+1:]...), append(values[:k:k], values[k+1:]...)
	}
	return appendMap(dst, vecs[0].Type, keys, values)
}

// mapCat joins two maps; of a key in both, the second counts. NULL adds nothing.
func mapCat(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) && vecs[1].IsNull(i) {
		return dst, errNull
	}
	kt, _ := vecs[0].Type.KeyValue()
	keys, values, err := mapArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	more, new, err := mapArg(vecs, 1, i)
	if err != nil {
		return dst, err
	}
	for n, key := range more {
		if k := keyAt(kt, keys, key); k >= 0 {
			values[k] = new[n]
		} else {
			keys, values = append(keys, key), append(values, new[n])
		}
	}
	return appendMap(dst, vecs[0].Type, keys, values)
}

// mapPart is map_keys and map_values.
func mapPart(values bool) func(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	return func(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		kt, vt := vecs[0].Type.KeyValue()
		keys, vals, err := mapArg(vecs, 0, i)
		if err != nil {
			return dst, err
		}
		if values {
			return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(vt), vals)...), nil
		}
		return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(kt), keys)...), nil
	}
}

func mapLength(_ *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	keys, _, err := mapArg(vecs, 0, i)
	return int64(len(keys)), err
}

// populateMap is jsonb_populate_map: the members of an object over the entries of a map.
func populateMap(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	kt, vt := vecs[0].Type.KeyValue()
	if kt.IsInteger() {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "cannot convert jsonb to a map with non-string keys")
	}
	if vecs[1].IsNull(i) {
		return dst, errNull
	}
	keys, values, err := mapArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	doc := vecs[1].Bytes(i)
	if jsonb.KindOf(doc) != jsonb.Object {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "cannot convert to map from a jsonb %s", jsonb.KindOf(doc))
	}
	for name, member := range jsonb.Each(doc) {
		v, err := recordMaker{c}.value(vt, jsonDoc{v: member}, string(name))
		if err != nil {
			return dst, err
		}
		key := sqltypes.Datum([]byte(name))
		if k := keyAt(kt, keys, key); k >= 0 {
			values[k] = v
		} else {
			keys, values = append(keys, key), append(values, v)
		}
	}
	return appendMap(dst, vecs[0].Type, keys, values)
}

func mapFuncs() []Func {
	m, any := sqltypes.AnyMap, sqltypes.Any
	same := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	key := func(args []sqltypes.Type) sqltypes.Type { k, _ := args[0].KeyValue(); return k }
	value := func(args []sqltypes.Type) sqltypes.Type { _, v := args[0].KeyValue(); return v }
	arrayOf := func(f func([]sqltypes.Type) sqltypes.Type) func([]sqltypes.Type) sqltypes.Type {
		return func(args []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(f(args)) }
	}
	return []Func{
		fn("map_from_pairs", ts(any, any), m, bytesOf(mapFromPairs), "MAP {key: value, …}").variadic().onNulls().
			resultOf(func(a []sqltypes.Type) sqltypes.Type { return mapResult(a[0], a[1]) }),
		fn("map_from_key_values", ts(any, any), m, bytesOf(mapFromKeyValues), "map of an array of keys and one of values").
			resultOf(func(a []sqltypes.Type) sqltypes.Type { return mapResult(a[0].ElemType(), a[1].ElemType()) }),
		fn("map_from_entries", ts(sqltypes.AnyArray), m, bytesOf(mapFromEntries), "map of an array of rows of a key and a value").resultOf(entriesType),
		fn("map_access", ts(m, any), any, boxed(mapAccess), "value of a key, NULL if it is not there").resultOf(value),
		fn("map_contains", ts(m, any), sqltypes.Bool, boolRows(mapContains), "whether a key is there"),
		fn("map_length", ts(m), sqltypes.Int4, int64Rows(mapLength), "number of entries"),
		fn("map_keys", ts(m), sqltypes.AnyArray, bytesOf(mapPart(false)), "keys in order").resultOf(arrayOf(key)),
		fn("map_values", ts(m), sqltypes.AnyArray, bytesOf(mapPart(true)), "values in the order of the keys").resultOf(arrayOf(value)),
		fn("map_entries", ts(m), sqltypes.AnyArray, b1(func(dst, b []byte) []byte { return append(dst, b...) }), "rows of a key and a value, in the order of the keys").
			resultOf(func(a []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(a[0].EntryType()) }),
		fn("map_insert", ts(m, any, any), m, bytesOf(mapInsert), "map with an entry added or changed").onNulls().resultOf(same),
		fn("map_delete", ts(m, any), m, bytesOf(mapDelete), "map without a key").onNulls().resultOf(same),
		fn("map_cat", ts(m, m), m, bytesOf(mapCat), "entries of two maps, the second counting").onNulls().resultOf(same),
		fn("jsonb_populate_map", ts(m, sqltypes.JSONB), m, bytesOf(populateMap), "map with the members of a JSON object").onNulls().resultOf(same),
	}
}
