package mqtt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// Sink implements connector.Sink.
type Sink struct{}

// sinkConfig is the options of a sink.
type sinkConfig struct {
	connection
	topic  string // for rows without one of their own
	field  int    // the column that holds a row's topic; -1: none
	retain bool
	mode   codec.Mode
	force  bool
}

func parseSink(spec *connector.SinkSpec) (*sinkConfig, error) {
	o := option.New(option.Connector("mqtt"), spec.Connector.Options)
	c := &sinkConfig{connection: parseConnection(o), topic: o.String("topic", ""), field: -1, retain: o.Bool("retain", false)}
	if name := o.String("topic.field", ""); name != "" {
		for i, col := range spec.Columns {
			if col.Name == name {
				c.field = i
			}
		}
		if c.field < 0 || !spec.Columns[c.field].Type.IsString() {
			o.Fail("option \"topic.field\" must name a column of a text type, not %q", name)
			c.field = -1
		}
	}
	switch {
	case c.topic == "" && c.field < 0:
		o.Fail("connector \"mqtt\" needs the option \"topic\" or \"topic.field\"")
	case strings.ContainsAny(c.topic, "+#"):
		o.Fail("option \"topic\" of a sink is one topic without wildcards, not %q", c.topic)
	}
	c.mode, c.force = codec.SinkMode(o, spec)
	if c.mode == codec.Upsert {
		o.Fail("messages of MQTT have no keys: use type = 'append-only', with force_append_only = 'true' if rows change, or FORMAT DEBEZIUM")
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
	return c.try(ctx)
}

// Open implements connector.Sink. The client id fences off an older writer: the broker ends its connection.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c, sent: &watched{SessionManager: state.NewInMemory()}}
	if w.messages, err = codec.NewMessages(spec, c.mode, c.force); err != nil {
		return nil, err
	}
	id := spec.Instance
	if id == "" {
		id = fmt.Sprintf("%s-%d", spec.Name, spec.ID)
	}
	w.client, _, err = c.connect(ctx, paho.ClientConfig{ClientID: c.clientID("sink-" + id), Session: w.sent, PacketTimeout: 30 * time.Second}, true, 0)
	if err != nil {
		_ = w.sent.Close()
		return nil, err
	}
	return w, nil
}

// watched is the client's session, which sees what the broker answers to each message. The client itself waits for an answer
// before the next message, or never.
type watched struct {
	session.SessionManager
	open []chan packets.ControlPacket
}

// AddToSession implements session.SessionManager. It is called by the goroutine that publishes.
func (w *watched) AddToSession(ctx context.Context, p session.Packet, resp chan<- packets.ControlPacket) error {
	if p.Type() != packets.PUBLISH {
		return w.SessionManager.AddToSession(ctx, p, resp)
	}
	mine := make(chan packets.ControlPacket, 1)
	if err := w.SessionManager.AddToSession(ctx, p, mine); err != nil {
		return err
	}
	w.open = append(w.open, mine)
	return nil
}

// Writer implements connector.Writer.
type Writer struct {
	config   *sinkConfig
	client   *paho.Client
	messages *codec.Messages
	sent     *watched
}

// Committed implements connector.Writer: a broker cannot tell.
func (w *Writer) Committed(context.Context) (uint64, bool, error) { return 0, false, nil }

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, _ uint64, c *delta.Chunk) error {
	if w.config.field < 0 {
		return w.messages.Each(c, func(_, value []byte) error { return w.publish(ctx, w.config.topic, value) })
	}
	// One row at a time, for its topic.
	one := *c
	for k := range c.Len() {
		i := c.Row(k)
		one.Sel = []int32{int32(i)}
		topic := w.config.topic
		if col := c.Cols[w.config.field]; !col.IsNull(i) {
			topic = string(sqlio.AppendText(nil, col, i, sqlio.DefaultSettings()))
		}
		if topic == "" || strings.ContainsAny(topic, "+#\x00") {
			return sqlerr.New(sqlerr.InvalidParameterValue, "a row's topic is %q, which no message can have", topic).WithHint("Give the option \"topic\" for rows without one.")
		}
		if err := w.messages.Each(&one, func(_, value []byte) error { return w.publish(ctx, topic, value) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) publish(ctx context.Context, topic string, value []byte) error {
	if value == nil {
		return nil // a tombstone says nothing without a key
	}
	_, err := w.client.PublishWithOptions(ctx, &paho.Publish{Topic: topic, QoS: w.config.qos, Retain: w.config.retain, Payload: value},
		paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
	return w.config.explain(fmt.Sprintf("publish to %q", topic), err)
}

// Commit implements connector.Writer: it waits until the broker has every message.
func (w *Writer) Commit(ctx context.Context, _ uint64) error {
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for _, ch := range w.sent.open {
		select {
		case p := <-ch:
			if err := w.answer(p); err != nil {
				return err
			}
		case <-w.client.Done():
			return w.config.explain("publish", errClosedByBroker)
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return w.config.explain("publish", context.DeadlineExceeded)
		}
	}
	w.sent.open = w.sent.open[:0]
	return nil
}

var errClosedByBroker = fmt.Errorf("the connection has ended")

// answer reads what the broker says of a message.
func (w *Writer) answer(p packets.ControlPacket) error {
	code := byte(0)
	switch x := p.Content.(type) {
	case *packets.Puback:
		code = x.ReasonCode
	case *packets.Pubcomp:
		code = x.ReasonCode
	case *packets.Pubrec:
		code = x.ReasonCode
	default:
		return w.config.explain("publish", errClosedByBroker)
	}
	switch {
	case code == 0x87:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by MQTT broker %s to publish", w.config.at())
	case code >= 0x80:
		return sqlerr.New(sqlerr.ExternalRoutineException, "MQTT broker %s refuses a message with reason code 0x%02x", w.config.at(), code)
	}
	return nil
}

// Close implements connector.Writer.
func (w *Writer) Close() error {
	_ = w.client.Disconnect(&paho.Disconnect{}) // it is gone either way
	return w.sent.Close()
}
