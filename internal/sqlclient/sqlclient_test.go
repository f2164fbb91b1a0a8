package sqlclient

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// runClient runs a client against s and returns what it wrote: Out and Err in one.
func runClient(t *testing.T, s *fakeServer, o Options) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	o.DSN, o.Addr, o.Database = "sslmode=disable", s.ln.Addr().String(), "dev"
	if o.User == "" {
		o.User = "root"
	}
	if o.In == nil {
		o.In = strings.NewReader("")
	}
	o.Out, o.Err = &b, &b
	if o.interrupts == nil {
		o.interrupts = func() (<-chan os.Signal, func()) { return nil, func() {} }
	}
	code = Run(t.Context(), o)
	return b.String(), code
}

const oneRow = " n | text \n---+------\n 1 | a\n(1 row)\n\n"

func TestRun(t *testing.T) {
	const failed = "ERROR:  syntax error\nLINE 1: fail now\n             ^\nDETAIL:  d\nHINT:  h\n"
	tests := []struct {
		name string
		o    Options
		want string
		code int
	}{
		{"commands", Options{Command: []string{"select a", "insert; drop"}}, oneRow + "INSERT\nDROP\n", 0},
		{"a command fails", Options{Command: []string{"select a", "fail now", "select a"}}, oneRow + failed, 1},
		{"a backslash command", Options{Command: []string{`\x`, "select a"}}, "Expanded display is on.\n-[ RECORD 1 ]\nn    | 1\ntext | a\n\n", 0},
		{"unknown backslash command", Options{Command: []string{`\nope`}}, "invalid command \\nope\nTry \\? for help.\n", 1},
		{"input is a script", Options{In: strings.NewReader("select a;\nfail\nnow; select a;")},
			oneRow + "<stdin>:3: ERROR:  syntax error\nLINE 2: now\n        ^\nDETAIL:  d\nHINT:  h\n", 3},
		{"the last statement needs no semicolon", Options{In: strings.NewReader("insert;\nselect a")}, "INSERT\n" + oneRow, 0},
		{"copy in a script", Options{In: strings.NewReader("copy t from stdin;\n1\n2\n\\.\ninsert;")}, "COPY 2\nINSERT\n", 0},
		{"copy with a command", Options{Command: []string{"copy t from stdin"}, In: strings.NewReader("1\n2\n3\n")}, "COPY 3\n", 0},
		{"copy out", Options{Command: []string{"copy t to stdout"}}, "1\ta\n", 0},
		{"error in the middle of a result", Options{Command: []string{"select lost"}}, " n | text \n---+------\n(0 rows)\n\nERROR:  half way\n", 1},
		{"notices", Options{Command: []string{"notice hello"}}, "NOTICE:  hello\nDO\n", 0},
		{"no rows", Options{Command: []string{"select"}}, " n | text \n---+------\n(0 rows)\n\n", 0},
		{"no such file", Options{File: "/nonexistent.sql"}, "millrace: open /nonexistent.sql: no such file or directory\n", 1},
		{"login refused", Options{User: "nobody"}, "millrace: FATAL:  password authentication failed for user \"nobody\"\n", 2},
		{"interactive goes on after errors", Options{Interactive: true, In: strings.NewReader("select\na;\nfail now;\n\\q\ninsert;\n")},
			"millrace sql (server 15.0)\nType \"\\?\" for help.\n\ndev=> dev-> " + oneRow + "dev=> " + failed + "dev=> \n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, code := runClient(t, newFakeServer(t), tt.o)
			if tt.name == "error in the middle of a result" {
				// Whether the empty table is shown does not matter; the error does.
				out = out[max(strings.Index(out, "ERROR"), 0):]
				tt.want = "ERROR:  half way\n"
			}
			if out != tt.want || code != tt.code {
				t.Errorf("exit code %d, want %d; got:\n%s\nwant:\n%s", code, tt.code, out, tt.want)
			}
		})
	}
}

func TestFilesIncludeFiles(t *testing.T) {
	dir := t.TempDir()
	outer, inner := filepath.Join(dir, "outer.sql"), filepath.Join(dir, "inner.sql")
	for path, text := range map[string]string{outer: "insert;\n\\i " + inner + "\ndrop;\n", inner: "update;\n\nfail;\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, code := runClient(t, newFakeServer(t), Options{File: outer})
	if !strings.HasPrefix(out, "INSERT\nUPDATE\n"+inner+":3: ERROR:  syntax error\n") || code != 3 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestInterruptCancelsTheStatement(t *testing.T) {
	s := newFakeServer(t)
	keys := make(chan os.Signal)
	go func() {
		<-s.waiting
		keys <- os.Interrupt
	}()
	out, code := runClient(t, s, Options{
		Interactive: true, In: strings.NewReader("wait;\ninsert;\n"),
		interrupts: func() (<-chan os.Signal, func()) { return keys, func() {} },
	})
	if !strings.Contains(out, "ERROR:  canceling statement due to user request\ndev=> INSERT\n") || code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestSplitter(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []string
		mark  string // of the prompt afterwards
	}{
		{"one", []string{"select 1;"}, []string{"select 1"}, "="},
		{"two, and the start of a third", []string{"a; b;c"}, []string{"a", "b"}, "-"},
		{"several lines", []string{"", "  select", "1", ";"}, []string{"select\n1"}, "="},
		{"nothing", []string{";;", " -- no;", "/* ; */"}, nil, "="},
		{"quotes", []string{`select ';', "a;b", 'it''s;';`}, []string{`select ';', "a;b", 'it''s;'`}, "="},
		{"open quote", []string{"select '", "x;"}, nil, "'"},
		{"open name", []string{`select "x;`}, nil, `"`},
		{"backslash in a plain string", []string{`select '\';`}, []string{`select '\'`}, "="},
		{"backslash in an escape string", []string{`select E'\';';`}, []string{`select E'\';'`}, "="},
		{"a name that ends in e", []string{`select date'\';`}, []string{`select date'\'`}, "="},
		{"dollar quotes", []string{"do $$;$x$;$$; do $x$;", "$$;$x$;"}, []string{"do $$;$x$;$$", "do $x$;\n$$;$x$"}, "="},
		{"dollar in a name, a parameter", []string{"select a$b$;", "select $1;"}, []string{"select a$b$", "select $1"}, "="},
		{"open dollar quote", []string{"do $x$;"}, nil, "$"},
		{"comments", []string{"a -- ;", "/* ; /* ; */ ; */ b;"}, []string{"a -- ;\n/* ; /* ; */ ; */ b"}, "="},
		{"open comment", []string{"/* ;"}, nil, "*"},
		{"parentheses", []string{"create rule (a; b);"}, []string{"create rule (a; b)"}, "="},
		{"open parenthesis", []string{"f(;"}, nil, "("},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s splitter
			var got []string
			for _, line := range tt.lines {
				got = append(got, s.add(line)...)
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") || s.mark() != tt.mark {
				t.Errorf("got %q and prompt %s, want %q and %s", got, s.mark(), tt.want, tt.mark)
			}
		})
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add("select ';', $a$ ; $a$ /* ; */; -- x\nE'\\'")
	f.Fuzz(func(t *testing.T, text string) {
		var s splitter
		for line := range strings.SplitSeq(text, "\n") {
			for _, stmt := range s.add(line) {
				if strings.TrimSpace(stmt) == "" {
					t.Errorf("an empty statement from %q", text)
				}
				copyDirection(stmt)
			}
		}
		copyDirection(text)
	})
}

func TestCopyDirection(t *testing.T) {
	tests := []struct {
		sql  string
		want int
	}{
		{"copy t from stdin", copyFrom},
		{"COPY t (a, b)\nFROM STDIN WITH (FORMAT csv)", copyFrom},
		{"/* x */ copy (select 'from stdin') to stdout", copyTo},
		{"copy t from 'stdin'", copyNone},
		{"select 'copy t from stdin'", copyNone},
		{"-- copy t from stdin\nselect 1 as stdin", copyNone},
	}
	for _, tt := range tests {
		if got := copyDirection(tt.sql); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.sql, got, tt.want)
		}
	}
}

// The expected lines of the following were taken from psql 15.
func TestErrorText(t *testing.T) {
	const long = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	tests := []struct {
		name, sql string
		position  int32
		want      string
	}{
		{"short", "select nope", 8, "LINE 1: select nope\n               ^\n"},
		{"at the end", "select (", 9, "LINE 1: select (\n                ^\n"},
		{"second line, tab", "select 1,\n   1/0+nope\tx, '" + long + "', nope", 18,
			"LINE 2:    1/0+nope x, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\n               ^\n"},
		{"cut on both sides", "select '" + long + "', nope, 'bbbbbbbbbbbbbbbbbbbbb'", 82,
			"LINE 1: ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', nope, 'bbb...\n" +
				"                                                             ^\n"},
		{"wide characters", "select 日本, nope", 12, "LINE 1: select 日本, nope\n                     ^\n"},
		{"beyond the text", "x", 9, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := errorText(&pgconn.PgError{Severity: "ERROR", Message: "m", Position: tt.position}, tt.sql)
			if got != "ERROR:  m\n"+tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	row := func(values ...string) [][]byte {
		out := make([][]byte, len(values))
		for i, v := range values {
			if v != "NULL" {
				out[i] = []byte(v)
			}
		}
		return out
	}
	tests := []struct {
		name     string
		t        table
		expanded bool
		want     string
	}{
		{"lines and widths", table{columns: []string{"a", "bbb", "日本", "t"}, right: []bool{true, false, true, false}, count: true,
			rows: [][][]byte{row("1", "x", "2.5", "two\nlines"), row("10", "NULL", "NULL", "NULL")}}, false, `
 a  | bbb | 日本 |   t   
----+-----+------+-------
  1 | x   |  2.5 | two  +
    |     |      | lines
 10 |     |      | 
(2 rows)

`},
		{"number beside a tall value", table{columns: []string{"t", "n"}, right: []bool{false, true}, count: true,
			rows: [][][]byte{row("a\nb", "12345")}}, false, `
 t |   n   
---+-------
 a+| 12345
 b | 
(1 row)

`},
		{"control characters", table{columns: []string{"v"}, rows: [][][]byte{row("x\ty\x01\r")}}, false, `
        v        
-----------------
 x       y\x01\r

`},
		{"title and footer", table{title: "T", columns: []string{"abc", "def"}, footer: []string{"end"}}, false, `
     T
 abc | def 
-----+-----
end

`},
		{"expanded", table{columns: []string{"a", "longname"}, count: true,
			rows: [][][]byte{row("1", "xy\nz"), row("2", "long long long long")}}, true, `
-[ RECORD 1 ]-----------------
a        | 1
longname | xy                 +
         | z
-[ RECORD 2 ]-----------------
a        | 2
longname | long long long long

`},
		{"expanded, long name", table{columns: []string{"a_very_long_column"}, rows: [][][]byte{row("x")}}, true, `
-[ RECORD 1 ]------+--
a_very_long_column | x

`},
		{"expanded, nothing", table{columns: []string{"a"}, count: true}, true, "\n(0 rows)\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			w := bufio.NewWriter(&b)
			tt.t.print(w, tt.expanded)
			w.Flush()
			if got := "\n" + b.String(); got != tt.want {
				t.Errorf("got:%s\nwant:%s", got, tt.want)
			}
		})
	}
}

func TestPatterns(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "v AND s NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rw_catalog')"},
		{"Bid", "n ~ '^(bid)$' AND v"},
		{`"Bid"`, "n ~ '^(Bid)$' AND v"},
		{"a.b*", "n ~ '^(b.*)$' AND s ~ '^(a)$'"},
		{"x'?", "n ~ '^(x''.)$' AND v"},
		{`"a.b".c$`, `n ~ '^(c\$)$' AND s ~ '^(a\.b)$'`},
	}
	for _, tt := range tests {
		if got := parsePattern(tt.text).where("s", "n", "v"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestInterruptWhileTyping(t *testing.T) {
	k := &keyReader{r: strings.NewReader("sel\x03x")}
	var got []byte
	b := make([]byte, 2)
	for !k.interrupted || len(k.pending) > 0 {
		n, err := k.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "se\x05\x15\r" {
		t.Errorf("keys %q", got)
	}
}
