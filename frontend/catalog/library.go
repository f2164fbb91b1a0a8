package catalog

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The OIDs of PostgreSQL 15's functions and operators, as far as the library has them or types refer to them.
var (
	//go:embed oids/proc_oids.txt
	procOIDs string // name oid(argument type oids)…
	//go:embed oids/operator_oids.txt
	operatorOIDs string // oid name left right result procedure commutator negator can-merge can-hash
	//go:embed oids/support_procs.txt
	supportProcs string // oid name result volatility strict arguments
)

// proc is one row of pg_proc.
type proc struct {
	oid        int64
	schema     string
	name       string
	kind       byte // pg_proc.prokind: f, a, w
	args       []int64
	names      []string // of arguments, and of result columns after them; nil: none
	optional   int
	direct     int      // of an ordered-set aggregate: how many arguments stand before ORDER BY
	orderedSet bool     // an ordered-set aggregate
	defaults   []string // SQL texts of the optional arguments; nil: NULL
	// named are the names of types made by CREATE TYPE or CREATE DOMAIN, by OID.
	named      map[int64]string
	out        bool   // columns are OUT parameters
	rows       string // the relation whose rows are the result
	variadic   int64  // element type, 0: not variadic
	result     int64
	columns    []int64 // result columns of a function that returns several
	set        bool    // returns a set
	volatility byte    // i, s, v
	strict     bool
	language   int64
	body       string
	doc        string
	callable   bool                // false: only types refer to it
	params     []catalog.FuncParam // of a function of CREATE FUNCTION with others than plain input
}

// operator is one row of pg_operator.
type operator struct {
	oid                       int64
	name                      string
	left, right, result       int64
	code, commutator, negator int64
	merges, hashes            bool
	doc                       string
}

type funcLibrary struct {
	procs     []*proc
	operators []*operator
	byOID     map[int64]*proc
	byName    map[string][]*proc

	operatorByOID map[int64]*operator
}

// library lists the functions and operators that the release has.
var library = sync.OnceValue(func() *funcLibrary {
	l := &funcLibrary{byOID: map[int64]*proc{}, byName: map[string][]*proc{}, operatorByOID: map[int64]*operator{}}
	known := knownProcs()
	next := int64(firstLibraryOID)
	oidOf := func(name string, args []int64) int64 {
		next++ // a position belongs to each entry, used or not
		if oid := known[procKey(name, args)]; oid != 0 && l.byOID[oid] == nil {
			return oid
		}
		return next
	}
	add := func(p *proc) {
		p.schema = pgCatalog
		l.byOID[p.oid] = p
		l.byName[p.name] = append(l.byName[p.name], p)
		l.procs = append(l.procs, p)
	}
	var symbols []*expr.Func
	expr.All(func(f *expr.Func) {
		if !isName(f.Name) {
			symbols = append(symbols, f)
			return
		}
		p := funcProc(f)
		p.oid = oidOf(p.name, p.args)
		add(p)
	})
	expr.AllTableFuncs(func(f *expr.TableFunc) {
		p := tableProc(f)
		p.oid = oidOf(p.name, p.args)
		add(p)
	})
	expr.AllAggs(func(f *expr.AggFunc) {
		p := &proc{name: f.Name, kind: 'a', args: oidsOf(f.Args), result: int64(f.Result.OID()), volatility: 'i', language: oidInternal,
			doc: f.Doc, callable: true}
		p.makeVariadic(f.Variadic)
		p.orderedSet, p.direct = f.OrderedSet, f.Direct
		p.oid = oidOf(p.name, p.args)
		add(p)
	})
	for _, p := range windowProcs() {
		p.oid = oidOf(p.name, p.args)
		add(p)
	}
	for _, p := range parseSupport() {
		if l.byOID[p.oid] == nil {
			add(p)
		}
	}
	l.operators = listOperators(symbols)
	for _, o := range l.operators {
		l.operatorByOID[o.oid] = o
	}
	return l
})

func isName(s string) bool { return s[0] == '_' || s[0] >= 'a' && s[0] <= 'z' }

func oidsOf(ts []sqltypes.Type) []int64 {
	out := make([]int64, len(ts))
	for i, t := range ts {
		out[i] = int64(t.OID())
	}
	return out
}

// makeVariadic turns the last argument into an array of itself, as pg_proc has it.
func (p *proc) makeVariadic(yes bool) {
	if !yes || len(p.args) == 0 {
		return
	}
	last := len(p.args) - 1
	p.variadic = p.args[last]
	t, _ := sqltypes.ByOID(uint32(p.variadic))
	switch {
	case t.Kind == sqltypes.KAnyElement:
		p.args[last] = int64(sqltypes.AnyArray.OID())
	case t.Kind != sqltypes.KAny && t.Kind.Info().ArrayOID != 0:
		p.args[last] = int64(t.Kind.Info().ArrayOID)
	}
}

func funcProc(f *expr.Func) *proc {
	p := &proc{name: f.Name, kind: 'f', args: oidsOf(f.Args), optional: f.Optional, result: int64(f.Result.OID()),
		volatility: "isv"[f.Volatility], strict: f.Nulls == expr.Strict, language: oidInternal, doc: f.Doc, callable: true}
	p.makeVariadic(f.Variadic)
	p.names, p.defaults = paramNames(f.Name, len(f.Args)), paramDefaults(f.Name, f.Args, f.Optional)
	return p
}

// paramDefaults are the defaults of a function's optional arguments; nil where the library has none, because the function
// tells by the number of its arguments.
func paramDefaults(name string, args []sqltypes.Type, optional int) []string {
	params := expr.Params(name)
	if optional == 0 || len(params) < len(args) {
		return nil
	}
	var out []string
	for i := len(args) - optional; i < len(args); i++ {
		d := params[i].Default
		if t := args[i]; !t.IsNumber() && t.Kind != sqltypes.KBool {
			d = "'" + d + "'::" + t.String()
		}
		if params[i].Default == "" {
			d = "NULL"
		}
		out = append(out, d)
	}
	return out
}

// paramNames are the names of a function's n parameters, nil when it has none.
func paramNames(name string, n int) []string {
	params := expr.Params(name)
	if len(params) == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		if i < len(params) {
			out[i] = params[i].Name
		}
	}
	return out
}

func tableProc(f *expr.TableFunc) *proc {
	p := &proc{name: f.Name, kind: 'f', args: oidsOf(f.Args), optional: f.Optional, set: true, volatility: "isv"[f.Volatility],
		strict: !f.CalledOnNull, language: oidInternal, doc: f.Doc, callable: true, result: int64(sqltypes.AnyElement.OID())}
	p.names, p.defaults = paramNames(f.Name, len(f.Args)), paramDefaults(f.Name, f.Args, f.Optional)
	switch {
	case f.ColumnDefs:
		p.result = int64(sqltypes.Record.OID())
	case len(f.Cols) == 1:
		p.result = int64(f.Cols[0].Type.OID())
	case len(f.Cols) > 1:
		p.result = int64(sqltypes.Record.OID())
		if p.names == nil {
			p.names = make([]string, len(f.Args))
		}
		for _, c := range f.Cols {
			p.columns = append(p.columns, int64(c.Type.OID()))
			p.names = append(p.names, c.Name)
		}
	}
	return p
}

// windowProcs lists the functions that need OVER; the binder has them by name.
func windowProcs() []*proc {
	i4, i8, f8, el := int64(23), int64(20), int64(701), int64(2283)
	list := []struct {
		name   string
		args   []int64
		result int64
		doc    string
	}{
		{"row_number", nil, i8, "number of the row in its partition, from 1"},
		{"rank", nil, i8, "rank with gaps"},
		{"dense_rank", nil, i8, "rank without gaps"},
		{"percent_rank", nil, f8, "relative rank from 0 to 1"},
		{"cume_dist", nil, f8, "share of rows up to and including peers"},
		{"ntile", []int64{i4}, i4, "bucket of the row when the partition is cut into n"},
		{"lag", []int64{el}, el, "value of the row before"},
		{"lag", []int64{el, i4}, el, "value of the n-th row before"},
		{"lag", []int64{el, i4, el}, el, "value of the n-th row before, or a default"},
		{"lead", []int64{el}, el, "value of the row after"},
		{"lead", []int64{el, i4}, el, "value of the n-th row after"},
		{"lead", []int64{el, i4, el}, el, "value of the n-th row after, or a default"},
		{"first_value", []int64{el}, el, "value of the first row of the frame"},
		{"last_value", []int64{el}, el, "value of the last row of the frame"},
		{"nth_value", []int64{el, i4}, el, "value of the n-th row of the frame"},
	}
	var out []*proc
	for _, e := range list {
		out = append(out, &proc{name: e.name, kind: 'w', args: e.args, result: e.result, volatility: 'i', language: oidInternal, doc: e.doc, callable: true})
	}
	return out
}

func procKey(name string, args []int64) string { return name + "(" + joinInts(args, ",") + ")" }

func joinInts(v []int64, sep string) string {
	var b strings.Builder
	for i, n := range v {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String()
}

// knownProcs is procOIDs by procKey.
func knownProcs() map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(procOIDs) {
		fields := strings.Fields(line)
		for _, f := range fields[1:] {
			oid, args, _ := strings.Cut(f, "(")
			out[fields[0]+"("+args] = mustInt(oid)
		}
	}
	return out
}

func parseSupport() []*proc {
	var out []*proc
	for line := range strings.Lines(supportProcs) {
		f := strings.Fields(line)
		p := &proc{oid: mustInt(f[0]), name: f[1], kind: 'f', result: mustInt(f[2]), volatility: f[3][0], strict: f[4] == "1", language: oidInternal}
		if len(f) > 5 {
			for _, a := range strings.Split(f[5], ",") {
				p.args = append(p.args, mustInt(a))
			}
		}
		out = append(out, p)
	}
	return out
}

func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("catalog: %q is not a number", s))
	}
	return n
}

// listOperators gives PostgreSQL's OIDs to the library's operators that it has, and new ones to the others.
func listOperators(symbols []*expr.Func) []*operator {
	known := map[string]*operator{}
	for line := range strings.Lines(operatorOIDs) {
		f := strings.Fields(line)
		o := &operator{oid: mustInt(f[0]), name: f[1], left: mustInt(f[2]), right: mustInt(f[3]), result: mustInt(f[4]), code: mustInt(f[5]),
			commutator: mustInt(f[6]), negator: mustInt(f[7]), merges: f[8] == "1", hashes: f[9] == "1"}
		known[operatorKey(o)] = o
	}
	var out []*operator
	listed := map[int64]bool{0: true}
	for i, f := range symbols {
		o := &operator{oid: firstLibraryOID + int64(i), name: f.Name, result: int64(f.Result.OID())}
		switch len(f.Args) {
		case 1:
			o.right = int64(f.Args[0].OID())
		case 2:
			o.left, o.right = int64(f.Args[0].OID()), int64(f.Args[1].OID())
		default:
			continue
		}
		if k := known[operatorKey(o)]; k != nil && !listed[k.oid] {
			o = k
		}
		o.doc = f.Doc
		listed[o.oid] = true
		out = append(out, o)
	}
	for _, o := range out {
		if !listed[o.commutator] {
			o.commutator = 0
		}
		if !listed[o.negator] {
			o.negator = 0
		}
	}
	return out
}

func operatorKey(o *operator) string {
	return o.name + " " + joinInts([]int64{o.left, o.right}, " ")
}
