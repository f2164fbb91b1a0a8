package expr

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The golden files are the examples of the library: every entry has at least one there, the reference under docs/sql/functions
// shows them, and TestMutations breaks every entry to see an example fail.

// goldenCtx is what examples are evaluated in.
func goldenCtx() *Ctx {
	const now = 757382400123456 // 2024-01-01 00:00:00.123456
	return &Ctx{Now: now, StmtNow: now, Session: &fakeSession{map[string]string{"x": "1", "server_version": "15.9"}}}
}

// example is one golden case, parsed.
type example struct {
	goldenCase
	file  string
	e     Expr         // of an expression
	query *goldenQuery // of a query
}

func (x *example) outcome(t *testing.T) string {
	if x.query != nil {
		return x.query.outcome(t)
	}
	return constOutcome(x.e)
}

func constOutcome(e Expr) (out string) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Sprint("panic: ", p)
		}
	}()
	d, err := EvalConst(goldenCtx(), e)
	return outcome(e.Type(), d, err)
}

type exampleSet struct {
	all   []*example
	bySig map[string][]*example // functions and operators that an example calls anywhere
	byTop map[string][]*example // the outermost call
	aggs  map[string][]*example
	sets  map[string][]*example
}

var examples = sync.OnceValue(func() *exampleSet {
	s := &exampleSet{bySig: map[string][]*example{}, byTop: map[string][]*example{}, aggs: map[string][]*example{}, sets: map[string][]*example{}}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, path := range files {
		cases, _, err := parseGolden(path)
		if err != nil {
			panic(err)
		}
		for _, c := range cases {
			x := &example{goldenCase: c, file: path}
			if isQuery(c.expr) {
				if x.query, err = parseQuery(c.expr); err != nil {
					continue // TestGolden reports it
				}
				m := s.aggs
				if x.query.table != nil {
					m = s.sets
				}
				m[x.query.sig()] = append(m[x.query.sig()], x)
			} else {
				if x.e, err = parseExpr(c.expr); err != nil {
					continue
				}
				s.index(x)
			}
			s.all = append(s.all, x)
		}
	}
	return s
})

func (s *exampleSet) index(x *example) {
	seen := map[string]bool{}
	add := func(sig string) {
		if !seen[sig] {
			seen[sig] = true
			s.bySig[sig] = append(s.bySig[sig], x)
		}
	}
	Walk(x.e, func(e Expr) bool {
		switch e := e.(type) {
		case *Call:
			add(e.Sig)
		case *AnyAll:
			add(e.Sig)
		}
		return true
	})
	if c, ok := x.e.(*Call); ok {
		s.byTop[c.Sig] = append(s.byTop[c.Sig], x)
	}
}

// of lists the examples of an entry. Those of a function behind an operator are the operator's, called by its name.
func (s *exampleSet) of(f *Func) []*example {
	if f.Operator == "" {
		return s.bySig[f.Sig()]
	}
	op := *f
	op.Name = f.Operator
	var out []*example
	for _, x := range s.bySig[op.Sig()] {
		y := *x
		y.e = Transform(x.e, func(e Expr) Expr {
			if c, ok := e.(*Call); ok && c.Sig == op.Sig() {
				return &Call{f.Sig(), c.Args, c.Ty}
			}
			return e
		})
		if y.e != x.e {
			out = append(out, &y)
		}
	}
	return out
}

// askedOf makes an example of a function that the catalog answers: the fake session repeats what it was asked.
func askedOf(f *Func) *example {
	args := make([]Expr, len(f.Args))
	var shown []sqltypes.Datum
	for i, t := range f.Args {
		text := map[sqltypes.Kind]string{sqltypes.KBool: "t", sqltypes.KInterval: "0", sqltypes.KTimestamptz: "2000-01-01"}[t.Kind]
		if text == "" {
			text = fmt.Sprint(i + 1)
		}
		d, err := sqlio.ParseText(t, text, sqlio.DefaultSettings())
		if err != nil {
			panic(err)
		}
		args[i] = &Const{Ty: t, Val: d}
		shown = append(shown, d)
	}
	d, _ := (*fakeSession)(nil).Catalog(f.Name, shown)
	e := NewCall(f, args...)
	return &example{goldenCase: goldenCase{expr: f.Sig(), want: outcome(f.Result, d, nil)}, file: "catalog", e: e}
}

// echo is the fake catalog's answer, in the function's type.
func echo(name string, args []sqltypes.Datum, t sqltypes.Type) (sqltypes.Datum, error) {
	n := int64(len(name))
	var shown []string
	for _, a := range args {
		if b, ok := a.([]byte); ok {
			a = string(b)
		}
		s := fmt.Sprint(a)
		n = n*31 + int64(len(s)) + int64(s[0])
		shown = append(shown, s)
	}
	switch t.Phys() {
	case sqltypes.PhysBool:
		return true, nil
	case sqltypes.PhysInt64:
		return n % 1000, nil
	case sqltypes.PhysFloat64:
		return float64(n % 1000), nil
	}
	switch t.Kind {
	case sqltypes.KArray:
		if t.ElemType().Phys() == sqltypes.PhysBytes {
			return sqlio.MakeArray(t, []sqltypes.Datum{[]byte(name)}), nil
		}
		return sqlio.MakeArray(t, []sqltypes.Datum{n % 1000}), nil
	case sqltypes.KVoid:
		return []byte{}, nil
	}
	return []byte(name + "(" + strings.Join(shown, ", ") + ")"), nil
}

func isCatalogFunc(f *Func) bool {
	return slices.ContainsFunc(catalogEntries(), func(e catalogEntry) bool { return e.name == f.Name })
}

func TestEveryEntryHasAnExample(t *testing.T) {
	s := examples()
	All(func(f *Func) {
		if len(s.of(f)) == 0 && !isCatalogFunc(f) {
			t.Errorf("%s has no example in testdata", f.Sig())
		}
	})
	AllAggs(func(a *AggFunc) {
		if len(s.aggs[a.Sig()]) == 0 {
			t.Errorf("aggregate %s has no example in testdata", a.Sig())
		}
	})
	AllTableFuncs(func(f *TableFunc) {
		if len(s.sets[f.Sig()]) == 0 {
			t.Errorf("set-returning %s has no example in testdata", f.Sig())
		}
	})
}

func TestOperatorFunctions(t *testing.T) {
	s := examples()
	lines := 0
	for line := range strings.Lines(operatorNames) {
		w := strings.Fields(line)
		lines++
		if _, ok := BySig(w[0] + "(" + strings.ReplaceAll(w[2], "_", " ") + ")"); !ok {
			t.Errorf("no operator for %s", line)
		}
	}
	if lines < 400 {
		t.Errorf("%d functions of operators", lines)
	}
	All(func(f *Func) {
		if f.Operator == "" {
			return
		}
		for _, x := range s.of(f) {
			if got := x.outcome(t); !x.agrees(got) {
				t.Errorf("%s:%d: %s as %s\n got  %s\n want %s", x.file, x.line, x.expr, f.Sig(), got, x.want)
			}
		}
	})
}

func TestCatalogFunctionsAskTheSession(t *testing.T) {
	All(func(f *Func) {
		if isCatalogFunc(f) {
			x := askedOf(f)
			if got := x.outcome(t); got != x.want {
				t.Errorf("%s: got %s, want %s", f.Sig(), got, x.want)
			}
		}
	})
}
