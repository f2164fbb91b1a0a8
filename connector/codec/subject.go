package codec

import (
	"context"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqlerr"
)

// subjectOptions say under which subject a schema is registered.
type subjectOptions struct {
	strategy            string
	message, keyMessage string // full names of the types of value and key
}

func parseSubjects(o *option.Set) *subjectOptions {
	s := &subjectOptions{message: o.String("message", ""), keyMessage: o.String("key.message", "")}
	s.strategy = o.Enum("schema.registry.name.strategy", "topic_name_strategy", "topic_name_strategy", "record_name_strategy", "topic_record_name_strategy")
	if s.strategy != "topic_name_strategy" && s.message == "" {
		o.Fail("schema.registry.name.strategy = '%s' needs the option \"message\"", s.strategy)
	}
	return s
}

// value returns the subject of values in a topic.
func (s *subjectOptions) value(topic string) string { return s.subject(topic, s.message, "-value") }

// key returns the subject of keys in a topic; see keyed.
func (s *subjectOptions) key(topic string) string { return s.subject(topic, s.keyMessage, "-key") }

// keyed reports whether the subject of keys can be told.
func (s *subjectOptions) keyed() bool {
	return s.strategy == "topic_name_strategy" || s.keyMessage != ""
}

func (s *subjectOptions) subject(topic, message, suffix string) string {
	switch s.strategy {
	case "record_name_strategy":
		return message
	case "topic_record_name_strategy":
		return topic + "-" + message
	}
	return topic + suffix
}

// topicOf returns the topic that a connector reads or writes.
func topicOf(options map[string]string) (string, error) {
	for _, name := range []string{"topic", "kafka.topic", "subject", "stream"} {
		if t := options[name]; t != "" {
			return t, nil
		}
	}
	return "", sqlerr.New(sqlerr.InvalidParameterValue, "the connector has no topic to look a schema up by").
		WithHint("Name the subject with the options \"schema.registry.name.strategy\" and \"message\".")
}

// Describe returns the columns that records have by their schema; none for formats without one.
func Describe(ctx context.Context, spec *connector.SourceSpec) (connector.Description, error) {
	switch spec.Connector.Encode {
	case "AVRO":
		return describeAvro(ctx, spec)
	case "PROTOBUF":
		return describeProto(ctx, spec)
	}
	return connector.Description{}, nil
}

// IsOutage reports whether Decode failed for a reason that is not the record's: its schema cannot be fetched just now.
// The same record may decode later.
func IsOutage(err error) bool { return registry.IsOutage(err) }
