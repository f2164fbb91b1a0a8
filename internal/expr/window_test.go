package expr

import (
	"math"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/sqltypes"
)

func TestRangeOffsets(t *testing.T) {
	for _, c := range []struct {
		name string
		col  sqltypes.Type
		off  sqltypes.Datum
		ty   sqltypes.Type
		ok   bool
	}{
		{"negative interval", sqltypes.Timestamp, datetime.Interval{Days: -1}, sqltypes.IntervalT, false},
		{"interval", sqltypes.Timestamp, datetime.Interval{Micros: 1}, sqltypes.IntervalT, true},
		{"negative float", sqltypes.Float8, -0.5, sqltypes.Float8, false},
		{"NaN", sqltypes.Float8, math.NaN(), sqltypes.Float8, false},
		{"zero", sqltypes.Float8, 0.0, sqltypes.Float8, true},
		{"negative integer", sqltypes.Int4, int64(-1), sqltypes.Int8, false},
		{"null", sqltypes.Int4, nil, sqltypes.Int8, false},
	} {
		if _, err := NewRangeBound(&Col{Ty: c.col}, c.off, c.ty, false, "starting"); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestNtile(t *testing.T) {
	for size := int64(1); size < 40; size++ {
		for buckets := int64(1); buckets < 12; buckets++ {
			n := map[int64]int64{}
			last := int64(1)
			for pos := range size {
				b, err := Ntile(pos, size, buckets)
				if err != nil || b < last || b > last+1 || b > buckets {
					t.Fatalf("row %d of %d in %d: bucket %d after %d, %v", pos, size, buckets, b, last, err)
				}
				n[b]++
				last = b
			}
			for b := range n {
				if want := size / buckets; n[b] != want && (n[b] != want+1 || b > size%buckets) {
					t.Fatalf("bucket %d of %d over %d rows has %d", b, buckets, size, n[b])
				}
			}
		}
	}
}
