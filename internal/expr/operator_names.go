package expr

import (
	_ "embed"
	"strings"
)

// operatorNames gives PostgreSQL's names to the functions behind its operators, a line each: name, operator, types of the
// arguments with _ for blanks.
//
//go:embed operator_names.txt
var operatorNames string

// operatorFuncs lists the operators of the other families again under the names of their functions, so that int4pl(1, 2) can
// be called.
func operatorFuncs(families []Family) []Func {
	bySig := map[string]*Func{}
	for _, fam := range families {
		for i := range fam.Funcs {
			bySig[fam.Funcs[i].Sig()] = &fam.Funcs[i]
		}
	}
	var out []Func
	for line := range strings.Lines(operatorNames) {
		w := strings.Fields(line)
		f := bySig[w[1]+"("+strings.ReplaceAll(w[2], "_", " ")+")"]
		if f == nil {
			continue
		}
		named := *f
		named.Name, named.Operator = w[0], w[1]
		if bySig[named.Sig()] != nil {
			continue
		}
		named.Doc = "function of the operator " + w[1] + ": " + f.Doc
		bySig[named.Sig()] = &named
		out = append(out, named)
	}
	return out
}
