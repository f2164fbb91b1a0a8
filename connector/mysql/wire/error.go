package wire

import (
	"errors"
	"fmt"
)

// Error is what a server answers instead of a result.
type Error struct {
	Code    uint16
	State   string // SQLSTATE, where the server gave one
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("error %d (%s): %s", e.Code, e.State, e.Message) }

// Numbers of errors that callers tell apart.
const (
	ErrAccessDeniedDB   = 1044
	ErrAccessDenied     = 1045
	ErrUnknownDatabase  = 1049
	ErrUnknownColumn    = 1054
	ErrTableAccess      = 1142
	ErrNoSuchTable      = 1146
	ErrPrivilege        = 1227
	ErrBinlog           = 1236
	ErrUnknownVariable  = 1193
	ErrSyntax           = 1064
	ErrNotBinlogging    = 1598
	ErrAccessDeniedAnon = 1698
	ErrSlaveSameID      = 4052
)

// CodeOf returns the number of a server's error in err's chain; 0: there is none.
func CodeOf(err error) uint16 {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// asError reads an error packet, which begins with 0xff.
func asError(p []byte) error {
	if len(p) < 3 {
		return fmt.Errorf("error packet of %d bytes", len(p))
	}
	e := &Error{Code: uint16(p[1]) | uint16(p[2])<<8}
	p = p[3:]
	if len(p) >= 6 && p[0] == '#' {
		e.State, p = string(p[1:6]), p[6:]
	}
	e.Message = string(p)
	return e
}
