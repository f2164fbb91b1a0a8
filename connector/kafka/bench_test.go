package kafka

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

const benchRecords = 400_000

// BenchmarkSource reads JSON bids from a broker in the same process, broker and client included.
func BenchmarkSource(b *testing.B) {
	_, addr := cluster(b)
	for lo := 0; lo < benchRecords; lo += 50_000 {
		var recs []*kgo.Record
		for i := lo; i < lo+50_000; i++ {
			recs = append(recs, &kgo.Record{Topic: "events", Partition: int32(i % 2), Value: fmt.Appendf(nil,
				`{"auction":%d,"bidder":1000101,"price":%d,"channel":"channel-1234","url":"https://www.nexmark.com/abc/def/ghij/item.htm?query=1&channel_id=1234567890","date_time":"2015-07-15 00:00:01.234","extra":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs"}`, i, i)})
		}
		produce(b, addr, recs...)
	}
	spec := sourceSpec(addr)
	spec.Columns, spec.Cols = nil, nil
	for i, c := range []string{"auction", "bidder", "price", "channel", "url", "date_time", "extra"} {
		t := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Int8, sqltypes.Varchar, sqltypes.Varchar, sqltypes.Timestamp, sqltypes.Varchar}[i]
		spec.Columns = append(spec.Columns, catalog.Column{Name: c, Type: t})
		spec.Cols = append(spec.Cols, i)
	}
	rows := 0
	for b.Loop() {
		r, err := Source{}.Open(context.Background(), spec, []connector.SplitOffset{{Split: "0"}, {Split: "1"}})
		if err != nil {
			b.Fatal(err)
		}
		for got := 0; got < benchRecords; {
			batch, err := r.Next(context.Background())
			if err != nil || len(batch.Errors) > 0 {
				b.Fatal(errors.Join(err, fmt.Errorf("%v", batch.Errors)))
			}
			if batch.Chunk != nil {
				got += batch.Chunk.Rows
				rows += batch.Chunk.Rows
			}
		}
		r.Close()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "records/s")
}
