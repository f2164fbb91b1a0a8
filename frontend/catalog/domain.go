package catalog

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Domains: their rows in pg_type and pg_constraint, and what information_schema says of them.

// Procedures that read the values of every domain.
const (
	oidDomainIn      = 2597
	oidDomainReceive = 2598
)

func (f *facts) domains() []*catalog.Type {
	var out []*catalog.Type
	for _, t := range f.snap.SortedTypes() {
		if t.Domain != nil {
			out = append(out, t)
		}
	}
	return out
}

type domain catalog.Domain

// domainOf is what a domain is made of; nil for other types.
func (f *facts) domainOf(t sqltypes.Type) *domain {
	if d := f.snap.TypeBehind(t); d != nil && t.IsDomain() {
		return (*domain)(d.Domain)
	}
	return nil
}

// collation is the OID of the domain's collation, that of its base if it has none of its own.
func (d *domain) collation(base any) any {
	switch d.Collate {
	case "C":
		return collC
	case "POSIX":
		return 951
	case "ucs_basic":
		return 12340
	}
	return base
}

// domainType makes r the row of a domain in pg_type, and a that of its arrays.
func domainType(r, a row, f *facts, t *catalog.Type) {
	d, below := t.Domain, t.Domain.Base.Underlying()
	r["typtype"], r["typcategory"], r["typrelid"] = "d", string(below.Category()), 0
	r["typinput"], r["typreceive"], r["typmodin"], r["typmodout"] = oidDomainIn, oidDomainReceive, 0, 0
	r["typnotnull"], r["typbasetype"], r["typtypmod"] = d.NotNull, d.Base.OID(), d.Base.Typmod()
	if below.Kind == sqltypes.KArray {
		r["typndims"] = 1
	}
	r["typcollation"] = (*domain)(d).collation(r["typcollation"])
	if d.Default != "" {
		text := f.shown(defaultText(d.Default, d.Base))
		r["typdefault"], r["typdefaultbin"] = text, text
	}
	a["typalign"], a["typcollation"] = "i", r["typcollation"]
	if r["typalign"] == "d" {
		a["typalign"] = "d"
	}
}

func domainConstraintRows(w *writer, f *facts) {
	for _, t := range f.domains() {
		for _, c := range t.Domain.Checks {
			w.add(row{"oid": c.ID, "conname": c.Name, "connamespace": f.schemaOID(t.Schema), "contype": "c", "convalidated": !c.NotValid,
				"contypid": t.ID, "confupdtype": " ", "confdeltype": " ", "confmatchtype": " ", "conislocal": true, "conbin": "(" + c.Expr + ")"})
		}
	}
}

// domainCheck finds a constraint of a domain by OID.
func (f *facts) domainCheck(oid int64) (*catalog.Type, *catalog.DomainCheck) {
	for _, t := range f.domains() {
		for i := range t.Domain.Checks {
			if c := &t.Domain.Checks[i]; int64(c.ID) == oid {
				return t, c
			}
		}
	}
	return nil, nil
}

// domainCheckText is a constraint of a domain as pg_get_constraintdef prints it.
func domainCheckText(c *catalog.DomainCheck, pretty bool) string {
	text := "CHECK ((" + c.Expr + "))"
	if pretty {
		text = "CHECK (" + c.Expr + ")"
	}
	if c.NotValid {
		text += " NOT VALID"
	}
	return text
}

func infoDomainRows(w *writer, f *facts) {
	for _, t := range f.domains() {
		r := infoType(f, t.Domain.Base)
		if t.Domain.Base.Kind == sqltypes.KArray && !t.Domain.Base.IsDomain() {
			r["data_type"] = t.Domain.Base.Base().String()
		}
		if t.Domain.Collate != "" && t.Domain.Collate != "default" {
			r["collation_catalog"], r["collation_schema"], r["collation_name"] = f.snap.Database, pgCatalog, t.Domain.Collate
		}
		r["domain_catalog"], r["domain_schema"], r["domain_name"], r["dtd_identifier"] = f.snap.Database, t.Schema, t.Name, "1"
		if t.Domain.Default != "" {
			r["domain_default"] = f.shown(defaultText(t.Domain.Default, t.Domain.Base))
		}
		w.add(r)
	}
}

func infoDomainConstraintRows(w *writer, f *facts) {
	for _, t := range f.domains() {
		for _, c := range t.Domain.Checks {
			w.add(row{"constraint_catalog": f.snap.Database, "constraint_schema": t.Schema, "constraint_name": c.Name, "domain_catalog": f.snap.Database,
				"domain_schema": t.Schema, "domain_name": t.Name, "is_deferrable": "NO", "initially_deferred": "NO"})
		}
	}
}

func domainUDTRows(w *writer, f *facts) {
	for _, t := range f.domains() {
		b := t.Domain.Base
		w.add(row{"udt_catalog": f.snap.Database, "udt_schema": udtSchema(b), "udt_name": udtName(b), "domain_catalog": f.snap.Database,
			"domain_schema": t.Schema, "domain_name": t.Name})
	}
}

func columnDomainRows(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind == catalog.Index {
			continue
		}
		for _, c := range r.Columns {
			if c.Type.IsDomain() {
				d := c.Type.Ext.Def()
				w.add(row{"domain_catalog": f.snap.Database, "domain_schema": d.Schema, "domain_name": d.Name, "table_catalog": f.snap.Database,
					"table_schema": r.Schema, "table_name": r.Name, "column_name": c.Name})
			}
		}
	}
}
