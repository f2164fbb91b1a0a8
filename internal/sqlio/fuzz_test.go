package sqlio

import (
	"bytes"
	"math"
	"math/rand"
	"strconv"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fuzzTypes are the types whose encodings have structure of their own.
var fuzzTypes = []sqltypes.Type{
	sqltypes.ArrayOf(sqltypes.Int4), sqltypes.ArrayOf(sqltypes.Text), sqltypes.ArrayOf(sqltypes.Numeric), sqltypes.ArrayOf(sqltypes.Bool),
	pair, box, sqltypes.Bytea, sqltypes.UUID, sqltypes.Float8, sqltypes.Int8, sqltypes.JSONB, sqltypes.Timetz, sqltypes.IntervalT,
	sqltypes.Varbit, sqltypes.ArrayOf(sqltypes.Bit),
}

func FuzzText(f *testing.F) {
	for i, s := range []string{"{1,NULL,{2}}", `[2:3]={"a b",c}`, "{{1.50},{NaN}}", "{t,f}", `(1,"a ""b",2)`, `("(1,,2)","{1,2}")`, `\x01ff`} {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		ty := fuzzTypes[int(which)%len(fuzzTypes)]
		s := DefaultSettings()
		d, err := ParseText(ty, text, s)
		if err != nil {
			return
		}
		out := TextOf(ty, d, s)
		again, err := ParseText(ty, out, s)
		if err != nil || Compare(ty, d, again) != 0 {
			t.Fatalf("%s %q prints as %q, which reads as %v, %v", ty, text, out, again, err)
		}
		if !bytes.Equal(AppendKeyDatum(nil, ty, d), AppendKeyDatum(nil, ty, again)) {
			t.Fatalf("%s %q and %q are equal and have different keys", ty, text, out)
		}
	})
}

func FuzzBytes(f *testing.F) {
	s := DefaultSettings()
	for i, text := range []string{"{1,NULL}", "{a,NULL}", "{1.5}", "{t}", "(1,a,2)", `("(1,a,2)","{1,2}")`} {
		d, err := ParseText(fuzzTypes[i], text, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d.([]byte), uint8(i))
		f.Add(AppendBinaryDatum(nil, fuzzTypes[i], d), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		ty := fuzzTypes[int(which)%len(fuzzTypes)]
		if d, err := ParseBinary(ty, b); err == nil && ty != box {
			again, err := ParseBinary(ty, AppendBinaryDatum(nil, ty, d))
			if err != nil || Compare(ty, d, again) != 0 {
				t.Fatalf("%s %x: %v, %v", ty, b, again, err)
			}
		}
		_, _, _ = DecodeImage(ty, b)
		_, _, _ = DecodeKey(ty, b)
		if a, err := ReadArray(ty, b); isArray(ty) && err == nil {
			a.Elems()
			_ = TextOf(ty, b, s)
			AppendKeyDatum(nil, ty, b)
		}
		if ty.Kind == sqltypes.KRecord {
			_, _ = DecodeRecord(ty, b)
			RecordTypes(sqltypes.Record, b)
		}
	})
}

func TestStackArrays(t *testing.T) {
	ints := sqltypes.ArrayOf(sqltypes.Int4)
	s := DefaultSettings()
	parse := func(text string) sqltypes.Datum {
		if text == "" {
			return nil
		}
		d, err := ParseText(ints, text, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const ragged = "!2202E multidimensional arrays must have array expressions with matching dimensions"
	cases := []struct {
		rows []string
		want string
	}{
		{[]string{"{1,2}", "{3,4}"}, "={{1,2},{3,4}}"}, {[]string{"{1,2}", "{3}"}, ragged}, {[]string{"{}", "{}"}, "={}"},
		{[]string{"{}", "{1}"}, ragged}, {[]string{"{1}", ""}, ragged}, {[]string{"", ""}, "={}"}, {nil, "={}"},
		{[]string{"[0:1]={1,2}", "{3,4}"}, "=[1:2][0:1]={{1,2},{3,4}}"},
		{[]string{"{{{{{{1}}}}}}"}, "!54000 number of array dimensions (7) exceeds the maximum allowed (6)"},
	}
	for _, c := range cases {
		var rows []sqltypes.Datum
		for _, r := range c.rows {
			rows = append(rows, parse(r))
		}
		b, err := StackArrays(ints, rows)
		text := ""
		if err == nil {
			text = TextOf(ints, b, s)
		}
		if got := answer(text, err); got != c.want {
			t.Errorf("ARRAY%q: %s, want %s", c.rows, got, c.want)
		}
	}
}

func TestTypmodOnAssignment(t *testing.T) {
	cases := []struct {
		ty   sqltypes.Type
		in   sqltypes.Datum
		want string
	}{
		{sqltypes.Varchar.WithTypmod(7), "abcd", "!22001 value too long for type character varying(3)"},
		{sqltypes.Varchar.WithTypmod(7), "abc  ", "=abc"},
		{sqltypes.Varchar.WithTypmod(7), "ééé", "=ééé"},
		{sqltypes.Bpchar.WithTypmod(5), "ab", "!22001 value too long for type character(1)"},
		{sqltypes.Bpchar.WithTypmod(7), "é", "=é  "},
		{sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(3, 1)), numeric.FromScaled(1234, 2), "=12.3"},
		{sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(3, 1)), numeric.FromInt64(100),
			"!22003 numeric field overflow DETAIL A field with precision 3, scale 1 must round to an absolute value less than 10^2."},
		{sqltypes.Timestamp.WithTypmod(3), int64(1234567), "=2000-01-01 00:00:01.235"},
		{sqltypes.Time.WithTypmod(0), int64(1500000), "=00:00:02"},
	}
	for _, c := range cases {
		d, err := ApplyTypmod(c.ty, c.in, false)
		if got := answer(TextOf(c.ty, d, DefaultSettings()), err); got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.ty, c.in, got, c.want)
		}
	}
}

// Shortest digits must read back as the same float, whatever the bits.
func TestFloatTextRoundTrip(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 100000 {
		f := math.Float64frombits(r.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		text := string(AppendFloat(nil, f, 64))
		if back, err := strconv.ParseFloat(text, 64); err != nil || back != f {
			t.Fatalf("%x prints as %s, which is %x", f, text, back)
		}
		g := math.Float32frombits(r.Uint32())
		if g != g || math.IsInf(float64(g), 0) {
			continue
		}
		text = string(AppendFloat(nil, float64(g), 32))
		if back, err := strconv.ParseFloat(text, 32); err != nil || float32(back) != g {
			t.Fatalf("real %x prints as %s, which is %x", g, text, back)
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"a\xffb": "0xff", "\xc3(": "0xc3 0x28", "a\x00": "0x00", "\xe2\x82": "0xe2 0x82", "ok é😀": "",
	} {
		err := CheckUTF8([]byte(in))
		if want != "" {
			want = `!22021 invalid byte sequence for encoding "UTF8": ` + want
		} else {
			want = "="
		}
		if got := answer("", err); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func BenchmarkAppendParsed(b *testing.B) {
	s := DefaultSettings()
	for _, c := range []struct {
		ty   sqltypes.Type
		text string
	}{
		{sqltypes.Int8, "1234567"}, {sqltypes.Float8, "12.5"}, {sqltypes.Numeric, "12345.678"}, {sqltypes.Varchar, "hello world"},
		{sqltypes.Timestamp, "2015-07-15 01:02:03.456"}, {sqltypes.Bool, "t"},
	} {
		b.Run(c.ty.String(), func(b *testing.B) {
			v := &delta.Vec{Type: c.ty}
			text := []byte(c.text)
			b.ReportAllocs()
			for i := range b.N {
				if i&1023 == 0 {
					v.Ints, v.Floats, v.Decs, v.Bools, v.Data, v.Offsets = v.Ints[:0], v.Floats[:0], v.Decs[:0], v.Bools[:0], v.Data[:0], v.Offsets[:0]
					v.SetLen(0)
				}
				if err := AppendParsed(v, text, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	s := DefaultSettings()
	for _, v := range []*delta.Vec{
		delta.Repeat(sqltypes.Int8, int64(1234567), 1), delta.Repeat(sqltypes.Float8, 12.5, 1),
		delta.Repeat(sqltypes.Numeric, numeric.FromScaled(12345678, 3), 1), delta.Repeat(sqltypes.Text, "hello world", 1),
		delta.Repeat(sqltypes.Timestamp, int64(490237323456000), 1),
	} {
		b.Run(v.Type.String(), func(b *testing.B) {
			var buf [64]byte
			b.ReportAllocs()
			for range b.N {
				AppendText(buf[:0], v, 0, s)
			}
		})
	}
}

func BenchmarkAppendKey(b *testing.B) {
	for _, v := range []*delta.Vec{delta.Repeat(sqltypes.Int8, int64(1234567), 1), delta.Repeat(sqltypes.Text, "hello world", 1)} {
		b.Run(v.Type.String(), func(b *testing.B) {
			var buf [64]byte
			for range b.N {
				AppendKey(buf[:0], v, 0)
			}
		})
	}
}
