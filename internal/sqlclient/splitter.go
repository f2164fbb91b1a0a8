package sqlclient

import (
	"regexp"
	"strings"
)

// splitter cuts lines of SQL into statements at semicolons. It knows quotes, comments and parentheses, and
// nothing else of SQL.
type splitter struct {
	text  strings.Builder // of the unfinished statement
	mode  byte            // what we are in: 0 nothing, ' or " a quote, e an escape string, $ a dollar quote, * a comment
	tag   string          // of the dollar quote, with its dollars
	depth int             // of nested comments
	paren int             // of parentheses
	words bool            // the statement has more in it than blanks and comments
}

// empty reports whether no statement has begun.
func (s *splitter) empty() bool { return s.mode == 0 && !s.words }

// plain reports whether a backslash would be a command here.
func (s *splitter) plain() bool { return s.mode == 0 }

// mark is the last character of psql's prompts.
func (s *splitter) mark() string {
	switch {
	case s.mode == 'e':
		return "'"
	case s.mode != 0:
		return string(s.mode)
	case s.paren > 0:
		return "("
	case s.words:
		return "-"
	}
	return "="
}

// rest takes the unfinished statement, if there is one.
func (s *splitter) rest() string {
	text := ""
	if s.words || s.mode != 0 {
		text = strings.TrimSpace(s.text.String())
	}
	*s = splitter{}
	return text
}

// add takes a line and returns the statements that it completes, without their semicolons.
func (s *splitter) add(line string) (done []string) {
	line += "\n"
	from := 0
	for i := 0; i < len(line); {
		if s.mode == 0 && line[i] == ';' && s.paren == 0 {
			s.text.WriteString(line[from:i])
			if s.words {
				done = append(done, strings.TrimSpace(s.text.String()))
			}
			*s = splitter{}
			i++
			from = i
			continue
		}
		i += s.step(line, i)
	}
	s.text.WriteString(line[from:])
	if s.empty() {
		s.text.Reset()
	}
	return done
}

// step takes what begins at line[i] and returns its length.
func (s *splitter) step(line string, i int) int {
	c, rest := line[i], line[i:]
	switch s.mode {
	case 0:
		return s.start(line, i)
	case 'e':
		if c == '\\' && len(rest) > 1 {
			return 2
		}
		if c == '\'' {
			s.mode = 0
		}
	case '\'', '"':
		if c == s.mode {
			s.mode = 0
		}
	case '$':
		if strings.HasPrefix(rest, s.tag) {
			s.mode = 0
			return len(s.tag)
		}
	case '*':
		switch {
		case strings.HasPrefix(rest, "/*"):
			s.depth++
			return 2
		case strings.HasPrefix(rest, "*/"):
			if s.depth--; s.depth == 0 {
				s.mode = 0
			}
			return 2
		}
	}
	return 1
}

var dollarTag = regexp.MustCompile(`^\$(?:[\pL_][\pL\pN_]*)?\$`)

// start is step outside of quotes and comments.
func (s *splitter) start(line string, i int) int {
	c, rest := line[i], line[i:]
	switch {
	case c == ' ' || c >= '\t' && c <= '\r':
		return 1
	case strings.HasPrefix(rest, "--"):
		return len(rest) - 1 // the line end stays
	case strings.HasPrefix(rest, "/*"):
		s.mode, s.depth = '*', 1
		return 2
	}
	s.words = true
	switch c {
	case '\'':
		s.mode = c
		if i > 0 && line[i-1]|0x20 == 'e' && (i == 1 || !isWord(line[i-2])) {
			s.mode = 'e'
		}
	case '"':
		s.mode = c
	case '(':
		s.paren++
	case ')':
		s.paren = max(s.paren-1, 0)
	case '$':
		if i > 0 && isWord(line[i-1]) {
			break
		}
		if tag := dollarTag.FindString(rest); tag != "" {
			s.mode, s.tag = '$', tag
			return len(tag)
		}
	}
	return 1
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// The directions of a COPY that involves the client.
const (
	copyNone = iota
	copyFrom
	copyTo
)

var copyWords = regexp.MustCompile(`(?is)^\s*copy\b.*\b(?:(from)\s+stdin|(?:to)\s+stdout)\b`)

// copyDirection tells whether sql is a COPY FROM STDIN or TO STDOUT. What is quoted or in a comment does not count.
func copyDirection(sql string) int {
	if !strings.Contains(strings.ToLower(sql), "std") {
		return copyNone
	}
	var s splitter
	bare := make([]byte, 0, len(sql))
	for i := 0; i < len(sql); {
		was := s.mode
		n := s.step(sql, i)
		if was == 0 && s.mode == 0 && !strings.HasPrefix(sql[i:], "--") {
			bare = append(bare, sql[i:i+n]...)
		} else {
			bare = append(bare, ' ')
		}
		i += max(n, 1)
	}
	m := copyWords.FindSubmatch(bare)
	switch {
	case m == nil:
		return copyNone
	case len(m[1]) > 0:
		return copyFrom
	}
	return copyTo
}
