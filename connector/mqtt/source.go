// Package mqtt subscribes to topics of an MQTT broker as a source and publishes to them as a sink, with version 5 of the
// protocol.
//
// The idea of the source: MQTT has no offsets; all that a broker remembers is a client's session. So each job has a session of its
// own, known by a client id that never changes, and acknowledges a message only when a checkpoint that
// holds it is durable. What was not acknowledged comes again after a failure: at least once.
//
// The idea of the sink: all messages of an epoch are sent without waiting, and the epoch is committed when the broker
// has acknowledged each. What was sent before a failure is sent again: at least once.
//
// A Reader and a Writer belong to one goroutine each. The client's goroutines put messages into a queue, whose bound is what the
// broker may send without an acknowledgement; they never wait, for the keep-alive would wait with them.
//
// It does not decode (connector/codec). Start at Source and Sink.
package mqtt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// window is how many messages the broker may send that are not acknowledged: what comes in between two checkpoints.
const window = 65535

// Source implements connector.Source.
type Source struct{}

// sourceConfig is the options of a source.
type sourceConfig struct {
	connection
	topics []string
	clean  bool
	expiry time.Duration
}

func parseSource(spec *connector.SourceSpec) (*sourceConfig, error) {
	o := option.New(option.Connector("mqtt"), spec.Connector.Options)
	c := &sourceConfig{connection: parseConnection(o)}
	for t := range strings.SplitSeq(o.Required("topic"), ",") {
		t = strings.TrimSpace(t)
		if t != "" && !validFilter(t) {
			o.Fail("option \"topic\" is not a topic filter: %q", t)
		}
		c.topics = append(c.topics, t)
	}
	c.clean = o.Bool("clean_start", false)
	c.expiry = o.Duration("session_expiry", 24*time.Hour, 0, 10*365*24*time.Hour, time.Second)
	if c.clean || c.qos == 0 {
		c.clean, c.expiry = true, 0
	}
	o.Ignore("inflight_messages")
	message.CheckHeaders(o, spec)
	return c, o.Done()
}

// validFilter checks a topic filter: # is a whole last level, + a whole level.
func validFilter(t string) bool {
	t = strings.TrimPrefix(t, "$share/")
	levels := strings.Split(t, "/")
	for i, l := range levels {
		if strings.Contains(l, "#") && (l != "#" || i != len(levels)-1) || strings.Contains(l, "+") && l != "+" {
			return false
		}
	}
	return len(t) < 1<<16 && !strings.ContainsRune(t, 0)
}

// Validate implements connector.Source.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parseSource(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	upsert, err := message.Check(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	return connector.Facts{AppendOnly: !upsert, Upsert: upsert}, c.try(ctx)
}

// try connects with a client id of the broker's choice, to see whether it lets us in.
func (c *connection) try(ctx context.Context) error {
	cl, _, err := c.connect(ctx, paho.ClientConfig{}, true, 0)
	if err != nil {
		return err
	}
	_ = cl.Disconnect(&paho.Disconnect{}) // it is gone either way
	return nil
}

// Splits implements connector.Source: there is one.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) {
	return []string{message.Split}, nil
}

// Open implements connector.Source.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	if len(splits) != 1 || splits[0].Split != message.Split {
		return nil, fmt.Errorf("open MQTT topic %q: it has one split, %q", c.topics, message.Split)
	}
	r := newReader(c, spec)
	known := false
	if o := splits[0].Offset; o != nil && string(o) != string(connector.FromStart) {
		known = true
		if r.at, err = offset.One(o); err != nil {
			return nil, err
		}
	}
	if r.batch, err = message.New(spec); err != nil {
		return nil, err
	}
	if err := r.start(ctx, known); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// subscribe asks for the topics.
func (c *sourceConfig) subscribe(ctx context.Context, cl *paho.Client) error {
	s := &paho.Subscribe{}
	for _, t := range c.topics {
		// Retained messages come with a new subscription only, not each time that a session is taken up.
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: t, QoS: c.qos, RetainHandling: 1, RetainAsPublished: true})
	}
	ack, err := cl.Subscribe(ctx, s)
	if ack != nil {
		for i, code := range ack.Reasons {
			switch {
			case code == 0x87:
				return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by MQTT broker %s to subscribe to %q", c.at(), c.topics[i])
			case code >= 0x80:
				return sqlerr.New(sqlerr.ExternalRoutineException, "MQTT broker %s refuses the subscription to %q with reason code 0x%02x", c.at(), c.topics[i], code)
			}
		}
	}
	return c.explain("subscribe", err)
}
