// Package sqlerr holds the errors that a SQL user meets: an SQLSTATE, a message about their
// statement, and optionally a position, a detail and a hint.
//
// The idea: an error is told apart by its type, never by its text. Whatever reaches a client
// without an *Error in its chain is an internal error (XX000); frontend/pgwire does that mapping.
//
// Values are immutable once returned; the With methods copy. Any goroutine may use them.
// The package does not log and knows nothing of the wire. Start at New.
//
// Codes are those of the PostgreSQL documentation, appendix A.
package sqlerr

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is a five-character SQLSTATE.
type Code string

// The SQLSTATEs in use, in the order of PostgreSQL's appendix A.
const (
	SuccessfulCompletion         Code = "00000"
	Warning                      Code = "01000"
	ConnectionException          Code = "08000"
	ConnectionFailure            Code = "08006"
	ProtocolViolation            Code = "08P01"
	FeatureNotSupported          Code = "0A000"
	CardinalityViolation         Code = "21000"
	DataException                Code = "22000"
	StringDataRightTruncation    Code = "22001"
	StringDataLengthMismatch     Code = "22026"
	NumericValueOutOfRange       Code = "22003"
	NullValueNotAllowed          Code = "22004"
	InvalidDatetimeFormat        Code = "22007"
	DatetimeFieldOverflow        Code = "22008"
	InvalidTimeZoneDisplacement  Code = "22009"
	SubstringError               Code = "22011"
	DivisionByZero               Code = "22012"
	PrecedingOrFollowingInvalid  Code = "22013"
	InvalidArgumentForNtile      Code = "22014"
	IntervalFieldOverflow        Code = "22015"
	InvalidArgumentForNthValue   Code = "22016"
	InvalidArgumentForLog        Code = "2201E"
	InvalidArgumentForPower      Code = "2201F"
	InvalidArgumentForWidth      Code = "2201G"
	InvalidRowCountInLimit       Code = "2201W"
	InvalidTablesampleRepeat     Code = "2202G"
	InvalidTablesampleArgument   Code = "2202H"
	InvalidRowCountInOffset      Code = "2201X"
	CharacterNotInRepertoire     Code = "22021"
	InvalidParameterValue        Code = "22023"
	InvalidEscapeSequence        Code = "22025"
	InvalidRegularExpression     Code = "2201B"
	ArraySubscriptError          Code = "2202E"
	DuplicateJSONObjectKeyValue  Code = "22030"
	InvalidJSONText              Code = "22032"
	InvalidJSONDatetimeArgument  Code = "22031"
	InvalidSQLJSONSubscript      Code = "22033"
	NonNumericJSONItem           Code = "22036"
	SingletonJSONItemRequired    Code = "22038"
	JSONArrayNotFound            Code = "22039"
	JSONMemberNotFound           Code = "2203A"
	JSONNumberNotFound           Code = "2203B"
	JSONObjectNotFound           Code = "2203C"
	SequenceLimitExceeded        Code = "2200H"
	InvalidTextRepresentation    Code = "22P02"
	InvalidBinaryRepresentation  Code = "22P03"
	BadCopyFileFormat            Code = "22P04"
	UntranslatableCharacter      Code = "22P05"
	IntegrityConstraintViolation Code = "23000"
	NotNullViolation             Code = "23502"
	ForeignKeyViolation          Code = "23503"
	UniqueViolation              Code = "23505"
	CheckViolation               Code = "23514"
	InvalidCursorState           Code = "24000"
	InvalidTransactionState      Code = "25000"
	ActiveSQLTransaction         Code = "25001"
	ReadOnlySQLTransaction       Code = "25006"
	IdleInTransactionTimeout     Code = "25P03"
	NoActiveSQLTransaction       Code = "25P01"
	InFailedSQLTransaction       Code = "25P02"
	InvalidSQLStatementName      Code = "26000"
	InvalidAuthorization         Code = "28000"
	InvalidPassword              Code = "28P01"
	DependentObjectsStillExist   Code = "2BP01"
	InvalidTransactionTerm       Code = "2D000"
	InvalidCursorName            Code = "34000"
	ExternalRoutineException     Code = "39000"
	InvalidCatalogName           Code = "3D000"
	InvalidSavepoint             Code = "3B001"
	InvalidSchemaName            Code = "3F000"
	SerializationFailure         Code = "40001"
	DeadlockDetected             Code = "40P01"
	SyntaxErrorOrAccess          Code = "42000"
	InsufficientPrivilege        Code = "42501"
	SyntaxError                  Code = "42601"
	InvalidName                  Code = "42602"
	NameTooLong                  Code = "42622"
	ReservedName                 Code = "42939"
	DuplicateColumn              Code = "42701"
	AmbiguousColumn              Code = "42702"
	UndefinedColumn              Code = "42703"
	UndefinedObject              Code = "42704"
	DuplicateAlias               Code = "42712"
	DuplicateObject              Code = "42710"
	AmbiguousFunction            Code = "42725"
	DuplicateFunction            Code = "42723"
	InvalidFunctionDefinition    Code = "42P13"
	GroupingError                Code = "42803"
	DatatypeMismatch             Code = "42804"
	WrongObjectType              Code = "42809"
	CannotCoerce                 Code = "42846"
	UndefinedFunction            Code = "42883"
	UndefinedTable               Code = "42P01"
	UndefinedParameter           Code = "42P02"
	DuplicateCursor              Code = "42P03"
	InvalidCursorDefinition      Code = "42P11"
	DuplicateDatabase            Code = "42P04"
	DuplicatePreparedStatement   Code = "42P05"
	DuplicateSchema              Code = "42P06"
	DuplicateTable               Code = "42P07"
	AmbiguousParameter           Code = "42P08"
	AmbiguousAlias               Code = "42P09"
	InvalidColumnReference       Code = "42P10"
	InvalidColumnDefinition      Code = "42611"
	InvalidTableDefinition       Code = "42P16"
	InvalidObjectDefinition      Code = "42P17"
	IndeterminateDatatype        Code = "42P18"
	InvalidRecursion             Code = "42P19"
	WindowingError               Code = "42P20"
	CollationMismatch            Code = "42P21"
	WithCheckOptionViolation     Code = "44000"
	InsufficientResources        Code = "53000"
	DiskFull                     Code = "53100"
	OutOfMemory                  Code = "53200"
	TooManyConnections           Code = "53300"
	ProgramLimitExceeded         Code = "54000"
	StatementTooComplex          Code = "54001"
	TooManyColumns               Code = "54011"
	TooManyArguments             Code = "54023"
	ObjectNotInPrerequisiteState Code = "55000"
	ObjectInUse                  Code = "55006"
	LockNotAvailable             Code = "55P03"
	CantChangeRuntimeParam       Code = "55P02"
	QueryCanceled                Code = "57014"
	IdleSessionTimeout           Code = "57P05"
	AdminShutdown                Code = "57P01"
	CannotConnectNow             Code = "57P03"
	SystemError                  Code = "58000"
	IOError                      Code = "58030"
	InternalError                Code = "XX000"
	DataCorrupted                Code = "XX001"
)

// Error is what a client is told.
type Error struct {
	Code    Code
	Message string
	Detail  string
	Hint    string
	// Position counts characters (not bytes) of the statement from 1; 0 means unknown.
	Position int
	// Offset is a byte offset into the statement plus one; 0 means unknown. Parser and binder set
	// it; whoever holds the statement text turns it into Position with Locate.
	Offset int
	// About names what the error is about, a function or clause in lower case, where whoever found it does not know the
	// statement: whoever does can turn it into Offset.
	About string
	// Schema, Table, Column, DataType and Constraint name the object concerned, where there is one.
	Schema, Table, Column, DataType, Constraint string
	// Warning: told beside a result, it is a WARNING whatever its code.
	Warning bool
	cause   error
}

// New returns an error with a formatted message. %w is not supported; see WithCause.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: sprintf(format, args)}
}

// sprintf is fmt.Sprintf but for %q, which puts quotes around a name and, as PostgreSQL does, leaves it as it is.
func sprintf(format string, args []any) string {
	return fmt.Sprintf(strings.ReplaceAll(format, "%q", `"%s"`), args...)
}

// Error implements error.
func (e *Error) Error() string { return e.Message + " (SQLSTATE " + string(e.Code) + ")" }

// Unwrap returns the cause given by WithCause.
func (e *Error) Unwrap() error { return e.cause }

func (e *Error) with(f func(*Error)) *Error {
	c := *e
	f(&c)
	return &c
}

// At sets the byte offset, counted from 0, of the offending token, unless one is set already.
func (e *Error) At(byteOffset int) *Error {
	if e.Offset != 0 || byteOffset < 0 {
		return e
	}
	return e.with(func(c *Error) { c.Offset = byteOffset + 1 })
}

// WithAbout returns a copy that says what it is about.
func (e *Error) WithAbout(what string) *Error { return e.with(func(c *Error) { c.About = what }) }

// WithDetail sets the detail line.
func (e *Error) WithDetail(format string, args ...any) *Error {
	return e.with(func(c *Error) { c.Detail = sprintf(format, args) })
}

// WithHint sets the hint line.
func (e *Error) WithHint(format string, args ...any) *Error {
	return e.with(func(c *Error) { c.Hint = sprintf(format, args) })
}

// WithCause keeps an underlying error for the log; the client does not see its text.
func (e *Error) WithCause(err error) *Error {
	return e.with(func(c *Error) { c.cause = err })
}

// WithTable names the table, and where known the column or constraint, that the error is about.
func (e *Error) WithTable(schema, table, column, constraint string) *Error {
	return e.with(func(c *Error) { c.Schema, c.Table, c.Column, c.Constraint = schema, table, column, constraint })
}

// WithType names the type, and where known the constraint of the domain, that the error is about.
func (e *Error) WithType(schema, name, constraint string) *Error {
	return e.with(func(c *Error) { c.Schema, c.DataType, c.Constraint = schema, name, constraint })
}

// Locate fills Position from Offset by counting the characters of sql before it.
func (e *Error) Locate(sql string) *Error {
	if e.Offset == 0 || e.Position != 0 || e.Offset-1 > len(sql) {
		return e
	}
	return e.with(func(c *Error) { c.Position = len([]rune(sql[:c.Offset-1])) + 1 })
}

// From finds the *Error in err's chain. Cancellation and time-outs of a context become 57014;
// anything else becomes XX000 with err as its cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return New(QueryCanceled, "canceling statement due to user request").WithCause(err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(QueryCanceled, "canceling statement due to statement timeout").WithCause(err)
	}
	return New(InternalError, "internal error: %v", err).WithCause(err)
}

// CodeOf returns the SQLSTATE that a client would see for err.
func CodeOf(err error) Code {
	if err == nil {
		return SuccessfulCompletion
	}
	return From(err).Code
}
