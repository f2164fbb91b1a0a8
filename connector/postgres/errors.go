package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/sqlerr"
)

// explain turns an error of the server or of the way to it into one that a user can act on. doing says what was tried,
// as in "read table public.t".
func (c *config) explain(ctx context.Context, doing string, err error) error {
	var own *sqlerr.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if e := c.tls.Explain("PostgreSQL", c.address(), err); e != nil {
			return e
		}
		return sqlerr.New(sqlerr.ConnectionFailure, "could not reach PostgreSQL at %s to %s", c.address(), doing).WithDetail("%v", err).WithCause(err).
			WithHint("Check the options hostname, port and ssl.mode, and that the server runs and accepts connections from here.")
	}
	code := sqlerr.Code(pg.Code)
	e := sqlerr.New(code, "PostgreSQL at %s refuses to %s: %s", c.address(), doing, pg.Message).WithCause(err)
	if pg.Detail != "" {
		e = e.WithDetail("%s", pg.Detail)
	}
	switch code {
	case sqlerr.InvalidPassword:
		return e.WithHint("Check the options username and password.")
	case sqlerr.InvalidAuthorization:
		return e.WithHint("Check the option username, and that pg_hba.conf of the server has a line for this user, database and host.")
	case sqlerr.InvalidCatalogName:
		return e.WithHint("Check the option database.name.")
	case sqlerr.AdminShutdown, sqlerr.CannotConnectNow, "57P02":
		e.Code = sqlerr.ConnectionFailure
		return e
	case sqlerr.InsufficientPrivilege:
		return e.WithHint("%s", c.rightsHint())
	case "53400":
		return e.WithHint("Drop a replication slot that nobody needs (see pg_replication_slots), or raise max_replication_slots and restart the server.")
	case sqlerr.TooManyConnections:
		return e.WithHint("Raise max_wal_senders or max_connections and restart the server.")
	case "58P01":
		return c.lost("the server has removed WAL that this source still needs").WithCause(err)
	}
	if pg.Hint != "" {
		e = e.WithHint("%s", pg.Hint)
	}
	return e
}

func (c *config) rightsHint() string {
	return fmt.Sprintf("The user needs REPLICATION (ALTER ROLE %s REPLICATION), SELECT on the tables, and, to make a publication, CREATE on the database and the ownership of the tables.", quoteIdent(c.user))
}

// lost is the error of a source whose slot does not have the changes any more.
func (c *config) lost(what string) *sqlerr.Error {
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "changes of PostgreSQL at %s are lost: %s", c.address(), what).
		WithDetail("The replication slot is %q.", c.slot).
		WithHint("ALTER SOURCE … REFRESH SCHEMA copies its tables anew and goes on from there. " +
			"To keep it from happening: do not drop or advance the slot, and set max_slot_wal_keep_size of the server high enough.")
}
