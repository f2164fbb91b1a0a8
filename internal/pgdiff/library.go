package pgdiff

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Library is the functions, operators and types that both sides have, as our catalogs list them.
type Library struct {
	Functions []Function
	Operators []Operator
	Types     []string // names of concrete types and arrays that both have, and that edges has values of
}

// Function is one overload.
type Function struct {
	Name     string
	Kind     string // f, a, w
	Set      bool
	Args     []string // type names
	Variadic string   // element type of the last argument; "" if there is none
}

func (f Function) String() string { return f.Name + "(" + strings.Join(f.Args, ", ") + ")" }

// Operator is one overload; Left is "" for a prefix operator.
type Operator struct{ Name, Left, Right string }

func (o Operator) String() string { return strings.TrimSpace(o.Left + " " + o.Name + " " + o.Right) }

// LoadLibrary reads the catalogs of both sides. What the list of differences leaves out is left out.
func LoadLibrary(ctx context.Context, ours, theirs *pgconn.PgConn, list Differences) (*Library, error) {
	l := &Library{}
	names, err := typeNames(ctx, ours)
	if err != nil {
		return nil, err
	}
	if err := l.loadTypes(ctx, names, theirs); err != nil {
		return nil, err
	}
	if err := l.loadFunctions(ctx, names, ours, theirs, list); err != nil {
		return nil, err
	}
	return l, l.loadOperators(ctx, names, ours, theirs, list)
}

func typeNames(ctx context.Context, c *pgconn.PgConn) (map[string]string, error) {
	rows, err := query(ctx, c, "SELECT oid, typname FROM pg_catalog.pg_type ORDER BY oid")
	if err != nil {
		return nil, err
	}
	out := map[string]string{"0": ""}
	for _, r := range rows {
		out[r[0]] = r[1]
	}
	return out, nil
}

func (l *Library) loadTypes(ctx context.Context, names map[string]string, theirs *pgconn.PgConn) error {
	have, err := typeNames(ctx, theirs)
	if err != nil {
		return err
	}
	for oid, name := range names {
		if have[oid] == name && edges[name] != nil {
			l.Types = append(l.Types, name)
		}
	}
	slices.Sort(l.Types)
	return nil
}

func (l *Library) loadFunctions(ctx context.Context, names map[string]string, ours, theirs *pgconn.PgConn, list Differences) error {
	volatile := map[string]bool{}
	rows, err := query(ctx, theirs, "SELECT proname, bool_or(provolatile = 'v') FROM pg_catalog.pg_proc GROUP BY proname")
	if err != nil {
		return err
	}
	for _, r := range rows {
		volatile[r[0]] = r[1] == "t"
	}
	// The functions behind operators, input and output are in our pg_proc for those who look them up, but cannot be
	// called by their names: routines does not list them.
	callable := map[string]bool{}
	rows, err = query(ctx, ours, "SELECT DISTINCT routine_name FROM information_schema.routines")
	if err != nil {
		return err
	}
	for _, r := range rows {
		callable[r[0]] = true
	}
	rows, err = query(ctx, ours, "SELECT proname, prokind, proretset, provariadic, proargtypes FROM pg_catalog.pg_proc WHERE oid < 16384 ORDER BY proname, pronargs, oid")
	if err != nil {
		return err
	}
	for _, r := range rows {
		f := Function{Name: r[0], Kind: r[1], Set: r[2] == "t", Variadic: names[r[3]]}
		for _, oid := range strings.Fields(r[4]) {
			f.Args = append(f.Args, names[oid])
		}
		v, known := volatile[f.Name]
		if known && !v && (callable[f.Name] || f.Kind != "f") && !slices.ContainsFunc(f.Args, internalType) && !list.Skips(f.Name) {
			l.Functions = append(l.Functions, f)
		}
	}
	return nil
}

// internalType reports whether no expression has values of type name, or none that are tried here.
func internalType(name string) bool {
	return slices.Contains([]string{"internal", "cstring", "void", "trigger", "unknown", "anyenum", "anymap", "vector", ""}, name)
}

func (l *Library) loadOperators(ctx context.Context, names map[string]string, ours, theirs *pgconn.PgConn, list Differences) error {
	const q = "SELECT DISTINCT oprname, oprleft, oprright FROM pg_catalog.pg_operator ORDER BY 1, 2, 3"
	have := map[string]bool{}
	rows, err := query(ctx, theirs, q)
	if err != nil {
		return err
	}
	for _, r := range rows {
		have[r[0]] = true
	}
	if rows, err = query(ctx, ours, q); err != nil {
		return err
	}
	for _, r := range rows {
		o := Operator{r[0], names[r[1]], names[r[2]]}
		if have[o.Name] && !list.Skips(o.Name) {
			l.Operators = append(l.Operators, o)
		}
	}
	return nil
}

// query returns rows as text, NULL as "".
func query(ctx context.Context, c *pgconn.PgConn, sql string) ([][]string, error) {
	a, err := Ask(ctx, c, Text, []string{sql})
	if err != nil {
		return nil, err
	}
	if a[0].Err != nil {
		return nil, fmt.Errorf("ask %s: %w", sql, a[0].Err)
	}
	out := make([][]string, len(a[0].Rows))
	for i, row := range a[0].Rows {
		for _, v := range row {
			out[i] = append(out[i], string(v))
		}
	}
	return out, nil
}
