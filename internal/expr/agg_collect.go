package expr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Aggregates that keep values: min, max, first, last, and everything that collects. Under retraction a stream
// keeps the group's live rows in order and runs a fresh object over them.

// errRetract says that an object was asked to take back what it cannot.
var errRetract = errors.New("aggregate takes no negative weights")

// own returns d in memory of its own.
func own(d sqltypes.Datum) sqltypes.Datum {
	if b, ok := d.([]byte); ok {
		return bytes.Clone(b)
	}
	return d
}

func appendImages(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	if d == nil {
		return append(dst, 0)
	}
	return sqlio.AppendImage(append(dst, 1), t, d)
}

func takeImage(t sqltypes.Type, src []byte) (sqltypes.Datum, []byte, error) {
	if len(src) == 0 {
		return nil, nil, errImage
	}
	if src[0] == 0 {
		return nil, src[1:], nil
	}
	d, rest, err := sqlio.DecodeImage(t, src[1:])
	return own(d), rest, err
}

func datumSize(d sqltypes.Datum) int {
	if b, ok := d.([]byte); ok {
		return 40 + len(b)
	}
	return 48
}

// pick keeps one value: the first, the last, the least or the greatest, or the companion of the least or greatest.
type pick struct {
	types []sqltypes.Type // of the value and, if there is one, of the key
	some  bool
	val   sqltypes.Datum
	key   sqltypes.Datum
	mode  pickMode
}

type pickMode int8

const (
	pickFirst pickMode = iota
	pickLast
	pickLeast    // by the value itself
	pickGreatest // by the value itself
	pickArgLeast // by the second argument
	pickArgGreatest
)

func (a *pick) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if weight < 0 {
		return errRetract
	}
	switch a.mode {
	case pickFirst:
		if !a.some {
			a.val = own(args[0].Datum(row))
		}
	case pickLast:
		a.val = own(args[0].Datum(row))
	default:
		key := args[len(args)-1]
		if key.IsNull(row) {
			return nil
		}
		k := key.Datum(row)
		if a.some && !a.better(key.Type, k, args[0].Type, args[0].Datum(row)) {
			return nil
		}
		a.key, a.val = own(k), own(args[0].Datum(row))
	}
	a.some = true
	return nil
}

// Merge implements AggMerger.
func (a *pick) Merge(src AggObject) {
	o := src.(*pick)
	if !o.some {
		return
	}
	switch a.mode {
	case pickFirst:
		if a.some {
			return
		}
	case pickLast:
	default:
		if a.some && !a.better(a.types[len(a.types)-1], o.key, a.types[0], o.val) {
			return
		}
	}
	a.some, a.val, a.key = true, o.val, o.key
}

// better compares a row with the one kept. Of the values beside equal keys the smallest counts, so that the order of rows
// says nothing.
func (a *pick) better(t sqltypes.Type, k sqltypes.Datum, vt sqltypes.Type, v sqltypes.Datum) bool {
	cmp := sqlio.Compare(t, k, a.key)
	if cmp == 0 && (a.mode == pickArgLeast || a.mode == pickArgGreatest) {
		return v != nil && (a.val == nil || sqlio.Compare(vt, v, a.val) < 0)
	}
	if a.mode == pickLeast || a.mode == pickArgLeast {
		return cmp < 0
	}
	return cmp > 0
}

func (a *pick) Result(_ *Ctx, out *delta.Vec) error { out.AppendDatum(a.val); return nil }

func (a *pick) AppendImage(dst []byte) []byte {
	if !a.some {
		return append(dst, 0)
	}
	dst = appendImages(append(dst, 1), a.types[0], a.val)
	return appendImages(dst, a.types[len(a.types)-1], a.key)
}

func (a *pick) DecodeImage(src []byte) (err error) {
	if len(src) == 0 {
		return errImage
	}
	if a.some = src[0] == 1; !a.some {
		return nil
	}
	if a.val, src, err = takeImage(a.types[0], src[1:]); err == nil {
		a.key, _, err = takeImage(a.types[len(a.types)-1], src)
	}
	return err
}

func (a *pick) SizeBytes() int { return 64 + datumSize(a.val) + datumSize(a.key) }

func newPick(mode pickMode) func([]sqltypes.Type) AggObject {
	return func(types []sqltypes.Type) AggObject { return &pick{types: types, mode: mode} }
}

// collect keeps rows of values in order and turns them into one value at the end.
type collect struct {
	types  []sqltypes.Type
	rows   [][]sqltypes.Datum
	bytes  int
	skip   bool // rows with a NULL first argument
	finish finishFunc
}

// finishFunc makes the aggregate's value of the collected rows, of which there is at least one.
type finishFunc func(c *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error)

func (a *collect) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if weight < 0 {
		return errRetract
	}
	if a.skip && args[0].IsNull(row) {
		return nil
	}
	vals := make([]sqltypes.Datum, len(args))
	for k, v := range args {
		vals[k] = own(v.Datum(row))
		a.bytes += datumSize(vals[k])
	}
	for range weight {
		a.rows = append(a.rows, vals)
	}
	return nil
}

func (a *collect) Result(c *Ctx, out *delta.Vec) error {
	if len(a.rows) == 0 {
		out.AppendNull()
		return nil
	}
	d, err := a.finish(c, a.types, a.rows)
	if err == nil {
		out.AppendDatum(d)
	}
	return err
}

func (a *collect) AppendImage(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(a.rows)))
	for _, r := range a.rows {
		for k, d := range r {
			dst = appendImages(dst, a.types[k], d)
		}
	}
	return dst
}

func (a *collect) DecodeImage(src []byte) error {
	n, src, err := takeUvarint(src)
	if err != nil || n > uint64(len(src)) {
		return errImage
	}
	a.rows, a.bytes = nil, 0
	for range n {
		vals := make([]sqltypes.Datum, len(a.types))
		for k := range vals {
			if vals[k], src, err = takeImage(a.types[k], src); err != nil {
				return err
			}
			a.bytes += datumSize(vals[k])
		}
		a.rows = append(a.rows, vals)
	}
	return nil
}

func (a *collect) SizeBytes() int { return 96 + a.bytes + 24*len(a.rows) }

// stringAgg joins values by the delimiters that stand beside them, the first one's aside.
func stringAgg(_ *Ctx, _ []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	var out []byte
	for i, r := range rows {
		if i > 0 && r[1] != nil {
			out = append(out, bytesOfDatum(r[1])...)
		}
		out = append(out, bytesOfDatum(r[0])...)
		if len(out) > maxAlloc {
			return nil, errTooLarge
		}
	}
	return out, nil
}

func firstOf(rows [][]sqltypes.Datum) []sqltypes.Datum {
	out := make([]sqltypes.Datum, len(rows))
	for i, r := range rows {
		out[i] = r[0]
	}
	return out
}

// arrayAgg makes an array, or out of arrays one with a dimension more.
func arrayAgg(_ *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	vals := firstOf(rows)
	if types[0].Kind != sqltypes.KArray {
		return sqlio.MakeArray(sqltypes.ArrayOf(types[0]), vals), nil
	}
	var first []int
	for i, v := range vals {
		if v == nil {
			return nil, sqlerr.New(sqlerr.NullValueNotAllowed, "cannot accumulate null arrays")
		}
		arr, err := sqlio.ReadArray(types[0], bytesOfDatum(v))
		if err != nil {
			return nil, err
		}
		switch dims, _ := arr.Dims(); {
		case i == 0 && arr.NDim() == 0:
			return nil, sqlerr.New(sqlerr.ArraySubscriptError, "cannot accumulate empty arrays")
		case i == 0:
			first = dims
		case !slices.Equal(dims, first):
			return nil, sqlerr.New(sqlerr.ArraySubscriptError, "cannot accumulate arrays of different dimensionality")
		}
	}
	return sqlio.StackArrays(types[0], vals)
}

func jsonbAgg(c *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	var b jsonb.Builder
	b.BeginArray()
	for _, r := range rows {
		if err := addJSONB(c, &b, types[0], r[0]); err != nil {
			return nil, err
		}
	}
	b.EndArray()
	return b.Bytes(), nil
}

var errNullField = sqlerr.New(sqlerr.InvalidParameterValue, "field name must not be null")

func jsonbObjectAgg(c *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	var b jsonb.Builder
	b.BeginObject()
	for _, r := range rows {
		if r[0] == nil {
			return nil, errNullField
		}
		key, err := keyText(c, types[0], r[0])
		if err != nil {
			return nil, err
		}
		b.Key(key)
		if err := addJSONB(c, &b, types[1], r[1]); err != nil {
			return nil, err
		}
	}
	b.EndObject()
	return b.Bytes(), nil
}

func jsonAgg(c *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	out := []byte{'['}
	for i, r := range rows {
		if i > 0 {
			out = append(out, ", "...)
			if k := types[0].Kind; (k == sqltypes.KRecord || k == sqltypes.KArray) && r[0] != nil {
				out = append(out, "\n "...)
			}
		}
		var err error
		if out, err = appendJSON(c, out, types[0], r[0]); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func jsonObjectAgg(c *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	out := []byte("{ ")
	for i, r := range rows {
		if r[0] == nil {
			return nil, errNullField
		}
		if i > 0 {
			out = append(out, ", "...)
		}
		key, err := keyText(c, types[0], r[0])
		if err != nil {
			return nil, err
		}
		out = append(appendJSONString(out, []byte(key)), " : "...)
		if out, err = appendJSON(c, out, types[1], r[1]); err != nil {
			return nil, err
		}
	}
	return append(out, " }"...), nil
}

// collectAggs lists the aggregates that collect values.
func collectAggs() []AggFunc {
	t, any := sqltypes.Text, sqltypes.Any
	make := func(name string, args []sqltypes.Type, result sqltypes.Type, skip bool,
		finish finishFunc, doc string) AggFunc {
		return AggFunc{Name: name, Args: args, Result: result, IgnoresNulls: skip, Ordered: true, Multiset: true, Doc: doc,
			New: func(types []sqltypes.Type) AggObject { return &collect{types: types, skip: skip, finish: finish} }}
	}
	array := make("array_agg", ts(sqltypes.Type{Kind: sqltypes.KAnyNonArray}), sqltypes.AnyArray, false, arrayAgg, "array of the values")
	array.ResultOf = func(args []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(args[0]) }
	nested := make("array_agg", ts(sqltypes.AnyArray), sqltypes.AnyArray, false, arrayAgg, "array of the arrays")
	nested.ResultOf = func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	return []AggFunc{
		make("string_agg", ts(t, t), t, true, stringAgg, "values joined by a delimiter"),
		make("string_agg", ts(sqltypes.Bytea, sqltypes.Bytea), sqltypes.Bytea, true, stringAgg, "values joined by a delimiter"),
		array,
		nested,
		make("jsonb_agg", ts(any), sqltypes.JSONB, false, jsonbAgg, "JSON array of the values"),
		make("json_agg", ts(any), sqltypes.JSON, false, jsonAgg, "JSON array of the values"),
		make("jsonb_object_agg", ts(any, any), sqltypes.JSONB, false, jsonbObjectAgg, "JSON object of keys and values"),
		make("json_object_agg", ts(any, any), sqltypes.JSON, false, jsonObjectAgg, "JSON object of keys and values"),
	}
}

// modeOf is the most frequent value, of several the first; rows are sorted.
func modeOf(_ *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
	best, most, begin := 0, 0, 0
	for i := range rows {
		if i > begin && sqlio.Compare(types[0], rows[begin][0], rows[i][0]) != 0 {
			begin = i
		}
		if n := i - begin + 1; n > most {
			best, most = begin, n
		}
	}
	return rows[best][0], nil
}

// orderedSetAggs lists the aggregates called with WITHIN GROUP. The hypothetical-set ones are made of counts by the binder.
func orderedSetAggs() []AggFunc {
	mode := AggFunc{
		Name: "mode", Args: ts(sqltypes.AnyElement), Result: sqltypes.AnyElement, IgnoresNulls: true, Ordered: true, Multiset: true,
		OrderedSet: true, Doc: "most frequent value, the first of several",
		ResultOf: func(args []sqltypes.Type) sqltypes.Type { return args[0] },
		New:      func(types []sqltypes.Type) AggObject { return &collect{types: types, skip: true, finish: modeOf} },
	}
	return []AggFunc{mode}
}

// pickAggs lists the aggregates that pick one value.
func pickAggs() []AggFunc {
	var out []AggFunc
	base := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	for _, m := range []struct {
		name string
		sign int
		mode pickMode
		doc  string
	}{{"min", -1, pickLeast, "smallest value"}, {"max", 1, pickGreatest, "largest value"}} {
		for _, t := range extremeTypes {
			f := AggFunc{Name: m.name, Args: ts(t), Result: t, IgnoresNulls: true, Multiset: true, Doc: m.doc, New: newPick(m.mode)}
			switch {
			case t.Phys() == sqltypes.PhysInt64 && t.Kind != sqltypes.KTimetz:
				f.Fixed = extremeInts(m.sign)
			case t.Phys() == sqltypes.PhysFloat64:
				f.Fixed = extremeFloats(m.sign)
			}
			if t.IsPseudo() {
				f.ResultOf = base
			}
			out = append(out, f)
		}
	}
	any, el := sqltypes.Any, sqltypes.AnyElement
	two := func(name string, args []sqltypes.Type, mode pickMode, ordered bool, doc string) AggFunc {
		return AggFunc{Name: name, Args: args, Result: el, ResultOf: base, Ordered: ordered, Multiset: true, Doc: doc, New: newPick(mode)}
	}
	return append(out,
		two("first_value", ts(el), pickFirst, true, "first value in the order given"),
		two("last_value", ts(el), pickLast, true, "last value in the order given"),
		two("arg_min", ts(el, any), pickArgLeast, false, "value of the row where the second argument is smallest"),
		two("arg_max", ts(el, any), pickArgGreatest, false, "value of the row where the second argument is largest"))
}

// extremeTypes are the types that min and max are defined for.
var extremeTypes = ts(sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, sqltypes.Float4, sqltypes.Float8, sqltypes.Numeric,
	sqltypes.Text, sqltypes.Bpchar, sqltypes.Bytea, sqltypes.Date, sqltypes.Time, sqltypes.Timetz, sqltypes.Timestamp,
	sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.Oid, sqltypes.AnyArray, sqltypes.AnyEnum)
