package pgwire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// startupBytes is a startup message of any version.
func startupBytes(version uint32, pairs ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, version)
	for _, p := range pairs {
		body = append(append(body, p...), 0)
	}
	return lengthFirst(append(body, 0))
}

func lengthFirst(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func TestStartup(t *testing.T) {
	const v30, v32 = 3 << 16, 3<<16 | 2
	const parameters = `
		Parameter DateStyle=ISO, MDY
		Parameter client_encoding=UTF8
		Parameter integer_datetimes=on
		Parameter server_version=15.0
		Parameter standard_conforming_strings=on
		`
	tests := []struct {
		name string
		send []byte
		want string
	}{
		{"plain", startupBytes(v30, "user", "root", "database", "dev"),
			"AuthenticationOk\n" + parameters + "Key of 4 bytes\nReady I"},
		{"3.2 has long keys", startupBytes(v32, "user", "root"), "AuthenticationOk\n" + parameters + "Key of 32 bytes\nReady I"},
		{"newer minor version and options are negotiated", startupBytes(3<<16|9, "user", "root", "_pq_.x", "1"),
			"NegotiateProtocolVersion\nAuthenticationOk\n" + parameters + "Key of 32 bytes\nReady I"},
		{"version 2", startupBytes(2<<16, "user", "root"),
			"Error FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2\ngone"},
		{"no user", startupBytes(v30, "database", "dev"),
			"Error FATAL 28000 no PostgreSQL user name specified in startup packet\ngone"},
		{"unknown database", startupBytes(v30, "user", "root", "database", "nowhere"),
			"AuthenticationOk\nError FATAL 3D000 database \"nowhere\" does not exist\ngone"},
		{"open fails", startupBytes(v30, "user", "root", "database", "broken"),
			"AuthenticationOk\nError FATAL XX000 internal error detail=\"The server's log has the cause, under session 1.\"\ngone"},
		{"open panics", startupBytes(v30, "user", "root", "database", "panic"),
			"AuthenticationOk\nError FATAL XX000 internal error detail=\"The server's log has the cause, under session 1.\"\ngone"},
		{"replication", startupBytes(v30, "user", "root", "replication", "database"),
			"Error FATAL 0A000 replication connections are not supported\ngone"},
		{"no terminator", lengthFirst([]byte("\x00\x03\x00\x00user\x00root\x00")),
			"Error FATAL 08P01 invalid startup packet layout: expected terminator as last byte\ngone"},
		{"rest after terminator", lengthFirst([]byte("\x00\x03\x00\x00user\x00root\x00\x00x")),
			"Error FATAL 08P01 invalid startup packet layout: expected terminator as last byte\ngone"},
		{"not UTF-8", startupBytes(v30, "user", "r\xff"),
			"Error FATAL 22021 invalid byte sequence for encoding \"UTF8\": 0xff\ngone"},
		{"too short", []byte{0, 0, 0, 4}, "Error FATAL 08P01 invalid length of startup packet\ngone"},
		{"another protocol", []byte("GET / HTTP/1.1\r\n\r\n"), "Error FATAL 08P01 invalid length of startup packet\ngone"},
		{"bad option", startupBytes(v30, "user", "root", "options", "-x"),
			"Error FATAL 42601 invalid command-line argument for server process: -x\ngone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := serveFake(t, newFakeBackend(), Options{})
			c := dialRaw(t, addr)
			c.sendBytes(tt.send)
			expect(t, c.until("Ready"), tt.want)
		})
	}
}

func TestStartupParameters(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	c := dialRaw(t, addr)
	c.sendBytes(startupBytes(3<<16, "user", "ann", "application_name", "app", "TimeZone", "UTC",
		"options", `-c work_mem=1 --search-path=a\ b -cx=y`))
	c.until("Ready")
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.started
	if p.User != "ann" || p.Database != "ann" || p.AppName != "app" || p.PID != c.pid || p.Secret != binary.BigEndian.Uint32(c.key) {
		t.Errorf("startup %+v", p)
	}
	for name, want := range map[string]string{"application_name": "app", "TimeZone": "UTC", "work_mem": "1", "search_path": "a b", "x": "y"} {
		if p.Params[name] != want {
			t.Errorf("%s = %q, want %q", name, p.Params[name], want)
		}
	}
	if p.Remote != c.nc.LocalAddr().String() {
		t.Errorf("remote %s", p.Remote)
	}
}

func TestEncryptionDeclined(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{})
	c := dialRaw(t, addr)
	for _, code := range []uint32{codeGSSENC, codeSSL} {
		c.sendBytes(lengthFirst(binary.BigEndian.AppendUint32(nil, code)))
		var b [1]byte
		if _, err := c.nc.Read(b[:]); err != nil || b[0] != 'N' {
			t.Fatalf("answer %q, %v", b, err)
		}
	}
	c.sendBytes(startupBytes(3<<16, "user", "root"))
	if got := c.until("Ready"); !strings.HasSuffix(got, "Ready I\n") {
		t.Error(got)
	}
}

// testTLS makes a configuration with a fresh certificate for 127.0.0.1.
func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestBytesBeforeTLSAreRefused(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{TLS: testTLS(t)})
	c := dialRaw(t, addr)
	c.sendBytes(append(lengthFirst(binary.BigEndian.AppendUint32(nil, codeSSL)), startupBytes(3<<16, "user", "root")...))
	expect(t, c.until("Ready"), "Error FATAL 08P01 received unencrypted data after SSL request\ngone")
}

func TestMalformedMessagesEndTheConnection(t *testing.T) {
	msg := func(typ byte, body string) []byte { return append([]byte{typ}, lengthFirst([]byte(body))...) }
	tests := []struct {
		name string
		send []byte
		want string
	}{
		{"unknown type", msg('@', ""), "invalid frontend message type 64"},
		{"password out of place", msg('p', "x\x00"), "message of type 112 does not belong here"},
		{"length below 4", []byte{'Q', 0, 0, 0, 3}, "invalid message length"},
		{"negative length", []byte{'Q', 0xff, 0xff, 0xff, 0xff}, "invalid message length"},
		{"too long", []byte{'Q', 0x7f, 0xff, 0xff, 0xff}, "message of 2147483643 bytes is over the limit of 1048576 bytes"},
		{"too long for its type", []byte{'S', 0, 0xff, 0, 0}, "message of 16711676 bytes is over the limit of 10000 bytes"},
		{"query without end", msg('Q', "select 1"), "invalid string in message"},
		{"query with zero byte", msg('Q', "rows\x001\x00"), "invalid message format"},
		{"parse cut short", msg('P', "\x00rows 1\x00\x00"), "insufficient data left in message"},
		{"parse with missing types", msg('P', "\x00rows 1\x00\x00\x02\x00\x00\x00\x01"), "insufficient data left in message"},
		{"bind without end", append(msg('P', "\x00add $1 $2\x00\x00\x00"), msg('B', "\x00\x00\x00\x00\x00\x02\x00\x00\x00\x01")...), "insufficient data left in message"},
		{"bind with negative length", append(msg('P', "\x00echo $1\x00\x00\x00"), msg('B', "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00")...), "insufficient data left in message"},
		{"describe of what", msg('D', "Z\x00"), "invalid DESCRIBE message subtype 90"},
		{"close of what", msg('C', "Z\x00"), "invalid CLOSE message subtype 90"},
		{"execute cut short", msg('E', "\x00\x00"), "insufficient data left in message"},
		{"query during COPY", append(msg('Q', "copyin\x00"), msg('Q', "rows 1\x00")...), "unexpected message type 0x51 during COPY from stdin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBackend()
			addr, stop := serveFake(t, b, Options{MaxMessageBytes: 1 << 20})
			c := connect(t, addr)
			c.sendBytes(tt.send)
			got := c.until("Ready")
			if !strings.HasSuffix(got, "Error FATAL 08P01 "+tt.want+"\ngone\n") {
				t.Errorf("got:\n%s", got)
			}
			stop()
			if got := b.take(); strings.Count(got, "closed") != 1 {
				t.Errorf("session saw %q", got)
			}
		})
	}
}

func TestTruncatedMessage(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	c := connect(t, addr)
	c.sendBytes([]byte{'Q', 0, 0, 0, 100, 'r', 'o'})
	c.nc.(*net.TCPConn).CloseWrite()
	expect(t, c.until("Ready"), "Error FATAL 08P01 unexpected end of message\ngone")
}

func TestPanicEndsItsSessionOnly(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	other, c := connect(t, addr), connect(t, addr)
	expect(t, c.query("insert; boom"), `
		Complete INSERT 0 1
		Error FATAL XX000 internal error detail="The server's log has the cause, under session 2."
		gone`)
	if got := other.query("rows 0"); !strings.HasSuffix(got, "Ready I\n") {
		t.Error(got)
	}
	waitFor(t, func() bool { return strings.Contains(b.take(), "closed") })
}

// waitFor waits for something another goroutine is about to do.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

func TestCancel(t *testing.T) {
	for _, version := range []uint32{pgproto3.ProtocolVersion30, pgproto3.ProtocolVersion32} {
		b := newFakeBackend()
		addr, _ := serveFake(t, b, Options{})
		c := dialRaw(t, addr)
		c.sendBytes(startupBytes(version, "user", "root"))
		c.until("Ready")
		cancel := func(key []byte) {
			r := dialRaw(t, addr)
			r.send(&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: key})
			expect(t, r.until("Ready"), "gone") // the server has taken note when it hangs up
		}
		cancel(c.key) // nothing is running: no effect, also not on what comes
		c.send(&pgproto3.Query{String: "wait; insert"})
		<-b.waiting
		wrong := append([]byte(nil), c.key...)
		wrong[0] ^= 1
		cancel(wrong)
		cancel(c.key)
		expect(t, c.until("Ready"), "Error ERROR 57014 canceling statement due to user request\nReady I")
		expect(t, c.query("rows 0"), "Row id:20/0 name:25/0\nComplete SELECT 0\nReady I")
		if got := b.take(); got != "end(true); end(false)" {
			t.Errorf("session saw %q", got)
		}
	}
}

func TestVanishedClient(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"idle", "", "closed"},
		{"in a statement", "wait", "end(true); closed"},
		{"in COPY", "copyin", "abort(XX000); end(true); closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBackend()
			addr, _ := serveFake(t, b, Options{VanishedCheck: 5 * time.Millisecond})
			c := connect(t, addr)
			switch tt.name {
			case "in a statement":
				c.send(&pgproto3.Query{String: tt.sql})
				<-b.waiting
			case "in COPY":
				c.send(&pgproto3.Query{String: tt.sql})
				c.until("CopyIn")
				c.send(&pgproto3.CopyData{Data: []byte("1\t")})
			}
			c.nc.Close()
			var saw []string
			waitFor(t, func() bool {
				if s := b.take(); s != "" {
					saw = append(saw, s)
				}
				return len(saw) > 0 && strings.HasSuffix(saw[len(saw)-1], "closed")
			})
			if got := strings.Join(saw, "; "); got != tt.want {
				t.Errorf("session saw %q, want %q", got, tt.want)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	const goodbye = "Error FATAL 57P01 terminating connection due to administrator command\ngone"
	b := newFakeBackend()
	addr, stop := serveFake(t, b, Options{DrainTimeout: 50 * time.Millisecond})
	idle, busy, copying, silent := connect(t, addr), connect(t, addr), connect(t, addr), dialRaw(t, addr)
	busy.send(&pgproto3.Query{String: "wait"})
	<-b.waiting
	copying.send(&pgproto3.Query{String: "copyin"})
	copying.until("CopyIn")
	silent.sendBytes([]byte{0})
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	expect(t, idle.until("never"), goodbye)
	expect(t, copying.until("never"), goodbye)
	expect(t, busy.until("never"), "Error ERROR 57P01 terminating connection due to administrator command\nReady I\n"+goodbye)
	silent.until("never")
	<-stopped
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still listening")
	}
	if got := strings.Count(b.take(), "closed"); got != 3 {
		t.Errorf("%d sessions closed", got)
	}
}

func TestTerminateAndLimits(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{MaxConnections: 1})
	c := connect(t, addr)
	second := dialRaw(t, addr)
	second.sendBytes(startupBytes(3<<16, "user", "root"))
	expect(t, second.until("Ready"), "Error FATAL 53300 sorry, too many clients already\ngone")
	b.mu.Lock()
	kill := b.started.Terminate
	b.mu.Unlock()
	kill()
	expect(t, c.until("Ready"), "Error FATAL 57P01 terminating connection due to administrator command\ngone")
	waitFor(t, func() bool { return strings.Contains(b.take(), "closed") })
	waitFor(t, func() bool {
		third := dialRaw(t, addr)
		third.sendBytes(startupBytes(3<<16, "user", "root"))
		return strings.HasSuffix(third.until("Ready"), "Ready I\n")
	})
}

func TestAuthenticationTimeout(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{AuthTimeout: 5 * time.Millisecond})
	c := dialRaw(t, addr)
	expect(t, c.until("Ready"), "Error FATAL 08P01 canceling authentication due to timeout\ngone")
}
