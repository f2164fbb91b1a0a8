package catalog

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
)

// pg_index, pg_constraint, pg_indexes, and the text of their definitions. A primary key is stored in its table;
// to clients it is an index and a constraint, as they expect.

// keyColumn is one column of an index.
type keyColumn struct {
	column           *catalog.Column
	num              int32 // attribute number in the table
	desc, nullsFirst bool
}

// indexKeys lists the key columns of an index relation.
func indexKeys(f *facts, r *catalog.Relation) []keyColumn {
	base := f.snap.Relations[r.IndexOn]
	if base == nil {
		return nil
	}
	var out []keyColumn
	for _, k := range r.IndexCols {
		if k.Col < len(base.Columns) {
			out = append(out, keyColumn{&base.Columns[k.Col], attnum(base, k.Col), k.Desc, k.NullsFirst})
		}
	}
	return out
}

// pkeyKeys lists the key columns of a primary key.
func pkeyKeys(r *catalog.Relation) []keyColumn {
	var out []keyColumn
	for _, k := range r.PrimaryKey {
		out = append(out, keyColumn{column: &r.Columns[k], num: attnum(r, k)})
	}
	return out
}

// anIndex is an index as clients see it: of CREATE INDEX, or of a primary key.
type anIndex struct {
	oid     int64
	name    string
	table   *catalog.Relation
	keys    []keyColumn
	unique  bool
	primary bool
	ready   bool
	owner   string
	// nullsEqual is NULLS NOT DISTINCT.
	nullsEqual bool
}

// indexes lists all indexes, table by table.
func (f *facts) indexes() []anIndex {
	var out []anIndex
	for _, r := range f.relations() {
		if hasPkey(r) {
			out = append(out, f.pkeyIndexOf(r))
		}
		if r.Kind == catalog.Index && f.snap.Relations[r.IndexOn] != nil {
			out = append(out, f.indexOf(r))
		}
	}
	return out
}

func (f *facts) pkeyIndexOf(r *catalog.Relation) anIndex {
	return anIndex{pkeyOID(r), f.pkeyName(r), r, pkeyKeys(r), true, true, true, r.Owner, false}
}

func (f *facts) indexOf(r *catalog.Relation) anIndex {
	return anIndex{int64(r.ID), r.Name, f.snap.Relations[r.IndexOn], indexKeys(f, r), r.Unique, false, !r.Creating, r.Owner, r.NullsNotDistinct}
}

// index finds an index by OID.
func (f *facts) index(oid int64) (anIndex, bool) {
	o := f.object(oid)
	switch {
	case o == nil || o.user == nil:
	case o.pkey:
		return f.pkeyIndexOf(o.user), true
	case o.user.Kind == catalog.Index && f.snap.Relations[o.user.IndexOn] != nil:
		return f.indexOf(o.user), true
	}
	return anIndex{}, false
}

func indexRows(w *writer, f *facts) {
	for _, x := range f.indexes() {
		var nums, colls, classes, options []int64
		for _, k := range x.keys {
			nums = append(nums, int64(k.num))
			colls = append(colls, detailOf(k.column.Type).collation)
			classes = append(classes, opclassOf(k.column.Type))
			options = append(options, k.option())
		}
		w.add(row{"indexrelid": x.oid, "indrelid": x.table.ID, "indnatts": len(x.keys), "indnkeyatts": len(x.keys), "indisunique": x.unique, "indnullsnotdistinct": x.nullsEqual,
			"indisprimary": x.primary, "indimmediate": true, "indisvalid": x.ready, "indisready": true, "indislive": true,
			"indkey": nums, "indcollation": colls, "indclass": classes, "indoption": options})
	}
}

// option is the bits of pg_index.indoption.
func (k keyColumn) option() int64 {
	n := int64(0)
	if k.desc {
		n |= 1
	}
	if k.nullsFirst {
		n |= 2
	}
	return n
}

// text is the column in a definition.
func (k keyColumn) text() string {
	s := parser.QuoteIdent(k.column.Name)
	if k.desc {
		s += " DESC"
	}
	switch {
	case k.nullsFirst && !k.desc:
		s += " NULLS FIRST"
	case !k.nullsFirst && k.desc:
		s += " NULLS LAST"
	}
	return s
}

// def is CREATE INDEX as pg_get_indexdef prints it.
func (x anIndex) def() string {
	var b strings.Builder
	b.WriteString("CREATE ")
	if x.unique {
		b.WriteString("UNIQUE ")
	}
	b.WriteString("INDEX " + parser.QuoteIdent(x.name) + " ON " + qualified(x.table.Schema, x.table.Name) + " USING btree (")
	for i, k := range x.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k.text())
	}
	b.WriteByte(')')
	if x.nullsEqual {
		b.WriteString(" NULLS NOT DISTINCT")
	}
	return b.String()
}

// pkeyDef is a primary key as pg_get_constraintdef prints it.
func pkeyDef(r *catalog.Relation) string {
	var names []string
	for _, c := range pkeyColumns(r) {
		names = append(names, parser.QuoteIdent(c.Name))
	}
	return "PRIMARY KEY (" + strings.Join(names, ", ") + ")"
}

func qualified(schema, name string) string {
	return parser.QuoteIdent(schema) + "." + parser.QuoteIdent(name)
}

func constraintRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if !hasPkey(r) {
			continue
		}
		var nums []int64
		for _, k := range r.PrimaryKey {
			nums = append(nums, int64(attnum(r, k)))
		}
		w.add(row{"oid": pkeyConstraintOID(r), "conname": f.pkeyName(r), "connamespace": f.schemaOID(r.Schema), "contype": "p",
			"convalidated": true, "conrelid": r.ID, "conindid": pkeyOID(r), "confupdtype": " ", "confdeltype": " ", "confmatchtype": " ",
			"conislocal": true, "connoinherit": true, "conkey": nums})
	}
	for _, r := range f.relations() {
		for i := range r.Constraints {
			c := &r.Constraints[i]
			if c.Bare {
				continue
			}
			nums := make([]int64, len(c.Columns))
			for k, n := range c.Columns {
				nums[k] = int64(n)
			}
			v := row{"oid": c.ID, "conname": c.Name, "connamespace": f.schemaOID(r.Schema), "contype": c.Kind, "convalidated": c.Kind != catalog.ForeignKey,
				"conrelid": r.ID, "conindid": c.Index, "confupdtype": " ", "confdeltype": " ", "confmatchtype": " ",
				"conislocal": true, "connoinherit": c.Kind != catalog.Check, "conkey": nums}
			if c.Kind == catalog.ForeignKey {
				v["confupdtype"], v["confdeltype"], v["confmatchtype"] = "a", "a", "s"
				if o := f.resolveText(c.RefTable); o != nil {
					v["confrelid"] = o.oid
				}
			}
			if c.Kind == catalog.Check {
				v["conbin"] = c.Expr
			}
			w.add(v)
		}
	}
	domainConstraintRows(w, f)
}

// resolveText finds a relation by its name as it was written.
func (f *facts) resolveText(name string) *object {
	parts, ok := splitName(name)
	if !ok {
		return nil
	}
	schema, rel, err := f.schemaAndName(parts)
	switch {
	case err != nil:
		return nil
	case schema == "":
		return f.resolve(rel)
	}
	return f.named(schema, rel)
}

// constraint finds a constraint by OID.
func (f *facts) constraint(oid int64) (*catalog.Relation, *catalog.Constraint) {
	for _, r := range f.relations() {
		for i := range r.Constraints {
			if c := &r.Constraints[i]; int64(c.ID) == oid && !c.Bare {
				return r, c
			}
		}
	}
	return nil, nil
}

// constraintText is a constraint as pg_get_constraintdef prints it.
func constraintText(r *catalog.Relation, c *catalog.Constraint) string {
	var names []string
	for _, id := range c.Columns {
		if k, ok := r.ColumnAt(id); ok {
			names = append(names, parser.QuoteIdent(r.Columns[k].Name))
		}
	}
	list := "(" + strings.Join(names, ", ") + ")"
	switch c.Kind {
	case catalog.Check:
		return "CHECK ((" + c.Expr + "))"
	case catalog.ForeignKey:
		s := "FOREIGN KEY " + list + " REFERENCES " + c.RefTable
		if len(c.RefColumns) > 0 {
			s += "(" + strings.Join(c.RefColumns, ", ") + ")"
		}
		return s + " NOT VALID"
	}
	if c.NullsNotDistinct {
		return "UNIQUE NULLS NOT DISTINCT " + list
	}
	return "UNIQUE " + list
}

func indexesRows(w *writer, f *facts) {
	for _, x := range f.indexes() {
		w.add(row{"schemaname": x.table.Schema, "tablename": x.table.Name, "indexname": x.name, "indexdef": x.def()})
	}
}
