package catalog

import (
	"strconv"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// information_schema: schemas, relations and their columns.

func schemataRows(w *writer, f *facts) {
	for _, n := range []string{pgCatalog, infoSchema, millraceCatalog} {
		w.add(row{"catalog_name": f.snap.Database, "schema_name": n, "schema_owner": f.owner()})
	}
	for _, s := range f.schemas() {
		w.add(row{"catalog_name": f.snap.Database, "schema_name": s.Name, "schema_owner": s.Owner})
	}
}

// tableTypes is information_schema.tables.table_type; materialized views are listed, unlike in PostgreSQL, which
// leaves them out because the standard has none.
var tableTypes = map[catalog.Kind]string{catalog.Table: "BASE TABLE", catalog.View: "VIEW", catalog.MatView: "MATERIALIZED VIEW", catalog.Source: "FOREIGN"}

func infoTablesRows(w *writer, f *facts) {
	for _, r := range f.y.relations {
		kind := "BASE TABLE"
		if r.kind == 'v' {
			kind = "VIEW"
		}
		w.add(row{"table_catalog": f.snap.Database, "table_schema": r.schema, "table_name": r.name, "table_type": kind, "is_insertable_into": "NO", "is_typed": "NO"})
	}
	for _, r := range f.relations() {
		if kind, ok := tableTypes[r.Kind]; ok {
			w.add(row{"table_catalog": f.snap.Database, "table_schema": r.Schema, "table_name": r.Name, "table_type": kind,
				"is_insertable_into": yesNo(r.Kind == catalog.Table), "is_typed": "NO"})
		}
	}
}

func infoViewsRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind == catalog.View {
			w.add(row{"table_catalog": f.snap.Database, "table_schema": r.Schema, "table_name": r.Name, "view_definition": viewText(r),
				"check_option": "NONE", "is_updatable": "NO", "is_insertable_into": "NO", "is_trigger_updatable": "NO",
				"is_trigger_deletable": "NO", "is_trigger_insertable_into": "NO"})
		}
	}
}

func infoColumnsRows(w *writer, f *facts) {
	for _, r := range f.y.relations {
		for i, c := range r.cols {
			w.add(infoColumn(f, r.schema, r.name, i+1, c.name, c.ty, c.notNull, false))
		}
	}
	for _, r := range f.relations() {
		if r.Kind == catalog.Index {
			continue
		}
		for i := range r.Columns {
			c := &r.Columns[i]
			v := infoColumn(f, r.Schema, r.Name, int(attnum(r, i)), c.Name, c.Type, c.NotNull, r.Kind == catalog.Table && c.Generated == "")
			if c.Generated != "" {
				v["is_generated"], v["generation_expression"] = "ALWAYS", c.Generated
			} else {
				v["column_default"] = orNil(f.shown(defaultText(c.Default, c.Type)))
			}
			if c.Identity != "" {
				v["column_default"] = nil
				infoIdentity(f, v, r, c)
			}
			w.add(v)
		}
	}
}

// infoIdentity fills the columns about an identity column.
func infoIdentity(f *facts, v row, r *catalog.Relation, c *catalog.Column) {
	v["is_identity"], v["identity_generation"] = "YES", map[string]string{"a": "ALWAYS", "d": "BY DEFAULT"}[c.Identity]
	for _, q := range f.snap.Owned(r.ID, c.ID) {
		d := q.Sequence
		v["identity_start"], v["identity_increment"] = strconv.FormatInt(d.Start, 10), strconv.FormatInt(d.Increment, 10)
		v["identity_maximum"], v["identity_minimum"], v["identity_cycle"] = strconv.FormatInt(d.Max, 10), strconv.FormatInt(d.Min, 10), yesNo(d.Cycle)
	}
}

func infoColumn(f *facts, schema, table string, num int, name string, t sqltypes.Type, notNull, updatable bool) row {
	r := infoType(f, t)
	if t.IsDomain() {
		d := t.Ext.Def()
		r = infoType(f, t.Restricts())
		if own := f.domainOf(t); own != nil {
			notNull = notNull || own.NotNull
		}
		r["domain_catalog"], r["domain_schema"], r["domain_name"] = f.snap.Database, d.Schema, d.Name
	}
	r["table_catalog"], r["table_schema"], r["table_name"], r["column_name"] = f.snap.Database, schema, table, name
	r["ordinal_position"], r["is_nullable"], r["dtd_identifier"] = num, yesNo(!notNull), joinInts([]int64{int64(num)}, "")
	r["is_self_referencing"], r["is_identity"], r["is_generated"], r["is_updatable"] = "NO", "NO", "NEVER", yesNo(updatable)
	r["identity_cycle"] = "NO"
	return r
}

// infoType fills the columns that describe a type, the same in columns, parameters and routines.
func infoType(f *facts, t sqltypes.Type) row {
	r := row{"data_type": dataType(t), "udt_catalog": f.snap.Database, "udt_schema": udtSchema(t), "udt_name": udtName(t)}
	if t.IsDomain() {
		return r
	}
	switch t.Kind {
	case sqltypes.KVarchar, sqltypes.KBpchar:
		if t.Mod > 0 {
			n := t.Typmod() - 4
			r["character_maximum_length"], r["character_octet_length"] = n, 4*n
		} else {
			r["character_octet_length"] = 1 << 30
		}
	case sqltypes.KBit, sqltypes.KVarbit:
		if t.Mod > 0 {
			r["character_maximum_length"] = t.Typmod()
		}
	case sqltypes.KText:
		r["character_octet_length"] = 1 << 30
	case sqltypes.KInt2:
		r["numeric_precision"], r["numeric_precision_radix"], r["numeric_scale"] = 16, 2, 0
	case sqltypes.KInt4:
		r["numeric_precision"], r["numeric_precision_radix"], r["numeric_scale"] = 32, 2, 0
	case sqltypes.KInt8:
		r["numeric_precision"], r["numeric_precision_radix"], r["numeric_scale"] = 64, 2, 0
	case sqltypes.KFloat4:
		r["numeric_precision"], r["numeric_precision_radix"] = 24, 2
	case sqltypes.KFloat8:
		r["numeric_precision"], r["numeric_precision_radix"] = 53, 2
	case sqltypes.KNumeric:
		r["numeric_precision_radix"] = 10
		if t.Mod > 0 {
			m := t.Typmod()
			r["numeric_precision"], r["numeric_scale"] = (m-4)>>16, sqltypes.NumericScale(m)
		}
	case sqltypes.KDate:
		r["datetime_precision"] = 0
	case sqltypes.KTime, sqltypes.KTimetz, sqltypes.KTimestamp, sqltypes.KTimestamptz, sqltypes.KInterval:
		r["datetime_precision"] = 6
		if t.Mod > 0 && t.Kind != sqltypes.KInterval {
			r["datetime_precision"] = t.Typmod()
		}
	}
	return r
}

func dataType(t sqltypes.Type) string {
	if t.Kind == sqltypes.KArray && !t.IsDomain() {
		return "ARRAY"
	}
	if t.IsNamed() {
		return "USER-DEFINED"
	}
	return t.Base().String()
}

func udtSchema(t sqltypes.Type) string {
	if t.IsNamed() {
		return t.Ext.Def().Schema
	}
	return pgCatalog
}

func udtName(t sqltypes.Type) string {
	if t.Kind == sqltypes.KArray && !t.IsDomain() {
		return "_" + udtName(t.ElemType())
	}
	if t.IsNamed() {
		return t.Ext.Def().Name
	}
	return t.Kind.Info().PgName
}

func infoCatalogRows(w *writer, f *facts) {
	w.add(row{"catalog_name": f.snap.Database})
}

func characterSetsRows(w *writer, f *facts) {
	w.add(row{"character_set_name": "UTF8", "character_repertoire": "UCS", "form_of_use": "UTF8", "default_collate_catalog": f.snap.Database,
		"default_collate_schema": pgCatalog, "default_collate_name": "C"})
}

func infoCollationsRows(w *writer, f *facts) {
	for _, n := range []string{"default", "C", "POSIX", "ucs_basic"} {
		w.add(row{"collation_catalog": f.snap.Database, "collation_schema": pgCatalog, "collation_name": n, "pad_attribute": "NO PAD"})
	}
}

// viewTableRows tells what a view reads.
func viewTableRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind != catalog.View {
			continue
		}
		for _, d := range r.DependsOn {
			if on := f.relation(int64(d)); on != nil {
				w.add(row{"view_catalog": f.snap.Database, "view_schema": r.Schema, "view_name": r.Name, "table_catalog": f.snap.Database,
					"table_schema": on.Schema, "table_name": on.Name})
			}
		}
	}
}
