package e2e

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestSubscriptionsPage: what docs/sql/subscriptions.md offers to be pasted works.
func TestSubscriptionsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql/subscriptions.md")
	if err != nil {
		t.Fatal(err)
	}
	n := harness.NewNode(t)
	c := n.Conn()
	_, rest, found := strings.Cut(string(text), "```sql\n")
	block, _, _ := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no SQL")
	}
	fetched := map[string]int{}
	for sql := range strings.SplitSeq(block, ";\n") {
		sql = strings.TrimSpace(sql)
		if strings.HasPrefix(sql, "COPY") {
			if _, err := c.PgConn().CopyTo(context.Background(), &bytes.Buffer{}, sql); err != nil {
				t.Fatalf("%s\n%v", sql, err)
			}
			continue
		}
		if sql != "" {
			fetched[sql] += len(rows(t, c, sql))
		}
	}
	if n := fetched["FETCH 10 FROM cur WITH (timeout = '5s')"]; n != 4 {
		t.Errorf("the cursor gave %d rows, want 2 inserts and an update", n)
	}
	if n := fetched["FETCH ALL FROM live WITH (timeout = '1s')"]; n < 2 {
		t.Errorf("SUBSCRIBE gave %d rows, want one and progress", n)
	}
}
