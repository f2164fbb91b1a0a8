package row

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

var blockTypes = []sqltypes.Type{sqltypes.Bool, sqltypes.Int8, sqltypes.Int8, sqltypes.Float8, sqltypes.Text, sqltypes.Text,
	sqltypes.Numeric, sqltypes.Numeric, sqltypes.IntervalT, sqltypes.Timestamp}

// randomVecs makes n rows; nulls is how many of a hundred values are NULL.
func randomVecs(r *rand.Rand, n, nulls int) []*delta.Vec {
	vecs := make([]*delta.Vec, len(blockTypes))
	base, span := r.Int63()-r.Int63(), int64(1)<<r.Intn(63)
	for c, t := range blockTypes {
		v := &delta.Vec{Type: t}
		for range n {
			null := r.Intn(100) < nulls
			if null && r.Intn(2) == 0 {
				v.AppendNull()
				continue
			}
			switch t.Phys() {
			case sqltypes.PhysBool:
				v.AppendBool(r.Intn(2) == 0)
			case sqltypes.PhysInt64:
				v.AppendInt([]int64{base + r.Int63n(span), 7, math.MinInt64, math.MaxInt64}[min(r.Intn(40), 3)*(c%2)])
			case sqltypes.PhysFloat64:
				v.AppendFloat([]float64{r.NormFloat64(), math.Copysign(0, -1), math.NaN(), math.Inf(1)}[r.Intn(4)])
			case sqltypes.PhysInterval:
				v.AppendInterval(datetime.Interval{Months: int32(r.Uint32()), Days: int32(r.Intn(9)) - 4, Micros: r.Int63() - r.Int63()})
			case sqltypes.PhysNumeric:
				d := numeric.FromScaled(r.Int63n(1e6)-5e5, 3)
				if c%2 == 1 {
					d = []numeric.Dec{d, numeric.FromScaled(5, 1), numeric.NaN(), numeric.Inf(-1),
						numeric.FromBig(new(big.Int).Lsh(big.NewInt(-3), 300), 40), numeric.FromScaled128(5, 6, 2)}[r.Intn(6)]
				}
				v.AppendDec(d)
			default:
				v.AppendBytes(bytes.Repeat([]byte{byte(r.Intn(256))}, r.Intn(1+r.Intn(400))))
			}
			if null { // a value may lie below a NULL
				v.SetNull(v.Len() - 1)
			}
		}
		vecs[c] = v
	}
	return vecs
}

// TestBlock writes rows as a block and reads them back, behind rows that are there already, some columns left out.
func TestBlock(t *testing.T) {
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		n := 1 + r.Intn(300)
		vecs := randomVecs(r, n, []int{0, 20, 100}[r.Intn(3)])
		var rows []int32
		for i := range n {
			if r.Intn(10) < 8 || i == 0 {
				rows = append(rows, int32(i))
			}
		}
		if r.Intn(4) == 0 { // a selection need not be in order
			r.Shuffle(len(rows), func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
		}
		var w BlockWriter
		w.Append(nil, vecs, []int32{0})
		block := append(w.Append([]byte("before"), vecs, rows), "behind"...)

		out, want := randomVecs(r, 3, 50), make([][]string, len(vecs))
		for c := range out {
			for i := range 3 {
				want[c] = append(want[c], look(out[c], i))
			}
			for _, i := range rows {
				want[c] = append(want[c], look(vecs[c], int(i)))
			}
			if r.Intn(4) == 0 {
				out[c] = nil
			}
		}
		got, rest, err := DecodeBlock(block[len("before"):], blockTypes, out)
		if err != nil || got != len(rows) || string(rest) != "behind" {
			t.Fatalf("seed %d: %d rows of %d, rest %q, %v", seed, got, len(rows), rest, err)
		}
		for c := range out {
			if out[c] == nil {
				continue
			}
			var is []string
			for i := range out[c].Len() {
				is = append(is, look(out[c], i))
			}
			if !slices.Equal(is, want[c]) {
				t.Fatalf("seed %d: column %d is\n%v, want\n%v", seed, c, is, want[c])
			}
			out[c].AppendNull()
			if k := out[c].Len() - 1; !out[c].IsNull(k) || k > 0 && look(out[c], k-1) != is[k-1] {
				t.Fatalf("seed %d: column %d cannot be appended to", seed, c)
			}
		}
		for cut := range min(len(block)-len("before")-len("behind"), 200) {
			if _, _, err := DecodeBlock(block[len("before"):len("before")+cut], blockTypes, make([]*delta.Vec, len(blockTypes))); err == nil {
				t.Fatalf("seed %d: a block cut after %d bytes is read", seed, cut)
			}
		}
	}
}

// look is a value to the digit.
func look(v *delta.Vec, i int) string {
	if v.IsNull(i) {
		return "NULL"
	}
	return hex.EncodeToString(appendValue(nil, v, i))
}

// TestBlockBytes pins the format: blocks of old data folders are read for ever.
func TestBlockBytes(t *testing.T) {
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Text, sqltypes.Numeric, sqltypes.Numeric, sqltypes.Bool, sqltypes.Float8, sqltypes.IntervalT, sqltypes.Int8}
	vecs := make([]*delta.Vec, len(types))
	for c, t := range types {
		vecs[c] = &delta.Vec{Type: t}
	}
	for i := range 3 {
		vecs[0].AppendInt(int64(1000 + 300*i))
		vecs[1].AppendString(strings.Repeat("x", i) + "y")
		vecs[2].AppendDec(numeric.FromScaled(int64(100-i), 2))
		vecs[3].AppendDec([]numeric.Dec{numeric.FromScaled(5, 0), numeric.NaN(), numeric.FromScaled(5, 1)}[i])
		vecs[4].AppendBool(i != 1)
		vecs[5].AppendFloat(float64(i) / 2)
		vecs[6].AppendInterval(datetime.Interval{Months: int32(i), Days: -1, Micros: 7})
		if i == 1 {
			vecs[7].AppendNull()
		} else {
			vecs[7].AppendInt(-4)
		}
	}
	const want = "03" + // rows
		"00" + "d00f" + "02" + "0000" + "2c01" + "5802" + // 1000 and 2 bytes of difference each
		"00" + "02" + "01" + "000102" + "79" + "7879" + "787879" + // lengths, then bytes
		"01" + "02" + "c401" + "01" + "020100" + // scale 2, least 98
		"00" + "000a" + "04" + "080a" + // images
		"00" + "05" + // bits
		"00" + "0000000000000000" + "000000000000e03f" + "000000000000f03f" +
		"00" + "00" + "01" + "000102" + "01" + "00" + "0e" + "00" + // months, days, microseconds
		"80" + "02" + "07" + "00" // the second is NULL
	var w BlockWriter
	if got := hex.EncodeToString(w.Append(nil, vecs, []int32{0, 1, 2})); got != want {
		t.Errorf("block is\n%s, want\n%s", got, want)
	}
}

// FuzzDecodeBlock: foreign bytes give an error, or rows that can be written again.
func FuzzDecodeBlock(f *testing.F) {
	for seed := range int64(8) {
		r := rand.New(rand.NewSource(seed))
		vecs := randomVecs(r, 5, 20)
		var w BlockWriter
		f.Add(w.Append(nil, vecs, []int32{0, 1, 2, 3, 4}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		vecs := make([]*delta.Vec, len(blockTypes))
		for c, t := range blockTypes {
			vecs[c] = &delta.Vec{Type: t}
		}
		n, _, err := DecodeBlock(b, blockTypes, vecs)
		if err != nil {
			return
		}
		rows := make([]int32, n)
		for i := range rows {
			rows[i] = int32(i)
		}
		var w BlockWriter
		w.Append(nil, vecs, rows)
	})
}

func BenchmarkBlock(b *testing.B) {
	vecs := randomVecs(rand.New(rand.NewSource(1)), 1024, 0)
	rows := make([]int32, 1024)
	for i := range rows {
		rows[i] = int32(i)
	}
	var w BlockWriter
	var buf []byte
	for c := range vecs {
		b.Run(fmt.Sprint("write/", c, "/", blockTypes[c]), func(b *testing.B) {
			for b.Loop() {
				buf = w.Append(buf[:0], vecs[c:c+1], rows)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/value")
		})
		b.Run(fmt.Sprint("read/", c, "/", blockTypes[c]), func(b *testing.B) {
			for b.Loop() {
				v := &delta.Vec{Type: blockTypes[c]}
				if _, _, err := DecodeBlock(buf, blockTypes[c:c+1], []*delta.Vec{v}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/value")
		})
	}
}
