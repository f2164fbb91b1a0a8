package session

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/sqlerr"
)

// storageParameters are PostgreSQL's for tables. They say how it lays out rows and when it cleans up, which means nothing
// here: they are accepted, so that programs written for it run, and ignored.
var storageParameters = []string{"fillfactor", "toast_tuple_target", "parallel_workers", "user_catalog_table", "oids", "log_autovacuum_min_duration",
	"vacuum_index_cleanup", "vacuum_truncate", "autovacuum_enabled", "autovacuum_vacuum_threshold", "autovacuum_vacuum_scale_factor",
	"autovacuum_vacuum_insert_threshold", "autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_threshold",
	"autovacuum_analyze_scale_factor", "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit", "autovacuum_freeze_min_age",
	"autovacuum_freeze_max_age", "autovacuum_freeze_table_age", "autovacuum_multixact_freeze_min_age",
	"autovacuum_multixact_freeze_max_age", "autovacuum_multixact_freeze_table_age"}

// onlyStorageParameters reports whether all options are storage parameters: then they do not describe a connector.
func onlyStorageParameters(opts []parser.Option) bool { return unknownParameter(opts) == nil }

// unknownParameter is PostgreSQL's error for the first option that is no storage parameter; nil: all are.
func unknownParameter(opts []parser.Option) error {
	for _, o := range opts {
		if !slices.Contains(storageParameters, strings.TrimPrefix(o.Name, "toast.")) {
			return sqlerr.New(sqlerr.InvalidParameterValue, "unrecognized parameter %q", o.Name)
		}
	}
	return nil
}
