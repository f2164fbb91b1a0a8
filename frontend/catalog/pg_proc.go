package catalog

import (
	"sort"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// pg_proc, pg_aggregate, pg_operator, and the text of signatures.

func fixedProc(w *writer, _ *System) {
	for _, p := range library().procs {
		w.add(procRow(p, oidPgCatalog, oidOwner))
	}
}

func procRows(w *writer, f *facts) {
	for _, u := range f.functions() {
		r := procRow(userProc(u), f.schemaOID(u.Schema), f.roleOID(u.Owner))
		if u.Form != "" {
			r["prosrc"], r["prosqlbody"] = "", u.Body
		}
		if u.Defaults != nil {
			r["proargdefaults"] = strings.Join(u.Defaults, ", ")
		}
		r["prosecdef"] = u.Definer
		r["proacl"] = aclItems(u.Protected())
		w.add(r)
	}
}

func procRow(p *proc, schema, owner int64) row {
	r := row{"oid": p.oid, "proname": p.name, "pronamespace": schema, "proowner": owner, "prolang": p.language, "procost": 1.0,
		"provariadic": p.variadic, "prokind": string(p.kind), "proleakproof": false, "proisstrict": p.strict, "proretset": p.set,
		"provolatile": string(p.volatility), "proparallel": "s", "pronargs": len(p.args), "pronargdefaults": p.optional,
		"prorettype": p.result, "proargtypes": p.args, "prosrc": p.name}
	if p.set {
		r["prorows"] = 1000.0
	}
	if p.body != "" {
		r["prosrc"] = p.body
	}
	if p.names != nil {
		r["proargnames"] = p.names
	}
	if p.params != nil {
		var modes []string
		var all []int64
		plain := true
		for _, a := range p.params {
			modes, all, plain = append(modes, a.Mode), append(all, int64(a.Type.OID())), plain && a.Mode == "i"
		}
		for range p.columns {
			modes = append(modes, "t")
		}
		if !plain || p.columns != nil {
			r["proargmodes"], r["proallargtypes"] = modes, append(all, p.columns...)
		}
	} else if p.columns != nil || p.variadic != 0 {
		var modes []string
		for i := range p.args {
			mode := "i"
			if p.variadic != 0 && i == len(p.args)-1 {
				mode = "v"
			}
			modes = append(modes, mode)
		}
		mode := "t"
		if p.out {
			mode = "o"
		}
		for range p.columns {
			modes = append(modes, mode)
		}
		r["proargmodes"] = modes
		r["proallargtypes"] = append(p.args[:len(p.args):len(p.args)], p.columns...)
	}
	return r
}

// functions lists what CREATE FUNCTION made, by id.
func (f *facts) functions() []*catalog.Function {
	var out []*catalog.Function
	for _, u := range f.snap.Functions {
		out = append(out, u)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

func userProc(u *catalog.Function) *proc {
	p := &proc{oid: int64(u.ID), schema: u.Schema, name: u.Name, kind: 'f', args: oidsOf(u.Args), result: int64(u.Result.OID()), optional: len(u.Defaults),
		defaults: u.Defaults, set: u.Set, strict: u.Strict, volatility: 'v', language: oidSQL, body: u.Body, doc: u.Comment, callable: true, out: u.Out, rows: u.Rows}
	for _, t := range append(append(u.Args[:len(u.Args):len(u.Args)], u.Result), columnTypes(u)...) {
		if t.IsNamed() {
			if p.named == nil {
				p.named = map[int64]string{}
			}
			p.named[int64(t.OID())] = t.String()
		}
	}
	if u.Volatility != "" {
		p.volatility = u.Volatility[0]
	}
	if u.Variadic {
		p.variadic = int64(u.Args[len(u.Args)-1].ElemType().OID())
		switch u.Args[len(u.Args)-1].Kind {
		case sqltypes.KAnyArray:
			p.variadic = int64(sqltypes.AnyElement.OID())
		case sqltypes.KAnyCompatibleArray:
			p.variadic = int64(sqltypes.Type{Kind: sqltypes.KAnyCompatible}.OID())
		}
	}
	named := false
	for _, n := range u.ArgNames {
		named = named || n != ""
	}
	if named || u.Columns != nil {
		p.names = append([]string(nil), u.ArgNames...)
	}
	if u.Params != nil {
		p.params = u.Params
		p.names, named = nil, false
		for _, a := range u.Params {
			p.names, named = append(p.names, a.Name), named || a.Name != ""
		}
		if u.Rows == "" && !u.Out {
			for _, c := range u.Columns {
				p.columns, p.names, named = append(p.columns, int64(c.Type.OID())), append(p.names, c.Name), true
			}
		}
		if !named {
			p.names = nil
		}
		return p
	}
	if u.Rows == "" {
		for _, c := range u.Columns {
			p.columns, p.names = append(p.columns, int64(c.Type.OID())), append(p.names, c.Name)
		}
	}
	return p
}

func columnTypes(u *catalog.Function) []sqltypes.Type {
	out := make([]sqltypes.Type, len(u.Columns))
	for i, c := range u.Columns {
		out[i] = c.Type
	}
	return out
}

// proc finds a function by OID.
func (f *facts) proc(oid int64) *proc {
	if p := library().byOID[oid]; p != nil {
		return p
	}
	if oid >= 0 && oid <= 1<<32-1 {
		if u := f.snap.Functions[catalog.ID(oid)]; u != nil {
			return userProc(u)
		}
	}
	return nil
}

// procsNamed lists the overloads of a function; schema "" searches the path.
func (f *facts) procsNamed(schema, name string) []*proc {
	in := []string{schema}
	if schema == "" {
		in = f.path()
	}
	var out []*proc
	for _, s := range in {
		if s == pgCatalog {
			out = append(out, library().byName[name]...)
			continue
		}
		for _, u := range f.functions() {
			if u.Schema == s && u.Name == name {
				out = append(out, userProc(u))
			}
		}
	}
	return out
}

// typeName is format_type without a modifier.
func typeName(oid int64) string {
	switch oid {
	case oidCstring:
		return "cstring"
	case oidCstringArray:
		return "cstring[]"
	case oidInternalType:
		return "internal"
	case oidTrigger:
		return "trigger"
	}
	t, ok := sqltypes.ByOID(uint32(oid))
	if !ok {
		return "???"
	}
	return t.String()
}

// typeName is the name of a type in p's signature.
func (p *proc) typeName(oid int64) string {
	if name, ok := p.named[oid]; ok {
		return name
	}
	return typeName(oid)
}

// arguments prints a signature as pg_get_function_arguments does.
func (p *proc) arguments(identity bool) string {
	var parts []string
	if p.params != nil {
		return p.declared(identity)
	}
	for i, a := range p.args {
		s := p.typeName(a)
		if i < len(p.names) && p.names[i] != "" {
			s = parser.QuoteIdent(p.names[i]) + " " + s
		}
		if p.variadic != 0 && i == len(p.args)-1 {
			s = "VARIADIC " + s
		}
		if k := i - (len(p.args) - p.optional); !identity && k >= 0 {
			def := "NULL"
			if p.defaults != nil {
				def = p.defaults[k]
			}
			s += " DEFAULT " + def
		}
		parts = append(parts, s)
	}
	if p.orderedSet {
		order := "ORDER BY " + strings.Join(parts[p.direct:], ", ")
		if p.direct == 0 {
			return order
		}
		return strings.Join(parts[:p.direct], ", ") + " " + order
	}
	if p.out {
		for i, c := range p.columns {
			parts = append(parts, "OUT "+parser.QuoteIdent(p.names[len(p.args)+i])+" "+p.typeName(c))
		}
	}
	return strings.Join(parts, ", ")
}

// declared is arguments of a function with other parameters than plain input.
func (p *proc) declared(identity bool) string {
	var parts []string
	in := 0
	for _, a := range p.params {
		s := a.Type.String()
		if a.Rows != "" {
			s = parser.QuoteIdent(a.Rows)
		}
		if a.Name != "" {
			s = parser.QuoteIdent(a.Name) + " " + s
		}
		s = map[string]string{"o": "OUT ", "b": "INOUT ", "v": "VARIADIC "}[a.Mode] + s
		if a.Mode != "o" {
			if k := in - (len(p.args) - p.optional); !identity && k >= 0 {
				s += " DEFAULT " + p.defaults[k]
			}
			in++
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// resultText prints a result as pg_get_function_result does.
func (p *proc) resultText() string {
	if p.columns != nil && !p.out {
		var parts []string
		for i, c := range p.columns {
			parts = append(parts, parser.QuoteIdent(p.names[len(p.names)-len(p.columns)+i])+" "+p.typeName(c))
		}
		return "TABLE(" + strings.Join(parts, ", ") + ")"
	}
	result := p.typeName(p.result)
	if p.rows != "" {
		result = parser.QuoteIdent(p.rows)
	}
	if p.set {
		return "SETOF " + result
	}
	return result
}

func fixedAggregate(w *writer, _ *System) {
	for _, p := range library().procs {
		if p.kind == 'a' {
			kind := "n"
			if p.orderedSet {
				kind = "o"
			}
			w.add(row{"aggfnoid": p.oid, "aggkind": kind, "aggnumdirectargs": p.direct, "aggfinalmodify": "r", "aggmfinalmodify": "r", "aggtranstype": oidInternalType})
		}
	}
}

func fixedOperator(w *writer, _ *System) {
	for _, o := range library().operators {
		kind := "b"
		if o.left == 0 {
			kind = "l"
		}
		w.add(row{"oid": o.oid, "oprname": o.name, "oprnamespace": oidPgCatalog, "oprowner": oidOwner, "oprkind": kind, "oprcanmerge": o.merges,
			"oprcanhash": o.hashes, "oprleft": o.left, "oprright": o.right, "oprresult": o.result, "oprcom": o.commutator, "oprnegate": o.negator,
			"oprcode": o.code})
	}
}

func fixedLanguage(w *writer, _ *System) {
	w.add(row{"oid": oidInternal, "lanname": "internal", "lanowner": oidOwner})
	w.add(row{"oid": 13, "lanname": "c", "lanowner": oidOwner})
	w.add(row{"oid": oidSQL, "lanname": "sql", "lanowner": oidOwner, "lanpltrusted": true})
}
