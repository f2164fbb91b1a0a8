package expr

import (
	"strings"
	"sync"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// AggFunc is one entry of the aggregate library. The same state code serves batch and stream.
type AggFunc struct {
	Name     string
	Args     []sqltypes.Type // count(*) is "count" without arguments
	Variadic bool
	Result   sqltypes.Type
	ResultOf func(args []sqltypes.Type) sqltypes.Type
	Doc      string
	// IgnoresNulls: rows with a NULL first argument are skipped by the caller (all but count(*),
	// array_agg, jsonb_agg and their like).
	IgnoresNulls bool
	// Ordered: the result depends on input order (string_agg, array_agg, first_value).
	Ordered bool
	// Fixed holds the fixed-width state code, for aggregates whose state is a few words and that can be
	// taken back exactly by a negative weight (Invertible) or run over append-only input only.
	Fixed *FixedAgg
	// New makes an object state, for all others. An aggregate has Fixed, New or both; with both, Fixed
	// is for append-only input (min, max) and New is not used in streams: see Multiset.
	New func(args []sqltypes.Type) AggObject
	// Invertible: Fixed or the object takes negative weights and its size does not grow with the group.
	Invertible bool
	// Multiset: under retraction the result needs all live values of the group (min, max, string_agg,
	// array_agg…): a stream keeps them in an OrderedMap and calls FromSorted or the object over them.
	Multiset bool
	// OrderedSet: called f(direct) WITHIN GROUP (ORDER BY values). Args lists the Direct direct arguments first, as calls
	// do. The state sees the values first, sorted as the call says, and the direct arguments, the same in every row,
	// behind them, so that a NULL first argument is a NULL value here, too.
	OrderedSet bool
	Direct     int
}

// States locates the fixed-width states of one aggregate inside blocks of slots.
// State of slot s: Blocks[s>>Shift][(s&(1<<Shift-1))*Width+Off:].
type States struct {
	Blocks [][]byte
	Shift  uint
	Width  int // bytes between slots
	Off    int // where this aggregate's state begins
}

// At returns the bytes of slot s from this aggregate's state on.
func (s *States) At(slot uint32) []byte {
	return s.Blocks[slot>>s.Shift][int(slot&(1<<s.Shift-1))*s.Width+s.Off:]
}

// FixedAgg is vectorised state code. A state of all zero bytes is the state of no input.
type FixedAgg struct {
	Width int // bytes, a multiple of 8
	// Update folds rows into states: slots[k] is the slot of the k-th row of rows (nil: rows 0..len(slots)-1).
	// weights is indexed by physical row; nil: all +1. Rows with NULL first arguments are skipped inside
	// when IgnoresNulls. Errors (overflow) appear at Result, never here.
	Update func(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64)
	// Merge folds state src into dst (two-phase aggregation).
	Merge func(dst, src []byte)
	// Result appends the value of each slot to out, in order.
	Result func(c *Ctx, s *States, slots []uint32, out *delta.Vec)
}

// AggObject is a state of variable size for one group.
type AggObject interface {
	// Add folds one row in; weight may be negative when the entry is Invertible.
	Add(c *Ctx, args []*delta.Vec, row int, weight int64) error
	// Result appends the value to out.
	Result(c *Ctx, out *delta.Vec) error
	// AppendImage and DecodeImage persist the state; SizeBytes is for accounting.
	AppendImage(dst []byte) []byte
	DecodeImage(src []byte) error
	SizeBytes() int
}

// Sig is the entry's identity in stored plans.
func (a *AggFunc) Sig() string {
	var b strings.Builder
	b.WriteString(a.Name)
	b.WriteByte('(')
	for i, t := range a.Args {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(t.String())
	}
	b.WriteByte(')')
	return b.String()
}

var aggLib = sync.OnceValue(func() map[string][]*AggFunc {
	m := map[string][]*AggFunc{}
	list := aggregates()
	for i := range list {
		m[list[i].Name] = append(m[list[i].Name], &list[i])
	}
	return m
})

// AggByName lists the overloads of an aggregate.
func AggByName(name string) []*AggFunc { return aggLib()[name] }

// AggBySig finds an aggregate by AggFunc.Sig.
func AggBySig(sig string) (*AggFunc, bool) {
	name, _, _ := strings.Cut(sig, "(")
	for _, a := range aggLib()[name] {
		if a.Sig() == sig {
			return a, true
		}
	}
	return nil, false
}

// AllAggs calls f for every aggregate.
func AllAggs(f func(*AggFunc)) {
	list := aggregates()
	for i := range list {
		f(&list[i])
	}
}

// TableFunc is a set-returning function.
type TableFunc struct {
	Name     string
	Args     []sqltypes.Type
	Optional int
	// Cols are the result columns; one column of a scalar type for functions like generate_series.
	Cols []RowCol
	// ColsOf overrides Cols for polymorphic entries.
	ColsOf     func(args []sqltypes.Type) []RowCol
	Volatility Volatility
	Doc        string
	// ColumnDefs: the rows are those of the column definition list after the call (AS t(a int, b text)), which stands
	// behind the arguments as a NULL of that composite type.
	ColumnDefs bool
	// Rows: the columns are the fields of a row, even if there is only one.
	Rows bool
	// CalledOnNull: else a NULL argument yields no rows.
	CalledOnNull bool
	// Eval calls emit for each result row; the slice passed to emit may be reused by Eval. An error from emit
	// must be returned at once.
	Eval func(c *Ctx, args []sqltypes.Datum, argTypes []sqltypes.Type, emit func(row []sqltypes.Datum) error) error

	sig string // of a SQLTableFunc
}

// RowCol names and types a result column.
type RowCol struct {
	Name string
	Type sqltypes.Type
}

// Sig is the entry's identity in stored plans.
func (t *TableFunc) Sig() string {
	if t.sig != "" {
		return t.sig
	}
	return (&AggFunc{Name: t.Name, Args: t.Args}).Sig()
}

// TableFuncsByName lists the overloads of a set-returning function.
func TableFuncsByName(name string) []*TableFunc {
	var out []*TableFunc
	list := tableFuncs()
	for i := range list {
		if list[i].Name == name {
			out = append(out, &list[i])
		}
	}
	return out
}

// TableFuncBySig finds a set-returning function by its Sig.
func TableFuncBySig(sig string) (*TableFunc, bool) {
	list := tableFuncs()
	for i := range list {
		if list[i].Sig() == sig {
			return &list[i], true
		}
	}
	return nil, false
}

// AllTableFuncs calls f for every set-returning function.
func AllTableFuncs(f func(*TableFunc)) {
	list := tableFuncs()
	for i := range list {
		f(&list[i])
	}
}

// AggMerger is an AggObject of which the states of two neighbouring runs of rows make the state of both.
type AggMerger interface {
	AggObject
	// Merge adds what src, a state of the same aggregate over later rows, has seen. It does not change src.
	Merge(src AggObject)
}
