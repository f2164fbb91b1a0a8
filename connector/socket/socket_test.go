package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// freeAddress returns an address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func sourceSpec(address string, options ...string) *connector.SourceSpec {
	o := map[string]string{"address": address}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{Name: "s", ID: 7, Connector: catalog.Connector{Name: "socket", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "name", Type: sqltypes.Text}}, Cols: []int{0, 1}}
}

func open(t testing.TB, spec *connector.SourceSpec) connector.Reader {
	t.Helper()
	r, err := Source{}.Open(context.Background(), spec, []connector.SplitOffset{{Split: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// read reads until n rows and bad records have come.
func read(t testing.TB, r connector.Reader, n int) (rows []string, errs []connector.RecordError) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(rows)+len(errs) < n {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d records: %v", len(rows)+len(errs), n, err)
		}
		if b.Chunk != nil {
			rows = append(rows, conntest.Rows(b.Chunk)...)
		}
		errs = append(errs, b.Errors...)
	}
	return rows, errs
}

func TestSourceContract(t *testing.T) {
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(freeAddress(t)), NoReplay: true})
}

func TestListen(t *testing.T) {
	address := freeAddress(t)
	r := open(t, sourceSpec(address))
	a, b := dial(t, address), dial(t, address)
	for _, piece := range []string{`{"id":1,"na`, "me\":\"x\"}\r\n\n", `{"id":2}` + "\n" + `{"id":"many"}` + "\n" + `{"id":3,"name":"z"}`} {
		if _, err := io.WriteString(a, piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // so that it comes in pieces
	}
	a.Close() // the last record has no line end
	if _, err := io.WriteString(b, `{"id":4,"name":"b"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	rows, errs := read(t, r, 5)
	slices.Sort(rows)
	if got := strings.Join(rows, " "); got != "1|x 2|NULL 3|z 4|b" || len(errs) != 1 || string(errs[0].Data) != `{"id":"many"}` {
		t.Errorf("read %s, bad records %v", got, errs)
	}
}

func TestEncodings(t *testing.T) {
	for _, tt := range []struct {
		encode  string
		options map[string]string
		columns []catalog.Column
		send    string
		want    string
	}{
		{"CSV", map[string]string{"without_header": "true"}, nil, "1,x\n2,\"a\nb\"\n", "1|x,2|a\nb"},
		{"BYTES", nil, []catalog.Column{{Name: "line", Type: sqltypes.Text}}, "one\r\ntwo\n", "one,two"},
		{"", nil, []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "n", Type: sqltypes.Int8, Include: "offset"}}, "{\"id\":5}\n{\"id\":6}\n", "5|1,6|2"},
	} {
		address := freeAddress(t)
		spec := sourceSpec(address)
		spec.Connector.Encode, spec.Connector.FormatOptions = tt.encode, tt.options
		if tt.columns != nil {
			spec.Columns, spec.Cols = tt.columns, []int{0, 1}[:len(tt.columns)]
		}
		if _, err := (Source{}).Validate(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		r := open(t, spec)
		if _, err := io.WriteString(dial(t, address), tt.send); err != nil {
			t.Fatal(err)
		}
		if rows, _ := read(t, r, 2); strings.Join(rows, ",") != tt.want {
			t.Errorf("ENCODE %s: %q, want %q", tt.encode, rows, tt.want)
		}
	}
}

// TestConnect: the other side listens; its end is an error, after which the engine opens again.
func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := open(t, sourceSpec(l.Addr().String(), "mode", "connect"))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "{\"id\":1}\n{\"id\":2}\n"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if rows, _ := read(t, r, 2); len(rows) != 2 {
		t.Errorf("read %q", rows)
	}
	if _, err := r.Next(t.Context()); sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
		t.Errorf("Next after the end = %v", err)
	}
}

// TestSenderWaits: a sender that is faster than the reader is held back, and nothing is lost.
func TestSenderWaits(t *testing.T) {
	const n = 20_000
	address := freeAddress(t)
	r := open(t, sourceSpec(address))
	c := dial(t, address)
	sent := make(chan error, 1)
	go func() { // the test receives
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "{\"id\":%d,\"name\":%q}\n", i, strings.Repeat("x", 1000))
		}
		_, err := c.Write(b.Bytes())
		sent <- err
	}()
	select {
	case <-sent:
		t.Error("20 MB were sent although nobody reads")
	case <-time.After(200 * time.Millisecond):
	}
	rows, _ := read(t, r, n)
	for i, row := range rows {
		if !strings.HasPrefix(row, fmt.Sprintf("%d|x", i)) {
			t.Fatalf("record %d is %.20s", i, row)
		}
	}
}

func TestTooLarge(t *testing.T) {
	address := freeAddress(t)
	r := open(t, sourceSpec(address, "max_record_bytes", "65536"))
	c := dial(t, address)
	if _, err := io.WriteString(c, strings.Repeat("x", 70_000)); err != nil {
		t.Fatal(err)
	}
	if _, errs := read(t, r, 1); len(errs) != 1 || !strings.Contains(errs[0].Err.Error(), "larger than 65536 bytes") {
		t.Errorf("bad records %v", errs)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
}

func TestTooManyConnections(t *testing.T) {
	address := freeAddress(t)
	r := open(t, sourceSpec(address, "connections", "1"))
	a := dial(t, address)
	if _, err := io.WriteString(a, "{\"id\":1}\n"); err != nil {
		t.Fatal(err)
	}
	read(t, r, 1)
	b := dial(t, address)
	_ = b.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := b.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second connection: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	csv := sourceSpec(freeAddress(t))
	csv.Connector.Encode = "CSV"
	upsert := sourceSpec(freeAddress(t))
	upsert.Connector.Format, upsert.PrimaryKey = "UPSERT", []int{0}
	for _, tt := range []struct {
		name string
		spec *connector.SourceSpec
		code sqlerr.Code
		text string
	}{
		{"taken", sourceSpec(taken.Addr().String()), sqlerr.ObjectInUse, "is taken"},
		{"nobody there", sourceSpec("127.0.0.1:1", "mode", "connect"), sqlerr.ConnectionFailure, "could not reach 127.0.0.1:1"},
		{"address", sourceSpec("nonsense"), sqlerr.InvalidParameterValue, "must be host:port"},
		{"mode", sourceSpec("127.0.0.1:1", "mode", "both"), sqlerr.InvalidParameterValue, `"mode" must be one of`},
		{"csv", csv, sqlerr.InvalidParameterValue, "without_header"},
		{"upsert", upsert, sqlerr.InvalidParameterValue, "FORMAT PLAIN only"},
	} {
		_, err := Source{}.Validate(t.Context(), tt.spec)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
}
