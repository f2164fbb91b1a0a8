package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions on type json, which is text that keeps its spelling, and the functions that build json.

// jsonChild finds one step of a path in JSON text: a key of an object, or an index of an array.
func jsonChild(s []byte, key []byte, index int64, byIndex bool) (val []byte, ok bool) {
	r := rawJSON{s: s}
	switch b := r.peek(); {
	case b == '{' && !byIndex:
		r.members(func(k, v []byte) bool {
			if string(k) == string(key) {
				val, ok = v, true // the last of equal keys counts
			}
			return true
		})
	case b == '[' && byIndex:
		if index < 0 {
			n := int64(0)
			(&rawJSON{s: s}).members(func(_, _ []byte) bool { n++; return true })
			index += n
		}
		if index < 0 {
			return nil, false
		}
		r.members(func(_, v []byte) bool {
			if index == 0 {
				val, ok = v, true
			}
			index--
			return !ok
		})
	}
	return val, ok
}

// jsonPath follows a path of texts, of which those under an array must be integers.
func jsonPath(s []byte, path []string) ([]byte, bool) {
	for _, step := range path {
		r := rawJSON{s: s}
		var ok bool
		switch r.peek() {
		case '{':
			s, ok = jsonChild(s, []byte(step), 0, false)
		case '[':
			n, err := sqlio.ParseText(sqltypes.Int4, step, defaultSettings)
			if err != nil {
				return nil, false
			}
			s, ok = jsonChild(s, nil, n.(int64), true)
		}
		if !ok {
			return nil, false
		}
	}
	return trimJSON(s), true
}

// appendJSONText appends what ->> shows: strings decoded, null as NULL.
func appendJSONText(dst, v []byte) ([]byte, error) {
	switch {
	case len(v) > 0 && v[0] == '"':
		return append(dst, unquoteJSON(v)...), nil
	case string(v) == "null":
		return dst, errNull
	}
	return append(dst, v...), nil
}

func jsonResult(dst, v []byte, ok, text bool) ([]byte, error) {
	switch {
	case !ok:
		return dst, errNull
	case text:
		return appendJSONText(dst, v)
	}
	return append(dst, v...), nil
}

func jsonField(text bool) Kernel {
	return b2e(func(dst, s, key []byte) ([]byte, error) {
		v, ok := jsonChild(s, key, 0, false)
		return jsonResult(dst, v, ok, text)
	})
}

func jsonIndex(text bool) Kernel {
	return b2e(func(dst, s []byte, i int64) ([]byte, error) {
		v, ok := jsonChild(s, nil, i, true)
		return jsonResult(dst, v, ok, text)
	})
}

// pathOf reads a text[] path; ok is false when a step is NULL.
func pathOf(b []byte) (path []string, ok bool, err error) {
	arr, err := sqlio.ReadArray(textArray, b)
	if err != nil {
		return nil, false, err
	}
	path = make([]string, arr.Len())
	for i := range path {
		d := arr.At(i)
		if d == nil {
			return nil, false, nil
		}
		path[i] = string(bytesOfDatum(d))
	}
	return path, true, nil
}

func jsonAtPath(text bool) Kernel {
	return b2e(func(dst, s, p []byte) ([]byte, error) {
		path, ok, err := pathOf(p)
		if err != nil || !ok {
			return dst, orElse(err, errNull)
		}
		v, ok := jsonPath(s, path)
		return jsonResult(dst, v, ok, text)
	})
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// pathArgs collects the variadic text arguments of json_extract_path.
func pathArgs(vecs []*delta.Vec, i int) []string {
	path := make([]string, len(vecs))
	for k, v := range vecs {
		path[k] = string(v.Bytes(i))
	}
	return path
}

func jsonExtract(text bool) Kernel {
	return bytesOf(func(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		v, ok := jsonPath(vecs[0].Bytes(i), pathArgs(vecs[1:], i))
		return jsonResult(dst, v, ok, text)
	})
}

var errNotArray = sqlerr.New(sqlerr.InvalidParameterValue, "cannot get array length of a non-array")

func jsonArrayLength(s []byte) (int64, error) {
	r := rawJSON{s: s}
	switch r.peek() {
	case '[':
		n := int64(0)
		r.members(func(_, _ []byte) bool { n++; return true })
		return n, nil
	case '{':
		return 0, errNotArray
	}
	return 0, sqlerr.New(sqlerr.InvalidParameterValue, "cannot get array length of a scalar")
}

func jsonTypeof(dst, s []byte) []byte {
	r := rawJSON{s: s}
	name := "number"
	switch r.peek() {
	case '{':
		name = "object"
	case '[':
		name = "array"
	case '"':
		name = "string"
	case 't', 'f':
		name = "boolean"
	case 'n':
		name = "null"
	}
	return append(dst, name...)
}

// jsonStripNulls drops object members that are null, and white space.
func jsonStripNulls(dst, s []byte) []byte {
	r := rawJSON{s: s}
	switch r.peek() {
	case '{', '[':
	case '"':
		return appendJSONString(dst, unquoteJSON(r.skip()))
	default:
		return append(dst, r.skip()...)
	}
	object := r.peek() == '{'
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	first := true
	r.members(func(k, v []byte) bool {
		if object && string(v) == "null" {
			return true
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if object {
			dst = append(appendJSONString(dst, k), ':')
		}
		dst = jsonStripNulls(dst, v)
		return true
	})
	return append(dst, end)
}

var errOddArguments = sqlerr.New(sqlerr.InvalidParameterValue, "argument list must have even number of elements")

func jsonBuildObject(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	d, t := jsonArgs(vecs, i)
	if len(d)%2 != 0 {
		return dst, errOddArguments.WithHint("The arguments of json_build_object() must consist of alternating keys and values.")
	}
	dst = append(dst, '{')
	for k := 0; k < len(d); k += 2 {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		if d[k] == nil {
			return dst, sqlerr.New(sqlerr.InvalidParameterValue, "argument %d cannot be null", k+1).WithHint("Object keys should be text.")
		}
		key, err := keyText(c, t[k], d[k])
		if err != nil {
			return dst, err
		}
		dst = append(appendJSONString(dst, []byte(key)), " : "...)
		if dst, err = appendJSON(c, dst, t[k+1], d[k+1]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func jsonBuildArray(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	d, t := jsonArgs(vecs, i)
	dst = append(dst, '[')
	for k := range d {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		var err error
		if dst, err = appendJSON(c, dst, t[k], d[k]); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func toJSON(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	return appendJSON(c, dst, vecs[0].Type, vecs[0].Datum(i))
}

// prettySep parts lines when the second argument of array_to_json or row_to_json is true.
func prettySep(vecs []*delta.Vec, i int) string {
	if len(vecs) > 1 && vecs[1].Bools[i] {
		return ",\n "
	}
	return ","
}

func arrayToJSON(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	return appendJSONArray(c, dst, vecs[0].Type, vecs[0].Bytes(i), prettySep(vecs, i))
}

func rowToJSON(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	return appendJSONRow(c, dst, vecs[0].Type, vecs[0].Bytes(i), prettySep(vecs, i))
}

// textPairs reads the arguments of json_object: one array of alternating keys and values, one of pairs, or two.
func textPairs(vecs []*delta.Vec, i int) (keys, vals []sqltypes.Datum, err error) {
	a, err := sqlio.ReadArray(textArray, vecs[0].Bytes(i))
	if err != nil {
		return nil, nil, err
	}
	if len(vecs) == 2 {
		b, err := sqlio.ReadArray(textArray, vecs[1].Bytes(i))
		if err != nil {
			return nil, nil, err
		}
		if a.NDim() > 1 || b.NDim() > 1 {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts")
		}
		if a.NDim() != b.NDim() {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts")
		}
		if a.Len() != b.Len() {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "mismatched array dimensions")
		}
		return a.Elems(), b.Elems(), checkKeys(a.Elems())
	}
	switch a.NDim() {
	case 0:
	case 1:
		if a.Len()%2 != 0 {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "array must have even number of elements")
		}
	case 2:
		if n, _ := a.Dim(1); n != 2 {
			return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "array must have two columns")
		}
	default:
		return nil, nil, sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts")
	}
	for k := 0; k < a.Len(); k += 2 {
		keys, vals = append(keys, a.At(k)), append(vals, a.At(k+1))
	}
	return keys, vals, checkKeys(keys)
}

func checkKeys(keys []sqltypes.Datum) error {
	for _, k := range keys {
		if k == nil {
			return sqlerr.New(sqlerr.NullValueNotAllowed, "null value not allowed for object key")
		}
	}
	return nil
}

func jsonObject(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	keys, vals, err := textPairs(vecs, i)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	for k := range keys {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(appendJSONString(dst, bytesOfDatum(keys[k])), " : "...)
		if vals[k] == nil {
			dst = append(dst, "null"...)
		} else {
			dst = appendJSONString(dst, bytesOfDatum(vals[k]))
		}
	}
	return append(dst, '}'), nil
}

// isJSON says whether a text is JSON, of a given kind when there is a second argument.
func isJSON(_ *Ctx, vecs []*delta.Vec, i int) (bool, error) {
	s := vecs[0].Bytes(i)
	if jsonb.Validate(s) != nil {
		return false, nil
	}
	if len(vecs) == 1 {
		return true, nil
	}
	first := (&rawJSON{s: s}).peek()
	switch kind := string(vecs[1].Bytes(i)); kind {
	case "VALUE":
		return true, nil
	case "ARRAY":
		return first == '[', nil
	case "OBJECT":
		return first == '{', nil
	case "SCALAR":
		return first != '[' && first != '{', nil
	default:
		return false, sqlerr.New(sqlerr.InvalidParameterValue, "unrecognized JSON kind \"%s\"", kind)
	}
}

func boolRows(f func(c *Ctx, vecs []*delta.Vec, i int) (bool, error)) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		a.each(out, func(i int) {
			b, err := f(c, a.Vecs, i)
			out.Bools[i] = b
			if err != nil {
				fail(c, out, i, err)
			}
		})
	}
}

// jsonFuncs lists the functions on and of type json.
func jsonFuncs() []Func {
	j, t, i4, any := sqltypes.JSON, sqltypes.Text, sqltypes.Int4, sqltypes.Any
	return []Func{
		fn("->", ts(j, t), j, jsonField(false), "member of an object"),
		fn("->", ts(j, i4), j, jsonIndex(false), "element of an array, from 0, from the end when negative"),
		fn("->>", ts(j, t), t, jsonField(true), "member of an object as text"),
		fn("->>", ts(j, i4), t, jsonIndex(true), "element of an array as text"),
		fn("#>", ts(j, textArray), j, jsonAtPath(false), "value at a path"),
		fn("#>>", ts(j, textArray), t, jsonAtPath(true), "value at a path as text"),
		fn("json_extract_path", ts(j, t), j, jsonExtract(false), "value at a path").variadic(),
		fn("json_extract_path_text", ts(j, t), t, jsonExtract(true), "value at a path as text").variadic(),
		fn("json_array_length", ts(j), i4, k1e(jsonArrayLength), "number of elements"),
		fn("json_typeof", ts(j), t, b1(jsonTypeof), "type of a JSON value"),
		fn("json_strip_nulls", ts(j), j, b1(jsonStripNulls), "without members that are null"),
		fn("json_build_object", nil, j, bytesOf(jsonBuildObject), "object of alternating keys and values").onNulls(),
		fn("json_build_object", ts(any), j, bytesOf(jsonBuildObject), "object of alternating keys and values").variadic().onNulls().stable(),
		fn("json_build_array", nil, j, bytesOf(jsonBuildArray), "array of values").onNulls(),
		fn("json_build_array", ts(any), j, bytesOf(jsonBuildArray), "array of values").variadic().onNulls().stable(),
		fn("json_object", ts(textArray), j, bytesOf(jsonObject), "object of keys and values"),
		fn("json_object", ts(textArray, textArray), j, bytesOf(jsonObject), "object of keys and values"),
		fn("to_json", ts(sqltypes.AnyElement), j, bytesOf(toJSON), "any value as JSON").stable(),
		fn("array_to_json", ts(sqltypes.AnyArray, sqltypes.Bool), j, bytesOf(arrayToJSON), "array as JSON").optional(1).stable(),
		fn("row_to_json", ts(sqltypes.Record, sqltypes.Bool), j, bytesOf(rowToJSON), "row as JSON").optional(1).stable(),
		fn("is_json", ts(t, t), sqltypes.Bool, boolRows(isJSON), "whether a text is JSON").optional(1),
	}
}
