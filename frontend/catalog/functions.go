package catalog

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// call is one evaluation of a catalog function. No argument is NULL: the functions are strict.
type call struct {
	*facts
	name string
	args []sqltypes.Datum
}

// answer is a catalog function. A result is nil, bool, int64, string or []byte.
type answer func(c *call) (sqltypes.Datum, error)

// call evaluates a function by name. Their signatures are in internal/expr (catalog.go).
func (y *System) call(f *facts, name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	fn, ok := answers()[name]
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", name)
	}
	for _, a := range args {
		if a == nil {
			return nil, nil
		}
	}
	return fn(&call{f, name, args})
}

// oid is an integer argument.
func (c *call) oid(i int) int64 {
	if i < len(c.args) {
		if n, ok := c.args[i].(int64); ok {
			return n
		}
	}
	return 0
}

func (c *call) flag(i int) bool {
	if i < len(c.args) {
		b, _ := c.args[i].(bool)
		return b
	}
	return false
}

// text is an argument of a string type; false when it is of another type.
func (c *call) text(i int) (string, bool) {
	if i < len(c.args) {
		switch x := c.args[i].(type) {
		case string:
			return x, true
		case []byte:
			return string(x), true
		}
	}
	return "", false
}

func (c *call) mustText(i int) string { s, _ := c.text(i); return s }

func constant(d sqltypes.Datum) answer {
	return func(*call) (sqltypes.Datum, error) { return d, nil }
}

var null = constant(nil)

// refuse answers what Millrace has not got.
func refuse(hint string) answer {
	return func(c *call) (sqltypes.Datum, error) {
		err := sqlerr.New(sqlerr.FeatureNotSupported, "function %s is not supported", c.name)
		if hint != "" {
			err = err.WithHint("%s", hint)
		}
		return nil, err
	}
}

// currentQuery is the text that pg_stat_activity shows of the session.
func currentQuery(c *call) (sqltypes.Datum, error) {
	for _, a := range c.activity() {
		if int32(a.PID) == c.session.PID() {
			return a.Query, nil
		}
	}
	return nil, nil
}

func notInRecovery(*call) (sqltypes.Datum, error) {
	return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "recovery is not in progress").
		WithHint("Recovery control functions can only be executed during recovery.")
}

// answers lists the catalog functions. To add one, give it a signature in internal/expr and list it here.
func answers() map[string]answer { return answerTable }

var answerTable = map[string]answer{
	"pg_table_is_visible":          tableVisible,
	"pg_type_is_visible":           typeVisible,
	"pg_function_is_visible":       functionVisible,
	"pg_operator_is_visible":       constant(true), // all are in pg_catalog
	"pg_opclass_is_visible":        constant(true),
	"pg_opfamily_is_visible":       constant(true),
	"pg_collation_is_visible":      constant(true),
	"pg_conversion_is_visible":     null,
	"pg_statistics_obj_is_visible": null,
	"pg_ts_config_is_visible":      null,
	"pg_ts_dict_is_visible":        null,
	"pg_ts_parser_is_visible":      null,
	"pg_ts_template_is_visible":    null,

	"current_query":                       currentQuery,
	"pg_trigger_depth":                    constant(int64(0)),
	"pg_current_logfile":                  null, // the log goes to standard error
	"pg_notification_queue_usage":         constant(0.0),
	"pg_safe_snapshot_blocking_pids":      constant(sqlio.MakeArray(sqltypes.ArrayOf(sqltypes.Int4), nil)),
	"pg_last_xact_replay_timestamp":       null,
	"pg_is_wal_replay_paused":             notInRecovery,
	"pg_get_wal_replay_pause_state":       notInRecovery,
	"pg_relation_filepath":                null, // relations have no files of their own
	"pg_get_statisticsobjdef_expressions": null,
	"pg_stat_clear_snapshot":              constant([]byte{}),

	"pg_get_expr":                        storedExpr,
	"pg_get_viewdef":                     viewDef,
	"pg_get_indexdef":                    indexDef,
	"pg_get_constraintdef":               constraintDef,
	"pg_get_ruledef":                     ruleDef,
	"pg_get_triggerdef":                  null,
	"pg_get_functiondef":                 functionDefinition,
	"pg_get_function_arguments":          ofProc(func(p *proc) sqltypes.Datum { return p.arguments(false) }),
	"pg_get_function_identity_arguments": ofProc(func(p *proc) sqltypes.Datum { return p.arguments(true) }),
	"pg_get_function_result":             ofProc(func(p *proc) sqltypes.Datum { return p.resultText() }),
	"pg_get_function_arg_default":        null,
	"pg_get_function_sqlbody":            null,
	"pg_get_partkeydef":                  null,
	"pg_get_partition_constraintdef":     null,
	"pg_get_statisticsobjdef":            null,
	"pg_get_statisticsobjdef_columns":    null,
	"pg_get_serial_sequence":             serialSequence,
	"pg_get_userbyid":                    userByID,
	"pg_index_column_has_property":       indexColumnProperty,
	"pg_index_has_property":              indexProperty,
	"pg_indexam_has_property":            accessMethodProperty,
	"pg_relation_is_publishable":         constant(false),
	"pg_relation_filenode":               fileNode,
	"pg_partition_root":                  null,
	"pg_tablespace_location":             constant(""),
	"pg_describe_object":                 describeObject,
	"obj_description":                    objDescription,
	"col_description":                    colDescription,
	"shobj_description":                  sharedDescription,
	"to_regclass":                        toReg(sqltypes.KRegclass),
	"to_regtype":                         toReg(sqltypes.KRegtype),
	"to_regproc":                         toReg(sqltypes.KRegproc),
	"to_regprocedure":                    toReg(sqltypes.KRegprocedure),
	"to_regoper":                         toReg(sqltypes.KRegoper),
	"to_regoperator":                     toReg(sqltypes.KRegoperator),
	"to_regrole":                         toReg(sqltypes.KRegrole),
	"to_regnamespace":                    toReg(sqltypes.KRegnamespace),
	"has_table_privilege":                privilege(tableRights, securedClass),
	"has_any_column_privilege":           anyColumnPrivilege,
	"has_column_privilege":               columnPrivilege,
	"has_schema_privilege":               privilege(schemaRights, securedSchema),
	"has_database_privilege":             privilege(databaseRights, securedDatabase),
	"has_function_privilege":             privilege(executeRight, securedFunction),
	"has_sequence_privilege":             privilege(sequenceRights, securedSequence),
	"has_type_privilege":                 privilege(usageRight, nil),
	"has_language_privilege":             privilege(usageRight, nil),
	"has_tablespace_privilege":           privilege(createRight, nil),
	"has_server_privilege":               privilege(usageRight, nil),
	"has_foreign_data_wrapper_privilege": privilege(usageRight, nil),
	"pg_has_role":                        hasRole,
	"pg_relation_size":                   null, // rows lie in shared objects: no relation has a size of its own
	"pg_table_size":                      null,
	"pg_indexes_size":                    null,
	"pg_total_relation_size":             null,
	"pg_database_size":                   null,
	"pg_tablespace_size":                 null,
	"pg_stat_get_numscans":               constant(int64(0)),
	"txid_current":                       refuse("Transactions have no numbers."),
	"txid_current_if_assigned":           null,
	"pg_current_xact_id":                 refuse("Transactions have no numbers."),
	"txid_current_snapshot":              refuse("Transactions have no numbers."),
	"pg_current_wal_lsn":                 refuse(""),
	"pg_postmaster_start_time":           startTime,
	"pg_conf_load_time":                  startTime,
	"pg_listening_channels":              null,
	"inet_server_port":                   null,
	"inet_client_port":                   clientPort,
	"pg_reload_conf":                     constant(true),
	"pg_sleep":                           refuse(""),
	"pg_sleep_for":                       refuse(""),
	"pg_sleep_until":                     refuse(""),
	"pg_notify":                          refuse("LISTEN and NOTIFY are not supported."),
	"pg_export_snapshot":                 refuse(""),
	"pg_blocking_pids":                   constant(sqlio.MakeArray(sqltypes.ArrayOf(sqltypes.Int4), nil)),
	"nextval":                            notASequence,
	"setval":                             notASequence,
	"currval":                            notASequence,
	"lastval":                            lastval,
	"pg_column_is_updatable":             columnUpdatable,
	"pg_relation_is_updatable":           relationUpdatable,
	"pg_sequence_last_value":             notASequence,
	"pg_get_replica_identity_index":      replicaIdentity,
	"has_parameter_privilege":            privilege(parameterRights, nil),
	"pg_advisory_xact_lock_shared":       refuse("pg_advisory_lock is."),
	"pg_try_advisory_lock_shared":        refuse("pg_try_advisory_lock is."),
	"pg_try_advisory_xact_lock_shared":   refuse("pg_try_advisory_lock is."),
	"pg_advisory_unlock_shared":          constant(false), // nobody holds one
	"pg_advisory_lock":                   advisoryLock,
	"pg_advisory_lock_shared":            refuse("pg_advisory_lock is."),
	"pg_advisory_xact_lock":              refuse("pg_advisory_lock is."),
	"pg_try_advisory_lock":               tryAdvisoryLock,
	"pg_try_advisory_xact_lock":          refuse("pg_try_advisory_lock is."),
	"pg_advisory_unlock":                 advisoryUnlock,
	"pg_advisory_unlock_all":             advisoryUnlockAll,
}

func tableVisible(c *call) (sqltypes.Datum, error) {
	o := c.object(c.oid(0))
	if o == nil {
		return nil, nil
	}
	return c.visible(o), nil
}

func typeVisible(c *call) (sqltypes.Datum, error) {
	if t, _, ok := c.snap.TypeByOID(uint32(c.oid(0))); ok {
		return c.typeVisible(t), nil
	}
	if typeName(c.oid(0)) == "???" {
		return nil, nil
	}
	return true, nil
}

func functionVisible(c *call) (sqltypes.Datum, error) {
	p := c.proc(c.oid(0))
	if p == nil {
		return nil, nil
	}
	return c.procVisible(p), nil
}

// storedExpr returns what pg_attrdef.adbin and its like hold, which is SQL text already.
func storedExpr(c *call) (sqltypes.Datum, error) { return c.shown(c.mustText(0)), nil }

// shown prints a stored expression: sequences that the search path leads to go without their schema.
func (f *facts) shown(text string) string {
	if !strings.Contains(text, "::regclass") {
		return text
	}
	for _, q := range f.sequences() {
		if full := qualified(q.Schema, q.Name); f.visible(f.objectOf(q)) {
			text = strings.ReplaceAll(text, parser.QuoteString(full)+"::regclass", parser.QuoteString(parser.QuoteIdent(q.Name))+"::regclass")
		}
	}
	return text
}

func viewDef(c *call) (sqltypes.Datum, error) {
	oid := c.oid(0)
	if name, ok := c.text(0); ok {
		n, err := c.regOID(sqltypes.KRegclass, name)
		if err != nil {
			return nil, err
		}
		oid = n
	}
	if r := c.relation(oid); r != nil && (r.Kind == catalog.View || r.Kind == catalog.MatView) {
		return viewText(r), nil
	}
	return nil, nil
}

// indexDef is CREATE INDEX, or one column of it when the second argument is not 0.
func indexDef(c *call) (sqltypes.Datum, error) {
	x, ok := c.index(c.oid(0))
	if !ok {
		return nil, nil
	}
	switch n := c.oid(1); {
	case n == 0:
		return x.def(), nil
	case n < 0 || n > int64(len(x.keys)):
		return "", nil
	default:
		k := x.keys[n-1]
		k.desc, k.nullsFirst = false, false
		return k.text(), nil
	}
}

func constraintDef(c *call) (sqltypes.Datum, error) {
	oid := c.oid(0)
	if r, con := c.constraint(oid); con != nil {
		return constraintText(r, con), nil
	}
	if _, k := c.domainCheck(oid); k != nil {
		return domainCheckText(k, len(c.args) > 1 && c.flag(1)), nil
	}
	if oid&pkeyConstraint != pkeyConstraint {
		return nil, nil
	}
	if r := c.relation(oid &^ pkeyConstraint); r != nil && hasPkey(r) {
		return pkeyDef(r), nil
	}
	return nil, nil
}

func ruleDef(c *call) (sqltypes.Datum, error) {
	oid := c.oid(0)
	if oid&viewRule == 0 {
		return nil, nil
	}
	r := c.relation(oid &^ viewRule)
	if r == nil {
		return nil, nil
	}
	return fmt.Sprintf("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO %s DO INSTEAD %s", qualified(r.Schema, r.Name), viewText(r)), nil
}

func ofProc(f func(p *proc) sqltypes.Datum) answer {
	return func(c *call) (sqltypes.Datum, error) {
		p := c.proc(c.oid(0))
		if p == nil {
			return nil, nil
		}
		return f(p), nil
	}
}

func functionDefinition(c *call) (sqltypes.Datum, error) {
	p := c.proc(c.oid(0))
	switch {
	case p == nil:
		return nil, nil
	case p.kind == 'a':
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is an aggregate function", p.name)
	case p.language == oidSQL:
		return functionDef(c.snap.Functions[catalog.ID(p.oid)]), nil
	}
	def := fmt.Sprintf("CREATE OR REPLACE FUNCTION %s(%s)\n RETURNS %s\n LANGUAGE internal\nAS $function$%s$function$\n",
		qualified(p.schema, p.name), p.arguments(false), p.resultText(), p.name)
	return def, nil
}

func serialSequence(c *call) (sqltypes.Datum, error) {
	oid, err := c.regOID(sqltypes.KRegclass, c.mustText(0))
	if err != nil {
		return nil, err
	}
	if err := c.needColumn(oid, c.mustText(1)); err != nil {
		return nil, err
	}
	r := c.relation(oid)
	if r == nil {
		return nil, nil
	}
	k, _ := r.Column(c.mustText(1))
	for _, q := range c.snap.Owned(r.ID, attnum(r, k)) {
		return qualified(q.Schema, q.Name), nil
	}
	return nil, nil
}

func userByID(c *call) (sqltypes.Datum, error) {
	if name, ok := c.roleName(c.oid(0)); ok {
		return name, nil
	}
	return fmt.Sprintf("unknown (OID=%d)", c.oid(0)), nil
}

func fileNode(c *call) (sqltypes.Datum, error) {
	o := c.object(c.oid(0))
	if o == nil || o.system != nil && o.system.kind == 'v' || o.user != nil && !o.pkey && !o.user.IsStored() || o.typ != nil {
		return nil, nil
	}
	return o.oid, nil
}

func describeObject(c *call) (sqltypes.Datum, error) {
	switch c.oid(0) {
	case classRelation:
		o := c.object(c.oid(1))
		if o == nil {
			return nil, nil
		}
		return o.describe(), nil
	case classNamespace:
		if n, ok := c.schemaName(c.oid(1)); ok {
			return "schema " + n, nil
		}
	case classProc:
		if p := c.proc(c.oid(1)); p != nil {
			return "function " + p.name + "(" + p.arguments(true) + ")", nil
		}
	case classType:
		if n := c.typeName(c.oid(1)); n != "???" {
			return "type " + n, nil
		}
	}
	return nil, nil
}

// toReg is regOID with NULL for what does not exist.
func toReg(k sqltypes.Kind) answer {
	return func(c *call) (sqltypes.Datum, error) {
		oid, err := c.regOID(k, c.mustText(0))
		switch sqlerr.CodeOf(err) {
		case sqlerr.UndefinedTable, sqlerr.UndefinedObject, sqlerr.UndefinedFunction, sqlerr.AmbiguousFunction, sqlerr.InvalidSchemaName:
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return oid, nil
	}
}

func columnUpdatable(c *call) (sqltypes.Datum, error) {
	r := c.relation(c.oid(0))
	return r != nil && r.Kind == catalog.Table && c.hasAttribute(c.oid(0), c.oid(1)), nil
}

// relationUpdatable is a sum of 4 (UPDATE), 8 (INSERT) and 16 (DELETE).
func relationUpdatable(c *call) (sqltypes.Datum, error) {
	if r := c.relation(c.oid(0)); r != nil && r.Kind == catalog.Table {
		return int64(4 + 8 + 16), nil
	}
	return int64(0), nil
}

func replicaIdentity(c *call) (sqltypes.Datum, error) {
	if r := c.relation(c.oid(0)); r != nil && hasPkey(r) {
		return pkeyOID(r), nil
	}
	return nil, nil
}

func startTime(c *call) (sqltypes.Datum, error) { return datum(sqltypes.Timestamptz, c.started), nil }

func clientPort(c *call) (sqltypes.Datum, error) {
	for _, a := range c.activity() {
		if int32(a.PID) == c.session.PID() {
			if _, port := splitRemote(a.Remote); port != -1 {
				return datum(sqltypes.Int4, port), nil
			}
		}
	}
	return nil, nil
}

func notASequence(c *call) (sqltypes.Datum, error) {
	o := c.object(c.oid(0))
	if o == nil {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "relation with OID %d does not exist", c.oid(0))
	}
	return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a sequence", o.name)
}

func lastval(*call) (sqltypes.Datum, error) {
	return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "lastval is not yet defined in this session")
}

func objDescription(c *call) (sqltypes.Datum, error) {
	in, _ := c.text(1)
	return c.comment(c.oid(0), 0, in), nil
}

// sharedDescription is the comment on a role or on the database.
func sharedDescription(c *call) (sqltypes.Datum, error) {
	in, _ := c.text(1)
	switch in {
	case "pg_database":
		if c.oid(0) == oidDatabase {
			return orNil(c.snap.Comments["database"]), nil
		}
	case "pg_authid":
		if name, ok := c.roleName(c.oid(0)); ok {
			return orNil(c.snap.Comments["role "+name]), nil
		}
	}
	return nil, nil
}

func colDescription(c *call) (sqltypes.Datum, error) {
	return c.comment(c.oid(0), c.oid(1), "pg_class"), nil
}

// comment is the text of COMMENT ON, or what the library says of a function or operator. in names the catalog
// that the OID is of, "" for any.
func (f *facts) comment(oid, column int64, in string) sqltypes.Datum {
	text := ""
	if in == "pg_class" || in == "" {
		text = f.relationComment(oid, column)
	}
	if text == "" && (in == "pg_namespace" || in == "") {
		for _, s := range f.snap.Schemas {
			if int64(s.ID) == oid {
				text = s.Comment
			}
		}
		for _, s := range systemComments {
			if s.oid == oid {
				text = s.text
			}
		}
	}
	if text == "" && (in == "pg_proc" || in == "") {
		if p := f.proc(oid); p != nil {
			text = p.doc
		}
	}
	if text == "" && (in == "pg_type" || in == "") {
		if t, array, ok := f.snap.TypeByOID(uint32(oid)); ok && !array {
			text = t.Comment
		}
	}
	if text == "" && (in == "pg_constraint" || in == "") && oid&pkeyConstraint == pkeyConstraint {
		if r := f.relation(oid &^ pkeyConstraint); r != nil && hasPkey(r) {
			text = r.ConstraintComments[r.Name+"_pkey"]
		}
	}
	if text == "" && (in == "pg_constraint" || in == "") {
		if _, k := f.domainCheck(oid); k != nil {
			text = k.Comment
		}
	}
	if text == "" && in == "pg_operator" {
		if o := library().operatorByOID[oid]; o != nil {
			text = o.doc
		}
	}
	return orNil(text)
}

func (f *facts) relationComment(oid, column int64) string {
	r := f.relation(oid)
	if r == nil {
		return ""
	}
	if column == 0 {
		return r.Comment
	}
	for i, c := range r.Columns {
		if int64(attnum(r, i)) == column {
			return c.Comment
		}
	}
	return ""
}
