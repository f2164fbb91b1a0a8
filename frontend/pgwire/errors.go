package pgwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/sqlerr"
)

// closing is an error after which the connection ends: the client gets err as FATAL.
type closing struct{ err *sqlerr.Error }

func (c *closing) Error() string { return c.err.Error() }

func fatal(err *sqlerr.Error) error { return &closing{err} }

// lost is an error of the connection itself: there is nobody left to tell.
type lost struct{ err error }

func (l *lost) Error() string { return "lose client connection: " + l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// endsConnection tells errors that end the connection from those of a statement.
func endsConnection(err error) bool {
	switch err.(type) {
	case *closing, *lost:
		return true
	}
	return false
}

// located fills in the position of a user's error from the text it refers to.
func located(err error, sql string) error {
	var e *sqlerr.Error
	if errors.As(err, &e) && e.Offset != 0 && e.Position == 0 {
		return e.Locate(sql)
	}
	return err
}

// clientError makes what a client is told of err. internal says that err is worth a line in the log: the
// client sees only that something went wrong, and where to look.
func clientError(err error, pid uint32) (e *sqlerr.Error, internal bool) {
	if errors.As(err, &e) {
		return e, strings.HasPrefix(string(e.Code), "XX")
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return sqlerr.From(err), false
	}
	e = sqlerr.New(sqlerr.InternalError, "internal error").
		WithDetail("The server's log has the cause, under session %d.", pid)
	return e.WithCause(err), true
}

// response is e as a message body; ErrorResponse and NoticeResponse differ in their type byte only.
func response(e *sqlerr.Error, severity string) pgproto3.ErrorResponse {
	return pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity,
		Code: string(e.Code), Message: clean(e.Message), Detail: clean(e.Detail), Hint: clean(e.Hint),
		Position: int32(e.Position), SchemaName: clean(e.Schema), TableName: clean(e.Table),
		ColumnName: clean(e.Column), DataTypeName: clean(e.DataType), ConstraintName: clean(e.Constraint),
	}
}

// clean makes s fit to be a string on the wire: no zero byte, valid UTF-8.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// severityOf is the severity of a notice: by the class of its code, unless it says itself.
func severityOf(n *sqlerr.Error) string {
	if n.Warning || strings.HasPrefix(string(n.Code), "01") {
		return "WARNING"
	}
	return "NOTICE"
}

// checkUTF8 returns PostgreSQL's 22021 for text that is not UTF-8 or holds a zero byte.
func checkUTF8(b []byte) error {
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return nil
	}
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if c == 0 {
				return badEncoding(b[i : i+1])
			}
			i++
			continue
		}
		_, n := utf8.DecodeRune(b[i:])
		if n == 1 {
			return badEncoding(b[i:min(len(b), i+sequenceLen(b[i]))])
		}
		i += n
	}
	return nil
}

// sequenceLen is how many bytes a sequence that starts with c claims to have.
func sequenceLen(c byte) int {
	switch {
	case c&0xe0 == 0xc0:
		return 2
	case c&0xf0 == 0xe0:
		return 3
	case c&0xf8 == 0xf0:
		return 4
	}
	return 1
}

func badEncoding(b []byte) error {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, " 0x%02x", c)
	}
	return sqlerr.New(sqlerr.CharacterNotInRepertoire, `invalid byte sequence for encoding "UTF8":%s`, s.String())
}
