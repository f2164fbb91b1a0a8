package iceberg

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	iceberg "github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
)

// restCatalog is an Iceberg catalog of one table, as its REST protocol wants it. What of a commit is lost is up to lose.
type restCatalog struct {
	mu    sync.Mutex
	meta  table.Metadata // nil: there is no table
	n     int
	space bool
	lose  func(n int) (commit, answer bool) // whether the n-th commit is not done, or its answer is not given
}

func (c *restCatalog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/config":
		answer(w, map[string]any{"defaults": map[string]string{}, "overrides": map[string]string{}})
	case "POST /v1/namespaces":
		if c.space {
			refuse(w, http.StatusConflict, "AlreadyExistsException")
			return
		}
		c.space = true
		answer(w, map[string]any{"namespace": []string{"db"}, "properties": map[string]string{}})
	case "POST /v1/namespaces/db/tables":
		c.create(w, r)
	case "GET /v1/namespaces/db/tables/t":
		c.load(w)
	case "POST /v1/namespaces/db/tables/t":
		c.commit(w, r)
	default:
		refuse(w, http.StatusNotFound, "NotFoundException")
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": kind, "type": kind, "code": code}})
}

func (c *restCatalog) load(w http.ResponseWriter) {
	if c.meta == nil {
		refuse(w, http.StatusNotFound, "NoSuchTableException")
		return
	}
	answer(w, map[string]any{"metadata-location": fmt.Sprintf("s3://bucket/t/metadata/%d.json", c.n), "metadata": c.meta, "config": map[string]string{}})
}

func (c *restCatalog) create(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Schema        *iceberg.Schema        `json:"schema"`
		PartitionSpec *iceberg.PartitionSpec `json:"partition-spec"`
		Properties    iceberg.Properties     `json:"properties"`
	}
	err := json.NewDecoder(r.Body).Decode(&q)
	if err == nil {
		if q.PartitionSpec == nil {
			q.PartitionSpec = iceberg.UnpartitionedSpec
		}
		c.meta, err = table.NewMetadata(q.Schema, q.PartitionSpec, table.UnsortedSortOrder, "s3://bucket/t", q.Properties)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	c.load(w)
}

func (c *restCatalog) commit(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Requirements table.Requirements `json:"requirements"`
		Updates      table.Updates      `json:"updates"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	for _, x := range q.Requirements {
		if err := x.Validate(c.meta); err != nil {
			refuse(w, http.StatusConflict, "CommitFailedException")
			return
		}
	}
	c.n++
	noCommit, noAnswer := false, false
	if c.lose != nil {
		noCommit, noAnswer = c.lose(c.n)
	}
	if !noCommit {
		meta, err := table.UpdateTableMetadata(c.meta, q.Updates, "")
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		c.meta = meta
	}
	if noCommit || noAnswer {
		refuse(w, http.StatusInternalServerError, "CommitStateUnknownException")
		return
	}
	c.load(w)
}

// overREST is the options of a table in a catalog of its own, whose files are in S3.
func overREST(t *testing.T, lose func(n int) (commit, answer bool)) map[string]string {
	t.Helper()
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	files := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server())
	t.Cleanup(files.Close)
	catalog := httptest.NewServer(&restCatalog{lose: lose})
	t.Cleanup(catalog.Close)
	return map[string]string{"catalog.type": "rest", "catalog.uri": catalog.URL, "database.name": "db", "table.name": "t", "create_table_if_not_exists": "true",
		"s3.endpoint": files.URL, "s3.access.key": "a", "s3.secret.key": "s", "catalog.token": "secret"}
}

func TestRESTContract(t *testing.T) {
	contract(t, specOf(overREST(t, nil), conntest.SinkColumns(), nil))
}

func TestRESTUpsertContract(t *testing.T) {
	contract(t, specOf(overREST(t, nil), conntest.SinkColumns(), []int{0}))
}

// TestLostCommits: a commit that was not done, and one whose answer was lost, are told apart by what the table says.
func TestLostCommits(t *testing.T) {
	spec := specOf(overREST(t, func(n int) (bool, bool) { return n%5 == 2, n%5 == 4 }), conntest.SinkColumns(), nil)
	var want []string
	for epoch := uint64(1); epoch <= 12; epoch++ {
		want = append(want, fmt.Sprintf("%02d|x", epoch))
		for attempt := 0; ; attempt++ {
			w := open(t, spec)
			at, _, err := w.Committed(t.Context())
			must(t, err)
			if at >= epoch {
				break
			}
			must(t, w.Write(t.Context(), epoch, chunk(row{int64(epoch), "x", 1})))
			err = w.Commit(t.Context(), epoch)
			must(t, connector.Writer(w).Close())
			if err == nil {
				break
			}
			if attempt == 3 {
				must(t, err)
			}
		}
	}
	got := contents(t, spec)
	for i, g := range got {
		if len(g) == 3 {
			got[i] = "0" + g
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("table holds %q", got)
	}
}
