package pgdiff

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Intended is one entry of the list of intended differences. Its patterns are regular expressions; all that are
// given must match.
type Intended struct {
	Reason string
	What   []string // empty: any
	SQL    *regexp.Regexp
	Ours   *regexp.Regexp
	Theirs *regexp.Regexp
	// Skip leaves the function or operator of that name out, whatever its arguments.
	Skip *regexp.Regexp
	// Close is to how many digits two numbers agree that count as equal; 0: not at all.
	Close int
	used  int
}

// Differences is the list.
type Differences []*Intended

// ReadDifferences reads a list: paragraphs of lines "key: value" with the keys reason, what, sql, ours, theirs, skip.
func ReadDifferences(path string) (Differences, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read intended differences: %w", err)
	}
	var out Differences
	var e *Intended
	for i, line := range strings.Split(string(data), "\n") {
		if strings.TrimSpace(line) == "" {
			e = nil
			continue
		}
		if line[0] == '#' {
			continue
		}
		if e == nil {
			e = &Intended{}
			out = append(out, e)
		}
		if err := e.set(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	for _, e := range out {
		if e.Reason == "" {
			return nil, fmt.Errorf("%s: an entry has no reason", path)
		}
	}
	return out, nil
}

func (e *Intended) set(line string) (err error) {
	key, value, ok := strings.Cut(line, ": ")
	if !ok {
		return fmt.Errorf("%q is not \"key: value\"", line)
	}
	switch key {
	case "reason":
		e.Reason = value
	case "what":
		e.What = strings.Fields(value)
	case "sql":
		e.SQL, err = regexp.Compile(value)
	case "ours":
		e.Ours, err = regexp.Compile(value)
	case "theirs":
		e.Theirs, err = regexp.Compile(value)
	case "skip":
		e.Skip, err = regexp.Compile(`^(?:` + value + `)$`)
	case "close":
		e.Close, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("there is no key %q", key)
	}
	return err
}

// Skips reports whether what is called name is left out.
func (l Differences) Skips(name string) bool {
	for _, e := range l {
		if e.Skip != nil && e.Skip.MatchString(name) {
			e.used++
			return true
		}
	}
	return false
}

// Intends reports whether d, in answer to sql, is on the list.
func (l Differences) Intends(sql string, d Difference) bool {
	for _, e := range l {
		if e.matches(sql, d) {
			e.used++
			return true
		}
	}
	return false
}

func (e *Intended) matches(sql string, d Difference) bool {
	if e.Skip != nil {
		return false
	}
	named := len(e.What) == 0
	for _, w := range e.What {
		named = named || w == d.What
	}
	fits := func(re *regexp.Regexp, s string) bool { return re == nil || re.MatchString(s) }
	if e.Close > 0 && !closeValues(d, e.Close) {
		return false
	}
	return named && fits(e.SQL, sql) && fits(e.Ours, d.Ours) && fits(e.Theirs, d.Theirs)
}

// closeValues reports whether two values, as text or as eight bytes, are numbers that agree to that many digits.
func closeValues(d Difference, digits int) bool {
	o, t := numbers(d.Ours), numbers(d.Theirs)
	if len(o) == 0 || len(o) != len(t) {
		return false
	}
	for i := range o {
		diff, size := math.Abs(o[i]-t[i]), max(math.Abs(o[i]), math.Abs(t[i]))
		if !(diff <= size*math.Pow10(-digits)) && !(math.IsNaN(o[i]) && math.IsNaN(t[i])) && o[i] != t[i] {
			return false
		}
	}
	return true
}

// numbers reads the values of a printed row; nil if one is not a number.
func numbers(row string) (out []float64) {
	for _, s := range strings.Split(row, " | ") {
		f, err := strconv.ParseFloat(s, 64)
		if bits, ok := strings.CutPrefix(s, `\x`); ok {
			var u uint64
			u, err = strconv.ParseUint(bits, 16, 64)
			if f = float64(u); len(bits) == 16 { // others are numbers of rows
				f = math.Float64frombits(u)
			}
		}
		if err != nil {
			return nil
		}
		out = append(out, f)
	}
	return out
}

// Unused lists the reasons of entries that nothing matched.
func (l Differences) Unused() (out []string) {
	for _, e := range l {
		if e.used == 0 {
			out = append(out, e.Reason)
		}
	}
	return out
}
