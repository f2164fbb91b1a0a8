package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// connection is what a source and a sink need to reach the server.
type connection struct {
	url            string
	mode           string // plain, user_and_password, credential
	user, password string
	jwt, nkey      string // nkey is the seed
	ca, cert, key  string // files
}

const dialTimeout = 5 * time.Second

func parseConnection(o *option.Set) connection {
	c := connection{url: o.Required("server_url")}
	c.user, c.password = o.String("username", ""), o.String("password", "")
	c.jwt, c.nkey = o.String("jwt", ""), o.String("nkey", "")
	def := "plain"
	switch {
	case c.user != "":
		def = "user_and_password"
	case c.nkey != "":
		def = "credential"
	}
	c.mode = o.Enum("connect_mode", def, "plain", "user_and_password", "credential")
	c.ca, c.cert, c.key = o.String("tls.ca.location", ""), o.String("tls.cert.location", ""), o.String("tls.key.location", "")
	switch {
	case c.mode == "user_and_password" && c.user == "":
		o.Fail("connect_mode = 'user_and_password' needs the options \"username\" and \"password\"")
	case c.mode == "credential" && c.nkey == "":
		o.Fail("connect_mode = 'credential' needs the option \"nkey\", the seed, and mostly \"jwt\"")
	case (c.cert == "") != (c.key == ""):
		o.Fail("options \"tls.cert.location\" and \"tls.key.location\" go together")
	}
	return c
}

// dial connects. The connection does not reconnect by itself: whoever uses it is told, and starts again from what it knows.
func (c *connection) dial(name string, closed func(error)) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name(name), nats.Timeout(dialTimeout), nats.NoReconnect(), nats.MaxReconnects(0)}
	if closed != nil {
		opts = append(opts, nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { closed(err) }))
	}
	switch c.mode {
	case "user_and_password":
		opts = append(opts, nats.UserInfo(c.user, c.password))
	case "credential":
		if c.jwt != "" {
			opts = append(opts, nats.UserJWTAndSeed(c.jwt, c.nkey))
			break
		}
		pair, err := nkeys.FromSeed([]byte(c.nkey))
		if err != nil {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"nkey\" is not the seed of a key")
		}
		pub, err := pair.PublicKey()
		if err != nil {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"nkey\" is not the seed of a key")
		}
		opts = append(opts, nats.Nkey(pub, pair.Sign))
	}
	if c.ca != "" {
		opts = append(opts, nats.RootCAs(c.ca))
	}
	if c.cert != "" {
		opts = append(opts, nats.ClientCert(c.cert, c.key))
	}
	nc, err := nats.Connect(c.url, opts...)
	if err != nil {
		return nil, c.explain("connect", err)
	}
	return nc, nil
}

// explain turns an error of the client into one that a user understands: 08006 when the server cannot be reached,
// 28P01 when it refuses the credentials, 42501 when it denies access, 55000 without JetStream.
func (c *connection) explain(doing string, err error) error {
	var se *sqlerr.Error
	if err == nil || errors.As(err, &se) || errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired),
		strings.Contains(strings.ToLower(text), "authorization violation"), strings.Contains(text, "nonce"):
		return sqlerr.New(sqlerr.InvalidPassword, "NATS at %s refuses the credentials", c.at()).WithDetail("%v", err).WithCause(err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by NATS at %s to %s", c.at(), doing).WithDetail("%v", err).WithCause(err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "JetStream is not enabled at NATS server %s", c.at()).WithDetail("%v", err).WithCause(err)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return sqlerr.New(sqlerr.ExternalRoutineException, "NATS at %s could not %s", c.at(), doing).WithDetail("%s", api.Description).WithCause(err)
	}
	var ne net.Error
	var tlsErr *tls.CertificateVerificationError
	if errors.As(err, &ne) || errors.As(err, &tlsErr) || errors.Is(err, context.DeadlineExceeded) || isConnection(err) {
		return sqlerr.New(sqlerr.ConnectionFailure, "could not reach NATS at %s to %s", c.at(), doing).WithDetail("%v", err).WithCause(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isConnection(err error) bool {
	for _, e := range []error{nats.ErrNoServers, nats.ErrTimeout, nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrStaleConnection,
		jetstream.ErrNoHeartbeat, jetstream.ErrConnectionClosed, jetstream.ErrServerShutdown} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// at is the server as errors name it: without what a URL may have of passwords.
func (c *connection) at() string {
	var out []string
	for u := range strings.SplitSeq(c.url, ",") {
		u = strings.TrimSpace(u)
		if i := strings.LastIndexByte(u, '@'); i >= 0 {
			u = u[i+1:]
		}
		if i := strings.Index(u, "://"); i >= 0 {
			u = u[i+3:]
		}
		out = append(out, u)
	}
	return strings.Join(out, ",")
}
