package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// hook posts to a webhook of a server; the status is 0 when there was no answer.
func hook(base, table, secret, body string) (status int, text string) {
	req, err := http.NewRequest(http.MethodPost, base+"/webhook/dev/public/"+table, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
	req.Header.Set("X-GitHub-Event", "push")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// TestWebhook: a table takes signed requests, each whole or not at all.
func TestWebhook(t *testing.T) {
	base := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	s := harness.New(t, "--webhook-listen", base)
	base = "http://" + base
	c := s.Conn()
	exec(t, c, "CREATE SECRET gh AS 'hush'")
	exec(t, c, `CREATE TABLE pushes (data jsonb) INCLUDE header 'X-GitHub-Event' varchar AS event WITH (connector = 'webhook')
		VALIDATE SECRET gh AS secure_compare(headers->>'x-hub-signature-256', 'sha256=' || encode(hmac(gh, payload, 'sha256'), 'hex'))`)
	exec(t, c, "CREATE MATERIALIZED VIEW by_repo AS SELECT data->>'repo' AS repo, count(*) AS n FROM pushes GROUP BY 1")
	exec(t, c, "CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL) WITH (connector = 'webhook', is_batched = true)")
	for _, tt := range []struct {
		what, table, secret, body string
		status                    int
		text                      string
	}{
		{"signed", "pushes", "hush", `{"repo":"a"}`, 200, ""},
		{"signed again", "pushes", "hush", `{"repo":"a"}`, 200, ""},
		{"wrong signature", "pushes", "loud", `{"repo":"b"}`, 401, "condition"},
		{"not json", "pushes", "hush", `{`, 400, "error"},
		{"unknown table", "nothing", "hush", `{}`, 404, "there is no webhook"},
		{"batch", "items", "", "{\"id\":1,\"v\":1}\n{\"id\":2,\"v\":2}", 200, ""},
		{"batch with a bad row", "items", "", "{\"id\":3,\"v\":1}\n{\"id\":\"x\"}", 400, "row 2"},
		{"null where there may be none", "items", "", `[{"id":3,"v":1},{"id":4}]`, 400, "not-null"},
		{"a key again", "items", "", `[{"id":2,"v":9},{"id":3,"v":3}]`, 200, ""},
	} {
		if status, text := hook(base, tt.table, tt.secret, tt.body); status != tt.status || !strings.Contains(text, tt.text) {
			t.Errorf("%s: %d %s, want %d %q", tt.what, status, text, tt.status, tt.text)
		}
	}
	for sql, want := range map[string]string{
		"SELECT * FROM by_repo":                                         "a|2",
		"SELECT DISTINCT event FROM pushes":                             "push",
		"SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM items": "1:1 2:9 3:3",
	} {
		if got := strings.Join(rows(t, c, sql), ","); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	if err := try(c, "DROP SECRET gh"); err == nil || !strings.Contains(err.Error(), "2BP01") {
		t.Errorf("the secret of a webhook was dropped: %v", err)
	}
	exec(t, c, "ALTER SECRET gh AS 'new'")
	if status, _ := hook(base, "pushes", "hush", `{"repo":"c"}`); status != 401 {
		t.Errorf("with the old secret: %d", status)
	}
	exec(t, c, "ALTER TABLE pushes PAUSE")
	if status, _ := hook(base, "pushes", "new", `{"repo":"c"}`); status != 503 {
		t.Errorf("of a paused table: %d", status)
	}
	exec(t, c, "ALTER TABLE pushes RESUME")
	s.Restart()
	c = s.Conn()
	if status, text := hook(base, "pushes", "new", `{"repo":"c"}`); status != 200 {
		t.Errorf("after a kill: %d %s", status, text)
	}
	if got := one(t, c, "SELECT count(*) FROM pushes"); got != "3" {
		t.Errorf("%s rows, want 3", got)
	}
}

// TestWebhookOverKills: what was answered with 200 is there, whatever happens.
func TestWebhookOverKills(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	s := harness.New(t, "--webhook-listen", address)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id int) WITH (connector = 'webhook') FORMAT PLAIN ENCODE JSON")
	var next atomic.Int64
	var mu sync.Mutex
	taken := map[int64]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() { // the test waits
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := next.Add(1)
				if status, _ := hook("http://"+address, "t", "", fmt.Sprintf(`{"id":%d}`, id)); status == 200 {
					mu.Lock()
					taken[id] = true
					mu.Unlock()
				} else {
					time.Sleep(10 * time.Millisecond) // the server is away
				}
			}
		}()
	}
	k := &killer{t: t, s: s, rng: newRand(t, 71)}
	for range rounds(3, 10) {
		c = k.kill(500 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	wg.Wait()
	there := map[string]int{}
	for _, row := range rows(t, c, "SELECT id FROM t") {
		there[row]++
	}
	for id := range taken {
		if there[fmt.Sprint(id)] != 1 {
			t.Errorf("row %d, which was acknowledged, is there %d times", id, there[fmt.Sprint(id)])
		}
	}
	if len(taken) == 0 {
		t.Error("nothing was taken at all")
	}
	t.Logf("%d requests were answered with 200, %d rows are there", len(taken), len(there))
}
