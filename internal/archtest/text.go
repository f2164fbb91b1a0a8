package archtest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"regexp"
	"strings"
)

// maxLines is the length of file beyond which a reader is lost. The aim is 100 to 400.
const maxLines = 1000

// CheckPackageComments asks for exactly one package comment per package, with what a reader needs first.
func CheckPackageComments(t *Tree) []string {
	var out []string
	for _, p := range t.Packages {
		if !p.Code() {
			continue
		}
		var docs []*File
		for _, f := range p.Files {
			if f.AST.Doc != nil {
				docs = append(docs, f)
			}
		}
		if len(docs) != 1 {
			out = append(out, fmt.Sprintf("%s has %d package comments, it needs exactly one", p.Path, len(docs)))
			continue
		}
		for _, wrong := range judgeComment(docs[0].AST) {
			out = append(out, fmt.Sprintf("%s: %s", docs[0].Path, wrong))
		}
	}
	return problems(out)
}

// judgeComment says what a package comment lacks. Commands are described by their own rules: what the program
// is, and where it starts.
func judgeComment(f *ast.File) []string {
	text := f.Doc.Text()
	var out []string
	want := "Package " + f.Name.Name
	if f.Name.Name == "main" {
		want = "Command "
	}
	if !strings.HasPrefix(text, want) {
		out = append(out, fmt.Sprintf("the package comment does not begin with %q", want))
	}
	if strings.Count(strings.TrimSpace(text), "\n") < 4 && f.Name.Name != "main" {
		out = append(out, "the package comment says too little: what it is for, the idea, who owns it, invariants, what it does not do, where to start")
	}
	if !regexp.MustCompile(`\bStart (at|with|in)\b`).MatchString(text) {
		out = append(out, `the package comment does not say where to start reading ("Start at …")`)
	}
	return out
}

// CheckNoInit refuses init functions: what exists is listed in tables that can be read.
func CheckNoInit(t *Tree) []string {
	return t.eachDecl(func(f *File, d ast.Decl) string {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			return "has an init function: registries are explicit lists, state is built by constructors"
		}
		return ""
	})
}

func (t *Tree) eachDecl(check func(*File, ast.Decl) string) []string {
	var out []string
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if wrong := check(f, d); wrong != "" {
					out = append(out, fmt.Sprintf("%s %s", t.Fset.Position(d.Pos()), wrong))
				}
			}
		}
	}
	return problems(out)
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// issueTODO is the one form of note that is allowed: it names the issue that will see to it.
var issueTODO = regexp.MustCompile(`\bTODO\(#\d+\)`)

// CheckFinished refuses notes to oneself without an issue, and panics in place of code.
func CheckFinished(t *Tree) []string {
	var out []string
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, group := range f.AST.Comments {
				if m := unfinished.FindString(issueTODO.ReplaceAllString(group.Text(), "")); m != "" {
					out = append(out, fmt.Sprintf("%s has a %s without an issue", t.Fset.Position(group.Pos()), m))
				}
			}
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if isStub(n) {
					out = append(out, fmt.Sprintf("%s panics in place of code", t.Fset.Position(n.Pos())))
				}
				return true
			})
		}
	}
	return problems(out)
}

var stubText = regexp.MustCompile(`(?i)not implemented|unimplemented|todo`)

func isStub(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return false
	}
	name, ok := call.Fun.(*ast.Ident)
	lit, isLit := call.Args[0].(*ast.BasicLit)
	return ok && isLit && name.Name == "panic" && stubText.MatchString(lit.Value)
}

// CheckFileLength refuses files that nobody reads to the end.
func CheckFileLength(t *Tree) []string {
	var out []string
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Lines > maxLines {
				out = append(out, fmt.Sprintf("%s has %d lines, at most %d can be followed", f.Path, f.Lines, maxLines))
			}
		}
	}
	return problems(out)
}

// foreign matches what belongs to one machine and not into the tree: where somebody gets modules from, and
// paths of a working copy.
var foreign = regexp.MustCompile(`(?i)\b(GOPROXY|GONOSUMDB|GONOPROXY|GOINSECURE|PIP_INDEX_URL|NPM_CONFIG_REGISTRY)\s*=` +
	`|https?://[^\s/"']*(artifactory|goproxy|nexus\.|mirror)|(^|[\s"'(=])/(work|home|Users)/[a-z]`)

// CheckPortable looks through every text file of the tree for what only one machine knows.
func CheckPortable(tree fs.FS) ([]string, error) {
	var out []string
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && p != "." && p != ".ci" || p == "internal/archtest" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 1<<20 || !d.Type().IsRegular() || p == ".git" { // a worktree's .git is a file
			return err
		}
		b, err := fs.ReadFile(tree, p)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := foreign.FindString(line); m != "" {
				out = append(out, fmt.Sprintf("%s:%d names %q, which only one machine knows", p, i+1, strings.TrimSpace(m)))
			}
		}
		return nil
	})
	return problems(out), err
}
