package catalog

import "github.com/millrace/millrace/internal/datetime"

// setting is what pg_settings says about a parameter beside its value.
type setting struct {
	name, kind, category string
	fixed                bool
	unit                 string
	values               []string
	doc                  string
}

const (
	catClient = "Client Connection Defaults / Statement Behavior"
	catLocale = "Client Connection Defaults / Locale and Formatting"
	catPreset = "Preset Options"
	catReport = "Reporting and Logging / What to Log"
	catStream = "Streaming"
)

// settings lists the parameters in pg_settings' order.
var settings = []setting{
	{"application_name", "string", catReport, false, "", nil, "Name of the application, as the client gave it."},
	{"bytea_output", "enum", catClient, false, "", []string{"escape", "hex"}, "Output format of bytea."},
	{"check_function_bodies", "bool", catClient, false, "", nil, "Accepted for compatibility: bodies are always checked."},
	{"client_encoding", "string", catLocale, false, "", nil, "Encoding of text exchanged with the client."},
	{"client_min_messages", "enum", catClient, false, "", []string{"debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"},
		"Least severity of messages sent to the client."},
	{"consistency", "enum", catStream, false, "", []string{"strict", "latest"}, "Whether reads see the session's own writes and one common state of all relations."},
	{"DateStyle", "string", catLocale, false, "", nil, "Output form and input order of dates."},
	{"default_table_access_method", "enum", catClient, false, "", []string{"heap"}, "Accepted for compatibility."},
	{"default_tablespace", "string", catClient, false, "", nil, "Accepted for compatibility."},
	{"default_transaction_deferrable", "bool", catClient, false, "", nil, "Whether new transactions are deferrable."},
	{"default_transaction_isolation", "enum", catClient, false, "", []string{"serializable", "repeatable read", "read committed", "read uncommitted"},
		"Isolation level of new transactions."},
	{"default_transaction_read_only", "bool", catClient, false, "", nil, "Whether new transactions are read-only."},
	{"escape_string_warning", "bool", catClient, false, "", nil, "Accepted for compatibility."},
	{"extra_float_digits", "integer", catLocale, false, "", nil, "Digits added to the text of floating-point values."},
	{"idle_in_transaction_session_timeout", "integer", catClient, false, "ms", nil, "Longest wait for the client within a transaction block; 0: no bound."},
	{"idle_session_timeout", "integer", catClient, false, "ms", nil, "Longest wait for the client outside of a transaction block; 0: no bound."},
	{"in_hot_standby", "bool", catPreset, true, "", nil, "Whether the server is a standby; never."},
	{"integer_datetimes", "bool", catPreset, true, "", nil, "Dates and times are 64-bit integers."},
	{"IntervalStyle", "enum", catLocale, false, "", []string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}, "Output form of intervals."},
	{"is_superuser", "bool", catPreset, true, "", nil, "Whether the user has all rights."},
	{"jit", "bool", catClient, false, "", nil, "Accepted for compatibility."},
	{"lc_collate", "string", catPreset, true, "", nil, "Order of text: that of its bytes."},
	{"lc_ctype", "string", catPreset, true, "", nil, "Classes of characters."},
	{"lock_timeout", "integer", catClient, false, "ms", nil, "Accepted for compatibility; there are no locks to wait for."},
	{"max_connections", "integer", catPreset, true, "", nil, "Clients served at once."},
	{"max_identifier_length", "integer", catPreset, true, "", nil, "Longest name. Unit: bytes."},
	{"max_index_keys", "integer", catPreset, true, "", nil, "Most columns in an index, as PostgreSQL has it."},
	{"query_memory", "string", catClient, false, "", nil, "Memory that one query may use before it fails with 53200."},
	{"role", "string", catClient, false, "", nil, "The role whose rights count; none: those of the session's user."},
	{"row_security", "bool", catClient, false, "", nil, "Accepted for compatibility."},
	{"search_path", "string", catClient, false, "", nil, "Schemas searched for unqualified names."},
	{"server_encoding", "string", catPreset, true, "", nil, "Encoding of stored text."},
	{"server_version", "string", catPreset, true, "", nil, "Version of PostgreSQL whose behaviour clients may expect."},
	{"server_version_num", "integer", catPreset, true, "", nil, "The same as a number."},
	{"session_authorization", "string", catPreset, true, "", nil, "The user who logged in."},
	{"standard_conforming_strings", "bool", catClient, false, "", nil, "Backslashes in '…' are ordinary."},
	{"statement_timeout", "integer", catClient, false, "ms", nil, "Longest run of a statement, 0 for no bound."},
	{"streaming_parallelism", "integer", catStream, false, "", nil, "Actors per fragment of new jobs; 0: one per core."},
	{"subscribe_memory", "string", catClient, false, "", nil, "Changes that may wait for a client of SUBSCRIBE before it is cut off."},
	{"synchronous_commit", "enum", catClient, false, "", []string{"local", "remote_write", "remote_apply", "on", "off"}, "Accepted for compatibility: commits are always synchronous."},
	{"TimeZone", "string", catLocale, false, "", nil, "Time zone of timestamps with time zone as text."},
	{"transaction_deferrable", "bool", catClient, false, "", nil, "Whether the current transaction is deferrable."},
	{"transaction_isolation", "enum", catClient, false, "", []string{"serializable", "repeatable read", "read committed", "read uncommitted"},
		"Isolation level of the current transaction."},
	{"transaction_read_only", "bool", catClient, false, "", nil, "Whether the current transaction is read-only."},
	{"work_mem", "string", catClient, false, "", nil, "Accepted for compatibility: query_memory bounds a query."},
	{"xmloption", "enum", catClient, false, "", []string{"content", "document"}, "Accepted for compatibility."},
}

func settingsRows(w *writer, f *facts) {
	for _, p := range settings {
		v, ok := f.session.Setting(p.name)
		if !ok {
			continue
		}
		context := "user"
		if p.fixed {
			context = "internal"
		}
		r := row{"name": p.name, "setting": v, "unit": orNil(p.unit), "category": p.category, "short_desc": p.doc, "context": context,
			"vartype": p.kind, "source": "session", "pending_restart": false}
		if p.values != nil {
			r["enumvals"] = p.values
		}
		w.add(r)
	}
}

// parameterRows fills millrace_catalog.settings.
func parameterRows(w *writer, f *facts) {
	for _, p := range settings {
		if v, ok := f.session.Setting(p.name); ok {
			w.add(row{"name": p.name, "setting": v, "description": p.doc, "changeable": !p.fixed})
		}
	}
}

func timezoneRows(w *writer, f *facts) {
	now := f.now()
	for _, name := range datetime.ZoneNames() {
		loc, err := datetime.LoadLocation(name)
		if err != nil {
			continue
		}
		t := now.In(loc)
		abbrev, offset := t.Zone()
		w.add(row{"name": name, "abbrev": abbrev, "utc_offset": datetime.Interval{Micros: int64(offset) * 1_000_000}, "is_dst": t.IsDST()})
	}
}
