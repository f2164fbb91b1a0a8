// Package option reads the WITH options of sources and sinks: typed, with defaults, and with an error that
// names the nearest known option for one that nobody knows.
//
// The idea: a connector asks a Set for each option it knows; asking is what makes a name known. Done then
// reports the first bad value, or the first option that nobody asked for. So what is accepted and what is
// used cannot drift apart.
//
// A Set belongs to one goroutine and lives for the length of one parse. All errors are 22023.
//
// It does not know any connector's options. Start at New.
package option

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// engine lists options that the engine reads itself; every connector accepts and ignores them.
var engine = []string{"on_error", "source_rate_limit", "sink_rate_limit", "snapshot", "appendonly", "watermark_idle_timeout"}

// Set is the options of one source, sink or format while they are being read.
type Set struct {
	what   string // `connector "kafka"`, for errors
	values map[string]string
	known  []string
	used   map[string]bool
	err    error
}

// New starts reading options; what names their owner in errors, as in `connector "kafka"`.
func New(what string, values map[string]string) *Set {
	s := &Set{what: what, values: values, used: make(map[string]bool, len(values))}
	s.Ignore(engine...)
	return s
}

// Has reports whether an option was given, and makes its name known.
func (s *Set) Has(name string) bool {
	_, ok := s.lookup(name)
	return ok
}

func (s *Set) lookup(name string, aliases ...string) (string, bool) {
	s.known = append(s.known, name)
	v, ok := s.values[name]
	if ok {
		s.used[name] = true
	}
	for _, a := range aliases {
		if w, has := s.values[a]; has {
			s.used[a] = true
			if !ok {
				v, ok = w, true
			}
		}
	}
	return v, ok
}

// String returns an option's text, or def when it was not given.
func (s *Set) String(name, def string, aliases ...string) string {
	if v, ok := s.lookup(name, aliases...); ok {
		return v
	}
	return def
}

// Required returns an option that must be given and not be empty.
func (s *Set) Required(name string, aliases ...string) string {
	v, ok := s.lookup(name, aliases...)
	if !ok || v == "" {
		s.fail("%s needs the option %q", s.what, name)
	}
	return v
}

// Int returns a whole number between lo and hi, both inclusive.
func (s *Set) Int(name string, def, lo, hi int64, aliases ...string) int64 {
	v, ok := s.lookup(name, aliases...)
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(v), "_", ""), 10, 64)
	if err != nil {
		s.fail("option %q must be a whole number, not %q", name, v)
		return def
	}
	if n < lo || n > hi {
		s.fail("option %q must be between %d and %d, not %d", name, lo, hi, n)
		return def
	}
	return n
}

// Float returns a finite number between lo and hi, both inclusive.
func (s *Set) Float(name string, def, lo, hi float64) float64 {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(f) || f < lo || f > hi {
		s.fail("option %q must be a number between %g and %g, not %q", name, lo, hi, v)
		return def
	}
	return f
}

// Bool returns a truth value as PostgreSQL writes them.
func (s *Set) Bool(name string, def bool) bool {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "t", "on", "yes", "1", "":
		return true
	case "false", "f", "off", "no", "0":
		return false
	}
	s.fail("option %q must be true or false, not %q", name, v)
	return def
}

// Enum returns one of the given words, compared without regard to case, as the list spells it.
func (s *Set) Enum(name, def string, words ...string) string {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	for _, w := range words {
		if strings.EqualFold(v, w) {
			return w
		}
	}
	s.fail("option %q must be one of %s, not %q", name, strings.Join(words, ", "), v)
	return def
}

// Duration returns a span of time between lo and hi, written as 250ms, 10s, 5min, 1h, 2d, or as a bare
// number of units.
func (s *Set) Duration(name string, def, lo, hi, unit time.Duration) time.Duration {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	d, err := parseDuration(strings.TrimSpace(v), unit)
	if err != nil {
		s.fail("option %q must be a duration such as 250ms or 10s, not %q", name, v)
		return def
	}
	if d < lo || d > hi {
		s.fail("option %q must be between %v and %v, not %v", name, lo, hi, d)
		return def
	}
	return d
}

func parseDuration(v string, unit time.Duration) (time.Duration, error) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
			return 0, strconv.ErrRange
		}
		return time.Duration(n) * unit, nil
	}
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseInt(strings.TrimSpace(days), 10, 32)
		return time.Duration(n) * 24 * time.Hour, err
	}
	v = strings.NewReplacer(" ", "", "min", "m", "sec", "s").Replace(v)
	return time.ParseDuration(v)
}

// Ignore makes names known that somebody else reads.
func (s *Set) Ignore(names ...string) {
	for _, n := range names {
		s.lookup(n)
	}
}

// WithPrefix lists the options given under a prefix (as in "fields."), by the rest of their names, in order,
// without marking them as used.
func (s *Set) WithPrefix(prefix string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			out = append(out, rest)
		}
	}
	return out
}

// Fail records a problem with the options' combination; the first one wins.
func (s *Set) Fail(format string, args ...any) { s.fail(format, args...) }

func (s *Set) fail(format string, args ...any) {
	if s.err == nil {
		s.err = sqlerr.New(sqlerr.InvalidParameterValue, format, args...)
	}
}

// Done returns the first problem: a bad value, or else an option that nobody asked for.
func (s *Set) Done() error {
	if s.err != nil {
		return s.err
	}
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		if s.used[k] {
			continue
		}
		e := sqlerr.New(sqlerr.InvalidParameterValue, "%s has no option %q", s.what, k)
		if near, ok := Nearest(k, s.known); ok {
			return e.WithHint("Perhaps you meant the option %q.", near)
		}
		return e
	}
	return nil
}

// Unknown returns an error about a name that is not among the known ones, with the nearest as a hint.
func Unknown(code sqlerr.Code, kind, name string, known []string) error {
	e := sqlerr.New(code, "%s %q does not exist", kind, name)
	if near, ok := Nearest(name, known); ok {
		return e.WithHint("Perhaps you meant %q.", near)
	}
	return e.WithHint("Known are: %s.", List(known))
}

// List joins names for a message.
func List(names []string) string { return strings.Join(names, ", ") }

// Nearest finds the known name that takes the fewest edits to reach, when that is a plausible slip.
func Nearest(name string, known []string) (string, bool) {
	best, bestCost := "", math.MaxInt
	for _, k := range known {
		if c := distance(strings.ToLower(name), strings.ToLower(k)); c < bestCost {
			best, bestCost = k, c
		}
	}
	return best, bestCost <= max(2, len(name)*2/5)
}

// distance is the edit distance in bytes: insert, delete, replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, diag+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Connector names a connector for New.
func Connector(name string) string { return fmt.Sprintf("connector %q", name) }
