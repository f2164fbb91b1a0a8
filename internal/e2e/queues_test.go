package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// mosquitto starts a broker, or skips the test where there is none: the one that can be had as a module loses what is published in the moment in
// which a session is taken over.
func mosquitto(t *testing.T) (address string) {
	t.Helper()
	path, err := osexec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in everybody's PATH
		if _, err := os.Stat(path); err != nil {
			t.Skip("mosquitto is not installed")
		}
	}
	port := harness.FreePort(t)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", port), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(path, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address = fmt.Sprintf("127.0.0.1:%d", port)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
	}
	t.Fatal("mosquitto does not start")
	return ""
}

// TestMQTTOverKills: each message is counted at least once, whatever happens to the server; what was durable is not sent again.
// What the sink publishes holds each change at least once, too.
func TestMQTTOverKills(t *testing.T) {
	const messages = 2000
	address := mosquitto(t)
	var mu sync.Mutex
	seen := map[string]int{}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	cl := paho.NewClient(paho.ClientConfig{Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[string(p.Packet.Payload)]++
		return true, nil
	}}})
	if _, err := cl.Connect(t.Context(), &paho.Connect{ClientID: "test", KeepAlive: 60, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "out", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, fmt.Sprintf("CREATE SOURCE src (id int) INCLUDE key AS topic WITH (connector = 'mqtt', url = 'tcp://%s', topic = 'in/+') FORMAT PLAIN ENCODE JSON", address))
	exec(t, c, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, count(DISTINCT id) AS ids, count(DISTINCT topic) AS topics FROM src")
	exec(t, c, fmt.Sprintf("CREATE SINK k AS SELECT id FROM src WITH (connector = 'mqtt', url = 'tcp://%s', topic = 'out') FORMAT PLAIN ENCODE JSON", address))
	published := make(chan error, 1)
	go func() { // the test receives
		for i := range messages {
			if _, err := cl.Publish(t.Context(), &paho.Publish{Topic: fmt.Sprintf("in/%d", i%3), QoS: 1, Payload: fmt.Appendf(nil, `{"id":%d}`, i)}); err != nil {
				published <- err
				return
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond) // two seconds in all
			}
		}
		published <- nil
	}()
	k := &killer{t: t, s: s, rng: newRand(t, 51)}
	for range rounds(2, 8) {
		c = k.kill(time.Second)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "SELECT ids, topics FROM m", []string{strconv.Itoa(messages) + "|3"}, 30*time.Second)
	exec(t, c, "FLUSH; CHECKPOINT")
	before := one(t, c, "SELECT n FROM m")
	time.Sleep(300 * time.Millisecond) // acknowledgements are sent in groups
	s.Restart()
	c = s.Conn()
	settled(t, c, "SELECT n FROM m", []string{before}, 10*time.Second)
	t.Logf("%d messages were counted %s times", messages, before)
	distinct := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	for end := time.Now().Add(20 * time.Second); distinct() < messages && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	if n := distinct(); n != messages {
		t.Errorf("the sink published %d different messages, want %d", n, messages)
	}
}

// TestHTTPSinkOverKills: a server that remembers idempotency keys has each row once, although it refuses some requests and
// the database is killed.
func TestHTTPSinkOverKills(t *testing.T) {
	var mu sync.Mutex
	bodies, calls := map[string]string{}, 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		calls++
		if calls%5 == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		key := r.Header.Get("Idempotency-Key")
		if old, ok := bodies[key]; ok && old != string(b) {
			t.Errorf("key %s came with another body", key)
		}
		bodies[key] = string(b)
	}))
	t.Cleanup(hook.Close)
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id int)")
	exec(t, c, fmt.Sprintf("CREATE SINK k FROM t WITH (connector = 'http', url = '%s', batch.rows = 7, force_append_only = 'true', retry.backoff = '5ms') FORMAT PLAIN ENCODE JSON", hook.URL))
	k := &killer{t: t, s: s, rng: newRand(t, 61)}
	n := 0
	for range rounds(3, 10) {
		for range 5 {
			exec(t, c, fmt.Sprintf("INSERT INTO t SELECT g FROM generate_series(%d, %d) g", n, n+19))
			n += 20
		}
		c = k.kill(300 * time.Millisecond)
	}
	ids := map[int]int{}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		clear(ids)
		mu.Lock()
		for _, b := range bodies {
			var rows []struct{ ID int }
			if err := json.Unmarshal([]byte(b), &rows); err != nil {
				t.Errorf("body %s: %v", b, err)
			}
			for _, r := range rows {
				ids[r.ID]++
			}
		}
		mu.Unlock()
		if len(ids) == n {
			break
		}
	}
	for id, times := range ids {
		if times != 1 {
			t.Errorf("row %d came %d times", id, times)
		}
	}
	if len(ids) != n {
		t.Errorf("%d rows came, want %d", len(ids), n)
	}
}

// TestSocket: lines sent to a listening table are rows; what was durable outlives a kill, and the address is listened on again.
func TestSocket(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	address := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	exec(t, c, fmt.Sprintf("CREATE TABLE t (id int, name text) WITH (connector = 'socket', address = '%s') FORMAT PLAIN ENCODE JSON", address))
	send := func(lines ...string) {
		t.Helper()
		var conn net.Conn
		var err error
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if conn, err = net.Dial("tcp", address); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, strings.Join(lines, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	send(`{"id":1,"name":"a"}`, `not json`, `{"id":2,"name":"b"}`)
	eventually(t, c, "SELECT * FROM t", []string{"1|a", "2|b"}, 10*time.Second)
	eventually(t, c, "SELECT count(*) FROM millrace_catalog.quarantine", []string{"1"}, 10*time.Second)
	exec(t, c, "FLUSH; CHECKPOINT")
	s.Restart()
	c = s.Conn()
	send(`{"id":3,"name":"c"}`)
	eventually(t, c, "SELECT * FROM t", []string{"1|a", "2|b", "3|c"}, 10*time.Second)
	if err := try(c, fmt.Sprintf("CREATE TABLE u (id int) WITH (connector = 'socket', address = '%s') FORMAT PLAIN ENCODE JSON", address)); err == nil || !strings.Contains(err.Error(), "55006") {
		t.Errorf("a second table on the address: %v", err)
	}
}
