package catalog

// contents says what fills which system relation. A relation of the shape lists that is not here has no rows:
// PostgreSQL has it, Millrace has nothing to put in it. To add one, write its rows and list it here.
func contents() map[relName]content {
	out := map[relName]content{}
	add := func(schema string, list []filled) {
		for _, e := range list {
			key := relName{schema, e.name}
			if _, dup := out[key]; dup {
				panic("catalog: rows of " + e.name + " are listed twice")
			}
			out[key] = content{e.fixed, e.rows}
		}
	}
	add(pgCatalog, pgContents)
	add(infoSchema, infoContents)
	add(millraceCatalog, millraceContents)
	return out
}

// filled names a relation and what fills it: rows that never change, rows of the moment, or both.
type filled struct {
	name  string
	fixed func(w *writer, y *System)
	rows  func(w *writer, f *facts)
}

var pgContents = []filled{
	{"pg_aggregate", fixedAggregate, nil},
	{"pg_am", fixedAm, nil},
	{"pg_attrdef", nil, attrdefRows},
	{"pg_attribute", fixedAttribute, attributeRows},
	{"pg_auth_members", nil, memberRows},
	{"pg_authid", nil, authidRows},
	{"pg_cast", fixedCast, nil},
	{"pg_class", fixedClass, classRows},
	{"pg_collation", fixedCollation, nil},
	{"pg_constraint", nil, constraintRows},
	{"pg_cursors", nil, cursorRows},
	{"pg_database", nil, databaseRows},
	{"pg_depend", nil, dependRows},
	{"pg_description", fixedDescription, descriptionRows},
	{"pg_enum", nil, enumRows},
	{"pg_foreign_data_wrapper", nil, foreignWrapperRows},
	{"pg_foreign_server", nil, foreignServerRows},
	{"pg_foreign_table", nil, foreignTableRows},
	{"pg_index", nil, indexRows},
	{"pg_indexes", nil, indexesRows},
	{"pg_language", fixedLanguage, nil},
	{"pg_locks", nil, lockRows},
	{"pg_matviews", nil, matviewsRows},
	{"pg_namespace", fixedNamespace, namespaceRows},
	{"pg_opclass", fixedOpclass, nil},
	{"pg_operator", fixedOperator, nil},
	{"pg_opfamily", fixedOpfamily, nil},
	{"pg_prepared_statements", nil, preparedRows},
	{"pg_proc", fixedProc, procRows},
	{"pg_rewrite", nil, rewriteRows},
	{"pg_roles", nil, rolesRows},
	{"pg_sequence", nil, pgSequenceRows},
	{"pg_sequences", nil, pgSequencesRows},
	{"pg_settings", nil, settingsRows},
	{"pg_shadow", nil, userRows},
	{"pg_stat_activity", nil, activityRows},
	{"pg_stat_all_indexes", nil, statIndexes},
	{"pg_stat_all_tables", nil, statTables},
	{"pg_stat_database", nil, statDatabaseRows},
	{"pg_stat_user_indexes", nil, statIndexes},
	{"pg_stat_user_tables", nil, statTables},
	{"pg_statio_all_tables", nil, statTables},
	{"pg_statio_user_tables", nil, statTables},
	{"pg_tables", nil, tablesRows},
	{"pg_tablespace", fixedTablespace, nil},
	{"pg_timezone_names", nil, timezoneRows},
	{"pg_type", fixedType, typeRows},
	{"pg_user", nil, userRows},
	{"pg_views", nil, viewsRows},
}

var infoContents = []filled{
	{"character_sets", nil, characterSetsRows},
	{"check_constraints", nil, checkConstraintRows},
	{"collations", nil, infoCollationsRows},
	{"column_domain_usage", nil, columnDomainRows},
	{"columns", nil, infoColumnsRows},
	{"constraint_column_usage", nil, columnUsageRows},
	{"administrable_role_authorizations", nil, applicableRoleRows},
	{"applicable_roles", nil, applicableRoleRows},
	{"domain_constraints", nil, infoDomainConstraintRows},
	{"domain_udt_usage", nil, domainUDTRows},
	{"domains", nil, infoDomainRows},
	{"enabled_roles", nil, enabledRoleRows},
	{"information_schema_catalog_name", nil, infoCatalogRows},
	{"key_column_usage", nil, keyUsageRows},
	{"parameters", nil, parameterInfoRows},
	{"role_table_grants", nil, privilegeRows},
	{"routines", nil, routineRows},
	{"schemata", nil, schemataRows},
	{"sequences", nil, infoSequenceRows},
	{"table_constraints", nil, tableConstraintRows},
	{"table_privileges", nil, privilegeRows},
	{"tables", nil, infoTablesRows},
	{"view_table_usage", nil, viewTableRows},
	{"views", nil, infoViewsRows},
}

var millraceContents = []filled{
	{"columns", nil, columnRows},
	{"jobs", nil, jobRows},
	{"quarantine", nil, quarantineRows},
	{"relations", nil, relationRows},
	{"secrets", nil, secretRows},
	{"connections", nil, connectionRows},
	{"captured_tables", nil, capturedRows},
	{"settings", nil, parameterRows},
	{"sinks", nil, sinkRows},
	{"sources", nil, sourceRows},
	{"splits", nil, splitRows},
	{"subscribers", nil, subscriberRows},
	{"subscriptions", nil, subscriptionRows},
	{"watermarks", nil, watermarkRows},
}
