package parser

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		sql  string
		code sqlerr.Code
		at   int // byte offset from 0; -1: none
		text string
	}{
		{"SELECT", "", 0, ""},
		{"SELCT 1", "42601", 0, `syntax error at or near "SELCT"`},
		{"SELECT 1 +", "42601", 10, "syntax error at end of input"},
		{"SELECT a FROM t WHERE", "42601", 21, "syntax error at end of input"},
		{"SELECT 1; SELECT 2 FROM FROM", "42601", 24, `syntax error at or near "FROM"`},
		{"SELECT 'a'' b", "42601", 7, `unterminated quoted string at or near "'a'' b"`},
		{"SELECT \"a", "42601", 7, `unterminated quoted identifier at or near ""a"`},
		{"SELECT x'1g'", "22P02", 7, `"g" is not a valid hexadecimal digit`},
		{"SELECT b'12'", "22P02", 7, `"2" is not a valid binary digit`},
		{"SELECT $1a", "42601", 7, `trailing junk after parameter at or near "$1a"`},
		{"SELECT $99999999999", "42601", 7, `parameter number too large at or near "$99999999999"`},
		{"SELECT 'é' FROM \xff", "22021", -1, `invalid byte sequence for encoding "UTF8": 0xff`},
		{"SELECT \x00", "22021", -1, `invalid byte sequence for encoding "UTF8": 0x00`},
		{`SELECT E'\xff'`, "22021", 7, `invalid byte sequence for encoding "UTF8": 0xff`},
		{`SELECT E'a\0'`, "22021", 7, `invalid byte sequence for encoding "UTF8": 0x00`},
		{`SELECT E'\u12'`, "22025", 9, "invalid Unicode escape"},
		{"SELECT €€", "", 0, ""},
		{"SELECT a ! b", "", 0, ""},
		{"SELECT a \\ b", "42601", 9, `syntax error at or near "\"`},
		{"SELECT f(a) OVER (ROWS UNBOUNDED FOLLOWING)", "42P20", 23, "frame start cannot be UNBOUNDED FOLLOWING"},
		{"SELECT 'x'::float(99)", "22023", 18, "precision for type float must be less than 54 bits"},
		{"SELECT a LIMIT 1, 2", "42601", 9, "LIMIT #,# syntax is not supported"},
		{"CREATE SOURCE s (a int, b) WITH (x = 1)", "42601", 25, `syntax error at or near ")"`},
		{"CREATE SOURCE s WITH (a = )", "42601", 26, `syntax error at or near ")"`},
		{"CREATE SINK s", "42601", 13, "syntax error at end of input"},
		{"CREATE TABLE t (a struct<b int)", "42601", 30, `syntax error at or near ")"`},
		{"CREATE MATERIALIZED VIEW v AS SELECT 1 FROM t EMIT ON WINDOW OPEN", "42601", 61, `syntax error at or near "OPEN"`},
		{"SELECT /* /* */", "42601", 7, `unterminated /* comment at or near "/* /* */"`},
		{"SELECT @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 1", "42601", 7, "operator too long at or near \"" + strings.Repeat("@", 71) + "\""},
	}
	for _, test := range tests {
		_, err := Parse(test.sql)
		if test.code == "" {
			if err != nil {
				t.Errorf("%q: %v", test.sql, err)
			}
			continue
		}
		var e *sqlerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v, want %s", test.sql, err, test.text)
			continue
		}
		if e.Code != test.code || e.Offset-1 != test.at || e.Message != test.text {
			t.Errorf("%q:\n got %s %d %q\nwant %s %d %q", test.sql, e.Code, e.Offset-1, e.Message, test.code, test.at, test.text)
		}
	}
}

func TestScript(t *testing.T) {
	sql := " ;; BEGIN ; -- c;\n INSERT INTO t VALUES (';') ;\n/* ; */ COMMIT"
	stmts, err := Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range stmts {
		src := s.Src()
		if sql[src.Pos:src.End] != src.Text {
			t.Errorf("text %q is not at [%d,%d)", src.Text, src.Pos, src.End)
		}
		got = append(got, src.Text)
	}
	want := []string{"BEGIN", "INSERT INTO t VALUES (';')", "COMMIT"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNestedSource(t *testing.T) {
	s, err := ParseOne("EXPLAIN (VERBOSE) SELECT  a ;")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.(*ExplainStmt).Stmt.Src().Text; got != "SELECT  a" {
		t.Errorf("got %q", got)
	}
}

func TestParseOne(t *testing.T) {
	for sql, want := range map[string]string{
		"":                   "syntax error at end of input",
		" ; ":                "syntax error at end of input",
		"SELECT 1; SELECT 2": "cannot insert multiple commands into a prepared statement",
		"SELECT 1;":          "",
	} {
		_, err := ParseOne(sql)
		if got := ""; err != nil {
			got = message(err)
			if got != want {
				t.Errorf("%q: got %q, want %q", sql, got, want)
			}
		} else if want != "" {
			t.Errorf("%q: accepted", sql)
		}
	}
}

func TestOffsets(t *testing.T) {
	const sql = "SELECT a + f(b.c) FROM s.t WHERE NOT x"
	s, err := ParseOne(sql)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	Walk(s, func(n Node) bool {
		got[fmt.Sprintf("%T", n)] = n.At()
		return true
	})
	for kind, text := range map[string]string{
		"*parser.Binary": "+ f", "*parser.FuncCall": "f(", "*parser.RelRef": "s.t", "*parser.Not": "NOT", "*parser.Select": "SELECT",
	} {
		if at := got[kind]; at != strings.Index(sql, text) {
			t.Errorf("%s is at %d, want %d", kind, at, strings.Index(sql, text))
		}
	}
}

func TestLiterals(t *testing.T) {
	tests := []struct {
		sql  string
		want Expr
	}{
		{"'it''s'", &StringLit{Value: "it's"}},
		{`'a\n'`, &StringLit{Value: `a\n`}},
		{`E'a\n\t\b\f\r\v\\\'\q'`, &StringLit{Value: "a\n\t\b\f\r\v\\'q"}},
		{`E'\x41\101\u00e9\U0001F600'`, &StringLit{Value: "AAé😀"}},
		{`E'\ud83d\ude00'`, &StringLit{Value: "😀"}},
		{`U&'d\0061t\+000061 \\'`, &StringLit{Value: `data \`}},
		{`U&'d!0061' UESCAPE '!'`, &StringLit{Value: "da"}},
		{`U&'\D83D\DE00'`, &StringLit{Value: "😀"}},
		{"'a'\n  'b' -- c\n'd'", &StringLit{Value: "abd"}},
		{"E'a'\n'\\n'", &StringLit{Value: "a\n"}},
		{"$$a'b$$", &StringLit{Value: "a'b"}},
		{"$t$ $$ $x$ $t$", &StringLit{Value: " $$ $x$ "}},
		{"X'1aF'", &BitLit{Digits: "1aF", Hex: true}},
		{"b'01'", &BitLit{Digits: "01"}},
		{"0x1F", &NumberLit{Text: "31", Int: true}},
		{"0xffffffffffffffffff", &NumberLit{Text: "4722366482869645213695", Int: true}},
		{"0o17", &NumberLit{Text: "15", Int: true}},
		{"0b1_01", &NumberLit{Text: "5", Int: true}},
		{"1_000.5e-1_0", &NumberLit{Text: "1000.5e-10"}},
		{"5.", &NumberLit{Text: "5."}},
		{".5", &NumberLit{Text: ".5"}},
		{"$7", &Param{N: 7}},
		{`"A""b".C`, &ColumnRef{Parts: []string{`A"b`, "c"}}},
		{"Ünï", &ColumnRef{Parts: []string{"Ünï"}}},
		{`U&"\0061"`, &ColumnRef{Parts: []string{"a"}}},
		{"CURRENT_TIMESTAMP(3)", &SQLValue{Name: "current_timestamp", Precision: 3}},
	}
	for _, test := range tests {
		got, err := ParseExpr(test.sql)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		if strip(got); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %#v, want %#v", test.sql, got, test.want)
		}
	}
}

// TestFormat pins the printed form: types by SQL's names, quotes only where needed, special forms kept.
func TestFormat(t *testing.T) {
	tests := [][2]string{
		{"select A, B as b1 from T", "SELECT a, b AS b1 FROM t"},
		{`SELECT "a", "A", "select", "left", "int", "name", "é"`, `SELECT a, "A", "select", "left", "int", name, "é"`},
		{"SELECT ((1 + 2)) * 3 - (4 - 5)", "SELECT (1 + 2) * 3 - (4 - 5)"},
		{"SELECT a != b", "SELECT a <> b"},
		{"SELECT - - 1, -(-1), - (a + b)", "SELECT - -1, - -1, -(a + b)"},
		{"SELECT CAST(a AS int4), b::decimal(5,2), c::varchar(3), d::char, e::timestamptz(3), f::float(3), g::int8[][3]",
			"SELECT a::integer, b::numeric(5, 2), c::character varying(3), d::character(1), e::timestamp(3) with time zone, f::real, g::bigint[][3]"},
		{"SELECT DATE '2024-01-01', INTERVAL '1' day", "SELECT '2024-01-01'::date, '1'::interval day"},
		{"SELECT EXTRACT(YEAR FROM a), SUBSTRING(a FROM 2), TRIM(LEADING 'x' FROM a), POSITION('x' IN y)",
			"SELECT extract('year' FROM a), substring(a, 2), ltrim(a, 'x'), position('x' IN y)"},
		{"SELECT a AT TIME ZONE 'UTC' COLLATE \"C\"", "SELECT a AT TIME ZONE 'UTC' COLLATE \"C\""},
		{"SELECT COUNT(*) FILTER (WHERE x) OVER w FROM t", "SELECT count(*) FILTER (WHERE x) OVER w FROM t"},
		{"TABLE t", "SELECT * FROM t"},
		{"SELECT * FROM a, LATERAL f(1) WITH ORDINALITY b (c)", "SELECT * FROM a, LATERAL f(1) WITH ORDINALITY AS b (c)"},
		{"(SELECT 1) UNION ALL ((SELECT 2))", "SELECT 1 UNION ALL SELECT 2"},
		{"SELECT 1 FETCH FIRST 5 ROWS ONLY", "SELECT 1 LIMIT 5"},
		{"create source S(a INT) with (Connector='kafka', a.B = secret x) format plain encode json",
			"CREATE SOURCE s (a integer) WITH (connector = 'kafka', a.b = SECRET x) FORMAT PLAIN ENCODE JSON"},
		{"SET x = a, 1", "SET x TO 'a', 1"},
	}
	for _, test := range tests {
		s, err := ParseOne(test[0])
		if err != nil {
			t.Errorf("%q: %v", test[0], err)
			continue
		}
		if got := Format(s); got != test[1] {
			t.Errorf("%q:\n got %s\nwant %s", test[0], got, test[1])
		}
	}
}

func TestRelationArg(t *testing.T) {
	s, err := ParseOne("SELECT * FROM TUMBLE(s.bid, ts, INTERVAL '1 s'), HOP((SELECT 1), ts), f(1)")
	if err != nil {
		t.Fatal(err)
	}
	from := s.(*SelectStmt).Query.Body.(*Select).From
	arg := func(i int) Arg { return from[i].(*FuncRef).Funcs[0].Call.(*FuncCall).Args[0] }
	if name, q, ok := RelationArg(arg(0)); name.String() != "s.bid" || q != nil || !ok {
		t.Errorf("got %v %v %v", name, q, ok)
	}
	if name, q, ok := RelationArg(arg(1)); !name.IsZero() || q == nil || !ok {
		t.Errorf("got %v %v %v", name, q, ok)
	}
	if _, _, ok := RelationArg(arg(2)); ok {
		t.Error("a number is no relation")
	}
}

func TestParseExprAndType(t *testing.T) {
	if _, err := ParseExpr("a + 1 b"); err == nil || message(err) != `syntax error at or near "b"` {
		t.Errorf("got %v", err)
	}
	typ, err := ParseType("timestamp(3) with time zone[]")
	if err != nil {
		t.Fatal(err)
	}
	if typ.Name.String() != "timestamptz" || len(typ.Mods) != 1 || len(typ.Dims) != 1 {
		t.Errorf("got %+v", typ)
	}
	if _, err := ParseType("int x"); err == nil {
		t.Error("accepted")
	}
}

func TestQuoteIdent(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", "a_1$": "a_1$", "A": `"A"`, "1a": `"1a"`, "a b": `"a b"`, `a"b`: `"a""b"`, "table": `"table"`,
		"left": `"left"`, "int": `"int"`, "name": "name", "source": "source", "": `""`,
	} {
		if got := QuoteIdent(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}
