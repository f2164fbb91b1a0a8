package parser

import "strings"

// category says where a word may stand as a name. The categories and their members are PostgreSQL's
// (documentation, appendix C; version 17).
type category uint8

const (
	catNone     category = iota // not a keyword
	catUnres                    // any name
	catColName                  // a column or table name, not a function or type name
	catTypeFunc                 // a function or type name, not a column or table name
	catReserved                 // only a label after AS
)

// keyword is what the lexer learns about a word.
type keyword struct {
	text string // one shared copy of the spelling
	cat  category
	// bare: may be a column label without AS.
	bare bool
}

const reservedWords = `
	all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
	create current_catalog current_date current_role current_time current_timestamp current_user
	default deferrable desc distinct do else end except false fetch for foreign from grant group having
	in initially intersect into lateral leading limit localtime localtimestamp not null offset on only
	or order placing primary references returning select session_user some symmetric system_user table
	then to trailing true union unique user using variadic when where window with
`

const typeFuncWords = `
	authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull
	join left like natural notnull outer overlaps right similar tablesample verbose
`

const colNameWords = `
	between bigint bit boolean char character coalesce dec decimal exists extract float greatest
	grouping inout int integer interval json json_array json_arrayagg json_exists json_object
	json_objectagg json_query json_scalar json_serialize json_table json_value least merge_action
	national nchar none normalize nullif numeric out overlay position precision real row setof smallint
	substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists
	xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
`

const unreservedWords = `
	abort absent absolute access action add admin after aggregate also alter always asensitive
	assertion assignment at atomic attach attribute backward before begin breadth by cache call called
	cascade cascaded catalog chain characteristics checkpoint class close cluster columns comment
	comments commit committed compression conditional configuration conflict connection constraints
	content continue conversion copy cost csv cube current cursor cycle data database day deallocate
	declare defaults deferred definer delete delimiter delimiters depends depth detach dictionary
	disable discard document domain double drop each empty enable encoding encrypted enum error escape
	event exclude excluding exclusive execute explain expression extension external family filter
	finalize first following force format forward function functions generated global granted groups
	handler header hold hour identity if immediate immutable implicit import include including
	increment indent index indexes inherit inherits inline input insensitive insert instead invoker
	isolation keep key keys label language large last leakproof level listen load local location lock
	locked logged mapping match matched materialized maxvalue merge method minute minvalue mode month
	move name names nested new next nfc nfd nfkc nfkd no normalized nothing notify nowait nulls object
	of off oids old omit operator option options ordinality others over overriding owned owner parallel
	parameter parser partial partition passing password path plan plans policy preceding prepare
	prepared preserve prior privileges procedural procedure procedures program publication quote quotes
	range read reassign recheck recursive ref referencing refresh reindex relative release rename
	repeatable replace replica reset restart restrict return returns revoke role rollback rollup
	routine routines rows rule savepoint scalar schema schemas scroll search second security sequence
	sequences serializable server session set sets share show simple skip snapshot source sql stable
	standalone start statement statistics stdin stdout storage stored strict string strip subscription
	support sysid system tables tablespace target temp template temporary text ties transaction
	transform trigger truncate trusted type types uescape unbounded uncommitted unconditional
	unencrypted unknown unlisten unlogged until update vacuum valid validate validator value varying
	version view views volatile whitespace within without work wrapper write xml year yes zone
`

// asLabelWords need AS when they are a column label.
const asLabelWords = `
	array as char character create day except fetch filter for from grant group having hour intersect
	into isnull limit minute month notnull offset on order over overlaps precision returning second to
	union varying where window with within without year
`

var keywords = buildKeywords()

// maxKeyword is the length of the longest keyword.
const maxKeyword = 17

func buildKeywords() map[string]keyword {
	m := make(map[string]keyword, 512)
	add := func(words string, cat category) {
		for _, w := range strings.Fields(words) {
			m[w] = keyword{text: w, cat: cat, bare: true}
		}
	}
	add(reservedWords, catReserved)
	add(typeFuncWords, catTypeFunc)
	add(colNameWords, catColName)
	add(unreservedWords, catUnres)
	for _, w := range strings.Fields(asLabelWords) {
		k := m[w]
		k.bare = false
		m[w] = k
	}
	return m
}

// QuoteIdent returns name as an identifier in SQL text: as it is where that reads back as the same
// name wherever a column name may stand, else in double quotes.
func QuoteIdent(name string) string {
	if plainIdent(name) && !needsQuotes(keywords[name].cat) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// needsQuotes says that a keyword cannot stand as every kind of name.
func needsQuotes(c category) bool { return c != catNone && c != catUnres }

// plainIdent says that name is spelled like an identifier in lower case.
func plainIdent(name string) bool {
	if name == "" || !isIdentStart(name[0]) || name[0] >= 0x80 {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !isIdentPart(c) || c >= 'A' && c <= 'Z' || c >= 0x80 {
			return false
		}
	}
	return true
}
