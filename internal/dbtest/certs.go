package dbtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for a test.
type Authority struct {
	File string // its own certificate, PEM
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority whose files are gone with the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr-ca")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // a server that runs as another user reads it
		t.Fatal(err)
	}
	a := &Authority{dir: dir}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	a.File, _, a.key = a.sign(t, "ca", a.cert)
	return a
}

// Issue makes a certificate for a host or user of that name, and returns the files of it and its key.
func (a *Authority) Issue(t testing.TB, name string) (cert, key string) {
	t.Helper()
	cert, key, _ = a.sign(t, name, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)})
	return cert, key
}

func (a *Authority) sign(t testing.TB, name string, c *x509.Certificate) (certFile, keyFile string, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := a.key
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(ending, kind string, der []byte, mode os.FileMode) string {
		path := filepath.Join(a.dir, name+ending)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(".crt", "CERTIFICATE", der, 0o644), write(".key", "PRIVATE KEY", private, 0o600), key
}

// ServeTLS makes the server speak TLS as localhost, with a certificate of a, and ask clients for theirs, from the next Start on.
func (s *Server) ServeTLS(t testing.TB, a *Authority) {
	t.Helper()
	cert, key := a.Issue(t, "localhost")
	if err := s.Own(key); err != nil {
		t.Fatal(err)
	}
	if s.db != nil {
		s.Args = append(s.Args, "--ssl-ca="+a.File, "--ssl-cert="+cert, "--ssl-key="+key)
		return
	}
	s.Args = append(s.Args, "-c", "ssl=on", "-c", "ssl_ca_file="+a.File, "-c", "ssl_cert_file="+cert, "-c", "ssl_key_file="+key)
}
