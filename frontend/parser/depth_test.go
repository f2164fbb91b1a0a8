package parser

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

// TestTooDeep nests every recursive construct 100,000 times: each is refused, none overflows the stack.
func TestTooDeep(t *testing.T) {
	const n = 100_000
	for name, sql := range map[string]string{
		"parentheses": "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"open":        "SELECT " + strings.Repeat("(", n),
		"subqueries":  strings.Repeat("SELECT (", n) + "1" + strings.Repeat(")", n),
		"statement":   strings.Repeat("(", n) + "SELECT 1" + strings.Repeat(")", n),
		"scalar":      "SELECT " + strings.Repeat("(", n) + "SELECT 1" + strings.Repeat(")", n),
		"from":        strings.Repeat("SELECT * FROM (", n),
		"from parens": "SELECT * FROM " + strings.Repeat("(", n) + "SELECT 1",
		"from joins":  "SELECT * FROM " + strings.Repeat("(a JOIN ", n),
		"joins":       "SELECT * FROM a" + strings.Repeat(" JOIN a", n),
		"minus":       "SELECT " + strings.Repeat("- ", n) + "1",
		"not":         "SELECT " + strings.Repeat("NOT ", n) + "a",
		"prefix":      "SELECT " + strings.Repeat("@ ", n) + "a",
		"right side":  "SELECT a" + strings.Repeat(" ^ - a", n),
		"case":        "SELECT " + strings.Repeat("CASE WHEN ", n),
		"calls":       "SELECT " + strings.Repeat("f(", n),
		"in":          "SELECT " + strings.Repeat("a IN (", n),
		"any":         "SELECT " + strings.Repeat("a = ANY (", n),
		"arrays":      "SELECT ARRAY" + strings.Repeat("[", n),
		"subscripts":  "SELECT " + strings.Repeat("a[", n),
		"struct":      "SELECT a::" + strings.Repeat("struct<a ", n),
		"map":         "SELECT a::" + strings.Repeat("map(int, ", n),
		"modifiers":   "SELECT " + strings.Repeat("numeric(", n),
		"with":        strings.Repeat("WITH a AS (", n),
		"grouping":    "SELECT 1 GROUP BY " + strings.Repeat("GROUPING SETS (", n),
		"between":     "SELECT a" + strings.Repeat(" BETWEEN (a", n),
		"overlaps":    "SELECT (a, b)" + strings.Repeat(" OVERLAPS (a, (a, b)", n),
		"chain":       "SELECT a" + strings.Repeat(" + a", n),
		"cast chain":  "SELECT a" + strings.Repeat("::int", n),
		"is null":     "SELECT a" + strings.Repeat(" IS NULL", n),
		"union":       "SELECT 1" + strings.Repeat(" UNION SELECT 1", n),
		"cross joins": "SELECT * FROM a" + strings.Repeat(" CROSS JOIN a", n),
		"fields":      "SELECT (a)" + strings.Repeat(".b", n),
		"explain":     strings.Repeat("EXPLAIN CREATE TABLE t AS ", n),
	} {
		_, err := Parse(sql)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != sqlerr.StatementTooComplex && e.Code != sqlerr.SyntaxError {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLongChains parses, prints and parses again what is long but not deep.
func TestLongChains(t *testing.T) {
	const n = 30_000
	for name, sql := range map[string]string{
		"plus":   "SELECT a" + strings.Repeat(" + a", n),
		"and":    "SELECT a" + strings.Repeat(" AND a", n),
		"or":     "SELECT a" + strings.Repeat(" OR a = b AND c", n),
		"concat": "SELECT a" + strings.Repeat(" || 'x'", n),
		"mixed":  "SELECT a" + strings.Repeat(" * a + a", n/2),
		"union":  "SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", n),
		"values": "VALUES (1)" + strings.Repeat(", (1 + 2 * 3)", n),
		"in":     "SELECT a IN (1" + strings.Repeat(", 1", n) + ")",
		"joins":  "SELECT * FROM a" + strings.Repeat(" JOIN a ON b", n),
		"casts":  "SELECT a" + strings.Repeat("::int", n),
		"stmts":  strings.Repeat("SELECT 1;", n),
		"case":   "SELECT CASE" + strings.Repeat(" WHEN a THEN b", n) + " END",
	} {
		stmts, err := Parse(sql)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := Format(stmts[0])
		again, err := ParseOne(text)
		if err != nil || Format(again) != text {
			t.Errorf("%s: does not read back: %v", name, err)
		}
	}
}
