package expr

import "github.com/millrace/millrace/internal/sqlerr"

// Errors that several families raise, worded as PostgreSQL words them.
var (
	errInt2Range  = sqlerr.New(sqlerr.NumericValueOutOfRange, "smallint out of range")
	errInt4Range  = sqlerr.New(sqlerr.NumericValueOutOfRange, "integer out of range")
	errInt8Range  = sqlerr.New(sqlerr.NumericValueOutOfRange, "bigint out of range")
	errOidRange   = sqlerr.New(sqlerr.NumericValueOutOfRange, "OID out of range")
	errDivByZero  = sqlerr.New(sqlerr.DivisionByZero, "division by zero")
	errOverflow   = sqlerr.New(sqlerr.NumericValueOutOfRange, "value out of range: overflow")
	errUnderflow  = sqlerr.New(sqlerr.NumericValueOutOfRange, "value out of range: underflow")
	errInputRange = sqlerr.New(sqlerr.NumericValueOutOfRange, "input is out of range")
	errTooLarge   = sqlerr.New(sqlerr.ProgramLimitExceeded, "requested length too large")
)
