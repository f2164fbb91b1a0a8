package expr

import (
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Operators and functions on jsonb. The work is internal/jsonb's.

func jsonbResult(dst, v []byte, ok, text bool) ([]byte, error) {
	if ok && text {
		dst, ok = jsonb.AppendAsText(dst, v)
	} else if ok {
		dst = append(dst, v...)
	}
	if !ok {
		return dst, errNull
	}
	return dst, nil
}

func jsonbField(text bool) Kernel {
	return b2e(func(dst, v, key []byte) ([]byte, error) {
		r, ok := jsonb.Field(v, view(key))
		return jsonbResult(dst, r, ok, text)
	})
}

func jsonbIndex(text bool) Kernel {
	return b2e(func(dst, v []byte, i int64) ([]byte, error) {
		r, ok := jsonb.Index(v, int(i))
		return jsonbResult(dst, r, ok, text)
	})
}

func jsonbAtPath(text bool) Kernel {
	return b2e(func(dst, v, p []byte) ([]byte, error) {
		path, ok, err := pathOf(p)
		if err != nil || !ok {
			return dst, orElse(err, errNull)
		}
		r, ok := jsonb.Path(v, path)
		return jsonbResult(dst, r, ok, text)
	})
}

func jsonbExtract(text bool) Kernel {
	return bytesOf(func(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		r, ok := jsonb.Path(vecs[0].Bytes(i), pathArgs(vecs[1:], i))
		return jsonbResult(dst, r, ok, text)
	})
}

// stringsOf lists the elements of a text array that are not NULL.
func stringsOf(b []byte) ([]string, error) {
	arr, err := sqlio.ReadArray(textArray, b)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range arr.Len() {
		if d := arr.At(i); d != nil {
			out = append(out, string(bytesOfDatum(d)))
		}
	}
	return out, nil
}

func jsonbExists(v, key []byte) bool { return jsonb.Exists(v, view(key)) }

func jsonbExistsAny(v, keys []byte) (bool, error) {
	list, err := stringsOf(keys)
	return slices.ContainsFunc(list, func(k string) bool { return jsonb.Exists(v, k) }), err
}

func jsonbExistsAll(v, keys []byte) (bool, error) {
	list, err := stringsOf(keys)
	return !slices.ContainsFunc(list, func(k string) bool { return !jsonb.Exists(v, k) }), err
}

func appendTo(dst, v []byte, err error) ([]byte, error) { return append(dst, v...), err }

func jsonbConcat(dst, a, b []byte) ([]byte, error) {
	v, err := jsonb.Concat(a, b)
	return appendTo(dst, v, err)
}

func jsonbDeleteKey(dst, v, key []byte) ([]byte, error) {
	v, err := jsonb.DeleteKeys(v, string(key))
	return appendTo(dst, v, err)
}

func jsonbDeleteKeys(dst, v, keys []byte) ([]byte, error) {
	if arr, err := sqlio.ReadArray(textArray, keys); err == nil && arr.NDim() > 1 {
		return dst, errSubscripts
	}
	list, err := stringsOf(keys)
	if err == nil {
		v, err = jsonb.DeleteKeys(v, list...)
	}
	return appendTo(dst, v, err)
}

func jsonbDeleteIndex(dst, v []byte, i int64) ([]byte, error) {
	v, err := jsonb.DeleteIndex(v, int(i))
	return appendTo(dst, v, err)
}

// editPath is pathOf for functions that change what is there: NULL steps are told when they are reached.
func editPath(p []byte) ([]string, error) {
	arr, err := sqlio.ReadArray(textArray, p)
	if err != nil {
		return nil, err
	}
	if arr.NDim() > 1 {
		return nil, errSubscripts
	}
	path := make([]string, arr.Len())
	for i := range path {
		path[i] = jsonb.NullStep
		if d := arr.At(i); d != nil {
			path[i] = string(bytesOfDatum(d))
		}
	}
	return path, nil
}

var errSubscripts = sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts")

func jsonbDeletePath(dst, v, p []byte) ([]byte, error) {
	path, err := editPath(p)
	if err == nil {
		v, err = jsonb.DeletePath(v, path)
	}
	return appendTo(dst, v, err)
}

func boolArg(vecs []*delta.Vec, k, i int, def bool) bool {
	if k >= len(vecs) {
		return def
	}
	return vecs[k].Bools[i]
}

func jsonbSet(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	path, err := editPath(vecs[1].Bytes(i))
	if err != nil {
		return dst, err
	}
	v, err := jsonb.Set(vecs[0].Bytes(i), path, vecs[2].Bytes(i), boolArg(vecs, 3, i, true))
	return appendTo(dst, v, err)
}

func jsonbInsert(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	path, err := editPath(vecs[1].Bytes(i))
	if err != nil {
		return dst, err
	}
	v, err := jsonb.Insert(vecs[0].Bytes(i), path, vecs[2].Bytes(i), boolArg(vecs, 3, i, false))
	return appendTo(dst, v, err)
}

// jsonbSetLax is jsonb_set with a choice of what a NULL value means.
func jsonbSetLax(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	for k, v := range vecs {
		if k != 2 && k != 4 && v.IsNull(i) {
			return dst, errNull
		}
	}
	treatment := "use_json_null"
	if len(vecs) > 4 {
		if vecs[4].IsNull(i) {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"")
		}
		treatment = string(vecs[4].Bytes(i))
	}
	if !vecs[2].IsNull(i) {
		return jsonbSet(c, dst, vecs[:min(len(vecs), 4)], i)
	}
	switch treatment {
	case "raise_exception":
		return dst, sqlerr.New(sqlerr.NullValueNotAllowed, "JSON value must not be null").
			WithDetail("Exception was raised because null_value_treatment is \"raise_exception\".").
			WithHint("To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.")
	case "use_json_null":
		path, err := editPath(vecs[1].Bytes(i))
		if err != nil {
			return dst, err
		}
		var b jsonb.Builder
		b.Null()
		v, err := jsonb.Set(vecs[0].Bytes(i), path, b.Bytes(), boolArg(vecs, 3, i, true))
		return appendTo(dst, v, err)
	case "delete_key":
		return jsonbDeletePath(dst, vecs[0].Bytes(i), vecs[1].Bytes(i))
	case "return_target":
		return append(dst, vecs[0].Bytes(i)...), nil
	}
	return dst, sqlerr.New(sqlerr.InvalidParameterValue, "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"")
}

func jsonbArrayLength(v []byte) (int64, error) {
	switch jsonb.KindOf(v) {
	case jsonb.Array:
		return int64(jsonb.Len(v)), nil
	case jsonb.Object:
		return 0, errNotArray
	}
	return 0, sqlerr.New(sqlerr.InvalidParameterValue, "cannot get array length of a scalar")
}

func jsonbTypeof(dst, v []byte) []byte { return append(dst, jsonb.KindOf(v).String()...) }

func toJSONB(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	var b jsonb.Builder
	if err := addJSONB(c, &b, vecs[0].Type, vecs[0].Datum(i)); err != nil {
		return dst, err
	}
	return append(dst, b.Bytes()...), nil
}

func jsonbBuildObject(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	d, t := jsonArgs(vecs, i)
	if len(d)%2 != 0 {
		return dst, errOddArguments.WithHint("The arguments of jsonb_build_object() must consist of alternating keys and values.")
	}
	var b jsonb.Builder
	b.BeginObject()
	for k := 0; k < len(d); k += 2 {
		if d[k] == nil {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "argument %d: key must not be null", k+1)
		}
		key, err := keyText(c, t[k], d[k])
		if err != nil {
			return dst, err
		}
		b.Key(key)
		if err := addJSONB(c, &b, t[k+1], d[k+1]); err != nil {
			return dst, err
		}
	}
	b.EndObject()
	return append(dst, b.Bytes()...), nil
}

func jsonbBuildArray(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	d, t := jsonArgs(vecs, i)
	var b jsonb.Builder
	b.BeginArray()
	for k := range d {
		if err := addJSONB(c, &b, t[k], d[k]); err != nil {
			return dst, err
		}
	}
	b.EndArray()
	return append(dst, b.Bytes()...), nil
}

func jsonbObject(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	keys, vals, err := textPairs(vecs, i)
	if err != nil {
		return dst, err
	}
	var b jsonb.Builder
	b.BeginObject()
	for k := range keys {
		b.Key(string(bytesOfDatum(keys[k])))
		if vals[k] == nil {
			b.Null()
		} else {
			b.StringBytes(bytesOfDatum(vals[k]))
		}
	}
	b.EndObject()
	return append(dst, b.Bytes()...), nil
}

// jsonbFuncs lists the operators and functions on jsonb.
func jsonbFuncs() []Func {
	j, t, i4, b, any := sqltypes.JSONB, sqltypes.Text, sqltypes.Int4, sqltypes.Bool, sqltypes.Any
	contained := func(x, y []byte) bool { return jsonb.Contains(y, x) }
	return []Func{
		fn("->", ts(j, t), j, jsonbField(false), "member of an object"),
		fn("->", ts(j, i4), j, jsonbIndex(false), "element of an array, from 0, from the end when negative"),
		fn("->>", ts(j, t), t, jsonbField(true), "member of an object as text"),
		fn("->>", ts(j, i4), t, jsonbIndex(true), "element of an array as text"),
		fn("#>", ts(j, textArray), j, jsonbAtPath(false), "value at a path"),
		fn("#>>", ts(j, textArray), t, jsonbAtPath(true), "value at a path as text"),
		fn("@>", ts(j, j), b, k2(jsonb.Contains), "contains"),
		fn("<@", ts(j, j), b, k2(contained), "is contained in"),
		fn("?", ts(j, t), b, k2(jsonbExists), "has a key or an element of that text"),
		fn("?|", ts(j, textArray), b, k2e(jsonbExistsAny), "has any of the keys"),
		fn("?&", ts(j, textArray), b, k2e(jsonbExistsAll), "has all of the keys"),
		fn("||", ts(j, j), j, b2e(jsonbConcat), "concatenation"),
		fn("-", ts(j, t), j, b2e(jsonbDeleteKey), "without a key, or without equal elements"),
		fn("-", ts(j, textArray), j, b2e(jsonbDeleteKeys), "without keys"),
		fn("-", ts(j, i4), j, b2e(jsonbDeleteIndex), "without an element"),
		fn("#-", ts(j, textArray), j, b2e(jsonbDeletePath), "without the value at a path"),
		fn("jsonb_contains", ts(j, j), b, k2(jsonb.Contains), "contains"),
		fn("jsonb_contained", ts(j, j), b, k2(contained), "is contained in"),
		fn("jsonb_exists", ts(j, t), b, k2(jsonbExists), "has a key or an element of that text"),
		fn("jsonb_exists_any", ts(j, textArray), b, k2e(jsonbExistsAny), "has any of the keys"),
		fn("jsonb_exists_all", ts(j, textArray), b, k2e(jsonbExistsAll), "has all of the keys"),
		fn("jsonb_concat", ts(j, j), j, b2e(jsonbConcat), "concatenation"),
		fn("jsonb_delete_path", ts(j, textArray), j, b2e(jsonbDeletePath), "without the value at a path"),
		fn("jsonb_extract_path", ts(j, t), j, jsonbExtract(false), "value at a path").variadic(),
		fn("jsonb_extract_path_text", ts(j, t), t, jsonbExtract(true), "value at a path as text").variadic(),
		fn("jsonb_array_length", ts(j), i4, k1e(jsonbArrayLength), "number of elements"),
		fn("jsonb_typeof", ts(j), t, b1(jsonbTypeof), "type of a JSON value"),
		fn("jsonb_strip_nulls", ts(j), j, b1(func(dst, v []byte) []byte { return append(dst, jsonb.StripNulls(v)...) }), "without members that are null"),
		fn("jsonb_pretty", ts(j), t, b1(jsonb.AppendPretty), "text with line breaks and indentation"),
		fn("jsonb_set", ts(j, textArray, j, b), j, bytesOf(jsonbSet), "value at a path replaced or added").optional(1),
		fn("jsonb_set_lax", ts(j, textArray, j, b, t), j, bytesOf(jsonbSetLax), "value at a path replaced or added, NULL being treated as told").optional(2).onNulls(),
		fn("jsonb_insert", ts(j, textArray, j, b), j, bytesOf(jsonbInsert), "value inserted before or after a path").optional(1),
		fn("jsonb_build_object", nil, j, bytesOf(jsonbBuildObject), "object of alternating keys and values").onNulls(),
		fn("jsonb_build_object", ts(any), j, bytesOf(jsonbBuildObject), "object of alternating keys and values").variadic().onNulls().stable(),
		fn("jsonb_build_array", nil, j, bytesOf(jsonbBuildArray), "array of values").onNulls(),
		fn("jsonb_build_array", ts(any), j, bytesOf(jsonbBuildArray), "array of values").variadic().onNulls().stable(),
		fn("jsonb_object", ts(textArray), j, bytesOf(jsonbObject), "object of keys and values"),
		fn("jsonb_object", ts(textArray, textArray), j, bytesOf(jsonbObject), "object of keys and values"),
		fn("to_jsonb", ts(sqltypes.AnyElement), j, bytesOf(toJSONB), "any value as JSON").stable(),
	}
}
