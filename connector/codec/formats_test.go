package codec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func TestCSV(t *testing.T) {
	cols := []catalog.Column{col("a", sqltypes.Int4), col("b", sqltypes.Text), col("c", sqltypes.Float8)}
	cases := []struct {
		name, csv string
		options   map[string]string
		want      []string
	}{
		{"plain", "1,x,2.5", nil, []string{"1|x|2.5"}},
		{"line end", "1,x,2.5\r\n", nil, []string{"1|x|2.5"}},
		{"several lines", "1,x,2\n2,y,3\n", nil, []string{"1|x|2", "2|y|3"}},
		{"empty is NULL", ",,", nil, []string{"NULL|NULL|NULL"}},
		{"quoted empty is empty", `1,"",2`, nil, []string{"1||2"}},
		{"quotes", `"1","a ""b"", c",2`, nil, []string{`1|a "b", c|2`}},
		{"line end in quotes", "1,\"a\nb\",2", nil, []string{"1|a\nb|2"}},
		{"quotes in the middle", `1,a"b,c"d,2`, nil, []string{"1|ab,cd|2"}},
		{"delimiter", "1;x,y;2", map[string]string{"delimiter": ";"}, []string{"1|x,y|2"}},
		{"tab", "1\tx\t2", map[string]string{"delimiter": `\t`}, []string{"1|x|2"}},
		{"too few", "1,x", nil, []string{`error: missing data for column "c" (SQLSTATE 22P04)`}},
		{"too many", "1,x,2,3", nil, []string{"error: extra data after last expected column (SQLSTATE 22P04)"}},
		{"open quote", `1,"x,2`, nil, []string{"error: unterminated CSV quoted field (SQLSTATE 22P04)"}},
		{"not a number", "x,x,2", nil, []string{`error: decode column "a": invalid input syntax for type integer: "x" (SQLSTATE 22P02)`}},
		{"not UTF-8", "1,\xff,2", nil, []string{`error: decode column "b": invalid byte sequence for encoding "UTF8": 0xff (SQLSTATE 22021)`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := sourceSpec("PLAIN", "CSV", cols...)
			spec.Connector.FormatOptions = map[string]string{"without_header": "true"}
			for k, v := range c.options {
				spec.Connector.FormatOptions[k] = v
			}
			if got := decodeAll(t, spec, Record{Value: []byte(c.csv)}); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCSVHeader(t *testing.T) {
	d, _, err := NewDecoder(sourceSpec("PLAIN", "CSV", col("a", sqltypes.Int4), col("b", sqltypes.Text)))
	if err != nil {
		t.Fatal(err)
	}
	h := d.(HeaderReader)
	if err := h.ReadHeader([]byte("\uFEFFB,\"more\",a\r\n")); err != nil || !h.NeedsHeader() {
		t.Fatal(err)
	}
	rows := NewRows([]sqltypes.Type{sqltypes.Int4, sqltypes.Text})
	if err := d.Decode(&Record{Value: []byte("x,y,1")}, rows); err != nil {
		t.Fatal(err)
	}
	if got := printRows(rows.Take()); got[0] != "1|x" {
		t.Errorf("got %q", got)
	}
}

func TestBytes(t *testing.T) {
	spec := sourceSpec("PLAIN", "BYTES", col("v", sqltypes.Bytea))
	spec.Columns = append(spec.Columns, catalog.Column{Name: "k", Type: sqltypes.Text, Include: "key"})
	spec.Cols = []int{1, 0}
	got := decodeAll(t, spec, Record{Key: []byte("k"), Value: []byte{0, 255}}, Record{Key: []byte{255}, Value: []byte{}}, Record{})
	want := []string{`k|\x00ff`, `error: decode column "key": invalid byte sequence for encoding "UTF8": 0xff (SQLSTATE 22021)`, "NULL|NULL"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Check(sourceSpec("PLAIN", "BYTES", col("a", sqltypes.Bytea), col("b", sqltypes.Bytea))); sqlerr.CodeOf(err) != sqlerr.InvalidTableDefinition {
		t.Errorf("two columns: %v", err)
	}
}

func TestUpsert(t *testing.T) {
	spec := sourceSpec("UPSERT", "JSON", col("id", sqltypes.Int4), col("v", sqltypes.Text))
	spec.PrimaryKey = []int{0}
	got := decodeAll(t, spec,
		Record{Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"v":"a"}`)},
		Record{Key: []byte(`{"schema":{"x":1},"payload":{"id":2}}`), Value: []byte(`{"v":"b"}`)},
		Record{Key: []byte(`3`), Value: []byte(`null`)},
		Record{Key: []byte(`{"id":4}`)},
		Record{Key: []byte(`{"other":4}`)},
		Record{Value: []byte(`{"v":"c"}`)},
		Record{},
	)
	noKey := "error: record has no value for a column of the primary key (SQLSTATE 23502)"
	want := []string{"1|a", "2|b", "-3|NULL", "-4|NULL", noKey, noKey, "error: record has neither a key nor a value (SQLSTATE 22004)"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestUpsertByIncludedKey(t *testing.T) {
	spec := sourceSpec("UPSERT", "JSON", col("v", sqltypes.Text))
	spec.Columns = append(spec.Columns, catalog.Column{Name: "k", Type: sqltypes.Bytea, Include: "key"}, catalog.Column{Name: "o", Type: sqltypes.Int8, Include: "offset"})
	spec.Cols, spec.PrimaryKey = []int{0, 1, 2}, []int{1}
	got := decodeAll(t, spec, Record{Key: []byte("x"), Value: []byte(`{"v":"a"}`), Offset: 4}, Record{Key: []byte("x"), Offset: 5})
	if want := []string{`a|\x78|4`, `-NULL|\x78|NULL`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextKeyThatIsNotJSON(t *testing.T) {
	spec := sourceSpec("UPSERT", "JSON", col("id", sqltypes.Text))
	spec.PrimaryKey = []int{0}
	got := decodeAll(t, spec, Record{Key: []byte("user-7")}, Record{Key: []byte(`"user-8"`)})
	if want := []string{"-user-7", "-user-8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDebezium(t *testing.T) {
	spec := sourceSpec("DEBEZIUM", "JSON", col("id", sqltypes.Int4), col("v", sqltypes.Bytea))
	spec.PrimaryKey = []int{0}
	cases := []struct {
		name string
		rec  Record
		want []string
	}{
		{"create", Record{Value: []byte(`{"payload":{"before":null,"after":{"id":1,"v":"AQI="},"source":{},"op":"c"}}`)}, []string{`1|\x0102`}},
		{"snapshot", Record{Value: []byte(`{"before":null,"after":{"id":1},"op":"r"}`)}, []string{`1|NULL`}},
		{"update", Record{Value: []byte(`{"op":"u","before":{"id":1},"after":{"id":1,"v":""}}`)}, []string{`1|\x`}},
		{"delete", Record{Value: []byte(`{"op":"d","before":{"id":1,"v":"AQ=="},"after":null}`)}, []string{`-1|NULL`}},
		{"delete by key", Record{Key: []byte(`{"id":5}`), Value: []byte(`{"op":"d","before":null}`)}, []string{`-5|NULL`}},
		{"tombstone", Record{Key: []byte(`{"id":5}`)}, nil},
		{"heartbeat", Record{Value: []byte(`{"ts_ms":1}`)}, nil},
		{"null payload", Record{Value: []byte(`{"schema":{},"payload":null}`)}, nil},
		{"truncate", Record{Value: []byte(`{"op":"t","before":null,"after":null}`)}, nil},
		{"unknown", Record{Value: []byte(`{"op":"q"}`)}, []string{`error: change event has unknown op "q" (SQLSTATE 22P02)`}},
		{"nothing after", Record{Value: []byte(`{"op":"c","after":null}`)}, []string{`error: change event with op "c" has no "after" (SQLSTATE 22P02)`}},
		{"garbage", Record{Value: []byte(`{"op":`)}, []string{`error: invalid input syntax for type json (SQLSTATE 22P02)`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := decodeAll(t, spec, c.rec); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// every is one column of each type that formats carry, with two rows of values and one of NULLs.
func every(t testing.TB) ([]catalog.Column, *delta.Chunk) {
	t.Helper()
	var cols []catalog.Column
	var types []sqltypes.Type
	values := [][3]string{}
	add := func(typ sqltypes.Type, a, b string) {
		cols = append(cols, catalog.Column{ID: int32(len(cols) + 1), Name: "c" + string(rune('a'+len(cols))), Type: typ})
		types = append(types, typ)
		values = append(values, [3]string{a, b})
	}
	add(sqltypes.Bool, "t", "f")
	add(sqltypes.Int2, "-32768", "32767")
	add(sqltypes.Int4, "-2147483648", "7")
	add(sqltypes.Int8, "9223372036854775807", "-1")
	add(sqltypes.Float4, "1.5", "-0.1")
	add(sqltypes.Float8, "1e+300", "0.1")
	add(sqltypes.Numeric, "123456789012345678901234567890.50", "-0.001")
	add(sqltypes.Numeric.WithTypmod(sqltypes.NumericTypmod(20, 3)), "12.500", "-7.125")
	add(sqltypes.Text, "grüße, \"du\"", "")
	add(sqltypes.Varchar, "line\nend", "x")
	add(sqltypes.Bytea, `\x00ff`, `\x`)
	add(sqltypes.Date, "1999-12-31", "2024-02-29")
	add(sqltypes.Time, "23:59:59.999999", "00:00:00")
	add(sqltypes.Timestamp, "1969-07-20 20:17:40.5", "2015-07-15 00:00:00")
	add(sqltypes.Timestamptz, "2015-07-15 00:00:00.123456+00", "1900-01-01 00:00:00+00")
	add(sqltypes.IntervalT, "1 mon 2 days 03:04:05", "-00:00:01")
	add(sqltypes.UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000")
	add(sqltypes.JSONB, `{"a": [1, null, "x"]}`, `"text"`)
	add(sqltypes.ArrayOf(sqltypes.Int4), "{1,NULL,3}", "{}")
	add(sqltypes.ArrayOf(sqltypes.Text), `{"a b","","q\"q"}`, "{x}")
	b := delta.NewBuilder(types)
	for row := range 3 {
		for i, typ := range types {
			if row == 1 {
				b.Col(i).AppendNull()
				continue
			}
			d, err := sqlio.ParseText(typ, values[i][row/2], sqlio.DefaultSettings())
			if err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			b.Col(i).AppendDatum(d)
		}
		b.EndRow(1)
	}
	return cols, b.Take()
}

func sinkSpec(encode string, cols []catalog.Column) *connector.SinkSpec {
	return &connector.SinkSpec{
		Name: "k", Connector: catalog.Connector{Name: "test", Encode: encode, Options: map[string]string{}},
		Columns: cols, AppendOnly: true, Settings: sqlio.DefaultSettings(),
	}
}

// TestTextRoundTrip: what the encoders write the decoders read back exactly.
func TestTextRoundTrip(t *testing.T) {
	cols, chunk := every(t)
	want := printRows(chunk)
	for _, encode := range []string{"JSON", "CSV"} {
		t.Run(encode, func(t *testing.T) {
			e, err := NewEncoder(sinkSpec(encode, cols))
			if err != nil {
				t.Fatal(err)
			}
			spec := sourceSpec("PLAIN", encode, cols...)
			d, _, err := NewDecoder(spec)
			if err != nil {
				t.Fatal(err)
			}
			if h, ok := d.(HeaderReader); ok {
				if err := h.ReadHeader(e.Header()); err != nil {
					t.Fatal(err)
				}
			}
			rows := NewRows(typesOf(cols))
			for i := range chunk.Rows {
				line := e.AppendRow(nil, chunk, i)
				if n := d.(Framer).Frame(line); n != len(line) {
					t.Errorf("record of %d bytes framed as %d: %q", len(line), n, line)
				}
				if err := d.Decode(&Record{Value: bytes.TrimRight(line, "\n")}, rows); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
			}
			if got := printRows(rows.Take()); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestParquetRoundTrip(t *testing.T) {
	cols, chunk := every(t)
	want := printRows(chunk)
	var buf bytes.Buffer
	w, err := NewParquetWriter(&buf, sinkSpec("PARQUET", cols))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(chunk.WithSel([]int32{2})); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all := append(append(slices.Clone(want), want...), want[2])
	read := func(spec *connector.SourceSpec, types []sqltypes.Type, from int64) []string {
		t.Helper()
		r, err := NewParquetReader(context.Background(), bytes.NewReader(buf.Bytes()), spec, from)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rows := NewRows(types)
		for {
			err := r.Read(&Record{}, rows, func(row int64, err error) { t.Errorf("row %d: %v", row, err) })
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if c := rows.Take(); c != nil {
			return printRows(c)
		}
		return nil
	}
	for _, from := range []int64{0, 2, 6, 7} {
		if got := read(sourceSpec("PLAIN", "PARQUET", cols...), typesOf(cols), from); !slices.Equal(got, all[from:]) {
			t.Errorf("from row %d:\ngot  %q\nwant %q", from, got, all[from:])
		}
	}
	few := sourceSpec("PLAIN", "PARQUET", col("missing", sqltypes.Int4), col("CI", sqltypes.Text))
	few.Columns = append(few.Columns, catalog.Column{Name: "row", Type: sqltypes.Int8, Include: "offset"})
	few.Cols = []int{0, 1, 2}
	got := read(few, []sqltypes.Type{sqltypes.Int4, sqltypes.Text, sqltypes.Int8}, 5)
	if w := []string{"NULL||5", "NULL||6"}; !slices.Equal(got, w) {
		t.Errorf("some columns: %q, want %q", got, w)
	}
	_, err = NewParquetReader(context.Background(), bytes.NewReader(buf.Bytes()), sourceSpec("PLAIN", "PARQUET", col("ca", sqltypes.Date)), 0)
	if sqlerr.CodeOf(err) != sqlerr.DatatypeMismatch {
		t.Errorf("bool as date: %v", err)
	}
}

func TestArrowSharesMemory(t *testing.T) {
	v := delta.IntVec(sqltypes.Int8, []int64{1, 2, 3})
	a, err := ToArrowArray(v, sqlio.DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	if &a.Data().Buffers()[1].Bytes()[0] != &bytesOf(v.Ints)[0] {
		t.Error("a bigint column was copied")
	}
}

func TestMessages(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	b := delta.NewBuilder(typesOf(cols))
	for _, r := range []struct {
		id     int64
		v      string
		weight int64
	}{{1, "old", -1}, {2, "gone", -1}, {1, "new", 1}, {3, "three", 1}} {
		b.AppendDatums([]sqltypes.Datum{r.id, r.v}, r.weight)
	}
	chunk := b.Take()
	cases := []struct {
		mode  Mode
		force bool
		want  []string
	}{
		{Upsert, false, []string{`{"id":1} {"id":1,"v":"new"}`, `{"id":3} {"id":3,"v":"three"}`, `{"id":2} -`}},
		{Debezium, false, []string{
			`{"id":1} {"before":{"id":1,"v":"old"},"after":{"id":1,"v":"new"},"op":"u","ts_ms":1000}`,
			`{"id":3} {"before":null,"after":{"id":3,"v":"three"},"op":"c","ts_ms":1000}`,
			`{"id":2} {"before":{"id":2,"v":"gone"},"after":null,"op":"d","ts_ms":1000}`, `{"id":2} -`,
		}},
		{AppendOnly, true, []string{`{"id":1} {"id":1,"v":"new"}`, `{"id":3} {"id":3,"v":"three"}`}},
		{AppendOnly, false, []string{"error: append-only sink got a deleted row (SQLSTATE 22023)"}},
	}
	for _, c := range cases {
		t.Run(string(c.mode), func(t *testing.T) {
			spec := sinkSpec("JSON", cols)
			spec.Key = []int{0}
			m, err := NewMessages(spec, c.mode, c.force)
			if err != nil {
				t.Fatal(err)
			}
			m.now = func() time.Time { return time.UnixMilli(1000) }
			var got []string
			err = m.Each(chunk, func(key, value []byte) error {
				if value == nil {
					value = []byte("-")
				}
				got = append(got, string(key)+" "+string(value))
				return nil
			})
			if err != nil {
				got = append(got, "error: "+err.Error())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestMessagesAreReadBack feeds a sink's messages to the source of the same format.
func TestMessagesAreReadBack(t *testing.T) {
	cols, chunk := every(t)
	cols = append([]catalog.Column{col("id", sqltypes.Int8)}, cols...)
	ids := delta.IntVec(sqltypes.Int8, []int64{1, 2, 3})
	chunk = chunk.WithCols(append([]*delta.Vec{ids}, chunk.Cols...))
	for mode, format := range map[Mode]string{Upsert: "UPSERT", Debezium: "DEBEZIUM"} {
		t.Run(format, func(t *testing.T) {
			spec := sinkSpec("JSON", cols)
			spec.Key = []int{0}
			m, err := NewMessages(spec, mode, false)
			if err != nil {
				t.Fatal(err)
			}
			var recs []Record
			if err := m.Each(chunk, func(k, v []byte) error { recs = append(recs, Record{Key: k, Value: v}); return nil }); err != nil {
				t.Fatal(err)
			}
			src := sourceSpec(format, "JSON", cols...)
			src.PrimaryKey = []int{0}
			src.Connector.FormatOptions = map[string]string{"bytes.handling.mode": "hex"}
			if got, want := decodeAll(t, src, recs...), printRows(chunk); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestSinkMode(t *testing.T) {
	cases := []struct {
		name, format string
		options      map[string]string
		key          []int
		appendOnly   bool
		want         Mode
		problem      string
	}{
		{"append-only query", "", nil, nil, true, AppendOnly, ""},
		{"keyed query", "", nil, []int{0}, false, Upsert, ""},
		{"type", "", map[string]string{"type": "debezium"}, []int{0}, false, Debezium, ""},
		{"format", "UPSERT", nil, []int{0}, false, Upsert, ""},
		{"contradiction", "UPSERT", map[string]string{"type": "append-only"}, []int{0}, true, "", "means upsert"},
		{"changing query", "PLAIN", nil, nil, false, "", "is append-only, but its query changes rows"},
		{"forced", "PLAIN", map[string]string{"force_append_only": "true"}, nil, false, AppendOnly, ""},
		{"no key", "UPSERT", nil, nil, false, "", "needs a primary key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := sinkSpec("JSON", nil)
			spec.Connector.Format, spec.Key, spec.AppendOnly = c.format, c.key, c.appendOnly
			o := option.New("sink", c.options)
			mode, _ := SinkMode(o, spec)
			err := o.Done()
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("got %v, want %q", err, c.problem)
				}
				return
			}
			if err != nil || mode != c.want {
				t.Errorf("got %s, %v, want %s", mode, err, c.want)
			}
		})
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("1,\"a \"\"b\"\"\n\",2.5\n,,\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		spec := sourceSpec("PLAIN", "CSV", col("a", sqltypes.Int4), col("b", sqltypes.Text), col("c", sqltypes.Float8))
		spec.Connector.FormatOptions["without_header"] = "true"
		decodeAll(t, spec, Record{Value: b}, Record{Value: []byte("1,x,2")})
		d, _, _ := NewDecoder(spec)
		if n := d.(Framer).Frame(b); n > len(b) {
			t.Errorf("record of %d bytes in %d", n, len(b))
		}
		_ = d.(HeaderReader).ReadHeader(b)
	})
}

func FuzzDebezium(f *testing.F) {
	f.Add([]byte(`{"id":1}`), []byte(`{"payload":{"before":{"id":1},"after":null,"op":"d"}}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, format := range []string{"UPSERT", "DEBEZIUM"} {
			spec := sourceSpec(format, "JSON", col("id", sqltypes.Int4), col("v", sqltypes.Text))
			spec.PrimaryKey = []int{0}
			decodeAll(t, spec, Record{Key: key, Value: value})
		}
	})
}

// FuzzParquet: a damaged file is an error.
func FuzzParquet(f *testing.F) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	b := delta.NewBuilder(typesOf(cols))
	for i := range int64(3) {
		b.AppendDatums([]sqltypes.Datum{i, "x"}, 1)
	}
	var buf bytes.Buffer
	w, err := NewParquetWriter(&buf, sinkSpec("PARQUET", cols))
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Write(b.Take()), w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewParquetReader(context.Background(), bytes.NewReader(data), sourceSpec("PLAIN", "PARQUET", cols...), 0)
		if err != nil {
			return
		}
		defer r.Close()
		rows := NewRows(typesOf(cols))
		for range 4 {
			if r.Read(&Record{}, rows, func(int64, error) {}) != nil {
				break
			}
		}
	})
}
