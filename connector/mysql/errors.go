package mysql

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/connector/sqltls"
	"github.com/millrace/millrace/internal/sqlerr"
)

// explain turns an error of the client into one that a user understands: 08006 when the server cannot be reached, 28P01 when it refuses the
// password, 42501 when it denies access, and what is not there by its name.
func (c *config) explain(doing string, err error) error {
	var se *sqlerr.Error
	var of *cdc.TableError
	if err == nil || errors.As(err, &se) || errors.As(err, &of) || errors.Is(err, context.Canceled) {
		return err
	}
	var me *wire.Error
	if !errors.As(err, &me) {
		if errors.Is(err, wire.ErrNoTLS) {
			err = sqltls.ErrNoTLS
		}
		if e := c.tls.Explain("MySQL", c.addr(), err); e != nil {
			return e
		}
		return sqlerr.New(sqlerr.ConnectionFailure, "could not reach MySQL at %s to %s", c.addr(), doing).WithDetail("%v", err).WithCause(err).
			WithHint("Check the options hostname, port and ssl.mode, and that the server runs and accepts connections from here.")
	}
	detail := func(code sqlerr.Code, format string, args ...any) *sqlerr.Error {
		return sqlerr.New(code, format, args...).WithDetail("The server says: %s.", me.Message).WithCause(err)
	}
	switch me.Code {
	case wire.ErrAccessDenied, wire.ErrAccessDeniedAnon:
		return detail(sqlerr.InvalidPassword, "MySQL at %s refuses the user %q", c.addr(), c.user).
			WithHint("Check the options username and password. A user that must come with TLS, or with a certificate, needs ssl.mode or ssl.client.cert.")
	case wire.ErrAccessDeniedDB, wire.ErrTableAccess, wire.ErrPrivilege:
		return detail(sqlerr.InsufficientPrivilege, "permission denied by MySQL at %s to %s", c.addr(), doing)
	case wire.ErrUnknownDatabase:
		return detail(sqlerr.InvalidCatalogName, "MySQL at %s has no such database", c.addr())
	case wire.ErrNoSuchTable:
		return detail(sqlerr.UndefinedTable, "MySQL at %s has no such table", c.addr())
	}
	return fmt.Errorf("%s at %s: %w", doing, c.addr(), err)
}

// explainLog is explain for errors of the dump of the log.
func (c *config) explainLog(at *point, err error) error {
	switch wire.CodeOf(err) {
	case wire.ErrBinlog:
		var me *wire.Error
		errors.As(err, &me)
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "MySQL at %s cannot go on with its binary log from %s", c.addr(), at).
			WithDetail("The server says: %s.", me.Message).
			WithHint("If the log has been purged, changes are lost: ALTER SOURCE … REFRESH SCHEMA copies the tables of the source anew and goes on from there. " +
				"Let the server keep its log for longer (binlog_expire_logs_seconds).").WithCause(err)
	case wire.ErrSlaveSameID:
		return sqlerr.New(sqlerr.ObjectInUse, "another replica has connected to MySQL at %s with the server id %d", c.addr(), c.serverID).
			WithHint("Give each source a number of its own with the option \"server.id\".").WithCause(err)
	}
	return c.explain("read the binary log", err)
}
