// Package archtest checks the rules of the house that a compiler does not: who may import whom, what a
// package comment says, and what never appears in a file.
//
// The idea: a Tree is every Go file below a folder, parsed; a rule is a function from a Tree to what is wrong
// with it, one line each. The package's own tests run all rules over this module, and each rule over a small
// tree that breaks it, so that a rule that no longer finds anything is noticed.
//
// A Tree is immutable after Load; everything runs on the test's goroutine.
//
// Invariants: the tables in rules.go are the only place where edges are allowed or forbidden, and each line
// there has its reason beside it, which the failure prints.
//
// It does not judge style that gofmt, go vet or the linter judge. Start at rules.go.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the path of this module; what is below it is ours.
const Module = "github.com/millrace/millrace"

// File is one parsed Go file.
type File struct {
	Path  string // slash-separated, relative to the tree's root
	Test  bool
	Lines int
	AST   *ast.File
}

// Package is the Go files of one folder.
type Package struct {
	Path  string // the folder relative to the root; "." for the root
	Files []*File
}

// Tree is the Go code below a folder.
type Tree struct {
	Fset     *token.FileSet
	Packages []*Package // by path
}

// Load parses every Go file of the tree, except below testdata and hidden folders.
func Load(tree fs.FS) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	byDir := map[string]*Package{}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipDir(d.Name()) && p != "." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := t.load(tree, p)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Path: dir}
			t.Packages = append(t.Packages, byDir[dir])
		}
		byDir[dir].Files = append(byDir[dir].Files, f)
		return nil
	})
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return t, err
}

func skipDir(name string) bool {
	return name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (t *Tree) load(tree fs.FS, p string) (*File, error) {
	src, err := fs.ReadFile(tree, p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	f, err := parser.ParseFile(t.Fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", p, err)
	}
	return &File{Path: p, Test: strings.HasSuffix(p, "_test.go"), Lines: strings.Count(string(src), "\n"), AST: f}, nil
}

// Code reports whether the package has files that are not tests.
func (p *Package) Code() bool {
	return slices.ContainsFunc(p.Files, func(f *File) bool { return !f.Test })
}

// Imports lists the packages of this module that p's code imports, relative to the module, with the file of
// the first import. Tests may import what they like.
func (p *Package) Imports() map[string]string {
	out := map[string]string{}
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, spec := range f.AST.Imports {
			target, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), Module+"/")
			if _, seen := out[target]; ours && !seen {
				out[target] = f.Path
			}
		}
	}
	return out
}
