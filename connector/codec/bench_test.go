package codec

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// bidJSON is a Nexmark bid of ordinary size: 274 bytes.
const bidJSON = `{"auction":1000100,"bidder":1000101,"price":1234567,"channel":"channel-1234","url":"https://www.nexmark.com/abc/def/ghij/item.htm?query=1&channel_id=1234567890","date_time":"2015-07-15 00:00:01.234","extra":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs"}`

var bidColumns = []catalog.Column{
	{Name: "auction", Type: sqltypes.Int8}, {Name: "bidder", Type: sqltypes.Int8}, {Name: "price", Type: sqltypes.Int8},
	{Name: "channel", Type: sqltypes.Varchar}, {Name: "url", Type: sqltypes.Varchar},
	{Name: "date_time", Type: sqltypes.Timestamp}, {Name: "extra", Type: sqltypes.Varchar},
}

func bidSpec() *connector.SourceSpec {
	return &connector.SourceSpec{
		Connector: catalog.Connector{Name: "test", Format: "PLAIN", Encode: "JSON"},
		Columns:   bidColumns, Cols: []int{0, 1, 2, 3, 4, 5, 6},
	}
}

func BenchmarkJSONBid(b *testing.B) { benchmarkDecode(b, bidSpec(), []byte(bidJSON)) }

func typesOf(cols []catalog.Column) []sqltypes.Type {
	var out []sqltypes.Type
	for _, c := range cols {
		out = append(out, c.Type)
	}
	return out
}

const bidAvro = `{"type":"record","name":"bid","fields":[{"name":"auction","type":"long"},{"name":"bidder","type":"long"},{"name":"price","type":"long"},
	{"name":"channel","type":"string"},{"name":"url","type":"string"},{"name":"date_time","type":{"type":"long","logicalType":"local-timestamp-millis"}},{"name":"extra","type":"string"}]}`

// bidAvroNullable is how generators from SQL tables write schemas: every field may be null.
var bidAvroNullable = strings.NewReplacer(`"type":"long"}`, `"type":["null","long"]}`, `"type":"string"}`, `"type":["null","string"]}`,
	`{"type":"long","logicalType":"local-timestamp-millis"}`, `["null",{"type":"long","logicalType":"local-timestamp-millis"}]`).Replace(bidAvro)

const bidProto = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Bid { int64 auction = 1; int64 bidder = 2; int64 price = 3;
	string channel = 4; string url = 5; google.protobuf.Timestamp date_time = 6; string extra = 7; }`

// bidValue is the bid of bidJSON.
func bidValue() map[string]any {
	var v map[string]any
	if err := json.Unmarshal([]byte(bidJSON), &v); err != nil {
		panic(err)
	}
	for _, k := range []string{"auction", "bidder", "price"} {
		v[k] = int64(v[k].(float64))
	}
	v["date_time"] = int64(1436918400234)
	return v
}

func BenchmarkAvroBid(b *testing.B) {
	for name, schema := range map[string]string{"plain": bidAvro, "nullable": bidAvroNullable} {
		b.Run(name, func(b *testing.B) {
			reg := fakeRegistry(b)
			id := register(b, reg, "t-value", schema)
			v := bidValue()
			if name == "nullable" {
				for k, x := range v {
					switch x.(type) {
					case string:
						v[k] = map[string]any{"string": x}
					case int64:
						v[k] = map[string]any{"long": x}
					}
				}
				v["date_time"] = map[string]any{"long.local-timestamp-millis": int64(1436918400234)}
			}
			parsed, err := avro.ParseWithCache(strings.ReplaceAll(schema, `,"logicalType":"local-timestamp-millis"`, ""), "", &avro.SchemaCache{})
			if err != nil {
				b.Fatal(err)
			}
			if name == "nullable" {
				v["date_time"] = map[string]any{"long": int64(1436918400234)}
			}
			benchmarkDecode(b, described(b, "PLAIN", "AVRO", reg.URL()), avroMessage(b, id, parsed, v))
		})
	}
}

func BenchmarkProtoBid(b *testing.B) {
	reg := fakeRegistry(b)
	id := registerProto(b, reg, "t-value", bidProto)
	spec := described(b, "PLAIN", "PROTOBUF", reg.URL())
	json := strings.Replace(bidJSON, "2015-07-15 00:00:01.234", "2015-07-15T00:00:01.234Z", 1)
	benchmarkDecode(b, spec, registered(id, nil, compileTest(b, bidProto).encode("Bid", json)))
}

// cpuTime is what the process has used of all cores.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkDecode reports records per second of CPU time, the collector's included: how many a core decodes, however busy
// the machine is.
func benchmarkDecode(b *testing.B, spec *connector.SourceSpec, message []byte) {
	d, _, err := NewDecoder(spec)
	if err != nil {
		b.Fatal(err)
	}
	rows := NewRows(typesOf(spec.Columns))
	rec := &Record{Value: message}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		if err := d.Decode(rec, rows); err != nil {
			b.Fatal(err)
		}
		if rows.Len() == delta.BatchRows {
			rows.Take()
		}
	}
	b.ReportMetric(float64(b.N)/(cpuTime(b)-start).Seconds(), "records/cpu-s")
}

// BenchmarkParquetBid writes files of bids, a million rows each.
func BenchmarkParquetBid(b *testing.B) {
	spec := &connector.SinkSpec{Name: "s", Columns: bidColumns, Settings: sqlio.DefaultSettings()}
	rng := rand.New(rand.NewPCG(1, 2))
	bld := delta.NewBuilder(typesOf(bidColumns))
	chunks := make([]*delta.Chunk, 256) // half a million bids, most of their texts different
	for n := range chunks {
		for i := range int64(delta.BatchRows) {
			channel, at := rng.IntN(4000), rng.IntN(100)
			bld.AppendDatums([]sqltypes.Datum{1000 + rng.Int64N(100_000), 2000 + rng.Int64N(100_000), 100 + rng.Int64N(10_000_000), fmt.Sprintf("channel-%d", channel),
				fmt.Sprintf("https://www.nexmark.com/%x/item.htm?query=1&channel_id=%d", rng.Uint64(), channel), 490233600000000 + 1000*(int64(n)*delta.BatchRows+i), fmt.Sprintf("%x", rng.Uint64()) + bidJSON[at:at+50]}, 1)
		}
		chunks[n] = bld.Take()
	}
	var w *ParquetWriter
	rows, size := 0, &counting{}
	for b.Loop() {
		if w == nil {
			var err error
			if w, err = NewParquetWriter(size, spec); err != nil {
				b.Fatal(err)
			}
		}
		c := chunks[rows/delta.BatchRows%len(chunks)]
		if err := w.Write(c); err != nil {
			b.Fatal(err)
		}
		if rows += c.Rows; rows%(1<<20) < c.Rows {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			w = nil
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size.n)/float64(rows), "bytes/row")
}

type counting struct{ n int64 }

func (c *counting) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }
