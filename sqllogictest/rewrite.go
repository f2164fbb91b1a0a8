package sqllogictest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// edits collects what is to change in a file.
type edits struct{ list []edit }

// edit replaces the lines [from, to) by others.
type edit struct {
	from, to int
	lines    []string
}

// record notes what has to change for r to fit the answer.
func (e *edits) record(r *record, a *answer, l layout) {
	head, retry := r.rest, ""
	if r.tries > 0 {
		retry = fmt.Sprintf(" retry %d backoff %s", r.tries, r.backoff)
	}
	kind := firstWord(head)
	from, to := r.from, r.to
	if r.hasResults && kind == "error" || a.err != nil && r.hasResults {
		from-- // the "----" goes as well
	}
	switch {
	case a.err != nil:
		pattern := a.err.Code + " " + regexp.QuoteMeta(strings.ReplaceAll(a.err.Message, "\n", " "))
		e.add(r.line, r.line+1, r.word+" error "+pattern+retry)
		e.add(from, to)
	case r.word == "statement" && kind == "error":
		e.add(r.line, r.line+1, "statement ok"+retry)
		e.add(from, to)
	case r.word == "statement":
		e.add(r.line, r.line+1, fmt.Sprintf("statement count %d%s", a.affected, retry))
	default:
		types := letters(a.types)
		words := strings.Fields(head)
		if kind == "error" || len(words) == 0 {
			words = []string{types}
		} else if !fits(words[0], types) {
			words[0] = types
		}
		if head != strings.Join(words, " ") {
			e.add(r.line, r.line+1, "query "+strings.Join(words, " ")+retry)
		}
		e.add(from, to, resultLines(r, a, l, kind == "error" || !r.hasResults)...)
	}
}

// resultLines are the new expected lines of a query.
func resultLines(r *record, a *answer, l layout, separator bool) []string {
	tabs := slices.ContainsFunc(r.expected, func(s string) bool { return strings.Contains(s, "\t") })
	out := a.lines(l, tabs)
	if l.threshold > 0 && len(a.rows)*a.columns > l.threshold {
		out = []string{a.hash(l)}
	}
	if separator {
		out = append([]string{"----"}, out...)
	}
	return out
}

func (e *edits) add(from, to int, lines ...string) {
	e.list = append(e.list, edit{from, to, lines})
}

// write applies the edits to the file, if there are any.
func (e *edits) write(s *script) error {
	if len(e.list) == 0 {
		return nil
	}
	slices.SortStableFunc(e.list, func(a, b edit) int { return b.from - a.from })
	lines := slices.Clone(s.lines)
	for _, d := range e.list {
		lines = slices.Replace(lines, d.from, d.to, d.lines...)
	}
	if err := os.WriteFile(s.path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		return fmt.Errorf("rewrite script: %w", err)
	}
	return nil
}
