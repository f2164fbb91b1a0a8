package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

// sinkConfig is the options of a sink.
type sinkConfig struct {
	connection
	mode        codec.Mode
	force       bool
	txnID       string
	autoCreate  bool
	compression kgo.CompressionCodec
	maxMessage  int32
	timeout     time.Duration
}

func parseSink(spec *connector.SinkSpec) (*sinkConfig, error) {
	o := option.New(option.Connector("kafka"), spec.Connector.Options)
	c := &sinkConfig{connection: parseConnection(o)}
	c.mode, c.force = codec.SinkMode(o, spec)
	instance := spec.Instance
	if instance == "" {
		instance = fmt.Sprintf("%s-%d", spec.Name, spec.ID)
	}
	c.txnID = o.String("transactional.id", "millrace-"+instance)
	c.autoCreate = o.Bool("properties.allow.auto.create.topics", false)
	switch o.Enum("properties.compression.codec", "none", "none", "gzip", "snappy", "lz4", "zstd") {
	case "gzip":
		c.compression = kgo.GzipCompression()
	case "snappy":
		c.compression = kgo.SnappyCompression()
	case "lz4":
		c.compression = kgo.Lz4Compression()
	case "zstd":
		c.compression = kgo.ZstdCompression()
	default:
		c.compression = kgo.NoCompression()
	}
	c.maxMessage = int32(o.Int("properties.batch.size", 1_000_000, 1<<10, 1<<30))
	c.timeout = o.Duration("properties.transaction.timeout.ms", time.Minute, time.Second, 15*time.Minute, time.Millisecond)
	o.Ignore("properties.message.timeout.ms")
	return c, o.Done()
}

// Validate implements connector.Sink.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	c, err := parseSink(spec)
	if err != nil {
		return err
	}
	if _, err := codec.NewMessages(spec, c.mode, c.force); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cl, err := c.client(&monitor{})
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = c.partitions(ctx, kadm.NewClient(cl))
	var se *sqlerr.Error
	if c.autoCreate && errors.As(err, &se) && se.Code == sqlerr.UndefinedObject {
		return nil
	}
	return err
}

// Open implements connector.Sink. Taking the transactional id fences off an older writer, whose open
// transaction is aborted; one that it was committing is awaited.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c}
	if w.messages, err = codec.NewMessages(spec, c.mode, c.force); err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.TransactionalID(c.txnID),
		kgo.TransactionTimeout(c.timeout),
		// The marker is sent by our own request, which must follow the transaction protocol that the client
		// uses itself: the one before KIP-890, which all brokers speak.
		kgo.MaxVersions(kversion.V3_8_0()),
		kgo.DefaultProduceTopic(c.topic),
		kgo.ProducerBatchCompression(c.compression),
		kgo.ProducerBatchMaxBytes(c.maxMessage),
		kgo.RecordDeliveryTimeout(c.timeout),
		kgo.MaxBufferedRecords(100_000),
		kgo.MaxBufferedBytes(64 << 20),
	}
	if c.autoCreate {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	if w.client, err = c.client(&w.mon, opts...); err != nil {
		return nil, err
	}
	if _, _, err := w.client.ProducerID(ctx); err != nil {
		w.client.Close()
		return nil, c.explain("begin as a transactional producer", err)
	}
	return w, nil
}

// Writer implements connector.Writer.
//
// The marker is an offset of the consumer group named like the transactional id, for partition 0 of the topic:
// the epoch's number, committed in the epoch's own transaction. Epochs without messages leave none. A broker
// forgets it after offsets.retention.minutes without a commit (seven days by default); then Committed cannot
// tell, and an epoch that was being committed when the server died that long ago is delivered twice.
type Writer struct {
	config   *sinkConfig
	client   *kgo.Client
	mon      monitor
	messages *codec.Messages
	open     atomic.Bool // a transaction is open; Close looks, too
	epoch    uint64      // of the open transaction
	failed   struct {
		sync.Mutex
		err error // the first message that was refused
	}
	once sync.Once
}

// Committed implements connector.Writer.
func (w *Writer) Committed(ctx context.Context) (epoch uint64, ok bool, err error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = w.config.txnID
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = w.config.topic, []int32{0}
	req.Topics = append(req.Topics, topic)
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = w.config.txnID
	groupTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	groupTopic.Topic, groupTopic.Partitions = w.config.topic, []int32{0}
	group.Topics = append(group.Topics, groupTopic)
	req.Groups = append(req.Groups, group)
	req.RequireStable = true
	for attempt := 0; ; attempt++ {
		resp, err := req.RequestWith(ctx, w.client)
		offset := int64(-1)
		if err == nil {
			var code int16
			offset, code = markerOf(resp, w.config.topic)
			err = kerr.ErrorForCode(code)
		}
		// A cluster's first use of a group makes its coordinator, which takes a moment.
		if kerr.IsRetriable(err) && attempt < 50 {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return 0, false, err
			}
			continue
		}
		if errors.Is(err, kerr.GroupIDNotFound) || err == nil && offset < 0 {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, w.config.explain("read the sink's epoch", err)
		}
		return uint64(offset), true, nil
	}
}

// markerOf finds the offset of partition 0 in either shape of the answer, −1 for none.
func markerOf(resp *kmsg.OffsetFetchResponse, topic string) (offset int64, code int16) {
	if resp.ErrorCode != 0 {
		return -1, resp.ErrorCode
	}
	for _, g := range resp.Groups {
		if g.ErrorCode != 0 {
			return -1, g.ErrorCode
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic {
					return p.Offset, p.ErrorCode
				}
			}
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if t.Topic == topic {
				return p.Offset, p.ErrorCode
			}
		}
	}
	return -1, 0
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	if w.open.Load() && w.epoch != epoch {
		return fmt.Errorf("write epoch %d to topic %q: epoch %d was not committed", epoch, w.config.topic, w.epoch)
	}
	err := w.messages.Each(c, func(key, value []byte) error {
		if !w.open.Load() {
			if err := w.client.BeginTransaction(); err != nil {
				return err
			}
			w.epoch = epoch
			w.open.Store(true)
		}
		w.client.Produce(ctx, &kgo.Record{Key: key, Value: value}, w.produced)
		return nil
	})
	if err != nil {
		return w.config.explain("begin a transaction", err)
	}
	return w.refused()
}

// produced is called by the client's goroutines.
func (w *Writer) produced(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	w.failed.Lock()
	defer w.failed.Unlock()
	if w.failed.err == nil {
		w.failed.err = err
	}
}

func (w *Writer) refused() error {
	w.failed.Lock()
	defer w.failed.Unlock()
	return w.config.explain(fmt.Sprintf("write to topic %q", w.config.topic), w.failed.err)
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	if !w.open.Load() {
		return nil
	}
	if err := w.client.Flush(ctx); err != nil {
		return w.config.explain("flush messages", err)
	}
	if err := w.refused(); err != nil {
		return err
	}
	if err := w.mark(ctx, epoch); err != nil {
		return w.config.explain(fmt.Sprintf("mark epoch %d", epoch), err)
	}
	if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return w.config.explain(fmt.Sprintf("commit epoch %d", epoch), err)
	}
	w.open.Store(false)
	return nil
}

// mark adds the epoch's number to the open transaction.
func (w *Writer) mark(ctx context.Context, epoch uint64) error {
	id, producerEpoch, err := w.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = w.config.txnID, id, producerEpoch, w.config.txnID
	if err := retry(ctx, func() error {
		resp, err := add.RequestWith(ctx, w.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	}); err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = w.config.txnID, w.config.txnID
	req.ProducerID, req.ProducerEpoch, req.Generation = id, producerEpoch, -1
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset, part.Metadata = int64(epoch), kmsg.StringPtr("epoch of the Millrace sink "+strings.TrimPrefix(w.config.txnID, "millrace-"))
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = w.config.topic
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return retry(ctx, func() error {
		resp, err := req.RequestWith(ctx, w.client)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// retry repeats a request while the coordinator is busy with the transaction before.
func retry(ctx context.Context, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if attempt >= 50 || !kerr.IsRetriable(err) && !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// Close implements connector.Writer. An open transaction is aborted.
func (w *Writer) Close() error {
	w.once.Do(func() {
		if w.open.Load() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if w.client.AbortBufferedRecords(ctx) == nil {
				// A lost abort costs nothing: the next writer's producer id, or the time-out, does it.
				_ = w.client.EndTransaction(ctx, kgo.TryAbort)
			}
		}
		w.client.Close()
	})
	return nil
}
