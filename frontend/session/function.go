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
	if err := bind.CheckFunction(s.env(nil), f); err != nil {
		return inBody(err, x)
	}
	if old == nil {
		if f.ID, err = s.m.Catalog.NewIDs(ctx, 1); err != nil {
			return err
		}
	} else if callsItself(snap, f, f.ID, 0) {
		return sqlerr.New(sqlerr.FeatureNotSupported, "recursive function %q is not supported", f.Name)
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

// callsItself says that a function would be expanded without end.
func callsItself(snap *catalog.Snapshot, f *catalog.Function, id catalog.ID, depth int) bool {
	for _, d := range f.DependsOn {
		if d == id || depth > 100 {
			return true
		}
		if g := snap.Functions[d]; g != nil && callsItself(snap, g, id, depth+1) {
			return true
		}
	}
	return false
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
		var parts []string
		for _, st := range x.Atomic {
			parts = append(parts, st.Src().Text)
		}
		f.Form, f.Body = "atomic", strings.Join(parts, ";\n ")
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

// signature reads the parameters and the result.
func (s *Session) signature(snap *catalog.Snapshot, f *catalog.Function, x *parser.CreateFunctionStmt) error {
	env := s.env(nil)
	var out []catalog.FuncColumn
	for _, p := range x.Params {
		t, err := bind.TypeOf(env, p.Type)
		if sqlerr.CodeOf(err) == sqlerr.UndefinedObject {
			return sqlerr.New(sqlerr.UndefinedObject, "type %s does not exist", p.Type.Name.String())
		}
		if err != nil {
			return err
		}
		t = t.Base()
		if t.IsPseudo() {
			return sqlerr.New(sqlerr.FeatureNotSupported, "SQL functions with arguments of type %s are not supported", t).At(p.Pos)
		}
		if p.Name != "" && (slices.Contains(f.ArgNames, p.Name) || slices.ContainsFunc(out, func(c catalog.FuncColumn) bool { return c.Name == p.Name })) {
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "parameter name %q used more than once", p.Name)
		}
		switch p.Mode {
		case "VARIADIC":
			return sqlerr.New(sqlerr.FeatureNotSupported, "VARIADIC parameters are not supported").At(p.Pos)
		case "OUT", "INOUT":
			name := p.Name
			if name == "" {
				name = fmt.Sprintf("column%d", len(out)+1)
			}
			out = append(out, catalog.FuncColumn{Name: name, Type: t})
			if p.Mode == "OUT" {
				if p.Default != nil {
					return sqlerr.New(sqlerr.InvalidFunctionDefinition, "only input parameters can have default values")
				}
				continue
			}
		}
		switch {
		case p.Default != nil:
			def := parser.Format(p.Default)
			if _, ok := p.Default.(*parser.StringLit); ok {
				def += "::" + t.String() // as PostgreSQL prints it
			}
			if _, err := bind.Default(s.env(nil), def, t, p.Name, nil); err != nil {
				return err
			}
			f.Defaults = append(f.Defaults, def)
		case len(f.Defaults) > 0:
			return sqlerr.New(sqlerr.InvalidFunctionDefinition, "input parameters after one with a default value must also have defaults")
		}
		f.Args, f.ArgNames = append(f.Args, t), append(f.ArgNames, p.Name)
	}
	return s.result(snap, env, f, x, out)
}

func (s *Session) result(snap *catalog.Snapshot, env *bind.Env, f *catalog.Function, x *parser.CreateFunctionStmt, out []catalog.FuncColumn) error {
	f.Result = sqltypes.Record
	switch {
	case x.ReturnsTable != nil && len(out) > 0:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "OUT and INOUT arguments aren't allowed in TABLE functions")
	case x.ReturnsTable != nil:
		f.Set = true
		for _, p := range x.ReturnsTable {
			t, err := bind.TypeOf(env, p.Type)
			if err != nil {
				return err
			}
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: p.Name, Type: t.Base()})
		}
		if len(f.Columns) == 1 {
			f.Result = f.Columns[0].Type
		}
		return nil
	case x.Returns == nil && len(out) == 0:
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "function result type must be specified")
	}
	f.Set = x.Returns != nil && x.Returns.SetOf
	if len(out) > 0 {
		f.Out = true
		if len(out) == 1 {
			f.Result, f.Out = out[0].Type, false
			if f.Set {
				f.Columns, f.Out = out, true
			}
			return nil
		}
		f.Columns = out
		return nil
	}
	t, err := bind.TypeOf(env, x.Returns)
	if err != nil || t.Kind == sqltypes.KRecord && t != sqltypes.Record {
		if r, ferr := s.find(snap, x.Returns.Name); ferr == nil && len(x.Returns.Dims) == 0 { // the rows of a relation
			f.DependsOn = append(f.DependsOn, r.ID)
			for _, c := range r.Columns {
				f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type.Base()})
			}
			f.Rows = r.Name
			return nil
		}
	}
	switch {
	case err != nil:
		return err
	case t.Kind == sqltypes.KVoid || t == sqltypes.Record || t.IsPseudo():
		return sqlerr.New(sqlerr.FeatureNotSupported, "SQL functions that return type %s are not supported", t).At(x.Returns.Pos)
	}
	f.Result = t.Base()
	return nil
}

// replaces checks what OR REPLACE may not change.
func replaces(old, f *catalog.Function, x *parser.CreateFunctionStmt) error {
	if !x.OrReplace {
		return sqlerr.New(sqlerr.DuplicateFunction, "function %q already exists with same argument types", f.Name)
	}
	hint := "Use DROP FUNCTION " + signatureOf(old) + " first."
	if old.Result != f.Result || old.Set != f.Set || !slices.Equal(old.Columns, f.Columns) {
		return sqlerr.New(sqlerr.InvalidFunctionDefinition, "cannot change return type of existing function").WithHint("%s", hint)
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
		t, err := s.typeOf(p.Type)
		if err != nil {
			return nil, err
		}
		args, texts = append(args, t.Base()), append(texts, t.Base().String())
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
