package expr

import (
	"testing"

	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// FuzzCast casts text to every type and on to every other: whatever comes of it, it is a value that prints and reads
// back as itself, or an error, and never a panic.
func FuzzCast(f *testing.F) {
	for i, s := range []string{"12", "-1.5e3", "NaN", "infinity", "2024-02-29 12:34:56+02", "1 day -2:00", `{"a":[1,null]}`, "{1,NULL,3}", `\xdead`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "t", "[0:1]={a,b}", ""} {
		f.Add(s, uint8(i), uint8(3*i))
	}
	f.Add("\xff", uint8(21), uint8(7)) // "char"
	types := []sqltypes.Type{sqltypes.Bool, sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, sqltypes.Float4, sqltypes.Float8, sqltypes.Numeric, sqltypes.Text, sqltypes.Varchar, sqltypes.Bpchar,
		sqltypes.Bytea, sqltypes.Date, sqltypes.Time, sqltypes.Timetz, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.JSON, sqltypes.JSONB, sqltypes.UUID, sqltypes.Oid, sqltypes.Char,
		sqltypes.ArrayOf(sqltypes.Int4), sqltypes.ArrayOf(sqltypes.Text), sqltypes.ArrayOf(sqltypes.Numeric), sqltypes.ArrayOf(sqltypes.JSONB), sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(5, 2)), sqltypes.Varchar.WithTypmod(7)}
	f.Fuzz(func(t *testing.T, text string, first, second uint8) {
		c := &Ctx{Settings: sqlio.DefaultSettings()}
		from, to := types[int(first)%len(types)], types[int(second)%len(types)]
		v, err := CastDatum(c, []byte(text), sqltypes.Text, from, true)
		if err != nil {
			return
		}
		out := sqlio.TextOf(from, v, c.Settings)
		again, err := sqlio.ParseText(from.Base(), out, c.Settings)
		if err != nil {
			t.Fatalf("%q is %s %q, which does not read: %v", text, from, out, err)
		}
		if got := sqlio.TextOf(from, again, c.Settings); got != out {
			t.Fatalf("%q is %s %q, which reads as %q", text, from, out, got)
		}
		if _, ok := LookupCast(from, to); !ok {
			return
		}
		if w, err := CastDatum(c, v, from, to, true); err == nil && w != nil {
			_ = sqlio.TextOf(to, w, c.Settings)
		}
	})
}
