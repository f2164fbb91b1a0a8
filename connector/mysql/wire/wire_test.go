package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// peer is the server's side of a connection.
type peer struct {
	net.Conn
	seq byte
}

func (p *peer) send(payload []byte) {
	for {
		n := min(len(payload), maxPayload)
		head := make([]byte, 4)
		binary.LittleEndian.PutUint32(head, uint32(n)|uint32(p.seq)<<24)
		p.seq++
		if _, err := p.Write(append(head, payload[:n]...)); err != nil {
			return
		}
		payload = payload[n:]
		if n < maxPayload {
			return
		}
	}
}

func (p *peer) receive() []byte {
	head := make([]byte, 4)
	if _, err := readFull(p, head); err != nil {
		return nil
	}
	p.seq = head[3] + 1
	b := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	if _, err := readFull(p, b); err != nil {
		return nil
	}
	return b
}

func readFull(c net.Conn, b []byte) (int, error) {
	for n := 0; n < len(b); {
		k, err := c.Read(b[n:])
		if n += k; err != nil {
			return n, err
		}
	}
	return len(b), nil
}

var salt = []byte("abcdefghijklmnopqrst")

func (p *peer) greet(plugin string, flags uint32) {
	flags |= clientProtocol41 | clientSecureConnection | clientPluginAuth | clientLenencAuth | clientConnectWithDB
	b := append([]byte{10}, "8.0.36\x00"...)
	b = append(b, 7, 0, 0, 0)
	b = append(append(b, salt[:8]...), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(flags))
	b = append(b, 45, 2, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(flags>>16))
	b = append(append(b, 21), make([]byte, 10)...)
	b = append(append(b, salt[8:]...), 0)
	p.send(append(append(b, plugin...), 0))
}

// answer takes what the client sends for the password out of its response.
func answer(t *testing.T, b []byte) []byte {
	if len(b) < 33 {
		t.Errorf("a response of %d bytes", len(b))
		return nil
	}
	_, rest, _ := cutZero(b[32:])
	s, _, ok := lenencBytes(rest)
	if !ok {
		t.Error("the response has no answer")
	}
	return s
}

// serve runs one connection of a server.
func serve(t *testing.T, f func(p *peer)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // the clean-up waits
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		f(&peer{Conn: c})
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

var ok = []byte{0, 0, 0, 2, 0, 0, 0}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCachingSHA2 logs in as MySQL 8 asks for it: with a password that the server has in its cache, with one that it has not, over TLS and under its RSA key.
func TestCachingSHA2(t *testing.T) {
	const password = "pässword"
	check := func(t *testing.T, got []byte) {
		if !bytes.Equal(got, scrambleSHA2(password, salt)) {
			t.Errorf("the answer is %x", got)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tls   bool
		serve func(t *testing.T, p *peer)
	}{
		"cached": {false, func(t *testing.T, p *peer) {
			p.greet(cachingSHA2, 0)
			check(t, answer(t, p.receive()))
			p.send([]byte{1, 3})
			p.send(ok)
		}},
		"rsa": {false, func(t *testing.T, p *peer) {
			p.greet(cachingSHA2, 0)
			check(t, answer(t, p.receive()))
			p.send([]byte{1, 4})
			if b := p.receive(); !bytes.Equal(b, []byte{2}) {
				t.Errorf("asks for the key with %x", b)
			}
			der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
			if err != nil {
				t.Error(err)
			}
			p.send(append([]byte{1}, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...))
			plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, p.receive(), nil)
			if err != nil {
				t.Error(err)
			}
			for i := range plain {
				plain[i] ^= salt[i%len(salt)]
			}
			if string(plain) != password+"\x00" {
				t.Errorf("the password is %q", plain)
			}
			p.send(ok)
		}},
		"tls": {true, func(t *testing.T, p *peer) {
			p.greet(cachingSHA2, clientSSL)
			p.receive()
			s := tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
			p.Conn = s
			check(t, answer(t, p.receive()))
			p.send([]byte{1, 4})
			if b := p.receive(); string(b) != password+"\x00" {
				t.Errorf("the password is %q", b)
			}
			p.send(ok)
		}},
		"switched": {false, func(t *testing.T, p *peer) {
			p.greet(nativePassword, 0)
			p.receive()
			p.send(append(append(append([]byte{0xfe}, cachingSHA2...), 0), append(bytes.Clone(salt), 0)...))
			check(t, p.receive())
			p.send([]byte{1, 3})
			p.send(ok)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{Addr: serve(t, func(p *peer) { c.serve(t, p) }), User: "u", Password: password}
			if c.tls {
				cfg.TLS = &tls.Config{InsecureSkipVerify: true}
			}
			conn, err := Connect(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
}

// TestClearPassword: a password is not given in clear text to a server without TLS, whoever asks.
func TestClearPassword(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.greet(nativePassword, 0)
		p.receive()
		p.send(append(append([]byte{0xfe}, clearPassword...), 0))
		if b := p.receive(); b != nil {
			t.Errorf("the client sent %q", b)
		}
	})
	if _, err := Connect(t.Context(), &Config{Addr: addr, User: "u", Password: "secret"}); err == nil || !strings.Contains(err.Error(), "over TLS only") {
		t.Error(err)
	}
	addr = serve(t, func(p *peer) { p.greet(nativePassword, 0) })
	if _, err := Connect(t.Context(), &Config{Addr: addr, User: "u", TLS: &tls.Config{}}); !errors.Is(err, ErrNoTLS) {
		t.Error(err)
	}
}

// TestEd25519 signs as MariaDB's test vectors do.
func TestEd25519(t *testing.T) {
	a, err := signEd25519("foobar", bytes.Repeat([]byte{7}, 32))
	if err != nil || len(a) != 64 {
		t.Fatalf("%x, %v", a, err)
	}
	b, _ := signEd25519("foobar", bytes.Repeat([]byte{8}, 32))
	if bytes.Equal(a, b) {
		t.Error("the salt makes no difference")
	}
}

// TestEvents: an event of several packets is put together, and reading that was interrupted goes on where it was.
func TestEvents(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), maxPayload/10*2/10*10)
	next := make(chan struct{})
	addr := serve(t, func(p *peer) {
		p.greet(nativePassword, clientDeprecateEOF)
		p.receive()
		p.send(ok)
		p.receive() // the dump
		p.send(append([]byte{0}, large...))
		half := append([]byte{0}, "slow"...)
		head := []byte{byte(len(half)), 0, 0, p.seq}
		p.seq++
		p.Write(head)
		p.Write(half[:2])
		<-next
		p.Write(half[2:])
		<-next
		p.send(append([]byte{0xff, 0xd4, 0x04}, "#HY000purged"...))
		<-next
		p.send([]byte{0xfe, 0, 0, 2, 0})
	})
	c, err := Connect(t.Context(), &Config{Addr: addr, User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Dump(t.Context(), 5, "binlog.000001", 4); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Event(t.Context(), time.Minute); err != nil || !bytes.Equal(e, large) {
		t.Fatalf("%d bytes, %v", len(e), err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := c.Event(ctx, time.Minute)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	next <- struct{}{}
	if e, err := c.Event(t.Context(), time.Minute); err != nil || string(e) != "slow" {
		t.Fatalf("%q, %v", e, err)
	}
	var timeout net.Error
	if _, err := c.Event(t.Context(), 10*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("a silent server: %v", err)
	}
	next <- struct{}{}
	if _, err := c.Event(t.Context(), time.Minute); CodeOf(err) != ErrBinlog {
		t.Fatal(err)
	}
	next <- struct{}{}
	if _, err := c.Event(t.Context(), time.Minute); !errors.Is(err, ErrDumpEnded) {
		t.Fatal(err)
	}
}

// TestOldResult reads a result of a server that ends parts with EOF packets.
func TestOldResult(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.greet(nativePassword, 0)
		p.receive()
		p.send(ok)
		p.receive()
		eof := []byte{0xfe, 0, 0, 2, 0}
		p.send([]byte{2})
		p.send([]byte("column"))
		p.send([]byte("column"))
		p.send(eof)
		p.send([]byte{1, 'a', 0xfb})
		p.send(append([]byte{0xfc, 0x2c, 1}, append(bytes.Repeat([]byte("x"), 300), 0)...))
		p.send(eof)
	})
	c, err := Connect(t.Context(), &Config{Addr: addr, User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	err = c.Query(t.Context(), "SELECT", func(v [][]byte) error {
		null := ""
		if v[1] == nil {
			null = " NULL"
		}
		got = append(got, string(v[0])+null)
		return nil
	})
	if err != nil || len(got) != 2 || got[0] != "a NULL" || got[1] != strings.Repeat("x", 300) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzServer lets a server say anything.
func FuzzServer(f *testing.F) {
	f.Add([]byte("\x4a\x00\x00\x00\x0a8.0.36\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseGreeting(b); err == nil && len(b) < 30 {
			t.Errorf("a greeting of %d bytes", len(b))
		}
		for p, ok := b, true; ok && len(p) > 0; {
			_, p, ok = lenencBytes(p)
		}
		if len(b) > 0 {
			_ = asError(b)
		}
	})
}
