// Package pgsink writes a sink's rows into a table of a PostgreSQL database.
//
// The idea: the rows of an epoch and the epoch's number go in one transaction of the target. The number is in the
// sink's row of the table millrace_sink_epochs, which the first writer makes in the target's schema; so whoever
// connects next reads there which epochs the target holds, and delivers the ones after it. The row also holds a
// generation: a new writer takes the next one, and a commit succeeds only under the newest. An older writer's
// session is ended, so that its locks do not stay either.
//
// Values travel as text arrays, a statement of up to delta.BatchRows rows; the server reads them with the input
// functions of the target's own column types.
//
// A Writer belongs to one goroutine, except Close.
//
// Invariants: no row is visible without the epoch that it belongs to; all statements of an epoch are in one
// transaction. Start at Sink.
package pgsink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/sqlsink"
)

// connectWithin bounds the making of a connection.
const connectWithin = 10 * time.Second

// Sink implements connector.Sink.
type Sink struct{}

func parse(spec *connector.SinkSpec) (*sqlsink.Options, error) {
	o, err := sqlsink.Parse(spec, "postgresql", 5432)
	if err == nil && o.Schema == "" {
		o.Schema = "public"
	}
	return o, err
}

// Validate implements connector.Sink.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	o, err := parse(spec)
	if err != nil {
		return err
	}
	conn, err := connect(ctx, o, spec.Name)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	t, err := describe(ctx, conn, o)
	if err != nil {
		return err
	}
	return t.check(ctx, conn, spec, o)
}

// connect opens a session with the settings under which our texts mean what they say.
func connect(ctx context.Context, o *sqlsink.Options, name string) (*pgx.Conn, error) {
	var dsn strings.Builder
	for _, kv := range [][2]string{
		{"host", o.Host}, {"port", fmt.Sprint(o.Port)}, {"user", o.User}, {"password", o.Password}, {"dbname", o.Database}, {"sslmode", "disable"},
	} {
		fmt.Fprintf(&dsn, "%s='%s' ", kv[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(kv[1]))
	}
	c, err := pgx.ParseConfig(dsn.String())
	if err != nil {
		return nil, o.Unreachable("PostgreSQL", err)
	}
	if err := o.TLS.Postgres(&c.Config); err != nil {
		return nil, err
	}
	c.ConnectTimeout = connectWithin
	for k, v := range map[string]string{
		"application_name": "millrace sink " + name, "TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres",
		"extra_float_digits": "3", "bytea_output": "hex", "standard_conforming_strings": "on", "statement_timeout": "0",
		"lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "client_encoding": "UTF8",
	} {
		c.RuntimeParams[k] = v
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, o.Unreachable("PostgreSQL", err)
	}
	return conn, nil
}

// closeConn ends a session, politely if the server answers.
func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}
