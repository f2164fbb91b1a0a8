// Package session runs statements: it holds a client's settings, transaction and prepared statements, and
// carries each statement from text through parser, binder and planner to the engine.
//
// The idea: every statement becomes a plan of its kind in one flat table (dispatch); queries and DML go to
// the engine, DDL changes the catalog and then starts or ends jobs. frontend/pgwire drives a Session through
// the interface it declares.
//
// A Session belongs to its connection's goroutine. Manager is shared by all sessions.
//
// Invariants: a statement sees one catalog snapshot, Session.Snapshot, and changes it through Session.apply alone, so that
// DDL in a transaction block stays in the block; writes reach the log only when their transaction
// commits, whole or not at all; a failed DDL leaves nothing behind.
//
// It does not know messages (frontend/pgwire) or actors (internal/engine). Start at Session.Prepare and
// dispatch.go.
package session

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Catalog is the part of the catalog store that sessions need.
type Catalog interface {
	Snapshot() *catalog.Snapshot
	Apply(ctx context.Context, base *catalog.Snapshot, c catalog.Change) error
	// ApplyUndecided, Decided and TakeBack are about the definitions of a transaction block that also writes rows.
	ApplyUndecided(ctx context.Context, base *catalog.Snapshot, c catalog.Change, block catalog.ID) error
	Decided(ctx context.Context, block catalog.ID) error
	TakeBack(ctx context.Context, base *catalog.Snapshot, c catalog.Change, block catalog.ID) error
	NewIDs(ctx context.Context, n int) (catalog.ID, error)
	// NextValue, SetValue and Value are about where a sequence stands.
	NextValue(ctx context.Context, r *catalog.Relation) (int64, error)
	SetValue(ctx context.Context, r *catalog.Relation, st catalog.SequenceState) error
	Value(ctx context.Context, r *catalog.Relation) (catalog.SequenceState, error)
}

// Vault encrypts the values of secrets.
type Vault interface {
	Seal(id catalog.ID, value string) []byte
	ValueOf(id catalog.ID) (string, error)
}

// SystemTables computes pg_catalog, information_schema and millrace_catalog.
type SystemTables interface {
	// Columns describes a system relation.
	Columns(schema, name string) ([]plan.Column, bool)
	// Rows computes its contents.
	Rows(ctx context.Context, s *Session, schema, name string) ([][]sqltypes.Datum, error)
	// RegName and RegOID print and read oid aliases such as regclass.
	RegName(s *Session, k sqltypes.Kind, oid int64) (string, bool)
	RegOID(s *Session, k sqltypes.Kind, name string) (int64, error)
	// Function evaluates a catalog function such as pg_get_viewdef.
	Function(s *Session, name string, args []sqltypes.Datum) (sqltypes.Datum, error)
}

// Manager makes sessions; it implements pgwire.Backend.
type Manager struct {
	Catalog     Catalog
	Engine      *engine.Engine
	System      SystemTables
	Vault       Vault
	Parallelism int // of new jobs; 0: one actor per core
	TempDir     string
	Version     string
	Started     time.Time
	Logger      *slog.Logger

	mu       sync.Mutex
	sessions map[uint32]*Session
	// deciding is held while it is not decided whether the definitions of a transaction block stay; other changes of definitions,
	// which might build on them, hold it to read.
	deciding sync.RWMutex
}

// Password implements pgwire.Backend.
func (m *Manager) Password(name string) (*pgwire.ScramVerifier, bool) {
	u := m.Catalog.Snapshot().Users[name]
	if u == nil {
		return nil, true
	}
	if u.Verifier == "" {
		return nil, false
	}
	v, ok := pgwire.ParseScramVerifier(u.Verifier)
	if !ok {
		m.Logger.Error("password verifier in the catalog is damaged", "user", name)
		return nil, true
	}
	return v, true
}

// HasPasswords reports whether every user who may log in has a password.
func (m *Manager) HasPasswords() bool {
	for _, u := range m.Catalog.Snapshot().Users {
		if u.Login && u.Verifier == "" {
			return false
		}
	}
	return true
}

// Open implements pgwire.Backend.
func (m *Manager) Open(ctx context.Context, p pgwire.Startup) (pgwire.Session, error) {
	snap := m.Catalog.Snapshot()
	u := snap.Users[p.User]
	if u == nil || !u.Login {
		return nil, sqlerr.New(sqlerr.InvalidAuthorization, "role %q does not exist", p.User)
	}
	if p.Database != snap.Database && p.Database != maintenance {
		return nil, sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", p.Database).
			WithHint("The database is called %q.", snap.Database)
	}
	s := m.newSession(p)
	if !u.Super {
		s.settings.vals["is_superuser"] = "off"
	}
	for k, v := range p.Params {
		if err := s.SetSetting(k, v, false); err != nil {
			if sqlerr.CodeOf(err) == sqlerr.UndefinedObject {
				continue // unknown start-up options are left alone, as drivers send many
			}
			return nil, err
		}
	}
	maps.Copy(s.settings.start, s.settings.vals)
	s.settings.endTransaction(false)
	clear(s.settings.changed)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = map[uint32]*Session{}
	}
	m.sessions[p.PID] = s
	return s, nil
}

// newSession makes a session that others do not see.
func (m *Manager) newSession(p pgwire.Startup) *Session {
	s := &Session{m: m, start: p, settings: newSettings(), opened: time.Now(), stmts: map[string]*named{}, cursors: map[string]*cursor{}}
	s.settings.io.RegName = func(k sqltypes.Kind, oid int64) (string, bool) { return m.System.RegName(s, k, oid) }
	s.settings.io.RegOID = func(k sqltypes.Kind, name string) (int64, error) { return m.System.RegOID(s, k, name) }
	s.settings.vals["session_authorization"] = p.User
	s.settings.vals["application_name"] = p.AppName
	return s
}

// maintenance is the name of the database that tools connect to when they want to know which there are, psql -l among them. It leads
// to the one that there is.
const maintenance = "postgres"

// Activity describes one session for pg_stat_activity and SHOW PROCESSLIST.
type Activity struct {
	PID                        uint32
	User, AppName, Remote      string
	Query, State               string
	Opened, QueryStart, Change time.Time
	XactStart                  time.Time // zero: in no transaction
	Locks                      []HeldLock
}

// Activity lists the open sessions by pid.
func (m *Manager) Activity() []Activity {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Activity
	for _, s := range m.sessions {
		s.mu.Lock()
		out = append(out, Activity{PID: s.start.PID, User: s.start.User, AppName: s.appName, Remote: s.start.Remote,
			Query: s.query, State: s.state, Opened: s.opened, QueryStart: s.queryStart, Change: s.change,
			XactStart: s.xactStart, Locks: s.locks})
		s.mu.Unlock()
	}
	sort.Slice(out, func(i, j int) bool { return out[i].PID < out[j].PID })
	return out
}

// CancelSession cancels what a session runs, or ends the session; false when there is none.
func (m *Manager) CancelSession(pid uint32, terminate bool) bool {
	m.mu.Lock()
	s := m.sessions[pid]
	m.mu.Unlock()
	if s == nil {
		return false
	}
	if terminate {
		s.start.Terminate()
	} else {
		s.start.Cancel()
	}
	return true
}

// maySignal refuses to cancel what a session runs, or to end it, unless its user is the own one or a role that the user is a member of.
func (s *Session) maySignal(pid uint32, terminate bool) error {
	s.m.mu.Lock()
	other := s.m.sessions[pid]
	s.m.mu.Unlock()
	snap, user := s.snapshot(), s.User()
	if other == nil || snap.Super(user) {
		return nil
	}
	act, done, what := "cancel", "canceled", "query"
	if terminate {
		act, done, what = "terminate", "terminated", "process"
	}
	switch {
	case snap.Super(other.start.User):
		return denied("must be a superuser to %s superuser %s", act, what)
	case !snap.Acts(user, other.start.User):
		return denied("must be a member of the role whose %s is being %s or member of pg_signal_backend", what, done)
	}
	return nil
}

// Session is one client.
type Session struct {
	m        *Manager
	start    pgwire.Startup
	settings *settings
	notices  []*sqlerr.Error
	opened   time.Time
	txn      txnState
	lastPos  uint64 // log position of the session's last write
	stmts    map[string]*named
	cursors  map[string]*cursor
	drawn    drawn
	stmt     context.Context // of the running statement, for functions that wait
	calls    calls
	pipeline pipeline

	// For other sessions to see.
	mu                 sync.Mutex
	query, state       string
	appName            string
	queryStart, change time.Time
	xactStart          time.Time
	followers          map[string]*follower // changed by the session alone
	locks              []HeldLock           // never changed, only replaced
}

// statement is one parsed statement of a script.
type statement struct {
	text string // of the whole script: error positions count from its start
	ast  parser.Stmt
	// script: the text has other statements, too; more: some of them follow.
	script, more bool
}

// Text implements pgwire.Statement.
func (s statement) Text() string {
	if s.ast == nil {
		return s.text
	}
	return s.ast.Src().Text
}

// Empty implements pgwire.Statement.
func (s statement) Empty() bool { return s.ast == nil }

// Parse implements pgwire.Session.
func (s *Session) Parse(sql string) ([]pgwire.Statement, error) {
	asts, err := parser.Parse(sql)
	if err != nil {
		return nil, err
	}
	out := make([]pgwire.Statement, len(asts))
	for i, a := range asts {
		out[i] = statement{text: sql, ast: a, script: len(asts) > 1, more: i < len(asts)-1}
	}
	return out, nil
}

// TxStatus implements pgwire.Session.
func (s *Session) TxStatus() byte { return s.txn.status() }

// ParameterStatus implements pgwire.Session.
func (s *Session) ParameterStatus() map[string]string {
	out := map[string]string{}
	for i := range params {
		if params[i].reported {
			out[params[i].name] = s.settings.must(params[i].name)
		}
	}
	return out
}

// ParameterChanges implements pgwire.Session.
func (s *Session) ParameterChanges() map[string]string {
	if len(s.settings.changed) == 0 {
		return nil
	}
	out := s.settings.changed
	s.settings.changed = map[string]string{}
	return out
}

// Notices implements pgwire.Session.
func (s *Session) Notices() []*sqlerr.Error {
	out := s.notices
	s.notices = nil
	return out
}

// Settings implements pgwire.Session.
func (s *Session) Settings() *sqlio.Settings { return s.settings.io }

// Close implements pgwire.Session.
func (s *Session) Close() {
	s.abandon()
	s.closeCursors()
	s.closeFollowers()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	delete(s.m.sessions, s.start.PID)
}

// notice tells the client something beside the result.
func (s *Session) notice(format string, args ...any) {
	s.notices = append(s.notices, sqlerr.New(sqlerr.SuccessfulCompletion, format, args...))
}

// warn is notice with severity WARNING.
func (s *Session) warn(code sqlerr.Code, format string, args ...any) {
	n := sqlerr.New(code, format, args...)
	n.Warning = true
	s.notices = append(s.notices, n)
}

// Manager returns what the session was opened by.
func (s *Session) Manager() *Manager { return s.m }

// Database implements expr.Session, as do the following methods.
func (s *Session) Database() string { return s.snapshot().Database }

// SearchPath implements expr.Session.
func (s *Session) SearchPath() []string {
	snap := s.snapshot()
	var out []string
	for _, n := range s.settings.searchPath(s.User()) {
		if x := snap.Schemas[n]; x != nil && snap.May(s.User(), x.Protected(), 'U') {
			out = append(out, n)
		}
	}
	return out
}

// Setting implements expr.Session.
func (s *Session) Setting(name string) (string, bool) { return s.settings.get(name) }

// SetSetting implements expr.Session.
func (s *Session) SetSetting(name, value string, local bool) error {
	switch strings.ToLower(name) {
	case "role":
		return s.setRole(value, local)
	case "session_authorization":
		return s.setSessionUser(value, local)
	}
	if local {
		return s.settings.setLocal(name, value)
	}
	return s.settings.set(name, value)
}

// PID implements expr.Session.
func (s *Session) PID() int32 { return int32(s.start.PID) }

// Catalog implements expr.Session.
func (s *Session) Catalog(name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	switch name {
	case "pg_cancel_backend", "pg_terminate_backend":
		pid, _ := args[0].(int64)
		terminate := name == "pg_terminate_backend"
		if err := s.maySignal(uint32(pid), terminate); err != nil {
			return nil, err
		}
		ok := s.m.CancelSession(uint32(pid), terminate)
		if !ok {
			s.warn(sqlerr.Warning, "PID %d is not a PostgreSQL backend process", pid)
		}
		return ok, nil
	case "nextval", "currval", "setval", "lastval", "pg_sequence_last_value":
		return s.sequenceFunction(name, args)
	case "pg_sleep", "pg_sleep_for":
		return s.sleep(name, args)
	case "version":
		return "PostgreSQL 15.0 on " + runtime.GOARCH + "-" + runtime.GOOS + ", Millrace " + s.m.Version, nil
	}
	return s.m.System.Function(s, name, args)
}

// sleep is pg_sleep: it ends early when the statement is cancelled.
func (s *Session) sleep(name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	var d time.Duration
	switch x := args[0].(type) {
	case float64:
		d = time.Duration(x * float64(time.Second))
	case datetime.Interval:
		d = time.Duration(x.Micros)*time.Microsecond + time.Duration(x.Days+30*x.Months)*24*time.Hour
	default:
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", name)
	}
	select {
	case <-time.After(d):
		return "", nil
	case <-s.stmt.Done():
		return nil, s.stmt.Err()
	}
}

// evalCtx makes an evaluation context for a statement of this session.
func (s *Session) evalCtx() *expr.Ctx {
	now := time.Now().UnixMicro() - pgEpochMicros
	c := &expr.Ctx{Settings: s.settings.io, Now: now, StmtNow: now, Session: s}
	if s.txn.began != 0 {
		c.Now = s.txn.began
	}
	return c
}

// pgEpochMicros is 2000-01-01 UTC in µs since 1970.
const pgEpochMicros = 946684800 * 1_000_000

// IdleTimeout implements pgwire.Session.
func (s *Session) IdleTimeout() (time.Duration, *sqlerr.Error) {
	known := s.settings.often()
	switch {
	case s.txn.block && known.idleInTransaction > 0:
		return known.idleInTransaction, sqlerr.New(sqlerr.IdleInTransactionTimeout, "terminating connection due to idle-in-transaction timeout")
	case !s.txn.block && known.idleTimeout > 0:
		return known.idleTimeout, sqlerr.New(sqlerr.IdleSessionTimeout, "terminating connection due to idle-session timeout")
	}
	return 0, nil
}

// running tells other sessions what this one does.
func (s *Session) running(query, state string) {
	now, app := time.Now(), s.settings.often().appName
	s.mu.Lock()
	defer s.mu.Unlock()
	if query != "" {
		s.query, s.queryStart = query, now
	}
	s.state, s.change = state, now
	switch {
	case state == "idle":
		s.xactStart, s.locks = time.Time{}, nil
	case s.xactStart.IsZero():
		s.xactStart = now
	}
	s.appName = app
}

// likeFold matches a SHOW … LIKE pattern.
func likeFold(pattern, name string) bool {
	return matchLike([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(name)))
}

func matchLike(p, s []rune) bool {
	for len(p) > 0 {
		switch p[0] {
		case '%':
			for i := 0; i <= len(s); i++ {
				if matchLike(p[1:], s[i:]) {
					return true
				}
			}
			return false
		case '_':
			if len(s) == 0 {
				return false
			}
		case '\\':
			if len(p) > 1 {
				p = p[1:]
			}
			fallthrough
		default:
			if len(s) == 0 || s[0] != p[0] {
				return false
			}
		}
		p, s = p[1:], s[1:]
	}
	return len(s) == 0
}
