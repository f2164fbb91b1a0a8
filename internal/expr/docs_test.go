package expr

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqltypes"
)

// The reference under docs/sql/functions is made of the entries and their examples:
//
//	make docs
var writeDocs = flag.Bool("docs", false, "write docs/sql/functions anew")

const docsDir = "../../docs/sql/functions"

func TestReference(t *testing.T) {
	want := map[string]string{"README.md": docIndex()}
	for _, f := range Families() {
		want[f.Name+".md"] = docPage(&f)
	}
	if *writeDocs {
		if err := os.MkdirAll(docsDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(docsDir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(docsDir + "/*.md")
	if err != nil || len(files) != len(want) {
		t.Errorf("docs/sql/functions has %d pages, want %d: make docs", len(files), len(want))
	}
	for _, path := range files {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want[filepath.Base(path)] {
			t.Errorf("%s is not what the library says: make docs", filepath.Base(path))
		}
	}
}

const docNote = "Made of the library's entries and their examples by `make docs`; do not edit.\n"

func docIndex() string {
	var b strings.Builder
	b.WriteString("# Functions and operators\n\n" + docNote + "\n| | |\n|---|---|\n")
	for _, f := range Families() {
		n := len(f.Funcs) + len(f.Aggs) + len(f.Tables)
		fmt.Fprintf(&b, "| [%s](%s.md) | %d entries |\n", f.Title, f.Name, n)
	}
	b.WriteString("\nUnless an entry says otherwise its result is NULL when an argument is NULL, and always the same for the same arguments. " +
		"*Stable* ones depend on settings, on the time of the statement or on the catalog; *volatile* ones may differ from call to call. " +
		"An argument in brackets may be left out; `...` means that it may be repeated.\n\n" +
		"In the examples `=>` is the result as text and `!!` the SQLSTATE and message of an error.\n")
	return b.String()
}

// docEntry is one paragraph of a page.
type docEntry struct {
	name, text string
}

func docPage(f *Family) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s", f.Title, docNote)
	if f.Name == "operator" {
		docOperatorNames(&b, f)
		return b.String()
	}
	var entries []docEntry
	s := examples()
	for i := range f.Funcs {
		fn := &f.Funcs[i]
		entries = append(entries, docEntry{fn.Name, docText(signature(fn), fn.Doc, remarks(fn), shortest(s.byTop[fn.Sig()], s.bySig[fn.Sig()]))})
	}
	for i := range f.Aggs {
		a := &f.Aggs[i]
		sig := fmt.Sprintf("%s(%s)", a.Name, docArgs(a.Args[:len(a.Args)-withinArgs(a)], 0, a.Variadic, nil))
		switch {
		case a.OrderedSet:
			sig += " WITHIN GROUP (ORDER BY " + docArgs(a.Args[a.Direct:], 0, false, nil) + ")"
		case len(a.Args) == 0:
			sig = a.Name + "(*)"
		}
		entries = append(entries, docEntry{a.Name, docText(sig+" → "+a.Result.String(), a.Doc, "", shortest(s.aggs[a.Sig()], nil))})
	}
	for i := range f.Tables {
		t := &f.Tables[i]
		sig := fmt.Sprintf("%s(%s) → rows", t.Name, docArgs(t.Args, t.Optional, false, Params(t.Name)))
		entries = append(entries, docEntry{t.Name, docText(sig, t.Doc, volatilityText(t.Volatility), shortest(s.sets[t.Sig()], nil))})
	}
	slices.SortStableFunc(entries, func(x, y docEntry) int {
		return cmp.Or(cmp.Compare(boolScore(isWordName(x.name)), boolScore(isWordName(y.name))), cmp.Compare(x.name, y.name))
	})
	last := ""
	for _, e := range entries {
		if e.name != last {
			fmt.Fprintf(&b, "\n## `%s`\n", e.name)
			last = e.name
		}
		b.WriteString(e.text)
	}
	return b.String()
}

func withinArgs(a *AggFunc) int {
	if !a.OrderedSet {
		return 0
	}
	return len(a.Args) - a.Direct
}

func isWordName(name string) bool {
	return name[0] == '_' || name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z'
}

func signature(f *Func) string {
	switch {
	case isWordName(f.Name):
		return fmt.Sprintf("%s(%s) → %s", f.Name, docArgs(f.Args, f.Optional, f.Variadic, Params(f.Name)), f.Result)
	case len(f.Args) == 1:
		return fmt.Sprintf("%s %s → %s", f.Name, f.Args[0], f.Result)
	}
	return fmt.Sprintf("%s %s %s → %s", f.Args[0], f.Name, f.Args[1], f.Result)
}

func docArgs(args []sqltypes.Type, optional int, variadic bool, names []NamedParam) string {
	var list []string
	for i, a := range args {
		s := a.String()
		if i < len(names) {
			s = names[i].Name + " " + s
		}
		if i >= len(args)-optional {
			s = "[" + s + "]"
		}
		if variadic && i == len(args)-1 {
			s += " ..."
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func volatilityText(v Volatility) string {
	return [...]string{"", "Stable. ", "Volatile. "}[v]
}

func remarks(f *Func) string {
	s := volatilityText(f.Volatility)
	if f.Nulls == OnNulls {
		s += "NULL arguments count. "
	}
	return strings.TrimSpace(s)
}

func docText(sig, doc, remarks string, xs []*example) string {
	var b strings.Builder
	line := strings.ToUpper(doc[:1]) + doc[1:] + "."
	if !isWordName(doc) {
		line = doc + "."
	}
	fmt.Fprintf(&b, "\n**`%s`** %s", sig, line)
	if remarks != "" {
		b.WriteString(" *" + strings.TrimSpace(remarks) + "*")
	}
	b.WriteString("\n")
	if len(xs) > 0 {
		b.WriteString("\n```\n")
		for _, x := range xs {
			fmt.Fprintf(&b, "%s\n%s\n", x.expr, x.want)
		}
		b.WriteString("```\n")
	}
	return b.String()
}

// shortest picks what a page shows: two short results and one short error.
func shortest(lists ...[]*example) []*example {
	for _, xs := range lists {
		var good, bad []*example
		for _, x := range xs {
			switch {
			case len(x.expr)+len(x.want) > 200 || strings.Contains(x.expr, "␀") || x.file == "":
			case strings.HasPrefix(x.want, "!!"):
				bad = append(bad, x)
			case x.want != "=> NULL":
				good = append(good, x)
			}
		}
		short := func(a, b *example) int {
			return cmp.Or(cmp.Compare(len(a.expr), len(b.expr)), cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
		}
		slices.SortFunc(good, short)
		slices.SortFunc(bad, short)
		if out := append(slices.Clone(good[:min(2, len(good))]), bad[:min(1, len(bad))]...); len(out) > 0 {
			return out
		}
	}
	return nil
}

// docOperatorNames is the page of the functions behind operators: one table.
func docOperatorNames(b *strings.Builder, f *Family) {
	b.WriteString("\nEach operator can be called by the name of its function, too.\n\n| function | operator |\n|---|---|\n")
	var lines []string
	for i := range f.Funcs {
		fn := f.Funcs[i]
		op := fn
		op.Name = fn.Operator
		lines = append(lines, fmt.Sprintf("| `%s` | `%s` |\n", signature(&fn), strings.ReplaceAll(strings.Split(signature(&op), " → ")[0], "|", "\\|")))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}
