package sqllogictest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// position is a place in a file, for messages.
type position struct {
	file string
	line int // counted from 1
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// record is one directive with what belongs to it.
type record struct {
	pos  position
	word string // the directive's first word
	rest string // what follows it on the line, without "retry N backoff D"
	conn string // of a "connection" before it
	when []condition
	// tries and backoff say how often to try again, and after what pause.
	tries   int
	backoff time.Duration

	sql        string
	hasResults bool     // there is a "----"
	expected   []string // the lines after it
	// The lines of the file that rewriting replaces: the directive's, and [from, to) after "----". Counted
	// from 0.
	line, from, to int
	body           []*record // of loop and for
}

// condition is a skipif (label must be absent) or an onlyif (label must be present).
type condition struct {
	only  bool
	label string
}

// script is a parsed file.
type script struct {
	path    string
	lines   []string
	records []*record
}

// readScript parses the file at path.
func readScript(path string) (*script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return parseScript(path, string(data))
}

// parser goes through the lines of a file.
type parser struct {
	s    *script
	next int // the line to look at, counted from 0
}

// parseScript parses text; path is for messages.
func parseScript(path, text string) (*script, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	p := &parser{s: &script{path: path, lines: strings.Split(text, "\n")}}
	var err error
	p.s.records, err = p.records(false)
	return p.s, err
}

func (p *parser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s: %s", position{p.s.path, line + 1}, fmt.Sprintf(format, args...))
}

// records parses up to the end of the file, or of the loop it is in.
func (p *parser) records(inLoop bool) ([]*record, error) {
	var out []*record
	var conn string
	var when []condition
	start := p.next - 1
	for p.next < len(p.s.lines) {
		at := p.next
		line := strings.TrimSpace(p.s.lines[at])
		p.next++
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "endloop":
			if !inLoop {
				return nil, p.errorf(at, "endloop without a loop")
			}
			return out, nil
		case "connection":
			conn = rest
			continue
		case "skipif", "onlyif":
			when = append(when, condition{only: word == "onlyif", label: firstWord(rest)})
			continue
		}
		r := &record{pos: position{p.s.path, at + 1}, word: word, rest: rest, conn: conn, when: when, line: at}
		conn, when = "", nil
		if err := p.finish(r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if inLoop {
		return nil, p.errorf(max(start, 0), "a loop without endloop")
	}
	return out, nil
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

// finish reads what belongs to a directive.
func (p *parser) finish(r *record) error {
	switch r.word {
	case "statement", "query":
		if err := p.retry(r); err != nil {
			return err
		}
		kind := firstWord(r.rest)
		if r.word == "statement" && kind != "ok" && kind != "error" && kind != "count" {
			return p.errorf(r.line, "statement must be followed by ok, error or count, not %q", kind)
		}
		p.block(r)
	case "let":
		if !strings.Contains(r.rest, "=") {
			p.block(r)
		}
	case "loop", "for", "foreach":
		var err error
		r.body, err = p.records(true)
		return err
	case "include", "sleep", "halt", "restart", "subtest", "control", "hash-threshold":
	default:
		return p.errorf(r.line, "unknown directive %q", r.word)
	}
	return nil
}

var retryClause = regexp.MustCompile(`(?:^|\s)retry\s+(\d+)\s+backoff\s+(\S+)$`)

// retry takes "retry N backoff D" off the end of a directive.
func (p *parser) retry(r *record) error {
	m := retryClause.FindStringSubmatchIndex(r.rest)
	if m == nil {
		return nil
	}
	var err error
	if r.tries, err = strconv.Atoi(r.rest[m[2]:m[3]]); err != nil {
		return p.errorf(r.line, "number of retries: %v", err)
	}
	if r.backoff, err = time.ParseDuration(r.rest[m[4]:m[5]]); err != nil {
		return p.errorf(r.line, "backoff: %v", err)
	}
	r.rest = strings.TrimSpace(r.rest[:m[0]])
	return nil
}

// block reads the SQL of a record and its expected results.
func (p *parser) block(r *record) {
	first := p.next
	for p.next < len(p.s.lines) && strings.TrimSpace(p.s.lines[p.next]) != "" && p.s.lines[p.next] != "----" {
		p.next++
	}
	r.sql = strings.Join(p.s.lines[first:p.next], "\n")
	r.from, r.to = p.next, p.next
	if p.next == len(p.s.lines) || p.s.lines[p.next] != "----" {
		return
	}
	p.next++
	r.hasResults, r.from = true, p.next
	// An error's text may contain blank lines, so it takes two to end it.
	message := strings.HasPrefix(r.rest, "error")
	for p.next < len(p.s.lines) {
		blank := strings.TrimSpace(p.s.lines[p.next]) == ""
		last := p.next+1 == len(p.s.lines)
		if blank && (!message || last || strings.TrimSpace(p.s.lines[p.next+1]) == "") {
			break
		}
		p.next++
	}
	r.to = p.next
	r.expected = p.s.lines[r.from:r.to]
}

// includes lists the files that an include directive means, relative to the file it is in.
func includes(from, pattern string) ([]string, error) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("include %s: %w", pattern, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("include %s: no such file", pattern)
	}
	return files, nil
}
