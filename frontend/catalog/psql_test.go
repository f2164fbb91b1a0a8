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
