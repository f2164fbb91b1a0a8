package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/connector/offset"
)

// Reader implements connector.Reader and connector.Acker.
//
// An offset counts the messages that this job has taken; it says nothing to the broker.
type Reader struct {
	config  *sourceConfig
	spec    *connector.SourceSpec
	log     *slog.Logger
	client  *paho.Client
	batch   *message.Batch
	at      int64
	started bool
	rec     codec.Record
	wake    chan struct{} // capacity 1
	failed  chan error    // capacity 1: the first failure
	closed  chan struct{}
	once    sync.Once
	mu      struct {
		sync.Mutex
		queue   []*paho.Publish // received, not decoded
		dropped int64
		open    []unacked // decoded, not durable
	}
}

// unacked is a message that the broker still keeps.
type unacked struct {
	at  int64 // the offset after it
	msg *paho.Publish
}

func newReader(c *sourceConfig, spec *connector.SourceSpec) *Reader {
	log := spec.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reader{config: c, spec: spec, log: log, wake: make(chan struct{}, 1), failed: make(chan error, 1), closed: make(chan struct{})}
}

var errClosed = errors.New("read from MQTT: reader is closed")

func (r *Reader) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// start connects and subscribes. known: the session was there before.
func (r *Reader) start(ctx context.Context, known bool) error {
	id := r.spec.Reader
	if id == "" {
		id = r.spec.Name + "-" + strconv.Itoa(int(r.spec.ID))
	}
	cl, ack, err := r.config.connect(ctx, paho.ClientConfig{
		ClientID:                   r.config.clientID(id),
		EnableManualAcknowledgment: true,
		OnPublishReceived:          []func(paho.PublishReceived) (bool, error){r.receive},
		OnClientError:              r.fail,
		OnServerDisconnect: func(d *paho.Disconnect) {
			r.fail(errors.New("the broker ended the connection, reason code 0x" + strconv.FormatInt(int64(d.ReasonCode), 16)))
		},
	}, r.config.clean, r.config.expiry)
	if err != nil {
		return err
	}
	r.client = cl
	if known && !ack.SessionPresent && !r.config.clean {
		r.log.Warn("the MQTT broker has forgotten the session: messages published meanwhile are lost", "source", r.spec.Name, "client", r.config.clientID(id))
	}
	if known && ack.SessionPresent {
		return nil // a position comes after a subscription, which is part of the session
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return r.config.subscribe(ctx, cl)
}

// receive takes a message from the client's goroutine. It must not wait.
func (r *Reader) receive(p paho.PublishReceived) (bool, error) {
	r.mu.Lock()
	if p.Packet.QoS == 0 && len(r.mu.queue) >= window {
		r.mu.dropped++
	} else {
		r.mu.queue = append(r.mu.queue, p.Packet)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true, nil
}

// Next implements connector.Reader.
func (r *Reader) Next(ctx context.Context) (*connector.Batch, error) {
	if !r.started { // so that a split with a position is known to be an old one
		r.started = true
		return r.batch.Take(offset.Encode(r.at)), nil
	}
	for {
		if b, err := r.take(ctx); b != nil || err != nil {
			return b, err
		}
		select {
		case <-r.wake:
		case err := <-r.failed:
			return nil, r.config.explain("read messages", err)
		case <-r.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take makes a batch of what waits in the queue; nil: nothing.
func (r *Reader) take(ctx context.Context) (*connector.Batch, error) {
	r.mu.Lock()
	n := min(len(r.mu.queue), r.spec.BatchRows())
	now := r.mu.queue[:n:n]
	r.mu.queue = r.mu.queue[n:]
	if len(r.mu.queue) == 0 {
		r.mu.queue = nil
	}
	waiting, dropped := len(r.mu.queue), r.mu.dropped
	r.mu.dropped = 0
	r.mu.Unlock()
	if dropped > 0 {
		r.log.Warn("messages of quality 0 came faster than they could be read and were dropped", "source", r.spec.Name, "messages", dropped)
	}
	if n == 0 {
		return nil, nil
	}
	taken := make([]unacked, 0, n)
	for _, p := range now {
		r.at++
		if err := r.batch.AddWaiting(ctx, r.record(p), strconv.FormatInt(r.at, 10)); err != nil {
			return nil, err
		}
		if p.QoS > 0 {
			taken = append(taken, unacked{r.at, p})
		}
	}
	r.mu.Lock()
	r.mu.open = append(r.mu.open, taken...)
	r.mu.Unlock()
	b := r.batch.Take(offset.Encode(r.at))
	b.Backlog = int64(waiting)
	return b, nil
}

func (r *Reader) record(p *paho.Publish) *codec.Record {
	r.rec = codec.Record{Key: []byte(p.Topic), Value: p.Payload, Offset: r.at, Timestamp: message.Timestamp(time.Now().UnixMicro()), Headers: r.rec.Headers[:0]}
	if r.rec.Value == nil {
		r.rec.Value = []byte{}
	}
	if p.Properties != nil {
		for _, u := range p.Properties.User {
			r.rec.Headers = append(r.rec.Headers, codec.Header{Name: u.Key, Value: []byte(u.Value)})
		}
	}
	return &r.rec
}

// Ack implements connector.Acker: the broker may forget what is durable here.
func (r *Reader) Ack(offsets []connector.SplitOffset) {
	if len(offsets) == 0 {
		return
	}
	at, err := offset.One(offsets[len(offsets)-1].Offset)
	if err != nil {
		return
	}
	r.mu.Lock()
	n := 0
	for n < len(r.mu.open) && r.mu.open[n].at <= at {
		n++
	}
	done := r.mu.open[:n]
	r.mu.open = r.mu.open[n:]
	r.mu.Unlock()
	for _, u := range done {
		if err := r.client.Ack(u.msg); err != nil {
			r.log.Debug("acknowledge to MQTT", "source", r.spec.Name, "err", err)
			return
		}
	}
}

// Close implements connector.Reader. The session stays, with what was not acknowledged.
func (r *Reader) Close() error {
	r.once.Do(func() {
		close(r.closed)
		if r.client != nil {
			_ = r.client.Disconnect(&paho.Disconnect{}) // it is gone either way
		}
	})
	return nil
}
