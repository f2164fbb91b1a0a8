package pgwire

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// pipeConn feeds a connection from memory and collects what it writes.
type pipeConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (p *pipeConn) Read(b []byte) (int, error)       { return p.in.Read(b) }
func (p *pipeConn) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *pipeConn) Close() error                     { return nil }
func (p *pipeConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *pipeConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *pipeConn) SetDeadline(time.Time) error      { return nil }
func (p *pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (p *pipeConn) SetWriteDeadline(time.Time) error { return nil }

// panicLog fails the test when a session panics without having been asked to.
type panicLog struct {
	t      *testing.T
	wanted bool
}

func (l panicLog) Write(b []byte) (int, error) {
	if !l.wanted && bytes.Contains(b, []byte("panic")) {
		l.t.Errorf("%s", b)
	}
	return len(b), nil
}

// FuzzConnection feeds arbitrary bytes to a connection that is up. Whatever comes, it ends, its session is
// closed once, and what it wrote is whole messages.
func FuzzConnection(f *testing.F) {
	for _, msgs := range [][]pgproto3.FrontendMessage{
		{&pgproto3.Query{String: "rows 3; fail"}, &pgproto3.Terminate{}},
		{&pgproto3.Parse{Name: "s", Query: "add $1 $2", ParameterOIDs: []uint32{23}}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
			&pgproto3.Bind{PreparedStatement: "s", ParameterFormatCodes: []int16{0, 1}, Parameters: [][]byte{{'1'}, {0, 0, 0, 1}}, ResultFormatCodes: []int16{1}},
			&pgproto3.Execute{MaxRows: 1}, &pgproto3.Close{ObjectType: 'P'}, &pgproto3.Flush{}, &pgproto3.Sync{}},
		{&pgproto3.Query{String: "copyin"}, &pgproto3.CopyData{Data: []byte("1\n")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{Message: "x"}},
		{&pgproto3.Parse{Query: "weights"}, &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Sync{}},
		{&pgproto3.FunctionCall{}, &pgproto3.Query{String: "begin; copyout 3; notice x; boom"}},
	} {
		var b []byte
		for _, m := range msgs {
			b, _ = m.Encode(b)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(bytes.ToLower(data), []byte("wait")) {
			t.Skip("waits for a cancel request")
		}
		b := newFakeBackend()
		o := Options{MaxMessageBytes: 1 << 16, Logger: slog.New(slog.NewTextHandler(
			panicLog{t, bytes.Contains(bytes.ToLower(data), []byte("boom"))}, nil))}
		o.fill()
		s := &server{backend: b, opts: o, log: o.Logger, life: context.Background()}
		s.mu.conns = map[uint32]*conn{}
		p := &pipeConn{in: bytes.NewReader(append(startupBytes(3<<16, "user", "root"), data...))}
		newConn(s, p).serve()
		if got := b.take(); strings.Count(got, "closed") != 1 {
			t.Errorf("session saw %q", got)
		}
		front := pgproto3.NewFrontend(&p.out, io.Discard)
		for {
			if _, err := front.Receive(); err == io.ErrUnexpectedEOF && p.out.Len() == 0 {
				break
			} else if err != nil {
				t.Fatalf("the server wrote something else than messages: %v", err)
			}
		}
	})
}
