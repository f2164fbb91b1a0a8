package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestRedisOverKills: what Redis holds in the end is what the view holds, whatever happens to the server meanwhile.
func TestRedisOverKills(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("hush-hush")
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE SECRET pw AS 'hush-hush'")
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, v int)")
	exec(t, c, fmt.Sprintf(`CREATE SINK k FROM t WITH (connector = 'redis', redis.url = 'redis://%s', redis.password = SECRET pw, primary_key = 'id')
		FORMAT UPSERT ENCODE TEMPLATE (key_format = 'row:{id}', value_format = '{v}')`, m.Addr()))
	k := &killer{t: t, s: s, rng: newRand(t, 41)}
	for round := range rounds(3, 10) {
		for i := range 5 {
			exec(t, c, fmt.Sprintf("INSERT INTO t SELECT g, %d FROM generate_series(%d, %d) g ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v; DELETE FROM t WHERE id %% 7 = %d",
				round*100+i, i*5, i*5+40, i%7))
		}
		c = k.kill(200 * time.Millisecond)
	}
	rows, err := query(c, "SELECT 'row:' || id, v FROM t")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = got[:0]
		for _, key := range m.Keys() {
			v, _ := m.Get(key)
			got = append(got, key+"|"+v)
		}
		if slices.Sort(got); slices.Equal(got, rows) {
			return
		}
	}
	t.Errorf("Redis holds %d keys %.200q\nwant %d %.200q", len(got), got, len(rows), rows)
}
