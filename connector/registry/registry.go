// Package registry talks to a schema registry that speaks Confluent's REST API: Confluent's own, Redpanda's, Karapace,
// Apicurio.
//
// The idea: a schema never changes under its id, so what was fetched once is kept; asking is rare. Errors say
// which of the three it is: the registry cannot be reached (08006, try again), it refuses us (28P01, 42501), or
// it does not know what was asked for (42704).
//
// A Client may be used by any goroutine.
//
// It does not read schemas; connector/codec does. Start at Parse and Client.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Config is how to reach a registry.
type Config struct {
	URLs           []string
	User, Password string
	// CA, Certificate and Key are files: whom to trust, and who we are.
	CA, Certificate, Key string
}

// Parse reads the options schema.registry and those that belong to it; nil when there is none.
func Parse(o *option.Set) *Config {
	c := &Config{
		User: o.String("schema.registry.username", ""), Password: o.String("schema.registry.password", ""),
		CA:          o.String("schema.registry.ca", "", "schema.registry.ca.location"),
		Certificate: o.String("schema.registry.certificate", "", "schema.registry.certificate.location"),
		Key:         o.String("schema.registry.key", "", "schema.registry.key.location"),
	}
	for _, u := range strings.Split(o.String("schema.registry", ""), ",") {
		if u = strings.TrimSpace(u); u == "" {
			continue
		}
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		p, err := url.Parse(u)
		if err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
			o.Fail("option \"schema.registry\" must be an address such as http://host:8081, not %q", redact(u))
			return nil
		}
		if p.User != nil && c.User == "" {
			c.User = p.User.Username()
			c.Password, _ = p.User.Password()
		}
		p.User = nil
		c.URLs = append(c.URLs, strings.TrimSuffix(p.String(), "/"))
	}
	if len(c.URLs) == 0 {
		return nil
	}
	if (c.Certificate == "") != (c.Key == "") {
		o.Fail("options \"schema.registry.certificate\" and \"schema.registry.key\" go together")
	}
	return c
}

// redact leaves out what may be a password in an address that is not well formed.
func redact(u string) string {
	if i := strings.LastIndexByte(u, '@'); i >= 0 {
		return "…" + u[i:]
	}
	return u
}

// Schema is a registered schema.
type Schema struct {
	ID   int
	Kind string // AVRO, PROTOBUF or JSON
	Text string
	// References are the schemas that it builds on, those first that others need.
	References []Reference
}

// Reference is a schema under the name by which another one knows it: a type of Avro, a file of Protobuf.
type Reference struct{ Name, Text string }

// Client fetches schemas and registers them.
type Client struct {
	config *Config
	sr     *sr.Client
	mu     struct {
		sync.Mutex
		byID map[int]*Schema
		// missing are ids that the registry did not know, and until when it is not asked again.
		missing map[int]time.Time
	}
}

const (
	// requestTimeout bounds one request.
	requestTimeout = 5 * time.Second
	// askAgain is how long an unknown id stays unknown: a topic full of such records must not become as many requests.
	askAgain = 5 * time.Second
)

// New returns a client. It connects when it is asked for something.
func New(c *Config) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // requests are rare, and nobody closes a client
	if c.CA != "" || c.Certificate != "" {
		t, err := c.tls()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = t
	}
	opts := []sr.ClientOpt{sr.URLs(c.URLs...), sr.UserAgent("millrace"), sr.HTTPClient(&http.Client{Timeout: requestTimeout, Transport: transport})}
	if c.User != "" {
		opts = append(opts, sr.BasicAuth(c.User, c.Password))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "options of the schema registry do not fit together").WithDetail("%v", err).WithCause(err)
	}
	out := &Client{config: c, sr: client}
	out.mu.byID, out.mu.missing = map[int]*Schema{}, map[int]time.Time{}
	return out, nil
}

func (c *Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, badFile("schema.registry.ca", c.CA, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, badFile("schema.registry.ca", c.CA, errors.New("there is no certificate in it"))
		}
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, badFile("schema.registry.certificate", c.Certificate, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func badFile(name, path string, err error) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "option %q names the file %q, which cannot be used", name, path).WithDetail("%v", err).WithCause(err)
}

// ByID returns the schema with an id, from memory if it has been fetched before.
func (c *Client) ByID(ctx context.Context, id int) (*Schema, error) {
	c.mu.Lock()
	s, until := c.mu.byID[id], c.mu.missing[id]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if time.Now().Before(until) {
		return nil, c.unknownID(id)
	}
	got, err := c.sr.SchemaByID(ctx, id)
	if err != nil {
		if isUnknown(err) {
			c.mu.Lock()
			c.mu.missing[id] = time.Now().Add(askAgain)
			c.mu.Unlock()
			return nil, c.unknownID(id)
		}
		return nil, c.explain(err)
	}
	return c.keep(ctx, id, got)
}

func (c *Client) unknownID(id int) error {
	return sqlerr.New(sqlerr.UndefinedObject, "schema registry at %s has no schema with the id %d", c.at(), id)
}

// Latest returns the newest schema of a subject.
func (c *Client) Latest(ctx context.Context, subject string) (*Schema, error) {
	got, err := c.sr.SchemaByVersion(ctx, subject, -1)
	if isUnknown(err) {
		return nil, sqlerr.New(sqlerr.UndefinedObject, "schema registry at %s has no subject %q", c.at(), subject).WithCause(err)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return c.keep(ctx, got.ID, got.Schema)
}

// Register makes a schema the newest of a subject, unless it is there already, and returns its id. Error: 42804
// when the subject's rules of compatibility forbid it.
func (c *Client) Register(ctx context.Context, subject, kind, text string) (int, error) {
	var t sr.SchemaType
	if err := t.UnmarshalText([]byte(kind)); err != nil {
		return 0, err
	}
	id, err := c.sr.RegisterSchema(ctx, subject, sr.Schema{Schema: text, Type: t}, -1, -1)
	var re *sr.ResponseError
	if errors.As(err, &re) && (re.StatusCode == http.StatusConflict || re.StatusCode == http.StatusUnprocessableEntity) {
		return 0, sqlerr.New(sqlerr.DatatypeMismatch, "schema registry at %s refuses the schema for the subject %q", c.at(), subject).
			WithDetail("%s", re.Error()).WithCause(err)
	}
	if err != nil {
		return 0, c.explain(err)
	}
	return id, nil
}

// keep fetches what a schema refers to, and remembers it all.
func (c *Client) keep(ctx context.Context, id int, got sr.Schema) (*Schema, error) {
	s := &Schema{ID: id, Kind: got.Type.String(), Text: got.Schema}
	if err := c.references(ctx, got.References, s, map[string]bool{}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.byID[id] = s
	delete(c.mu.missing, id)
	return s, nil
}

func (c *Client) references(ctx context.Context, refs []sr.SchemaReference, s *Schema, seen map[string]bool) error {
	for _, r := range refs {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		got, err := c.sr.SchemaByVersion(ctx, r.Subject, r.Version)
		if isUnknown(err) {
			return sqlerr.New(sqlerr.UndefinedObject, "schema %d refers to version %d of the subject %q, which the schema registry at %s does not have", s.ID, r.Version, r.Subject, c.at())
		}
		if err != nil {
			return c.explain(err)
		}
		if err := c.references(ctx, got.References, s, seen); err != nil {
			return err
		}
		s.References = append(s.References, Reference{r.Name, got.Schema.Schema})
	}
	return nil
}

func isUnknown(err error) bool {
	var re *sr.ResponseError
	return errors.As(err, &re) && re.StatusCode == http.StatusNotFound
}

func (c *Client) at() string { return strings.Join(c.config.URLs, ",") }

func (c *Client) explain(err error) error {
	var re *sr.ResponseError
	if errors.As(err, &re) {
		switch re.StatusCode {
		case http.StatusUnauthorized:
			return sqlerr.New(sqlerr.InvalidPassword, "schema registry at %s refuses the user %q", c.at(), c.config.User).WithCause(err)
		case http.StatusForbidden:
			return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by the schema registry at %s", c.at()).WithDetail("%v", err).WithCause(err)
		}
		return sqlerr.New(sqlerr.ConnectionFailure, "schema registry at %s answers with status %d", c.at(), re.StatusCode).WithDetail("%v", err).WithCause(err)
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not reach the schema registry at %s", c.at()).WithDetail("%v", err).WithCause(err)
}

// IsOutage reports whether an error is about the registry and not about what was asked of it: the same question can
// be answered later.
func IsOutage(err error) bool {
	switch sqlerr.CodeOf(err) {
	case sqlerr.ConnectionFailure, sqlerr.InvalidPassword, sqlerr.InsufficientPrivilege:
		return true
	}
	return false
}
