package catalog

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Types made by CREATE TYPE: their rows in pg_type, pg_enum and, for composite types, pg_class and pg_attribute.

// compositeOID is the OID of a composite type in pg_class.
func compositeOID(t *catalog.Type) int64 { return compositeOf | int64(t.ID) }

func typeRows(w *writer, f *facts) {
	for _, t := range f.snap.SortedTypes() {
		ty := t.SQL()
		r := typeRow(ty, t.Name, detailOf(ty))
		a := typeRow(sqltypes.ArrayOf(ty), "_"+t.Name, detailOf(sqltypes.ArrayOf(ty)))
		for _, x := range []row{r, a} {
			x["typnamespace"], x["typowner"] = f.schemaOID(t.Schema), f.roleOID(t.Owner)
		}
		r["typacl"] = aclItems(t.Protected())
		r["typarray"], a["typelem"] = t.ArrayID, t.ID
		a["typtype"], a["typcategory"], a["typsubscript"] = "b", "A", 6179
		switch {
		case t.Domain != nil:
			domainType(r, a, f, t)
		case t.Kind == sqltypes.KEnum:
			r["typtype"], r["typcategory"] = "e", "E"
		default:
			r["typtype"], r["typcategory"], r["typrelid"] = "c", "C", compositeOID(t)
			a["typalign"] = "d"
		}
		w.add(r)
		w.add(a)
	}
}

func enumRows(w *writer, f *facts) {
	for _, t := range f.snap.SortedTypes() {
		for i, l := range t.Labels {
			w.add(row{"oid": l.OID, "enumtypid": t.ID, "enumsortorder": i + 1, "enumlabel": l.Name})
		}
	}
}

func (f *facts) composites() []*catalog.Type {
	var out []*catalog.Type
	for _, t := range f.snap.SortedTypes() {
		if t.Kind == sqltypes.KRecord && t.Domain == nil {
			out = append(out, t)
		}
	}
	return out
}

func compositeClassRows(w *writer, f *facts) {
	for _, t := range f.composites() {
		w.add(row{"oid": compositeOID(t), "relname": t.Name, "relnamespace": f.schemaOID(t.Schema), "reltype": t.ID, "relowner": f.roleOID(t.Owner),
			"relpersistence": "p", "relkind": "c", "relnatts": len(t.Fields), "relispopulated": true, "relreplident": "n", "reltuples": -1})
	}
}

func compositeAttributeRows(w *writer, f *facts) {
	for _, t := range f.composites() {
		for i, a := range t.Fields {
			w.add(attribute(compositeOID(t), i+1, a.Name, a.Type, false))
		}
	}
}

// typeName is format_type without a modifier.
func (f *facts) typeName(oid int64) string {
	if name := typeName(oid); name != "???" {
		return name
	}
	t, array, ok := f.snap.TypeByOID(uint32(oid))
	if !ok {
		return "???"
	}
	name := parser.QuoteIdent(t.Name)
	if !f.typeVisible(t) {
		name = qualified(t.Schema, t.Name)
	}
	if array {
		name += "[]"
	}
	return name
}

// typeVisible reports whether a type is found without its schema.
func (f *facts) typeVisible(t *catalog.Type) bool {
	found, ok := f.snap.ResolveType(f.path(), t.Name)
	return ok && found == t
}

// userTypeByText reads the name of a type made by CREATE TYPE; with _ before it, that of its arrays.
func (f *facts) userTypeByText(text string) (sqltypes.Type, bool) {
	parts, ok := splitName(text)
	if !ok {
		return sqltypes.Type{}, false
	}
	schema, name, err := f.schemaAndName(parts)
	if err != nil {
		return sqltypes.Type{}, false
	}
	path := f.path()
	if schema != "" {
		path = []string{schema}
	}
	if t, ok := f.snap.ResolveType(path, name); ok {
		return t.SQL(), true
	}
	if elem, cut := strings.CutPrefix(name, "_"); cut {
		if t, ok := f.snap.ResolveType(path, elem); ok {
			return sqltypes.ArrayOf(t.SQL()), true
		}
	}
	return sqltypes.Type{}, false
}
