package expr

import (
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// unnoticed lists what no example can tell from the right answer, and why.
var unnoticed = map[string]map[string]string{
	"NULL": {
		"inet_server_addr()": "it is NULL", "inet_client_addr()": "it is NULL", "pg_column_compression(\"any\")": "it is NULL",
	},
	"another value": {
		"inet_server_addr()": "it is NULL", "inet_client_addr()": "it is NULL", "pg_column_compression(\"any\")": "it is NULL",
		"clock_timestamp()": "any time near now will do", "timeofday()": "any time near now will do",
		"gen_random_uuid()": "any UUID will do",
	},
}

// TestMutations breaks every entry of the library in turn, in two ways, and asks for an example that notices.
func TestMutations(t *testing.T) {
	s := examples()
	killed := func(xs []*example) bool {
		for _, x := range xs {
			if !x.agrees(x.outcome(t)) {
				return true
			}
		}
		return false
	}
	for _, m := range []struct {
		name  string
		spoil func(*delta.Vec, int)
	}{{"NULL", setNull}, {"another value", spoil}} {
		n := 0
		All(func(f *Func) {
			xs := s.of(f)
			if isCatalogFunc(f) {
				xs = append(xs, askedOf(f))
			}
			if f.Result.Kind == sqltypes.KVoid && m.name != "NULL" {
				return // void has one value
			}
			old := f.Kernel
			f.Kernel = func(c *Ctx, a Args, out *delta.Vec) {
				old(c, a, out)
				spoilAll(a, out, m.spoil)
			}
			n++
			_, known := unnoticed[m.name][f.Sig()]
			if killed(xs) == known {
				t.Errorf("%s could return %s and no example would notice: %v, and that is what is listed: %v", f.Sig(), m.name, !killed(xs), known)
			}
			f.Kernel = old
		})
		AllAggs(func(a *AggFunc) {
			restore := spoilAgg(a, m.spoil)
			n++
			if !killed(s.aggs[a.Sig()]) {
				t.Errorf("aggregate %s could return %s and no example would notice", a.Sig(), m.name)
			}
			restore()
		})
		t.Logf("%d entries return %s", n, m.name)
	}
	AllTableFuncs(func(f *TableFunc) {
		old := f.Eval
		f.Eval = func(c *Ctx, args []sqltypes.Datum, types []sqltypes.Type, emit func([]sqltypes.Datum) error) error {
			n := 0
			return old(c, args, types, func(row []sqltypes.Datum) error {
				if n++; n == 1 {
					return nil
				}
				return emit(row)
			})
		}
		if !killed(s.sets[f.Sig()]) {
			t.Errorf("set-returning %s could lose its first row and no example would notice", f.Sig())
		}
		f.Eval = old
	})
}

func setNull(out *delta.Vec, i int) { out.SetNull(i) }

// spoil changes the value at i.
func spoil(out *delta.Vec, i int) {
	if out.IsNull(i) {
		return
	}
	switch out.Type.Phys() {
	case sqltypes.PhysBool:
		out.Bools[i] = !out.Bools[i]
	case sqltypes.PhysInt64:
		out.Ints[i]++
	case sqltypes.PhysFloat64:
		out.Floats[i] = out.Floats[i]*1.5 + 1
	case sqltypes.PhysNumeric:
		out.Decs[i] = mustDec(out.Decs[i].Add(numeric.FromInt64(1)))
	case sqltypes.PhysInterval:
		out.Intervals[i] = datetime.Interval{Months: out.Intervals[i].Months, Days: out.Intervals[i].Days + 1, Micros: out.Intervals[i].Micros}
	}
}

// spoilAll changes all rows of a kernel's output; values of bytes are replaced.
func spoilAll(a Args, out *delta.Vec, change func(*delta.Vec, int)) {
	if out.Type.Phys() != sqltypes.PhysBytes {
		a.each(out, func(i int) { change(out, i) })
		return
	}
	fresh := &delta.Vec{Type: out.Type}
	for i := range out.Len() {
		fresh.AppendDatum(spoiledBytes(out, i))
	}
	null := setNullOf(change)
	for i := range out.Len() {
		if null {
			fresh.SetNull(i)
		}
	}
	*out = *fresh
}

// setNullOf tells the two ways apart.
func setNullOf(change func(*delta.Vec, int)) bool {
	probe := &delta.Vec{Type: sqltypes.Bool}
	probe.AppendBool(true)
	change(probe, 0)
	return probe.IsNull(0)
}

// spoiledBytes is another value of the type, or NULL for one that was not.
func spoiledBytes(out *delta.Vec, i int) sqltypes.Datum {
	if out.IsNull(i) {
		return nil
	}
	b := append([]byte{}, out.Bytes(i)...)
	switch out.Type.Kind {
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KBpchar, sqltypes.KName, sqltypes.KBytea, sqltypes.KJSON, sqltypes.KChar:
		return append(b, '!')
	case sqltypes.KBit, sqltypes.KVarbit:
		x := sqlio.ReadBits(b)
		return sqlio.AppendBits(nil, append(x.Data, 0), x.Len+1)
	case sqltypes.KUUID:
		b[0]++
		return b
	}
	return nil // arrays, records, documents: bytes of another value are hard to make up
}

func spoilAgg(a *AggFunc, change func(*delta.Vec, int)) (restore func()) {
	old := *a
	if a.Fixed != nil {
		fixed := *a.Fixed
		fixed.Result = func(c *Ctx, s *States, slots []uint32, out *delta.Vec) {
			old.Fixed.Result(c, s, slots, out)
			spoilAll(Args{N: out.Len()}, out, change)
		}
		a.Fixed = &fixed
	}
	if a.New != nil {
		a.New = func(types []sqltypes.Type) AggObject { return &spoiledAgg{old.New(types), change} }
	}
	return func() { *a = old }
}

type spoiledAgg struct {
	AggObject
	change func(*delta.Vec, int)
}

func (a *spoiledAgg) Result(c *Ctx, out *delta.Vec) error {
	err := a.AggObject.Result(c, out)
	if err == nil {
		spoilAll(Args{N: out.Len()}, out, a.change)
	}
	return err
}
