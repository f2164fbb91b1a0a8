package sqlclient

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// errorText is an error or notice as psql prints it; sql is the text its position counts in.
func errorText(e *pgconn.PgError, sql string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:  %s\n", e.Severity, e.Message)
	if e.Position > 0 {
		b.WriteString(pointAt(sql, int(e.Position)-1))
	}
	context := e.Where
	if e.Severity == "NOTICE" || e.Severity == "WARNING" || e.Severity == "INFO" {
		context = "" // told of errors only
	}
	for _, f := range []struct{ name, text string }{
		{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"QUERY", e.InternalQuery}, {"CONTEXT", context},
	} {
		if f.text != "" {
			fmt.Fprintf(&b, "%s:  %s\n", f.name, f.text)
		}
	}
	return b.String()
}

const (
	// shownColumns is how much of a line is shown at most.
	shownColumns = 60
	// rightContext is how much of it should lie behind the position.
	rightContext = 10
)

// pointAt shows the line of sql that holds character at (from 0), with a caret below it.
func pointAt(sql string, at int) string {
	text := []rune(sql)
	if at > len(text) {
		return ""
	}
	number, begin := 1, 0
	for i, r := range text[:at] {
		if r == '\n' {
			number++
			begin = i + 1
		}
	}
	end := begin
	for end < len(text) && text[end] != '\n' && text[end] != '\r' {
		end++
	}
	line := []rune(strings.ReplaceAll(string(text[begin:end]), "\t", " "))
	line, at, cutLeft, cutRight := window(line, at-begin)
	head := fmt.Sprintf("LINE %d: ", number)
	if cutLeft {
		head += "..."
	}
	tail := ""
	if cutRight {
		tail = "..."
	}
	return fmt.Sprintf("%s%s%s\n%s^\n", head, string(line), tail, pad(width(head)+width(string(line[:min(at, len(line))]))))
}

// window cuts line down to what is shown around character at: on the right if that is enough, else on
// both sides.
func window(line []rune, at int) (shown []rune, newAt int, cutLeft, cutRight bool) {
	columns := func(r []rune) int { return width(string(r)) }
	if columns(line) <= shownColumns {
		return line, at, false, false
	}
	at = min(at, len(line))
	begin, end := 0, len(line)
	if columns(line[:at])+rightContext <= shownColumns {
		for columns(line[begin:end]) > shownColumns {
			end--
		}
		return line[:end], at, false, true
	}
	for columns(line[at:end]) > rightContext {
		end--
		cutRight = true
	}
	for columns(line[begin:end]) > shownColumns {
		begin++
		cutLeft = true
	}
	return line[begin:end], at - begin, cutLeft, cutRight
}
