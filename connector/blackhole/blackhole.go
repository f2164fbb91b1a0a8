// Package blackhole is a sink that throws rows away, for measuring what comes before it.
//
// The idea: rows are counted, and with the option checksum each row is hashed, so that a measurement can prove
// that all columns were really computed. Hashes are added up, times the rows' weights: the sum does not depend
// on the order of rows or the size of batches, and a row that was taken back leaves nothing.
//
// A Writer belongs to one goroutine; Counts may be called by any.
//
// It remembers nothing across restarts. Start at Sink.
package blackhole

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Sink implements connector.Sink.
type Sink struct{}

func parse(spec *connector.SinkSpec) (checksum bool, err error) {
	o := option.New(option.Connector("blackhole"), spec.Connector.Options)
	checksum = o.Bool("checksum", false)
	o.Enum("type", "upsert", string(codec.AppendOnly), string(codec.Upsert), string(codec.Debezium))
	o.Ignore("primary_key", "force_append_only")
	return checksum, o.Done()
}

// Validate implements connector.Sink.
func (Sink) Validate(_ context.Context, spec *connector.SinkSpec) error {
	_, err := parse(spec)
	return err
}

// Open implements connector.Sink.
func (Sink) Open(_ context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	checksum, err := parse(spec)
	if err != nil {
		return nil, err
	}
	return &Writer{checksum: checksum, settings: sqlio.DefaultSettings(), log: spec.Logger, name: spec.Name}, nil
}

// Writer implements connector.Writer.
type Writer struct {
	checksum bool
	settings *sqlio.Settings
	log      *slog.Logger
	name     string
	rows     atomic.Int64
	deletes  atomic.Int64
	sum      atomic.Uint64
	hashes   []uint64
	buf      []byte
}

// Counts returns how many inserted and deleted rows came, and the checksum, 0 without the option.
func (w *Writer) Counts() (inserts, deletes int64, checksum uint64) {
	return w.rows.Load(), w.deletes.Load(), w.sum.Load()
}

// Committed implements connector.Writer: there is nothing to ask.
func (w *Writer) Committed(context.Context) (uint64, bool, error) { return 0, false, nil }

// Write implements connector.Writer.
func (w *Writer) Write(_ context.Context, _ uint64, c *delta.Chunk) error {
	if c.Weights == nil {
		w.rows.Add(int64(c.Len()))
	} else {
		for k := range c.Len() {
			if n := c.Weight(c.Row(k)); n > 0 {
				w.rows.Add(n)
			} else {
				w.deletes.Add(-n)
			}
		}
	}
	if w.checksum {
		w.sum.Add(w.hash(c))
	}
	return nil
}

// hash adds up the hashes of the rows that count, column by column.
func (w *Writer) hash(c *delta.Chunk) uint64 {
	w.hashes = append(w.hashes[:0], make([]uint64, c.Len())...)
	for _, v := range c.Cols {
		for k := range w.hashes {
			w.hashes[k] = mix(w.hashes[k]*31 + w.value(v, c.Row(k)))
		}
	}
	sum := uint64(0)
	for k, h := range w.hashes {
		sum += h * uint64(c.Weight(c.Row(k)))
	}
	return sum
}

// value hashes one value exactly.
func (w *Writer) value(v *delta.Vec, i int) uint64 {
	if v.IsNull(i) {
		return 0x6e756c6c
	}
	switch v.Type.Phys() {
	case sqltypes.PhysInt64:
		return mix(uint64(v.Ints[i]))
	case sqltypes.PhysFloat64:
		return mix(math.Float64bits(v.Floats[i]))
	case sqltypes.PhysBytes:
		return xxhash.Sum64(v.Bytes(i))
	case sqltypes.PhysBool:
		if v.Bools[i] {
			return 2
		}
		return 1
	}
	w.buf = sqlio.AppendText(w.buf[:0], v, i, w.settings)
	return xxhash.Sum64(w.buf)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Commit implements connector.Writer.
func (w *Writer) Commit(context.Context, uint64) error { return nil }

// Close implements connector.Writer.
func (w *Writer) Close() error {
	if w.log != nil {
		inserts, deletes, sum := w.Counts()
		w.log.Info("blackhole closed", "sink", w.name, "inserts", inserts, "deletes", deletes, "checksum", sum)
	}
	return nil
}
