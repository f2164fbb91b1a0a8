package expr

import (
	"bytes"
	"math"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Set-returning functions.

type emitFunc = func(row []sqltypes.Datum) error

// evalFunc is the type of TableFunc.Eval.
type evalFunc = func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error

// scalarSet is a set of values of one type, in a column named like the function.
func scalarSet(name string, args []sqltypes.Type, result sqltypes.Type, optional int, eval evalFunc, doc string) TableFunc {
	return TableFunc{Name: name, Args: args, Optional: optional, Cols: []RowCol{{name, result}}, Eval: eval, Doc: doc}
}

var errStepZero = sqlerr.New(sqlerr.InvalidParameterValue, "step size cannot equal zero")

func intSeries(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	v, stop, step := args[0].(int64), args[1].(int64), int64(1)
	if len(args) > 2 {
		step = args[2].(int64)
	}
	if step == 0 {
		return errStepZero
	}
	row := make([]sqltypes.Datum, 1)
	for step > 0 && v <= stop || step < 0 && v >= stop {
		row[0] = v
		if err := emit(row); err != nil {
			return err
		}
		next, ok := addInt(v, step)
		if !ok {
			return nil
		}
		v = next
	}
	return nil
}

func decSeries(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	v, stop, step := args[0].(numeric.Dec), args[1].(numeric.Dec), numeric.FromInt64(1)
	if len(args) > 2 {
		step = args[2].(numeric.Dec)
	}
	for k, what := range []string{"start value", "stop value", "step size"} {
		d := []numeric.Dec{v, stop, step}[k]
		switch {
		case d.IsNaN():
			return sqlerr.New(sqlerr.InvalidParameterValue, "%s cannot be NaN", what)
		case d.IsInf():
			return sqlerr.New(sqlerr.InvalidParameterValue, "%s cannot be infinity", what)
		}
	}
	if step.Sign() == 0 {
		return errStepZero
	}
	row := make([]sqltypes.Datum, 1)
	for v.Cmp(stop)*step.Sign() <= 0 {
		row[0] = v
		if err := emit(row); err != nil {
			return err
		}
		next, err := v.Add(step)
		if err != nil {
			return err
		}
		v = next
	}
	return nil
}

// timeSeries steps by intervals; add is that of the type.
func timeSeries(add func(c *Ctx, t int64, iv datetime.Interval, zone string) (int64, error)) evalFunc {
	return func(c *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		v, stop, step := args[0].(int64), args[1].(int64), args[2].(datetime.Interval)
		zone := ""
		if len(args) > 3 {
			zone = string(bytesOfDatum(args[3]))
		}
		sign := step.Cmp(datetime.Interval{})
		if sign == 0 {
			return errStepZero
		}
		row := make([]sqltypes.Datum, 1)
		for compareInt(v, stop)*sign <= 0 {
			row[0] = v
			if err := emit(row); err != nil {
				return err
			}
			next, err := add(c, v, step, zone)
			if err != nil || next == v { // infinity stands still
				return err
			}
			v = next
		}
		return nil
	}
}

func stepTimestamp(_ *Ctx, t int64, iv datetime.Interval, _ string) (int64, error) {
	return datetime.AddInterval(t, iv)
}

func stepTimestamptz(c *Ctx, t int64, iv datetime.Interval, zone string) (int64, error) {
	loc := c.location()
	if zone != "" {
		var err error
		if loc, err = datetime.ZoneOf(zone); err != nil {
			return 0, err
		}
	}
	return datetime.AddIntervalTz(t, iv, loc)
}

// seriesFuncs lists generate_series.
func seriesFuncs() []TableFunc {
	i4, i8, n, x, tz, iv, t := sqltypes.Int4, sqltypes.Int8, sqltypes.Numeric, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.Text
	const doc = "values from a start to a stop, by a step"
	zoned := scalarSet("generate_series", ts(tz, tz, iv, t), tz, 1, timeSeries(stepTimestamptz), doc)
	zoned.Volatility = Stable
	return []TableFunc{
		scalarSet("generate_series", ts(i4, i4, i4), i4, 1, clipSeries(math.MinInt32, math.MaxInt32), doc),
		scalarSet("generate_series", ts(i8, i8, i8), i8, 1, intSeries, doc),
		scalarSet("generate_series", ts(n, n, n), n, 1, decSeries, doc),
		scalarSet("generate_series", ts(x, x, iv), x, 0, timeSeries(stepTimestamp), doc),
		zoned,
	}
}

// clipSeries ends the series where the type's range ends.
func clipSeries(lo, hi int64) evalFunc {
	return func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		clipped := append([]sqltypes.Datum(nil), args...)
		clipped[1] = min(max(args[1].(int64), lo), hi)
		return intSeries(c, clipped, types, emit)
	}
}

func unnest(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return err
	}
	row := make([]sqltypes.Datum, 1)
	for i := range arr.Len() {
		row[0] = arr.At(i)
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func generateSubscripts(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return err
	}
	d := args[1].(int64)
	if d < 1 || d > int64(arr.NDim()) {
		return nil
	}
	n, lower := arr.Dim(int(d) - 1)
	down := len(args) > 2 && args[2].(bool)
	row := make([]sqltypes.Datum, 1)
	for i := range n {
		row[0] = int64(lower + i)
		if down {
			row[0] = int64(lower + n - 1 - i)
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// expandArray is what information_schema uses to number the elements of an array.
func expandArray(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return err
	}
	row := make([]sqltypes.Datum, 2)
	for i := range arr.Len() {
		row[0], row[1] = arr.At(i), int64(i+1)
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// arrayTableFuncs lists the functions that spread arrays out.
func arrayTableFuncs() []TableFunc {
	elem := func(name string) func([]sqltypes.Type) []RowCol {
		return func(args []sqltypes.Type) []RowCol { return []RowCol{{name, elemOf(args[0])}} }
	}
	un := scalarSet("unnest", ts(sqltypes.AnyArray), sqltypes.AnyElement, 0, unnest, "elements of an array")
	un.ColsOf = elem("unnest")
	pg := TableFunc{Name: "_pg_expandarray", Args: ts(sqltypes.AnyArray), Eval: expandArray, Doc: "elements of an array with their numbers",
		ColsOf: func(args []sqltypes.Type) []RowCol { return []RowCol{{"x", elemOf(args[0])}, {"n", sqltypes.Int4}} }}
	return []TableFunc{
		un,
		pg,
		scalarSet("generate_subscripts", ts(sqltypes.AnyArray, sqltypes.Int4, sqltypes.Bool), sqltypes.Int4, 1, generateSubscripts, "subscripts of a dimension"),
	}
}

func emitAll(vals []sqltypes.Datum, emit emitFunc) error {
	row := make([]sqltypes.Datum, 1)
	for _, v := range vals {
		row[0] = v
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func optionalBytes(args []sqltypes.Datum, k int) []byte {
	if k >= len(args) {
		return nil
	}
	return bytesOfDatum(args[k])
}

func regexpMatches(c *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	s := bytesOfDatum(args[0])
	r, f, err := c.regexOf(bytesOfDatum(args[1]), optionalBytes(args, 2), "")
	if err != nil {
		return err
	}
	row := make([]sqltypes.Datum, 1)
	var emitErr error
	err = r.All(s, 0, func(loc []int) bool {
		row[0] = appendGroups(nil, s, loc)
		emitErr = emit(row)
		return emitErr == nil && f.Global
	})
	return orElse(emitErr, err)
}

func regexpSplitToTable(c *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	parts, err := regexSplit(c, bytesOfDatum(args[0]), bytesOfDatum(args[1]), optionalBytes(args, 2), "regexp_split_to_table")
	if err != nil {
		return err
	}
	return emitAll(parts, emit)
}

func stringToTable(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	if args[0] == nil {
		return nil
	}
	hasNull := len(args) > 2 && args[2] != nil
	return emitAll(splitText(bytesOfDatum(args[0]), bytesOfDatum(args[1]), args[1] == nil, optionalBytes(args, 2), hasNull), emit)
}

func listKeywords(_ *Ctx, _ []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	for _, k := range keywords() {
		baredesc := "requires AS"
		if k.bare {
			baredesc = "can be bare label"
		}
		if err := emit([]sqltypes.Datum{k.word, k.code, k.bare, k.desc, baredesc}); err != nil {
			return err
		}
	}
	return nil
}

// optionsToTable spreads out the options of a foreign server or table: name=value, or a name alone.
func optionsToTable(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	arr, err := sqlio.ReadArray(textArray, bytesOfDatum(args[0]))
	if err != nil {
		return err
	}
	for _, d := range arr.Elems() {
		name, value, ok := bytes.Cut(bytesOfDatum(d), []byte("="))
		row := []sqltypes.Datum{name, nil}
		if ok {
			row[1] = value
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// textTableFuncs lists the functions that cut texts into rows, and the key words.
func textTableFuncs() []TableFunc {
	t := sqltypes.Text
	split := scalarSet("string_to_table", ts(t, t, t), t, 1, stringToTable, "text cut at a separator")
	split.CalledOnNull = true
	return []TableFunc{
		scalarSet("regexp_matches", ts(t, t, t), textArray, 1, regexpMatches, "groups of the first match, of all with flag g"),
		scalarSet("regexp_split_to_table", ts(t, t, t), t, 1, regexpSplitToTable, "text cut at the matches"),
		split,
		{Name: "pg_options_to_table", Args: ts(textArray), Eval: optionsToTable, Doc: "options as names and values", Volatility: Stable,
			Cols: []RowCol{{"option_name", t}, {"option_value", t}}},
		{Name: "pg_get_keywords", Eval: listKeywords, Doc: "key words", Volatility: Stable,
			Cols: []RowCol{{"word", t}, {"catcode", sqltypes.Char}, {"barelabel", sqltypes.Bool}, {"catdesc", t}, {"baredesc", t}}},
	}
}

func errNotA(fn, want string, got jsonb.Kind) error {
	switch {
	case want == "array" && got == jsonb.Object:
		return sqlerr.New(sqlerr.InvalidParameterValue, "cannot extract elements from an object")
	case want == "array":
		return sqlerr.New(sqlerr.InvalidParameterValue, "cannot extract elements from a scalar")
	case got == jsonb.Array && fn == "object_keys":
		return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call jsonb_object_keys on an array")
	case fn == "object_keys":
		return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call jsonb_object_keys on a scalar")
	}
	return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a non-object", fn)
}

// document reads the argument of a JSON table function, which may be of type json.
func document(args []sqltypes.Datum, types []sqltypes.Type) ([]byte, error) {
	if types[0].Kind == sqltypes.KJSON {
		return jsonb.Parse(bytesOfDatum(args[0]))
	}
	return bytesOfDatum(args[0]), nil
}

func asText(v []byte) sqltypes.Datum {
	if b, ok := jsonb.AppendAsText(nil, v); ok {
		return b
	}
	return nil
}

func jsonbElements(text bool) evalFunc {
	return func(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		v := bytesOfDatum(args[0])
		if k := jsonb.KindOf(v); k != jsonb.Array {
			return errNotA("", "array", k)
		}
		row := make([]sqltypes.Datum, 1)
		for _, e := range jsonb.Elements(v) {
			row[0] = e
			if text {
				row[0] = asText(e)
			}
			if err := emit(row); err != nil {
				return err
			}
		}
		return nil
	}
}

func jsonbEach(name string, text bool) evalFunc {
	return func(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		v := bytesOfDatum(args[0])
		if k := jsonb.KindOf(v); k != jsonb.Object {
			return errNotA(name, "object", k)
		}
		row := make([]sqltypes.Datum, 2)
		for key, val := range jsonb.Each(v) {
			row[0], row[1] = key, val
			if text {
				row[1] = asText(val)
			}
			if err := emit(row); err != nil {
				return err
			}
		}
		return nil
	}
}

func jsonbKeys(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
	v, err := document(args, types)
	if err != nil {
		return err
	}
	if k := jsonb.KindOf(v); k != jsonb.Object {
		return errNotA("object_keys", "object", k)
	}
	row := make([]sqltypes.Datum, 1)
	for key := range jsonb.Each(v) {
		row[0] = key
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// rawMembers spreads out a document of type json, whose parts keep their spelling and order.
func rawMembers(name string, object, keysOnly, text bool) evalFunc {
	return func(_ *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		r := rawJSON{s: bytesOfDatum(args[0])}
		first := r.peek()
		switch {
		case object && first != '{' && keysOnly && first == '[':
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on an array", name)
		case object && first != '{' && keysOnly:
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a scalar", name)
		case object && first == '[':
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot deconstruct an array as an object")
		case object && first != '{':
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot deconstruct a scalar")
		case !object && first == '{':
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a non-array", name)
		case !object && first != '[':
			return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a scalar", name)
		}
		var err error
		r.members(func(key, val []byte) bool {
			var v sqltypes.Datum = val
			if text {
				b, e := appendJSONText(nil, val)
				if v = b; e != nil {
					v = nil
				}
			}
			switch {
			case keysOnly:
				err = emit([]sqltypes.Datum{key})
			case object:
				err = emit([]sqltypes.Datum{key, v})
			default:
				err = emit([]sqltypes.Datum{v})
			}
			return err == nil
		})
		return err
	}
}

// jsonTableFuncs lists the functions that spread JSON documents out.
func jsonTableFuncs() []TableFunc {
	jb, j, t := sqltypes.JSONB, sqltypes.JSON, sqltypes.Text
	value := func(name string, arg, result sqltypes.Type, eval evalFunc, doc string) TableFunc {
		f := scalarSet(name, ts(arg), result, 0, eval, doc)
		f.Cols[0].Name = "value"
		return f
	}
	pairs := func(name string, arg, result sqltypes.Type, eval evalFunc, doc string) TableFunc {
		return TableFunc{Name: name, Args: ts(arg), Cols: []RowCol{{"key", t}, {"value", result}}, Eval: eval, Doc: doc}
	}
	return []TableFunc{
		value("jsonb_array_elements", jb, jb, jsonbElements(false), "elements of an array"),
		value("jsonb_array_elements_text", jb, t, jsonbElements(true), "elements of an array as text"),
		pairs("jsonb_each", jb, jb, jsonbEach("jsonb_each", false), "members of an object"),
		pairs("jsonb_each_text", jb, t, jsonbEach("jsonb_each_text", true), "members of an object as text"),
		scalarSet("jsonb_object_keys", ts(jb), t, 0, jsonbKeys, "keys of an object"),
		value("json_array_elements", j, j, rawMembers("json_array_elements", false, false, false), "elements of an array"),
		value("json_array_elements_text", j, t, rawMembers("json_array_elements_text", false, false, true), "elements of an array as text"),
		pairs("json_each", j, j, rawMembers("json_each", true, false, false), "members of an object"),
		pairs("json_each_text", j, t, rawMembers("json_each_text", true, false, true), "members of an object as text"),
		scalarSet("json_object_keys", ts(j), t, 0, rawMembers("json_object_keys", true, true, false), "keys of an object"),
	}
}
