package expr

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

func benchChunk() *delta.Chunk {
	const n = delta.BatchRows
	i8, f8, n1, tx := delta.NewVec(sqltypes.Int8, n), delta.NewVec(sqltypes.Float8, n), delta.NewVec(sqltypes.Numeric, n), delta.NewBytesVec(sqltypes.Text, n, 0)
	for i := range n {
		i8.Ints[i], f8.Floats[i], n1.Decs[i] = int64(i*7919%10007), float64(i)*1.5, numeric.FromInt64(int64(i))
		tx.AppendString(fmt.Sprintf("channel-%d", i%100))
	}
	return delta.NewChunk([]*delta.Vec{i8, f8, n1, tx}, nil, n)
}

// BenchmarkKernels reports nanoseconds per row of the expressions that streams are made of.
func BenchmarkKernels(b *testing.B) {
	ch := benchChunk()
	i8, f8, dec, text := &Col{0, sqltypes.Int8, "i"}, &Col{1, sqltypes.Float8, "f"}, &Col{2, sqltypes.Numeric, "n"}, &Col{3, sqltypes.Text, "t"}
	k8 := func(v int64) *Const { return &Const{sqltypes.Int8, v} }
	rate, _ := numeric.Parse("0.908")
	call := func(sig string, ty sqltypes.Type, args ...Expr) Expr { return &Call{sig, args, ty} }
	gt := call(">(bigint,bigint)", sqltypes.Bool, i8, k8(5000))
	odd := call("=(bigint,bigint)", sqltypes.Bool, call("%(bigint,bigint)", sqltypes.Int8, i8, k8(2)), k8(1))
	for _, tc := range []struct {
		name string
		e    Expr
	}{
		{"int8 + int8", call("+(bigint,bigint)", sqltypes.Int8, i8, i8)},
		{"int8 * const", call("*(bigint,bigint)", sqltypes.Int8, i8, k8(3))},
		{"int8 % const", call("%(bigint,bigint)", sqltypes.Int8, i8, k8(123))},
		{"int8 > const", gt},
		{"a and b", &BoolOp{Args: []Expr{gt, odd}}},
		{"float8 * float8", call("*(double precision,double precision)", sqltypes.Float8, f8, f8)},
		{"float8 < float8", call("<(double precision,double precision)", sqltypes.Bool, f8, f8)},
		{"0.908 * int8", call("*(numeric,numeric)", sqltypes.Numeric, &Const{sqltypes.Numeric, rate}, &Cast{Arg: i8, Ty: sqltypes.Numeric})},
		{"numeric + numeric", call("+(numeric,numeric)", sqltypes.Numeric, dec, dec)},
		{"text = const", call("=(text,text)", sqltypes.Bool, text, &Const{sqltypes.Text, "channel-42"})},
		{"text like", call("~~(text,text)", sqltypes.Bool, text, &Const{sqltypes.Text, "%nel-4%"})},
		{"text regex", call("~(text,text)", sqltypes.Bool, text, &Const{sqltypes.Text, "nel-4[0-9]$"})},
		{"upper", call("upper(text)", sqltypes.Text, text)},
		{"split_part", call("split_part(text,text,integer)", sqltypes.Text, text, &Const{sqltypes.Text, "-"}, &Const{sqltypes.Int4, int64(2)})},
		{"abs", call("abs(bigint)", sqltypes.Int8, i8)},
		{"int8::text", &Cast{Arg: i8, Ty: sqltypes.Text}},
		{"case", &Case{Whens: []When{{gt, k8(1)}, {odd, i8}}, Else: k8(0), Ty: sqltypes.Int8}},
		{"in list", &InList{Arg: i8, Vals: []sqltypes.Datum{int64(1007), int64(1020), int64(2001)}}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			p, err := Compile(tc.e)
			if err != nil {
				b.Fatal(err)
			}
			c := &Ctx{}
			b.ReportAllocs()
			for b.Loop() {
				p.Eval(c, ch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ch.Rows), "ns/row")
		})
	}
}

// BenchmarkAggregates folds chunks into a thousand groups.
func BenchmarkAggregates(b *testing.B) {
	ch := benchChunk()
	slots := make([]uint32, ch.Rows)
	for i := range slots {
		slots[i] = uint32(i * 31 % 1000)
	}
	for _, sig := range []string{"count()", "sum(bigint)", "avg(integer)", "max(bigint)", "max(double precision)"} {
		f, ok := AggBySig(sig)
		if !ok {
			b.Fatal(sig)
		}
		b.Run(sig, func(b *testing.B) {
			s := &States{Shift: 10, Width: f.Fixed.Width, Blocks: [][]byte{make([]byte, f.Fixed.Width<<10)}}
			args := []*delta.Vec{ch.Cols[0]}
			switch {
			case len(f.Args) == 0:
				args = nil
			case f.Args[0] == sqltypes.Float8:
				args[0] = ch.Cols[1]
			}
			for b.Loop() {
				f.Fixed.Update(s, slots, args, nil, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ch.Rows), "ns/row")
		})
	}
	b.Run("exact float sum", func(b *testing.B) {
		var s exactSum
		for b.Loop() {
			for _, x := range ch.Cols[1].Floats {
				s.add(x, 1)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ch.Rows), "ns/row")
	})
}
