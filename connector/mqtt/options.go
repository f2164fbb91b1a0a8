package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// connection is what a source and a sink need to reach the broker.
type connection struct {
	url            *url.URL
	user, password string
	prefix         string // of the client id
	qos            byte
	keepAlive      time.Duration
	maxPacket      uint32
	ca, cert, key  string // files
}

const dialTimeout = 5 * time.Second

// ports are what URLs leave away.
var ports = map[string]string{"tcp": "1883", "mqtt": "1883", "ssl": "8883", "tls": "8883", "mqtts": "8883"}

func parseConnection(o *option.Set) connection {
	c := connection{user: o.String("username", ""), password: o.String("password", ""), prefix: o.String("client_prefix", "millrace")}
	var err error
	c.url, err = url.Parse(o.Required("url"))
	if err != nil || ports[c.url.Scheme] == "" || c.url.Hostname() == "" {
		o.Fail("option \"url\" must be tcp://host:port or ssl://host:port")
		c.url = &url.URL{}
	}
	if c.user == "" && c.url.User != nil {
		c.user = c.url.User.Username()
		c.password, _ = c.url.User.Password()
	}
	switch o.Enum("qos", "at_least_once", "at_most_once", "at_least_once", "exactly_once") {
	case "at_most_once":
		c.qos = 0
	case "at_least_once":
		c.qos = 1
	default:
		c.qos = 2
	}
	c.keepAlive = o.Duration("keep_alive", 30*time.Second, time.Second, time.Hour, time.Second)
	c.maxPacket = uint32(o.Int("max_packet_size", 0, 0, 268435455))
	c.ca, c.cert, c.key = o.String("tls.ca", ""), o.String("tls.client_cert", ""), o.String("tls.client_key", "")
	if (c.cert == "") != (c.key == "") {
		o.Fail("options \"tls.client_cert\" and \"tls.client_key\" go together")
	}
	return c
}

// at is the broker as errors name it.
func (c *connection) at() string {
	port := c.url.Port()
	if port == "" {
		port = ports[c.url.Scheme]
	}
	return net.JoinHostPort(c.url.Hostname(), port)
}

// dial opens the network connection.
func (c *connection) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := &net.Dialer{}
	if ports[c.url.Scheme] == "1883" {
		conn, err := d.DialContext(ctx, "tcp", c.at())
		return conn, c.explain("connect", err)
	}
	t, err := c.tls()
	if err != nil {
		return nil, err
	}
	conn, err := (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", c.at())
	if err != nil {
		return nil, c.explain("connect", err)
	}
	return packets.NewThreadSafeConn(conn), nil
}

func (c *connection) tls() (*tls.Config, error) {
	bad := func(name, path string, err error) error {
		e := sqlerr.New(sqlerr.InvalidParameterValue, "option %q names the file %q, which cannot be used", name, path)
		if err == nil {
			return e.WithDetail("There is no certificate in it.")
		}
		return e.WithDetail("%v", err).WithCause(err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.url.Hostname()}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, bad("tls.ca", c.ca, err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bad("tls.ca", c.ca, nil)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, bad("tls.client_cert", c.cert, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// connect says who we are. expiry is how long the broker keeps the session after the connection; 0: not at all.
func (c *connection) connect(ctx context.Context, cfg paho.ClientConfig, clean bool, expiry time.Duration) (*paho.Client, *paho.Connack, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg.Conn = conn
	cl := paho.NewClient(cfg)
	receive, seconds := uint16(window), uint32(expiry/time.Second)
	p := &paho.Connect{ClientID: cfg.ClientID, KeepAlive: uint16(c.keepAlive / time.Second), CleanStart: clean,
		Properties: &paho.ConnectProperties{ReceiveMaximum: &receive, SessionExpiryInterval: &seconds}}
	if c.maxPacket > 0 {
		p.Properties.MaximumPacketSize = &c.maxPacket
	}
	if c.user != "" {
		p.Username, p.UsernameFlag = c.user, true
		p.Password, p.PasswordFlag = []byte(c.password), true
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ack, err := cl.Connect(ctx, p)
	if ack != nil && ack.ReasonCode >= 0x80 {
		_ = conn.Close()
		return nil, nil, c.refused(ack.ReasonCode, err)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, c.explain("connect", err)
	}
	return cl, ack, nil
}

// refused explains why the broker does not let us in.
func (c *connection) refused(code byte, err error) error {
	switch code {
	case packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized, packets.ConnackBadAuthenticationMethod, 4, 5:
		return sqlerr.New(sqlerr.InvalidPassword, "MQTT broker %s refuses the user %q", c.at(), c.user).WithDetail("%v", err).WithCause(err)
	case packets.ConnackUnsupportedProtocolVersion, 1:
		return sqlerr.New(sqlerr.FeatureNotSupported, "MQTT broker %s does not speak version 5", c.at()).WithCause(err)
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "MQTT broker %s refuses the connection", c.at()).WithDetail("%v", err).WithCause(err)
}

// explain turns an error of the client into one that a user understands: 08006 when the broker cannot be reached.
func (c *connection) explain(doing string, err error) error {
	var se *sqlerr.Error
	if err == nil || errors.As(err, &se) || errors.Is(err, context.Canceled) {
		return err
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not reach MQTT broker %s to %s", c.at(), doing).WithDetail("%v", err).WithCause(err)
}

// clientID names a client for ever, so that the broker knows its session again.
func (c *connection) clientID(what string) string { return fmt.Sprintf("%s-%s", c.prefix, what) }
