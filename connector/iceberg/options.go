package iceberg

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	iceberg "github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/hadoop"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// config is the options of a sink.
type config struct {
	kind      string // storage, rest
	name      string
	uri       string
	warehouse string
	ident     table.Identifier
	auth      []rest.Option
	props     iceberg.Properties // for the files: the keys that iceberg's own libraries use
	upsert    bool
	force     bool
	create    bool
	partition []partition
	interval  time.Duration
}

// partition is one element of partition_by: a transform of a column.
type partition struct{ transform, column string }

var partitionPattern = regexp.MustCompile(`^\s*(?:(\w+)\s*\(\s*(?:(\d+)\s*,\s*)?([^,()]+?)\s*(?:,\s*(\d+)\s*)?\)|([^,()]+?))\s*$`)

func parse(spec *connector.SinkSpec) (*config, error) {
	o := option.New(option.Connector("iceberg"), spec.Connector.Options)
	c := &config{props: iceberg.Properties{}}
	c.kind = o.Enum("catalog.type", "storage", "storage", "rest")
	c.name = o.String("catalog.name", "millrace")
	c.warehouse = o.String("warehouse.path", "")
	c.uri = o.String("catalog.uri", "", "catalog.url")
	c.ident = append(strings.Split(o.Required("database.name"), "."), o.Required("table.name"))
	c.create = o.Bool("create_table_if_not_exists", false)
	c.interval = o.Duration("commit_checkpoint_interval", 10*time.Second, 0, 24*time.Hour, time.Second)
	c.files(o)
	c.parseAuth(o)
	switch {
	case c.kind == "storage" && c.warehouse == "":
		o.Fail("catalog.type = 'storage' needs the option \"warehouse.path\": a folder, or s3://bucket/path")
	case c.kind == "rest" && c.uri == "":
		o.Fail("catalog.type = 'rest' needs the option \"catalog.uri\"")
	}
	if u, err := url.Parse(c.warehouse); c.kind == "storage" && c.warehouse != "" && (err != nil || u.Scheme != "" && u.Scheme != "file") {
		o.Fail("catalog.type = 'storage' keeps tables in a folder of this machine, not in %q: object stores cannot rename; use catalog.type = 'rest'", c.warehouse)
	}
	for _, p := range splitPartitions(o.String("partition_by", "")) {
		m := partitionPattern.FindStringSubmatch(p)
		if m == nil {
			o.Fail("%q in \"partition_by\" is neither a column nor a transform such as day(at) or bucket(16, id)", p)
			continue
		}
		if m[5] != "" {
			c.partition = append(c.partition, partition{"identity", m[5]})
			continue
		}
		transform := m[1]
		if n := m[2] + m[4]; n != "" {
			transform += "[" + n + "]"
		}
		c.partition = append(c.partition, partition{transform, m[3]})
	}
	mode, force := codec.SinkMode(o, spec)
	if mode == codec.Debezium || spec.Connector.Format != "" || spec.Connector.Encode != "" {
		o.Fail("connector \"iceberg\" writes rows: it takes type = 'append-only' or 'upsert', and no FORMAT")
	}
	c.upsert, c.force = mode == codec.Upsert, force
	return c, o.Done()
}

// splitPartitions splits at commas outside of parentheses.
func splitPartitions(s string) []string {
	var out []string
	depth, from := 0, 0
	for i, r := range s + "," {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth <= 0 {
				if p := strings.TrimSpace((s + ",")[from:i]); p != "" {
					out = append(out, p)
				}
				from = i + 1
			}
		}
	}
	return out
}

// files reads where the files' store is, and who we are there.
func (c *config) files(o *option.Set) {
	for _, x := range []struct{ option, alias, key string }{
		{"s3.endpoint", "s3.endpoint_url", "s3.endpoint"}, {"s3.access.key", "s3.credentials.access", "s3.access-key-id"},
		{"s3.secret.key", "s3.credentials.secret", "s3.secret-access-key"}, {"s3.region", "s3.region_name", "s3.region"},
	} {
		if v := o.String(x.option, "", x.alias); v != "" {
			c.props[x.key] = v
		}
	}
	if o.Bool("s3.path.style.access", c.props["s3.endpoint"] != "") {
		c.props["s3.path-style"] = "true"
	}
}

func (c *config) parseAuth(o *option.Set) {
	if v := o.String("catalog.token", ""); v != "" {
		c.auth = append(c.auth, rest.WithOAuthToken(v))
	}
	if v := o.String("catalog.credential", ""); v != "" {
		c.auth = append(c.auth, rest.WithCredential(v))
	}
	if v := o.String("catalog.scope", ""); v != "" {
		c.auth = append(c.auth, rest.WithScope(v))
	}
	if v := o.String("catalog.oauth2_server_uri", ""); v != "" {
		u, err := url.Parse(v)
		if err != nil {
			o.Fail("option \"catalog.oauth2_server_uri\" must be an address, not %q", v)
			return
		}
		c.auth = append(c.auth, rest.WithAuthURI(u))
	}
}

// where names the table, for messages.
func (c *config) where() string { return strings.Join(c.ident, ".") }

// open returns the catalog.
func (c *config) open(ctx context.Context) (catalog.Catalog, error) {
	registerS3()
	if c.kind == "rest" {
		opts := append([]rest.Option{rest.WithAdditionalProps(c.props)}, c.auth...)
		if c.warehouse != "" {
			opts = append(opts, rest.WithWarehouseLocation(c.warehouse))
		}
		cat, err := rest.NewCatalog(ctx, c.name, c.uri, opts...)
		if err != nil {
			return nil, c.unreachable(err)
		}
		return cat, nil
	}
	root := strings.TrimPrefix(c.warehouse, "file://")
	if !filepath.IsAbs(root) {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"warehouse.path\" must be an absolute path, not %q", c.warehouse)
	}
	if st, err := os.Stat(root); err != nil || !st.IsDir() {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"warehouse.path\" names %q, which is not a folder", root).WithCause(err)
	}
	cat, err := hadoop.NewCatalog(c.name, root, c.props)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return cat, nil
}

func (c *config) unreachable(err error) error {
	at := c.uri
	if c.kind == "storage" {
		at = c.warehouse
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not open the Iceberg catalog at %s", at).WithDetail("%v", err).WithCause(err).
		WithHint("Check catalog.uri, catalog.credential or catalog.token, and warehouse.path.")
}

// load returns the table, made if the options say so.
func (c *config) load(ctx context.Context, cat catalog.Catalog, spec *connector.SinkSpec) (*table.Table, error) {
	t, err := cat.LoadTable(ctx, c.ident)
	if err == nil {
		return t, nil
	}
	if !errors.Is(err, catalog.ErrNoSuchTable) && !errors.Is(err, catalog.ErrNoSuchNamespace) {
		return nil, c.unreachable(err)
	}
	if !c.create {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "table %q does not exist in the Iceberg catalog", c.where()).
			WithHint("Create it, or set create_table_if_not_exists = 'true'.")
	}
	schema, partitions, err := c.schema(spec)
	if err != nil {
		return nil, err
	}
	if err := cat.CreateNamespace(ctx, c.ident[:len(c.ident)-1], nil); err != nil && !errors.Is(err, catalog.ErrNamespaceAlreadyExists) {
		return nil, c.unreachable(err)
	}
	t, err = cat.CreateTable(ctx, c.ident, schema, catalog.WithPartitionSpec(partitions),
		catalog.WithProperties(iceberg.Properties{table.PropertyFormatVersion: "2"}))
	if errors.Is(err, catalog.ErrTableAlreadyExists) {
		t, err = cat.LoadTable(ctx, c.ident)
	}
	if err != nil {
		return nil, c.unreachable(err)
	}
	return t, nil
}
