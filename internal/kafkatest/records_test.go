package kafkatest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newTopic makes an empty topic named after the test.
func newTopic(t testing.TB, b *Broker, partitions int32) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), time.Now().UnixNano())
	createTopic(t, b, name, partitions)
	return name
}

func createTopic(t testing.TB, b *Broker, name string, partitions int32) {
	t.Helper()
	cl := client(t, b)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	awaitPartitions(t, cl, name, int(partitions))
}

// awaitPartitions waits until the broker knows what its controller has decided.
func awaitPartitions(t testing.TB, cl *kgo.Client, topic string, n int) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("%d partitions of topic %s", n, topic), func() error {
		topics, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
		if err == nil {
			err = topics.Error()
		}
		if err == nil && len(topics[topic].Partitions) != n {
			err = fmt.Errorf("it has %d", len(topics[topic].Partitions))
		}
		return err
	})
}

// eventually waits until check returns nil, and fails with what it said last.
func eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond) // the other side is a process that cannot call back
	}
}

// client returns a client that is closed with the test.
func client(t testing.TB, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.ProducerLinger(0)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes records and waits for all acknowledgements.
func produce(t testing.TB, b *Broker, recs ...*kgo.Record) {
	t.Helper()
	if err := client(t, b).ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// consume reads everything committed that a topic holds now.
func consume(t testing.TB, b *Broker, topic string) []*kgo.Record {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []*kgo.Record
	for len(left) > 0 {
		f := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read topic %s: %v; partitions with their ends left: %v", topic, err, left)
		}
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
	return out
}

// bid is a JSON bid like Nexmark's; its price and auction follow from its number.
func bid(n int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"auction":%d,"bidder":%d,"price":%d,"channel":"channel-%d","url":"https://www.nexmark.com/item.htm?query=1","date_time":"2024-07-15 00:00:%02d.%03d","extra":"%016x%016x"}`,
		n, n%97, 1000+n%1009, n%10007, n%10, n/1000%60, n%1000, uint64(n)*0x9e3779b97f4a7c15, uint64(n)*0xc2b2ae3d27d4eb4f)
}

// bids are the records from lo up to hi, round the partitions.
func bids(topic string, lo, hi int, partitions int32) []*kgo.Record {
	recs := make([]*kgo.Record, 0, hi-lo)
	for n := lo; n < hi; n++ {
		recs = append(recs, &kgo.Record{Topic: topic, Partition: int32(n) % partitions, Value: bid(n)})
	}
	return recs
}

// fill produces the bids from lo up to hi and waits for all acknowledgements.
func fill(t testing.TB, cl *kgo.Client, topic string, lo, hi int, partitions int32) {
	t.Helper()
	for ; lo < hi; lo += 50_000 {
		for _, r := range bids(topic, lo, min(lo+50_000, hi), partitions) {
			cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce: %v", err)
				}
			})
		}
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
