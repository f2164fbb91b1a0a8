package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/sqlerr"
)

// publication is what the upstream says of ours.
type publication struct {
	exists, own, all, root bool
	lacks                  string // an operation that it leaves out
	owner                  bool   // we may change it
}

// mark is the comment on a publication that a source has made.
func (c *config) mark() string { return "made by Millrace for " + c.instance }

func (c *config) lookPublication(ctx context.Context, conn *pgconn.PgConn) (*publication, error) {
	rows, err := query(ctx, conn, `SELECT puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate,
		pg_catalog.obj_description(oid, 'pg_publication'), pg_catalog.pg_has_role(pubowner, 'USAGE') FROM pg_catalog.pg_publication WHERE pubname = `+quote(c.publication))
	if err != nil {
		return nil, c.explain(ctx, fmt.Sprintf("look up publication %q", c.publication), err)
	}
	p := &publication{}
	if len(rows) == 0 {
		return p, nil
	}
	yes := func(i int) bool { return string(rows[0][i]) == "t" }
	p.exists, p.all, p.root, p.owner = true, yes(0), yes(1), yes(7)
	p.own = string(rows[0][6]) == c.mark()
	for i, op := range []string{"insert", "update", "delete", "truncate"} {
		if !yes(2 + i) {
			p.lacks = op
		}
	}
	return p, nil
}

// check refuses a publication that leaves something out.
func (p *publication) check(c *config) error {
	switch {
	case !p.exists && !c.create:
		return sqlerr.New(sqlerr.UndefinedObject, "publication %q does not exist in database %q", c.publication, c.database).
			WithHint("Let the source make it (publication.create.enable = 'true'), or run upstream: CREATE PUBLICATION %s FOR TABLE … WITH (publish_via_partition_root = true)", quoteIdent(c.publication))
	case p.exists && p.lacks != "":
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "publication %q leaves out every %s", c.publication, p.lacks).
			WithHint("Run upstream: ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate')", quoteIdent(c.publication))
	}
	return nil
}

// covers reports whether the publication has a table, and refuses one that it has in part.
func (p *publication) covers(ctx context.Context, conn *pgconn.PgConn, c *config, r *relation) (bool, error) {
	if !p.exists {
		return false, nil
	}
	if r.Kind == "p" && !p.root {
		return false, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "publication %q gives the partitions of %q away one by one", c.publication, r.label()).
			WithHint("Run upstream: ALTER PUBLICATION %s SET (publish_via_partition_root = true)", quoteIdent(c.publication))
	}
	extra := ", NULL, NULL"
	if serverVersion(conn) >= 150000 {
		extra = ", rowfilter, attnames"
	}
	rows, err := query(ctx, conn, "SELECT pubname"+extra+" FROM pg_catalog.pg_publication_tables WHERE pubname = "+quote(c.publication)+
		" AND schemaname = "+quote(r.Schema)+" AND tablename = "+quote(r.Name))
	if err != nil {
		return false, c.explain(ctx, fmt.Sprintf("look up publication %q", c.publication), err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	if rows[0][1] != nil {
		return true, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "publication %q has only some rows of table %q", c.publication, r.label()).
			WithDetail("Its row filter is %s.", rows[0][1]).
			WithHint("Use a publication with all rows, and a condition in a view here.")
	}
	if names := rows[0][2]; names != nil && strings.Count(string(names), ",")+1 < len(r.Cols) {
		return true, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "publication %q has only some columns of table %q", c.publication, r.label()).
			WithDetail("They are %s.", names).
			WithHint("Use a publication with all columns, and choose columns in a view here.")
	}
	return true, nil
}

// ensurePublication makes the publication if it is not there and may be made.
func (c *config) ensurePublication(ctx context.Context, conn *pgconn.PgConn) (*publication, error) {
	p, err := c.lookPublication(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := p.check(c); err != nil || p.exists {
		return p, err
	}
	_, err = query(ctx, conn, fmt.Sprintf("BEGIN; CREATE PUBLICATION %s WITH (publish_via_partition_root = true); COMMENT ON PUBLICATION %s IS %s; COMMIT",
		quoteIdent(c.publication), quoteIdent(c.publication), quote(c.mark())))
	if err != nil {
		return nil, c.explain(ctx, fmt.Sprintf("create publication %q", c.publication), err)
	}
	p.exists, p.own, p.root, p.owner = true, true, true, true
	return p, nil
}

// ensureTable adds a table to a publication of ours, and says whether it had to. Error: 42501 when the publication is somebody else's.
func (c *config) ensureTable(ctx context.Context, conn *pgconn.PgConn, p *publication, r *relation) (added bool, err error) {
	ok, err := p.covers(ctx, conn, c, r)
	if ok || err != nil {
		return false, err
	}
	if err := p.mayAdd(c, r); err != nil {
		return false, &cdc.TableError{Err: err}
	}
	if _, err := query(ctx, conn, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE ONLY %s", quoteIdent(c.publication), r.quoted())); err != nil {
		return false, c.explain(ctx, fmt.Sprintf("add table %s to publication %q", r.label(), c.publication), err)
	}
	return true, nil
}

// mayAdd refuses to add a table where we have no right to.
func (p *publication) mayAdd(c *config, r *relation) error {
	how := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE ONLY %s", quoteIdent(c.publication), r.quoted())
	switch {
	case p.exists && !p.own:
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "publication %q does not have table %q", c.publication, r.label()).
			WithDetail("It was not made by this source, which leaves it as it is.").WithHint("Run upstream: %s", how)
	case !r.Owner:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q must be owner of upstream table %q to add it to publication %q", c.user, r.label(), c.publication).
			WithHint("Let a superuser make a publication with the table, and name it in the option publication.name.")
	}
	return nil
}

// settle waits until all transactions have ended that have written to a table before it came into the publication: the log does not show what
// they did, and so a copy of the table must not begin before they are visible in it. In between the publication is touched, for servers before
// 15.13 keep using, after such a transaction, what it knew of the publication.
func (u *upstream) settle(ctx context.Context, conn *pgconn.PgConn, r *relation) error {
	if err := waitForWriters(ctx, conn, r); err != nil {
		return err
	}
	p, err := u.lookPublication(ctx, conn)
	if err != nil || !p.exists || !p.own {
		return err
	}
	select {
	case u.touching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = query(ctx, conn, "ALTER PUBLICATION "+quoteIdent(u.publication)+" SET (publish = 'insert, update, delete, truncate')")
	<-u.touching
	if err != nil {
		return err
	}
	return waitForWriters(ctx, conn, r)
}

// waitForWriters waits for those who hold a lock for writing on the table or a partition now.
func waitForWriters(ctx context.Context, conn *pgconn.PgConn, r *relation) error {
	oids := []string{fmt.Sprint(r.OID)}
	for _, l := range r.Children {
		oids = append(oids, fmt.Sprint(l.OID))
	}
	writers := `SELECT DISTINCT virtualtransaction FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND granted AND pid <> pg_catalog.pg_backend_pid()
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND relation IN (` + strings.Join(oids, ",") + `)
		AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`
	rows, err := query(ctx, conn, writers)
	if err != nil {
		return err
	}
	var list []string
	for _, row := range rows {
		list = append(list, quote(string(row[0])))
	}
	for wait := time.Millisecond; len(list) > 0; wait = min(2*wait, 200*time.Millisecond) {
		n, err := one(ctx, conn, "SELECT count(*) FROM ("+writers+") w WHERE virtualtransaction IN ("+strings.Join(list, ",")+")")
		if err != nil || n == "0" {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (r *relation) quoted() string { return quoteIdent(r.Schema) + "." + quoteIdent(r.Name) }
