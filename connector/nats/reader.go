package nats

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	// ahead is how many messages the client may hold that were not decoded yet.
	ahead = 4096
	// forget is how long the server keeps a consumer whose reader has gone, forgetDurable one that has a name.
	forget        = time.Minute
	forgetDurable = time.Hour
	// catchUpEach is how often a reader that waits looks whether the stream has moved on without messages for it.
	catchUpEach = 5 * time.Second
	heartbeat   = 2 * time.Second
)

// Reader implements connector.Reader and connector.Acker.
type Reader struct {
	config   *sourceConfig
	spec     *connector.SourceSpec
	log      *slog.Logger
	conn     *nats.Conn
	stream   jetstream.Stream
	consumer jetstream.Consumer
	consume  jetstream.ConsumeContext
	batch    *message.Batch
	at       position
	started  bool
	whole    bool // every message of the stream is for this reader: a gap is a gap
	rec      codec.Record
	messages chan jetstream.Msg
	failed   chan error // capacity 1: the first failure
	closed   chan struct{}
	once     sync.Once
	acks     struct {
		sync.Mutex
		open []unacked
	}
}

// unacked is a message that the server wants to know about once it is durable here.
type unacked struct {
	seq uint64
	msg jetstream.Msg
}

func newReader(c *sourceConfig, spec *connector.SourceSpec) *Reader {
	log := spec.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reader{config: c, spec: spec, log: log, messages: make(chan jetstream.Msg, ahead), failed: make(chan error, 1), closed: make(chan struct{})}
}

var errClosed = errors.New("read from NATS: reader is closed")

// fail ends the reader with its first failure.
func (r *Reader) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// start connects, finds the position and makes the consumer.
func (r *Reader) start(ctx context.Context, saved []byte) (err error) {
	c := r.config
	r.conn, err = c.dial("millrace "+r.spec.Name, func(err error) {
		if err == nil {
			err = nats.ErrDisconnected
		}
		r.fail(err)
	})
	if err != nil {
		return err
	}
	var info *jetstream.StreamInfo
	if r.stream, info, err = c.lookUp(ctx, r.conn); err != nil {
		return err
	}
	if err := c.checkStream(info); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	if r.at, err = c.startAt(ctx, r.stream, info, saved); err != nil {
		return err
	}
	r.whole = len(info.Config.Subjects) == 1 && len(c.subjects) == 1 && (c.subjects[0] == info.Config.Subjects[0] || c.subjects[0] == ">") &&
		info.Config.MaxMsgsPerSubject <= 0 && len(info.Config.Sources) == 0 && info.Config.Mirror == nil
	if c.durable != "" {
		// A consumer cannot be moved: the one of an earlier reader goes.
		if err := r.stream.DeleteConsumer(ctx, c.durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return c.explain("delete the consumer of an earlier reader", err)
		}
	}
	cfg := jetstream.ConsumerConfig{Durable: c.durable, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.at.next,
		AckPolicy: c.ack, FilterSubjects: c.subjects, MemoryStorage: true, Replicas: 1, InactiveThreshold: forget, Description: "millrace " + r.spec.Name}
	if c.durable != "" {
		cfg.InactiveThreshold = forgetDurable
	}
	if c.ack != jetstream.AckNonePolicy {
		// Acknowledgements come with checkpoints: far behind, and many at once.
		cfg.MaxAckPending, cfg.AckWait = -1, c.ackWait
	}
	if r.consumer, err = r.stream.CreateConsumer(ctx, cfg); err != nil {
		return c.explain("make a consumer of stream "+strconv.Quote(c.stream), err)
	}
	r.consume, err = r.consumer.Consume(func(m jetstream.Msg) {
		select {
		case r.messages <- m:
		case <-r.closed:
		}
	}, jetstream.PullMaxMessages(ahead/2), jetstream.PullHeartbeat(heartbeat), jetstream.PullExpiry(30*time.Second), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		if !errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
			r.fail(err)
		}
	}))
	return c.explain("read from stream "+strconv.Quote(c.stream), err)
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	if !r.started { // a crash before the first message must not look for the start anew
		r.started = true
		return r.batch.Take(r.at.encode()), nil
	}
	idle := time.NewTicker(catchUpEach)
	defer idle.Stop()
	for {
		select { // what was delivered goes before the end of the connection
		case m := <-r.messages:
			return r.fill(ctx, m)
		default:
		}
		select {
		case m := <-r.messages:
			return r.fill(ctx, m)
		case err := <-r.failed:
			return nil, r.config.explain("read from stream "+strconv.Quote(r.config.stream), err)
		case <-r.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-idle.C:
			if b, err := r.catchUp(ctx); b != nil || err != nil {
				return b, err
			}
		}
	}
}

// fill makes a batch of a message and those that wait behind it.
func (r *Reader) fill(ctx context.Context, m jetstream.Msg) (*connector.Batch, error) {
	most, backlog := r.spec.BatchRows(), int64(0)
	for {
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		if seq := meta.Sequence.Stream; seq >= r.at.next { // an earlier one was delivered again
			if seq > r.at.next {
				if err := r.gap(ctx, seq); err != nil {
					return nil, err
				}
			}
			if err := r.batch.Add(r.record(m, meta), strconv.FormatUint(seq, 10)); err != nil {
				return nil, err // the next reader begins behind the last batch
			}
			r.at.next, backlog = seq+1, int64(meta.NumPending)
			if r.config.ack != jetstream.AckNonePolicy {
				r.acks.Lock()
				r.acks.open = append(r.acks.open, unacked{seq, m})
				r.acks.Unlock()
			}
		}
		if r.batch.Full(most) {
			break
		}
		select {
		case m = <-r.messages:
			continue
		default:
		}
		break
	}
	b := r.batch.Take(r.at.encode())
	b.Backlog = backlog
	return b, nil
}

func (r *Reader) record(m jetstream.Msg, meta *jetstream.MsgMetadata) *codec.Record {
	r.rec = codec.Record{Key: []byte(m.Subject()), Value: m.Data(), Offset: int64(meta.Sequence.Stream),
		Timestamp: message.Timestamp(meta.Timestamp.UnixMicro()), Headers: r.rec.Headers[:0]}
	if r.rec.Value == nil {
		r.rec.Value = []byte{}
	}
	for name, values := range m.Headers() {
		for _, v := range values {
			r.rec.Headers = append(r.rec.Headers, codec.Header{Name: name, Value: []byte(v)})
		}
	}
	return &r.rec
}

// gap decides about messages that are missing before the one with number seq.
func (r *Reader) gap(ctx context.Context, seq uint64) error {
	if !r.whole {
		return nil // they are for others, or the stream keeps only some of each subject
	}
	info, err := r.stream.Info(ctx)
	if err != nil {
		return r.config.explain("look at the stream", err)
	}
	if err := r.config.checkRange(r.at, info); err != nil {
		return err
	}
	for _, missing := range []uint64{r.at.next, seq - 1} {
		if _, err := r.stream.GetMsg(ctx, missing); err == nil {
			return sqlerr.New(sqlerr.ExternalRoutineException, "NATS did not deliver message %d of stream %q, which is there", missing, r.config.stream).
				WithHint("Another reader may use the consumer %q.", r.consumer.CachedInfo().Name)
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return r.config.explain("look for a message", err)
		}
	}
	r.log.Warn("messages were deleted from a NATS stream one by one before they were read", "source", r.spec.Name, "stream", r.config.stream,
		"first", r.at.next, "last", seq-1)
	return nil
}

// catchUp moves the position past messages that are for others, so that the stream's limits may take those away.
// It also notices when the stream has lost messages that were for this reader.
func (r *Reader) catchUp(ctx context.Context) (*connector.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := r.stream.Info(ctx)
	if err != nil {
		return nil, r.config.explain("look at the stream", err)
	}
	if info.State.LastSeq+1 <= r.at.next {
		return nil, nil
	}
	mine, err := r.consumer.Info(ctx)
	if err != nil {
		return nil, r.config.explain("look at the consumer", err)
	}
	if mine.NumPending > 0 || mine.Delivered.Stream >= r.at.next || len(r.messages) > 0 {
		return nil, nil // something is on its way
	}
	if r.whole {
		if err := r.config.checkRange(r.at, info); err != nil {
			return nil, err
		}
	}
	r.at.next = info.State.LastSeq + 1
	return r.batch.Take(r.at.encode()), nil
}

// Ack implements connector.Acker.
func (r *Reader) Ack(offsets []connector.SplitOffset) {
	if r.config.ack == jetstream.AckNonePolicy || len(offsets) == 0 {
		return
	}
	p, err := decodePosition(offsets[len(offsets)-1].Offset)
	if err != nil {
		return
	}
	r.acks.Lock()
	n := 0
	for n < len(r.acks.open) && r.acks.open[n].seq < p.next {
		n++
	}
	done := r.acks.open[:n]
	r.acks.open = r.acks.open[n:]
	r.acks.Unlock()
	if n == 0 {
		return
	}
	if r.config.ack == jetstream.AckAllPolicy {
		done = done[n-1:]
	}
	for _, u := range done {
		if err := u.msg.Ack(); err != nil {
			r.log.Debug("acknowledge to NATS", "source", r.spec.Name, "err", err)
			return
		}
	}
}

// Close implements connector.Reader.
func (r *Reader) Close() error {
	r.once.Do(func() {
		close(r.closed)
		if r.consume != nil {
			r.consume.Stop()
		}
		if r.consumer != nil && r.config.durable == "" && r.conn.IsConnected() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			// The server forgets it by itself, later.
			_ = r.stream.DeleteConsumer(ctx, r.consumer.CachedInfo().Name)
			cancel()
		}
		if r.conn != nil {
			r.conn.Close()
		}
	})
	return nil
}

// noStream reports that the server knows no stream of the name.
func noStream(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrInvalidStreamName)
}
