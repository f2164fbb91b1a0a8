package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/sqltls"
)

// config is what the options of a source say.
type config struct {
	host, user, password, database string
	port                           int64
	schema                         string // of tables named without one
	slot                           string
	publication                    string
	create                         bool // the publication may be made here
	tls                            sqltls.Options
	instance                       string
	name                           string // of the source, for application_name
}

// parse reads the options. Names that are not given follow from the instance, so that two sources never share a slot.
func parse(spec *connector.SourceSpec) (*config, error) {
	o := option.New(option.Connector("postgres-cdc"), spec.Connector.Options)
	own := ownName(spec)
	c := &config{
		host:        o.Required("hostname", "host"),
		port:        o.Int("port", 5432, 1, 65535),
		user:        o.Required("username", "user"),
		password:    o.String("password", ""),
		database:    o.Required("database.name", "database"),
		schema:      o.String("schema.name", "public", "schema"),
		slot:        o.String("slot.name", own),
		publication: o.String("publication.name", own),
		create:      o.Bool("publication.create.enable", true),
		tls:         sqltls.Read(o, sqltls.Options{}),
		instance:    spec.Instance,
		name:        spec.Name,
	}
	o.Ignore("table.name", "auto.schema.change", "transactional")
	if spec.Connector.Format != "" || spec.Connector.Encode != "" {
		if spec.Connector.Format != "PLAIN" && spec.Connector.Format != "DEBEZIUM" || spec.Connector.Encode != "JSON" {
			o.Fail("%s reads tables, not records: it takes no FORMAT and no ENCODE", option.Connector("postgres-cdc"))
		}
	}
	if !validSlot(c.slot) {
		o.Fail("option \"slot.name\" must be 1 to 63 of a-z, 0-9 and _, not %q", c.slot)
	}
	if c.publication == "" || len(c.publication) > 63 {
		o.Fail("option \"publication.name\" must be 1 to 63 bytes long")
	}
	return c, o.Done()
}

func validSlot(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// ownName is the name of the slot and the publication of one source, the same for ever.
func ownName(spec *connector.SourceSpec) string {
	id := spec.Instance
	if id == "" {
		id = spec.Name + "-" + strconv.FormatUint(uint64(spec.ID), 10)
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(id))
	if len(clean) > 40 || clean != strings.ToLower(id) {
		sum := sha256.Sum256([]byte(id))
		clean = clean[:min(len(clean), 40)] + "_" + hex.EncodeToString(sum[:5])
	}
	return "millrace_" + clean
}

// address is host and port, for messages.
func (c *config) address() string {
	if strings.HasPrefix(c.host, "/") {
		return c.host
	}
	return net.JoinHostPort(c.host, strconv.FormatInt(c.port, 10))
}
