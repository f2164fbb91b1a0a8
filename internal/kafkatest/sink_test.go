package kafkatest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestSinkExactlyOnce writes a topic's records into another one, over kills of the server and the broker: a
// reader of committed records sees each once.
func TestSinkExactlyOnce(t *testing.T) {
	t.Run("JSON", func(t *testing.T) {
		sinkExactlyOnce(t, "ENCODE JSON", func(b []byte) (v kept, err error) { return v, json.Unmarshal(b, &v) })
	})
	t.Run("AVRO", func(t *testing.T) {
		reg := srfake.New()
		defer reg.Close()
		schema := avro.MustParse(`{"type":"record","name":"kept","fields":[{"name":"id","type":["null","long"]},{"name":"twice","type":["null","long"]}]}`)
		sinkExactlyOnce(t, fmt.Sprintf("ENCODE AVRO (schema.registry = '%s')", reg.URL()), func(b []byte) (v kept, err error) {
			var row struct {
				ID    *int64 `avro:"id"`
				Twice *int64 `avro:"twice"`
			}
			if len(b) < 5 || binary.BigEndian.Uint32(b[1:]) != 1 {
				return v, fmt.Errorf("not of the registered schema")
			}
			if err = avro.Unmarshal(schema, b[5:], &row); err == nil {
				v.ID, v.Twice = *row.ID, *row.Twice
			}
			return v, err
		})
	})
}

// kept is a row of the target.
type kept struct{ ID, Twice int64 }

func sinkExactlyOnce(t *testing.T, encode string, read func([]byte) (kept, error)) {
	b := broker(t)
	rnd := seed(t)
	from, to := newTopic(t, b, 2), newTopic(t, b, 3)
	load := startLoad(t, b, from, 2)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", from))
	run(t, s, "CREATE SINK kept AS SELECT id, price * 2 AS twice FROM bids WHERE id % 4 = 1 "+with(b, to, "")+" FORMAT PLAIN "+encode)
	kills := *killsFlag / 2
	for i := range kills {
		time.Sleep(500*time.Millisecond + time.Duration(rnd.IntN(2000))*time.Millisecond) // the moment of the kill is the test
		if i == kills/2 {
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
		}
		s.Restart()
	}
	n := load.stop(t)
	want := (n + 2) / 4
	var ids map[int64]int
	eventually(t, 2*time.Minute, "all rows in the target", func() error {
		ids = map[int64]int{}
		for _, r := range consume(t, b, to) {
			v, err := read(r.Value)
			if err != nil {
				t.Fatalf("%q: %v", r.Value, err)
			}
			if v.Twice != v.ID%10007*2 {
				t.Errorf("wrong message %s", r.Value)
			}
			ids[v.ID]++
		}
		if len(ids) < want {
			return fmt.Errorf("%d of %d", len(ids), want)
		}
		return nil
	})
	twice := 0
	for id, times := range ids {
		if times != 1 || id%4 != 1 || id >= int64(n) {
			if twice++; twice < 10 {
				t.Errorf("id %d is there %d times", id, times)
			}
		}
	}
	if twice > 0 || len(ids) != want {
		t.Errorf("%d of %d rows are wrong; %d should be there", twice, len(ids), want)
	}
	t.Logf("%d records in, %d out, %d kills", n, len(ids), kills)
}

// TestSinkUpsert keeps a view in a topic as keys and tombstones; what a reader of the topic makes of them is
// the view.
func TestSinkUpsert(t *testing.T) {
	b := broker(t)
	from, to := newTopic(t, b, 2), newTopic(t, b, 2)
	s := harness.New(t)
	run(t, s, "CREATE TABLE people (id BIGINT PRIMARY KEY, city VARCHAR) "+with(b, from, "")+" FORMAT UPSERT ENCODE JSON")
	run(t, s, "CREATE MATERIALIZED VIEW cities AS SELECT city, count(*) AS n FROM people GROUP BY city")
	run(t, s, "CREATE SINK out FROM cities "+with(b, to, ", primary_key = 'city'")+" FORMAT UPSERT ENCODE JSON")
	for round := range 5 {
		recs := bids(from, 0, 60, 2)
		for id, r := range recs {
			r.Key, r.Value = fmt.Appendf(nil, `{"id":%d}`, id), fmt.Appendf(nil, `{"id":%d,"city":"c%d"}`, id, (id%10+round)%13)
			if (id+round)%7 == 0 {
				r.Value = nil
			}
		}
		produce(t, b, recs...)
		want := map[string]int64{}
		for id := range 60 {
			if (id+round)%7 != 0 {
				want[fmt.Sprintf("c%d", (id%10+round)%13)]++
			}
		}
		eventually(t, soon, "the view in the topic", func() error {
			got := map[string]int64{}
			for _, r := range consume(t, b, to) {
				var k, v struct {
					City string
					N    int64
				}
				if err := json.Unmarshal(r.Key, &k); err != nil {
					t.Fatalf("key %q: %v", r.Key, err)
				}
				if r.Value == nil {
					delete(got, k.City)
					continue
				}
				if err := json.Unmarshal(r.Value, &v); err != nil {
					t.Fatalf("value %q: %v", r.Value, err)
				}
				got[k.City] = v.N
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("the topic says %v, not %v", got, want)
			}
			return nil
		})
		if round%2 == 1 {
			s.Restart()
		}
	}
}
