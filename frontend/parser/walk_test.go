package parser

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestWalkReachesEveryNode compares Walk with a search by reflection: no expression, query or FROM item
// of the corpora may be missed.
func TestWalkReachesEveryNode(t *testing.T) {
	for _, file := range []string{"postgres.sql", "streaming.sql"} {
		for _, sql := range lines(t, file) {
			stmts, err := Parse(sql)
			if err != nil {
				t.Fatalf("%q: %v", sql, err)
			}
			for _, s := range stmts {
				seen := map[Node]bool{}
				Walk(s, func(n Node) bool {
					if seen[n] {
						t.Errorf("%q: visited twice: %s", sql, Format(n))
					}
					seen[n] = true
					return true
				})
				for _, n := range reachable(s) {
					if !seen[n] {
						t.Errorf("%q: not visited: %T %s", sql, n, Format(n))
					}
				}
			}
		}
	}
}

// reachable finds the nodes that Walk should visit: all but literals in places of their own, such as the
// modifiers of types, the values of settings and options.
func reachable(s Stmt) []Node {
	var out []Node
	var find func(v reflect.Value)
	find = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				return
			}
			switch n := v.Interface().(type) {
			case *TypeName, *SetStmt, *AlterDefaultPrivilegesStmt:
				return
			case Expr:
				out = append(out, n)
			case *Query, TableRef, QueryBody, Stmt:
				out = append(out, n.(Node))
			}
			find(v.Elem())
		case reflect.Interface:
			find(v.Elem())
		case reflect.Slice:
			for i := range v.Len() {
				find(v.Index(i))
			}
		case reflect.Struct:
			switch x := v.Interface().(type) {
			case Option, InsertColumn, OnConflict, FuncParam, ExplainStmt:
				if e, ok := x.(ExplainStmt); ok && e.Stmt != nil {
					find(reflect.ValueOf(e.Stmt))
				}
				return
			case AlterAction:
				if x.Kind == AlterSetParam {
					return
				}
			}
			for i := range v.NumField() {
				find(v.Field(i))
			}
		}
	}
	find(reflect.ValueOf(s))
	return out
}

func TestWalkExprStaysOutsideSubqueries(t *testing.T) {
	e, err := ParseExpr("a + (SELECT b) + CASE WHEN c IN (SELECT d) THEN f(e ORDER BY g) OVER (PARTITION BY h) END")
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	WalkExpr(e, func(e Expr) bool {
		if c, ok := e.(*ColumnRef); ok {
			columns = append(columns, c.Parts[0])
		}
		return true
	})
	if want := []string{"a", "c", "e", "g", "h"}; !slices.Equal(columns, want) {
		t.Errorf("got %v, want %v", columns, want)
	}
}

// TestRewrite renames every column of every expression of the corpora that has none in a subquery, and
// checks that the original is unchanged and that an idle rewrite returns the very same tree.
func TestRewrite(t *testing.T) {
	rename := func(e Expr) Expr {
		if c, ok := e.(*ColumnRef); ok {
			return &ColumnRef{c.Loc, []string{"renamed"}}
		}
		return e
	}
	for _, sql := range lines(t, "postgres.sql") {
		stmts, err := Parse(sql)
		if err != nil || len(stmts) != 1 {
			continue
		}
		s, ok := stmts[0].(*SelectStmt)
		if !ok {
			continue
		}
		body, ok := s.Query.Body.(*Select)
		if !ok {
			continue
		}
		for _, target := range body.Targets {
			before := Format(target.Expr)
			if Rewrite(target.Expr, func(e Expr) Expr { return e }) != target.Expr {
				t.Errorf("%s: an idle rewrite copied", before)
			}
			after := Rewrite(target.Expr, rename)
			if Format(target.Expr) != before {
				t.Errorf("%s was changed to %s", before, Format(target.Expr))
			}
			WalkExpr(after, func(e Expr) bool {
				if c, ok := e.(*ColumnRef); ok && c.Parts[0] != "renamed" {
					t.Errorf("%s: %s was missed", before, strings.Join(c.Parts, "."))
				}
				return true
			})
		}
	}
}
