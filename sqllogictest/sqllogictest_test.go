package sqllogictest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// writeFile puts a script into the test's folder.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesThatPass(t *testing.T) {
	tests := []struct{ name, text string }{
		{"statements", "# comment\nstatement ok\nnothing\n\nstatement count 3\naffect 3\n"},
		{"sql of several lines", "query T\nrows a\n  b\n----\na b\n"},
		{"errors by code", "statement error 42P01\nerror 42P01 relation \"x\" does not exist\n"},
		{"errors by pattern", "statement error relation .* does not exist$\nerror 42P01 relation \"x\" does not exist\n"},
		{"errors by both", "statement error 42P01 not exist\nerror 42P01 relation \"x\" does not exist\n"},
		{"any error", "statement error\nerror 42P01 x\n\nquery error\nerror XX000 y\n"},
		{"error text", "statement error\nerror 42P01 relation is not there\n----\nrelation is not there\n\n\nstatement ok\nnothing\n"},
		{"error text with a blank line", "statement error\nerror 42P01 one\\n\\ntwo\n----\none\n\ntwo\n\n\nstatement ok\nnothing\n"},
		{"rows", "query TT\nrows a|b / c|d\n----\na b\nc   d\n"},
		{"no rows", "query T\nrows \n----\n\nstatement ok\nnothing\n"},
		{"results not looked at", "query T\nrows a\n\nstatement ok\nnothing\n"},
		{"NULL, empty and several words", "query TTT\nrows NULL|<>|many  words\n----\nNULL (empty) many words\n"},
		{"tabs are exact", "query TT\nrows a  b|c\\nd / e|f\n----\na  b\tc\\nd\ne\tf\n"},
		{"rowsort", "query TT rowsort\nrows b|1 / a|2\n----\na 2\nb 1\n"},
		{"valuesort", "query TT valuesort\nrows b|1 / a|2\n----\n1\n2\na\nb\n"},
		{"one value a line", "query TT nosort label-1\nrows b|1 / a|2\n----\nb\n1\na\n2\n"},
		{"control sortmode", "control sortmode rowsort\n\nquery T\nrows b / a\n----\na\nb\n"},
		{"control resultmode", "control resultmode valuewise\n\nquery TT rowsort\nrows b|1 / a|2\n----\na\n2\nb\n1\n"},
		{"hash", "hash-threshold 2\n\nquery T rowsort\nrows b / a / c\n----\n3 values hashing to " + "40c53c58fdafacc83cfff6ee3d2f6d69" + "\n"},
		{"retry", "query T retry 3 backoff 1ms\nflaky 2\n----\ndone\n"},
		{"skip", "skipif me\nstatement ok\nerror 42000 x\n\nonlyif you\nstatement ok\nerror 42000 x\n\nonlyif me\nskipif you\nstatement ok\nnothing\n"},
		{"connections", "query T\nwho\n----\n1\n\nconnection two\nquery T\nwho\n----\n2\n\nquery T\nwho\n----\n1\n\nconnection two\nquery T\nwho\n----\n2\n"},
		{"loop", "loop i 1 3\n\nquery T\nrows $i ${i}0\n----\n$i ${i}0\n\nendloop\n"},
		{"nested loops", "for t in a b\nloop i 0 2\nquery TT\nrows ${t}|$i\n----\n$t $i\n\nendloop\nendloop\n"},
		{"let", "let x = 7\n\nlet (a, b)\nrows one|two\n\nlet $c\nrows three\n\nquery TTTT\nrows $x|$a|$b|$c\n----\n7 one two three\n"},
		{"dollars elsewhere stay", "query T\nrows $1 $$x$$ ${y}\n----\n$1 $$x$$ ${y}\n"},
		{"substitution", "control substitution on\n\nquery T\nrows ${SLT_NOT_SET:deflt} \\$x\n----\ndeflt $x\n\nquery T\nrows __TEST_DIR__/a\n----\n${__TEST_DIR__}/a\n"},
		{"halt", "halt\n\nstatement ok\nerror 42000 x\n"},
		{"sleep, subtest", "subtest a\n\nsleep 1ms\n"},
		{"windows line ends", "query T\r\nrows a\r\n----\r\na\r\n\r\nstatement ok\r\nnothing\r\n"},
		{"several statements: the last result counts", "query T\nrows a\n----\na\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Runner{Connect: newFakeServer(t).connect, Labels: []string{"me"}}
			if err := r.File(t.Context(), writeFile(t, "x.slt", tt.text)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFilesThatFail(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"statement fails", "\nstatement ok\nerror 42P01 gone\n", "x.slt:2: statement failed: ERROR 42P01: gone\n    error 42P01 gone"},
		{"statement succeeds", "statement error 42P01\nnothing\n", "x.slt:1: statement succeeded, want an error: 42P01"},
		{"other code", "statement error 42P01\nerror 42P02 x\n", "x.slt:1: statement failed with another error\n  - 42P01\n  + ERROR 42P02: x"},
		{"other message", "statement error ^foo\nerror 42P02 x\n", "another error"},
		{"other text", "statement error\nerror 42P02 x\n----\ny\n", "another error"},
		{"bad pattern", "statement error (\nerror 42P02 x\n", "pattern: "},
		{"count", "statement count 2\naffect 3\n", "affected 3 rows, want 2"},
		{"rows", "query T\nrows a / b / c\n----\na\nx\nc\n", "other rows (- expected, + returned):\n    a\n  - x\n  + b\n    c\n    rows a / b / c"},
		{"exact values", "query TT\nrows a b|c\n----\na  b\tc\n", "  - a  b\tc\n  + a b\tc"},
		{"hash", "query T\nrows a\n----\n1 values hashing to 00000000000000000000000000000000\n", "+ 1 values hashing to "},
		{"types", "query I\nrows a\n", "columns of types T, want I"},
		{"retries used up", "query T retry 2 backoff 1ms\nflaky 5\n----\ndone\n", "after 2 retries: query failed: ERROR 55000: not yet"},
		{"all failures are told", "statement ok\nerror 42P01 a\n\nstatement ok\nerror 42P01 b\n", "x.slt:1: statement failed: ERROR 42P01: a\n    error 42P01 a\nx.slt:4: "},
		{"unknown directive", "statment ok\nnothing\n", `x.slt:1: unknown directive "statment"`},
		{"bad statement", "statement maybe\nnothing\n", `must be followed by ok, error or count, not "maybe"`},
		{"loop without end", "loop i 0 1\n\nstatement ok\nnothing\n", "x.slt:1: a loop without endloop"},
		{"end without loop", "endloop\n", "x.slt:1: endloop without a loop"},
		{"no restart", "restart\n", "no way to restart"},
		{"unknown control", "control x y\n", `unknown control "x y"`},
		{"no such include", "include nothing-here.slt\n", "no such file"},
		{"variable not set", "control substitution on\n\nstatement ok\nx ${SLT_NOT_SET}\n", "variable SLT_NOT_SET is not set"},
		{"let without a row", "let $x\nrows a / b\n", "let needs one row of 1 columns, got 2 rows of 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeFile(t, "x.slt", tt.text)
			r := &Runner{Connect: newFakeServer(t).connect, StrictTypes: true}
			err := r.File(t.Context(), path)
			if err == nil {
				t.Fatal("the file passed")
			}
			if got := strings.ReplaceAll(err.Error(), filepath.Dir(path)+string(filepath.Separator), ""); !strings.Contains(got, tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestIncludesRunInPlace(t *testing.T) {
	path := writeFile(t, "main.slt", "include part*.inc.slt\n\nstatement ok\nlast $x\n")
	for name, text := range map[string]string{"part1.inc.slt": "let x = 1\n", "part2.inc.slt": "statement ok\nfirst $x\n"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newFakeServer(t)
	r := &Runner{Connect: s.connect}
	r.Test(t, path)
	if got := strings.Join(s.log, "; "); got != "first 1; last 1" {
		t.Errorf("server saw %q", got)
	}
	if files, err := Files(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("files to run: %v, %v", files, err)
	}
}

func TestRestartAndLeftovers(t *testing.T) {
	s := newFakeServer(t)
	restarts := 0
	r := &Runner{
		Connect: s.connect,
		Restart: func(context.Context) error { restarts++; return nil },
		Leftovers: func(ctx context.Context, c *pgconn.PgConn) ([]string, error) {
			return []string{"public.t"}, c.Exec(ctx, "list").Close()
		},
	}
	err := r.File(t.Context(), writeFile(t, "x.slt", "query T\nwho\n----\n1\n\nrestart\n\nquery T\nwho\n----\n2\n"))
	if err == nil || !strings.HasSuffix(err.Error(), "x.slt: left behind: public.t") || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("%v", err)
	}
	if restarts != 1 {
		t.Errorf("%d restarts", restarts)
	}
}

func TestRewrite(t *testing.T) {
	before := `# kept
query T rowsort
rows b / a
----
wrong

statement ok
error 42P01 it is (not) there

statement error 42P01
nothing

statement count 5 retry 1 backoff 1ms
affect 7

query error
rows a|b

query TT
rows right|as is
----
right as is

query TT
rows a  b|c
----
x	y

statement error
error 22012 division by zero
----
something else


query T
rows last
----
`
	want := `# kept
query T rowsort
rows b / a
----
a
b

statement error 42P01 it is \(not\) there
error 42P01 it is (not) there

statement ok
nothing

statement count 7 retry 1 backoff 1ms
affect 7

query TT
rows a|b
----
a b

query TT
rows right|as is
----
right as is

query TT
rows a  b|c
----
a  b	c

statement error 22012 division by zero
error 22012 division by zero


query T
rows last
----
last
`
	path := writeFile(t, "x.slt", before)
	r := &Runner{Connect: newFakeServer(t).connect, Rewrite: true}
	if err := r.File(t.Context(), path); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%v, got:\n%s", err, got)
	}
	r.Rewrite = false
	if err := r.File(t.Context(), path); err != nil {
		t.Errorf("the rewritten file fails: %v", err)
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add("query T rowsort retry 3 backoff 1s\nselect 1\n----\n1\n\nloop i 0 2\n\nstatement error x\n\n----\n\n\nendloop\n")
	f.Add("for x in a\nfor y in b\nlet (a, b)\nx\n\nendloop\nendloop\nskipif a\nconnection b\nstatement count 3\nx")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScript("x", text)
		if err == nil {
			checkRecords(t, s, s.records)
		}
	})
}

// checkRecords checks that what rewriting would replace lies within the file.
func checkRecords(t *testing.T, s *script, list []*record) {
	for _, r := range list {
		if r.line >= len(s.lines) || r.from > r.to || r.to > len(s.lines) {
			t.Errorf("record %+v in %d lines", r, len(s.lines))
		}
		checkRecords(t, s, r.body)
	}
}
