package sqlclient

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// fakeServer answers each statement of a few words; see answer. Statements are separated by ";".
type fakeServer struct {
	ln      net.Listener
	wg      sync.WaitGroup
	waiting chan struct{} // gets a value when "wait" has begun
	cancel  chan struct{} // gets a value when a cancel request has come
	mu      sync.Mutex
	log     []string
}

func newFakeServer(t *testing.T) *fakeServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{ln: ln, waiting: make(chan struct{}, 1), cancel: make(chan struct{}, 1)}
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *fakeServer) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, "; ")
}

func (s *fakeServer) serve(nc net.Conn) {
	defer nc.Close()
	b := pgproto3.NewBackend(nc, nc)
	m, err := b.ReceiveStartupMessage()
	if err != nil {
		return
	}
	start, ok := m.(*pgproto3.StartupMessage)
	if !ok {
		s.cancel <- struct{}{}
		return
	}
	if start.Parameters["user"] == "nobody" {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: `password authentication failed for user "nobody"`})
		b.Flush()
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if b.Flush() != nil {
			return
		}
		m, err := b.Receive()
		if err != nil {
			return
		}
		q, ok := m.(*pgproto3.Query)
		if !ok {
			return
		}
		s.mu.Lock()
		s.log = append(s.log, q.String)
		s.mu.Unlock()
		for _, stmt := range strings.Split(q.String, ";") {
			if stmt = strings.TrimSpace(stmt); stmt != "" && !s.answer(b, stmt) {
				break
			}
		}
	}
}

// answer runs one statement; false means that it failed.
func (s *fakeServer) answer(b *pgproto3.Backend, stmt string) bool {
	fail := func(e *pgproto3.ErrorResponse) bool {
		e.Severity = "ERROR"
		b.Send(e)
		return false
	}
	column := func(name string, oid uint32) pgproto3.FieldDescription {
		return pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oid}
	}
	word, rest, _ := strings.Cut(strings.Join(strings.Fields(stmt), " "), " ")
	switch word {
	case "select":
		b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{column("n", 23), column("text", 25)}})
		if rest == "lost" {
			b.Flush()
			return fail(&pgproto3.ErrorResponse{Code: "XX000", Message: "half way"})
		}
		n := 0
		for v := range strings.FieldsSeq(rest) {
			n++
			b.Send(&pgproto3.DataRow{Values: [][]byte{fmt.Append(nil, n), []byte(v)}})
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "SELECT %d", n)})
	case "fail":
		return fail(&pgproto3.ErrorResponse{Code: "42601", Message: "syntax error", Position: 6, Detail: "d", Hint: "h"})
	case "notice":
		b.Send(&pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: rest})
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("DO")})
	case "wait":
		b.Flush()
		s.waiting <- struct{}{}
		<-s.cancel
		return fail(&pgproto3.ErrorResponse{Code: "57014", Message: "canceling statement due to user request"})
	case "copy":
		if strings.Contains(rest, "to stdout") {
			b.Send(&pgproto3.CopyOutResponse{})
			b.Send(&pgproto3.CopyData{Data: []byte("1\ta\n")})
			b.Send(&pgproto3.CopyDone{})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("COPY 1")})
			return true
		}
		b.Send(&pgproto3.CopyInResponse{})
		b.Flush()
		lines := 0
		for {
			switch m, _ := b.Receive(); m := m.(type) {
			case *pgproto3.CopyData:
				lines += strings.Count(string(m.Data), "\n")
				continue
			case *pgproto3.CopyDone:
				b.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "COPY %d", lines)})
				return true
			default:
				return fail(&pgproto3.ErrorResponse{Code: "57014", Message: "COPY failed"})
			}
		}
	default:
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte(strings.ToUpper(word))})
	}
	return true
}
