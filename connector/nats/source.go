// Package nats reads streams of NATS JetStream as sources and publishes to them as sinks.
//
// The idea of the source: a stream is one sequence of messages, so there is one split, and an offset is the sequence
// number of the message that comes next. Each reader makes a consumer of its own that begins there and is forgotten with
// it: what is durable is the offset in our state, not the server's idea of what was acknowledged. So a restart reads each
// message exactly once.
//
// The idea of the sink: a message has an id made of the sink, the epoch and its number therein. What is published again
// after a failure has the same ids, and the server drops it, as long as its window for duplicates reaches back.
//
// A Reader and a Writer belong to one goroutine each; the client's goroutines hand messages over through a channel.
//
// Invariants: messages that the stream has lost before they were read are an error that names them, never a
// silent gap; so is a stream that was deleted and made anew.
//
// It does not decode (connector/codec). Start at Source and Sink.
package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Source implements connector.Source.
type Source struct{}

// sourceConfig is the options of a source.
type sourceConfig struct {
	connection
	stream   string
	subjects []string
	start    string // earliest, latest, timestamp
	millis   int64
	durable  string
	ack      jetstream.AckPolicy
	ackWait  time.Duration
}

func parseSource(spec *connector.SourceSpec) (*sourceConfig, error) {
	o := option.New(option.Connector("nats"), spec.Connector.Options)
	c := &sourceConfig{connection: parseConnection(o), stream: o.Required("stream")}
	for s := range strings.SplitSeq(o.Required("subject"), ",") {
		c.subjects = append(c.subjects, strings.TrimSpace(s))
	}
	c.millis = o.Int("scan.startup.timestamp.millis", -1, 0, 1<<53, "scan.startup.timestamp_millis")
	def := "earliest"
	if c.millis >= 0 {
		def = "timestamp"
	}
	c.start = o.Enum("scan.startup.mode", def, "earliest", "latest", "timestamp", "timestamp-millis")
	if c.start == "timestamp-millis" {
		c.start = "timestamp"
	}
	if c.start == "timestamp" && c.millis < 0 {
		o.Fail("scan.startup.mode = 'timestamp' needs the option \"scan.startup.timestamp.millis\"")
	}
	if c.durable = o.String("consumer.durable_name", ""); c.durable != "" && spec.Reader != "" {
		c.durable += "-" + spec.Reader // each job has a consumer of its own
	}
	if strings.ContainsAny(c.durable, " .*>/\\\t") {
		o.Fail("option \"consumer.durable_name\" may not hold blanks, slashes, dots and wildcards: %q", c.durable)
	}
	switch o.Enum("consumer.ack_policy", "none", "none", "all", "explicit") {
	case "none":
		c.ack = jetstream.AckNonePolicy
	case "all":
		c.ack = jetstream.AckAllPolicy
	default:
		c.ack = jetstream.AckExplicitPolicy
	}
	c.ackWait = o.Duration("consumer.ack_wait", 10*time.Minute, time.Second, 24*time.Hour, time.Second)
	message.CheckHeaders(o, spec)
	return c, o.Done()
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
	nc, err := c.dial("millrace "+spec.Name, nil)
	if err != nil {
		return connector.Facts{}, err
	}
	defer nc.Close()
	_, info, err := c.lookUp(ctx, nc)
	if err != nil {
		return connector.Facts{}, err
	}
	return connector.Facts{AppendOnly: !upsert, Upsert: upsert}, c.checkStream(info)
}

// lookUp finds the stream.
func (c *sourceConfig) lookUp(ctx context.Context, nc *nats.Conn) (jetstream.Stream, *jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, c.explain("use JetStream", err)
	}
	s, err := js.Stream(ctx, c.stream)
	if noStream(err) {
		return nil, nil, c.unknownStream(ctx, js)
	}
	if err != nil {
		return nil, nil, c.explain(fmt.Sprintf("look up stream %q", c.stream), err)
	}
	return s, s.CachedInfo(), nil
}

// unknownStream says that the stream does not exist, and which one may have been meant.
func (c *sourceConfig) unknownStream(ctx context.Context, js jetstream.JetStream) error {
	e := sqlerr.New(sqlerr.UndefinedObject, "NATS stream %q does not exist", c.stream)
	var names []string
	list := js.StreamNames(ctx)
	for n := range list.Name() {
		names = append(names, n)
	}
	if near, ok := option.Nearest(c.stream, names); ok && list.Err() == nil {
		return e.WithHint("Perhaps you meant the stream %q.", near)
	}
	return e
}

// checkStream refuses streams that cannot be read again after a failure, and subjects that are not in the stream.
func (c *sourceConfig) checkStream(info *jetstream.StreamInfo) error {
	if r := info.Config.Retention; r != jetstream.LimitsPolicy {
		return sqlerr.New(sqlerr.FeatureNotSupported, "NATS stream %q deletes messages that were acknowledged (retention %q)", c.stream, r).
			WithHint("It could not be read again after a failure. Use a stream with retention \"Limits\"; it may have this one as its source.")
	}
	of := info.Config.Subjects
	for _, s := range c.subjects {
		if len(of) > 0 && len(info.Config.Sources) == 0 && !slices.ContainsFunc(of, func(p string) bool { return overlap(p, s) }) {
			return sqlerr.New(sqlerr.UndefinedObject, "NATS stream %q has no subject %q", c.stream, s).WithHint("It has: %s.", option.List(of))
		}
	}
	return nil
}

// overlap reports whether some subject matches both patterns.
func overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
}

// Splits implements connector.Source: there is one.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) {
	return []string{message.Split}, nil
}

// position is what an offset holds.
type position struct {
	next uint64 // sequence number of the next message
	made int64  // when the stream was created, ns since 1970
}

func (p position) encode() []byte { return offset.Encode(int64(p.next), p.made) }

func decodePosition(b []byte) (position, error) {
	n, err := offset.Decode(b, 2)
	if err != nil {
		return position{}, err
	}
	return position{uint64(n[0]), n[1]}, nil
}

// Open implements connector.Source.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	if len(splits) != 1 || splits[0].Split != message.Split {
		return nil, fmt.Errorf("open NATS stream %q: it has one split, %q", c.stream, message.Split)
	}
	r := newReader(c, spec)
	if r.batch, err = message.New(spec); err != nil {
		return nil, err
	}
	if err := r.start(ctx, splits[0].Offset); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// startAt decides where to begin.
func (c *sourceConfig) startAt(ctx context.Context, s jetstream.Stream, info *jetstream.StreamInfo, saved []byte) (position, error) {
	p := position{next: max(info.State.FirstSeq, 1), made: info.Created.UnixNano()}
	switch {
	case saved != nil && string(saved) != string(connector.FromStart):
		old, err := decodePosition(saved)
		if err != nil {
			return p, err
		}
		return old, c.checkRange(old, info)
	case saved != nil || c.start == "earliest":
	case c.start == "latest":
		p.next = info.State.LastSeq + 1
	default:
		seq, err := c.firstSince(ctx, s)
		if err != nil {
			return p, err
		}
		if p.next = seq; seq == 0 {
			p.next = info.State.LastSeq + 1
		}
	}
	return p, nil
}

// firstSince finds the first message of the subjects since the configured time; 0: there is none.
func (c *sourceConfig) firstSince(ctx context.Context, s jetstream.Stream) (uint64, error) {
	at := time.UnixMilli(c.millis)
	probe, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at,
		AckPolicy: jetstream.AckNonePolicy, FilterSubjects: c.subjects, MemoryStorage: true, InactiveThreshold: time.Minute, Replicas: 1})
	if err != nil {
		return 0, c.explain("look messages up by time", err)
	}
	defer func() { _ = s.DeleteConsumer(context.WithoutCancel(ctx), probe.CachedInfo().Name) }()
	batch, err := probe.FetchNoWait(1)
	if err != nil {
		return 0, c.explain("look messages up by time", err)
	}
	for m := range batch.Messages() {
		if meta, err := m.Metadata(); err == nil {
			return meta.Sequence.Stream, nil
		}
	}
	return 0, c.explain("look messages up by time", batch.Error())
}

// checkRange refuses to go on where messages are missing.
func (c *sourceConfig) checkRange(p position, info *jetstream.StreamInfo) error {
	st := info.State
	switch {
	case info.Created.UnixNano() != p.made, p.next > st.LastSeq+1:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "NATS stream %q has been deleted and created anew", c.stream).
			WithDetail("Message %d comes next; the stream of %s has messages %d to %d.", p.next, info.Created.UTC().Format(time.RFC3339), st.FirstSeq, st.LastSeq).
			WithHint("Recreate the source to read the new stream.")
	case p.next < st.FirstSeq:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "messages %d to %d of NATS stream %q are gone: they were purged or deleted by the stream's limits before they were read",
			p.next, st.FirstSeq-1, c.stream).WithHint("Recreate the source to go on without them.")
	}
	return nil
}
