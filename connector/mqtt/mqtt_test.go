package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// broker starts a broker inside the test; users: who may connect, nil for everybody.
func broker(t testing.TB, users auth.Users) (url string) {
	t.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	var err error
	if users == nil {
		err = s.AddHook(new(auth.AllowHook), nil)
	} else {
		err = s.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{Users: users, ACL: auth.ACLRules{{Filters: auth.Filters{"open/#": auth.ReadWrite}}}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return "tcp://" + l.Address()
}

// mosquitto starts the real thing, "" when it is not installed.
func mosquitto(t testing.TB) (url string) {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in everybody's PATH
		if _, err := os.Stat(path); err != nil {
			return ""
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", addr.Port), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return "tcp://" + addr.String()
		}
	}
	t.Fatal("mosquitto does not start")
	return ""
}

// brokers runs a test on each broker there is.
func brokers(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("in process", func(t *testing.T) { f(t, broker(t, nil)) })
	t.Run("mosquitto", func(t *testing.T) {
		url := mosquitto(t)
		if url == "" {
			t.Skip("mosquitto is not installed")
		}
		f(t, url)
	})
}

func sourceSpec(url string, options ...string) *connector.SourceSpec {
	o := map[string]string{"url": url, "topic": "events/+"}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{Name: "s", ID: 7, Reader: "c-1", Connector: catalog.Connector{Name: "mqtt", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "topic", Type: sqltypes.Text, Include: "key"}}, Cols: []int{0, 1}}
}

// client connects to a broker for the test's own purposes.
func client(t testing.TB, url string, received func(*paho.Publish)) *paho.Client {
	t.Helper()
	c, err := parseSource(sourceSpec(url))
	if err != nil {
		t.Fatal(err)
	}
	cfg := paho.ClientConfig{ClientID: fmt.Sprintf("test-%d", time.Now().UnixNano())}
	if received != nil {
		cfg.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) { received(p.Packet); return true, nil }}
	}
	cl, _, err := c.connect(t.Context(), cfg, true, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Disconnect(&paho.Disconnect{}) })
	return cl
}

func publish(t testing.TB, cl *paho.Client, topic string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := cl.Publish(context.Background(), &paho.Publish{Topic: topic, QoS: 1, Payload: fmt.Appendf(nil, `{"id":%d}`, i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, spec *connector.SourceSpec, at []byte) connector.Reader {
	t.Helper()
	r, err := Source{}.Open(context.Background(), spec, []connector.SplitOffset{{Split: "0", Offset: at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// read reads n rows, and returns them with the last offset.
func read(t testing.TB, r connector.Reader, n int) (rows []string, at []connector.SplitOffset) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(rows) < n || at == nil {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d rows: %v", len(rows), n, err)
		}
		if b.Chunk != nil {
			rows = append(rows, conntest.Rows(b.Chunk)...)
		}
		at = b.Offsets
	}
	return rows, at
}

func TestSourceContract(t *testing.T) {
	url := broker(t, nil)
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(url), NoReplay: true})
}

// TestAtLeastOnce: what was not acknowledged comes again, what was does not, also what was published meanwhile.
func TestAtLeastOnce(t *testing.T) {
	brokers(t, func(t *testing.T, url string) {
		for _, qos := range []string{"at_least_once", "exactly_once"} {
			spec := sourceSpec(url, "qos", qos, "client_prefix", qos)
			r := open(t, spec, nil)
			read(t, r, 0)
			cl := client(t, url, nil)
			publish(t, cl, "events/a", 1, 10)
			rows, at := read(t, r, 10)
			if rows[0] != "1|events/a" || rows[9] != "10|events/a" {
				t.Errorf("%s: read %q", qos, rows)
			}
			r.(connector.Acker).Ack([]connector.SplitOffset{{Split: "0", Offset: offset.Encode(7)}})
			time.Sleep(200 * time.Millisecond) // acknowledgements are sent in groups
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			publish(t, cl, "events/b", 11, 12)
			again, _ := read(t, open(t, spec, at[0].Offset), 5)
			slices.Sort(again)
			if got := strings.Join(again, " "); got != "10|events/a 11|events/b 12|events/b 8|events/a 9|events/a" {
				t.Errorf("%s: after a failure %s", qos, got)
			}
		}
	})
}

// TestManyUnacknowledged: a broker sends on while nothing is durable yet.
func TestManyUnacknowledged(t *testing.T) {
	brokers(t, func(t *testing.T, url string) {
		r := open(t, sourceSpec(url, "client_prefix", "many"), nil)
		read(t, r, 0)
		cl := client(t, url, nil)
		publish(t, cl, "events/a", 1, 3000)
		if rows, _ := read(t, r, 3000); len(rows) != 3000 {
			t.Errorf("read %d rows", len(rows))
		}
	})
}

// TestQualityZero: no session is kept, and nothing comes again.
func TestQualityZero(t *testing.T) {
	url := broker(t, nil)
	spec := sourceSpec(url, "qos", "at_most_once")
	r := open(t, spec, nil)
	read(t, r, 0)
	cl := client(t, url, nil)
	publish(t, cl, "events/a", 1, 3)
	_, at := read(t, r, 3)
	r.Close()
	publish(t, cl, "events/a", 4, 4)
	r = open(t, spec, at[0].Offset)
	publish(t, cl, "events/a", 5, 5)
	if rows, _ := read(t, r, 1); rows[0] != "5|events/a" {
		t.Errorf("read %q", rows)
	}
}

// TestTwoJobs: each job that reads a source gets every message.
func TestTwoJobs(t *testing.T) {
	url := broker(t, nil)
	var rs []connector.Reader
	for _, job := range []string{"c-1", "c-2"} {
		spec := sourceSpec(url)
		spec.Reader = job
		rs = append(rs, open(t, spec, nil))
	}
	publish(t, client(t, url, nil), "events/x", 1, 2)
	for _, r := range rs {
		if rows, _ := read(t, r, 2); len(rows) != 2 {
			t.Errorf("read %q", rows)
		}
	}
}

func TestBadRecord(t *testing.T) {
	url := broker(t, nil)
	r := open(t, sourceSpec(url), nil)
	read(t, r, 0)
	cl := client(t, url, nil)
	if _, err := cl.Publish(t.Context(), &paho.Publish{Topic: "events/a", QoS: 1, Payload: []byte(`{"id":"many"}`)}); err != nil {
		t.Fatal(err)
	}
	b, err := r.Next(t.Context())
	if err != nil || len(b.Errors) != 1 || b.Errors[0].Offset != "1" {
		t.Errorf("Next = %v, %v", b, err)
	}
}

// TestBrokerGoes: the end of the connection is an error that says who is away.
func TestBrokerGoes(t *testing.T) {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	_ = s.AddHook(new(auth.AllowHook), nil)
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	r := open(t, sourceSpec("tcp://"+l.Address()), nil)
	read(t, r, 0)
	_ = s.Close()
	if _, err := r.Next(t.Context()); sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
		t.Errorf("Next = %v", err)
	}
}

func TestRefuses(t *testing.T) {
	open := broker(t, nil)
	closed := broker(t, auth.Users{"u": {Username: "u", Password: "right"}})
	for _, tt := range []struct {
		name string
		url  string
		opts []string
		code sqlerr.Code
		text string
	}{
		{"no broker", "tcp://127.0.0.1:1", nil, sqlerr.ConnectionFailure, "could not reach MQTT broker 127.0.0.1:1"},
		{"password", closed, []string{"username", "u", "password", "wrong"}, sqlerr.InvalidPassword, `refuses the user "u"`},
		{"url", "http://x", nil, sqlerr.InvalidParameterValue, "tcp://host:port"},
		{"topic", open, []string{"topic", "a/#/b"}, sqlerr.InvalidParameterValue, "not a topic filter"},
		{"no topic", open, []string{"topic", ""}, sqlerr.InvalidParameterValue, `needs the option "topic"`},
		{"qos", open, []string{"qos", "1"}, sqlerr.InvalidParameterValue, `"qos" must be one of`},
		{"ca", strings.Replace(open, "tcp", "ssl", 1), []string{"tls.ca", "/nowhere"}, sqlerr.InvalidParameterValue, "cannot be used"},
	} {
		_, err := Source{}.Validate(t.Context(), sourceSpec(tt.url, tt.opts...))
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
	if _, err := (Source{}).Validate(t.Context(), sourceSpec(closed, "username", "u", "password", "right")); err != nil {
		t.Error(err)
	}
}

func sinkSpec(url string, options ...string) *connector.SinkSpec {
	o := map[string]string{"url": url, "topic": "out"}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "k", ID: 9, Connector: catalog.Connector{Name: "mqtt", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: conntest.SinkColumns(), AppendOnly: true}
}

// listener collects what is published.
func listener(t testing.TB, url string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var got []string
	cl := client(t, url, func(p *paho.Publish) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, p.Topic+" "+string(p.Payload))
	})
	if _, err := cl.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

func TestSinkContract(t *testing.T) {
	brokers(t, func(t *testing.T, url string) {
		got := listener(t, url)
		c := conntest.SinkCase{Sink: Sink{}, Spec: sinkSpec(url), Row: func(id int64, name string) string { return fmt.Sprintf(`out {"id":%d,"name":%q}`, id, name) }}
		c.Visible = func(t *testing.T) []string {
			time.Sleep(100 * time.Millisecond) // the listener hears of it after the broker
			return got()
		}
		conntest.Sink(t, c)
	})
}

// TestSinkOrderAndTopics: messages keep their order; each goes to the topic of its row.
func TestSinkOrderAndTopics(t *testing.T) {
	url := broker(t, nil)
	got := listener(t, url)
	spec := sinkSpec(url, "topic.field", "name")
	w, err := Sink{}.Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range int64(500) {
		if err := w.Write(t.Context(), 1, conntest.SinkRows(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); len(got()) < 500 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	all := got()
	if len(all) != 500 {
		t.Fatalf("%d messages came", len(all))
	}
	for i, m := range all {
		if want := fmt.Sprintf(`row %c {"id":%d,`, 'a'+i%26, i); !strings.HasPrefix(m, want) {
			t.Fatalf("message %d is %s, want %s…", i, m, want)
		}
	}
}

// TestSinkDenied: a message that the broker refuses fails its epoch.
func TestSinkDenied(t *testing.T) {
	url := broker(t, auth.Users{"u": {Username: "u", Password: "pw", ACL: auth.Filters{"#": auth.ReadOnly}}})
	w, err := Sink{}.Open(t.Context(), sinkSpec(url, "username", "u", "password", "pw"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	err = w.Write(t.Context(), 1, conntest.SinkRows(1))
	if err == nil {
		err = w.Commit(t.Context(), 1)
	}
	if err == nil {
		t.Error("the epoch was committed")
	}
}

func TestSinkRefuses(t *testing.T) {
	url := broker(t, nil)
	for name, opts := range map[string][]string{"wildcards": {"topic", "a/+"}, "topic.field": {"topic.field", "id"}, "no topic": {"topic", ""}} {
		if err := (Sink{}).Validate(t.Context(), sinkSpec(url, opts...)); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
			t.Errorf("%s: %v", name, err)
		}
	}
}
