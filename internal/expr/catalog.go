package expr

import (
	"bytes"
	"crypto/rand"

	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions that only the catalog can answer: they call Session.Catalog by name. The list covers what psql's
// backslash commands, drivers and reporting tools send.

// newUUID draws a random UUID of version 4.
func newUUID() (id [16]byte, err error) {
	_, err = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id, err
}

func askCatalog(name string) Kernel {
	return boxed(func(c *Ctx, args []sqltypes.Datum, _ []sqltypes.Type) (sqltypes.Datum, error) {
		s, err := c.session(name)
		if err != nil {
			return nil, err
		}
		own := make([]sqltypes.Datum, len(args))
		for i, d := range args {
			if b, ok := d.([]byte); ok {
				d = bytes.Clone(b)
			}
			own[i] = d
		}
		return s.Catalog(name, own)
	})
}

// catalogEntry is one function with its overloads' argument types.
type catalogEntry struct {
	name      string
	result    sqltypes.Type
	overloads [][]sqltypes.Type
	doc       string
	volatile  bool
}

func catalogEntries() []catalogEntry {
	n, t, i2, i4, i8, b, oid := sqltypes.Name, sqltypes.Text, sqltypes.Int2, sqltypes.Int4, sqltypes.Int8, sqltypes.Bool, sqltypes.Oid
	f8, tz, void, reg := sqltypes.Float8, sqltypes.Timestamptz, sqltypes.Void, sqltypes.Regclass
	one := func(types ...sqltypes.Type) [][]sqltypes.Type { return [][]sqltypes.Type{types} }
	visible := func(name, what string) catalogEntry {
		return catalogEntry{name, b, one(oid), "whether a " + what + " is found without its schema", false}
	}
	size := func(name, of string) catalogEntry {
		return catalogEntry{name, i8, one(reg), "bytes on disk of " + of, true}
	}
	// Privileges are asked for by user (name or oid) or for oneself, and by name or oid of the object.
	privilege := func(name string) catalogEntry {
		return catalogEntry{name, b, [][]sqltypes.Type{{n, t, t}, {n, oid, t}, {oid, t, t}, {oid, oid, t}, {t, t}, {oid, t}}, "whether a privilege is held", false}
	}
	columnPrivilege := [][]sqltypes.Type{{n, t, t, t}, {n, t, i2, t}, {n, oid, t, t}, {n, oid, i2, t}, {oid, t, t, t}, {oid, t, i2, t},
		{oid, oid, t, t}, {oid, oid, i2, t}, {t, t, t}, {t, i2, t}, {oid, t, t}, {oid, i2, t}}
	rolePrivilege := [][]sqltypes.Type{{n, n, t}, {n, oid, t}, {oid, n, t}, {oid, oid, t}, {n, t}, {oid, t}}
	lock := [][]sqltypes.Type{{i8}, {i4, i4}}
	return []catalogEntry{
		visible("pg_table_is_visible", "table"),
		visible("pg_type_is_visible", "type"),
		visible("pg_function_is_visible", "function"),
		visible("pg_operator_is_visible", "operator"),
		visible("pg_opclass_is_visible", "operator class"),
		visible("pg_opfamily_is_visible", "operator family"),
		visible("pg_collation_is_visible", "collation"),
		visible("pg_conversion_is_visible", "conversion"),
		visible("pg_statistics_obj_is_visible", "statistics object"),
		visible("pg_ts_config_is_visible", "text search configuration"),
		visible("pg_ts_dict_is_visible", "text search dictionary"),
		visible("pg_ts_parser_is_visible", "text search parser"),
		visible("pg_ts_template_is_visible", "text search template"),
		{"pg_get_expr", t, [][]sqltypes.Type{{t, oid}, {t, oid, b}}, "text of a stored expression", false},
		{"pg_get_viewdef", t, [][]sqltypes.Type{{oid}, {oid, b}, {oid, i4}, {t}, {t, b}}, "query of a view", false},
		{"pg_get_indexdef", t, [][]sqltypes.Type{{oid}, {oid, i4, b}}, "CREATE INDEX statement", false},
		{"pg_get_constraintdef", t, [][]sqltypes.Type{{oid}, {oid, b}}, "definition of a constraint", false},
		{"pg_get_ruledef", t, [][]sqltypes.Type{{oid}, {oid, b}}, "CREATE RULE statement", false},
		{"pg_get_triggerdef", t, [][]sqltypes.Type{{oid}, {oid, b}}, "CREATE TRIGGER statement", false},
		{"pg_get_functiondef", t, one(oid), "CREATE FUNCTION statement", false},
		{"pg_get_function_arguments", t, one(oid), "arguments of a function with defaults", false},
		{"pg_get_function_identity_arguments", t, one(oid), "arguments that identify a function", false},
		{"pg_get_function_result", t, one(oid), "result type of a function", false},
		{"pg_get_function_arg_default", t, one(oid, i4), "default of an argument", false},
		{"pg_get_function_sqlbody", t, one(oid), "SQL body of a function", false},
		{"pg_get_partkeydef", t, one(oid), "partition key of a table", false},
		{"pg_get_partition_constraintdef", t, one(oid), "partition constraint of a table", false},
		{"pg_get_statisticsobjdef", t, one(oid), "CREATE STATISTICS statement", false},
		{"pg_get_statisticsobjdef_columns", t, one(oid), "columns of a statistics object", false},
		{"pg_get_serial_sequence", t, one(t, t), "sequence behind a column", false},
		{"pg_get_userbyid", n, one(oid), "name of a role", false},
		{"pg_index_column_has_property", b, one(reg, i4, t), "property of an index column", false},
		{"pg_index_has_property", b, one(reg, t), "property of an index", false},
		{"pg_indexam_has_property", b, one(oid, t), "property of an index method", false},
		{"pg_relation_is_publishable", b, one(reg), "whether a table can be published", false},
		{"pg_relation_is_updatable", i4, one(reg, b), "what changes a relation accepts, as bits", false},
		{"pg_column_is_updatable", b, one(reg, i2, b), "whether a column can be updated", false},
		{"pg_get_replica_identity_index", reg, one(reg), "index that identifies rows", false},
		{"pg_sequence_last_value", i8, one(reg), "last value of a sequence", true},
		{"pg_relation_filenode", oid, one(reg), "file of a relation", false},
		{"pg_partition_root", reg, one(reg), "root of a partition tree", false},
		{"pg_tablespace_location", t, one(oid), "path of a tablespace", false},
		{"pg_describe_object", t, one(oid, oid, i4), "description of a catalog object", false},
		{"obj_description", t, [][]sqltypes.Type{{oid, n}, {oid}}, "comment on an object", false},
		{"col_description", t, one(oid, i4), "comment on a column", false},
		{"shobj_description", t, one(oid, n), "comment on a shared object", false},
		{"to_regclass", reg, one(t), "relation of a name, NULL for none", false},
		{"to_regtype", sqltypes.Regtype, one(t), "type of a name, NULL for none", false},
		{"to_regproc", sqltypes.Regproc, one(t), "function of a name, NULL for none", false},
		{"to_regprocedure", sqltypes.Type{Kind: sqltypes.KRegprocedure}, one(t), "function of a name and types of arguments, NULL for none", false},
		{"to_regoper", sqltypes.Type{Kind: sqltypes.KRegoper}, one(t), "operator of a name, NULL for none", false},
		{"to_regoperator", sqltypes.Type{Kind: sqltypes.KRegoperator}, one(t), "operator of a name and types of operands, NULL for none", false},
		{"to_regrole", sqltypes.Type{Kind: sqltypes.KRegrole}, one(t), "role of a name, NULL for none", false},
		{"to_regnamespace", sqltypes.Type{Kind: sqltypes.KRegnamespace}, one(t), "schema of a name, NULL for none", false},
		privilege("has_table_privilege"),
		privilege("has_schema_privilege"),
		privilege("has_database_privilege"),
		privilege("has_function_privilege"),
		privilege("has_sequence_privilege"),
		privilege("has_type_privilege"),
		privilege("has_language_privilege"),
		privilege("has_tablespace_privilege"),
		privilege("has_server_privilege"),
		privilege("has_foreign_data_wrapper_privilege"),
		privilege("has_any_column_privilege"),
		{"pg_has_role", b, rolePrivilege, "whether one is a member of a role", false},
		{"has_parameter_privilege", b, [][]sqltypes.Type{{n, t, t}, {oid, t, t}, {t, t}}, "whether a privilege is held", false},
		{"has_column_privilege", b, columnPrivilege, "whether a privilege is held", false},
		size("pg_relation_size", "a relation"),
		size("pg_table_size", "a table"),
		size("pg_indexes_size", "the indexes of a table"),
		size("pg_total_relation_size", "a table with its indexes"),
		{"pg_relation_size", i8, one(reg, t), "bytes on disk of one part of a relation", true},
		{"pg_database_size", i8, [][]sqltypes.Type{{n}, {oid}}, "bytes on disk of a database", true},
		{"pg_tablespace_size", i8, [][]sqltypes.Type{{n}, {oid}}, "bytes on disk of a tablespace", true},
		{"pg_stat_get_numscans", i8, one(oid), "number of scans", false},
		{"txid_current", i8, one(), "number of the transaction", false},
		{"txid_current_if_assigned", i8, one(), "number of the transaction, NULL when it has none", false},
		{"pg_current_xact_id", i8, one(), "number of the transaction", false},
		{"txid_current_snapshot", t, one(), "snapshot of the transaction", false},
		{"pg_current_wal_lsn", t, one(), "position in the log", true},
		{"pg_postmaster_start_time", tz, one(), "when the server started", false},
		{"pg_conf_load_time", tz, one(), "when the configuration was read", false},
		{"pg_listening_channels", t, one(), "channel listened to", false},
		{"inet_server_port", i4, one(), "port of the server", false},
		{"inet_client_port", i4, one(), "port of the client", false},
		{"pg_cancel_backend", b, one(i4), "cancels a session's query", true},
		{"pg_terminate_backend", b, [][]sqltypes.Type{{i4}, {i4, i8}}, "ends a session", true},
		{"pg_reload_conf", b, one(), "reads the configuration again", true},
		{"current_query", t, one(), "text of the statement that runs", true},
		{"pg_trigger_depth", i4, one(), "nesting level of triggers", false},
		{"pg_current_logfile", t, [][]sqltypes.Type{{}, {t}}, "file of the log, NULL when it is not a file", true},
		{"pg_notification_queue_usage", f8, one(), "how full the queue of notifications is, from 0 to 1", true},
		{"pg_safe_snapshot_blocking_pids", sqltypes.ArrayOf(i4), one(i4), "sessions that keep a session from a safe snapshot", true},
		{"pg_last_xact_replay_timestamp", tz, one(), "commit time of the last transaction replayed by a standby", true},
		{"pg_is_wal_replay_paused", b, one(), "whether a standby has paused", true},
		{"pg_get_wal_replay_pause_state", t, one(), "whether a standby has paused", true},
		{"pg_relation_filepath", t, one(reg), "path of a relation's file", false},
		{"pg_get_statisticsobjdef_expressions", sqltypes.ArrayOf(t), one(oid), "expressions of a statistics object", false},
		{"pg_stat_clear_snapshot", void, one(), "forgets the statistics read in the transaction", true},
		{"pg_sleep", void, one(f8), "waits for seconds", true},
		{"pg_sleep_for", void, one(sqltypes.IntervalT), "waits for an interval", true},
		{"pg_sleep_until", void, one(tz), "waits until a time", true},
		{"pg_notify", void, one(t, t), "sends a notification", true},
		{"pg_export_snapshot", t, one(), "identifier of the snapshot", true},
		{"pg_blocking_pids", sqltypes.ArrayOf(i4), one(i4), "sessions that block a session", true},
		{"nextval", i8, one(reg), "next value of a sequence", true},
		{"currval", i8, one(reg), "last value drawn from a sequence", true},
		{"lastval", i8, one(), "last value drawn from any sequence", true},
		{"setval", i8, [][]sqltypes.Type{{reg, i8}, {reg, i8, b}}, "sets a sequence", true},
		{"pg_advisory_lock", void, lock, "takes an advisory lock", true},
		{"pg_advisory_lock_shared", void, lock, "takes a shared advisory lock", true},
		{"pg_advisory_xact_lock", void, lock, "takes an advisory lock until the end of the transaction", true},
		{"pg_try_advisory_lock", b, lock, "takes an advisory lock if it is free", true},
		{"pg_try_advisory_xact_lock", b, lock, "takes an advisory lock until the end of the transaction if it is free", true},
		{"pg_advisory_xact_lock_shared", void, lock, "takes a shared advisory lock until the end of the transaction", true},
		{"pg_try_advisory_lock_shared", b, lock, "takes a shared advisory lock if it is free", true},
		{"pg_try_advisory_xact_lock_shared", b, lock, "takes a shared advisory lock until the end of the transaction if it is free", true},
		{"pg_advisory_unlock_shared", b, lock, "releases a shared advisory lock", true},
		{"pg_advisory_unlock", b, lock, "releases an advisory lock", true},
		{"pg_advisory_unlock_all", void, one(), "releases all advisory locks", true},
	}
}

// catalogFuncs lists one entry for each overload.
func catalogFuncs() []Func {
	var out []Func
	for _, e := range catalogEntries() {
		for _, args := range e.overloads {
			f := fn(e.name, args, e.result, askCatalog(e.name), e.doc).stable()
			if e.volatile {
				f = f.volatile()
			}
			out = append(out, f)
		}
	}
	return out
}
