package codec

import (
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
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

func BenchmarkJSONBid(b *testing.B) {
	d, _, err := NewDecoder(bidSpec())
	if err != nil {
		b.Fatal(err)
	}
	rows := NewRows(typesOf(bidColumns))
	rec := &Record{Value: []byte(bidJSON)}
	b.SetBytes(int64(len(bidJSON)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(rec, rows); err != nil {
			b.Fatal(err)
		}
		if rows.Len() == delta.BatchRows {
			rows.Take()
		}
	}
}

func typesOf(cols []catalog.Column) []sqltypes.Type {
	var out []sqltypes.Type
	for _, c := range cols {
		out = append(out, c.Type)
	}
	return out
}
