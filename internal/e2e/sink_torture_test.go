package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/catalog/hadoop"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/e2e/harness"
)

// sinkTarget is a system that sinks write to with the promise that each row counts once.
type sinkTarget interface {
	// with is what CREATE SINK says after FROM of a sink of a relation; key "" for one that rows are appended to.
	with(relation, key string) string
	// upserts reports whether it takes relations whose rows change.
	upserts() bool
	// rows are what it holds of a relation, columns joined by bars, sorted.
	rows(t testing.TB, relation string, cols ...string) []string
	// Kill takes the target away in the middle of what it does, Start brings it back with all it has acknowledged. Both do nothing where there
	// is no server.
	Kill()
	Start()
}

// TestSinksOverKills: the server and the target are killed at any moment, and jobs fail; nothing is missing, nothing there twice.
func TestSinksOverKills(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		s := dbtest.Postgres(t)
		torture(t, newSQLTarget(t, s, fmt.Sprintf("connector = 'postgres', host = '%s', user = 'root', database = 'postgres'", s.Host), "pgx", "host="+s.Host+" user=root dbname=postgres"))
	})
	t.Run("MariaDB", func(t *testing.T) {
		s := dbtest.MariaDB(t)
		torture(t, newSQLTarget(t, s, fmt.Sprintf("connector = 'mysql', host = '%s', user = 'root', database = 'test'", s.Host), "mysql", "root@unix("+s.Host+")/test"))
	})
	t.Run("files", func(t *testing.T) { torture(t, &fileTarget{dir: t.TempDir()}) })
	t.Run("S3", func(t *testing.T) { torture(t, newS3Target(t)) })
	t.Run("Iceberg", func(t *testing.T) { torture(t, &icebergTarget{dir: t.TempDir()}) })
	t.Run("Kafka", func(t *testing.T) { torture(t, newKafkaTarget(t)) })
}

func torture(t *testing.T, target sinkTarget) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, sinkSchema)
	next := 0
	rng := newRand(t, 77)
	churn(c, rng, &next, 200*time.Millisecond) // a snapshot to begin with
	sinks := map[string]string{"journal": ""}
	if target.upserts() {
		sinks["item"], sinks["by_v"] = "id", "m"
	}
	for of, key := range sinks {
		exec(t, c, fmt.Sprintf("CREATE SINK %s_out FROM %s %s", of, of, target.with(of, key)))
	}
	for round := range rounds(6, 40) {
		done := make(chan struct{})
		go func() { // waited for below
			defer close(done)
			churn(c, rng, &next, 600*time.Millisecond)
		}()
		time.Sleep(time.Duration(rand.Int64N(int64(500 * time.Millisecond)))) // the moment of the kill
		ours, theirs, jobs := round%4 == 0 || round%4 == 2, round%4 == 1 || round%4 == 2, round%4 == 3 || round%4 == 1
		if jobs {
			exec(t, s.Conn(), "RECOVER")
		}
		if ours {
			s.Kill()
		}
		if theirs {
			target.Kill()
		}
		<-done
		if theirs {
			target.Start()
		}
		if ours {
			s.Start()
			c = s.Conn()
		}
	}
	holds(t, target, "journal", rows(t, c, "SELECT n, k FROM journal"), "n", "k")
	if target.upserts() {
		holds(t, target, "item", rows(t, c, "SELECT id, v, name FROM item"), "id", "v", "name")
		holds(t, target, "by_v", rows(t, c, "SELECT m, n, high FROM by_v"), "m", "n", "high")
	}
	eventually(t, c, "SELECT name, state, rows_owed, last_error FROM millrace_catalog.sinks WHERE state <> 'running' OR rows_owed <> 0 OR last_error IS NOT NULL", nil, 20*time.Second)
}

// holds waits until the target has the rows, and a while longer for what comes twice.
func holds(t testing.TB, target sinkTarget, relation string, want []string, cols ...string) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		d := diff(want, target.rows(t, relation, cols...))
		if d == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s in the target differs:\n%s", relation, d)
		}
	}
	time.Sleep(300 * time.Millisecond) // more would come now if anything came twice
	if d := diff(want, target.rows(t, relation, cols...)); d != "" {
		t.Errorf("%s in the target differs later:\n%s", relation, d)
	}
}

// sqlTarget is a database.
type sqlTarget struct {
	*dbtest.Server
	t                    testing.TB
	options, driver, dsn string
}

func newSQLTarget(t testing.TB, s *dbtest.Server, options, driver, dsn string) *sqlTarget {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, ddl := range []string{"CREATE TABLE item (id bigint PRIMARY KEY, v bigint, name text)", "CREATE TABLE journal (n bigint, k bigint)",
		"CREATE TABLE by_v (m bigint PRIMARY KEY, n bigint, high text)"} {
		if _, err := db.Exec(ddl); err != nil {
			t.Fatal(err)
		}
	}
	return &sqlTarget{s, t, options, driver, dsn}
}

func (s *sqlTarget) with(relation, _ string) string {
	return fmt.Sprintf("WITH (%s, table = '%s')", s.options, relation)
}

func (s *sqlTarget) upserts() bool { return true }

func (s *sqlTarget) Start() { s.MustStart(s.t) }

func (s *sqlTarget) rows(t testing.TB, relation string, cols ...string) []string {
	t.Helper()
	db, err := sql.Open(s.driver, s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT " + strings.Join(cols, ", ") + " FROM " + relation)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		row := make([]string, len(cols))
		to := make([]any, len(cols))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(row, "|"))
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	sort.Strings(out)
	return out
}

// fileTarget is a folder.
type fileTarget struct{ dir string }

func (f *fileTarget) with(relation, _ string) string {
	return fmt.Sprintf("WITH (connector = 'fs', fs.path = '%s', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON", filepath.Join(f.dir, relation))
}
func (f *fileTarget) upserts() bool { return false }
func (f *fileTarget) rows(t testing.TB, relation string, cols ...string) []string {
	t.Helper()
	return inFiles(t, filepath.Join(f.dir, relation), cols...)
}
func (f *fileTarget) Kill()  {}
func (f *fileTarget) Start() {}

// s3Target is a server that speaks S3's protocol. What it has acknowledged, unfinished uploads included, outlives its death.
type s3Target struct {
	t       testing.TB
	handler http.Handler
	addr    string
	server  *http.Server
}

func newS3Target(t testing.TB) *s3Target {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("lake"); err != nil {
		t.Fatal(err)
	}
	s := &s3Target{t: t, addr: "127.0.0.1:0", handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

func (s *s3Target) Start() {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr, s.server = l.Addr().String(), &http.Server{Handler: s.handler}
	go func() { _ = s.server.Serve(l) }() // ends with Kill
}

// Kill closes every connection: whether a request had its effect, its sender does not learn.
func (s *s3Target) Kill() { _ = s.server.Close() }

func (s *s3Target) with(relation, _ string) string {
	return fmt.Sprintf("WITH (connector = 's3', s3.bucket_name = 'lake', s3.path = '%s', s3.endpoint_url = 'http://%s', s3.credentials.access = 'a', s3.credentials.secret = 's', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON",
		relation, s.addr)
}

func (s *s3Target) upserts() bool { return false }

func (s *s3Target) rows(t testing.TB, relation string, cols ...string) []string {
	t.Helper()
	var out []string
	marker := ""
	for {
		body := s.get(t, "/lake?prefix="+relation+"/&marker="+url.QueryEscape(marker))
		keys := strings.Split(body, "<Key>")[1:]
		for _, k := range keys {
			marker, _, _ = strings.Cut(k, "<")
			if strings.Contains(marker, "/.") {
				continue
			}
			for d := json.NewDecoder(strings.NewReader(s.get(t, "/lake/"+marker))); d.More(); {
				out = append(out, jsonRow(t, d, cols))
			}
		}
		if !strings.Contains(body, "<IsTruncated>true") {
			break
		}
	}
	sort.Strings(out)
	return out
}

func (s *s3Target) get(t testing.TB, path string) string {
	t.Helper()
	r, err := http.Get("http://" + s.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %v, %s %s", path, err, r.Status, b)
	}
	return string(b)
}

func jsonRow(t testing.TB, d *json.Decoder, cols []string) string {
	t.Helper()
	var row map[string]any
	d.UseNumber()
	if err := d.Decode(&row); err != nil {
		t.Fatal(err)
	}
	var v []string
	for _, c := range cols {
		v = append(v, fmt.Sprint(row[c]))
	}
	return strings.Join(v, "|")
}

// icebergTarget is a warehouse in a folder.
type icebergTarget struct{ dir string }

func (x *icebergTarget) with(relation, key string) string {
	kind := "type = 'append-only'"
	if key != "" {
		kind = "type = 'upsert', primary_key = '" + key + "'"
	}
	return fmt.Sprintf("WITH (connector = 'iceberg', %s, catalog.type = 'storage', warehouse.path = '%s', database.name = 'db', table.name = '%s', create_table_if_not_exists = 'true', commit_checkpoint_interval = '1')",
		kind, x.dir, relation)
}
func (x *icebergTarget) upserts() bool { return true }
func (x *icebergTarget) Kill()         {}
func (x *icebergTarget) Start()        {}

func (x *icebergTarget) rows(t testing.TB, relation string, cols ...string) []string {
	t.Helper()
	ctx := context.Background()
	cat, err := hadoop.NewCatalog("test", x.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	tbl, err := cat.LoadTable(ctx, []string{"db", relation})
	if err != nil {
		t.Fatal(err)
	}
	_, batches, err := tbl.Scan().ToArrowRecords(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for b, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(b.NumRows()) {
			var v []string
			for _, c := range b.Columns() {
				v = append(v, c.ValueStr(i))
			}
			out = append(out, strings.Join(v, "|"))
		}
	}
	sort.Strings(out)
	return out
}

// kafkaTarget is a cluster in this process, which knows transactions and is not killed: internal/kafkatest kills real brokers.
type kafkaTarget struct{ addr string }

func newKafkaTarget(t testing.TB) *kafkaTarget {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "journal", "item", "by_v"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &kafkaTarget{cluster.ListenAddrs()[0]}
}

func (k *kafkaTarget) with(relation, key string) string {
	with := fmt.Sprintf("WITH (connector = 'kafka', properties.bootstrap.server = '%s', topic = '%s'", k.addr, relation)
	if key == "" {
		return with + ") FORMAT PLAIN ENCODE JSON"
	}
	return with + ", primary_key = '" + key + "') FORMAT UPSERT ENCODE JSON"
}
func (k *kafkaTarget) upserts() bool { return true }
func (k *kafkaTarget) Kill()         {}
func (k *kafkaTarget) Start()        {}

// rows are the messages without a key, and of each key the last one.
func (k *kafkaTarget) rows(t testing.TB, relation string, cols ...string) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.ConsumeTopics(relation), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var out []string
	last := map[string]string{}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		f := cl.PollFetches(ctx)
		cancel()
		if f.NumRecords() == 0 {
			break
		}
		for _, r := range f.Records() {
			switch {
			case r.Value == nil:
				delete(last, string(r.Key))
			case r.Key == nil:
				out = append(out, jsonRow(t, json.NewDecoder(strings.NewReader(string(r.Value))), cols))
			default:
				last[string(r.Key)] = jsonRow(t, json.NewDecoder(strings.NewReader(string(r.Value))), cols)
			}
		}
	}
	for _, v := range last {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}
