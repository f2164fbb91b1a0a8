package bind

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TypeOf resolves a type name with its modifiers. Types made by CREATE TYPE and CREATE DOMAIN are noted in Used.
func TypeOf(env *Env, t *parser.TypeName) (sqltypes.Type, error) {
	base, err := env.scalarType(t)
	if err != nil {
		return base, err
	}
	if len(t.Dims) == 0 {
		return base, nil
	}
	if base.Kind == sqltypes.KArray && !base.IsDomain() || sqltypes.ArrayOf(base).OID() == 0 {
		return base, sqlerr.New(sqlerr.UndefinedObject, "could not find array type for data type %s", base).At(t.Pos)
	}
	array := sqltypes.ArrayOf(base)
	array.Mod = base.Mod // as in PostgreSQL, that of the elements
	return array, nil
}

func (env *Env) scalarType(t *parser.TypeName) (sqltypes.Type, error) {
	none := sqltypes.Unknown
	name := t.Name.Last()
	switch {
	case name == "struct" && len(t.Fields) > 0:
		return env.structType(t)
	case name == "map" && t.Key != nil:
		return env.mapType(t)
	}
	base, ok := env.namedType(t.Name)
	if !ok {
		return none, sqlerr.New(sqlerr.UndefinedObject, "type %q does not exist", t.Name.String()).At(t.Pos)
	}
	if len(t.Mods) == 0 && t.IntervalFields == "" {
		return base, nil
	}
	return withModifiers(base, t)
}

// namedType finds a type by name: pg_catalog comes first where the name says no schema.
func (env *Env) namedType(n parser.Name) (sqltypes.Type, bool) {
	schema := n.Schema()
	if schema == "" || schema == "pg_catalog" {
		if t, ok := lookupType(n.Last(), schema != ""); ok || schema != "" {
			return t, ok
		}
	}
	t, array, ok := env.userType(schema, n.Last())
	if !ok {
		return sqltypes.Unknown, false
	}
	env.use(t.ID)
	if array {
		return sqltypes.ArrayOf(t.SQL()), true
	}
	return t.SQL(), true
}

// userType finds a type made by CREATE TYPE, or with _ before its name the type of its arrays.
func (env *Env) userType(schema, name string) (t *catalog.Type, array, ok bool) {
	if env.Catalog == nil {
		return nil, false, false
	}
	path := env.SearchPath
	if schema != "" {
		path = []string{schema}
	}
	if t, ok = env.Catalog.ResolveType(path, name); ok {
		return t, false, true
	}
	if elem, cut := strings.CutPrefix(name, "_"); cut {
		t, ok = env.Catalog.ResolveType(path, elem)
	}
	return t, true, ok
}

// lookupType finds a type by the name that the parser left. A quoted or qualified "char" is the internal
// one-byte type, as in PostgreSQL; the SQL type char arrives as bpchar.
func lookupType(name string, qualified bool) (sqltypes.Type, bool) {
	if name == "char" {
		return sqltypes.Char, true
	}
	t, ok := sqltypes.ByName(name)
	if ok && (t.IsPseudo() || qualified && strings.Contains(name, " ")) {
		return t, false
	}
	return t, ok
}

func (env *Env) structType(t *parser.TypeName) (sqltypes.Type, error) {
	var row []sqltypes.RowField
	for _, f := range t.Fields {
		ft, err := TypeOf(env, f.Type)
		if err != nil {
			return ft, err
		}
		row = append(row, sqltypes.RowField{Name: f.Name, Type: ft})
	}
	return sqltypes.StructOf(row), nil
}

func (env *Env) mapType(t *parser.TypeName) (sqltypes.Type, error) {
	k, err := TypeOf(env, t.Key)
	if err != nil {
		return k, err
	}
	v, err := TypeOf(env, t.Value)
	if err != nil {
		return v, err
	}
	if err := expr.CheckMapKey(k); err != nil {
		return k, sqlerr.From(err).At(t.Key.Pos)
	}
	return sqltypes.MapOf(k, v), nil
}

// withModifiers applies (n) or (p, s) to a type, with PostgreSQL's limits.
func withModifiers(base sqltypes.Type, t *parser.TypeName) (sqltypes.Type, error) {
	mods := make([]int32, len(t.Mods))
	for i, m := range t.Mods {
		v, ok := intModifier(m)
		if !ok {
			return base, sqlerr.New(sqlerr.SyntaxError, "type modifiers must be simple constants or identifiers").At(t.Pos)
		}
		mods[i] = v
	}
	invalid := func(format string, args ...any) (sqltypes.Type, error) {
		return base, sqlerr.New(sqlerr.InvalidParameterValue, format, args...).At(t.Pos)
	}
	switch base.Kind {
	case sqltypes.KVarchar, sqltypes.KBpchar:
		name := map[sqltypes.Kind]string{sqltypes.KVarchar: "varchar", sqltypes.KBpchar: "char"}[base.Kind]
		switch {
		case len(mods) != 1:
			return invalid("invalid type modifier")
		case mods[0] < 1:
			return invalid("length for type %s must be at least 1", name)
		case mods[0] > 10485760:
			return invalid("length for type %s cannot exceed 10485760", name)
		}
		return base.WithTypmod(mods[0] + 4), nil
	case sqltypes.KBit, sqltypes.KVarbit:
		name := map[sqltypes.Kind]string{sqltypes.KBit: "bit", sqltypes.KVarbit: "varbit"}[base.Kind]
		switch {
		case len(mods) != 1:
			return invalid("invalid type modifier")
		case mods[0] < 1:
			return invalid("length for type %s must be at least 1", name)
		case mods[0] > 8*10485760:
			return invalid("length for type %s cannot exceed %d", name, 8*10485760)
		}
		return base.WithTypmod(mods[0]), nil
	case sqltypes.KNumeric:
		return numericType(mods, invalid)
	case sqltypes.KTime, sqltypes.KTimetz, sqltypes.KTimestamp, sqltypes.KTimestamptz, sqltypes.KInterval:
		if base.Kind == sqltypes.KInterval && len(mods) == 0 {
			return base.WithTypmod(sqltypes.IntervalTypmod(t.IntervalFields, -1)), nil
		}
		if len(mods) != 1 {
			return invalid("invalid type modifier")
		}
		if mods[0] < 0 {
			head, tail, _ := strings.Cut(base.String(), " ")
			if tail == "without time zone" {
				tail = ""
			} else if tail != "" {
				tail = " " + strings.ToUpper(tail)
			}
			return invalid("%s(%d)%s precision must not be negative", strings.ToUpper(head), mods[0], tail)
		}
		if base.Kind == sqltypes.KInterval {
			return base.WithTypmod(sqltypes.IntervalTypmod(t.IntervalFields, min(mods[0], 6))), nil
		}
		return base.WithTypmod(min(mods[0], 6)), nil
	case sqltypes.KVector:
		switch {
		case len(mods) != 1:
			return invalid("invalid type modifier")
		case mods[0] < 1:
			return invalid("dimensions for type vector must be at least 1")
		case mods[0] > sqlio.MaxDimensions:
			return invalid("dimensions for type vector cannot exceed %d", sqlio.MaxDimensions)
		}
		return base.WithTypmod(mods[0]), nil
	}
	return base, sqlerr.New(sqlerr.SyntaxError, "type modifier is not allowed for type %q", base.Kind.Info().PgName).At(t.Pos)
}

func numericType(mods []int32, invalid func(string, ...any) (sqltypes.Type, error)) (sqltypes.Type, error) {
	if len(mods) > 2 {
		return invalid("invalid NUMERIC type modifier")
	}
	p, s := mods[0], int32(0)
	if p < 1 || p > 1000 {
		return invalid("NUMERIC precision %d must be between 1 and 1000", p)
	}
	if len(mods) == 2 {
		if s = mods[1]; s < -1000 || s > 1000 {
			return invalid("NUMERIC scale %d must be between -1000 and 1000", s)
		}
	}
	return sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(p, s)), nil
}

func intModifier(e parser.Expr) (int32, bool) {
	switch x := e.(type) {
	case *parser.NumberLit:
		n, err := strconv.ParseInt(x.Text, 10, 32)
		return int32(n), err == nil && x.Int
	case *parser.Unary:
		n, ok := intModifier(x.X)
		return -n, ok && x.Op == "-"
	}
	return 0, false
}

// typeOf is TypeOf for use inside the binder.
func (b *binder) typeOf(t *parser.TypeName) sqltypes.Type {
	ty, err := TypeOf(b.env, t)
	if err != nil {
		failAt(err, t.Pos)
	}
	return ty
}
