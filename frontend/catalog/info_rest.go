package catalog

import (
	"fmt"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// information_schema: constraints, privileges, roles and routines.

func tableConstraintRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		add := func(name, kind string) {
			w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": name, "table_catalog": f.snap.Database,
				"table_schema": r.Schema, "table_name": r.Name, "constraint_type": kind, "is_deferrable": "NO", "initially_deferred": "NO",
				"enforced": "YES"})
		}
		if hasPkey(r) {
			add(f.pkeyName(r), "PRIMARY KEY")
		}
		for _, n := range f.notNulls(r) {
			add(n.name, "CHECK")
		}
		for _, c := range r.Constraints {
			if !c.Bare {
				add(c.Name, map[string]string{catalog.Check: "CHECK", catalog.UniqueKey: "UNIQUE", catalog.ForeignKey: "FOREIGN KEY"}[c.Kind])
			}
		}
	}
}

// notNull is a NOT NULL as information_schema shows it: as a CHECK.
type notNull struct {
	name   string
	column string
}

func (f *facts) notNulls(r *catalog.Relation) []notNull {
	if r.Kind != catalog.Table {
		return nil
	}
	var out []notNull
	for i, c := range r.Columns {
		if c.NotNull {
			out = append(out, notNull{fmt.Sprintf("%d_%d_%d_not_null", f.schemaOID(r.Schema), r.ID, attnum(r, i)), c.Name})
		}
	}
	return out
}

func checkConstraintRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		for _, n := range f.notNulls(r) {
			w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": n.name, "check_clause": n.column + " IS NOT NULL"})
		}
		for _, c := range r.Constraints {
			if c.Kind == catalog.Check {
				w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": c.Name, "check_clause": "((" + c.Expr + "))"})
			}
		}
	}
	for _, t := range f.domains() {
		for _, c := range t.Domain.Checks {
			w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": t.Schema, "constraint_name": c.Name, "check_clause": "((" + c.Expr + "))"})
		}
	}
}

func keyUsageRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		for i, c := range pkeyColumns(r) {
			w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": f.pkeyName(r), "table_catalog": f.snap.Database,
				"table_schema": r.Schema, "table_name": r.Name, "column_name": c.Name, "ordinal_position": i + 1})
		}
		for _, c := range r.Constraints {
			for i, id := range c.Columns {
				if k, ok := r.ColumnAt(id); ok && c.Kind != catalog.Check && !c.Bare {
					w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": c.Name, "table_catalog": f.snap.Database,
						"table_schema": r.Schema, "table_name": r.Name, "column_name": r.Columns[k].Name, "ordinal_position": i + 1})
				}
			}
		}
	}
}

func columnUsageRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		for _, c := range pkeyColumns(r) {
			w.add(row{"table_catalog": f.snap.Database, "table_schema": r.Schema, "table_name": r.Name, "column_name": c.Name,
				"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": f.pkeyName(r)})
		}
		for _, c := range r.Constraints {
			for _, id := range c.Columns {
				if k, ok := r.ColumnAt(id); ok && c.Kind != catalog.ForeignKey && !c.Bare {
					w.add(row{"table_catalog": f.snap.Database, "table_schema": r.Schema, "table_name": r.Name, "column_name": r.Columns[k].Name,
						"constraint_catalog": f.snap.Database, "constraint_schema": r.Schema, "constraint_name": c.Name})
				}
			}
		}
	}
}

// eachRoutine calls fn for what routines lists: everything but aggregates, window functions and what only types use.
func (f *facts) eachRoutine(fn func(p *proc, schema string)) {
	for _, p := range library().procs {
		if p.kind == 'f' && p.callable {
			fn(p, pgCatalog)
		}
	}
	for _, u := range f.functions() {
		fn(userProc(u), u.Schema)
	}
}

func routineRows(w *writer, f *facts) {
	f.eachRoutine(func(p *proc, schema string) {
		t, _ := sqltypes.ByOID(uint32(p.result))
		r := row{"specific_catalog": f.snap.Database, "specific_schema": schema, "specific_name": specificName(p), "routine_catalog": f.snap.Database,
			"routine_schema": schema, "routine_name": p.name, "routine_type": "FUNCTION", "data_type": dataType(t), "type_udt_catalog": f.snap.Database,
			"type_udt_schema": pgCatalog, "type_udt_name": udtName(t), "dtd_identifier": "0", "routine_body": "EXTERNAL", "external_language": "INTERNAL",
			"parameter_style": "GENERAL", "is_deterministic": yesNo(p.volatility == 'i'), "sql_data_access": "MODIFIES",
			"is_null_call": yesNo(p.strict), "schema_level_routine": "YES", "max_dynamic_result_sets": 0, "security_type": "INVOKER",
			"as_locator": "NO", "is_udt_dependent": "NO"}
		if p.language == oidSQL {
			r["routine_body"], r["external_language"], r["routine_definition"] = "SQL", "SQL", p.body
		}
		w.add(r)
	})
}

func specificName(p *proc) string { return fmt.Sprintf("%s_%d", p.name, p.oid) }

func parameterInfoRows(w *writer, f *facts) {
	f.eachRoutine(func(p *proc, schema string) {
		for i, a := range p.args {
			t, _ := sqltypes.ByOID(uint32(a))
			r := row{"specific_catalog": f.snap.Database, "specific_schema": schema, "specific_name": specificName(p), "ordinal_position": i + 1,
				"parameter_mode": "IN", "is_result": "NO", "as_locator": "NO", "data_type": dataType(t), "udt_catalog": f.snap.Database,
				"udt_schema": pgCatalog, "udt_name": udtName(t), "dtd_identifier": joinInts([]int64{int64(i + 1)}, "")}
			if i < len(p.names) {
				r["parameter_name"] = orNil(p.names[i])
			}
			w.add(r)
		}
	})
}
