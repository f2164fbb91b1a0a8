package pgwire

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// serveFake serves b on a port of its own and stops at the end of the test.
func serveFake(t testing.TB, b Backend, o Options) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, b, o) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// client is a raw client: it sends messages and prints what comes back.
type client struct {
	t    testing.TB
	nc   net.Conn
	f    *pgproto3.Frontend
	pid  uint32
	key  []byte
	seen map[string]string // parameter status
}

func dialRaw(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs fails
	return &client{t: t, nc: nc, f: pgproto3.NewFrontend(nc, nc), seen: map[string]string{}}
}

// connect dials and starts a session.
func connect(t testing.TB, addr string) *client {
	t.Helper()
	c := dialRaw(t, addr)
	c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters: map[string]string{"user": "root", "database": "dev"}})
	got := c.until("Ready")
	if !strings.HasSuffix(got, "Ready I\n") {
		t.Fatalf("start-up: %s", got)
	}
	return c
}

func (c *client) send(msgs ...pgproto3.FrontendMessage) {
	c.t.Helper()
	for _, m := range msgs {
		c.f.Send(m)
	}
	if err := c.f.Flush(); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) sendBytes(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// until prints messages up to the first that starts with last, or the end of the connection.
func (c *client) until(last string) string {
	c.t.Helper()
	var b strings.Builder
	for {
		m, err := c.f.Receive()
		if err != nil {
			fmt.Fprintf(&b, "gone\n")
			return b.String()
		}
		line := c.print(m)
		b.WriteString(line + "\n")
		if strings.HasPrefix(line, last) {
			return b.String()
		}
	}
}

// ask sends messages and prints the answer up to ReadyForQuery.
func (c *client) ask(msgs ...pgproto3.FrontendMessage) string {
	c.t.Helper()
	c.send(msgs...)
	return c.until("Ready")
}

func (c *client) query(sql string) string {
	c.t.Helper()
	return c.ask(&pgproto3.Query{String: sql})
}

func (c *client) print(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.ReadyForQuery:
		return "Ready " + string(m.TxStatus)
	case *pgproto3.BackendKeyData:
		c.pid, c.key = m.ProcessID, append([]byte(nil), m.SecretKey...)
		return fmt.Sprintf("Key of %d bytes", len(m.SecretKey))
	case *pgproto3.ParameterStatus:
		c.seen[m.Name] = m.Value
		return "Parameter " + m.Name + "=" + m.Value
	case *pgproto3.RowDescription:
		s := "Row"
		for _, f := range m.Fields {
			s += fmt.Sprintf(" %s:%d/%d", f.Name, f.DataTypeOID, f.Format)
		}
		return s
	case *pgproto3.DataRow:
		s := "Data"
		for _, v := range m.Values {
			if v == nil {
				s += " NULL"
			} else {
				s += fmt.Sprintf(" %q", v)
			}
		}
		return s
	case *pgproto3.CommandComplete:
		return "Complete " + string(m.CommandTag)
	case *pgproto3.ErrorResponse:
		return "Error " + printResponse(m)
	case *pgproto3.NoticeResponse:
		return "Notice " + printResponse((*pgproto3.ErrorResponse)(m))
	case *pgproto3.ParameterDescription:
		return fmt.Sprint("Params ", m.ParameterOIDs)
	case *pgproto3.CopyData:
		return fmt.Sprintf("CopyData %q", m.Data)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

func printResponse(m *pgproto3.ErrorResponse) string {
	s := fmt.Sprintf("%s %s %s", m.Severity, m.Code, m.Message)
	if m.Severity != m.SeverityUnlocalized {
		s += " (V differs)"
	}
	for _, f := range []struct{ name, value string }{
		{"detail", m.Detail}, {"hint", m.Hint}, {"schema", m.SchemaName}, {"table", m.TableName},
		{"column", m.ColumnName}, {"constraint", m.ConstraintName},
	} {
		if f.value != "" {
			s += fmt.Sprintf(" %s=%q", f.name, f.value)
		}
	}
	if m.Position != 0 {
		s += fmt.Sprintf(" position=%d", m.Position)
	}
	return s
}

// expect compares an exchange with its expected lines.
func expect(t testing.TB, got, want string) {
	t.Helper()
	var w strings.Builder
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			w.WriteString(line + "\n")
		}
	}
	if got != w.String() {
		t.Errorf("got:\n%swant:\n%s", got, w.String())
	}
}
