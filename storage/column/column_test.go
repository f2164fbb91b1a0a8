package column

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// vec makes a column of one shape; the shapes lead to every way of packing.
func vec(r *rand.Rand, shape, n int) *delta.Vec {
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Date, sqltypes.Int8, sqltypes.Numeric, sqltypes.Numeric, sqltypes.Numeric,
		sqltypes.Text, sqltypes.Text, sqltypes.Bool, sqltypes.Float8, sqltypes.Int8}
	v := &delta.Vec{Type: types[shape]}
	for i := range n {
		if shape == 11 || r.IntN(7) == 0 && shape%2 == 1 {
			v.AppendNull()
			continue
		}
		switch shape {
		case 0:
			v.AppendInt(int64(r.IntN(200)) - 100)
		case 1:
			v.AppendInt(int64(r.Uint64()))
		case 2:
			v.AppendInt(int64(r.IntN(60_000)) + math.MinInt32)
		case 3:
			v.AppendInt([]int64{math.MinInt64, math.MaxInt64, 0}[r.IntN(3)])
		case 4:
			v.AppendDec(numeric.FromScaled(int64(r.IntN(100_000_000))-5000, 2))
		case 5:
			v.AppendDec(numeric.FromScaled(int64(r.IntN(1000)), int32(r.IntN(3))))
		case 6:
			v.AppendDec([]numeric.Dec{numeric.NaN(), numeric.Inf(1), numeric.FromInt64(1)}[r.IntN(3)])
		case 7:
			v.AppendString(fmt.Sprint("value ", r.IntN(5)))
		case 8:
			v.AppendString(fmt.Sprint("another value ", i))
		case 9:
			v.AppendBool(r.IntN(2) == 0)
		case 10:
			v.AppendFloat(r.NormFloat64())
		}
	}
	return v
}

const shapes = 12

func same(t *testing.T, what string, got, want *delta.Vec) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%s: %d rows, not %d", what, got.Len(), want.Len())
	}
	for i := range want.Len() {
		g, w := fmt.Sprint(got.Datum(i)), fmt.Sprint(want.Datum(i))
		if g != w {
			t.Fatalf("%s: row %d is %s, not %s", what, i, g, w)
		}
	}
}

// TestPack: what is packed comes back, all of it and any rows of it.
func TestPack(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for shape := range shapes {
		for _, n := range []int{0, 1, 63, 64, 65, 2048} {
			v := vec(r, shape, n)
			c := Pack(v)
			what := fmt.Sprintf("shape %d, %d rows", shape, n)
			same(t, what, c.Vec(nil), v)
			var sel []int32
			for i := range n {
				if r.IntN(3) == 0 {
					sel = append(sel, int32(i))
				}
			}
			if sel != nil {
				same(t, what+", selected", c.Vec(sel), v.Gather(sel))
			}
			if values, codes := c.Dict(); values != nil {
				for i := range n {
					if !v.IsNull(i) && string(values.Bytes(int(codes[i]))) != string(v.Bytes(i)) {
						t.Fatalf("%s: row %d has another value's code", what, i)
					}
				}
			}
		}
	}
}

// TestPackSaves: the shapes that tables are full of become small.
func TestPackSaves(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for shape, most := range map[int]float64{0: 1.5, 2: 2.5, 4: 4.5, 7: 2} {
		if got := float64(Pack(vec(r, shape, 2048)).SizeBytes()) / 2048; got > most {
			t.Errorf("shape %d takes %.1f bytes a row, not %.1f", shape, got, most)
		}
	}
}

func block(rows int) *Block {
	return &Block{Rows: rows, Cols: []*Col{Pack(delta.IntVec(sqltypes.Int8, make([]int64, rows))), nil}}
}

func image(c *Cache, parts int) *Image {
	var ranges []key.Range
	for i := range parts {
		ranges = append(ranges, key.Range{Lo: []byte{byte(i)}, Hi: []byte{byte(i + 1)}})
	}
	return NewImage(c, 1, ranges)
}

// TestCacheIsBounded: the longest unused part goes first, and what is dropped is never filled again.
func TestCacheIsBounded(t *testing.T) {
	size := block(1000).SizeBytes()
	c := NewCache(3*size + size/2)
	m := image(c, 5)
	for i := range 3 {
		m.Parts[i].Set([]*Block{block(1000)})
	}
	if _, ok := m.Parts[0].Blocks([]int{0}); !ok {
		t.Fatal("the first part is gone before its time")
	}
	if _, ok := m.Parts[0].Blocks([]int{0, 1}); ok {
		t.Fatal("a column that nobody filled is there")
	}
	m.Parts[3].Set([]*Block{block(1000)})
	for i, want := range []bool{true, false, true, true} {
		if got := m.Parts[i].Known() != nil; got != want {
			t.Errorf("part %d is there: %t", i, got)
		}
	}
	if c.Bytes() > c.limit {
		t.Errorf("%d bytes in a cache of %d", c.Bytes(), c.limit)
	}
	next := m.Without(func(r key.Range) bool { return r.Contains([]byte{0, 7}) })
	if next.Parts[0].Known() != nil || next.Parts[2] != m.Parts[2] {
		t.Error("the changed part is kept, or another one is not")
	}
	m.Parts[0].Set([]*Block{block(10)})
	if m.Parts[0].Known() != nil {
		t.Error("a dropped part was filled")
	}
	next.Drop()
	if c.Bytes() != 0 {
		t.Errorf("%d bytes are left", c.Bytes())
	}
	if next.Without(func(key.Range) bool { return true }) != nil {
		t.Error("nothing is left, and yet there is an image")
	}
}
