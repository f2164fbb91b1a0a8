package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// root is the folder of this module.
const root = "../.."

func TestModule(t *testing.T) {
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) < 20 {
		t.Fatalf("found %d packages below %s, this is not the module", len(tree.Packages), root)
	}
	portable, err := CheckPortable(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	checks := []struct {
		name  string
		found []string
	}{
		{"imports", CheckImports(tree)},
		{"package comments", CheckPackageComments(tree)},
		{"no init", CheckNoInit(tree)},
		{"finished", CheckFinished(tree)},
		{"file length", CheckFileLength(tree)},
		{"portable", portable},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range c.found {
				t.Error(p)
			}
		})
	}
}

const goodComment = `// Package x holds nothing.
//
// The idea: there is none, and it takes several lines to say so, which is what
// a comment of this kind is for.
//
// Nobody owns it. It does not do anything.
//
// Start at nothing.
`

// TestRulesFail gives each rule something to find: a rule that finds nothing protects nothing.
func TestRulesFail(t *testing.T) {
	tests := []struct {
		name, file, src string
		check           func(*Tree) []string
		want            string // part of the one problem found; "": none
	}{
		{"clean", "planner/x/x.go", goodComment + "package x\n", all, ""},
		{"planner imports executor", "planner/x/x.go", imports("executor/batch"), CheckImports, "plain data"},
		{"executor imports planner", "executor/x/x.go", imports("planner/rule"), CheckImports, "do not make them"},
		{"storage imports meta", "storage/x/x.go", imports("meta/etcd"), CheckImports, "no operator, job or leader"},
		{"meta imports storage", "meta/x/x.go", imports("storage/object"), CheckImports, ""},
		{"meta imports executor", "meta/x/x.go", imports("executor/job"), CheckImports, "pure machines"},
		{"connector imports storage", "connector/x/x.go", imports("storage/key"), CheckImports, "wherever it runs"},
		{"leaf imports layer", "internal/x/x.go", imports("storage/key"), CheckImports, "leaves"},
		{"leaf imports composition", "internal/x/x.go", imports("internal/engine"), CheckImports, "imported by none"},
		{"layer imports composition", "executor/x/x.go", imports("internal/server"), CheckImports, "imported by none"},
		{"engine imports frontend", "internal/engine/x.go", imports("frontend/session"), CheckImports, "nothing of sessions"},
		{"runner imports ours", "sqllogictest/x.go", imports("internal/sqlerr"), CheckImports, "wire protocol only"},
		{"unknown folder", "helpers/x.go", imports("internal/sqlerr"), CheckImports, "not part of the architecture"},
		{"tests are free", "planner/x/x_test.go", imports("executor/batch"), CheckImports, ""},
		{"no comment", "planner/x/x.go", "package x\n", CheckPackageComments, "has 0 package comments"},
		{"short comment", "planner/x/x.go", "// Package x is. Start at x.\npackage x\n", CheckPackageComments, "says too little"},
		{"wrong beginning", "planner/x/x.go", strings.Replace(goodComment, "Package x", "This package", 1) + "package x\n", CheckPackageComments, "does not begin"},
		{"no start", "planner/x/x.go", strings.Replace(goodComment, "Start at", "Look at", 1) + "package x\n", CheckPackageComments, "where to start"},
		{"init", "planner/x/x.go", "package x\nfunc init() {}\n", CheckNoInit, "init function"},
		{"method called init", "planner/x/x.go", "package x\ntype t int\nfunc (t) init() {}\n", CheckNoInit, ""},
		{"todo", "planner/x/x.go", "package x\n// TODO: later\n", CheckFinished, "TODO without an issue"},
		{"todo with issue", "planner/x/x.go", "package x\n// TODO(#12): later\n", CheckFinished, ""},
		{"stub", "planner/x/x.go", "package x\nfunc f() { panic(\"not implemented\") }\n", CheckFinished, "in place of code"},
		{"long file", "planner/x/x.go", "package x\n" + strings.Repeat("\n", 1001), CheckFileLength, "1002 lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := Load(fstest.MapFS{tt.file: {Data: []byte(tt.src)}})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, tt.check(tree), tt.want)
		})
	}
}

func TestPortableFails(t *testing.T) {
	for src, want := range map[string]string{
		"fine":                                   "",
		"export GO" + "PROXY=somewhere":          "which only one machine knows",
		"see https://goproxy.example.com/x":      "which only one machine knows",
		"cd /" + "work/main":                     "which only one machine knows",
		"paths such as ./work/main are relative": "",
	} {
		found, err := CheckPortable(fstest.MapFS{"Makefile": {Data: []byte(src)}})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, found, want)
	}
}

func TestTwoComments(t *testing.T) {
	src := &fstest.MapFile{Data: []byte(goodComment + "package x\n")}
	tree, err := Load(fstest.MapFS{"planner/x/a.go": src, "planner/x/b.go": src})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, CheckPackageComments(tree), "has 2 package comments")
}

// expect wants exactly one problem that contains want, or none.
func expect(t *testing.T, found []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) > 0:
		t.Errorf("found %q, want nothing", found)
	case want != "" && (len(found) != 1 || !strings.Contains(found[0], want)):
		t.Errorf("found %q, want one problem with %q", found, want)
	}
}

func all(t *Tree) []string {
	var out []string
	for _, c := range []func(*Tree) []string{CheckImports, CheckPackageComments, CheckNoInit, CheckFinished, CheckFileLength} {
		out = append(out, c(t)...)
	}
	return out
}

func imports(target string) string {
	return "package x\nimport _ \"" + Module + "/" + target + "\"\n"
}
