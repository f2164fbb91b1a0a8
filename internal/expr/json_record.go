package expr

import (
	"bytes"

	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions that make rows of JSON documents. The type of the rows is that of an argument (json_populate_record), or of the column
// definition list after the call (json_to_record), which the binder passes as a NULL of that type behind the arguments.

// jsonDoc is a JSON value: jsonb, or the text of a json, whose parts keep their spelling.
type jsonDoc struct {
	v    []byte
	text bool
}

func (d jsonDoc) kind() jsonb.Kind {
	if !d.text {
		return jsonb.KindOf(d.v)
	}
	r := rawJSON{s: d.v}
	switch r.peek() {
	case '{':
		return jsonb.Object
	case '[':
		return jsonb.Array
	case '"':
		return jsonb.String
	case 'n':
		return jsonb.Null
	case 't', 'f':
		return jsonb.Bool
	}
	return jsonb.Number
}

// field returns a member of an object; of equal keys the last one counts.
func (d jsonDoc) field(key string) (out jsonDoc, ok bool) {
	if !d.text {
		v, ok := jsonb.Field(d.v, key)
		return jsonDoc{v: v}, ok
	}
	r := rawJSON{s: d.v}
	r.members(func(k, v []byte) bool {
		if string(k) == key {
			out, ok = jsonDoc{v, true}, true
		}
		return true
	})
	return out, ok
}

func (d jsonDoc) elements() []jsonDoc {
	var out []jsonDoc
	if !d.text {
		for _, e := range jsonb.Elements(d.v) {
			out = append(out, jsonDoc{v: e})
		}
		return out
	}
	r := rawJSON{s: d.v}
	r.members(func(_, v []byte) bool {
		out = append(out, jsonDoc{v, true})
		return true
	})
	return out
}

// contents is the text that a type's input reads: of a string what stands between its quotes.
func (d jsonDoc) contents() []byte {
	switch {
	case d.kind() == jsonb.String && d.text:
		return unquoteJSON(bytes.TrimSpace(d.v))
	case d.kind() == jsonb.String:
		s, _ := jsonb.StringValue(d.v)
		return s
	case d.text:
		return bytes.TrimSpace(d.v)
	}
	return jsonb.AppendText(nil, d.v)
}

// recordMaker fills rows of one type.
type recordMaker struct{ c *Ctx }

// value converts one member to a column's type; path names it in hints.
func (m recordMaker) value(t sqltypes.Type, d jsonDoc, path string) (sqltypes.Datum, error) {
	k := d.kind()
	switch {
	case k == jsonb.Null:
		return nil, nil
	case t.Kind == sqltypes.KJSONB && !d.text:
		return bytes.Clone(d.v), nil
	case t.Kind == sqltypes.KJSONB:
		return jsonb.Parse(d.v)
	case t.Kind == sqltypes.KJSON && d.text:
		return bytes.Clone(bytes.TrimSpace(d.v)), nil
	case t.Kind == sqltypes.KJSON:
		return jsonb.AppendText(nil, d.v), nil
	case t.Kind == sqltypes.KArray && k != jsonb.String:
		return m.array(t, d, path)
	case t.Kind == sqltypes.KRecord && k != jsonb.String && t.HasFields():
		return m.record(t, nil, d)
	}
	v, err := sqlio.ParseText(t, string(d.contents()), m.c.settings())
	if err == nil && t.Mod != 0 {
		v, err = sqlio.ApplyTypmod(t, v, false)
	}
	return v, err
}

func hintValue(e *sqlerr.Error, path string) error {
	if path != "" {
		e = e.WithHint("See the value of key \"%s\".", path)
	}
	return e
}

// array converts a JSON array, arrays in it being further dimensions.
func (m recordMaker) array(t sqltypes.Type, d jsonDoc, path string) (sqltypes.Datum, error) {
	if d.kind() != jsonb.Array {
		return nil, hintValue(sqlerr.New(sqlerr.InvalidTextRepresentation, "expected JSON array"), path)
	}
	var dims []int
	for at := d; at.kind() == jsonb.Array; {
		list := at.elements()
		if len(list) == 0 && len(dims) > 0 {
			break
		}
		dims = append(dims, len(list))
		if len(list) == 0 {
			break
		}
		at = list[0]
	}
	if dims[0] == 0 {
		return sqlio.MakeArray(t, nil), nil
	}
	var out []sqltypes.Datum
	var fill func(d jsonDoc, level int) error
	fill = func(d jsonDoc, level int) error {
		if level == len(dims) {
			if d.kind() == jsonb.Array {
				return errRaggedJSON()
			}
			v, err := m.value(t.ElemType(), d, path)
			out = append(out, v)
			return err
		}
		if d.kind() != jsonb.Array {
			return hintValue(sqlerr.New(sqlerr.InvalidTextRepresentation, "expected JSON array"), path)
		}
		list := d.elements()
		if len(list) != dims[level] {
			return errRaggedJSON()
		}
		for _, e := range list {
			if err := fill(e, level+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(d, 0); err != nil {
		return nil, err
	}
	lower := make([]int, len(dims))
	for i := range lower {
		lower[i] = 1
	}
	return sqlio.MakeArrayDims(t, dims, lower, out)
}

func errRaggedJSON() error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "malformed JSON array").
		WithDetail("Multidimensional arrays must have sub-arrays with matching dimensions.")
}

// fields converts the members of an object to the columns of t; columns without a member keep their value in base.
func (m recordMaker) fields(t sqltypes.Type, base []sqltypes.Datum, d jsonDoc) ([]sqltypes.Datum, error) {
	switch d.kind() {
	case jsonb.Object:
	case jsonb.Array:
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "cannot call populate_composite on an array")
	default:
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "cannot call populate_composite on a scalar")
	}
	out := make([]sqltypes.Datum, len(t.Fields()))
	copy(out, base)
	for i, f := range t.Fields() {
		v, ok := d.field(f.Name)
		if !ok {
			continue
		}
		var err error
		if out[i], err = m.value(f.Type, v, f.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m recordMaker) record(t sqltypes.Type, base []sqltypes.Datum, d jsonDoc) (sqltypes.Datum, error) {
	vals, err := m.fields(t, base, d)
	if err != nil {
		return nil, err
	}
	return sqlio.EncodeRecord(t, vals), nil
}

// rowTypeOf finds the shape of the rows that a call of a polymorphic function makes.
func rowTypeOf(t sqltypes.Type, name string) error {
	if t.Kind != sqltypes.KRecord || !t.HasFields() {
		return sqlerr.New(sqlerr.DatatypeMismatch, "first argument of %s must be a row type", name)
	}
	return nil
}

// populateRecord is json[b]_populate_record(base, document).
func populateRecord(name string) Kernel {
	return boxed(func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
		if err := rowTypeOf(types[0], name); err != nil {
			return nil, err
		}
		if args[1] == nil {
			return args[0], nil
		}
		var base []sqltypes.Datum
		if args[0] != nil {
			var err error
			if base, err = sqlio.DecodeRecord(types[0], bytesOfDatum(args[0])); err != nil {
				return nil, err
			}
		}
		d := jsonDoc{bytesOfDatum(args[1]), types[1].Kind == sqltypes.KJSON}
		return recordMaker{c}.record(types[0], base, d)
	})
}

// recordSet makes one row of an object, or one of each object in an array; doc and row are positions of arguments.
func recordSet(name string, set bool, doc, row int) evalFunc {
	return func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		if err := rowTypeOf(types[row], name); err != nil {
			return err
		}
		var base []sqltypes.Datum
		if args[row] != nil {
			var err error
			if base, err = sqlio.DecodeRecord(types[row], bytesOfDatum(args[row])); err != nil {
				return err
			}
		}
		if args[doc] == nil {
			if set {
				return nil
			}
			return emit(append(base, make([]sqltypes.Datum, len(types[row].Fields())-len(base))...))
		}
		d := jsonDoc{bytesOfDatum(args[doc]), types[doc].Kind == sqltypes.KJSON}
		list := []jsonDoc{d}
		if set {
			switch k := d.kind(); {
			case k == jsonb.Array:
			case !d.text:
				return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a non-array", name)
			case k == jsonb.Object:
				return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on an object", name)
			default:
				return sqlerr.New(sqlerr.InvalidParameterValue, "cannot call %s on a scalar", name)
			}
			list = d.elements()
		}
		for _, e := range list {
			if set && e.kind() != jsonb.Object {
				return sqlerr.New(sqlerr.InvalidParameterValue, "argument of %s must be an array of objects", name)
			}
			vals, err := recordMaker{c}.fields(types[row], base, e)
			if err != nil {
				return err
			}
			if err := emit(vals); err != nil {
				return err
			}
		}
		return nil
	}
}

// columnsOf are the columns of rows of a composite type.
func columnsOf(t sqltypes.Type) []RowCol {
	if !t.HasFields() {
		return nil
	}
	var out []RowCol
	for _, f := range t.Fields() {
		out = append(out, RowCol{f.Name, f.Type})
	}
	return out
}

// recordFuncs lists the functions that fill one row.
func recordFuncs() []Func {
	first := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	el, b := sqltypes.AnyElement, sqltypes.Bool
	const doc = "row of a composite type with the members of an object; the others are those of the first argument"
	return []Func{
		fn("json_populate_record", ts(el, sqltypes.JSON, b), el, populateRecord("json_populate_record"), doc).resultOf(first).onNulls().optional(1).stable(),
		fn("jsonb_populate_record", ts(el, sqltypes.JSONB), el, populateRecord("jsonb_populate_record"), doc).resultOf(first).onNulls().stable(),
	}
}

// recordTableFuncs lists the functions that make rows of documents.
func recordTableFuncs() []TableFunc {
	var out []TableFunc
	el := sqltypes.AnyElement
	for _, v := range []struct {
		name string
		doc  sqltypes.Type
	}{{"json", sqltypes.JSON}, {"jsonb", sqltypes.JSONB}} {
		populate := v.name + "_populate_recordset"
		args := ts(el, v.doc)
		if v.name == "json" {
			args = append(args, sqltypes.Bool)
		}
		out = append(out,
			TableFunc{Name: populate, Args: args, Optional: len(args) - 2, CalledOnNull: true, Volatility: Stable, Rows: true, Eval: recordSet(populate, true, 1, 0),
				Doc:    "rows of a composite type, one for each object of an array",
				ColsOf: func(args []sqltypes.Type) []RowCol { return columnsOf(args[0]) }})
		for _, set := range []bool{false, true} {
			name, doc := v.name+"_to_record", "row of the members of an object, by a column definition list"
			if set {
				name, doc = name+"set", "rows of an array of objects, by a column definition list"
			}
			out = append(out, TableFunc{Name: name, Args: ts(v.doc), CalledOnNull: true, Volatility: Stable, ColumnDefs: true, Rows: true, Doc: doc,
				Eval: recordSet(name, set, 0, 1), ColsOf: func(args []sqltypes.Type) []RowCol { return columnsOf(args[len(args)-1]) }})
		}
	}
	return out
}
