package message

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestOutage: a message whose schema cannot be fetched just now is no message that does not decode. Add leaves it to be added again,
// AddWaiting waits until it can be.
func TestOutage(t *testing.T) {
	var down atomic.Int64
	reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/schemas/ids/7" && down.Add(-1) >= 0 {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"id":7,"version":1,"schema":"{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}"}`))
	}))
	defer reg.Close()
	spec := &connector.SourceSpec{Name: "s", Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}}, Cols: []int{0}, Settings: sqlio.DefaultSettings(),
		Connector: catalog.Connector{Format: "PLAIN", Encode: "AVRO", Options: map[string]string{"topic": "t"}, FormatOptions: map[string]string{"schema.registry": reg.URL}}}
	b, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	rec := &codec.Record{Value: []byte{0, 0, 0, 0, 7, 4}} // id 2
	down.Store(100)
	if err := b.Add(rec, "1"); !codec.IsOutage(err) || b.Len() != 0 {
		t.Fatalf("Add during an outage: %v, %d messages", err, b.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.AddWaiting(ctx, rec, "1"); !errors.Is(err, context.Canceled) || b.Len() != 0 {
		t.Fatalf("AddWaiting that is cut off: %v, %d messages", err, b.Len())
	}
	down.Store(1)
	if err := b.AddWaiting(t.Context(), rec, "1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(&codec.Record{Value: []byte("rubbish")}, "2"); err != nil {
		t.Fatalf("Add of a message that does not decode: %v", err)
	}
	got := b.Take(nil)
	if got.Chunk.Len() != 1 || got.Chunk.Cols[0].Ints[0] != 2 || len(got.Errors) != 1 || got.Errors[0].Offset != "2" {
		t.Errorf("%d rows, errors %v", got.Chunk.Len(), got.Errors)
	}
}
