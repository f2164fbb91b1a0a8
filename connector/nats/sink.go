package nats

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	subject string
	stream  string // the one that must take the messages; "": any
	mode    codec.Mode
	force   bool
}

func parseSink(spec *connector.SinkSpec) (*sinkConfig, error) {
	o := option.New(option.Connector("nats"), spec.Connector.Options)
	c := &sinkConfig{connection: parseConnection(o), subject: o.Required("subject"), stream: o.String("stream", "")}
	c.mode, c.force = codec.SinkMode(o, spec)
	if c.mode == codec.Upsert {
		o.Fail("messages of NATS have no keys: use type = 'append-only', with force_append_only = 'true' if rows change, or FORMAT DEBEZIUM")
	}
	for _, ch := range c.subject {
		if ch == '*' || ch == '>' || ch == ' ' {
			o.Fail("option \"subject\" of a sink is one subject without wildcards, not %q", c.subject)
		}
	}
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
	nc, err := c.dial("millrace "+spec.Name, nil)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return c.explain("use JetStream", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	name, err := js.StreamNameBySubject(ctx, c.subject)
	switch {
	case noStream(err):
		return sqlerr.New(sqlerr.UndefinedObject, "no NATS stream takes messages of subject %q", c.subject).WithHint("Make one first: nats stream add.")
	case err != nil:
		return c.explain(fmt.Sprintf("look up the stream of subject %q", c.subject), err)
	case c.stream != "" && name != c.stream:
		return sqlerr.New(sqlerr.InvalidParameterValue, "messages of subject %q go to NATS stream %q, not %q", c.subject, name, c.stream)
	}
	return nil
}

// Open implements connector.Sink.
func (Sink) Open(_ context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c, instance: spec.Instance}
	if w.instance == "" {
		w.instance = fmt.Sprintf("%s-%d", spec.Name, spec.ID)
	}
	if w.messages, err = codec.NewMessages(spec, c.mode, c.force); err != nil {
		return nil, err
	}
	if w.conn, err = c.dial("millrace "+spec.Name, nil); err != nil {
		return nil, err
	}
	w.js, err = jetstream.New(w.conn, jetstream.WithPublishAsyncMaxPending(inFlight), jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
		w.refused.Lock()
		defer w.refused.Unlock()
		if w.refused.err == nil {
			w.refused.err = err
		}
	}))
	if err != nil {
		w.conn.Close()
		return nil, c.explain("use JetStream", err)
	}
	return w, nil
}

// inFlight is how many messages may wait for the server's word.
const inFlight = 4096

// Writer implements connector.Writer. Messages are published as they come; Commit waits until the stream has them all.
type Writer struct {
	config   *sinkConfig
	instance string
	conn     *nats.Conn
	js       jetstream.JetStream
	messages *codec.Messages
	epoch    uint64
	n        uint64 // messages of epoch so far
	refused  struct {
		sync.Mutex
		err error
	}
	once sync.Once
}

// Committed implements connector.Writer: a stream cannot tell.
func (w *Writer) Committed(context.Context) (uint64, bool, error) { return 0, false, nil }

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	if epoch != w.epoch {
		w.epoch, w.n = epoch, 0
	}
	return w.messages.Each(c, func(key, value []byte) error {
		if value == nil {
			return nil // a tombstone says nothing without a key
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m := nats.NewMsg(w.config.subject)
		m.Data = value
		m.Header.Set(jetstream.MsgIDHeader, w.instance+"/"+strconv.FormatUint(epoch, 10)+"/"+strconv.FormatUint(w.n, 10))
		w.n++
		_, err := w.js.PublishMsgAsync(m, jetstream.WithStallWait(30*time.Second))
		return w.config.explain(fmt.Sprintf("publish to %q", w.config.subject), err)
	})
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	if epoch != w.epoch || w.n == 0 {
		return nil
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	select {
	case <-w.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return w.config.explain(fmt.Sprintf("publish to %q", w.config.subject), nats.ErrTimeout)
	}
	w.refused.Lock()
	defer w.refused.Unlock()
	return w.config.explain(fmt.Sprintf("publish to %q", w.config.subject), w.refused.err)
}

// Close implements connector.Writer.
func (w *Writer) Close() error {
	w.once.Do(w.conn.Close)
	return nil
}
