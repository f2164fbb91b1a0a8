package blackhole

import (
	"context"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
)

func spec() *connector.SinkSpec {
	return &connector.SinkSpec{
		Name: "b", Connector: catalog.Connector{Name: "blackhole", Options: map[string]string{"checksum": "true"}},
		Columns: conntest.SinkColumns(), AppendOnly: true,
	}
}

func TestContract(t *testing.T) { conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: spec()}) }

func TestChecksum(t *testing.T) {
	write := func(chunks ...*delta.Chunk) (int64, int64, uint64) {
		w, err := Sink{}.Open(context.Background(), spec())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			if err := w.Write(context.Background(), 1, c); err != nil {
				t.Fatal(err)
			}
		}
		return w.(*Writer).Counts()
	}
	rows, _, one := write(conntest.SinkRows(1, 2, 3))
	_, _, other := write(conntest.SinkRows(3), conntest.SinkRows(2, 1))
	if rows != 3 || one != other || one == 0 {
		t.Errorf("checksum depends on order or batches: %x, %x over %d rows", one, other, rows)
	}
	if _, _, c := write(conntest.SinkRows(1, 2, 4)); c == one {
		t.Error("another row has the same checksum")
	}
	rows, deletes, c := write(conntest.SinkRows(1, 2, 3, 9), conntest.SinkRows(9).Negate())
	if rows != 4 || deletes != 1 || c != one {
		t.Errorf("a row taken back leaves %d rows, %d deletes, checksum %x, want %x", rows, deletes, c, one)
	}
}
