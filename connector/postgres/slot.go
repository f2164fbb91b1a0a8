package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/sqlerr"
)

const (
	// slotWithin is how long to wait for a slot that somebody else uses: a process of ours that has been killed may still be seen as there.
	slotWithin = 10 * time.Second
	slotEvery  = 100 * time.Millisecond
)

// slot is a replication slot as the server shows it.
type slot struct {
	exists    bool
	plugin    string
	database  string
	pid       string // who uses it; "": nobody
	lost      bool
	confirmed lsn // the server sends nothing before it
}

func (c *config) lookSlot(ctx context.Context, conn *pgconn.PgConn) (*slot, error) {
	rows, err := query(ctx, conn, `SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(active_pid::text, ''), wal_status IS NOT DISTINCT FROM 'lost',
		coalesce(confirmed_flush_lsn::text, '0/0') FROM pg_catalog.pg_replication_slots WHERE slot_name = `+quote(c.slot))
	if err != nil {
		return nil, c.explain(ctx, fmt.Sprintf("look up replication slot %q", c.slot), err)
	}
	if len(rows) == 0 {
		return &slot{}, nil
	}
	r := rows[0]
	s := &slot{exists: true, plugin: string(r[0]), database: string(r[1]), pid: string(r[2]), lost: string(r[3]) == "t"}
	s.confirmed, err = parseLSN(string(r[4]))
	return s, err
}

// check refuses a slot that is not ours to use.
func (s *slot) check(c *config) error {
	if !s.exists {
		return nil
	}
	switch {
	case s.plugin != "pgoutput":
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "replication slot %q uses the output plugin %q, not pgoutput", c.slot, s.plugin).
			WithHint("Name another slot in the option slot.name; it is made when it does not exist.")
	case s.database != c.database:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "replication slot %q belongs to database %q, not %q", c.slot, s.database, c.database).
			WithHint("Name another slot in the option slot.name; it is made when it does not exist.")
	}
	return nil
}

// createSlot makes the slot, once the transactions under way have ended, and returns where its log begins.
func (c *config) createSlot(ctx context.Context, conn *pgconn.PgConn) (lsn, error) {
	rows, err := query(ctx, conn, "CREATE_REPLICATION_SLOT "+quoteIdent(c.slot)+" LOGICAL pgoutput NOEXPORT_SNAPSHOT")
	if err != nil {
		return 0, c.explain(ctx, fmt.Sprintf("create replication slot %q", c.slot), err)
	}
	return parseLSN(string(rows[0][1]))
}

// awaitSlot waits until nobody uses the slot any more. Error: 55006, saying who.
func (c *config) awaitSlot(ctx context.Context, conn *pgconn.PgConn, within time.Duration) error {
	for end := time.Now().Add(within); ; {
		s, err := c.lookSlot(ctx, conn)
		if err != nil || s.pid == "" {
			return err
		}
		if time.Now().After(end) {
			who, _ := one(ctx, conn, "SELECT application_name || ', user ' || usename || coalesce(', from ' || client_addr::text, '') FROM pg_catalog.pg_stat_activity WHERE pid = "+s.pid)
			return sqlerr.New(sqlerr.ObjectInUse, "replication slot %q is in use by process %s (%s)", c.slot, s.pid, who).
				WithHint("Each source needs a slot of its own: leave out the option slot.name, or end the other with SELECT pg_terminate_backend(%s)", s.pid)
		}
		if err := sleep(ctx, slotEvery); err != nil {
			return err
		}
	}
}

// dropSlot removes the slot when nobody uses it any more; that there is none is no error.
func (c *config) dropSlot(ctx context.Context, conn *pgconn.PgConn) error {
	s, err := c.lookSlot(ctx, conn)
	if err != nil || !s.exists {
		return err
	}
	if err := c.awaitSlot(ctx, conn, slotWithin); err != nil {
		return err
	}
	_, err = query(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot("+quote(c.slot)+")")
	return c.explain(ctx, fmt.Sprintf("drop replication slot %q", c.slot), err)
}

// checkServer finds out at CREATE what would keep a source from reading the log.
func (c *config) checkServer(ctx context.Context, conn *pgconn.PgConn) error {
	if v := serverVersion(conn); v < 130000 {
		return sqlerr.New(sqlerr.FeatureNotSupported, "PostgreSQL at %s has version %s; capturing changes needs 13 or later", c.address(), conn.ParameterStatus("server_version"))
	}
	rows, err := query(ctx, conn, `SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(),
		(SELECT rolsuper OR rolreplication OR EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.rolname = 'rds_replication' AND pg_catalog.pg_has_role(g.oid, 'USAGE'))
			FROM pg_catalog.pg_roles WHERE rolname = current_user),
		(SELECT count(*) FROM pg_catalog.pg_replication_slots) >= pg_catalog.current_setting('max_replication_slots')::int, pg_catalog.current_setting('max_replication_slots'),
		(SELECT count(*) FROM pg_catalog.pg_stat_replication) >= pg_catalog.current_setting('max_wal_senders')::int, pg_catalog.current_setting('max_wal_senders'),
		pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')`)
	if err != nil {
		return c.explain(ctx, "ask for its settings", err)
	}
	r := rows[0]
	yes := func(i int) bool { return string(r[i]) == "t" }
	switch {
	case string(r[0]) != "logical":
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "wal_level of PostgreSQL at %s is %q, and must be \"logical\"", c.address(), r[0]).
			WithHint("Run upstream: ALTER SYSTEM SET wal_level = 'logical', and restart the server.")
	case yes(1):
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "PostgreSQL at %s is a standby", c.address()).WithHint("Name the primary in the option hostname.")
	case !yes(2):
		return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q of PostgreSQL at %s may not replicate", c.user, c.address()).WithHint("%s", c.rightsHint())
	}
	s, err := c.lookSlot(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.check(c); err != nil {
		return err
	}
	if s.lost {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "replication slot %q is lost: the server has removed WAL that it needs", c.slot).
			WithHint("Run upstream: SELECT pg_drop_replication_slot(%s)", quote(c.slot))
	}
	if s.pid != "" {
		if err := c.awaitSlot(ctx, conn, slotWithin/4); err != nil {
			return err
		}
	}
	if !s.exists && yes(3) {
		return sqlerr.New("53400", "PostgreSQL at %s has no replication slot left: max_replication_slots is %s", c.address(), r[4]).
			WithHint("Drop a slot that nobody needs (see pg_replication_slots), or raise max_replication_slots and restart the server.")
	}
	if yes(5) {
		return sqlerr.New(sqlerr.TooManyConnections, "PostgreSQL at %s has no process left that sends changes: max_wal_senders is %s", c.address(), r[6]).
			WithHint("Raise max_wal_senders and restart the server.")
	}
	p, err := c.lookPublication(ctx, conn)
	if err != nil {
		return err
	}
	if err := p.check(c); err != nil {
		return err
	}
	if !p.exists && !yes(7) {
		return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not create a publication in database %q", c.user, c.database).
			WithHint("Run upstream: GRANT CREATE ON DATABASE %s TO %s. Or let a superuser make a publication, and name it in the option publication.name.", quoteIdent(c.database), quoteIdent(c.user))
	}
	return nil
}

// serverVersion is server_version_num as far as the greeting tells: 150004 for "15.4 (Debian …)".
func serverVersion(conn *pgconn.PgConn) int {
	text, _, _ := strings.Cut(conn.ParameterStatus("server_version"), " ")
	major, minor, _ := strings.Cut(text, ".")
	a, _ := strconv.Atoi(leadingDigits(major))
	b, _ := strconv.Atoi(leadingDigits(minor))
	return a*10000 + b
}

// leadingDigits cuts "16beta2" to "16".
func leadingDigits(s string) string {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return s[:i]
		}
	}
	return s
}
