package codec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// debeziumSchema is an event's schema as Kafka Connect's JsonConverter writes it.
const debeziumSchema = `{"type":"struct","fields":[{"type":"struct","fields":[` + debeziumFields + `],"optional":true,"name":"shop.Value","field":"before"},
	{"type":"struct","fields":[` + debeziumFields + `],"optional":true,"name":"shop.Value","field":"after"},{"type":"string","optional":false,"field":"op"}],"optional":false,"name":"shop.Envelope"}`

const debeziumFields = `{"type":"int32","optional":false,"field":"id"},{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},
	{"type":"struct","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}],"name":"io.debezium.data.VariableScaleDecimal","version":1,"field":"any"},
	{"type":"int32","name":"io.debezium.time.Date","version":1,"field":"day"},{"type":"int64","name":"io.debezium.time.MicroTime","version":1,"field":"t"},
	{"type":"int64","name":"io.debezium.time.Timestamp","version":1,"field":"ms"},{"type":"int64","name":"io.debezium.time.MicroTimestamp","version":1,"field":"us"},
	{"type":"int64","name":"io.debezium.time.NanoTimestamp","version":1,"field":"ns"},{"type":"string","name":"io.debezium.time.ZonedTimestamp","version":1,"field":"z"},
	{"type":"int64","name":"io.debezium.time.MicroDuration","version":1,"field":"span"},{"type":"string","name":"io.debezium.data.Json","version":1,"field":"doc"},
	{"type":"bytes","field":"raw"}`

// TestDebeziumBySchema reads values by the schema that comes with them; without it the numbers below would be other times.
func TestDebeziumBySchema(t *testing.T) {
	spec := sourceSpec("DEBEZIUM", "JSON", col("id", sqltypes.Int4), col("price", sqltypes.Numeric), col("any", sqltypes.Numeric), col("day", sqltypes.Date), col("t", sqltypes.Time),
		col("ms", sqltypes.Timestamp), col("us", sqltypes.Timestamp), col("ns", sqltypes.Timestamptz), col("z", sqltypes.Timestamptz), col("span", sqltypes.IntervalT),
		col("doc", sqltypes.JSONB), col("raw", sqltypes.Bytea))
	spec.PrimaryKey = []int{0}
	event := func(row string) Record {
		return Record{Value: fmt.Appendf(nil, `{"schema":%s,"payload":{"before":null,"after":%s,"source":{},"op":"c","ts_ms":1,"transaction":{"id":"1","total_order":1,"data_collection_order":1}}}`, debeziumSchema, row)}
	}
	row := `{"id":1,"price":"/tw=","any":{"scale":3,"value":"AQ=="},"day":1,"t":1500000,"ms":1500,"us":1500,"ns":1500,"z":"1970-01-01T02:00:00+02:00","span":1500000,"doc":"{\"a\": 1}","raw":"AQI="}`
	got := decodeAll(t, spec, event(row), event(strings.Replace(row, `"/tw="`, `null`, 1)), event(strings.Replace(row, `"/tw="`, `"?"`, 1)))
	want := `-2.92|0.001|1970-01-02|00:00:01.5|1970-01-01 00:00:01.5|1970-01-01 00:00:00.0015|1970-01-01 00:00:00.000001+00|1970-01-01 00:00:00+00|00:00:01.5|{"a": 1}|\x0102`
	check(t, got, []string{"1|" + want, "1|NULL" + want[strings.IndexByte(want, '|'):],
		`error: decode column "price": invalid input syntax for type numeric: "?" (SQLSTATE 22P02)`})
	// Without a schema, after one with: numbers are guessed, decimals are what the column says.
	spec.Connector.FormatOptions["decimal.handling.mode"] = "precise"
	spec.Columns[1].Type = sqltypes.Numeric.WithTypmod(10<<16 | 3 + 4)
	got = decodeAll(t, spec, event(row), Record{Value: []byte(`{"before":null,"after":{"id":2,"price":"/tw=","any":{"scale":1,"value":"Bw=="},"us":1700000000000000,"doc":"[1]"},"op":"u"}`)}, event(row))
	check(t, got, []string{"1|" + strings.Replace(want, "-2.92", "-2.920", 1), `2|-0.292|0.7|NULL|NULL|NULL|2023-11-14 22:13:20|NULL|NULL|NULL|[1]|NULL`, "1|" + strings.Replace(want, "-2.92", "-2.920", 1)})
}

// TestDebeziumUnavailable: a value that the database did not send is kept, which the control column says; in every form that Debezium has for it.
func TestDebeziumUnavailable(t *testing.T) {
	spec := sourceSpec("DEBEZIUM", "JSON", col("id", sqltypes.Int4), col("name", sqltypes.Text), col("raw", sqltypes.Bytea), col("doc", sqltypes.JSONB),
		col("tags", sqltypes.ArrayOf(sqltypes.Text)), col("nums", sqltypes.ArrayOf(sqltypes.Int4)), col("n", sqltypes.Numeric))
	spec.PrimaryKey = []int{0}
	event := func(op, row string) Record {
		return Record{Value: fmt.Appendf(nil, `{"before":null,"after":%s,"op":%q}`, row, op)}
	}
	const gone = `"__debezium_unavailable_value"`
	numbers := strings.ReplaceAll(strings.Trim(fmt.Sprint([]byte(unavailable)), "[]"), " ", ",")
	all := `{"id":1,"name":` + gone + `,"raw":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","doc":` + gone + `,"tags":[` + gone + `],"nums":[` + numbers + `],"n":` + gone + `}`
	got := decodeAll(t, spec, event("u", all), event("u", `{"id":2,"name":"x","raw":"AQI=","doc":"{}","tags":["a"],"nums":[95],"n":"1"}`),
		event("u", `{"id":3,"name":`+gone+`,"name":"y"}`), event("c", all), event("u", `{"id":`+gone+`}`), event("u", `{"id":4,"name":"__debezium_unavailable_value2"}`))
	check(t, got, []string{`1|NULL|NULL|NULL|NULL|NULL|NULL|\x6b7e`, `2|x|\x0102|{}|{a}|{95}|1`, `3|y|NULL|NULL|NULL|NULL|NULL|\x6b00`,
		`error: change event with op "c" has a value that the database did not send (SQLSTATE 22P02)`,
		`error: record has no value for a column of the primary key (SQLSTATE 23502)`, `4|__debezium_unavailable_value2|NULL|NULL|NULL|NULL|NULL`})
	// In one chunk with whole rows, which have NULL there; a bad record in between leaves nothing.
	d, _, err := NewDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	rows := NewRows([]sqltypes.Type{sqltypes.Int4, sqltypes.Text, sqltypes.Bytea, sqltypes.JSONB, sqltypes.ArrayOf(sqltypes.Text), sqltypes.ArrayOf(sqltypes.Int4), sqltypes.Numeric})
	for _, r := range []Record{event("u", `{"id":1}`), event("u", `{"id":2,"name":`+gone+`,"n":"?"}`), event("u", `{"id":3,"doc":`+gone+`}`), event("u", `{"id":4}`)} {
		_ = d.Decode(&r, rows)
	}
	c := rows.Take()
	check(t, printRows(c), []string{"1|NULL|NULL|NULL|NULL|NULL|NULL|NULL", `3|NULL|NULL|NULL|NULL|NULL|NULL|\x6b08`, "4|NULL|NULL|NULL|NULL|NULL|NULL|NULL"})
}

func TestCanal(t *testing.T) {
	spec := sourceSpec("CANAL", "JSON", col("id", sqltypes.Int4), col("name", sqltypes.Text), col("price", sqltypes.Numeric), col("ok", sqltypes.Bool),
		col("at", sqltypes.Timestamp), col("doc", sqltypes.JSONB), col("raw", sqltypes.Bytea))
	spec.PrimaryKey = []int{0}
	cases := []struct {
		name, message string
		want          []string
	}{
		{"insert of two rows", `{"data":[{"id":"1","name":"a","price":"1.50","ok":"1","at":"2024-01-02 03:04:05","doc":"{\"k\": [1]}","raw":"\u0000\u00ff"},{"id":"2","name":null}],
			"database":"shop","es":1589373560000,"id":9,"isDdl":false,"mysqlType":{"id":"INTEGER"},"old":null,"pkNames":["id"],"sql":"","sqlType":{"id":4},"table":"t","ts":1,"type":"INSERT"}`,
			[]string{`1|a|1.50|t|2024-01-02 03:04:05|{"k": [1]}|\x00ff`, "2|NULL|NULL|NULL|NULL|NULL|NULL"}},
		{"update", `{"type":"UPDATE","isDdl":false,"data":[{"id":"1","name":"b"}],"old":[{"name":"a"}]}`, []string{"1|b|NULL|NULL|NULL|NULL|NULL"}},
		{"update of the key", `{"type":"UPDATE","data":[{"id":"5","name":"b"},{"id":"6","name":"c"}],"old":[{"id":"1"},{"name":"x"}]}`,
			[]string{"-1|NULL|NULL|NULL|NULL|NULL|NULL", "5|b|NULL|NULL|NULL|NULL|NULL", "6|c|NULL|NULL|NULL|NULL|NULL"}},
		{"delete", `{"type":"DELETE","data":[{"id":"5","name":"b"}],"old":null}`, []string{"-5|NULL|NULL|NULL|NULL|NULL|NULL"}},
		{"no date", `{"type":"INSERT","data":[{"id":"1","at":"0000-00-00 00:00:00"}]}`, []string{"1|NULL|NULL|NULL|NULL|NULL|NULL"}},
		{"DDL", `{"type":"ALTER","isDdl":true,"data":null,"sql":"ALTER TABLE t ADD c INT"}`, nil},
		{"watermark", `{"type":"TIDB_WATERMARK","data":null,"_tidb":{"watermarkTs":1}}`, nil},
		{"tombstone", ``, nil},
		{"no data", `{"type":"INSERT","data":null}`, []string{`error: change of type "INSERT" has no "data" (SQLSTATE 22P02)`}},
		{"lopsided", `{"type":"UPDATE","data":[{"id":"1"}],"old":[]}`, []string{`error: change has 1 rows in "data" and 0 in "old" (SQLSTATE 22P02)`}},
		{"no key", `{"type":"INSERT","data":[{"id":"1"},{"name":"x"}]}`, []string{"error: record has no value for a column of the primary key (SQLSTATE 23502)"}},
		{"bad value", `{"type":"INSERT","data":[{"id":"x"}]}`, []string{`error: decode column "id": invalid input syntax for type integer: "x" (SQLSTATE 22P02)`}},
		{"not JSON", `{"type":`, []string{"error: invalid input syntax for type json (SQLSTATE 22P02)"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, decodeAll(t, spec, Record{Value: []byte(c.message)}), c.want) })
	}
}

func TestMaxwell(t *testing.T) {
	spec := sourceSpec("MAXWELL", "JSON", col("id", sqltypes.Int4), col("name", sqltypes.Text), col("at", sqltypes.Timestamp), col("doc", sqltypes.JSONB), col("raw", sqltypes.Bytea))
	spec.PrimaryKey = []int{0}
	cases := []struct {
		name, message string
		want          []string
	}{
		{"insert", `{"database":"d","table":"t","type":"insert","ts":1449786310,"xid":940752,"commit":true,"data":{"id":1,"name":"a","at":"2016-10-21 05:33:54.631000","doc":{"k":1},"raw":"AQI="}}`,
			[]string{`1|a|2016-10-21 05:33:54.631|{"k": 1}|\x0102`}},
		{"update", `{"type":"update","data":{"id":1,"name":"b"},"old":{"name":"a"}}`, []string{"1|b|NULL|NULL|NULL"}},
		{"update of the key", `{"type":"update","data":{"id":2,"name":"b"},"old":{"id":1}}`, []string{"-1|NULL|NULL|NULL|NULL", "2|b|NULL|NULL|NULL"}},
		{"delete", `{"type":"delete","data":{"id":1,"name":"b"}}`, []string{"-1|NULL|NULL|NULL|NULL"}},
		{"bootstrap", `{"type":"bootstrap-insert","data":{"id":3}}`, []string{"3|NULL|NULL|NULL|NULL"}},
		{"bootstrap ends", `{"type":"bootstrap-complete","data":{}}`, nil},
		{"table", `{"type":"table-alter","database":"d","table":"t","old":{},"def":{}}`, nil},
		{"unknown", `{"type":"upsert","data":{"id":3}}`, []string{`error: change has unknown type "upsert" (SQLSTATE 22P02)`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, decodeAll(t, spec, Record{Value: []byte(c.message)}), c.want) })
	}
}

// FuzzChanges: messages of Canal and Maxwell, and events with a schema, are read or refused.
func FuzzChanges(f *testing.F) {
	f.Add([]byte(`{"type":"UPDATE","data":[{"id":"5","v":"b"}],"old":[{"id":"1"}]}`))
	f.Add([]byte(`{"type":"update","data":{"id":2,"v":"b"},"old":{"id":1}}`))
	f.Add([]byte(`{"schema":` + debeziumSchema + `,"payload":{"after":{"id":1,"price":"AQ=="},"op":"c"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, format := range []string{"CANAL", "MAXWELL", "DEBEZIUM"} {
			spec := sourceSpec(format, "JSON", col("id", sqltypes.Int4), col("v", sqltypes.Bytea), col("price", sqltypes.Numeric), col("us", sqltypes.Timestamp))
			spec.PrimaryKey = []int{0}
			decodeAll(t, spec, Record{Value: b})
		}
	})
}

// TestFormatsThatChangeRows: the planner knows by the format alone what a decoder's rows are.
func TestFormatsThatChangeRows(t *testing.T) {
	for _, f := range formats {
		if c := (&catalog.Connector{Format: f.format}); c.ChangesRows() != f.upsert {
			t.Errorf("FORMAT %s ENCODE %s: the catalog says %v, the codec %v", f.format, f.encode, c.ChangesRows(), f.upsert)
		}
	}
}
