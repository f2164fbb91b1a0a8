package codec

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// sourceSpec wants all of the columns, given as name and type in turn.
func sourceSpec(format, encode string, cols ...catalog.Column) *connector.SourceSpec {
	s := &connector.SourceSpec{
		Name: "s", Connector: catalog.Connector{Name: "test", Format: format, Encode: encode, FormatOptions: map[string]string{}},
		Columns: cols, Settings: sqlio.DefaultSettings(),
	}
	for i := range cols {
		s.Cols = append(s.Cols, i)
	}
	return s
}

func col(name string, t sqltypes.Type) catalog.Column { return catalog.Column{Name: name, Type: t} }

// decodeAll decodes records and prints the rows; a bad record becomes its error.
func decodeAll(t testing.TB, spec *connector.SourceSpec, recs ...Record) []string {
	t.Helper()
	d, _, err := NewDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	var types []sqltypes.Type
	for _, c := range spec.Cols {
		types = append(types, spec.Columns[c].Type)
	}
	rows := NewRows(types)
	var out []string
	for i := range recs {
		before := rows.Len()
		if err := d.Decode(&recs[i], rows); err != nil {
			if rows.Len() != before {
				t.Errorf("a bad record left %d rows", rows.Len()-before)
			}
			out = append(out, "error: "+err.Error())
		}
		if c := rows.Take(); c != nil {
			out = append(out, printRows(c)...)
		}
	}
	return out
}

func printRows(c *delta.Chunk) []string {
	var out []string
	for i := range c.Rows {
		b := []byte{}
		if c.Weight(i) < 0 {
			b = append(b, '-')
		}
		for n, v := range c.Cols {
			if n > 0 {
				b = append(b, '|')
			}
			if v.IsNull(i) {
				b = append(b, "NULL"...)
			} else {
				b = sqlio.AppendText(b, v, i, sqlio.DefaultSettings())
			}
		}
		out = append(out, string(b))
	}
	return out
}

func TestJSONValues(t *testing.T) {
	varchar3 := sqltypes.Varchar.WithTypmod(3 + 4)
	numeric52 := sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(5, 2))
	cases := []struct {
		name string
		typ  sqltypes.Type
		json string
		want string // "error: …" for the start of an error
	}{
		{"int", sqltypes.Int8, `12`, `12`},
		{"negative int", sqltypes.Int8, `-12`, `-12`},
		{"int as string", sqltypes.Int4, `"12"`, `12`},
		{"int with zeros", sqltypes.Int4, `12.0`, `12`},
		{"int with exponent", sqltypes.Int4, `1e3`, `1000`},
		{"largest bigint", sqltypes.Int8, `9223372036854775807`, `9223372036854775807`},
		{"smallest bigint", sqltypes.Int8, `-9223372036854775808`, `-9223372036854775808`},
		{"bigint out of range", sqltypes.Int8, `9223372036854775808`, `error: decode column "v": value "9223372036854775808" is out of range for type bigint`},
		{"int4 out of range", sqltypes.Int4, `2147483648`, `error: decode column "v": value "2147483648" is out of range for type integer`},
		{"fraction for int", sqltypes.Int4, `1.5`, `error: decode column "v": invalid input syntax for type integer: "1.5"`},
		{"word for int", sqltypes.Int4, `"x"`, `error: decode column "v": invalid input syntax for type integer: "x"`},
		{"bool for int", sqltypes.Int4, `true`, `error: decode column "v": invalid input syntax for type integer: "true"`},
		{"leading zero", sqltypes.Int4, `012`, `error: `},
		{"null", sqltypes.Int4, `null`, `NULL`},
		{"bool", sqltypes.Bool, `true`, `t`},
		{"bool as string", sqltypes.Bool, `"false"`, `f`},
		{"float", sqltypes.Float8, `-1.25e2`, `-125`},
		{"int for float", sqltypes.Float8, `3`, `3`},
		{"float as string", sqltypes.Float8, `"NaN"`, `NaN`},
		{"float out of range", sqltypes.Float8, `1e999`, `error: `},
		{"numeric keeps its zeros", sqltypes.Numeric, `1.50`, `1.50`},
		{"long numeric", sqltypes.Numeric, `123456789012345678901234567890.5`, `123456789012345678901234567890.5`},
		{"numeric rounds to its scale", numeric52, `1.239`, `1.24`},
		{"numeric too large", numeric52, `12345`, `error: decode column "v": numeric field overflow`},
		{"text", sqltypes.Text, `"grüße"`, `grüße`},
		{"escapes", sqltypes.Text, `"a\"\\\/\b\f\n\r\t\u0041\u00e4\ud83d\ude00"`, "a\"\\/\b\f\n\r\tAä😀"},
		{"half a pair", sqltypes.Text, `"\ud83d"`, `error: decode column "v": invalid input syntax for type json`},
		{"NUL", sqltypes.Text, `"\u0000"`, `error: decode column "v": unsupported Unicode escape sequence`},
		{"bad escape", sqltypes.Text, `"\x"`, `error: `},
		{"control character", sqltypes.Text, "\"a\nb\"", `error: `},
		{"not UTF-8", sqltypes.Text, "\"\xff\"", `error: decode column "v": invalid byte sequence for encoding "UTF8": 0xff`},
		{"number for text", sqltypes.Text, `12.50`, `12.50`},
		{"object for text", sqltypes.Text, `{"a": [1, 2]}`, `{"a": [1, 2]}`},
		{"varchar fits", varchar3, `"abc"`, `abc`},
		{"varchar too long", varchar3, `"abcd"`, `error: decode column "v": value too long for type character varying(3)`},
		{"bytea hex", sqltypes.Bytea, `"\\x01ff"`, `\x01ff`},
		{"bytea text", sqltypes.Bytea, `"ab"`, `\x6162`},
		{"date", sqltypes.Date, `"2024-02-29"`, `2024-02-29`},
		{"date as number", sqltypes.Date, `19000`, `2022-01-08`},
		{"time as number", sqltypes.Time, `3600000000`, `01:00:00`},
		{"timestamp", sqltypes.Timestamp, `"2015-07-15 00:00:01.234"`, `2015-07-15 00:00:01.234`},
		{"timestamp with T", sqltypes.Timestamp, `"2015-07-15T23:59:59"`, `2015-07-15 23:59:59`},
		{"timestamp by another form", sqltypes.Timestamp, `"15 Jul 2015 10:00"`, `2015-07-15 10:00:00`},
		{"no such day", sqltypes.Timestamp, `"2015-02-30 00:00:00"`, `error: decode column "v": date/time field value out of range`},
		{"timestamptz", sqltypes.Timestamptz, `"2015-07-15T02:00:00Z"`, `2015-07-15 02:00:00+00`},
		{"timestamptz with offset", sqltypes.Timestamptz, `"2015-07-15T02:00:00+02:00"`, `2015-07-15 00:00:00+00`},
		{"seconds", sqltypes.Timestamptz, `1700000000`, `2023-11-14 22:13:20+00`},
		{"milliseconds", sqltypes.Timestamptz, `1700000000123`, `2023-11-14 22:13:20.123+00`},
		{"microseconds", sqltypes.Timestamp, `1700000000123456`, `2023-11-14 22:13:20.123456`},
		{"nanoseconds", sqltypes.Timestamptz, `1700000000123456789`, `2023-11-14 22:13:20.123456+00`},
		{"interval", sqltypes.IntervalT, `"1 day 02:00:00"`, `1 day 02:00:00`},
		{"uuid", sqltypes.UUID, `"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"`, `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`},
		{"jsonb object", sqltypes.JSONB, `{"b":1,"a":[true,null]}`, `{"a": [true, null], "b": 1}`},
		{"jsonb string", sqltypes.JSONB, `"a\nb"`, `"a\nb"`},
		{"jsonb number", sqltypes.JSONB, `1.50`, `1.50`},
		{"jsonb null is NULL", sqltypes.JSONB, `null`, `NULL`},
		{"json keeps its text", sqltypes.JSON, `{"b":1, "a":2}`, `{"b":1, "a":2}`},
		{"array", sqltypes.ArrayOf(sqltypes.Int4), `[1,"2",null]`, `{1,2,NULL}`},
		{"array of arrays", sqltypes.ArrayOf(sqltypes.Int4), `[[1,2],[3,4]]`, `{{1,2},{3,4}}`},
		{"empty array", sqltypes.ArrayOf(sqltypes.Text), `[]`, `{}`},
		{"array of text", sqltypes.ArrayOf(sqltypes.Text), `["a b",""]`, `{"a b",""}`},
		{"ragged array", sqltypes.ArrayOf(sqltypes.Int4), `[[1],2]`, `error: `},
		{"array as text", sqltypes.ArrayOf(sqltypes.Int4), `"{1,2}"`, `{1,2}`},
		{"object for array", sqltypes.ArrayOf(sqltypes.Int4), `{}`, `error: `},
		{"object for int", sqltypes.Int4, `{"a":1}`, `error: decode column "v": invalid input syntax for type integer: "{"a":1}"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := decodeAll(t, sourceSpec("PLAIN", "JSON", col("v", c.typ), col("after", sqltypes.Int4)), Record{Value: []byte(`{"v":` + c.json + `,"after":7}`)})
			if strings.HasPrefix(c.want, "error: ") {
				if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
				return
			}
			if want := []string{c.want + "|7"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestJSONRecords(t *testing.T) {
	spec := sourceSpec("PLAIN", "JSON", col("a", sqltypes.Int4), col("B", sqltypes.Text))
	cases := []struct {
		name, json string
		want       []string
	}{
		{"other order", `{"B":"x","a":1}`, []string{"1|x"}},
		{"missing", `{"a":1}`, []string{"1|NULL"}},
		{"empty", ` { } `, []string{"NULL|NULL"}},
		{"unknown", `{"z":{"a":[1,{"b":"}"}]},"a":1,"y":null,"B":"x"}`, []string{"1|x"}},
		{"other case", `{"A":1,"b":"x"}`, []string{"1|x"}},
		{"twice", `{"a":1,"B":"long","a":2,"B":"s"}`, []string{"2|s"}},
		{"escaped name", `{"\u0061":1}`, []string{"1|NULL"}},
		{"array of records", `[{"a":1},{"a":2}]`, []string{"1|NULL", "2|NULL"}},
		{"empty array", `[]`, nil},
		{"array with a bad one", `[{"a":1},{"a":"x"}]`, []string{`error: decode column "a": invalid input syntax for type integer: "x" (SQLSTATE 22P02)`}},
		{"not an object", `17`, []string{`error: JSON record is not an object (SQLSTATE 22P02)`}},
		{"nothing", ``, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
		{"cut off", `{"a":1`, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
		{"more behind", `{"a":1} x`, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
		{"comma too many", `{"a":1,}`, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
		{"bad in what is passed over", `{"z":[1,]}`, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
		{"too deep", `{"z":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, []string{`error: JSON value is nested too deeply (SQLSTATE 54001)`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, first := range []string{"", `{"a":9,"B":"y"}`} { // without and with a remembered order
				recs := []Record{{Value: []byte(c.json)}}
				want := c.want
				if first != "" {
					recs = append([]Record{{Value: []byte(first)}}, recs...)
					want = append([]string{"9|y"}, want...)
				}
				if got := decodeAll(t, spec, recs...); !slices.Equal(got, want) {
					t.Errorf("after %q: got %q, want %q", first, got, want)
				}
			}
		})
	}
}

// TestErrorsCarryStates: quarantined records name what is wrong with them.
func TestErrorsCarryStates(t *testing.T) {
	d, _, err := NewDecoder(sourceSpec("PLAIN", "JSON", col("a", sqltypes.Int4)))
	if err != nil {
		t.Fatal(err)
	}
	err = d.Decode(&Record{Value: []byte(`{"a":99999999999}`)}, NewRows([]sqltypes.Type{sqltypes.Int4}))
	var e *sqlerr.Error
	if !errors.As(err, &e) || e.Code != sqlerr.NumericValueOutOfRange {
		t.Errorf("got %v", err)
	}
}

func TestColumnWantedTwice(t *testing.T) {
	spec := sourceSpec("PLAIN", "JSON", col("a", sqltypes.Text))
	spec.Cols = []int{0, 0}
	if got := decodeAll(t, spec, Record{Value: []byte(`{"a":"x","a":"yy"}`)}); !slices.Equal(got, []string{"yy|yy"}) {
		t.Errorf("got %q", got)
	}
}

func TestFormatOptions(t *testing.T) {
	ts := sourceSpec("PLAIN", "JSON", col("v", sqltypes.Timestamptz))
	ts.Connector.FormatOptions = map[string]string{"timestamptz.handling.mode": "micro"}
	if got := decodeAll(t, ts, Record{Value: []byte(`{"v":1000000}`)}); !slices.Equal(got, []string{"1970-01-01 00:00:01+00"}) {
		t.Errorf("micro: %q", got)
	}
	ts.Connector.FormatOptions = map[string]string{"timestamptz.handling.mod": "micro"}
	if _, _, err := NewDecoder(ts); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
		t.Errorf("unknown option: %v", err)
	}
	if _, _, err := NewDecoder(sourceSpec("PLAIN", "TOML")); sqlerr.CodeOf(err) != sqlerr.FeatureNotSupported {
		t.Errorf("unknown format: %v", err)
	}
}

func TestNoAllocationPerRecord(t *testing.T) {
	d, _, err := NewDecoder(bidSpec())
	if err != nil {
		t.Fatal(err)
	}
	rows := NewRows(typesOf(bidColumns))
	rec := &Record{Value: []byte(bidJSON)}
	for range 4 * delta.BatchRows { // let the vectors find their size
		if err := d.Decode(rec, rows); err != nil {
			t.Fatal(err)
		}
		if rows.Len() == delta.BatchRows {
			rows.Take()
		}
	}
	if n := testing.AllocsPerRun(delta.BatchRows/2, func() { _ = d.Decode(rec, rows) }); n > 0 {
		t.Errorf("%g allocations a record", n)
	}
}

// FuzzJSON: what encoding/json accepts as an object we accept, and a bad record leaves no trace.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(bidJSON))
	f.Add([]byte(`{"a":1.5e3,"b":"\u00e4\ud83d\ude00","c":[1,[2]],"d":{"x":null},"e":true}`))
	f.Add([]byte(`[{"a":1},{"b":"2"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		spec := sourceSpec("PLAIN", "JSON", col("a", sqltypes.Text), col("b", sqltypes.Text), col("c", sqltypes.Int8),
			col("d", sqltypes.Timestamptz), col("e", sqltypes.Bytea), col("price", sqltypes.Float8), col("f", sqltypes.ArrayOf(sqltypes.Int4)))
		d, _, err := NewDecoder(spec)
		if err != nil {
			t.Fatal(err)
		}
		rows := NewRows(typesOf(spec.Columns))
		good := Record{Value: []byte(`{"a":"x","c":1}`)}
		if err := d.Decode(&good, rows); err != nil {
			t.Fatal(err)
		}
		err = d.Decode(&Record{Value: b}, rows)
		if err == nil && !json.Valid(b) {
			t.Errorf("accepted %q, which is not JSON", b)
		}
		if err := d.Decode(&good, rows); err != nil {
			t.Fatal(err)
		}
		c := rows.Take()
		out := printRows(c)
		if out[0] != out[len(out)-1] || err != nil && len(out) != 2 {
			t.Errorf("%q left a trace: %q", b, out)
		}
		for i := range c.Rows {
			if a := c.Cols[0]; !a.IsNull(i) && checkText(a.Bytes(i)) != nil {
				t.Errorf("%q gave text that is none: %q", b, a.Bytes(i))
			}
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	f.Add("2015-07-15 00:00:01.234")
	f.Add("2000-02-29T23:59:59.999999")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := fastTimestamp([]byte(s))
		if !ok {
			return
		}
		want, err := sqlio.ParseText(sqltypes.Timestamp, s, sqlio.DefaultSettings())
		if err != nil || want.(int64) != got {
			t.Errorf("%q: %d, the full parser says %v, %v", s, got, want, err)
		}
	})
}
