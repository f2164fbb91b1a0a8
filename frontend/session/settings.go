package session

import (
	"errors"
	"fmt"
	"maps"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// param is one row of the parameter table.
type param struct {
	name     string
	def      string
	doc      string
	reported bool // told to clients in ParameterStatus
	fixed    bool // cannot be changed
	// check returns the canonical form of a new value; nil accepts any text.
	check func(v string) (string, error)
	// follows names the parameter that gives the value outside of a transaction block; the parameter itself is of
	// the running transaction.
	follows string
	// frozen: part of what a view means, kept with it at CREATE.
	frozen bool
}

// params is the parameter table. To add a setting, add a row.
var params = []param{
	{name: "application_name", doc: "Name of the application, as the client gave it.", reported: true},
	{name: "bytea_output", def: "hex", doc: "Output format of bytea: hex or escape.", check: oneOf("hex", "escape"), frozen: true},
	{name: "check_function_bodies", def: "on", doc: "Accepted for compatibility: bodies are always checked.", check: boolean},
	{name: "client_encoding", def: "UTF8", doc: "Encoding of text exchanged with the client.", reported: true, check: utf8Only},
	{name: "client_min_messages", def: "notice", doc: "Least severity of messages sent to the client."},
	{name: "consistency", def: "strict", doc: "strict: reads see every committed write; latest: reads never wait.", check: oneOf("strict", "latest")},
	{name: "DateStyle", def: "ISO, MDY", doc: "Output form and input order of dates.", reported: true, check: dateStyle, frozen: true},
	{name: "default_table_access_method", def: "heap", doc: "Accepted for compatibility.", check: oneOf("heap")},
	{name: "default_tablespace", doc: "Accepted for compatibility."},
	{name: "default_transaction_deferrable", def: "off", doc: "Whether new transactions are deferrable.", check: boolean},
	{name: "default_transaction_isolation", def: "read committed", doc: "Isolation level of new transactions.", check: isolationLevel},
	{name: "default_transaction_read_only", def: "off", doc: "Whether new transactions are read-only.", reported: true, check: boolean},
	{name: "escape_string_warning", def: "on", doc: "Accepted for compatibility.", check: boolean},
	{name: "extra_float_digits", def: "1", doc: "Digits added to the text of floating-point values.", check: integer("extra_float_digits", -15, 3), frozen: true},
	{name: "in_hot_standby", def: "off", doc: "Whether the server is a standby; never.", reported: true, fixed: true},
	{name: "integer_datetimes", def: "on", doc: "Dates and times are 64-bit integers.", reported: true, fixed: true},
	{name: "IntervalStyle", def: "postgres", doc: "Output form of intervals.", reported: true,
		check: oneOf("postgres", "postgres_verbose", "sql_standard", "iso_8601"), frozen: true},
	{name: "is_superuser", def: "on", doc: "Whether the user has all rights.", reported: true, fixed: true},
	{name: "idle_in_transaction_session_timeout", def: "0", doc: "Longest wait for the client within a transaction block; 0: no bound.", check: duration},
	{name: "idle_session_timeout", def: "0", doc: "Longest wait for the client outside of a transaction block; 0: no bound.", check: duration},
	{name: "lc_collate", def: "C", doc: "Order of text: that of its bytes.", fixed: true},
	{name: "lc_ctype", def: "C.UTF-8", doc: "Classes of characters.", fixed: true},
	{name: "jit", def: "off", doc: "Accepted for compatibility.", check: boolean},
	{name: "lock_timeout", def: "0", doc: "Accepted for compatibility; there are no locks to wait for.", check: duration},
	{name: "max_connections", def: "1000", doc: "Clients served at once.", fixed: true},
	{name: "max_index_keys", def: "32", doc: "Columns that a key may have, as clients are told.", fixed: true},
	{name: "max_identifier_length", def: "63", doc: "Longest name. Unit: bytes.", fixed: true},
	{name: "query_memory", def: "1GB", doc: "Memory that one query may use before it fails with 53200.", check: memory},
	{name: "role", def: "none", doc: "The role whose rights count; none: those of the session's user."},
	{name: "row_security", def: "on", doc: "Accepted for compatibility.", check: boolean},
	{name: "search_path", def: `"$user", public`, doc: "Schemas searched for unqualified names.", frozen: true},
	{name: "server_encoding", def: "UTF8", doc: "Encoding of stored text.", reported: true, fixed: true},
	{name: "server_version", def: "15.0", doc: "Version of PostgreSQL whose behaviour clients may expect.", reported: true, fixed: true},
	{name: "server_version_num", def: "150000", doc: "The same as a number.", fixed: true},
	{name: "session_authorization", def: "", doc: "The user who logged in.", reported: true, fixed: true},
	{name: "standard_conforming_strings", def: "on", doc: "Backslashes in '…' are ordinary.", reported: true, check: onlyOn},
	{name: "statement_timeout", def: "0", doc: "Longest run of a statement, 0 for no bound. Unit without one: ms.", check: duration},
	{name: "streaming_parallelism", def: "0", doc: "Actors per fragment of new jobs; 0: one per core.", check: integer("streaming_parallelism", 0, 256)},
	{name: "synchronous_commit", def: "on", doc: "Accepted for compatibility: commits are always synchronous."},
	{name: "TimeZone", def: "UTC", doc: "Time zone of timestamps with time zone as text.", reported: true, frozen: true},
	{name: "transaction_deferrable", follows: "default_transaction_deferrable", doc: "Whether the current transaction is deferrable.", check: boolean},
	{name: "subscribe_memory", def: "64MB", doc: "Changes that may wait for a client of SUBSCRIBE before it is cut off.", check: memory},
	{name: "transaction_isolation", follows: "default_transaction_isolation", doc: "Isolation level of the current transaction.", check: isolationLevel},
	{name: "transaction_read_only", follows: "default_transaction_read_only", doc: "Whether the current transaction is read-only.", check: boolean},
	{name: "work_mem", def: "4MB", doc: "Accepted for compatibility: query_memory bounds a query.", check: memory},
	{name: "xmloption", def: "content", doc: "Accepted for compatibility."},
}

// paramIndex finds parameters by their names in lower case: several are asked for at every statement.
var paramIndex = sync.OnceValue(func() map[string]*param {
	m := map[string]*param{}
	for i := range params {
		m[strings.ToLower(params[i].name)] = &params[i]
	}
	return m
})

func findParam(name string) *param {
	if p := paramIndex()[name]; p != nil {
		return p
	}
	return paramIndex()[strings.ToLower(name)]
}

// hint is an error of a check whose text is the hint that PostgreSQL gives.
type hint string

func (h hint) Error() string { return string(h) }

func oneOf(vals ...string) func(string) (string, error) {
	return func(v string) (string, error) {
		for _, x := range vals {
			if strings.EqualFold(x, v) {
				return x, nil
			}
		}
		return "", hint("Available values: " + strings.Join(vals, ", ") + ".")
	}
}

func isolationLevel(v string) (string, error) {
	return oneOf("serializable", "repeatable read", "read committed", "read uncommitted")(v)
}

func boolean(v string) (string, error) {
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1", "t", "y":
		return "on", nil
	case "off", "false", "no", "0", "f", "n":
		return "off", nil
	}
	return "", fmt.Errorf("it requires a Boolean value")
}

func onlyOn(v string) (string, error) {
	if b, err := boolean(v); err != nil || b != "on" {
		return "", fmt.Errorf("only on is supported")
	}
	return "on", nil
}

func utf8Only(v string) (string, error) {
	switch strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(v)) {
	case "UTF8", "UNICODE":
		return "UTF8", nil
	}
	return "", fmt.Errorf("only UTF8 is supported")
}

func integer(name string, lo, hi int) func(string) (string, error) {
	return func(v string) (string, error) {
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			return "", fmt.Errorf("it must be an integer from %d to %d", lo, hi)
		}
		if n < lo || n > hi {
			return "", sqlerr.New(sqlerr.InvalidParameterValue, "%d is outside the valid range for parameter %q (%d .. %d)", n, name, lo, hi)
		}
		return strconv.Itoa(n), nil
	}
}

// duration accepts a number of milliseconds or one with a unit, as PostgreSQL's time settings.
func duration(v string) (string, error) {
	if _, err := parseDuration(v); err != nil {
		return "", err
	}
	return v, nil
}

func parseDuration(v string) (time.Duration, error) {
	v = strings.TrimSpace(v)
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 {
		return time.Duration(n * float64(time.Millisecond)), nil
	}
	units := []struct {
		name string
		d    time.Duration
	}{{"us", time.Microsecond}, {"ms", time.Millisecond}, {"min", time.Minute}, {"s", time.Second}, {"h", time.Hour}, {"d", 24 * time.Hour}}
	for _, u := range units {
		if num, ok := strings.CutSuffix(v, u.name); ok {
			if n, err := strconv.ParseFloat(strings.TrimSpace(num), 64); err == nil && n >= 0 {
				return time.Duration(n * float64(u.d)), nil
			}
		}
	}
	return 0, fmt.Errorf("it must be a time such as 500, 500ms or 2s")
}

// memory accepts a number of kB or one with a unit, as PostgreSQL's memory settings.
func memory(v string) (string, error) {
	if _, err := parseMemory(v); err != nil {
		return "", err
	}
	return v, nil
}

func parseMemory(v string) (int64, error) {
	v = strings.TrimSpace(v)
	units := []struct {
		name string
		n    int64
	}{{"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}, {"B", 1}}
	for _, u := range units {
		if num, ok := strings.CutSuffix(v, u.name); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64); err == nil && n > 0 {
				return n * u.n, nil
			}
		}
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 0 {
		return n << 10, nil
	}
	return 0, fmt.Errorf("it must be a size such as 64MB")
}

func dateStyle(v string) (string, error) {
	d, err := datetime.ParseDateStyle(v, datetime.DateStyle{})
	return d.String(), err
}

// Apply gives a parameter's value to the part of the settings that reads and writes values; parameters that
// do not concern it change nothing.
func Apply(io *sqlio.Settings, name, value string) (err error) {
	before := *io
	defer func() { // a value that is refused changes nothing
		if err != nil {
			*io = before
		}
	}()
	switch strings.ToLower(name) {
	case "datestyle":
		io.Time.DateStyle, err = datetime.ParseDateStyle(value, io.Time.DateStyle)
	case "intervalstyle":
		io.Time.IntervalStyle, err = datetime.ParseIntervalStyle(value)
	case "timezone":
		io.Time.Location, err = datetime.LoadLocation(value)
	case "extra_float_digits":
		io.ExtraFloatDigits, err = strconv.Atoi(value)
	case "bytea_output":
		io.ByteaEscape = value == "escape"
	}
	return err
}

// settings are a session's values of the parameters.
type settings struct {
	settingValues
	start   map[string]string // values at start-up: what RESET goes back to
	changed map[string]string // reported parameters changed and not yet told
	io      *sqlio.Settings
	undo    *settingValues // before the running transaction's first change; nil: it has made none
	known   *often         // what every statement asks for; nil: to be read again
}

// often are settings that every statement asks for, ready for use.
type often struct {
	statementTimeout, idleTimeout, idleInTransaction time.Duration
	queryMemory                                      int64
	latest                                           bool // consistency
	level                                            engine.Level
	role, sessionUser                                string
	appName                                          string
}

// often returns the settings that every statement asks for. Whoever changes a value clears known.
func (s *settings) often() *often {
	if s.known == nil {
		time := func(name string) time.Duration {
			d, _ := parseDuration(s.must(name)) // it was checked when it was set
			return d
		}
		s.known = &often{statementTimeout: time("statement_timeout"), idleTimeout: time("idle_session_timeout"),
			idleInTransaction: time("idle_in_transaction_session_timeout"), latest: s.must("consistency") == "latest",
			level: levels[s.must("transaction_isolation")], appName: s.must("application_name"),
			role: s.must("role"), sessionUser: s.must("session_authorization")}
		s.known.queryMemory, _ = parseMemory(s.must("query_memory"))
	}
	return s.known
}

// settingValues are by canonical name, and only of what was set.
type settingValues struct {
	vals  map[string]string
	local map[string]string // until the end of the transaction; it hides vals
}

func (v settingValues) clone() settingValues {
	return settingValues{maps.Clone(v.vals), maps.Clone(v.local)}
}

func newSettings() *settings {
	return &settings{settingValues: settingValues{map[string]string{}, map[string]string{}}, start: map[string]string{},
		changed: map[string]string{}, io: sqlio.DefaultSettings()}
}

// canonical is the name under which a parameter's value is kept.
func canonical(name string) (string, *param) {
	if p := findParam(name); p != nil {
		return p.name, p
	}
	return strings.ToLower(name), nil
}

func (s *settings) get(name string) (string, bool) {
	key, p := canonical(name)
	if v, ok := s.local[key]; ok {
		return v, true
	}
	if v, ok := s.vals[key]; ok {
		return v, p != nil || strings.Contains(name, ".")
	}
	switch {
	case p == nil:
		return "", false
	case p.follows != "":
		return s.get(p.follows)
	}
	return p.def, true
}

func (s *settings) must(name string) string { v, _ := s.get(name); return v }

// checked returns the canonical form of a parameter's new value; errors are PostgreSQL's.
func (s *settings) checked(name, value string) (string, error) {
	_, p := canonical(name)
	if p == nil {
		if strings.Contains(name, ".") { // a custom setting of an extension or application
			return value, nil
		}
		return "", sqlerr.New(sqlerr.UndefinedObject, "unrecognized configuration parameter %q", name)
	}
	if p.fixed {
		return "", sqlerr.New(sqlerr.CantChangeRuntimeParam, "parameter %q cannot be changed", p.name)
	}
	if p.check == nil {
		return value, nil
	}
	v, err := p.check(value)
	var out *sqlerr.Error
	if errors.As(err, &out) {
		return "", out
	}
	if err != nil {
		return "", invalidValue(name, value, err)
	}
	return v, nil
}

// set changes a parameter for the session.
func (s *settings) set(name, value string) error { return s.assign(name, value, false) }

// setLocal changes a parameter until the end of the transaction.
func (s *settings) setLocal(name, value string) error { return s.assign(name, value, true) }

func (s *settings) assign(name, value string, local bool) error {
	v, err := s.checked(name, value)
	if err != nil {
		return err
	}
	return s.put(name, v, local)
}

// put is assign of a value that need not be checked, also to a parameter that clients cannot change themselves.
func (s *settings) put(name, v string, local bool) error {
	key, p := canonical(name)
	value := v
	if err := Apply(s.io, key, v); err != nil {
		return invalidValue(name, value, err)
	}
	if key == "TimeZone" {
		v = datetime.LocationName(s.io.Time.Location)
	}
	s.mayUndo()
	s.known = nil
	if local || p != nil && p.follows != "" {
		s.local[key] = v
	} else {
		delete(s.local, key)
		s.vals[key] = v
	}
	if p != nil && p.reported {
		s.changed[key] = v
	}
	return nil
}

func (s *settings) mayUndo() {
	if s.undo == nil {
		old := s.clone()
		s.undo = &old
	}
}

// restore goes back to values that were had before.
func (s *settings) restore(v settingValues) {
	old := s.settingValues
	s.settingValues, s.known = v.clone(), nil
	for _, m := range []map[string]string{old.vals, old.local, v.vals, v.local} {
		for key := range m {
			now := s.must(key)
			if was, ok := (&settings{settingValues: old}).get(key); ok && was == now {
				continue
			}
			_, p := canonical(key)
			_ = Apply(s.io, key, now) // it was accepted before
			if p != nil && p.reported {
				s.changed[p.name] = now
			}
		}
	}
}

// endTransaction ends what SET LOCAL did and, when the transaction has failed, what SET did in it.
func (s *settings) endTransaction(failed bool) {
	undo := s.undo
	s.undo = nil
	switch {
	case failed && undo != nil:
		s.restore(settingValues{undo.vals, map[string]string{}})
	case len(s.local) > 0:
		s.restore(settingValues{s.vals, map[string]string{}})
	}
}

// invalidValue is the error about a value that err says is none: err itself if it says so to the user.
func invalidValue(name, value string, err error) error {
	var told *sqlerr.Error
	if errors.As(err, &told) {
		return told
	}
	return sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for parameter %q: %q", strings.ToLower(name), value).WithHint("%s", err.Error())
}

// reset goes back to the value at start-up.
func (s *settings) reset(name string) error {
	key, p := canonical(name)
	switch {
	case p == nil && !strings.Contains(name, "."):
		return sqlerr.New(sqlerr.UndefinedObject, "unrecognized configuration parameter %q", name)
	case p == nil:
		s.mayUndo()
		delete(s.vals, key)
		delete(s.local, key)
		return nil
	case p.fixed:
		return sqlerr.New(sqlerr.CantChangeRuntimeParam, "parameter %q cannot be changed", p.name)
	}
	v, ok := s.start[key]
	switch {
	case p.follows != "":
		v = s.must(p.follows)
	case !ok:
		v = p.def
	}
	return s.set(key, v)
}

// searchPath lists the schemas to look in.
func (s *settings) searchPath(user string) []string {
	var out []string
	for _, part := range splitNames(s.must("search_path")) {
		if part == "$user" {
			part = user
		}
		if part != "" {
			out = append(out, part)
		}
	}
	return out
}

// splitNames splits a list of identifiers as PostgreSQL's SplitIdentifierString does.
func splitNames(v string) []string {
	var out []string
	for v = strings.TrimSpace(v); v != ""; {
		var name string
		if strings.HasPrefix(v, `"`) {
			end := strings.Index(v[1:], `"`)
			if end < 0 {
				return append(out, v[1:])
			}
			name, v = v[1:1+end], v[2+end:]
		} else {
			end := strings.IndexByte(v, ',')
			if end < 0 {
				end = len(v)
			}
			name, v = strings.ToLower(strings.TrimSpace(v[:end])), v[end:]
		}
		out = append(out, name)
		v = strings.TrimSpace(v)
		v = strings.TrimSpace(strings.TrimPrefix(v, ","))
	}
	return out
}

// frozen returns the settings that a new job's meaning depends on.
func (s *settings) frozen() map[string]string {
	out := map[string]string{}
	for i := range params {
		if params[i].frozen {
			out[params[i].name] = s.must(params[i].name)
		}
	}
	return out
}

// names lists the parameters in order.
func paramNames() []string {
	var out []string
	for i := range params {
		out = append(out, params[i].name)
	}
	sort.Slice(out, func(i, j int) bool { return strings.ToLower(out[i]) < strings.ToLower(out[j]) })
	return out
}
