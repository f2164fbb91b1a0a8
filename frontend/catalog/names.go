package catalog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Names and OIDs in both directions: what regclass and the other oid aliases read and print.

// RegName prints an oid alias as PostgreSQL does: qualified when the search path does not lead to it. False: there is
// no such object, and the number is all there is to print.
func (y *System) RegName(s *session.Session, k sqltypes.Kind, oid int64) (string, bool) {
	return y.facts(s).regName(k, oid)
}

// RegOID finds the object that a text names for an oid alias; the error is PostgreSQL's.
func (y *System) RegOID(s *session.Session, k sqltypes.Kind, name string) (int64, error) {
	return y.facts(s).regOID(k, name)
}

func (f *facts) regName(k sqltypes.Kind, oid int64) (string, bool) {
	if oid == 0 {
		return "-", k != sqltypes.KRegoper && k != sqltypes.KRegoperator
	}
	switch k {
	case sqltypes.KRegclass:
		if o := f.object(oid); o != nil {
			if f.visible(o) {
				return parser.QuoteIdent(o.name), true
			}
			return qualified(o.schema, o.name), true
		}
	case sqltypes.KRegtype:
		if n := f.typeName(oid); n != "???" {
			return n, true
		}
	case sqltypes.KRegproc:
		if p := f.proc(oid); p != nil {
			if f.procVisible(p) {
				return parser.QuoteIdent(p.name), true
			}
			return qualified(p.schema, p.name), true
		}
	case sqltypes.KRegprocedure:
		if p := f.proc(oid); p != nil {
			name := parser.QuoteIdent(p.name)
			if !f.procVisible(p) {
				name = qualified(p.schema, p.name)
			}
			return name + "(" + argNames(p.args) + ")", true
		}
	case sqltypes.KRegoper:
		if o := library().operatorByOID[oid]; o != nil {
			if len(operatorsNamed(o.name)) > 1 {
				return pgCatalog + "." + o.name, true
			}
			return o.name, true
		}
	case sqltypes.KRegoperator:
		if o := library().operatorByOID[oid]; o != nil {
			return o.name + "(" + argNames([]int64{o.left, o.right}) + ")", true
		}
	case sqltypes.KRegrole:
		if n, ok := f.roleName(oid); ok {
			return parser.QuoteIdent(n), true
		}
	case sqltypes.KRegnamespace:
		if n, ok := f.schemaName(oid); ok {
			return parser.QuoteIdent(n), true
		}
	}
	return "", false
}

// argNames lists types as regprocedure and regoperator do; 0 is no operand.
func argNames(args []int64) string {
	names := make([]string, len(args))
	for i, a := range args {
		if names[i] = "NONE"; a != 0 {
			names[i] = typeName(a)
		}
	}
	return strings.Join(names, ",")
}

func operatorsNamed(name string) (out []*operator) {
	for _, o := range library().operators {
		if o.name == name {
			out = append(out, o)
		}
	}
	return out
}

func (f *facts) regOID(k sqltypes.Kind, text string) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "-" && k != sqltypes.KRegoper {
		return 0, nil
	}
	if text != "" && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "value %q is out of range for type oid", text)
		}
		return int64(n), nil
	}
	switch k {
	case sqltypes.KRegtype:
		return f.typeOIDNamed(text)
	case sqltypes.KRegprocedure:
		return f.signatureOID(text)
	case sqltypes.KRegoper:
		return f.operatorOIDNamed(text)
	case sqltypes.KRegoperator:
		return f.operatorSignatureOID(text)
	}
	parts, ok := splitName(text)
	if !ok || len(parts) != 1 && (k == sqltypes.KRegnamespace || k == sqltypes.KRegrole) {
		return 0, sqlerr.New(sqlerr.InvalidName, "invalid name syntax")
	}
	switch k {
	case sqltypes.KRegnamespace:
		if oid := f.schemaOID(parts[0]); oid != 0 {
			return oid, nil
		}
		return 0, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", parts[0])
	case sqltypes.KRegrole:
		if oid := f.roleOID(parts[0]); oid != 0 {
			return oid, nil
		}
		return 0, sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", parts[0])
	}
	schema, name, err := f.schemaAndName(parts)
	if err != nil {
		if k == sqltypes.KRegclass && len(parts) > 3 {
			err = sqlerr.New(sqlerr.SyntaxError, "improper relation name (too many dotted names): %s", strings.Join(parts, "."))
		}
		return 0, err
	}
	if schema != "" && f.schemaOID(schema) == 0 {
		return 0, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema)
	}
	if k == sqltypes.KRegproc {
		return f.procOIDNamed(schema, name, text)
	}
	return f.classOIDNamed(schema, name, parts)
}

// signature cuts name(type, …) into the name and the types, NONE being 0 where that is allowed.
func (f *facts) signature(text string, none bool) (name string, args []int64, err error) {
	name, rest, ok := strings.Cut(text, "(")
	if !ok {
		return "", nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "expected a left parenthesis")
	}
	list, ok := strings.CutSuffix(strings.TrimSpace(rest), ")")
	if !ok {
		return "", nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "expected a right parenthesis")
	}
	for list = strings.TrimSpace(list); list != ""; {
		arg, more, cut := cutArgument(list)
		if arg = strings.TrimSpace(arg); arg == "" || cut && strings.TrimSpace(more) == "" {
			return "", nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "expected a type name")
		}
		oid := int64(0)
		if !none || !strings.EqualFold(arg, "none") {
			if oid, err = f.typeOIDNamed(arg); err != nil {
				return "", nil, err
			}
		}
		args, list = append(args, oid), more
	}
	return strings.TrimSpace(name), args, nil
}

// cutArgument cuts at the first comma outside parentheses and quotes.
func cutArgument(list string) (arg, rest string, found bool) {
	depth, quoted := 0, false
	for i := range len(list) {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ',' && depth == 0:
			return list[:i], list[i+1:], true
		}
	}
	return list, "", false
}

// signatureOID finds the function of a signature.
func (f *facts) signatureOID(text string) (int64, error) {
	full, args, err := f.signature(text, false)
	if err != nil {
		return 0, err
	}
	parts, ok := splitName(full)
	if !ok {
		return 0, sqlerr.New(sqlerr.InvalidName, "invalid name syntax")
	}
	schema, name, err := f.schemaAndName(parts)
	if err != nil {
		return 0, err
	}
	for _, p := range f.procsNamed(schema, name) {
		if slices.Equal(p.args, args) {
			return p.oid, nil
		}
	}
	return 0, sqlerr.New(sqlerr.UndefinedFunction, "function %q does not exist", text)
}

// operatorsByName lists the operators that a name, with or without a schema, stands for.
func (f *facts) operatorsByName(text string) ([]*operator, error) {
	parts, ok := splitName(text)
	if !ok {
		return nil, sqlerr.New(sqlerr.InvalidName, "invalid name syntax")
	}
	schema, name, err := f.schemaAndName(parts)
	if err != nil || schema != "" && schema != pgCatalog {
		return nil, err
	}
	return operatorsNamed(name), nil
}

func (f *facts) operatorOIDNamed(text string) (int64, error) {
	list, err := f.operatorsByName(text)
	if err != nil {
		return 0, err
	}
	switch len(list) {
	case 0:
		return 0, sqlerr.New(sqlerr.UndefinedFunction, "operator does not exist: %s", text)
	case 1:
		return list[0].oid, nil
	}
	return 0, sqlerr.New(sqlerr.AmbiguousFunction, "more than one operator named %s", text)
}

func (f *facts) operatorSignatureOID(text string) (int64, error) {
	name, args, err := f.signature(text, true)
	if err != nil {
		return 0, err
	}
	list, err := f.operatorsByName(name)
	switch {
	case err != nil:
		return 0, err
	case len(args) == 1:
		return 0, sqlerr.New(sqlerr.UndefinedParameter, "missing argument").WithHint("Use NONE to denote the missing argument of a unary operator.")
	case len(args) != 2:
		return 0, sqlerr.New(sqlerr.TooManyArguments, "too many arguments").WithHint("Provide two argument types for operator.")
	}
	for _, o := range list {
		if o.left == args[0] && o.right == args[1] {
			return o.oid, nil
		}
	}
	return 0, sqlerr.New(sqlerr.UndefinedFunction, "operator does not exist: %s", text)
}

func (f *facts) classOIDNamed(schema, name string, parts []string) (int64, error) {
	var o *object
	if schema == "" {
		o = f.resolve(name)
	} else {
		o = f.named(schema, name)
	}
	if o == nil {
		return 0, sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", strings.Join(parts, "."))
	}
	return o.oid, nil
}

func (f *facts) procOIDNamed(schema, name, text string) (int64, error) {
	ps := f.procsNamed(schema, name)
	switch {
	case len(ps) == 0:
		return 0, sqlerr.New(sqlerr.UndefinedFunction, "function %q does not exist", text)
	case len(ps) > 1:
		return 0, sqlerr.New(sqlerr.AmbiguousFunction, "more than one function named %q", text)
	}
	return ps[0].oid, nil
}

// typeOIDNamed reads a type name, arrays and modifiers included.
func (f *facts) typeOIDNamed(text string) (int64, error) {
	if text == "" {
		return 0, sqlerr.New(sqlerr.SyntaxError, "invalid type name \"\"")
	}
	undefined := sqlerr.New(sqlerr.UndefinedObject, "type %q does not exist", text)
	name := strings.ToLower(strings.TrimPrefix(text, pgCatalog+"."))
	switch name {
	case "cstring":
		return oidCstring, nil
	case "internal":
		return oidInternalType, nil
	case "trigger":
		return oidTrigger, nil
	case `"char"`:
		return int64(sqltypes.Char.OID()), nil
	}
	elem, array := strings.CutSuffix(name, "[]")
	for strings.HasSuffix(elem, "[]") { // dimensions are not part of the type
		elem = strings.TrimSuffix(elem, "[]")
	}
	if open := strings.IndexByte(elem, '('); open >= 0 {
		if end := strings.IndexByte(elem, ')'); end > open {
			elem = strings.TrimSpace(elem[:open]) + elem[end+1:]
		}
	}
	t, ok := sqltypes.ByName(strings.Trim(strings.TrimSpace(elem), `"`))
	if !ok {
		if t, ok = f.userTypeByText(strings.TrimSuffix(strings.TrimSpace(text), "[]")); !ok {
			if parts, split := splitName(elem); split && len(parts) == 2 && f.schemaOID(parts[0]) == 0 {
				return 0, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", parts[0])
			}
			return 0, undefined
		}
	}
	if array {
		t = sqltypes.ArrayOf(t)
	}
	if t.OID() == 0 {
		return 0, undefined
	}
	return int64(t.OID()), nil
}

// schemaAndName splits a qualified name; a leading database must be ours.
func (f *facts) schemaAndName(parts []string) (schema, name string, err error) {
	switch len(parts) {
	case 1:
		return "", parts[0], nil
	case 2:
		return parts[0], parts[1], nil
	case 3:
		if parts[0] == f.snap.Database {
			return parts[1], parts[2], nil
		}
		return "", "", sqlerr.New(sqlerr.FeatureNotSupported, "cross-database references are not implemented: %q", strings.Join(parts, "."))
	}
	return "", "", sqlerr.New(sqlerr.SyntaxError, "improper qualified name (too many dotted names): %s", strings.Join(parts, "."))
}

// splitName cuts a name at its dots, folding what is not quoted to lower case.
func splitName(text string) (parts []string, ok bool) {
	for {
		text = strings.TrimLeft(text, " \t\n\r")
		var part string
		if strings.HasPrefix(text, `"`) {
			if part, text, ok = cutQuoted(text[1:]); !ok {
				return nil, false
			}
		} else {
			end := strings.IndexAny(text, ". \t\n\r")
			if end < 0 {
				end = len(text)
			}
			part, text = strings.ToLower(text[:end]), text[end:]
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		text = strings.TrimLeft(text, " \t\n\r")
		if text == "" {
			return parts, true
		}
		if text[0] != '.' {
			return nil, false
		}
		text = text[1:]
	}
}

// cutQuoted reads up to the closing quote; two quotes stand for one.
func cutQuoted(text string) (part, rest string, ok bool) {
	var b strings.Builder
	for {
		end := strings.IndexByte(text, '"')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(text[:end])
		text = text[end+1:]
		if !strings.HasPrefix(text, `"`) {
			return b.String(), text, true
		}
		b.WriteByte('"')
		text = text[1:]
	}
}

// procVisible reports whether a function is found without its schema.
func (f *facts) procVisible(p *proc) bool {
	for _, s := range f.path() {
		if s == p.schema {
			return true
		}
	}
	return false
}

// describe names a relation as error messages and pg_describe_object do.
func (o *object) describe() string {
	kind := "table"
	switch {
	case o.typ != nil:
		kind = "composite type"
	case o.pkey || o.user != nil && o.user.Kind == catalog.Index:
		kind = "index"
	case o.system != nil && o.system.kind == 'v' || o.user != nil && o.user.Kind == catalog.View:
		kind = "view"
	case o.user != nil && o.user.Kind == catalog.MatView:
		kind = "materialized view"
	case o.user != nil && o.user.Kind == catalog.Source:
		kind = "foreign table"
	}
	return kind + " " + o.name
}
