package nexmark

import (
	"context"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
)

func benchReader(b *testing.B, recycle bool, cols []int, options map[string]string) {
	options["nexmark.min.event.gap.in.ns"] = "0"
	options["nexmark.event.rate"] = "1000000"
	options["nexmark.split.num"] = "1"
	spec := &connector.SourceSpec{Connector: catalog.Connector{Name: "nexmark", Options: options}, Cols: cols}
	r, err := Source{}.Open(context.Background(), spec, []connector.SplitOffset{{Split: "0/1"}})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	events := 0
	for b.Loop() {
		batch, err := r.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		events += blockEvents
		if batch.Chunk.Rows == 0 {
			b.Fatal("empty batch")
		}
		if recycle {
			r.(connector.Recycler).Recycle(batch)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func BenchmarkCombined(b *testing.B)         { benchReader(b, false, upTo(26), map[string]string{}) }
func BenchmarkCombinedRecycled(b *testing.B) { benchReader(b, true, upTo(26), map[string]string{}) }
func BenchmarkBidRecycled(b *testing.B) {
	benchReader(b, true, upTo(7), map[string]string{"nexmark.table.type": "Bid"})
}
func BenchmarkBid(b *testing.B) {
	benchReader(b, false, upTo(7), map[string]string{"nexmark.table.type": "Bid"})
}
func BenchmarkBidQ1Cols(b *testing.B) {
	benchReader(b, false, []int{0, 1, 2, 5, 6}, map[string]string{"nexmark.table.type": "Bid"})
}
func BenchmarkBidOneCol(b *testing.B) {
	benchReader(b, false, []int{2}, map[string]string{"nexmark.table.type": "Bid", "nexmark.generate.all": "false"})
}
