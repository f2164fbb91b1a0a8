package redis

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// config is the options of a sink.
type config struct {
	addrs          []string
	cluster        bool
	user, password string
	db             int
	tls            *tls.Config
	expiry         time.Duration // of keys; 0: they stay
	mode           codec.Mode
	force          bool
	keys, values   template // ENCODE TEMPLATE
}

func parse(spec *connector.SinkSpec) (*config, error) {
	o := option.New(option.Connector("redis"), spec.Connector.Options)
	c := &config{}
	c.servers(o, o.Required("redis.url"))
	if u := o.String("redis.username", ""); u != "" {
		c.user = u
	}
	if p := o.String("redis.password", ""); p != "" {
		c.password = p
	}
	c.expiry = o.Duration("redis.ttl", 0, 0, 100*365*24*time.Hour, time.Second)
	c.mode, c.force = codec.SinkMode(o, spec)
	switch {
	case c.mode == codec.Debezium:
		o.Fail("connector \"redis\" has no FORMAT DEBEZIUM; there are PLAIN and UPSERT")
	case len(spec.Key) == 0:
		o.Fail("connector \"redis\" needs a primary key, which makes the keys; name its columns with the option \"primary_key\"")
	}
	if err := o.Done(); err != nil {
		return nil, err
	}
	if spec.Connector.Encode == "TEMPLATE" {
		return c, c.parseTemplates(spec)
	}
	return c, nil
}

// servers reads one URL, or a JSON list of the URLs of a cluster.
func (c *config) servers(o *option.Set, text string) {
	urls := []string{text}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		c.cluster = true
		if err := json.Unmarshal([]byte(text), &urls); err != nil || len(urls) == 0 {
			o.Fail("option \"redis.url\" must be a URL or a JSON list of URLs")
			return
		}
	}
	for _, u := range urls {
		if u == "" {
			continue // Required has said so
		}
		p, err := redis.ParseURL(u)
		if err != nil || p.Network == "unix" {
			o.Fail("option \"redis.url\" must be redis://[user:password@]host:port[/database], or rediss:// for TLS")
			return
		}
		c.addrs = append(c.addrs, p.Addr)
		c.user, c.password, c.db, c.tls = p.Username, p.Password, p.DB, p.TLSConfig
	}
	if c.cluster && c.db != 0 {
		o.Fail("a Redis cluster has no database %d", c.db)
	}
}

// parseTemplates reads the options of ENCODE TEMPLATE.
func (c *config) parseTemplates(spec *connector.SinkSpec) (err error) {
	o := option.New("ENCODE TEMPLATE", spec.Connector.FormatOptions)
	o.Ignore("force_append_only", "redis_value_type")
	key, value := o.Required("key_format"), o.Required("value_format")
	if err := o.Done(); err != nil {
		return err
	}
	if c.keys, err = parseTemplate(spec, "key_format", key); err != nil {
		return err
	}
	if c.values, err = parseTemplate(spec, "value_format", value); err != nil {
		return err
	}
	isKey := map[int]bool{}
	for _, k := range spec.Key {
		isKey[k] = true
	}
	used := map[int]bool{}
	for _, p := range c.keys {
		if p.col >= 0 && !isKey[p.col] {
			return sqlerr.New(sqlerr.InvalidParameterValue, "key_format names column %q, which is not part of the primary key", spec.Columns[p.col].Name)
		}
		if p.col >= 0 {
			used[p.col] = true
		}
	}
	for _, k := range spec.Key {
		if !used[k] {
			return sqlerr.New(sqlerr.InvalidParameterValue, "key_format does not name column %q of the primary key: two rows could have one key", spec.Columns[k].Name)
		}
	}
	return nil
}
