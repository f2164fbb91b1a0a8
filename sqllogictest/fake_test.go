package sqllogictest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// fakeServer speaks just enough of the protocol. Its language:
//
//	rows a|b / c|d     a result; NULL is NULL, <> the empty string
//	ints 1 / 2         a result of one bigint column
//	error CODE TEXT
//	affect N
//	flaky N            fails N times, then returns the row "done"
//	who                the number of the connection
type fakeServer struct {
	t     *testing.T
	ln    net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	log   []string
	flaky int
	conns int
}

func newFakeServer(t *testing.T) *fakeServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, ln: ln}
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			n := s.conns
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(nc, n) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *fakeServer) connect(ctx context.Context) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, fmt.Sprintf("postgres://root@%s/dev?sslmode=disable", s.ln.Addr()))
}

func (s *fakeServer) serve(nc net.Conn, n int) {
	defer nc.Close()
	b := pgproto3.NewBackend(nc, nc)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
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
		s.answer(b, q.String, n)
	}
}

func (s *fakeServer) answer(b *pgproto3.Backend, sql string, conn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, sql)
	word, rest, _ := strings.Cut(strings.TrimSpace(sql), " ")
	switch word {
	case "rows":
		sendRows(b, rest, 25)
	case "ints":
		sendRows(b, rest, 20)
	case "who":
		sendRows(b, strconv.Itoa(conn), 25)
	case "error":
		code, text, _ := strings.Cut(rest, " ")
		b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: code, Message: strings.ReplaceAll(text, `\n`, "\n")})
	case "flaky":
		if n, _ := strconv.Atoi(rest); s.flaky < n {
			s.flaky++
			b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "55000", Message: "not yet"})
			return
		}
		sendRows(b, "done", 25)
	case "affect":
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("UPDATE " + rest)})
	default:
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("DO")})
	}
}

func sendRows(b *pgproto3.Backend, text string, oid uint32) {
	rows := strings.Split(text, " / ")
	var d pgproto3.RowDescription
	for i := range strings.Split(rows[0], "|") {
		d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: fmt.Appendf(nil, "c%d", i), DataTypeOID: oid})
	}
	b.Send(&d)
	for _, r := range rows {
		if text == "" {
			break
		}
		var values [][]byte
		for v := range strings.SplitSeq(r, "|") {
			switch v {
			case "NULL":
				values = append(values, nil)
			case "<>":
				values = append(values, []byte{})
			default:
				values = append(values, []byte(strings.ReplaceAll(v, `\n`, "\n")))
			}
		}
		b.Send(&pgproto3.DataRow{Values: values})
	}
	b.Send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "SELECT %d", len(rows))})
}
