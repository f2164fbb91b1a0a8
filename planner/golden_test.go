package planner_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/batch"
	"github.com/millrace/millrace/planner/explain"
	"github.com/millrace/millrace/planner/stream"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of golden files anew")

// TestGolden runs testdata/*.txt. A file is a list of cases: a line with commands (schema; logical, batch, stream, state, and
// close for EMIT ON WINDOW CLOSE: which plans to print), SQL up to a line ----, and the expected output up to an empty line.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { runFile(t, f) })
	}
}

func runFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := bindtest.New("")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	var out strings.Builder
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		start := i
		command := lines[i]
		var sql []string
		for i++; i < len(lines) && lines[i] != "----"; i++ {
			sql = append(sql, lines[i])
		}
		var want []string
		for i++; i < len(lines) && lines[i] != ""; i++ {
			want = append(want, lines[i])
		}
		got := runCase(cat, command, strings.Join(sql, "\n"))
		fmt.Fprintf(&out, "%s\n%s\n----\n%s", command, strings.Join(sql, "\n"), got)
		if w := strings.Join(want, "\n") + "\n"; !*rewrite && got != w && (got != "" || len(want) > 0) {
			t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", file, start+1, strings.Join(sql, "\n"), got, w)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func runCase(cat *bindtest.Catalog, command, sql string) string {
	if command == "schema" {
		if err := cat.Add(sql); err != nil {
			return describe(err, sql)
		}
		return "ok\n"
	}
	var out strings.Builder
	for _, c := range strings.Fields(command) {
		lines, err := planLines(cat, c, sql)
		if err != nil {
			return out.String() + describe(err, sql)
		}
		if strings.Contains(command, " ") {
			out.WriteString(c + ":\n")
		}
		out.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return out.String()
}

func planLines(cat *bindtest.Catalog, command, sql string) ([]string, error) {
	env := cat.Env()
	env.Streaming = command == "stream" || command == "state" || command == "close"
	stmt, err := parser.ParseOne(sql)
	if err != nil {
		return nil, err
	}
	n, err := source(env, stmt)
	if err != nil {
		return nil, err
	}
	switch command {
	case "logical":
		return explain.Lines(n, explain.Logical), nil
	case "batch":
		n, err = batch.Plan(n, cat.Snapshot, nil)
		if err != nil {
			return nil, err
		}
		return explain.Lines(n, explain.Batch), nil
	case "stream", "state", "close":
		n, _, err = stream.Plan(n, stream.Root{Table: 1, EmitOnClose: command == "close"}, cat.Parallelism)
		if err != nil {
			return nil, err
		}
		if _, err := roundTrip(n); err != nil {
			return nil, err
		}
		if command == "state" {
			return explain.State(n), nil
		}
		return explain.Lines(n, explain.Stream), nil
	}
	return nil, fmt.Errorf("unknown command %q", command)
}

func source(env *bind.Env, stmt parser.Stmt) (plan.Node, error) {
	switch s := stmt.(type) {
	case *parser.SelectStmt:
		return bind.Query(env, s.Query)
	case *parser.InsertStmt:
		i, err := bind.Insert(env, s)
		if err != nil {
			return nil, err
		}
		return i.Source, nil
	case *parser.UpdateStmt:
		u, err := bind.Update(env, s)
		if err != nil {
			return nil, err
		}
		return u.Source, nil
	case *parser.DeleteStmt:
		d, err := bind.Delete(env, s)
		if err != nil {
			return nil, err
		}
		return d.Source, nil
	}
	return nil, fmt.Errorf("cannot plan %T", stmt)
}

// roundTrip checks that a stream plan survives being stored.
func roundTrip(n plan.Node) (plan.Node, error) {
	b, err := plan.Encode(n)
	if err != nil {
		return nil, err
	}
	return plan.Decode(b)
}

func describe(err error, sql string) string {
	e := sqlerr.From(err).Locate(sql)
	s := fmt.Sprintf("ERROR %s: %s\n", e.Code, e.Message)
	if e.Position > 0 {
		s = fmt.Sprintf("ERROR %s at %d: %s\n", e.Code, e.Position, e.Message)
	}
	if e.Detail != "" {
		s += "DETAIL: " + e.Detail + "\n"
	}
	if e.Hint != "" {
		s += "HINT: " + e.Hint + "\n"
	}
	return s
}
