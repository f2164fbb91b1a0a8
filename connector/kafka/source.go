// Package kafka reads topics of Apache Kafka as sources and writes to them as sinks.
//
// The idea of the source: a split is a partition, an offset is Kafka's. Each reader has a client of its own
// that fetches exactly the partitions it was given from exactly the offsets it was given; consumer groups play
// no part (offsets may be committed to one for others to see). Transactions that were aborted are not read.
//
// The idea of the sink: one Kafka transaction per epoch holds the messages and, as a consumer-group offset,
// the epoch's number. After a restart that offset says what the topic holds, so each epoch is there once.
//
// A Reader and a Writer belong to one goroutine each. The client fetches in the background, at most one
// answer per broker ahead, which bounds memory and is the back-pressure.
//
// Invariants: offsets never move by themselves (a deleted range is an error that names it, not a gap); an
// epoch's messages become visible together with its marker or not at all.
//
// It does not decode (connector/codec). Start at Source and Sink.
package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Source implements connector.Source.
type Source struct{}

// sourceConfig is the options of a source.
type sourceConfig struct {
	connection
	mode      string // earliest, latest, timestamp, specific-offsets
	millis    int64
	offsets   map[int32]int64 // where to start, by partition
	isolation kgo.IsolationLevel
	group     string // consumer group to commit offsets to; "": none
	fetchWait time.Duration
	fetchMax  int32 // bytes an answer
}

func parseSource(spec *connector.SourceSpec) (*sourceConfig, error) {
	o := option.New(option.Connector("kafka"), spec.Connector.Options)
	c := &sourceConfig{connection: parseConnection(o)}
	c.millis = o.Int("scan.startup.timestamp.millis", -1, 0, 1<<53, "scan.startup.timestamp_millis")
	def := "earliest"
	if c.millis >= 0 {
		def = "timestamp"
	}
	var err error
	if c.offsets, err = parseOffsets(o.String("scan.startup.specific-offsets", "")); err != nil {
		o.Fail("%v", err)
	}
	if c.offsets != nil {
		def = "specific-offsets"
	}
	c.mode = o.Enum("scan.startup.mode", def, "earliest", "latest", "timestamp", "specific-offsets")
	if c.mode == "specific-offsets" && c.offsets == nil {
		o.Fail("scan.startup.mode = 'specific-offsets' needs the option \"scan.startup.specific-offsets\"")
	}
	c.isolation = kgo.ReadCommitted()
	if o.Enum("properties.isolation.level", "read_committed", "read_committed", "read_uncommitted") == "read_uncommitted" {
		c.isolation = kgo.ReadUncommitted()
	}
	if c.mode == "timestamp" && c.millis < 0 {
		o.Fail("scan.startup.mode = 'timestamp' needs the option \"scan.startup.timestamp.millis\"")
	}
	if p := o.String("group.id.prefix", ""); p != "" {
		c.group = fmt.Sprintf("%s-%d", p, spec.ID)
	}
	c.fetchWait = o.Duration("properties.fetch.wait.max.ms", 500*time.Millisecond, time.Millisecond, time.Minute, time.Millisecond)
	c.fetchMax = int32(o.Int("properties.fetch.max.bytes", 16<<20, 1<<10, 1<<30))
	o.Ignore("properties.max.partition.fetch.bytes", "properties.group.id")
	if spec.Connector.Encode == "CSV" {
		if v := spec.Connector.FormatOptions["without_header"]; v != "true" && v != "t" && v != "1" {
			o.Fail("messages have no CSV header: use ENCODE CSV (without_header = 'true')")
		}
	}
	return c, o.Done()
}

// parseOffsets reads partition:0,offset:42;partition:1,offset:7 or, shorter, 0:42;1:7.
func parseOffsets(text string) (map[int32]int64, error) {
	if text == "" {
		return nil, nil
	}
	out := map[int32]int64{}
	for _, part := range strings.Split(strings.TrimSuffix(text, ";"), ";") {
		part = strings.NewReplacer("partition:", "", ",offset:", ":", " ", "").Replace(part)
		number, at, _ := strings.Cut(part, ":")
		p, err := strconv.ParseInt(number, 10, 32)
		n, err2 := strconv.ParseInt(at, 10, 64)
		if err != nil || err2 != nil || p < 0 || n < 0 {
			return nil, fmt.Errorf("option \"scan.startup.specific-offsets\" must be like 'partition:0,offset:42;partition:1,offset:7', not %q", text)
		}
		out[int32(p)] = n
	}
	return out, nil
}

// Validate implements connector.Source.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parseSource(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	upsert, err := codec.Check(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	if _, err := c.listPartitions(ctx); err != nil {
		return connector.Facts{}, err
	}
	return connector.Facts{AppendOnly: !upsert, Upsert: upsert, UniqueKeys: uniqueKeys(spec, upsert)}, nil
}

// Describe implements connector.Describer: the columns of records that have a schema.
func (Source) Describe(ctx context.Context, spec *connector.SourceSpec) (connector.Description, error) {
	if _, err := parseSource(spec); err != nil {
		return connector.Description{}, err
	}
	return codec.Describe(ctx, spec)
}

// uniqueKeys finds partition and offset among the included columns: together they never repeat.
func uniqueKeys(spec *connector.SourceSpec, upsert bool) [][]int {
	part, off := -1, -1
	for i, c := range spec.Columns {
		switch c.Include {
		case "partition":
			part = i
		case "offset":
			off = i
		}
	}
	if upsert || part < 0 || off < 0 || spec.Connector.Encode == "CSV" || spec.Connector.Encode == "JSON" || spec.Connector.Encode == "" {
		return nil // a record of these formats may hold several rows
	}
	return [][]int{{part, off}}
}

// listPartitions asks the cluster, with a client for this one question.
func (c *sourceConfig) listPartitions(ctx context.Context) ([]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cl, err := c.client(&monitor{})
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return c.partitions(ctx, kadm.NewClient(cl))
}

func (c *connection) client(mon *monitor, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.clientOptions(mon)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "Kafka options do not fit together").WithDetail("%v", err).WithCause(err)
	}
	return cl, nil
}

// Splits implements connector.Source: one per partition, named by its number.
func (Source) Splits(ctx context.Context, spec *connector.SourceSpec) ([]string, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	parts, err := c.listPartitions(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = strconv.Itoa(int(p))
	}
	return out, nil
}

// Open implements connector.Source. It resolves the configured start into offsets, and checks that the offsets
// given still exist.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	dec, _, err := codec.NewDecoder(spec)
	if err != nil {
		return nil, err
	}
	r := &Reader{config: c, spec: spec, dec: dec, rows: codec.NewRows(columnTypes(spec)), parts: map[int32]*partition{}, log: spec.Logger, away: awayLimit}
	if r.client, err = c.client(&r.mon,
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.KeepRetryableFetchErrors(), // or else a deleted topic would be silence
		kgo.FetchIsolationLevel(c.isolation),
		kgo.FetchMaxWait(c.fetchWait), kgo.FetchMaxBytes(c.fetchMax),
	); err != nil {
		return nil, err
	}
	if err := r.start(ctx, splits); err != nil {
		r.client.Close()
		return nil, err
	}
	return r, nil
}

// start finds out where each split begins and lets the client fetch from there.
func (r *Reader) start(ctx context.Context, splits []connector.SplitOffset) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	adm := kadm.NewClient(r.client)
	l, err := r.config.limits(ctx, adm)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for _, s := range splits {
		p, err := r.config.openSplit(s, l)
		if err != nil {
			return err
		}
		from[p.number] = kgo.NoResetOffset().At(p.next)
		r.parts[p.number] = p
		r.order = append(r.order, p)
	}
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.config.topic: from})
	r.startCommitter(adm)
	return nil
}

// limits are the offsets between which partitions can be read, and where the configured time begins.
type limits struct{ begins, ends, stamped kadm.ListedOffsets }

func (c *sourceConfig) limits(ctx context.Context, adm *kadm.Client) (l limits, err error) {
	if l.begins, err = adm.ListStartOffsets(ctx, c.topic); err == nil {
		err = l.begins.Error()
	}
	if err != nil {
		return l, c.explain("read the topic's first offsets", err)
	}
	if l.ends, err = c.listEnds(ctx, adm); err == nil {
		err = l.ends.Error()
	}
	if err != nil {
		return l, c.explain("read the topic's last offsets", err)
	}
	l.stamped = l.ends
	if c.mode == "timestamp" {
		if l.stamped, err = adm.ListOffsetsAfterMilli(ctx, c.millis, c.topic); err != nil {
			return l, c.explain("look offsets up by time", err)
		}
	}
	return l, nil
}

// listEnds returns the offsets up to which the source may read.
func (c *sourceConfig) listEnds(ctx context.Context, adm *kadm.Client) (kadm.ListedOffsets, error) {
	if c.isolation == kgo.ReadUncommitted() {
		return adm.ListEndOffsets(ctx, c.topic)
	}
	return adm.ListCommittedOffsets(ctx, c.topic)
}

// openSplit decides where a split begins.
func (c *sourceConfig) openSplit(s connector.SplitOffset, l limits) (*partition, error) {
	n, err := strconv.ParseInt(s.Split, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("open split %q of topic %q: not a partition", s.Split, c.topic)
	}
	p := &partition{name: s.Split, number: int32(n)}
	begin, ok := l.begins.Lookup(c.topic, p.number)
	end, ok2 := l.ends.Lookup(c.topic, p.number)
	if !ok || !ok2 {
		return nil, sqlerr.New(sqlerr.UndefinedObject, "Kafka topic %q has no partition %d", c.topic, n)
	}
	p.end = end.Offset
	switch {
	case s.Offset != nil && string(s.Offset) != string(connector.FromStart):
		if p.next, err = offset.One(s.Offset); err != nil {
			return nil, err
		}
		return p, c.checkRange(p, begin.Offset, end.Offset)
	case s.Offset != nil || c.mode == "earliest":
		p.next = begin.Offset
	case c.mode == "latest":
		p.next = end.Offset
	case c.mode == "specific-offsets":
		// A partition that is not named begins where it begins; one that has not come so far, or is past it, at its nearest.
		p.next = min(max(c.offsets[p.number], begin.Offset), end.Offset)
	default:
		p.next = end.Offset
		if at, ok := l.stamped.Lookup(c.topic, p.number); ok && at.Offset >= 0 {
			p.next = min(at.Offset, end.Offset)
		}
	}
	p.moved = true // the start is part of the state from now on, whatever comes later
	return p, nil
}

// checkRange refuses to go on where records are missing.
func (c *sourceConfig) checkRange(p *partition, begin, end int64) error {
	if p.next >= begin && p.next <= end {
		return nil
	}
	e := sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "offset %d of partition %d of Kafka topic %q is gone: the partition has offsets %d to %d",
		p.next, p.number, c.topic, begin, end)
	if p.next < begin {
		return e.WithHint("Kafka's retention has deleted records that were not read yet. Recreate the source to go on without them.")
	}
	return e.WithHint("The topic seems to have been deleted and created anew. Recreate the source.")
}
