// Package mysqlsink writes a sink's rows into a table of a MySQL or MariaDB database.
//
// The idea is that of connector/pgsink: rows and the epoch's number in one transaction of the target, the number in
// the sink's row of the table millrace_sink_epochs, with a generation that fences off older writers. An older
// writer's connection is found by the named lock that it holds, and ended.
//
// Rows go as literals in statements of many rows, INSERT … ON DUPLICATE KEY UPDATE and DELETE … WHERE key IN (…), as long
// as the server's max_allowed_packet allows, in strict mode: what does not fit is an error.
//
// A Writer belongs to one goroutine, except Close.
//
// Invariants: no row is visible without the epoch that it belongs to; a statement changes no row but those of its
// keys, which is why tables with a second unique key of the sink's columns are refused.
// Start at Sink.
package mysqlsink

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/connector/sqltls"
	"github.com/millrace/millrace/internal/sqlerr"
)

// connectWithin bounds the making of a connection.
const connectWithin = 10 * time.Second

// Sink implements connector.Sink.
type Sink struct{}

func parse(spec *connector.SinkSpec) (*sqlsink.Options, error) {
	o, err := sqlsink.Parse(spec, "mysql", 3306)
	if err == nil && o.Schema != "" && o.Schema != o.Database {
		err = sqlerr.New(sqlerr.InvalidParameterValue, "option \"schema\" does not apply: MySQL has databases only, and \"database\" names it")
	}
	return o, err
}

// Validate implements connector.Sink. The table of markers is made if it is not there.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	o, err := parse(spec)
	if err != nil {
		return err
	}
	s, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	t, err := describe(ctx, s, o)
	if err != nil {
		return err
	}
	if err := t.check(spec, o); err != nil {
		return err
	}
	return t.checkRights(ctx, s, spec, o)
}

// session is one connection.
type session struct {
	*sql.Conn
	db      *sql.DB
	options *sqlsink.Options
}

// connect opens a session with the settings under which our literals mean what they say.
func connect(ctx context.Context, o *sqlsink.Options) (*session, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", o.Address()
	if strings.HasPrefix(o.Host, "/") {
		c.Net, c.Addr = "unix", o.Host
	}
	c.User, c.Passwd, c.DBName = o.User, o.Password, o.Database
	c.Timeout, c.ClientFoundRows, c.MaxAllowedPacket = connectWithin, true, 0
	c.Collation = "utf8mb4_bin"
	c.Params = map[string]string{
		"sql_mode":  "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'",
		"time_zone": "'+00:00'", "autocommit": "1",
	}
	c.Logger = log.New(io.Discard, "", 0) // every error is returned as well
	t, err := o.TLS.Config(o.Host)
	if err != nil {
		return nil, err
	}
	if c.Net == "tcp" {
		c.TLS, c.AllowFallbackToPlaintext = t, !o.TLS.Needed()
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, o.Unreachable("MySQL", err)
	}
	s := &session{db: sql.OpenDB(connector), options: o}
	s.db.SetMaxOpenConns(1)
	if s.Conn, err = s.db.Conn(ctx); err != nil {
		_ = s.db.Close()
		if errors.Is(err, mysql.ErrNoTLS) {
			err = sqltls.ErrNoTLS
		}
		return nil, o.Unreachable("MySQL", err)
	}
	return s, nil
}

func (s *session) close() {
	_ = s.Conn.Close()
	_ = s.db.Close()
}

// exec runs a statement and returns how many rows it found.
func (s *session) exec(ctx context.Context, text string, args ...any) (int64, error) {
	r, err := s.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// explain words an error: the server's own keeps its meaning, anything else means that the server is away.
func (s *session) explain(what string, err error) error {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return sqlerr.New(sqlerr.ConnectionFailure, "could not %s in MySQL database %q at %s", what, s.options.Database, s.options.Address()).
			WithDetail("%v", err).WithCause(err)
	}
	code, ok := codes[e.Number]
	if !ok {
		code = sqlerr.ExternalRoutineException
	}
	return sqlerr.New(code, "could not %s: %s (MySQL error %d)", what, e.Message, e.Number).WithCause(err)
}

// codes gives the SQLSTATE of MySQL's errors, whose own is often the general one.
var codes = map[uint16]sqlerr.Code{
	1044: sqlerr.InsufficientPrivilege, 1142: sqlerr.InsufficientPrivilege, 1143: sqlerr.InsufficientPrivilege, 1227: sqlerr.InsufficientPrivilege,
	1048: sqlerr.NotNullViolation, 1364: sqlerr.NotNullViolation, 1062: sqlerr.UniqueViolation, 1452: sqlerr.ForeignKeyViolation, 1451: sqlerr.ForeignKeyViolation,
	3819: sqlerr.CheckViolation, 4025: sqlerr.CheckViolation, 1406: sqlerr.StringDataRightTruncation, 1264: sqlerr.NumericValueOutOfRange,
	1292: sqlerr.DatetimeFieldOverflow, 1265: sqlerr.DataException, 1366: sqlerr.DataException, 1146: sqlerr.UndefinedTable, 1054: sqlerr.UndefinedColumn,
	1213: sqlerr.DeadlockDetected, 1205: sqlerr.LockNotAvailable, 1153: sqlerr.ProgramLimitExceeded,
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
