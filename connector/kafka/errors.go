package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

func badFile(name, path string, err error) error {
	e := sqlerr.New(sqlerr.InvalidParameterValue, "option %q names the file %q, which cannot be used", name, path)
	if err != nil {
		return e.WithDetail("%v", err).WithCause(err)
	}
	return e.WithDetail("There is no certificate in it.")
}

// explain turns an error of the client into one that a user understands: 08006 when the cluster cannot be
// reached, 28P01 when it refuses the password, 42501 when it denies access.
func (c *connection) explain(doing string, err error) error {
	var se *sqlerr.Error
	if err == nil || errors.As(err, &se) {
		return err
	}
	at := strings.Join(c.brokers, ",")
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), strings.Contains(err.Error(), "SASL"):
		return sqlerr.New(sqlerr.InvalidPassword, "Kafka at %s refuses the user %q", at, c.user).WithDetail("%v", err).WithCause(err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed),
		errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by Kafka at %s to %s", at, doing).WithDetail("%v", err).WithCause(err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return sqlerr.New(sqlerr.UndefinedObject, "Kafka topic %q does not exist", c.topic).WithCause(err)
	}
	var ke *kerr.Error
	if errors.As(err, &ke) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := sqlerr.New(sqlerr.ConnectionFailure, "could not reach Kafka at %s to %s", at, doing).WithDetail("%v", err).WithCause(err)
	if errors.Is(err, io.EOF) {
		return e.WithHint("The broker closed the connection. Check the security protocol, the user and the password.")
	}
	return e
}

// partitions lists the topic's partitions, in order.
func (c *connection) partitions(ctx context.Context, adm *kadm.Client) ([]int32, error) {
	topics, err := adm.ListTopics(ctx, c.topic)
	if err != nil {
		return nil, c.explain(fmt.Sprintf("look up topic %q", c.topic), err)
	}
	t, ok := topics[c.topic]
	if !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return nil, c.unknownTopic(ctx, adm)
	}
	if t.Err != nil {
		return nil, c.explain(fmt.Sprintf("look up topic %q", c.topic), t.Err)
	}
	return t.Partitions.Numbers(), nil
}

// unknownTopic says that the topic does not exist, and which one may have been meant.
func (c *connection) unknownTopic(ctx context.Context, adm *kadm.Client) error {
	e := sqlerr.New(sqlerr.UndefinedObject, "Kafka topic %q does not exist", c.topic)
	if topics, err := adm.ListTopics(ctx); err == nil {
		if near, ok := option.Nearest(c.topic, topics.Names()); ok {
			return e.WithHint("Perhaps you meant the topic %q.", near)
		}
	}
	return e
}

// monitor notes how connecting goes: the client itself retries for ever and keeps silent about it.
type monitor struct {
	mu struct {
		sync.Mutex
		since time.Time // of the first failure since the last success; zero: all is well
		last  error
	}
}

var _ kgo.HookBrokerConnect = (*monitor)(nil)
var _ kgo.HookBrokerRead = (*monitor)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (m *monitor) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		m.note(err)
	}
}

// OnBrokerRead implements kgo.HookBrokerRead: an answer is the proof of life.
func (m *monitor) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil {
		m.note(nil)
	}
}

func (m *monitor) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.mu.since, m.mu.last = time.Time{}, nil
		return
	}
	if m.mu.since.IsZero() {
		m.mu.since = time.Now()
	}
	m.mu.last = err
}

// away returns the last failure when there has been nothing else for d.
func (m *monitor) away(d time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.last != nil && time.Since(m.mu.since) >= d {
		return m.mu.last
	}
	return nil
}
