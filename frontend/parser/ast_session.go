package parser

// TxnKind says what a TransactionStmt does.
type TxnKind uint8

// The transaction statements.
const (
	TxnBegin            TxnKind = iota // BEGIN, START TRANSACTION
	TxnCommit                          // COMMIT, END
	TxnRollback                        // ROLLBACK, ABORT
	TxnSavepoint                       // Name
	TxnRelease                         // Name
	TxnRollbackTo                      // Name
	TxnSet                             // SET TRANSACTION
	TxnSetSession                      // SET SESSION CHARACTERISTICS AS TRANSACTION
	TxnPrepare                         // PREPARE TRANSACTION 'Name'
	TxnCommitPrepared                  // COMMIT PREPARED 'Name'
	TxnRollbackPrepared                // ROLLBACK PREPARED 'Name'
	TxnSetSnapshot                     // SET TRANSACTION SNAPSHOT 'Name'
)

// TxnModes are the modes of a transaction.
type TxnModes struct {
	// Isolation is "" or SERIALIZABLE, REPEATABLE READ, READ COMMITTED, READ UNCOMMITTED.
	Isolation string
	// ReadOnly and Deferrable are nil when not given.
	ReadOnly, Deferrable *bool
}

// TransactionStmt is BEGIN, COMMIT, ROLLBACK and their kin.
type TransactionStmt struct {
	Source
	Kind  TxnKind
	Modes TxnModes
	Name  string
	// Chain is AND CHAIN.
	Chain bool
}

// SetStmt is SET name = values. SET TIME ZONE sets "timezone" (LOCAL is Default), SET ROLE "role",
// SET SESSION AUTHORIZATION "session_authorization", SET NAMES "client_encoding", SET SCHEMA
// "search_path".
type SetStmt struct {
	Source
	Local bool // SET LOCAL
	Name  string
	// Values are *StringLit (also for bare words), *NumberLit, *Unary (a signed number) or *Cast (an
	// interval as a time zone).
	Values []Expr
	// Default is TO DEFAULT; then Values is nil. FromCurrent is FROM CURRENT.
	Default     bool
	FromCurrent bool
}

// ResetStmt is RESET name; Name "" is RESET ALL.
type ResetStmt struct {
	Source
	Name string
}

// ShowKind says what a ShowStmt shows.
type ShowKind uint8

// The SHOW statements.
const (
	ShowSetting ShowKind = iota // Name; "all" is SHOW ALL
	ShowObjects                 // Object: TABLES, MATERIALIZED VIEWS, …
	ShowColumns                 // SHOW COLUMNS FROM Relation
	ShowCreate                  // SHOW CREATE ObjectKind Relation
	ShowIndexes                 // SHOW INDEXES FROM Relation
)

// ShowStmt is SHOW.
type ShowStmt struct {
	Source
	Kind ShowKind
	// Name is the setting's name in lower case; TIME ZONE is timezone, TRANSACTION ISOLATION LEVEL
	// transaction_isolation, SESSION AUTHORIZATION session_authorization.
	Name string
	// Object is in upper case and canonical: TABLES, INTERNAL TABLES, SOURCES, SINKS, VIEWS,
	// MATERIALIZED VIEWS, INDEXES, SCHEMAS, DATABASES, JOBS, PARAMETERS, PROCESSLIST, CLUSTER, USERS,
	// FUNCTIONS, SUBSCRIPTIONS, SECRETS, CONNECTIONS, CURSORS, SUBSCRIPTION CURSORS, TRANSACTION….
	Object     string
	ObjectKind ObjectKind
	Relation   Name
	// Schema is SHOW TABLES FROM schema, or "".
	Schema string
	// Like is the pattern (nil: none), Where the condition.
	Like  *string
	Where Expr
}

// DescribeStmt is DESCRIBE relation; Fragments is DESCRIBE FRAGMENTS relation.
type DescribeStmt struct {
	Source
	Relation  Name
	Fragments bool
}

// ExplainStmt is EXPLAIN. ANALYZE and VERBOSE without parentheses are options named "analyze" and
// "verbose". Exactly one of Stmt and Job is set.
type ExplainStmt struct {
	Source
	Options []Option
	Stmt    Stmt
	// JobKind and Job are EXPLAIN ANALYZE MATERIALIZED VIEW name and its kin: a running job.
	JobKind ObjectKind
	Job     Name
}

// Has says whether an option is on: EXPLAIN (STATE), (STATE true), (STATE on).
func (s *ExplainStmt) Has(name string) bool {
	on := false
	for _, o := range s.Options {
		if o.Name != name {
			continue
		}
		text, ok := o.Text()
		on = !ok || text == "true" || text == "on" || text == "1"
	}
	return on
}

// FlushStmt is FLUSH.
type FlushStmt struct{ Source }

// WaitStmt is WAIT.
type WaitStmt struct{ Source }

// RecoverStmt is RECOVER.
type RecoverStmt struct{ Source }

// VerifyStmt is VERIFY MATERIALIZED VIEW name.
type VerifyStmt struct {
	Source
	Name Name
}

// CancelJobsStmt is CANCEL JOBS 1, 2. IDs are as written.
type CancelJobsStmt struct {
	Source
	IDs []string
}

// KillStmt is KILL id, of a session in SHOW PROCESSLIST.
type KillStmt struct {
	Source
	ID string
}

// UseStmt is USE database.
type UseStmt struct {
	Source
	Database Ident
}

// CheckpointStmt is CHECKPOINT.
type CheckpointStmt struct{ Source }

// PrepareStmt is PREPARE name (types) AS statement.
type PrepareStmt struct {
	Source
	Name  string
	Types []*TypeName
	Stmt  Stmt
}

// ExecuteStmt is EXECUTE name (arguments).
type ExecuteStmt struct {
	Source
	Name string
	Args []Expr
}

// DeallocateStmt is DEALLOCATE name; Name "" is ALL.
type DeallocateStmt struct {
	Source
	Name string
}

// DeclareStmt is DECLARE name CURSOR FOR query, or DECLARE name SUBSCRIPTION CURSOR FOR subscription.
type DeclareStmt struct {
	Source
	Name string
	// Options are BINARY, INSENSITIVE, ASENSITIVE, SCROLL and NO SCROLL, in the order written.
	Options []string
	// Hold is WITH HOLD (true) or WITHOUT HOLD (false); nil if neither is given.
	Hold  *bool
	Query *Query
	// Subscription is set for a subscription cursor; Query is then nil unless it is FOR query.
	IsSubscription bool
	Subscription   Name
	// Since is an expression: now(), begin(), proctime(), a number of milliseconds. nil: not given.
	Since Expr
	// Full is FOR subscription FULL.
	Full bool
	// Subscribe is FOR SUBSCRIBE …; Query is then nil.
	Subscribe *SubscribeStmt
}

// FetchKind says where FETCH goes.
type FetchKind uint8

// The directions of FETCH, with PostgreSQL's counts.
const (
	FetchForward  FetchKind = iota // Count rows (negative: backward); All
	FetchBackward                  // Count rows; All
	FetchAbsolute                  // Count
	FetchRelative                  // Count
)

// FetchStmt is FETCH or MOVE. NEXT is forward 1, PRIOR backward 1, FIRST absolute 1, LAST absolute -1.
type FetchStmt struct {
	Source
	Move    bool
	Kind    FetchKind
	Count   int64
	All     bool
	Cursor  string
	Options []Option // WITH (timeout = '1s')
}

// CloseStmt is CLOSE cursor; Name "" is ALL.
type CloseStmt struct {
	Source
	Name string
}

// CopyStmt is COPY.
type CopyStmt struct {
	Source
	// Either Table, Query, DML (with RETURNING) or Subscribe is set.
	Table     Name
	Columns   []Ident
	Query     *Query
	DML       Stmt
	Subscribe *SubscribeStmt
	From      bool
	// File is the path or, with Program, the command; "" is STDIN or STDOUT.
	File    string
	Program bool
	// Options are named in lower case as in the parenthesised syntax: format, delimiter, null, header,
	// quote, escape, force_quote, force_not_null, force_null, encoding, freeze.
	Options []Option
	Where   Expr
}

// SubscribeStmt is SUBSCRIBE TO (query) or SUBSCRIBE [TO] relation.
type SubscribeStmt struct {
	Source
	Query    *Query
	Relation Name
	// UpsertKey is ENVELOPE UPSERT (KEY (columns)); nil: not given.
	UpsertKey []Ident
	Options   []Option // WITH (snapshot = false, progress)
	// AsOf and UpTo are expressions; nil: not given.
	AsOf, UpTo Expr
}

// DiscardStmt is DISCARD ALL | PLANS | SEQUENCES | TEMP.
type DiscardStmt struct {
	Source
	What string
}

// LockStmt is LOCK TABLE.
type LockStmt struct {
	Source
	Tables []Name
	Mode   string // ACCESS EXCLUSIVE if not given
	NoWait bool
}

// DoStmt is DO 'text' [LANGUAGE name].
type DoStmt struct {
	Source
	Body, Language string
}

// ListenStmt is LISTEN channel.
type ListenStmt struct {
	Source
	Channel string
}

// UnlistenStmt is UNLISTEN channel; Channel "" is *.
type UnlistenStmt struct {
	Source
	Channel string
}

// NotifyStmt is NOTIFY channel, 'payload'.
type NotifyStmt struct {
	Source
	Channel string
	Payload string
}

// AnalyzeStmt is ANALYZE [tables].
type AnalyzeStmt struct {
	Source
	Options []Option
	Targets []AnalyzeTarget
}

// AnalyzeTarget is a table of ANALYZE or VACUUM, with the columns given.
type AnalyzeTarget struct {
	Table   Name
	Columns []Ident
}

// VacuumStmt is VACUUM [tables]. FULL, FREEZE, VERBOSE and ANALYZE are options.
type VacuumStmt struct {
	Source
	Options []Option
	Targets []AnalyzeTarget
}
