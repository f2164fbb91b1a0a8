package sqllogictest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// answer is what the server had to say to a record's SQL.
type answer struct {
	result
	types    []uint32 // of the columns
	affected int64
	err      *pgconn.PgError // the error, if there was one
}

// ask runs sql. err is for failures of the connection; an error of the server is in the answer.
func (f *run) ask(ctx context.Context, conn, sql string) (a *answer, err error) {
	limit := f.Timeout
	if limit == 0 {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := f.connection(ctx, conn)
	if err != nil {
		return nil, err
	}
	a = &answer{}
	results := c.Exec(ctx, sql)
	var all []*pgconn.Result
	for results.NextResult() {
		r := results.ResultReader()
		fields := slices.Clone(r.FieldDescriptions())
		got := r.Read()                // Close has the error
		got.FieldDescriptions = fields // also of a result without rows
		all = append(all, got)
		a.take(got)
	}
	err = results.Close()
	errors.As(err, &a.err)
	if f.Observe != nil && (err == nil || a.err != nil) {
		f.Observe(ctx, conn, sql, all, a.err)
	}
	if a.err != nil {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, indent(sql))
	}
	return a, nil
}

// take reads one result. Of several, the last one with columns counts.
func (a *answer) take(got *pgconn.Result) {
	if fields := got.FieldDescriptions; len(fields) > 0 {
		a.result, a.types = result{columns: len(fields)}, nil
		for _, d := range fields {
			a.types = append(a.types, d.DataTypeOID)
		}
	}
	for _, row := range got.Rows {
		a.rows = append(a.rows, printRow(row))
	}
	a.affected = got.CommandTag.RowsAffected()
}

// printRow prints the values of a row as files have them.
func printRow(row [][]byte) []string {
	out := make([]string, len(row))
	for i, v := range row {
		switch {
		case v == nil:
			out[i] = "NULL"
		case len(v) == 0:
			out[i] = "(empty)"
		default:
			out[i] = string(v)
		}
	}
	return out
}

// check runs a statement or query until it fits or its tries are used up.
func (f *run) check(ctx context.Context, r *record) error {
	sql, err := f.vars.replace(r.sql)
	if err != nil {
		return err
	}
	want := *r
	if want.rest, err = f.vars.replace(r.rest); err != nil {
		return err
	}
	want.expected = make([]string, len(r.expected))
	for i, line := range r.expected {
		if want.expected[i], err = f.vars.replace(line); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		a, err := f.ask(ctx, r.conn, sql)
		if err == nil {
			if err = f.judge(&want, a); err == nil {
				return nil
			}
			err = fmt.Errorf("%w\n%s", err, indent(sql))
		}
		if try >= r.tries || ctx.Err() != nil {
			if f.edits != nil && f.depth == 0 && a != nil {
				f.edits.record(r, a, f.layoutOf(r))
				return nil
			}
			if r.tries > 0 {
				err = fmt.Errorf("after %d retries: %w", r.tries, err)
			}
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(r.backoff):
		}
	}
}

// judge compares an answer with what its record wants.
func (f *run) judge(r *record, a *answer) error {
	kind, rest, _ := strings.Cut(r.rest, " ")
	if kind == "error" {
		return judgeError(r, strings.TrimSpace(rest), a)
	}
	if a.err != nil {
		return fmt.Errorf("%s failed: %s", r.word, errorText(a.err))
	}
	if r.word == "query" {
		return f.judgeRows(r, a)
	}
	if kind == "count" {
		want, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		if err != nil {
			return fmt.Errorf("statement count: %w", err)
		}
		if a.affected != want {
			return fmt.Errorf("statement affected %d rows, want %d", a.affected, want)
		}
	}
	return nil
}

// layoutOf is how the results of r are laid out: as its line says, else as the last control did.
func (f *run) layoutOf(r *record) layout {
	l := f.layout
	for i, w := range strings.Fields(r.rest) {
		if i > 0 && (w == "nosort" || w == "rowsort" || w == "valuesort") {
			l.sort = w
		}
	}
	return l
}

// judgeRows compares the rows of a query.
func (f *run) judgeRows(r *record, a *answer) error {
	if types := firstWord(r.rest); f.StrictTypes {
		if got := letters(a.types); !fits(types, got) {
			return fmt.Errorf("query returned columns of types %s, want %s", got, types)
		}
	}
	if !r.hasResults {
		return nil
	}
	ok, got := a.compare(r.expected, f.layoutOf(r))
	if !ok {
		return fmt.Errorf("query returned other rows (- expected, + returned):\n%s", strings.TrimRight(diff(r.expected, got), "\n"))
	}
	return nil
}

// letters gives each column type its letter.
func letters(oids []uint32) string {
	b := make([]byte, len(oids))
	for i, oid := range oids {
		switch oid {
		case 20, 21, 23, 26:
			b[i] = 'I'
		case 700, 701, 1700:
			b[i] = 'R'
		case 16:
			b[i] = 'B'
		default:
			b[i] = 'T'
		}
	}
	return string(b)
}

// fits compares letters; those that SQLite and others do not know stand for anything.
func fits(want, got string) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if strings.IndexByte("ITRB", want[i]) >= 0 && want[i] != got[i] {
			return false
		}
	}
	return true
}

var (
	sqlState = regexp.MustCompile(`^[0-9A-Z]{5}$`)
	digit    = regexp.MustCompile(`[0-9]`)
)

// judgeError compares an error with the code, pattern or text that is wanted.
func judgeError(r *record, pattern string, a *answer) error {
	want := strings.TrimSpace(pattern + "\n" + strings.Join(r.expected, "\n"))
	if a.err == nil {
		return fmt.Errorf("%s succeeded, want an error: %s", r.word, want)
	}
	mismatch := fmt.Errorf("%s failed with another error\n  - %s\n  + %s", r.word, want,
		strings.ReplaceAll(errorText(a.err), "\n", "\n    "))
	if code := firstWord(pattern); sqlState.MatchString(code) && digit.MatchString(code) {
		if code != a.err.Code {
			return mismatch
		}
		pattern = strings.TrimSpace(pattern[len(code):])
	}
	if pattern != "" {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("pattern: %w", err)
		}
		if !re.MatchString(errorText(a.err)) {
			return mismatch
		}
	}
	if r.hasResults {
		want := strings.TrimSpace(strings.Join(r.expected, "\n"))
		if want != a.err.Message && want != errorText(a.err) {
			return mismatch
		}
	}
	return nil
}

// errorText is how an error is shown, and what patterns are matched against.
func errorText(e *pgconn.PgError) string {
	s := fmt.Sprintf("%s %s: %s", e.Severity, e.Code, e.Message)
	if e.Detail != "" {
		s += "\nDETAIL: " + e.Detail
	}
	if e.Hint != "" {
		s += "\nHINT: " + e.Hint
	}
	return s
}

// indent sets SQL off from what is said about it.
func indent(sql string) string { return "    " + strings.ReplaceAll(sql, "\n", "\n    ") }
