package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millrace/millrace/connector/option"
)

// connection is what both directions need: how to reach the cluster, and the topic.
type connection struct {
	brokers  []string
	topic    string
	clientID string
	security string // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
	sasl     string
	user     string
	password string
	tls      tlsFiles
}

// tlsFiles says whom to trust and who we are. Files are read when connecting, so that they can be renewed.
type tlsFiles struct {
	ca, certificate, key string
	anyHost              bool // do not compare the certificate's name with the host's
}

// ignored are librdkafka's tuning options that scripts carry and that have no meaning here.
var ignored = []string{
	"properties.message.max.bytes", "properties.receive.message.max.bytes", "properties.statistics.interval.ms",
	"properties.queued.min.messages", "properties.queued.max.messages.kbytes", "properties.fetch.queue.backoff.ms",
	"properties.enable.auto.commit", "properties.queue.buffering.max.messages", "properties.queue.buffering.max.kbytes",
	"properties.queue.buffering.max.ms", "properties.batch.num.messages", "properties.max.in.flight.requests.per.connection",
	"properties.enable.idempotence", "properties.retry.max", "properties.retry.interval", "properties.request.required.acks",
	"properties.message.send.max.retries", "properties.retry.backoff.ms",
}

func parseConnection(o *option.Set) connection {
	c := connection{topic: o.Required("topic", "kafka.topic")}
	for _, b := range strings.Split(o.Required("properties.bootstrap.server", "properties.bootstrap.servers", "kafka.brokers"), ",") {
		if b = strings.TrimSpace(b); b != "" {
			c.brokers = append(c.brokers, b)
		}
	}
	c.clientID = o.String("properties.client.id", "millrace")
	c.security = o.Enum("properties.security.protocol", "PLAINTEXT", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
	c.sasl = o.Enum("properties.sasl.mechanism", "PLAIN", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	c.user = o.String("properties.sasl.username", "")
	c.password = o.String("properties.sasl.password", "")
	c.tls.ca = o.String("properties.ssl.ca.location", "")
	c.tls.certificate = o.String("properties.ssl.certificate.location", "")
	c.tls.key = o.String("properties.ssl.key.location", "")
	c.tls.anyHost = o.Enum("properties.ssl.endpoint.identification.algorithm", "https", "https", "none") == "none"
	o.Ignore(ignored...)
	if strings.HasPrefix(c.security, "SASL") && c.user == "" {
		o.Fail("security protocol %s needs the option \"properties.sasl.username\"", c.security)
	}
	if (c.tls.certificate == "") != (c.tls.key == "") {
		o.Fail("options \"properties.ssl.certificate.location\" and \"properties.ssl.key.location\" go together")
	}
	return c
}

// clientOptions are the options of every client of the connection. Requests give up after a few seconds,
// for their callers retry with a visible state; dialing goes through mon.
func (c *connection) clientOptions(mon *monitor) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID(c.clientID),
		kgo.DialTimeout(5 * time.Second),
		kgo.RequestRetries(3),
		kgo.RetryTimeout(10 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.WithHooks(mon),
	}
	if strings.HasSuffix(c.security, "SSL") {
		t, err := c.tls.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if strings.HasPrefix(c.security, "SASL") {
		auth := scram.Auth{User: c.user, Pass: c.password}
		switch c.sasl {
		case "PLAIN":
			opts = append(opts, kgo.SASL(plain.Auth{User: c.user, Pass: c.password}.AsMechanism()))
		case "SCRAM-SHA-256":
			opts = append(opts, kgo.SASL(auth.AsSha256Mechanism()))
		case "SCRAM-SHA-512":
			opts = append(opts, kgo.SASL(auth.AsSha512Mechanism()))
		}
	}
	return opts, nil
}

func (f *tlsFiles) config() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, badFile("properties.ssl.ca.location", f.ca, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, badFile("properties.ssl.ca.location", f.ca, nil)
		}
	}
	if f.certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
		if err != nil {
			return nil, badFile("properties.ssl.certificate.location", f.certificate, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if f.anyHost {
		t.InsecureSkipVerify = true // the chain is verified all the same, by the next line
		t.VerifyConnection = verifyChain(t.RootCAs)
	}
	return t, nil
}

// verifyChain checks a server's certificate against the roots without regard to its host name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(opts)
		return err
	}
}
