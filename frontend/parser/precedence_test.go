package parser

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	pgquery "github.com/wasilibs/go-pgquery"
)

// TestOraclePrecedence writes random operator expressions without parentheses and demands that
// PostgreSQL and we agree on whether they parse, and if so on how they are parenthesised.
func TestOraclePrecedence(t *testing.T) {
	seed := uint64(20261120)
	rng := rand.New(rand.NewPCG(seed, 1))
	accepted := 0
	for range 6000 {
		text := randomOperators(rng)
		ours, err := ParseExpr(text)
		theirs, pgErr := pgExpr(text)
		switch {
		case err != nil && pgErr == nil:
			t.Errorf("seed %d: we refuse %q: %s; PostgreSQL reads %s", seed, text, message(err), theirs)
		case err == nil && pgErr != nil:
			t.Errorf("seed %d: we accept %q as %s; PostgreSQL says %v", seed, text, shape(ours), pgErr)
		case err == nil:
			accepted++
			if got := shape(ours); got != theirs {
				t.Errorf("seed %d: %q is\n  %s to us,\n  %s to PostgreSQL", seed, text, got, theirs)
			}
			if again, err := ParseExpr(Format(ours)); err != nil || shape(again) != theirs {
				t.Errorf("seed %d: %q was formatted as %q", seed, text, Format(ours))
			}
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d expressions were accepted by both: the generator is off", accepted)
	}
}

var infixTexts = []string{
	"+", "-", "*", "/", "%", "^", "=", "<", ">=", "<>", "||", "->", "&", "@>", "~", "AND", "OR",
	"LIKE", "NOT LIKE", "ILIKE", "SIMILAR TO", "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "AT TIME ZONE",
	"OPERATOR(s.+)", "= ANY (z) +", "IN (z) =", "BETWEEN p AND", "NOT BETWEEN SYMMETRIC p + q AND",
	"LIKE p ESCAPE", "IS NULL =", "COLLATE c <",
}

var prefixTexts = []string{"- ", "+ ", "NOT ", "@ ", "OPERATOR(s.-) "}

var postfixTexts = []string{
	" IS NULL", " IS NOT TRUE", " ISNULL", " NOTNULL", "::int", " COLLATE c", " IN (y)", " NOT IN (y)", "[i]",
	" = ALL (y)", " AT LOCAL", " IS NOT DISTINCT FROM y", " LIKE ANY (y)", " BETWEEN y AND z",
}

func randomOperators(rng *rand.Rand) string {
	var b strings.Builder
	operand := func(name string) {
		for rng.IntN(5) == 0 {
			b.WriteString(prefixTexts[rng.IntN(len(prefixTexts))])
		}
		b.WriteString(name)
		for rng.IntN(5) == 0 {
			b.WriteString(postfixTexts[rng.IntN(len(postfixTexts))])
		}
	}
	operand("a")
	for i := range 1 + rng.IntN(4) {
		b.WriteString(" " + infixTexts[rng.IntN(len(infixTexts))] + " ")
		operand(string(rune('b' + i)))
	}
	return b.String()
}

// shape writes an expression with an operator name and its operands in parentheses.
func shape(e Expr) string {
	var kids []string
	children(e, func(n Node) { kids = append(kids, shape(n.(Expr))) })
	name := ""
	switch e := e.(type) {
	case *ColumnRef:
		return strings.Join(e.Parts, ".")
	case *Unary:
		name = e.Op
	case *Binary:
		name = e.Op
	case *BoolOp:
		name = []string{"AND", "OR"}[e.Kind]
	case *Not:
		name = "NOT"
	case *IsTest:
		name = []string{"null", "true", "false", "unknown"}[e.Kind]
		if e.Not {
			name = "not " + name
		}
	case *IsDistinct:
		name = "distinct"
		if e.Not {
			name = "not distinct"
		}
	case *Like:
		name = []string{"~~", "~~*", "~"}[e.Kind]
		if e.Not {
			name = "!" + name
		}
	case *In:
		name = "="
		if e.Not {
			name = "<>"
		}
		kids = []string{kids[0], "(list " + strings.Join(kids[1:], " ") + ")"}
	case *Between:
		name = "between"
	case *Quantified:
		name = e.Op
	case *Cast:
		name = "cast"
	case *Collate:
		name = "collate"
	case *Subscript:
		name = "subscript"
	case *AtTimeZone:
		// PostgreSQL makes it timezone(zone, x), and timezone(x) of AT LOCAL.
		name = "timezone"
		if e.Zone != nil {
			kids[0], kids[1] = kids[1], kids[0]
		}
	default:
		return fmt.Sprintf("%T", e)
	}
	if l, ok := e.(*Like); ok && (l.Kind == SimilarTo || l.Escape != nil) {
		kids = []string{kids[0], "(escape " + strings.Join(kids[1:], " ") + ")"}
	}
	return "(" + name + " " + strings.Join(kids, " ") + ")"
}

// pgExpr is shape of PostgreSQL's tree.
func pgExpr(text string) (string, error) {
	out, err := pgquery.ParseToJSON("SELECT " + text)
	if err != nil {
		return "", err
	}
	var tree any
	if err := json.Unmarshal([]byte(out), &tree); err != nil {
		return "", err
	}
	targets := dig(tree, "stmts", 0, "stmt", "SelectStmt", "targetList").([]any)
	if len(targets) != 1 {
		return "", fmt.Errorf("%d targets", len(targets))
	}
	target := dig(targets[0], "ResTarget").(map[string]any)
	if target["name"] != nil {
		return "", fmt.Errorf("a label")
	}
	return pgShape(target["val"]), nil
}

// dig follows keys and indexes into decoded JSON.
func dig(x any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := x.(map[string]any)
			x = m[step]
		case int:
			x = x.([]any)[step]
		}
	}
	return x
}

func pgShape(x any) string {
	node, _ := x.(map[string]any)
	if len(node) != 1 {
		keys := []string{}
		for k := range node {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		return "?" + strings.Join(keys, ",")
	}
	for kind, body := range node {
		return pgNode(kind, body.(map[string]any))
	}
	return ""
}

func pgNode(kind string, n map[string]any) string {
	group := func(name string, kids ...any) string {
		out := "(" + name
		for _, k := range kids {
			if k != nil {
				out += " " + pgShape(k)
			}
		}
		return out + ")"
	}
	list := func(x any) []any {
		l, _ := x.([]any)
		return l
	}
	switch kind {
	case "ColumnRef":
		return dig(n, "fields", 0, "String", "sval").(string)
	case "A_Const":
		return "const"
	case "A_Expr":
		names := list(n["name"])
		op := dig(names[len(names)-1], "String", "sval").(string)
		switch n["kind"] {
		case "AEXPR_DISTINCT":
			op = "distinct"
		case "AEXPR_NOT_DISTINCT":
			op = "not distinct"
		case "AEXPR_IN":
			items := list(dig(n, "rexpr", "List", "items"))
			return "(" + op + " " + pgShape(n["lexpr"]) + " " + group("list", items...) + ")"
		case "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_BETWEEN_SYM", "AEXPR_NOT_BETWEEN_SYM":
			items := list(dig(n, "rexpr", "List", "items"))
			return group("between", append([]any{n["lexpr"]}, items...)...)
		}
		return group(op, n["lexpr"], n["rexpr"])
	case "BoolExpr":
		return group(strings.TrimSuffix(n["boolop"].(string), "_EXPR"), list(n["args"])...)
	case "NullTest":
		return group(map[string]string{"IS_NULL": "null", "IS_NOT_NULL": "not null"}[n["nulltesttype"].(string)], n["arg"])
	case "BooleanTest":
		return group(map[string]string{"IS_NOT_TRUE": "not true"}[n["booltesttype"].(string)], n["arg"])
	case "TypeCast":
		return group("cast", n["arg"])
	case "CollateClause":
		return group("collate", n["arg"])
	case "A_Indirection":
		return group("subscript", append([]any{n["arg"]}, list(n["indirection"])...)...)
	case "A_Indices":
		return pgShape(n["uidx"])
	case "FuncCall":
		names := list(n["funcname"])
		name := dig(names[len(names)-1], "String", "sval").(string)
		name = map[string]string{"timezone": "timezone", "like_escape": "escape", "similar_to_escape": "escape"}[name]
		return group(name, list(n["args"])...)
	}
	return "?" + kind
}
