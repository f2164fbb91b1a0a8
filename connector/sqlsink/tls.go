package sqlsink

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Verified is the TLS configuration for the modes verify-ca, which checks the server's certificate, and verify-full,
// which checks its name as well.
func (c *Options) Verified() (*tls.Config, error) {
	t := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if c.SSLRootCert != "" {
		pem, err := os.ReadFile(c.SSLRootCert)
		t.RootCAs = x509.NewCertPool()
		if err != nil || !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"ssl.root.cert\" names %q, which holds no certificate", c.SSLRootCert).WithCause(err)
		}
	}
	if c.SSLMode == "verify-full" {
		return t, nil
	}
	t.InsecureSkipVerify = true // the name only: the chain is verified here
	t.VerifyConnection = func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: t.RootCAs, Intermediates: between})
		return err
	}
	return t, nil
}
