package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

const (
	// maxBatchBytes ends a batch of large records early.
	maxBatchBytes = 8 << 20
	// maxErrorData is how much of a record that did not decode is kept.
	maxErrorData = 4 << 10
	// awayLimit is how long brokers may be unreachable before Next says so.
	awayLimit = 5 * time.Second
	// pollSlice is how often a waiting Next looks whether brokers are away.
	pollSlice = time.Second
)

// Reader implements connector.Reader and connector.Acker.
type Reader struct {
	config  *sourceConfig
	spec    *connector.SourceSpec
	client  *kgo.Client
	mon     monitor
	dec     codec.Decoder
	rows    *codec.Rows
	parts   map[int32]*partition
	order   []*partition
	started bool
	pending []*kgo.Record // fetched, not decoded yet
	outage  error         // why the first of them cannot be decoded now; the reader is of no more use
	rec     codec.Record
	log     *slog.Logger
	away    time.Duration                // awayLimit
	acks    chan []connector.SplitOffset // one slot: the newest offsets to commit; nil without a group
	stop    context.CancelFunc
	done    sync.WaitGroup
	once    sync.Once
}

// partition is the state of one split.
type partition struct {
	name   string
	number int32
	next   int64 // offset of the next record
	end    int64 // offset after the last stable record known
	moved  bool  // next is news to the engine
}

func columnTypes(spec *connector.SourceSpec) []sqltypes.Type {
	types := make([]sqltypes.Type, len(spec.Cols))
	for i, c := range spec.Cols {
		types[i] = spec.Columns[c].Type
	}
	return types
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	if !r.started { // announce the starts: a crash before the first record must not resolve them anew
		r.started = true
		if b := r.batch(); len(b.Offsets) > 0 {
			return b, nil
		}
	}
	if err := r.outage; err != nil { // what came before it has been handed over
		r.outage = nil
		return nil, err
	}
	for len(r.pending) == 0 {
		if err := r.poll(ctx); err != nil {
			return nil, err
		}
	}
	b := r.decode()
	if err := r.outage; err != nil && len(b.Offsets) == 0 {
		r.outage = nil
		return nil, err
	}
	return b, nil
}

// poll waits for records, for at most pollSlice.
func (r *Reader) poll(ctx context.Context) error {
	slice, cancel := context.WithTimeout(ctx, pollSlice)
	fetches := r.client.PollRecords(slice, r.spec.BatchRows())
	cancel()
	if err := ctx.Err(); err != nil && fetches.NumRecords() == 0 {
		return err
	}
	if fetches.IsClientClosed() {
		return errClosed
	}
	var failed error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		part := r.parts[p.Partition]
		if p.Err != nil {
			if failed == nil && !passing(p.Err) {
				failed = r.fetchError(part, p.Err)
			}
			return
		}
		if part == nil {
			return
		}
		part.end = max(part.end, p.LastStableOffset)
		if r.config.isolation == kgo.ReadUncommitted() {
			part.end = max(part.end, p.HighWatermark)
		}
		r.pending = append(r.pending, p.Records...)
	})
	if failed != nil {
		return failed
	}
	if len(r.pending) == 0 {
		if err := r.mon.away(r.away); err != nil {
			return r.config.explain("fetch records", err)
		}
	}
	return nil
}

// passing reports whether a fetch error goes away by itself: the end of a time slice, a leader that moves. A
// topic that is unknown is not among them, although it might be new.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	gone := errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
	return !gone && (kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err))
}

var errClosed = errors.New("read from Kafka: reader is closed")

func (r *Reader) fetchError(p *partition, err error) error {
	if p != nil && errors.Is(err, kerr.OffsetOutOfRange) {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "offset %d of partition %d of Kafka topic %q is gone",
			p.next, p.number, r.config.topic).WithCause(err)
	}
	var lost *kgo.ErrDataLoss
	if p != nil && errors.As(err, &lost) {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "Kafka has lost records of partition %d of topic %q from offset %d on",
			p.number, r.config.topic, lost.ResetTo).WithCause(err)
	}
	return r.config.explain(fmt.Sprintf("fetch from topic %q", r.config.topic), err)
}

// decode makes a batch of pending records.
func (r *Reader) decode() *connector.Batch {
	var errs []connector.RecordError
	var runs []connector.Run
	n := 0
	for ; n < len(r.pending); n++ {
		rec := r.pending[n]
		p := r.parts[rec.Partition]
		before := r.rows.Len()
		if err := r.dec.Decode(r.record(rec), r.rows); codec.IsOutage(err) {
			r.outage = fmt.Errorf("decode record at offset %d of partition %d: %w", rec.Offset, rec.Partition, err)
			break
		} else if err != nil {
			errs = append(errs, recordError(p, rec, err))
		}
		p.next, p.moved = rec.Offset+1, true
		if rows := r.rows.Len() - before; rows > 0 {
			if k := len(runs) - 1; k >= 0 && runs[k].Split == p.name {
				runs[k].Rows += rows
			} else {
				runs = append(runs, connector.Run{Split: p.name, Rows: rows})
			}
		}
		if n%64 == 63 && r.rows.Bytes() > maxBatchBytes {
			n++
			break
		}
	}
	rest := copy(r.pending, r.pending[n:])
	clear(r.pending[rest:]) // let go of the records
	r.pending = r.pending[:rest]
	b := r.batch()
	b.Chunk, b.Errors, b.Runs = r.rows.Take(), errs, runs
	return b
}

// epochDiff is from 1970 to 2000, in seconds.
const epochDiff = 946684800

func (r *Reader) record(rec *kgo.Record) *codec.Record {
	r.rec = codec.Record{
		Key: rec.Key, Value: rec.Value, Offset: rec.Offset, Partition: rec.Partition,
		Timestamp: rec.Timestamp.UnixMicro() - epochDiff*1_000_000, Headers: r.rec.Headers[:0],
	}
	for _, h := range rec.Headers {
		r.rec.Headers = append(r.rec.Headers, codec.Header{Name: h.Key, Value: h.Value})
	}
	return &r.rec
}

func recordError(p *partition, rec *kgo.Record, err error) connector.RecordError {
	data := rec.Value
	if data == nil {
		data = rec.Key
	}
	return connector.RecordError{
		Split: p.name, Offset: strconv.FormatInt(rec.Offset, 10), Err: err,
		Data: append([]byte(nil), data[:min(len(data), maxErrorData)]...),
	}
}

// batch makes a batch with the offsets that moved.
func (r *Reader) batch() *connector.Batch {
	b := &connector.Batch{EndOfTxn: true}
	for _, p := range r.order {
		if p.moved {
			p.moved = false
			b.Offsets = append(b.Offsets, connector.SplitOffset{Split: p.name, Offset: offset.Encode(p.next)})
			b.Lags = append(b.Lags, max(p.end-p.next, 0))
			b.Backlog += max(p.end-p.next, 0)
		}
	}
	return b
}

// startCommitter starts the goroutine that commits acknowledged offsets to the consumer group, if there is one.
func (r *Reader) startCommitter(adm *kadm.Client) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	if r.config.group == "" {
		return
	}
	r.acks = make(chan []connector.SplitOffset, 1)
	r.done.Add(1)
	go func() { // Close waits for it
		defer r.done.Done()
		for {
			select {
			case <-ctx.Done():
				return
			case offsets := <-r.acks:
				r.commit(ctx, adm, offsets)
			}
		}
	}()
}

func (r *Reader) commit(ctx context.Context, adm *kadm.Client, offsets []connector.SplitOffset) {
	var all kadm.Offsets
	for _, o := range offsets {
		part, err := strconv.ParseInt(o.Split, 10, 32)
		at, err2 := offset.One(o.Offset)
		if err == nil && err2 == nil {
			all.AddOffset(r.config.topic, int32(part), at, -1)
		}
	}
	if err := adm.CommitAllOffsets(ctx, r.config.group, all); err != nil && ctx.Err() == nil && r.log != nil {
		r.log.Warn("offsets not committed to the consumer group", "group", r.config.group, "err", err)
	}
}

// Ack implements connector.Acker. It never waits: offsets that were not committed yet are replaced by newer ones.
func (r *Reader) Ack(offsets []connector.SplitOffset) {
	if r.acks == nil {
		return
	}
	for {
		select {
		case r.acks <- offsets:
			return
		default:
		}
		select {
		case older := <-r.acks:
			offsets = merge(older, offsets)
		default:
		}
	}
}

// merge keeps the older offsets of splits that are not among the newer ones.
func merge(older, newer []connector.SplitOffset) []connector.SplitOffset {
	out := newer
	for _, o := range older {
		found := false
		for _, n := range newer {
			found = found || n.Split == o.Split
		}
		if !found {
			out = append(out[:len(out):len(out)], o)
		}
	}
	return out
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.once.Do(func() {
		r.stop()
		r.client.Close()
		r.done.Wait()
	})
	return nil
}
