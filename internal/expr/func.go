package expr

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonpath"
	"github.com/millrace/millrace/internal/regex"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Volatility is PostgreSQL's provolatile.
type Volatility byte

// The volatilities.
const (
	Immutable Volatility = iota // same answer for ever
	Stable                      // same answer within a statement: depends on settings, now(), the catalog
	Volatile                    // may differ from call to call
)

// Nulls says what a function does with NULL arguments.
type Nulls byte

// The null behaviours.
const (
	Strict  Nulls = iota // NULL in, NULL out; the kernel's result at such rows is ignored
	OnNulls              // the kernel is called and sets the result's validity itself
)

// Func is one entry of the function library. Operators are entries too, named by their symbol, with
// one or two arguments ("+", "||", "->>", prefix minus is "-" with one).
type Func struct {
	Name string
	Args []sqltypes.Type
	// Variadic: the last of Args may be repeated (its type is the element type; a VARIADIC array call
	// is not supported by the kernel and is expanded or refused by the binder).
	Variadic bool
	// Compatible: arguments that are anyelement or anyarray need not be of one type but meet in a common one, as in
	// PostgreSQL's anycompatible.
	Compatible bool
	Result     sqltypes.Type
	// ResultOf overrides Result for polymorphic entries; it sees the actual argument types.
	ResultOf   func(args []sqltypes.Type) sqltypes.Type
	Volatility Volatility
	Nulls      Nulls
	Doc        string // one line, for \df and the reference
	Kernel     Kernel
	Operator   string // the operator whose function this is, see operator_names.go
	spread     bool   // takes the last arguments in an array, see spread.go
	// Defaults: number of trailing arguments that may be left out (the kernel sees fewer vectors).
	Optional int
}

// Kernel computes a function for the rows of a. For Strict functions out.Valid already is the
// intersection of the arguments' validity, and rows that are NULL need no value. Fixed-width outputs
// come with their slices allocated (a.N rows); bytes outputs come empty and the kernel appends exactly
// a.N rows in order (see RowLoop and the adapters in adapt.go). Failing rows are reported with c.Fail.
type Kernel func(c *Ctx, a Args, out *delta.Vec)

// Args are the evaluated arguments of a call.
type Args struct {
	Vecs []*delta.Vec
	Sel  []int32 // rows that count; nil: all N
	N    int     // physical rows
}

// Sig is the entry's identity in stored plans: name(argument type names).
func (f *Func) Sig() string {
	var b strings.Builder
	b.WriteString(f.Name)
	b.WriteByte('(')
	for i, t := range f.Args {
		if i > 0 {
			b.WriteByte(',')
		}
		if f.Variadic && i == len(f.Args)-1 {
			b.WriteString("variadic ")
		}
		b.WriteString(t.String())
	}
	b.WriteByte(')')
	if f.spread {
		b.WriteString(spreadMark)
	}
	return b.String()
}

// Session answers what depends on who asks; nil in jobs.
type Session interface {
	User() string
	Database() string
	SearchPath() []string
	Setting(name string) (string, bool)
	SetSetting(name, value string, local bool) error
	PID() int32
	// Catalog evaluates a catalog function such as pg_get_viewdef.
	Catalog(name string, args []sqltypes.Datum) (sqltypes.Datum, error)
}

// RowError is a failed evaluation: physical row and cause.
type RowError struct {
	Row int32
	Err *sqlerr.Error
}

// Ctx is what evaluation may depend on besides its input, and where errors go. One goroutine.
type Ctx struct {
	Settings *sqlio.Settings
	// Now is the statement's or epoch's timestamp (µs since 2000-01-01 UTC); StmtNow and the wall
	// clock differ from it inside explicit transactions only.
	Now, StmtNow int64
	Session      Session
	Errs         []RowError
	regexps      map[string]*regex.Regexp // compiled patterns, see regex_funcs.go
	paths        map[string]*jsonpath.Path
	rng          *rand.Rand // set by setseed
}

var defaultSettings = sqlio.DefaultSettings()

// settings never returns nil.
func (c *Ctx) settings() *sqlio.Settings {
	if c.Settings == nil {
		return defaultSettings
	}
	return c.Settings
}

// location is the session's time zone.
func (c *Ctx) location() *time.Location {
	if l := c.settings().Time.Location; l != nil {
		return l
	}
	return time.UTC
}

// Fail records that row could not be computed; its value becomes NULL.
func (c *Ctx) Fail(out *delta.Vec, row int, err error) {
	out.SetNull(row)
	c.Errs = append(c.Errs, RowError{int32(row), sqlerr.From(err)})
}

// TakeErrs returns the errors since the last call and forgets them.
func (c *Ctx) TakeErrs() []RowError {
	e := c.Errs
	c.Errs = nil
	return e
}

// FirstErr returns the first recorded error as an error, or nil, and forgets all.
func (c *Ctx) FirstErr() error {
	if len(c.Errs) == 0 {
		return nil
	}
	e := c.Errs[0].Err
	c.Errs = nil
	return e
}

type library struct {
	byName map[string][]*Func
	bySig  map[string]*Func
}

var lib = sync.OnceValue(func() *library {
	l := &library{byName: map[string][]*Func{}, bySig: map[string]*Func{}}
	for _, fam := range Families() {
		for i := range fam.Funcs {
			f := &fam.Funcs[i]
			sig := f.Sig()
			if _, dup := l.bySig[sig]; dup {
				panic("expr: function " + sig + " is listed twice")
			}
			l.bySig[sig] = f
			l.byName[f.Name] = append(l.byName[f.Name], f)
			if f.Variadic {
				s := spreadOf(f)
				l.bySig[s.Sig()] = s
			}
		}
	}
	return l
})

// ByName lists the overloads of a function or operator.
func ByName(name string) []*Func { return lib().byName[name] }

// BySig finds an entry by Func.Sig.
func BySig(sig string) (*Func, bool) { f, ok := lib().bySig[sig]; return f, ok }

// All calls f for every entry, in listing order.
func All(f func(*Func)) {
	for _, fam := range Families() {
		for i := range fam.Funcs {
			f(&fam.Funcs[i])
		}
	}
}

// NewCall builds a call of entry f over args, with the result type worked out.
func NewCall(f *Func, args ...Expr) *Call {
	ty := f.Result
	if f.ResultOf != nil {
		ts := make([]sqltypes.Type, len(args))
		for i, a := range args {
			ts[i] = a.Type()
		}
		ty = f.ResultOf(ts)
	}
	return &Call{f.Sig(), args, ty}
}

// VolatilityOf returns the highest volatility in e. Casts that depend on settings count as Stable.
func VolatilityOf(e Expr) Volatility {
	v := Immutable
	Walk(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Call:
			if f, ok := BySig(x.Sig); ok {
				v = max(v, f.Volatility)
			}
		case *SQLCall:
			v = max(v, x.Volatility)
		case *Cast:
			v = max(v, castVolatility(x.Arg.Type(), x.Ty))
		case *ToDomain:
			v = max(v, x.volatility())
		}
		return true
	})
	return v
}
