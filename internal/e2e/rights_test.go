package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// connAs connects as another user.
func connAs(t *testing.T, n *harness.Node, user string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), strings.Replace(n.URL(), "root@", user+"@", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// TestSignalRights: only superusers cancel or end any session, others those of roles that they are members of, and never a superuser's.
func TestSignalRights(t *testing.T) {
	n := harness.NewNode(t)
	root := n.Conn()
	exec(t, root, `CREATE USER alice; CREATE USER bob; CREATE ROLE team LOGIN; GRANT team TO alice`)
	alice, bob, team := connAs(t, n, "alice"), connAs(t, n, "bob"), connAs(t, n, "team")
	pid := func(c *pgx.Conn) uint32 { return c.PgConn().PID() }
	for _, tt := range []struct {
		by   *pgx.Conn
		sql  string
		of   *pgx.Conn
		want string
	}{
		{alice, `SELECT pg_cancel_backend(%d)`, root, "must be a superuser to cancel superuser query"},
		{alice, `SELECT pg_terminate_backend(%d)`, root, "must be a superuser to terminate superuser process"},
		{alice, `KILL '%d'`, root, "must be a superuser to terminate superuser process"},
		{alice, `SELECT pg_cancel_backend(%d)`, bob, "must be a member of the role whose query is being canceled or member of pg_signal_backend"},
		{alice, `SELECT pg_terminate_backend(%d)`, bob, "must be a member of the role whose process is being terminated or member of pg_signal_backend"},
		{alice, `KILL '%d'`, bob, "must be a member of the role whose process is being terminated or member of pg_signal_backend"},
		{team, `SELECT pg_cancel_backend(%d)`, alice, "must be a member of the role whose query is being canceled or member of pg_signal_backend"},
		{alice, `SELECT pg_cancel_backend(%d)`, team, ""},
		{root, `SELECT pg_cancel_backend(%d)`, bob, ""},
		{alice, `SELECT pg_terminate_backend(%d)`, team, ""},
		{root, `KILL '%d'`, bob, ""},
	} {
		sql := fmt.Sprintf(tt.sql, pid(tt.of))
		err := try(tt.by, sql)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", sql, err)
		case tt.want != "" && (code(err) != "42501" || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", sql, err, tt.want)
		}
	}
	if err := try(root, `SELECT 1`); err != nil {
		t.Errorf("the superuser's session: %v", err)
	}
	if err := try(alice, `SELECT 1`); err != nil {
		t.Errorf("alice's session: %v", err)
	}
}
