package iceberg

import (
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	iceberg "github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// typeOf is the Iceberg type of a column that we make; ids are drawn for the elements of lists.
func typeOf(t sqltypes.Type, id func() int) iceberg.Type {
	switch t.Kind {
	case sqltypes.KBool:
		return iceberg.PrimitiveTypes.Bool
	case sqltypes.KInt2, sqltypes.KInt4:
		return iceberg.PrimitiveTypes.Int32
	case sqltypes.KInt8, sqltypes.KOid:
		return iceberg.PrimitiveTypes.Int64
	case sqltypes.KFloat4:
		return iceberg.PrimitiveTypes.Float32
	case sqltypes.KFloat8:
		return iceberg.PrimitiveTypes.Float64
	case sqltypes.KNumeric:
		if m := t.Typmod(); t.Mod != 0 {
			if p, s := (m-4)>>16, sqltypes.NumericScale(m); p <= 38 && s >= 0 && s <= p {
				return iceberg.DecimalTypeOf(int(p), int(s))
			}
		}
	case sqltypes.KBytea:
		return iceberg.PrimitiveTypes.Binary
	case sqltypes.KDate:
		return iceberg.PrimitiveTypes.Date
	case sqltypes.KTime:
		return iceberg.PrimitiveTypes.Time
	case sqltypes.KTimestamp:
		return iceberg.PrimitiveTypes.Timestamp
	case sqltypes.KTimestamptz:
		return iceberg.PrimitiveTypes.TimestampTz
	case sqltypes.KArray:
		if listable(t.ElemType().Kind) {
			n := id()
			return &iceberg.ListType{ElementID: n, Element: typeOf(t.ElemType(), id)}
		}
	}
	return iceberg.PrimitiveTypes.String
}

// listable are the kinds whose arrays are written as lists; others as texts.
func listable(k sqltypes.Kind) bool { return k != sqltypes.KInt2 && k != sqltypes.KOid }

// schema is that of a table that we make, with the key as identifier.
func (c *config) schema(spec *connector.SinkSpec) (*iceberg.Schema, *iceberg.PartitionSpec, error) {
	next := len(spec.Columns)
	id := func() int { next++; return next }
	var fields []iceberg.NestedField
	var key []int
	for i, col := range spec.Columns {
		isKey := c.upsert && slices.Contains(spec.Key, i)
		if isKey {
			key = append(key, i+1)
		}
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: col.Name, Type: typeOf(col.Type, id), Required: isKey || col.NotNull})
	}
	schema := iceberg.NewSchemaWithIdentifiers(0, key, fields...)
	var parts []iceberg.PartitionField
	for i, p := range c.partition {
		f, ok := schema.FindFieldByName(p.column)
		if !ok {
			return nil, nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q named in \"partition_by\" does not exist", p.column)
		}
		t, err := iceberg.ParseTransform(p.transform)
		if err != nil || !t.CanTransform(f.Type) {
			return nil, nil, sqlerr.New(sqlerr.InvalidParameterValue, "\"partition_by\" cannot apply %s to column %q of type %s", p.transform, p.column, f.Type).WithCause(err).
				WithHint("There are year, month, day, hour, bucket(n, column), truncate(n, column), and a column by itself.")
		}
		if c.upsert && !slices.Contains(schema.IdentifierFieldIDs, f.ID) {
			return nil, nil, sqlerr.New(sqlerr.InvalidParameterValue, "an upsert sink can be partitioned by columns of its key only, and %q is not one", p.column)
		}
		name := p.column
		if p.transform != "identity" {
			name += "_" + strings.NewReplacer("[", "_", "]", "").Replace(p.transform)
		}
		parts = append(parts, iceberg.PartitionField{SourceIDs: []int{f.ID}, FieldID: iceberg.PartitionDataIDStart + i, Name: name, Transform: t})
	}
	ps := iceberg.NewPartitionSpec(parts...)
	return schema, &ps, nil
}

// field is how a column of the table is filled.
type field struct {
	iceberg.NestedField
	col int           // ours; −1: NULL
	as  sqltypes.Type // our column as this type has the Arrow type of the field
}

// layout matches the sink's columns with the table's.
func (c *config) layout(spec *connector.SinkSpec, t *table.Table) ([]field, *arrow.Schema, error) {
	schema := t.Schema()
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
	}
	for _, col := range spec.Columns {
		if !slices.Contains(names, col.Name) {
			e := sqlerr.New(sqlerr.UndefinedColumn, "Iceberg table %q has no column %q for the sink's column of that name", c.where(), col.Name)
			if near, ok := option.Nearest(col.Name, names); ok {
				return nil, nil, e.WithHint("Perhaps you meant %q; name it so in the sink's query (SELECT … AS).", near)
			}
			return nil, nil, e.WithHint("Add it to the table, or leave it out of the sink's query.")
		}
	}
	var fields []field
	for _, f := range schema.Fields() {
		i := slices.IndexFunc(spec.Columns, func(col catalog.Column) bool { return col.Name == f.Name })
		if i < 0 && f.Required {
			return nil, nil, sqlerr.New(sqlerr.NotNullViolation, "column %q of Iceberg table %q is required, and the sink does not give it", f.Name, c.where()).
				WithHint("Add it to the sink's query, or make it optional.")
		}
		x := field{NestedField: f, col: i}
		if i >= 0 {
			var ok bool
			if x.as, ok = written(spec.Columns[i].Type, f.Type); !ok {
				return nil, nil, sqlerr.New(sqlerr.DatatypeMismatch, "column %q of the sink has type %s, which does not fit type %s of Iceberg table %q", f.Name, spec.Columns[i].Type, f.Type, c.where()).
					WithHint("Cast it in the sink's query.")
			}
		}
		fields = append(fields, x)
	}
	if c.upsert {
		if err := c.checkKey(spec, t); err != nil {
			return nil, nil, err
		}
	}
	a, err := table.SchemaToArrowSchema(schema, nil, true, false)
	return fields, a, err
}

// checkKey makes sure that deletes by key can be written and find their rows.
func (c *config) checkKey(spec *connector.SinkSpec, t *table.Table) error {
	if v := t.Metadata().Version(); v < 2 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "Iceberg table %q has format version %d, and type = 'upsert' needs 2", c.where(), v).
			WithHint("Set its property format-version to 2.")
	}
	keys := map[int]bool{}
	for _, k := range spec.Key {
		f, _ := t.Schema().FindFieldByName(spec.Columns[k].Name)
		keys[f.ID] = true
		switch f.Type.(type) {
		case iceberg.Float32Type, iceberg.Float64Type, *iceberg.ListType:
			return sqlerr.New(sqlerr.InvalidTableDefinition, "column %q of type %s cannot be part of the key of an Iceberg table", f.Name, f.Type)
		}
	}
	ps := t.Spec()
	for i := range ps.NumFields() {
		for _, id := range ps.Field(i).SourceIDs {
			if !keys[id] {
				return sqlerr.New(sqlerr.InvalidTableDefinition, "Iceberg table %q is partitioned by a column outside of the key: a deleted row's partition would not be known", c.where())
			}
		}
	}
	return nil
}

// written is our type t retyped so that its Arrow type is that of an Iceberg type, if every value can be written so.
func written(t sqltypes.Type, f iceberg.Type) (sqltypes.Type, bool) {
	numbers := func(as sqltypes.Type, kinds ...sqltypes.Kind) (sqltypes.Type, bool) {
		return as, slices.Contains(kinds, t.Kind)
	}
	switch x := f.(type) {
	case iceberg.BooleanType:
		return numbers(sqltypes.Bool, sqltypes.KBool)
	case iceberg.Int32Type:
		return numbers(sqltypes.Int4, sqltypes.KInt2, sqltypes.KInt4)
	case iceberg.Int64Type:
		return numbers(sqltypes.Int8, sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KOid)
	case iceberg.Float32Type:
		return numbers(sqltypes.Float4, sqltypes.KFloat4)
	case iceberg.Float64Type:
		return numbers(sqltypes.Float8, sqltypes.KFloat4, sqltypes.KFloat8)
	case iceberg.DecimalType:
		as := sqltypes.Type{Kind: sqltypes.KNumeric, Mod: sqltypes.NumericTypmod(int32(x.Precision()), int32(x.Scale())) + 1}
		return numbers(as, sqltypes.KNumeric)
	case iceberg.BinaryType:
		return numbers(sqltypes.Bytea, sqltypes.KBytea)
	case iceberg.DateType:
		return numbers(sqltypes.Date, sqltypes.KDate)
	case iceberg.TimeType:
		return numbers(sqltypes.Time, sqltypes.KTime)
	case iceberg.TimestampType:
		return numbers(sqltypes.Timestamp, sqltypes.KTimestamp)
	case iceberg.TimestampTzType:
		return numbers(sqltypes.Timestamptz, sqltypes.KTimestamptz)
	case *iceberg.ListType:
		if t.Kind != sqltypes.KArray || !listable(t.ElemType().Kind) {
			return t, false
		}
		_, ok := written(t.ElemType(), x.Element)
		return t, ok && typeOf(t.ElemType(), func() int { return 0 }).Equals(x.Element)
	case iceberg.StringType:
		switch t.Kind {
		case sqltypes.KBytea:
			return t, false
		case sqltypes.KBool, sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KOid, sqltypes.KFloat4, sqltypes.KFloat8,
			sqltypes.KDate, sqltypes.KTime, sqltypes.KTimestamp, sqltypes.KTimestamptz:
			return t, false // a table that wants texts of these wants a cast that says which
		case sqltypes.KNumeric:
			return sqltypes.Numeric, true
		case sqltypes.KArray:
			return t, !listable(t.ElemType().Kind)
		}
		return t, true
	}
	return t, false
}

// propertyOf is the table's property that holds the sink's epoch.
func propertyOf(instance string) string { return "millrace.sink." + instance + ".epoch" }

// writerOf is the table's property that tells writers of the sink apart.
func writerOf(instance string) string { return "millrace.sink." + instance + ".writer" }

func epochOf(t *table.Table, instance string) (epoch uint64, ok bool, err error) {
	text, ok := t.Properties()[propertyOf(instance)]
	if !ok {
		return 0, false, nil
	}
	if epoch, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, sqlerr.New(sqlerr.DataCorrupted, "property %q of the Iceberg table is %q, not an epoch", propertyOf(instance), text).WithCause(err)
	}
	return epoch, true, nil
}
