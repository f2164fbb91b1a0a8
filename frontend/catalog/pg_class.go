package catalog

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// pg_class, pg_attribute and what hangs on them.

func fixedClass(w *writer, y *System) {
	for _, r := range y.relations {
		w.add(row{"oid": r.oid, "relname": r.name, "relnamespace": systemSchemas[r.schema], "relowner": oidOwner,
			"relam": amOf(string(r.kind)), "relfilenode": fileOf(string(r.kind), r.oid), "reltuples": -1, "relpersistence": "p",
			"relkind": string(r.kind), "relnatts": len(r.cols), "relispopulated": true, "relreplident": "n",
			"relhasrules": r.kind == 'v', "relisshared": sharedCatalogs[r.name]})
	}
}

// sharedCatalogs are the catalogs that PostgreSQL keeps once for all databases.
var sharedCatalogs = map[string]bool{"pg_database": true, "pg_authid": true, "pg_auth_members": true, "pg_tablespace": true,
	"pg_shdepend": true, "pg_shdescription": true, "pg_db_role_setting": true, "pg_parameter_acl": true,
	"pg_replication_origin": true, "pg_shseclabel": true, "pg_subscription": true}

// amOf is the access method that PostgreSQL would name.
func amOf(relkind string) int64 {
	switch relkind {
	case "r", "m":
		return oidHeap
	case "i":
		return oidBtree
	}
	return 0
}

// fileOf is relfilenode: what has no storage has no file.
func fileOf(relkind string, oid int64) int64 {
	if relkind == "v" || relkind == "f" {
		return 0
	}
	return oid
}

func classRows(w *writer, f *facts) {
	compositeClassRows(w, f)
	for _, r := range f.relations() {
		kind := relkind(r.Kind)
		natts := len(r.Columns)
		switch r.Kind {
		case catalog.Index:
			natts = len(r.IndexCols)
		case catalog.Sequence:
			natts = 3
		}
		w.add(row{"oid": r.ID, "relname": r.Name, "relnamespace": f.schemaOID(r.Schema), "relowner": f.roleOID(r.Owner),
			"relam": amOf(kind), "relfilenode": fileOf(kind, int64(r.ID)), "reltuples": -1, "relpersistence": "p", "relkind": kind,
			"relnatts": natts, "relchecks": checksOf(r), "relhasindex": hasPkey(r) || len(f.snap.Indexes(r.ID)) > 0, "relhasrules": r.Kind == catalog.View || r.Kind == catalog.MatView,
			"relispopulated": !r.Creating, "relreplident": replident(r), "relacl": aclItems(r.Protected())})
		if hasPkey(r) {
			w.add(row{"oid": pkeyOID(r), "relname": f.pkeyName(r), "relnamespace": f.schemaOID(r.Schema), "relowner": f.roleOID(r.Owner),
				"relam": oidBtree, "relfilenode": pkeyOID(r), "reltuples": -1, "relpersistence": "p", "relkind": "i",
				"relnatts": len(r.PrimaryKey), "relispopulated": true, "relreplident": "n"})
		}
	}
}

// checksOf counts the CHECK constraints of a table.
func checksOf(r *catalog.Relation) int {
	n := 0
	for _, c := range r.Constraints {
		if c.Kind == catalog.Check {
			n++
		}
	}
	return n
}

func replident(r *catalog.Relation) string {
	if r.Kind == catalog.Table || r.Kind == catalog.MatView {
		return "d"
	}
	return "n"
}

func fixedAttribute(w *writer, y *System) {
	for _, r := range y.relations {
		for i, c := range r.cols {
			w.add(attribute(r.oid, i+1, c.name, c.ty, c.notNull))
		}
	}
}

func attributeRows(w *writer, f *facts) {
	sequenceAttributeRows(w, f)
	compositeAttributeRows(w, f)
	for _, r := range f.relations() {
		if r.Kind == catalog.Index {
			for i, k := range indexKeys(f, r) {
				w.add(attribute(int64(r.ID), i+1, k.column.Name, k.column.Type, false))
			}
			continue
		}
		for i := range r.Columns {
			c := &r.Columns[i]
			a := attribute(int64(r.ID), int(attnum(r, i)), c.Name, c.Type, c.NotNull)
			a["atthasdef"] = c.Default != "" || c.Generated != ""
			if c.ACL != nil {
				a["attacl"] = aclItems(r.ProtectedColumn(i))
			}
			if d := f.domainOf(c.Type); d != nil {
				a["attndims"], a["attcollation"] = 0, d.collation(a["attcollation"])
			}
			if c.Generated != "" {
				a["attgenerated"] = "s"
			}
			if c.Identity != "" {
				a["attidentity"], a["atthasdef"] = c.Identity, false
			}
			w.add(a)
		}
		for i, k := range pkeyColumns(r) {
			w.add(attribute(pkeyOID(r), i+1, k.Name, k.Type, false))
		}
	}
}

func pkeyColumns(r *catalog.Relation) []*catalog.Column {
	if !hasPkey(r) {
		return nil
	}
	out := make([]*catalog.Column, len(r.PrimaryKey))
	for i, k := range r.PrimaryKey {
		out[i] = &r.Columns[k]
	}
	return out
}

func attribute(rel int64, num int, name string, t sqltypes.Type, notNull bool) row {
	d := detailOf(t)
	ndims := 0
	if t.Kind == sqltypes.KArray {
		ndims = 1
	}
	return row{"attrelid": rel, "attname": name, "atttypid": t.OID(), "attstattarget": -1, "attlen": t.Len(), "attnum": num,
		"attndims": ndims, "attcacheoff": -1, "atttypmod": t.Typmod(), "attbyval": d.byValue, "attalign": string(d.align),
		"attstorage": string(d.storage), "attnotnull": notNull, "attislocal": true, "attcollation": d.collation}
}

func attrdefRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		for i, c := range r.Columns {
			text := c.Default
			if c.Generated != "" {
				text = c.Generated
			}
			if text != "" && r.Kind != catalog.Index && c.Identity == "" {
				text = defaultText(text, c.Type)
				w.add(row{"oid": attrdefOID(r, attnum(r, i)), "adrelid": r.ID, "adnum": attnum(r, i), "adbin": text})
			}
		}
	}
}

// defaultText prints a default as PostgreSQL does, which names the type of a quoted constant.
func defaultText(text string, t sqltypes.Type) string {
	e, err := parser.ParseExpr(text)
	if _, ok := e.(*parser.StringLit); err == nil && ok {
		return text + "::" + t.Base().String()
	}
	return text
}

func fixedNamespace(w *writer, _ *System) {
	for _, n := range []string{pgCatalog, infoSchema, millraceCatalog} {
		w.add(row{"oid": systemSchemas[n], "nspname": n, "nspowner": oidOwner})
	}
}

func namespaceRows(w *writer, f *facts) {
	for _, s := range f.schemas() {
		w.add(row{"oid": s.ID, "nspname": s.Name, "nspowner": f.roleOID(s.Owner), "nspacl": aclItems(s.Protected())})
	}
}

func fixedDescription(w *writer, y *System) {
	for _, p := range library().procs {
		if p.doc != "" {
			w.add(row{"objoid": p.oid, "classoid": classProc, "description": p.doc})
		}
	}
	for _, o := range library().operators {
		if o.doc != "" {
			w.add(row{"objoid": o.oid, "classoid": y.byName[relName{pgCatalog, "pg_operator"}].oid, "description": o.doc})
		}
	}
	for _, s := range systemComments {
		w.add(row{"objoid": s.oid, "classoid": s.class, "description": s.text})
	}
}

// systemComments describe objects that have no doc of their own.
var systemComments = []struct {
	oid, class int64
	text       string
}{
	{oidPgCatalog, classNamespace, "system catalog schema"},
	{oidInfoSchema, classNamespace, "standard description of tables, columns and privileges"},
	{oidMillrace, classNamespace, "jobs, sources and quarantined records"},
}

func descriptionRows(w *writer, f *facts) {
	for _, s := range f.schemas() {
		if s.Comment != "" {
			w.add(row{"objoid": s.ID, "classoid": classNamespace, "description": s.Comment})
		}
	}
	for _, t := range f.snap.SortedTypes() {
		if t.Comment != "" {
			w.add(row{"objoid": t.ID, "classoid": classType, "description": t.Comment})
		}
		if t.Domain == nil {
			continue
		}
		for _, c := range t.Domain.Checks {
			if c.Comment != "" {
				w.add(row{"objoid": c.ID, "classoid": classConstraint, "description": c.Comment})
			}
		}
	}
	for _, u := range f.functions() {
		if u.Comment != "" {
			w.add(row{"objoid": u.ID, "classoid": classProc, "description": u.Comment})
		}
	}
	for _, r := range f.relations() {
		if r.Comment != "" {
			w.add(row{"objoid": r.ID, "classoid": classRelation, "description": r.Comment})
		}
		if text := r.ConstraintComments[r.Name+"_pkey"]; text != "" && hasPkey(r) {
			w.add(row{"objoid": pkeyConstraintOID(r), "classoid": classConstraint, "description": text})
		}
		for i, c := range r.Columns {
			if c.Comment != "" && r.Kind != catalog.Index {
				w.add(row{"objoid": r.ID, "classoid": classRelation, "objsubid": attnum(r, i), "description": c.Comment})
			}
		}
	}
}

// dependRows records what a relation is made from, as PostgreSQL does: a view's rule depends on what its query
// reads, an index on its table, a primary key's index on its constraint.
func dependRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if hasPkey(r) {
			w.add(row{"classid": classConstraint, "objid": pkeyConstraintOID(r), "refclassid": classRelation, "refobjid": r.ID, "deptype": "a"})
			w.add(row{"classid": classRelation, "objid": pkeyOID(r), "refclassid": classConstraint, "refobjid": pkeyConstraintOID(r), "deptype": "i"})
		}
		if d := r.Sequence; d != nil && d.Table != 0 {
			kind := "a"
			if d.Identity {
				kind = "i"
			}
			w.add(row{"classid": classRelation, "objid": r.ID, "refclassid": classRelation, "refobjid": d.Table, "refobjsubid": d.Column, "deptype": kind})
		}
		for _, c := range r.Constraints {
			if c.Bare {
				continue
			}
			for _, n := range c.Columns {
				w.add(row{"classid": classConstraint, "objid": c.ID, "refclassid": classRelation, "refobjid": r.ID, "refobjsubid": n, "deptype": "a"})
			}
			if c.Index != 0 {
				w.add(row{"classid": classRelation, "objid": c.Index, "refclassid": classConstraint, "refobjid": c.ID, "deptype": "i"})
			}
		}
		class, oid := int64(classRelation), int64(r.ID)
		if r.Kind == catalog.View || r.Kind == catalog.MatView {
			class, oid = classRewrite, viewRule|oid
			w.add(row{"classid": class, "objid": oid, "refclassid": classRelation, "refobjid": r.ID, "deptype": "i"})
		}
		kind := "n"
		if r.Kind == catalog.Index {
			kind = "a"
		}
		for _, d := range r.DependsOn {
			if f.relation(int64(d)) != nil {
				w.add(row{"classid": class, "objid": oid, "refclassid": classRelation, "refobjid": d, "deptype": kind})
			}
		}
	}
}

// classRewrite is pg_rewrite, where the queries of views are.
const classRewrite = 2618

func rewriteRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind == catalog.View || r.Kind == catalog.MatView {
			w.add(row{"oid": viewRule | int64(r.ID), "rulename": "_RETURN", "ev_class": r.ID, "ev_type": "1", "ev_enabled": "O",
				"is_instead": true, "ev_qual": "<>", "ev_action": r.Definition})
		}
	}
}

func tablesRows(w *writer, f *facts) {
	for _, r := range f.y.relations {
		if r.kind == 'r' {
			w.add(row{"schemaname": r.schema, "tablename": r.name, "tableowner": f.owner(), "hasindexes": false,
				"hasrules": false, "hastriggers": false, "rowsecurity": false})
		}
	}
	for _, r := range f.relations() {
		if r.Kind == catalog.Table {
			w.add(row{"schemaname": r.Schema, "tablename": r.Name, "tableowner": r.Owner,
				"hasindexes": hasPkey(r) || len(f.snap.Indexes(r.ID)) > 0, "hasrules": false, "hastriggers": false, "rowsecurity": false})
		}
	}
}

func viewsRows(w *writer, f *facts) {
	for _, r := range f.y.relations {
		if r.kind == 'v' {
			w.add(row{"schemaname": r.schema, "viewname": r.name, "viewowner": f.owner()})
		}
	}
	for _, r := range f.relations() {
		if r.Kind == catalog.View {
			w.add(row{"schemaname": r.Schema, "viewname": r.Name, "viewowner": r.Owner, "definition": viewText(r)})
		}
	}
}

func matviewsRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind == catalog.MatView {
			w.add(row{"schemaname": r.Schema, "matviewname": r.Name, "matviewowner": r.Owner, "hasindexes": len(f.snap.Indexes(r.ID)) > 0,
				"ispopulated": !r.Creating, "definition": viewText(r)})
		}
	}
}

// viewText is a view's query as pg_get_viewdef prints it.
func viewText(r *catalog.Relation) string { return " " + r.Definition + ";" }
