package catalog

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// subjects are the objects that testdata/psql asks about, by the last word of the command.
var subjects = map[string]int64{"t1": int64(idT1), "public.t1": int64(idT1), "v1": int64(idV1), "m1": int64(idM1), "t1_name": int64(idT1Name),
	"t1_pkey": pkeyIndex | int64(idT1), "f1": int64(idF1), "pg_class": classRelation}

// statements reads a file of testdata: its queries, with {oid} replaced by the object that it is about.
func statements(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	head, body, _ := strings.Cut(text, "\n")
	words := strings.Fields(head)
	oid := subjects[words[len(words)-1]]
	if oid == 0 {
		oid = int64(idT1)
	}
	body = strings.ReplaceAll(body, "{oid}", strconv.FormatInt(oid, 10))
	var out []string
	for _, q := range strings.Split(body, ";\n") {
		if q = strings.TrimSpace(q); q != "" {
			out = append(out, q)
		}
	}
	return out
}

// waiting lists what the queries need of other parts that may not have it: a query that mentions one of these may
// fail, with an error that says so.
var waiting = map[string]string{
	"pg_options_to_table":                "function pg_catalog.pg_options_to_table",
	".tableoid":                          "tableoid does not exist",
	"information_schema._pg_expandarray": "information_schema",
	"ANY (ix.indkey)":                    "requires array on right side",
	"current_setting(s.name)":            "unrecognized configuration parameter",
}

func mayFail(q string, err error) bool {
	for word, text := range waiting {
		if strings.Contains(q, word) && strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// TestPsqlQueries runs everything that psql 15 sends for its backslash commands, and what drivers and tools ask.
func TestPsqlQueries(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.sql")
	if len(files) == 0 {
		t.Fatal("no queries in testdata")
	}
	f := open(t)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sql"), func(t *testing.T) {
			f.t = t
			for _, q := range statements(t, path) {
				if _, err := f.query(q); err != nil && !mayFail(q, err) {
					t.Errorf("%v\n%s", err, q)
				}
			}
		})
	}
}

// TestPsqlAnswers pins what the common backslash commands show of the fixture: the rows of the n-th query of a file.
func TestPsqlAnswers(t *testing.T) {
	f := open(t)
	cases := []struct {
		file  string
		query int
		want  string
	}{
		{"01_d", 0, "public|f1|foreign table|ann\npublic|m1|materialized view|root\npublic|t1|table|root\npublic|v1|view|root"},
		{"04_dt_plus", 0, "public|t1|table|root|permanent|heap|NULL|a table"},
		{"08_dm", 0, "public|m1|materialized view|root"},
		{"10_dv", 0, "public|v1|view|root"},
		{"12_di", 0, "public|t1_name|index|root|t1\npublic|t1_pkey|index|root|t1"},
		{"14_ds", 0, ""},
		{"16_d_t1", 0, "20003|public|t1"},
		{"16_d_t1", 2, "id|integer|NULL|t|NULL||\nname|text|'x'::text|t|NULL||\nprice|numeric(10,2)|NULL|f|NULL||\nTags|text[]|NULL|f|NULL||"},
		{"16_d_t1", 3, "t1_pkey|t|t|f|t|CREATE UNIQUE INDEX t1_pkey ON public.t1 USING btree (id)|PRIMARY KEY (id)|p|f|f|f|0\n" +
			"t1_name|f|f|f|t|CREATE INDEX t1_name ON public.t1 USING btree (name DESC)|NULL|NULL|NULL|NULL|f|0"},
		{"20_d_plus_v1", 3, " SELECT id, name FROM t1;"},
		{"23_d_t1_name", 2, "name|text|yes|name"},
		{"25_d_t1_pkey", 3, "t|t|f|t|f|f|f|f|btree|t1|NULL"},
		{"28_l", 0, "dev|root|UTF8|C|C|NULL|libc|NULL"},
		{"30_dn", 0, "millrace_catalog|root\npublic|root\ns2|root"},
		{"33_df", 0, "public|twice|integer|x integer|func"},
		{"38_du", 0, "ann|f|t|f|f|t|-1|NULL|{}|f|f\nroot|t|t|t|t|t|-1|NULL|{}|f|t"},
		{"43_dT_int4", 0, "pg_catalog|integer|NULL"},
	}
	for _, c := range cases {
		q := statements(t, "testdata/psql/"+c.file+".sql")[c.query]
		rows, err := f.query(q)
		if got := join(rows); err != nil || got != c.want {
			t.Errorf("%s, query %d: %v\ngot  %q\nwant %q", c.file, c.query, err, got, c.want)
		}
	}
}
