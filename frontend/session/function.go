package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// createFunction runs CREATE FUNCTION … LANGUAGE sql.
func (s *Session) createFunction(ctx context.Context, x *parser.CreateFunctionStmt) error {
	if x.Kind != parser.ObjFunction {
		return sqlerr.New(sqlerr.FeatureNotSupported, "CREATE %s is not supported", x.Kind).At(x.Pos)
	}
	snap := s.snapshot()
	schema, err := s.target(snap, x.Name)
	if err != nil {
		return err
	}
	f := &catalog.Function{Schema: schema, Name: x.Name.Last(), Owner: s.User(), Volatility: "v", Strict: x.Strict != nil && *x.Strict}
	if x.Volatility != "" {
		f.Volatility = strings.ToLower(x.Volatility[:1])
	}
	f.Definer = slices.Contains(x.Attributes, "SECURITY DEFINER")
	if slices.Contains(x.Attributes, "WINDOW") {
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "SQL functions cannot be window functions")
	}
	if err := s.functionBody(f, x); err != nil {
		return err
	}
	if err := s.signature(snap, f, x); err != nil {
		return err
	}
	var old *catalog.Function
	for _, g := range snap.FunctionsNamed(schema, f.Name) {
		if slices.Equal(g.Args, f.Args) {
			old = g
		}
	}
	if old != nil {
		if err := replaces(old, f, x); err != nil {
			return err
		}
		if err := s.mustOwn(old.Owner, "function", old.Name); err != nil {
			return err
		}
		f.ID, f.Comment, f.Owner, f.ACL = old.ID, old.Comment, old.Owner, old.ACL
	}
	if old == nil {
		if f.ID, err = s.m.Catalog.NewIDs(ctx, 1); err != nil {
			return err
		}
	}
	env := s.env(nil)
	if f.Form == "" { // names in quotes are looked up when the function is called, its own among them
		env.Catalog = withFunction(snap, f)
	}
	if err := bind.CheckFunction(env, f); err != nil {
		return inBody(err, x)
	}
	return s.apply(ctx, snap, catalog.Change{PutFunc: []*catalog.Function{f}})
}

// inBody takes the position out of an error that counts in the body's text.
func inBody(err error, x *parser.CreateFunctionStmt) error {
	e := *sqlerr.From(err)
	if x.Body != nil || e.Offset == 0 {
		e.Offset, e.Position = 0, 0
	}
	return &e
}

func (s *Session) functionBody(f *catalog.Function, x *parser.CreateFunctionStmt) error {
	given := 0
	if x.Body != nil {
		given++
		f.Body = *x.Body
	}
	if x.Return != nil {
		given++
		f.Form, f.Body = "return", "SELECT "+parser.Format(x.Return)
	}
	if x.Atomic != nil {
		given++
		f.Form, f.Body = "atomic", inBodyText(x.Atomic)
	}
	f.SearchPath = s.settings.must("search_path")
	switch {
	case x.Language == "" && (x.Return == nil && x.Atomic == nil):
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "no language specified")
	case x.Language != "" && !strings.EqualFold(x.Language, "sql"):
		if slices.Contains([]string{"plpgsql", "python", "javascript", "rust", "java", "wasm", "c", "internal"}, strings.ToLower(x.Language)) {
			return sqlerr.New(sqlerr.FeatureNotSupported, "language %q is not supported", x.Language).WithHint("LANGUAGE sql is.")
		}
		return sqlerr.New(sqlerr.UndefinedObject, "language %q does not exist", x.Language)
	case given == 0:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "no function body specified")
	case given > 1:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "duplicate function body specified")
	}
	return nil
}

// parameterType resolves the type of a parameter or result of f. A relation's name is the type of its rows, which is rows then.
func (s *Session) parameterType(snap *catalog.Snapshot, f *catalog.Function, n *parser.TypeName) (t sqltypes.Type, rows *catalog.Relation, err error) {
	if schema := n.Name.Schema(); (schema == "" || schema == "pg_catalog") && len(n.Dims) == 0 {
		if t, ok := sqltypes.ByName(n.Name.Last()); ok && t.IsPseudo() && t.Kind != sqltypes.KAny && t.Kind != sqltypes.KAnyMap {
			return t, nil, nil
		}
	}
	env := s.env(nil)
	t, err = bind.TypeOf(env, n)
	f.Signature = append(f.Signature, env.Used...)
	if err != nil && len(n.Dims) == 0 {
		if r, ferr := s.find(snap, n.Name); ferr == nil && len(r.Columns) > 0 {
			fields := make([]sqltypes.RowField, len(r.Columns))
			for i, c := range r.Columns {
				fields[i] = sqltypes.RowField{Name: c.Name, Type: c.Type.Base()}
			}
			f.Signature = append(f.Signature, r.ID)
			return sqltypes.StructOf(fields), r, nil
		}
	}
	return t.Base(), nil, err
}

// signature reads the parameters and the result.
func (s *Session) signature(snap *catalog.Snapshot, f *catalog.Function, x *parser.CreateFunctionStmt) error {
	var out []catalog.FuncColumn
	for i, p := range x.Params {
		t, rows, err := s.parameterType(snap, f, p.Type)
		if sqlerr.CodeOf(err) == sqlerr.UndefinedObject {
			return sqlerr.New(sqlerr.UndefinedObject, "type %s does not exist", p.Type.Name.String())
		}
		if err != nil {
			return err
		}
		switch {
		case t.Kind == sqltypes.KVoid:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "SQL functions cannot have arguments of type %s", t)
		case p.Type.SetOf:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "functions cannot accept set arguments")
		}
		mode := map[string]string{"": "i", "IN": "i", "OUT": "o", "INOUT": "b", "VARIADIC": "v"}[p.Mode]
		for _, o := range f.Params {
			if p.Name != "" && o.Name == p.Name {
				return sqlerr.New(sqlerr.InvalidFunctionDefinition, "parameter name %q used more than once", p.Name)
			}
		}
		if f.Variadic && mode != "o" {
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "VARIADIC parameter must be the last input parameter")
		}
		param := catalog.FuncParam{Name: p.Name, Mode: mode, Type: t}
		if rows != nil {
			param.Rows = rows.Name
		}
		f.Params = append(f.Params, param)
		switch mode {
		case "v":
			if k := t.Kind; k != sqltypes.KArray && k != sqltypes.KAnyArray && k != sqltypes.KAnyCompatibleArray {
				return sqlerr.New(sqlerr.InvalidFunctionDefinition, "VARIADIC parameter must be an array")
			}
			f.Variadic = true
		case "o", "b":
			name := p.Name
			if name == "" {
				name = fmt.Sprintf("column%d", len(out)+1)
			}
			out = append(out, catalog.FuncColumn{Name: name, Type: t})
			if mode == "o" {
				if p.Default != nil {
					return sqlerr.New(sqlerr.InvalidFunctionDefinition, "only input parameters can have default values")
				}
				continue
			}
		}
		switch {
		case p.Default != nil:
			def, err := s.parameterDefault(x, i, t)
			if err != nil {
				return err
			}
			f.Defaults = append(f.Defaults, def)
		case len(f.Defaults) > 0:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "input parameters after one with a default value must also have defaults")
		}
		f.Args, f.ArgNames = append(f.Args, t), append(f.ArgNames, p.Name)
	}
	if err := s.result(snap, f, x, out); err != nil {
		return err
	}
	if plainInput(f.Params) {
		f.Params = nil
	}
	return derivable(f)
}

// parameterDefault checks a default value and returns its text.
func (s *Session) parameterDefault(x *parser.CreateFunctionStmt, i int, t sqltypes.Type) (string, error) {
	p := x.Params[i]
	def := parser.Format(p.Default)
	if _, ok := p.Default.(*parser.StringLit); ok && !t.IsPseudo() && !t.HasFields() {
		def += "::" + t.String() // as PostgreSQL prints it
	}
	if _, err := bind.Default(s.env(nil), def, t, p.Name, nil); err != nil {
		e := *sqlerr.From(err)
		if e.Position != 0 || e.Offset != 0 {
			e.Position, e.Offset = 0, 0
			return "", e.At(p.Default.At())
		}
		return "", &e
	}
	return def, nil
}

// derivable refuses a polymorphic result that no argument decides.
func derivable(f *catalog.Function) error {
	some, common := false, false
	for _, t := range f.Args {
		some = some || t.IsPseudo() && t.Kind < sqltypes.KAnyCompatible
		common = common || t.Kind >= sqltypes.KAnyCompatible
	}
	results := []sqltypes.Type{f.Result}
	for _, c := range f.Columns {
		results = append(results, c.Type)
	}
	for _, t := range results {
		switch {
		case !t.IsPseudo():
		case t.Kind >= sqltypes.KAnyCompatible && !common:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot determine result data type").
				WithDetail("A result of type %s requires at least one input of type anycompatible, anycompatiblearray, anycompatiblenonarray, anycompatiblerange, or anycompatiblemultirange.", t)
		case t.Kind < sqltypes.KAnyCompatible && !some:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot determine result data type").
				WithDetail("A result of type %s requires at least one input of type anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange.", t)
		}
	}
	return nil
}

func (s *Session) result(snap *catalog.Snapshot, f *catalog.Function, x *parser.CreateFunctionStmt, out []catalog.FuncColumn) error {
	f.Result = sqltypes.Record
	switch {
	case x.ReturnsTable != nil && len(out) > 0:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "OUT and INOUT arguments aren't allowed in TABLE functions")
	case x.ReturnsTable != nil:
		f.Set = true
		for _, p := range x.ReturnsTable {
			t, _, err := s.parameterType(snap, f, p.Type)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(f.Columns, func(c catalog.FuncColumn) bool { return c.Name == p.Name }) {
				return sqlerr.New(sqlerr.InvalidFunctionDefinition, "parameter name %q used more than once", p.Name)
			}
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: p.Name, Type: t})
		}
		if len(f.Columns) == 1 {
			f.Result = f.Columns[0].Type
		}
		return nil
	case x.Returns == nil && len(out) == 0:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "function result type must be specified")
	}
	var t sqltypes.Type
	var rows *catalog.Relation
	if x.Returns != nil {
		var err error
		f.Set = x.Returns.SetOf
		if t, rows, err = s.parameterType(snap, f, x.Returns); err != nil {
			return err
		}
	}
	if len(out) > 0 {
		want := sqltypes.Record
		if len(out) == 1 {
			want = out[0].Type
		}
		if x.Returns != nil && t != want {
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "function result type must be %s because of OUT parameters", want)
		}
		if f.Result = want; len(out) > 1 {
			f.Columns, f.Out = out, true
		}
		return nil
	}
	f.Result = t
	switch {
	case rows != nil:
		f.Result, f.Rows = sqltypes.Record, rows.Name
		for _, c := range t.Fields() {
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type})
		}
	case t.HasFields() && t.IsNamed():
		f.Rows = x.Returns.Name.Last()
		for _, c := range t.Fields() {
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type})
		}
	}
	return nil
}

// replaces checks what OR REPLACE may not change.
func replaces(old, f *catalog.Function, x *parser.CreateFunctionStmt) error {
	if !x.OrReplace {
		return sqlerr.New(sqlerr.DuplicateFunction, "function %q already exists with same argument types", f.Name)
	}
	hint := "Use DROP FUNCTION " + signatureOf(old) + " first."
	if old.Result != f.Result || old.Set != f.Set || old.Rows != f.Rows || (old.Columns == nil) != (f.Columns == nil) {
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot change return type of existing function").WithHint("%s", hint)
	}
	if !slices.Equal(old.Columns, f.Columns) {
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot change return type of existing function").
			WithDetail("Row type defined by OUT parameters is different.").WithHint("%s", hint)
	}
	for i, n := range old.ArgNames {
		if n != "" && n != f.ArgNames[i] {
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot change name of input parameter %q", n).WithHint("%s", hint)
		}
	}
	if len(f.Defaults) < len(old.Defaults) {
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot remove parameter defaults from existing function").WithHint("%s", hint)
	}
	return nil
}

// signatureOf prints name(types).
func signatureOf(f *catalog.Function) string {
	parts := make([]string, len(f.Args))
	for i, t := range f.Args {
		parts[i] = t.String()
	}
	return f.Name + "(" + strings.Join(parts, ",") + ")"
}

// findFunction resolves the function that a statement names.
func (s *Session) findFunction(snap *catalog.Snapshot, n parser.Name, hasArgs bool, params []parser.FuncParam) (*catalog.Function, error) {
	path := s.SearchPath()
	if schema := n.Schema(); schema != "" {
		if snap.Schemas[schema] == nil && !isSystemSchema(schema) {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema)
		}
		path = []string{schema}
	}
	var args []sqltypes.Type
	var texts []string
	for _, p := range params {
		if p.Mode == "OUT" {
			continue
		}
		t, _, err := s.parameterType(snap, &catalog.Function{}, p.Type)
		if err != nil {
			return nil, err
		}
		args, texts = append(args, t), append(texts, t.String())
	}
	var found []*catalog.Function
	for _, schema := range path {
		for _, f := range snap.FunctionsNamed(schema, n.Last()) {
			if !hasArgs || slices.Equal(f.Args, args) {
				found = append(found, f)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, sqlerr.New(sqlerr.AmbiguousFunction, "function name %q is not unique", n.String()).
			WithHint("Specify the argument list to select the function unambiguously.")
	case hasArgs:
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s(%s) does not exist", n.String(), strings.Join(texts, ", "))
	}
	return nil, sqlerr.New(sqlerr.UndefinedFunction, "could not find a function named %q", n.String())
}

// dropFunction runs DROP FUNCTION.
func (s *Session) dropFunction(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	var fns []*catalog.Function
	for _, n := range x.Names {
		f, err := s.findFunction(snap, n.Name, n.HasArgs, n.Args)
		switch code := sqlerr.CodeOf(err); {
		case err == nil:
			if err := s.mustOwn(f.Owner, "function", f.Name); err != nil {
				return err
			}
			fns = append(fns, f)
		case x.IfExists && code == sqlerr.UndefinedFunction:
			var types []string
			for _, p := range n.Args {
				if t, err := s.typeOf(p.Type); err == nil {
					types = append(types, t.String())
				}
			}
			s.notice("function %s(%s) does not exist, skipping", n.Name.String(), strings.Join(types, ","))
		case x.IfExists && code == sqlerr.InvalidSchemaName:
			s.notice("schema %q does not exist, skipping", n.Name.Schema())
		default:
			return err
		}
	}
	if len(fns) == 0 {
		return nil
	}
	return s.dropObjects(ctx, snap, nil, fns, x.Behavior == parser.DropCascade)
}

// alterFunction runs ALTER FUNCTION.
func (s *Session) alterFunction(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old, err := s.findFunction(snap, x.Name, x.HasArgs, x.Args)
	if err != nil {
		return err
	}
	if err := s.mustOwn(old.Owner, "function", old.Name); err != nil {
		return err
	}
	f := *old
	free := func(schema, name string) error {
		for _, g := range snap.FunctionsNamed(schema, name) {
			if slices.Equal(g.Args, f.Args) {
				return sqlerr.New(sqlerr.DuplicateFunction, "function %s already exists in schema %q", strings.ReplaceAll(signatureOf(&catalog.Function{Name: name, Args: f.Args}), ",", ", "), schema)
			}
		}
		return nil
	}
	for _, a := range x.Actions {
		switch a.Kind {
		case parser.AlterRename:
			if err := free(f.Schema, a.NewName); err != nil {
				return err
			}
			if err := s.mayCreateIn(snap, f.Schema, -1); err != nil {
				return err
			}
			f.Name = a.NewName
		case parser.AlterSetSchema:
			if snap.Schemas[a.NewName] == nil {
				return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", a.NewName)
			}
			if a.NewName == f.Schema {
				continue
			}
			if err := free(a.NewName, f.Name); err != nil {
				return err
			}
			if err := s.mayCreateIn(snap, a.NewName, -1); err != nil {
				return err
			}
			f.Schema = a.NewName
		case parser.AlterOwner:
			name, err := s.newOwner(snap, &catalog.Relation{Schema: f.Schema}, a)
			if err != nil {
				return err
			}
			f.ACL = f.Protected().OwnedBy(name)
			f.Owner = name
		case parser.AlterFunction:
			if v := a.Function.Volatility; v != "" {
				f.Volatility = strings.ToLower(v[:1])
			}
			if a.Function.Strict != nil {
				f.Strict = *a.Function.Strict
			}
			for _, w := range a.Function.Attributes {
				switch w {
				case "SECURITY DEFINER":
					f.Definer = true
				case "SECURITY INVOKER":
					f.Definer = false
				}
			}
		default:
			return unsupported(x)
		}
	}
	return s.apply(ctx, snap, catalog.Change{PutFunc: []*catalog.Function{&f}})
}
