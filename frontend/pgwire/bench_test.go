package pgwire

import (
	"context"
	"io"
	"strconv"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// BenchmarkRows measures writing result rows of (bigint, text, integer), without the network.
func BenchmarkRows(b *testing.B) {
	bld := delta.NewBuilder([]sqltypes.Type{tInt8, tText, tInt4})
	for i := range delta.BatchRows {
		bld.AppendDatums([]sqltypes.Datum{int64(i) * 1_000_003, "name " + strconv.Itoa(i), int64(i)}, 1)
	}
	chunk := bld.Take()
	for _, f := range []struct {
		name string
		f    formats
	}{{"text", nil}, {"binary", formats{true, true, true}}} {
		b.Run(f.name, func(b *testing.B) {
			c := &conn{out: newWriter(io.Discard)}
			s := sqlio.DefaultSettings()
			b.ReportAllocs()
			for n := 0; n < b.N; n += delta.BatchRows {
				cur := cursor{chunk: chunk}
				if _, err := c.sendChunk(&cur, f.f, s, 1<<62); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPointQuery measures prepared executions over TCP, by as many clients as -cpu says times four.
func BenchmarkPointQuery(b *testing.B) {
	addr, _ := serveFake(b, newFakeBackend(), Options{})
	b.SetParallelism(2)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := connectPgx(b, dsn(addr, "root", "", "sslmode=disable")).PgConn()
		ctx := context.Background()
		if _, err := c.Prepare(ctx, "add", "add $1 $2", nil); err != nil {
			b.Error(err)
			return
		}
		args, code := [][]byte{{0, 0, 0, 1}, {0, 0, 0, 2}}, []int16{1}
		for pb.Next() {
			if r := c.ExecPrepared(ctx, "add", args, code, code).Read(); r.Err != nil {
				b.Error(r.Err)
				return
			}
		}
	})
}
