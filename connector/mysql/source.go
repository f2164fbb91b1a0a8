package mysql

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Source implements connector.Capture.
type Source struct{}

var _ connector.Capture = Source{}

// Validate implements connector.Source.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	cfg, err := parseOptions(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	c, err := cfg.connect(ctx)
	if err != nil {
		return connector.Facts{}, err
	}
	defer c.Close()
	return connector.Facts{}, cfg.check(ctx, c)
}

// check looks whether a server can be captured from, and says what to do when it cannot.
func (c *config) check(ctx context.Context, conn *wire.Conn) error {
	if err := c.checkSettings(ctx, conn); err != nil {
		return err
	}
	if err := c.checkPrivileges(ctx, conn); err != nil {
		return err
	}
	for _, d := range c.databases {
		rows, err := conn.Rows(ctx, "SELECT 1 FROM information_schema.schemata WHERE schema_name = "+quote(d))
		if err != nil {
			return c.explain("look for the database "+d, err)
		}
		if len(rows) == 0 {
			return sqlerr.New(sqlerr.InvalidCatalogName, "MySQL at %s has no database %q", c.addr(), d).
				WithHint("Check the option \"database.name\", and that the user %q may see the database.", c.user)
		}
	}
	return nil
}

// setting is a variable of the server that has to be set in a certain way.
type setting struct {
	name   string
	want   string
	absent bool // a server that does not have it is as it should be
	hint   string
}

var settings = []setting{
	{"log_bin", "1", false, "Start the server with log_bin (and a server_id)."},
	{"binlog_format", "ROW", true, "Set binlog_format to ROW, and let sessions that are connected reconnect."},
	{"binlog_row_image", "FULL", true, "Set binlog_row_image to FULL, and let sessions that are connected reconnect."},
	{"binlog_row_value_options", "", true, "Set binlog_row_value_options to the empty text."},
}

func (c *config) checkSettings(ctx context.Context, conn *wire.Conn) error {
	for _, s := range settings {
		rows, err := conn.Rows(ctx, "SELECT @@GLOBAL."+s.name)
		if wire.CodeOf(err) == wire.ErrUnknownVariable && s.absent {
			continue
		}
		if err != nil {
			return c.explain("read its settings", err)
		}
		if got := rows[0][0]; !strings.EqualFold(got, s.want) {
			want := s.want
			if s.name == "log_bin" {
				want, got = "ON", "OFF"
			}
			return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "MySQL at %s has %s = %s, and change data capture needs %s", c.addr(), s.name,
				nothing(got), nothing(want)).WithHint("%s", s.hint)
		}
	}
	rows, err := conn.Rows(ctx, "SELECT @@GLOBAL.server_id")
	if err != nil {
		return c.explain("read its settings", err)
	}
	if rows[0][0] == strconv.FormatUint(uint64(c.serverID), 10) {
		return sqlerr.New(sqlerr.ObjectInUse, "the server id %d is that of MySQL at %s itself", c.serverID, c.addr()).
			WithHint("Give the source a number of its own with the option \"server.id\", or leave the option out.")
	}
	return nil
}

func nothing(s string) string {
	if s == "" {
		return "''"
	}
	return s
}

// checkPrivileges tries what the user has to be allowed to do.
func (c *config) checkPrivileges(ctx context.Context, conn *wire.Conn) error {
	denied := func(err error, what, grant string) error {
		switch wire.CodeOf(err) {
		case wire.ErrPrivilege, wire.ErrAccessDenied:
			return sqlerr.New(sqlerr.InsufficientPrivilege, "the user %q of MySQL at %s may not %s", c.user, c.addr(), what).
				WithHint("GRANT %s ON *.* TO the user.", grant).WithCause(err)
		}
		return c.explain(what, err)
	}
	if _, _, _, err := logStatus(ctx, conn); err != nil {
		grant := "REPLICATION CLIENT"
		if conn.MariaDB {
			grant = "BINLOG MONITOR"
		}
		return denied(err, "read the position of the binary log", grant)
	}
	if err := c.checkServerID(ctx, conn); err != nil {
		return err
	}
	if err := conn.Register(ctx, c.serverID, replicaHost); err != nil {
		return denied(err, "read the binary log", "REPLICATION SLAVE")
	}
	return nil
}

// idWithin is how long a server id may be in use: the server notices the end of a connection, ours among them, a little later.
const idWithin = 3 * time.Second

// checkServerID looks for another replica with our number.
func (c *config) checkServerID(ctx context.Context, conn *wire.Conn) error {
	list := "SHOW REPLICAS"
	if conn.MariaDB {
		list = "SHOW SLAVE HOSTS"
	}
	for end := time.Now().Add(idWithin); ; {
		rows, err := conn.Rows(ctx, list)
		if wire.CodeOf(err) == wire.ErrSyntax { // before MySQL 8.0.22
			rows, err = conn.Rows(ctx, "SHOW SLAVE HOSTS")
		}
		switch wire.CodeOf(err) {
		case wire.ErrPrivilege, wire.ErrAccessDenied: // MariaDB has a privilege for the list alone
			return nil
		}
		if err != nil {
			return c.explain("list its replicas", err)
		}
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[0] == strconv.FormatUint(uint64(c.serverID), 10) }) {
			return nil
		}
		if time.Now().After(end) {
			return sqlerr.New(sqlerr.ObjectInUse, "the server id %d is used by another replica of MySQL at %s", c.serverID, c.addr()).
				WithHint("Give the source a number of its own with the option \"server.id\", or leave the option out.")
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Splits implements connector.Source; a Capture is not asked.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) {
	return []string{connector.LogSplit}, nil
}

// Open implements connector.Source.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	cfg, err := parseOptions(spec)
	if err != nil {
		return nil, err
	}
	u, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r, err := cdc.NewReader(ctx, u, spec, splits)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Drop implements connector.Capture: nothing was made upstream.
func (Source) Drop(context.Context, *connector.SourceSpec) error { return nil }

// DescribeTable implements connector.Capture.
func (Source) DescribeTable(ctx context.Context, spec *connector.SourceSpec, upstream string, key []string) (connector.TableFacts, error) {
	cfg, err := parseOptions(spec)
	if err != nil {
		return connector.TableFacts{}, err
	}
	c, err := cfg.connect(ctx)
	if err != nil {
		return connector.TableFacts{}, err
	}
	defer c.Close()
	n := cfg.name(upstream, false)
	info, err := describe(ctx, c, n)
	if errors.Is(err, errNoTable) {
		return connector.TableFacts{}, cfg.noTable(ctx, c, n)
	}
	if err != nil {
		return connector.TableFacts{}, cfg.explain("read about the table "+n.String(), err)
	}
	if err := cfg.capturable(ctx, c, n, info); err != nil {
		return connector.TableFacts{}, err
	}
	return cfg.facts(n, info, key)
}

// noTable says which of schema and table is not there.
func (c *config) noTable(ctx context.Context, conn *wire.Conn, n tableName) error {
	e := sqlerr.New(sqlerr.UndefinedTable, "MySQL at %s has no table %q", c.addr(), n)
	rows, err := conn.Rows(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = "+quote(n.schema))
	if err != nil {
		return c.explain("look for the table "+n.String(), err)
	}
	if len(rows) == 0 {
		return e.WithHint("Name it as 'database.table'. The database %q is not there, has no tables, or the user %q may not see them.", n.schema, c.user)
	}
	for _, r := range rows {
		if strings.EqualFold(r[0], n.table) {
			return e.WithHint("Perhaps you meant %q.", n.schema+"."+r[0])
		}
	}
	return e
}

// capturable refuses tables of which the log does not say everything.
func (c *config) capturable(ctx context.Context, conn *wire.Conn, n tableName, info *tableInfo) error {
	if !slices.Contains(c.databases, n.schema) {
		return sqlerr.New(sqlerr.InvalidParameterValue, "the table %s is in none of the databases of the source (%s)", n, strings.Join(c.databases, ", ")).
			WithHint("Name all databases in the option \"database.name\", with commas between them.")
	}
	if info.kind != "BASE TABLE" {
		return sqlerr.New(sqlerr.WrongObjectType, "%s is not an ordinary table of MySQL but of the kind %s, which cannot be captured", n, strings.ToLower(info.kind))
	}
	for i := range info.columns {
		col := &info.columns[i]
		if _, ok := col.typ(); !ok {
			return sqlerr.New(sqlerr.FeatureNotSupported, "column %q of %s is of type %s, which cannot be captured", col.Name, n, col.Decl)
		}
		if strings.Contains(col.Decl, "mariadb-5.3") && len(col.args) > 0 {
			return sqlerr.New(sqlerr.FeatureNotSupported, "column %q of %s is in the format of MariaDB 5.3, of which the log does not say the size", col.Name, n).
				WithHint("Set mysql56_temporal_format to ON at the server, and ALTER TABLE … FORCE.")
		}
		if col.family() == famText && !isUTF8(col.Charset) {
			if _, err := loadCharset(ctx, conn, col.Charset); err != nil {
				return c.explain("read the character set "+col.Charset, err)
			}
		}
	}
	if len(info.cascades) > 0 && !c.cascades {
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "rows of %s are changed by a foreign key, which the binary log does not say", n).
			WithDetail("%s.", strings.Join(info.cascades, "; ")).
			WithHint("Change the foreign key to RESTRICT; or, if no row is ever changed by it, set the option \"allow.cascades\" to true.")
	}
	return nil
}

// facts says what a table looks like here.
func (c *config) facts(n tableName, info *tableInfo, key []string) (connector.TableFacts, error) {
	f := connector.TableFacts{Accepts: func(i int, t sqltypes.Type) bool { return accepts(&info.columns[i], t) }}
	k := info.key(key)
	if k == nil && key != nil {
		return f, sqlerr.New(sqlerr.InvalidTableDefinition, "the columns %s are no key of %s", strings.Join(key, ", "), n).
			WithHint("A primary key here has to be a primary key there, or a unique key of columns that are NOT NULL.")
	}
	if k != nil {
		for _, name := range k.Columns {
			f.Key = append(f.Key, indexOf(info.columns, name))
		}
	}
	for i := range info.columns {
		col := &info.columns[i]
		t, _ := col.typ()
		notNull := col.NotNull
		switch col.family() {
		case famDate, famDatetime, famTimestamp:
			notNull = notNull && (c.zero != zeroNull || slices.Contains(f.Key, i)) // a zero date is NULL here
		}
		f.Columns = append(f.Columns, catalog.Column{Name: col.Name, Type: t, NotNull: notNull})
	}
	return f, nil
}
