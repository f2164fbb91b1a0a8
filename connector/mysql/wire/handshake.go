package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Config says where and as whom to connect.
type Config struct {
	Addr     string // host:port
	User     string
	Password string
	Database string // "" for none
	// TLS, when set, is used; TLSPreferred goes on without it when the server has none.
	TLS          *tls.Config
	TLSPreferred bool
	// Timeout bounds connecting, and each query that has no other bound. 0: 10 s.
	Timeout time.Duration
}

// Capability flags that we use.
const (
	clientLongPassword     = 1 << 0
	clientLongFlag         = 1 << 2
	clientConnectWithDB    = 1 << 3
	clientProtocol41       = 1 << 9
	clientSSL              = 1 << 11
	clientTransactions     = 1 << 13
	clientSecureConnection = 1 << 15
	clientPluginAuth       = 1 << 19
	clientLenencAuth       = 1 << 21
	clientDeprecateEOF     = 1 << 24
)

const utf8mb4General = 45

// ErrNoTLS says that a server does not speak TLS although it must.
var ErrNoTLS = errors.New("the server does not support TLS")

// greeting is what a server says first.
type greeting struct {
	version      string
	id           uint32
	salt         []byte
	capabilities uint32
	plugin       string
}

// Connect opens a connection and logs in. A server's refusal is an *Error.
func Connect(ctx context.Context, cfg *Config) (*Conn, error) {
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: 15 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{net: nc, buf: make([]byte, 64<<10), addr: cfg.Addr}
	release, err := c.bound(ctx, timeout)
	if err == nil {
		err = c.login(ctx, cfg)
		release()
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, because(ctx, err)
	}
	return c, nil
}

func (c *Conn) login(ctx context.Context, cfg *Config) error {
	p, err := c.read()
	if err != nil {
		return err
	}
	g, err := parseGreeting(p)
	if err != nil {
		return err
	}
	c.Version, c.ID = g.version, g.id
	c.MariaDB = strings.Contains(strings.ToLower(g.version), "mariadb")
	flags := uint32(clientLongPassword | clientLongFlag | clientProtocol41 | clientTransactions | clientSecureConnection |
		clientPluginAuth | clientLenencAuth | clientDeprecateEOF)
	if cfg.Database != "" {
		flags |= clientConnectWithDB
	}
	secure := cfg.TLS != nil
	if secure && g.capabilities&clientSSL == 0 {
		if !cfg.TLSPreferred {
			return ErrNoTLS
		}
		secure = false
	}
	if secure {
		flags |= clientSSL
	}
	flags &= g.capabilities | clientConnectWithDB
	c.capabilities = flags
	head := make([]byte, 32)
	binary.LittleEndian.PutUint32(head, flags)
	binary.LittleEndian.PutUint32(head[4:], 1<<30)
	head[8] = utf8mb4General
	if secure {
		if err := c.upgrade(ctx, cfg.TLS, head); err != nil {
			return err
		}
	}
	a := &authenticator{conn: c, user: cfg.User, password: cfg.Password, secure: secure, salt: g.salt}
	answer, err := a.first(g.plugin)
	if err != nil {
		return err
	}
	body := append(head, cfg.User...)
	body = append(body, 0)
	if flags&clientLenencAuth != 0 {
		body = appendLenenc(body, uint64(len(answer)))
	} else {
		body = append(body, byte(len(answer)))
	}
	body = append(body, answer...)
	if cfg.Database != "" {
		body = append(append(body, cfg.Database...), 0)
	}
	body = append(append(body, a.plugin...), 0)
	if err := c.write(body); err != nil {
		return err
	}
	return a.finish()
}

// upgrade asks for TLS and goes on with it.
func (c *Conn) upgrade(ctx context.Context, config *tls.Config, head []byte) error {
	if err := c.write(head); err != nil {
		return err
	}
	t := tls.Client(c.net, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.net = t
	return nil
}

func parseGreeting(p []byte) (*greeting, error) {
	if len(p) > 0 && p[0] == 0xff {
		return nil, asError(p) // too many connections, host blocked
	}
	if len(p) == 0 || p[0] != 10 {
		return nil, errors.New("the server does not speak MySQL's protocol 10")
	}
	end := bytes.IndexByte(p, 0)
	if end < 0 || len(p) < end+1+4+8+1+2 {
		return nil, errors.New("the server's greeting is too short")
	}
	g := &greeting{version: string(p[1:end])}
	p = p[end+1:]
	g.id = binary.LittleEndian.Uint32(p)
	g.salt = append(g.salt, p[4:12]...)
	g.capabilities = uint32(binary.LittleEndian.Uint16(p[13:]))
	p = p[15:]
	if g.capabilities&clientProtocol41 == 0 {
		return nil, errors.New("the server is older than MySQL 4.1")
	}
	if len(p) < 16 {
		return g, nil
	}
	g.capabilities |= uint32(binary.LittleEndian.Uint16(p[3:])) << 16
	rest := max(13, int(p[5])-8)
	p = p[16:]
	if len(p) < rest {
		return nil, errors.New("the server's greeting is too short")
	}
	g.salt = append(g.salt, bytes.TrimSuffix(p[:rest], []byte{0})...)
	g.plugin = string(bytes.TrimSuffix(p[rest:], []byte{0}))
	return g, nil
}
