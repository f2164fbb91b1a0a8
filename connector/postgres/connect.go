package postgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/sqlerr"
)

// connectWithin bounds the making of a connection.
const connectWithin = 10 * time.Second

// settings are those under which the server's texts mean the same in every session: of the snapshot and of the log. The planner's
// are for reading a table in the order of its key, piece by piece, whatever the statistics say.
var settings = map[string]string{
	"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "extra_float_digits": "3", "bytea_output": "hex",
	"lc_monetary": "C", "xmlbinary": "base64", "client_encoding": "UTF8", "standard_conforming_strings": "on", "search_path": "",
	"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "synchronous_commit": "on",
	"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "max_parallel_workers_per_gather": "0", "jit": "off",
}

// connect opens a session: for queries, or one that also takes replication commands.
func (c *config) connect(ctx context.Context, replication bool) (*pgconn.PgConn, error) {
	p, err := c.parameters()
	if err != nil {
		return nil, err
	}
	for k, v := range settings {
		p.RuntimeParams[k] = v
	}
	p.RuntimeParams["application_name"] = "millrace " + c.name
	if replication {
		p.RuntimeParams["replication"] = "database"
	}
	conn, err := pgconn.ConnectConfig(ctx, p)
	if err != nil {
		return nil, c.explain(ctx, fmt.Sprintf("connect to database %q as user %q", c.database, c.user), err)
	}
	return conn, nil
}

// parameters turns the options into what the driver connects with; nothing comes from the environment.
func (c *config) parameters() (*pgconn.Config, error) {
	var dsn strings.Builder
	for _, kv := range [][2]string{
		{"host", c.host}, {"port", fmt.Sprint(c.port)}, {"user", c.user}, {"password", c.password}, {"dbname", c.database},
		{"sslmode", "disable"}, {"passfile", os.DevNull}, {"servicefile", os.DevNull},
	} {
		fmt.Fprintf(&dsn, "%s='%s' ", kv[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(kv[1]))
	}
	p, err := pgconn.ParseConfig(dsn.String())
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "the options of connector \"postgres-cdc\" name no server").WithDetail("%v", err).WithCause(err)
	}
	if err := c.tls.Postgres(p); err != nil {
		return nil, err
	}
	p.ConnectTimeout = connectWithin
	return p, nil
}

// closeConn ends a session, politely if the server answers.
func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// query runs SQL without parameters and returns the rows of its last statement, as texts; nil is NULL.
func query(ctx context.Context, conn *pgconn.PgConn, sql string) ([][][]byte, error) {
	res, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(res) == 0 {
		return nil, nil
	}
	return res[len(res)-1].Rows, nil
}

// one is query for a single value; "" when there is none.
func one(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	rows, err := query(ctx, conn, sql)
	if err != nil || len(rows) == 0 || len(rows[0]) == 0 {
		return "", err
	}
	return string(rows[0][0]), nil
}

// quote writes a string literal; the sessions have standard_conforming_strings on.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quoteIdent writes a name.
func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
