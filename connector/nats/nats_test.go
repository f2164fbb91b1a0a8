package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// broker starts a server with JetStream.
func broker(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// client connects to a server.
func client(t testing.TB, s *server.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t testing.TB, js jetstream.JetStream, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Storage: jetstream.MemoryStorage}
	if change != nil {
		change(&cfg)
	}
	st, err := js.CreateStream(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func publish(t testing.TB, js jetstream.JetStream, subject string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := js.Publish(context.Background(), subject, fmt.Appendf(nil, `{"id":%d,"name":"n%d"}`, i, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func sourceSpec(url string, options ...string) *connector.SourceSpec {
	o := map[string]string{"server_url": url, "stream": "EVENTS", "subject": "events.>"}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{Name: "s", ID: 7, Connector: catalog.Connector{Name: "nats", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "name", Type: sqltypes.Text}}, Cols: []int{0, 1}}
}

func TestSourceContract(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	stream(t, js, nil)
	publish(t, js, "events.a", 1, 3000)
	if _, err := js.Publish(t.Context(), "events.a", []byte(`{"id":"many"}`)); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "events.b", 3001, 3010)
	for _, ack := range []string{"none", "explicit"} {
		t.Run(ack, func(t *testing.T) {
			options := []string{"consumer.ack_policy", ack}
			if ack != "none" {
				options = append(options, "consumer.durable_name", "d_"+ack)
			}
			conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(s.ClientURL(), options...), Rows: 3010, Errors: 1})
		})
	}
}

// read reads n rows, and returns them with the last offset.
func read(t *testing.T, r connector.Reader, n int) (rows []string, at []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(rows) < n || at == nil {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d rows: %v", len(rows), n, err)
		}
		if b.Chunk != nil {
			rows = append(rows, conntest.Rows(b.Chunk)...)
		}
		at = b.Offsets[0].Offset
	}
	return rows, at
}

func open(t *testing.T, spec *connector.SourceSpec, at []byte) connector.Reader {
	t.Helper()
	r, err := Source{}.Open(t.Context(), spec, []connector.SplitOffset{{Split: "0", Offset: at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestWhereReadingBegins(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	stream(t, js, nil)
	publish(t, js, "events.a", 1, 2)
	time.Sleep(20 * time.Millisecond)
	since := time.Now()
	time.Sleep(20 * time.Millisecond)
	publish(t, js, "events.a", 3, 4)
	readers := map[string]connector.Reader{}
	for mode, options := range map[string][]string{
		"earliest": nil, "latest": {"scan.startup.mode", "latest"}, "timestamp": {"scan.startup.timestamp.millis", fmt.Sprint(since.UnixMilli())},
		"future": {"scan.startup.timestamp.millis", fmt.Sprint(since.Add(time.Hour).UnixMilli())}, "filter": {"subject", "events.b, events.c"},
	} {
		readers[mode] = open(t, sourceSpec(s.ClientURL(), options...), nil)
		if rows, at := read(t, readers[mode], 0); len(rows) != 0 || at == nil {
			t.Errorf("%s: the first batch has rows %q, offset %q", mode, rows, at)
		}
	}
	publish(t, js, "events.b", 5, 5)
	for mode, want := range map[string]string{"earliest": "1|n1 2|n2 3|n3 4|n4 5|n5", "latest": "5|n5", "timestamp": "3|n3 4|n4 5|n5", "future": "5|n5", "filter": "5|n5"} {
		if rows, _ := read(t, readers[mode], strings.Count(want, " ")+1); strings.Join(rows, " ") != want {
			t.Errorf("%s: %q, want %q", mode, rows, want)
		}
	}
}

// TestLostMessages: what the stream lost before it was read is an error that names it.
func TestLostMessages(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	st := stream(t, js, nil)
	publish(t, js, "events.a", 1, 10)
	_, at := read(t, open(t, sourceSpec(s.ClientURL()), nil), 10)
	publish(t, js, "events.a", 11, 20)
	if err := st.Purge(t.Context(), jetstream.WithPurgeSequence(16)); err != nil {
		t.Fatal(err)
	}
	fails := func(want string) {
		t.Helper()
		_, err := Source{}.Open(t.Context(), sourceSpec(s.ClientURL()), []connector.SplitOffset{{Split: "0", Offset: at}})
		if sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
	fails(`messages 11 to 15 of NATS stream "EVENTS" are gone`)
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	stream(t, js, nil)
	publish(t, js, "events.a", 1, 30)
	fails(`NATS stream "EVENTS" has been deleted and created anew`)
}

// TestPurgeWhileReading: a purge of what a slow reader has not got yet does not pass by it.
func TestPurgeWhileReading(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	st := stream(t, js, nil)
	r := open(t, sourceSpec(s.ClientURL()), nil)
	publish(t, js, "events.a", 1, 1)
	read(t, r, 1)
	// More than the client takes ahead while nobody reads.
	payload := []byte(`{"id":1,"name":"` + strings.Repeat("x", 100) + `"}`)
	for range 3 * ahead {
		if _, err := js.PublishAsync("events.a", payload); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	if err := st.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "events.a", 2, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := r.Next(ctx)
		if err == nil {
			continue
		}
		if sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState || !strings.Contains(err.Error(), "are gone") {
			t.Errorf("Next = %v", err)
		}
		return
	}
}

// TestGaps: messages that were deleted one by one are passed over; one that is there and was not delivered is an error.
func TestGaps(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	st := stream(t, js, nil)
	publish(t, js, "events.a", 1, 9)
	if err := st.DeleteMsg(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	r := open(t, sourceSpec(s.ClientURL()), nil).(*Reader)
	if rows, _ := read(t, r, 8); strings.Contains(strings.Join(rows, " "), "5|n5") {
		t.Errorf("read %q", rows)
	}
	r.at.next = 5
	if err := r.gap(t.Context(), 6); err != nil {
		t.Errorf("a deleted message: %v", err)
	}
	r.at.next = 7
	if err := r.gap(t.Context(), 8); err == nil || !strings.Contains(err.Error(), "did not deliver message 7") {
		t.Errorf("a message that was not delivered: %v", err)
	}
}

// TestReadersOfOneSource: two jobs that read one source with a durable consumer get all messages each.
func TestReadersOfOneSource(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	stream(t, js, nil)
	var readers []connector.Reader
	for _, job := range []string{"c-1", "c-2"} {
		spec := sourceSpec(s.ClientURL(), "consumer.durable_name", "d", "consumer.ack_policy", "all")
		spec.Reader = job
		readers = append(readers, open(t, spec, nil))
	}
	publish(t, js, "events.a", 1, 100)
	for i, r := range readers {
		if rows, _ := read(t, r, 100); len(rows) != 100 {
			t.Errorf("reader %d has got %d rows", i, len(rows))
		}
	}
}

// TestOthersMessages: messages of other subjects move the position, so that the stream may forget them.
func TestOthersMessages(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	st := stream(t, js, nil)
	spec := sourceSpec(s.ClientURL(), "subject", "events.mine")
	r := open(t, spec, nil).(*Reader)
	publish(t, js, "events.mine", 1, 1)
	read(t, r, 1)
	publish(t, js, "events.other", 2, 9)
	b, err := r.catchUp(t.Context())
	if err != nil || b == nil || b.Chunk != nil {
		t.Fatalf("catchUp = %v, %v; want a batch without rows", b, err)
	}
	if err := st.Purge(t.Context(), jetstream.WithPurgeSequence(9)); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "events.mine", 10, 10)
	if rows, _ := read(t, open(t, spec, b.Offsets[0].Offset), 1); rows[0] != "10|n10" {
		t.Errorf("read %q", rows)
	}
	if b, err := r.catchUp(t.Context()); b != nil || err != nil {
		t.Errorf("catchUp with a message on its way = %v, %v", b, err)
	}
}

func TestIncludes(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	stream(t, js, nil)
	m := nats.NewMsg("events.x")
	m.Data = []byte(`{"id":1}`)
	m.Header.Set("trace", "abc")
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	spec := sourceSpec(s.ClientURL())
	spec.Columns = []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "k", Type: sqltypes.Text, Include: "key"}, {Name: "o", Type: sqltypes.Int8, Include: "offset"},
		{Name: "h", Type: sqltypes.Text, Include: "header:trace"}}
	spec.Cols = []int{0, 1, 2, 3}
	if rows, _ := read(t, open(t, spec, nil), 1); rows[0] != "1|events.x|1|abc" {
		t.Errorf("read %q", rows)
	}
}

// TestAcknowledge: with an ack policy the server learns what is durable, and nothing else.
func TestAcknowledge(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	st := stream(t, js, nil)
	publish(t, js, "events.a", 1, 5)
	for _, policy := range []string{"all", "explicit"} {
		r := open(t, sourceSpec(s.ClientURL(), "consumer.ack_policy", policy, "consumer.durable_name", policy), nil)
		read(t, r, 5)
		r.(connector.Acker).Ack([]connector.SplitOffset{{Split: "0", Offset: position{next: 4}.encode()}})
		var floor uint64
		for end := time.Now().Add(5 * time.Second); floor != 3 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			c, err := st.Consumer(t.Context(), policy)
			if err != nil {
				t.Fatal(err)
			}
			floor = c.CachedInfo().AckFloor.Stream
		}
		if floor != 3 {
			t.Errorf("ack policy %s: acknowledged up to %d, want 3", policy, floor)
		}
	}
}

// TestServerGoes: the end of the server is an error, and reading goes on from the offset when it is back.
func TestServerGoes(t *testing.T) {
	dir, port := t.TempDir(), -1
	start := func() *server.Server {
		return broker(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	}
	s := start()
	port = s.Addr().(*net.TCPAddr).Port
	js := client(t, s)
	stream(t, js, func(c *jetstream.StreamConfig) { c.Storage = jetstream.FileStorage })
	publish(t, js, "events.a", 1, 3)
	spec := sourceSpec(s.ClientURL())
	r := open(t, spec, nil)
	_, at := read(t, r, 3)
	s.Shutdown()
	s.WaitForShutdown()
	if _, err := r.Next(t.Context()); sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
		t.Errorf("Next without a server: %v", err)
	}
	if _, err := (Source{}).Open(t.Context(), spec, []connector.SplitOffset{{Split: "0", Offset: at}}); sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
		t.Errorf("Open without a server: %v", err)
	}
	s = start()
	publish(t, client(t, s), "events.a", 4, 4)
	if rows, _ := read(t, open(t, spec, at), 1); rows[0] != "4|n4" {
		t.Errorf("read %q", rows)
	}
}

func TestBadOptions(t *testing.T) {
	s := broker(t, nil)
	js := client(t, s)
	stream(t, js, nil)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	plain := broker(t, func(o *server.Options) { o.JetStream = false })
	url := s.ClientURL()
	for _, tt := range []struct {
		name string
		url  string
		opts []string
		code sqlerr.Code
		text string
	}{
		{"no server", "nats://127.0.0.1:1", nil, sqlerr.ConnectionFailure, "could not reach NATS at 127.0.0.1:1"},
		{"stream", url, []string{"stream", "EVENT"}, sqlerr.UndefinedObject, `NATS stream "EVENT" does not exist`},
		{"subject", url, []string{"subject", "other.x"}, sqlerr.UndefinedObject, `NATS stream "EVENTS" has no subject "other.x"`},
		{"retention", url, []string{"stream", "JOBS", "subject", "jobs"}, sqlerr.FeatureNotSupported, "deletes messages that were acknowledged"},
		{"no JetStream", plain.ClientURL(), nil, sqlerr.ObjectNotInPrerequisiteState, "JetStream is not enabled"},
		{"mode", url, []string{"connect_mode", "user_and_password"}, sqlerr.InvalidParameterValue, "needs the options"},
		{"seed", url, []string{"nkey", "SUnonsense"}, sqlerr.InvalidParameterValue, `"nkey" is not the seed`},
		{"start", url, []string{"scan.startup.mode", "timestamp"}, sqlerr.InvalidParameterValue, "scan.startup.timestamp.millis"},
		{"no stream", url, []string{"stream", ""}, sqlerr.InvalidParameterValue, `needs the option "stream"`},
	} {
		_, err := Source{}.Validate(t.Context(), sourceSpec(tt.url, tt.opts...))
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
}

func TestCredentials(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	pub, _ := user.PublicKey()
	withKey := broker(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: pub}} })
	withPassword := broker(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
	for _, tt := range []struct {
		name    string
		url     string
		opts    []string
		refused bool
	}{
		{"password", withPassword.ClientURL(), []string{"username", "u", "password", "right"}, false},
		{"wrong password", withPassword.ClientURL(), []string{"username", "u", "password", "wrong"}, true},
		{"no password", withPassword.ClientURL(), nil, true},
		{"key", withKey.ClientURL(), []string{"connect_mode", "credential", "nkey", string(seed)}, false},
		{"no key", withKey.ClientURL(), nil, true},
	} {
		_, err := Source{}.Validate(t.Context(), sourceSpec(strings.Replace(tt.url, "u:right@", "", 1), tt.opts...))
		want := sqlerr.UndefinedObject // logged in, and there is no stream
		if tt.refused {
			want = sqlerr.InvalidPassword
		}
		if sqlerr.CodeOf(err) != want || strings.Contains(fmt.Sprint(err), "right") {
			t.Errorf("%s: %v, want %s", tt.name, err, want)
		}
	}
}

func sinkSpec(url string, options ...string) *connector.SinkSpec {
	o := map[string]string{"server_url": url, "subject": "events.out"}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "k", ID: 9, Instance: "cluster-9", Connector: catalog.Connector{Name: "nats", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: conntest.SinkColumns(), AppendOnly: true}
}

func contents(t *testing.T, st jetstream.Stream) (out []string) {
	t.Helper()
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
		m, err := st.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m.Data))
	}
	return out
}

// TestSinkContract: an epoch that is delivered again after a failure is there once.
func TestSinkContract(t *testing.T) {
	s := broker(t, nil)
	st := stream(t, client(t, s), nil)
	c := conntest.SinkCase{Sink: Sink{}, Spec: sinkSpec(s.ClientURL()), Visible: func(t *testing.T) []string { return contents(t, st) },
		Row: func(id int64, name string) string {
			b, _ := json.Marshal(struct {
				ID   int64  `json:"id"`
				Name string `json:"name"`
			}{id, name})
			return string(b)
		}}
	conntest.Sink(t, c)
	if got := contents(t, st); len(got) != 6 {
		t.Errorf("after the contract there are %d messages, want 6: %q", len(got), got)
	}
}

func TestSinkRefuses(t *testing.T) {
	s := broker(t, nil)
	stream(t, client(t, s), nil)
	for _, tt := range []struct {
		name string
		spec func() *connector.SinkSpec
		code sqlerr.Code
		text string
	}{
		{"subject", func() *connector.SinkSpec { return sinkSpec(s.ClientURL(), "subject", "nobody") }, sqlerr.UndefinedObject, "no NATS stream takes"},
		{"wildcard", func() *connector.SinkSpec { return sinkSpec(s.ClientURL(), "subject", "events.*") }, sqlerr.InvalidParameterValue, "without wildcards"},
		{"stream", func() *connector.SinkSpec { return sinkSpec(s.ClientURL(), "stream", "OTHER") }, sqlerr.InvalidParameterValue, `go to NATS stream "EVENTS"`},
		{"server", func() *connector.SinkSpec { return sinkSpec("nats://127.0.0.1:1") }, sqlerr.ConnectionFailure, "could not reach NATS"},
		{"upsert", func() *connector.SinkSpec {
			x := sinkSpec(s.ClientURL())
			x.Key, x.AppendOnly, x.Connector.Format = []int{0}, false, "UPSERT"
			return x
		}, sqlerr.InvalidParameterValue, "have no keys"},
	} {
		err := Sink{}.Validate(t.Context(), tt.spec())
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
}

// TestSinkTooLarge: a message that the server refuses fails its epoch.
func TestSinkTooLarge(t *testing.T) {
	s := broker(t, nil)
	stream(t, client(t, s), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 })
	w, err := Sink{}.Open(t.Context(), sinkSpec(s.ClientURL()))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(t.Context(), 5, conntest.SinkRows(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), 5); err == nil {
		t.Error("the epoch was committed")
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.*", "*.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {"a.b", "a.b.c", false},
		{">", "x", true}, {"a.*.c", "a.b.>", true}, {"a.*", "b.*", false},
	} {
		if got := overlap(tt.a, tt.b); got != tt.want || overlap(tt.b, tt.a) != tt.want {
			t.Errorf("overlap(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}
