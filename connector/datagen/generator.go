package datagen

import (
	"math"
	"strconv"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// generator makes the values of one column. The value of a row depends on the options, the row's number and
// the source's base time, and on nothing else.
type generator struct {
	typ       sqltypes.Type
	seed      uint64
	fill      func(g *generator, v *delta.Vec, row int64, base int64) error
	limit     int64 // rows until a sequence ends
	low, high int64
	fmin      float64
	fmax      float64
	length    int
	past      int64 // µs before the base time that a time stamp may lie
	elem      *generator
	fields    []*generator
	settings  *sqlio.Settings
	buf       []byte
}

const golden = 0x9E3779B97F4A7C15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// draw is the k-th random word of a row.
func (g *generator) draw(row int64, k int) uint64 {
	return mix(mix(g.seed+uint64(row)*golden) + uint64(k)*golden)
}

// unit turns a random word into a number in [0,1).
func unit(w uint64) float64 { return float64(w>>11) / (1 << 53) }

// between maps a random word to [lo, hi].
func between(w uint64, lo, hi int64) int64 {
	span := uint64(hi-lo) + 1
	if span == 0 { // all 2⁶⁴ values
		return int64(w)
	}
	return lo + int64(w%span)
}

func fillNull(_ *generator, v *delta.Vec, _, _ int64) error { v.AppendNull(); return nil }

func fillSequence(g *generator, v *delta.Vec, row, _ int64) error {
	n := g.low + row
	switch v.Type.Phys() {
	case sqltypes.PhysInt64:
		v.AppendInt(n)
	case sqltypes.PhysFloat64:
		v.AppendFloat(float64(n))
	default:
		g.buf = strconv.AppendInt(g.buf[:0], n, 10)
		return sqlio.AppendParsed(v, g.buf, g.settings)
	}
	return nil
}

func fillInt(g *generator, v *delta.Vec, row, _ int64) error {
	v.AppendInt(between(g.draw(row, 0), g.low, g.high))
	return nil
}

func fillFloat(g *generator, v *delta.Vec, row, _ int64) error {
	f := g.fmin + unit(g.draw(row, 0))*(g.fmax-g.fmin)
	if v.Type.Kind == sqltypes.KFloat4 {
		f = float64(float32(f))
	}
	v.AppendFloat(f)
	return nil
}

// fillNumeric makes numbers with two digits after the point.
func fillNumeric(g *generator, v *delta.Vec, row, _ int64) error {
	f := g.fmin + unit(g.draw(row, 0))*(g.fmax-g.fmin)
	g.buf = strconv.AppendFloat(g.buf[:0], math.Trunc(f*100)/100, 'f', 2, 64)
	return sqlio.AppendParsed(v, g.buf, g.settings)
}

func fillBool(g *generator, v *delta.Vec, row, _ int64) error {
	v.AppendBool(g.draw(row, 0)&1 == 1)
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func fillText(g *generator, v *delta.Vec, row, _ int64) error {
	raw := v.Type.Kind == sqltypes.KBytea
	for i := range g.length {
		w := g.draw(row, i/8) >> (i % 8 * 8) & 0xff
		if raw {
			v.Data = append(v.Data, byte(w))
		} else {
			v.Data = append(v.Data, letters[w*uint64(len(letters))>>8])
		}
	}
	v.EndRow()
	return nil
}

// epochMicros is from 1970, which base times count from, to 2000.
const epochMicros = 946_684_800_000_000

func fillStamp(g *generator, v *delta.Vec, row, base int64) error {
	ts := base - epochMicros - between(g.draw(row, 0), 0, g.past)
	if v.Type.Kind == sqltypes.KDate {
		day := ts / datetime.MicrosPerDay
		if ts%datetime.MicrosPerDay < 0 {
			day--
		}
		ts = day
	}
	v.AppendInt(ts)
	return nil
}

func fillTime(g *generator, v *delta.Vec, row, _ int64) error {
	v.AppendInt(between(g.draw(row, 0), 0, datetime.MicrosPerDay-1))
	return nil
}

func fillInterval(g *generator, v *delta.Vec, row, _ int64) error {
	v.AppendInterval(datetime.Interval{Days: int32(between(g.draw(row, 0), 0, 30)), Micros: between(g.draw(row, 1), 0, datetime.MicrosPerDay-1)})
	return nil
}

// fillUUID makes random uuids, version 4.
func fillUUID(g *generator, v *delta.Vec, row, _ int64) error {
	for k := range 2 {
		for w, i := g.draw(row, k), 0; i < 8; i, w = i+1, w>>8 {
			v.Data = append(v.Data, byte(w))
		}
	}
	id := v.Data[len(v.Data)-16:]
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	v.EndRow()
	return nil
}

func fillJSON(g *generator, v *delta.Vec, row, _ int64) error {
	g.buf = strconv.AppendUint(append(g.buf[:0], `{"row": `...), uint64(row), 10)
	g.buf = strconv.AppendUint(append(g.buf, `, "value": `...), g.draw(row, 0)%1000, 10)
	g.buf = append(g.buf, '}')
	return sqlio.AppendParsed(v, g.buf, g.settings)
}

func fillArray(g *generator, v *delta.Vec, row, base int64) error {
	elems := make([]sqltypes.Datum, g.length)
	for i := range elems {
		d, err := g.elem.datum(row*int64(g.length)+int64(i), base)
		if err != nil {
			return err
		}
		elems[i] = d
	}
	v.AppendBytes(sqlio.MakeArray(v.Type, elems))
	return nil
}

func fillRecord(g *generator, v *delta.Vec, row, base int64) error {
	values := make([]sqltypes.Datum, len(g.fields))
	for i, f := range g.fields {
		d, err := f.datum(row, base)
		if err != nil {
			return err
		}
		values[i] = d
	}
	v.AppendBytes(sqlio.EncodeRecord(v.Type, values))
	return nil
}

// datum makes one boxed value.
func (g *generator) datum(row, base int64) (sqltypes.Datum, error) {
	v := newVec(g.typ, 1)
	if err := g.fill(g, v, row, base); err != nil {
		return nil, err
	}
	return v.Datum(0), nil
}

// newVec makes an empty vector with room for n values.
func newVec(t sqltypes.Type, n int) *delta.Vec {
	if t.Phys() == sqltypes.PhysBytes {
		return delta.NewBytesVec(t, n, 16*n)
	}
	return &delta.Vec{Type: t}
}
