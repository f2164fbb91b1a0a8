// Package sqltls is the TLS of connectors to SQL databases: one set of options, with one meaning, and errors that say
// what to do.
//
// The idea: a connector reads the options with Read, gives its driver what Config makes of them, and asks Explain about an error of
// connecting before it explains it itself.
//
// The modes are those of PostgreSQL (sslmode), also as RisingWave and MySQL spell them. Certificates are files, or PEM texts themselves, so that a
// secret can hold one.
//
// It connects nowhere. Start at Read.
package sqltls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// The modes.
const (
	Disable    = "disable"     // no TLS
	Prefer     = "prefer"      // TLS if the server has it, with whoever answers
	Require    = "require"     // TLS, with whoever answers; with a root certificate the same as VerifyCA
	VerifyCA   = "verify-ca"   // the server's certificate comes from a trusted authority
	VerifyFull = "verify-full" // and is for the server's name
)

// spelled are the ways to write a mode.
var spelled = map[string]string{
	"disable": Disable, "disabled": Disable, "prefer": Prefer, "preferred": Prefer, "require": Require, "required": Require,
	"verify-ca": VerifyCA, "verify-full": VerifyFull, "verify-identity": VerifyFull,
}

// Options are what a definition says about TLS.
type Options struct {
	Mode       string // one of the constants
	RootCert   string // file or PEM; "": the system's authorities
	ClientCert string // file or PEM; "": none
	ClientKey  string
}

// Read takes the options ssl.mode, ssl.root.cert, ssl.client.cert and ssl.client.key. Those that are not given are as in def, "" in it is Prefer.
func Read(o *option.Set, def Options) Options {
	c := Options{
		Mode:       o.String("ssl.mode", def.Mode),
		RootCert:   o.String("ssl.root.cert", def.RootCert),
		ClientCert: o.String("ssl.client.cert", def.ClientCert),
		ClientKey:  o.String("ssl.client.key", def.ClientKey),
	}
	if c.Mode == "" {
		c.Mode = Prefer
	}
	mode, ok := spelled[strings.ReplaceAll(strings.ToLower(c.Mode), "_", "-")]
	if !ok {
		o.Fail("option \"ssl.mode\" must be one of disable, prefer, require, verify-ca, verify-full, not %q", c.Mode)
	}
	if c.Mode = mode; mode == Require && c.RootCert != "" {
		c.Mode = VerifyCA
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		o.Fail("options \"ssl.client.cert\" and \"ssl.client.key\" go together")
	}
	return c
}

// Needed reports whether there is to be no connection without TLS.
func (c *Options) Needed() bool { return c.Mode != Disable && c.Mode != Prefer }

// Config is what a driver connects with to a server of this name; nil: no TLS. Error: 22023 about a certificate.
func (c *Options) Config(host string) (*tls.Config, error) {
	if c.Mode == Disable {
		return nil, nil
	}
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.RootCert != "" {
		pem, err := read("ssl.root.cert", c.RootCert)
		if err != nil {
			return nil, err
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, unusable("ssl.root.cert", c.RootCert, errors.New("there is no certificate in it"))
		}
	}
	if c.ClientCert != "" {
		cert, err := read("ssl.client.cert", c.ClientCert)
		if err != nil {
			return nil, err
		}
		key, err := read("ssl.client.key", c.ClientKey)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, unusable("ssl.client.cert", c.ClientCert, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	switch c.Mode {
	case Prefer, Require:
		t.InsecureSkipVerify = true // encrypted, and as these two modes have it, to whoever answers
	case VerifyCA:
		t.InsecureSkipVerify = true // the name only: the chain is verified by the next line
		t.VerifyConnection = verifyChain(t.RootCAs)
	}
	return t, nil
}

// verifyChain checks a server's certificate against the roots without regard to its host name.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// inline recognises a PEM text, which no path looks like.
func inline(v string) bool { return strings.Contains(v, "-----BEGIN ") }

// read returns the PEM text of an option.
func read(name, v string) ([]byte, error) {
	if inline(v) {
		return []byte(v), nil
	}
	pem, err := os.ReadFile(v)
	if err != nil {
		return nil, unusable(name, v, err)
	}
	return pem, nil
}

func unusable(name, v string, err error) error {
	if inline(v) {
		return sqlerr.New(sqlerr.InvalidParameterValue, "the text of option %q cannot be used", name).WithDetail("%v.", err).WithCause(err)
	}
	return sqlerr.New(sqlerr.InvalidParameterValue, "option %q names the file %q, which cannot be used", name, v).WithDetail("%v.", err).WithCause(err)
}

// ErrNoTLS says that a server does not speak TLS although it must. Connectors put it into the errors that Explain is asked about.
var ErrNoTLS = errors.New("the server does not speak TLS")

// Explain turns an error of connecting to system at address ("PostgreSQL", "db:5432") into one about TLS, 08006; nil: it is about something else.
func (c *Options) Explain(system, address string, err error) *sqlerr.Error {
	e := func(format string, args ...any) *sqlerr.Error {
		return sqlerr.New(sqlerr.ConnectionFailure, format, args...).WithDetail("%v.", err).WithCause(err)
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var roots x509.SystemRootsError
	var remote *net.OpError
	switch {
	case errors.Is(err, ErrNoTLS):
		return e("%s at %s does not speak TLS, and ssl.mode is %s", system, address, c.Mode).
			WithHint("Switch TLS on at the server, or set the option ssl.mode to 'prefer' or 'disable'.")
	case errors.As(err, &name):
		return e("the certificate of %s at %s is for another name", system, address).
			WithHint("Name the server in the options as its certificate does, or set ssl.mode to 'verify-ca', which trusts every name of the authority.")
	case errors.As(err, &authority), errors.As(err, &roots):
		return e("the certificate of %s at %s does not come from a trusted authority", system, address).
			WithHint("Give the certificate of its authority in the option ssl.root.cert, or set ssl.mode to 'require', which trusts whoever answers.")
	case errors.As(err, &invalid):
		return e("the certificate of %s at %s is not valid", system, address).WithHint("Give the server a certificate that is.")
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert of the TLS protocol
		return e("%s at %s refuses the TLS connection", system, address).
			WithHint("If the server asks for a certificate, give one that its authority has signed in the options ssl.client.cert and ssl.client.key.")
	}
	return nil
}
