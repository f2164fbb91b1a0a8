package pgwire

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Startup is what is known of a client when its session opens.
type Startup struct {
	User     string
	Database string // the user's name when the client named none, as in PostgreSQL
	AppName  string
	// Params are the settings the client asked for, those of its "options" (-c name=value) included;
	// user and database are not among them.
	Params map[string]string
	Remote string // the client's address
	// PID and Secret identify the connection to cancel requests. Secret is the first half of the key
	// for clients of protocol 3.2, whose keys are longer.
	PID, Secret uint32
	TLS         bool
	// Cancel cancels the statement that is running, if one is; Terminate ends the connection with 57P01.
	// Both may be called from any goroutine (pg_cancel_backend, pg_terminate_backend, KILL).
	Cancel, Terminate func()
}

// Backend is the database behind the wire. Its methods are called from many goroutines.
type Backend interface {
	// Password returns the verifier of user's password; required=false lets the client in without
	// one. With required and no verifier (an unknown user) the exchange runs all the same and fails.
	Password(user string) (v *ScramVerifier, required bool)
	// Open starts a session. ctx lives as long as the connection. An unknown database is 3D000.
	Open(ctx context.Context, p Startup) (Session, error)
}

// Session is one client's state. Only the goroutine of its connection calls it.
//
// The context given to its methods is cancelled by a cancel request; it is shared by consecutive
// statements, so whatever is registered on it must be released when the call ends.
//
// Byte offsets of errors (sqlerr.Error.At) count from the start of the text given to Parse, for errors of
// Parse and of everything made from its statements alike.
type Session interface {
	// Parse splits a script into statements; a syntax error anywhere means that none of them runs.
	Parse(sql string) ([]Statement, error)
	// Prepare binds s. paramOIDs may be shorter than the number of parameters; 0 means "infer".
	// s stays valid as long as the Prepared.
	Prepare(ctx context.Context, s Statement, paramOIDs []uint32) (Prepared, error)
	// EndImplicit ends the implicit transaction of a script, or of the messages between two Syncs.
	// It does nothing in a transaction block, except that failed=true puts the block into state 'E':
	// it is called with failed=true as soon as something failed, also when only this package noticed
	// (a parameter that does not parse). It is called without anything to end as well.
	EndImplicit(ctx context.Context, failed bool) error
	// TxStatus is 'I' outside, 'T' in, and 'E' in a failed transaction block.
	TxStatus() byte
	// ParameterStatus lists all settings reported to clients, for start-up.
	ParameterStatus() map[string]string
	// ParameterChanges returns, and forgets, the reported settings that changed since the last call.
	ParameterChanges() map[string]string
	// Notices returns, and forgets, what is to be told beside results; codes of class 01 are warnings.
	Notices() []*sqlerr.Error
	// Named returns a prepared statement of that name, Keep gives a statement a name, and Drop takes it away. They
	// are the session's because PREPARE, EXECUTE and DEALLOCATE name the same statements as the protocol. sql is the
	// script that positions of errors refer to; p is nil for an empty one.
	Named(name string) (sql string, p Prepared, ok bool)
	Keep(name, sql string, p Prepared)
	Drop(name string)
	// Cursor describes a cursor that DECLARE has opened, which the protocol takes for a portal.
	Cursor(name string) (cols []Column, ok bool)
	// IdleTimeout bounds the wait for the next message as things are, 0: no bound. why ends the connection then.
	IdleTimeout() (limit time.Duration, why *sqlerr.Error)
	// Settings is how values are written as text and read from it. It may change between statements.
	Settings() *sqlio.Settings
	// Close ends the session and rolls back what is open. It is called once, also after a panic.
	Close()
}

// Pipelined is a Session to which it matters whether the message that executes a portal may be followed by others of the same implicit
// transaction.
type Pipelined interface {
	// Pipelined is called before a portal of the extended protocol is executed; more is false when Sync is known to be next.
	Pipelined(more bool)
}

// Statement is one statement of a script, parsed.
type Statement interface {
	Text() string
	// Empty reports whether there is nothing to execute.
	Empty() bool
}

// Prepared is a statement bound to the catalog, with its parameters typed.
type Prepared interface {
	Params() []sqltypes.Type
	Columns() []Column // nil: returns no rows
	// Bind gives the parameters values; args is the portal's to keep.
	Bind(ctx context.Context, args []sqltypes.Datum) (Portal, error)
	// Close releases the statement. Portals made from it go on working.
	Close()
}

// Column describes a result column. TableOID and AttNum are 0 unless it is a plain table column.
type Column struct {
	Name     string
	Type     sqltypes.Type
	TableOID uint32
	AttNum   uint16
	// Binary columns are sent in binary form to clients of the simple protocol, which cannot ask: FETCH from a
	// binary cursor.
	Binary bool
}

// Portal is a statement ready to run, once.
type Portal interface {
	Columns() []Column
	// CopyIn starts a COPY FROM STDIN; ok is false, and nothing happens, when the statement is none.
	// CopyIn and CopyOut are asked, in this order and before Execute, of portals without columns.
	CopyIn(ctx context.Context) (c CopyIn, ok bool, err error)
	// CopyOut likewise starts a COPY TO STDOUT.
	CopyOut(ctx context.Context) (c CopyOut, ok bool, err error)
	// Execute starts everything else.
	Execute(ctx context.Context) (Rows, error)
}

// Rows is the result of a statement, with or without rows.
type Rows interface {
	// Next returns the next rows, or nil at the end. A row of weight w > 0 stands for w equal rows.
	// The chunk must stay as it is until the next call. A statement without result rows does its work
	// before its first Next returns nil, if it has not done it in Execute.
	Next(ctx context.Context) (*delta.Chunk, error)
	// Tag is the command tag ("SELECT 3", "INSERT 0 1"), known once Next has returned nil.
	Tag() string
	Close()
}

// Live is a CopyOut, or Rows, whose next rows may not have happened yet. Ready reports whether Next would return at once;
// if not, the client gets what it is owed before Next is called.
type Live interface {
	Ready() bool
}

// CopyIn takes the data of a COPY FROM STDIN. Exactly one of Finish and Abort ends it.
type CopyIn interface {
	// Format tells the number of columns and whether the format is binary.
	Format() (columns int, binary bool)
	// Write takes the next bytes, which are cut anywhere and valid during the call only.
	Write(ctx context.Context, data []byte) error
	Finish(ctx context.Context) (tag string, err error)
	// Abort drops what was written: the client gave up or vanished, or Write returned an error.
	Abort(cause error)
}

// CopyOut produces the data of a COPY TO STDOUT.
type CopyOut interface {
	Format() (columns int, binary bool)
	// Next returns the next row with its line end, valid until the next call; nil at the end. (libpq
	// hands each piece to its caller as one row.)
	Next(ctx context.Context) ([]byte, error)
	Tag() string
	Close()
}
