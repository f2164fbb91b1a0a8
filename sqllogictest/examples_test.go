package sqllogictest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestExamples runs every file of examples/ as a reader would, statement by statement, and looks at what the
// Kafka one leaves behind.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("find examples: %v, %v", files, err)
	}
	broker := clicks(t)
	binary := build(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &process{binary: binary, data: filepath.Join(t.TempDir(), "data")}
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.kill)
			c, err := pgconn.Connect(t.Context(), s.url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close(context.Background()) })
			for sql := range strings.SplitSeq(strings.ReplaceAll(string(text), "127.0.0.1:9092", broker), ";\n") {
				if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatalf("%v\n%s", err, strings.TrimSpace(sql))
				}
			}
			if filepath.Base(file) == "kafka.sql" {
				wantCounts(t, c, broker)
			}
		})
	}
}

// clicks starts a broker with three records in topic clicks, and returns its address.
func clicks(t *testing.T) (broker string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "clicks", "per_minute"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	broker = cluster.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic("clicks"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, record := range []string{
		`{"user_id": 1, "url": "/a", "at": "2024-01-01 12:00:00"}`,
		`{"user_id": 1, "url": "/a", "at": "2024-01-01 12:00:30"}`,
		`{"user_id": 2, "url": "/b", "at": "2024-01-01 12:01:00"}`,
	} {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(record)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return broker
}

// wantCounts waits until the view has all clicks, then for what the sink wrote.
func wantCounts(t *testing.T, c *pgconn.PgConn, broker string) {
	t.Helper()
	const want = "2024-01-01 12:00:00 /a 2 1; 2024-01-01 12:01:00 /b 1 1"
	got := ""
	for deadline := time.Now().Add(20 * time.Second); got != want && time.Now().Before(deadline); {
		res, err := c.Exec(t.Context(), "SELECT window_start || ' ' || url || ' ' || clicks || ' ' || users FROM per_minute ORDER BY 1").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		rows := []string{}
		for _, r := range res[0].Rows {
			rows = append(rows, string(r[0]))
		}
		got = strings.Join(rows, "; ")
	}
	if got != want {
		t.Errorf("the view holds %q, want %q", got, want)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("per_minute"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := map[string]string{}
	for !strings.Contains(seen["/a"], `"clicks":2`) || seen["/b"] == "" {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the sink wrote %v only", seen)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			for _, url := range []string{"/a", "/b"} {
				if strings.Contains(string(r.Key), url) {
					seen[url] = strings.ReplaceAll(string(r.Value), " ", "")
				}
			}
		})
	}
}
