package pgwire

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/sqlerr"
)

// The codes that stand in the place of a protocol version.
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSSENC = 1234<<16 | 5680
	// newestMinor is the newest minor version of protocol 3 that we speak. What 3.2 adds is cancel keys
	// longer than shortKeyBytes.
	newestMinor   = 2
	longKeyBytes  = 32
	shortKeyBytes = 4
)

// open takes the connection from its first byte to its first ReadyForQuery. served is false when there
// will be none and there is nothing to say, as after a cancel request.
func (c *conn) open() (served bool, err error) {
	body, err := c.firstPacket()
	if err != nil || body == nil {
		return false, err
	}
	start, err := c.parameters(body)
	if err != nil {
		return false, err
	}
	if err := c.srv.admit(c); err != nil {
		return false, fatal(err)
	}
	if err := c.authenticate(start.User); err != nil {
		return false, err
	}
	c.out.send(&pgproto3.AuthenticationOk{})
	start.PID, start.Secret = c.pid, binary.BigEndian.Uint32(c.secret)
	start.Cancel, start.Terminate = c.cancel, c.kill
	start.Remote, start.TLS = c.remote, c.tls
	if c.sess, err = c.srv.backend.Open(c.life, *start); err != nil {
		e, internal := clientError(err, c.pid)
		if internal {
			c.srv.log.Error("open session", "session", c.pid, "err", err)
		}
		return false, fatal(e)
	}
	c.mu.Lock()
	c.mu.key = c.secret
	c.mu.Unlock()
	c.sendParameters(c.sess.ParameterStatus())
	c.out.send(&pgproto3.BackendKeyData{ProcessID: c.pid, SecretKey: c.secret})
	c.ready()
	return true, nil
}

// firstPacket answers requests for encryption and returns the startup message; nil after a cancel request.
func (c *conn) firstPacket() ([]byte, error) {
	var askedSSL, askedGSS bool
	for {
		body, err := c.in.startup()
		if err != nil {
			return nil, c.readError(err)
		}
		switch code := binary.BigEndian.Uint32(body); {
		case code == codeCancel:
			c.srv.cancelRequest(body[4:])
			return nil, nil
		case code == codeSSL && !askedSSL && !c.tls:
			askedSSL = true
			err = c.startTLS()
		case code == codeGSSENC && !askedGSS:
			askedGSS = true
			err = c.answer('N')
		default:
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// answer writes a single byte, the reply to a request for encryption.
func (c *conn) answer(b byte) error {
	c.out.buf = append(c.out.buf, b)
	if err := c.out.flush(); err != nil {
		return &lost{err}
	}
	return nil
}

// startTLS answers an SSLRequest and, where TLS is configured, shakes hands.
func (c *conn) startTLS() error {
	if c.srv.opts.TLS == nil {
		return c.answer('N')
	}
	// Bytes that came with the request were not encrypted: somebody in between may have put them there.
	if c.in.buffered() > 0 {
		return fatal(sqlerr.New(sqlerr.ProtocolViolation, "received unencrypted data after SSL request"))
	}
	if err := c.answer('S'); err != nil {
		return err
	}
	t := tls.Server(c.net, c.srv.opts.TLS)
	if err := t.Handshake(); err != nil {
		return &lost{fmt.Errorf("shake hands: %w", err)}
	}
	c.setTransport(t)
	c.tls = true
	return nil
}

// parameters reads a startup message and settles the protocol version.
func (c *conn) parameters(body []byte) (*Startup, error) {
	version := binary.BigEndian.Uint32(body)
	major, minor := version>>16, version&0xffff
	if major != 3 {
		return nil, fatal(sqlerr.New(sqlerr.FeatureNotSupported,
			"unsupported frontend protocol %d.%d: server supports 3.0 to 3.%d", major, minor, newestMinor))
	}
	start := &Startup{Params: map[string]string{}}
	unknown, err := start.read(body[4:])
	if err != nil {
		return nil, err
	}
	if minor > newestMinor || len(unknown) > 0 {
		c.out.send(&pgproto3.NegotiateProtocolVersion{
			NewestMinorProtocol: 3<<16 | min(minor, newestMinor), UnrecognizedOptions: unknown,
		})
	}
	if minor < 2 {
		c.secret = c.secret[:shortKeyBytes]
	}
	return start, nil
}

// read takes the name/value pairs of a startup message; unknown lists protocol options we do not know.
func (s *Startup) read(body []byte) (unknown []string, err error) {
	f := fields{rest: body}
	for {
		name := string(f.cstring())
		if name == "" {
			break
		}
		value := f.cstring()
		if err := checkUTF8(append([]byte(name), value...)); err != nil {
			return nil, fatal(sqlerr.From(err))
		}
		if err := s.set(name, string(value)); err != nil {
			return nil, fatal(err)
		}
		if strings.HasPrefix(name, "_pq_.") {
			unknown = append(unknown, name)
		}
	}
	if f.bad != "" || len(f.rest) > 0 {
		return nil, fatal(sqlerr.New(sqlerr.ProtocolViolation,
			"invalid startup packet layout: expected terminator as last byte"))
	}
	if s.User == "" {
		return nil, fatal(sqlerr.New(sqlerr.InvalidAuthorization,
			"no PostgreSQL user name specified in startup packet"))
	}
	if s.Database == "" {
		s.Database = s.User
	}
	return unknown, nil
}

// set takes one pair of a startup message.
func (s *Startup) set(name, value string) *sqlerr.Error {
	switch {
	case name == "user":
		s.User = value
	case name == "database":
		s.Database = value
	case name == "options":
		return s.options(value)
	case name == "replication":
		switch strings.ToLower(value) {
		case "", "0", "false", "off", "no":
		default:
			return sqlerr.New(sqlerr.FeatureNotSupported, "replication connections are not supported")
		}
	case strings.HasPrefix(name, "_pq_."):
	default:
		if name == "application_name" {
			s.AppName = value
		}
		s.Params[name] = value
	}
	return nil
}

// options takes the command-line switches of the "options" parameter: -c name=value and --name=value.
func (s *Startup) options(text string) *sqlerr.Error {
	words := splitOptions(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		default:
			return sqlerr.New(sqlerr.SyntaxError, "invalid command-line argument for server process: %s", w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return sqlerr.New(sqlerr.SyntaxError, "-c %s requires a value", w)
		}
		name = strings.ReplaceAll(name, "-", "_")
		if name == "application_name" {
			s.AppName = value
		}
		s.Params[name] = value
	}
	return nil
}

// splitOptions splits at blanks; a backslash keeps the character after it.
func splitOptions(text string) (words []string) {
	var word []byte
	inWord := false
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == ' ' || ch >= '\t' && ch <= '\r':
			if inWord {
				words = append(words, string(word))
			}
			word, inWord = word[:0], false
			continue
		case ch == '\\' && i+1 < len(text):
			i++
		}
		word, inWord = append(word, text[i]), true
	}
	if inWord {
		words = append(words, string(word))
	}
	return words
}

// sendParameters reports settings, in the order of their names.
func (c *conn) sendParameters(params map[string]string) {
	if len(params) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		c.out.send(&pgproto3.ParameterStatus{Name: clean(name), Value: clean(params[name])})
	}
}
