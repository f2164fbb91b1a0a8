package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// config is the options of a sink.
type config struct {
	url      *url.URL
	method   string
	header   http.Header
	body     string // array, lines, single
	rows     int    // of a request at the most
	bytes    int    // of a body, about, at the most
	timeout  time.Duration
	retries  int
	backoff  time.Duration
	ca       string // file
	idHeader string
	mode     codec.Mode
	force    bool
}

func parse(spec *connector.SinkSpec) (*config, error) {
	o := option.New(option.Connector("http"), spec.Connector.Options)
	c := &config{header: http.Header{}}
	var err error
	c.url, err = url.Parse(o.Required("url"))
	if err != nil || c.url.Scheme != "http" && c.url.Scheme != "https" || c.url.Hostname() == "" {
		o.Fail("option \"url\" must be http://host[:port]/path or https://host[:port]/path")
		c.url = &url.URL{}
	}
	c.method = o.Enum("method", http.MethodPost, http.MethodPost, http.MethodPut, http.MethodPatch)
	c.body = o.Enum("body", "array", "array", "lines", "single")
	c.rows = int(o.Int("batch.rows", 500, 1, 1_000_000))
	c.bytes = int(o.Int("batch.bytes", 1<<20, 1, 1<<30))
	if c.body == "single" {
		c.rows = 1
	}
	c.timeout = o.Duration("timeout", 30*time.Second, time.Millisecond, time.Hour, time.Second)
	c.retries = int(o.Int("retry.max", 5, 0, 1000))
	c.backoff = o.Duration("retry.backoff", 200*time.Millisecond, time.Millisecond, time.Hour, time.Millisecond)
	c.idHeader = o.String("idempotency.header", "Idempotency-Key")
	c.ca = o.String("tls.ca", "")
	for _, name := range o.WithPrefix("header.") {
		value := o.String("header."+name, "")
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			o.Fail("option \"header.%s\" is not a header", name)
		}
		c.header.Set(name, value)
	}
	if !httpguts.ValidHeaderFieldName(c.idHeader) {
		o.Fail("option \"idempotency.header\" is not the name of a header: %q", c.idHeader)
	}
	c.mode, c.force = codec.SinkMode(o, spec)
	return c, o.Done()
}

// address is where the server listens.
func (c *config) address() string {
	port := c.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.url.Scheme]
	}
	return net.JoinHostPort(c.url.Hostname(), port)
}

func (c *config) client() (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"tls.ca\" names the file %q, which cannot be used", c.ca).WithDetail("%v", err).WithCause(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"tls.ca\" names the file %q, which cannot be used", c.ca).WithDetail("There is no certificate in it.")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// A redirect would turn a POST into a GET; it is the user's to say where rows go.
	return &http.Client{Transport: t, Timeout: c.timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
