// Package message is what the connectors of message queues have in common: messages come one by one, are decoded into
// a batch of rows, and the position after them is known.
//
// The idea: a reader adds messages to a Batch as they come and takes the batch when nothing more waits or it is
// full. A message that does not decode is kept with its position; it does not end the batch. One that cannot be decoded just now, because its
// schema cannot be fetched, is another matter: the reader begins again before it, or waits with it.
//
// A Batch belongs to one goroutine. Start at New.
package message

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqltypes"
)

const (
	// maxBatchBytes ends a batch of large messages early.
	maxBatchBytes = 8 << 20
	// maxErrorData is how much of a message that did not decode is kept.
	maxErrorData = 4 << 10
)

// Split is the one split of a queue that has no parts.
const Split = "0"

// Batch collects the rows of messages.
type Batch struct {
	spec *connector.SourceSpec
	dec  codec.Decoder
	rows *codec.Rows
	errs []connector.RecordError
	n    int // messages
}

// New returns an empty batch.
func New(spec *connector.SourceSpec) (*Batch, error) {
	dec, _, err := codec.NewDecoder(spec)
	if err != nil {
		return nil, err
	}
	types := make([]sqltypes.Type, len(spec.Cols))
	for i, c := range spec.Cols {
		types[i] = spec.Columns[c].Type
	}
	return &Batch{spec: spec, dec: dec, rows: codec.NewRows(types)}, nil
}

// Check validates the format of spec, and says whether its rows are commands by key.
func Check(spec *connector.SourceSpec) (upsert bool, err error) { return codec.Check(spec) }

// CheckHeaders refuses ENCODE CSV with a header: a message has none.
func CheckHeaders(o *option.Set, spec *connector.SourceSpec) {
	if spec.Connector.Encode != "CSV" {
		return
	}
	if v := strings.ToLower(spec.Connector.FormatOptions["without_header"]); v != "true" && v != "t" && v != "1" {
		o.Fail("messages have no CSV header: use ENCODE CSV (without_header = 'true')")
	}
}

// Add decodes a message; position is where it stands, for people. The error is an outage (of a schema registry): the message
// is not added, and can be later.
func (b *Batch) Add(rec *codec.Record, position string) error {
	err := b.dec.Decode(rec, b.rows)
	if codec.IsOutage(err) {
		return fmt.Errorf("decode message %s: %w", position, err)
	}
	b.n++
	if err != nil {
		b.Refuse(rec.Value, position, err)
	}
	return nil
}

// Waits between attempts to decode a message during an outage.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 10 * time.Second
)

// AddWaiting is Add for a message that will not come again: it outlasts an outage, unless ctx ends.
func (b *Batch) AddWaiting(ctx context.Context, rec *codec.Record, position string) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := b.Add(rec, position)
		if err == nil {
			return nil
		}
		if b.spec.Logger != nil {
			b.spec.Logger.Warn("retry source", "source", b.spec.Name, "err", err, "wait", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Refuse notes a record that cannot be read.
func (b *Batch) Refuse(data []byte, position string, err error) {
	b.errs = append(b.errs, connector.RecordError{Split: Split, Offset: position, Err: err, Data: append([]byte(nil), data[:min(len(data), maxErrorData)]...)})
}

// Len returns how many messages have been added.
func (b *Batch) Len() int { return b.n }

// Full reports whether the batch has to be taken.
func (b *Batch) Full(most int) bool {
	return b.rows.Len() >= most || b.n >= 2*most || b.rows.Bytes() >= maxBatchBytes
}

// Take returns what was added since the last Take, with the position after it; nil: none.
func (b *Batch) Take(offset []byte) *connector.Batch {
	out := &connector.Batch{Chunk: b.rows.Take(), Errors: b.errs, EndOfTxn: true, Backlog: -1}
	if offset != nil {
		out.Offsets = []connector.SplitOffset{{Split: Split, Offset: offset}}
	}
	b.errs, b.n = nil, 0
	return out
}

// pgEpoch is 2000-01-01 UTC, in µs since 1970.
const pgEpoch = 946684800 * 1_000_000

// Timestamp converts a time as time.Time.UnixMicro gives it to that of a Record.
func Timestamp(unixMicro int64) int64 { return unixMicro - pgEpoch }
