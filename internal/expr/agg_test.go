package expr

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// vecOf builds a column from texts; "" is NULL.
func vecOf(t *testing.T, ty sqltypes.Type, texts ...string) *delta.Vec {
	t.Helper()
	v := &delta.Vec{Type: ty}
	for _, s := range texts {
		if s == "" {
			v.AppendNull()
		} else if err := sqlio.AppendParsed(v, []byte(s), sqlio.DefaultSettings()); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func aggOf(t *testing.T, name string, args ...*delta.Vec) *AggFunc {
	t.Helper()
	for _, f := range AggByName(name) {
		ok := len(f.Args) == len(args)
		for i := range args {
			want := sqltypes.Type{}
			if ok {
				want = f.Args[i]
				ok = want == args[i].Type || want.Kind == sqltypes.KAny || want.Kind == sqltypes.KAnyElement ||
					want.Kind == sqltypes.KAnyNonArray && args[i].Type.Kind != sqltypes.KArray ||
					want.Kind == sqltypes.KAnyArray && args[i].Type.Kind == sqltypes.KArray
			}
		}
		if ok {
			return f
		}
	}
	t.Fatalf("no aggregate %s over %v", name, args[0].Type)
	return nil
}

// run evaluates an aggregate over all rows with the given weights.
func run(t *testing.T, f *AggFunc, args []*delta.Vec, n int, weights []int64) string {
	t.Helper()
	types := make([]sqltypes.Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	ty := f.Result
	if f.ResultOf != nil {
		n := len(types) - f.Direct
		ty = f.ResultOf(append(append([]sqltypes.Type{}, types[n:]...), types[:n]...))
	}
	c, out := &Ctx{}, &delta.Vec{Type: ty}
	if f.Fixed != nil {
		s := newStates(f.Fixed.Width, 1)
		f.Fixed.Update(s, make([]uint32, n), args, nil, weights)
		f.Fixed.Result(c, s, []uint32{0}, out)
		if err := c.FirstErr(); err != nil {
			return outcome(ty, nil, err)
		}
		return outcome(ty, out.Datum(0), nil)
	}
	o := f.New(types)
	if err := feed(c, f, o, args, n, weights); err != nil {
		return outcome(ty, nil, err)
	}
	err := o.Result(c, out)
	if err != nil {
		return outcome(ty, nil, err)
	}
	return outcome(ty, out.Datum(0), nil)
}

func feed(c *Ctx, f *AggFunc, o AggObject, args []*delta.Vec, n int, weights []int64) error {
	for i := range n {
		if f.IgnoresNulls && args[0].IsNull(i) {
			continue
		}
		if err := o.Add(c, args, i, weightOf(weights, i)); err != nil {
			return err
		}
	}
	return nil
}

func newStates(width, slots int) *States {
	// An odd stride and offset, as when several aggregates share a slot.
	stride := width + 24
	s := &States{Shift: 2, Width: stride, Off: 8}
	for range (slots + 3) / 4 {
		s.Blocks = append(s.Blocks, make([]byte, 4*stride))
	}
	return s
}

// Expected values are PostgreSQL 15's, except that our sums of floats are rounded once, at the end.
func TestAggregates(t *testing.T) {
	i2, i4, i8, f4, f8, n := sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, sqltypes.Float4, sqltypes.Float8, sqltypes.Numeric
	text := sqltypes.Text
	for _, tc := range []struct {
		name string
		args []*delta.Vec
		want string
	}{
		{"count", []*delta.Vec{vecOf(t, i4, "1", "", "3")}, "2"},
		{"sum", []*delta.Vec{vecOf(t, i2, "32767", "", "32767")}, "65534"},
		{"sum", []*delta.Vec{vecOf(t, i4, "2147483647", "2147483647")}, "4294967294"},
		{"sum", []*delta.Vec{vecOf(t, i4, "", "")}, "NULL"},
		{"sum", []*delta.Vec{vecOf(t, i8, "9223372036854775807", "9223372036854775807", "-1")}, "18446744073709551613"},
		{"avg", []*delta.Vec{vecOf(t, i4, "1", "2", "2")}, "1.6666666666666667"},
		{"avg", []*delta.Vec{vecOf(t, i8, "9223372036854775807", "9223372036854775806")}, "9223372036854775807"},
		{"avg", []*delta.Vec{vecOf(t, i4, "4", "6")}, "5.0000000000000000"},
		{"sum", []*delta.Vec{vecOf(t, n, "1.5", "2.25", "", "-0.750")}, "3.000"},
		{"avg", []*delta.Vec{vecOf(t, n, "1.5", "2.25")}, "1.8750000000000000"},
		{"sum", []*delta.Vec{vecOf(t, n, "1", "NaN")}, "NaN"},
		{"sum", []*delta.Vec{vecOf(t, n, "Infinity", "-Infinity")}, "NaN"},
		{"sum", []*delta.Vec{vecOf(t, f8, "1e20", "1", "-1e20")}, "1"},
		{"sum", []*delta.Vec{vecOf(t, f8, "0.1", "0.2", "0.3")}, "0.6"},
		{"sum", []*delta.Vec{vecOf(t, f8, "1e308", "1e308")}, "22003 value out of range: overflow"},
		{"sum", []*delta.Vec{vecOf(t, f8, "-0", "-0")}, "-0"},
		{"sum", []*delta.Vec{vecOf(t, f4, "1.1", "2.2")}, "3.3000002"},
		{"avg", []*delta.Vec{vecOf(t, f8, "1", "2", "4")}, "2.3333333333333335"},
		{"avg", []*delta.Vec{vecOf(t, f4, "1.5", "2.5")}, "2"},
		{"sum", []*delta.Vec{vecOf(t, f8, "Infinity", "1")}, "Infinity"},
		{"min", []*delta.Vec{vecOf(t, i4, "3", "", "-1", "2")}, "-1"},
		{"max", []*delta.Vec{vecOf(t, i8, "-3", "", "-1", "-2")}, "-1"},
		{"max", []*delta.Vec{vecOf(t, f8, "1", "NaN", "Infinity")}, "NaN"},
		{"min", []*delta.Vec{vecOf(t, f8, "1", "NaN", "-Infinity")}, "-Infinity"},
		{"max", []*delta.Vec{vecOf(t, text, "a", "", "c", "b")}, "c"},
		{"min", []*delta.Vec{vecOf(t, n, "1.5", "1.50", "2")}, "1.5"},
		{"max", []*delta.Vec{vecOf(t, sqltypes.ArrayOf(i4), "{1,2}", "{1,3}")}, "{1,3}"},
		{"sum", []*delta.Vec{vecOf(t, sqltypes.IntervalT, "1 mon", "2 days", "", "-1 hour")}, "1 mon 2 days -01:00:00"},
		{"avg", []*delta.Vec{vecOf(t, sqltypes.IntervalT, "1 mon", "2 days", "", "-1 hour")}, "10 days 15:40:00"},
		{"max", []*delta.Vec{vecOf(t, sqltypes.IntervalT, "1 mon", "31 days")}, "31 days"},
		{"min", []*delta.Vec{vecOf(t, sqltypes.Date, "2024-02-01", "2024-01-31")}, "2024-01-31"},
		{"bool_and", []*delta.Vec{vecOf(t, sqltypes.Bool, "t", "", "f")}, "f"},
		{"bool_or", []*delta.Vec{vecOf(t, sqltypes.Bool, "t", "", "f")}, "t"},
		{"every", []*delta.Vec{vecOf(t, sqltypes.Bool, "", "")}, "NULL"},
		{"bit_and", []*delta.Vec{vecOf(t, i4, "6", "3")}, "2"},
		{"bit_or", []*delta.Vec{vecOf(t, i2, "6", "1")}, "7"},
		{"bit_xor", []*delta.Vec{vecOf(t, i8, "6", "3")}, "5"},
		{"var_pop", []*delta.Vec{vecOf(t, i4, "1", "2", "4")}, "1.5555555555555556"},
		{"var_samp", []*delta.Vec{vecOf(t, i4, "1", "2", "4")}, "2.3333333333333333"},
		{"stddev", []*delta.Vec{vecOf(t, n, "1", "2", "4")}, "1.5275252316519467"},
		{"stddev_pop", []*delta.Vec{vecOf(t, i8, "1")}, "0"},
		{"stddev_samp", []*delta.Vec{vecOf(t, i8, "1")}, "NULL"},
		{"variance", []*delta.Vec{vecOf(t, f8, "1", "2", "4")}, "2.3333333333333335"},
		{"stddev_pop", []*delta.Vec{vecOf(t, f8, "1", "2", "4")}, "1.247219128924647"},
		{"corr", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "7")}, "0.989743318610787"},
		{"covar_pop", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "7")}, "2.6666666666666665"},
		{"covar_samp", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "7")}, "4"},
		{"regr_slope", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "8")}, "0.46774193548387094"},
		{"regr_intercept", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "8")}, "0.3064516129032258"},
		{"regr_r2", []*delta.Vec{vecOf(t, f8, "1", "2", "4"), vecOf(t, f8, "2", "3", "8")}, "0.9688940092165899"},
		{"regr_count", []*delta.Vec{vecOf(t, f8, "1", "", "4"), vecOf(t, f8, "2", "3", "")}, "1"},
		{"regr_avgx", []*delta.Vec{vecOf(t, f8, "1", "2"), vecOf(t, f8, "2", "5")}, "3.5"},
		{"regr_sxy", []*delta.Vec{vecOf(t, f8, "1", "2"), vecOf(t, f8, "2", "5")}, "1.5"},
		{"string_agg", []*delta.Vec{vecOf(t, text, "a", "", "b", "c"), vecOf(t, text, ",", ";", ";", "")}, "a;bc"},
		{"array_agg", []*delta.Vec{vecOf(t, i4, "1", "", "3")}, "{1,NULL,3}"},
		{"array_agg", []*delta.Vec{vecOf(t, sqltypes.ArrayOf(i4), "{1,2}", "{3,4}")}, "{{1,2},{3,4}}"},
		{"jsonb_agg", []*delta.Vec{vecOf(t, i4, "1", "", "3")}, "[1, null, 3]"},
		{"json_agg", []*delta.Vec{vecOf(t, text, "a", "")}, `["a", null]`},
		{"jsonb_object_agg", []*delta.Vec{vecOf(t, text, "b", "a"), vecOf(t, i4, "1", "")}, `{"a": null, "b": 1}`},
		{"json_object_agg", []*delta.Vec{vecOf(t, text, "b", "a"), vecOf(t, i4, "1", "")}, `{ "b" : 1, "a" : null }`},
		{"json_object_agg", []*delta.Vec{vecOf(t, text, ""), vecOf(t, i4, "1")}, `22023 field name must not be null`},
		{"first_value", []*delta.Vec{vecOf(t, i4, "", "2", "3")}, "NULL"},
		{"last_value", []*delta.Vec{vecOf(t, i4, "1", "2", "3")}, "3"},
		{"arg_max", []*delta.Vec{vecOf(t, text, "a", "b", "c"), vecOf(t, i4, "1", "7", "")}, "b"},
	} {
		want := "=> " + tc.want
		if len(tc.want) > 6 && tc.want[0] == '2' && tc.want[5] == ' ' {
			want = "!! " + tc.want
		}
		f := aggOf(t, tc.name, tc.args...)
		if got := run(t, f, tc.args, tc.args[0].Len(), nil); got != want {
			t.Errorf("%s(%v): got %s, want %s", tc.name, tc.args[0].Type, got, want)
		}
	}
	if got := run(t, AggByName("count")[0], nil, 3, nil); got != "=> 3" {
		t.Errorf("count(*): %s", got)
	}
}

// randomInputs makes n rows for an aggregate.
func randomInputs(r *rand.Rand, f *AggFunc, n int) []*delta.Vec {
	var out []*delta.Vec
	for _, t := range f.Args[f.Direct:] {
		if t.Kind == sqltypes.KAny {
			t = sqltypes.Int4
		}
		v := &delta.Vec{Type: t}
		for range n {
			if r.IntN(8) == 0 {
				v.AppendNull()
			} else {
				v.AppendDatum(randomDatum(r, t))
			}
		}
		out = append(out, v)
	}
	for range f.Direct { // behind the values, one for all rows; fractions, as it happens
		v, d := &delta.Vec{Type: sqltypes.Float8}, 0.01+r.Float64()/2
		for range n {
			v.AppendFloat(d)
		}
		out = append(out, v)
	}
	return out
}

func randomDatum(r *rand.Rand, t sqltypes.Type) sqltypes.Datum {
	text := fmt.Sprint(r.IntN(200) - 100)
	switch t.Kind {
	case sqltypes.KBool:
		return r.IntN(2) == 0
	case sqltypes.KInt8:
		return int64(r.Uint64())
	case sqltypes.KFloat8:
		switch r.IntN(20) {
		case 0:
			return math.Inf(1)
		case 1:
			return math.NaN()
		case 2:
			return math.Copysign(0, -1)
		}
		return math.Float64frombits(r.Uint64()&^(0x7ff<<52) | uint64(r.IntN(2046))<<52)
	case sqltypes.KFloat4:
		return float64(float32(r.NormFloat64() * 1e10))
	case sqltypes.KDate, sqltypes.KTime, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		return int64(r.IntN(100000))
	case sqltypes.KInterval:
		text = fmt.Sprintf("%d mons %d days %d.5 secs", r.IntN(9)-4, r.IntN(9)-4, r.IntN(1000))
	case sqltypes.KVector:
		text = fmt.Sprintf("[%g,%g]", float32(r.NormFloat64()*1e10), float32(r.NormFloat64()))
		if r.IntN(40) == 0 { // of another length
			text = "[1]"
		}
	case sqltypes.KNumeric:
		text = fmt.Sprintf("%d.%0*d", r.IntN(1000)-500, 1+r.IntN(5), r.IntN(10))
	}
	d, err := sqlio.ParseText(t, text, sqlio.DefaultSettings())
	if err != nil {
		panic(err)
	}
	return d
}

// Adding rows and taking some back, in any order, must leave the state of the rows that remain; images must
// round-trip.
func TestInvertibleAggregates(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	AllAggs(func(f *AggFunc) {
		if !f.Invertible {
			return
		}
		for range 20 {
			n := 1 + r.IntN(30)
			args := randomInputs(r, f, n)
			checkInverse(t, r, f, args, n, seed)
		}
	})
}

func checkInverse(t *testing.T, r *rand.Rand, f *AggFunc, args []*delta.Vec, n int, seed uint64) {
	t.Helper()
	var kept, order []int32
	var weights []int64
	for i := range n {
		keep := r.IntN(2) == 0
		order, weights = append(order, int32(i)), append(weights, 2)
		if keep {
			kept = append(kept, int32(i))
			order, weights = append(order, int32(i)), append(weights, -1)
		} else {
			order, weights = append(order, int32(i), int32(i)), append(weights, -3, 1)
		}
	}
	r.Shuffle(len(order), func(a, b int) {
		order[a], order[b] = order[b], order[a]
		weights[a], weights[b] = weights[b], weights[a]
	})
	gather := func(idx []int32) []*delta.Vec {
		out := make([]*delta.Vec, len(args))
		for k, v := range args {
			out[k] = v.Gather(idx)
		}
		return out
	}
	got := run(t, f, gather(order), len(order), weights)
	want := run(t, f, gather(kept), len(kept), nil)
	if got != want {
		t.Fatalf("seed %d: %s: after retraction %s, want %s", seed, f.Sig(), got, want)
	}
	if f.New == nil {
		return
	}
	types := make([]sqltypes.Type, len(args))
	for k := range args {
		types[k] = args[k].Type
	}
	a, b, c := f.New(types), f.New(types), f.New(types)
	ctx := &Ctx{}
	if err := feed(ctx, f, a, gather(order), len(order), weights); err != nil {
		t.Fatal(err)
	}
	if err := feed(ctx, f, b, gather(kept), len(kept), nil); err != nil {
		t.Fatal(err)
	}
	img := a.AppendImage(nil)
	if !bytes.Equal(img, b.AppendImage(nil)) {
		t.Fatalf("seed %d: %s: images differ after retraction", seed, f.Sig())
	}
	if err := c.DecodeImage(img); err != nil || !bytes.Equal(c.AppendImage(nil), img) {
		t.Fatalf("seed %d: %s: image does not round-trip: %v", seed, f.Sig(), err)
	}
}

// Merging two states must equal folding all rows into one, and Update must respect slots, row lists and strides.
func TestFixedAggregates(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	AllAggs(func(f *AggFunc) {
		if f.Fixed == nil {
			return
		}
		const n, groups = 60, 7
		args := randomInputs(r, f, n)
		var rows []int32
		var slots []uint32
		byGroup := make([][]int32, groups)
		for range 40 {
			i, g := int32(r.IntN(n)), uint32(r.IntN(groups))
			rows, slots = append(rows, i), append(slots, g)
			byGroup[g] = append(byGroup[g], i)
		}
		whole, half := newStates(f.Fixed.Width, groups), newStates(f.Fixed.Width, groups)
		f.Fixed.Update(whole, slots[:20], args, rows[:20], nil)
		f.Fixed.Update(half, slots[20:], args, rows[20:], nil)
		all := make([]uint32, groups)
		for g := range all {
			all[g] = uint32(g)
			f.Fixed.Merge(whole.At(uint32(g)), half.At(uint32(g)))
		}
		ty := f.Result
		out := &delta.Vec{Type: ty}
		f.Fixed.Result(&Ctx{}, whole, all, out)
		for g, idx := range byGroup {
			sub := make([]*delta.Vec, len(args))
			for k, v := range args {
				sub[k] = v.Gather(idx)
			}
			want := run(t, f, sub, len(idx), nil)
			if got := outcome(ty, out.Datum(g), nil); got != want {
				t.Errorf("seed %d: %s group %d: got %s, want %s", seed, f.Sig(), g, got, want)
			}
		}
	})
}

// The exact sum must round as the exact rational does.
func TestExactSumRounds(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 20000 {
		var s exactSum
		x := math.Float64frombits(r.Uint64() &^ (1 << 62))
		if math.IsInf(x, 0) || math.IsNaN(x) {
			continue
		}
		s.add(x, 1)
		if got := s.round(53, -1022); got != x {
			t.Fatalf("round(%g) = %g", x, got)
		}
		y := x * (r.Float64() - 0.5)
		s.add(y, 1)
		if got := s.round(53, -1022); got != x+y && !(math.IsInf(x+y, 0)) {
			t.Fatalf("%g + %g = %g, want %g", x, y, got, x+y)
		}
		if got := s.round(24, -126); math.Abs(x+y) < 1e38 && math.Abs(got-(x+y)) > math.Abs(x+y)*1e-7+1e-45 {
			t.Fatalf("real of %g is %g", x+y, got)
		}
		s.add(x, -1)
		s.add(y, -1)
		s.trim()
		if len(s.limbs) != 0 {
			t.Fatalf("%g, %g: something is left: %v", x, y, s.limbs)
		}
	}
}

func FuzzAggImage(f *testing.F) {
	f.Add([]byte{0}, byte(0))
	f.Add([]byte{2, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8}, byte(3))
	var objects []*AggFunc
	AllAggs(func(a *AggFunc) {
		if a.New != nil {
			objects = append(objects, a)
		}
	})
	f.Fuzz(func(_ *testing.T, img []byte, which byte) {
		a := objects[int(which)%len(objects)]
		types := make([]sqltypes.Type, len(a.Args))
		for i, t := range a.Args {
			if types[i] = t; t.IsPseudo() {
				types[i] = sqltypes.Int4
			}
		}
		_ = a.New(types).DecodeImage(img)
	})
}
