package pgwire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	scramPlain = "SCRAM-SHA-256"
	scramPlus  = "SCRAM-SHA-256-PLUS"
	// scramIterations and scramSaltBytes are PostgreSQL's.
	scramIterations = 4096
	scramSaltBytes  = 16
)

// ScramVerifier is what a server keeps of a password: enough to check it, too little to use it elsewhere.
type ScramVerifier struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// NewScramVerifier makes a verifier of password under a random salt.
func NewScramVerifier(password string) (*ScramVerifier, error) {
	salt := make([]byte, scramSaltBytes)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("draw salt: %w", err)
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		// As PostgreSQL: a password that SASLprep refuses is used as it is.
		if client, err = scram.SHA256.NewClientUnprepped("", password, ""); err != nil {
			return nil, fmt.Errorf("derive password verifier: %w", err)
		}
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: scramIterations})
	if err != nil {
		return nil, fmt.Errorf("derive password verifier: %w", err)
	}
	return &ScramVerifier{Iterations: scramIterations, Salt: salt, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, nil
}

// String is the form in which PostgreSQL keeps a verifier in pg_authid.rolpassword.
func (v *ScramVerifier) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", scramPlain, v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey))
}

// ParseScramVerifier reads the form that String writes; ok is false when s is something else.
func ParseScramVerifier(s string) (v *ScramVerifier, ok bool) {
	rest, ok := strings.CutPrefix(s, scramPlain+"$")
	if !ok {
		return nil, false
	}
	iterations, rest, _ := strings.Cut(rest, ":")
	salt, keys, _ := strings.Cut(rest, "$")
	stored, server, _ := strings.Cut(keys, ":")
	v = &ScramVerifier{}
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 {
		return nil, false
	}
	v.Iterations = n
	for _, part := range []struct {
		dst *[]byte
		src string
		n   int
	}{{&v.Salt, salt, 0}, {&v.StoredKey, stored, sha256.Size}, {&v.ServerKey, server, sha256.Size}} {
		b, err := base64.StdEncoding.DecodeString(part.src)
		if err != nil || len(b) == 0 || part.n > 0 && len(b) != part.n {
			return nil, false
		}
		*part.dst = b
	}
	return v, true
}

// mockVerifier is the verifier of a user who has none. It cannot be matched, and it is the same each
// time, so that asking twice does not tell who exists.
func mockVerifier(serverKey []byte, user string) *ScramVerifier {
	derive := func(what string) []byte {
		m := hmac.New(sha256.New, serverKey)
		m.Write([]byte(what + "\x00" + user))
		return m.Sum(nil)
	}
	return &ScramVerifier{
		Iterations: scramIterations, Salt: derive("salt")[:scramSaltBytes],
		StoredKey: derive("stored"), ServerKey: derive("server"),
	}
}

// channelBinding is what ties an exchange to this TLS connection. It needs the certificate that the client
// saw, which crypto/tls tells a server only when there is no choice.
func channelBinding(cfg *tls.Config) (scram.ChannelBinding, bool) {
	if cfg == nil || len(cfg.Certificates) != 1 || cfg.GetCertificate != nil || cfg.GetConfigForClient != nil {
		return scram.ChannelBinding{}, false
	}
	leaf := cfg.Certificates[0].Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cfg.Certificates[0].Certificate[0]); err != nil {
			return scram.ChannelBinding{}, false
		}
	}
	b, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
	return b, err == nil
}

// authenticate runs the exchange that proves user's password.
func (c *conn) authenticate(user string) error {
	v, required := c.srv.backend.Password(user)
	if !required {
		return nil
	}
	known := v != nil
	if !known {
		v = mockVerifier(c.srv.mockKey, user)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
			StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
		}, nil
	})
	if err != nil {
		return fatal(sqlerr.New(sqlerr.InternalError, "authentication is not possible").WithCause(err))
	}
	mechanisms, talk := []string{scramPlain}, server.NewConversation()
	if b, ok := channelBinding(c.srv.opts.TLS); ok && c.tls {
		mechanisms, talk = []string{scramPlus, scramPlain}, server.NewConversationWithChannelBinding(b)
	}
	if err := c.exchange(mechanisms, talk); err != nil {
		return err
	}
	if !known || !talk.Valid() {
		return fatal(wrongPassword(user))
	}
	return nil
}

func wrongPassword(user string) *sqlerr.Error {
	return sqlerr.New(sqlerr.InvalidPassword, `password authentication failed for user "%s"`, user)
}

// exchange passes the four messages of a SASL conversation; whether it succeeded is talk's to say.
func (c *conn) exchange(mechanisms []string, talk *scram.ServerConversation) error {
	c.out.send(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	body, err := c.password()
	if err != nil {
		return err
	}
	f := fields{rest: body}
	mechanism := string(f.cstring())
	first := f.value()
	if err := f.done(); err != nil {
		return err
	}
	if mechanism != scramPlain && (mechanism != scramPlus || len(mechanisms) == 1) {
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "client selected an invalid SASL authentication mechanism"))
	}
	answer, err := talk.Step(string(first))
	if err != nil {
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "malformed SCRAM message").WithDetail("%v", err))
	}
	c.out.send(&pgproto3.AuthenticationSASLContinue{Data: []byte(answer)})
	if body, err = c.password(); err != nil {
		return err
	}
	answer, err = talk.Step(string(body))
	if err != nil || !talk.Valid() {
		return nil
	}
	c.out.send(&pgproto3.AuthenticationSASLFinal{Data: []byte(answer)})
	return nil
}

// password reads a message of the authentication.
func (c *conn) password() ([]byte, error) {
	c.out.asked = true
	typ, body, err := c.in.next()
	if err != nil {
		return nil, c.readError(err)
	}
	if typ != 'p' {
		return nil, fatal(sqlerr.New(sqlerr.ProtocolViolation, "expected SASL response, got message type %d", typ))
	}
	return body, nil
}
